-- Small ONNX files, written for specs, and a naive twin of the recurrent operators.

local saros = require "saros"
local schema = require "saros.onnx.schema"
local wire = require "saros.onnx.wire"

local models = {}

local function attribute(name, value)
  local made = { name = name }
  local first = type(value) == "table" and value[1] or value
  local is_list = type(value) == "table" and value[1] ~= nil
  if type(value) == "table" and value.data_type then
    made.t, made.type = value, 4
  elseif type(value) == "table" and value.node then
    made.g, made.type = value, 5
  elseif math.type(first) == "integer" or type(value) == "table" and first == nil then
    made[is_list and "ints" or "i"], made.type = value, is_list and 7 or 2
  elseif type(first) == "number" then
    made[is_list and "floats" or "f"], made.type = value, is_list and 6 or 1
  else
    made[is_list and "strings" or "s"], made.type = value, is_list and 8 or 3
  end
  return made
end

--- { "LSTM", "x W R", "Y hn", hidden_size = 4 }; "-" is an input that is absent.
function models.node(given)
  local node = { op_type = given[1], name = given.name or given[3]:match "%S+", domain = given.domain,
    input = {}, output = {}, attribute = {} }
  for name in given[2]:gmatch "%S+" do
    node.input[#node.input + 1] = name == "-" and "" or name
  end
  for name in given[3]:gmatch "%S+" do
    node.output[#node.output + 1] = name == "-" and "" or name
  end
  for name, value in pairs(given) do
    if type(name) == "string" and name ~= "name" and name ~= "domain" then
      node.attribute[#node.attribute + 1] = attribute(name, value)
    end
  end
  table.sort(node.attribute, function(a, b) return a.name < b.name end)
  return node
end

--- A tensor of floats, or a list of 64-bit integers; with dims, bytes of that type.
function models.tensor(name, value)
  if type(value) == "userdata" then
    return { name = name, dims = value:shape(), data_type = 1, raw_data = value }
  elseif type(value) == "number" then
    return { name = name, data_type = 7, raw_data = string.pack("<i8", value) }
  elseif value.raw_data or value.external_data then
    value.name = name
    return value
  end
  local bytes = {}
  for n, x in ipairs(value) do
    bytes[n] = string.pack("<i8", x)
  end
  return { name = name, dims = { #value }, data_type = 7, raw_data = table.concat(bytes) }
end

local function info(name, dims, kind)
  local list = {}
  for n, dim in ipairs(dims) do
    list[n] = type(dim) == "string" and { dim_param = dim } or { dim_value = dim }
  end
  return { name = name, type = { tensor_type = { elem_type = kind or 1, shape = { dim = list } } } }
end

function models.graph(given)
  local graph = { node = {}, name = "g", initializer = {}, input = {}, output = {} }
  for n, node in ipairs(given.nodes) do
    graph.node[n] = models.node(node)
  end
  for name, value in pairs(given.tensors or {}) do
    graph.initializer[#graph.initializer + 1] = models.tensor(name, value)
  end
  table.sort(graph.initializer, function(a, b) return a.name < b.name end)
  for n, input in ipairs(given.inputs or {}) do
    graph.input[n] = info(table.unpack(input))
  end
  for n, output in ipairs(given.outputs) do
    graph.output[n] = type(output) == "string" and { name = output } or info(table.unpack(output))
  end
  return graph
end

--- Writes { nodes, tensors = { name = tensor }, inputs = { { name, dims, type } }, outputs = { name } }.
function models.write(path, given)
  assert(wire.write(path, schema, "Model", {
    ir_version = 8, producer_name = "spec", opset_import = { { domain = "", version = given.opset or 17 } },
    graph = models.graph(given),
  }))
end

-- --- The twin ----------------------------------------------------------------------------------------

local F = {
  sigmoid = saros.sigmoid, tanh = saros.tanh, relu = saros.relu, softplus = saros.softplus,
  hardsigmoid = function(x) return (x * 0.2 + 0.5):maximum(0):minimum(1) end,
}
local USUAL = { LSTM = { "sigmoid", "tanh", "tanh" }, GRU = { "sigmoid", "tanh" }, RNN = { "tanh" } }

local function block(x, n, H) -- rows, or elements
  return x:slice(1, (n - 1) * H + 1, n * H)
end

--- One step of one row: x (I), h (H), c (H), with weights W (G H, I), R, B (2 G H) and P (3 H).
function models.step(op, a, w, x, h, c)
  local H = h:size(1)
  local G = w.R:size(1) // H
  local names = a.activations or USUAL[op]
  local function f(n, v)
    return F[names[n]:lower()](a.clip and v:maximum(-a.clip):minimum(a.clip) or v)
  end
  local function from_x(n)
    return block(w.W, n, H):matmul(x) + (w.B and block(w.B, n, H) or 0)
  end
  local function from_h(n, v)
    return block(w.R, n, H):matmul(v) + (w.B and block(w.B, G + n, H) or 0)
  end
  local function peep(n, v)
    return w.P and block(w.P, n, H) * v or 0
  end
  if op == "RNN" then
    return f(1, from_x(1) + from_h(1, h))
  elseif op == "GRU" then
    local z, r = f(1, from_x(1) + from_h(1, h)), f(1, from_x(2) + from_h(2, h))
    local n = f(2, from_x(3) + ((a.linear_before_reset or 0) ~= 0 and r * from_h(3, h) or from_h(3, r * h)))
    return (1 - z) * n + z * h
  end
  local i = f(1, from_x(1) + from_h(1, h) + peep(1, c))
  local forget = a.input_forget == 1 and 1 - i or f(1, from_x(3) + from_h(3, h) + peep(3, c))
  local after = forget * c + i * f(2, from_x(4) + from_h(4, h))
  return f(1, from_x(2) + from_h(2, h) + peep(2, after)) * F[names[3]:lower()](after), after
end

--- All steps of each row in one direction: Y (T, B, H), and the last states (B, H).
function models.walk(op, a, w, x, h0, c0, lengths, is_reverse)
  local T, B, H = x:size(1), x:size(2), h0:size(2)
  local y, hn, cn = saros.zeros(T, B, H), {}, {}
  for b = 1, B do
    local h, c = h0[b], c0[b]
    local stop = lengths and lengths[b] or T
    for k = 1, stop do
      local t = is_reverse and stop - k + 1 or k
      h, c = models.step(op, a, w, x[t][b], h, c)
      y[t][b] = h
    end
    hn[b], cn[b] = h, c
  end
  return y, saros.stack(hn), cn[1] and saros.stack(cn)
end

return models
