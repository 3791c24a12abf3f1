-- Attention over the last steps, as a layer with a state.

require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = saros.info().real == "double" and 1e-12 or 2e-6

local B, F, W = 3, 4, 3

local function build(given)
  local o = { size = F, window = W, heads = 2 }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  local net = nn.windowed_attention(o):init { seed = 1 }
  saros.generator(2):fill_normal(net.distance)
  saros.generator(3):fill_normal(net.in_proj_bias)
  return net
end

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- One step of one row, from the list of the inputs that it sees, the last being its own.
local function naive_step(net, seen)
  local heads = net.o.heads
  local part, y = F // heads, {}
  local function project(x, which, head)
    local first = (which - 1) * F + (head - 1) * part + 1
    return net.in_proj_weight:slice(1, first, first + part - 1):matmul(x)
      + net.in_proj_bias:slice(1, first, first + part - 1)
  end
  for head = 1, heads do
    local q, scores, values = project(seen[#seen], 1, head), {}, {}
    for n, x in ipairs(seen) do
      scores[n] = (q * project(x, 2, head)):sum():item() / math.sqrt(part)
        + net.distance[head][net.o.window - #seen + n]
      values[n] = project(x, 3, head)
    end
    y[head] = saros.softmax(saros.tensor(scores)):matmul(saros.stack(values))
  end
  return net.out_proj(saros.concatenate(y, 1))
end

-- All steps, row by row: `first(t, row)` is the earliest step that may be seen.
local function naive(net, x, first)
  local steps = {}
  for t = 1, #x do
    local rows = {}
    for row = 1, x:size(2) do
      local seen = {}
      for s = math.max(t - net.o.window + 1, first(t, row)), t do
        seen[#seen + 1] = x[s][row]
      end
      rows[row] = naive_step(net, seen)
    end
    steps[t] = saros.stack(rows)
  end
  return saros.stack(steps)
end

local function from_the_beginning()
  return 1
end

local function same_state(expected, state)
  for n = 1, 2 do
    assert.same_values(expected[n], state[n], ROUNDING)
  end
end

describe("windowed attention", function()
  it("is what a loop over steps and rows computes, however long the sequence", function()
    for _, T in ipairs { 1, 2, 3, 4, 6, 8 } do
      for _, given in ipairs { {}, { heads = 1 }, { heads = 4 }, { window = 2 }, { window = 5 } } do
        local net, x = build(given), random(T, T, B, F)
        assert.same_values(naive(net, x, from_the_beginning), (net(x)), 4 * ROUNDING)
      end
    end
  end)

  it("gives the same in windows of any size as at once, step by step too", function()
    local net, x = build(), random(4, 11, B, F)
    local whole, last = net(x)
    for _, length in ipairs { 1, 2, 3, 5 } do
      local parts, state = {}, nil
      for first = 1, 11, length do
        parts[#parts + 1], state = net(x:slice(1, first, math.min(first + length - 1, 11)), state)
      end
      assert.same_values(whole, saros.concatenate(parts, 1), ROUNDING)
      same_state(last, state)
    end
  end)

  it("streams in constant memory", function()
    local net, state = build(), nil
    local generator, before = saros.generator(1), nil
    for t = 1, 400 do
      local _
      _, state = net(generator:normal { 1, 1, F }, state)
      if t % 200 == 0 then
        collectgarbage()
        collectgarbage()
        before = before or saros.memory().in_use
      end
    end
    assert.same({ { 1, (W - 1) * 2 * F }, { 1, W - 1 } }, { state[1]:shape(), state[2]:shape() })
    assert.is_true(saros.memory().in_use <= before)
  end)

  it("has the gradients that finite differences predict", function()
    local net = build()
    local inputs = net:tensors()
    inputs.x, inputs.before = random(5, 7, B, F), random(6, 2, B, F)
    local reset = saros.zeros(7, B)
    reset[4][2] = 1
    local weigh, weigh_state = random(7, 7, B, F), random(8, B, (W - 1) * 2 * F)
    for _, given in ipairs { {}, { lengths = { 7, 5, 1 } }, { reset = reset } } do
      assert.gradients_match(function(t)
        local _, state = net(t.before)
        local y, last = net(t.x, state, given)
        return (y * weigh):sum() + (last[1] * weigh_state):sum()
      end, inputs)
    end
  end)

  it("neither sees nor is changed by padding", function()
    local net, x, state = build(), random(9, 6, B, F), select(2, build()(random(10, 2, B, F)))
    local lengths = { 6, 2, 0 }
    local y, last = net(x, state, { lengths = lengths })
    for row, length in ipairs(lengths) do
      local own = nn.state.select(state, row)
      if length > 0 then
        local alone
        alone, own = net(x:slice(1, 1, length):slice(2, row, row), own)
        assert.same_values(alone, y:slice(1, 1, length):slice(2, row, row), ROUNDING)
      end
      same_state(own, last:select(row))
      assert.equal(0, length < 6 and y:slice(1, length + 1):select(2, row):abs():max():item() or 0)
    end
  end)

  it("starts rows again", function()
    local net, x = build(), random(11, 9, B, F)
    local reset = saros.zeros(9, B)
    reset[1][1], reset[5][2], reset[8][2], reset[9][3] = 1, 1, 1, 1
    local begins = { { [1] = 1 }, { [5] = 5, [8] = 8 }, { [9] = 9 } }
    local y, last = net(x, nil, { reset = reset })
    assert.same_values(naive(net, x, function(t, row)
      while not begins[row][t] and t > 1 do
        t = t - 1
      end
      return t
    end), y, 4 * ROUNDING)
    assert.same({ { 1, 1 }, { 1, 1 }, { 0, 1 } }, last[2]:totable())
    -- What is carried over is not seen behind a reset either.
    local _, state = net(x)
    local again = net(x, state, { reset = saros.concatenate({ saros.ones(1, B), saros.zeros(8, B) }, 1) })
    assert.same_values((net(x)), again, ROUNDING)
    local second = saros.zeros(9, B)
    second[1][2] = 1
    again = net(x, state, { reset = second })
    assert.same_values((net(x)):select(2, 2), again:select(2, 2), ROUNDING)
    assert.same_values((net(x, state)):select(2, 1), again:select(2, 1), ROUNDING)
  end)

  it("stands in a chain, and finds what was said under a key", function()
    local task = saros.data.tasks.recall { pairs = 6, keys = 8, values = 4 }
    local look = nn.windowed_attention { 16, 8, residual = true }
    local net = nn.chain { nn.linear { task.inputs, 16 }, look, nn.linear { 16, task.outputs } }
    local adam, score = saros.optim.adam(net:init({ seed = 1 }):parameters(), { lr = 1e-2 }), nil
    for batch in task:batches { batch = 64 } do
      local tape <close> = saros.tape()
      local outputs = net(batch.inputs):slice(1, -1)
      tape:backward(task:loss(outputs, batch.targets))
      adam:step()
      score = task:score(outputs, batch.targets)
      if adam.steps == 300 then
        break
      end
    end
    assert.is_true(score > 0.9, score)
  end)

  it("adds what it read where residual", function()
    local plain, residual, x = build(), build { residual = true }, random(12, 5, B, F)
    assert.same_values((plain(x)) + x, (residual(x)), ROUNDING)
    assert.equal("windowed attention 4, over 3 steps, 2 heads", tostring(plain))
  end)

  it("refuses what does not fit", function()
    local net, x = build(), saros.zeros(5, B, F)
    for message, act in pairs {
      ["nn.windowed_attention: expected heads that divide size = 4, got 3"] = function()
        nn.windowed_attention { F, W, heads = 3 }
      end,
      ["expected option 'window' to be an integer, 2 or more, got 1"] = function() nn.windowed_attention { F, 1 } end,
      ["windowed_attention: expected x of shape (T, B, 4), got a tensor (5, 4)"] = function()
        net(saros.zeros(5, 4))
      end,
      ["windowed_attention: expected lengths in 0..5, got 6 in row 2"] = function()
        net(x, nil, { lengths = { 5, 6, 5 } })
      end,
      ["windowed_attention: expected reset of shape (5, 3), got a tensor (3, 5)"] = function()
        net(x, nil, { reset = saros.zeros(3, 5) })
      end,
      ["windowed_attention: expected a mask of ones up to the end of each row, then zeros"] = function()
        net(x, nil, { mask = saros.tensor { { 1, 1, 0 }, { 1, 1, 1 }, { 1, 1, 1 }, { 1, 1, 1 }, { 1, 1, 1 } } })
      end,
      ["with a tensor (3, 16) at [1], got a tensor (3, 4)"] = function() net(x, { saros.zeros(3, 4) }) end,
      ["with a tensor (3, 2) at [2], got a table"] = function() net(x, { saros.zeros(3, 16) }) end,
    } do
      assert.error_matches(act, message, 1, true)
    end
  end)
end)

describe("a session of windowed attention", function()
  -- Sums are taken in another order, and over sequences in blocks.
  local BOUND = saros.info().real == "double" and 1e-12 or 4e-6

  -- The session's outputs for steps first..last of x (T, B, F).
  local function walk(session, x, first, last)
    local steps = {}
    for t = first, last do
      steps[#steps + 1] = session:step(x[t]):reshape(x:size(2), -1):clone()
    end
    return saros.stack(steps)
  end

  it("says what the module says of a sequence, before the window is full and long after", function()
    for _, given in ipairs {
      {}, { residual = true }, { window = 2, heads = 1 }, { window = 16, heads = 4 },
      { size = 24, window = 17, heads = 3, residual = true }, { size = 40, window = 40, heads = 2 },
    } do
      for _, streams in ipairs { 1, 5 } do
        local net = build(given)
        local x = random(20, 100, streams, net.o.size)
        assert.same_values((net(x)), walk(net:session { streams = streams }, x, 1, 100), BOUND)
      end
    end
  end)

  it("stands between other layers, and inside residual blocks", function()
    local model = nn.chain {
      nn.embedding { 7, 12 }, nn.windowed_attention { 12, 5, heads = 3, residual = true }, nn.gru { 12, 10 },
      nn.residual { nn.layer_norm { 10 }, nn.windowed_attention { 10, 4 }, saros.tanh }, nn.linear { 10, 7 },
    }:init { seed = 1 }
    local ids, generator = {}, saros.generator(21)
    for n = 1, 2 * 60 do
      ids[n] = generator:integer(7)
    end
    local x = saros.ids(ids):reshape(60, 2)
    assert.same_values((model(x)), walk(model:session { streams = 2 }, x, 1, 60),
      saros.info().real == "double" and 1e-10 or 1e-4) -- as the norm divides by a deviation
  end)

  it("starts rows again, each at its own time", function()
    local net, x = build { window = 4 }, random(22, 30, B, F)
    local reset, session = saros.zeros(30, B), net:session { streams = B }
    for row, times in ipairs { { 3, 20 }, { 2, 3, 4, 9 }, { 30 } } do
      for _, t in ipairs(times) do
        reset[t][row] = 1
      end
    end
    local y = net(x, nil, { reset = reset })
    for t = 1, 30 do
      for row = 1, B do
        if reset[t][row] == 1 then
          session:reset(row)
        end
      end
      assert.same_values(y[t], session:step(x[t]), BOUND)
    end
    assert.equal(net:session({ streams = B }):dump(), session:reset():dump())
  end)

  it("goes on from bytes and in forks, bit for bit, wherever it is in its ring", function()
    local net, x = build { window = 5 }, random(23, 40, B, F)
    for taken = 1, 14 do
      local session, other = net:session { streams = B }, net:session { streams = B }
      walk(session, x, 1, taken)
      session:reset(2)
      local bytes, fork = session:dump(), session:fork()
      walk(other, x, 20, 27)
      assert.equal(bytes, other:restore(bytes):dump())
      local y = walk(session, x, taken + 1, taken + 12)
      assert.same_values(y, walk(other, x, taken + 1, taken + 12), 0)
      assert.equal(bytes, fork:dump())
      assert.same_values(y, walk(fork, x, taken + 1, taken + 12), 0)
    end
  end)

  it("takes new weights and keeps what it remembers", function()
    local net, x = build(), random(24, 20, 1, F)
    local session = net:session()
    walk(session, x, 1, 9)
    net:init { seed = 5 }
    local twin = net:session():restore(session:dump())
    session:repack(net)
    assert.same_values(walk(twin, x, 10, 20), walk(session, x, 10, 20), 0)
    -- Windows and heads whose arrays lie in the same places are others all the same.
    for _, given in ipairs { { window = 4 }, { heads = 4 }, { residual = true } } do
      assert.error_matches(function() session:repack(build(given):init { seed = 1 }) end,
        "repack: expected the model that the session steps, got a windowed_attention that computes something else")
    end
  end)

  it("trusts no place in a ring that bytes tell", function()
    local pack = saros.info().real == "double" and "<d" or "<f"
    local net = build()
    local session = net:session()
    session:step { 1, 2, 3, 4 }
    local bytes = session:dump()
    local at = #bytes - (F + 1) * pack:packsize() -- before the output
    local function with(place)
      return bytes:sub(1, at) .. pack:pack(place) .. bytes:sub(at + pack:packsize() + 1)
    end
    assert.equal(bytes, with(1))
    for _, place in ipairs { -1, 0.5, 2 * W, 1e30, -1e30, 1 / 0, -1 / 0, 0 / 0 } do
      assert.error_matches(function() session:restore(with(place)) end,
        "restore: expected a place in 0..5 as state 2, got ", 1, true)
      assert.equal(bytes, session:dump())
    end
    for place = 0, 2 * W - 1 do
      session:restore(with(place)):step { 4, 3, 2, 1 }
    end
  end)

  it("forgets what is not a number with the step that it was in", function()
    local net = build { residual = true }
    local session, state = net:session(), nil
    for t, x in ipairs { 1, 0 / 0, 1 / 0, 2, 3, 4, 5 } do
      local y
      y, state = net(saros.full({ 1, 1, F }, x), state)
      local z = session:step { x, x, x, x }
      for n = 1, F do
        local expected = y[1][1][n]
        assert.is_true(expected ~= expected and z[n] ~= z[n] or math.abs(expected - z[n]) <= BOUND, t)
      end
    end
    assert.is_true(session:logits()[1] == session:logits()[1])
  end)
end)
