--- A rectifier whose slope below 0 is learned (He et al. 2015): max(x, 0) + a min(x, 0),
--- with one slope for each feature, or one for all.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"

---@class saros.nn.Prelu: saros.nn.Module
---@field weight saros.Tensor  (F) the slopes, or (1)
local Prelu = module.class "prelu"
Prelu.keeps_finite = true

local check = options.declare("nn.prelu", {
  { "size", options.size, 1 },
  { "slope", options.number, 0.25 },
}, 1)

---@param x saros.Tensor  (..., F)
---@return saros.Tensor  of the same shape
function Prelu:forward(x)
  return core.maximum(x, 0) + self.weight * core.minimum(x, 0)
end

function Prelu:describe()
  return ("prelu %d"):format(self.weight:size(1))
end

--- `nn.prelu { 64 }`
---@param given? { size?: integer, slope?: number }  features, 1: one slope for all (1); slopes at the beginning (0.25)
---@return saros.nn.Prelu
local function prelu(given)
  local o = check(given)
  local self = Prelu.new()
  self.weight = self:add_parameter("weight", { o.size }, initialize.constant(o.slope))
  return self
end

return prelu
