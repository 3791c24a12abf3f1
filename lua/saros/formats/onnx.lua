--- The initializers of ONNX files, as a format among others: see saros.formats. Weights of LSTM,
--- GRU and RNN are called by their node and role, as names = "onnx" of net:load has them:
--- "encoder/lstm/W". saros.onnx.read makes a model of the whole file.

local Description = require "saros.formats.description"
local lazy = require "saros.lazy"
local refusal = require "saros.formats.refusal"

local late = lazy({}, {
  open = { "saros.onnx.file", "open" },
  read = { "saros.onnx.tensors", "read" },
  is_tensor = { "saros.onnx.tensors", "is_tensor" },
  inspect = { "saros.onnx", "inspect" },
})

local onnx = { name = "onnx" }

-- ONNX' numbers of types -> names in safetensors
local TYPES = {
  [1] = "F32", [2] = "U8", [3] = "I8", [5] = "I16", [6] = "I32", [7] = "I64", [9] = "BOOL", [10] = "F16", [11] = "F64",
  [16] = "BF16",
}
local FIRST_FIELDS = "[\x12\x1a\x22\x28\x32\x3a\x42]" -- what may follow a version in a model
local MOST_VERSION = 31
local RECURRENT = { LSTM = true, GRU = true, RNN = true }
local ROLES = { [2] = "W", [3] = "R", [4] = "B" } -- inputs of such a node

--- The version of the format, and another field of a model.
---@param beginning string
function onnx.fits(beginning)
  local version = beginning:byte(2)
  return #beginning > 2 and beginning:byte(1) == 8 and version > 0 and version <= MOST_VERSION
    and beginning:sub(3, 3):find(FIRST_FIELDS) ~= nil
end

-- What other programs raise as a text is a refusal here.
local function attempt(f, ...)
  local ok, first, second = pcall(f, ...)
  if not ok and type(first) == "string" then
    refusal.raise("%s", first)
  elseif not ok then
    error(first, 0)
  end
  return first, second
end

-- The names of weights of recurrent layers, by those of their initializers.
local function role_names(graph)
  local names = {}
  for _, node in ipairs(graph.node or {}) do
    for place, role in pairs(RECURRENT[node.op_type] and ROLES or {}) do
      local name = (node.input or {})[place]
      if name and name ~= "" and node.name and node.name ~= "" then
        names[name] = ("%s/%s"):format(node.name:gsub("^/", ""), role)
      end
    end
  end
  return names
end

-- Calls each(name, proto) for the initializers; returns the texts of the file.
local function walk(model, each)
  local names, seen, metadata = role_names(model.graph), {}, {}
  for _, entry in ipairs(model.metadata_props or {}) do
    metadata[entry.key or ""] = entry.value or ""
  end
  for _, proto in ipairs(model.graph.initializer or {}) do
    local name = names[proto.name or ""] or proto.name or ""
    if seen[name] then
      refusal.raise("expected each name once, got %q twice", name)
    end
    seen[name] = true
    each(name, proto, metadata)
  end
  return metadata
end

local function read(path)
  local model, source = attempt(late.open, path, false)
  local tensors = {}
  local metadata = walk(model, function(name, proto, texts)
    local value = TYPES[proto.data_type] and attempt(late.read, source, proto)
    if value and late.is_tensor(value) then
      tensors[name] = value
    else
      texts[name] = "left out: of a type of shapes, or that tensors cannot have"
    end
  end)
  return tensors, metadata
end

local function describe(path)
  local list = {}
  local model = attempt(late.open, path, false)
  local metadata = walk(model, function(name, proto)
    local kind, shape = TYPES[proto.data_type] or "?", proto.dims or {}
    list[#list + 1] = { name = name, type = kind, shape = shape, bytes = Description.bytes_of(kind, shape) }
  end)
  return { tensors = list, metadata = metadata, graph = attempt(late.inspect, path), note = "read by saros.onnx.read" }
end

--- The initializers by name.
---@param path string
---@return table<string, saros.Tensor>? tensors
---@return table<string, string>|string metadata  texts of the file, and what was left out; or the message
function onnx.read(path)
  return refusal.guard(read, path)
end

---@param path string
---@return table? fields  of a description
---@return string? message
function onnx.describe(path)
  return refusal.guard(describe, path)
end

return onnx
