require "spec.support.gradients"
local values = require "spec.support.values"
local saros = require "saros"
local nn, data, optim = saros.nn, saros.data, saros.optim

local IS_DOUBLE = saros.info().real == "double"
local ROUNDING = IS_DOUBLE and 1e-12 or 1e-5

local function merged(a, b)
  local result = {}
  for _, given in ipairs { a, b or {} } do
    for key, value in pairs(given) do
      result[key] = value
    end
  end
  return result
end

local function build(given)
  return nn.encoder_decoder(merged({ source = 6, target = 5, hidden = 8, seed = 1 }, given))
end

local SOURCES = { { 1, 2, 3, 4 }, { 6 }, { 5, 5, 2 } }
local TARGETS = { { 2, 1 }, { 5, 4, 3 }, {} }

local function batch_of(sources, targets)
  local batch = {}
  batch.sources, batch.source_lengths = data.pad(sources)
  batch.targets, batch.target_lengths = data.pad(targets)
  return batch
end

local shapes = {
  ["rnn, dot"] = { attention = "dot" },
  ["rnn, no attention"] = { attention = false },
  ["lstm, additive, 2 layers"] = { cell = "lstm", attention = "additive", layers = 2 },
  ["gru, general, both ways, 2 layers"] = {
    cell = "gru", attention = "general", layers = 2, bidirectional = true,
  },
  ["lstm, no attention, both ways"] = { cell = "lstm", attention = false, bidirectional = true },
}

