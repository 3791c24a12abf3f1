--- Options: one table with named fields. A function declares its options once,
--- as data, and gets a checker that fills in defaults and refuses what it does
--- not know, so a misspelt name can never pass for a default.

local core = require "saros.core"

local options = {}

---@class saros.options.Kind
---@field expected string  what a message calls it, such as "a positive integer"
---@field accept fun(value: any): any  the value to use; nil if it does not fit
---@field optional? boolean  may be absent without a default
---@field explain? fun(value: any): string  what a message adds about a value that does not fit

---@param expected string
---@param accept fun(value: any): any
---@return saros.options.Kind
function options.kind(expected, accept)
  return { expected = expected, accept = accept }
end

--- A tensor as a message shows it: "a tensor (2, 3)".
---@param tensor saros.Tensor
---@return string
function options.describe_tensor(tensor)
  local open, shape = pcall(tensor.shape, tensor)
  if not open then
    return "a closed tensor"
  end
  local kind = tensor:dtype() == "ids" and "ids" or "a tensor"
  return ("%s (%s)"):format(kind, table.concat(shape, ", "))
end

--- Text in quotes on one line.
local function in_quotes(text)
  return (("%q"):format(text):gsub("\\\n", "\\n"))
end

--- A value as a message shows it: text quoted, the rest by value or type.
---@param value any
---@return string
function options.describe(value)
  local kind = math.type(value) or type(value)
  if kind == "string" then
    return #value <= 40 and in_quotes(value) or in_quotes(value:sub(1, 40)) .. "..."
  elseif kind == "integer" or kind == "float" or kind == "boolean" or kind == "nil" then
    return value ~= value and "nan" or core.format("%s", value)
  end
  local meta = getmetatable(value)
  if meta == "saros.tensor" then
    return options.describe_tensor(value)
  end
  local name = type(meta) == "table" and rawget(meta, "__name")
  return "a " .. (type(name) == "string" and name or kind)
end

--- The same where a list was expected: one that is empty is said to be.
---@param value any
---@return string
function options.describe_list(value)
  local is_empty = type(value) == "table" and getmetatable(value) == nil and next(value) == nil
  return is_empty and "an empty list" or options.describe(value)
end

--- How many positions of a list to check: all of them, or those up to the first
--- that is empty, if a later one is not. Lua does not define the length of such a
--- list, so this looks at its keys.
---@param list table
---@return integer
---@return boolean has_hole  is that place empty?
function options.extent(list)
  local last, count = 0, 0
  for key in next, list do
    if math.type(key) == "integer" and key > 0 then
      last, count = key > last and key or last, count + 1
    end
  end
  for position = 1, count < last and last or 0 do
    if rawget(list, position) == nil then
      return position, true
    end
  end
  return last, false
end

--- Iterate over these positions; the value at the last one may be nil.
---@param list table
---@return fun(): integer?, any
function options.each(list)
  local last, position = options.extent(list), 0
  return function()
    if position < last then
      position = position + 1
      return position, list[position]
    end
  end
end

--- Raise an error that blames the caller of the library.
---@param message string
function options.fail(message)
  error(core.caller() .. message, 0)
end

--- An error's message without the line that it blames.
---@param message any
---@return string
function options.without_place(message)
  return (tostring(message):gsub("^[^:]*:%d+: ", ""))
end

--- Run a function of the library, and let its complaint begin with a name.
---@param name string
function options.about(name, fn, ...)
  local function check(ok, result, ...)
    if not ok then
      options.fail(name .. ": " .. options.without_place(result))
    end
    return result, ...
  end
  return check(pcall(fn, ...))
end

local function number_where(fits)
  return function(value)
    return type(value) == "number" and fits(value) and value or nil
  end
end

local function integer_from(least)
  return function(value)
    local integer = type(value) == "number" and math.tointeger(value)
    return integer and integer >= least and integer or nil
  end
end

