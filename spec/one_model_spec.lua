-- A model says the same wherever it is asked: called, by its own question, as a
-- session of one stream or three, as a learner that has learned nothing, and from
-- its file. What a kind cannot do, it refuses.

local folders = require "spec.support.folders"
local one_model = require "spec.support.one_model"
local saros = require "saros"
local nn, data, optim = saros.nn, saros.data, saros.optim

local is_double = saros.info().real == "double"
local models, texts, numbers = one_model.list, one_model.texts, one_model.numbers
local T, H, TOLERANCE = one_model.T, one_model.H, one_model.TOLERANCE
local disturbed, rows_of = one_model.disturbed, one_model.rows_of
local off, assert_same = one_model.off, one_model.assert_same

-- What a session, or the like, says at every step of some streams: (T, streams, O).
local function steps_of(session, sequences)
  local all = {}
  for t = 1, T do
    local x = {}
    for stream, sequence in ipairs(sequences) do
      x[stream] = sequence[t]
    end
    local y = session:step(#sequences == 1 and x[1] or x)
    all[t] = y:reshape(#sequences, -1):clone()
  end
  return saros.stack(all)
end

-- A model saved and loaded, from its file and from a run folder's.
local function reloaded(model)
  local folder = folders.unused()
  assert(os.execute("mkdir " .. folder))
  assert(model:save(folder .. "/model.safetensors"))
  local a = assert(saros.load(folder .. "/model.safetensors"))
  local b = assert(saros.load(folder))
  local c = assert(saros.load(saros.safetensors.read(folder .. "/model.safetensors")))
  folders.remove(folder)
  return { file = a, folder = b, tensors = c }
end

describe("one model", function()
  for _, entry in ipairs(models) do
    local model, sequences = entry.model, entry.sequences

    it("is asked what it says when called: " .. entry.name, function()
      local asked = 0
      for _, sequence in ipairs(sequences) do
        local y = entry.called(model, sequence)
        assert.same({ T }, { y:size(1) })
        for t = 1, entry.asked and T or 0 do
          local told = entry.asked(model, sequence, t)
          if told then
            assert_same(entry.answer(y[t]), told, "after " .. t)
            asked = asked + 1
          end
          if told and entry.written then
            assert.equal(entry.written(model, table.move(sequence, 1, t, 1, {}), y[t]))
          end
        end
      end
      assert.is_true(not entry.asked or asked > T, asked)
    end)

    it("is stepped as it is called, in one stream and in three: " .. entry.name, function()
      local three = steps_of(model:session { streams = 3 }, sequences)
      local session = model:session()
      for n, sequence in ipairs(sequences) do
        local y = entry.called(model, sequence)
        assert_same(y, three:select(2, n), "stream " .. n)
        assert_same(y, steps_of(session:reset(), { sequence }), "alone")
      end
      assert.equal(3, model:session({ streams = 3 }):streams())
    end)

    it("is a learner that says the same before it learns: " .. entry.name, function()
      if entry.labels and model.configuration.cell == "lru" then
        assert.error_matches(function() model:learner() end,
          "learner: expected a classifier of another cell than lru, whose states are not its outputs")
        return
      end
      local three = steps_of(model:learner { streams = 3, window = 4 * T }, sequences)
      for n, sequence in ipairs(sequences) do
        assert_same(entry.called(model, sequence), three:select(2, n), "stream " .. n)
      end
    end)

    it("comes back from its file: " .. entry.name, function()
      for way, loaded in pairs(reloaded(model)) do
        for _, sequence in ipairs(sequences) do
          local was, is = entry.called(model, sequence), entry.called(loaded, sequence)
          assert_same(was, is, way)
          assert.is_true(not entry.saves or off(was, is) == 0, way) -- the same module, or its program
        end
        assert_same(entry.called(model, sequences[1]), steps_of(loaded:session(), { sequences[1] }), way)
      end
    end)

    it("keeps its state as bytes and in forks: " .. entry.name, function()
      local session = model:session()
      session:step(sequences[1][1])
      local fork, bytes = session:fork(), session:dump()
      local expected = session:step(sequences[1][2]):clone()
      assert_same(expected, fork:step(sequences[1][2]), "a fork")
      assert_same(expected, session:restore(bytes):step(sequences[1][2]), "bytes")
    end)
  end
end)

describe("a classifier that is stepped", function()
  for _, entry in ipairs(models) do
    it("knows its labels: " .. entry.name, function()
      for n, sequence in ipairs(entry.label and entry.sequences or {}) do
        local model = entry.model
        local one, three = model:session(), model:session { streams = 3, weights = "real" }
        for t = 1, T do
          one:step(sequence[t])
          three:step { entry.sequences[1][t], entry.sequences[2][t], entry.sequences[3][t] }
          local expected = entry.label(model, sequence, t)
          assert.equal(expected, (one:label()))
          assert.equal(expected, three:label(n))
          assert.equal(expected, three:ranking(n)[1].label)
          assert_same(entry.asked(model, sequence, t), one:probabilities(), "probabilities")
          assert_same(entry.called(model, sequence)[t], one:logits(), "logits")
        end
      end
    end)
  end

  local numeric = nn.classifier { features = numbers.features, labels = numbers.labels, hidden = 8,
    bidirectional = false }
  local label = numbers.labels[2]

  it("is close in 16 and in 8 bits, in its own units", function()
    local rows = rows_of({ 100, -5000 }, 50)[1]
    for weights, bound in pairs { bf16 = 2e-2, int8 = 5e-2 } do
      local session, exact = numeric:session { weights = weights }, numeric:session()
      for t = 1, T do
        session:step(rows[t])
        exact:step(rows[t])
        assert.is_true(off(exact:probabilities(), session:probabilities()) < bound, weights)
      end
    end
  end)

  it("learns from names, ids, and lists of them", function()
    for _, target in ipairs { label, 2 } do
      local s = numeric:learner { window = 4, lr = 0.05 }
      local before = s:snapshot()
      local first, last
      for step = 1, 40 do
        local _, loss = s:learn({ 100, -5000 }, target)
        first, last = first or loss, step == 40 and loss
        s:reset()
      end
      for _ = 1, 40 do
        _, last = s:learn({ 101, -4990 }, target)
      end
      assert.is_true(last < first / 2, ("%g, then %g"):format(first, last))
      assert.equal(label, (s:label()))
      s:restore(before)
    end
    local two = numeric:learner { streams = 2, window = 2 }
    local _, loss = two:learn({ { 100, -5000 }, { 101, -5001 } }, { label, 1 })
    assert.is_number(loss)
    assert.is_nil(select(2, two:learn { { 100, -5000 }, { 101, -5001 } }))
  end)

  it("gives a learner the gradient of its loss", function()
    local rows = rows_of({ 100, -5000 }, 50)[1]
    local function build()
      return nn.classifier { features = numbers.features, labels = numbers.labels, hidden = 4, bidirectional = false,
        seed = 3 }
    end
    local own, twin = build(), build()
    local s = own:learner { window = T, optimizer = optim.sgd(own:parameters(), { lr = 1 }), clip = 1e9 }
    for t = 1, T do
      s:learn(rows[t], t == T and label or nil)
    end
    local x = twin.features:apply(saros.tensor(rows)):reshape(T, 1, -1)
    local tape <close> = saros.tape()
    tape:backward((twin:window_loss { inputs = x, labels = saros.ids { 2 } }))
    optim.sgd(twin:parameters(), { lr = 1 }):step()
    for n, parameter in ipairs(twin:parameters()) do
      assert.same_values(parameter, own:parameters()[n], is_double and 1e-12 or 1e-5)
    end
  end)

  it("refuses what it cannot read, and names it", function()
    local s, learner = numeric:session(), numeric:learner()
    for _, odd in ipairs { 0 / 0, 1 / 0, -1 / 0 } do
      assert.error_matches(function() s:step { 100, odd } end, "step: expected 2 finite numbers")
    end
    local set = data.labelled({ a = { saros.ones(2, 1) * 1e-30 }, b = { saros.zeros(2, 1) } }, { valid = 0 })
    local tiny = nn.classifier { features = set.features, labels = set.labels, bidirectional = false, hidden = 2 }
    assert.error_matches(function() tiny:session():step(is_double and 1e300 or 1e30) end,
      "step: expected values near those that the scale is of, got 1e%+30")
    assert.error_matches(function() s:step { 1 } end, "step: expected 2 finite numbers, got a table")
    assert.error_matches(function() s:learn({ 1, 2 }, label) end, "learn: expected a learner, got a session")
    assert.error_matches(function() s:snapshot() end, "snapshot: expected a learner, got a session")
    assert.error_matches(function() learner:dump() end, "dump: expected a session, got a learner")
    assert.error_matches(function() learner:fork() end, "fork: expected a session, got a learner")
    assert.error_matches(function() learner:learn({ 1, 2 }, "none") end,
      'learn: expected a label that the classifier has, got "none"')
    assert.error_matches(function() learner:learn({ 1, 2 }, 3) end, "learn: expected an id in 1..2, got 3")
    assert.error_matches(function() s:ranking(2) end, "ranking: expected a row in 1..1, got 2")
    assert.error_matches(function() numeric:learner { loss = "mse" } end,
      'learner: expected the loss of a classifier, "cross_entropy", got "mse"')
    assert.error_matches(function() numeric:learner(3) end, "learner: expected a table")
  end)

  it("is refused where it reads from both ends", function()
    for _, set in ipairs { texts, numbers } do
      local both = nn.classifier { vocabulary = set.vocabulary, features = set.features, labels = set.labels,
        hidden = 4 }
      for _, use in ipairs { "session", "learner", "program" } do
        assert.error_matches(function() both[use](both) end, use .. ": expected a classifier with bidirectional = "
          .. "false, got one that reads sequences from both ends; classify asks it about a whole one", 1, true)
      end
    end
  end)
end)

describe("an encoder-decoder", function()
  local pairs_ = data.pairs { { "abc", "ba" }, { "aab", "bb" }, { "ba", "cab" }, { "bb", "aa" } }

  for _, given in ipairs { { cell = "gru" }, { cell = "lstm", bidirectional = true, layers = 2 },
    { cell = "rnn", attention = false }, { cell = "lru", attention = "additive" } } do
    it("says the same called, asked and loaded, and is not stepped: " .. given.cell, function()
      given.source, given.target, given.hidden, given.dropout = pairs_.source, pairs_.target, H, 0.3
      local model = disturbed(nn.encoder_decoder(given))
      local found = model:translate("abc", { beam = 1, length_penalty = 0, max_length = 5 })[1]
      local batch = { sources = saros.ids(model.source:encode "abc"):reshape(-1, 1),
        targets = saros.ids(found.ids):reshape(-1, 1) }
      local sum, ends = 0, saros.log_softmax(model(batch):select(2, 1))
      for t, id in ipairs(found.ids) do
        sum = sum + ends[t][id]
      end
      sum = sum + ends[#found.ids + 1][model.boundary]
      assert.near(sum, found.log_probability, TOLERANCE * 10)
      for way, loaded in pairs(reloaded(model)) do
        assert.equal(found.log_probability,
          loaded:translate("abc", { beam = 1, length_penalty = 0, max_length = 5 })[1].log_probability, way)
      end
      for _, use in ipairs { model.session, model.learner } do
        assert.error_matches(function() use(model) end,
          "program: expected a module that computes step by step, got an encoder_decoder")
      end
    end)
  end
end)
