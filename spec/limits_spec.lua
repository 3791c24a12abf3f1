-- What a caller says about the symbols that a model may write: bias, repetition
-- penalty, allowed symbols, several stops; in samplers, sessions, texts and beams.

require "spec.support.values"
local saros = require "saros"
local nn, data = saros.nn, saros.data
local inf = math.huge

local function fails(fn, message)
  assert.error_matches(fn, message, 1, true)
end

local function untrained(symbols, seed, sharpness)
  local lm = nn.language_model { vocabulary = data.vocabulary.characters(symbols), hidden = 8, layers = 1,
    seed = seed or 1 }
  lm.head.weight:assign(lm.head.weight * (sharpness or 3))
  return lm
end

-- The distribution that logits have after a penalty and a bias, as a list.
local function expected(logits, history, penalty, bias)
  logits = logits:totable()
  local seen = {}
  for _, id in ipairs(history) do
    if not seen[id] then
      logits[id] = logits[id] > 0 and logits[id] / penalty or logits[id] * penalty
      seen[id] = true
    end
  end
  local total = 0
  for id in ipairs(logits) do
    logits[id] = math.exp(logits[id] + (bias and bias[id] or 0))
    total = total + logits[id]
  end
  for id in ipairs(logits) do
    logits[id] = logits[id] / total
  end
  return logits
end

-- How often each of n ids comes up.
local function frequencies(n, draws, sample)
  local counts = {}
  for id = 1, n do
    counts[id] = 0
  end
  for _ = 1, draws do
    local id = sample()
    counts[id] = counts[id] + 1 / draws
  end
  return counts
end

