--- Names that are checked when they are read. Without this, a misspelt name is
--- nil and goes unnoticed: `nn.chain { layer, saros.rleu }` would be a chain of one.
---
---     space    a table in which reading a name that it lacks is an error: saros, nn, optim, data
---     methods  a class whose objects refuse names that are nearly those of methods,
---              such as lm:genrate(); any other absent name is nil, so that
---              `if data.windows then` works as usual; and whose methods refuse what is
---              no object, as lm.generate() without a colon would be a riddle inside

local core = require "saros.core"
local lazy = require "saros.lazy"
local options = require "saros.options"

local require = require -- which scripts cannot take away

local spelling = {}

---@type table<string, table[]>  title -> the tables whose keys are its names
local spaces = {}

-- Where a name is looked for that was read from the wrong one of them.
local PUBLIC = { "saros", "nn", "optim", "data" }

local function has(title, name)
  for _, table in ipairs(spaces[title]) do
    if rawget(table, name) ~= nil then
      return true
    end
  end
  return false
end

--- "; did you mean saros.relu?" for "relu", "" if no public space has that name.
local function elsewhere(name)
  for _, title in ipairs(PUBLIC) do
    local _ = spaces[title] or require("saros." .. title)
    if has(title, name) then
      return ("; did you mean '%s.%s'?"):format(title, name)
    end
  end
  return ""
end

local function hint(title, name)
  if type(name) ~= "string" then
    return ""
  end
  local all = {}
  for _, table in ipairs(spaces[title]) do
    for key in next, table do
      all[#all + 1] = key
    end
  end
  local other = elsewhere(name)
  return other ~= "" and other or core.hint(name, all)
end

--- Make reading a name that a table lacks an error, which names the nearest one
--- that it has, or the space that has this one.
---@generic T: table
---@param title string  what scripts call the table: "nn"
---@param table T
---@param places? table<string, [string, string?]>  more fields, as of saros.lazy
---@return T table
function spelling.space(title, table, places)
  places = places or {}
  spaces[title] = { table, places }
  return lazy(table, places, function(name)
    options.fail(("%s: expected one of its names, got %s%s"):format(
      title, options.describe(name), hint(title, name)))
  end)
end

-- Methods that check their object.
local guards = setmetatable({}, { __mode = "k" })

--- A method that takes objects of the class alone, or of one that has this very method, too.
---@param class table
---@param name string
---@param method function
---@return function
local function guarded(class, name, method)
  local function guard(self, ...)
    if getmetatable(self) ~= class
      and (type(self) ~= "table" or self == class or not getmetatable(self) or self[name] ~= guard) then
      options.fail(("%s: expected a %s before the colon, as in object:%s(...), got %s"):format(
        name, class.__name, name, options.describe(self)))
    end
    return method(self, ...)
  end
  guards[guard] = true
  return guard
end

local function guard_field(class, key, value)
  if type(value) == "function" and key:sub(1, 2) ~= "__" and not guards[value] and core.is_method(value) then
    value = guarded(class, key, value)
  end
  rawset(class, key, value)
end

--- Let the methods of a class take objects alone. Those that are assigned later do
--- so by themselves, unless they replace others.
---@param class table
function spelling.guard(class)
  for key, value in next, class do
    guard_field(class, key, value)
  end
end

--- Make a table the class of objects with methods. A name that an object lacks is
--- nil, unless it is a typing error away from a method. Methods that are assigned
--- afterwards, or are there, take objects alone.
---@generic T: table
---@param class T
---@param name string  what messages call its objects: "saros.Text"
---@param pardons? fun(name: string, method: string): boolean  a name that is no error all the same
---@return T class
function spelling.methods(class, name, pardons)
  local absent = {} -- names that are known to be no mistakes
  class.__index, class.__name = class, name
  spelling.guard(class)
  return setmetatable(class, {
    __newindex = not pardons and guard_field or nil,
    __index = function(_, key)
      local known = class -- the first upvalue: the prompt completes from it
      if absent[key] or type(key) ~= "string" then
        return nil
      end
      local method = core.nearest(key, known)
      if method and not (pardons and pardons(key, method)) then
        options.fail(("%s: expected the name of a method, got %q; did you mean '%s'?"):format(
          name, key, method))
      end
      absent[key] = true
    end,
  })
end

return spelling
