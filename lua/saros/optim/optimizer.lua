--- Optimizers: one update of all parameters from their gradients. The rules
--- themselves are the core's; here are their options and their memory.

local core = require "saros.core"
local options = require "saros.options"
local parameter_list = require "saros.optim.parameters"

---@class saros.optim.Optimizer
---@field rule string
---@field options table  what it was made with
---@field parameters saros.Tensor[]
---@field names string[]  of the parameters
---@field steps integer  updates made so far
---@field scale number  factor of every rate, for who finds them too large (1)
---@field schedule? fun(step: integer): number  factor of the rate at a step, counted from 1
---@field moments table<string, saros.Tensor>[]  for each parameter first and second
local Optimizer = {}
Optimizer.__index = Optimizer
Optimizer.__name = "saros.optim.Optimizer"

local COMMON = {
  { "weight_decay", options.nonnegative, 0 },
  { "schedule", options.optional(options.schedule) },
}

--- Rules are data: the moments they keep and the options they know.
local RULES = {
  sgd = {
    moments = { "first" },
    options = {
      { "lr", options.nonnegative },
      { "momentum", options.fraction, 0 },
      { "nesterov", options.boolean, false },
    },
  },
  rmsprop = {
    moments = { "first" },
    options = {
      { "lr", options.nonnegative, 1e-2 },
      { "alpha", options.fraction, 0.99 },
      { "epsilon", options.positive, 1e-8 },
    },
  },
  adam = {
    moments = { "first", "second" },
    options = {
      { "lr", options.nonnegative, 1e-3 },
      { "beta1", options.fraction, 0.9 },
      { "beta2", options.fraction, 0.999 },
      { "epsilon", options.positive, 1e-8 },
    },
  },
  adamw = {
    moments = { "first", "second" },
    options = {
      { "lr", options.nonnegative, 1e-3 },
      { "beta1", options.fraction, 0.9 },
      { "beta2", options.fraction, 0.999 },
      { "epsilon", options.positive, 1e-8 },
      { "weight_decay", options.nonnegative, 1e-2 },
    },
  },
}

--- The learning rate of the next step.
---@return number
function Optimizer:rate()
  return self.options.lr * self.scale * (self.schedule and self.schedule(self.steps + 1) or 1)
end

local function has_gradient(parameters)
  for _, parameter in ipairs(parameters) do
    if parameter:gradient() then
      return true
    end
  end
  return false
end

--- Update every parameter that has a gradient, and clear the gradients.
---@return number rate  that was used
function Optimizer:step()
  if not has_gradient(self.parameters) then
    options.fail "step: expected a gradient of at least one parameter; call tape:backward(loss) first"
  end
  local update = self.update
  update.lr, update.step = self:rate(), self.steps + 1
  self.steps = self.steps + 1
  for position, parameter in ipairs(self.parameters) do
    local moments = self.moments[position]
    core.update(update, parameter, moments.first, moments.second)
    parameter:clear_gradient()
  end
  return update.lr
end

--- Everything that a later `restore` needs to go on with the same bits.
---@return table<string, saros.Tensor> tensors  the moments, by parameter name
---@return { rule: string, steps: integer, scale: number } numbers
function Optimizer:state()
  local tensors = {}
  for position, moments in ipairs(self.moments) do
    for name, tensor in pairs(moments) do
      tensors[self.names[position] .. "." .. name] = tensor
    end
  end
  return tensors, { rule = self.rule, steps = self.steps, scale = self.scale }
end

