--- Dropout: while a training tape is open, each element is 0 with probability
--- p and the others grow to keep the mean (Srivastava et al. 2014).

local core = require "saros.core"
local options = require "saros.options"
local module = require "saros.nn.module"

local format = core.format

---@class saros.nn.Dropout: saros.nn.Module
---@field p number
---@field variational boolean
---@field generator saros.Generator
local Dropout = module.class "dropout"
Dropout.keeps_finite = true

local check = options.declare("nn.dropout", {
  { "p", options.fraction },
  { "variational", options.boolean, false },
}, 1)

---@param x saros.Tensor  any shape; (T, B, F) if variational
---@return saros.Tensor  of the same shape
function Dropout:forward(x)
  if not self.variational then
    return core.dropout(x, self.p, self.generator)
  elseif x:rank() ~= 3 then
    options.fail("dropout: expected x of shape (T, B, F), got " .. options.describe(x))
  end
  return x * core.dropout(core.ones(1, x:size(2), x:size(3)), self.p, self.generator)
end

function Dropout:describe()
  return format("%sdropout %g", self.variational and "variational " or "", self.p)
end

--- `nn.dropout { 0.5 }`; variational: the same features at all steps of a
--- sequence (Gal and Ghahramani 2016).
---@param given { p: number, variational?: boolean }
---@return saros.nn.Dropout
local function dropout(given)
  local o = check(given)
  local self = Dropout.new()
  self.p, self.variational = o.p, o.variational
  self.generator = self:add_generator "generator"
  return self
end

return dropout
