--- HDF5, in the form that h5py writes by default and Keras' .weights.h5 and .h5 have:
--- groups as symbol tables (superblock 0, object headers 1) and datasets of numbers in one
--- piece (HDF5 File Format Specification 3.0, sections II to IV). Anything else is refused,
--- but for datasets of types that tensors cannot have, such as the states of random
--- generators, which are left out and named in the metadata. A .keras file is a zip with
--- such a file in it, and is read as it is.
---
--- The reader is the toolkit's own because the library does not survive damaged files:
--- of 20,000 mutants of packed.h5 (spec/references/formats) libhdf5 1.10.8 crashed at 24, and
--- one of 18 KiB took 1.8 GB. Each group is entered once, depth and the memory of names
--- are bounded.

local refusal = require "saros.formats.refusal"
local stored = require "saros.formats.stored"

local hdf5 = { name = "hdf5" }

local SIGNATURE = "\x89HDF\r\n\x1a\n"
local IN_KERAS = "model.weights.h5" -- a member of a .keras file
local MOST_DEPTH, MOST_NAME, MOST_BLOCK = 32, 512, 1 << 16
local REPACK = '"h5repack -f NONE -l CONTI in.h5 out.h5" of hdf5-tools makes such a file'

---@param beginning string
function hdf5.fits(beginning)
  return beginning:sub(1, #SIGNATURE) == SIGNATURE
end

--- True if a zip with these members is one of Keras.
---@param places table<string, integer>
function hdf5.fits_zip(places)
  return places[IN_KERAS] ~= nil
end

-- --- Bytes of the file ----------------------------------------------------------------------------

-- Charges memory and reads, so that both are bounded by the file's size.
local function spend(file, bytes)
  file.room = file.room - bytes
  if file.room < 0 then
    refusal.raise "expected fewer names and blocks for the file's bytes, got more"
  end
end

local function bytes(file, at, size)
  if at < 0 or size > MOST_BLOCK or at > file.size - size then
    refusal.raise("expected %d bytes at byte %d, got the end of the file", size, at)
  end
  spend(file, 16 + size // 8)
  return file.text and file.text:sub(at + 1, at + size) or refusal.check(file.container:read(1, at, size))
end

-- Numbers by a format of string.unpack, behind a mark, if there is one.
local function fields(file, at, format, mark)
  local text = bytes(file, at, string.packsize(format))
  if mark and text:sub(1, #mark) ~= mark then
    refusal.raise("expected %s at byte %d, got another block", mark, at)
  end
  return string.unpack(format, text)
end

-- A name in the heap of a group.
local function name_at(file, heap, offset)
  if offset < 0 or offset >= heap.size then
    refusal.raise "expected a name within the names of its group, got another place"
  end
  local text = bytes(file, heap.data + offset, math.min(MOST_NAME, heap.size - offset))
  return text:match "^([^%z]+)%z" or refusal.raise("expected a name of at most %d bytes, got more", MOST_NAME - 1)
end

-- --- Messages of an object ---------------------------------------------------------------------------

local SYMBOL_TABLE, DATASPACE, DATATYPE, LAYOUT, FILTERS, CONTINUATION = 0x11, 1, 3, 8, 11, 0x10

-- The messages of an object header, by type: { at, size }.
local function messages(file, at)
  local version, _, count, _, size = fields(file, at, "<BBI2I4I4")
  if version ~= 1 then
    refusal.raise "expected an HDF5 file as h5py writes by default (libver \"earliest\"), got another version"
  end
  local found, blocks, seen = {}, { { at + 16, size } }, 0
  for _, block in ipairs(blocks) do
    local place, last = block[1], block[1] + block[2]
    while place + 8 <= last and seen < count do
      local kind, length = fields(file, place, "<I2I2")
      if kind == CONTINUATION then
        blocks[#blocks + 1] = { fields(file, place + 8, "<i8i8") }
      end
      found[kind] = found[kind] or { at = place + 8, size = length }
      place, seen = place + 8 + length, seen + 1
    end
  end
  return found
end

-- --- Datasets --------------------------------------------------------------------------------------------

local FLOATS = { [8] = { "F64", 11 }, [4] = { "F32", 8 }, [2] = { "F16", 5 } } -- and bits of the exponent
local INTEGERS = { [8] = "I64", [4] = "I32", [2] = "I16", [1] = "I8" }

-- The name of a type in safetensors, its bytes and order; nil for one that tensors cannot have.
local function type_of(file, message)
  local class, bits, size = fields(file, message.at, "<BI3I4")
  class = class & 15
  if class == 1 and FLOATS[size] then
    local exponent = select(4, fields(file, message.at + 8, "<I2I2BB"))
    return exponent == FLOATS[size][2] and FLOATS[size][1] or nil, size, bits & 1 == 1
  elseif class == 0 then
    local is_signed = bits & 8 ~= 0
    return is_signed and INTEGERS[size] or (size == 1 and "U8" or nil), size, bits & 1 == 1
  end
end

local function shape_of(file, message, name)
  local version, rank = fields(file, message.at, "<BB")
  if version ~= 1 and version ~= 2 or rank > 8 then
    refusal.raise("expected a shape of at most 8 sizes for %q, got another", name)
  end
  local shape, at = {}, message.at + (version == 1 and 8 or 4)
  for axis = 1, rank do
    shape[axis] = fields(file, at + 8 * (axis - 1), "<i8")
  end
  return shape
end

local function add_dataset(file, found, name)
  local layout, space = found[LAYOUT], found[DATASPACE]
  if not layout or not space then
    return
  end
  local kind, size, swapped = type_of(file, found[DATATYPE])
  if not kind then
    file.metadata[name] = "left out: of a type that tensors cannot have"
    return
  end
  local shape = shape_of(file, space, name)
  local count = stored.check_shape(shape, name)
  local version, class = fields(file, layout.at, "<BB")
  if found[FILTERS] or version < 3 or class > 1 then
    refusal.raise("expected elements in one piece, not packed, for %q, got others; %s", name, REPACK)
  end
  local from, length
  if class == 0 then
    from, length = layout.at + 4, (fields(file, layout.at + 2, "<I2"))
  else
    from, length = fields(file, layout.at + 2, "<i8i8")
  end
  if count > 0 and (from < 0 or from > file.size or length < count * size) then
    refusal.raise("expected %d bytes of elements in the file for %q, got %d", count * size, name, length)
  end
  table.insert(file.datasets, { name = name, type = kind, shape = shape, count = count, bytes = count * size,
    from = count > 0 and from or 0, swapped = swapped })
end

-- --- Groups ------------------------------------------------------------------------------------------------

local visit

local function visit_symbols(file, at, heap, prefix, depth)
  local _, _, _, count = fields(file, at, "<c4BBI2", "SNOD")
  for n = 0, count - 1 do
    local offset, header = fields(file, at + 8 + 40 * n, "<i8i8")
    local name = name_at(file, heap, offset)
    visit(file, header, prefix == "" and name or prefix .. "/" .. name, depth + 1)
  end
end

local function visit_tree(file, at, heap, prefix, depth)
  local _, kind, level, count = fields(file, at, "<c4BBI2", "TREE")
  if kind ~= 0 or depth > MOST_DEPTH or file.entered[at] then
    refusal.raise "expected a tree of names, got another"
  end
  file.entered[at] = true
  for n = 0, count - 1 do
    local child = fields(file, at + 32 + 16 * n, "<i8")
    local enter = level == 0 and visit_symbols or visit_tree
    enter(file, child, heap, prefix, depth + 1)
  end
end

function visit(file, at, name, depth)
  spend(file, #name + 300)
  local found = messages(file, at)
  local group = found[SYMBOL_TABLE]
  if group then
    local tree, heap = fields(file, group.at, "<i8i8")
    local _, _, size, _, data = fields(file, heap, "<c4Bxxxi8i8i8", "HEAP")
    return visit_tree(file, tree, { size = size, data = data }, name, depth)
  elseif found[DATATYPE] then
    add_dataset(file, found, name)
  end
end

-- The file, or the one in a zip, which is short enough to be in memory while names are read.
local function open(container, places)
  local member = places and places[IN_KERAS] or 1
  local _, size = container:member(member)
  local file = { container = container, member = member, size = size, room = 4 * size + (1 << 18),
    text = places and stored.bytes(container, member), datasets = {}, metadata = {}, entered = {} }
  local version, offsets, lengths = fields(file, 8, "<BxxxxBB")
  if version ~= 0 or offsets ~= 8 or lengths ~= 8 then
    refusal.raise "expected an HDF5 file as h5py writes by default (libver \"earliest\"), got another version"
  end
  visit(file, (fields(file, 64, "<i8")), "", 1)
  local seen = {}
  for _, dataset in ipairs(file.datasets) do
    if seen[dataset.name] then
      refusal.raise("expected each name once, got %q twice", dataset.name)
    end
    seen[dataset.name] = true
  end
  return file
end

-- --- Reading -------------------------------------------------------------------------------------------------

--- The datasets of numbers by their paths: "layers/lstm/cell/vars/0".
---@param container saros.Container
---@param places table<string, integer>?  members by name, of a zip
---@return table<string, saros.Tensor> tensors
---@return table<string, string> metadata  datasets that were left out
function hdf5.read_container(container, places)
  local file, tensors = open(container, places), {}
  for _, d in ipairs(file.datasets) do
    local elements = refusal.check(container:elements(file.member, d.type, d.from, d.count, d.swapped))
    tensors[d.name] = stored.view(elements, 0, d.shape, stored.strides(d.shape), d.name)
  end
  return tensors, file.metadata
end

---@param container saros.Container
---@param places table<string, integer>?
---@return table fields  of a description
function hdf5.describe_container(container, places)
  local file, list = open(container, places), {}
  for n, d in ipairs(file.datasets) do
    list[n] = { name = d.name, type = d.type, shape = d.shape, bytes = d.bytes }
  end
  return { tensors = list, metadata = file.metadata }
end

return hdf5
