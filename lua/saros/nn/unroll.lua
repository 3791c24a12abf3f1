--- A cell of one's own over a whole sequence.

local core = require "saros.core"
local options = require "saros.options"
local tree = require "saros.nn.state"

--- w new + (1 - w) old, leaf by leaf; w (B, 1) or (B, H).
local function blend(new, old, w)
  if type(new) ~= "table" then
    return new * w + old * (1 - w)
  end
  local result = {}
  for key, branch in pairs(new) do
    result[key] = blend(branch, old[key], w)
  end
  return result
end

--- One step, with what the fused layers do around theirs: rows that begin anew,
--- padding that leaves the state as it is.
local function step(cell, x, state, t, steps)
  if steps.keep then
    local keep = steps.keep[t]:reshape(-1, 1)
    state = tree.map(state, function(h)
      return h * keep
    end)
  end
  local y, new = cell(x[t], state)
  if options.tensor.accept(y) == nil then
    options.fail(("nn.unroll: expected the cell to return y and its state (or just the state, "
      .. "if that is y), got %s in step %d"):format(options.describe(y), t))
  elseif new == nil then
    new = y
  end
  if steps.mask then
    local mask = steps.mask[t]:reshape(-1, 1)
    y, new = y * mask, blend(new, state, mask)
  end
  return y, new
end

--- Run a step function over time: y(t), h(t) = cell(x(t), h(t-1)). A cell that
--- returns one value outputs its state, as the textbook's does:
---
---     local function cell(x, h) return saros.tanh((x .. h):matmul(W) + b) end
---     local y, h = nn.unroll(cell, x, saros.zeros(B, H))
---@param cell fun(x: saros.Tensor, state: saros.nn.State): saros.Tensor, saros.nn.State
---@param x saros.Tensor  (T, B, I)
---@param state saros.nn.State  before the first step
---@param steps? saros.nn.Steps  mask, keep and reverse count; the rest is the cell's affair
---@return saros.Tensor y  (T, B, H)
---@return saros.nn.State state  after the last step
local function unroll(cell, x, state, steps)
  if type(x) ~= "userdata" or x:rank() < 2 or #x == 0 then
    options.fail("nn.unroll: expected x to be a tensor (T, B, I), got " .. options.describe(x))
  end
  steps = steps or {}
  local T, outputs = #x, {}
  for n = 1, T do
    local t = steps.reverse and T + 1 - n or n
    outputs[t], state = step(cell, x, state, t, steps)
  end
  return core.stack(outputs), state
end

return unroll
