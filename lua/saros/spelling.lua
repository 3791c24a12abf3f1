--- Names that are checked when they are read. Without this, a misspelt name is
--- nil and goes unnoticed: `nn.chain { layer, saros.rleu }` would be a chain of one.
---
---     space    a table in which reading a name that it lacks is an error: saros, nn, optim, data
---     methods  a class whose objects refuse names that are nearly those of methods,
---              such as lm:genrate(); any other absent name is nil, so that
---              `if data.windows then` works as usual

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

--- Make a table the class of objects with methods. A name that an object lacks is
--- nil, unless it is a typing error away from a method.
---@generic T: table
---@param class T
---@param name string  what messages call its objects: "saros.Text"
---@param pardons? fun(name: string, method: string): boolean  a name that is no error all the same
---@return T class
function spelling.methods(class, name, pardons)
  local absent = {} -- names that are known to be no mistakes
  class.__index, class.__name = class, name
  return setmetatable(class, {
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
