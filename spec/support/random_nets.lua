--- Nets of all kinds, drawn by a seed, with what goes in and what they say: for files in formats of
--- others, which have to say the same.

local core = require "saros.core"
local said = require "spec.support.said"
local saros = require "saros"
local nn = saros.nn

local nets = {}

--- One of several, by chance.
local function pick(g, list)
  return list[g:integer(#list)]
end

local function chance(g, share)
  return g:uniform({ 1 }, 0, 1)[1] < share
end

-- --- Layers -------------------------------------------------------------------------------------------

local own = {}

own.highway = nn.cell("net_highway", { states = { "h" } }, function(p, x, h)
  local z = saros.sigmoid(p.gate(x .. h))
  return z * saros.tanh(p.candidate(x .. h)) + (1 - z) * h
end)

own.matrix = nn.cell("net_matrix", { states = { { "m", 2, 2, 3 } }, output = true }, function(p, x, m)
  local B = x:size(1)
  local key, value = p.key(x, 4):reshape(B, 2, 2, 1), p.value(x, 6):reshape(B, 2, 1, 3)
  m = m * p.decay(x, 2):sigmoid():reshape(B, 2, 1, 1) + key:tanh() * value
  return p.out((m * p.query(x, 4):softmax():reshape(B, 2, 2, 1)):sum(3):reshape(B, 6)), m
end)

own.begun = nn.cell("net_begun", { states = { { "h", first = -2 }, { "least", 2, 2, first = 9 } } },
  function(p, x, h, least)
    least = saros.minimum(least, p.seen(x, 4):reshape(-1, 2, 2))
    return saros.tanh(p.inner(x) + p.turn(h) * p.wide(least:reshape(-1, 4))), least
  end)

-- Names of layers, those that ONNX has an operator for more often.
local CELLS = { "lstm", "lstm", "lstm", "gru", "gru", "gru", "rnn", "rnn", "ugrnn", "mingru", "minlstm", "lru", "delta",
  "mlstm", "slstm", "own" }

local function options_of(g, cell)
  local o = { layers = g:integer(2), learn_state = chance(g, 0.2) or nil }
  if cell == "lstm" then
    o.peepholes, o.projection = chance(g, 0.3) or nil, chance(g, 0.15) and 3 or nil
  elseif cell == "gru" then
    o.reset = pick(g, { "after", "before" })
  elseif cell == "rnn" then
    o.activation = pick(g, { "tanh", "relu", "softsign" })
  elseif cell == "delta" or cell == "mlstm" then
    o.heads, o.convolution = pick(g, { 1, 2 }), pick(g, { 0, 3 })
  elseif cell == "mingru" or cell == "minlstm" then
    o.candidate = pick(g, { "plain", "positive" })
  end
  if cell ~= "delta" and cell ~= "mlstm" and cell ~= "slstm" and o.activation ~= "softsign" then
    o.bias = not chance(g, 0.2)
    o.layer_norm = o.bias and o.reset ~= "before" and cell ~= "own" and cell ~= "lru" and chance(g, 0.1) or nil
    o.bias = cell ~= "lru" and cell ~= "own" and o.bias or nil
  end
  return o
end

--- A recurrent layer, and its size.
local function recurrent(g, inputs, way)
  local cell, H = pick(g, CELLS), 2 * g:integer(5)
  local o = options_of(g, cell)
  o[1], o[2], o.bidirectional = inputs, H, way or nil
  if cell == "own" then
    o.cell = own[pick(g, { "begun", "highway", "matrix" })]
    return nn.recurrent(o), way and 2 * H or H, "own"
  end
  return nn[cell](o), (o.projection or H) * (way and 2 or 1), cell
end

local FUNCTIONS = { saros.relu, saros.tanh, saros.gelu, saros.silu, saros.sigmoid, saros.softplus }

--- A layer of another kind, and its size.
local function other(g, inputs)
  local kind, F = g:integer(7), 2 * g:integer(4)
  if kind <= 2 then
    return nn.conv1d { inputs, F, kernel = g:integer(4), dilation = g:integer(3) }, F, "conv1d"
  elseif kind == 3 then
    return nn.layer_norm { inputs }, inputs, "layer_norm"
  elseif kind == 4 then
    return nn.rms_norm { inputs }, inputs, "rms_norm"
  elseif kind == 5 then
    local attention = nn.windowed_attention { F, 3, heads = 2 }
    return nn.chain { nn.linear { inputs, F }, nn.residual { attention } }, F, "attention"
  elseif kind == 6 then
    return nn.branch { nn.linear { inputs, F }, nn.gru { inputs, 3 } }, F + 3, "branch"
  end
  return nn.linear { inputs, F }, F, "linear"
end

-- --- Nets ---------------------------------------------------------------------------------------------

local function head(g, inputs)
  local kind = g:integer(4)
  if kind == 1 then
    return nn.heads { a = nn.linear { inputs, 3 }, b = nn.chain { nn.linear { inputs, 4 }, saros.softmax } }, "heads"
  elseif kind == 2 then
    return nn.chain { nn.linear { inputs, 6 }, nn.dropout { 0.5 }, saros.relu, nn.linear { 6, 2 } }, "deep head"
  end
  return nn.linear { inputs, 3 }, "linear"
end

local function net_of(g)
  local ids = chance(g, 0.3) and 5 + g:integer(5)
  local F = g:integer(6)
  local words, list = { ids and "ids" or "features" }, { ids and nn.embedding { ids, F } or nil }
  local way = chance(g, 0.25)
  local function add(layer, size, word)
    list[#list + 1], F, words[#words + 1] = layer, size or F, word
    if chance(g, 0.3) then
      list[#list + 1] = pick(g, FUNCTIONS)
    end
  end
  local input = { name = "x", width = not ids and F or nil, count = ids or nil }
  if chance(g, 0.4) then
    add(other(g, F))
  end
  for _ = 1, g:integer(2) do
    add(recurrent(g, F, way))
  end
  if chance(g, 0.3) then
    add(other(g, F))
  end
  local last, word = head(g, F)
  list[#list + 1], words[#words + 1] = last, word
  return nn.chain(list), input, table.concat(words, ", ") .. (way and ", to and fro" or ""), way
end

local function draw(g, input, T, B)
  if input.width then
    return g:normal { T, B, input.width }
  end
  local ids = {}
  for n = 1, T * B do
    ids[n] = g:integer(input.count)
  end
  return saros.ids(ids):reshape(T, B)
end

--- The name of a state in a file.
local function state_name(state)
  local path = state.title and (state.name:match "^(.*%.)%d+$" or state.name:match "^%d+$" and "")
  return path and path .. state.title or state.name
end

--- What states are before or behind a sequence, by their names in a file: (B, width) each.
local function states_by_name(program, state)
  local leaves, list = said.leaves(state), {}
  for _, own_state in ipairs(program.states) do
    local leaf = leaves[own_state.name]
    list[state_name(own_state)] = leaf:contiguous():reshape(leaf:size(1), -1)
  end
  return list
end

---@class spec.RandomNet
---@field name string
---@field model saros.nn.Module
---@field options table  of saros.onnx.write
---@field x saros.Tensor  (T, B, ...)
---@field before table?  the state before the sequence; nil: none is given
---@field lengths integer[]?
---@field outputs table<string, saros.Tensor>  (T, B, ...)
---@field first table<string, saros.Tensor>?  states before and behind, by their names in a file, if it has them
---@field last table<string, saros.Tensor>?

--- A net by its seed.
---@param seed integer
---@return spec.RandomNet
function nets.random(seed)
  local g = saros.generator(seed)
  local model, input, words, way = net_of(g)
  model:init { seed = seed }
  for _, tensor in ipairs(model:parameters()) do
    tensor:assign(tensor + g:normal(tensor:shape(), 0, 0.1))
  end
  local T, B = g:integer(9), g:integer(4)
  local net = { name = words, model = model, input = input, x = draw(g, input, T, B),
    options = { opset = 12 + g:integer(11), states = not way or chance(g, 0.5), lengths = chance(g, 0.25),
      batch_first = chance(g, 0.2) } }
  local _, before = model(draw(g, input, 3, B))
  net.before = net.options.states and before or nil
  if net.options.lengths then
    net.lengths = {}
    for b = 1, B do
      net.lengths[b] = g:integer(T)
    end
  end
  local outputs, last = said.whole(model, { x = net.x }, net.before, net.lengths and { lengths = net.lengths })
  net.outputs = outputs
  local program = net.options.states and model:program()
  net.first = program and states_by_name(program, net.before)
  net.last = program and states_by_name(program, last)
  return net
end

--- Tensors that go into the file of a net, and those that come out, as "in.NAME" and "out.NAME".
---@param net spec.RandomNet
---@return table<string, saros.Tensor>
function nets.tensors(net)
  local list, is_turned = {}, net.options.batch_first
  local function turned(x)
    return is_turned and x:transpose(1, 2):contiguous() or x
  end
  list["in.x"] = turned(net.x:dtype() == "ids" and core.tensor(net.x) - 1 or net.x)
  for name, y in pairs(net.outputs) do
    list["out." .. name] = turned(y)
  end
  for name in pairs(net.first or {}) do
    list["in.state." .. name], list["out.next_state." .. name] = net.first[name], net.last[name]
  end
  list["in.lengths"] = net.lengths and saros.tensor(net.lengths) or nil
  return list
end

return nets
