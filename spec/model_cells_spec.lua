-- Ready models take every option of their cell, and cells of one's own.

require "spec.support.values"
local files = require "spec.support.files"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local TEXT = data.text({ string = ("to be or not to be, that is "):rep(20) }, { valid = 0 })
local SERIES = data.series(saros.arange(60):reshape(60, 1), {})
local LABELLED = data.labelled { a = { "aab", "aba", "baa" }, b = { "bbb", "abb", "bba" } }
local PAIRS = data.pairs { { "ab", "ba" }, { "aab", "baa" }, { "b", "b" } }

local Highway = nn.cell("highway", { states = { "h" } }, function(p, x, h)
  local z = saros.sigmoid(p.gate(x .. h))
  return z * saros.tanh(p.candidate(x .. h)) + (1 - z) * h
end)

local Begun = nn.cell("begun", { states = { { "h", first = 0.5 } } }, function(p, x, h)
  return saros.tanh(p.inner(x .. h))
end)

local function with(given, more)
  for name, value in pairs(more) do
    given[name] = value
  end
  return given
end

-- Each model, how it is built, and its loss of some batch.
local MODELS = {
  language_model = {
    function(o) return nn.language_model(with({ vocabulary = TEXT.vocabulary, hidden = 8 }, o)) end,
    function() return (TEXT:windows { batch = 4, length = 10 })() end,
  },
  classifier = {
    function(o)
      return nn.classifier(with({ vocabulary = LABELLED.vocabulary, labels = LABELLED.labels, hidden = 8 }, o))
    end,
    function() return (LABELLED:batches { batch = 4, seed = 1 })() end,
  },
  forecaster = {
    function(o) return nn.forecaster(with({ series = SERIES, hidden = 8 }, o)) end,
    function() return (SERIES:windows { batch = 2, length = 10 })() end,
  },
  encoder_decoder = {
    function(o)
      return nn.encoder_decoder(with({ source = PAIRS.source, target = PAIRS.target, hidden = 8 }, o))
    end,
    function() return (PAIRS:batches { batch = 3, seed = 1 })() end,
  },
}

local CELLS = {
  { cell = "lstm", projection = 4, peepholes = true, zoneout_cell = 0.1 },
  { cell = "lstm", forget_bias = 1, layer_norm = true, learn_state = true, residual = true, layers = 2 },
  { cell = "gru", reset = "before", remember = 20, bias = true },
  { cell = "rnn", activation = "relu", variational = true },
  { cell = "mingru", candidate = "positive", zoneout = 0.1 },
  { cell = "lru", r_max = 0.9, units = 6 },
  { cell = "slstm", heads = 2, forget = "exponential", remember = 9, zoneout = 0.1 },
  { cell = "slstm", forget_bias = 1, learn_state = true, residual = true, layers = 2, recurrent_dropout = 0.1 },
  { cell = "delta", heads = 1, reflections = 2, reflect = true, gate = "none", qkv_activation = "none", convolution = 0,
    output_norm = false, residual = true, layers = 2 },
  { cell = "delta", heads = 4, exact = 2, gate = "channel", reflections = 2, layers = 2 },
  { cell = "mlstm", heads = 2, convolution = 2, learn_state = true, residual = true, layers = 2 },
  { cell = "mlstm", key_size = 3, value_size = 5, output_norm = false, remember = 9 },
}

local function loss_of(model, window)
  local loss = model.window_loss and (model:window_loss(window)) or (model:loss(window))
  return loss:item()
end

