require "spec.support.values"
local files = require "spec.support.files"
local saros = require "saros"
local cells = require "saros.nn.cells.list"
local nn, data = saros.nn, saros.data

local function parameter(values)
  return saros.tensor(values):trainable(true)
end

local function operations(tape)
  return math.tointeger(tostring(tape):match "(%d+) operations")
end

describe("no_gradient", function()
  it("records nothing until it is closed", function()
    local a = parameter { 1, 2 }
    local tape <close> = saros.tape()
    local loss = (a * a):sum()
    local before = operations(tape)
    do
      local _ <close> = saros.no_gradient()
      assert.equal(15, (a * 5):sum():item())
    end
    assert.equal(before, operations(tape))
    tape:backward(loss + (a * 3):sum())
    assert.same({ 5, 7 }, a:gradient():totable())
  end)

  it("gives values that are constants to the tape", function()
    local a = parameter { 3 }
    local function twice()
      local _ <close> = saros.no_gradient()
      return a * 2
    end
    local tape <close> = saros.tape()
    tape:backward((a * twice()):sum())
    assert.same({ 6 }, a:gradient():totable())
  end)

  it("drops nothing", function()
    local drop = nn.dropout({ 0.5 }):init { seed = 1 }
    local _ <close> = saros.tape()
    do
      local _ <close> = saros.no_gradient()
      assert.same({ 1, 1, 1, 1, 1, 1, 1, 1 }, drop(saros.ones(8)):totable())
    end
    assert.not_same({ 1, 1, 1, 1, 1, 1, 1, 1 }, drop(saros.ones(8)):totable())
  end)

  it("nests, and does nothing where no tape is open", function()
    local a = parameter { 1 }
    local outer = saros.no_gradient()
    local tape <close> = saros.tape()
    local inner = saros.no_gradient()
    local y = a * 2
    inner:close()
    inner:close()
    tape:backward(a * 3 + y)
    assert.same({ 3 }, a:gradient():totable())
    tape:close()
    outer:close()
    assert.equal("pause (closed)", tostring(outer))
  end)

  it("ends where an error is thrown inside", function()
    local a = parameter { 1 }
    local tape <close> = saros.tape()
    assert.is_false(pcall(function()
      local _ <close> = saros.no_gradient()
      error "no"
    end))
    tape:backward(a * 4)
    assert.same({ 4 }, a:gradient():totable())
  end)

  it("lets another tape be opened, which is closed at its end", function()
    local a = parameter { 2 }
    local tape <close> = saros.tape()
    local loss = (a * a):sum()
    local function forget_one()
      local _ <close> = saros.no_gradient()
      local inner = saros.tape()
      inner:backward((a * 10):sum())
      assert.same({ 10 }, a:gradient():totable())
      return inner
    end
    assert.equal("tape (closed)", tostring(forget_one()))
    a:clear_gradient()
    tape:backward(loss)
    assert.same({ 4 }, a:gradient():totable())
  end)

  it("may outlive the tape", function()
    local a = parameter { 1 }
    local tape = saros.tape()
    local pause = saros.no_gradient()
    tape:close()
    pause:close()
    local _ = a * 2
    local again <close> = saros.tape()
    again:backward(a * 2)
    assert.same({ 2 }, a:gradient():totable())
  end)

  it("refuses the tape that it has set aside", function()
    local a = parameter { 1 }
    local tape <close> = saros.tape()
    local loss = a * 2
    local _ <close> = saros.no_gradient()
    assert.error_matches(function() tape:backward(loss) end,
      "backward: expected a recording tape, but this tape is set aside by a pause")
    assert.error_matches(function() tape:watch(saros.ones(1)) end, "watch: expected .* set aside")
  end)

  it("keeps what the tape needs from being written", function()
    local a, b = parameter { 1 }, parameter { 2 }
    local tape <close> = saros.tape()
    local y = a * b
    local _ <close> = saros.no_gradient()
    assert.error_matches(function() a:fill(5) end, "fill: tensor %(1%) is still needed by multiply")
    assert.error_matches(function() y:fill(5) end, "fill: tensor %(1%) was computed on the open tape")
    assert.error_matches(function() a:trainable(false) end, "trainable: expected a tensor that is not part")
    assert.matches("open", tostring(tape))
  end)

  it("gives watched tensors back to the tape", function()
    local x = saros.tensor { 3 }
    local tape <close> = saros.tape()
    tape:watch(x)
    local loss = (x * x):sum()
    do
      local _ <close> = saros.no_gradient()
      local inner <close> = saros.tape()
      inner:watch(x)
      inner:backward((x * 5):sum())
      assert.same({ 5 }, x:gradient():totable())
    end
    tape:backward(loss + (x * 2):sum())
    assert.same({ 8 }, x:gradient():totable())
  end)

  it("belongs to the coroutine that began it, in whatever order pauses end", function()
    local a = parameter { 1 }
    local function paused()
      return coroutine.wrap(function()
        local _ <close> = saros.no_gradient()
        coroutine.yield()
      end)
    end
    local tape <close> = saros.tape()
    local first, second = paused(), paused()
    first()
    second()
    first()
    local y = a * 2 -- the second one is still there
    second()
    tape:backward(a * 3 + y)
    assert.same({ 3 }, a:gradient():totable())
  end)
end)

