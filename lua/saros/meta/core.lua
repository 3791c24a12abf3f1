---@meta saros.core

--- The C module. What scripts need of it is in `saros` (docs/reference.md lists
--- that); the rest serves the Lua modules. Everything counts from 1:
--- axes (-1 is the last), positions (-1 is the last), ids. Sequences are
--- time-major: (T, B, F) is T steps of B rows of F features. Misuse raises an
--- error "function: expected this, got that"; only files and JSON text return
--- nil and a message.

---@class saros.core
---@field null lightuserdata  what null in JSON becomes
local core = {}

--- Numbers where a tensor is expected stand for tensors without axes.
---@alias saros.Operand saros.Tensor|number

--- The sizes of the axes: `zeros(2, 3)` or `zeros { 2, 3 }`.
---@alias saros.Shape integer[]

-- --- Creation ---------------------------------------------------------------

--- A real tensor from a number or from nested tables of numbers, or the numbers
--- of ids, in their shape. Error, naming the place, where the tables are ragged or
--- hold something else.
---@param value number|table|saros.Tensor  a tensor of ids
---@return saros.Tensor
function core.tensor(value) end

--- A tensor of ids from an integer, from nested tables of integers or from a real
--- tensor of whole numbers, in its shape: `saros.ids(x:gt(0) + 1)`. Error, naming the
--- place, at the first that is no id. Not differentiable.
---@param value integer|table|saros.Tensor  each in 1..2^31
---@return saros.Tensor ids
function core.ids(value) end

--- A real tensor of zeros; without sizes, of rank 0. At most 8 axes and
--- 2^40 - 1 elements.
---@param ... integer|saros.Shape
---@return saros.Tensor
function core.zeros(...) end

--- A read-only tensor of zeros that takes the memory of one element: for
--- parameters that will adopt other tensors.
---@param shape saros.Shape
---@return saros.Tensor
function core.blank(shape) end

--- A real tensor of ones.
---@param ... integer|saros.Shape
---@return saros.Tensor
function core.ones(...) end

--- A real tensor with one number everywhere.
---@param shape saros.Shape
---@param value number
---@return saros.Tensor
function core.full(shape, value) end

--- The real numbers 1, 2, ..., n.
---@param n integer
---@return saros.Tensor  (n)
function core.arange(n) end