for kind, entry in pairs(MODELS) do
  local build, next_window = entry[1], entry[2]

  describe(("the options of cells in nn.%s"):format(kind), function()
    for _, o in ipairs(CELLS) do
      it(("reach the layers (%s)"):format(o.cell), function()
        local model = build(o)
        local stack = model.recurrent or model.decoder
        for name, value in pairs(o) do
          if name ~= "cell" then
            assert.equal(value, stack.o[name], name)
          end
        end
        local loss = loss_of(model, next_window())
        assert.is_true(loss == loss)
        files.with_path(function(path)
          assert.is_true(model:save(path))
          local loaded = assert(saros.load(path))
          assert.equal(loss, loss_of(loaded, next_window()))
        end)
      end)
    end

    it("are refused by the layer's own words if it has no such option", function()
      assert.error_matches(function() build { cell = "gru", projection = 4 } end, "nn.gru: unknown option .projection")
      assert.error_matches(function() build { cell = "gru", reset = "never" } end, "nn.gru: expected option 'reset'")
      assert.error_matches(function() build { cell = "rnm" } end,
        "expected option 'cell' to be \"delta\" .* or a cell of nn.cell")
    end)

    it("may be a cell of one's own whose state begins with other numbers than 0", function()
      local model = build { cell = Begun }
      local loss = loss_of(model, next_window())
      files.with_path(function(path)
        assert.is_true(model:save(path))
        assert.near(loss, loss_of(assert(saros.load(path)), next_window()), 1e-5)
      end)
    end)

    it("may be a cell of one's own", function()
      local model = build { cell = Highway, layers = 2 }
      local loss = loss_of(model, next_window())
      local adam = saros.optim.adam(model:parameters(), { lr = 0.02 })
      for _ = 1, 5 do
        local tape <close> = saros.tape()
        local window = next_window()
        tape:backward(model.window_loss and (model:window_loss(window)) or (model:loss(window)))
        adam:step()
      end
      local trained = loss_of(model, next_window())
      assert.is_true(trained < loss, ("%g, then %g"):format(loss, trained))
      files.with_path(function(path)
        assert.is_true(model:save(path))
        local loaded = assert(saros.load(path))
        assert.near(trained, loss_of(loaded, next_window()), 1e-5)
        local first = files.read(path)
        assert.is_true(loaded:save(path))
        assert.equal(first, files.read(path))
        local other = build { cell = Highway, layers = 2, seed = 3 }
        assert.is_truthy(other:load(path))
        assert.equal(trained, loss_of(other, next_window()))
      end)
    end)
  end)
end

describe("a language model with a cell from a file", function()
  local V = data.vocabulary.characters "abcd"
  local function build(o)
    o.vocabulary, o.cell, o.hidden, o.seed = V, Highway, 6, 1
    return nn.language_model(o)
  end
  local ids = saros.ids { { 1, 2, 3 }, { 4, 1, 2 }, { 2, 2, 4 }, { 3, 4, 1 } }
  local begins = saros.tensor { { 1, 1, 1 }, { 0, 0, 0 }, { 0, 1, 0 }, { 0, 0, 0 } }
  local window = { inputs = ids, targets = ids, begins = begins }

  -- The loss and the gradients in training, from one seed.
  local function train(lm)
    for _, generator in pairs(lm:generators()) do
      generator:seed(4)
    end
    lm:clear_gradients()
    local tape <close> = saros.tape()
    local loss = lm:window_loss(window)
    tape:backward(loss)
    local gradients = {}
    for name, tensor in pairs(lm:tensors()) do
      gradients[name] = tensor:gradient():clone()
    end
    return loss:item(), gradients
  end

  for title, o in pairs {
    ["recurrent dropout"] = { recurrent_dropout = 0.5 },
    ["zoneout"] = { zoneout = 0.3, layers = 1 },
    ["every kind of dropout, learned first states"] = { dropout = 0.3, recurrent_dropout = 0.4, zoneout = 0.3,
      learn_state = true, residual = true },
  } do
    it("trains as the one that was saved, number for number (" .. title .. ")", function()
      local lm = build(o)
      files.with_path(function(path)
        assert(lm:save(path))
        local loaded = assert(saros.load(path))
        local loss, gradients = train(lm)
        local again, theirs = train(loaded)
        assert.near(loss, again, 1e-5)
        for name, gradient in pairs(gradients) do
          assert.same_values(gradient, theirs[name], 1e-5)
        end
      end)
    end)
  end

  it("writes in sessions what the model would, and goes back in segments", function()
    local lm = build {}
    local text = lm:write { length = 40, seed = 3 }
    local session, state = lm:session(), nil
    for step = 1, 4 do
      local logits
      logits, state = lm(ids:slice(1, step, step):slice(2, 1, 1), state)
      assert.same_values(logits:reshape(-1), session:step(ids[step][1]):reshape(-1), 1e-5)
    end
    files.with_path(function(path)
      assert(lm:save(path))
      assert.equal(text, assert(saros.load(path)):write { length = 40, seed = 3 })
    end)
    local _, gradients = train(lm)
    lm:clear_gradients()
    saros.backward_in_segments(lm, window, nil, { segment = 2 })
    for name, tensor in pairs(lm:tensors()) do
      assert.same_values(gradients[name], tensor:gradient(), 1e-5)
    end
  end)
end)
