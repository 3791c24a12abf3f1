--- A table with more fields than it has: each of these is a module, or a field of
--- one, that is loaded when it is first asked for. A host that only steps a model
--- so keeps little else in memory; `pairs` loads them all. Modules that need each
--- other, or one that is seldom needed, find it in such a table, too.

local require = require -- which scripts cannot take away

---@param table table
---@param places table<string, [string, string?]>  field -> name of its module, field of that
---@param missing? fun(name: any)  called for a field that there is neither here nor there
---@return table table
return function(table, places, missing)
  local function load(_, name)
    local place = places[name]
    if place then
      local module = require(place[1])
      local value = place[2] and module[place[2]] or module
      rawset(table, name, value)
      return value
    end
    return missing and missing(name)
  end
  return setmetatable(table, {
    __index = load,
    __pairs = function()
      for name in next, places do
        load(table, name)
      end
      return next, table
    end,
  })
end
