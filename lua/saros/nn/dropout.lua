--- Dropout: while a training tape is open, each element is 0 with probability
--- p and the others grow to keep the mean (Srivastava et al. 2014).

local core = require "saros.core"
local options = require "saros.options"
local module = require "saros.nn.module"

---@class saros.nn.Dropout: saros.nn.Module
---@field p number
---@field generator saros.Generator
local Dropout = module.class "dropout"

local check = options.declare("nn.dropout", { { "p", options.fraction } }, 1)

---@param x saros.Tensor  any shape
---@return saros.Tensor  of the same shape
function Dropout:forward(x)
  return core.dropout(x, self.p, self.generator)
end

function Dropout:describe()
  return ("dropout %g"):format(self.p)
end

--- `nn.dropout { 0.5 }`
---@param given { p: number }
---@return saros.nn.Dropout
local function dropout(given)
  local o = check(given)
  local self = Dropout.new()
  self.p = o.p
  self.generator = self:add_generator "generator"
  return self
end

return dropout
