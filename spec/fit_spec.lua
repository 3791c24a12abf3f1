local folders = require "spec.support.folders"
local values = require "spec.support.values"
local saros = require "saros"
local nn, data, optim = saros.nn, saros.data, saros.optim

local SENTENCE = "the quick brown fox jumps over the lazy dog. "

local function small_text(valid)
  return data.text({ string = SENTENCE:rep(20) }, { valid = valid or 0 })
end

local function small_model(text, given)
  local options = { vocabulary = text.vocabulary, hidden = 24, layers = 2, seed = 1 }
  for name, value in pairs(given or {}) do
    options[name] = value
  end
  return nn.language_model(options)
end

local temporary_folder = folders.unused

describe("fit", function()
  it("learns a small text by heart", function()
    local text = small_text()
    local lm = small_model(text)
    local history = saros.fit(lm, text, { epochs = 60, batch = 4, length = 20, lr = 1e-2 })
    assert.equal(60, #history)
    assert.is_true(history[60].train < 0.05, "loss " .. history[60].train)
    assert.is_true(history[60].train < history[1].train)
  end)

  it("does what one's own loop does, bit for bit", function()
    local text = small_text()
    local by_fit, by_hand = small_model(text), small_model(text)
    saros.fit(by_fit, text, { epochs = 2, batch = 4, length = 20, lr = 1e-2, clip = 0.5 })

    local adam = optim.adam(by_hand:parameters(), { lr = 1e-2 })
    for _ = 1, 2 do
      local state
      for window in text:windows { batch = 4, length = 20 } do
        local tape <close> = saros.tape()
        local logits
        logits, state = by_hand(window.inputs, state)
        tape:backward(nn.cross_entropy(logits, window.targets))
        optim.clip_norm(by_hand:parameters(), 0.5)
        adam:step()
      end
    end
    assert.equal(values.fingerprint(by_hand:tensors()), values.fingerprint(by_fit:tensors()))
  end)

  it("gives the same bits for the same seed, with dropout and any number of threads", function()
    local text = small_text(0.1)
    local function run(seed, threads)
      local before = saros.threads()
      saros.threads(threads)
      local lm = small_model(text, { dropout = 0.3, seed = seed })
      saros.fit(lm, text, { epochs = 2, batch = 4, length = 20 })
      saros.threads(before)
      return values.fingerprint(lm:tensors())
    end
    assert.equal(run(1, 1), run(1, 2))
    assert.not_equal(run(1, 1), run(2, 1))
  end)

  it("tells its speed without what stands between updates", function()
    local core, time = require "saros.core", 0
    local clock, pace = core.clock, require("saros.train.pace")()
    local rates, means = {}, {}
    core.clock = function() return time end
    for epoch = 1, 3 do
      time = time + 60 -- the held-out part, a sample
      pace:begin()
      for step = 1, 5 do
        time = time + 0.5
        rates[#rates + 1] = pace:update(100)
        time = time + (step == 3 and 10 or 0) -- a checkpoint
        pace:resume()
      end
      means[epoch] = pace:mean()
    end
    pace:resume()
    assert.is_true(pace:update(100) < math.huge) -- though the clock has not moved
    core.clock = clock
    for _, rate in ipairs(rates) do
      assert.near(200, rate, 1e-6)
    end
    assert.same({ 200, 200, 200 }, means)
  end)

  it("tells the memory of its own call", function()
    local text = small_text(0.2)
    do
      local _ <close> = saros.zeros(1 << 24) -- 64 MiB, before it
    end
    local history = saros.fit(small_model(text), text, { epochs = 1, batch = 4, length = 20 })
    assert.is_true(saros.memory().peak > 64 << 20 and history[1].memory < 32 << 20)
  end)

  it("tells what it does", function()
    local text = small_text(0.2)
    local windows, epochs = {}, {}
    local history = saros.fit(small_model(text), text, {
      epochs = 2, batch = 4, length = 20,
      on_window = function(record) windows[#windows + 1] = record end,
      on_epoch = function(record) epochs[#epochs + 1] = record end,
    })
    assert.same(history, epochs)
    assert.equal(2 * windows[1].count, #windows)
    assert.equal(#windows, windows[#windows].step)
    assert.equal(0, math.floor(windows[#windows].seconds_left))
    for _, record in ipairs(windows) do
      assert.is_true(record.norm > 0 and record.loss > 0 and record.symbols_per_second > 0)
    end
    assert.is_true(epochs[2].valid < epochs[1].valid)
  end)

  it("takes an optimizer and a schedule", function()
    local text = small_text()
    local lm = small_model(text)
    local sgd = optim.sgd(lm:parameters(), { lr = 0.5, momentum = 0.9 })
    local history = saros.fit(lm, text, { epochs = 5, batch = 4, length = 20, optimizer = sgd })
    assert.is_true(history[5].train < history[1].train)
    assert.equal(history[5].step, sgd.steps)

    local rates = {}
    saros.fit(lm, text, {
      epochs = 1, batch = 4, length = 20, lr = 1,
      schedule = function(step) return 1e-3 / step end,
      on_window = function(record) rates[#rates + 1] = record.lr end,
    })
    assert.near(1e-3 / 2, rates[2], 1e-12)
  end)

  it("refuses a rate beside an optimizer, which has its own", function()
    local text = small_text()
    local lm = small_model(text)
    local sgd = optim.sgd(lm:parameters(), { lr = 0.5 })
    for name, value in pairs { lr = 0.1, schedule = optim.schedule.constant() } do
      assert.error_matches(function()
        saros.fit(lm, text, { batch = 4, length = 20, optimizer = sgd, [name] = value })
      end, ("fit: expected no option '%s', since optimizer is given; make the optimizer with it, as in "
        .. "optim.adam(model:parameters(), { %s = ... })"):format(name, name), 1, true)
    end
    assert.equal(0, sgd.steps)
  end)

  it("refuses an optimizer of another model", function()
    local other = optim.sgd(nn.linear({ 2, 3 }):init({ seed = 1 }):parameters(), { lr = 1 })
    assert.error_matches(function()
      local text = small_text()
      saros.fit(small_model(text), text, { batch = 4, length = 20, optimizer = other })
    end, "fit: expected an optimizer of the model's parameters, got one of others", 1, true)
  end)

  it("trains any stateful module", function()
    local text = small_text()
    local V = #text.vocabulary
    local net = nn.chain { nn.embedding { V, 8 }, nn.rnn { 8, 16 }, nn.linear { 16, V } }:init { seed = 1 }
    local history = saros.fit(net, text, { epochs = 3, batch = 4, length = 20 })
    assert.is_true(history[3].train < history[1].train)
  end)

  it("leaves a model in its run folder", function()
    local text = small_text()
    local lm = small_model(text)
    local run = temporary_folder()
    saros.fit(lm, text, { epochs = 1, batch = 4, length = 20, run = run .. "/deep" })
    local loaded = assert(saros.load(run .. "/deep"))
    assert.equal(values.fingerprint(lm:tensors()), values.fingerprint(loaded:tensors()))
    folders.remove(run)
  end)

  it("stops at a loss that is not finite, and says where", function()
    local text = small_text(0.1)
    local lm = small_model(text)
    assert.error_matches(function()
      saros.fit(lm, text, { batch = 4, length = 20, on_window = function(record)
        if record.index == record.count then
          lm.head.bias:fill(0 / 0)
        end
      end })
    end, "fit: expected a finite loss, got nan on the held%-out part after epoch 1, first in parameter 'head.bias'; "
      .. "a smaller lr or clip may help")
    assert.error_matches(function() saros.fit(lm, text, { batch = 4, length = 20 }) end,
      "fit: expected a finite loss, got nan in window 1 of epoch 1, first in parameter 'head.bias'")
  end)

  describe("names what is the first to be not finite:", function()
    local text = small_text()
    local V = #text.vocabulary

    local function chain(fn)
      return nn.chain { nn.embedding { V, 8 }, nn.rnn { 8, 8 }, nn.linear { 8, V }, fn }:init { seed = 1 }
    end

    local function refusal(model)
      local ok, message = pcall(saros.fit, model, text, { batch = 4, length = 20 })
      assert.is_false(ok)
      return message
    end

    it("an operation and its layer", function()
      local huge = saros.info().real == "float" and 3e38 or 1.7e308
      for cell, place in pairs { rnn = "linear in head", lstm = "linear in head" } do
        local lm = small_model(text, { cell = cell })
        lm.head.weight:fill(huge)
        lm.head.bias:fill(huge)
        assert.equal("fit: expected a finite loss, got nan in window 1 of epoch 1, first in the result of "
          .. place .. "; a smaller lr or clip may help", (refusal(lm):gsub("got %-?[ni][an][nf]", "got nan")))
      end
      local lm = small_model(text, { cell = "rnn" })
      lm.recurrent.directions[1].parameters.weight_hh:fill(huge)
      lm.recurrent.directions[1].parameters.weight_ih:fill(-huge)
      assert.matches("first in the result of linear in recurrent.layer 1", (refusal(lm)))
    end)

    it("an operation of one's own", function()
      assert.matches("got nan in window 1 of epoch 1, first in the result of log in chain;", refusal(chain(function(x)
        return (x - 100):log() * 0
      end)))
    end)

    it("the gradient of a parameter, where the loss is finite", function()
      assert.matches("fit: expected a finite gradient, got one that is not in window 1 of epoch 1, first in "
        .. "the gradient of '2.bias'", refusal(chain(function(x)
        return x + (x * 0):sqrt()
      end)), 1, true)
    end)

    it("and measures nothing afterwards", function()
      refusal(chain(function(x) return x / 0 end))
      assert.is_truthy(saros.tensor(1 / 0):exp())
      assert.equal(0, require("saros.nn.scope").profiles)
    end)
  end)

  it("prints nothing unless it is given a progress display", function()
    local path = os.tmpname()
    local text = small_text(0.2)
    local file = assert(io.open(path, "w"))
    local history = saros.fit(small_model(text), text, {
      epochs = 3, batch = 4, length = 20,
      progress = saros.progress { file = file, live = false },
    })
    file:close()
    local lines = {}
    for line in io.lines(path) do
      lines[#lines + 1] = line
    end
    os.remove(path)
    assert.equal(3, #lines)
    assert.matches("^epoch 2  loss %d%.%d%d%d%d  valid %d%.%d%d%d%d %(%d%.%d%d%d bits, perplexity %d+%.%d%d%)"
      .. "  %d+%.?%d*[kM]? symbols/s  %d+ MB$", lines[2])
    assert.matches(("(%.3f bits, perplexity %.2f)"):format(history[2].valid / math.log(2), math.exp(history[2].valid)),
      lines[2], 1, true)
    assert.matches(("loss %.4f"):format(history[2].train), lines[2], 1, true)
  end)

  describe("on a text that it learns by heart, so that the held-out loss turns", function()
    local text = data.text({ string = SENTENCE:rep(18) .. "dogs doze where foxes have never been. " },
      { valid = 0.045 })

    -- The history, and what the run folder and the display have at the end.
    local function run(given)
      local folder = temporary_folder()
      local shown = {}
      local o = { epochs = 12, batch = 4, length = 20, lr = 2e-3, run = folder, progress = {
        window = function() end,
        epoch = function() end,
        stop = function(_, message) shown[#shown + 1] = message:gsub(folder, "FOLDER", 1) end,
      } }
      for name, value in pairs(given) do
        o[name] = value
      end
      local ok, history = pcall(saros.fit, small_model(text), text, o)
      local kept = saros.load(folder)
      folders.remove(folder)
      return history, kept, shown, ok
    end

    it("keeps the model with the lowest held-out loss, and says which that is", function()
      local history, kept, shown = run {}
      assert.equal(12, #history)
      local lowest = 1
      for epoch, record in ipairs(history) do
        lowest = record.valid < history[lowest].valid and epoch or lowest
        assert.equal(lowest, record.best)
        assert.is_false(record.stopped)
      end
      assert.is_true(1 < lowest and lowest < 12)
      assert.equal(history[lowest].valid, saros.evaluate(kept, text, { batch = 4, length = 20 }))
      assert.same({}, shown)
    end)

    it("keeps the last model where nothing is held out", function()
      local whole = data.text({ string = SENTENCE:rep(20) }, { valid = 0 })
      local lm, folder = small_model(whole), temporary_folder()
      local history = saros.fit(lm, whole, { epochs = 3, batch = 4, length = 20, run = folder })
      assert.equal(values.fingerprint(lm:tensors()), values.fingerprint(saros.load(folder):tensors()))
      assert.is_nil(history[3].best)
      folders.remove(folder)
    end)

    it("stops after so many passes without a lower loss", function()
      local whole = run {}
      local best = whole[12].best
      local history, kept, shown = run { patience = 2 }
      assert.equal(best + 2, #history)
      assert.equal(best, history[#history].best)
      assert.is_true(history[#history].stopped)
      assert.is_false(history[#history - 1].stopped)
      assert.equal(history[best].valid, saros.evaluate(kept, text, { batch = 4, length = 20 }))
      local message = "no lower held-out loss in 2 epochs; the model after epoch %d is in FOLDER"
      assert.same({ message:format(best) }, shown)
    end)

    -- What a model ends with: its held-out loss, and whether the run folder has the same.
    local function ends_with(given)
      local lm, folder = small_model(text), given.run and temporary_folder()
      local o = { epochs = 12, batch = 4, length = 20 }
      for name, value in pairs(given) do
        o[name] = value
      end
      o.run = folder or nil
      local history = saros.fit(lm, text, o)
      if folder then
        assert.equal(values.fingerprint(saros.load(folder):tensors()), values.fingerprint(lm:tensors()))
        local again = small_model(text)
        assert.equal(#history, #saros.fit(again, text, o)) -- nothing is left to do
        assert.equal(values.fingerprint(lm:tensors()), values.fingerprint(again:tensors()))
        folders.remove(folder)
      end
      return saros.evaluate(lm, text, { batch = 4, length = 20 }), history
    end

    it("ends with the best weights, where there is patience", function()
      for _, average in ipairs { false, 0.9 } do
        for _, in_folder in ipairs { false, true } do
          for _, patience in ipairs { 2, 100 } do -- the epochs run out before a hundred
            local valid, history = ends_with { patience = patience, run = in_folder, average = average or nil,
              lr = 4e-3 }
            local best = history[#history].best
            assert.is_true(best < #history)
            assert.equal(patience == 2, history[#history].stopped)
            assert.equal(history[best].valid, valid)
          end
        end
      end
    end)

    it("ends with the last weights, where there is none", function()
      local lm = small_model(text)
      local history = saros.fit(lm, text, { epochs = 12, batch = 4, length = 20 })
      assert.is_true(history[12].best < 12)
      assert.equal(history[12].valid, saros.evaluate(lm, text, { batch = 4, length = 20 }))
    end)

    it("ends with the best weights of an earlier call, too", function()
      local folder = temporary_folder()
      local o = { epochs = 11, batch = 4, length = 20, run = folder, patience = 100 }
      local history = saros.fit(small_model(text), text, o)
      local best = history[11].best
      assert.is_true(best < 11)
      local lm = small_model(text)
      o.epochs = 12
      history = saros.fit(lm, text, o)
      folders.remove(folder)
      assert.equal(best, history[12].best)
      assert.equal(history[best].valid, saros.evaluate(lm, text, { batch = 4, length = 20 }))
    end)

    it("names the kept epoch when it is interrupted", function()
      local best = run({})[12].best
      local _, kept, shown, ok = run { on_window = function(record)
        assert(record.epoch < 12 or record.index == 1, "interrupted")
      end }
      assert.is_false(ok)
      assert.is_not_nil(kept)
      local goes_on = "the model after epoch %d is in FOLDER; the same call goes on after step %d"
      assert.same({ goes_on:format(best, 11 * 10 + 2) }, shown)
    end)

    it("has no patience without a held-out part", function()
      local lm = small_model(text)
      assert.error_matches(function() saros.fit(lm, small_text(), { batch = 4, length = 20, patience = 1 }) end,
        "fit: expected data with a held%-out part, since patience is given; .*valid = 0.1")
      assert.error_matches(function() saros.fit(lm, text, { patience = 0 }) end,
        "expected option 'patience' to be a positive integer, got 0")
    end)
  end)

  it("refuses data whose symbols or labels mean something else to the model", function()
    local lm = small_model(small_text())
    local other = data.text({ string = SENTENCE:rep(20):gsub("e", "E") }, { valid = 0.1 })
    for _, name in ipairs { "fit", "evaluate", "find_rate" } do
      assert.error_matches(function() saros[name](lm, other) end,
        name .. ': expected data with the vocabulary of the model, got "E" as 3, which to the model is "a"; '
          .. "option 'vocabulary' of the data takes the model's")
    end
    saros.fit(lm, small_text(), { batch = 4, length = 20 }) -- another vocabulary of the same symbols
    assert.error_matches(function() saros.fit(lm, data.text { string = ("\n\t"):rep(99) }) end,
      'got "\\9" as 1, which to the model is " ";', 1, true)
    assert.error_matches(function() saros.fit(lm, data.text { string = ("\n"):rep(99) }) end,
      'got "\\n" as 1, which to the model is " ";', 1, true)
  end)

  it("refuses what it cannot train", function()
    local text = small_text()
    assert.error_matches(function() small_model { vocabulary = text } end,
      "expected option 'vocabulary' to be a vocabulary, such as text.vocabulary, got a saros.Text")
    local lm = small_model(text)
    assert.error_matches(function() saros.fit(nil, text) end,
      "fit: expected a stateful module, or one with a window_loss, got nil")
    assert.error_matches(function() saros.fit(nn.linear { 2, 2 }, text) end, "expected a stateful module")
    assert.error_matches(function() saros.fit(lm, "text") end,
      'fit: expected a text or other data with a training part, got "text"')
    local set = data.labelled({ a = { SENTENCE } }, { vocabulary = text.vocabulary })
    assert.error_matches(function() saros.fit(lm, set) end,
      "language_model: expected windows of a text or of pieces, got batches without targets")
    assert.error_matches(function() saros.fit(lm, text, { epoch = 1 }) end, 'fit: unknown option "epoch"')
    assert.error_matches(function() saros.fit(lm, text, { clip = 0 }) end, "a positive number, got 0")
    assert.error_matches(function() saros.fit(lm, text, { progress = {} }) end,
      "to be a progress display, such as saros.progress(), got a table", 1, true)
    for _, make in ipairs { function(o) saros.fit(lm, text, o) end, function(o) optim.adam(lm:parameters(), o) end } do
      assert.error_matches(function() make { schedule = "cosine" } end, "expected option 'schedule' to be a function "
        .. 'of the step, such as optim.schedule.cosine { steps = N }, got "cosine"', 1, true)
    end
    assert.error_matches(function() saros.fit(lm, text, { optimizer = 3 }) end, "to be an optimizer, got 3")
    assert.error_matches(function() saros.fit(lm, text, { batch = 1000 }) end,
      "expected at least 50001 characters for batch = 1000 and length = 50, got 900 in part 'train' of string; "
      .. "use a smaller batch or length, or more text: batch = 17 fits this length")
    assert.error_matches(function() saros.fit(lm, text, { batch = 4, length = 20, run = "/proc/nowhere" }) end,
      'fit: expected to make the run folder "/proc/nowhere": No such file or directory', 1, true)
  end)
end)

describe("a batch or a length that is too large", function()
  local text = small_text()
  local series = assert(data.series(saros.arange(60), { valid = 0.2, horizon = 2 }))
  local pieces = assert(data.pieces({ "abc", "def", "ghi", "abd", "abe" }, { valid = 0 }))
  local sets = {
    text = { text, small_model(text) },
    pieces = { pieces, small_model(pieces) },
    series = { series, nn.forecaster { series = series, hidden = 4 } },
  }
  for name, case in pairs(sets) do
    it("is refused with what would fit, which fits: " .. name, function()
      local set, model = table.unpack(case)
      for _, size in ipairs { { batch = 4, length = 5000 }, { batch = 5000, length = 4 } } do
        for _, act in ipairs { "fit", "find_rate" } do
          local ok, message = pcall(saros[act], model, set, size)
          assert.is_false(ok)
          local option, value = message:match "(%l+) = (%d+) fits this"
          local fits = { batch = size.batch, length = size.length, [option] = math.tointeger(value) }
          assert.is_true(#saros.fit(model, set, fits) == 1)
          fits[option] = fits[option] + 1
          assert.is_false((pcall(saros.fit, model, set, fits)))
        end
      end
    end)
  end

  it("takes all sequences that there are where these stay whole", function()
    local set = assert(data.labelled({ a = { "ab", "abc" }, b = { "ba", "cba" } }, { valid = 0 }))
    local classifier = nn.classifier { vocabulary = set.vocabulary, labels = set.labels, hidden = 4 }
    local counts = {}
    saros.fit(classifier, set, { batch = 5000, on_window = function(record) counts[#counts + 1] = record.count end })
    assert.same({ 1 }, counts)
  end)
end)

describe("find_rate", function()
  it("tries growing rates, until the loss is far too high, and leaves the model as it was", function()
    local text = small_text()
    local lm = small_model(text, { dropout = 0.2 })
    local before, states = values.fingerprint(lm:tensors()), lm.recurrent.generator:state()
    local found = saros.find_rate(lm, text, { batch = 4, length = 20, low = 1e-4, high = 100, steps = 60 })
    assert.equal(before, values.fingerprint(lm:tensors()))
    assert.equal(states, lm.recurrent.generator:state())
    assert.is_nil(lm:parameters()[1]:gradient())
    assert.is_true(#found.rates < 60)
    assert.equal(#found.rates, #found.losses)
    assert.near(1e-4, found.rates[1], 1e-10)
    assert.near(1e-4 * 1e6 ^ (1 / 59), found.rates[2], 1e-9)
    local lowest = 1
    for position, loss in ipairs(found.losses) do
      lowest = loss < found.losses[lowest] and position or lowest
    end
    assert.equal(found.rates[lowest] / 10, found.rate)
    assert.is_true(found.rate > 2e-4 and found.rate < 0.1, tostring(found.rate))
    assert.matches("^rate       loss\n1.0e%-04   %d%.%d%d%d%d\n.*\nbegin with %d%.%de%-%d+$", tostring(found))
    local _, lines = tostring(found):gsub("\n", "\n")
    assert.is_true(lines > 6 and lines <= 13)
  end)

  it("ends at a loss that is not finite", function()
    local text = small_text()
    local lm = small_model(text)
    lm.head.bias:fill(0 / 0)
    assert.equal(0, #saros.find_rate(lm, text, { batch = 4, length = 20 }).rates)
    assert.error_matches(function() saros.find_rate(lm, text, { low = 1, high = 1 }) end,
      "find_rate: expected low < high, got 1 and 1")
    assert.error_matches(function() saros.find_rate(lm, text, { batch = 1000 }) end,
      "find_rate: .*expected at least 50001 characters")
  end)
end)

describe("a progress display", function()
  local function shown(given, act)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    given.file = file
    act(saros.progress(given))
    file:close()
    local result = assert(io.open(path)):read "a"
    os.remove(path)
    return result
  end

  local window = {
    epoch = 2, epochs = 4, index = 5, count = 10, step = 15, loss = 1.625, smoothed = 1.5,
    symbols_per_second = 45210, seconds_left = 75, bits = 2,
  }

  it("redraws one line on a terminal", function()
    assert.equal("\r\27[Kepoch 2/4 [########............]  step 15"
      .. "  loss 1.5000, now 1.6250  45.2k symbols/s  1:15 left",
      shown({ live = true }, function(progress) progress:window(window) end))
  end)

  it("counts steps where there are no symbols, which have bits", function()
    local record = setmetatable({}, { __index = function(_, name) return name ~= "bits" and window[name] or nil end })
    assert.matches("45.2k steps/s", shown({ live = true }, function(progress) progress:window(record) end), 1, true)
  end)

  it("leaves out the step, the bar, then the speed, where the terminal is narrow", function()
    local function line(width)
      return shown({ live = true, width = width }, function(progress) progress:window(window) end):sub(5)
    end
    assert.equal(73, #line(73))
    assert.equal("epoch 2/4  loss 1.5000  45.2k symbols/s  1:15 left", line(72))
    assert.equal("epoch 2/4  loss 1.5000  1:15 left", line(49))
    assert.equal("epoch 2/4  loss 1.5000", line(32))
    assert.equal("epoch 2/4 ", line(10))
  end)

  it("shows memory where there is room", function()
    local record = setmetatable({ memory = 34.4e6 }, { __index = window })
    local function line(width)
      return shown({ live = true, width = width }, function(progress) progress:window(record) end):sub(5)
    end
    assert.equal("epoch 2/4 [########............]  loss 1.5000  45.2k symbols/s  34 MB  1:15 left", line(80))
    assert.equal("epoch 2/4  loss 1.5000  45.2k symbols/s  34 MB  1:15 left", line(79))
    assert.equal("epoch 2/4  loss 1.5000  45.2k symbols/s  1:15 left", line(56))
  end)

  it("ends a live line once, when training stops before its time", function()
    assert.equal("\r\27[Kepoch 2/4  \nwhy\n\n", shown({ live = true, width = 11 }, function(progress)
      progress:window(window)
      progress:stop "why"
      progress:stop()
      progress.file:write "\n"
    end))
    assert.equal("", shown({}, function(progress) progress:stop() end))
  end)

  it("draws nothing live into a pipe", function()
    assert.equal("", shown({}, function(progress) progress:window(window) end))
  end)

  it("can leave epochs out, but never the last", function()
    local text = shown({ live = false, every = 3 }, function(progress)
      for epoch = 1, 5 do
        progress:epoch { epoch = epoch, epochs = 5, train = 1, symbols_per_second = 999 }
      end
    end)
    assert.equal("epoch 3  loss 1.0000  999 steps/s\nepoch 5  loss 1.0000  999 steps/s\n", text)
  end)

  it("names the best epoch once it is behind, and shows the one that was the last", function()
    local text = shown({ live = false, every = 4 }, function(progress)
      for epoch = 4, 9 do
        progress:epoch { epoch = epoch, epochs = 20, train = 1, valid = 2, best = math.min(epoch, 6),
          stopped = epoch == 9, symbols_per_second = 999 }
      end
    end)
    assert.equal("epoch 4  loss 1.0000  valid 2.0000  999 steps/s\n"
      .. "epoch 8  loss 1.0000  valid 2.0000  999 steps/s  best: epoch 6\n"
      .. "epoch 9  loss 1.0000  valid 2.0000  999 steps/s  best: epoch 6\n", text)
  end)

  it("writes other text without tearing the line", function()
    assert.equal("\r\27[Khello\n", shown({ live = true }, function(progress) progress:write "hello\n" end))
  end)
end)
