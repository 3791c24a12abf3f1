-- What an update learns from, and what means are over: elements, not batches.

local folders = require "spec.support.folders"
local values = require "spec.support.values"
local saros = require "saros"
local nn, data, optim = saros.nn, saros.data, saros.optim

local TOLERANCE = saros.info().real == "double" and 1e-10 or 1e-5

local SENTENCE = "the quick brown fox jumps over the lazy dog. "

local function assert_near(expected, actual, tolerance)
  assert.is_true(math.abs(expected - actual) <= (tolerance or TOLERANCE) * math.max(1, math.abs(expected)),
    ("expected %.9g, got %.9g"):format(expected, actual))
end

local function list_of(count, make)
  local list = {}
  for n = 1, count do
    list[n] = make(n)
  end
  return list
end

-- Sequences of unequal length, and models for them.
local KINDS = {
  pairs = function()
    local set = data.pairs(list_of(7, function(n) return { ("ab"):rep(n), ("ba"):rep(n * n % 11) } end))
    return set, nn.encoder_decoder { source = set.source, target = set.target, hidden = 6, cell = "gru", seed = 1 }
  end,
  labelled = function()
    local lists = { up = list_of(4, function(n) return ("abc"):rep(n) end),
      down = list_of(3, function(n) return ("cba"):rep(n * n) end) }
    local set = assert(data.labelled(lists, { valid = 0 }))
    return set, nn.classifier { vocabulary = set.vocabulary, labels = set.labels, hidden = 6, seed = 1 }
  end,
  series = function()
    local series = assert(data.series(saros.generator(1):normal { 12, 2 }, { valid = 0, horizon = 2 }))
    return series, nn.forecaster { series = series, hidden = 6, seed = 1 }, { length = 4 }
  end,
}

