--- The values of an ONNX graph. A value is one of
---
---     a tensor      reals; also of integers that weights are, and of booleans that tensors gave
---     ids           a tensor of ids from 1: what a graph's input of integers is, plus 1
---     saros.onnx.Integers   few integers, such as a shape, with which nodes compute in Lua; also reals, as
---                           floats of Lua, where a node makes reals of them, as conditions of loops do
---     saros.onnx.Parts      tensors that an axis before theirs would stack, such as the states (B, H) of layers:
---                           kept apart, because a step of a program has each of them as a state
---     saros.onnx.Sequence   a list of tensors, as ONNX has it
---
--- This file reads them from a file, and turns one kind into another.

local core = require "saros.core"
local files = require "saros.files"
local options = require "saros.options"

local tensors = {}

-- As ONNX numbers types.
tensors.FLOAT, tensors.INT64 = 1, 7

-- type -> its name in safetensors, and the field that has its elements if no bytes do
local TYPES = {
  [1] = { "F32", 4 }, [2] = { "U8", 5 }, [3] = { "I8", 5 }, [5] = { "I16", 5 }, [6] = { "I32", 5 }, [7] = { "I64", 7 },
  [9] = { "U8", 5 }, [10] = { "F16", 5 }, [11] = { "F64", 10 }, [16] = { "BF16", 5 },
}
local NAMES = { "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE",
  "UINT32", "UINT64", "COMPLEX64", "COMPLEX128", "BFLOAT16" }
local IS_SHAPE = { I64 = true, I32 = true }

-- More integers than these are a tensor.
tensors.MOST_INTEGERS = 65536

-- --- Integers and parts ------------------------------------------------------------------------

---@class saros.onnx.Integers
---@field shape integer[]
---@field [integer] integer
local Integers = {}
Integers.__index = Integers
Integers.__name = "list of integers"

---@class saros.onnx.Parts
---@field parts saros.Tensor[]
local Parts = {}
Parts.__index = Parts
Parts.__name = "value in parts"

