--- PyTorch's files of torch.save: a pickle of dictionaries with tensors, whose elements
--- lie in storages beside it, each of them a member of a zip, or, before version 1.6,
--- behind the pickles. Tensors are views of storages and may share one. Nothing in a
--- file is run: see saros.formats.pickle. Dictionaries in dictionaries, such as those of
--- an optimizer, give names with dots: "optimizer.state.0.step".

local options = require "saros.options"
local pickle = require "saros.formats.pickle"
local refusal = require "saros.formats.refusal"
local stored = require "saros.formats.stored"

local pytorch = { name = "pytorch" }

-- Storages -> the name in safetensors, bytes of an element
local STORAGES = {
  FloatStorage = { "F32", 4 }, DoubleStorage = { "F64", 8 }, HalfStorage = { "F16", 2 },
  BFloat16Storage = { "BF16", 2 }, LongStorage = { "I64", 8 }, IntStorage = { "I32", 4 }, ShortStorage = { "I16", 2 },
  CharStorage = { "I8", 1 }, ByteStorage = { "U8", 1 }, BoolStorage = { "BOOL", 1 },
}

local MAGIC = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" -- of files before version 1.6
local MOST_DEPTH = 32

---@param beginning string
function pytorch.fits(beginning)
  return beginning:sub(3, 14) == "\x8a\x0a" .. MAGIC
end

local function pickle_name(places)
  for name in pairs(places) do
    if name:find "^[^/]*/data%.pkl$" then
      return name
    end
  end
end

--- True if a zip with these members is one of PyTorch's.
---@param places table<string, integer>
function pytorch.fits_zip(places)
  return pickle_name(places) ~= nil
end

-- --- What pickles may call --------------------------------------------------------------------------

local function is_kind(value, kind)
  return type(value) == "table" and value.kind == kind
end

local function integers(tuple)
  local list = {}
  for n, value in ipairs(is_kind(tuple, "tuple") and tuple or { "" }) do
    if math.type(value) ~= "integer" or value < 0 then
      refusal.raise("expected sizes and strides of whole numbers, got others")
    end
    list[n] = value
  end
  return list
end