-- The records and the weights of a training with one large step an update.
local function train(kind, given)
  local set, model, more = KINDS[kind]()
  local records = {}
  local o = { optimizer = optim.sgd(model:parameters(), { lr = 0.1 }), clip = 1e9,
    on_window = function(record) records[#records + 1] = record end }
  for _, options in ipairs { more or {}, given } do
    for name, value in pairs(options) do
      o[name] = value
    end
  end
  local history = saros.fit(model, set, o)
  return records, model:tensors(), history
end

describe("the mean loss of a pass", function()
  for kind in pairs(KINDS) do
    it("is over all elements, in batches of any size: " .. kind, function()
      for batch = 1, 7 do
        local set, model, more = KINDS[kind]()
        local still = optim.sgd(model:parameters(), { lr = 0 })
        local o = { batch = batch, optimizer = still, length = more and more.length }
        local history = saros.fit(model, set, o)
        if kind ~= "series" then
          assert_near(saros.evaluate(model, set, { part = "train" }), history[1].train)
        else -- windows of a series overlap
          local sum, count = 0, 0
          for window in set:windows { batch = batch, length = 4, seed = 1 } do
            sum, count = sum + model:window_loss(window):item(), count + 1
          end
          assert_near(sum / count, history[1].train)
        end
      end
    end)
  end

  it("is that of a training that never stopped", function()
    local set, model = KINDS.pairs()
    local folder = folders.unused()
    local function run(stop)
      local lm, count = select(2, KINDS.pairs()), 0
      return pcall(saros.fit, lm, set, { batch = 2, run = folder, epochs = 2, on_window = function()
        count = count + 1
        assert(count ~= stop, "stop here")
      end })
    end
    assert.is_false((run(3)))
    local _, history = run()
    folders.remove(folder)
    local whole = saros.fit(model, set, { batch = 2, epochs = 2 })
    assert.equal(3, history.resumed.step)
    assert.equal(whole[1].train, history[1].train)
  end)
end)

describe("accumulated windows", function()
  for kind in pairs(KINDS) do
    it("are one large batch: " .. kind, function()
      local large, wanted = train(kind, { batch = 7 })
      for _, given in ipairs { { batch = 4, accumulate = 2 }, { batch = 3, accumulate = 3 },
        { batch = 1, accumulate = 7 } } do
        if kind ~= "series" or given.batch == 1 then -- a series leaves out what does not fill a batch
          local small, got = train(kind, given)
          assert.equal(#large, #small)
          for _, name in ipairs { "loss", "norm", "accuracy" } do
            if large[1][name] then
              assert_near(large[1][name], small[1][name])
            end
          end
          for name, tensor in pairs(wanted) do
            assert.same_values(tensor, got[name], TOLERANCE)
          end
        end
      end
    end)
  end

  it("count by their masks, also in segments", function()
    local generator, V = saros.generator(5), 5
    local inputs, targets = generator:uniform({ 6, 3, V }):argmax(-1), generator:uniform({ 6, 3, V }):argmax(-1)
    local mask = generator:uniform({ 6, 3 }):lt(0.4)
    mask:slice(1, 1, 2):select(2, 3):fill(0) -- nothing in a segment of a window
    mask:slice(1, 3, 6):select(2, 3):fill(1)

    local function norm_of(columns, o)
      local set = { train = targets, windows = function()
        local n = 0
        return function()
          n = n + 1
          local columns_of = columns[n]
          return columns_of and { inputs = inputs:slice(2, columns_of[1], columns_of[2]),
            targets = targets:slice(2, columns_of[1], columns_of[2]),
            mask = mask:slice(2, columns_of[1], columns_of[2]), reset = true, index = n, count = #columns } or nil
        end
      end }
      local net = nn.chain { nn.embedding { V, 4 }, nn.gru { 4, 5 }, nn.linear { 5, V } }:init { seed = 1 }
      local norm, loss
      o.optimizer, o.clip = optim.sgd(net:parameters(), { lr = 1 }), 1e9
      o.on_window = function(record) norm, loss = record.norm, record.loss end
      saros.fit(net, set, o)
      return norm, loss
    end

    local function assert_one_norm()
      local norm, loss = norm_of({ { 1, 3 } }, {})
      for _, columns in ipairs { { { 1, 3 } }, { { 1, 2 }, { 3, 3 } }, { { 1, 1 }, { 2, 2 }, { 3, 3 } } } do
        for _, segment in ipairs { false, 2, 6 } do
          local other, value = norm_of(columns, { accumulate = #columns, segment = segment or nil })
          assert_near(norm, other)
          assert_near(loss, value)
        end
      end
    end

    assert_one_norm()
    mask:select(2, 3):fill(0) -- nothing in a whole window, whose targets are no ids of the model
    for step = 1, 6 do
      targets[step][3] = V + 1
    end
    assert_one_norm()
    assert.error_matches(function() norm_of({ { 3, 3 } }, {}) end,
      "fit: expected a target that counts in window 1 of epoch 1, got a mask of zeros", 1, true)
  end)

  it("in segments never read what a mask hides", function()
    local series = assert(data.series(saros.arange(30):tanh()))
    local forecaster = nn.forecaster { series = series, hidden = 4 }
    local window = { inputs = saros.generator(1):normal { 8, 1, 1 },
      targets = saros.where(saros.arange(8):reshape(8, 1, 1, 1):gt(4), 0 / 0, 1),
      mask = saros.arange(8):reshape(8, 1, 1, 1):le(4) }
    local losses, norms = {}, {}
    for n, segment in ipairs { 8, 4, 3, 2 } do
      losses[n] = saros.backward_in_segments(forecaster, window, nil, { segment = segment })
      norms[n] = optim.clip_norm(forecaster:parameters(), 1e9)
      forecaster:clear_gradients()
      assert_near(losses[1], losses[n])
      assert_near(norms[1], norms[n])
    end
  end)
end)

describe("a training", function()
  local text = data.text({ string = SENTENCE:rep(20) }, { valid = 0.2 })

  it("tells bits and perplexity of losses that are in nats per symbol alone", function()
    local V = #text.vocabulary
    local net = nn.chain { nn.embedding { V, 4 }, nn.gru { 4, 4 }, nn.linear { 4, V } }
    local Squares = nn.module "squares"
    function Squares:window_loss(window)
      return nn.mse((self.net(window.inputs)), saros.one_hot(window.targets, V))
    end
    local own = Squares.new()
    own.net = own:add_member("net", net)
    own:init { seed = 1 }
    local o = { batch = 4, length = 10 }
    local plain = saros.fit(net, text, o)[1]
    assert.near(plain.valid / math.log(2), plain.bits, 1e-6)
    local squares = saros.fit(own, text, o)[1]
    assert.same({ nil, nil }, { squares.bits, squares.perplexity })
  end)

  local function model()
    return nn.language_model { vocabulary = text.vocabulary, hidden = 10, layers = 1, seed = 1 }
  end

  local function head_of(lm)
    return optim.sgd(lm.head:parameters(), { lr = 0.5 })
  end

  it("begins without gradients", function()
    local norms = {}
    for _, left in ipairs { false, true } do
      local lm = model()
      local other = nn.linear { 2, 2 }:init { seed = 1 }
      if left then
        local tape <close> = saros.tape()
        tape:backward(lm:window_loss(lm:sample_window(3, 2)) + (other(saros.ones(1, 2)) ^ 2):sum())
      end
      local both = table.move(lm:parameters(), 1, #lm:parameters(), 3, other:parameters())
      saros.fit(lm, text, { batch = 4, length = 10, clip = 1e9, optimizer = optim.sgd(both, { lr = 0.5 }),
        on_window = function(record) norms[#norms + 1] = record.step == 1 and record.norm or nil end })
    end
    assert.equal(norms[1], norms[2])
  end)

  it("gives no gradients to what its optimizer does not own", function()
    local lm = model()
    local before, head = lm.recurrent:parameters()[1]:clone(), lm.head.weight:clone()
    saros.fit(lm, text, { batch = 4, length = 10, optimizer = head_of(lm), on_window = function()
      for _, parameter in ipairs(lm:parameters()) do
        assert.is_nil(parameter:gradient())
      end
    end })
    assert.same_values(before, lm.recurrent:parameters()[1], 0)
    assert.is_true((lm.head.weight - head):abs():max():item() > 0)
    for _, parameter in ipairs(lm:parameters()) do
      assert.is_nil(parameter:gradient())
      assert.is_true(parameter:trainable())
    end
  end)

  it("clips by what its optimizer owns", function()
    local lm = model()
    local norm, expected
    saros.fit(lm, text, { batch = 4, length = 10, optimizer = head_of(lm), on_window = function(record)
      norm = norm or record.norm
    end })
    local twin = model()
    do
      local tape <close> = saros.tape()
      tape:backward((twin:window_loss(text:windows { batch = 4, length = 10 } ())))
      expected = optim.clip_norm(twin.head:parameters(), 1e9)
    end
    assert_near(expected, norm)
  end)

  it("leaves parameters trainable, or not, as they were, also after an error", function()
    local lm = model()
    lm.embedding.weight:trainable(false)
    for _, stop in ipairs { 1, 1000 } do
      pcall(saros.fit, lm, text, { batch = 4, length = 10, optimizer = head_of(lm), on_window = function(record)
        assert(record.step < stop, "stop here")
      end })
      assert.is_false(lm.embedding.weight:trainable())
      for _, parameter in ipairs(lm.recurrent:parameters()) do
        assert.is_true(parameter:trainable())
      end
    end
  end)

  it("refuses a pass without a window", function()
    local empty = { train = text.train, windows = function() return function() end end }
    assert.error_matches(function() saros.fit(model(), empty) end,
      "fit: expected at least one window in epoch 1, got none")
  end)
end)

describe("averaged weights", function()
  local text = data.text({ string = SENTENCE:rep(40) }, { valid = 0.1 })

  local function model()
    return nn.language_model { vocabulary = text.vocabulary, hidden = 8, layers = 1, seed = 1 }
  end

  it("are the weighted mean of those after each update, by decays that grow", function()
    for decay, after in pairs { [0.999] = 5, [0.3] = 12, [0] = 3 } do
      local lm, weights = model(), {}
      pcall(saros.fit, lm, text, { batch = 4, length = 10, on_window = function(record)
        weights[record.step] = lm.head.weight:clone()
        assert(record.step < after, "stop here")
      end })
      local mean, factors = saros.zeros(weights[1]:shape()), 0
      for n = 1, after do
        local factor = 1 - math.min(decay, (1 + n) / (10 + n))
        for later = n + 1, after do
          factor = factor * math.min(decay, (1 + later) / (10 + later))
        end
        mean, factors = mean + weights[n] * factor, factors + factor
      end
      local averaged = model()
      local average = require "saros.train.average"(averaged, decay)
      for n = 1, after do
        averaged.head.weight:assign(weights[n])
        average:update()
      end
      average:finish()
      assert.same_values(mean / factors, averaged.head.weight, TOLERANCE)
    end
  end)

  it("are of use from the first updates on", function()
    for _, decay in ipairs { 0.9, 0.999, 0.99999 } do
      local history = saros.fit(model(), text, { epochs = 2, batch = 4, length = 10, lr = 1e-2, average = decay })
      local by_chance = math.log(#text.vocabulary)
      assert.is_true(history[2].valid < 0.7 * by_chance, ("%g: %g"):format(decay, history[2].valid))
    end
  end)

  it("go on from a checkpoint that has none", function()
    local folder = folders.unused()
    local o = { batch = 4, length = 10, run = folder }
    saros.fit(model(), text, o)
    o.average, o.epochs, o.force = 0.999, 2, true
    local lm = model()
    local history = saros.fit(lm, text, o)
    assert.is_true(history[2].valid < history[1].valid)
    assert.equal(values.fingerprint(lm:tensors()), values.fingerprint(saros.load(folder):tensors()))
    folders.remove(folder)
  end)
end)
