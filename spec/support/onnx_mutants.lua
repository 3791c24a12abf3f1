--- Damaged ONNX models: the file's messages with other operators, names, sizes and numbers in them, so that
--- they are read as far as a graph is.

local core = require "saros.core"
local schema = require "saros.onnx.schema"
local wire = require "saros.onnx.wire"

local mutants = {}

local NUMBERS = { -1, 0, 1, 2, 3, 7, 65536, 1 << 20, 0x7FFFFFFF, 1 << 31, 1 << 40, math.maxinteger, math.mininteger }
local OPERATORS = {
  "Add", "Mul", "Sub", "Div", "Concat", "Reshape", "Expand", "ConstantOfShape", "Range", "Shape", "Size", "Gather",
  "Slice", "Split", "Squeeze", "Unsqueeze", "Transpose", "Pad", "Conv", "MatMul", "Gemm", "LSTM", "GRU", "RNN", "Loop",
  "Scan", "If", "Cast", "Identity", "Not", "Less", "Where", "ReduceSum", "ReduceProd", "Softmax", "SequenceEmpty",
  "SequenceInsert", "SequenceConstruct", "SequenceAt", "ConcatFromSequence", "ReverseSequence", "GlobalAveragePool",
  "DequantizeLinear", "MatMulInteger", "DynamicQuantizeLSTM", "Flatten", "CumSum", "ArgMax", "Clip",
}

--- The messages of a file, with the bytes of its tensors.
---@param path string
---@return table
function mutants.open(path)
  local file = assert(core.open_wire(path))
  local function with_bytes(message)
    for name, value in pairs(message) do
      if name == "raw_data" then
        message.raw_data = file:text(value.from, value.stop)
      elseif type(value) == "table" then
        with_bytes(value)
      end
    end
    return message
  end
  return with_bytes(wire.read(file, schema, "Model"))
end

local function copied(value)
  if type(value) ~= "table" then
    return value
  end
  local copy = {}
  for name, each in pairs(value) do
    copy[name] = copied(each)
  end
  return copy
end

local function one_of(generator, list)
  return #list > 0 and list[generator:integer(#list)] or nil
end

--- A graph of the model: the outer one, or one inside a node.
local function any_graph(generator, graph)
  local inner = {}
  for _, node in ipairs(graph.node or {}) do
    for _, given in ipairs(node.attribute or {}) do
      inner[#inner + 1] = given.g
    end
  end
  local chosen = generator:integer(2) == 1 and one_of(generator, inner)
  return chosen and any_graph(generator, chosen) or graph
end

local function any_name(generator, graph)
  local node = one_of(generator, graph.node or {}) or {}
  return one_of(generator, node.output or {}) or one_of(generator, node.input or {}) or ""
end

-- Each changes one thing of a graph.
local CHANGES = {
  function(generator, graph)
    local node = one_of(generator, graph.node or {})
    if node then
      node.op_type = one_of(generator, OPERATORS)
    end
  end,
  function(generator, graph)
    local node = one_of(generator, graph.node or {})
    if node and node.input and #node.input > 0 then
      node.input[generator:integer(#node.input)] = any_name(generator, graph)
    end
  end,
  function(generator, graph)
    local node = one_of(generator, graph.node or {})
    local given = node and one_of(generator, node.attribute or {})
    if given and given.ints then
      given.ints[generator:integer(#given.ints + 1)] = one_of(generator, NUMBERS)
    elseif given then
      given.i, given.type = one_of(generator, NUMBERS), generator:integer(3) == 1 and generator:integer(9) or given.type
    end
  end,
  function(generator, graph)
    local tensor = one_of(generator, graph.initializer or {})
    if tensor and generator:integer(2) == 1 then
      tensor.dims = tensor.dims or {}
      tensor.dims[generator:integer(#tensor.dims + 1)] = one_of(generator, NUMBERS)
    elseif tensor and tensor.data_type == 7 then
      tensor.raw_data = string.pack("<i8", one_of(generator, NUMBERS)):rep(#tensor.raw_data // 8)
    elseif tensor then
      tensor.data_type = generator:integer(17) - 1
    end
  end,
  function(generator, graph)
    local info = one_of(generator, graph.input or {})
    local shape = info and info.type and info.type.tensor_type and info.type.tensor_type.shape
    local dim = shape and one_of(generator, shape.dim or {})
    if dim then
      dim.dim_value = one_of(generator, NUMBERS)
    elseif info then
      info.type = nil
    end
  end,
  function(generator, graph)
    local nodes = graph.node or {}
    if #nodes > 1 and generator:integer(2) == 1 then
      table.remove(nodes, generator:integer(#nodes))
    elseif #nodes > 0 then
      table.insert(nodes, generator:integer(#nodes), copied(one_of(generator, nodes)))
    end
  end,
}

--- Writes the model with one to three changes.
---@param generator saros.Generator
---@param model table  of mutants.open; it stays as it is
---@param path string
function mutants.write(generator, model, path)
  local changed = copied(model)
  for _ = 1, generator:integer(3) do
    one_of(generator, CHANGES)(generator, any_graph(generator, changed.graph))
  end
  assert(wire.write(path, schema, "Model", changed))
end

return mutants
