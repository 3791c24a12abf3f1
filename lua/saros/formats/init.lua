--- Formats of files with tensors, told apart by how a file begins. Each is a module with
---
---     name       as messages and descriptions have it
---     fits       true if a file that begins with these bytes is one
---     read       its tensors by name and strings about them; nil and a message
---     describe   fields of a description: tensors, metadata; nil and a message

local files = require "saros.files"
local options = require "saros.options"
local safetensors = require "saros.formats.safetensors"
local Description = require "saros.formats.description"

local formats = {}

local FORMATS = { safetensors }

-- Bytes at the beginning of a file that tell its format.
local BEGINNING = 64

local function names()
  local list = {}
  for n, format in ipairs(FORMATS) do
    list[n] = format.name
  end
  return table.concat(list, ", ")
end

-- The format of a file and its size; nil and a message.
local function format_of(path)
  local file <close>, message = files.open(path)
  if not file then
    return nil, message
  end
  local beginning, size = file:read(BEGINNING), file:seek "end"
  if not beginning or not size then
    return nil, ("%s: expected a file, got %s"):format(path, files.is_folder(path) and "a folder" or "no bytes")
  end
  for _, format in ipairs(FORMATS) do
    if format.fits(beginning) then
      return format, size
    end
  end
  return nil, ("%s: expected a file in one of these formats: %s; got one that begins with %s"):format(
    path, names(), options.describe(beginning:sub(1, 8)))
end

--- What is in a file: names, shapes and types of its tensors, its metadata, and whether
--- it holds a model. No element is read.
---@param path string
---@return saros.FileDescription? description  prints well
---@return string? message  if it cannot be read, or has no known format
function formats.inspect_file(path)
  options.argument("inspect_file", 1, options.string, path)
  local format, size = format_of(path)
  if not format then
    return nil, "inspect_file: " .. size
  end
  local fields, message = format.describe(path)
  if not fields then
    return nil, "inspect_file: " .. message
  end
  fields.path, fields.format, fields.bytes = path, fields.format or format.name, size
  return Description.new(fields)
end

return formats
