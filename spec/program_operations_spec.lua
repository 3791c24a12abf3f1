-- module:program() of operations and of cells that a script writes: the twin agrees.

local saros = require "saros"
local core = require "saros.core"
local twin = require "spec.support.program_twin"
local traced = require "spec.support.traced"
local nn = saros.nn
local agrees, is_near, of, ops_of, own = traced.agrees, traced.is_near, traced.of, traced.ops_of, traced.own
local T, B = traced.T, traced.B

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
