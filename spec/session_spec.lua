-- A session does in a step what the model does without a tape, and makes nothing
-- while it does.

local saros = require "saros"
require "spec.support.values"
local commands = require "spec.support.commands"
local cells = require "saros.nn.cells"
local nn, data = saros.nn, saros.data

local is_double = saros.info().real == "double"

-- Sums are taken in another order. A norm of values that hardly differ makes
-- more of that: it divides by their deviation.
local TOLERANCE = is_double and 1e-12 or 1e-6
local NORM_TOLERANCE = is_double and 1e-10 or 5e-3

local STEPS = 1000

-- The cells but the LRU, which remembers the roundings of many steps.
local short = {}
for _, cell in ipairs(require "saros.nn.cells.list") do
  short[#short + 1] = cell ~= "lru" and cell or nil
end

local function features(generator, T, B, I)
  return generator:normal { T, B, I }
end

local function symbols(generator, T, B, V)
  local ids = {}
  for n = 1, T * B do
    ids[n] = generator:integer(V)
  end
  return saros.ids(ids):reshape(T, B)
end

-- The largest difference between a model and its session over so many steps,
-- relative to values above 1.
local function difference(model, draw, B, size, steps)
  local x, session = draw(saros.generator(3), steps, B, size), model:session { streams = B }
  local expected = model(x)
  local y = saros.zeros(table.unpack(expected:shape()))
  for t = 1, steps do
    y[t] = session:step(x[t])
  end
  return ((y - expected):abs() / expected:abs():maximum(1)):max():item()
end

local function assert_agrees(model, draw, B, size, tolerance)
  local off = difference(model:init { seed = 1 }, draw, B, size, STEPS)
  assert.is_true(off <= tolerance, ("%s: %g off"):format(model:describe(), off))
end

describe("a session agrees with its model", function()
  local I, H = 3, 21
  local cases = {
    ["tanh"] = nn.rnn { I, H },
    ["ReLU"] = nn.rnn { I, H, activation = "relu" },
    ["LSTM"] = nn.lstm { I, H },
    ["GRU"] = nn.gru { I, H },
    ["GRU that resets before the product"] = nn.gru { I, H, reset = "before" },
    ["LSTM with peepholes"] = nn.lstm { I, H, peepholes = true },
    ["LSTM with a projection"] = nn.lstm { I, H, projection = 9, layers = 2 },
    ["LSTM with peepholes and a projection"] = nn.lstm { I, H, projection = 5, peepholes = true },
    ["tanh without biases"] = nn.rnn { I, H, bias = false },
    ["LSTM without biases"] = nn.lstm { I, H, bias = false },
    ["GRU without biases"] = nn.gru { I, H, bias = false },
    ["LSTM with zoneout"] = nn.lstm { I, H, zoneout = 0.1, zoneout_cell = 0.3, peepholes = true, projection = 7 },
    ["GRU with zoneout"] = nn.gru { I, H, zoneout = 0.2 },
    ["GRU that resets before, with zoneout"] = nn.gru { I, H, reset = "before", zoneout = 0.2 },
    ["tanh with zoneout"] = nn.rnn { I, H, zoneout = 0.2 },
    ["residual layers"] = nn.lstm { I, H, layers = 3, residual = true },
    ["dropout of every kind"] = nn.gru { I, H, layers = 2, dropout = 0.5, variational = true, recurrent_dropout = 0.5 },
    ["LSTM of one unit"] = nn.lstm { I, 1 },
    ["GRU of 64 units"] = nn.gru { I, 64 },
    ["update gate"] = nn.ugrnn { I, H, layers = 2, zoneout = 0.2 },
    ["minGRU"] = nn.mingru { I, H, layers = 2, residual = true },
    ["positive minGRU, with zoneout"] = nn.mingru { I, H, candidate = "positive", zoneout = 0.2, bias = false },
    ["minLSTM"] = nn.minlstm { I, H, layers = 2, dropout = 0.5 },
    ["positive minLSTM"] = nn.minlstm { I, H, candidate = "positive", remember = 20 },
    ["attention over past steps"] = nn.chain { nn.linear { I, H }, nn.windowed_attention { H, 9, heads = 3 } },
  }
  for name, model in pairs(cases) do
    for _, B in ipairs { 1, 5 } do
      it(("over 1,000 steps of %d: %s"):format(B, name), function()
        assert_agrees(model, features, B, I, TOLERANCE)
      end)
    end
  end

  local normed = {
    ["tanh"] = nn.rnn { I, H, layer_norm = true },
    ["LSTM"] = nn.lstm { I, H, layer_norm = true, layers = 2 },
    ["GRU"] = nn.gru { I, H, layer_norm = true, zoneout = 0.1 },
    ["update gate"] = nn.ugrnn { I, H, layer_norm = true },
    ["minGRU"] = nn.mingru { I, H, layer_norm = true },
  }
  for name, model in pairs(normed) do
    it("over 1,000 steps, with layer norm: " .. name, function()
      assert_agrees(model, features, 3, I, NORM_TOLERANCE)
    end)
  end

  it("over 1,000 steps, where units remember the roundings of many: LRU", function()
    local tolerance = is_double and TOLERANCE or 1e-5
    for _, B in ipairs { 1, 5 } do
      assert_agrees(nn.lru { I, H, layers = 3, units = 7, zoneout = 0.1 }, features, B, I, tolerance)
      assert_agrees(nn.lru { I, H, layers = 2, residual = true }, features, B, I, tolerance)
    end
  end)

  it("where symbols are embedded", function()
    local V = 11
    for _, cell in ipairs(short) do
      local layer = nn[cell]
      local plain = nn.chain { nn.embedding { V, 6 }, layer { 6, H }, nn.linear { H, V } }
      local residual = nn.chain { nn.embedding { V, H }, layer { H, H, residual = true }, nn.linear { H, 2 } }
      assert_agrees(plain, symbols, 1, V, TOLERANCE)
      assert_agrees(plain, symbols, 5, V, TOLERANCE)
      assert_agrees(residual, symbols, 1, V, cell == "mlstm" and 4 * TOLERANCE or TOLERANCE) -- a quotient
      if not cells[cell].maker and cell ~= "delta" and cell ~= "mlstm" then
        local normal = nn.chain { nn.embedding { V, 6 }, layer { 6, H, layer_norm = true } }
        assert_agrees(normal, symbols, 2, V, NORM_TOLERANCE)
      end
    end
    local of_sums = is_double and TOLERANCE or 5e-6 -- units add up roundings of several steps
    for _, E in ipairs { 6, H } do -- folded into the layer's table, and needed beside it
      local lru = nn.chain { nn.embedding { V, E }, nn.lru { E, H, residual = true, r_max = 0.5 } }
      assert_agrees(lru, symbols, 1, V, of_sums)
      assert_agrees(lru, symbols, 3, V, of_sums)
    end
    assert_agrees(nn.chain { nn.embedding { V, 70 }, nn.linear { 70, 3 } }, symbols, 2, V, TOLERANCE)
    local own = nn.recurrent { 6, H, cell = nn.cell("mix", { states = { "h" } }, function(p, x, h)
      local z = saros.sigmoid(p.z(x) + p.u(h))
      return z * h + (1 - z) * saros.tanh(p.n(x) + p.v(z * h))
    end) }
    assert_agrees(nn.chain { nn.embedding { V, 6 }, own }, symbols, 1, V, TOLERANCE) -- both products of x are a table
    assert_agrees(nn.chain { nn.embedding { V, 6 }, own }, symbols, 3, V, TOLERANCE)
  end)

  it("in chains with norms, functions and dropout", function()
    local model = nn.chain {
      nn.linear { I, 30 }, saros.relu, nn.layer_norm { 30 }, nn.dropout { 0.5 }, nn.gru { 30, H },
      nn.linear { H, 70, bias = false }, saros.tanh, nn.chain { nn.linear { 70, 2 }, saros.sigmoid },
    }
    assert_agrees(model, features, 1, I, TOLERANCE)
    assert_agrees(model, features, 7, I, TOLERANCE)
  end)

  it("in residual blocks, one inside the other", function()
    local model = nn.chain {
      nn.linear { I, H },
      nn.residual { nn.layer_norm { H }, nn.mingru { H, 9 }, nn.residual { saros.tanh }, nn.linear { 9, H } },
      nn.residual { nn.lru { H, H, residual = true, r_max = 0.5 } },
    }
    assert_agrees(model, features, 1, I, NORM_TOLERANCE)
    assert_agrees(model, features, 3, I, NORM_TOLERANCE)
    local V = 11
    assert_agrees(nn.chain { nn.embedding { V, H }, nn.residual { nn.gru { H, H } } }, symbols, 2, V, TOLERANCE)
  end)

  it("from learned first states, to which it returns", function()
    local generator = saros.generator(1)
    for _, cell in ipairs(short) do
      local model = nn[cell] { I, H, layers = 2, learn_state = true }:init { seed = 1 }
      for position, parameter in ipairs(model:parameters()) do
        if model:parameters().names[position]:find "initial" then
          generator:fill_normal(parameter)
        end
      end
      local x = generator:normal { 1, 2, I }
      local session = model:session { streams = 2 }
      for _ = 1, 3 do
        assert.same_values(model(x):reshape(2, H), session:step(x:reshape(2, I)), TOLERANCE)
        session:reset()
      end
    end
  end)

  it("with a language model and its tied, deep or normed variants", function()
    local text = data.text({ string = ("the quick brown fox "):rep(10) }, { valid = 0 })
    for _, given in ipairs {
      { tie = true }, { head = { 9, 8 } }, { layer_norm = true, dropout = 0.5, residual = true, zoneout = 0.1 },
    } do
      given.vocabulary, given.hidden, given.cell = text.vocabulary, 17, "lstm"
      local lm = nn.language_model(given)
      local tolerance = given.layer_norm and NORM_TOLERANCE or TOLERANCE
      local off = difference(lm, symbols, 1, #text.vocabulary, 100)
      assert.is_true(off <= tolerance, off)
    end
  end)

  it("on every instruction set", function()
    for _, isa in ipairs(saros.info().isas) do
      assert(commands.run_with("SAROS_ISA=" .. isa, "spec/support/session_agrees.lua") == "agrees\n", isa)
    end
  end)

  it("about inputs that are not finite", function()
    for _, cell in ipairs(short) do
      local model = nn.chain { nn[cell] { 2, 5 }, nn.linear { 5, 3 } }:init { seed = 1 }
      for _, odd in ipairs { 0 / 0, 1 / 0, -1 / 0, 1e30 } do
        local session, state = model:session(), nil
        for _, x in ipairs { { 0.5, odd }, { odd, 1 }, { 0.5, 0.5 } } do
          local y
          y, state = model(saros.tensor { { x } }, state)
          local z = session:step(x)
          for n, expected in ipairs(y:reshape(-1):totable()) do
            local off = expected == z[n] and 0 or math.abs(expected - z[n]) / math.max(1, math.abs(expected))
            local tolerance = odd == 1e30 and 1e-3 or TOLERANCE -- large terms of both signs
            assert.is_true(expected ~= expected and z[n] ~= z[n] or off <= tolerance)
          end
        end
      end
    end
  end)
end)

describe("a session", function()
  local function model()
    return nn.chain { nn.embedding { 7, 4 }, nn.lstm { 4, 10 }, nn.linear { 10, 7 } }:init { seed = 2 }
  end

  local function walk(session, ids)
    for _, id in ipairs(ids) do
      session:step(id)
    end
    return session:logits():clone()
  end

  it("returns the same tensor each time, and from logits", function()
    local session = model():session()
    local y = session:step(1)
    local first = y:clone()
    assert.equal(y, session:step(2))
    assert.equal(y, session:logits())
    assert.same({ 7 }, y:shape())
    assert.is_true((y - first):abs():max():item() > 0)
  end)

  it("keeps what its weights were when it was made", function()
    local source = model()
    local session, twin = source:session(), source:session()
    for _, parameter in ipairs(source:parameters()) do
      parameter:fill(0)
    end
    assert.same_values(walk(twin, { 1, 2, 3 }), walk(session, { 1, 2, 3 }), 0)
    assert.is_true(session:logits():abs():max():item() > 0)
  end)

  it("takes the weights as they are now, and keeps its state", function()
    local source = model()
    local session, twin = source:session(), source:session()
    walk(session, { 1, 2, 3 })
    local fork = session:fork()
    saros.generator(3):fill_normal(source:parameters()[2])
    assert.equal(session, session:repack(source))
    twin:restore(session:dump())
    twin:repack(source)
    assert.same_values(source:session():restore(fork:dump()):step(4), session:step(4), 0)
    assert.same_values(session:logits(), twin:step(4), 0)
    assert.is_true((fork:step(4) - session:logits()):abs():max():item() > 0)
    local before = session:dump()
    assert.error_matches(function() session:repack(nn.linear({ 7, 4 }):init { seed = 1 }) end,
      "repack: expected the model that the session steps, got a linear that computes something else")
    local wider = nn.chain { nn.embedding { 7, 4 }, nn.lstm { 4, 11 }, nn.linear { 11, 7 } }
    assert.error_matches(function() session:repack(wider:init { seed = 1 }) end, "got a chain that computes")
    assert.error_matches(function() session:repack {} end, "repack: expected a model as argument 1, got a table")
    assert.error_matches(function() session:repack(3) end, "repack: expected a model as argument 1, got 3")
    assert.equal(before, session:dump())
  end)

  it("steps its streams as if each were alone, to the last bits", function()
    local together = model():session { streams = 3 }
    for row = 1, 3 do
      local alone = model():session()
      together:reset()
      for t = 1, 20 do
        local ids = { t % 7 + 1, (t * 3) % 7 + 1, (t * t) % 7 + 1 }
        together:step(ids)
        alone:step(ids[row])
      end
      assert.same_values(alone:logits(), together:logits()[row], TOLERANCE)
    end
  end)

  it("starts again, all of it or one stream", function()
    local session = model():session { streams = 2 }
    local first = session:step({ 3, 3 }):clone()
    session:step { 1, 2 }
    assert.equal(session, session:reset())
    assert.same_values(saros.zeros(2, 7), session:logits(), 0)
    assert.same_values(first, session:step { 3, 3 }, 0)
    session:reset(2)
    local y = session:step { 3, 3 }
    assert.same_values(first[2], y[2], 0)
    assert.is_true((first[1] - y[1]):abs():max():item() > 0)
  end)

  it("goes on from bytes, bit for bit", function()
    local session = model():session { streams = 2 }
    session:step { 1, 2 }
    session:step { 3, 4 }
    local bytes, logits = session:dump(), session:logits():clone()
    local expected = session:step({ 5, 6 }):clone()
    assert.equal(session, session:restore(bytes))
    assert.same_values(logits, session:logits(), 0)
    assert.same_values(expected, session:step { 5, 6 }, 0)
    local other = model():session { streams = 2 }
    assert.same_values(expected, other:restore(bytes):step { 5, 6 }, 0)
    assert.equal(bytes, other:restore(bytes):dump())
  end)

  it("refuses bytes that are not its own, and is then as it was", function()
    local session = model():session()
    walk(session, { 1, 2 })
    local bytes = session:dump()
    local bigger = nn.chain { nn.embedding { 7, 4 }, nn.lstm { 4, 11 }, nn.linear { 11, 7 } }:init { seed = 1 }
    local function refuses(wrong, message)
      assert.error_matches(function() session:restore(wrong) end, "restore: expected " .. message)
      assert.equal(bytes, session:dump())
    end
    refuses("", "the dump of a session, got 0 bytes")
    refuses(("x"):rep(#bytes), "the dump of a session")
    refuses(bytes:sub(1, 8) .. "\2" .. bytes:sub(10), "a dump with 1 as its version, got 2")
    refuses(bytes:sub(1, -2), ("a dump of %d bytes, got %d"):format(#bytes, #bytes - 1))
    refuses(bytes .. "x", "a dump of")
    refuses(model():session({ streams = 2 }):dump(), "a dump with 1 as its streams, got 2")
    refuses(bigger:session():dump(), "a dump of")
    assert.error_matches(function() session:restore(3) end, "expected the string that dump returned")
  end)

  it("has forks that go their own way", function()
    local session = model():session()
    walk(session, { 1, 2 })
    local fork = session:fork()
    assert.same_values(session:logits(), fork:logits(), 0)
    local before = session:dump()
    walk(fork, { 4, 5 })
    assert.equal(before, session:dump())
    assert.same_values(walk(session, { 4, 5 }), fork:logits(), 0)
    local _ <close> = session
    collectgarbage()
    walk(fork, { 1, 2, 3 })
  end)

  it("takes lists, tensors and single values", function()
    local one = nn.rnn { 1, 4 }:init { seed = 1 }
    local expected = one:session():step({ 0.5 }):clone()
    assert.same_values(expected, one:session():step(0.5), 0)
    assert.same_values(expected, one:session():step { { 0.5 } }, 0)
    assert.same_values(expected, one:session():step(saros.tensor { 0.5 }), 0)
    assert.same_values(expected, one:session():step(saros.full({ 1, 1 }, 0.5)), 0)
    assert.same_values(expected, one:session({ streams = 3 }):step({ 0, 0, 0.5 })[3], 0)
    local two = nn.rnn { 2, 4 }:init { seed = 1 }
    expected = two:session({ streams = 2 }):step({ { 1, 2 }, { 3, 4 } }):clone()
    assert.same_values(expected, two:session({ streams = 2 }):step(saros.tensor { { 1, 2 }, { 3, 4 } }), 0)
    local columns = saros.tensor { { 1, 3 }, { 2, 4 } }
    assert.same_values(expected, two:session({ streams = 2 }):step(columns:transpose()), 0)
    local ids = saros.ids { 3 }
    assert.same_values(model():session():step(3):clone(), model():session():step(ids), 0)
  end)

  it("says what it takes", function()
    local two = nn.rnn { 2, 4 }:init { seed = 1 }
    local ids, one, rows = model():session(), two:session(), two:session { streams = 2 }
    local function refuses(session, x, message)
      local before = session:dump()
      assert.error_matches(function() session:step(x) end, "step: expected " .. message)
      assert.equal(before, session:dump())
    end
    refuses(ids, 0, "an id in 1..7 as argument 1, got 0")
    refuses(ids, 8, "an id in 1..7 as argument 1, got 8")
    refuses(ids, math.mininteger, "an id in 1..7 as argument 1, got %-9223372036854775808")
    refuses(ids, math.maxinteger, "an id in 1..7 as argument 1, got 9223372036854775807")
    refuses(ids, 1.5, "an id in 1..7 as argument 1, got 1.5")
    refuses(ids, "1", "an id in 1..7")
    refuses(ids, nil, "an id in 1..7")
    refuses(ids, { 1, 2 }, "an id in 1..7")
    refuses(ids, saros.zeros(1), "an id in 1..7 as argument 1, got a tensor %(1%)")
    refuses(one, 1, "2 numbers as argument 1, got 1")
    refuses(one, { 1 }, "2 numbers")
    refuses(one, { 1, 2, 3 }, "2 numbers")
    refuses(one, { 1, "2" }, '2 numbers, got "2" at %[2%]')
    refuses(one, { 1, nil, 3 }, "2 numbers, got nil at %[2%]")
    refuses(one, {}, "2 numbers")
    refuses(one, { { 1, 2 }, { 3, 4 } }, "2 numbers")
    refuses(one, saros.ids { 1, 2 }, "2 numbers as argument 1, got ids %(2%)")
    refuses(rows, { 1, 2, 3, 4 }, "numbers of shape %(2, 2%)")
    refuses(rows, { { 1, 2 } }, "numbers of shape %(2, 2%)")
    refuses(rows, { { 1, 2 }, { 3 } }, "numbers of shape %(2, 2%)")
    refuses(rows, { { 1, 2 }, 3 }, "numbers of shape %(2, 2%)")
    refuses(rows, { { 1, 2 }, nil, 3 }, "numbers of shape %(2, 2%), got nil at %[2%]")
    refuses(rows, { { 1, 2 }, { 3, false } }, "numbers of shape %(2, 2%), got false at %[2%]%[2%]")
    refuses(rows, { { 1, 2 }, { 3, { 4 } } }, "numbers of shape %(2, 2%) as argument 1, got a table")
    refuses(model():session { streams = 3 }, { 1, nil, 3 }, "3 ids in 1..7, got nil at %[2%]")
    refuses(model():session { streams = 3 }, { 1, 2, 8 }, "3 ids in 1..7, got 8 at %[3%]")
    refuses(rows, saros.zeros(4), "numbers of shape %(2, 2%) as argument 1, got a tensor %(4%)")
    assert.error_matches(function() rows:reset(3) end, "reset: expected a row in 1..2 as argument 1, got 3")
    assert.error_matches(function() nn.chain({ nn.dropout { 0.5 } }):init({ seed = 1 }):session() end,
      "program: expected a module that says what it reads")
    assert.equal("session (7 symbols -> 7, 1 stream)", tostring(ids))
    assert.equal("session (2 features -> 4, 2 streams)", tostring(rows))
  end)

  it("is refused where a model cannot step", function()
    local function refuses(source, message, given)
      assert.error_matches(function() source:session(given) end, "session: " .. message)
    end
    refuses(nn.lstm { 2, 3, bidirectional = true }:init { seed = 1 }, "expected layers of one direction")
    refuses(nn.linear { 2, 3 }, "expected a model with initialized parameters")
    refuses(model(), "unknown option \"stream\"", { stream = 1 })
    refuses(model(), "expected option 'weights' to be \"real\"", { weights = "int4" })
  end)

  it("is not written to while a tape needs what it returned", function()
    local w = saros.ones(7):trainable(true)
    local session = model():session()
    local tape <close> = saros.tape()
    local loss = (session:step(1) * w):sum()
    assert.error_matches(function() session:step(2) end, "step: ")
    tape:backward(loss)
    session:step(2)
  end)
end)

describe("sampling from a session", function()
  local model = nn.chain { nn.embedding { 30, 8 }, nn.gru { 8, 16 }, nn.linear { 16, 30 } }:init { seed = 3 }

  it("chooses as a sampler does from the same logits", function()
    for _, given in ipairs {
      {}, { temperature = 0.5 }, { temperature = 0 }, { top_k = 5 }, { top_p = 0.5 }, { top_k = 1 },
      { top_k = 9, top_p = 0.2, temperature = 2 }, { top_k = 100 }, { top_p = 1 },
      { temperature = 1e-3 }, { temperature = 1e-37, top_k = 3 }, { temperature = 1e-40 },
      { temperature = 1e-300, top_p = 0.9 },
      { temperature = 1e38 }, { temperature = 1e300, top_k = 7 }, { top_p = 1e-300 },
    } do
      local session, generator = model:session(), saros.generator(4)
      given.generator = saros.generator(4)
      local sampler = saros.sampler(given)
      given.generator = nil
      for t = 1, 200 do
        local logits = session:step(t % 30 + 1)
        assert.equal(sampler(logits), session:sample(generator, given))
      end
    end
  end)

  it("gives ids for several streams, which a step takes", function()
    local session, generator = model:session { streams = 4 }, saros.generator(1)
    session:step { 1, 2, 3, 4 }
    for _ = 1, 5 do
      session:step(session:sample(generator))
    end
    local ids = session:sample(nil, { temperature = 0 })
    assert.same(session:logits():argmax(2):totable(), ids:totable())
    assert.equal(ids, session:sample(generator))
  end)

  it("never takes an id with a logit of -inf", function()
    local head = nn.linear({ 1, 4 }):init { seed = 1 }
    head.weight:fill(0)
    head.bias:fill(0)
    head.bias[1], head.bias[3] = -math.huge, -math.huge
    local session, generator, seen = head:session(), saros.generator(1), {}
    session:step(1)
    for _, given in ipairs { {}, { temperature = 1e300 }, { temperature = 1e-37 }, { top_k = 4 }, { top_p = 1 } } do
      for _ = 1, 50 do
        seen[session:sample(generator, given)] = true
      end
    end
    assert.same({ [2] = true, [4] = true }, seen)
  end)

  it("has probabilities", function()
    local session = model:session()
    session:step(1)
    local p = session:probabilities()
    assert.same_values(saros.softmax(session:logits()), p, 0)
    session:step(2)
    assert.equal(p, session:probabilities())
  end)

  it("refuses what makes no sense", function()
    local session, generator = model:session(), saros.generator(1)
    local function refuses(message, ...)
      local arguments = table.pack(...)
      assert.error_matches(function()
        session:sample(table.unpack(arguments, 1, arguments.n))
      end, "sample: expected " .. message)
    end
    refuses("a generator", nil)
    refuses("a temperature >= 0, got %-1", generator, { temperature = -1 })
    for _, wrong in ipairs { 0 / 0, math.huge, -1e-300 } do
      refuses("a temperature >= 0", generator, { temperature = wrong })
    end
    refuses("top_p in 0..1", generator, { top_p = 0 / 0 })
    refuses("top_p in 0..1", generator, { top_p = 1.5 })
    refuses("a size >= 1 in the field 'top_k', got 1.5", generator, { top_k = 1.5 })
    refuses("only the fields", generator, { topk = 1 })
    local nan = nn.linear { 1, 3 }:init { seed = 1 }:session()
    nan:step(0 / 0)
    assert.error_matches(function() nan:sample(generator) end, "sample: expected finite logits, got others in row 1")
  end)
end)

describe("the memory of a session", function()
  local model = nn.chain { nn.embedding { 30, 8 }, nn.lstm { 8, 16 }, nn.linear { 16, 30 } }:init { seed = 3 }

  it("stays the same over 100,000 steps, and so does Lua's", function()
    local session, generator = model:session(), saros.generator(1)
    local sampling = { temperature = 0.8, top_k = 10 }
    local list, x = { 0.5 }, saros.tensor { 0.5 }
    local numbers = nn.chain { nn.rnn { 1, 4 }, nn.windowed_attention { 4, 3 } }:init({ seed = 1 }):session()
    local function step()
      session:step(session:sample(generator, sampling))
      numbers:step(list)
      numbers:step(0.25)
      return session:probabilities(), numbers:step(x)
    end
    collectgarbage()
    collectgarbage "stop"
    step() -- Lua's stack grows once
    local before = saros.memory()
    local kilobytes = collectgarbage "count"
    for _ = 1, 100000 do
      step()
    end
    local after = collectgarbage "count"
    collectgarbage "restart"
    assert.equal(kilobytes, after)
    assert.same(before, saros.memory())
  end)

  it("is given back when it is closed", function()
    collectgarbage()
    local before = saros.memory().in_use
    do
      local session <close> = model:session()
      local fork <close> = session:fork()
      assert.is_true(saros.memory().in_use > before)
      session:step(1)
      fork:step(1)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, saros.memory().in_use)
  end)
end)
