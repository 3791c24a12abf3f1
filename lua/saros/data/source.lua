--- What a data set is made of, where it is no path: a text as it is, { string = ... },
--- or a list. Neither may have fields that would be ignored.

local options = require "saros.options"

local source = {}

--- The fields of a table as a message shows them: "'a' and 'b'".
local function fields_text(fields)
  local names = {}
  for key in pairs(fields) do
    names[#names + 1] = type(key) == "string" and ("'%s'"):format(key) or options.describe(key)
  end
  table.sort(names)
  return table.concat(names, " and ")
end

-- The fields that do not fit, as text; nil if there are none.
local function fields_beside(given, fits)
  local others = {}
  for key, value in pairs(given) do
    others[key] = not fits(key) and value or nil
  end
  return next(others) ~= nil and fields_text(others) or nil
end

--- The text in { string = ... }. Any other field is an error: one that is misspelt, or
--- an option, which belongs in the next argument.
---@param owner string  the function, for messages
---@param given table
---@param expected string  what it takes, such as "a path or { string = ... }"
---@return string
function source.string(owner, given, expected)
  if type(given.string) ~= "string" then
    local got = rawget(given, "string") ~= nil and "string = " .. options.describe(given.string)
      or (getmetatable(given) or next(given) == nil) and options.describe_list(given)
      or #given > 0 and ("a list of %d elements"):format(#given)
      or "a table with " .. fields_text(given)
    options.fail(("%s: expected %s, got %s"):format(owner, expected, got))
  end
  local others = fields_beside(given, function(key)
    return key == "string"
  end)
  if others then
    options.fail(("%s: expected { string = ... } alone, got %s in it; options are another table: "
      .. "%s({ string = ... }, { ... })"):format(owner, others, owner))
  end
  return given.string
end

--- Refuse a list that has named fields, which are options at the wrong place.
---@param owner string  the function, for messages
---@param list table
function source.check_list(owner, list)
  local others = fields_beside(list, math.type)
  if others then
    options.fail(("%s: expected a list alone, got %s in it; options are another table: %s({ ... }, { ... })"):format(
      owner, others, owner))
  end
end

return source
