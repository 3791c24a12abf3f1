--- Convolution over time of x (T, B, F):
---
---     y(t) = sum over j = 0..k-1 of W_j x(t - (k - 1 - j) d) + b
---
--- with a kernel of k steps that lie a dilation of d apart. It is causal: y(t) reads
--- no later step, and the (k - 1) d steps before a window are its state, so that
--- sequences may be cut anywhere (van den Oord et al. 2016). With `causal = false`
--- the kernel is centred on t, as PyTorch's padding = "same" has it; that reads
--- ahead, so there is no state, and whole sequences alone. Before the beginning and
--- behind the end of a row, or of a piece of it, there are zeros.
---
--- Parameters are those of PyTorch's Conv1d: weight (O, I / groups, k), bias (O).

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"
local scope = require "saros.nn.scope"
local states = require "saros.nn.state"
local steps = require "saros.nn.steps"

---@class saros.nn.Conv1d: saros.nn.Module
---@field weight saros.Tensor  (O, I / groups, k)
---@field bias saros.Tensor?  (O)
---@field o table  the options
---@field past integer  (k - 1) d: the steps of its state
local Conv1d = module.class "conv1d"
Conv1d.hides_padding = true

-- --- The product ------------------------------------------------------------------------

--- The weights of some outputs as a matrix for windows: (O, k I / groups).
local function matrix(weight)
  return weight:transpose(2, 3):reshape(weight:size(1), -1)
end

-- The matrices of frozen copies.
local kept = setmetatable({}, { __mode = "k" })

--- The weights as a matrix, which stays the same tensor in a frozen copy.
local function matrix_of(self)
  if not self.frozen_as or scope.tracer then
    return matrix(self.weight)
  end
  kept[self] = kept[self] or core.frozen(matrix(self.weight))
  return kept[self]
end

--- True if each feature has its own weights and makes one output.
local function is_depthwise(o)
  return o.groups == o.input and o.output == o.input
end

--- Each feature with its own weights: (T, B, k F) -> (T, B, F).
local function by_feature(self, windows)
  local k, F = self.o.kernel, self.o.input
  local parts = windows:reshape(windows:size(1), windows:size(2), k, F)
  return (parts * self.weight:reshape(F, k):transpose()):sum(3)
end

--- Each group of features for its share of the outputs.
local function by_group(self, windows)
  local k, F, groups, outputs = self.o.kernel, self.o.input, self.o.groups, {}
  local T, B, size, share = windows:size(1), windows:size(2), F // groups, self.o.output // groups
  local parts = windows:reshape(T, B, k, F)
  for group = 1, groups do
    local own = parts:slice(4, (group - 1) * size + 1, group * size):reshape(T, B, k * size)
    outputs[group] = core.linear(own, matrix(self.weight:slice(1, (group - 1) * share + 1, group * share)))
  end
  return core.concatenate(outputs, 3)
end

--- y of windows (T, B, k F).
local function product(self, windows)
  local o = self.o
  if o.groups == 1 then
    return core.linear(windows, matrix_of(self), self.bias)
  end
  local y = (is_depthwise(o) and by_feature or by_group)(self, windows)
  return self.bias and y + self.bias or y
end

-- --- Forward ---------------------------------------------------------------------------

local function check_input(self, x, state)
  local o = self.o
  if not options.tensor.accept(x) or x:rank() ~= 3 or x:size(3) ~= o.input then
    options.fail(("conv1d: expected x of shape (T, B, %d), got %s"):format(o.input, options.describe(x)))
  elseif state ~= nil and not self.stateful then
    options.fail(("conv1d: expected no state, as %s, got one; call it with whole sequences"):format(self:whole()))
  end
  local memory = type(state) == "table" and state[1] or state
  if state ~= nil and not options.has_shape(memory, x:size(2), self.past * o.input) then
    options.fail(("conv1d: expected a state { memory }, of shape (%d, %d), got %s"):format(
      x:size(2), self.past * o.input, options.describe(memory)))
  end
end

--- Why there is no state: for messages.
function Conv1d:whole()
  local o = self.o
  return not o.causal and "a kernel that is not causal reads ahead"
    or o.stride > 1 and ("a stride of %d drops steps"):format(o.stride)
    or "a kernel of one step has none"
end

local function every(x, stride)
  return stride > 1 and x:slice(1, 1, nil, stride) or x
end

--- The steps that are left of those that a stride thins out: for what reads the
--- output. Members of a chain are told by the chain.
---@param given saros.nn.StepOptions?
---@return saros.nn.StepOptions?
function Conv1d:steps_after(given)
  local stride = self.o.stride
  if not given or stride == 1 then
    return given
  elseif given.reset then
    options.fail(("conv1d: expected rows of one piece each with a stride of %d, got reset"):format(stride))
  end
  local lengths
  for row, length in ipairs(given.lengths or {}) do
    lengths = lengths or {}
    lengths[row] = (length + stride - 1) // stride
  end
  return { lengths = lengths, mask = given.mask and every(given.mask, stride) }
end

