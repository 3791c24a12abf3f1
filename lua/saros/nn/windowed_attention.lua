--- Attention over the last W steps of a sequence: each step looks back at what
--- came before it, and at itself, without passing it through a recurrence.
---
---     q, k, v = x W^T + b, F features each, in equal parts for the heads
---     score(t, s) = q(t) . k(s) / sqrt(F / heads) + distance[t - s]     t - W < s <= t
---     y(t) = W_o (sum over s of softmax(score(t, .))(s) v(s)) + b_o
---
--- It is stateful as a recurrent layer is: its state, the keys and values of the
--- last W - 1 steps, is as large after a million steps as after W. Sequences may
--- therefore be cut anywhere. Long ones are worked through in blocks of W steps,
--- so that a step costs the same however long the sequence is.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local linear = require "saros.nn.linear"
local module = require "saros.nn.module"
local states = require "saros.nn.state"
local steps = require "saros.nn.steps"

---@class saros.nn.WindowedAttention: saros.nn.Module
---@field in_proj_weight saros.Tensor  (3 F, F): q, k and v, as PyTorch's MultiheadAttention has them
---@field in_proj_bias saros.Tensor  (3 F)
---@field out_proj saros.nn.Linear
---@field distance saros.Tensor  (heads, W): what is added to a score, by the steps between, from W - 1 to 0
---@field o table  the options
local WindowedAttention = module.class "windowed_attention"
WindowedAttention.stateful = true
WindowedAttention.hides_padding = true

--- What the steps of a window may see of each other.
---@class saros.nn.Sight
---@field exists saros.Tensor  (B, S): is there a step? Before the beginning there is none
---@field era saros.Tensor?  (B, S): how often the row has started again

-- --- State --------------------------------------------------------------------------

--- The state before the first step: there is nothing to look back at.
local function nothing(self, B)
  local past, F = self.o.window - 1, self.o.size
  return { core.zeros(B, past * 2 * F), core.zeros(B, past) }
end

local function check_state(self, state, B)
  for n, tensor in ipairs(nothing(self, B)) do
    local expected, given = options.describe(tensor), type(state) == "table" and state[n] or state
    if options.describe(given) ~= expected then
      options.fail(("windowed_attention: expected a state { memory, exists }, with %s at [%d], got %s"):format(
        expected, n, options.describe(given)))
    end
  end
end

--- The last W - 1 of the steps (B, S, ...) that count.
local function last_of(self, x, lengths)
  local past = self.o.window - 1
  if not lengths then
    return x:slice(2, x:size(2) - past + 1)
  end
  local rows = {}
  for row, length in ipairs(lengths) do
    rows[row] = x:slice(1, row, row):slice(2, length + 1, length + past)
  end
  return core.concatenate(rows, 1)
end

--- The state after the last step.
local function state_after(self, memory, sight, lengths)
  local exists = last_of(self, sight.exists, lengths)
  if sight.era then
    local era = last_of(self, sight.era, lengths)
    exists = exists * era:eq(era:slice(2, -1))
  end
  local kept = last_of(self, memory, lengths)
  return states.new { kept:contiguous():reshape(kept:size(1), -1), exists:contiguous() }
end

-- --- A block --------------------------------------------------------------------------

