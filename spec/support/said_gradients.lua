--- Gradients of a model in each of its uses, by the names of parameters and inputs.

local said = require "spec.support.said"
local saros = require "saros"

local gradients = {}

--- Generators begin where those of another model of the kind begin.
local function seeded(model)
  for _, generator in pairs(model:generators()) do
    generator:seed(3)
  end
  return model
end

--- Gradients of a loss of what run() returns: of parameters, and of inputs under "of NAME".
---@param tensors table<string, saros.Tensor>
---@param inputs table<string, saros.Tensor>
---@param run fun(): saros.Tensor  the loss
local function of_loss(tensors, inputs, run)
  local tape <close>, made = saros.tape(), {}
  for _, tensor in pairs(tensors) do
    tensor:clear_gradient()
  end
  for _, x in pairs(inputs) do
    if x:dtype() == "real" then
      x:clear_gradient()
      tape:watch(x)
    end
  end
  tape:backward(run())
  for name, tensor in pairs(tensors) do
    made[name] = tensor:gradient() and tensor:gradient():clone()
  end
  for name, x in pairs(inputs) do
    made["of " .. name] = x:dtype() == "real" and x:gradient() and x:gradient():clone() or nil
  end
  return made
end

--- Of random sums of the outputs that run() returns, by name, (T, B, width).
function gradients.of(tensors, inputs, run)
  return of_loss(tensors, inputs, function()
    local sum = 0
    for name, y in pairs(run()) do
      sum = sum + (y * saros.generator(#name):normal(y:shape())):sum()
    end
    return sum
  end)
end

-- --- What a learner learns ----------------------------------------------------------------------------

--- What a model says, (T, B, width); a classifier of the last step, (B, labels).
local function told(model, inputs)
  if model.kind == "classifier" then
    return model(said.only(inputs))
  end
  return said.only((said.whole(model, inputs)))
end

--- Targets of the shape of y; ids are one for each row of it.
local function targets_of(model, inputs, shape)
  local generator = saros.generator(11)
  if model.kind ~= "classifier" and said.only(inputs):dtype() == "real" then
    return generator:normal(shape)
  end
  local ids, width, count = {}, table.remove(shape), 1
  for _, size in ipairs(shape) do
    count = count * size
  end
  for n = 1, count do
    ids[n] = generator:integer(width)
  end
  return saros.ids(ids):reshape(shape)
end

--- What a learner should learn from one window, in plain words.
---@return saros.Tensor targets, table<string, saros.Tensor> gradients
function gradients.of_window(model, inputs)
  local targets = targets_of(model, inputs, told(model, inputs):shape())
  return targets, of_loss(gradients.parameters(model), {}, function()
    seeded(model)
    return (targets:dtype() == "ids" and saros.cross_entropy or saros.mse)(told(model, inputs), targets)
  end)
end

--- The parameters by name, without statistics.
---@return table<string, saros.Tensor>
function gradients.parameters(model)
  local list, made = model:parameters(), {}
  for n, name in ipairs(list.names) do
    made[name] = list[n]
  end
  return made
end

--- A learner of one window of T steps, which subtracts gradients from the parameters; of
--- a forecaster's net, which is told what it should have said.
function gradients.learner(model, inputs)
  local net, x = model.kind == "forecaster" and model.net or model, select(2, next(inputs))
  return seeded(net):learner { streams = x:size(2), window = x:size(1), clip = 1e9,
    optimizer = saros.optim.sgd(net:parameters(), { lr = 1 }) }
end

--- Parameters before a step of a plain rule at rate 1, less those behind it.
---@param model saros.nn.Module  changes
function gradients.of_learner(learner, model, inputs, targets)
  local before, made, x = {}, {}, said.only(inputs)
  for name, tensor in pairs(gradients.parameters(model)) do
    before[name] = tensor:clone()
  end
  for t = 1, x:size(1) do
    local target = targets
    if model.kind ~= "classifier" then
      target = targets[t]
    elseif t < x:size(1) then
      target = nil
    end
    learner:learn(model.kind == "classifier" and model.features and model.features:invert(x[t]) or x[t], target)
  end
  for name, tensor in pairs(gradients.parameters(model)) do
    made[name] = before[name] - tensor
  end
  return made
end

return gradients
