local saros = require "saros"
local characters = require "saros.generate.characters"
local nn, data = saros.nn, saros.data

local function collect(iterator)
  local pieces = {}
  for piece in iterator do
    pieces[#pieces + 1] = piece
  end
  return table.concat(pieces), pieces
end

-- A model that knows one sentence by heart.
local function parrot(sentence, unit)
  local text = data.text({ string = sentence:rep(20) }, { unit = unit, valid = 0 })
  local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 32, layers = 1, seed = 1 }
  saros.fit(lm, text, { epochs = 40, batch = 4, length = 15, lr = 1e-2 })
  return lm
end

local function untrained(symbols, seed)
  return nn.language_model {
    vocabulary = data.vocabulary.characters(symbols),
    hidden = 8,
    layers = 1,
    seed = seed or 1,
  }
end

describe("a sampler", function()
  local logits = saros.log(saros.tensor { 0.1, 0.5, 0.15, 0.25 })

  -- How often each id comes up in 2000 draws.
  local function frequencies(given)
    local sample, counts = saros.sampler(given), { 0, 0, 0, 0 }
    for _ = 1, 2000 do
      local id = sample(logits)
      counts[id] = counts[id] + 1 / 2000
    end
    return counts
  end

  local function assert_near(expected, counts)
    for id, probability in ipairs(expected) do
      assert.near(probability, counts[id], 0.04)
    end
  end

  it("draws by probability", function()
    assert_near({ 0.1, 0.5, 0.15, 0.25 }, frequencies { seed = 1 })
  end)

  it("grows bolder as the temperature falls, and always takes the likeliest at 0", function()
    assert_near({ 0.029, 0.725, 0.065, 0.181 }, frequencies { temperature = 0.5 })
    assert_near({ 0, 1, 0, 0 }, frequencies { temperature = 0 })
  end)

  it("always takes the likeliest at a temperature that is next to 0", function()
    for _, rest in ipairs { {}, { top_k = 3 }, { top_p = 0.9 }, { top_k = 2, top_p = 1 } } do
      for _, temperature in ipairs { 1e-3, 1e-30, 1e-37, 1e-38, 1e-40, 1e-300, 5e-324 } do
        rest.temperature = temperature
        assert.near(1, frequencies(rest)[2], 1e-9)
      end
    end
  end)

  it("draws each as often at a temperature beyond all numbers", function()
    for _, temperature in ipairs { 1e30, 1e38, 1e39, 1e300 } do
      assert_near({ 0.25, 0.25, 0.25, 0.25 }, frequencies { temperature = temperature })
    end
  end)

  it("never takes what is impossible, and refuses logits that are no numbers", function()
    local inf = math.huge
    for _, given in ipairs { {}, { temperature = 1e300 }, { temperature = 1e-35 }, { top_k = 4 }, { top_p = 1 } } do
      local sample = saros.sampler(given)
      for _ = 1, 100 do
        assert.equal(2, sample(saros.tensor { -inf, 1, -inf, -inf }))
      end
    end
    for _, given in ipairs { {}, { temperature = 0 }, { top_k = 2 } } do
      for _, wrong in ipairs { { 0 / 0, 1 }, { inf, 1 }, { -inf, -inf } } do
        assert.error_matches(function() saros.sampler(given)(saros.tensor(wrong)) end,
          "sampler: expected finite logits")
      end
    end
  end)

  it("can choose among the k likeliest", function()
    assert_near({ 0, 2 / 3, 0, 1 / 3 }, frequencies { top_k = 2 })
    assert_near({ 0, 1, 0, 0 }, frequencies { top_k = 1 })
    assert_near({ 0.1, 0.5, 0.15, 0.25 }, frequencies { top_k = 100 })
  end)

  it("can choose among the likeliest that reach p together", function()
    assert_near({ 0, 1, 0, 0 }, frequencies { top_p = 0.3 })
    assert_near({ 0, 2 / 3, 0, 1 / 3 }, frequencies { top_p = 0.7 })
    assert_near({ 0.1, 0.5, 0.15, 0.25 }, frequencies { top_p = 1 })
  end)

  it("goes on from the generator it is given", function()
    local generator = saros.generator(3)
    local sample = saros.sampler { generator = generator }
    local state = generator:state()
    local first = { sample(logits), sample(logits), sample(logits) }
    generator:restore(state)
    assert.same(first, { sample(logits), sample(logits), sample(logits) })
  end)

  it("refuses options that make no sense", function()
    assert.error_matches(function() saros.sampler { temperature = -1 } end, "a number, 0 or more, got %-1")
    for _, wrong in ipairs { 0 / 0, math.huge, -1e-300, "1" } do
      assert.error_matches(function() saros.sampler { temperature = wrong } end, "a number, 0 or more")
    end
    assert.error_matches(function() saros.sampler { top_p = 0 } end, "a number in %(0, 1%], got 0")
    assert.error_matches(function() saros.sampler { top_k = 1.5 } end, "a positive integer, got 1.5")
    assert.error_matches(function() saros.sampler { topk = 1 } end, "unknown option \"topk\"")
  end)
end)

