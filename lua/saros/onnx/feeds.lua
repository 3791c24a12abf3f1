--- What goes into a graph and what comes out, between Saros' axes, (T, B, F), and those of the file.

local core = require "saros.core"
local axes = require "saros.onnx.axes"
local file = require "saros.onnx.file"
local permute = require "saros.onnx.permute"
local tensors = require "saros.onnx.tensors"
local work = require "saros.onnx.work"

local feeds = {}

-- Ids of an input whose table is not found.
local MOST_IDS = 1 << 20

local INTEGERS = { [2] = true, [3] = true, [5] = true, [6] = true, [7] = true }

---@class saros.onnx.Feed
---@field name string
---@field letters string  see saros.onnx.axes
---@field is_ids boolean
---@field dims (integer|string|false)[]
---@field features integer[]  sizes of the axes of features, in order
---@field width integer?
---@field count integer?  of ids
---@field is_once boolean  given once for a sequence, (B, F): it has no axis of time, and others do
---@field is_lengths boolean  the graph's sequence_lens, which a caller gives as `lengths`
---@field is_optional boolean  are lengths for layers alone, which take rows to be whole without?

local MOVING = { Cast = true, Transpose = true, Identity = true, Unsqueeze = true, Squeeze = true, Reshape = true }

--- How many rows the table has in which ids are looked up.
local function rows_of_table(graph, name)
  for _, node in ipairs(graph.nodes) do
    local x = node.op == "Gather" and node.inputs[2] == name and graph:constant(node.inputs[1])
    if x and tensors.is_tensor(x) then
      return x:size(1)
    elseif MOVING[node.op] and node.inputs[1] == name then
      local count = rows_of_table(graph, node.outputs[1])
      if count then
        return count
      end
    end
  end
end

--- True if all that reads a name takes lengths of rows.
local function is_lengths(graph, name)
  local found = false
  for _, node in ipairs(graph.nodes) do
    for n, input in ipairs(node.inputs) do
      if input == name and node.op == "Cast" then
        return is_lengths(graph, node.outputs[1])
      elseif input == name and not (n == 5 and node.entry.initial) then
        return false
      end
      found = found or input == name
    end
  end
  return found
end

local function feature_sizes(feed, features)
  local sizes, width = {}, 1
  for k = 1, #feed.letters do
    if feed.letters:sub(k, k) == "F" then
      local dim = math.type(feed.dims[k]) == "integer" and feed.dims[k] or features
      if not dim or dim < 1 then
        error(("expected a known size for axis %d of input %q (%s), got none"):format(k, feed.name, feed.letters), 0)
      end
      sizes[#sizes + 1], width = dim, width * dim
    end
  end
  return sizes, width
end

--- Axes of time whose size the file fixes as features: beside states, which are carried from one piece of the
--- input to the next, such a piece is one step.
local function of_piece(letters, dims)
  return (letters:gsub("()T", function(k) return math.type(dims[k]) == "integer" and "F" or nil end))
end

--- An input of a graph.
---@param graph saros.onnx.Graph
---@param info table  ValueInfo
---@param letters? string  where the caller says them
---@param has_states boolean  of the graph
---@return saros.onnx.Feed
function feeds.of(graph, info, letters, has_states)
  local dims, kind = file.dims(info)
  local feed = { name = info.name, is_ids = INTEGERS[kind] or false, dims = dims or {} }
  feed.is_optional = feed.is_ids and is_lengths(graph, info.name)
  feed.is_lengths = feed.is_optional or feed.is_ids and #feed.dims == 1 and info.name == "lengths"
  if feed.is_lengths then
    return feed
  end
  local guess, features = axes.guess(graph, info, feed.is_ids)
  feed.letters = letters or has_states and of_piece(guess, feed.dims) or guess
  if dims and #dims ~= #feed.letters then
    error(("expected axes of input %q as %d letters, got %q"):format(info.name, #dims, feed.letters), 0)
  end
  if feed.is_ids then
    feed.count = rows_of_table(graph, info.name) or MOST_IDS
  else
    feed.features, feed.width = feature_sizes(feed, features)
  end
  return feed
end

--- The value of an input from x (T, B, F), or (B, F) where a graph is one step, or ids without F.
---@param feed saros.onnx.Feed
---@param x saros.Tensor
---@param is_step boolean
---@return saros.Tensor
function feeds.into(feed, x, is_step)
  is_step = is_step or feed.is_once
  local places, order, sizes = { T = not is_step and 1 or nil, B = is_step and 1 or 2 }, {}, {}
  local rows = x:shape()
  local shape = { table.unpack(rows, 1, is_step and 1 or 2) }
  table.move(feed.features or {}, 1, #(feed.features or {}), #shape + 1, shape)
  x = feed.features and #feed.features ~= 1 and x:reshape(shape) or x
  local at = is_step and 1 or 2
  for k = 1, #feed.letters do
    local letter = feed.letters:sub(k, k)
    if letter == "F" then
      at = at + 1
      order[#order + 1], sizes[k] = at, shape[at]
    elseif letter == "1" then
      sizes[k] = 1
    else
      order[#order + 1], sizes[k] = places[letter], shape[places[letter]]
    end
  end
  if #order == #shape then
    x = permute(x, order)
  end
  return #order == #shape and #sizes == #order and x or x:reshape(sizes)
end

--- Some value for an input, of zeros or first ids.
---@param feed saros.onnx.Feed
---@param budget? saros.onnx.Budget
function feeds.sample(feed, T, B, is_step, budget)
  is_step = is_step or feed.is_once
  work.check_shape({ T, B, feed.width or 1 }, budget)
  if feed.is_ids then
    local x = core.ids(core.ones(T * B))
    return is_step and x or x:reshape(T, B)
  end
  return is_step and core.zeros(B, feed.width) or core.zeros(T, B, feed.width)
end

--- The places of time and rows in an output, from its shapes for two pairs of sizes. Time may have come to be
--- shorter, as behind a convolution.
---@param shapes integer[][]
---@param sizes integer[][]  { T, B }
---@return { T: integer?, B: integer? }
function feeds.places(shapes, sizes, is_step)
  local places = {}
  for k, size in ipairs(shapes[1]) do
    local other = shapes[2][k]
    if size == sizes[1][2] and other == sizes[2][2] and not places.B then
      places.B = k
    elseif not is_step and not places.T and (size ~= other or size == sizes[1][1] and other == sizes[2][1]) then
      places.T = k
    end
  end
  return places
end

--- An output with Saros' axes: (T, B, ...), or (B, ...) without time.
---@param value any
---@param places { T: integer?, B: integer? }
---@return saros.Tensor
function feeds.from(value, places)
  local x, order = tensors.tensor(value), {}
  for _, letter in ipairs { "T", "B" } do
    order[#order + 1] = places[letter]
  end
  for k = 1, x:rank() do
    if k ~= places.T and k ~= places.B then
      order[#order + 1] = k
    end
  end
  x = permute(x, order)
  return x:rank() == 1 and x:dtype() == "real" and x:reshape(x:size(1), 1) or x
end

return feeds
