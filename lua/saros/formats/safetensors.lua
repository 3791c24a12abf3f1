--- Safetensors, as a format among others: see saros.formats.

local core = require "saros.core"
local Description = require "saros.formats.description"

local safetensors = { name = "safetensors" }

--- A header's length in 8 bytes, and the header.
---@param beginning string  the first bytes of a file
function safetensors.fits(beginning)
  return #beginning > 8 and beginning:byte(9) == ("{"):byte()
end

safetensors.read = core.read_tensors

-- The kind of model that the metadata describes; nil if there is none.
local function model_of(metadata)
  local model = metadata.saros and core.json_decode(metadata.saros)
  return type(model) == "table" and type(model.kind) == "string" and model.kind or nil
end

---@param path string
---@return table? fields  of a description
---@return string? message
function safetensors.describe(path)
  local tensors, metadata = core.describe_tensors(path)
  if not tensors then
    return nil, metadata --[[@as string]]
  end
  for _, tensor in ipairs(tensors) do
    tensor.bytes = Description.bytes_of(tensor.type, tensor.shape)
  end
  return { tensors = tensors, metadata = metadata, model = model_of(metadata) }
end

return safetensors