local function of_type(name)
  return function(value)
    if type(value) == name then
      return value
    end
  end
end

local function is_finite(x)
  return x == x and x ~= math.huge and x ~= -math.huge
end

options.size = options.kind("a positive integer", integer_from(1))
options.count = options.kind("a whole number, 0 or more", integer_from(0))
options.integer = options.kind("an integer", integer_from(math.mininteger))

---@param least integer
---@return saros.options.Kind
function options.at_least(least)
  return options.kind(("an integer, %d or more"):format(least), integer_from(least))
end

---@param least integer
---@param most integer
---@return saros.options.Kind
function options.range(least, most)
  local fits = integer_from(least)
  return options.kind(("an integer from %d to %d"):format(least, most), function(value)
    local integer = fits(value)
    return integer and integer <= most and integer or nil
  end)
end

options.number = options.kind("a finite number", number_where(is_finite))
options.positive = options.kind("a positive number", number_where(function(x)
  return x > 0 and is_finite(x)
end))
options.nonnegative = options.kind("a number, 0 or more", number_where(function(x)
  return x >= 0 and is_finite(x)
end))
options.fraction = options.kind("a number in [0, 1)", number_where(function(x)
  return x >= 0 and x < 1
end))
options.share = options.kind("a number in (0, 1]", number_where(function(x)
  return x > 0 and x <= 1
end))
options.boolean = options.kind("true or false", of_type "boolean")
options.string = options.kind("a string", of_type "string")
options.callback = options.kind("a function", of_type "function")
options.callable = options.kind("a function or a module", function(value)
  local class = type(value) == "table" and getmetatable(value)
  return (type(value) == "function" or type(class) == "table" and class.__call) and value or nil
end)
options.schedule = options.kind("a function of the step, such as optim.schedule.cosine { steps = N }",
  of_type "function")
options.table = options.kind("a table", of_type "table")
options.tensor = options.kind("a tensor", function(value)
  return getmetatable(value) == "saros.tensor" and value or nil
end)

--- Is a value a tensor of real numbers with these sizes?
---@param value any
---@param ... integer
---@return boolean
function options.has_shape(value, ...)
  return options.tensor.accept(value) ~= nil and value:dtype() == "real"
    and table.concat(value:shape(), " ") == table.concat({ ... }, " ")
end

options.generator = options.kind("a generator", function(value)
  return getmetatable(value) == "saros.generator" and value or nil
end)

--- A value that is not of a kind, and why: 'a table with nil at position 2',
--- '"ltsm"; did you mean 'lstm'?'.
---@param kind saros.options.Kind
---@param value any
---@return string
function options.describe_misfit(kind, value)
  return options.describe(value) .. (kind.explain and kind.explain(value) or "")
end

--- Refuse an argument that is not of a kind, as functions in C do.
---@param owner string  the function, for the message
---@param number integer  of the argument
---@param kind saros.options.Kind
---@param value any
function options.argument(owner, number, kind, value)
  if kind.accept(value) == nil then
    options.fail(("%s: expected %s as argument %d, got %s"):format(
      owner, kind.expected, number, options.describe_misfit(kind, value)))
  end
end

--- One of several strings.
---@param names string[]
---@return saros.options.Kind
function options.one_of(names)
  local quoted, known = {}, {}
  for position, name in ipairs(names) do
    quoted[position], known[name] = ("%q"):format(name), true
  end
  local kind = options.kind(table.concat(quoted, " or "), function(value)
    return known[value] and value or nil
  end)
  kind.explain = function(value)
    return core.hint(value, names)
  end
  return kind
end

--- A table that has certain fields, such as an object with methods.
---@param expected string
---@param fields string[]
---@return saros.options.Kind
function options.having(expected, fields)
  return options.kind(expected, function(value)
    if type(value) ~= "table" then
      return nil
    end
    for _, field in ipairs(fields) do
      if value[field] == nil then
        return nil
      end
    end
    return value
  end)
