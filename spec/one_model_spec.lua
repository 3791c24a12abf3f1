-- A model says the same wherever it is asked: called, by its own question, as a
-- session of one stream or three, as a learner that has learned nothing, from its
-- file, and as C that is compiled and run. What a kind cannot do, it refuses.

require "spec.support.values"
local commands = require "spec.support.commands"
local files = require "spec.support.files"
local folders = require "spec.support.folders"
local saros = require "saros"
local nn, data, optim = saros.nn, saros.data, saros.optim

local is_double = saros.info().real == "double"
local TOLERANCE = is_double and 1e-10 or 3e-5
local T, H = 7, 6
local CELLS = { "rnn", "lstm", "gru", "mingru", "minlstm", "lru" }

-- --- Models ------------------------------------------------------------------------------

-- Each with three sequences of T steps as scripts have them (ids, or rows of
-- numbers in their own units), and what it says: `called(model, sequence)` gives
-- what model(x) says after each step, (T, O); `asked(model, sequence, t)` its
-- answer after t steps, and `answer(output)` the same from the output of a step.
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

-- --- What they say -------------------------------------------------------------------------

-- The largest difference, relative to what is above 1.
local function off(a, b)
  return ((a - b):abs() / a:abs():maximum(1)):max():item()
end

local function assert_same(expected, got, what)
  assert.equal(expected:count(), got:count(), what)
  local difference = off(expected:reshape(-1), got:reshape(-1))
  assert(difference <= TOLERANCE, ("%s: %g off"):format(what, difference))
end

-- What a model says of its sequences one behind the other in a row, with a reset where each
-- begins: (3 T, O).
local function in_one_row(entry)
  local row, reset = {}, saros.zeros(3 * T, 1)
  for n, sequence in ipairs(entry.sequences) do
    table.move(sequence, 1, T, #row + 1, row)
    reset[(n - 1) * T + 1]:fill(1)
  end
  local x = entry.symbols and saros.ids(row):reshape(-1, 1) or saros.tensor(row):reshape(3 * T, 1, -1)
  return entry.model(x, nil, { reset = reset }):select(2, 1)
end

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
      if not entry.saves then
        files.with_path(function(path)
          assert(model:save(path))
          local loaded, message = saros.load(path)
          assert.is_nil(loaded)
          assert.matches("got parameters only; build the module and call module:load(path)", message, 1, true)
        end)
        return
      end
      for way, loaded in pairs(reloaded(model)) do
        for _, sequence in ipairs(sequences) do
          assert.equal(0, off(entry.called(model, sequence), entry.called(loaded, sequence)), way)
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
      for _, use in ipairs { both.session, both.learner, function(m) saros.export_c(m, "/nowhere/a.c") end } do
        assert.error_matches(function() use(both) end,
          "session: expected layers of one direction, got bidirectional ones, which read a sequence to its end first")
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
      for _, use in ipairs { model.session, model.learner, function(m) saros.export_c(m, "/nowhere/a.c") end } do
        assert.error_matches(function() use(model) end, "session: expected nn.embedding, .*, got encoder_decoder")
      end
    end)
  end
end)

-- --- C files -------------------------------------------------------------------------------

local PACK = is_double and "d" or "f"
local FLAGS = "-std=c99 -O1 -Wall -Wextra -Wshadow -Werror -pedantic"

-- Runs the test of every file, and then with every model the steps in `in`.
local PROGRAM = [[
static %s in[64], out[4096];
int main(void) {
  int wrong = 0;
  FILE *from = fopen("in", "rb"), *to = fopen("out", "wb");
  if (!from || !to)
    return 2;
%s
  return fclose(to) != 0 || wrong;
}
]]

local WALK = [[
  {
    static m%d_state state;
    wrong |= m%d_main();
    for (int t = 0; t < %d; t++) {
      if (fread(in, sizeof *in, %d, from) != %d)
        return 3;
      if (t %% %d == 0)
        m%d_reset(&state);
      m%d_step(&state, %s, out);
      fwrite(out, sizeof *out, M%d_OUTPUTS, to);
    }
  }
]]

