--- Layers as the operators LSTM, GRU and RNN, in one direction or both.
---
---     ONNX's order of gates    iofc, zrh       Saros and PyTorch    ifgo, rzn
---     weights                  W (D, G H, I), R (D, G H, H), B (D, 2 G H), P (D, 3 H) in the order iof

local core = require "saros.core"

local layer = {}

---@class saros.onnx.Operation
---@field op string
---@field order integer[]  Saros' gates in the order of ONNX
---@field attributes table<string, any>

---@type table<string, saros.onnx.Operation>
local OPERATIONS = {
  lstm = { op = "LSTM", order = { 1, 4, 2, 3 }, attributes = {} },
  gru = { op = "GRU", order = { 2, 1, 3 }, attributes = { linear_before_reset = 1 } },
  gru_before = { op = "GRU", order = { 2, 1, 3 }, attributes = {} },
  elman_tanh = { op = "RNN", order = { 1 }, attributes = {} },
  elman_relu = { op = "RNN", order = { 1 }, attributes = { activations = { "Relu" } } },
}

local PARTS = { weight_ih = true, weight_hh = true, bias_ih = true, bias_hh = true, peephole = true }

--- True if ONNX has an operator that computes what a cell does.
---@param given table  the node of the program
---@param inputs saros.export.Node[]
---@return boolean
function layer.is_operator(given, inputs)
  local has = {}
  for n, name in ipairs(given.with) do
    has[name] = true
    if not PARTS[name] or not inputs[n + 1].tensor then
      return false
    end
  end
  for _, p in ipairs(given.zoneout or {}) do
    if p > 0 then
      return false
    end
  end
  return OPERATIONS[given.cell] ~= nil and has.weight_ih and has.weight_hh or false
end

-- --- Weights -----------------------------------------------------------------------------------------

local function reordered(x, order, H)
  local blocks = {}
  for n, at in ipairs(order) do
    blocks[n] = x:slice(1, (at - 1) * H + 1, at * H)
  end
  return #blocks == 1 and x or core.concatenate(blocks, 1)
end

--- The tensors of a cell by name.
local function tensors_of(node)
  local given = {}
  for n, name in ipairs(node.with) do
    given[name] = node.inputs[n + 1].tensor
  end
  return given
end

--- W, R, B and P of a direction, without the axis of directions.
local function weights_of(node, order)
  local given, H = tensors_of(node), node.width
  local rows = #order * H
  local made = { W = reordered(given.weight_ih:reshape(rows, -1), order, H),
    R = reordered(given.weight_hh:reshape(rows, H), order, H) }
  if given.bias_ih or given.bias_hh then
    local zeros = core.zeros(rows)
    made.B = core.concatenate({ reordered(given.bias_ih or zeros, order, H),
      reordered(given.bias_hh or zeros, order, H) }, 1)
  end
  made.P = given.peephole and reordered(given.peephole:reshape(3 * H), { 1, 3, 2 }, H)
  return made
end

--- The name of a layer, from that of its parameters: "2.weight_hh_l0" is of "2_l0".
local function name_of(node, op)
  for n, name in ipairs(node.with) do
    local own = name == "weight_hh" and node.inputs[n + 1].parameter
    local path, number = (own or ""):match "^(.-)%.?weight_hh(_l%d+)"
    if path then
      return (path == "" and op:lower() or path) .. number
    end
  end
  return op:lower()
end

--- An initializer of the weights of all directions.
local function joined(b, base, lists, which)
  if not lists[1][which] then
    return ""
  end
  local parts = {}
  for d, own in ipairs(lists) do
    parts[d] = own[which]
  end
  return b:tensor(base .. "." .. which, core.stack(parts, 1))
end

-- --- A layer -------------------------------------------------------------------------------------------

--- A state of all directions before the sequence, (D, rows, H); none if that is zeros.
local function before(b, nodes, place)
  local parts, is_zeros = {}, true
  for _, node in ipairs(nodes) do
    local state = node.owns[place]
    is_zeros = is_zeros and not b.states[state] and not state.first
  end
  for d, node in ipairs(is_zeros and {} or nodes) do
    parts[d] = b:op("Unsqueeze", { b:before(node.owns[place]), b:integers { 0 } })
  end
  return #parts > 1 and b:op("Concat", parts, { axis = 0 }) or parts[1] or ""
end

local function behind(b, nodes, place, y)
  for d, node in ipairs(nodes) do
    local own = #nodes > 1 and b:slice(y, 0, d - 1, d) or y
    b:keep(node.owns[place], b:op("Squeeze", { own, b:integers { 0 } }))
  end
end

--- What a layer gives of each direction, from Y (T, D, rows, H).
local function outputs(b, nodes, y)
  if #nodes == 1 then
    b.values[nodes[1]] = b:op("Squeeze", { y, b:integers { 1 } })
    return
  end
  local H = nodes[1].width
  local both = b:flat(b:op("Transpose", { y }, { perm = { 0, 2, 1, 3 } }), 2 * H)
  for d, node in ipairs(nodes) do
    b.cuts[node] = { whole = both, width = 2 * H, from = (d - 1) * H }
  end
end

--- Write a layer, of which `nodes` are the directions.
---@param b saros.onnx.Builder
---@param nodes saros.export.Node[]
---@param lengths string?  (rows), of integers
function layer.write(b, nodes, lengths)
  local first, weights = nodes[1], {}
  local known = OPERATIONS[first.cell]
  for d, node in ipairs(nodes) do
    weights[d] = weights_of(node, known.order)
  end
  local name, attributes = b:name(name_of(first, known.op)), { hidden_size = first.width }
  for key, value in pairs(known.attributes) do
    attributes[key] = value
  end
  if attributes.activations and #nodes == 2 then
    attributes.activations = { "Relu", "Relu" }
  end
  attributes.direction = #nodes == 2 and "bidirectional" or first.owns[1].reverse and "reverse" or nil
  local inputs = { b:spread(first.inputs[1]) }
  for n, which in ipairs { "W", "R", "B" } do
    inputs[n + 1] = joined(b, name, weights, which)
  end
  inputs[5], inputs[6] = lengths or "", before(b, nodes, 1)
  if known.op == "LSTM" then
    inputs[7], inputs[8] = before(b, nodes, 2), joined(b, name, weights, "P")
  end
  while inputs[#inputs] == "" do
    table.remove(inputs)
  end
  local names = { b:name(name .. ".Y"), b:name(name .. ".h"), known.op == "LSTM" and b:name(name .. ".c") or nil }
  b:op(known.op, inputs, attributes, names, name)
  outputs(b, nodes, names[1])
  behind(b, nodes, 1, names[2])
  if names[3] then
    behind(b, nodes, 2, names[3])
  end
end

return layer
