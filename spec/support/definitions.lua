--- Models of every kind, each with inputs, for the spec that asks them in every way.
--- Rows are { name =, build = function() return a module end, inputs = }: inputs as a
--- program has them, { name, width } or { name, count }, one "x" of 3 features if absent.

local saros = require "saros"
local cells = require "saros.nn.cells"
local recurrent = require "saros.nn.recurrent"
local nn, data = saros.nn, saros.data

local I, H, IDS = 3, 6, 5

local rows = {}

local function add(name, build, more)
  local row = { name = name, build = build, inputs = { { name = "x", width = I } } }
  for field, value in pairs(more or {}) do
    row[field] = value
  end
  rows[#rows + 1] = row
end

-- --- Built-in cells -------------------------------------------------------------------------

--- For each option of a cell what it may be beside its default.
local VALUES = {
  activation = { "relu", "softsign" }, gate_activation = { "hard_sigmoid" }, forget_bias = { 1 }, remember = { 9 },
  peepholes = { true }, projection = { 4 }, zoneout_cell = { 0.3 }, reset = { "before" }, candidate = { "positive" },
  key_size = { 5 }, value_size = { 2 }, gate = { "none", "channel" }, erase = { "none", "separate" },
  reflect = { true }, reflections = { 2 }, convolution = { 0, 2 }, output_gate = { false }, pre_norm = { true },
  heads = { 1, 3 }, forget = { "exponential" }, units = { 5 }, r_min = { 0.4 }, r_max = { 0.7 }, max_phase = { 1 },
  output_norm = { false }, qkv_activation = { "none" }, exact = { true, 1 },
}

--- What few other options go with.
local ALONE = { activation = true, gate_activation = true, exact = true }

--- What all cells may be given.
local SHARED = {
  {}, { bias = false }, { zoneout = 0.2 }, { recurrent_dropout = 0.3 }, { layer_norm = true },
  { layers = 2, dropout = 0.4, variational = true }, { layers = 2, residual = true, learn_state = true },
  { layers = 2, bidirectional = true, learn_state = true },
}

local function written(o)
  local words = {}
  for name, value in pairs(o) do
    words[#words + 1] = name .. " = " .. tostring(value)
  end
  table.sort(words)
  return table.concat(words, ", ")
end

-- In one head keys are long: roundings are divided by their length.
local function heads_of(cell)
  return cell == "delta" and 1 or nil
end

local function add_cell(cell, o)
  local given = { I, H, heads = heads_of(cell) }
  for name, value in pairs(o) do
    given[name] = value
  end
  local ok, message = pcall(nn[cell], given)
  if ok then
    -- Gradients of exact heads are straight-through, of which a program knows nothing.
    add(("%s { %s }"):format(cell, written(o)), function() return nn[cell](given) end,
      { is_trained_otherwise = o.exact ~= nil })
  else
    assert(message:find "this cell does not have", message)
  end
end

for _, cell in ipairs(recurrent.names) do
  local all, own = { layers = 2, learn_state = true }, { table.unpack(SHARED) }
  for _, option in ipairs(cells[cell].options) do
    local name = option[1]
    for _, value in ipairs(VALUES[name] or error("definitions: values for the option " .. name .. " of " .. cell)) do
      own[#own + 1] = { [name] = value }
      all[name] = not ALONE[name] and value or nil
    end
  end
  all.remember = not all.forget_bias and all.remember or nil
  own[#own + 1] = all
  for _, o in ipairs(own) do
    add_cell(cell, o)
  end
end

-- Few units, whose products sessions keep with all digits.
for name, build in pairs {
  lstm = function() return nn.lstm { I, 1 } end,
  gru = function() return nn.gru { I, 1 } end,
  ["gru, reset before"] = function() return nn.gru { I, 4, reset = "before" } end,
  mingru = function() return nn.mingru { I, 2 } end,
} do
  add("few units, " .. name, build)
end

-- --- Cells of one's own -------------------------------------------------------------------------

local own = {}

own.lstm = nn.cell("own_lstm", { states = { "h", "c" } }, function(p, x, h, c)
  local v = x .. h
  c = p.forget(v):sigmoid() * c + p.input(v):sigmoid() * p.candidate(v):tanh()
  return p.output(v):sigmoid() * c:tanh(), c
end)

own.gru = nn.cell("own_gru", { states = { "h" } }, function(p, x, h)
  local r, z = p.reset(x .. h):sigmoid(), p.update(x .. h):sigmoid()
  local n = saros.tanh(p.inner(x) + r * p.turn(h))
  return (1 - z) * n + z * h
end)

own.highway = nn.cell("own_highway", { states = { "h" } }, function(p, x, h)
  local z = saros.sigmoid(p.gate(x .. h))
  return z * saros.tanh(p.candidate(x .. h)) + (1 - z) * h
end)

own.matrix = nn.cell("own_matrix", { states = { { "m", 2, 3, 3 } }, output = true }, function(p, x, m)
  local B = x:size(1)
  local key, value = p.key(x, 6):reshape(B, 2, 3, 1), p.value(x, 6):reshape(B, 2, 1, 3)
  m = m * p.decay(x, 2):sigmoid():reshape(B, 2, 1, 1) + key:tanh() * value
  local read = (m * p.query(x, 6):softmax():reshape(B, 2, 3, 1)):sum(3):reshape(B, 6)
  return p.out(read) * p.open(x):silu(), m
end)

own.norm = nn.cell("own_norm", { states = { "h" } }, function(p, x, h)
  local v = p.all:layer_norm(p.inner(x, 12) + p.turn(h, 12))
  local z, n = v:slice(2, 1, 6):sigmoid(), v:slice(2, 7, 12)
  return z * n:tanh() + (1 - z) * p.last:layer_norm(h)
end)

own.hard = nn.cell("own_hard", { states = { "h" } }, function(p, x, h)
  local z = saros.hard_sigmoid(p.gate(x .. h))
  return z * saros.relu(p.candidate(x .. h)) + (1 - z) * h
end)

own.scaled = nn.cell("own_scaled", { states = { "h", "n" } }, function(p, x, h, n)
  local share = saros.exp(-saros.softplus(p.rate:vector()))
  h = share * h + (1 - share) * saros.where(saros.lt(0, n), p.inner(x), p.turn(h))
  return h, saros.maximum(n * 0.5, saros.abs(h)) - 0.1
end)

own.begun = nn.cell("own_begun", { states = { { "h", first = -2 }, { "least", 2, 3, first = 9 } } },
  function(p, x, h, least)
    least = saros.minimum(least, p.seen(x, 6):reshape(-1, 2, 3))
    return saros.tanh(p.inner(x) + p.turn(h) * least:reshape(-1, 6)) - 1, least
  end)

local names = {}
for name in pairs(own) do
  names[#names + 1] = name
end
table.sort(names)
for _, name in ipairs(names) do
  for _, o in ipairs { {}, { layers = 2, learn_state = true, residual = true },
    { zoneout = 0.2, recurrent_dropout = 0.3, bidirectional = true }, { compiled = false } } do
    local given = { I, H, cell = own[name] }
    for key, value in pairs(o) do
      given[key] = value
    end
    add(("a cell of one's own, %s { %s }"):format(name, written(o)), function() return nn.recurrent(given) end)
  end
end

-- --- Layers and compositions ------------------------------------------------------------------------

local SYMBOLS = { { name = "x", count = IDS } }

--- A module of a script, of named members.
local function module_of(members, forward, stateful)
  local class = nn.module "scripted"
  class.forward, class.stateful = forward, stateful or false
  local self = class.new()
  for name, member in pairs(members) do
    self[name] = self:add_member(name, member)
  end
  return self
end

for name, build in pairs {
  ["linear"] = function() return nn.linear { I, 4 } end,
  ["layer norm"] = function() return nn.layer_norm { I } end,
  ["rms norm"] = function() return nn.rms_norm { I } end,
  ["conv1d"] = function() return nn.conv1d { I, 4, kernel = 3 } end,
  ["conv1d, dilated, in groups"] = function() return nn.conv1d { I, 6, kernel = 2, dilation = 2, groups = 3 } end,
  ["windowed attention"] = function() return nn.windowed_attention { I, 3 } end,
} do
  add("layer, " .. name, build)
end

for name, build in pairs {
  ["of conv1d, norm and gru"] = function()
    return nn.chain { nn.conv1d { I, 4, kernel = 3, dilation = 2 }, saros.relu, nn.layer_norm { 4 }, nn.gru { 4, 5 },
      nn.dropout { 0.4 }, nn.linear { 5, 2 } }
  end,
  ["of branches"] = function()
    return nn.chain { nn.branch { nn.lstm { I, 4 }, nn.conv1d { I, 2, kernel = 2 }, nn.linear { I, 3 } },
      nn.branch { nn.gru { 9, 4 }, nn.linear { 9, 4 }, combine = "multiply" } }
  end,
  ["of residual blocks"] = function()
    return nn.chain { nn.linear { I, 4 }, nn.residual { nn.rms_norm { 4 }, nn.mingru { 4, 4 } },
      nn.residual { nn.layer_norm { 4 }, nn.linear { 4, 8 }, saros.gelu, nn.linear { 8, 4 } } }
  end,
  ["of windowed attention"] = function()
    return nn.chain { nn.linear { I, 4 }, nn.residual { nn.windowed_attention { 4, 3, heads = 2 } }, nn.lru { 4, 4 } }
  end,
  ["with a cell of one's own"] = function()
    return nn.chain { nn.recurrent { I, H, cell = own.matrix }, nn.rms_norm { H }, nn.lstm { H, 2 } }
  end,
  ["to and fro"] = function()
    return nn.chain { nn.conv1d { I, 4, kernel = 2 }, nn.gru { 4, 3, bidirectional = true, layers = 2 },
      nn.recurrent { 6, 2, cell = own.highway, bidirectional = true }, nn.linear { 4, 2 } }
  end,
} do
  add("chain, " .. name, build)
end

-- Its statistics in training are those of the batch, of which a program knows nothing.
add("chain, with a batch norm", function()
  return nn.chain { nn.linear { I, 4 }, nn.batch_norm { 4 }, nn.rnn { 4, 2 } }
end, { is_trained_otherwise = true })

add("chain, of ids", function()
  return nn.chain { nn.embedding { IDS, 4 }, nn.gru { 4, H }, nn.linear { H, IDS }, saros.log_softmax }
end, { inputs = SYMBOLS })

-- Their gradients are straight-through, of which a program knows nothing.
add("layer, finite", function()
  return nn.finite { input = I, heads = 2, states = 3 }
end, { is_trained_otherwise = true })

add("chain, of finite states", function()
  return nn.chain { nn.finite { tokens = IDS, heads = 2, states = 3, pointers = "all" }, nn.linear { 18, 4 },
    saros.relu, nn.linear { 4, IDS } }
end, { inputs = SYMBOLS, is_trained_otherwise = true })

add("chain, of soft finite states", function()
  return nn.chain { nn.finite { tokens = IDS, heads = 2, states = 3, pointers = "all", start = "soft" },
    nn.linear { 18, 2 } }
end, { inputs = SYMBOLS })

add("two outputs", function()
  return nn.chain { nn.gru { I, 4 }, nn.heads { policy = nn.chain { nn.linear { 4, 3 }, saros.softmax },
    value = nn.chain { nn.lstm { 4, 2 }, nn.linear { 2, 1 } } } }
end, { refuses = { learner = "learner: expected a model of one output, got one of 2" } })

add("two inputs", function()
  local m = module_of({ a = nn.linear { 3, 4 }, e = nn.embedding { IDS, 4 }, cell = nn.gru { 4, 5 } },
    function(self, x, state, given)
      return self.cell(saros.tanh(self.a(x.left)) + self.e(x.right), state, given)
    end, true)
  m.inputs = { { name = "left", width = 3 }, { name = "right", count = IDS } }
  return m
end, { inputs = { { name = "left", width = 3 }, { name = "right", count = IDS } },
  refuses = { learner = "learner: expected a model of one input, got one of 2" } })

add("two inputs, two outputs", function()
  local m = module_of({ a = nn.lstm { 3, 4 }, b = nn.gru { 2, 4 } }, function(self, x, state, given)
    local a, after = self.a(x.left, state and state[1], given)
    local b, behind = self.b(x.right, state and state[2], given)
    return { product = a * b, sum = a + b }, nn.state.new { after, behind }
  end, true)
  m.inputs = { { name = "left", width = 3 }, { name = "right", width = 2 } }
  return m
end, { inputs = { { name = "left", width = 3 }, { name = "right", width = 2 } },
  refuses = { learner = "learner: expected a model of one input, got one of 2" } })

--- Ids and numbers go in, and a table is read by several products.
add("ids and numbers, two outputs", function()
  local m = module_of({ e = nn.embedding { IDS, 4 }, few = nn.linear { 4, 2 }, wide = nn.linear { 4, 5 },
    a = nn.lstm { 7, 5 }, b = nn.gru { 4, 5 }, c = nn.recurrent { 5, 5, cell = own.gru } },
    function(self, x, state, given)
      local looked_up = self.e(x.left)
      local a, after = self.a(looked_up .. x.right, state and state[1], given)
      local b, behind = self.b(looked_up, state and state[2], given)
      local c, last = self.c(a * b + self.wide(looked_up), state and state[3], given)
      return { value = self.few(looked_up) * c:slice(3, 1, 2), policy = saros.softmax(c) },
        nn.state.new { after, behind, last }
    end, true)
  m.inputs = { { name = "left", count = IDS }, { name = "right", width = 3 } }
  return m
end, { inputs = { { name = "left", count = IDS }, { name = "right", width = 3 } },
  refuses = { learner = "learner: expected a model of one input, got one of 2" } })

add("tables of few and of many products", function()
  local m = module_of({ a = nn.embedding { IDS, 4 }, b = nn.embedding { IDS, 4 }, c = nn.embedding { IDS, 4 },
    few = nn.linear { 4, 2 }, six = nn.linear { 4, 6 }, wide = nn.linear { 4, 6 }, last = nn.linear { 4, 2 } },
    function(self, x)
      local a, b, c = self.a(x), self.b(x), self.c(x)
      return (self.six(a) * self.wide(a)) .. self.few(b) .. (self.last(c) * self.last(c)) .. self.wide(c)
    end)
  m.inputs = { { name = "x", count = IDS } }
  return m
end, { inputs = SYMBOLS })

-- --- With rows first ---------------------------------------------------------------------------------

for name, build in pairs {
  ["a layer"] = function() return nn.gru { I, H, layers = 2, learn_state = true, batch_first = true } end,
  ["a layer, to and fro"] = function() return nn.lstm { I, H, bidirectional = true, batch_first = true } end,
  ["a cell of one's own"] = function() return nn.recurrent { I, H, cell = own.matrix, batch_first = true } end,
  ["conv1d"] = function() return nn.conv1d { I, 4, kernel = 3, batch_first = true } end,
  ["windowed attention"] = function() return nn.windowed_attention { I, 3, batch_first = true } end,
  ["a residual"] = function() return nn.residual { nn.linear { I, H }, nn.gru { H, I }, batch_first = true } end,
  ["branches"] = function() return nn.branch { nn.lstm { I, 4 }, nn.linear { I, 3 }, batch_first = true } end,
  ["a chain"] = function()
    return nn.chain { nn.linear { I, H }, nn.mingru { H, H }, saros.tanh, nn.linear { H, 2 }, batch_first = true }
  end,
} do
  add("rows first, " .. name, build)
end

add("rows first, a chain of ids with heads", function()
  return nn.chain { nn.embedding { IDS, 4 }, nn.gru { 4, H }, nn.heads { a = nn.linear { H, 2 }, b = saros.tanh },
    batch_first = true }
end, { inputs = SYMBOLS, refuses = { learner = "learner: expected a model of one output, got one of 2" } })

-- --- Models ----------------------------------------------------------------------------------------

local vocabulary = data.vocabulary.characters "abcde"
local CELLS = { table.unpack(recurrent.names) }
CELLS[#CELLS + 1] = own.highway

local numbers = { low = {}, high = {} }
for i = 1, 6 do
  numbers.low[i] = saros.generator(i):normal { 5, I } + 1
  numbers.high[i] = numbers.low[i] * 2
end
numbers = data.labelled(numbers, { valid = 0 })

local line = {}
for t = 1, 60 do
  line[t] = { 5 + 2 * math.sin(t / 3), math.cos(t / 5), math.sin(t / 7) - 3 }
end
local series = assert(data.series(saros.tensor(line), { horizon = 2, targets = { 1, 2 } }))

for _, cell in ipairs(CELLS) do
  local name = type(cell) == "string" and cell or "a cell of one's own"
  add("language model, " .. name, function()
    return nn.language_model { vocabulary = vocabulary, hidden = H, cell = cell, layers = 2, dropout = 0.3,
      embedding = 4, learn_state = true, heads = heads_of(cell) }
  end, { inputs = SYMBOLS })
  local refuses = cell == "lru" and { learner = "learner: expected a classifier of another cell than lru" } or nil
  add("classifier of texts, " .. name, function()
    return nn.classifier { vocabulary = vocabulary, labels = { "a", "b" }, hidden = H, cell = cell, layers = 2,
      bidirectional = false, heads = heads_of(cell) }
  end, { inputs = SYMBOLS, refuses = refuses, pieces = false })
  add("classifier of numbers, " .. name, function()
    return nn.classifier { features = numbers.features, labels = numbers.labels, hidden = H, cell = cell,
      bidirectional = false, heads = heads_of(cell) }
  end, { refuses = refuses, pieces = false, scaled = true })
  add("forecaster, " .. name, function()
    return nn.forecaster { series = series, hidden = H, cell = cell, layers = 2, difference = false,
      heads = heads_of(cell) }
  end, { scaled = true })
end

add("language model, tied, with a head and norms", function()
  return nn.language_model { vocabulary = vocabulary, hidden = H, tie = true, residual = true, layers = 2 }
end, { inputs = SYMBOLS })
add("language model, of a net", function()
  return nn.language_model { vocabulary = vocabulary, net = nn.chain { nn.embedding { IDS, 4 },
    nn.conv1d { 4, 4, kernel = 2 }, nn.recurrent { 4, 4, cell = own.gru }, nn.linear { 4, IDS } } }
end, { inputs = SYMBOLS })

-- --- What has no program --------------------------------------------------------------------------

local function add_pairs(name, o)
  add("encoder-decoder, " .. name, function()
    local given = { source = IDS, target = 4, hidden = H, embedding = 4 }
    for key, value in pairs(o) do
      given[key] = value
    end
    return nn.encoder_decoder(given)
  end, { inputs = SYMBOLS, pairs = true })
end

add_pairs("without attention", { attention = false, cell = "lstm" })
add_pairs("with attention", { attention = "additive", cell = "gru", layers = 2 })
add_pairs("to and fro", { bidirectional = true, cell = "mingru" })
add_pairs("with a cell of one's own", { cell = own.highway, layers = 2 })

--- Models that no step computes: built, and why.
local refused = {
  { name = "a convolution that reads ahead", why = "got nn.conv1d: a kernel that is not causal reads ahead",
    build = function() return nn.chain { nn.conv1d { I, 4, kernel = 3, causal = false }, nn.gru { 4, 2 } } end },
  { name = "a convolution with a stride", why = "got nn.conv1d: a stride of 2 drops steps",
    build = function() return nn.chain { nn.conv1d { I, 4, kernel = 3, stride = 2 }, nn.gru { 4, 2 } } end },
  { name = "a mean over time", why = "got mean over",
    build = function()
      local m = module_of({ a = nn.linear { I, 2 } }, function(self, x) return self.a(x):mean(1, true) + x:sum() end)
      m.input = I
      return m
    end },
}

--- Random inputs of T steps of B rows.
local function inputs_of(row, T, B)
  local generator, inputs = saros.generator(7), {}
  for _, input in ipairs(row.inputs) do
    if input.width then
      inputs[input.name] = generator:normal { T, B, input.width }
    else
      local ids = {}
      for n = 1, T * B do
        ids[n] = generator:integer(input.count)
      end
      inputs[input.name] = saros.ids(ids):reshape(T, B)
    end
  end
  return inputs
end

--- The model, whose parameters are none of those that begin as 0 or 1.
local function built(row)
  local model = row.build()
  if not model.initialized then
    model:init { seed = 3 }
  end
  local generator = saros.generator(4)
  for _, tensor in ipairs(model:parameters()) do
    tensor:assign(tensor + generator:normal(tensor:shape()) * 0.2)
  end
  return model
end

table.sort(rows, function(a, b) return a.name < b.name end)

return { rows = rows, refused = refused, inputs_of = inputs_of, built = built }
