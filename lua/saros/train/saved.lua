--- A copy of a model's weights and of its optimizer's memory, in tensors that are
--- made once.

---@class saros.train.Saved
---@field parameters saros.Tensor[]
---@field optimizer saros.optim.Optimizer
---@field weights saros.Tensor[]  copies of the parameters
---@field moments table<string, saros.Tensor>  copies of the optimizer's tensors
---@field numbers table  of the optimizer
local Saved = {}
Saved.__index = Saved

--- Copy what there is now.
---@return saros.train.Saved self
function Saved:take()
  for position, parameter in ipairs(self.parameters) do
    self.weights[position]:assign(parameter)
  end
  local moments, numbers = self.optimizer:state()
  for name, tensor in pairs(moments) do
    self.moments[name]:assign(tensor)
  end
  self.numbers = numbers
  return self
end

--- Bring back what was copied.
function Saved:give()
  for position, parameter in ipairs(self.parameters) do
    parameter:assign(self.weights[position])
  end
  self.optimizer:restore(self.moments, self.numbers)
end

local saved = {}

---@param parameters saros.nn.Parameters
---@param optimizer saros.optim.Optimizer
---@return saros.train.Saved
function saved.new(parameters, optimizer)
  local self = setmetatable({ parameters = parameters, optimizer = optimizer, weights = {}, moments = {} }, Saved)
  for position, parameter in ipairs(parameters) do
    self.weights[position] = parameter:clone()
  end
  for name, tensor in pairs((optimizer:state())) do
    self.moments[name] = tensor:clone()
  end
  return self:take()
end

return saved
