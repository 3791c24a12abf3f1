-- module:program(): the twin that runs the node table step by step agrees with the
-- module over whole sequences, in outputs and states.

local saros = require "saros"
local core = require "saros.core"
local twin = require "spec.support.program_twin"
local nn = saros.nn

local T, B = 5, 3

--- Random values for the inputs of a program, by name.
local function inputs_of(program, generator)
  local inputs = {}
  for _, node in ipairs(program.nodes) do
    if node.op == "input" then
      inputs[node.name] = generator:normal { T, B, node.width }
    elseif node.op == "ids" then
      local ids = {}
      for n = 1, T * B do
        ids[n] = generator:integer(node.count)
      end
      inputs[node.name] = saros.ids(ids):reshape(T, B)
    end
  end
  return inputs
end

local function only(inputs)
  local name, x = next(inputs)
  return next(inputs, name) == nil and x or inputs
end

local function at_path(tree, path)
  for _, key in ipairs(path) do
    tree = tree[key]
  end
  return tree
end

local function is_near(expected, got, what)
  local a = expected:contiguous():reshape(got:shape())
  local difference = (a - got):abs():max():item()
  assert.is_true(difference < (saros.info().real == "double" and 1e-9 or 1e-4), what .. ": " .. difference)
end

--- Compares a window of the module with the twin's; the states after it.
local function same_window(module, program, inputs, state, states)
  local y, after = module(only(inputs), state)
  local outputs, last = twin.run(program, module:tensors(), inputs, { state = states })
  y = type(y) == "table" and y or { y = y }
  for name, got in pairs(outputs) do
    is_near(y[name], got, "output " .. name)
  end
  for n, given in ipairs(program.states) do
    if given.path then
      is_near(at_path(after, given.path), last[n], "state " .. given.name)
    end
  end
  return after, last
end

--- The program of a module, which must agree from the beginning and from a state.
local function agrees(module, given, is_both_ways)
  if not module.initialized then
    module:init { seed = 3 }
    local generator = saros.generator(4)
    for _, tensor in ipairs(module:parameters()) do -- biases and learned states as well
      tensor:assign(tensor + generator:normal(tensor:shape(), 0, 0.1))
    end
  end
  local program, generator = module:program(given), saros.generator(7)
  core.program(program:encode()) -- which checks everything
  local state, states = same_window(module, program, inputs_of(program, generator))
  if module.stateful and not is_both_ways then
    same_window(module, program, inputs_of(program, generator), state, states)
  end
  return program
end

local function ops_of(program)
  local names = {}
  for n, node in ipairs(program.nodes) do
    names[n] = node.op
  end
  return table.concat(names, " ")
end

--- A module made of a function forward(self, x, state) and named members.
local function own(input, members, forward, stateful)
  local class = nn.module "own"
  class.forward, class.stateful = forward, stateful or false
  local self = class.new()
  self.input = input
  for name, member in pairs(members) do
    self[name] = self:add_member(name, member)
  end
  return self
end

--- A module of a function alone, of 8 features.
local function of(forward)
  return own(8, {}, function(_, x) return forward(x) end)
end

