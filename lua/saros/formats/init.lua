--- Formats of files with tensors, told apart by what is in a file. Each is a module with
---
---     name        as messages and descriptions have it
---     fits        true if a file that begins with these bytes is one
---     fits_zip    the same of a zip with these members; or false
---
--- and readers that give tensors by name and strings about them, or fields of a
--- description: of a path (read, describe) or of a container (read_container,
--- describe_container).

local core = require "saros.core"
local options = require "saros.options"
local audio = require "saros.formats.audio"
local hdf5 = require "saros.formats.hdf5"
local numpy = require "saros.formats.numpy"
local onnx = require "saros.formats.onnx"
local pytorch = require "saros.formats.pytorch"
local refusal = require "saros.formats.refusal"
local safetensors = require "saros.formats.safetensors"
local stored = require "saros.formats.stored"
local Description = require "saros.formats.description"

local formats = {}

local FORMATS = { safetensors, numpy, pytorch, hdf5, onnx, audio }

-- Bytes at the beginning of a file that tell its format.
local BEGINNING = 64

local check_read = options.declare("read_tensors", {
  { "limit", options.optional(options.size) },
})

local function names()
  local list = {}
  for n, format in ipairs(FORMATS) do
    list[n] = format.name
  end
  return table.concat(list, ", ")
end

local function unknown(what)
  refusal.raise("expected a file in one of these formats: %s; got %s", names(), what)
end

-- Its format by the members of a zip, and the members.
local function format_of_zip(container)
  local places = stored.members(container)
  for _, format in ipairs(FORMATS) do
    if format.fits_zip and format.fits_zip(places) then
      return format, places
    end
  end
  unknown "a zip of something else"
end

local function format_of(beginning)
  for _, format in ipairs(FORMATS) do
    if format.fits(beginning) then
      return format
    end
  end
  unknown("one that begins with " .. options.describe(beginning:sub(1, 8)))
end

-- The format of an open file, and the members of a zip.
local function format_in(container)
  local name, size = "", 0
  if #container > 0 then
    name, size = container:member(1)
  end
  if #container ~= 1 or name ~= "" then
    return format_of_zip(container)
  end
  return format_of(refusal.check(container:read(1, 0, math.min(size, BEGINNING))))
end

-- Calls a reader of the format of a file: "read" or "describe".
local function run(what, path, limit)
  local container <close> = refusal.check(core.open_container(path, limit))
  local format, places = format_in(container)
  local read, source = format[what], path
  if not read then
    read, source = format[what .. "_container"], container
  end
  local first, second = refusal.check(read(source, places))
  return format, first, second, container:size()
end

-- Refusals begin with the path, unless they have it.
local function guarded(owner, what, path, limit)
  local function named(format, ...)
    if not format then
      local message = ...
      local place = message:find(path, 1, true) and "" or path .. ": "
      return nil, owner .. ": " .. place .. message
    end
    return format, ...
  end
  return named(refusal.guard(run, what, path, limit))
end

--- Tensors by name of a file in any of the formats: their elements are what the file has,
--- ids count from 1.
---@param path string
---@param given? { limit?: integer }  bytes that the tensors may take: four times those of the file, and 1 MiB
---@param owner? string  begins the message ("read_tensors")
---@return table<string, saros.Tensor>? tensors  may be views of each other, as they share storages in the file
---@return table<string, string>|string metadata  or the message
---@return string? format
function formats.read(path, given, owner)
  owner = owner or "read_tensors"
  options.argument(owner, 1, options.string, path)
  local format, tensors, metadata = guarded(owner, "read", path, check_read(given).limit)
  if not format then
    return nil, tensors
  end
  return tensors, metadata, format.name
end

--- What is in a file: names, shapes and types of its tensors, its metadata, and whether
--- it holds a model; of an ONNX file what its graph takes and gives, too. No element is read.
---@param path string
---@return saros.FileDescription? description  prints well
---@return string? message  if it cannot be read, or has no known format
function formats.inspect_file(path)
  options.argument("inspect_file", 1, options.string, path)
  local format, fields, _, size = guarded("inspect_file", "describe", path)
  if not format then
    return nil, fields
  end
  fields.path, fields.format, fields.bytes = path, fields.format or format.name, size
  return Description.new(fields)
end

return formats
