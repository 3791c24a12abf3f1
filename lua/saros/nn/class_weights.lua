--- What each label of a classifier counts in training.

local options = require "saros.options"

local class_weights = {}

class_weights.kind = options.kind("positive weights, as a list in the order of the labels or by label, such as "
  .. "set:class_weights()", function(value)
  if type(value) ~= "table" then
    return nil
  end
  for _, weight in pairs(value) do
    if not options.positive.accept(weight) then
      return nil
    end
  end
  return value
end)

local function fail(problem, ...)
  options.fail(("nn.classifier: expected option 'class_weights' to " .. problem):format(...))
end

--- The weights in the order of the labels.
---@param given table<integer|string, number>
---@param labels string[]
---@return number[]
function class_weights.read(given, labels)
  local list, known = {}, {}
  for id, label in ipairs(labels) do
    list[id] = given[label] or given[id]
    known[given[label] and label or id] = true
    if not list[id] then
      fail("have a weight for each of the %d labels, got none for %s", #labels, options.describe(label))
    end
  end
  for key in pairs(given) do
    if not known[key] then
      fail("have weights of labels alone, got one for %s", options.describe(key))
    end
  end
  return list
end

return class_weights
