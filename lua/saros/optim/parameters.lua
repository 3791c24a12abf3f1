--- The lists of parameters that optimizers and clipping take.

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
  if type(list) ~= "table" or #list == 0 then
    options.fail(("%s: expected a list of parameters, got %s"):format(owner, found(list)))
  end
  for position, parameter in ipairs(list) do
    if not options.tensor.accept(parameter) then
      options.fail(("%s: expected tensors, got %s at position %d"):format(
        owner, options.describe(parameter), position))
    end
  end
end

return parameters