-- Four standard deviations of a frequency.
local function assert_drawn_from(probabilities, draws, sample)
  for id, frequency in ipairs(frequencies(#probabilities, draws, sample)) do
    local p = probabilities[id]
    assert.near(p, frequency, 4 * math.sqrt(p * (1 - p) / draws) + 1e-9, "id " .. id)
    assert.is_true(p > 0 or frequency == 0)
  end
end

describe("a sampler", function()
  local logits = saros.tensor { 1.5, -0.5, 0.25, 0, -2 }
  local bias = saros.tensor { 0, 1, -inf, 0.5, 0 }

  it("adds a bias, and makes what came before less likely, each id once", function()
    local sample = saros.sampler { bias = bias, repetition_penalty = 1.7, seed = 3 }
    local history = { 1, 5, 1, 1, 2 }
    assert_drawn_from(expected(logits, history, 1.7, bias), 4000, function() return sample(logits, history) end)
    assert_drawn_from(expected(logits, {}, 1, bias), 4000, function() return sample(logits) end)
    assert.same({ 1.5, -0.5, 0.25, 0, -2 }, logits:totable())
  end)

  it("does so before it takes the likeliest", function()
    assert.equal(1, saros.sampler { temperature = 0 }(logits))
    assert.equal(4, saros.sampler { temperature = 0, bias = saros.tensor { -9, 0, -9, 0, 0 } }(logits))
    assert.equal(3, saros.sampler { temperature = 0, repetition_penalty = 10 }(logits, { 1 }))
  end)

  it("refuses what does not fit", function()
    fails(function() saros.sampler { bias = saros.ones(3) }(logits) end,
      "sampler: expected a bias of shape (5), got a tensor (3)")
    fails(function() saros.sampler { repetition_penalty = 0 } end, "a positive number, got 0")
    fails(function() saros.sampler { repetition_penalty = 2 }(logits, { 6 }) end,
      "sampler: expected a history of ids in 1..5, got 6")
  end)
end)

describe("a session that samples", function()
  local lm = untrained("abcde", 2)
  local V = #lm.vocabulary

  local function stepped(streams)
    local session = lm:session { streams = streams }
    local ids = {}
    for row = 1, streams do
      ids[row] = row
    end
    local output = session:step(streams == 1 and 1 or ids)
    return session, output:clone():reshape(streams, V)
  end

  it("draws from the distribution that bias and penalty make", function()
    local session, output = stepped(1)
    local generator = saros.generator(1)
    local bias, history = saros.generator(2):normal { V }, { 3, 1, 3 }
    bias[2] = -inf
    local how = { bias = bias, repetition_penalty = 1.3, history = saros.ids(history) }
    local p = expected(output[1], history, 1.3, bias)
    assert_drawn_from(p, 8000, function() return session:sample(generator, how) end)
  end)

  it("draws what the sampler draws from changed logits, number for number", function()
    local session, output = stepped(1)
    local bias = saros.generator(2):normal { V }
    for _, rest in ipairs { {}, { temperature = 0.7 }, { top_k = 2 }, { top_p = 0.6 }, { temperature = 0 } } do
      local a, b = saros.generator(5), saros.generator(5)
      local options = { generator = a, bias = bias, repetition_penalty = 2 }
      local how = { bias = bias, repetition_penalty = 2, history = saros.ids { 1, 2 } }
      for key, value in pairs(rest) do
        options[key], how[key] = value, value
      end
      local sample = saros.sampler(options)
      for _ = 1, 200 do
        assert.equal(sample(output[1], { 1, 2 }), session:sample(b, how))
      end
    end
  end)

  it("has a bias and a history for each stream, or a bias for all", function()
    local session, output = stepped(3)
    local one = saros.full({ V }, -inf)
    one[4] = 0
    assert.same({ 4, 4, 4 }, session:sample(saros.generator(1), { bias = one }):totable())
    local each = saros.full({ 3, V }, -inf)
    for row, id in ipairs { 5, 1, 2 } do
      each[row][id] = 0
    end
    assert.same({ 5, 1, 2 }, session:sample(saros.generator(1), { bias = each }):totable())
    local plain = session:sample(nil, { temperature = 0 }):totable()
    local other = session:sample(nil, { temperature = 0, repetition_penalty = 1e6,
      history = saros.ids { { plain[1] }, { plain[2] % V + 1 }, { plain[3] } } }):totable()
    for row = 1, 3 do
      local p = expected(output[row], { row == 2 and plain[2] % V + 1 or plain[row] }, 1e6)
      local best = 1
      for id = 2, V do
        best = p[id] > p[best] and id or best
      end
      assert.equal(best, other[row])
    end
  end)

  it("is as before without them, bit by bit", function()
    local session, a, b = stepped(1), saros.generator(1), saros.generator(1)
    for _ = 1, 50 do
      assert.equal(session:sample(a, { temperature = 0.9 }),
        session:sample(b, { temperature = 0.9, repetition_penalty = 1, history = saros.ids { 1 } }))
    end
  end)

  it("refuses what does not fit", function()
    local session, generator = stepped(2), saros.generator(1)
    fails(function() session:sample(generator, { bias = saros.ones(3) }) end,
      ("expected a contiguous tensor (%d) or (2, %d) in the field 'bias', got a tensor (3)"):format(V, V))
    fails(function() session:sample(generator, { bias = saros.ids { 1 } }) end, "in the field 'bias', got ids (1)")
    fails(function() session:sample(generator, { history = saros.ids { 1 } }) end,
      "expected ids (streams, N) in the field 'history'")
    fails(function() session:sample(generator, { history = saros.ids { { 1 }, { V + 1 } } }) end,
      ("sample: expected a history of ids in 1..%d, got %d"):format(V, V + 1))
    for _, wrong in ipairs { -1, 0 / 0, inf } do
      fails(function() session:sample(generator, { repetition_penalty = wrong }) end,
        "sample: expected a repetition_penalty > 0, got")
    end
    fails(function() session:sample(generator, { bias = saros.full({ V }, -inf) }) end,
      "sample: expected finite logits")
  end)
end)

describe("a text", function()
  -- The probability that the model gives the symbols of a text behind a prime.
  local function probability(lm, prime, text, change)
    local total = 1
    for n = 1, #text do
      local before = prime .. text:sub(1, n - 1)
      local p = change(lm:read(before), before, text:sub(1, n - 1))
      total = total * p[lm.vocabulary.ids[text:sub(n, n)]]
    end
    return total
  end

  -- Draws texts of two symbols and compares how often each comes with its probability.
  local function assert_texts(lm, given, change)
    local draws, counts = 1500, {}
    given.prime, given.length = "ab", 2
    for seed = 1, draws do
      given.seed = seed
      local text = lm:write(given)
      counts[text] = (counts[text] or 0) + 1
    end
    local total = 0
    for _, a in ipairs(lm.vocabulary.symbols) do
      for _, b in ipairs(lm.vocabulary.symbols) do
        local p = probability(lm, "ab", a .. b, change)
        total = total + p
        assert.near(p, (counts[a .. b] or 0) / draws, 4 * math.sqrt(p * (1 - p) / draws) + 1e-9, a .. b)
      end
    end
    assert.near(1, total, 1e-5)
  end

  it("has symbols that are biased", function()
    local lm = untrained("abc", 3)
    local bias = saros.tensor { 0, 0, 0 }
    bias[lm.vocabulary.ids.a], bias[lm.vocabulary.ids.c] = 1.5, -inf
    assert_texts(lm, { bias = { a = 1.5, c = -inf } }, function(logits) return expected(logits, {}, 1, bias) end)
  end)

  it("repeats less, what the prime has, too", function()
    local lm = untrained("abc", 4)
    local function ids(text) return lm.vocabulary:encode(text) end
    assert_texts(lm, { repetition_penalty = 2.5 }, function(logits, before)
      return expected(logits, ids(before), 2.5)
    end)
    assert_texts(lm, { repetition_penalty = 2.5, repetition_window = 1 }, function(logits, before)
      return expected(logits, ids(before:sub(-1)), 2.5)
    end)
  end)

  it("has only what a function allows behind what was written", function()
    local lm = untrained("abc", 5)
    local function allow(text)
      return text == "" and { "a", "b" } or text:sub(-1) == "a" and { "b", lm.vocabulary.ids.c } or nil
    end
    assert_texts(lm, { allow = allow, bias = { b = -0.7 } }, function(logits, _, text)
      local list, bias = allow(text), {}
      for id, symbol in ipairs(lm.vocabulary.symbols) do
        bias[id] = (symbol == "b" and -0.7 or 0) + (list and -inf or 0)
      end
      for _, symbol in ipairs(list or {}) do
        bias[lm.vocabulary.ids[symbol] or symbol] = symbol == "b" and -0.7 or 0
      end
      return expected(logits, {}, 1, bias)
    end)
  end)

  it("can be held to a grammar", function()
    local lm = untrained "()x"
    local function balanced(text)
      local _, opened = text:gsub("%(", "")
      local _, closed = text:gsub("%)", "")
      if #text >= 12 then
        return opened == closed and {} or { ")" }
      end
      return opened > closed and { "(", ")", "x" } or { "(", "x" }
    end
    for seed = 1, 30 do
      local text = lm:write { length = 100, seed = seed, allow = balanced }
      assert.is_true(#text >= 12 and text:find "^[()x]*$" ~= nil)
      local depth = 0
      for symbol in text:gmatch "." do
        depth = depth + (symbol == "(" and 1 or symbol == ")" and -1 or 0)
        assert.is_true(depth >= 0)
      end
      assert.equal(0, depth)
    end
    assert.equal("", lm:write { allow = function() return {} end })
  end)

  it("tells the function the text and its ids", function()
    local lm, seen = untrained "abc", {}
    local text = lm:write { prime = "ab", length = 4, allow = function(text, ids)
      seen[#seen + 1] = { text, table.concat(ids, " ") }
    end }
    for n = 0, 3 do
      local before = text:sub(1, n)
      assert.same({ before, table.concat(before == "" and {} or lm.vocabulary:encode(before), " ") }, seen[n + 1])
    end
  end)

  it("ends before the first of several stops, however the pieces are cut", function()
    local lm = untrained "abcd"
    local all = lm:write { length = 400, seed = 7 }
    for _, stops in ipairs { { "cc", "dd" }, { "abcd", "bc" }, { "ddd", "b", "aab" }, { "dab", "da", "ab" } } do
      local first, last
      for n = 1, #all do -- the first end of any stop; of those, the longest
        for _, stop in ipairs(stops) do
          if not last and all:sub(1, n):sub(-#stop) == stop then
            first = math.min(first or n, n - #stop + 1)
          end
        end
        last = last or first and n
      end
      assert.equal(all:sub(1, first - 1), lm:write { length = 400, seed = 7, stop = stops })
    end
  end)

  it("refuses options that make no sense", function()
    local lm = untrained "abc"
    fails(function() lm:generate { stop = {} } end, "some text, or a list of texts, got a table that is empty")
    for _, stop in ipairs { { "" }, { "a", "" }, { "a", 3 } } do
      fails(function() lm:generate { stop = stop } end, ("some text, or a list of texts, got a table with %s at "
        .. "position %d"):format(stop[#stop] == 3 and "3" or '""', #stop))
    end
    fails(function() lm:generate { stop = "" } end, 'some text, or a list of texts, got ""')
    fails(function() lm:generate { bias = { x = 1 } } end,
      'generate: expected a bias of symbols of the vocabulary, got "x"')
    fails(function() lm:generate { bias = { a = inf } } end, "numbers by symbol, finite or -math.huge")
    fails(function() lm:generate { bias = { 1 } } end, "numbers by symbol")
    fails(function() lm:generate { repetition_penalty = 0 } end, "a positive number, got 0")
    fails(function() lm:generate { repetition_window = 0 } end, "a positive integer, got 0")
    fails(function() lm:write { allow = function() return { "x" } end } end,
      'generate: expected allow to return symbols of the vocabulary, got "x"')
    fails(function() lm:write { allow = function() return 1 end } end,
      "generate: expected allow to return a list of symbols or nil, got 1")
    fails(function() lm:write { bias = { a = -inf, b = -inf, c = -inf } } end, "sample: expected finite logits")
  end)
end)

describe("a beam", function()
  local lm = untrained("abc", 6)
  local LENGTH = 4

  -- All texts of a length with the logs of their probabilities, likeliest first.
  local function exhaustive(change, allow)
    local all = {}
    local function grow(text, total)
      local allowed = allow and allow(text)
      if #text == LENGTH or allowed and #allowed == 0 then
        all[#all + 1] = { text = text, log_probability = total }
        return
      end
      local p = change(lm:read("ab" .. text), "ab" .. text)
      for id, symbol in ipairs(lm.vocabulary.symbols) do
        local fits = not allowed
        for _, other in ipairs(allowed or {}) do
          fits = fits or other == symbol
        end
        if fits then
          grow(text .. symbol, total + math.log(p[id]))
        end
      end
    end
    grow("", 0)
    table.sort(all, function(a, b) return a.log_probability > b.log_probability end)
    return all
  end

  local function assert_best(given, change, allow)
    given.prime, given.length, given.beam, given.best = "ab", LENGTH, 100, 5
    local all, found = exhaustive(change, allow), lm:beam(given)
    assert.equal(math.min(5, #all), #found)
    for rank, sequence in ipairs(found) do
      assert.near(all[rank].log_probability, sequence.log_probability, 1e-4)
      assert.equal(all[rank].text, sequence.text)
    end
  end

  local function plain(logits) return expected(logits, {}, 1) end

  it("finds the likeliest texts under a bias and a penalty", function()
    local bias = saros.zeros(3)
    bias[lm.vocabulary.ids.b] = -1.5
    assert_best({ bias = { b = -1.5 } }, function(logits) return expected(logits, {}, 1, bias) end)
    assert_best({ repetition_penalty = 3 }, function(logits, before)
      return expected(logits, lm.vocabulary:encode(before), 3)
    end)
    assert_best({ repetition_penalty = 3, repetition_window = 2, bias = { b = -1.5 } }, function(logits, before)
      return expected(logits, lm.vocabulary:encode(before:sub(-2)), 3, bias)
    end)
  end)

  it("finds the likeliest of all texts that a function allows", function()
    local function no_doubles(text)
      local list = {}
      for _, symbol in ipairs(lm.vocabulary.symbols) do
        list[#list + 1] = symbol ~= text:sub(-1) and symbol or nil
      end
      return list
    end
    assert_best({ allow = no_doubles }, plain, no_doubles)
    local function ends_with_c(text) return text:sub(-1) == "c" and {} or nil end
    assert_best({ allow = ends_with_c }, plain, ends_with_c)
  end)

  it("is told by ids for any step function", function()
    local function step(ids)
      return saros.log(saros.tensor { { 0.5, 0.3, 0.2 } }) + saros.zeros(#ids, 3), nil
    end
    local found = saros.beam_search(step, nil, { first = 1, beam = 9, best = 9, max_length = 2,
      allow = function(ids) return #ids == 0 and { 2, 3 } or { ids[1] } end })
    assert.same({ { 2, 2 }, { 3, 3 } }, { found[1].ids, found[2].ids })
    assert.equal(2, #found)
    assert.near(2 * math.log(0.3), found[1].log_probability, 1e-6)
    for _, wrong in ipairs { { 4 }, { 0 }, { "a" }, 3 } do
      fails(function()
        saros.beam_search(step, nil, { first = 1, allow = function() return wrong end })
      end, "beam search: expected allow to return a list of ids in 1..3 or nil, got")
    end
  end)
end)
