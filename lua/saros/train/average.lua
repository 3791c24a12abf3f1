--- An exponential moving average of a model's weights (Polyak and Juditsky
--- 1992), which is often better than the weights themselves. It is corrected for its
--- beginning in two ways. The decay of update n is
---
---     d_n = min(decay, (1 + n) / (10 + n))
---
--- so that after few updates it is an average of the last tenth of them rather than of
--- all (as ExponentialMovingAverage of TensorFlow has it). And what the weights were
--- before the first update has no part in it: the sum of weights w_n times their factors
--- is divided by the sum of the factors, as in Adam (Kingma and Ba 2015). That quotient
--- is what is kept; an update moves it towards the weights by
---
---     (1 - d_n) / (1 - d_1 d_2 ... d_n)   of the way, which is 1 for n = 1.

local undisturbed = require "saros.train.undisturbed"

---@class saros.train.Average
---@field decay number
---@field parameters table<string, saros.Tensor>
---@field tensors table<string, saros.Tensor>  the averages
---@field progress { count: integer, before: number }  updates so far, n, and the product of their decays
local Average = {}
Average.__index = Average
Average.__name = "saros.train.Average"

local function beginning()
  return { count = 0, before = 1 }
end

--- The weights have changed. No tape may be open.
function Average:update()
  local progress, count = self.progress, self.progress.count + 1
  local decay = math.min(self.decay, (1 + count) / (10 + count))
  progress.count, progress.before = count, progress.before * decay
  local share = (1 - decay) / (1 - progress.before)
  for name, tensor in pairs(self.tensors) do
    local change <close> = self.parameters[name] - tensor
    tensor:add_scaled(share, change)
  end
end

--- Go on from the averages of a checkpoint; without any, the weights as they are now
--- are the beginning.
---@param tensors table<string, saros.Tensor>
---@param progress? { count: integer, before: number }
function Average:restore(tensors, progress)
  self.progress = progress or beginning()
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
  return setmetatable({ decay = decay, parameters = parameters, tensors = tensors,
    progress = beginning() }, Average)
end

return average