describe("bytes that arrive one by one", function()
  local function assemble(bytes)
    local push, pieces = characters(), {}
    for byte in bytes:gmatch "." do
      local piece = push(byte)
      assert.is_truthy(utf8.len(piece))
      pieces[#pieces + 1] = piece
    end
    return table.concat(pieces)
  end

  it("become whole characters", function()
    assert.equal("aé世🌙\n", assemble "aé世🌙\n")
    assert.equal("", characters() "\xE4")
  end)

  it("become U+FFFD where they are no UTF-8", function()
    assert.equal("a\u{FFFD}b", assemble "a\xFFb")
    assert.equal("\u{FFFD}é", assemble "\xE4é")
    assert.equal("\u{FFFD}\u{FFFD}b", assemble "\xE4\xB8b")
    assert.equal("\u{FFFD}\u{FFFD}", assemble "\xC0\x80")
    assert.equal("\u{FFFD}\u{FFFD}\u{FFFD}", assemble "\xED\xA0\x80") -- a surrogate
  end)

  it("are never lost, whatever they are", function()
    local generator = saros.generator(1)
    for _ = 1, 200 do
      local bytes = {}
      for n = 1, 20 do
        bytes[n] = string.char(generator:integer(256) - 1)
      end
      local text = assemble(table.concat(bytes) .. "....")
      assert.equal("....", text:sub(-4))
    end
  end)
end)

describe("generation", function()
  it("gives as many symbols as were asked for", function()
    local lm = untrained "abcé\n"
    assert.equal(50, utf8.len((collect(lm:generate { length = 50 }))))
    assert.equal("", (collect(lm:generate { length = 0 })))
    assert.equal(200, utf8.len((collect(lm:generate()))))
  end)

  it("yields whole characters, one by one", function()
    local _, pieces = collect(untrained("aé世"):generate { length = 30 })
    assert.equal(30, #pieces)
    for _, piece in ipairs(pieces) do
      assert.equal(1, utf8.len(piece))
    end
  end)

  it("is the same for the same seed, and another for another", function()
    local lm = untrained "abcdefgh"
    local first = collect(lm:generate { seed = 1 })
    assert.equal(first, (collect(lm:generate { seed = 1 })))
    assert.not_equal(first, (collect(lm:generate { seed = 2 })))
  end)

  it("comes as a whole, too", function()
    local lm = untrained "abcé"
    for _, given in ipairs { { length = 20, seed = 2 }, { length = 0 }, { stop = "a", seed = 3 } } do
      assert.equal(collect(lm:generate(given)), lm:write(given))
    end
  end)

  it("is greedy at a temperature that is next to 0", function()
    local lm = untrained("abcdefgh", 3)
    local greedy = lm:write { prime = "a", length = 30, temperature = 0 }
    for _, given in ipairs { {}, { top_k = 3 }, { top_p = 0.9 } } do
      for _, temperature in ipairs { 1e-37, 1e-40, 1e-300 } do
        given.prime, given.length, given.temperature = "a", 30, temperature
        assert.equal(greedy, lm:write(given))
      end
    end
  end)

  it("goes on from the prime, which it does not repeat", function()
    local lm = parrot "the quick brown fox. "
    assert.equal("brown fox. the quick", (collect(lm:generate {
      prime = "the quick ", length = 20, temperature = 0,
    })))
  end)

  it("ends before the stop string, however it is spread over the pieces", function()
    local lm = parrot "the quick brown fox. "
    local function until_stop(stop)
      return (collect(lm:generate { prime = "the ", length = 60, temperature = 0, stop = stop }))
    end
    assert.equal("quick brown ", until_stop "fox.")
    assert.equal("quick brown fox", until_stop ". the")
    assert.equal("", until_stop "q")
    assert.equal(60, #until_stop "foxes")
    assert.equal(60, #until_stop "%a")
  end)

  it("buffers the bytes of a character until it is whole", function()
    local lm = parrot("é世 ", "byte")
    local text, pieces = collect(lm:generate { prime = "é世 ", length = 12, temperature = 0 })
    assert.equal("é世 é世 ", text)
    assert.same({ "é", "世", " ", "é", "世", " " }, pieces)
    text = collect(lm:generate { prime = "é世 ", length = 7, temperature = 0 })
    assert.equal("é世 ", text)
    text = collect(lm:generate { prime = "é世 ", length = 7, temperature = 0, raw = true })
    assert.equal("é世 \xC3", text)
  end)

  it("records nothing and changes no parameter", function()
    local lm = untrained "abc"
    local iterator = lm:generate { length = 3 }
    local tape <close> = saros.tape()
    tape:close()
    collect(iterator)
    for _, parameter in ipairs(lm:parameters()) do
      assert.is_nil(parameter:gradient())
    end
  end)

  it("refuses options that make no sense", function()
    local lm = untrained "abc"
    assert.error_matches(function() lm:generate { temperture = 1 } end, 'generate: unknown option "temperture"')
    assert.error_matches(function() lm:generate { prime = "abx" } end, 'got "x" %(U%+0078%) at line 1, column 3')
    assert.error_matches(function() lm:generate { stop = "" } end, "some text")
    assert.error_matches(function() lm:generate { length = -1 } end, "a whole number, 0 or more, got %-1")
    assert.error_matches(function() lm:generate { prime = 3 } end, "a string, got 3")
    assert.error_matches(function() lm:generate { seed = {} } end, "an integer, got a table")
    assert.error_matches(function() lm:generate { top_p = 1.5 } end, "a number in %(0, 1%], got 1.5")
  end)
end)

describe("what comes next", function()
  it("is a list of symbols by falling probability", function()
    local lm = parrot "the quick brown fox. "
    local entries = lm:next { prime = "the quick", top = 3 }
    assert.equal(3, #entries)
    assert.equal(" ", entries[1].symbol)
    assert.is_true(entries[1].probability > 0.9)
    assert.is_true(entries[1].probability >= entries[2].probability)
    local sum = 0
    for _, entry in ipairs(lm:next { prime = "the", top = 1000 }) do
      sum = sum + entry.probability
    end
    assert.near(1, sum, 1e-5)
  end)

  it("is a list of words", function()
    local lm = parrot "the quick brown fox. "
    local words = lm:next_words { prime = "the quick", top = 2 }
    assert.equal("brown", words[1].word)
    assert.is_true(words[1].probability > 0.8)
    assert.is_true(words[1].probability <= 1)
  end)

  it("gives a word the probability of its letters and of its end", function()
    local lm = untrained "ab "
    local found = {}
    for _, entry in ipairs(lm:next_words { prime = "a", top = 30, beam = 1000 }) do
      found[entry.word] = entry.probability
    end
    local function probability(prime, symbols)
      local sum = 0
      for _, entry in ipairs(lm:next { prime = prime, top = 3 }) do
        sum = sum + (symbols:find(entry.symbol, 1, true) and entry.probability or 0)
      end
      return sum
    end
    local expected = probability("a ", "a") * probability("a a", "b") * probability("a ab", " ")
    assert.near(expected, found.ab, 1e-6)
  end)

  it("refuses options that make no sense", function()
    local lm = untrained "ab "
    assert.error_matches(function() lm:next() end, "next: expected option 'prime'")
    assert.error_matches(function() lm:next_words { prime = "a", top = 0 } end, "a positive integer, got 0")
    assert.has_error(function() lm:next { prime = "" } end)
  end)
end)
