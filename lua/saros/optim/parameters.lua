--- What optimizers and clipping take: a list of parameters, or groups of them.

local options = require "saros.options"

local parameters = {}

--- What was given in place of a list.
local function found(value)
  if type(value) ~= "table" then
    return options.describe(value)
  elseif type(value.parameters) == "function" then
    return options.describe(value) .. "; model:parameters() is one"
  elseif next(value) == nil then
    return options.describe_list(value)
  end
  return options.describe(value) .. " without a first element"
end

--- Refuse what is not a list of tensors, as what is left out is not learned.
---@param owner string  the function, for the message
---@param list any
function parameters.check(owner, list)
  local last = type(list) == "table" and options.extent(list) or 0
  if last == 0 then
    options.fail(("%s: expected a list of parameters, got %s"):format(owner, found(list)))
  end
  for position = 1, last do
    local parameter = list[position]
    if not options.tensor.accept(parameter) then
      options.fail(("%s: expected tensors, got %s at position %d"):format(
        owner, options.describe(parameter), position))
    end
  end
end

-- --- Groups ----------------------------------------------------------------------------

---@class saros.optim.Group  as a caller writes it: `{ list, lr = 1e-4, weight_decay = 0 }`
---@field [1] saros.Tensor[]
---@field lr? number  instead of the optimizer's
---@field weight_decay? number  instead of the optimizer's

local anything = options.kind("a list of parameters", function(value)
  return value
end)

local GROUP = {
  { "parameters", anything },
  { "lr", options.optional(options.nonnegative) },
  { "weight_decay", options.optional(options.nonnegative) },
}

-- An empty place among groups is one without parameters, so it is found below.
local function is_grouped(given)
  return type(given) == "table" and type(given[1] or given[2]) == "table"
end

--- The groups that were given, checked; a list of tensors is one group.
local function groups_of(owner, given)
  local groups = {}
  if not is_grouped(given) then
    parameters.check(owner, given)
    return { { parameters = given } }
  end
  for number, group in options.each(given) do
    local name = ("%s: group %d"):format(owner, number)
    groups[number] = options.declare(name, GROUP, 1)(group)
    parameters.check(name, groups[number].parameters)
  end
  return groups
end

--- Names by position, of all groups: their own where no two are alike, else
--- those of each group behind its number.
local function name_all(groups)
  local names, seen, alike = {}, {}, false
  for _, group in ipairs(groups) do
    local own = group.parameters.names or {}
    for position in ipairs(group.parameters) do
      local name = own[position] or tostring(#names + 1)
      alike, seen[name] = alike or seen[name] ~= nil, true
      names[#names + 1] = name
    end
  end
  local at = 0
  for number, group in ipairs(alike and groups or {}) do
    for _ in ipairs(group.parameters) do
      at = at + 1
      names[at] = ("%d.%s"):format(number, names[at])
    end
  end
  return names
end

--- Refuse a parameter that would be updated twice in a step.
local function require_once(owner, list)
  local seen = {}
  for position, parameter in ipairs(list) do
    if seen[parameter] then
      options.fail(("%s: expected each parameter once, got the same one at positions %d and %d"):format(
        owner, seen[parameter], position))
    end
    seen[parameter] = position
  end
end

--- Read what an optimizer was given.
---@param owner string
---@param given saros.Tensor[]|saros.optim.Group[]
---@return saros.Tensor[] list  of all groups
---@return string[] names
---@return { first: integer, last: integer, lr: number?, weight_decay: number? }[] groups  places in the list
function parameters.read(owner, given)
  local list, groups = {}, groups_of(owner, given)
  local names = name_all(groups)
  for number, group in ipairs(groups) do
    local first = #list + 1
    table.move(group.parameters, 1, #group.parameters, first, list)
    groups[number] = { first = first, last = #list, lr = group.lr, weight_decay = group.weight_decay }
  end
  require_once(owner, list)
  return list, names, groups
end

local check_decay = options.declare("optim.groups", {
  { "weight_decay", options.nonnegative },
})

--- Parameters in two groups: matrices, which decay, and the rest (biases, gains of
--- norms, first states), which do not:
---
---     optim.adamw(optim.groups(net, { weight_decay = 0.1 }), { lr = 1e-3 })
---@param given saros.nn.Module|saros.Tensor[]  a model, or a list of parameters
---@param decay { weight_decay: number }
---@return saros.optim.Group[]
function parameters.groups(given, decay)
  local o = check_decay(decay)
  local list = type(given) == "table" and type(given.parameters) == "function" and given:parameters() or given
  parameters.check("optim.groups", list)
  local matrices, rest = { names = {} }, { names = {} }
  for position, parameter in ipairs(list) do
    local to = parameter:rank() > 1 and matrices or rest
    to[#to + 1] = parameter
    to.names[#to] = list.names and list.names[position] or tostring(position)
  end
  local groups = {}
  for _, group in ipairs { { matrices, weight_decay = o.weight_decay }, { rest, weight_decay = 0 } } do
    groups[#groups + 1] = #group[1] > 0 and group or nil
  end
  return groups
end

return parameters
