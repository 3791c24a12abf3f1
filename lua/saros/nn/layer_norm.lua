--- Layer normalization over the last axis (Ba, Kiros and Hinton 2016).

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"

---@class saros.nn.LayerNorm: saros.nn.Module
---@field weight saros.Tensor  (F) the gain
---@field bias saros.Tensor  (F)
---@field epsilon number
local LayerNorm = module.class "layer_norm"
LayerNorm.keeps_finite = true

local check = options.declare("nn.layer_norm", {
  { "size", options.size },
  { "epsilon", options.positive, 1e-5 },
}, 1)

---@param x saros.Tensor  (..., F)
---@return saros.Tensor  of the same shape
function LayerNorm:forward(x)
  return core.layer_norm(x, self.weight, self.bias, self.epsilon)
end

function LayerNorm:describe()
  return ("layer_norm %d"):format(self.weight:size(1))
end

--- `nn.layer_norm { 128 }`
---@param given { size: integer, epsilon?: number }
---@return saros.nn.LayerNorm
local function layer_norm(given)
  local o = check(given)
  local self = LayerNorm.new()
  self.weight = self:add_parameter("weight", { o.size }, initialize.constant(1))
  self.bias = self:add_parameter("bias", { o.size }, initialize.constant(0))
  self.epsilon = o.epsilon
  return self
end

return layer_norm
