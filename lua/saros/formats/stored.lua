--- Tensors that a container stores: elements from a byte on, and views of them.

local core = require "saros.core"
local options = require "saros.options"
local refusal = require "saros.formats.refusal"

local stored = {}

local MOST_RANK = 8
local MOST_SIZE = (1 << 31) - 1

--- The members of a container by name; a name that comes twice is refused.
---@param container saros.Container
---@return table<string, integer> places
function stored.members(container)
  local places = {}
  for n = 1, #container do
    local name = container:member(n)
    if places[name] then
      refusal.raise("expected each name once, got %s twice", options.describe(name))
    end
    places[name] = n
  end
  return places
end

--- All bytes of a member.
---@param container saros.Container
---@param n integer
---@return string
function stored.bytes(container, n)
  local _, size = container:member(n)
  return refusal.check(container:read(n, 0, size))
end

--- A shape that a tensor can have, or a refusal.
---@param shape any[]
---@param name string  of the tensor
---@return integer count  of elements
function stored.check_shape(shape, name)
  local count = 1
  if #shape > MOST_RANK then
    refusal.raise("expected at most %d axes for %s, got %d", MOST_RANK, options.describe(name), #shape)
  end
  for _, size in ipairs(shape) do
    if math.type(size) ~= "integer" or size < 0 or size > MOST_SIZE then
      refusal.raise("expected sizes in 0..%d for %s, got %s", MOST_SIZE, options.describe(name),
        options.describe(size))
    end
    count = count * size
    if count > MOST_SIZE then
      refusal.raise("expected at most %d elements for %s, got more", MOST_SIZE, options.describe(name))
    end
  end
  return count
end

--- The strides of row-major elements, or of column-major ones.
---@param shape integer[]
---@param by_columns? boolean
---@return integer[]
function stored.strides(shape, by_columns)
  local strides, step = {}, 1
  for n = 1, #shape do
    local axis = by_columns and n or #shape + 1 - n
    strides[axis], step = step, step * shape[axis]
  end
  return strides
end

--- A view of elements (n): from a place on, counted from 0, so far apart.
---@param elements saros.Tensor
---@param offset integer
---@param shape integer[]
---@param strides integer[]
---@param name string
---@return saros.Tensor
function stored.view(elements, offset, shape, strides, name)
  for _, size in ipairs(shape) do
    if size == 0 then
      return elements:slice(1, 1, 0):reshape(shape)
    end
  end
  local ok, view = pcall(core.strided, elements, offset, shape, strides)
  if not ok then
    refusal.raise("expected places within %d elements for %s, got others", elements:count(), options.describe(name))
  end
  return view
end

return stored
