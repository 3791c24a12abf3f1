--- NumPy's files: .npy, one array, and .npz, a zip of them. Elements are numbers or
--- booleans in either order of bytes, by rows or by columns; arrays of objects, which
--- are pickles, are refused.

local options = require "saros.options"
local refusal = require "saros.formats.refusal"
local stored = require "saros.formats.stored"

local numpy = { name = "numpy" }

local MAGIC = "\x93NUMPY"
local MOST_HEADER = 1 << 10
local SUFFIX = ".npy"

-- "f4" -> the name in safetensors, bytes
local TYPES = {
  f8 = { "F64", 8 }, f4 = { "F32", 4 }, f2 = { "F16", 2 }, i8 = { "I64", 8 }, i4 = { "I32", 4 }, i2 = { "I16", 2 },
  i1 = { "I8", 1 }, u1 = { "U8", 1 }, b1 = { "BOOL", 1 },
}

---@param beginning string
function numpy.fits(beginning)
  return beginning:sub(1, #MAGIC) == MAGIC
end

--- True if a zip with these members is one of NumPy's.
---@param places table<string, integer>
function numpy.fits_zip(places)
  for name in pairs(places) do
    if name:sub(-#SUFFIX) ~= SUFFIX then
      return false
    end
  end
  return next(places) ~= nil
end

-- --- The header: a dictionary in Python's notation ------------------------------------------

local function parse_type(text, name)
  local order, code = text:match "^([<>|=])([a-z]%d)$"
  if not TYPES[code] then
    refusal.raise("expected numbers of %s for %s, got type %s", "f2, f4, f8, i1, i2, i4, i8, u1 or b1",
      options.describe(name), options.describe(text))
  end
  return { type = TYPES[code][1], size = TYPES[code][2], swapped = order == ">" }
end

local function parse_shape(text, name)
  local shape = {}
  for part in text:gmatch "[^,]+" do
    local size = part:match "^%s*(%d+)L?%s*$"
    if not size and (part:find "%S" or #shape == 0) then
      refusal.raise("expected a shape for %s, got %s", options.describe(name), options.describe(text))
    end
    shape[#shape + 1] = size and (math.tointeger(tonumber(size)) or -1)
  end
  return shape
end

local function parse(text, name)
  local descr = text:match "^{.*'descr'%s*:%s*'([^']*)'.*}%s*$"
  local fortran = text:match "'fortran_order'%s*:%s*(%a+)"
  local shape = text:match "'shape'%s*:%s*%(([^()]*)%)"
  if not descr or (fortran ~= "True" and fortran ~= "False") or not shape then
    refusal.raise("expected a header { descr, fortran_order, shape } of simple elements for %s, got %s",
      options.describe(name), options.describe(text))
  end
  local array = parse_type(descr, name)
  array.shape, array.by_columns = parse_shape(shape, name), fortran == "True"
  return array
end

-- What the header of a member says, and where its elements begin.
local function header(container, n, name)
  local _, bytes = container:member(n)
  local beginning = refusal.check(container:read(n, 0, math.min(bytes, 12)))
  if not numpy.fits(beginning) or #beginning < 12 then
    refusal.raise("expected an array for %s, got other bytes", options.describe(name))
  end
  local is_short = beginning:byte(7) == 1
  local size = is_short and string.unpack("<I2", beginning, 9) or string.unpack("<I4", beginning, 9)
  local from = is_short and 10 or 12
  if size > MOST_HEADER or from + size > bytes then
    refusal.raise("expected a header of at most %d bytes for %s, got %d", math.min(MOST_HEADER, bytes - from),
      options.describe(name), size)
  end
  local array = parse(refusal.check(container:read(n, from, size)), name)
  array.n, array.name, array.from = n, name, from + size
  array.count = stored.check_shape(array.shape, name)
  if array.count * array.size ~= bytes - array.from then
    refusal.raise("expected %d bytes of elements for %s, got %d", array.count * array.size, options.describe(name),
      bytes - array.from)
  end
  return array
end

local function arrays(container)
  local list = {}
  for name, n in pairs(stored.members(container)) do
    list[#list + 1] = header(container, n, name == "" and "array" or name:sub(1, -#SUFFIX - 1))
  end
  table.sort(list, function(a, b) return a.n < b.n end)
  return list
end

-- --- Reading ---------------------------------------------------------------------------------

--- The arrays of a container by name; that of a .npy file is "array".
---@param container saros.Container
---@return table<string, saros.Tensor> tensors
---@return table<string, string> metadata  empty
function numpy.read_container(container)
  local tensors = {}
  for _, array in ipairs(arrays(container)) do
    local elements = refusal.check(container:elements(array.n, array.type, array.from, array.count, array.swapped))
    tensors[array.name] = stored.view(elements, 0, array.shape, stored.strides(array.shape, array.by_columns),
      array.name)
  end
  return tensors, {}
end

---@param container saros.Container
---@return table fields  of a description
function numpy.describe_container(container)
  local list = {}
  for n, array in ipairs(arrays(container)) do
    list[n] = { name = array.name, type = array.type, shape = array.shape, bytes = array.count * array.size }
  end
  return { tensors = list, metadata = {} }
end

return numpy
