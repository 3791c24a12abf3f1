--- Messages in the wire format of protocol buffers, from a file to Lua tables and back, by a
--- schema; see saros.onnx.schema.
---
--- Reading is bounded: tables and strings take at most three times the file's size, or FLOOR
--- bytes if that is more; messages stand in each other DEEPEST times at most.

local core = require "saros.core"
local sorted = require "saros.sorted"

local wire = {}

local FLOOR = 1 << 23
local DEEPEST = 32

-- Bytes that a value takes in a table, about; a table has its own.
local VALUE, TABLE = 40, 120

local VARINT, BYTES, BITS_32 = 0, 2, 5
local KIND = { integer = VARINT, real = BITS_32 }

-- --- Reading --------------------------------------------------------------------------------

---@class saros.onnx.Reader
---@field file saros.Wire
---@field schema table<string, saros.onnx.Message>
---@field room integer  bytes that may still be taken
---@field depth integer

local function take(reader, bytes)
  reader.room = reader.room - bytes
  if reader.room < 0 then
    error("expected a file whose messages take at most three times its size in memory, got one that takes more", 0)
  end
end

local function expect(result, ...)
  if result == nil then
    error((...):gsub("^wire: ", ""), 0)
  end
  return result, ...
end

--- The next field of a message: number, kind, value, after.
local function next_field(reader, at, stop)
  return expect(reader.file:next(at, stop))
end

local function real_of(bits)
  return (string.unpack("<f", string.pack("<I4", bits)))
end

--- The numbers of a packed list.
local function read_packed(reader, field, list, at, stop)
  local is_real = field[2] == "real"
  if is_real then
    take(reader, VALUE * (stop - at) // 4)
    for n, x in ipairs(expect(reader.file:integers("I32", 0, at, stop, (stop - at) // 4))) do
      list[n] = real_of(x & 0xFFFFFFFF)
    end
    return
  end
  local data = reader.file:text(at, stop)
  local value, shift = 0, 0
  for n = 1, #data do
    local byte = data:byte(n)
    value = value | (byte & 127) << shift
    shift = shift + 7
    if byte < 128 then
      take(reader, VALUE)
      list[#list + 1], value, shift = value, 0, 0
    elseif shift > 63 then
      error("expected integers of at most 64 bits in a list, got more", 0)
    end
  end
  if shift > 0 then
    error("expected the last integer of a list to end, got half of it", 0)
  end
end

local read_message

--- One value of a field that is bytes.
local function read_bytes(reader, field, at, stop)
  take(reader, VALUE)
  if field[2] == "text" then
    take(reader, stop - at)
    return reader.file:text(at, stop)
  elseif field[2] == "range" then
    take(reader, TABLE)
    return { from = at, stop = stop }
  elseif not reader.schema[field[2]] then
    error(("expected a number as %q, got bytes"):format(field[1]), 0)
  end
  return read_message(reader, field[2], at, stop)
end

--- What a field says, put into the message.
local function read_field(reader, message, field, kind, value, after)
  local name, is_list = field[1], field[3]
  local list = is_list and message[name]
  if is_list and not list then
    take(reader, TABLE)
    list = {}
    message[name] = list
  end
  if kind == BYTES and is_list and KIND[field[2]] then
    read_packed(reader, field, list, value, after)
    return
  end
  local given
  if kind == BYTES then
    given = read_bytes(reader, field, value, after)
  elseif kind == KIND[field[2]] then
    take(reader, VALUE)
    given = kind == BITS_32 and real_of(value) or value
  else
    error(("expected a field %q of the kind that ONNX has, got another one"):format(name), 0)
  end
  if is_list then
    list[#list + 1] = given
  else
    message[name] = given
  end
end

function read_message(reader, name, from, stop)
  reader.depth = reader.depth + 1
  if reader.depth > DEEPEST then
    error(("expected messages in each other %d times at most, got more"):format(DEEPEST), 0)
  end
  take(reader, TABLE)
  local fields, at = reader.schema[name], from
  local message = fields.placed and { from = from, stop = stop } or {}
  while at < stop do
    local number, kind, value, after = next_field(reader, at, stop)
    if fields[number] then
      read_field(reader, message, fields[number], kind, value, after)
    end
    at = after
  end
  reader.depth = reader.depth - 1
  return message
end

--- A whole file as a message. Error, without a line, at what is wrong with it.
---@param file saros.Wire
---@param schema table<string, saros.onnx.Message>
---@param name string  of the message
---@return table
function wire.read(file, schema, name)
  local reader = { file = file, schema = schema, room = math.max(FLOOR, 3 * #file), depth = 0 }
  return read_message(reader, name, 0, #file)
end

-- --- Writing ---------------------------------------------------------------------------------

local function varint(value)
  local bytes = {}
  repeat
    local rest = value >> 7
    bytes[#bytes + 1] = string.char(value & 127 | (rest ~= 0 and 128 or 0))
    value = rest
  until value == 0
  return table.concat(bytes)
end

local function tag(number, kind)
  return varint(number << 3 | kind)
end

--- Bytes that a piece takes: text, or the elements of a tensor.
local function size_of(piece)
  return type(piece) == "string" and #piece or piece:count() * (piece:dtype() == "ids" and 8 or 4)
end

local add_message

--- Adds pieces that begin with their number of bytes.
local function add_sized(pieces, inner)
  local size = 0
  for _, piece in ipairs(inner) do
    size = size + size_of(piece)
  end
  pieces[#pieces + 1] = varint(size)
  table.move(inner, 1, #inner, #pieces + 1, pieces)
end

local function add_value(schema, pieces, number, kind, value)
  if kind == "integer" then
    pieces[#pieces + 1] = tag(number, VARINT) .. varint(value)
  elseif kind == "real" then
    pieces[#pieces + 1] = tag(number, BITS_32) .. string.pack("<f", value)
  else
    pieces[#pieces + 1] = tag(number, BYTES)
    add_sized(pieces, schema[kind] and add_message(schema, {}, kind, value) or { value })
  end
end

function add_message(schema, pieces, name, message)
  for _, number in ipairs(sorted.keys(schema[name])) do
    local field = schema[name][number]
    local value = type(number) == "number" and message[field[1]]
    if value and field[3] then
      for _, each in ipairs(value) do
        add_value(schema, pieces, number, field[2], each)
      end
    elseif value then
      add_value(schema, pieces, number, field[2], value)
    end
  end
  return pieces
end

--- A message as pieces of a file. Ranges are strings, or tensors, whose elements are written
--- as floats of 32 bits, or as integers of 64 bits if they are ids.
---@param schema table<string, saros.onnx.Message>
---@param name string
---@param message table
---@return (string|saros.Tensor)[]
function wire.pieces(schema, name, message)
  return add_message(schema, {}, name, message)
end

--- Write a message as a file, which appears whole or not at all.
---@param path string
---@param schema table<string, saros.onnx.Message>
---@param name string
---@param message table
---@return true? ok
---@return string? message
function wire.write(path, schema, name, message)
  return core.write_pieces(path, wire.pieces(schema, name, message))
end

return wire