describe("the program of a layer", function()
  it("of every kind of cell agrees with it", function()
    for _, name in ipairs { "rnn", "lstm", "gru", "mingru", "minlstm", "lru" } do
      agrees(nn[name] { 4, 6 })
      agrees(nn[name] { 4, 6, layers = 3, residual = true, learn_state = true })
    end
  end)

  it("with the options of its cell agrees with it", function()
    for _, module in ipairs {
      nn.rnn { 4, 6, activation = "relu", bias = false, layer_norm = true },
      nn.lstm { 4, 6, peepholes = true, projection = 3, forget_bias = 1 },
      nn.lstm { 4, 6, layer_norm = true, zoneout = 0.2, zoneout_cell = 0.1, recurrent_dropout = 0.3 },
      nn.lstm { 4, 6, layers = 2, dropout = 0.3, variational = true, learn_state = true, remember = 9 },
      nn.gru { 4, 6, reset = "before", layers = 2, dropout = 0.5 },
      nn.gru { 6, 6, layer_norm = true, residual = true, layers = 2 },
      nn.mingru { 4, 6, candidate = "positive" },
      nn.lru { 6, 6, units = 5, residual = true },
    } do
      agrees(module)
    end
  end)

  it("names its dropout and zoneout", function()
    local program = nn.lstm { 4, 6, layers = 2, zoneout = 0.25, recurrent_dropout = 0.5, dropout = 0.125,
      variational = true }:init { seed = 1 }:program()
    local found = {}
    for _, node in ipairs(program.nodes) do
      if node.op == "cell" then
        found.zoneout, found.dropout = node.zoneout, node.dropout
      elseif node.op == "dropout" then
        found.p, found.shared = node.p, node.shared
      end
    end
    assert.same({ zoneout = { 0.25, 0.0 }, dropout = 0.5, p = 0.125, shared = true }, found)
  end)

  it("in both directions has states that walk back", function()
    local program = agrees(nn.gru { 4, 6, layers = 2, bidirectional = true }, nil, true)
    local reverse = {}
    for n, state in ipairs(program.states) do
      reverse[n] = state.reverse or false
    end
    assert.same({ false, true, false, true }, reverse)
  end)

  it("of windowed attention agrees with it", function()
    local program = agrees(nn.windowed_attention { 8, 4, heads = 2 })
    assert.matches("attention", ops_of(program))
    agrees(nn.windowed_attention { 6, 2, residual = true })
    agrees(nn.chain { nn.linear { 4, 8 }, nn.windowed_attention { 8, 3 }, nn.lstm { 8, 3 } })
  end)

  it("of convolutions agrees with it", function()
    agrees(nn.conv1d { 4, 6, kernel = 3 })
    agrees(nn.conv1d { 4, 4, kernel = 2, dilation = 3, groups = 4, bias = false })
    agrees(nn.chain { nn.conv1d { 4, 6, kernel = 2, groups = 2 }, saros.relu, nn.conv1d { 6, 5, kernel = 1 } })
  end)

  it("without a state agrees with it", function()
    agrees(nn.linear { 4, 6 })
    agrees(nn.linear { 4, 6, bias = false })
    agrees(nn.layer_norm { 8 })
    agrees(nn.rms_norm { 8, epsilon = 0.1 })
    agrees(nn.embedding { 5, 8 })
  end)
end)

