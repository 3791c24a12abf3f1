--- Pickles of data (Python's pickletools.py has the opcodes). A pickle is a program for
--- a machine with a stack; this one knows the opcodes that make numbers, strings,
--- tuples, lists and dictionaries, and calls nothing but what it is given by name.
---
--- Values of Python in Lua: numbers, booleans and strings are themselves, None is
--- pickle.none, and the rest are tables with a kind:
---
---     tuple, list   elements 1..n
---     dict          keys, values: two lists, in the order of insertion
---     global        name: "collections.OrderedDict"
---     long          bytes: an integer of more than 64 bits, little-endian

local options = require "saros.options"
local refusal = require "saros.formats.refusal"

local pickle = { none = setmetatable({ kind = "none" }, { __tostring = function() return "None" end }) }

local MARK = { kind = "mark" }
local TABLE_BYTES, SLOT_BYTES = 96, 32 -- in memory, at most about

---@class saros.Pickle
---@field text string
---@field at integer  of the next byte
---@field stack any[]
---@field memo table<integer, any>
---@field room number  bytes of memory that values may still take
---@field calls table<string, fun(arguments: table, machine: saros.Pickle): any>  by name of a global
---@field load fun(id: any): any  for a persistent id

local function spend(m, bytes)
  m.room = m.room - bytes
  if m.room < 0 then
    refusal.raise "expected a pickle whose values take a few times its bytes, got more"
  end
end

local function push(m, value)
  m.stack[#m.stack + 1] = value
end

local function pop(m)
  local value = m.stack[#m.stack]
  if value == nil or value == MARK then
    refusal.raise("expected a value on the stack at byte %d, got none", m.at - 1)
  end
  m.stack[#m.stack] = nil
  return value
end

-- The value on top, which must be of a kind.
local function top(m, kind)
  local value = m.stack[#m.stack]
  if type(value) ~= "table" or value.kind ~= kind then
    refusal.raise("expected a %s on the stack at byte %d, got another value", kind, m.at - 1)
  end
  return value
end

local function new(m, kind)
  spend(m, TABLE_BYTES)
  return { kind = kind }
end

-- Takes what is above the last mark, and the mark.
local function above_mark(m, kind)
  local stack, first = m.stack, #m.stack
  while first > 0 and stack[first] ~= MARK do
    first = first - 1
  end
  if first == 0 then
    refusal.raise("expected a mark on the stack at byte %d, got none", m.at - 1)
  end
  local list = new(m, kind)
  spend(m, (#stack - first) * SLOT_BYTES)
  table.move(stack, first + 1, #stack, 1, list)
  for n = #stack, first, -1 do
    stack[n] = nil
  end
  return list
end

local function bytes(m, count)
  if count < 0 or count > #m.text - m.at + 1 then
    refusal.raise("expected %d bytes more at byte %d, got the end", count, m.at)
  end
  m.at = m.at + count
  return m.text:sub(m.at - count, m.at - 1)
end

local function number(m, format, count)
  return (string.unpack(format, bytes(m, count)))
end

local function text(m, format, count)
  local size = number(m, format, count)
  spend(m, SLOT_BYTES + size)
  return bytes(m, size)
end

local function line(m)
  local last = m.text:find("\n", m.at, true)
  if not last or last - m.at > 200 then
    refusal.raise("expected a name in a line at byte %d, got none", m.at)
  end
  return bytes(m, last - m.at + 1):sub(1, -2)
end

-- --- What opcodes do ----------------------------------------------------------------------------

local function tuple(m, count)
  local made = new(m, "tuple")
  spend(m, count * SLOT_BYTES)
  for n = count, 1, -1 do
    made[n] = pop(m)
  end
  push(m, made)
end

local function set_items(m, items)
  local dict = top(m, "dict")
  if #items % 2 ~= 0 then
    refusal.raise("expected keys and values in pairs at byte %d, got an odd number", m.at - 1)
  end
  for n = 1, #items, 2 do
    dict.keys[#dict.keys + 1], dict.values[#dict.values + 1] = items[n], items[n + 1]
  end
end

local function append(m, items)
  local list = top(m, "list")
  spend(m, #items * SLOT_BYTES)
  table.move(items, 1, #items, #list + 1, list)
end

local function global(m, name)
  if not m.calls[name] then
    refusal.raise("expected tensors, numbers, texts, lists and dictionaries alone, got %s", options.describe(name))
  end
  spend(m, TABLE_BYTES)
  return { kind = "global", name = name }
end

local function call(m)
  local arguments, what = pop(m), pop(m)
  if type(what) ~= "table" or what.kind ~= "global" or type(arguments) ~= "table" or arguments.kind ~= "tuple" then
    refusal.raise("expected a call of a name at byte %d, got another value", m.at - 1)
  end
  spend(m, TABLE_BYTES)
  push(m, m.calls[what.name](arguments, m))
end

local function get(m, place)
  local value = m.memo[place]
  if value == nil then
    refusal.raise("expected a value that was kept as number %d, got none", place)
  end
  push(m, value)
end

local function put(m, place)
  local value = m.stack[#m.stack]
  if value == nil or value == MARK then
    refusal.raise("expected a value to keep at byte %d, got none", m.at - 1)
  end
  spend(m, SLOT_BYTES)
  m.memo[place] = value
  m.kept = m.kept + 1
end

local function long(m)
  local count = number(m, "<I1", 1)
  local digits = bytes(m, count)
  if count == 0 then
    return 0
  elseif count <= 8 then
    return (string.unpack("<i" .. count, digits))
  end
  spend(m, TABLE_BYTES + count)
  return { kind = "long", bytes = digits }
end

--- An empty dictionary, of a machine's memory.
---@param m saros.Pickle
function pickle.dict(m)
  spend(m, 2 * TABLE_BYTES)
  local dict = new(m, "dict")
  dict.keys, dict.values = {}, {}
  return dict
end

-- Attributes of a dictionary, such as the versions in a state dict's _metadata, are left out.
local function build(m)
  pop(m)
  top(m, "dict")
end

local OPCODES = {
  ["\x80"] = function(m) bytes(m, 1) end, -- PROTO
  ["\x95"] = function(m) bytes(m, 8) end, -- FRAME
  ["("] = function(m) push(m, MARK) end,
  ["0"] = pop,
  ["N"] = function(m) push(m, pickle.none) end,
  ["\x88"] = function(m) push(m, true) end,
  ["\x89"] = function(m) push(m, false) end,
  ["J"] = function(m) push(m, number(m, "<i4", 4)) end,
  ["K"] = function(m) push(m, number(m, "<I1", 1)) end,
  ["M"] = function(m) push(m, number(m, "<I2", 2)) end,
  ["G"] = function(m) push(m, number(m, ">d", 8)) end,
  ["\x8a"] = function(m) push(m, long(m)) end, -- LONG1
  ["X"] = function(m) push(m, text(m, "<I4", 4)) end, -- BINUNICODE
  ["\x8c"] = function(m) push(m, text(m, "<I1", 1)) end, -- SHORT_BINUNICODE
  ["T"] = function(m) push(m, text(m, "<I4", 4)) end, -- BINSTRING
  ["U"] = function(m) push(m, text(m, "<I1", 1)) end, -- SHORT_BINSTRING
  ["}"] = function(m) push(m, pickle.dict(m)) end,
  ["]"] = function(m) push(m, new(m, "list")) end,
  [")"] = function(m) tuple(m, 0) end,
  ["\x85"] = function(m) tuple(m, 1) end,
  ["\x86"] = function(m) tuple(m, 2) end,
  ["\x87"] = function(m) tuple(m, 3) end,
  ["t"] = function(m) push(m, above_mark(m, "tuple")) end,
  ["u"] = function(m) set_items(m, above_mark(m, "list")) end,
  ["s"] = function(m)
    local value = pop(m)
    set_items(m, { pop(m), value })
  end,
  ["e"] = function(m) append(m, above_mark(m, "list")) end,
  ["a"] = function(m) append(m, { pop(m) }) end,
  ["h"] = function(m) get(m, number(m, "<I1", 1)) end,
  ["j"] = function(m) get(m, number(m, "<I4", 4)) end,
  ["q"] = function(m) put(m, number(m, "<I1", 1)) end,
  ["r"] = function(m) put(m, number(m, "<I4", 4)) end,
  ["\x94"] = function(m) put(m, m.kept) end, -- MEMOIZE
  ["c"] = function(m)
    local module = line(m)
    push(m, global(m, module .. "." .. line(m)))
  end,
  ["\x93"] = function(m) -- STACK_GLOBAL
    local name, module = pop(m), pop(m)
    push(m, global(m, tostring(module) .. "." .. tostring(name)))
  end,
  ["R"] = call,
  ["\x81"] = call, -- NEWOBJ
  ["b"] = build,
  ["Q"] = function(m) push(m, m.load(pop(m), m)) end, -- BINPERSID
}

--- Run a pickle up to its end.
---@param given { text: string, at?: integer, room: number, calls: table<string, function>, load: function }
---@return any value
---@return integer at  of the byte behind it
---@return number room  that is left
function pickle.run(given)
  local m = { text = given.text, at = given.at or 1, room = given.room, calls = given.calls,
    load = given.load, stack = {}, memo = {}, kept = 0 }
  while true do
    local code = bytes(m, 1)
    if code == "." then
      return pop(m), m.at, m.room
    end
    local act = OPCODES[code]
    if not act then
      refusal.raise("expected a pickle of data, got the opcode %s at byte %d", options.describe(code), m.at - 1)
    end
    spend(m, SLOT_BYTES // 2)
    act(m)
  end
end

--- Charge values for memory that others take for them.
pickle.spend = spend

return pickle