--- Integers of a shape, (n) if none is given.
---@param list integer[]
---@param shape? integer[]
---@return saros.onnx.Integers
function tensors.integers(list, shape)
  local made = table.move(list, 1, #list, 1, { shape = shape or { #list } })
  return setmetatable(made, Integers)
end

---@param list saros.Tensor[]
---@return saros.onnx.Parts
function tensors.parts(list)
  return setmetatable({ parts = list }, Parts)
end

---@class saros.onnx.Sequence
---@field items any[]
local Sequence = {}
Sequence.__index = Sequence
Sequence.__name = "sequence of tensors"

---@param items any[]
---@return saros.onnx.Sequence
function tensors.sequence(items)
  return setmetatable({ items = items }, Sequence)
end

function tensors.is_sequence(value)
  return getmetatable(value) == Sequence
end

function tensors.is_integers(value)
  return getmetatable(value) == Integers
end

function tensors.is_parts(value)
  return getmetatable(value) == Parts
end

function tensors.is_tensor(value)
  return options.tensor.accept(value) ~= nil
end

--- The parts of a value along its first axis, one for each place there.
---@return saros.Tensor[]
function tensors.parts_of(value)
  if tensors.is_parts(value) then
    return value.parts
  end
  local x, list = tensors.real(value), {}
  for n = 1, x:size(1) do
    list[n] = x:select(1, n)
  end
  return list
end

--- A tensor, if a value is a value at all: reals, or ids.
---@return saros.Tensor
function tensors.tensor(value)
  if tensors.is_parts(value) then
    return #value.parts == 1 and value.parts[1]:reshape(tensors.shape(value)) or core.stack(value.parts, 1)
  elseif tensors.is_integers(value) then
    local list = {}
    for n, x in ipairs(value) do
      list[n] = x + 0.0
    end
    return #list > 0 and core.tensor(list):reshape(value.shape) or core.zeros(value.shape)
  elseif tensors.is_sequence(value) then
    error("expected a tensor, got a sequence of tensors", 0)
  end
  return value
end

--- Reals.
---@return saros.Tensor
function tensors.real(value)
  local x = tensors.tensor(value)
  return x:dtype() == "ids" and core.tensor(x) - 1 or x
end

--- How many elements the tensors of a sequence have.
local function elements_of(sequence)
  local count = 0
  for _, value in ipairs(sequence.items) do
    local of_one = 1
    for _, size in ipairs(tensors.shape(value)) do
      of_one = of_one * size
    end
    count = count + of_one
  end
  return count
end

--- The shape of a value; of a sequence, the number of all elements.
---@return integer[]
function tensors.shape(value)
  if tensors.is_integers(value) then
    return table.move(value.shape, 1, #value.shape, 1, {})
  elseif tensors.is_parts(value) then
    return { #value.parts, table.unpack(value.parts[1]:shape()) }
  elseif tensors.is_sequence(value) then
    return { elements_of(value) }
  end
  return value:shape()
end

--- Its numbers as they are, integers or floats of Lua.
---@param value saros.onnx.Integers
---@return number[]
function tensors.numbers(value)
  return table.move(value, 1, #value, 1, {})
end

--- Its integers, as a list; error if they are none that are known when the graph is read.
---@return integer[]
function tensors.list(value)
  if tensors.is_integers(value) then
    local list = {}
    for n, x in ipairs(value) do
      list[n] = math.tointeger(x) or error("expected integers, got " .. options.describe(x), 0)
    end
    return list
  end
  error("expected integers that are known without the input, got " .. options.describe(value), 0)
end

-- --- From a file -----------------------------------------------------------------------------------

--- How many elements a shape has, and the shape as a list that may be empty.
local function shape_of(proto)
  local count = 1
  for _, size in ipairs(proto.dims or {}) do
    if size < 0 or size > 0x7FFFFFFF then
      error(("expected sizes of 0 to 2^31 - 1 in tensor %q, got %d"):format(proto.name or "", size), 0)
    end
    count = count * size
    if count > 1 << 40 then
      error(("expected fewer than 2^40 elements in tensor %q"):format(proto.name or ""), 0)
    end
  end
  return proto.dims or {}, count
end

--- The entries of external data by key.
local function entries(proto)
  local by_key = {}
  for _, entry in ipairs(proto.external_data or {}) do
    by_key[entry.key or ""] = entry.value
  end
  return by_key
end

--- The file of external data and the range in it. Its name is that of a file in the model's
--- folder, or below it; the caller has allowed it.
local function external(source, proto)
  local given, name = entries(proto), ("tensor %q"):format(proto.name or "")
  local location = given.location or ""
  if not source.external then
    error(("expected %s in the file itself, got external data (%s); read it with { external = true }"):format(name,
      options.describe(location)), 0)
  end
  local path = source.inside(location)
  if not path then
    error(("expected external data of %s inside the model's folder, got %s"):format(name,
      options.describe(location)), 0)
  end
  local wire = source.others[path]
  if not wire then
    local message
    wire, message = core.open_wire(path)
    if not wire then
      error(message:gsub("^wire: ", ""), 0)
    end
    source.others[path] = wire
  end
  local from = math.tointeger(given.offset or 0) or -1
  local length = math.tointeger(given.length or #wire - from) or -1
  if from < 0 or length < 0 or from > #wire or length > #wire - from then
    error(("expected external data of %s inside its file of %d bytes, got others"):format(name, #wire), 0)
  end
  return wire, 0, from, from + length
end

--- Where elements are: the file, the number of the field or 0, and the range.
local function place_of(source, proto, field)
  if (proto.data_location or 0) == 1 then
    return external(source, proto)
  elseif proto.raw_data then
    return source.wire, 0, proto.raw_data.from, proto.raw_data.stop
  end
  return source.wire, field, proto.from, proto.stop
end

local function found(proto, value, message)
  if value == nil then
    error(("%s (tensor %q)"):format(message:gsub("^wire: ", ""), proto.name or ""), 0)
  end
  return value
end

--- The value of a TensorProto.
---@param source { wire: saros.Wire, external: boolean, inside: fun(name: string): string?, others: table }
---@param proto table
---@return saros.Tensor|saros.onnx.Integers
function tensors.read(source, proto)
  local type_of = TYPES[proto.data_type]
  if not type_of then
    error(("expected a tensor %q of numbers that Saros has, got %s"):format(proto.name or "",
      NAMES[proto.data_type] or options.describe(proto.data_type)), 0)
  end
  local shape, count = shape_of(proto)
  local wire, number, from, stop = place_of(source, proto, type_of[2])
  if count > 8 * #wire then
    error(("expected at most 8 elements for each byte of the file in tensor %q, got %d"):format(
      proto.name or "", count), 0)
  end
  local is_small = count <= tensors.MOST_INTEGERS and (IS_SHAPE[type_of[1]] or proto.data_type == 9)
  if is_small then
    return tensors.integers(found(proto, wire:integers(type_of[1], number, from, stop, count)), shape)
  end
  return found(proto, wire:reals(type_of[1], number, from, stop, shape))
end

--- What turns the name of a file of external data into its path: nil for one that is not inside
--- the model's folder. A link is followed to where it leads.
---@param path string  of the model
---@return fun(name: string): string?
function tensors.folder_of(path)
  local folder = path:match "^(.*)/[^/]*$" or "."
  return function(name)
    local is_above = ("/" .. name .. "/"):find("/../", 1, true)
    if name == "" or is_above or name:find "^/" or name:find "\\" or name:find "\0" then
      return nil
    end
    local at = folder
    for part in name:gmatch "[^/]+" do
      at = at .. "/" .. part
      if files.is_link(at) ~= false then
        return nil
      end
    end
    return at
  end
end

return tensors