describe("the program of a composition", function()
  it("agrees with it", function()
    agrees(nn.chain { nn.embedding { 5, 8 }, nn.lstm { 8, 6 }, nn.layer_norm { 6 }, nn.dropout { 0.5 },
      nn.linear { 6, 5 }, saros.log_softmax })
    agrees(nn.chain {
      nn.residual { nn.layer_norm { 8 }, nn.mingru { 8, 8 } },
      nn.residual { nn.layer_norm { 8 }, nn.linear { 8, 16 }, saros.relu, nn.linear { 16, 8 } },
    })
  end)

  it("knows tied parameters by one name", function()
    local m = own(5, { embedding = nn.linear { 5, 5 }, head = nn.linear { 5, 5 } }, function(self, x)
      return self.head(self.embedding(x))
    end)
    m.head:tie("weight", m.embedding.weight)
    assert.equal(3, #agrees(m).parameters)
  end)

  it("of several inputs and named outputs agrees with it", function()
    local m = own(nil, { a = nn.linear { 3, 4 }, e = nn.embedding { 5, 4 } }, function(self, x)
      local sum = self.a(x.left) + self.e(x.right)
      return { sum = sum, squares = sum * sum }
    end)
    m.inputs = { { name = "left", width = 3 }, { name = "right", count = 5 } }
    local program = agrees(m)
    assert.equal("squares sum", program.outputs[1].name .. " " .. program.outputs[2].name)
  end)

  it("of branches and heads agrees with it", function()
    agrees(nn.branch { nn.linear { 4, 3 }, nn.gru { 4, 3 }, combine = "multiply" })
    agrees(nn.chain { nn.branch { nn.conv1d { 4, 3, kernel = 2 }, nn.lstm { 4, 5 } },
      nn.heads { value = nn.linear { 8, 1 }, action = nn.chain { nn.linear { 8, 3 }, saros.softmax } } })
  end)

  it("has the running values of batch norms", function()
    local m = nn.chain { nn.linear { 4, 6 }, nn.batch_norm { 6 } }:init { seed = 1 }
    do
      local _ <close> = saros.tape()
      m(saros.generator(1):normal { T, B, 4 })
    end
    local program, names = agrees(m), {}
    for n, parameter in ipairs(program.parameters) do
      names[n] = parameter.name
    end
    assert.matches("1.running_mean", table.concat(names, " "), 1, true)
    assert.matches("1.running_var", table.concat(names, " "), 1, true)
  end)

  it("is made once, and again when parameters are added", function()
    local m = own(4, { a = nn.linear { 4, 4 } }, function(self, x)
      return self.b and self.b(self.a(x)) or self.a(x)
    end):init { seed = 1 }
    local program = m:program()
    assert.equal(program, m:program())
    m.b = m:add_member("b", nn.linear { 4, 2 })
    m:init { seed = 1 }
    assert.equal(4, #m:program().parameters)
  end)
end)

describe("operations", function()
  it("of each element agree", function()
    agrees(of(function(x)
      return (x:sin() + x:cos() * x:tanh() - x:abs():sqrt() / (1 + x:exp())) ^ 2
    end))
    agrees(of(function(x) return x:sigmoid() .. x:relu() .. x:negate() .. (x:abs() + 1):log() end))
    agrees(of(function(x) return saros.where(x:gt(0), x, -1) + x:le(x:mean(-1, true)) + x:ne(0) end))
    agrees(of(function(x) return core.elu(x, 0.5) + core.leaky_relu(x, 0.2) + core.elu(x) end))
  end)

  it("that broadcast agree", function()
    agrees(of(function(x)
      local heads = x:reshape(x:size(1), x:size(2), 2, 4)
      return (heads * heads:sum(3, true) - heads:max(4, true)):reshape(x:shape())
    end))
    agrees(of(function(x)
      local column = x:reshape(x:size(1), x:size(2), 8, 1)
      local row = x:reshape(x:size(1), x:size(2), 1, 8)
      return (column * row + saros.arange(8)):flatten():reshape(x:size(1), x:size(2), 64)
    end))
    agrees(of(function(x) return x + saros.tensor { 1, 2, 3, 4, 5, 6, 7, 8 } end))
    agrees(of(function(x) return x * saros.ones(x:shape()) + saros.full({ x:size(2), 8 }, 0.5) end))
  end)

  it("that view and join agree", function()
    agrees(of(function(x) return x:slice(3, 2, 5) .. x:slice(3, -2) .. x:slice(3, 8, 1, -3) end))
    agrees(of(function(x) return x:reshape(x:size(1), x:size(2), 2, 4):transpose(3, 4):reshape(x:shape()) end))
    agrees(of(function(x)
      local y = x:reshape(x:size(1), x:size(2), 2, 2, 2):transpose(3, 5)
      return y:select(4, 2):reshape(x:size(1), x:size(2), 4)
    end))
    agrees(of(function(x) return x:transpose(1, 2):flip(3):transpose(1, 2) end))
    agrees(of(function(x)
      local y = x:reshape(x:size(1), x:size(2), 4, 2)
      return saros.concatenate({ y, y:slice(3, 1, 1) * 2, y }, 3):reshape(x:size(1), x:size(2), 18)
    end))
    agrees(of(function(x)
      local a, b = x:slice(3, 1, 4), x:slice(3, 5, 8)
      return saros.stack({ a, b }, 4):flatten():reshape(x:shape()) + saros.stack({ a, b }, 3):reshape(x:shape())
    end))
  end)

  it("along features agree", function()
    agrees(of(function(x)
      local y = x:reshape(x:size(1), x:size(2), 2, 4)
      return saros.softmax(y, 3):reshape(x:shape()) .. saros.log_softmax(y):reshape(x:shape()) .. y:cumsum(3):reshape(
        x:shape()) .. y:logsumexp(4) .. y:min(3) .. y:mean(4)
    end))
  end)

  it("that multiply agree", function()
    local function heads_of(x)
      return x:reshape(x:size(1), x:size(2), 2, 2, 2)
    end
    agrees(of(function(x) return heads_of(x):matmul(heads_of(x):transpose()):reshape(x:shape()) end))
    agrees(of(function(x)
      local v = heads_of(x):slice(5, 1, 1)
      return heads_of(x):matmul(v):reshape(x:size(1), x:size(2), 4)
        .. v:matmul(v:transpose()):reshape(x:shape())
        .. v:transpose():matmul(heads_of(x)):reshape(x:size(1), x:size(2), 4)
    end))
    local weights = saros.generator(5):normal { 8, 3 }
    agrees(of(function(x) return x:matmul(weights) end))
    local m = own(8, {}, function(self, x)
      return x:reshape(x:size(1), x:size(2), 4, 2):matmul(self.w):reshape(x:size(1), x:size(2), 12)
        .. x:matmul(self.v):reshape(x:size(1), x:size(2), 1)
    end)
    m.w = m:add_parameter("w", { 2, 3 }, nn.initialize.normal(1))
    m.v = m:add_parameter("v", { 8 }, nn.initialize.normal(1))
    agrees(m)
  end)

  it("that multiply parameters agree", function()
    for _, sizes in ipairs { { 7, 3 }, { 2, 6 } } do
      local m = own(nil, {}, function(self, ids) return core.embedding(self.table:matmul(self.w), ids) end)
      m.inputs = { { name = "ids", count = sizes[1] } }
      m.table = m:add_parameter("table", { sizes[1], 4 }, nn.initialize.normal(1))
      m.w = m:add_parameter("w", { 4, sizes[2] }, nn.initialize.normal(1))
      agrees(m)
    end
  end)

  it("of parameters alone are invariant nodes", function()
    local m = own(8, { lin = nn.linear { 8, 8 } }, function(self, x)
      return core.linear(x, self.lin.weight:exp() * self.gain, self.lin.bias * 2) + self.gain:reshape(-1)
    end)
    m.gain = m:add_parameter("gain", { 8, 1 }, nn.initialize.normal(1))
    agrees(m)
  end)

  it("with one-hot vectors agree", function()
    local m = own(nil, { lin = nn.linear { 5, 4 } }, function(self, ids) return self.lin(saros.one_hot(ids, 5)) end)
    m.inputs = { { name = "ids", count = 5 } }
    agrees(m)
  end)

  it("are shared where they are the same", function()
    local program = agrees(of(function(x) return x:tanh() * x:tanh() + 2 + 2 end))
    assert.equal("input tanh multiply constant add add", ops_of(program))
  end)
end)

-- --- Models ----------------------------------------------------------------------------------

describe("the program of a model", function()
  local vocabulary = saros.data.vocabulary.bytes()

  it("of language agrees with it", function()
    for _, cell in ipairs { "lstm", "lru" } do
      local program = agrees(nn.language_model { vocabulary = vocabulary, cell = cell, hidden = 6, layers = 2,
        head = { 5 }, dropout = 0.5, learn_state = true })
      assert.equal("ids", program.nodes[1].op)
    end
    agrees(nn.language_model { vocabulary = vocabulary, hidden = 6, tie = true, residual = true })
  end)

  it("that classifies says what it would say of the sequence so far", function()
    for _, cell in ipairs { "gru", "lru" } do
      local m = nn.classifier { vocabulary = vocabulary, labels = { "x", "y" }, cell = cell, hidden = 6, layers = 2,
        dropout = 0.5, bidirectional = false }
      local program, ids = m:program(), saros.ids { { 1, 3 }, { 2, 2 }, { 3, 1 } }
      local outputs = twin.run(program, m:tensors(), { [program.nodes[1].name] = ids })
      for t = 1, 3 do
        is_near(m(ids:slice(1, 1, t)), outputs.y[t], cell)
      end
    end
    local ok, message = pcall(function()
      return nn.classifier { vocabulary = vocabulary, labels = { "x", "y" }, bidirectional = true }:program()
    end)
    assert.is_false(ok)
    assert.matches("expected a classifier of one direction", message)
  end)

  it("that forecasts is that of its net", function()
    local rows = {}
    for t = 1, 60 do
      rows[t] = { math.sin(t / 3), math.cos(t / 5) }
    end
    local series = assert(saros.data.series(saros.tensor(rows), { inputs = 2, horizon = 3 }))
    local m, generator = nn.forecaster { series = series, hidden = 6 }, saros.generator(1)
    local program = m:program()
    local x = generator:normal { T, B, program.nodes[1].width }
    local outputs = twin.run(program, m:tensors(), { x = x })
    is_near((m.net(x)), outputs.y, "forecaster")
  end)

  it("that translates is refused", function()
    local ok, message = pcall(function()
      return nn.encoder_decoder { source = 5, target = 5, hidden = 4 }:program()
    end)
    assert.is_false(ok)
    assert.matches("program: expected a module that computes step by step, got an encoder_decoder", message)
  end)
end)

describe("a program inside another one", function()
  local inline = require "saros.program.inline"

  --- A module that runs another one and says in a trace that it is that one's program.
  local function wrapped(inner)
    local m = own(nil, { inner = inner }, function(self, x, state) return self.inner(x, state) end, inner.stateful)
    getmetatable(m).trace = function(self, t, x, state)
      local y, after = t:quietly(self.forward, self, x, state)
      local program, states = self.inner:program(), {}
      for n, given in ipairs(program.states) do
        states[n] = { state and at_path(state, given.path), at_path(after, given.path) }
      end
      inline(t, program, { parameters = self.inner:tensors(), inputs = { x = x }, states = states,
        outputs = { y = y } })
      return y, after
    end
    return m
  end

  local function highway(inputs, hidden)
    return nn.recurrent { inputs, hidden, learn_state = true, cell = nn.cell("highway", { states = { "h" } },
      function(p, x, h)
        local z = saros.sigmoid(p.gate(x .. h))
        return z * saros.tanh(p.new(x .. h)) + (1 - z) * h
      end) }
  end

  it("has its nodes there", function()
    for _, inner in ipairs {
      nn.linear { 4, 6 }, nn.lstm { 4, 6, layers = 2, learn_state = true }, highway(4, 6),
      nn.chain { nn.conv1d { 4, 5, kernel = 3, dilation = 2 }, nn.gru { 5, 6, residual = true } },
      nn.windowed_attention { 6, 3, heads = 2 }, nn.lru { 4, 6 }, nn.chain { nn.embedding { 5, 6 }, nn.rms_norm { 6 } },
    } do
      local plain = inner:init { seed = 1 }:program()
      local program = agrees(wrapped(inner))
      assert.equal(#plain.nodes, #program.nodes)
      agrees(nn.chain { wrapped(inner), nn.linear { 6, 2 } })
    end
  end)

  it("has its nodes there where it is all that is left of a module", function()
    local of_program = require "saros.nn.program".of
    for _, inner in ipairs { nn.gru { 4, 6, learn_state = true }, highway(4, 6), nn.conv1d { 4, 6, kernel = 2 } } do
      local m = of_program(inner:init { seed = 1 }:program():encode())
      m:load(inner:tensors())
      agrees(nn.chain { nn.linear { 4, 4 }:init { seed = 1 }, m, nn.linear { 6, 2 }:init { seed = 2 } })
    end
  end)
end)

-- --- Own cells -----------------------------------------------------------------------------

describe("the program of an own cell", function()
  local function highway(inputs, hidden)
    local cell = own(nil, { gate = nn.linear { inputs + hidden, hidden }, new = nn.linear { inputs + hidden, hidden } },
      function(self, x, state)
        local h = state[1]
        local z = saros.sigmoid(self.gate(x .. h))
        return z * saros.tanh(self.new(x .. h)) + (1 - z) * h
      end)
    return cell
  end

  it("in a layer agrees with it", function()
    agrees(nn.recurrent { 4, 6, cell = highway })
    agrees(nn.recurrent { 6, 6, layers = 2, cell = highway, learn_state = true, residual = true })
  end)

  it("that a function makes agrees with it", function()
    local peephole = nn.cell("peephole", { states = { "h", "c" }, output = true }, function(p, x, h, c)
      local f = saros.sigmoid(p.forget(x .. h) + p.peep:vector() * c)
      local new = f * c + (1 - f) * saros.tanh(p.norm:layer_norm(p.new(x .. h)))
      local out = saros.sigmoid(p.output(x .. h)) * saros.tanh(new)
      return p:dropout(out, 0.5) .. out, out, new
    end)
    agrees(nn.recurrent { 4, 6, cell = peephole })
    agrees(nn.recurrent { 4, 6, cell = peephole, layers = 2, learn_state = true })
    local delta = nn.cell("delta", { states = { { "m", 2, 3, 3 } }, output = true }, function(p, x, m)
      local q, k = p.q(x, 6):reshape(-1, 2, 3, 1), p.k(x, 6):reshape(-1, 2, 3, 1)
      k = k / (k * k):sum(3, true):sqrt()
      local v, b = p.v(x, 6):reshape(-1, 2, 3, 1), saros.sigmoid(p.b(x, 2)):reshape(-1, 2, 1, 1)
      m = m + (b * (v - m:matmul(k))):matmul(k:transpose())
      return m:matmul(q):reshape(-1, 6), m
    end)
    agrees(nn.recurrent { 4, 6, cell = delta })
  end)

  it("that a function makes keeps its values in part, as zoneout does on average", function()
    local cell = nn.cell("plain", { states = { "h" } }, function(p, x, h) return saros.tanh(p.new(x .. h)) end)
    agrees(nn.recurrent { 4, 6, cell = cell, zoneout = 0.25 })
  end)

  it("in both directions has states that walk back", function()
    local program = agrees(nn.recurrent { 4, 6, cell = highway, bidirectional = true, learn_state = true }, nil, true)
    assert.is_nil(program.states[1].reverse)
    assert.is_true(program.states[2].reverse)
  end)

  it("whose state is a nested table of any shapes agrees with it", function()
    local m = own(4, { lin = nn.linear { 4, 6 } }, function(self, x, state)
      state = state or { deep = { sums = saros.zeros(x:size(2), 2, 3) }, last = saros.zeros(x:size(2), 4) }
      local outputs = {}
      for t = 1, #x do
        local sums = state.deep.sums * 0.5 + self.lin(x[t] - state.last):reshape(x:size(2), 2, 3)
        state = { deep = { sums = sums }, last = x[t] }
        outputs[t] = sums:reshape(x:size(2), 6)
      end
      return saros.stack(outputs), state
    end, true)
    local program = agrees(m)
    assert.equal("deep.sums", program.states[1].name)
    assert.same({ "last" }, program.states[2].path)
  end)

  it("with a matrix state in heads agrees with it", function()
    local m = own(6, { q = nn.linear { 6, 4 }, k = nn.linear { 6, 4 }, v = nn.linear { 6, 6 } }, function(self, x, S)
      local rows, outputs = x:size(2), {}
      S = S or saros.zeros(rows, 2, 3, 2)
      for t = 1, #x do
        local q, k = self.q(x[t]):reshape(rows, 2, 2, 1), saros.softmax(self.k(x[t]):reshape(rows, 2, 1, 2))
        local v = self.v(x[t]):reshape(rows, 2, 3, 1)
        S = S - S:matmul(k:transpose()):matmul(k) + v:matmul(k)
        outputs[t] = S:matmul(q):reshape(rows, 6)
      end
      return saros.stack(outputs), S
    end, true)
    local program = agrees(m)
    assert.matches("outer", ops_of(program))
    assert.matches("matvec", ops_of(program))
    assert.equal("state", program.states[1].name)
  end)

  it("whose outputs are joined step by step agrees with it", function()
    agrees(own(4, { lin = nn.linear { 8, 4 } }, function(self, x, h)
      local outputs = {}
      h = h or saros.zeros(x:size(2), 4)
      for t = 1, #x do
        h = self.lin(x[t] .. h):tanh()
        outputs[t] = h:reshape(1, x:size(2), 4)
      end
      return saros.concatenate(outputs, 1), h
    end, true))
  end)

  it("that gives the last step alone agrees with it", function()
    local m = own(4, { rnn = nn.gru { 4, 5 } }, function(self, x, state)
      local y, after = self.rnn(x, state)
      return y[-1], after
    end, true):init { seed = 1 }
    local program, x = m:program(), saros.generator(1):normal { T, B, 4 }
    is_near(m(x), twin.run(program, m:tensors(), { x = x }).y[T], "the last step")
  end)

  it("that attends to a ring that is its state agrees with it", function()
    local m = own(6, { q = nn.linear { 6, 4 }, kv = nn.linear { 6, 8 } }, function(self, x, ring)
      local rows, outputs = x:size(2), {}
      ring = ring or saros.zeros(rows, 3, 8)
      for t = 1, #x do
        ring = saros.concatenate({ ring:slice(2, 2), self.kv(x[t]):reshape(rows, 1, 8) }, 2)
        local scores = ring:slice(3, 1, 4):matmul(self.q(x[t]):reshape(rows, 4, 1))
        outputs[t] = saros.softmax(scores, 2):transpose():matmul(ring:slice(3, 5)):reshape(rows, 4)
      end
      return saros.stack(outputs), ring
    end, true)
    agrees(m)
  end)

  it("around a fused layer agrees with it", function()
    local m = own(4, { rnn = nn.gru { 5, 6 } }, function(self, x, state)
      state = state or { feedback = saros.zeros(x:size(2), 1) }
      local outputs = {}
      for t = 1, #x do
        local y, rnn = self.rnn((x[t] .. state.feedback):reshape(1, x:size(2), 5), state.rnn)
        state = { feedback = y[1]:slice(2, 1, 1), rnn = rnn }
        outputs[t] = y[1]
      end
      return saros.stack(outputs), state
    end, true)
    agrees(m)
  end)
end)

-- --- Refusals --------------------------------------------------------------------------------

describe("a module without a program is refused by name", function()
  --- The refusal of a function of x (T, B, 8); its line must be the function's.
  local function refused(forward, what)
    local line = debug.getinfo(forward, "S").linedefined
    local ok, message = pcall(function() return of(forward):init { seed = 1 }:program() end)
    assert.is_false(ok)
    assert.matches(what, message, 1, true)
    assert.matches("^spec/program_trace_spec.lua:" .. line .. ": program: expected ", message)
    assert.matches("trains as it is, but has no session, no C file and no model file", message)
  end

  it("where it reads values", function()
    refused(function(x) return x * x:max():item() end, "got max over time")
    refused(function(x) return x:reshape(-1, 8) * #x:totable() end, "got totable, which reads values")
    refused(function(x) return x * #tostring(x) end, "got tostring, which reads values")
    refused(function(x) return x * x[1][1][1] end, "got indexing of a row of the batch")
    refused(function(x) return x:all_finite() and x or -x end, "got all_finite, which reads values")
  end)

  it("where it draws random numbers", function()
    local generator = saros.generator(1)
    refused(function(x) return x + generator:normal { 8 } end, "got normal of a generator, a random number")
    refused(function(x) return x * generator:number() end, "got number of a generator")
  end)

  it("where it works along rows", function()
    refused(function(x) return x - x:mean(1, true) end, "got mean over time")
    refused(function(x) return x - x:sum(2, true) end, "got sum over the rows of a batch")
    refused(function(x) return x:cumsum(1) end, "got cumsum over time")
    refused(function(x) return saros.softmax(x, 2) end, "got softmax over the rows of a batch")
    refused(function(x) return x:flip(2) end, "got flip over the rows of a batch")
    refused(function(x) return x:slice(1, 2) end, "got a slice of steps")
    refused(function(x) return x:transpose(2, 3):matmul(x) end, "got matmul over the rows of a batch")
    refused(function(x) return saros.concatenate({ x, x }, 1) end, "got concatenate over time")
    refused(function(x) return x:slice(2, 1, 2) end, "got slice over the rows of a batch")
  end)

  it("where it writes in place", function()
    refused(function(x) return x:clone():fill(2) end, "got fill, which writes in place")
    refused(function(x) x[1] = x[1] * 2 return x end, "got x[i] = y, which writes in place")
    refused(function(x) return saros.zeros(x:shape()):assign(x) end, "got assign, which writes in place")
  end)

  it("where rows differ by a constant", function()
    refused(function(x) return x + saros.arange(x:size(2)):reshape(-1, 1) end,
      "got add of features with rows: a constant that differs from row to row")
  end)

  it("where the core has no rule for an operation", function()
    refused(function(x) return x * x:argmax() end, "got argmax")
    refused(function(x) return (saros.topk(x, 2)) end, "got topk")
    local m = own(nil, {}, function(_, ids) return ids:eq(2) end)
    m.inputs = { { name = "ids", count = 3 } }
    local ok, message = pcall(function() return m:program() end)
    assert.is_false(ok)
    assert.matches("got eq of ids", message)
  end)

  --- The refusal of a whole module, at the line of the call.
  local function refused_at_all(m, what)
    m:init { seed = 1 }
    local line = debug.getinfo(1, "l").currentline + 1
    local ok, message = pcall(function() return m:program() end)
    assert.is_false(ok)
    assert.matches("^spec/program_trace_spec.lua:" .. line .. ": program: expected ", message)
    assert.matches(what, message, 1, true)
  end

  it("where steps depend on others without a state", function()
    local before
    refused_at_all(own(4, { rnn = nn.gru { 4, 4 } }, function(self, x) return (self.rnn(x)) end),
      "got outputs that depend on other steps")
    refused_at_all(own(4, {}, function(_, x)
      local y = x:slice(1, 1, 1) + x
      before = y
      return before
    end), "got outputs that depend on other steps")
  end)

  it("where the first step is another one", function()
    refused_at_all(own(4, {}, function(_, x, h)
      local y = h and saros.tanh(x[1]) + h or x[1] * 2
      return y:reshape(1, x:size(2), 4), y
    end, true), "got a first step that computes something else than later ones")
  end)

  it("where the state is not one of rows", function()
    refused_at_all(own(4, {}, function(_, x, n) return x, (n or saros.zeros(1)) + 1 end, true),
      "in which no single axis is that of the rows")
    refused_at_all(own(4, {}, function(_, x, n) return x, { (n and n[1] or 0) + 1 } end, true),
      'a state "1" that is no tensor of numbers, but')
  end)

  it("where a layer's state is changed", function()
    refused_at_all(own(4, { rnn = nn.gru { 4, 4 } }, function(self, x, state)
      local y, after = self.rnn(x, state)
      return y, { { after[1][1] * 0.5 } }
    end, true), "got a layer's state")
    refused_at_all(own(4, { rnn = nn.gru { 4, 4 } }, function(self, x, state)
      return self.rnn(x, state and { { state[1][1] * 0.5 } })
    end, true), "got a layer that does not begin where its state is")
  end)

  it("where it does not say what it reads", function()
    refused_at_all(own(nil, {}, function(_, x) return x end), "got own")
  end)

  it("and its recording ends there", function()
    pcall(function() return of(function(x) return x:flip(2) end):init { seed = 1 }:program() end)
    assert.equal(3, saros.tensor { 1, 2 }:sum():item())
  end)
end)