describe("a tape without parameters", function()
  it("records what comes from watched tensors alone", function()
    local w, x = parameter { 2, 3 }, saros.tensor { 1, 1 }
    local tape <close> = saros.tape { parameters = false }
    local _ = w * 2
    assert.equal(0, operations(tape))
    tape:watch(x)
    tape:backward((w * x):sum())
    assert.same({ 2, 3 }, x:gradient():totable())
    assert.is_nil(w:gradient())
    assert.is_true(w:trainable())
  end)

  it("gives a watched parameter a gradient of its own", function()
    local w = parameter { 2 }
    do
      local tape <close> = saros.tape { parameters = false }
      tape:watch(w)
      tape:backward(w * 7)
      assert.same({ 7 }, w:gradient():totable())
    end
    assert.is_true(w:trainable())
    assert.is_nil(w:gradient())
  end)
end)

-- --- What asks --------------------------------------------------------------------------

local text = data.text({ string = ("the quick brown fox. "):rep(20) }, { valid = 0.2 })
local prime = "the "

local function language_model(given)
  local o = { vocabulary = text.vocabulary, hidden = 6, layers = 2, cell = "lstm", dropout = 0.5, seed = 1 }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  return nn.language_model(o)
end

local function figures(found)
  return type(found) == "userdata" and found:totable() or found
end

-- Lists of what models and functions say, each with the model that is asked.
local questions = {}

