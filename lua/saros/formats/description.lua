--- What a file of tensors holds: the result of saros.inspect_file, which prints as a table.

local core = require "saros.core"
local sorted = require "saros.sorted"

---@class saros.FileDescription
---@field path string
---@field format string  "safetensors"
---@field bytes integer  of the file
---@field tensors { name: string, type: string, shape: integer[], bytes: integer }[]
---@field metadata table<string, string>
---@field model string?  the kind of model that saros.load builds from it
---@field note string?  what else there is to say of it
---@field graph saros.onnx.Summary?  of an ONNX file, what saros.onnx.inspect tells
local Description = {}
Description.__index = Description
Description.__name = "saros.FileDescription"

-- Characters of a metadata value that are printed.
local SHOWN = 60

local BITS = {
  F64 = 64, F32 = 32, F16 = 16, BF16 = 16, I64 = 64, I32 = 32, I16 = 16, I8 = 8, U8 = 8, BOOL = 8,
}

--- The bytes of a tensor in a file; nil for a type that is not known.
---@param type string
---@param shape integer[]
---@return integer?
function Description.bytes_of(type, shape)
  local count = 1
  for _, size in ipairs(shape) do
    count = count * size
  end
  return BITS[type] and count * BITS[type] // 8
end

---@param fields table  of the class
---@return saros.FileDescription
function Description.new(fields)
  return setmetatable(fields, Description)
end

local function size_text(bytes)
  if bytes < 10240 then
    return bytes .. " bytes"
  end
  return bytes < 1 << 20 and core.format("%.1f KiB", bytes / 1024) or core.format("%.1f MiB", bytes / (1 << 20))
end

local function shortened(text)
  text = text:gsub("%c", " ")
  return #text <= SHOWN and text or text:sub(1, SHOWN) .. ("... (%d bytes)"):format(#text)
end

local function heading(self)
  local parts = { self.format, size_text(self.bytes), ("%d tensor%s"):format(#self.tensors,
    #self.tensors == 1 and "" or "s") }
  parts[#parts + 1] = self.model and ("a model of the kind %q"):format(self.model) or nil
  parts[#parts + 1] = self.note
  return ("%s: %s"):format(self.path, table.concat(parts, ", "))
end

function Description:__tostring()
  local lines, width = { heading(self), self.graph and tostring(self.graph) }, 0
  for _, tensor in ipairs(self.tensors) do
    width = math.min(math.max(width, #tensor.name), SHOWN)
  end
  for _, tensor in ipairs(self.tensors) do
    lines[#lines + 1] = ("  %s%s  %-4s  (%s)"):format(tensor.name:gsub("%c", "?"),
      (" "):rep(width - #tensor.name), tensor.type, table.concat(tensor.shape, ", "))
  end
  for _, key in ipairs(sorted.keys(self.metadata)) do
    lines[#lines + 1] = ("  metadata %s: %s"):format(shortened(key), shortened(self.metadata[key]))
  end
  return table.concat(lines, "\n")
end

return Description
