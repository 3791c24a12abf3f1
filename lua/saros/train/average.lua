--- An exponential moving average of a model's weights (Polyak and Juditsky
--- 1992), which is often better than the weights themselves.

local undisturbed = require "saros.train.undisturbed"

---@class saros.train.Average
---@field decay number
---@field parameters table<string, saros.Tensor>
---@field tensors table<string, saros.Tensor>  the averages
local Average = {}
Average.__index = Average
Average.__name = "saros.train.Average"

--- The weights have changed. No tape may be open.
function Average:update()
  for name, tensor in pairs(self.tensors) do
    local change <close> = self.parameters[name] - tensor
    tensor:add_scaled(1 - self.decay, change)
  end
end

--- Go on from the averages of a checkpoint.
---@param tensors table<string, saros.Tensor>
function Average:restore(tensors)
  for name, tensor in pairs(self.tensors) do
    tensor:assign(tensors[name] or self.parameters[name])
  end
end

local function exchange(self)
  for name, tensor in pairs(self.tensors) do
    local parameter = self.parameters[name]
    local kept <close> = parameter:clone()
    parameter:assign(tensor)
    tensor:assign(kept)
  end
end

local Exchanged = {
  __close = function(swap)
    undisturbed(exchange, swap.average)
  end,
}

--- The model has the averages as its weights until the end of the block:
---
---     local _ <close> = average:in_model()
function Average:in_model()
  undisturbed(exchange, self)
  return setmetatable({ average = self }, Exchanged)
end

--- The model takes the averages as its weights.
function Average:finish()
  for name, tensor in pairs(self.tensors) do
    self.parameters[name]:assign(tensor)
  end
end

---@param model saros.nn.Module
---@param decay number  in [0, 1): so much of the average stays at each update
---@return saros.train.Average
local function average(model, decay)
  local parameters, tensors, list = {}, {}, model:parameters()
  for position, parameter in ipairs(list) do
    local name = list.names[position]
    parameters[name] = parameter
    tensors[name] = parameter:detach():clone()
  end
  return setmetatable({ decay = decay, parameters = parameters, tensors = tensors }, Average)
end

return average