-- --- Element by element, differentiable --------------------------------------

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.negate(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.abs(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.exp(x) end

--- The natural logarithm.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.log(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.sqrt(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.tanh(x) end

--- 1 / (1 + e^-x).
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.sigmoid(x) end

--- max(x, 0).
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.relu(x) end

--- sin x, of radians.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.sin(x) end

---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.cos(x) end

--- log(1 + e^x), without overflow.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.softplus(x) end

--- x sigmoid(x), also called swish.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.silu(x) end

--- x times the share of a normal distribution that is below x: x (1 + erf(x / sqrt 2)) / 2
--- (Hendrycks and Gimpel 2016).
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.gelu(x) end

--- Its approximation x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which PyTorch calls
--- approximate = "tanh".
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.gelu_tanh(x) end

--- x, or slope (e^x - 1) where x is below 0 (Clevert et al. 2015).
---@param x saros.Operand
---@param slope? number  PyTorch's alpha (1)
---@return saros.Tensor  of the shape of x
function core.elu(x, slope) end

--- x, or slope x where x is below 0.
---@param x saros.Operand
---@param slope? number  (0.01)
---@return saros.Tensor  of the shape of x
function core.leaky_relu(x, slope) end

--- x / 6 + 1/2 within 0..1. (Before version 3, Keras took x / 5 + 1/2.)
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.hard_sigmoid(x) end

--- x within -1..1.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.hard_tanh(x) end

--- 1 where x is finite, 0 where it is NaN or infinite. No gradient.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.isfinite(x) end

--- 1 where x is NaN, else 0. No gradient.
---@param x saros.Operand
---@return saros.Tensor  of the shape of x
function core.isnan(x) end

-- --- Two operands, which broadcast --------------------------------------------
-- Shapes are aligned at their last axes; an axis of size 1, or a missing one, is
-- repeated. Error if the shapes do not fit.

--- a + b.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.add(a, b) end

--- a - b.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.subtract(a, b) end

--- a * b, element by element; see `matmul` for the product of matrices.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.multiply(a, b) end

--- a / b.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.divide(a, b) end

--- a ^ b.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.power(a, b) end

--- The larger of the two.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.maximum(a, b) end

--- The smaller of the two.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.minimum(a, b) end

--- 1 where a < b, else 0. No comparison has a gradient.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.lt(a, b) end

--- 1 where a <= b, else 0.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.le(a, b) end

--- 1 where a > b, else 0.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.gt(a, b) end

--- 1 where a >= b, else 0.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.ge(a, b) end

--- 1 where a equals b, else 0. The operator `==` asks whether two values are
--- the same tensor instead.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.eq(a, b) end

--- 1 where a differs from b, else 0.
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.ne(a, b) end

--- Elements of a where the condition is not 0, else of b; all three broadcast.
--- Differentiable in a and b. What is not chosen does not matter: NaN there
--- reaches neither the result nor a gradient.
---@param condition saros.Operand  such as x:gt(0)
---@param a saros.Operand
---@param b saros.Operand
---@return saros.Tensor
function core.where(condition, a, b) end

-- --- Products and reductions, differentiable ------------------------------------

--- a (..., M, K) times b (..., K, N). The leading axes broadcast; a vector is a
--- row on the left and a column on the right.
---@param a saros.Tensor
---@param b saros.Tensor
---@return saros.Tensor  (..., M, N)
function core.matmul(a, b) end

--- The sum over an axis, or over all elements without one.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.sum(x, axis, keep) end

--- The mean over an axis, or over all elements without one.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.mean(x, axis, keep) end

--- The largest element along an axis, or of all. Its gradient goes to the first
--- of equal ones. Error if there are no elements.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.max(x, axis, keep) end

--- The smallest element along an axis, or of all; otherwise as `max`.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.min(x, axis, keep) end

--- The position of the first of the largest elements along an axis.
---@param x saros.Tensor
---@param axis? integer  the last
---@return saros.Tensor ids
function core.argmax(x, axis) end

--- The logarithm of the sum of exp over an axis, or over all elements without one,
--- without overflow.
---@param x saros.Tensor
---@param axis? integer
---@param keep? boolean  keep the axis, with size 1 (false)
---@return saros.Tensor
function core.logsumexp(x, axis, keep) end

--- At each position of an axis the sum of what is there and before.
---@param x saros.Tensor
---@param axis? integer  the last
---@return saros.Tensor  of the shape of x
function core.cumsum(x, axis) end

--- The k largest along an axis, largest first, and their positions; the first of
--- equal ones first, NaN counting as the largest. Differentiable in the values.
---@param x saros.Tensor
---@param k integer  1 to the size of the axis
---@param axis? integer  the last
---@return saros.Tensor values
---@return saros.Tensor ids
function core.topk(x, k, axis) end

-- --- Views, which share their elements with x; differentiable --------------------

--- Positions first..last of an axis, or every step-th of them. With a step below 0
--- they are read backwards and the result is a copy.
---@param x saros.Tensor
---@param axis integer
---@param first integer
---@param last? integer  inclusive; the last, or the first if the step is below 0
---@param step? integer  (1)
---@return saros.Tensor
function core.slice(x, axis, first, last, step) end

--- A copy with the positions of an axis in reverse.
---@param x saros.Tensor
---@param axis integer
---@return saros.Tensor
function core.flip(x, axis) end

--- One position of an axis, which disappears.
---@param x saros.Tensor
---@param axis integer
---@param position integer
---@return saros.Tensor
function core.select(x, axis, position) end

--- Two axes, by default the last ones, change places.
---@param x saros.Tensor
---@param axis1? integer
---@param axis2? integer
---@return saros.Tensor
function core.transpose(x, axis1, axis2) end

--- The same elements in row-major order under another shape; one size may be
--- -1, the rest. Copies where the strides of x allow no view.
---@param x saros.Tensor
---@param ... integer|saros.Shape
---@return saros.Tensor
function core.reshape(x, ...) end

--- All elements along one axis.
---@param x saros.Tensor
---@return saros.Tensor  (count)
function core.flatten(x) end

--- x without history: no gradient flows through the result.
---@param x saros.Tensor
---@return saros.Tensor
function core.detach(x) end

-- --- Copies, differentiable --------------------------------------------------------

--- A contiguous copy.
---@param x saros.Tensor
---@return saros.Tensor
function core.clone(x) end

--- A contiguous copy without history that nothing can ever write to. Where products are
--- made in low precision, the form that they bring a frozen matrix into is kept with it.
---@param x saros.Tensor
---@return saros.Tensor
function core.frozen(x) end

--- x itself if it is contiguous, else a contiguous copy.
---@param x saros.Tensor
---@return saros.Tensor
function core.contiguous(x) end

--- Tensors, equal in all other axes, joined along one. `a .. b` joins two along
--- the last axis.
---@param list saros.Tensor[]  at least one
---@param axis integer
---@return saros.Tensor
function core.concatenate(list, axis) end

--- Tensors of one shape along a new axis.
---@param list saros.Tensor[]  at least one
---@param axis? integer  of the result (1)
---@return saros.Tensor
function core.stack(list, axis) end

-- --- Tables --------------------------------------------------------------------------

--- Rows of a table by ids. Differentiable in the table. Error at an id outside
--- 1..V, with its place.
---@param table saros.Tensor  (V, n)
---@param ids saros.Tensor  of any shape S
---@return saros.Tensor  (S..., n)
function core.embedding(table, ids) end

--- One element of each row of x. Differentiable in x.
---@param x saros.Tensor  (S..., V)
---@param ids saros.Tensor  (S...), each in 1..V
---@return saros.Tensor  (S...)
function core.pick(x, ids) end

--- Elements along an axis by ids, whose shape is that of x but for this axis:
--- along the last one, y[i][j] = x[i][ids[i][j]]. Differentiable in x.
---@param x saros.Tensor
---@param axis integer
---@param ids saros.Tensor
---@return saros.Tensor  of the shape of ids
function core.gather(x, axis, ids) end

--- Ids as rows of zeros with a single 1.
---@param ids saros.Tensor  (S...), each in 1..V
---@param V integer
---@return saros.Tensor  (S..., V)
function core.one_hot(ids, V) end

-- --- Training -----------------------------------------------------------------------------

--- Opens the tape; error if one is open already, unless `no_gradient` has set
--- that aside. Dropout acts while a training tape is open. Without `parameters`,
--- trainable tensors are constants: watched ones alone are recorded.
---@param options? { training?: boolean, parameters?: boolean }  (true, true)
---@return saros.Tape
function core.tape(options) end

--- Sets the open tape, if any, aside until the result is closed: nothing is
--- recorded and dropout does not act, as without a tape (what PyTorch has as
--- no_grad and eval together). Then the tape records again:
---
---     local function accuracy(model, x, labels)
---       local _ <close> = saros.no_gradient()
---       return model(x):argmax(-1):eq(labels):mean():item()
---     end
---
--- Results are plain values. Pauses nest; a tape opened inside one is closed at
--- its end at the latest. Everything that asks a model something does so inside
--- a pause: evaluate, next, generate, beam, translate, classify, forecast,
--- inspect, gradient_check, sessions.
---@return saros.Pause
function core.no_gradient() end

--- True if an open tape records: what is computed now may want gradients.
---@return boolean
function core.is_recording() end

--- True while a training tape records: dropout acts, and norms of batches take the
--- statistics of what they read.
---@return boolean
function core.is_training() end

--- An operation of a script's own; `saros.operation` checks its options.
---@param name string
---@param forward fun(...): ...
---@param backward fun(...): ...
---@param outputs integer  how many results the caller gets; 0: all
---@return fun(...): ...
function core.operation(name, forward, backward, outputs) end

--- A generator of random numbers: same seed, same numbers.
---@param seed integer
---@return saros.Generator
function core.generator(seed) end

--- Scales the gradients of all tensors by one factor so that their joint L2
--- norm is at most limit. Error, and nothing changed, if it is not finite.
---@param list saros.Tensor[]
---@param limit number  > 0
---@return number norm  before scaling
function core.clip_norm(list, limit) end

--- Clamps each element of the gradients into [-limit, limit].
---@param list saros.Tensor[]
---@param limit number  > 0
function core.clip_value(list, limit) end

---@class saros.Update
---@field rule "sgd"|"rmsprop"|"adam"|"adamw"
---@field lr number  learning rate
---@field weight_decay? number  (0); adamw decays the parameter itself
---@field momentum? number  sgd (0)
---@field nesterov? boolean  sgd (false)
---@field alpha? number  rmsprop: decay of the mean square (0.99)
---@field beta1? number  adam, adamw (0.9)
---@field beta2? number  adam, adamw (0.999)
---@field epsilon? number  rmsprop, adam, adamw (1e-8)
---@field step? number  adam, adamw: which update of the parameter this is (1)

--- Updates a parameter in place from its gradient; one without gradient stays.
---@param options saros.Update
---@param parameter saros.Tensor
---@param first? saros.Tensor  velocity, mean square (rmsprop) or mean (adam); changed in place
---@param second? saros.Tensor  mean square (adam); changed in place
function core.update(options, parameter, first, second) end

return core
