-- module:program(): the twin that runs the node table step by step agrees with the
-- module over whole sequences, in outputs and states.

local saros = require "saros"
local cells = require "saros.nn.cells.list"
local delta = require "spec.support.delta_program"
local twin = require "spec.support.program_twin"
local traced = require "spec.support.traced"
local nn = saros.nn
local agrees, at_path, is_near, ops_of, own = traced.agrees, traced.at_path, traced.is_near, traced.ops_of, traced.own
local T, B = traced.T, traced.B

describe("the program of a layer", function()
  it("of every kind of cell agrees with it", function()
    for _, name in ipairs(cells) do
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

  it("of a delta rule agrees with it", function()
    for _, kind in ipairs(delta.kinds()) do
      assert.matches("delta", ops_of(agrees(delta.module(4, kind))))
      kind.learn_state = true
      agrees(nn.chain { nn.linear { 3, 4 }, delta.module(4, kind), nn.linear { kind.heads * kind.V, 2 } })
      kind.reverse = true
      local program = agrees(delta.module(4, kind), nil, true)
      assert.is_true(program.states[1].reverse)
    end
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

  it("has the inputs that its class says", function()
    local Pair = nn.module "pair"
    Pair.inputs = { { name = "a", width = 3 }, { name = "b", width = 2 } }
    function Pair:forward(x) return self.left(x.a) + self.right(x.b):tanh() end
    local pair = Pair.new()
    pair.left, pair.right = pair:add_member("left", nn.linear { 3, 4 }), pair:add_member("right", nn.linear { 2, 4 })
    local nodes = pair:init { seed = 1 }:program().nodes
    assert.same({ "a", "b" }, { nodes[1].name, nodes[2].name })
    assert.same({ 3, 2 }, { nodes[1].width, nodes[2].width })
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

  it("is made once, or each time where functions of a script may say something else", function()
    local k = 2
    local Scaled = nn.module "scaled"
    Scaled.input = 3
    function Scaled.forward(_, x) return x * k end
    local function twice(x) return x * k end
    for _, net in ipairs { nn.chain { nn.linear { 3, 3 }, twice }, Scaled.new(), nn.chain { Scaled.new() },
      nn.branch { nn.linear { 3, 3 }, combine = twice } } do
      net:init { seed = 1 }
      local x = saros.tensor { { { 1, 2, 3 } } }
      for _, factor in ipairs { 2, 5 } do
        k = factor
        local apart = (net(x)[1][1] - net:session():step { 1, 2, 3 }):abs():max()
        assert.near(0, apart:item(), 1e-6)
      end
    end
    local fixed = nn.chain { nn.linear { 3, 3 }, saros.tanh }:init { seed = 1 }
    assert.equal(fixed:program(), fixed:program())
  end)

  it("is made again when parameters are added", function()
    local m = own(4, { a = nn.linear { 4, 4 } }, function(self, x)
      return self.b and self.b(self.a(x)) or self.a(x)
    end):init { seed = 1 }
    assert.equal(2, #m:program().parameters)
    m.b = m:add_member("b", nn.linear { 4, 2 })
    m:init { seed = 1 }
    assert.equal(4, #m:program().parameters)
  end)
end)

describe("the program of a model", function()
  local vocabulary = saros.data.vocabulary.bytes()

  it("of language agrees with it", function()
    for _, cell in ipairs { "lstm", "lru" } do
      local program = agrees(nn.language_model { vocabulary = vocabulary, cell = cell, hidden = 6, layers = 2,
        head = { 5 }, dropout = 0.5, learn_state = true })
      assert.equal("ids", program.nodes[1].op)
    end
    agrees(nn.language_model { vocabulary = vocabulary, hidden = 6, tie = true, residual = true })
    local one = saros.data.text({ string = "aaaa" }, { valid = 0 }).vocabulary
    agrees(nn.language_model { vocabulary = one, hidden = 1, layers = 2 }) -- for which products are looked up
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
    assert.matches("program: expected a classifier with bidirectional = false", message, 1, true)
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
