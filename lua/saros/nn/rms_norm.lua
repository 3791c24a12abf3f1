--- Normalization over the last axis by the root of the mean square (Zhang and Sennrich
--- 2019): x / sqrt(mean(x^2) + epsilon) * weight.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"

---@class saros.nn.RmsNorm: saros.nn.Module
---@field weight saros.Tensor  (F) the gain
---@field epsilon number
local RmsNorm = module.class "rms_norm"
RmsNorm.keeps_finite = true

local check = options.declare("nn.rms_norm", {
  { "size", options.size },
  { "epsilon", options.positive, 2.0 ^ -23 },
}, 1)

---@param x saros.Tensor  (..., F)
---@return saros.Tensor  of the same shape
function RmsNorm:forward(x)
  return core.rms_norm(x, self.weight, self.epsilon)
end

function RmsNorm:describe()
  return ("rms_norm %d"):format(self.weight:size(1))
end

--- `nn.rms_norm { 128 }`
---@param given { size: integer, epsilon?: number }  epsilon as in PyTorch: the distance of a float from 1 to the
---  next, 1.2e-7
---@return saros.nn.RmsNorm
local function rms_norm(given)
  local o = check(given)
  local self = RmsNorm.new()
  self.weight = self:add_parameter("weight", { o.size }, initialize.constant(1))
  self.epsilon = o.epsilon
  return self
end

return rms_norm
