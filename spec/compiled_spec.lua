-- Cells of one's own run in the core: the same values, states and gradients as
-- unrolled step by step, or the reason why not.

local files = require "spec.support.files"
local gradients = require "spec.support.gradients"
local recurrent_kinds = require "spec.support.recurrent_kinds"
require "spec.support.values"
local core = require "saros.core"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = gradients.is_double and 1e-12 or 1e-5

local function normal(seed, ...)
  return saros.generator(seed):normal { ... }
end

local LENGTHS = { 6, 2, 0, 4 }
local RESET = saros.zeros(6, 4)
RESET[3][1], RESET[2][2], RESET[1][4], RESET[5][1] = 1, 1, 1, 1

-- Output, states and all gradients of a net in training.
local function run(net, x, state, given)
  for _, generator in pairs(net:generators()) do
    generator:seed(3)
  end
  net:clear_gradients()
  local tape <close> = saros.tape()
  x:clear_gradient()
  tape:watch(x)
  local leaves = state and recurrent_kinds.leaves(state) or {}
  for _, leaf in ipairs(leaves) do
    leaf:clear_gradient()
    tape:watch(leaf)
  end
  local y, last = net(x, state, given)
  local loss = (y * normal(9, table.unpack(y:shape()))):sum()
  for n, leaf in ipairs(recurrent_kinds.leaves(last)) do
    loss = loss + (leaf * normal(10 + n, table.unpack(leaf:shape()))):sum()
  end
  tape:backward(loss)
  local results = { y, x:gradient():clone() }
  for _, leaf in ipairs(recurrent_kinds.leaves(last)) do
    results[#results + 1] = leaf
  end
  for _, leaf in ipairs(leaves) do
    results[#results + 1] = leaf:gradient():clone()
  end
  local parameters = net:parameters()
  for n, parameter in ipairs(parameters) do
    results[#results + 1] = parameter:gradient() and parameter:gradient():clone() or saros.zeros(parameters[n]:shape())
  end
  return results
end

local function assert_same(a, b)
  assert.equal(#a, #b)
  for n, tensor in ipairs(a) do
    assert.same_values(tensor, b[n], ROUNDING * 20 * math.max(1, tensor:abs():max():item()))
  end
end

local function build(kind, extra)
  local options = { input = 3, hidden = 4, layers = 2 }
  for _, from in ipairs { kind.options, extra } do
    for name, value in pairs(from) do
      options[name] = value
    end
  end
  local net = nn.recurrent(options):init { seed = 7 }
  for name, tensor in pairs(net:tensors()) do
    if name:find "^initial" then
      saros.generator(8):fill_normal(tensor, 0, 0.5)
    end
  end
  return net
end

-- What is random beside what the cell says.
local extras = {
  plain = {},
  ["with dropout of every kind"] = { dropout = 0.3, recurrent_dropout = 0.4, zoneout = 0.3 },
  ["with variational dropout and learned first states"] = { dropout = 0.3, variational = true, learn_state = true },
}

for name, kind in pairs(recurrent_kinds.rows) do
  if kind.new == nn.recurrent then
    for title, extra in pairs(extras) do
      if not (extra.recurrent_dropout and name:find "one's own") then
        describe(("%s, compiled (%s)"):format(name, title), function()
          local net, twin = build(kind, extra), build(kind, extra)
          for _, direction in ipairs(twin.directions) do
            direction.own.compiles = false
          end

          it("is compiled, and its twin is not", function()
            assert.is_true(net:compiled())
            assert.same({ false, "compiled = false" }, { twin:compiled() })
          end)

          it("has the values and the gradients of unrolling, padded and reset", function()
            local x = normal(1, 6, 4, 3)
            for _, given in ipairs {
              {}, { lengths = LENGTHS }, { lengths = LENGTHS, reset = RESET }, { reset = RESET },
            } do
              assert_same(run(twin, x, nil, given), run(net, x, nil, given))
            end
          end)

          it("has them from a state, and in evaluation", function()
            local x = normal(1, 6, 4, 3)
            local state = nn.state.map(select(2, twin(x)), function(h) return h + 0.1 end)
            assert_same(run(twin, x, state), run(net, x, state))
            local y, last = twin(x, state)
            local z, after = net(x, state)
            assert.same_values(y, z, ROUNDING)
            local leaves = recurrent_kinds.leaves(after)
            for n, leaf in ipairs(recurrent_kinds.leaves(last)) do
              assert.same_values(leaf, leaves[n], ROUNDING)
            end
          end)
        end)
      end
    end
  end
end

describe("dropout inside a step", function()
  local cell = nn.cell("drops", {}, function(p, x, h)
    return saros.tanh(p.a(p:dropout(x .. h, 0.4)) + p.b(h))
  end)
  local of_state = nn.cell("drops_state", {}, function(p, x, h)
    return saros.tanh(p.a(x .. p:dropout(h, 0.4)))
  end)
  -- A mask that the step makes for itself.
  local function masking(inputs, hidden)
    local Masking = nn.module "masking"
    function Masking:forward(x, states)
      local h = states[1]
      local mask = core.dropout(saros.ones(h:shape()), 0.4, self.noise)
      local y = saros.tanh((x .. h * mask):matmul(self.W))
      return y, { y }
    end
    local self = Masking.new()
    self.noise = self:add_generator "noise"
    self.W = self:add_parameter("W", { inputs + hidden, hidden }, nn.initialize.matrix(0.5))
    return self
  end

  it("is compiled, with the bits of unrolling", function()
    local x = normal(1, 6, 4, 3)
    for _, made in ipairs { cell, of_state, masking } do
      local net = nn.recurrent { 3, 4, cell = made }:init { seed = 7 }
      local twin = nn.recurrent { 3, 4, cell = made, compiled = false }:init { seed = 7 }
      assert.is_true(net:compiled())
      for _, given in ipairs { {}, { lengths = LENGTHS, reset = RESET } } do
        assert_same(run(twin, x, nil, given), run(net, x, nil, given))
      end
    end
  end)
end)

-- A cell of one's own that feeds a fused layer with what it remembers itself:
-- the states of the layer, then c.
local function feeding(kind, o)
  return function(inputs, hidden)
    local Feeding = nn.module "feeding"
    function Feeding:forward(x, states)
      local c = states[#states]
      local z = (x .. c):matmul(self.W)
      local y, last = self.inner(z:reshape(1, z:size(1), z:size(2)), { table.move(states, 1, #states - 1, 1, {}) })
      y = y[1]
      local new = table.move(last[1], 1, #states - 1, 1, {})
      new[#states] = saros.tanh(y:slice(2, 1, 2) .. y:slice(2, 2, 3)) * 0.6 + c * 0.4
      return y, new
    end
    local self, given = Feeding.new(), { hidden, hidden }
    for name, value in pairs(o) do
      given[name] = value
    end
    self.inner = self:add_member("inner", nn[kind](given))
    self.W = self:add_parameter("W", { inputs + 4, hidden }, nn.initialize.matrix(0.5))
    local _, state = self.inner:init({ seed = 1 })(saros.zeros(1, 1, hidden))
    self.states = {}
    for n, leaf in ipairs(recurrent_kinds.leaves(state)) do
      self.states[n] = { leaf:size(2) }
    end
    table.insert(self.states, { 4 })
    return self
  end
end

-- The operations of the program that a compiled net runs.
local function count_of(net, op)
  local text = net.directions[1].own:compile(false).program:text()
  return select(2, text:gsub(('"op": "%s"'):format(op), ""))
end

describe("a fused cell inside a cell of one's own", function()
  for _, case in ipairs {
    { "rnn", {} }, { "rnn", { layer_norm = true } }, { "lstm", {} }, { "lstm", { peepholes = true } },
    { "lstm", { projection = 3, bias = false } }, { "lstm", { layer_norm = true } }, { "gru", {} },
    { "gru", { reset = "before" } }, { "gru", { layer_norm = true } }, { "ugrnn", {} }, { "mingru", {} },
    { "minlstm", {} }, { "minlstm", { candidate = "positive" } },
  } do
    local kind, o = case[1], case[2]
    it(("is compiled with it: %s%s"):format(kind, next(o) and " with " .. next(o) or ""), function()
      local cell = feeding(kind, o)
      local net = nn.recurrent { 3, 4, cell = cell }:init { seed = 7 }
      local twin = nn.recurrent { 3, 4, cell = cell, compiled = false }:init { seed = 7 }
      local x = normal(1, 6, 4, 3)
      assert.is_true(net:compiled())
      assert.equal(0, count_of(net, "cell"))
      for _, given in ipairs { {}, { lengths = LENGTHS }, { lengths = LENGTHS, reset = RESET } } do
        assert_same(run(twin, x, nil, given), run(net, x, nil, given))
      end
      local state = nn.state.map(select(2, twin(x)), function(h) return h + 0.1 end)
      assert_same(run(twin, x, state), run(net, x, state))
    end)
  end

  it("is compiled with it at widths on both sides of a short row, from both ends", function()
    for _, kind in ipairs { "lstm", "gru" } do
      for _, H in ipairs { 63, 64, 65 } do
        local o = { 3, H, cell = feeding(kind, {}), bidirectional = true }
        local net = nn.recurrent(o):init { seed = 7 }
        o.compiled = false
        local twin = nn.recurrent(o):init { seed = 7 }
        local x = normal(1, 6, 4, 3)
        assert.is_true(net:compiled())
        for _, given in ipairs { {}, { lengths = LENGTHS, reset = RESET } } do
          assert_same(run(twin, x, nil, given), run(net, x, nil, given))
        end
      end
    end
  end)

  it("has zoneout and dropout of its own, whose gradients are those of finite differences", function()
    for _, kind in ipairs { "lstm", "gru" } do
      local cell = feeding(kind, { zoneout = 0.4, recurrent_dropout = 0.3 })
      local net = nn.recurrent { 3, 4, cell = cell }:init { seed = 7 }
      local twin = nn.recurrent { 3, 4, cell = cell, compiled = false }:init { seed = 7 }
      local x = normal(1, 6, 4, 3)
      assert.is_true(net:compiled())
      assert.equal(0, count_of(net, "cell"))
      assert.same_values((twin(x)), (net(x)), ROUNDING) -- in evaluation
      assert.gradients_match(function()
        for _, generator in pairs(net:generators()) do
          generator:seed(3)
        end
        return (net(x) * normal(9, 6, 4, 4)):sum()
      end, { x = x, W = net:parameters()[1] })
    end
  end)

  it("keeps the values of the units that zoneout holds", function()
    local net = nn.recurrent { 3, 4, cell = feeding("gru", { zoneout = 0.5 }) }:init { seed = 7 }
    local tape <close> = saros.tape()
    local y = net(normal(1, 60, 8, 3))
    local held = y:slice(1, 2, 60):eq(y:slice(1, 1, 59)):mean():item()
    assert.near(0.5, held, 0.05)
    tape:backward(y:sum())
  end)

  it("is compiled in a file, too, whose program stays as it was", function()
    local net = nn.recurrent { 3, 4, cell = feeding("lstm", {}) }:init { seed = 7 }
    local loaded = files.reloaded(net)
    local x, results = normal(1, 6, 4, 3), {}
    for n, module in ipairs { net, loaded } do
      local tape <close> = saros.tape()
      x:clear_gradient()
      tape:watch(x)
      local y = module(x)
      tape:backward((y * normal(9, 6, 4, 4)):sum())
      results[n] = { y, x:gradient():clone() }
    end
    assert_same(results[1], results[2])
    assert.is_nil(loaded.expanded:text():find '"op": "cell"')
    assert.truthy(loaded:program():encode():find '"op": "cell"')
    local outer = nn.chain { loaded }
    assert.truthy(outer:program({ inputs = { { name = "x", width = 3 } } }):encode():find '"op": "cell"')
  end)

  it("says what is slow in it", function()
    assert.is_nil(select(2, nn.recurrent({ 3, 4, cell = feeding("gru", {}) }):init({ seed = 1 }):compiled()))
    local net = nn.recurrent { 3, 4, cell = feeding("lru", { units = 2 }) }:init { seed = 7 }
    local twin = nn.recurrent { 3, 4, cell = feeding("lru", { units = 2 }), compiled = false }:init { seed = 7 }
    local ok, slow = net:compiled()
    assert.is_true(ok)
    assert.matches("program: a loop with lru in it runs by ordinary operations, step by step", slow)
    local x = normal(1, 6, 4, 3)
    assert_same(run(twin, x, nil, { lengths = LENGTHS }), run(net, x, nil, { lengths = LENGTHS }))
  end)

  it("stays one operation over all steps where no loop leads back into it", function()
    local function residual(inputs, hidden)
      local Residual = nn.module "residual"
      function Residual:forward(x, states)
        local y, last = self.inner(x:reshape(1, x:size(1), x:size(2)), { states })
        return y[1] + x, last[1]
      end
      local self = Residual.new()
      self.inner = self:add_member("inner", nn.gru { inputs, hidden })
      return self
    end
    local net = nn.recurrent { 4, 4, cell = residual }:init { seed = 7 }
    local twin = nn.recurrent { 4, 4, cell = residual, compiled = false }:init { seed = 7 }
    assert.is_true(net:compiled())
    assert.equal(1, count_of(net, "cell"))
    local x = normal(1, 6, 4, 4)
    assert_same(run(twin, x, nil, { lengths = LENGTHS }), run(net, x, nil, { lengths = LENGTHS }))
  end)
end)

-- What a net inside a cell of one's own reads, beside x: its own h, or what it gave last.
local WAYS = {
  ["by its own state"] = function(x, states) return x + states[1] * 0.5 end,
  ["in a loop"] = function(x, states) return x + states[#states] * 0.5 end,
  ["in no loop"] = function(x) return x end,
}

-- A cell of one's own with a net inside, whose states are its own, and what it gave.
local function around(way, make)
  return function(inputs, hidden)
    local Around = nn.module "around"
    function Around:forward(x, states)
      local tree = self.form(states)
      local y, last = self.inner(WAYS[way](x, states):reshape(1, x:size(1), x:size(2)), tree)
      local new = recurrent_kinds.leaves(last)
      new[#new + 1] = y[1]
      return y[1] + x, new
    end
    local self = Around.new()
    self.inner = self:add_member("inner", make(inputs, hidden))
    local _, state = self.inner(saros.zeros(1, 1, inputs))
    self.states = {}
    for n, leaf in ipairs(recurrent_kinds.leaves(state)) do
      self.states[n] = { leaf:size(2) }
    end
    table.insert(self.states, { hidden })
    function self.form(states)
      local n = 0
      return nn.state.map(state, function()
        n = n + 1
        return states[n]
      end)
    end
    return self
  end
end

-- Means of a net's outputs in training over many equal rows, of their squares and of
-- products with earlier steps, and the standard errors of these.
local function moments(net, x, given)
  local _ <close> = saros.tape()
  local y = net(x, nil, given)
  local T, B = y:size(1), y:size(2)
  local list = {}
  for _, of in ipairs { y, y * y, y:slice(1, 2, T) * y:slice(1, 1, T - 1), y:slice(1, 3, T) * y:slice(1, 1, T - 2) } do
    local mean = of:mean(2)
    local error = ((of - of:mean(2, true)) * (of - of:mean(2, true))):mean(2):sqrt() * (1 / math.sqrt(B))
    list[#list + 1] = { mean = mean:flatten():totable(), error = error:flatten():totable() }
  end
  return list
end

local function assert_alike(a, b)
  local largest = 0
  for n, moment in ipairs(a) do
    for k, mean in ipairs(moment.mean) do
      local error = math.sqrt(moment.error[k] ^ 2 + b[n].error[k] ^ 2) + 1e-5
      largest = math.max(largest, math.abs(mean - b[n].mean[k]) / error)
    end
  end
  assert.is_true(largest < 5, ("%.1f standard errors"):format(largest))
end

-- Weights with which what is dropped of h is seen steps later.
local function fill(net)
  for name, tensor in pairs(net:tensors()) do
    tensor:fill(name:find "weight_hh" and 1.5 or name:find "weight" and 0.3 or 0)
  end
  for n, name in ipairs(require("saros.sorted").keys(net:generators())) do
    net:generators()[name]:seed(20 + n)
  end
  return net
end

-- A net that is compiled, and the same one unrolled.
local function with_twin(o)
  o.compiled = nil
  local net = fill(nn.recurrent(o))
  o.compiled = false
  return net, fill(nn.recurrent(o))
end

describe("chance in a layer inside a cell of one's own", function()
  local B = 2000
  local x = saros.full({ 8, B, 2 }, 0.3)
  local lengths = {}
  for b = 1, B do
    lengths[b] = b % 2 == 0 and 8 or 5
  end
  for title, case in pairs {
    ["recurrent_dropout of a GRU"] = { "gru", { recurrent_dropout = 0.5 } },
    ["recurrent_dropout of an LSTM"] = { "lstm", { recurrent_dropout = 0.5 } },
    ["recurrent_dropout of a tanh net"] = { "rnn", { recurrent_dropout = 0.5 } },
    ["zoneout"] = { "lstm", { zoneout = 0.5, zoneout_cell = 0.3 } },
    ["all of them"] = { "gru", { zoneout = 0.3, recurrent_dropout = 0.5, layers = 2, dropout = 0.5 } },
    ["dropout between layers"] = { "rnn", { layers = 2, dropout = 0.5 } },
    ["recurrent_dropout of a layer from a file"] = { "gru", { recurrent_dropout = 0.5 }, is_loaded = true },
    ["variational dropout of a net from a file"] = {
      "rnn", { layers = 2, dropout = 0.5, variational = true }, is_loaded = true,
    },
    ["variational dropout between layers"] = { "rnn", { layers = 2, dropout = 0.5, variational = true } },
  } do
    for way in pairs(WAYS) do
      it(("%s acts at each step, %s: compiled, unrolled and from a file"):format(title, way), function()
        local function make(inputs, hidden)
          local o = { inputs, hidden }
          for name, value in pairs(case[2]) do
            o[name] = value
          end
          local inner = nn[case[1]](o):init { seed = 1 }
          return case.is_loaded and files.reloaded(inner) or inner
        end
        local o = { 2, 2, cell = around(way, make), bidirectional = true }
        local net, twin = with_twin(o)
        assert.is_true(net:compiled())
        for _, given in ipairs { {}, { lengths = lengths } } do
          assert_alike(moments(twin, x, given), moments(net, x, given))
        end
        o.bidirectional = false
        net, twin = with_twin(o)
        local loaded, wanted = files.reloaded(net), moments(twin, x)
        assert_alike(wanted, moments(fill(loaded), x))
        loaded.expanded = loaded.compiled -- as a host runs it
        assert_alike(wanted, moments(fill(loaded), x))
      end)
    end
  end
end)

describe("a layer whose state something else in a cell of one's own reads", function()
  it("has gradients, states, sessions and files", function()
    for _, kind in ipairs { "rnn", "lstm", "gru", "mingru" } do
      local o = { 3, 3, cell = around("by its own state", function(inputs, hidden)
        return nn[kind]({ inputs, hidden, learn_state = kind == "gru" }):init { seed = 2 }
      end) }
      local net = nn.recurrent(o)
      o.compiled = false
      local twin, x = nn.recurrent(o), normal(1, 6, 4, 3)
      assert.is_true(net:compiled())
      for _, given in ipairs { {}, { lengths = LENGTHS }, { lengths = LENGTHS, reset = RESET } } do
        assert_same(run(twin, x, nil, given), run(net, x, nil, given))
      end
      local wanted = (twin(x))
      assert.same_values(wanted, (files.reloaded(net)(x)), ROUNDING)
      local session = net:session { streams = 4 }
      for t = 1, 6 do
        assert.same_values(wanted[t], session:step(x[t]), ROUNDING)
      end
    end
  end)

  it("has no program if the layer cannot be taken apart", function()
    local net = nn.recurrent { 6, 6, cell = around("by its own state", function(inputs, hidden)
      return nn.lru({ inputs, hidden, units = 3 }):init { seed = 2 }
    end) }
    for _, message in ipairs { select(2, net:compiled()), select(2, pcall(net.program, net)) } do
      assert.matches("a state of lru that something else reads, too", message)
    end
  end)
end)

describe("a cell of one's own that cannot be compiled", function()
  it("is unrolled, and says why", function()
    local net = nn.recurrent { 3, 4, cell = nn.cell("reads", {}, function(p, x, h)
      return x:sum():item() > 1e9 and h or saros.tanh(p.inner(x .. h))
    end) }:init { seed = 1 }
    local y = net(normal(1, 5, 2, 3))
    assert.same({ 5, 2, 4 }, y:shape())
    local ok, reason = net:compiled()
    assert.is_false(ok)
    assert.matches("program: expected a step made of operations on features, got sum", reason)
    assert.matches("compiled_spec.lua:%d+: ", reason)
    assert.matches("; reads trains as it is", reason)
    assert.is_true(nn.lstm { 3, 4 }:compiled())
  end)

  it("is told of an input that does not fit, compiled or not", function()
    local net = nn.recurrent { 3, 4, cell = nn.cell("takes", {}, function(p, x, h)
      return p.inner(x .. h)
    end) }:init { seed = 1 }
    assert.error_matches(function() net(saros.zeros(5, 2, 7)) end,
      "takes: expected x of shape %(T, B, 3%), got a tensor %(5, 2, 7%)")
  end)
end)

describe("a matrix product in a cell", function()
  it("is compiled, whether the matrix comes from outside or is a parameter", function()
    local outside = normal(2, 4, 4)
    for name, step in pairs {
      outside = function(p, x, h) return saros.tanh(p.inner(x) + h:matmul(outside)) end,
      parameter = function(p, x, h) return saros.tanh(h:matmul(p.mix:tensor { 4, 4 }) + p.inner(x)) end,
    } do
      local cell = nn.cell(name, {}, step)
      local net = nn.recurrent { 3, 4, cell = cell }:init { seed = 1 }
      local twin = nn.recurrent { 3, 4, cell = cell, compiled = false }:init { seed = 1 }
      local x = normal(1, 5, 2, 3)
      assert.is_true(net:compiled())
      assert.same_values((twin(x)), (net(x)), ROUNDING)
      assert.gradients_match(function() return net(x):sum() end, { outside = outside, x = x })
    end
  end)
end)

describe("tensors from outside of a cell", function()
  it("may change, and have gradients", function()
    local scale = saros.tensor { 0.5, 1, -1, 2 }
    local cell = nn.cell("scaled", {}, function(p, x, h) return saros.tanh(p.inner(x .. h)) * scale end)
    local net = nn.recurrent { 3, 4, cell = cell }:init { seed = 1 }
    local x = normal(1, 5, 2, 3)
    assert.is_true(net:compiled())
    assert.gradients_match(function() return net(x):sum() end, { scale = scale, x = x })
    local y = net(x)
    scale:fill(0)
    assert.equal(0, (net(x)):abs():max():item())
    assert.is_true(y:abs():max():item() > 0)
    scale:trainable(true)
    local tape <close> = saros.tape()
    tape:backward((net(x)):sum())
    assert.is_true(scale:gradient():abs():max():item() > 0)
  end)
end)

describe("a module that nn.unroll runs", function()
  local Pair = nn.module "pair"
  function Pair:forward(x, state)
    local c = state.c * 0.5 + self.inner(x .. state.h)
    return saros.tanh(c), { h = saros.tanh(c), c = c }
  end
  local pair = Pair.new()
  pair.inner = pair:add_member("inner", nn.linear { 7, 4 })
  pair:init { seed = 1 }

  it("is compiled to the same values and gradients as the function that it is", function()
    local x = normal(1, 6, 4, 3)
    local inputs = { x = x, h = normal(2, 4, 4), c = normal(3, 4, 4) }
    for _, steps in ipairs { {}, { mask = require("saros.nn.steps").mask(LENGTHS, 6), reset = RESET } } do
      local results = {}
      for n, cell in ipairs { pair, function(...) return pair(...) end } do
        local tape <close> = saros.tape()
        for _, tensor in pairs(inputs) do
          tensor:clear_gradient()
          tape:watch(tensor)
        end
        pair:clear_gradients()
        local y, last = nn.unroll(cell, x, { h = inputs.h, c = inputs.c }, steps)
        tape:backward((y * y):sum() + last.c:sum())
        results[n] = { y, last.h, last.c, x:gradient():clone(), inputs.h:gradient():clone(),
          inputs.c:gradient():clone(), pair.inner.weight:gradient():clone() }
      end
      assert_same(results[2], results[1])
    end
  end)

  it("may return its state alone, a tensor", function()
    local Brief = nn.module "brief"
    function Brief:forward(x, h) return saros.tanh(self.inner(x .. h)) end
    local brief = Brief.new()
    brief.inner = brief:add_member("inner", nn.linear { 7, 4 })
    brief:init { seed = 1 }
    local x = normal(1, 6, 2, 3)
    local y, h = nn.unroll(brief, x, saros.zeros(2, 4))
    local z, last = nn.unroll(function(...) return brief(...) end, x, saros.zeros(2, 4))
    assert.same_values(z, y, ROUNDING)
    assert.same_values(last, h, ROUNDING)
  end)
end)
