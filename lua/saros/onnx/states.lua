--- The states of a graph that are inputs and outputs: which output becomes which input.

local core = require "saros.core"
local file = require "saros.onnx.file"
local tensors = require "saros.onnx.tensors"
local work = require "saros.onnx.work"

local states = {}

-- Nodes that only regroup elements.
local MOVING = { Split = true, Slice = true, Gather = true, Squeeze = true, Unsqueeze = true, Identity = true,
  Reshape = true, Concat = true, Transpose = true, Cast = true }

---@class saros.onnx.State
---@field input string
---@field output string
---@field dims (integer|string|false)[]
---@field rows integer  the axis of the rows
---@field first saros.Tensor?  (1, W): what it begins with, if the file says so; else zeros
---@field count integer  parts along the first axis, such as layers; 0 if that is the axis of rows

--- The name of an input from which a value is only moved; nil if it is computed.
local function origin(givers, name)
  for _ = 1, 64 do
    local node = givers[name]
    if not node then
      return name
    elseif not MOVING[node.op] then
      return nil
    end
    name = node.inputs[1]
  end
end

--- The graph outputs to which each name is only moved.
local function goals(graph)
  local of = {}
  for _, info in ipairs(graph.outputs) do
    of[info.name] = info.name
  end
  for n = #graph.nodes, 1, -1 do
    local node = graph.nodes[n]
    if MOVING[node.op] then
      for _, name in ipairs(node.outputs) do
        for _, input in ipairs(of[name] and node.inputs or {}) do
          of[input] = of[input] or of[name]
        end
      end
    end
  end
  return of
end

--- Pairs that names show beyond doubt, as Saros itself writes them.
local function of_exact_names(graph, is_input, found)
  for _, info in ipairs(graph.outputs) do
    local input = info.name:match "^next_(.*)$"
    if input and is_input[input] then
      found[input] = info.name
    end
  end
end

--- Pairs that layers show: a state's input leads to a layer, and what the layer leaves to an output.
local function of_layers(graph, is_input, pairs_)
  local givers, goal = {}, goals(graph)
  for _, node in ipairs(graph.nodes) do
    for _, name in ipairs(node.outputs) do
      givers[name] = node
    end
  end
  for _, node in ipairs(graph.nodes) do
    for place, n in ipairs(node.initial or node.entry.initial or {}) do
      local name, final = node.inputs[n], node.outputs[place - 1 + (node.first_final or 2)]
      local input = name and name ~= "" and origin(givers, name)
      local output = final and goal[final]
      if input and is_input[input] and output then
        pairs_[input] = pairs_[input] or output
      end
    end
  end
end

--- Names of an output for a state of that name, as exporters and people choose them.
local function candidates(name)
  return { name .. "_out", name .. "n", name .. "N", name:gsub("_in$", "_out"), name:gsub("_?0$", "n"),
    name:gsub("_?0$", "_n"), name:gsub("^in_", "out_"), "new_" .. name, "next_" .. name,
    name .. "_next", name .. "_new" }
end

local function of_names(graph, is_input, found)
  local is_output, taken = {}, {}
  for _, info in ipairs(graph.outputs) do
    is_output[info.name] = true
  end
  for _, output in pairs(found) do
    taken[output] = true
  end
  for name in pairs(is_input) do
    for _, other in ipairs(found[name] and {} or candidates(name)) do
      if is_output[other] and not taken[other] and other ~= name then
        found[name], taken[other] = other, true
        break
      end
    end
  end
end

--- The axis of the rows: the one without a fixed size, or the usual one.
local function rows_of(dims)
  for k, dim in ipairs(dims) do
    if math.type(dim) ~= "integer" then
      return k
    end
  end
  return #dims == 3 and 2 or 1
end

--- The row that a state begins with, from what the file says of it.
local function first_of(info, dims, list)
  local row, width = {}, #dims == 2 and dims[2] or 0
  for n, x in ipairs(type(list) == "table" and list or {}) do
    row[n] = type(x) == "number" and x or nil
  end
  if #row ~= width or width == 0 then
    error(("expected first_states of %q as a list of %d numbers"):format(info.name, width), 0)
  end
  return core.tensor(row):reshape(1, width)
end

local function state_of(info, output, first)
  local dims = file.dims(info)
  if not dims or #dims == 0 then
    error(("expected the shape of state %q, got none"):format(info.name), 0)
  end
  local rows = rows_of(dims)
  for k, dim in ipairs(dims) do
    if k ~= rows and math.type(dim) ~= "integer" then
      error(("expected state %q with one axis of a free size, the rows, got more"):format(info.name), 0)
    end
  end
  return { input = info.name, output = output, dims = dims, rows = rows, count = rows ~= 1 and dims[1] or 0,
    first = first ~= nil and first_of(info, dims, first) or nil }
end

--- The states of a graph.
---@param graph saros.onnx.Graph
---@param given table<string, string>?  pairs that the caller says
---@param first table<string, number[]>  what states begin with, by name
---@return saros.onnx.State[]
function states.of(graph, given, first)
  local is_input, found, list = {}, {}, {}
  for _, info in ipairs(graph.inputs) do
    is_input[info.name] = true
  end
  if not given then
    of_exact_names(graph, is_input, found)
    of_layers(graph, is_input, found)
    of_names(graph, is_input, found)
  end
  for input, output in pairs(given or {}) do
    if not is_input[input] then
      error(("expected the name of an input as a state, got %q"):format(input), 0)
    end
    found[input] = output
  end
  for _, info in ipairs(graph.inputs) do
    list[#list + 1] = found[info.name] and state_of(info, found[info.name], first[info.name]) or nil
  end
  return list
end

--- The value of a state for the graph, from what the module's state has of it; where that is nil, what the
--- file says, or zeros.
---@param state saros.onnx.State
---@param value saros.Tensor|saros.Tensor[]|nil
---@param B integer
---@param budget? saros.onnx.Budget
function states.into(state, value, B, budget)
  if value == nil then
    local shape = table.move(state.dims, 1, #state.dims, 1, {})
    shape[state.rows] = B
    work.check_shape(shape, budget)
    if state.first then
      return core.zeros(shape) + state.first
    elseif state.count == 0 then
      return core.zeros(shape)
    end
    value = {}
    for n = 1, state.count do
      value[n] = core.zeros(table.unpack(shape, 2))
    end
    return tensors.parts(value)
  elseif state.count == 0 then
    return value
  end
  return tensors.parts(type(value) == "table" and value or { value })
end

--- What the module's state has of it: a tensor without the axis of layers, or a list of one for each layer; if the
--- rows come first, the whole tensor.
---@param state saros.onnx.State
function states.from(state, value)
  if state.count == 0 then
    return tensors.tensor(value)
  end
  local parts = tensors.parts_of(value)
  return state.count == 1 and parts[1] or table.move(parts, 1, state.count, 1, {})
end

return states
