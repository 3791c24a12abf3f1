---@meta

local core = require "saros.core"

--- An array of real numbers or of ids, or a view that shares the elements of
--- another tensor. `#x` is the first size; `x[i]` is an element of a vector or
--- else the view `x:select(1, i)`; `x[i] = v` assigns in place; a position out
--- of range is an error. A tensor frees its memory when it is collected, or at
--- once as `local x <close>`.
---@class saros.Tensor
---@field [integer] any  number|saros.Tensor
---@operator add(saros.Operand): saros.Tensor
---@operator sub(saros.Operand): saros.Tensor
---@operator mul(saros.Operand): saros.Tensor
---@operator div(saros.Operand): saros.Tensor
---@operator pow(saros.Operand): saros.Tensor
---@operator unm: saros.Tensor
---@operator concat(saros.Tensor): saros.Tensor
---@operator len: integer
local Tensor = {}

-- --- Questions ----------------------------------------------------------------

--- The sizes of the axes.
---@return integer[]
function Tensor:shape() end

---@param axis integer
---@return integer
function Tensor:size(axis) end

--- The number of axes, 0..8.
---@return integer
function Tensor:rank() end

--- The number of elements.
---@return integer
function Tensor:count() end

---@return "real"|"ids"
function Tensor:dtype() end

--- Whether the elements lie in row-major order without holes.
---@return boolean
function Tensor:is_contiguous() end

--- False if an element is an infinity or no number at all.
---@return boolean
function Tensor:all_finite() end

--- What tells shape and bits of this tensor from those of others, against
--- accidents: 16 hex digits, the same on every machine.
---@return string
function Tensor:digest() end

--- The only element. Error if there are more, or none.
---@return number
function Tensor:item() end

--- The elements as nested tables; of a tensor of rank 0, its number.
---@return table|number
function Tensor:totable() end

-- --- In place ------------------------------------------------------------------
-- Error, naming the operation, if the open tape still needs the contents.

---@param value number
---@return saros.Tensor self
function Tensor:fill(value) end

--- Copies source, which may be broadcast. Not recorded on a tape: error if the
--- source is on the open one.
---@param source saros.Operand
---@return saros.Tensor self
function Tensor:assign(source) end

--- Makes the tensor a second one on the elements of source, of its shape and
--- type, in place of its own.
---@param source saros.Tensor
---@return saros.Tensor self
function Tensor:adopt(source) end

--- Brings every element into [low, high].
---@param low number
---@param high number
---@return saros.Tensor self
function Tensor:clamp(low, high) end

--- Adds alpha * source.
---@param alpha number
---@param source saros.Tensor
---@return saros.Tensor self
function Tensor:add_scaled(alpha, source) end

-- --- Gradients --------------------------------------------------------------------

--- Makes the tensor one that every tape records, or no longer so; without an
--- argument, tells which.
---@overload fun(self: saros.Tensor): boolean
---@param trainable boolean
---@return saros.Tensor self
function Tensor:trainable(trainable) end

--- The gradient accumulated so far.
---@return saros.Tensor?
function Tensor:gradient() end

---@return saros.Tensor self
function Tensor:clear_gradient() end

-- --- Functions of the module: x:f(...) is saros.f(x, ...) -----------------------------

Tensor.negate, Tensor.abs, Tensor.exp = core.negate, core.abs, core.exp
Tensor.log, Tensor.sqrt, Tensor.tanh = core.log, core.sqrt, core.tanh
Tensor.sigmoid, Tensor.relu = core.sigmoid, core.relu
Tensor.sin, Tensor.cos, Tensor.softplus = core.sin, core.cos, core.softplus
Tensor.silu, Tensor.gelu, Tensor.gelu_tanh = core.silu, core.gelu, core.gelu_tanh
Tensor.elu, Tensor.leaky_relu = core.elu, core.leaky_relu
Tensor.hard_sigmoid, Tensor.hard_tanh = core.hard_sigmoid, core.hard_tanh
Tensor.add, Tensor.subtract = core.add, core.subtract
Tensor.multiply, Tensor.divide, Tensor.power = core.multiply, core.divide, core.power
Tensor.maximum, Tensor.minimum = core.maximum, core.minimum
Tensor.lt, Tensor.le, Tensor.gt = core.lt, core.le, core.gt
Tensor.ge, Tensor.eq, Tensor.ne = core.ge, core.eq, core.ne
Tensor.isfinite, Tensor.isnan, Tensor.where = core.isfinite, core.isnan, core.where
Tensor.matmul, Tensor.linear = core.matmul, core.linear
Tensor.sum, Tensor.mean = core.sum, core.mean
Tensor.max, Tensor.min, Tensor.argmax = core.max, core.min, core.argmax
Tensor.logsumexp, Tensor.cumsum, Tensor.topk = core.logsumexp, core.cumsum, core.topk
Tensor.flip, Tensor.gather = core.flip, core.gather
Tensor.softmax, Tensor.log_softmax = core.softmax, core.log_softmax
Tensor.slice, Tensor.select = core.slice, core.select
Tensor.transpose, Tensor.reshape, Tensor.flatten = core.transpose, core.reshape, core.flatten
Tensor.clone, Tensor.contiguous, Tensor.detach = core.clone, core.contiguous, core.detach
Tensor.frozen = core.frozen
Tensor.embedding, Tensor.pick, Tensor.one_hot = core.embedding, core.pick, core.one_hot
Tensor.cross_entropy, Tensor.mse, Tensor.l1 = core.cross_entropy, core.mse, core.l1
Tensor.huber, Tensor.bce, Tensor.kl = core.huber, core.bce, core.kl
Tensor.ctc_loss = core.ctc_loss
Tensor.dropout, Tensor.layer_norm, Tensor.rms_norm = core.dropout, core.layer_norm, core.rms_norm
Tensor.gated_rms_norm = core.gated_rms_norm
