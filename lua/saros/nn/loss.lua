--- Losses, and what they mean.

local core = require "saros.core"

local loss = {}

--- The mean of -log softmax(logits)[target], in nats: see saros.cross_entropy.
loss.cross_entropy = core.cross_entropy

--- The mean of (x - target)^2: see saros.mse.
loss.mse = core.mse

--- Targets that are not aligned with the steps: see saros.ctc_loss; saros.ctc
--- turns the logits of a trained model into ids.
loss.ctc_loss = core.ctc_loss

--- How many equally likely symbols would be as surprising: e^nats.
---@param nats number
---@return number
function loss.perplexity(nats)
  return math.exp(nats)
end

--- The same loss in bits per symbol.
---@param nats number
---@return number
function loss.bits(nats)
  return nats / math.log(2)
end

return loss
