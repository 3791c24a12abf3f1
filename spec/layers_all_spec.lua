-- What every layer of a stack did at every step, on request: its states and gates.

require "spec.support.gradients"
require "spec.support.values"
local c = require "spec.support.c_files"
local files = require "spec.support.files"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local T, B, I, H = 6, 3, 3, 4
local TOLERANCE = c.is_double and 1e-12 or 1e-5

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- --- Naive loops ----------------------------------------------------------------------------------

local function product(x, weight, bias)
  local y = x:matmul(weight:transpose(1, 2))
  return bias and y + bias or y
end

local function part(a, n)
  return a:slice(2, (n - 1) * H + 1, n * H)
end

-- A step of each cell as the textbook has it: states before, from p and x (1, I), to the
-- states and gates.
local steps = {}

function steps.lstm(p, x, before, o)
  local a = product(x, p.weight_ih, p.bias_ih) + product(before.h, p.weight_hh, p.bias_hh)
  local peep = p.peephole or saros.zeros(3, H)
  local i = (part(a, 1) + peep[1] * before.c):sigmoid()
  local f = (part(a, 2) + peep[2] * before.c):sigmoid()
  local g = part(a, 3):tanh()
  local new = f * before.c + i * g
  local out = (part(a, 4) + peep[3] * new):sigmoid()
  local h = out * new:tanh()
  return { h = o.projection and product(h, p.weight_hr) or h, c = new },
    { input = i, forget = f, candidate = g, output = out }
end

function steps.gru(p, x, before, o)
  local a, u = product(x, p.weight_ih, p.bias_ih), product(before.h, p.weight_hh, p.bias_hh)
  local r, z = (part(a, 1) + part(u, 1)):sigmoid(), (part(a, 2) + part(u, 2)):sigmoid()
  local n
  if o.reset == "before" then
    local bias = p.bias_hh and p.bias_hh:slice(1, 2 * H + 1)
    n = (part(a, 3) + product(r * before.h, p.weight_hh:slice(1, 2 * H + 1), bias)):tanh()
  else
    n = (part(a, 3) + r * part(u, 3)):tanh()
  end
  return { h = (1 - z) * n + z * before.h }, { reset = r, update = z, candidate = n }
end

function steps.ugrnn(p, x, before)
  local a = product(x, p.weight_ih, p.bias_ih) + product(before.h, p.weight_hh, p.bias_hh)
  local z, n = part(a, 1):sigmoid(), part(a, 2):tanh()
  return { h = z * before.h + (1 - z) * n }, { update = z, candidate = n }
end

local function positive(n)
  return saros.where(n:lt(0), n:sigmoid(), n + 0.5)
end

function steps.mingru(p, x, before, o)
  local a = product(x, p.weight_ih, p.bias_ih)
  local z, n = part(a, 1):sigmoid(), o.candidate == "positive" and positive(part(a, 2)) or part(a, 2)
  return { h = (1 - z) * before.h + z * n }, { update = z, candidate = n }
end

function steps.minlstm(p, x, before, o)
  local a = product(x, p.weight_ih, p.bias_ih)
  local i, f = part(a, 1):sigmoid(), part(a, 2):sigmoid()
  local n = o.candidate == "positive" and positive(part(a, 3)) or part(a, 3)
  return { h = (f * before.h + i * n) / (i + f) }, { forget = f / (i + f), candidate = n }
end

function steps.rnn(p, x, before)
  return { h = (product(x, p.weight_ih, p.bias_ih) + product(before.h, p.weight_hh, p.bias_hh)):tanh() }, {}
end

-- One row of one direction, step by step: lists of states and gates by t. What a row does not
-- read has none.
local function walk_row(step, direction, o, x, counts, starts, first)
  local states, gates, now = {}, {}, first()
  local begin, last, by = 1, T, 1
  if direction.reverse then
    begin, last, by = T, 1, -1
  end
  local pending = false
  for t = begin, last, by do
    if counts(t) then
      if pending or not direction.reverse and starts(t) then
        now = first(true)
      end
      now, gates[t] = step(direction.parameters, x[t]:reshape(1, -1), now, o)
      states[t] = now
      pending = direction.reverse and starts(t)
    end
  end
  return states, gates
