-- The recurrent nets that every promise about recurrent nets is kept by.

local saros = require "saros"
local nn = saros.nn

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- A cell of one's own: the textbook's, from linear layers.
local Textbook = nn.module "textbook"
function Textbook:forward(x, state)
  local h = saros.tanh(self.inner(x .. state[1]))
  return h, { h }
end
local function textbook(inputs, hidden)
  local self = Textbook.new()
  self.inner = self:add_member("inner", nn.linear { inputs + hidden, hidden })
  return self
end

-- Another one, whose output is its state.
local Brief = nn.module "brief"
function Brief:forward(x, state)
  return saros.tanh(self.inner(x) + self.turn(state[1]))
end
local function brief(inputs, hidden)
  local self = Brief.new()
  self.inner = self:add_member("inner", nn.linear { inputs, hidden })
  self.turn = self:add_member("turn", nn.linear { hidden, hidden, bias = false })
  return self
end

-- Cells of nn.cell: the textbook's gated one; an LSTM whose product is of x .. h; a
-- matrix for each head, which is written and read by outer and inner products.
local highway = nn.cell("highway", { states = { "h" } }, function(p, x, h)
  local z = saros.sigmoid(p.gate(x .. h))
  return z * saros.tanh(p.candidate(x .. h)) + (1 - z) * h
end)

local own_lstm = nn.cell("own_lstm", { states = { "h", "c" }, parameters = { forget = { bias = 1 } } },
  function(p, x, h, c)
    local v = x .. h
    c = p.forget(v):sigmoid() * c + p.input(v):sigmoid() * p.candidate(v):tanh()
    return p.output(v):sigmoid() * c:tanh(), c
  end)

local memory = nn.cell("memory", { states = { "h", { "m", 2, 3, 3 } } }, function(p, x, h, m)
  local B = x:size(1)
  local read = p.read:layer_norm(p.inner(x) + p.turn(h))
  local key, value = p.key(read, 6):reshape(B, 2, 3, 1), p.value(read, 6):reshape(B, 2, 1, 3)
  m = m * p.decay:vector(3):sigmoid() + key:tanh() * value
  local answer = (m * p.query(read, 6):reshape(B, 2, 3, 1)):sum(3):reshape(B, 6)
  return saros.tanh(p.out(answer) + read), m
end)

local outward = nn.cell("outward", { states = { "s" }, output = true }, function(p, x, s)
  s = saros.tanh(p.inner(x .. s))
  return p.out(s, 5), s
end)

local begun = nn.cell("begun", { states = { { "h", first = 1 }, { "most", 3, first = -4 } } },
  function(p, x, h, most)
    most = saros.maximum(most, p.seen(x, 3))
    return saros.tanh(p.inner(x) + p.turn(h) + p.read(most)), most
  end)