--- (B, S, F) as (B, heads, S, F / heads).
local function by_heads(self, x)
  local heads = self.o.heads
  return x:reshape(x:size(1), x:size(2), heads, x:size(3) // heads):transpose(2, 3)
end

--- What is added to the scores of n steps for the n + W - 1 that they may see:
--- (heads, n, n + W - 1), where every line is the one above, one place further:
---
---     d2 d1 d0 .  .        d2 d1 d0 .  . | . d2 d1 d0 . | .  . d2 d1 d0
---     .  d2 d1 d0 .   is   lines one longer, (d2 d1 d0 . . .), read on and on
---     .  .  d2 d1 d0
local function distances(self, n)
  local heads, W = self.o.heads, self.o.window
  local line = self.distance .. core.full({ heads, n }, steps.FAR_BELOW)
  local lines = line:reshape(heads, 1, W + n) + core.zeros(n, 1)
  return lines:reshape(heads, n * (W + n)):slice(2, 1, n * (W + n - 1)):reshape(heads, n, W + n - 1)
end

--- What is added to the scores because steps are not there, or before the row
--- started again: (B, 1, 1, S) or (B, 1, n, S).
local function hidden(self, sight, first, last)
  local W, B = self.o.window, sight.exists:size(1)
  local seen = sight.exists:slice(2, first, last + W - 1):reshape(B, 1, 1, -1)
  if sight.era then
    local era = sight.era
    seen = seen * era:slice(2, first, last + W - 1):reshape(B, 1, 1, -1)
      :eq(era:slice(2, first + W - 1, last + W - 1):reshape(B, 1, -1, 1))
  end
  return steps.far_below(seen)
end

--- Steps first..last, (B, n, F), of queries (B, T, F) and the memory of W - 1
--- steps before and T of the window, (B, W - 1 + T, 2 F).
local function look_back(self, queries, memory, sight, first, last)
  local F, n = self.o.size, last - first + 1
  local seen = memory:slice(2, first, last + self.o.window - 1)
  local q = by_heads(self, queries:slice(2, first, last) * (F // self.o.heads) ^ -0.5)
  local k = by_heads(self, seen:slice(3, 1, F))
  local v = by_heads(self, seen:slice(3, F + 1))
  local scores = q:matmul(k:transpose()) + distances(self, n) + hidden(self, sight, first, last)
  return core.softmax(scores):matmul(v):transpose(2, 3):reshape(q:size(1), n, F)
end

-- --- Forward ---------------------------------------------------------------------------

--- Sums over the steps up to each one, (B, T): by doubling the stretch that each
--- step stands for.
local function running_sums(x)
  local T, stretch = x:size(2), 1
  while stretch < T do
    x = x + (core.zeros(x:size(1), stretch) .. x:slice(2, 1, T - stretch))
    stretch = 2 * stretch
  end
  return x
end

local function sight_of(state, reset, T, B)
  local sight = { exists = state[2] .. core.ones(B, T) }
  if reset then
    sight.era = core.zeros(state[2]:shape()) .. running_sums(reset:transpose())
  end
  return sight
end

local function check_input(self, x)
  if not options.tensor.accept(x) or x:rank() ~= 3 or x:size(3) ~= self.o.size or #x == 0 then
    options.fail(("windowed_attention: expected x of shape (T, B, %d), got %s"):format(
      self.o.size, options.describe(x)))
  end
end

--- Padded steps have outputs of 0 and are never seen; a mask may have them behind
--- the rows' ends alone.
---@param x saros.Tensor  (T, B, F)
---@param state? saros.nn.State  { memory (B, (W - 1) 2 F), exists (B, W - 1) }
---@param given? saros.nn.StepOptions
---@return saros.Tensor y  (T, B, F)
---@return saros.nn.State state
function WindowedAttention:forward(x, state, given)
  check_input(self, x)
  local walk = options.about(self.kind, steps.of, given, x) or {}
  local mask = walk.mask
  local lengths = mask and (given.lengths or options.about(self.kind, steps.lengths, mask))
  x = steps.hide(x, mask)
  local T, B, F, W = x:size(1), x:size(2), self.o.size, self.o.window
  if state then
    check_state(self, state, B)
  end
  state = state or nothing(self, B)
  local projected = core.linear(x, self.in_proj_weight, self.in_proj_bias):transpose(1, 2)
  local queries, new = projected:slice(3, 1, F), projected:slice(3, F + 1)
  local memory = core.concatenate({ state[1]:reshape(B, W - 1, 2 * F), new }, 2)
  local reset = walk.reset and steps.hide(walk.reset, mask)
  local sight, blocks = sight_of(state, reset, T, B), {}
  for first = 1, T, W do
    blocks[#blocks + 1] = look_back(self, queries, memory, sight, first, math.min(first + W - 1, T))
  end
  local y = self.out_proj(core.concatenate(blocks, 2):transpose(1, 2))
  y = self.o.residual and y + x or y
  return steps.hide(y, mask), state_after(self, memory, sight, lengths)
end

--- An attention node between two products.
function WindowedAttention:trace(t, x, state)
  local y, after = t:quietly(self.forward, self, x, state)
  t:titles(state, { "memory", "exists" })
  local o, states_of = self.o, {}
  for n = 1, 2 do
    states_of[n] = { state and state[n], after[n] }
  end
  local projected = t:emit("linear", { x, self.in_proj_weight, self.in_proj_bias }, { width = 3 * o.size })
  local operands = { [4] = self.distance }
  for n = 1, 3 do -- queries, keys, values
    operands[n] = t:emit("slice", { projected },
      { outer = 1, n = 3, inner = o.size, from = n - 1, count = 1, width = o.size })
  end
  local read = t:emit("attention", operands,
    { heads = o.heads, window = o.window, width = o.size, states = states_of })
  local value = t:emit("linear", { read, self.out_proj.weight, self.out_proj.bias }, { width = o.size })
  t:bind(y, o.residual and t:emit("add", { value, x }, { width = o.size }) or value)
  return y, after
end

--- Of a step, but for its members: distances are added, keys and values multiplied.
function WindowedAttention:multiply_adds()
  return self.in_proj_weight:count() + 2 * self.o.window * self.o.size
end

function WindowedAttention:describe()
  local o = self.o
  return ("windowed attention %d, over %d steps, %d head%s"):format(
    o.size, o.window, o.heads, o.heads == 1 and "" or "s")
end

local check = options.declare("nn.windowed_attention", {
  { "size", options.size },
  { "window", options.at_least(2) },
  { "heads", options.size, 1 },
  { "residual", options.boolean, false },
  { "batch_first", options.boolean, false },
}, 2)

---@class saros.nn.WindowedAttentionOptions
---@field size integer  F: features of x and y
---@field window integer  W: the steps that each one sees, itself included
---@field heads? integer  that look at F / heads features each (1)
---@field residual? boolean  add x to y (false)
---@field batch_first? boolean  x and y are (B, T, F) (false)

--- `nn.windowed_attention { 128, 64, heads = 4 }`
---@param given saros.nn.WindowedAttentionOptions
---@return saros.nn.WindowedAttention
local function windowed_attention(given)
  local o = check(given)
  if o.size % o.heads ~= 0 then
    options.fail(("nn.windowed_attention: expected heads that divide size = %d, got %d"):format(o.size, o.heads))
  end
  local self, bound = WindowedAttention.new(), 1 / math.sqrt(o.size)
  self.o, self.batch_first = o, o.batch_first
  self.in_proj_weight = self:add_parameter("in_proj_weight", { 3 * o.size, o.size },
    initialize.gates(bound, 3, false))
  self.in_proj_bias = self:add_parameter("in_proj_bias", { 3 * o.size }, initialize.constant(0))
  self.distance = self:add_parameter("distance", { o.heads, o.window }, initialize.constant(0))
  self.out_proj = self:add_member("out_proj", linear { o.size, o.size })
  return self
end

return windowed_attention