end

local function assert_row(expected, got, row)
  for name, tensor in pairs(got) do
    local want = {}
    for t = 1, T do
      want[t] = expected[t] and expected[t][name]:reshape(-1) or saros.zeros(tensor:size(3))
    end
    assert.same_values(saros.stack(want), tensor:select(2, row), TOLERANCE)
  end
end

local function names_of(list)
  local names = {}
  for name in pairs(list) do
    names[#names + 1] = name
  end
  table.sort(names)
  return table.concat(names, " ")
end

-- Compares a net with the loops. `given` has lengths, mask or reset; first states by position.
local function assert_like_loops(kind, net, x, state, given)
  local call = { layers = "all" }
  for name, value in pairs(given) do
    call[name] = value
  end
  local y, last, layers = net(x, state, call)
  local plain, plain_last = net(x, state, next(given) and given or nil)
  assert.same_values(plain, y, 0)
  assert.equal(#net.directions, #layers)
  local width = net.o.bidirectional and 2 or 1
  local input = x
  for position, direction in ipairs(net.directions) do
    local got = layers[position]
    if position > 1 and (position - 1) % width == 0 then
      input = width == 2 and layers[position - 2].y .. layers[position - 1].y or layers[position - 1].y
    end
    for n, h in ipairs(plain_last[position]) do
      assert.same_values(h, last[position][n], 0)
    end
    for row = 1, B do
      local function first(again)
        local begin = {}
        for n, name in ipairs(net.state_names) do
          if direction.sizes[n] then
            begin[name] = not again and state and state[position][n]:slice(1, row, row)
              or direction.initial and direction.initial[n]:reshape(1, -1) or saros.zeros(1, direction.sizes[n])
          end
        end
        return begin
      end
      local states, gates = walk_row(steps[kind], direction, net.o, input:select(2, row), function(t)
        if given.mask then
          return given.mask[t][row] == 1
        end
        return not given.lengths or t <= given.lengths[row]
      end, function(t) return given.reset ~= nil and given.reset[t][row] == 1 end, first)
      assert_row(states, got.states, row)
      assert_row(gates, got.gates, row)
      if next(gates) then
        local _, of_a_step = next(gates)
        assert.equal(names_of(of_a_step), names_of(got.gates))
      end
    end
    assert.same_values(got.states.h, got.y, 0)
  end
end

local KINDS = {
  { "lstm" }, { "lstm", peepholes = true }, { "lstm", projection = 3 }, { "lstm", peepholes = true, projection = 2 },
  { "lstm", bias = false }, { "gru" }, { "gru", reset = "before" }, { "gru", bias = false }, { "ugrnn" }, { "mingru" },
  { "mingru", candidate = "positive" }, { "minlstm" }, { "minlstm", candidate = "positive" }, { "rnn" },
}

local function options_of(kind, more)
  local o = { input = I, hidden = H }
  for _, list in ipairs { kind, more } do
    for name, value in pairs(list) do
      o[type(name) == "string" and name or 0] = value
    end
  end
  o[0] = nil
  return o
end

local function title(kind)
  local parts = { kind[1] }
  for _, name in ipairs { "reset", "candidate", "projection", "peepholes", "bias" } do
    parts[#parts + 1] = kind[name] ~= nil and name .. " " .. tostring(kind[name]) or nil
  end
  return table.concat(parts, ", ")
end

-- 1 everywhere but at some steps and rows.
local function holes()
  return saros.tensor { { 1, 0, 1 }, { 0, 1, 1 }, { 1, 1, 0 }, { 1, 1, 1 }, { 0, 1, 1 }, { 1, 0, 1 } }
end

local function pieces()
  return saros.tensor { { 0, 1, 0 }, { 0, 0, 0 }, { 0, 1, 0 }, { 1, 0, 0 }, { 0, 0, 0 }, { 0, 0, 1 } }
end

local WALKS = {
  ["all steps"] = function() return {} end,
  ["lengths"] = function() return { lengths = { T, 2, 4 } } end,
  ["an empty row"] = function() return { lengths = { 0, 1, T } } end,
  ["a mask with holes"] = function() return { mask = holes() } end,
  ["resets"] = function() return { reset = pieces() } end,
  ["resets and lengths"] = function() return { reset = pieces(), lengths = { 5, T, 4 } } end,
}

describe("a stack that is asked for all that its layers did", function()
  for _, kind in ipairs(KINDS) do
    it("says what a loop over the steps computes: " .. title(kind), function()
      for _, more in ipairs { { layers = 2 }, { layers = 2, bidirectional = true }, { learn_state = true,
        bidirectional = true } } do
        local net = nn[kind[1]](options_of(kind, more)):init { seed = 1 }
        for _, direction in ipairs(net.directions) do
          for n, initial in ipairs(direction.initial or {}) do
            initial:assign(random(10 + n, initial:size(1)))
          end
        end
        local x = random(2, T, B, I)
        local _, state = net(random(3, 2, B, I))
        for name, walk in pairs(WALKS) do
          local begins = more.learn_state or name == "all steps" or name == "a mask with holes"
          assert_like_loops(kind[1], net, x, not begins and state or nil, walk())
        end
        assert_like_loops(kind[1], net, x, state, WALKS["all steps"]())
      end
    end)
  end

  it("has its lower layers as with layers = true, and reads no padding", function()
    for _, make in ipairs { nn.lstm, nn.gru, nn.lru, nn.minlstm } do
      for _, more in ipairs { {}, { layer_norm = make ~= nn.lru and true or nil }, { residual = true } } do
        local o = options_of({}, more)
        o.hidden, o.layers, o.bidirectional = I, 2, true
        local net, x = make(o):init { seed = 1 }, random(2, T, B, I)
        local _, _, plain = net(x, nil, { lengths = { 2, T, 3 }, layers = true })
        x[3][1]:fill(0 / 0)
        x[6][3]:fill(0 / 0)
        local _, _, layers = net(x, nil, { lengths = { 2, T, 3 }, layers = "all" })
        assert.equal(4, #layers)
        for n, values in ipairs(layers) do
          assert.same_values(plain[n], values.y, 0)
          for _, list in ipairs { values.states, values.gates } do
            for name, tensor in pairs(list) do
              assert.is_true(tensor:all_finite(), name)
              assert.equal(0, tensor:slice(1, 3):select(2, 1):abs():max():item(), name)
            end
          end
        end
      end
    end
  end)

  it("says h and c of an LSTM with layer norm, and the gates of a GRU with it", function()
    local net, x = nn.lstm { I, H, layer_norm = true, layers = 2 }:init { seed = 1 }, random(2, T, B, I)
    local _, last, layers = net(x, nil, { layers = "all" })
    for n, values in ipairs(layers) do
      local s, g, p = values.states, values.gates, net.directions[n].parameters
      p.norm_c_gain:assign(random(5, H))
      assert.same_values(last[n][2], s.c[T], TOLERANCE)
      assert.same_values(s.c:slice(1, 2), g.forget:slice(1, 2) * s.c:slice(1, 1, T - 1)
        + (g.input * g.candidate):slice(1, 2), TOLERANCE)
    end
    layers = select(3, net(x, nil, { layers = "all" }))
    local s, p = layers[2].states, net.directions[2].parameters
    local squashed = core.layer_norm(s.c, p.norm_c_gain, p.norm_c_bias):tanh()
    assert.same_values(s.h, layers[2].gates.output * squashed, TOLERANCE)
    local gru = nn.gru { I, H, layer_norm = true }:init { seed = 1 }
    local values = select(3, gru(x, nil, { layers = "all" }))[1]
    local z, n, h = values.gates.update, values.gates.candidate, values.states.h
    assert.same_values(h:slice(1, 2), ((1 - z) * n):slice(1, 2) + z:slice(1, 2) * h:slice(1, 1, T - 1), TOLERANCE)
  end)

  it("says what this pass did in training, with zoneout and dropout", function()
    local net = nn.lstm { I, H, layers = 2, zoneout = 0.3, zoneout_cell = 0.4, recurrent_dropout = 0.5, dropout = 0.3 }
    net:init { seed = 1 }
    local x, tape <close> = random(2, T, B, I), saros.tape()
    local _, last, layers = net(x, nil, { layers = "all", lengths = { T, 3, T } })
    for n, values in ipairs(layers) do
      local s, g = values.states, values.gates
      assert.same_values(last[n][1], core.stack { s.h[T][1], s.h[3][2], s.h[T][3] }, 0)
      assert.same_values(last[n][2], core.stack { s.c[T][1], s.c[3][2], s.c[T][3] }, TOLERANCE)
      local kept = saros.zeros(3, H)
      for t = 2, 3 do
        local new = g.forget[t] * s.c[t - 1] + g.input[t] * g.candidate[t]
        local is_old, is_new = (s.c[t] - s.c[t - 1]):abs():lt(1e-5), (s.c[t] - new):abs():lt(1e-5)
        assert.equal(1, is_old:maximum(is_new):min():item())
        local h = g.output[t] * new:tanh()
        assert.equal(1, (s.h[t] - s.h[t - 1]):abs():lt(1e-5):maximum((s.h[t] - h):abs():lt(1e-5)):min():item())
        kept = kept + is_old
      end
      assert.is_true(kept:max():item() > 0)
    end
    tape:backward(layers[1].states.c:sum())
  end)

  it("says in evaluation what zoneout expects", function()
    local net, x = nn.lstm { I, H, zoneout_cell = 0.4 }:init { seed = 1 }, random(2, T, B, I)
    local _ <close> = saros.no_gradient()
    local _, last, layers = net(x, nil, { layers = "all" })
    local s, g = layers[1].states, layers[1].gates
    assert.same_values(last[1][2], s.c[T], TOLERANCE)
    local new = g.forget[T] * s.c[T - 1] + g.input[T] * g.candidate[T]
    assert.same_values(s.c[T], 0.6 * new + 0.4 * s.c[T - 1], TOLERANCE)
  end)

  it("lets gradients through all of it", function()
    for _, kind in ipairs { { "lstm", peepholes = true }, { "gru", reset = "before" }, { "minlstm" } } do
      local net = nn[kind[1]](options_of(kind, { layers = 2, learn_state = true })):init { seed = 1 }
      local inputs = net:tensors()
      inputs.x = random(2, T, B, I)
      assert.gradients_match(function()
        local y, _, layers = net(inputs.x, nil, { layers = "all", lengths = { T, 2, 4 }, reset = pieces() })
        local loss, n = y:sum(), 0
        for _, values in ipairs(layers) do
          for _, name in ipairs { "input", "forget", "candidate", "output", "reset", "update" } do
            local gate = values.gates[name]
            n = n + 1
            loss = gate and loss + (gate * gate):sum() * n or loss
          end
          loss = values.states.c and loss + (values.states.c * values.states.h:sum(3, true)):sum() or loss
        end
        return loss
      end, inputs)
    end
  end)

  it("reads ids with an embedding, looked up or not", function()
    for _, symbols in ipairs { 2, 50 } do
      local embedding = nn.embedding { symbols, I }:init { seed = 1 }
      local net = nn.lstm { I, H, layers = 2 }:init { seed = 2 }
      local list = {}
      for n = 1, T * B do
        list[n] = n % 2 + 1
      end
      local ids = saros.ids(list):reshape(T, B)
      for _, given in ipairs { {}, { lengths = { T, 1, 3 } } } do
        given.layers = "all"
        local _, _, expected = net(embedding(ids), nil, given)
        local _, _, layers = net(ids, nil, given, embedding)
        for n, values in ipairs(expected) do
          assert.same_values(values.states.c, layers[n].states.c, 1e-5)
          assert.same_values(values.gates.output, layers[n].gates.output, 1e-5)
        end
        given.layers = true
        assert.equal(2, #select(3, net(ids, nil, given, embedding)))
      end
    end
  end)

  it("has rows first where the stack has", function()
    local o = { I, H, layers = 2, bidirectional = true }
    local net, x = nn.lstm(o):init { seed = 1 }, random(2, T, B, I)
    o.batch_first = true
    local other = nn.lstm(o):init { seed = 1 }
    local _, _, expected = net(x, nil, { layers = "all", mask = holes() })
    local _, _, layers = other(x:transpose(1, 2), nil, { layers = "all", mask = holes():transpose(1, 2) })
    for n, values in ipairs(expected) do
      assert.same_values(values.y:transpose(1, 2), layers[n].y, 0)
      assert.same_values(values.states.c:transpose(1, 2), layers[n].states.c, 0)
      assert.same_values(values.gates.forget:transpose(1, 2), layers[n].gates.forget, 0)
    end
  end)

  it("follows parameters that change and are adopted", function()
    local net, x = nn.lstm { I, H }:init { seed = 1 }, random(2, T, B, I)
    net(x, nil, { layers = "all" })
    net:init { seed = 2 }
    assert_like_loops("lstm", net, x, nil, {})
    local other = nn.lstm { I, H }:init { seed = 3 }
    net:adopt(other:tensors())
    assert_like_loops("lstm", net, x, nil, {})
  end)

  it("is no part of a step, and takes no other word", function()
    local net = nn.lstm { I, H }:init { seed = 1 }
    local Asking = nn.module "asking"
    Asking.stateful = true
    function Asking:forward(x, state)
      local _, last, layers = self.net(x, state, { layers = "all" })
      return layers[1].gates.forget, last
    end
    local asking = Asking.new()
    asking.net, asking.input = asking:add_member("net", net), I
    assert.error_matches(function() asking:program() end, 'got layers = "all"')
    assert.error_matches(function() net(random(2, T, B, I), nil, { layers = "gates" }) end,
      'layers: expected true or false, or "all" as argument 3, got "gates"')
  end)
end)

-- --- Cells of one's own ---------------------------------------------------------------------------

local function lstm_cell(more)
  return nn.cell("textbook", { states = { "h", "c" } }, function(p, x, h, c0)
    local i = p:named("input", saros.sigmoid(p.i(x .. h)))
    local f = p:named("forget", saros.sigmoid(p.f(x .. h)))
    local o = p:named("output", saros.sigmoid(p.o(x .. h)))
    local new = f * c0 + i * p:named("candidate", saros.tanh(p.g(x .. h)))
    return more and more(p, o, new) or o * new:tanh(), new
  end)
end

describe("own cells that are asked for all that they did", function()
  it("say their states, and the values that they name, compiled or not", function()
    for _, more in ipairs { {}, { bidirectional = true }, { learn_state = true }, { residual = true } } do
      local x, found = random(2, T, B, H), {}
      for n, way in ipairs { true, false } do
        local o = { H, H, cell = lstm_cell(), layers = 2, compiled = way }
        for name, value in pairs(more) do
          o[name] = value
        end
        local net = nn.recurrent(o):init { seed = 1 }
        found[n] = {}
        for _, walk in pairs(WALKS) do
          local given = walk()
          local y = net(x, nil, next(given) and given or nil)
          given.layers = "all"
          local again, last, layers = net(x, nil, given)
          assert.same_values(y, again, 0)
          assert.same({ "input", "forget", "output", "candidate" }, net.directions[1].named)
          table.insert(found[n], { last = last, layers = layers })
          assert.equal(way, (net:compiled()))
        end
      end
      for n, one in ipairs(found[1]) do
        for position, values in ipairs(one.layers) do
          local other = found[2][n].layers[position]
          assert.same_values(values.y, other.y, TOLERANCE)
          assert.same_values(values.y, values.states.h, 0)
          assert.equal("c h", names_of(values.states))
          assert.equal("candidate forget input output", names_of(values.gates))
          for _, kind in ipairs { "states", "gates" } do
            for name, tensor in pairs(values[kind]) do
              assert.same_values(tensor, other[kind][name], TOLERANCE)
            end
          end
          local s, g = values.states, values.gates
          assert.same_values(s.h, g.output * s.c:tanh(), TOLERANCE)
        end
      end
    end
  end)

  it("are steps of their equations", function()
    local net, x = nn.recurrent { I, H, cell = lstm_cell() }:init { seed = 1 }, random(2, T, B, I)
    local _, last, layers = net(x, nil, { layers = "all" })
    local s, g = layers[1].states, layers[1].gates
    assert.same_values(last[1][2], s.c[T], 0)
    assert.same_values(s.c[1], g.input[1] * g.candidate[1], TOLERANCE)
    assert.same_values(s.c:slice(1, 2), g.forget:slice(1, 2) * s.c:slice(1, 1, T - 1)
      + (g.input * g.candidate):slice(1, 2), TOLERANCE)
  end)

  it("are the layers whose functions are not fused, by the same names", function()
    for kind, more in pairs { lstm = {}, gru = { reset = "before" } } do
      local o = options_of({}, more)
      o.layers = 2
      local net, x = nn[kind](o):init { seed = 1 }, random(2, T, B, I)
      o.activation = "hard_tanh"
      local other = nn[kind](o):init { seed = 2 }
      local fused = select(3, net(x, nil, { layers = "all" }))
      local own = select(3, other(x, nil, { layers = "all" }))
      assert.equal(names_of(fused[1].gates), names_of(own[1].gates))
      assert.equal(names_of(fused[1].states), names_of(own[1].states))
      local g, s = own[2].gates, own[2].states
      if kind == "lstm" then
        assert.same_values(s.h, g.output * s.c:hard_tanh(), TOLERANCE)
      else
        assert.same_values(s.h[1], (1 - g.update[1]) * g.candidate[1], TOLERANCE)
      end
    end
  end)

  it("have states and named values of other shapes, and outputs of their own", function()
    local Fast = nn.cell("fast", { states = { { "m", 2, 3 }, "y" }, output = true }, function(p, x, m, before)
      local v = p:named("pair", p.v(x, 6):reshape(-1, 2, 3):tanh())
      local new = m * 0.5 + v
      return p.out(new:reshape(-1, 6) .. before, 5), new, before + p.y(x)
    end)
    local x, found = random(2, T, B, I), {}
    for n, way in ipairs { true, false } do
      local net = nn.recurrent { I, H, cell = Fast, compiled = way }:init { seed = 1 }
      local y, last, layers = net(x, nil, { layers = "all", lengths = { T, 2, 4 } })
      assert.equal(way, (net:compiled()))
      local values = layers[1]
      found[n] = values
      assert.same_values(y, values.y, 0)
      assert.same({ T, B, 2, 3 }, values.states.m:shape())
      assert.same({ T, B, 2, 3 }, values.gates.pair:shape())
      assert.same({ T, B, H }, values.states.y:shape())
      assert.same_values(last[1][1][1], values.states.m[T][1], 0)
      assert.same_values(last[1][1][2], values.states.m[2][2], 0)
      assert.same_values(values.states.m[2], values.states.m[1] * 0.5 + values.gates.pair[2], TOLERANCE)
      assert.equal(0, values.states.m:slice(1, 3):select(2, 2):abs():max():item())
    end
    assert.same_values(found[1].states.m, found[2].states.m, TOLERANCE)
    assert.same_values(found[1].gates.pair, found[2].gates.pair, TOLERANCE)
  end)

  it("have zoneout and dropout as in the pass", function()
    local net = nn.recurrent { I, H, cell = lstm_cell(), zoneout = { c = 0.5 }, recurrent_dropout = 0.5 }
    net:init { seed = 1 }
    local x, tape <close> = random(2, T, B, I), saros.tape()
    local _, last, layers = net(x, nil, { layers = "all" })
    local s, g = layers[1].states, layers[1].gates
    assert.same_values(last[1][2], s.c[T], 0)
    local new = g.forget[T] * s.c[T - 1] + g.input[T] * g.candidate[T]
    local is_old = (s.c[T] - s.c[T - 1]):abs():lt(1e-6)
    assert.equal(1, is_old:maximum((s.c[T] - new):abs():lt(1e-5)):min():item())
    tape:backward(s.c:sum())
  end)

  it("are compiled once for either use, also with tensors from outside", function()
    local scale = random(7, H)
    local net = nn.recurrent { I, H, cell = lstm_cell(function(_, o, new) return o * (new * scale):tanh() end) }
    net:init { seed = 1 }
    local x, made = random(2, T, B, I), net.directions[1].own.made
    local y = net(x)
    local plain = made[false].handle
    assert.same_values(y, (net(x, nil, { layers = "all" })), 0)
    local all = made[true].handle
    assert.is_truthy(plain and all)
    net(x)
    net(x, nil, { layers = "all" })
    assert.equal(plain, made[false].handle)
    assert.equal(all, made[true].handle)
  end)

  it("may be any module of one step, and say their states", function()
    local Sum = nn.module "sum"
    function Sum.forward(_, x, states)
      local h = x + states[1]
      return h * 2, { h }
    end
    local net = nn.recurrent { I, I, cell = function() return Sum.new() end }:init { seed = 1 }
    local x = random(2, T, B, I)
    local values = select(3, net(x, nil, { layers = "all" }))[1]
    assert.same_values(x:cumsum(1), values.states.h, TOLERANCE)
    assert.same_values(values.y, values.states.h * 2, 0)
    assert.same({}, values.gates)
  end)

  it("say their states after loading, not what they name", function()
    local vocabulary = saros.data.text({ string = ("abc"):rep(9) }, { valid = 0 }).vocabulary
    local lm = nn.language_model { vocabulary = vocabulary, cell = lstm_cell(), hidden = H, layers = 2, seed = 1 }
    local ids = saros.ids { { 1, 2 }, { 3, 1 }, { 2, 2 } }
    local expected = select(3, lm.recurrent(ids, nil, { layers = "all" }, lm.embedding))
    files.with_path(function(path)
      assert(lm:save(path))
      local other = assert(saros.load(path))
      local layers = select(3, other.recurrent(ids, nil, { layers = "all" }, other.embedding))
      for n, values in ipairs(layers) do
        assert.same_values(expected[n].states.c, values.states.c, TOLERANCE)
        assert.same_values(expected[n].states.h, values.states.h, TOLERANCE)
        assert.same({}, values.gates)
      end
    end)
  end)

  it("name values well", function()
    local function made(f)
      return function()
        nn.recurrent { I, H, cell = nn.cell("mine", {}, f) }
      end
    end
    for message, f in pairs {
      ['mine: expected a name such as "update" as argument 1 of p:named, got 3'] = function(p, x, h)
        return p:named(3, p.a(x .. h))
      end,
      ['mine: expected a tensor (B, ...) as argument 2 of p:named("z"), got nil'] = function(p, x, h)
        p:named "z"
        return p.a(x .. h)
      end,
      ['mine: expected p:named with different names, got "z" twice'] = function(p, x, h)
        return p:named("z", p:named("z", p.a(x .. h)))
      end,
    } do
      assert.error_matches(made(f), message, 1, true)
    end
  end)
end)
