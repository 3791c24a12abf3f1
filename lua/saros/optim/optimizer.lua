--- Optimizers: one update of all parameters from their gradients. The rules
--- themselves are the core's; here are their options and their memory.
---
--- Parameters are a list, or groups with a rate or decay of their own; a schedule
--- multiplies the rate of every group:
---
---     optim.adamw({ { encoder:parameters(), lr = 1e-4 }, { head:parameters(), weight_decay = 0 } }, { lr = 1e-3 })

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local parameter_list = require "saros.optim.parameters"

local format = core.format

---@class saros.optim.Optimizer
---@field rule string
---@field options table  what it was made with
---@field parameters saros.Tensor[]
---@field names string[]  of the parameters
---@field groups saros.optim.OwnGroup[]  ranges of the parameters with a rate and decay
---@field steps integer  updates made so far
---@field counts integer[]  for each parameter, the updates that it has had: those with a gradient
---@field scale number  factor of every rate; `rollback` makes it smaller (1)
---@field schedule? fun(step: integer): number  factor of the rate at a step, counted from 1
---@field moments table<string, saros.Tensor>[]  for each parameter first and second

---@class saros.optim.OwnGroup
---@field first integer  in the list of parameters
---@field last integer
---@field lr number?  instead of the optimizer's, before schedule and scale
---@field weight_decay number?  instead of the optimizer's

local Optimizer = {}
spelling.methods(Optimizer, "saros.optim.Optimizer")

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

--- The factor of all rates at the next step.
local function factor(self)
  return self.scale * (self.schedule and self.schedule(self.steps + 1) or 1)
end

--- The learning rate of the next step, of groups without one of their own.
---@return number
function Optimizer:rate()
  return self.options.lr * factor(self)
end

--- The gradient is as large as the parameter, so it is let go of at once.
local function has_gradient(parameter)
  local gradient <close> = parameter:gradient()
  return gradient ~= nil
end

local function have_gradients(parameters)
  for _, parameter in ipairs(parameters) do
    if has_gradient(parameter) then
      return true
    end
  end
  return false
end

--- What core.update takes, for a group at a step.
local function update_of(self, group, scale)
  local update = { rule = self.rule }
  for name, value in pairs(self.options) do
    update[name] = group[name] or value
  end
  update.lr = update.lr * scale
  return update
end

--- Adam's correction of a bias counts the updates of each parameter, so that one
--- whose first gradient comes late begins as the others did.
local function update_group(self, group, scale)
  local update = update_of(self, group, scale)
  for position = group.first, group.last do
    local parameter, moments = self.parameters[position], self.moments[position]
    if has_gradient(parameter) then
      update.step = self.counts[position] + 1
      core.update(update, parameter, moments.first, moments.second)
      self.counts[position] = update.step
      parameter:clear_gradient()
    end
  end
end

--- Update every parameter that has a gradient, and clear the gradients.
---@return number rate  that was used, by groups without one of their own
function Optimizer:step()
  if not have_gradients(self.parameters) then
    options.fail "step: expected a gradient of at least one parameter; call tape:backward(loss) first"
  end
  local scale = factor(self)
  self.steps = self.steps + 1
  for _, group in ipairs(self.groups) do
    update_group(self, group, scale)
  end
  return self.options.lr * scale
end

--- Everything that a later `restore` needs to go on with the same bits.
---@return table<string, saros.Tensor> tensors  the moments, by parameter name
---@return saros.optim.Numbers numbers
function Optimizer:state()
  local tensors, counts = {}, {}
  for position, moments in ipairs(self.moments) do
    local parameter = self.names[position]
    for name, tensor in pairs(moments) do
      tensors[parameter .. "." .. name] = tensor
    end
    if self.counts[position] ~= self.steps then
      counts[parameter] = self.counts[position]
    end
  end
  return tensors, { rule = self.rule, steps = self.steps, scale = self.scale, counts = next(counts) and counts }
end

---@class saros.optim.Numbers
---@field rule string
---@field steps integer
---@field scale? number  (1)
---@field counts? table<string, integer>  by name, for parameters that have had fewer updates than steps

local function require_numbers(self, numbers)
  if numbers.rule ~= self.rule or not math.tointeger(numbers.steps) then
    options.fail(("restore: expected the state of %s, got that of %s"):format(
      self.rule, options.describe(numbers.rule)))
  end
  for name, count in pairs(numbers.counts or {}) do
    if not math.tointeger(count) or count < 0 or count > numbers.steps then
      options.fail(("restore: expected a number of updates of '%s' in 0..%d, got %s"):format(
        name, numbers.steps, options.describe(count)))
    end
  end
end

--- Go on from a state. If it does not fit, nothing changes.
---@param tensors table<string, saros.Tensor>
---@param numbers saros.optim.Numbers
function Optimizer:restore(tensors, numbers)
  if type(tensors) ~= "table" or type(numbers) ~= "table" then
    options.fail(("restore: expected the two tables that state() gave, got %s and %s"):format(
      options.describe(tensors), options.describe(numbers)))
  end
  require_numbers(self, numbers)
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
  for position, name in ipairs(self.names) do
    self.counts[position] = numbers.counts and numbers.counts[name] or self.steps
  end
end

--- What each group is updated with, as plain data: for the configuration of a run.
---@return { parameters: string, lr: number, weight_decay: number }[]  parameters: their names
function Optimizer:describe_groups()
  local list = {}
  for number, group in ipairs(self.groups) do
    list[number] = {
      parameters = table.concat(self.names, ", ", group.first, group.last),
      lr = group.lr or self.options.lr,
      weight_decay = group.weight_decay or self.options.weight_decay,
    }
  end
  return list
end

function Optimizer:__tostring()
  local count = #self.groups
  return format("%s (%d parameters%s, lr %g, %d steps)",
    self.rule, #self.parameters, count > 1 and (" in %d groups"):format(count) or "", self.options.lr, self.steps)
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
  local owner = "optim." .. rule
  local check = options.declare(owner, fields_of(rule))
  return function(given, rule_options)
    local list, names, groups = parameter_list.read(owner, given)
    local o = check(rule_options)
    local schedule, counts = o.schedule, {}
    o.schedule = nil
    for position in ipairs(list) do
      counts[position] = 0
    end
    return setmetatable({
      rule = rule,
      options = o,
      schedule = schedule,
      parameters = list,
      names = names,
      groups = groups,
      moments = moments_for(list, RULES[rule].moments),
      steps = 0,
      counts = counts,
      scale = 1,
    }, Optimizer)
  end
end

local optimizer = {}

--- Gradient descent, with momentum if wanted.
---@type fun(parameters: saros.Tensor[]|saros.optim.Group[], given: saros.optim.SgdOptions): saros.optim.Optimizer
optimizer.sgd = constructor "sgd"

--- RMSProp (Tieleman and Hinton 2012).
---@type fun(parameters: saros.Tensor[]|saros.optim.Group[], given?: saros.optim.RmspropOptions): saros.optim.Optimizer
optimizer.rmsprop = constructor "rmsprop"

--- Adam (Kingma and Ba 2015).
---@type fun(parameters: saros.Tensor[]|saros.optim.Group[], given?: saros.optim.AdamOptions): saros.optim.Optimizer
optimizer.adam = constructor "adam"

--- Adam with decoupled weight decay (Loshchilov and Hutter 2019).
---@type fun(parameters: saros.Tensor[]|saros.optim.Group[], given?: saros.optim.AdamOptions): saros.optim.Optimizer
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
