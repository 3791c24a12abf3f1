--- What the functions of a script read from outside: their upvalues, the globals that
--- they name, and what the tables among these hold. A program has what they were when it
--- was traced; `changed` says whether one is something else now.
---
--- Values are found breadth first. Functions and objects of the library, and the tables of
--- Lua's own libraries, are compared, but what is in them is not followed.

local core = require "saros.core"
local lazy = require "saros.lazy"

local late = lazy({}, { cells = { "saros.nn.cell" } })

-- Which scripts cannot take away.
local getmetatable, rawequal, rawget, rawset, next = getmetatable, rawequal, rawget, rawset, next
local dump = string.dump

local captured = {}

-- Fields of a module that its parents, its parameters and its generators are told by.
local OWN = { own = true, members = true, own_generators = true, place = true, initialized = true }

-- Values in all, and entries of one table, that are compared at each call, for some 0.2 us each.
-- A larger table is data, such as a vocabulary, and is compared as a whole.
local MOST, LARGE = 1000, 256

-- The key under which the number of a table's entries is watched.
local SIZE = {}

-- Tables of Lua, which do not change.
local of_lua = {}
for _, name in ipairs { "coroutine", "debug", "io", "math", "os", "package", "string", "table", "utf8" } do
  local library = _ENV[name]
  if library then
    of_lua[library] = true
  end
end

---@class saros.program.Captured
---@field holders (function|table)[]  a function for an upvalue
---@field keys any[]  of it: the number of an upvalue
---@field values any[]
---@field names string[]  for messages
---@field owners (function|false)[]  the function that led there
---@field unseen string?  the name of the first value of which changes are not noticed
---@field pending { value: function|table, name: string, owner: function|false }[]
---@field seen table<any, true>
---@field globals table<table, table<string, true>>  names that are watched, by environment

--- True if a metatable has functions, and none of them is a script's.
local function is_of_library(class)
  local has_functions = false
  for _, value in next, class do
    if type(value) == "function" then
      if core.defined_at(value) then
        return false
      end
      has_functions = true
    end
  end
  return has_functions
end

--- True if a value may be looked into.
local function is_open(value)
  if type(value) == "function" then
    return core.defined_at(value) ~= nil
  elseif type(value) ~= "table" or of_lua[value] then
    return false
  end
  local class = getmetatable(value)
  return class == nil or type(class) == "table" and not is_of_library(class)
end

--- The number of entries of a table; nil if it is large.
local function size_of(t)
  local size = 0
  for _ in next, t do
    size = size + 1
    if size > LARGE then
      return nil
    end
  end
  return size
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
    self.unseen = self.unseen or name
    return
  end
  self.holders[n], self.keys[n], self.names[n], self.owners[n] = holder, key, name, owner
  self.values[n] = value
  if is_open(value) then
    look_into(self, value, name, owner)
  end
end

--- The names among the constants of a function: those of its globals, and of fields. The
--- bytecode has a string as its type (short or long), its length + 1 with the highest bit
--- set, and its bytes.
local function names_of(f)
  local code, names = dump and dump(f, true) or "", {}
  for length, name in code:gmatch "[\4\20]([\128-\255])([A-Za-z_][A-Za-z0-9_]*)" do
    if #name + 1 == length:byte() & 127 then
      names[#names + 1] = name
    end
  end
  return names
end

--- The globals that a function names, absent ones too, in its environment and in the
--- tables that this inherits from.
local function watch_globals(self, f, environment)
  local names, seen = names_of(f), {}
  while type(environment) == "table" and not seen[environment] do
    local known, class = self.globals[environment] or {}, getmetatable(environment)
    self.globals[environment], seen[environment] = known, true
    for _, name in ipairs(names) do
      if not known[name] then
        known[name] = true
        watch(self, environment, name, rawget(environment, name), name, f)
      end
    end
    environment = type(class) == "table" and rawget(class, "__index")
  end
end

local function watch_upvalues(self, f)
  for n = 1, 255 do
    local name, value = core.upvalue(f, n)
    if not name then
      return
    elseif type(value) == "table" and (name == "_ENV" or rawequal(value, _ENV)) then
      watch_globals(self, f, value)
    else
      watch(self, f, n, value, name, f)
    end
  end
end

local function watch_fields(self, t, name, owner)
  local size, class = size_of(t), getmetatable(t)
  if type(class) == "table" and not is_of_library(class) then
    look_into(self, class, name, owner)
  end
  if not size then
    self.unseen = self.unseen or name
    return
  end
  local is_module = rawget(t, "members") ~= nil
  watch(self, t, SIZE, size, name, owner)
  for key, value in next, t do
    if not (is_module and OWN[key]) then
      watch(self, t, key, value, name .. "." .. tostring(key), owner)
    end
  end
end

--- Looks into everything that has been found.
local function follow(self)
  local at = 1
  while at <= #self.pending do
    local found = self.pending[at]
    at = at + 1
    if type(found.value) == "function" then
      watch_upvalues(self, found.value)
    else
      watch_fields(self, found.value, found.name, found.owner)
    end
  end
  self.pending, self.seen, self.globals = nil, nil, nil
end

--- What the functions of a module and of its members read from outside, and fields of
--- layers that change what these compute.
---@param module saros.nn.Module
---@return saros.program.Captured
function captured.of(module)
  local self = { holders = {}, keys = {}, values = {}, names = {}, owners = {}, pending = {}, seen = {},
    globals = {} }
  module:visit(function(member)
    if late.cells.is(member) then
      look_into(self, member.maker.step, member.kind, false)
    elseif member.runs_script then
      look_into(self, member, member.kind, false)
    elseif member.watched then
      watch(self, member, member.watched, member[member.watched], member.watched, false)
    end
  end)
  follow(self)
  return self
end

local function value_of(holder, key)
  if type(holder) == "function" then
    local _, value = core.upvalue(holder, key)
    return value
  elseif key == SIZE then
    return size_of(holder)
  end
  return rawget(holder, key)
end

local function is_other(holder, key, value)
  local now = value_of(holder, key)
  return not rawequal(now, value) and (now == now or value == value)
end

--- Put other values in place of some wherever those were found.
---@param self saros.program.Captured
---@param others table<any, any>  by what they replace
function captured.replace(self, others)
  for n = 1, #self.holders do
    local holder, key, other = self.holders[n], self.keys[n], others[self.values[n]]
    if other ~= nil and type(holder) == "function" then
      core.upvalue(holder, key, other)
    elseif other ~= nil then
      rawset(holder, key, other)
    end
  end
end

--- The name of the first that is no longer what it was, and the function that reads it.
---@param self saros.program.Captured
---@return string?
---@return function|false|nil
function captured.changed(self)
  local holders, keys, values = self.holders, self.keys, self.values
  for n = 1, #holders do
    if is_other(holders[n], keys[n], values[n]) then
      return self.names[n], self.owners[n]
    end
  end
end

--- A message about values whose changes are not noticed; nil if there are none.
---@param self saros.program.Captured
---@return string?
function captured.note(self)
  return self.unseen and ("program: changes in '%s' are not noticed: only tables of at most %d entries, and %d values "
    .. "in all, are compared at each call"):format(self.unseen, LARGE, MOST)
end

--- Forgets what the functions have changed themselves while they were traced, such as a
--- count of their calls: the trace has shown that their results do not depend on it.
---@param self saros.program.Captured
function captured.settle(self)
  local kept = 0
  for n = 1, #self.holders do
    local is_kept = not is_other(self.holders[n], self.keys[n], self.values[n])
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
