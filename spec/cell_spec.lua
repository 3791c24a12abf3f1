-- nn.cell: recurrent cells as a textbook writes them. That layers of them keep what
-- all recurrent layers promise is in recurrent_spec, reset_spec and their like.

local gradients = require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = gradients.is_double and 1e-12 or 1e-5

local function normal(seed, ...)
  return saros.generator(seed):normal { ... }
end

local function fails(fn, message)
  local ok, got = pcall(fn)
  assert.is_false(ok)
  assert.is_truthy(tostring(got):find(message, 1, true), got)
end

local Highway = nn.cell("highway", { states = { "h" } }, function(p, x, h)
  local z = saros.sigmoid(p.gate(x .. h))
  return z * saros.tanh(p.candidate(x .. h)) + (1 - z) * h
end)

-- The LSTM, its products of x and of h apart, as the fused one has them.
local Lstm = nn.cell("own_lstm", { states = { "h", "c" } }, function(p, x, h, c)
  local H = p.hidden
  local a = p.ih(x, 4 * H) + p.hh(h, 4 * H)
  local i, f = saros.sigmoid(a:slice(-1, 1, H)), saros.sigmoid(a:slice(-1, H + 1, 2 * H))
  local g, o = saros.tanh(a:slice(-1, 2 * H + 1, 3 * H)), saros.sigmoid(a:slice(-1, 3 * H + 1, 4 * H))
  c = f * c + i * g
  return o * saros.tanh(c), c
end)

-- An own LSTM and the fused one with its weights.
local function two_lstms(given)
  local function options(extra)
    local o = { 3, 4, layers = 2 }
    for name, value in pairs(given or {}) do
      o[name] = value
    end
    for name, value in pairs(extra) do
      o[name] = value
    end
    return o
  end
  local zoneout = given and given.zoneout_cell and { h = given.zoneout, c = given.zoneout_cell } or nil
  local fused = nn.lstm(options {}):init { seed = 1 }
  if given then
    given.zoneout_cell = nil
  end
  local own = nn.recurrent(options { cell = Lstm, zoneout = zoneout }):init { seed = 2 }
  local tensors, from = own:tensors(), fused:tensors()
  for name, tensor in pairs(tensors) do
    local map, part, suffix = name:gsub("^cell", ""):match "^(_l%d.-)%.(%a%a)%.(%a+)$"
    tensor:assign(map and from[("%s_%s%s"):format(suffix, part, map)] or from[name])
  end
  return own, fused
end

