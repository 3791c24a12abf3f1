--- The feed-forward layer: y = x W^T + b, over the last axis.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"

---@class saros.nn.Linear: saros.nn.Module
---@field weight saros.Tensor  (O, I)
---@field bias saros.Tensor?  (O)
local Linear = module.class "linear"
Linear.keeps_finite = true

local check = options.declare("nn.linear", {
  { "input", options.size },
  { "output", options.size },
  { "bias", options.boolean, true },
}, 2)

---@param x saros.Tensor  (..., I)
---@return saros.Tensor  (..., O)
function Linear:forward(x)
  return core.linear(x, self.weight, self.bias)
end

function Linear:describe()
  return ("linear %d -> %d"):format(self.weight:size(2), self.weight:size(1))
end

--- `nn.linear { 64, 10 }`: from 64 features to 10.
---@param given { input: integer, output: integer, bias?: boolean }
---@return saros.nn.Linear
local function linear(given)
  local o = check(given)
  local self = Linear.new()
  local bound = 1 / math.sqrt(o.input)
  self.weight = self:add_parameter("weight", { o.output, o.input }, initialize.matrix(bound))
  if o.bias then
    self.bias = self:add_parameter("bias", { o.output }, initialize.bias(bound))
  end
  return self
end

return linear
