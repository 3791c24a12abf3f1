-- Models of all kinds, each with sequences and with what it says of them: for specs that
-- ask one model in several ways.

require "spec.support.values"
local assert = require "luassert"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local is_double = saros.info().real == "double"
local TOLERANCE = is_double and 1e-10 or 3e-5
local T, H = 7, 6
local CELLS = require "saros.nn.cells.list"

-- Each with three sequences of T steps as scripts have them (ids, or rows of
-- numbers in their own units), and what it says: `called(model, sequence)` gives
-- what model(x) says after each step, (T, O); `asked(model, sequence, t)` its
-- answer after t steps, and `answer(output)` the same from the output of a step. With
-- `resets`, model(x, nil, { reset = ... }) reads them one behind the other.
local models = {}

local function add(name, model, entry)
  entry.name, entry.model = name, model
  entry.inputs = entry.inputs or model:parameters()
  models[#models + 1] = entry
end

--- Parameters that begin as 0 or 1 are no longer that.
local function disturbed(model)
  local generator = saros.generator(2)
  for _, parameter in ipairs(model:parameters()) do
    parameter:assign(parameter + generator:normal(parameter:shape()) * 0.2)
  end
  return model
end

local function list_of(make)
  local list = {}
  for n = 1, 3 do
    list[n] = make(n)
  end
  return list
end

--- Three sequences of ids.
local function ids_of(symbols)
  local generator = saros.generator(7)
  return list_of(function()
    local ids = {}
    for t = 1, T do
      ids[t] = generator:integer(symbols)
    end
    return ids
  end)
end

--- Three sequences of rows around some means.
local function rows_of(means, spread)
  local generator = saros.generator(8)
  return list_of(function()
    local rows = {}
    for t = 1, T do
      rows[t] = {}
      for column, mean in ipairs(means) do
        rows[t][column] = mean + spread * generator:number()
      end
    end
    return rows
  end)
end

local function add_language_model(name, unit, given)
  local text = data.text({ string = ("the quick brown fox: le caf\u{e9}. "):rep(9) }, { unit = unit, valid = 0,
    size = unit == "bpe" and 270 or nil })
  given.vocabulary, given.hidden = text.vocabulary, H
  local all = text.vocabulary:encode "the quick brown fox: le caf\u{e9}. the quick brown fox: le caf\u{e9}. the quick"
  add("language model, " .. name, disturbed(nn.language_model(given)), {
    sequences = list_of(function(n) return table.move(all, 2 * n - 1, 2 * n + T - 2, 1, {}) end),
    symbols = true, saves = true, resets = true,
    called = function(model, ids)
      return model(saros.ids(ids):reshape(-1, 1)):select(2, 1)
    end,
    asked = function(model, ids, t)
      local prime = model.vocabulary:decode(table.move(ids, 1, t, 1, {}))
      local read, told = model.vocabulary:check(prime) and model.vocabulary:encode(prime) or {}, {}
      -- Part of a text may have other symbols; then there is nothing to ask.
      if table.concat(read, " ") ~= table.concat(ids, " ", 1, t) then
        return nil
      end
      for _, entry in ipairs(model:next { prime = prime, top = #model.vocabulary }) do
        told[model.vocabulary.ids[entry.symbol]] = entry.probability
      end
      return saros.tensor(told)
    end,
    answer = saros.softmax,
    -- The likeliest symbol, as it is written and as y has it.
    written = function(model, ids, y)
      local prime = model.vocabulary:decode(ids)
      return model:write { prime = prime, temperature = 0, length = 1, raw = true },
        model.vocabulary.symbols[y:argmax():item()]
    end,
  })
end

for _, cell in ipairs(CELLS) do
  add_language_model(cell, "char", { cell = cell, layers = 2 })
end
add_language_model("bytes", "byte", { cell = "gru", layers = 1 })
add_language_model("words", "word", { cell = "lstm", layers = 1 })
add_language_model("bpe", "bpe", { cell = "minlstm", layers = 1 })
add_language_model("tied", "char", { cell = "gru", tie = true, layers = 1 })
add_language_model("of all options", "char", { cell = "lstm", layers = 2, head = { 5 }, residual = true,
  layer_norm = true, learn_state = true, dropout = 0.3, zoneout = 0.2, recurrent_dropout = 0.2, embedding = 5 })

local function add_classifier(name, set, sequences, given)
  given.vocabulary, given.features, given.labels = set.vocabulary, set.features, set.labels
  given.hidden, given.bidirectional = given.hidden or H, false
  local function prefix_of(model, sequence, t)
    local prefix = table.move(sequence, 1, t, 1, {})
    return model.vocabulary and model.vocabulary:decode(prefix) or prefix
  end
  add("classifier, " .. name, disturbed(nn.classifier(given)), {
    sequences = sequences, symbols = set.vocabulary ~= nil, saves = true, labels = true,
    called = function(model, sequence)
      local logits = {}
      for t = 1, T do
        local prefix = table.move(sequence, 1, t, 1, {})
        local x = model.vocabulary and saros.ids(prefix):reshape(-1, 1)
          or model.features:apply(saros.tensor(prefix)):reshape(t, 1, -1)
        logits[t] = model(x):reshape(-1)
      end
      return saros.stack(logits)
    end,
    asked = function(model, sequence, t)
      local probabilities = {}
      for _, entry in ipairs(select(2, model:classify(prefix_of(model, sequence, t)))) do
        probabilities[model:label_id(entry.label)] = entry.probability
      end
      return saros.tensor(probabilities)
    end,
    answer = saros.softmax,
    label = function(model, sequence, t)
      return (model:classify(prefix_of(model, sequence, t)))
    end,
  })
end

local texts = data.labelled({ ["a \"b\"?"] = { "abab", "ba" }, b = { "bb", "aab" }, c = { "ca", "cc" } }, { valid = 0 })
local numbers = { low = {}, high = {} }
for i = 1, 6 do
  numbers.low[i] = saros.generator(i):normal { 5, 2 } * saros.tensor { 1, 40 } + saros.tensor { 100, -5000 }
  numbers.high[i] = numbers.low[i] + saros.tensor { 2, 60 }
end
numbers = data.labelled(numbers, { valid = 0 })
for _, cell in ipairs(CELLS) do
  add_classifier("texts, " .. cell, texts, ids_of(#texts.vocabulary), { cell = cell, dropout = 0.3 })
  add_classifier("numbers, " .. cell, numbers, rows_of({ 100, -5000 }, 50), { cell = cell, layers = 2 })
end
add_classifier("an odd number of lru", numbers, rows_of({ 100, -5000 }, 50), { cell = "lru", hidden = 5 })

local function add_forecaster(name, given, options)
  local rows = {}
  for t = 1, 60 do
    rows[t] = { 50 + 7 * math.sin(t / 3), -3 + 0.1 * math.sin((t + 1) / 3), 1000 * t }
  end
  given.valid = 0
  local series = assert(data.series(saros.tensor(rows), given))
  options.series, options.hidden = series, H
  local sequences = rows_of({ 50, -3, 30000 }, 3)
  for _, sequence in ipairs(sequences) do
    for t, row in ipairs(sequence) do
      local own = {}
      for n, column in ipairs(given.inputs or { 1, 2, 3 }) do
        own[n] = row[column]
      end
      sequence[t] = own
    end
  end
  add("forecaster, " .. name, disturbed(nn.forecaster(options)), {
    sequences = sequences, saves = true, forecasts = true,
    called = function(model, sequence)
      local x = model.scale.inputs:apply(saros.tensor(sequence)):reshape(T, 1, -1)
      return model.scale.targets:invert(model(x):select(2, 1)):reshape(T, -1)
    end,
    asked = function(model, sequence, t)
      return model:forecast(table.move(sequence, 1, t, 1, {})):reshape(-1)
    end,
    answer = function(output)
      return output
    end,
  })
end

add_forecaster("three columns", { horizon = 3 }, { cell = "gru", layers = 2, dropout = 0.3 })
add_forecaster("one of two", { horizon = 2, inputs = { 3, 1 }, targets = { 1 } }, { cell = "lstm" })
add_forecaster("targets that are no inputs", { inputs = { 1, 2 }, targets = { 2, 3 } }, { cell = "minlstm" })
add_forecaster("without difference", { horizon = 2, inputs = { 1, 2 } }, { cell = "lru", difference = false })

local function add_chain(name, chain, sequences)
  local symbols = type(sequences[1][1]) == "number"
  add("chain, " .. name, disturbed(chain:init { seed = 1 }), {
    sequences = sequences, symbols = symbols, resets = true,
    called = function(model, sequence)
      local x = symbols and saros.ids(sequence):reshape(-1, 1) or saros.tensor(sequence):reshape(T, 1, -1)
      return (model(x)):select(2, 1)
    end,
  })
end

add_chain("of numbers", nn.chain { nn.linear { 2, H }, nn.gru { H, H }, saros.tanh, nn.linear { H, 3 } },
  rows_of({ 0, 1 }, 1))
add_chain("with residuals and a norm", nn.chain { nn.linear { 2, H }, nn.residual { nn.layer_norm { H },
  nn.mingru { H, H } }, nn.residual { saros.sigmoid }, nn.dropout { 0.4 }, nn.linear { H, 2 } }, rows_of({ 0, 1 }, 1))
add_chain("with windowed attention", nn.chain { nn.embedding { 5, H }, nn.windowed_attention { H, 3, heads = 2 },
  nn.lstm { H, 4, projection = 3, peepholes = true }, nn.linear { 3, 5 } }, ids_of(5))
for _, cell in ipairs(CELLS) do
  add_chain("from a learned state, " .. cell, nn.chain { nn.residual { nn[cell] { 2, 2, learn_state = true } },
    nn[cell] { 2, H, layers = 2, learn_state = true }, nn.linear { H, 2 } }, rows_of({ 0, 1 }, 1))
end

--- The largest difference, relative to what is above 1.
local function off(a, b)
  return ((a - b):abs() / a:abs():maximum(1)):max():item()
end

local function assert_same(expected, got, what)
  assert.equal(expected:count(), got:count(), what)
  local difference = off(expected:reshape(-1), got:reshape(-1))
  assert(difference <= TOLERANCE, ("%s: %g off"):format(what, difference))
end

return {
  list = models,
  T = T, -- steps of a sequence
  H = H, -- hidden units
  TOLERANCE = TOLERANCE,
  texts = texts,
  numbers = numbers,
  disturbed = disturbed,
  rows_of = rows_of,
  off = off,
  assert_same = assert_same,
}
