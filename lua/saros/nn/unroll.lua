--- A cell of one's own over a whole sequence.

local core = require "saros.core"
local options = require "saros.options"
local lazy = require "saros.lazy"
local module = require "saros.nn.module"
local scope = require "saros.nn.scope"
local tree = require "saros.nn.state"

--- Rows of a state that are `new` where which (B) is 1, and `old` where it is 0,
--- leaf by leaf. What is not taken is not read.
local function choose(new, old, which, other)
  if type(new) ~= "table" then
    return core.mask_rows(new, which) + core.mask_rows(old, other)
  end
  local result = {}
  for key, branch in pairs(new) do
    result[key] = choose(branch, old[key], which, other)
  end
  return result
end

--- The state before a step at which some rows start again: from `first`, or zeros.
local function begin(state, first, keep)
  if first then
    return choose(state, first, keep, 1 - keep)
  end
  return tree.map(state, function(h)
    return core.mask_rows(h, keep)
  end)
end

--- One step, with what the fused layers do around theirs: rows that start again,
--- padding that leaves the state as it is.
local function step(cell, x, state, t, walk)
  if walk.keep then
    state = begin(state, walk.first, walk.keep[t])
  end
  local y, new = cell(x, state)
  if options.tensor.accept(y) == nil then
    local step_of = type(cell) == "function" and cell or cell.forward
    error(("%snn.unroll: expected the cell to return y and its state (or just the state, if that is y), got %s in "
      .. "step %d"):format(core.defined_at(step_of) or core.caller(), options.describe(y), t), 0)
  elseif new == nil then
    new = type(state) == "table" and { y } or y
  end
  if walk.mask then
    y, new = core.mask_rows(y, walk.mask[t]), choose(new, state, walk.mask[t], walk.padding[t])
  end
  return y, new
end

local late = lazy({}, { stepper = { "saros.nn.stepper" } })

local unroll = {}

--- Run a step function over T steps whose input is at(t). Padding of the input is
--- the caller's to hide.
---@param cell fun(x: any, state: saros.nn.State): saros.Tensor, saros.nn.State
---@param T integer
---@param at fun(t: integer): any
---@param state saros.nn.State
---@param steps saros.nn.Steps  mask, reset and reverse count
---@param first? saros.nn.State
---@return saros.Tensor y  (T, B, H)
---@return saros.nn.State state
function unroll.walk(cell, T, at, state, steps, first)
  local mask = steps.mask
  local walk = {
    mask = mask,
    padding = mask and 1 - mask,
    keep = steps.reset and core.keep(steps.reset, mask, steps.reverse),
    first = first,
  }
  local outputs = {}
  local _ <close> = scope.tracer and scope.tracer:each_step() or nil
  for n = 1, T do
    local t = steps.reverse and T + 1 - n or n
    outputs[t], state = step(cell, at(t), state, t, walk)
  end
  return core.stack(outputs), state
end

--- Run a step function over time: y(t), h(t) = cell(x(t), h(t-1)). A cell that
--- returns one value outputs its state, as the textbook's does:
---
---     local function cell(x, h) return saros.tanh((x .. h):matmul(W) + b) end
---     local y, h = nn.unroll(cell, x, saros.zeros(B, H))
---
--- A module whose step can be traced runs in the core, as cells of nn.recurrent do.
---@param cell saros.nn.Module|fun(x: saros.Tensor, state: saros.nn.State): saros.Tensor, saros.nn.State
---@param x saros.Tensor  (T, B, I)
---@param state saros.nn.State  before the first step
---@param steps? saros.nn.Steps  mask, reset and reverse count; the rest is the cell's affair
---@param first? saros.nn.State  where rows start again at a reset (zeros)
---@return saros.Tensor y  (T, B, H)
---@return saros.nn.State state  after the last step
function unroll.over(cell, x, state, steps, first)
  options.argument("nn.unroll", 1, options.callable, cell)
  if not options.tensor.accept(x) or x:rank() < 2 or #x == 0 then
    options.fail("nn.unroll: expected x to be a tensor (T, B, I), got " .. options.describe(x))
  end
  steps = steps or {}
  if module.is(cell) and not scope.tracer and not (steps.reset and first) then
    local y, last = late.stepper.run(cell, x, state, steps)
    if y then
      return y, last
    end
  end
  x = steps.mask and core.mask_rows(x, steps.mask) or x
  return unroll.walk(cell, #x, function(t) return x[t] end, state, steps, first)
end

return unroll