end

--- A sequence whose elements are all of one kind.
---@param kind saros.options.Kind
---@return saros.options.Kind
function options.list_of(kind)
  local list_kind = options.kind("a list, each element " .. kind.expected, function(value)
    if type(value) ~= "table" then
      return nil
    end
    local list = {}
    for position, element in options.each(value) do
      list[position] = kind.accept(element)
      if list[position] == nil then
        return nil
      end
    end
    return list
  end)
  list_kind.explain = function(value)
    for position, element in options.each(type(value) == "table" and value or {}) do
      if kind.accept(element) == nil then
        return (" with %s at position %d"):format(options.describe_misfit(kind, element), position)
      end
    end
    return ""
  end
  return list_kind
end

--- A sequence of anything.
options.list = options.kind("a list without holes", function(value)
  return type(value) == "table" and not select(2, options.extent(value)) and value or nil
end)
options.list.explain = function(value)
  local position, has_hole = 0, false
  if type(value) == "table" then
    position, has_hole = options.extent(value)
  end
  return has_hole and (" with nil at position %d"):format(position) or ""
end

--- The same kind, but the option may be absent and then stays nil.
---@param kind saros.options.Kind
---@return saros.options.Kind
function options.optional(kind)
  return { expected = kind.expected, accept = kind.accept, explain = kind.explain, optional = true }
end

--- The names of the fields that may be given.
local function listed(fields)
  local names = {}
  for _, field in ipairs(fields) do
    names[#names + 1] = not field.unlisted and field[1] or nil
  end
  return names
end

--- "known: p, epsilon; also by position: nn.dropout { p }"
local function known_fields(owner, fields, positional)
  local names = listed(fields)
  local known = "known: " .. table.concat(names, ", ")
  if positional == 0 then
    return known
  end
  return ("%s; also by position: %s { %s }"):format(
    known, owner, table.concat(names, ", ", 1, positional))
end

--- Declare the options of a function. Each field is { name, kind, default };
--- without a default it is required, unless its kind is optional. The first
--- `positional` fields may be given by position too: `nn.linear { 64, 10 }`.
--- No message names a field with `unlisted = true` as one that may be given.
---
--- The checker blames the caller of the library.
---@param owner string  the function, for messages
---@param fields table[]
---@param positional? integer
---@return fun(given?: table): table
function options.declare(owner, fields, positional)
  local by_key = {}
  positional = positional or 0
  for position, field in ipairs(fields) do
    by_key[field[1]] = field
    if position <= positional then
      by_key[position] = field
    end
  end

  -- Returns the values, or nil and a message.
  local function check(given)
    if given ~= nil and type(given) ~= "table" then
      return nil, ("expected a table of options, got %s"):format(options.describe(given))
    end
    local values = {}
    for key, value in pairs(given or {}) do
      local field = by_key[key]
      if not field then
        local hint = core.hint(key, listed(fields))
        return nil, ("unknown option %s%s %s"):format(options.describe(key), hint ~= "" and hint or ";",
          known_fields(owner, fields, positional))
      elseif values[field[1]] ~= nil then
        return nil, ("option '%s' is given twice, by name and by position"):format(field[1])
      end
      local accepted = field[2].accept(value)
      if accepted == nil then
        return nil, ("expected option '%s' to be %s, got %s"):format(
          field[1], field[2].expected, options.describe_misfit(field[2], value))
      end
      values[field[1]] = accepted
    end
    for _, field in ipairs(fields) do
      local name, kind, default = field[1], field[2], field[3]
      if values[name] == nil then
        if default == nil and not kind.optional then
          return nil, ("expected option '%s', %s; %s"):format(
            name, kind.expected, known_fields(owner, fields, positional))
        end
        values[name] = default
      end
    end
    return values
  end

  return function(given)
    local values, message = check(given)
    return values or options.fail(owner .. ": " .. message)
  end
end

return options