local function ask(name, model, fn)
  questions[#questions + 1] = { name = name, model = model, fn = fn }
end

for name, given in pairs {
  plain = {}, variational = { variational = true }, ["recurrent dropout"] = { recurrent_dropout = 0.5 },
  zoneout = { zoneout = 0.5 }, minimal = { cell = "mingru" }, tied = { tie = true, cell = "gru" },
  lru = { cell = "lru", residual = true }, norms = { layer_norm = true, learn_state = true },
} do
  local lm = language_model(given)
  ask("evaluate, " .. name, lm, function() return (saros.evaluate(lm, text, { batch = 2, length = 9 })) end)
  ask("next, " .. name, lm, function() return lm:next { prime = prime }[1].probability end)
  ask("write, " .. name, lm, function() return lm:write { prime = prime, length = 12 } end)
end

local lm = language_model()
ask("next_words", lm, function() return lm:next_words { prime = "the" }[1].probability end)
ask("beam", lm, function() return lm:beam { prime = prime, length = 4 }[1].log_probability end)
ask("beam_search", lm, function()
  local function step(ids, state)
    local logits, after = lm(ids:reshape(1, -1), state)
    return saros.log_softmax(logits:select(1, 1)), after
  end
  return saros.beam_search(step, nil, { first = 1, max_length = 4 })[1].score
end)
ask("session", lm, function() return figures(lm:session():step(3)) end)
ask("int8 session", lm, function() return figures(lm:session({ weights = "int8" }):step(3)) end)
ask("sampler", lm, function()
  return saros.sampler { seed = 1 }(saros.tensor { 1, 2, 3, 4 }:trainable(true))
end)
ask("inspect.neurons", lm, function() return figures(saros.inspect.neurons(lm, prime).layers[2]) end)
ask("inspect.gates", lm, function() return saros.inspect.gates(lm, prime).rows[1].mean end)
ask("inspect.guesses", lm, function() return saros.inspect.guesses(lm, prime).bits end)
ask("inspect.reach", lm, function()
  return saros.inspect.reach(lm, ("the quick "):rep(3), { length = 8, rows = 4 }).norms
end)
ask("inspect.reach with recall", lm, function()
  return saros.inspect.reach(lm, ("the quick "):rep(3), { length = 4, rows = 4, recall = true }).recalled
end)
ask("read", lm, function() return figures((lm:read(prime))) end)
ask("memory", lm, function() return lm:memory({ length = 4, batch = 2 }).total end)
ask("summary", lm, function() return tostring(lm:summary()) end)
ask("gradient_check", lm, function()
  return (saros.gradient_check(function(x) return (x.a * x.a):sum() end, { a = parameter { 1, 2 } }))
end)
ask("ctc", lm, function()
  local logits = saros.generator(1):normal({ 3, 1, 4 }):trainable(true)
  return { saros.ctc.greedy(logits)[1], saros.ctc.beam(logits)[1][1].ids }
end)

local numbers = { low = {}, high = {} }
for i = 1, 6 do
  numbers.low[i] = saros.generator(i):normal { 5, 2 }
  numbers.high[i] = saros.generator(i):normal { 5, 2 } + 3
end
local set = data.labelled(numbers, { valid = 0.3 })
local classifier = nn.classifier { features = set.features, labels = set.labels, hidden = 5, layers = 2, dropout = 0.5 }
ask("classify", classifier, function() return select(2, classifier:classify(numbers.low[1]))[1].probability end)
ask("classifier's evaluate", classifier, function() return (saros.evaluate(classifier, set)) end)
ask("classifier's examine", classifier, function() return classifier:examine(set).confusion.counts end)

local series = data.series(saros.arange(60), { horizon = 2, valid = 0.2 })
local forecaster = nn.forecaster { series = series, hidden = 5, layers = 2, dropout = 0.5 }
ask("forecast", forecaster, function() return figures(forecaster:forecast { 1, 2, 3 }) end)
ask("forecasts", forecaster, function() return figures(forecaster:forecasts { 1, 2, 3 }) end)
ask("forecaster's evaluate", forecaster, function() return (saros.evaluate(forecaster, series)) end)
ask("forecaster's examine", forecaster, function() return forecaster:examine(series).forecasts[1].predictions[1].y end)
ask("forecaster's session", forecaster, function() return figures(forecaster:session():step(3)) end)

local words = data.pairs { { "ab", "ba" }, { "aab", "bb" }, { "ba", "ab" }, { "bb", "aa" } }
local translator = nn.encoder_decoder { source = words.source, target = words.target, hidden = 6, layers = 2,
  dropout = 0.5 }
ask("translate", translator, function() return translator:translate("ab")[1].log_probability end)
ask("encoder-decoder's evaluate", translator, function()
  return (saros.evaluate(translator, data.pairs({ { "ab", "ba" }, { "ba", "ab" } }, { valid = 0.5,
    source = words.source, target = words.target })))
end)
ask("align", translator, function() return figures(translator:align("ab", "ba")) end)

--- The gradients after a window in whose middle something is asked, and what
--- the tape has recorded of that.
local function window(model, question)
  local w, x = parameter { 2, 3 }, saros.tensor { 4, 5 }
  local answer
  model:clear_gradients()
  local tape <close> = saros.tape()
  tape:watch(x)
  local y = (w * x):sum()
  for _, tensor in ipairs(model:parameters()) do
    y = y + (tensor * 2):sum()
  end
  local before = operations(tape)
  answer = question()
  assert.equal(before, operations(tape))
  tape:backward((y * w):sum())
  local gradients = { w:gradient():totable(), x:gradient():totable() }
  for n, tensor in ipairs(model:parameters()) do
    gradients[n + 2] = tensor:gradient():totable()
  end
  model:clear_gradients()
  return gradients, answer
end

describe("asking inside an open tape", function()
  for _, question in ipairs(questions) do
    it(("gives what it gives outside: %s"):format(question.name), function()
      local alone = question.fn()
      local without = window(question.model, function() end)
      local with, answer = window(question.model, question.fn)
      assert.same(alone, answer)
      assert.same(without, with)
    end)
  end

  it("leaves the tape as it was between the pieces of a text", function()
    local a = parameter { 1 }
    local whole, pieces = lm:write { prime = prime, length = 5 }, {}
    local tape <close> = saros.tape()
    local loss = a * 0
    for piece in lm:generate { prime = prime, length = 5 } do
      loss, pieces[#pieces + 1] = loss + a, piece
    end
    tape:backward(loss)
    assert.equal(whole, table.concat(pieces))
    assert.same({ 5 }, a:gradient():totable())
  end)

  it("lets models begin and be loaded", function()
    local a = parameter { 1 }
    local tape <close> = saros.tape()
    local y = a * 2
    for _, cell in ipairs(cells) do
      nn[cell]({ 2, 3 }):init { seed = 1 }
      for _, weights in ipairs { "default", "glorot", "orthogonal" } do
        local norm = cell ~= "lru" and cell ~= "slstm" and cell ~= "delta" and cell ~= "mlstm"
        local made = language_model { cell = cell, weights = weights, layer_norm = norm }
        files.with_path(function(path)
          assert(made:save(path))
          assert(saros.load(path))
        end)
      end
    end
    assert.equal(1, operations(tape))
    tape:backward(y)
    assert.same({ 2 }, a:gradient():totable())
  end)

  it("lets learners learn", function()
    local net = nn.chain { nn.linear { 1, 1 } }:init { seed = 1 }
    local learner, a = net:learner { window = 2 }, parameter { 1 }
    local tape <close> = saros.tape()
    local y = a * 2
    for step = 1, 4 do
      learner:learn(step, step)
    end
    tape:backward(y)
    assert.same({ 2 }, a:gradient():totable())
  end)

  it("leaves gradients that have gathered", function()
    local a = parameter { 3 }
    do
      local tape <close> = saros.tape()
      tape:backward(a * 5)
    end
    local worst = saros.gradient_check(function() return (a * a):sum() end, { a, same = a })
    assert.is_true(worst < 1e-2, worst)
    assert.same({ 5 }, a:gradient():totable())
  end)
end)