local function leaves(state)
  local list = {}
  for _, entry in ipairs(state) do
    table.move(entry, 1, #entry, #list + 1, list)
  end
  return list
end

-- Values, states and gradients of both are the same, in training.
local function assert_same(own, fused, x, given)
  local results = {}
  for n, net in ipairs { own, fused } do
    for _, generator in pairs(net:generators()) do
      generator:seed(5)
    end
    local tape <close> = saros.tape()
    tape:watch(x)
    x:clear_gradient()
    local y, state = net(x, nil, given)
    local loss = (y * normal(9, table.unpack(y:shape()))):sum()
    for _, leaf in ipairs(leaves(state)) do
      loss = loss + (leaf * leaf):sum()
    end
    net:clear_gradients()
    tape:backward(loss)
    results[n] = { y = y, state = leaves(state), dx = x:gradient():clone() }
  end
  local a, b = results[1], results[2]
  assert.same_values(b.y, a.y, ROUNDING)
  assert.same_values(b.dx, a.dx, ROUNDING * 10)
  for n, leaf in ipairs(b.state) do
    assert.same_values(leaf, a.state[n], ROUNDING)
  end
  local grown = {}
  for name, tensor in pairs(fused:tensors()) do
    grown[name] = tensor:gradient()
  end
  for name, tensor in pairs(own:tensors()) do
    local map, part, suffix = name:gsub("^cell", ""):match "^(_l%d.-)%.(%a%a)%.(%a+)$"
    local expected = map and grown[("%s_%s%s"):format(suffix, part, map)] or grown[name]
    assert.same_values(expected, tensor:gradient(), ROUNDING * 100)
  end
end

describe("a cell of nn.cell", function()
  it("computes what its function says", function()
    local net = nn.recurrent { 3, 4, cell = Highway }:init { seed = 1 }
    local x, w = normal(1, 5, 2, 3), net:tensors()
    local h, y = saros.zeros(2, 4), net(x)
    for t = 1, 5 do
      local v = x[t] .. h
      local z = saros.sigmoid(v:matmul(w["cell_l0.gate.weight"]:transpose()) + w["cell_l0.gate.bias"])
      local n = saros.tanh(v:matmul(w["cell_l0.candidate.weight"]:transpose()) + w["cell_l0.candidate.bias"])
      h = z * n + (1 - z) * h
      assert.same_values(h, y[t], ROUNDING)
    end
  end)

  it("is the fused LSTM where it says what that computes", function()
    local own, fused = two_lstms()
    assert_same(own, fused, normal(1, 6, 3, 3))
    assert_same(own, fused, normal(2, 6, 3, 3), { lengths = { 6, 2, 4 } })
    local reset = saros.zeros(6, 3)
    reset[3][1], reset[5][2] = 1, 1
    assert_same(own, fused, normal(3, 6, 3, 3), { lengths = { 6, 5, 4 }, reset = reset })
  end)

  it("is it in both directions, residual, with learned first states", function()
    local own, fused = two_lstms { bidirectional = true, learn_state = true, residual = true }
    for _, net in ipairs { own, fused } do
      for name, tensor in pairs(net:tensors()) do
        if name:find "^initial" then
          tensor:fill(name:find "_c_" and 0.3 or -0.2)
        end
      end
    end
    local reset = saros.zeros(6, 3)
    reset[4][1] = 1
    assert_same(own, fused, normal(1, 6, 3, 3), { lengths = { 6, 2, 4 }, reset = reset })
  end)

  it("is it with dropout of every kind, number for number", function()
    for _, given in ipairs {
      { dropout = 0.4 }, { dropout = 0.4, variational = true }, { recurrent_dropout = 0.4 }, { zoneout = 0.3 },
      { zoneout = 0.3, zoneout_cell = 0.2 },
      { dropout = 0.3, recurrent_dropout = 0.4, zoneout = 0.3, zoneout_cell = 0.2, bidirectional = true },
    } do
      local own, fused = two_lstms(given)
      assert_same(own, fused, normal(1, 6, 3, 3), { lengths = { 6, 2, 4 } })
      assert.same_values((fused(normal(2, 4, 3, 3))), (own(normal(2, 4, 3, 3))), ROUNDING) -- evaluation
    end
  end)

  it("has its parameters by name, in any file", function()
    local net = nn.recurrent { 3, 4, cell = Highway, layers = 2, bidirectional = true }:init { seed = 1 }
    local names = {}
    for _, name in ipairs(net:parameters().names) do
      names[name] = true
    end
    assert.is_true(names["cell_l1_reverse.gate.weight"] and names["cell_l0.candidate.bias"])
    assert.same({ 4, 12 }, net:tensors()["cell_l1.gate.weight"]:shape())
    local path = os.tmpname()
    assert(net:save(path))
    local other = assert(nn.recurrent { 3, 4, cell = Highway, layers = 2, bidirectional = true }:load(path))
    os.remove(path)
    local x = normal(1, 5, 2, 3)
    assert.same_values((net(x)), (other(x)), 0)
  end)

  it("has maps of other sizes, vectors, tensors and norms", function()
    local cell = nn.cell("sizes", { states = { "h", { "m", 2, 3 } }, output = true }, function(p, x, h, m)
      assert.equal(3, p.inputs)
      assert.equal(4, p.hidden)
      local v = p.wide(x, 6):reshape(x:size(1), 2, 3)
      m = m * p.decay:tensor { 2, 3 } + v + p.deep(v, 3)
      h = p.norm:layer_norm(h + p.up(m:reshape(x:size(1), 6))) * p.scale:vector() + p.one:vector(1)
      return p.out(h, 5), h, m
    end)(3, 4)
    local shapes = {}
    for name, tensor in pairs(cell:tensors()) do
      shapes[name] = table.concat(tensor:shape(), " ")
    end
    assert.same({
      ["wide.weight"] = "6 3", ["wide.bias"] = "6", decay = "2 3", ["deep.weight"] = "3 3", ["deep.bias"] = "3",
      ["up.weight"] = "4 6", ["up.bias"] = "4", ["norm.weight"] = "4", ["norm.bias"] = "4", scale = "4", one = "1",
      ["out.weight"] = "5 4", ["out.bias"] = "5",
    }, shapes)
    assert.equal(5, cell.output)
  end)

  it("has states whose sizes depend on those of the layer", function()
    local cell = nn.cell("square", { states = function(inputs, hidden) return { { "m", inputs, hidden } } end,
      output = true }, function(_, x, m)
      return m:sum(2), m + x:reshape(x:size(1), x:size(2), 1)
    end)
    local y, state = nn.recurrent { 3, 4, cell = cell }(normal(1, 2, 2, 3))
    assert.same({ 2, 2, 4 }, y:shape())
    assert.same({ 2, 3, 4 }, state[1][1]:shape())
  end)

  it("begins as it is told", function()
    local cell = nn.cell("begins", { parameters = {
      forget = { bias = 1.5 }, plain = { bias = false, weight = nn.initialize.constant(0.25) }, decay = { value = -2 },
    } }, function(p, x, h)
      return p.forget(x .. h) + p.plain(x) + p.decay:vector() + p.other(h)
    end)
    local w = nn.recurrent { 2, 3, cell = cell }:init { seed = 1, weights = "glorot" }:tensors()
    assert.same({ 1.5, 1.5, 1.5 }, w["cell_l0.forget.bias"]:totable())
    assert.same({ { 0.25, 0.25 }, { 0.25, 0.25 }, { 0.25, 0.25 } }, w["cell_l0.plain.weight"]:totable())
    assert.is_nil(w["cell_l0.plain.bias"])
    assert.same({ -2, -2, -2 }, w["cell_l0.decay"]:totable())
    assert.same({ 0, 0, 0 }, w["cell_l0.other.bias"]:totable())
    local bound = math.sqrt(6 / 6)
    assert.is_true(w["cell_l0.other.weight"]:abs():max():item() <= bound)
    local default = nn.recurrent { 2, 3, cell = cell }:init { seed = 1 }:tensors()["cell_l0.other.weight"]
    assert.is_true(default:abs():max():item() <= 1 / math.sqrt(3))
    assert.is_true(default:abs():max():item() > 0)
  end)

  it("has states that begin with other numbers than 0", function()
    local Least = nn.cell("least", { states = { "h", { "least", 2, first = 5 } } }, function(p, x, h, least)
      least = saros.minimum(least, x:slice(2, 1, 2))
      return saros.tanh(p.inner(x .. h)) + least:sum(2, true), least
    end)
    local x = saros.tensor { { 7, 4, 0 }, { 3, 6, 0 }, { 9, 2, 0 } }:reshape(3, 1, 3)
    local reset = saros.tensor { { 0 }, { 0 }, { 1 } }
    for _, compiled in ipairs { true, false } do
      local net = nn.recurrent({ 3, 4, cell = Least, compiled = compiled }):init { seed = 1 }
      assert.same({ 3, 2 }, select(2, net(x))[1][2]:reshape(-1):totable())
      assert.same({ 5, 2 }, select(2, net(x, nil, { reset = reset }))[1][2]:reshape(-1):totable())
      local learned = nn.recurrent({ 3, 4, cell = Least, compiled = compiled, learn_state = true }):init { seed = 1 }
      assert.same({ 5, 5 }, learned:tensors().initial_least_l0:totable())
      assert.same({ 0, 0, 0, 0 }, learned:tensors().initial_h_l0:totable())
    end
  end)

  it("has dropout inside, which acts in training and is seeded with the net", function()
    local cell = nn.cell("drops", {}, function(p, x, h) return p:dropout(x, 0.5) + 0 * h end)
    local net = nn.recurrent { 8, 8, cell = cell }:init { seed = 1 }
    local x = saros.ones(4, 3, 8)
    assert.same_values(x, (net(x)), 0)
    local function training()
      net:init { seed = 1 }
      local _ <close> = saros.tape()
      return (net(x))
    end
    local y = training()
    assert.same_values(y, training(), 0)
    assert.equal(0, (y * (y - 2)):abs():max():item())
    assert.is_true(y:sum():item() > 0 and y:sum():item() < 2 * 96)
  end)

  it("has what maps read of a state dropped, and carries it on whole", function()
    local cell = nn.cell("carries", {}, function(p, x, h) return h + p.look(h) + 0 * x:sum(-1, true) end)
    local net = nn.recurrent { 2, 6, cell = cell, recurrent_dropout = 0.5 }:init { seed = 3 }
    local w = net:tensors()
    w["cell_l0.look.weight"]:fill(0)
    w["cell_l0.look.bias"]:fill(0)
    local state = { { normal(1, 3, 6) } }
    local function training()
      local _ <close> = saros.tape()
      return (net(saros.zeros(1, 3, 2), state))
    end
    assert.same_values(state[1][1], training()[1], 0)
    w["cell_l0.look.weight"]:fill(1)
    local y = training()
    local kept = (y[1] - state[1][1])
    assert.is_true((kept - state[1][1]:sum(2, true)):abs():max():item() > 0.01)
  end)

  it("stands in chains and residual connections", function()
    local net = nn.chain { nn.embedding { 5, 4 }, nn.residual { nn.recurrent { 4, 4, cell = Highway } },
      nn.linear { 4, 5 } }:init { seed = 1 }
    local ids = saros.ids { { 1, 2 }, { 3, 4 }, { 5, 1 } }
    assert.gradients_match(function() return nn.cross_entropy(net(ids), ids) end, net:tensors())
  end)
end)

describe("a cell of nn.cell that is wrong", function()
  local function make(given, step, ...)
    return nn.recurrent { 3, 4, cell = nn.cell("bad", given, step), ... }
  end

  it("is told when it is made", function()
    fails(function() nn.cell(3) end, "nn.cell: expected a name of letters, digits and _ as argument 1, got 3")
    fails(function() nn.cell("a b", {}, print) end, 'got "a b"')
    fails(function() nn.cell("a", {}) end, "nn.cell: expected a function as argument 3, got nil")
    fails(function() nn.cell("a", { state = {} }, print) end, "unknown option \"state\"")
    fails(function() nn.cell("a", { parameters = { gate = { bais = 1 } } }, print) end,
      "tables of weight, bias and value")
    fails(function() make({ states = {} }, print) end, "nn.cell: expected states of bad as a list such as")
    fails(function() make({ states = { h = 4 } }, print) end, "nn.cell: expected states of bad as a list such as")
    fails(function() make({ states = { { "m", 0 } } }, print) end, "nn.cell: expected states of bad as a list such as")
    fails(function() make({ states = { { "m", first = "1" } } }, print) end, "nn.cell: expected states of bad as a")
    fails(function() make({ states = { { "m", 4, start = 1 } } }, print) end, "nn.cell: expected states of bad as a")
    fails(function() make({ states = { "h", "h" } }, print) end, 'with different names, got "h" twice')
  end)

  it("is told of results that do not fit", function()
    fails(function() make({}, function() end) end, "bad: expected the function to return h, got 0 values")
    fails(function() make({ states = { "h", "c" } }, function(_, _, h) return h end) end,
      "bad: expected the function to return h, c, got 1 value")
    fails(function() make({ output = true }, function(_, _, h) return h end) end,
      "bad: expected the function to return an output and h, got 1 value")
    fails(function() make({}, function(_, x) return x end) end,
      "bad: expected the function to return h of shape (B, 4), got a tensor (2, 3)")
    fails(function() make({}, function() return 3 end) end,
      "bad: expected the function to return a first state of shape (B, features), got 3")
  end)

  --- The line that is blamed must be the function's.
  local function blames(step, given, message)
    local line = debug.getinfo(step, "S").linedefined
    fails(function() make(given, step) end, ("spec/cell_spec.lua:%d: bad: expected %s"):format(line, message))
  end

  it("is told so at its own line", function()
    blames(function() end, {}, "the function to return h, got 0 values")
    blames(function(_, x) return x end, {}, "the function to return h of shape (B, 4), got a tensor (2, 3)")
    blames(function() return {} end, {}, "the function to return a first state of shape (B, features), got a table")
    blames(function(_, _, h) return h, h end, {}, "the function to return h, got 2 values")
  end)

  it("is told of the option for an output before the states", function()
    blames(function(_, _, h) return h, h end, {},
      "the function to return h, got 2 values; with the option output = true it returns an output before them")
    fails(function() make({ output = true }, function(_, _, h) return h, h, h end) end, "got 3 values")
    local ok, got = pcall(make, {}, function(_, _, h) return h, h, h end)
    assert.is_false(ok)
    assert.is_nil(got:find "output = true")
  end)

  --- The line that is blamed must be the one behind the function's first.
  local function blames_inside(step, message)
    fails(function() make({}, step) end,
      ("spec/cell_spec.lua:%d: %s"):format(debug.getinfo(step, "S").linedefined + 1, message))
  end

  it("is told which names of p are numbers", function()
    for _, name in ipairs { "hidden", "inputs" } do
      blames_inside(function(p, x, h)
        return saros.tanh(p[name](x .. h))
      end, "attempt to call a number value")
    end
    local cure = "; p.%s is a number, a size of the layer, so a map needs another name"
    blames_inside(function(p, x, h)
      return saros.tanh(p.hidden(x .. h))
    end, "attempt to call a number value (field 'hidden')" .. cure:format "hidden")
    blames_inside(function(p, x, h)
      return saros.tanh(p:inputs(x .. h))
    end, "attempt to call a number value (method 'inputs')" .. cure:format "inputs")
    local other = { width = 3 }
    local ok, got = pcall(make, {}, function(_, _, h) return other.width(h) end)
    assert.is_false(ok)
    assert.is_nil(got:find "of the layer")
  end)

  it("is told of the colon of p:dropout and p:named", function()
    blames_inside(function(p, x, h)
      local y = p.dropout(p.gate(x .. h), 0.1)
      return y
    end, "bad: expected p:dropout(v, probability), with a colon, got a tensor (2, 4) before v")
    blames_inside(function(p, x, h)
      local y = p.named("gate", p.gate(x .. h))
      return y
    end, 'bad: expected p:named(name, v), with a colon, got "gate" before v')
  end)

  it("is told so where it ends with the call that fails", function()
    local function ends(step, message)
      fails(function() make({}, step) end, ("spec/cell_spec.lua:%d: %s"):format(debug.getinfo(step, "S").linedefined,
        message))
    end
    ends(function(p, x, h) return p.gate(x, h) end, "bad: expected a positive integer as the size of p.gate, got")
    ends(function(p, _, h) return p:dropout(h, 50) end, "dropout: expected a probability in [0, 1), got 50")
    ends(function(_, x, h) return saros.maximum(x, h) end,
      "maximum: expected shapes that broadcast, got (2, 3) and (2, 4)")
  end)

  it("is told that its first call has two rows, where shapes do not fit", function()
    local batch = saros.zeros(3, 4)
    fails(function() make({}, function(p, x, h) return p.gate(x .. h) + batch end) end,
      "add: expected shapes that broadcast, got (2, 4) and (3, 4); the first call, which makes the parameters of bad, "
        .. "has 2 rows")
  end)

  it("is told that a tensor is no condition", function()
    local function both(p, x, h) return h:gt(0) and p.gate(x .. h) or h end
    blames(both, {}, "a step made of operations on features, got gt whose result nothing reads (as a condition a "
      .. "tensor is always true; saros.where(condition, a, b) chooses element by element)")
    blames(function(p, x, h) if h:eq(0) then return h end return p.gate(x .. h) end, {}, "a step made of")
    for _, step in ipairs {
      function(p, x, h) return saros.where(h:gt(0), h, p.gate(x .. h)) end,
      function(_, x, h) return h + x:lt(0):sum(2, true) end,
      function(_, _, h) return h:ge(0) end,
      function(_, _, h) return saros.concatenate({ h:le(0):slice(2, 1, 2), h:slice(2, 1, 2) }, 2) end,
    } do
      assert.same({ 5, 2, 4 }, make({}, step):init({ seed = 1 })(normal(1, 5, 2, 3)):shape())
    end
  end)

  it("is told of results that do not fit when it is a module", function()
    local function layers(forward, states)
      local Own = nn.module "own"
      Own.forward, Own.states = forward, states
      local net = nn.recurrent { 3, 4, cell = function() return Own.new() end }
      return function() net(normal(1, 5, 2, 3)) end
    end
    for _, forward in ipairs { function() end, function(_, _, h) return h[1], h[1] end } do
      fails(layers(forward), ("spec/cell_spec.lua:%d: nn.recurrent: expected own to return y and a list of its states")
        :format(debug.getinfo(forward, "S").linedefined))
    end
    fails(layers(function(_, x) return x, { x } end, { 4 }),
      "nn.recurrent: expected a step to return a state of the 4 numbers a row that it takes, got one of 3")
    fails(function() nn.recurrent { 3, 4, cell = Highway, compiled = false }:init({ seed = 1 })(normal(1, 5, 2, 7)) end,
      "highway: expected x of shape (T, B, 3), got a tensor (5, 2, 7)")
    local line = debug.getinfo(1, "l").currentline + 1
    local function nothing() end
    fails(function() nn.unroll(nothing, normal(1, 5, 2, 3), normal(1, 2, 3)) end,
      ("spec/cell_spec.lua:%d: nn.unroll: expected the cell to return y"):format(line))
  end)

  it("is told of parameters that it does not ask for each time", function()
    local count = 0
    local net = make({}, function(p, x, h)
      count = count + 1
      return count > 1 and p.other(x) or p.gate(x) + h
    end):init { seed = 1 }
    fails(function() net(saros.zeros(1, 2, 3)) end,
      "bad: expected parameters that the first call asked for, got p.other")
    fails(function() make({}, function(p, x, h) return p.gate(x) + p.gate:vector() + h end) end,
      "bad: expected p.gate to stay a map, got a tensor")
    fails(function() make({}, function(p, x, h) return p.gate(x) + p.gate(x .. h) end) end,
      "bad: expected p.gate of shape (4, 3), as in the first call, got (4, 7)")
    fails(function() make({}, function(p, x, h) return p.gate(x, 0) + h end) end,
      "bad: expected a positive integer as the size of p.gate, got 0")
    fails(function() make({}, function(p, _, h) return p.gate(3) + h end) end,
      "bad: expected p.gate to be given a tensor (B, ...), got 3")
    fails(function() make({}, function(p, x, h) return p["a.b"](x) + h end) end,
      'bad: expected a name such as p.gate, got "a.b"')
    fails(function() make({ parameters = { gaet = { bias = 1 } } }, function(p, x, h) return p.gate(x) + h end) end,
      'nn.cell: expected parameters that bad has, got "gaet"; did you mean \'gate\'?')
  end)

  it("is told of states that do not fit its own", function()
    local net = nn.recurrent { 3, 4, cell = Highway }:init { seed = 1 }
    fails(function() net(saros.zeros(1, 2, 3), { { saros.zeros(2, 5) } }) end,
      "recurrent: expected a state { {h} } (1 layer), each h of shape (2, 4), got a tensor (2, 5) as h at [1]")
  end)

  it("is told of options that name no state, or that it cannot have", function()
    fails(function() nn.recurrent { 3, 4, cell = Highway, zoneout = { c = 0.1 } } end,
      "nn.recurrent: expected option 'zoneout' by names of states (h), got \"c\"")
    fails(function() nn.recurrent { 3, 4, cell = Highway, zoneout = { h = 2 } } end,
      "a number in [0, 1), or such numbers by name of a state")
    fails(function()
      nn.recurrent { 3, 4, cell = function(i, h) return nn.linear { i, h } end, recurrent_dropout = 0.1 }
    end, "nn.recurrent: expected a cell of nn.cell with recurrent_dropout")
  end)

  it("and its maps are named where they are taken for something else", function()
    local function layer(step) return nn.recurrent { 3, 4, cell = nn.cell("mine", {}, step) } end
    fails(function() layer(function(p, _, h) return p.scale * h end) end,
      "got a name of p, of which p.name(v), p.name:vector() and p.name:tensor { ... } are tensors")
    fails(function() nn.chain { Highway } end,
      "got a cell of nn.cell (nn.recurrent { inputs, hidden, cell = it } makes layers of it)")
    for given, name in pairs { gru = "nn.gru", gur = "nn.gru", other = "nn.lstm, nn.gru and the like" } do
      local here = debug.getinfo(1, "l").currentline + 1
      fails(function() nn.recurrent { 3, 4, cell = given } end,
        ("spec/cell_spec.lua:%d: nn.recurrent: expected option 'cell' to be a function or a module, got %q; %s for "
          .. "layers of a fused cell, nn.cell for a cell of your own"):format(here, given, name))
    end
    local line = debug.getinfo(1, "l").currentline + 2
    local function step(p, x, h)
      return saros.tanh(p.a(x .. h))
    end
    fails(function() nn.recurrent { 3, 4, cell = step } end, ("spec/cell_spec.lua:%d: attempt to index a number value "
      .. "(local 'p'); nn.recurrent calls the function of option 'cell' with inputs and hidden, to make a module; "
      .. "nn.cell makes one of a step"):format(line))
    local problem = {}
    local ok, got = pcall(nn.recurrent, { 3, 4, cell = function() error(problem) end })
    assert.is_false(ok)
    assert.equal(problem, got)
    fails(function() nn.recurrent { 3, 4, cell = function(x) return x end } end,
      "expected the option 'cell' to make a module of its sizes, got 3; nn.cell makes one of a step")
  end)
end)
