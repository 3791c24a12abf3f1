--- What the functions of a script read from outside: their upvalues, the globals that
--- they name, and what plain tables and modules among these hold. A program has what
--- they were when it was traced; `changed` says whether one is something else now.
---
--- Entries are found breadth first. Functions and objects of the library are left out,
--- except that an upvalue is always compared itself.

local core = require "saros.core"
local lazy = require "saros.lazy"

local late = lazy({}, { cells = { "saros.nn.cell" } })

-- Which scripts cannot take away.
local getmetatable, rawequal, rawget, rawset, next = getmetatable, rawequal, rawget, rawset, next
local dump = string.dump

local captured = {}

-- Fields of a module that its parents, its parameters and its generators are told by.
local OWN = { own = true, members = true, own_generators = true, place = true, initialized = true }

-- A script that hands over more than this hands over data, not settings.
local MOST = 1000

---@class saros.program.Captured
---@field holders (function|table)[]  a function for an upvalue
---@field keys any[]  of it: the number of an upvalue
---@field values any[]
---@field names string[]  for messages
---@field owners (function|false)[]  the function that led there
---@field pending { value: function|table, name: string, owner: function|false }[]
---@field seen table<any, true>

--- True if a class or a metatable has functions of a script.
local function is_of_script(class)
  for _, value in next, class do
    if type(value) == "function" and core.defined_at(value) then
      return true
    end
  end
  return false
end

--- True if a value may be looked into.
local function is_open(value)
  if type(value) == "function" then
    return core.defined_at(value) ~= nil
  elseif type(value) ~= "table" then
    return false
  end
  local class = getmetatable(value)
  local index = type(class) == "table" and rawget(class, "__index")
  return class == nil or type(class) == "table"
    and (is_of_script(class) or type(index) == "table" and is_of_script(index))
end

local function look_into(self, value, name, owner)
  if not self.seen[value] then
    self.seen[value] = true
    self.pending[#self.pending + 1] = { value = value, name = name, owner = owner }
  end
end

local function watch(self, holder, key, value, name, owner)
  local n = #self.holders + 1
  if n > MOST then
    return
  end
  self.holders[n], self.keys[n], self.names[n], self.owners[n] = holder, key, name, owner
  self.values[n] = value
  if is_open(value) then
    look_into(self, value, name, owner)
  end
end

--- True if a name stands among the constants of some bytecode, as a global's does.
local function has_name(code, name)
  return type(name) == "string" and name:find "^[A-Za-z_][A-Za-z0-9_]*$"
    and code:find("%f[A-Za-z0-9_]" .. name .. "%f[^A-Za-z0-9_]")
end

--- The globals whose names are in the code of a function.
local function watch_globals(self, f, environment)
  local code = dump and dump(f, true) or ""
  for key, value in next, environment do
    if has_name(code, key) and (type(value) ~= "function" or is_open(value)) then
      watch(self, environment, key, value, key, f)
    end
  end
end

local function watch_upvalues(self, f)
  for n = 1, 255 do
    local name, value = core.upvalue(f, n)
    if not name then
      return
    elseif name == "_ENV" and type(value) == "table" then
      watch_globals(self, f, value)
    else
      watch(self, f, n, value, name, f)
    end
  end
end

local function watch_fields(self, t, name, owner)
  local is_module = rawget(t, "members") ~= nil
  for key, value in next, t do
    local is_left_out = is_module and OWN[key] or type(value) == "function" and not is_open(value)
    if not is_left_out then
      watch(self, t, key, value, name .. "." .. tostring(key), owner)
    end
  end
end

--- Looks into everything that has been found.
local function follow(self)
  local at = 1
  while at <= #self.pending and #self.holders < MOST do
    local found = self.pending[at]
    at = at + 1
    if type(found.value) == "function" then
      watch_upvalues(self, found.value)
    else
      watch_fields(self, found.value, found.name, found.owner)
    end
  end
  self.pending, self.seen = nil, nil
end

--- What the functions of a module and of its members read from outside.
---@param module saros.nn.Module
---@return saros.program.Captured
function captured.of(module)
  local self = { holders = {}, keys = {}, values = {}, names = {}, owners = {}, pending = {}, seen = {} }
  module:visit(function(member)
    if late.cells.is(member) then
      look_into(self, member.maker.step, member.kind, false)
    elseif member.runs_script then
      look_into(self, member, member.kind, false)
      look_into(self, getmetatable(member), member.kind, false)
    end
  end)
  follow(self)
  return self
end

local function value_of(holder, key)
  if type(holder) == "function" then
    local _, value = core.upvalue(holder, key)
    return value
  end
  return rawget(holder, key)
end

local function is_other(self, n)
  local now, value = value_of(self.holders[n], self.keys[n]), self.values[n]
  return not rawequal(now, value) and (now == now or value == value)
end

--- Put another value in place of one wherever that was found.
---@param self saros.program.Captured
function captured.replace(self, old, new)
  for n = 1, #self.holders do
    local holder, key, value = self.holders[n], self.keys[n], self.values[n]
    if rawequal(value, old) and type(holder) == "function" then
      core.upvalue(holder, key, new)
    elseif rawequal(value, old) then
      rawset(holder, key, new)
    end
  end
end

--- The name of the first that is no longer what it was, and the function that reads it.
---@param self saros.program.Captured
---@return string?
---@return function|false|nil
function captured.changed(self)
  for n = 1, #self.holders do
    if is_other(self, n) then
      return self.names[n], self.owners[n]
    end
  end
end

--- Forgets what the functions have changed themselves while they were traced, such as a
--- count of their calls: the trace has shown that their results do not depend on it.
---@param self saros.program.Captured
function captured.settle(self)
  local kept = 0
  for n = 1, #self.holders do
    local is_kept = not is_other(self, n)
    kept = kept + (is_kept and 1 or 0)
    for _, list in ipairs { self.holders, self.keys, self.values, self.names, self.owners } do
      local entry = list[n]
      list[n] = nil
      if is_kept then
        list[kept] = entry
      end
    end
  end
end

return captured