--- Go on from a state. If it does not fit, nothing changes.
---@param tensors table<string, saros.Tensor>
---@param numbers { rule: string, steps: integer, scale?: number }
function Optimizer:restore(tensors, numbers)
  if type(tensors) ~= "table" or type(numbers) ~= "table" then
    options.fail(("restore: expected the two tables that state() gave, got %s and %s"):format(
      options.describe(tensors), options.describe(numbers)))
  elseif numbers.rule ~= self.rule or not math.tointeger(numbers.steps) then
    options.fail(("restore: expected the state of %s, got that of %s"):format(
      self.rule, options.describe(numbers.rule)))
  end
  local own = self:state()
  for name, tensor in pairs(own) do
    local given = tensors[name]
    local wanted = table.concat(tensor:shape(), ", ")
    local got = given and table.concat(given:shape(), ", ")
    if wanted ~= got then
      options.fail(("restore: expected '%s' of shape (%s), got %s"):format(
        name, wanted, got and "(" .. got .. ")" or "none"))
    end
  end
  for name, tensor in pairs(own) do
    tensor:assign(tensors[name])
  end
  self.steps, self.scale = numbers.steps, numbers.scale or 1
end

function Optimizer:__tostring()
  return ("%s (%d parameters, lr %g, %d steps)"):format(
    self.rule, #self.parameters, self.options.lr, self.steps)
end

local function names_of(parameters)
  local names = {}
  for position in ipairs(parameters) do
    names[position] = parameters.names and parameters.names[position] or tostring(position)
  end
  return names
end

local function moments_for(parameters, kinds)
  local moments = {}
  for position, parameter in ipairs(parameters) do
    moments[position] = {}
    for _, kind in ipairs(kinds) do
      moments[position][kind] = core.zeros(parameter:shape())
    end
  end
  return moments
end

--- The fields of a rule, and those that all rules share.
local function fields_of(rule)
  local fields, seen = {}, {}
  for _, list in ipairs { RULES[rule].options, COMMON } do
    for _, field in ipairs(list) do
      if not seen[field[1]] then
        seen[field[1]] = true
        fields[#fields + 1] = field
      end
    end
  end
  return fields
end

local function constructor(rule)
  local check = options.declare("optim." .. rule, fields_of(rule))
  return function(parameters, given)
    parameter_list.check("optim." .. rule, parameters)
    local o = check(given)
    local schedule = o.schedule
    o.schedule = nil
    local update = { rule = rule }
    for name, value in pairs(o) do
      update[name] = value
    end
    return setmetatable({
      rule = rule,
      options = o,
      update = update,
      schedule = schedule,
      parameters = table.move(parameters, 1, #parameters, 1, {}),
      names = names_of(parameters),
      moments = moments_for(parameters, RULES[rule].moments),
      steps = 0,
      scale = 1,
    }, Optimizer)
  end
end

local optimizer = {}

--- Gradient descent, with momentum if wanted.
---@type fun(parameters: saros.Tensor[], given: saros.optim.SgdOptions): saros.optim.Optimizer
optimizer.sgd = constructor "sgd"

--- RMSProp (Tieleman and Hinton 2012).
---@type fun(parameters: saros.Tensor[], given?: saros.optim.RmspropOptions): saros.optim.Optimizer
optimizer.rmsprop = constructor "rmsprop"

--- Adam (Kingma and Ba 2015).
---@type fun(parameters: saros.Tensor[], given?: saros.optim.AdamOptions): saros.optim.Optimizer
optimizer.adam = constructor "adam"

--- Adam with decoupled weight decay (Loshchilov and Hutter 2019).
---@type fun(parameters: saros.Tensor[], given?: saros.optim.AdamOptions): saros.optim.Optimizer
optimizer.adamw = constructor "adamw"

---@class saros.optim.Options
---@field weight_decay? number  (0; adamw 0.01)
---@field schedule? fun(step: integer): number  factor of the rate, from saros.optim.schedule

---@class saros.optim.SgdOptions: saros.optim.Options
---@field lr number
---@field momentum? number  (0)
---@field nesterov? boolean  (false)

---@class saros.optim.RmspropOptions: saros.optim.Options
---@field lr? number  (0.01)
---@field alpha? number  decay of the mean square (0.99)
---@field epsilon? number  (1e-8)

---@class saros.optim.AdamOptions: saros.optim.Options
---@field lr? number  (0.001)
---@field beta1? number  decay of the mean (0.9)
---@field beta2? number  decay of the mean square (0.999)
---@field epsilon? number  (1e-8)

return optimizer
