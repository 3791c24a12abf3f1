--- A cell of one's own over a whole sequence.

local core = require "saros.core"
local options = require "saros.options"

--- Run a step function over time: y(t), h(t) = cell(x(t), h(t-1)). A cell that
--- returns one value outputs its state, as the textbook's does:
---
---     local function cell(x, h) return saros.tanh((x .. h):matmul(W) + b) end
---     local y, h = nn.unroll(cell, x, saros.zeros(B, H))
---@param cell fun(x: saros.Tensor, state: saros.nn.State): saros.Tensor, saros.nn.State
---@param x saros.Tensor  (T, B, I)
---@param state saros.nn.State  before the first step
---@return saros.Tensor y  (T, B, H)
---@return saros.nn.State state  after the last step
local function unroll(cell, x, state)
  if type(x) ~= "userdata" or x:rank() < 2 or #x == 0 then
    error("nn.unroll: expected x to be a tensor (T, B, I), got " .. options.describe(x), 2)
  end
  local outputs = {}
  for t = 1, #x do
    local y, next_state = cell(x[t], state)
    outputs[t], state = y, next_state == nil and y or next_state
  end
  return core.stack(outputs), state
end

return unroll
