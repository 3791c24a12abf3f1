-- Sessions of any program against the plainest interpreter of it.

local saros = require "saros"
require "spec.support.values"
local core = require "saros.core"
local delta = require "spec.support.delta_program"
local program = require "saros.program.program"
local narrow = require "spec.support.narrow_weights"
local random = require "spec.support.random_program"
local twin = require "spec.support.program_twin"
local nn = saros.nn

local is_double = saros.info().real == "double"
local TOLERANCE = is_double and 1e-9 or 2e-3
local T, B = 8, 3

-- A program of random nodes, as the core reads it: slopes are fixed, attention has two
-- states and sees at least two steps.
local function readable(given)
  for _, node in ipairs(given.nodes) do
    node.slope = nil
    if node.op == "attention" and #node.states == 3 then
      local a, b, c = table.unpack(node.states)
      local W, F = node.window, 4
      local memory, exists, other = given.states[a + 1], given.states[b + 1], given.states[c + 1]
      if W == 1 then
        node.op, node["in"] = "add", { node["in"][2], node["in"][3] }
        node.heads, node.window, node.states = nil, nil, nil
        memory.width, exists.width, other.width = F, F, F
      else
        node.states, memory.width, exists.width, other.width = { a, b }, (W - 1) * 2 * F, W - 1, F
        given.nodes[#given.nodes + 1] = { op = "tanh", ["in"] = { node["in"][1] } }
        other.next = #given.nodes - 1
      end
    end
  end
  return program.new(given)
end

local function subject(seed)
  local given, tensors = random.program(seed, 14, T)
  local generator, ids = saros.generator(seed + 1000), {}
  for n = 1, T * B do
    ids[n] = generator:integer(4)
  end
  local made = { program = readable(given), tensors = tensors, parameters = {} }
  made.inputs = { x = generator:normal { T, B, 5 }, id = saros.ids(ids):reshape(T, B) }
  for n, parameter in ipairs(given.parameters) do
    made.parameters[n] = tensors[parameter.name]
  end
  made.compiled = core.program(made.program:encode())
  return made
end

local function session_of(made, streams, weights)
  return core.session(made.compiled, made.parameters, streams, weights or "real")
end

-- One step; row: of one stream.
local function step(made, session, t, row)
  local x, id = made.inputs.x[t], made.inputs.id[t]
  if row then
    return session:step(x[row]:contiguous(), id:select(1, row):item())
  end
  return session:step(x:contiguous(), id:contiguous())
end

local function off(expected, got)
  return ((got - expected):abs() / expected:abs():maximum(1)):max():item()
end

local function assert_close(expected, got, what, more)
  local distance = off(expected, got)
  assert.is_true(distance <= TOLERANCE + (more or 0), ("%s: %g off"):format(what, distance))
end

describe("a session of a random program", function()
  for seed = 1, 60 do
    it(("says what the program means: %d"):format(seed), function()
      local made = subject(seed)
      local expected, last = twin.run(made.program, made.tensors, made.inputs)
      local three, one = session_of(made, B), session_of(made, 1)
      for t = 1, T do
        local y = step(made, three, t)
        assert.equal(y, three:output "y")
        assert.equal(y, three:output(1))
        assert_close(expected.y[t], y, "y at " .. t)
        assert_close(expected.side[t], three:output "side", "side at " .. t)
        step(made, one, t, 2)
        assert_close(expected.side[t][2], one:output "side", "one stream at " .. t)
      end
      for n, state in ipairs(three:state()) do
        assert_close(last[n], state, "state " .. n)
      end
    end)
  end

  for _, weights in ipairs { "bf16", "int8" } do
    it("says what the program means with weights of fewer bits: " .. weights, function()
      for seed = 1, 60, 2 do
        local made = subject(seed)
        local expected, last, more = narrow.run(made.program, made.tensors, made.inputs, weights)
        local three, one = session_of(made, B, weights), session_of(made, 1, weights)
        for t = 1, T do
          assert_close(expected.y[t], step(made, three, t), ("%d, y at %d"):format(seed, t), more)
          assert_close(expected.side[t], three:output "side", ("%d, side at %d"):format(seed, t), more)
          step(made, one, t, 2)
          assert_close(expected.side[t][2], one:output "side", ("%d, one stream at %d"):format(seed, t), more)
        end
        for n, state in ipairs(three:state()) do
          assert_close(last[n], state, ("%d, state %d"):format(seed, n), more)
        end
      end
    end)
  end

  for _, weights in ipairs { "real", "bf16", "int8" } do
    it("goes on from bytes, in forks and from states, and starts again: " .. weights, function()
      for seed = 1, 12 do
        local made = subject(seed)
        local session, other = session_of(made, B, weights), session_of(made, B, weights)
        local first = step(made, session, 1):clone()
        step(made, session, 2)
        local bytes, fork, states = session:dump(), session:fork(), session:state()
        step(made, session, 3)
        local y = step(made, session, 4):clone()
        step(made, fork, 3)
        assert.same_values(y, step(made, fork, 4), 0)
        other:restore(bytes)
        assert.equal(bytes, other:dump())
        step(made, other, 3)
        assert.same_values(y, step(made, other, 4), 0)
        other:reset()
        other:set_state(states)
        for n, state in ipairs(other:state()) do
          assert.same_values(states[n], state, 0)
        end
        step(made, other, 3)
        assert_close(y, step(made, other, 4), "from states")
        session:reset()
        assert.same_values(first, step(made, session, 1), 0)
        session:repack(made.parameters)
        fork:reset(2)
        local again = step(made, fork, 1)
        assert.same_values(first[2], again[2], 0)
      end
    end)
  end

  it("is refused where states walk from the end, or parameters do not fit", function()
    local given = random.program(3, 5, T, { "back" })
    local made = subject(3)
    assert.error_matches(function()
      core.session(core.program(readable(given):encode()), {}, 1, "real")
    end, "session: expected .* parameters of the program, got 0")
    made.parameters[1] = saros.ones(1, 1, 1)
    assert.error_matches(function() session_of(made, 1) end, 'session: expected "p.0" of shape .*, got %(1, 1, 1%)')
    assert.error_matches(function() nn.gru({ 2, 3, bidirectional = true }):init({ seed = 1 }):session() end,
      "session: expected layers of one direction, got state \"2.1\", which walks from the end of a sequence")
  end)

  it("takes its inputs in their order or by their names", function()
    local made = subject(4)
    local a, b = session_of(made, 1), session_of(made, 1)
    a:step({ 1, 2, 3, 4, 5 }, 2)
    b:step { x = { 1, 2, 3, 4, 5 }, id = 2 }
    assert.same_values(a:output "side", b:output "side", 0)
    assert.error_matches(function() b:step { x = { 1, 2, 3, 4, 5 } } end, "step: expected the input 'id', got none")
    assert.error_matches(function() b:step { x = { 1, 2, 3, 4, 5 }, di = 2 } end,
      'step: expected inputs by their names, got "di"')
    assert.error_matches(function() b:step({ 1, 2, 3, 4, 5 }, 5) end,
      "step: expected an id in 1..4 as argument 2, got 5")
    assert.error_matches(function() b:step({ 1, 2 }, 1) end, "step: expected 5 numbers as argument 1")
    assert.error_matches(function() b:output "z" end, "output: expected the name or number of an output")
    local line = debug.getinfo(1, "l").currentline + 1
    local ok, message = pcall(function() b:output "sied" end)
    assert.is_false(ok)
    local outputs, count = message:match "of an output %((.-)%)", 0
    for name in outputs:gmatch "[^, ]+" do
      count = count + 1
      assert.equal(b:output(count), b:output(name))
    end
    assert.is_true(count > 1 and not pcall(b.output, b, count + 1))
    assert.equal(("spec/session_program_spec.lua:%d: output: expected the name or number of an output (%s), "
      .. "got \"sied\"; did you mean 'side'?"):format(line, outputs), message)
    assert.equal("session (2 inputs -> 2 outputs, 1 stream)", tostring(b))
  end)

  it("has states that become what a node with states of its own says", function()
    local made = core.program(core.json_encode { format = 1,
      parameters = { { name = "W", shape = { 2, 2 } }, { name = "U", shape = { 2, 2 } } },
      states = { { name = "h", width = 2, next = 3 }, { name = "before", width = 2, next = 3 } },
      nodes = { { op = "input", name = "x", width = 2 }, { op = "parameter", parameter = 0 },
        { op = "parameter", parameter = 1 }, { op = "cell", ["in"] = { 0, 1, 2 }, cell = "elman_tanh",
          with = { "weight_ih", "weight_hh" }, states = { 0 } }, { op = "state", state = 1 } },
      outputs = { { name = "y", node = 3 }, { name = "before", node = 4 } } })
    local generator = saros.generator(1)
    local parameters, x = { generator:normal { 2, 2 }, generator:normal { 2, 2 } }, generator:normal { T, B, 2 }
    local session, last = core.session(made, parameters, B, "real"), saros.zeros(B, 2)
    for t = 1, T do
      local y = session:step(x[t]:contiguous()):clone()
      assert.same_values(last, session:output "before", 0)
      last = y
    end
    assert.same_values(last, session:state()[2], 0)
  end)

  it("allocates nothing in a step", function()
    local made = subject(5)
    local session, x, id = session_of(made, 1), { 1, 2, 3, 4, 5 }, 2
    session:step(x, id)
    collectgarbage()
    collectgarbage "stop"
    local before, kilobytes = saros.memory(), collectgarbage "count"
    for _ = 1, 1000 do
      session:step(x, id)
    end
    local after = collectgarbage "count"
    collectgarbage "restart"
    assert.equal(kilobytes, after)
    assert.same(before, saros.memory())
  end)
end)

describe("a session of a delta node", function()
  local kinds = delta.kinds()
  kinds[#kinds + 1] = { heads = 2, K = 17, V = 40, reflections = 2, decay = "channel", write = true, erase = "same" }
  kinds[#kinds + 1] = { heads = 3, K = 16, V = 16, reflections = 1, constant = 0.5 }
  for _, kind in ipairs(kinds) do
    it("says what it says over whole sequences: " .. delta.name(kind), function()
      local given, generator, inputs, list = delta.program(kind), saros.generator(1), {}, {}
      given.format = 1
      for _, node in ipairs(given.nodes) do
        if node.op == "input" then
          inputs[node.name] = generator:normal { T, B, node.width } * 0.5
          inputs[node.name] = node.name == "decay" and inputs.decay:abs() or inputs[node.name]
          list[#list + 1] = node.name
        end
      end
      local made, first = core.program(core.json_encode(given)), generator:normal { kind.heads * kind.K * kind.V }
      local outputs, last = made:run { parameters = { first = first }, inputs = inputs }
      for _, weights in ipairs { "real", "bf16", "int8" } do
        local session = core.session(made, { first }, B, weights)
        local function take(of, t)
          local x = {}
          for n, name in ipairs(list) do
            x[n] = inputs[name][t]:contiguous()
          end
          return of:step(table.unpack(x))
        end
        for t = 1, 3 do
          assert_close(outputs.y[t], take(session, t), "y at " .. t)
        end
        local bytes, other = session:dump(), core.session(made, { first }, B, weights)
        other:set_state(session:state())
        for t = 4, T do
          assert_close(outputs.y[t], take(session, t), "y at " .. t)
          assert.same_values(session:output(1), take(other, t), 0)
        end
        assert_close(last.m, session:state()[1], "the state")
        other:restore(bytes)
        assert_close(outputs.y[4], take(other, 4), "y from bytes")
        other:reset(1)
        assert.same_values(first:reshape(1, -1), other:state()[1]:slice(1, 1, 1), 0)
      end
    end)
  end
end)

-- A class of a script whose state is (2, B, H).
local Sideways = nn.module "sideways"
Sideways.stateful = true
function Sideways:forward(x, state)
  local list, first = {}, state and state[1] or saros.zeros(x:size(2), x:size(3))
  local second = state and state[2] or first
  for t = 1, #x do
    first, second = saros.tanh(self.inner(x[t] .. second)), first
    list[t] = first - second
  end
  return saros.stack(list), saros.stack { first, second }
end
local function sideways(size)
  local self = Sideways.new()
  self.inner = self:add_member("inner", nn.linear { 2 * size, size })
  return self
end

describe("the state of a session", function()
  local I, H = 4, 6
  local function model_of(make)
    return nn.chain { nn.linear { I, H }, make, nn.linear { H, 3 } }:init { seed = 2 }
  end
  local models = {
    lstm = model_of(nn.lstm { H, H, layers = 2 }),
    gru = model_of(nn.gru { H, H, learn_state = true }),
    lru = model_of(nn.lru { H, H }),
    attention = model_of(nn.windowed_attention { H, 5, heads = 2 }),
    conv1d = model_of(nn.conv1d { H, H, kernel = 3, dilation = 2 }),
    own = model_of(nn.recurrent { H, H, cell = nn.cell("mix", { states = { "h", "m" } }, function(p, x, h, m)
      local f = saros.sigmoid(p.f(x .. h))
      m = f * m + (1 - f) * saros.tanh(p.n(x .. h))
      return saros.tanh(p.o(m)) * f, m
    end) }),
    matrix = model_of(nn.recurrent { H, H, cell = nn.cell("matrix", { states = { "h", { "m", 2, 3 } } },
      function(p, x, h, m)
        m = m * 0.5 + p.value(x .. h, 6):reshape(x:size(1), 2, 3)
        return saros.tanh(p.out(m:sum(3))), m
      end) }),
    rows_second = model_of(sideways(H)),
  }
  for name, model in pairs(models) do
    it("is that of the layers, in both directions: " .. name, function()
      local x = saros.generator(1):normal { 17, 2, I }
      local whole = model(x)
      for _, cut in ipairs { 1, 3, 9 } do
        local _, state = model(x:slice(1, 1, cut))
        local session = model:session { streams = 2 }
        session:set_state(state) -- a long history is read at once, and then stepped
        for t = cut + 1, 13 do
          assert.same_values(whole[t], session:step(x[t]:contiguous()), is_double and 1e-11 or 1e-5)
        end
        local y = model(x:slice(1, 14, 17), session:state()) -- and back
        assert.same_values(whole:slice(1, 14, 17), y, is_double and 1e-11 or 1e-5)
      end
    end)
  end

  it("is refused where it does not fit, and is then as it was", function()
    local session = models.lstm:session { streams = 2 }
    session:step(saros.ones(2, I))
    local before = session:dump()
    local _, other = models.lstm(saros.ones(1, 3, I))
    assert.error_matches(function() session:set_state(other) end,
      "set_state: expected .* of shape %(2, 6%), got %(3, 6%)")
    assert.error_matches(function() session:set_state {} end, "set_state: expected the state of the model")
    assert.error_matches(function() session:set_state(3) end, "set_state: expected a table as argument 1, got 3")
    local attention = models.attention:session()
    local state = attention:state()
    state[2][2][1][2] = 1 -- a step that was, before one that was not
    assert.error_matches(function() attention:set_state(state) end, "to be zeros and then ones")
    assert.equal(before, session:dump())
  end)
end)
