--- The widths of nodes, whose operands are nodes: { op, inputs, width, ... }. Those of a
--- program's table are completed by `facts` first.

local function product(node, ...)
  local all = 1
  for _, field in ipairs { ... } do
    all = all * node[field]
  end
  return all
end

local function widest(node)
  local width = 1
  for _, input in ipairs(node.inputs) do
    width = math.max(width, input.width)
  end
  return width
end

local function reduced(node)
  return product(node, "outer", "inner")
end

-- Of ops whose result is not as wide as the widest operand.
local WIDTHS = {
  input = function(node) return node.width end,
  scale = function(node) return node.inputs[1].width end,
  ahead = function(node) return node.inputs[1].width end,
  ids = function() return 1 end,
  parameter = function(node) return node.width end,
  cell = function(node) return node.width end,
  constant = function(node) return node.tensor and node.tensor:count() or node.values and #node.values or 1 end,
  state = function(node) return node.state.width end,
  linear = function(node) return node.inputs[2].width // node.inputs[1].width end,
  lookup = function(node) return node.inputs[2].width // node.inputs[1].count end,
  expand = function(node) return product(node, "outer", "times", "inner") end,
  slice = function(node) return product(node, "outer", "count", "inner") end,
  concatenate = function(node)
    local width = 0
    for _, input in ipairs(node.inputs) do
      width = width + input.width
    end
    return width
  end,
  window = function(node) return node.taps * node.inputs[1].width end,
  matvec = function(node) return node.heads * (node.transposed and node.columns or node.rows) end,
  outer = function(node) return node.inputs[1].width * node.inputs[2].width // node.heads end,
  attention = function(node) return node.inputs[1].width end,
  delta = function(node) return node.inputs[3].width // (node.reflections or 1) end,
  layer_norm = function(node) return node.inputs[1].width end,
  rms_norm = function(node) return node.inputs[1].width end,
}
for _, op in ipairs { "sum", "mean", "max", "min", "logsumexp" } do
  WIDTHS[op] = reduced
end

-- What the table says of a node elsewhere than in its row.
local FACTS = {}

function FACTS.parameter(data, given)
  local count = 1
  for _, size in ipairs(data.parameters[given.parameter + 1].shape) do
    count = count * size
  end
  return { width = count }
end

function FACTS.state(data, given) return { state = data.states[given.state + 1] } end
function FACTS.cell(data, given) return { width = data.states[given.states[1] + 1].width } end

function FACTS.window(data, given, inputs)
  return { taps = data.states[given.state + 1].width // ((given.dilation or 1) * inputs[1].width) + 1 }
end

local widths = {}

--- How wide a node's value is.
---@param node table
---@return integer
function widths.of(node)
  return (WIDTHS[node.op] or widest)(node)
end

--- What a node of a program's table lacks for `widths.of`: fields by name.
---@param data saros.Program
---@param given table  the node
---@param inputs table[]  its operands: { width, count? }
---@return table
function widths.facts(data, given, inputs)
  local facts = FACTS[given.op] and FACTS[given.op](data, given, inputs) or {}
  facts.inputs = inputs
  return facts
end

return widths