-- Every kind of layer that must keep these promises: every fused cell, with the options
-- that a row gives it.
-- At the corner of one with a corner, differences as wide as float needs them
-- say nothing about the gradient; layer norm of few units bends too much, and so
-- do several LRUs one above the other.
local rows = {
  tanh = { new = nn.rnn, options = { activation = "tanh" } },
  relu = { new = nn.rnn, options = { activation = "relu" }, corner = true },
  ["tanh without biases"] = { new = nn.rnn, options = { bias = false } },
  ["tanh with a learned first state"] = { new = nn.rnn, options = { learn_state = true } },
  ["tanh, both ways"] = { new = nn.rnn, options = { bidirectional = true } },
  ["tanh with layer norm"] = { new = nn.rnn, options = { layer_norm = true }, corner = true },
  lstm = { new = nn.lstm, options = { forget_bias = 1 } },
  ["lstm with peepholes"] = { new = nn.lstm, options = { peepholes = true } },
  ["lstm with a projection, both ways"] = { new = nn.lstm, options = { projection = 3, bidirectional = true } },
  ["lstm with layer norm"] = { new = nn.lstm, options = { layer_norm = true }, corner = true },
  ["lstm with a learned first state, both ways"] = {
    new = nn.lstm, options = { learn_state = true, bidirectional = true } },
  gru = { new = nn.gru, options = {} },
  ["gru, reset before the product"] = { new = nn.gru, options = { reset = "before" } },
  ["gru with layer norm, both ways"] = {
    new = nn.gru, options = { layer_norm = true, bidirectional = true }, corner = true },
  ["gru with residual connections"] = { new = nn.gru, options = { residual = true } },
  mingru = { new = nn.mingru, options = {} },
  ["mingru, positive, with layer norm"] = {
    new = nn.mingru, options = { candidate = "positive", layer_norm = true }, corner = true },
  ["mingru with residual connections and a learned first state"] = {
    new = nn.mingru, options = { residual = true, learn_state = true } },
  lru = { new = nn.lru, options = { units = 3, max_phase = 1 } },
  ["lru with residual connections, a learned first state"] = {
    new = nn.lru, options = { residual = true, learn_state = true }, corner = true },
  ["lru, both ways"] = { new = nn.lru, options = { bidirectional = true } },
  -- Of one head, as norms of single numbers are their signs. They learn in residual stacks, as they should be used.
  delta = { new = nn.delta, options = { heads = 1 }, corner = true, learns_with = { residual = true } },
  ["delta with a decay for each channel, two reflections, residual, a learned first state, both ways"] = {
    new = nn.delta, options = { heads = 1, gate = "channel", reflections = 2, residual = true, learn_state = true,
      bidirectional = true }, corner = true, learns_with = { residual = true } },
  ["delta without decay, convolutions and output gate, with an erase gate that reflects"] = {
    new = nn.delta, options = { heads = 1, gate = "none", convolution = 0, output_gate = false, erase = "separate",
      reflect = true }, corner = true, learns_with = { residual = true } },
  mlstm = { new = nn.mlstm, options = { heads = 1 }, corner = true, learns_with = { residual = true } },
  ["mlstm without convolutions and output gate, both ways, with a learned first state"] = {
    new = nn.mlstm, options = { heads = 1, convolution = 0, output_gate = false, bidirectional = true,
      learn_state = true }, corner = true, learns_with = { residual = true } },
  minlstm = { new = nn.minlstm, options = { remember = 5 } },
  ["minlstm, positive, both ways, without biases"] = {
    new = nn.minlstm, options = { candidate = "positive", bidirectional = true, bias = false }, corner = true },
  ["slstm in two heads, with exponential forget gates"] = {
    new = nn.slstm, options = { heads = 2, forget = "exponential" } },
  ["slstm with a learned first state, both ways"] = {
    new = nn.slstm, options = { learn_state = true, bidirectional = true, bias = false } },
  ["a cell of one's own"] = { new = nn.recurrent, options = { cell = textbook } },
  ["a cell of one's own whose output is its state"] = { new = nn.recurrent, options = { cell = brief } },
  ["a cell of one's own with a learned first state, residual, both ways"] = {
    new = nn.recurrent, options = { cell = brief, bidirectional = true, learn_state = true, residual = true } },
  ["a cell of nn.cell"] = { new = nn.recurrent, options = { cell = highway } },
  ["a cell of nn.cell, both ways, residual, with a learned first state"] = {
    new = nn.recurrent, options = { cell = highway, bidirectional = true, learn_state = true, residual = true } },
  ["an LSTM of nn.cell"] = { new = nn.recurrent, options = { cell = own_lstm, learn_state = true } },
  ["a matrix of nn.cell"] = { new = nn.recurrent, options = { cell = memory }, corner = true },
  ["a matrix of nn.cell, both ways, with a learned first state"] = {
    new = nn.recurrent, options = { cell = memory, bidirectional = true, learn_state = true }, corner = true },
  ["a cell of nn.cell with an output"] = { new = nn.recurrent, options = { cell = outward } },
  ["a cell of nn.cell whose states begin with other numbers"] = {
    new = nn.recurrent, options = { cell = begun }, corner = true },
  ["a cell of one's own, both ways"] = { new = nn.recurrent, options = { cell = textbook, bidirectional = true } },
}

for _, cell in ipairs(require "saros.nn.cells.list") do
  rows[cell] = rows[cell] or { new = nn[cell], options = {} }
end

local function build(kind, input, hidden, layers, others)
  local options = { input = input, hidden = hidden, layers = layers }
  for _, given in ipairs { kind.options, others } do
    for name, value in pairs(given) do
      options[name] = value
    end
  end
  local net = kind.new(options):init { seed = 7 }
  for name, tensor in pairs(net:tensors()) do
    if name:find "^initial" then
      saros.generator(8):fill_normal(tensor, 0, 0.5)
    end
  end
  return net
end

-- All tensors of a state, in the order of their names.
local function leaves(state)
  local tensors, names, list = nn.state.tensors(state), {}, {}
  for name in pairs(tensors) do
    names[#names + 1] = name
  end
  table.sort(names)
  for position, name in ipairs(names) do
    list[position] = tensors[name]
  end
  return list
end

-- A loss in which outputs and last states count, each with its own weight; but for the
-- logarithms of weights of rows without a step, -1e30, which would hide all else.
local function weighed(y, state)
  local loss = (y * random(2, table.unpack(y:shape()))):sum()
  for position, tensor in ipairs(leaves(state)) do
    loss = loss + (saros.maximum(tensor, -30) * random(position + 2, table.unpack(tensor:shape()))):sum()
  end
  return loss
end

return { rows = rows, build = build, leaves = leaves, weighed = weighed }