-- The files of all models in a folder, the program, and its input.
local function export_all(folder, given)
  local includes, walks, input = {}, {}, {}
  for n, entry in ipairs(models) do
    local first = entry.sequences[1]
    local test = not entry.symbols and (entry.asked and first or saros.tensor(first)) or nil
    local path = ("%s/m%d.c"):format(folder, n)
    assert(saros.export_c(entry.model, path, { name = "m" .. n, weights = given, test = test }))
    includes[n] = ("#define M%d_TEST\n#define main m%d_main\n#include \"m%d.c\"\n#undef main\n"):format(n, n, n)
    local width = entry.symbols and 1 or #first[1]
    walks[n] = WALK:format(n, n, 3 * T, width, width, T, n, n, entry.symbols and "(int32_t)in[0]" or "in", n)
    for _, sequence in ipairs(entry.sequences) do
      for _, x in ipairs(sequence) do
        for _, number in ipairs(entry.symbols and { x - 1 } or x) do
          input[#input + 1] = PACK:pack(number)
        end
      end
    end
  end
  files.write(folder .. "/in", table.concat(input))
  files.write(folder .. "/all.c", table.concat(includes)
    .. PROGRAM:format(is_double and "double" or "float", table.concat(walks)))
end

local function in_c(folder, compiler)
  local output, status = commands.shell(("cd '%s' && %s %s all.c -o all -lm && ./all"):format(folder, compiler, FLAGS))
  assert(status == 0, output)
  return files.read(folder .. "/out"), output
end

describe("a C file", function()
  for _, weights in ipairs { "real", "int8" } do
    it("says what the model says, with weights in " .. weights, function()
      if not os.execute "command -v cc > /dev/null 2>&1" then
        pending "no C compiler here"
        return
      end
      files.with_folder(function(folder)
        export_all(folder, weights)
        local bytes, output = in_c(folder, "cc")
        local at, tests = 1, select(2, output:gsub(": well\n", ""))
        assert.equal(#models, tests, output)
        for _, entry in ipairs(weights == "real" and models or {}) do
          local all = {}
          for n, sequence in ipairs(entry.sequences) do
            local expected, got = entry.called(entry.model, sequence), {}
            for position = 1, expected:count() do
              got[position], at = PACK:unpack(bytes, at)
            end
            all[n] = saros.tensor(got)
            assert_same(expected, all[n], entry.name)
          end
          if entry.resets then
            assert_same(in_one_row(entry), saros.concatenate(all, 1), entry.name .. ", with resets")
          end
        end
      end)
    end)
  end

  it("of a classifier has its labels, and a test that notices another scale", function()
    files.with_folder(function(folder)
      local model = nn.classifier { features = numbers.features, labels = { 'a "b"?', "$name" }, hidden = 3,
        bidirectional = false }
      local path = folder .. "/a.c"
      assert(saros.export_c(model, path, { test = { { 100, -5000 }, { 101, -4990 } } }))
      local text = files.read(path)
      assert.matches("extern const char *const model_labels[MODEL_OUTPUTS];", text, 1, true)
      assert.matches('model_labels[MODEL_OUTPUTS] = {\n    "a \\042b\\042\\077",\n    "\\044name",\n};', text, 1, true)
      assert.matches("input:   2 numbers in their own units: ", text, 1, true)
      assert.matches("#define MODEL_TEST_STEPS 2\n", text, 1, true)
      files.write(path, (text:gsub("(model_mean_1%[2%] = {\n *)[^,]+", "%10", 1)))
      local _, status = commands.shell(("cd '%s' && cc -std=c99 -DMODEL_TEST a.c -o a -lm && ./a"):format(folder))
      assert.is_true(status ~= 0)
    end)
  end)

  it("is tested on what it is given, or refuses it", function()
    local model = models[1].model
    files.with_folder(function(folder)
      assert(saros.export_c(model, folder .. "/a.c", { test = "the fox" }))
      assert.matches("TEST_STEPS 7\n", files.read(folder .. "/a.c"), 1, true)
    end)
    local function refuses(expected, asked, test)
      assert.error_matches(function() saros.export_c(asked, "/nowhere/a.c", { test = test }) end, expected)
    end
    refuses("export_c: encode: expected one of the", model, "THE")
    refuses("export_c: expected option 'test' to be a sequence that the model reads, got \"\"", model, "")
    local chain = nn.linear({ 2, 2 }):init { seed = 1 }
    refuses("export_c: expected option 'test' to be a sequence that the model reads", chain, saros.ones(3, 3))
    refuses("export_c: expected option 'test' to be a sequence that the model reads, got \"x\"", chain, "x")
  end)
end)
