--- A chain whose input is added to its output: x + f(x). Deep stacks are made of
--- such blocks, each of which begins with a norm:
---
---     nn.chain {
---       nn.residual { nn.layer_norm { H }, nn.mingru { H, H } },
---       nn.residual { nn.layer_norm { H }, nn.linear { H, 4 * H }, saros.relu, nn.linear { 4 * H, H } },
---     }

local options = require "saros.options"
local chain = require "saros.nn.chain"
local module = require "saros.nn.module"
local steps = require "saros.nn.steps"

---@class saros.nn.Residual: saros.nn.Module
---@field inner saros.nn.Chain
local Residual = module.class "residual"
Residual.hides_padding = true

---@param x saros.Tensor  what the first member takes and the last one gives
---@param state? saros.nn.State
---@param given? saros.nn.StepOptions
---@return saros.Tensor y  0 behind the ends of rows
---@return saros.nn.State? state  nil if no member is stateful
function Residual:forward(x, state, given)
  local y, last = self.inner(x, state, given)
  local _ <close> = y ~= x and y or nil -- the sum is all that is needed
  if y:rank() ~= x:rank() or y:size(-1) ~= x:size(-1) then
    options.fail(("nn.residual: expected members that keep the size of their input, got %s from %s"):format(
      options.describe(y), options.describe(x)))
  end
  local walk = given and options.about(self.kind, steps.of, given, x)
  if not (walk and walk.mask) then
    return y + x, last
  end
  local sum <close> = y + x
  return steps.hide(sum, walk.mask), last
end

function Residual:describe()
  return "x + " .. self.inner:describe()
end

---@param members (saros.nn.Module|fun(x: saros.Tensor): saros.Tensor)[]  as of nn.chain
---@return saros.nn.Residual
local function residual(members)
  local self = Residual.new()
  self.inner = self:add_member("inner", chain(members, "nn.residual"))
  self.stateful = self.inner.stateful
  self.batch_first, self.inner.batch_first = self.inner.batch_first, false
  return self
end

return residual
