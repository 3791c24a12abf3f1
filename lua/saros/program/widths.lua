--- The width of a node, whose operands are nodes: { op, inputs, width, ... }.

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
  constant = function(node) return node.tensor:count() end,
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
  layer_norm = function(node) return node.inputs[1].width end,
  rms_norm = function(node) return node.inputs[1].width end,
}
for _, op in ipairs { "sum", "mean", "max", "min", "logsumexp" } do
  WIDTHS[op] = reduced
end

--- How wide a node's value is.
---@param node table
---@return integer
return function(node)
  return (WIDTHS[node.op] or widest)(node)
end
