--- Which axis of an input is time, and which has the rows of a batch, from what the graph does with
--- it. Axes are letters in the order of the file:
---
---     T    time       B    rows       F    features, of any number of axes
---     1    an axis of size 1, which is none of these
---
--- An input of integers has no F: each is an id.

local file = require "saros.onnx.file"

local axes = {}

local RECURRENT = { RNN = true, GRU = true, LSTM = true, DynamicQuantizeLSTM = true }

-- Nodes whose first input keeps its axes, but perhaps for the last one.
local KEEPING = { MatMul = true, LayerNormalization = true, DynamicQuantizeLinear = true, MatMulInteger = true }

--- The axes of a node's output from those of its input n; nil if they are not followed.
local function after(graph, node, order, n)
  if node.op == "Transpose" then
    local result = {}
    for k = 1, #order do
      result[k] = order[node.attributes.perm and (node.attributes.perm[k] or 0) + 1 or #order - k + 1]
    end
    return result
  elseif node.op == "Gather" then
    return n == 2 and table.move({ false }, 1, 1, #order + 1, table.move(order, 1, #order, 1, {})) or nil
  elseif node.op == "Unsqueeze" or node.op == "Squeeze" then
    local given = graph:constant(node.inputs[2]) or node.attributes.axes
    local axis = given and #given == 1 and given[1]
    if not axis then
      return nil
    end
    local result = table.move(order, 1, #order, 1, {})
    if node.op == "Squeeze" then
      table.remove(result, (axis < 0 and axis + #order or axis) + 1)
    else
      table.insert(result, math.min(#order, axis < 0 and axis + #order + 1 or axis) + 1, false)
    end
    return result
  elseif n == 1 and KEEPING[node.op] or node.entry and not node.entry.make and #node.inputs <= 2
    and not node.op:find "^Reduce" and not ({ Reshape = 1, Flatten = 1, Shape = 1, Expand = 1, Conv = 1 })[node.op] then
    return order
  end
end

--- The axis of steps of what a Scan or the body of a Loop reads step by step; nil if it does not.
local function stepped(node, n)
  if node.op == "Scan" then
    local k = n - (#node.inputs - (node.attributes.num_scan_inputs or 0))
    return k > 0 and ((node.attributes.scan_input_axes or {})[k] or 0) or nil
  end
end

--- The axis along which the body of a Loop chooses one place each step.
local function chosen(node, known)
  local is_input = {}
  for _, name in ipairs(node.op == "Loop" and node.body and node.body.inputs or {}) do
    is_input[name] = true
  end
  for _, inner in ipairs(node.op == "Loop" and node.body and node.body.nodes or {}) do
    local own = inner.op == "Gather" and is_input[inner.inputs[2]] and known[inner.inputs[1]]
    if own then
      return own, inner.attributes.axis or 0
    end
  end
end

local OF_AXIS = { [0] = "TBF", [1] = "BTF" }

--- Letters by axis of the input, where `own` says which of its axes each one here was.
local function by_axis(own, labels)
  local found = {}
  for k, axis in ipairs(own) do
    found[axis or 0] = labels:sub(k, k)
  end
  return found
end

--- What the first node that tells says of the axes: labels by axis of the input, and the number
--- of features, if it is a layer.
local function told(graph, name, rank)
  local order = {}
  for k = 1, rank do
    order[k] = k
  end
  local known = { [name] = order }
  for _, node in ipairs(graph.nodes) do
    local read, axis = chosen(node, known)
    if read and #read == 3 and OF_AXIS[axis] then
      return by_axis(read, OF_AXIS[axis])
    end
    for n, input in ipairs(node.inputs) do
      local own = known[input]
      local labels = own and #own == 3 and (n == 1 and RECURRENT[node.op]
        and ((node.attributes.layout or 0) ~= 0 and "BTF" or "TBF") or n == 1 and node.op == "Conv" and "BFT"
        or OF_AXIS[stepped(node, n) or -1])
      if labels then
        return by_axis(own, labels), RECURRENT[node.op] and node.layer.input or nil
      end
      local next_axes = own and after(graph, node, own, n)
      if next_axes then
        known[node.outputs[1]] = next_axes
      end
    end
  end
  return {}
end

-- Names of sizes that exporters and people use.
local NAMES = {
  B = { "^n$", "^b$", "batch", "^bs$" }, T = { "^t$", "^l$", "seq", "time", "len", "step", "frame" },
}

local function letter_of_name(dim)
  for letter, patterns in pairs(type(dim) == "string" and NAMES or {}) do
    for _, pattern in ipairs(patterns) do
      if dim:lower():find(pattern) then
        return letter
      end
    end
  end
end

local USUAL = { reals = { "F", "BF", "BTF" }, ids = { "B", "BT" } }

--- The letters of an input.
---@param graph saros.onnx.Graph
---@param info table  ValueInfo
---@param is_ids boolean
---@return string letters
---@return integer? features  that a layer reads
function axes.guess(graph, info, is_ids)
  local dims = file.dims(info)
  local rank = dims and #dims or 3
  local labels, features = told(graph, info.name, rank)
  local usual = USUAL[is_ids and "ids" or "reals"][rank] or "B" .. ("F"):rep(rank - 1)
  local letters, has = {}, {}
  for k = 1, rank do
    if labels[k] == "B" and letter_of_name(dims and dims[k]) == "T" then
      labels[k] = "T" -- steps that a convolution takes as rows
    end
    letters[k] = labels[k] or (next(labels) == nil and letter_of_name(dims and dims[k]) or next(labels) and "F")
    has[letters[k] or ""] = true
  end
  for k = 1, rank do
    local likely = usual:sub(k, k)
    letters[k] = letters[k] or not has[likely] and likely or "F"
    if letters[k] == "T" and dims and dims[k] == 1 then
      letters[k] = "1" -- a graph of one step
    end
  end
  return table.concat(letters), features
end

return axes