-- (storage, offset, sizes, strides, requires_grad, hooks)
local function rebuild_tensor(arguments, m)
  local storage, offset = arguments[1], arguments[2]
  if not is_kind(storage, "storage") or math.type(offset) ~= "integer" then
    refusal.raise "expected a storage and an offset for a tensor, got others"
  end
  local tensor = { kind = "tensor", storage = storage, offset = offset, shape = integers(arguments[3]),
    strides = integers(arguments[4]) }
  pickle.spend(m, 32 * (#tensor.shape + #tensor.strides) + 300)
  if #tensor.shape ~= #tensor.strides then
    refusal.raise("expected a stride for each size, got %d and %d", #tensor.strides, #tensor.shape)
  end
  return tensor
end

local function ordered_dict(arguments, m)
  local dict = pickle.dict(m)
  for _, pair in ipairs(is_kind(arguments[1], "list") and arguments[1] or {}) do
    dict.keys[#dict.keys + 1], dict.values[#dict.values + 1] = pair[1], pair[2]
  end
  return dict
end

local function not_called()
  refusal.raise "expected a type where it is named, got a call of it"
end

-- The text that a call is given, such as that of torch.device("cpu") or of bytes.
local function first_text(arguments)
  if type(arguments[1]) ~= "string" then
    refusal.raise "expected a text for a device or bytes, got another value"
  end
  return arguments[1]
end

-- Sets are lists.
local function set(arguments)
  if not is_kind(arguments[1], "list") then
    refusal.raise "expected a list for a set, got another value"
  end
  return arguments[1]
end

local CALLS = {
  ["collections.OrderedDict"] = ordered_dict,
  ["torch._utils._rebuild_tensor_v2"] = rebuild_tensor,
  ["torch._utils._rebuild_tensor"] = rebuild_tensor,
  ["torch._utils._rebuild_parameter"] = function(arguments)
    refusal.check(is_kind(arguments[1], "tensor"), "expected a tensor in a parameter, got none")
    return arguments[1]
  end,
  ["torch.device"] = first_text, ["_codecs.encode"] = first_text,
  ["__builtin__.set"] = set, ["builtins.set"] = set,
  ["torch.Size"] = function(arguments)
    return arguments[1] or arguments
  end,
}
for name in pairs(STORAGES) do
  CALLS["torch." .. name] = not_called
end
for name in ("float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"):gmatch "%S+" do
  CALLS["torch." .. name] = not_called
end

-- Makes what stands for a storage of a persistent id, ("storage", type, key, place, count).
local function loader()
  local storages = {}
  return function(id, m)
    id = is_kind(id, "tuple") and id or {}
    local type_name = is_kind(id[2], "global") and id[2].name:match "^torch%.(%w+)$"
    local kind, key, count = STORAGES[type_name], id[3], id[5]
    if id[1] ~= "storage" or not kind or type(key) ~= "string" or math.type(count) ~= "integer" or count < 0 then
      refusal.raise "expected the id of a storage, got another"
    end
    local index = type_name .. " " .. key
    if not storages[index] then
      pickle.spend(m, 300 + #index)
      storages[index] = { kind = "storage", type = kind[1], size = kind[2], key = key, count = count }
    end
    return storages[index]
  end
end

-- --- From nested values to names ----------------------------------------------------------------------

local visit

local function visit_named(found, prefix, key, value, depth)
  if type(key) ~= "string" and math.type(key) ~= "integer" then
    refusal.raise("expected texts and whole numbers as keys, got another value in %s", options.describe(prefix))
  end
  visit(found, prefix == "" and tostring(key) or prefix .. "." .. key, value, depth + 1)
end

function visit(found, name, value, depth)
  found.room = found.room - #name - 100
  if depth > MOST_DEPTH or found.room < 0 then
    refusal.raise "expected few dictionaries inside each other, got more"
  elseif is_kind(value, "dict") then
    for n, key in ipairs(value.keys) do
      visit_named(found, name, key, value.values[n], depth)
    end
  elseif is_kind(value, "list") or is_kind(value, "tuple") then
    for n, element in ipairs(value) do
      visit_named(found, name, n - 1, element, depth)
    end
  elseif found.seen[name] then
    refusal.raise("expected each name once, got %s twice", options.describe(name))
  else
    found.seen[name] = true
    if is_kind(value, "tensor") then
      found[#found + 1] = { name = name, tensor = value }
    elseif type(value) ~= "table" then
      found.metadata[name] = tostring(value)
    elseif is_kind(value, "global") then -- a type, such as torch.float32
      found.metadata[name] = value.name
    end
  end
end

local function flattened(value, room)
  local found = { metadata = {}, seen = {}, room = room }
  visit(found, "", value, 1)
  for n = 1, #found do
    found[n].name = found[n].name == "" and "tensor" or found[n].name
  end
  return found
end

-- --- Both kinds of files ---------------------------------------------------------------------------------

-- Tensors by name, and how to find the elements of a storage: its member, first byte and
-- whether the bytes are swapped.
local function in_zip(container, places, room)
  local name = pickle_name(places)
  local folder = name:match "^[^/]*/"
  local value, _, rest = pickle.run { text = stored.bytes(container, places[name]), room = room, calls = CALLS,
    load = loader() }
  local order = places[folder .. "byteorder"]
  local swapped = order and stored.bytes(container, order) == "big"
  return flattened(value, rest), function(storage)
    local n = places[folder .. "data/" .. storage.key]
    if not n then
      refusal.raise("expected the storage %s among the members, got none", options.describe(storage.key))
    end
    return n, 0, swapped
  end
end

-- Where the storages are that follow the pickles: each has its count in 8 bytes before it.
local function storage_places(container, keys, sizes, at)
  local places = {}
  for _, key in ipairs(keys) do
    if type(key) ~= "string" or not sizes[key] then
      refusal.raise "expected the names of storages, got others"
    end
    local _, bytes = container:member(1)
    local count = at + 8 <= bytes and string.unpack("<i8", refusal.check(container:read(1, at, 8)))
    if not count or count < 0 or count > bytes then
      refusal.raise("expected the storage %s in the file, got its end", options.describe(key))
    end
    places[key] = at + 8
    at = at + 8 + count * sizes[key]
  end
  return places
end

local function in_file(container, room)
  local text, at, load, sizes, values = stored.bytes(container, 1), 1, loader(), {}, {}
  local function sized(id, m)
    local storage = load(id, m)
    sizes[storage.key] = storage.size
    return storage
  end
  for n = 1, 5 do -- a magic number, a version, the machine; the value; the keys of storages
    values[n], at, room = pickle.run { text = text, at = at, room = room, calls = CALLS, load = sized }
  end
  if not is_kind(values[5], "list") then
    refusal.raise "expected a list of storages behind the tensors, got another value"
  end
  local places = storage_places(container, values[5], sizes, at - 1)
  return flattened(values[4], room), function(storage)
    return 1, places[storage.key] or refusal.raise("expected the storage %s, got none", options.describe(storage.key))
  end
end

local function contents(container, places)
  local room = 3 * container:size() + (1 << 18)
  if places then
    return in_zip(container, places, room)
  end
  return in_file(container, room)
end

-- --- Reading -------------------------------------------------------------------------------------------------

--- The tensors of a container by name, and the numbers and texts beside them.
---@param container saros.Container
---@param places table<string, integer>?  members by name, of a zip
---@return table<string, saros.Tensor> tensors
---@return table<string, string> metadata
function pytorch.read_container(container, places)
  local found, place_of = contents(container, places)
  local tensors, elements = {}, {}
  for _, entry in ipairs(found) do
    local tensor, storage = entry.tensor, entry.tensor.storage
    stored.check_shape(tensor.shape, entry.name)
    if not elements[storage] then
      local n, from, swapped = place_of(storage)
      elements[storage] = refusal.check(container:elements(n, storage.type, from, storage.count, swapped))
    end
    tensors[entry.name] = stored.view(elements[storage], tensor.offset, tensor.shape, tensor.strides, entry.name)
  end
  return tensors, found.metadata
end

---@param container saros.Container
---@param places table<string, integer>?
---@return table fields  of a description
function pytorch.describe_container(container, places)
  local found, list = contents(container, places), {}
  for n, entry in ipairs(found) do
    local shape = entry.tensor.shape
    list[n] = { name = entry.name, type = entry.tensor.storage.type, shape = shape,
      bytes = stored.check_shape(shape, entry.name) * entry.tensor.storage.size }
  end
  return { tensors = list, metadata = found.metadata }
end

return pytorch