for name, shape in pairs(shapes) do
  describe(("an encoder-decoder (%s)"):format(name), function()
    it("gives the same for a batch as for its rows alone", function()
      local model = build(shape)
      local logits, weights = model(batch_of(SOURCES, TARGETS))
      assert.same({ 4, 3, 6 }, logits:shape())
      for row, target in ipairs(TARGETS) do
        local alone, alone_weights = model(batch_of({ SOURCES[row] }, { target }))
        local steps, length = #target + 1, #SOURCES[row]
        assert.same_values(alone:slice(1, 1, steps):select(2, 1),
          logits:slice(1, 1, steps):select(2, row), ROUNDING)
        if weights then
          assert.same_values(alone_weights:slice(1, 1, steps):select(2, 1),
            weights:slice(1, 1, steps):select(2, row):slice(2, 1, length), ROUNDING)
          assert.equal(0, weights:select(2, row):slice(2, length + 1):sum():item())
        end
      end
    end)

    it("has a loss that is the mean over the symbols of its rows, ends included", function()
      local model = build(shape)
      local total, count = 0, 0
      for row, target in ipairs(TARGETS) do
        total = total + model:loss(batch_of({ SOURCES[row] }, { target })):item() * (#target + 1)
        count = count + #target + 1
      end
      assert.near(total / count, model:loss(batch_of(SOURCES, TARGETS)):item(), 1e-5)
    end)

    it("never looks at the padding", function()
      local model = build(shape)
      local function run(filling)
        local batch = batch_of(SOURCES, TARGETS)
        for row, length in ipairs(batch.source_lengths) do
          for s = length + 1, 4 do
            batch.sources[s][row] = filling
          end
        end
        for row, length in ipairs(batch.target_lengths) do
          for t = length + 1, 3 do
            batch.targets[t][row] = filling
          end
        end
        model:clear_gradients()
        local tape <close> = saros.tape()
        local loss = model:loss(batch)
        tape:backward(loss)
        local gradients = {}
        for position, parameter in ipairs(model:parameters()) do
          gradients[position] = parameter:gradient()
        end
        return loss:item(), values.fingerprint(gradients)
      end
      local loss, gradients = run(1)
      local loss2, gradients2 = run(4)
      assert.equal(loss, loss2)
      assert.equal(gradients, gradients2)
    end)

    it("has the gradients that finite differences predict", function()
      local model, batch = build(merged(shape, { hidden = 4 })), batch_of(SOURCES, TARGETS)
      assert.gradients_match(function()
        return model:loss(batch)
      end, model:tensors(), { samples = 10 })
    end)

    it("learns a small batch by heart, and then translates it", function()
      local model, batch = build(merged(shape, { hidden = 16 })), batch_of(SOURCES, TARGETS)
      local adam, last = optim.adam(model:parameters(), { lr = 1e-2 }), nil
      for _ = 1, 200 do
        local tape <close> = saros.tape()
        local loss = model:loss(batch)
        tape:backward(loss)
        optim.clip_norm(model:parameters(), 1)
        adam:step()
        last = loss:item()
      end
      assert.is_true(last < 0.02, last)
      for row, source in ipairs(SOURCES) do
        local found = model:translate(source, { best = 3 })
        assert.same(TARGETS[row], found[1].ids)
        assert.is_true(found[1].score > found[2].score and found[2].score >= found[3].score)
        assert.is_nil(found[1].text)
        -- The log-probability is what teacher forcing gives.
        local nats = model:loss(batch_of({ source }, { TARGETS[row] })):item() * (#TARGETS[row] + 1)
        assert.near(-nats, found[1].log_probability, 1e-4)
      end
    end)

    it("comes back from a file as it was", function()
      local path = os.tmpname()
      local known = data.vocabulary.characters "abcdef"
      local model = nn.encoder_decoder(merged({ source = known, target = 4, hidden = 8, seed = 3 }, shape))
      assert(model:save(path))
      local loaded = assert(saros.load(path))
      os.remove(path)
      assert.equal(values.fingerprint(model:tensors()), values.fingerprint(loaded:tensors()))
      assert.equal(tostring(model), tostring(loaded))
      local found, again = model:translate("cafe")[1], loaded:translate("cafe")[1]
      assert.same(found.ids, again.ids)
      assert.equal(found.log_probability, again.log_probability)
      assert.equal(4, loaded.target)
    end)
  end)
end

describe("translation", function()
  local letters, digits = data.vocabulary.characters "abc", data.vocabulary.characters "123"
  local model = nn.encoder_decoder { source = letters, target = digits, hidden = 8, seed = 2 }

  it("takes and gives text where there are vocabularies", function()
    for _, translation in ipairs(model:translate("abca", { best = 3, max_length = 4 })) do
      assert.equal(#translation.text, #translation.ids)
      assert.is_true(#translation.ids <= 4)
      assert.same(digits:encode(translation.text), translation.ids)
      assert.is_true(translation.log_probability < 0)
      if #translation.ids > 0 then
        assert.same({ #translation.ids, 4 }, translation.weights:shape())
        assert.same_values(translation.weights, model:align("abca", translation.text), 0)
      end
    end
    assert.same(model:translate("ab")[1].ids, model:translate(letters:encode "ab")[1].ids)
  end)

  it("finds with a wide beam what is likeliest of all", function()
    local source, best = "bca", { log_probability = -math.huge }
    local function try(ids)
      local batch = batch_of({ letters:encode(source) }, { ids })
      local log_probability = -model:loss(batch):item() * (#ids + 1)
      if log_probability > best.log_probability then
        best = { ids = ids, log_probability = log_probability }
      end
      for id = 1, #ids < 3 and 3 or 0 do
        local longer = table.move(ids, 1, #ids, 1, {})
        longer[#longer + 1] = id
        try(longer)
      end
    end
    try {}
    local found = model:translate(source, { beam = 100, length_penalty = 0, max_length = 3 })[1]
    assert.same(best.ids, found.ids)
    assert.near(best.log_probability, found.log_probability, 1e-4)
  end)

  it("is greedy with a beam of 1", function()
    local memory = model:encode(saros.ids { { 1 }, { 3 }, { 2 } })
    local ids, last, state = {}, model.boundary, memory.state
    while #ids < 5 do
      local logits
      logits, state = model:decode(saros.ids { { last } }, state, memory)
      last = logits:argmax():item()
      if last == model.boundary then
        break
      end
      ids[#ids + 1] = last
    end
    assert.same(ids, model:translate("acb", { beam = 1, max_length = 5 })[1].ids)
  end)

  it("refuses what makes no sense", function()
    assert.error_matches(function() model:translate "" end, "expected a source, got an empty one")
    assert.error_matches(function() model:translate "abd" end, 'got "d"')
    assert.error_matches(function() model:translate(3) end, "translate: expected a text or a list of ids, got 3")
    assert.error_matches(function() model:translate("a", { best = 6 }) end, "at most beam = 5, got 6")
    assert.error_matches(function() model:translate("a", { width = 2 }) end, 'unknown option "width"')
  end)
end)

describe("an encoder-decoder", function()
  it("drops units only in training", function()
    local model, batch = build { dropout = 0.5, layers = 2 }, batch_of(SOURCES, TARGETS)
    local still = model:loss(batch):item()
    assert.equal(still, model:loss(batch):item())
    local _ <close> = saros.tape()
    assert.not_equal(still, model:loss(batch):item())
  end)

  it("starts from its seed", function()
    local first = values.fingerprint(build({ seed = 4 }):tensors())
    assert.equal(first, values.fingerprint(build({ seed = 4 }):tensors()))
    assert.not_equal(first, values.fingerprint(build({ seed = 5 }):tensors()))
  end)

  it("refuses options and batches that make no sense", function()
    assert.error_matches(function() nn.encoder_decoder { source = 3 } end, "expected option 'target'")
    assert.error_matches(function() build { source = "abc" } end, "a vocabulary or a number of symbols")
    assert.error_matches(function() build { attention = "hard" } end, '"additive" or false, got "hard"')
    assert.error_matches(function() build { bidirectional = true, hidden = 7 } end,
      "expected hidden to be a multiple of 2 for two directions of %w+, got 7")
    assert.error_matches(function() build { bidirectional = true, hidden = 6, cell = "lru" } end,
      "expected hidden to be a multiple of 4 for two directions of lru, got 6")
    local model = build()
    assert.error_matches(function() model:loss(3) end, "expected a batch { sources", 1, true)
    assert.error_matches(function() model:loss { sources = saros.ids { 1 } } end, "got other fields")
    -- The boundary is no symbol of the target.
    assert.error_matches(function() model:loss(batch_of({ { 1 } }, { { 6 } })) end, "ids in 1..5, got 6", 1, true)
    assert.error_matches(function() model:translate { 7 } end, "ids in 1..6, got 7 at position 1", 1, true)
    local batch = batch_of(SOURCES, TARGETS)
    batch.source_lengths = { 4, 0, 3 }
    assert.error_matches(function() model:loss(batch) end, "lengths in 1..4, got 0 in row 2", 1, true)
    batch = batch_of(SOURCES, TARGETS)
    batch.target_lengths = { 2, 4, 0 }
    assert.error_matches(function() model:loss(batch) end, "lengths in 0..3, got 4 in row 2", 1, true)
    batch.targets = saros.ids { { 1, 2 } }
    assert.error_matches(function() model(batch) end, "expected targets for 3 sources, got 2")
  end)
end)