--- What core.window is asked for; core.depthwise without the kernel.
local function window_options(self, walk, kernel)
  local o = self.o
  return {
    kernel = kernel, dilation = o.dilation, ahead = o.causal and 0 or self.past - self.past // 2,
    mask = walk.mask, reset = walk.reset,
  }
end

--- With a stride s, y holds steps 1, 1 + s, ...: ceil(T / s) of them.
---@param x saros.Tensor  (T, B, I)
---@param state? saros.nn.State  { memory (B, (k - 1) d I) }: the steps before, oldest first
---@param given? saros.nn.StepOptions
---@return saros.Tensor y  (T, B, O); 0 behind the ends of rows
---@return saros.nn.State? state  nil unless it is causal, of more than one step, with a stride of 1
function Conv1d:forward(x, state, given)
  check_input(self, x, state)
  local walk = options.about(self.kind, steps.of, given, x) or {}
  self:steps_after(given)
  local memory = type(state) == "table" and state[1] or state
  if is_depthwise(self.o) and self.o.stride == 1 then
    local weight = self.weight:reshape(self.o.input, self.o.kernel)
    local y, last = core.depthwise(x, weight, self.bias, memory, window_options(self, walk))
    return y, self.stateful and states.new { last } or nil
  end
  local windows <close>, last = core.window(x, memory, window_options(self, walk, self.o.kernel))
  local y = product(self, every(windows, self.o.stride))
  return steps.hide(y, walk.mask and every(walk.mask, self.o.stride)), self.stateful and states.new { last } or nil
end

--- A window node, then the product.
function Conv1d:trace(t, x, state)
  local o = self.o
  if not o.causal or o.stride > 1 then
    t:refuse(("nn.conv1d: %s"):format(self:whole()))
  end
  check_input(self, x, state)
  if self.past == 0 then
    return product(self, x)
  end
  local memory = type(state) == "table" and state[1] or state
  t:titles({ memory }, { "memory" })
  local windows, last = t:quietly(core.window, x, memory, window_options(self, {}, o.kernel))
  t:bind(windows, t:emit("window", { x },
    { width = o.kernel * o.input, dilation = o.dilation, states = { { memory, last } } }))
  return product(self, windows), states.new { last }
end

function Conv1d:describe()
  local o = self.o
  return ("conv1d %d -> %d, %d step%s%s%s%s%s"):format(o.input, o.output, o.kernel, o.kernel == 1 and "" or "s",
    o.dilation > 1 and (", %d apart"):format(o.dilation) or "", o.groups > 1 and (", %d groups"):format(o.groups) or "",
    o.stride > 1 and (", every %d"):format(o.stride) or "", o.causal and "" or ", centred")
end

-- --- Building ------------------------------------------------------------------------------

--- Uniform within a bound, or by the fans of a kernel.
local function filler(bound, fan_in, fan_out)
  return function(tensor, generator, weights)
    local limit = weights == "default" and bound or math.sqrt(6 / (fan_in + fan_out))
    generator:fill_uniform(tensor, -limit, limit)
  end
end

local check = options.declare("nn.conv1d", {
  { "input", options.size },
  { "output", options.size },
  { "kernel", options.size },
  { "stride", options.size, 1 },
  { "dilation", options.size, 1 },
  { "groups", options.size, 1 },
  { "causal", options.boolean, true },
  { "bias", options.boolean, true },
  { "batch_first", options.boolean, false },
}, 2)

---@class saros.nn.Conv1dOptions
---@field input integer  I
---@field output integer  O
---@field kernel integer  k: steps that it reads
---@field stride? integer  of the output, every how many steps are kept (1)
---@field dilation? integer  d: steps from one that it reads to the next (1)
---@field groups? integer  of features, each of which makes its share of the outputs; divides I and O (1)
---@field causal? boolean  reads no later step; otherwise the kernel is centred (true)
---@field bias? boolean  (true)
---@field batch_first? boolean  x and y are (B, T, ...) (false)

--- `nn.conv1d { 64, 64, kernel = 4 }`
---@param given saros.nn.Conv1dOptions
---@return saros.nn.Conv1d
local function conv1d(given)
  local o = check(given)
  if o.input % o.groups ~= 0 or o.output % o.groups ~= 0 then
    options.fail(("nn.conv1d: expected groups that divide input = %d and output = %d, got %d"):format(
      o.input, o.output, o.groups))
  end
  local self, fan_in = Conv1d.new(), o.kernel * o.input // o.groups
  self.o, self.past = o, (o.kernel - 1) * o.dilation
  self.batch_first = o.batch_first
  self.stateful = o.causal and o.stride == 1 and o.kernel > 1
  self.reads_ahead = not o.causal
  local bound = 1 / math.sqrt(fan_in)
  self.weight = self:add_parameter("weight", { o.output, o.input // o.groups, o.kernel },
    filler(bound, fan_in, o.kernel * o.output // o.groups))
  if o.bias then
    self.bias = self:add_parameter("bias", { o.output }, initialize.bias(bound))
  end
  return self
end

return conv1d
