--- Losses, and what they mean.

local core = require "saros.core"
local options = require "saros.options"
local steps = require "saros.nn.steps"

local loss = {}

--- The mean of -log softmax(logits)[target], in nats: see saros.cross_entropy.
loss.cross_entropy = core.cross_entropy

--- Means over elements: of squares, of absolute values, of squares that become
--- lines, of binary cross-entropies of logits, and of divergences: see saros.mse etc.
loss.mse, loss.l1, loss.huber, loss.bce, loss.kl = core.mse, core.l1, core.huber, core.bce, core.kl

--- Targets that are not aligned with the steps: in nats; saros.ctc
--- turns the logits of a trained model into ids.
loss.ctc_loss = core.ctc_loss

local function hides_all(window)
  local mask, targets = options.tensor.accept(window.mask), options.tensor.accept(window.targets)
  return mask and targets and targets:rank() > 1 and mask:eq(0):min():item() == 1
end

--- The window without its mask, and with targets that can be read.
local function uncover(window)
  local shown, targets = {}, window.targets
  for name, value in pairs(window) do
    shown[name] = value
  end
  shown.targets, shown.mask = steps.hide(targets, core.zeros(targets:size(1), targets:size(2))), nil
  return shown
end

--- Call a loss of a window. There is no mean where the mask hides every target: the
--- loss is 0 then, and the window leads to the state behind it.
local function of_visible(measure, model, window, state)
  if not hides_all(window) then
    return measure(model, window, state)
  end
  local cost, last, right, plain = measure(model, uncover(window), state)
  return cost * 0, last, right, plain and 0
end

local function measure_loss(model, window, state)
  if model.window_loss then
    return model:window_loss(window, state)
  end
  local logits
  logits, state = model(window.inputs, state, window.begins and { reset = window.begins })
  return core.cross_entropy(logits, window.targets, window.mask and { mask = window.mask }), state
end

local function measure_objective(model, window, state)
  return model:training_loss(window, state)
end

local function state_before(window, state)
  if window.reset == true then
    return nil
  end
  return state
end

--- The loss of a window of data, for training and evaluation. A `window_loss` of the
--- model takes precedence: it may save the memory of the logits, or have targets of
--- another kind.
---@param model saros.nn.Module  stateful
---@param window table  of `inputs` and `targets`, ids (T, B); maybe `begins` (T, B), 1 where the state
---  is reset, `mask` of the shape of the targets, 0 where one does not count, and `reset`, true: the state
---  does not continue in this window
---@param state? saros.nn.State
---@return saros.Tensor loss  of rank 0; 0 if the mask hides all targets
---@return saros.nn.State? state
---@return integer? right  of a model that chooses labels: how many are right
function loss.of_window(model, window, state)
  return of_visible(measure_loss, model, window, state_before(window, state))
end

--- What training minimises in a window of data: the model's `training_loss`, with class
--- weights, weights of samples or label smoothing, or else the loss of the window.
--- Figures are always of the plain loss.
---@param model saros.nn.Module
---@param window table
---@param state? saros.nn.State
---@return saros.Tensor objective  of rank 0; 0 if the mask hides all targets
---@return saros.nn.State? state
---@return integer? right
---@return number? plain  the loss of the window, where the objective is something else
function loss.to_learn(model, window, state)
  local measure = model.training_loss and measure_objective or measure_loss
  return of_visible(measure, model, window, state_before(window, state))
end

--- The weight of a window in an update from several: the sum over which its objective
--- is a mean.
---@param model saros.nn.Module
---@param window table
---@param answers number  the number of answers over which its plain loss is a mean
---@return number
function loss.weight(model, window, answers)
  return model.training_weight and model:training_weight(window) or answers
end

--- A cross-entropy to learn from, and the plain one.
---@param logits saros.Tensor  (S..., V)
---@param targets saros.Tensor  ids (S...)
---@param given saros.CrossEntropyOptions  of the objective
---@param plain? saros.CrossEntropyOptions
---@return saros.Tensor objective  of rank 0
---@return number plain
function loss.objective(logits, targets, given, plain)
  local known <close> = logits:detach()
  local cost <close> = core.cross_entropy(known, targets, plain)
  return core.cross_entropy(logits, targets, given), cost:item()
end

local any_number = options.kind("a number", function(value)
  return type(value) == "number" and value or nil
end)

--- How many equally likely symbols would be as surprising: e^nats.
---@param nats number
---@return number
function loss.perplexity(nats)
  options.argument("perplexity", 1, any_number, nats)
  return math.exp(nats)
end

--- The same loss in bits per symbol.
---@param nats number
---@return number
function loss.bits(nats)
  options.argument("bits", 1, any_number, nats)
  return nats / math.log(2)
end

return loss
