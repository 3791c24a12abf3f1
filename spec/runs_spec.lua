-- Run folders: a training that stops, for whatever reason, goes on with the same
-- bits as if it had never stopped.

local files = require "spec.support.files"
local folders = require "spec.support.folders"
local lfs = require "lfs"
local saros = require "saros"
local nn, data, optim = saros.nn, saros.data, saros.optim

local SENTENCE = "the quick brown fox jumps over the lazy dog. "

local function small_text(sentence)
  return data.text({ string = (sentence or SENTENCE):rep(20) }, { valid = 0.1 })
end

local function small_model(text, given)
  local o = { vocabulary = text.vocabulary, cell = "lstm", hidden = 8, layers = 2, dropout = 0.2, zoneout = 0.1,
    recurrent_dropout = 0.1, seed = 1 }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  return nn.language_model(o)
end

local RULES = {
  sgd = { lr = 0.1, momentum = 0.9 }, rmsprop = { lr = 1e-3 }, adam = { lr = 1e-2 }, adamw = { lr = 1e-2 },
}

local content, write = files.read, files.write

local function names_in(path, other_than)
  local names = {}
  for name in lfs.dir(path) do
    names[#names + 1] = name ~= other_than and name:match "^[^.].*" or nil
  end
  table.sort(names)
  return names
end

-- Equal ones mean equal bits.
local function digests_of(lm)
  local list = {}
  for name, tensor in pairs(lm:tensors()) do
    list[#list + 1] = name .. " " .. tensor:digest()
  end
  table.sort(list)
  return table.concat(list, "\n")
end

-- The lines of metrics.jsonl without what the clock says.
local function metrics_of(run)
  local lines = {}
  for line in io.lines(run .. "/metrics.jsonl") do
    local record = assert(saros.json_decode(line))
    for _, name in ipairs { "symbols_per_second", "seconds_left", "seconds", "memory" } do
      assert.is_true(record[name] == nil or record[name] >= 0)
      record[name] = nil
    end
    lines[#lines + 1] = record
  end
  return lines
end

describe("a run folder", function()
  local text = small_text()
  local WINDOWS = 20 -- in an epoch of batch 4, length 10
  local run

  before_each(function()
    run = folders.unused()
  end)
  after_each(function()
    folders.remove(run)
  end)

  -- Trains a new model; after `stop` updates of this call an error ends it.
  local function train(given, stop, corpus, model)
    local lm = model or small_model(corpus or text)
    local o = { epochs = 3, batch = 4, length = 10, run = run, sample = 5 }
    for name, value in pairs(given or {}) do
      o[name] = value
    end
    if o.rule then
      o.optimizer, o.rule = optim[o.rule](lm:parameters(), RULES[o.rule]), nil
    elseif o.decay then
      o.optimizer, o.decay = optim.adamw(optim.groups(lm, { weight_decay = o.decay }), RULES.adamw), nil
    end
    local count, on_window = 0, o.on_window
    o.on_window = function(record)
      count = count + 1
      if on_window then
        on_window(record, lm)
      end
      assert(count ~= stop, "stop here")
    end
    local ok, history = pcall(saros.fit, lm, corpus or text, o)
    if stop then
      assert.matches("stop here", history)
    elseif not ok then
      error(history, 0)
    end
    return digests_of(lm), history, lm
  end

  local function whole(given)
    local o = { run = false }
    for name, value in pairs(given or {}) do
      o[name] = value
    end
    o.run = nil
    local folder = run
    run = nil
    local bits, history, lm = train(o)
    run = folder
    return bits, history, lm
  end

  for rule in pairs(RULES) do
    it(("goes on with the same bits, in the middle of an epoch, with %s"):format(rule), function()
      local bits, history = whole { rule = rule }
      train({ rule = rule }, 27)
      local resumed, later = train { rule = rule }
      assert.equal(bits, resumed)
      assert.equal(27, later.resumed.step)
      assert.equal(2, later.resumed.epoch)
      for epoch, record in ipairs(history) do
        for _, name in ipairs { "epoch", "step", "train", "valid", "best", "bits", "perplexity" } do
          assert.equal(record[name], later[epoch][name])
        end
      end
    end)
  end

  it("goes on with groups of parameters, and notices that they are others", function()
    local bits = whole { decay = 0.1 }
    train({ decay = 0.1 }, 27)
    assert.error_matches(function() train { decay = 0.2 } end,
      "training.optimizer.groups.1.weight_decay: 0.1 then, 0.2 now", 1, true)
    assert.error_matches(function() train { rule = "adamw" } end, "groups.2.weight_decay: 0 then, none now", 1, true)
    assert.equal(bits, (train { decay = 0.1 }))
  end)

  it("goes on between the last update of an epoch and its end", function()
    local bits = whole()
    train({}, WINDOWS)
    local printed = assert(io.tmpfile())
    local resumed, history = train { progress = saros.progress { file = printed } }
    assert.equal(bits, resumed)
    assert.same({ WINDOWS, 1 }, { history.resumed.step, history.resumed.epoch })
    assert.is_nil(history[1].symbols_per_second)
    assert.is_true(history[2].symbols_per_second > 0)
    printed:seek "set"
    assert.matches("\nepoch 1  loss [%d.]+  valid [%d.]+ %b()  %d+ MB\n", printed:read "a")
    printed:close()
  end)

  it("goes on as often as one likes, with accumulated gradients, averaged weights and a schedule", function()
    local given = { accumulate = 3, average = 0.9, schedule = optim.schedule.cosine { steps = 21 } }
    local bits = whole(given)
    for _ = 1, 4 do
      train(given, 4)
    end
    assert.equal(bits, (train(given)))
  end)

  it("goes on where an update was interrupted half-way", function()
    local bits = whole()
    for _, place in ipairs { "forward", "backward", "step" } do
      local lm, calls = small_model(text), 0
      local adam = optim.adam(lm:parameters(), { lr = 2e-3 })
      local owner, name = lm.head, "forward"
      if place ~= "forward" then
        owner, name = adam, "step"
      end
      local real = owner[name]
      owner[name] = function(...)
        calls = calls + 1
        assert(calls ~= 17, "stop here")
        return real(...)
      end
      assert.is_false(pcall(train, { optimizer = adam }, nil, nil, lm))
    end
    assert.equal(bits, (train()))
  end)

  it("has configuration, metrics, samples, checkpoints and the best model", function()
    local _, history = train { epochs = 4, keep = 1 }
    assert.same({ "checkpoints", "config.json", "lock", "metrics.jsonl", "model.safetensors", "samples" },
      names_in(run, "report.html"))
    local config = saros.json_decode(content(run .. "/config.json"))
    assert.equal(8, config.model.options.hidden)
    assert.equal(10, config.training.length)
    assert.equal("adam", config.training.optimizer.rule)
    assert.equal(#text.train, config.text.train.symbols)
    assert.same({ "epoch-0001.txt", "epoch-0002.txt", "epoch-0003.txt", "epoch-0004.txt" }, names_in(run .. "/samples"))
    assert.equal(#text:opening { seed = 4 } + 5 + 1, #content(run .. "/samples/epoch-0004.txt"))
    local best = history[4].best
    local wanted = best < 4 and { ("step-%09d.safetensors"):format(best * WINDOWS) } or {}
    wanted[#wanted + 1] = ("step-%09d.safetensors"):format(4 * WINDOWS)
    assert.same(wanted, names_in(run .. "/checkpoints"))
    assert.equal(history[best].valid, saros.evaluate(saros.load(run), text, { batch = 4, length = 10 }))
  end)

  it("logs each update and each epoch once, also where it was interrupted", function()
    train()
    local wanted = metrics_of(run)
    assert.equal(3 * WINDOWS + 3, #wanted)
    for _, name in ipairs { "step", "epoch", "loss", "bits", "perplexity", "lr", "norm" } do
      assert.is_number(wanted[1][name])
    end
    assert.equal("epoch", wanted[WINDOWS + 1].event)
    assert.is_number(wanted[WINDOWS + 1].valid)
    folders.remove(run)
    train({ checkpoint = { steps = 7 } }, 17)
    os.remove(run .. "/checkpoints/step-000000017.safetensors") -- as if killed
    local file = assert(io.open(run .. "/metrics.jsonl", "a"))
    file:write '{"event": "window", "ste' -- as if torn
    file:close()
    local _, history = train { checkpoint = { steps = 7 } }
    assert.equal(14, history.resumed.step)
    assert.same(wanted, metrics_of(run))
  end)

  it("has nothing left to do where all epochs are done, and goes on if there are more", function()
    local bits, history = train()
    local again, same = train()
    assert.equal(bits, again)
    assert.same(history, { table.unpack(same) })
    assert.equal((whole { epochs = 5 }), (train { epochs = 5 }))
  end)

  it("remembers that patience ran out", function()
    local text_to_learn = data.text({ string = SENTENCE:rep(18) .. "dogs doze where foxes have never been. " },
      { valid = 0.045 })
    local given = { epochs = 60, patience = 1, lr = 2e-2 }
    local _, history = train(given, nil, text_to_learn)
    assert.is_true(#history < 60 and history[#history].stopped)
    local shown = {}
    given.progress = { window = function() end, epoch = function() end, write = function(_, line)
      shown[#shown + 1] = line
    end }
    local _, same = train(given, nil, text_to_learn)
    assert.equal(#history, #same)
    assert.equal(("nothing is left to do in %s: no lower held-out loss in 1 epochs\n"):format(run), shown[1])
    given.patience, given.progress = 3, nil
    local _, longer = train(given, nil, text_to_learn)
    assert.is_true(#longer > #history)
  end)

  it("starts again if asked to", function()
    local bits = train()
    assert.equal(bits, (train { resume = false }))
    assert.equal(3 * WINDOWS + 3, #metrics_of(run))
  end)

  it("says that it goes on, and from where", function()
    local shown = {}
    local progress = {
      window = function() end, epoch = function() end,
      write = function(_, line) shown[#shown + 1] = not line:find "^report: " and line or nil end,
      stop = function(_, line) shown[#shown + 1] = line end,
    }
    train({ progress = progress }, 27)
    train { progress = progress }
    local _, history = train { progress = progress }
    assert.same({
      ("the model after epoch 1 is in %s; the same call goes on after step 27"):format(run),
      ("going on in %s after step 27, in epoch 2\n"):format(run),
      ("nothing is left to do in %s: all 3 epochs are done; more of them would go on\n"):format(run),
    }, shown)
    assert.equal(60, history.resumed.step)
  end)

  it("lists what is configured otherwise, and goes on with it only if forced", function()
    train({}, 27)
    local before = content(run .. "/config.json")
    local ok, message = pcall(train, { length = 5, lr = 1e-3 })
    assert.is_false(ok)
    assert.equal(("fit: expected the configuration of %s; force = true goes on with the new one, "
      .. "resume = false starts over:\n"
      .. "  training.length: 10 then, 5 now\n"
      .. "  training.optimizer.options.lr: 0.002 then, 0.001 now"):format(run), message)
    assert.equal(before, content(run .. "/config.json"))
    assert.error_matches(function() train({}, nil, nil, small_model(text, { dropout = 0.5 })) end,
      "model.options.dropout: 0.2 then, 0.5 now")
    assert.error_matches(function() train { schedule = optim.schedule.step { every = 5 } } end,
      "\n  training.optimizer.schedule: another one from step 28 on")
    local _, history = train { lr = 1e-3, force = true }
    assert.equal(3, #history)
    assert.equal(0.001, saros.json_decode(content(run .. "/config.json")).training.optimizer.options.lr)
    local smaller = small_model(text, { hidden = 4 })
    for _, force in ipairs { false, true } do
      local _, problem = pcall(train, { epochs = 4, force = force, lr = 1e-3 }, nil, nil, smaller)
      assert.equal(("fit: expected a model and an optimizer that fit the checkpoints in %s, got others; "
        .. "resume = false starts over, or choose another folder:\n"
        .. "  model.options.embedding: 8 then, 4 now\n"
        .. "  model.options.hidden: 8 then, 4 now"):format(run), problem)
      _, problem = pcall(train, { rule = "sgd", force = force })
      assert.matches("that fit the checkpoints in .*\n  training.optimizer.rule: adam then, sgd now", problem)
    end
  end)

  it("notices another schedule wherever it differs in the steps to come", function()
    local function step_at(place)
      return function(step) return step < place and 1 or 0.5 end
    end
    train({ schedule = step_at(41) }, 27)
    for _, other in ipairs { step_at(40), step_at(42), step_at(60), step_at(28), optim.schedule.constant(), false } do
      assert.error_matches(function() train { schedule = other or nil } end,
        "training.optimizer.schedule: another one from step %d%d on")
    end
    -- What is over no longer matters, nor what comes behind the last epoch.
    train({ schedule = function(step) return step < 10 and 7 or step_at(41)(step) end }, 1)
    train({ schedule = function(step) return step > 200 and 7 or step_at(41)(step) end }, 1)
    train { schedule = step_at(41), epochs = 4 }
    assert.error_matches(function() train { schedule = step_at(99), epochs = 5 } end, "another one from step %d%d on")
    train { schedule = step_at(99), epochs = 5, force = true }
    train { schedule = step_at(99), epochs = 6 }
    assert.equal(6, #select(2, train { schedule = step_at(7), epochs = 6 })) -- nothing is left to do
  end)

  it("has a constant schedule where it had none", function()
    local bits = whole()
    train({}, 27)
    assert.equal(bits, (train { schedule = optim.schedule.constant() }))
  end)

  it("starts a pass over in windows of another size", function()
    for change, windows in pairs { batch = 5, length = 8 } do -- 810 symbols
      local size = change == "batch" and 16 or 25
      train({ resume = false }, 27)
      local lines = {}
      local progress = { window = function() end, epoch = function() end,
        write = function(_, line) lines[#lines + 1] = line end }
      local _, history, lm = train { [change] = size, force = true, progress = progress }
      assert.same({ 20, 27 + windows, 27 + 2 * windows }, { history[1].step, history[2].step, history[3].step })
      assert.equal("epoch 2 starts over, because batch or length has changed\n", lines[1])
      assert.is_true(lm:parameters()[1]:all_finite())
    end
    train { resume = false, epochs = 1 } -- a pass is done
    assert.equal(20 + 2 * 7, select(2, train { batch = 16, length = 7, force = true })[3].step)
  end)

  it("says that there is a file of its name", function()
    write(run, "")
    assert.error_matches(function() train() end,
      ("fit: expected to make the run folder %q: there is a file of that name"):format(run), 1, true)
    os.remove(run)
  end)

  it("refuses another text, even if forced", function()
    train({}, 27)
    for _, sentence in ipairs { SENTENCE:gsub("lazy", "zaly"), SENTENCE .. " " } do
      for _, force in ipairs { false, true } do
        assert.error_matches(function() train({ force = force }, nil, small_text(sentence)) end,
          "fit: expected the text that " .. run
          .. " was trained on, got another one; .*\n  text.train.digest: %x+ then")
      end
    end
  end)

  it("leaves everything as it was where it refuses to go on", function()
    train({}, 27)
    local function everything()
      local all = {}
      for _, folder in ipairs { run, run .. "/checkpoints", run .. "/samples" } do
        for _, name in ipairs(names_in(folder)) do
          local path = folder .. "/" .. name
          all[path] = lfs.attributes(path, "mode") == "file" and content(path) or "folder"
        end
      end
      return all
    end
    local path = run .. "/checkpoints/step-000000027.safetensors"
    local bytes = content(path)
    for _, case in ipairs {
      { "got another one", function() train({}, nil, small_text "another text altogether. ") end },
      { "then, 5 now", function() train { length = 5 } end },
      { "that fit the checkpoints", function()
        train({ force = true }, nil, nil, small_model(text, { hidden = 4 }))
      end },
      { "written by a newer version", function()
        write(path, (bytes:gsub('\\"format\\": 2', '\\"format\\": 9')))
        train()
      end },
    } do
      local before = everything()
      local ok, message = pcall(case[2])
      assert.is_false(ok)
      assert.matches(case[1], message, 1, true)
      before[path] = content(path)
      assert.same(before, everything())
    end
  end)

  it("falls back to the checkpoint before one that is damaged, and says so", function()
    local bits = whole()
    for _, damage in ipairs {
      function(bytes) return bytes:sub(1, -100) end,
      function(bytes) return bytes:sub(1, 5) end,
      function() return "" end,
      function(bytes) return bytes:sub(1, -2) .. string.char(bytes:byte(-1) ~ 1) end,
    } do
      train({ checkpoint = { steps = 5 }, resume = false }, 27)
      local last = run .. "/checkpoints/step-000000027.safetensors"
      write(last, damage(content(last)))
      local resumed, history = train { checkpoint = { steps = 5 } }
      assert.equal(bits, resumed)
      assert.equal(25, history.resumed.step)
      assert.equal(1, #history.resumed.damaged)
      assert.matches("step-000000027.safetensors", history.resumed.damaged[1], 1, true)
      assert.is_truthy(content(last .. ".damaged"))
    end
  end)

  it("refuses checkpoints that are all damaged, and those of another format", function()
    train({}, 5)
    local path = run .. "/checkpoints/step-000000005.safetensors"
    local bytes = content(path)
    write(path, "nonsense")
    assert.error_matches(train, "fit: expected a readable checkpoint in .*, got none; resume = false starts over:\n")
    write(path, (bytes:gsub('\\"format\\": 2', '\\"format\\": 9')))
    assert.error_matches(train,
      "fit: expected a checkpoint of format 2 in .*step%-000000005.safetensors\", got 9; written by a newer version")
    write(path, (bytes:gsub('\\"format\\": 2', '\\"format\\": 1')))
    assert.error_matches(train, "expected a checkpoint of format 2 in .*, got 1; written by an older version, "
      .. "which had other losses; resume = false starts over")
    write(path, (bytes:gsub('\\"cursor\\"', '\\"kursor\\"')))
    assert.error_matches(train, "expected its cursor, got nil")
    write(run .. "/config.json", "{")
    assert.error_matches(train, "fit: expected a readable .*config.json\"; resume = false starts over")
    train { resume = false }
  end)

  it("begins where there was no checkpoint yet", function()
    local bits = whole()
    train({}, 5)
    os.remove(run .. "/checkpoints/step-000000005.safetensors")
    local resumed, history = train()
    assert.equal(bits, resumed)
    assert.is_nil(history.resumed)
  end)

  it("trains modules of any kind, and those without a file of their own", function()
    local V = #text.vocabulary
    local function build()
      return nn.chain { nn.embedding { V, 8 }, nn.gru { 8, 8, dropout = 0.1 }, nn.linear { 8, V } }:init { seed = 1 }
    end
    local folder = run
    run = nil
    local bits = train({}, nil, nil, build())
    run = folder
    train({}, 27, nil, build())
    assert.equal(bits, (train({}, nil, nil, build())))
  end)

  it("evaluates, keeps and leaves averaged weights", function()
    local _, history, lm = train { average = 0.9 }
    assert.equal(history[3].valid, saros.evaluate(lm, text, { batch = 4, length = 10 }))
    assert.equal(history[history[3].best].valid, saros.evaluate(saros.load(run), text, { batch = 4, length = 10 }))
    local _, plain = whole()
    assert.equal(plain[1].train, history[1].train)
    assert.not_equal(plain[3].valid, history[3].valid)
  end)

  describe("with rollback", function()
    it("goes back to the last checkpoint with a smaller rate, which it keeps", function()
      local broken, rates, steps, shown = 0, {}, {}, {}
      local progress = {
        window = function() end, epoch = function() end,
        write = function(_, line) shown[#shown + 1] = line:find "going back" and line or nil end,
      }
      local given = { rollback = 0.25, checkpoint = { steps = 5 }, progress = progress, on_window = function(record, lm)
        rates[#rates + 1], steps[#steps + 1] = record.lr, record.step
        if record.step == 13 and broken < 2 then
          broken = broken + 1
          lm.head.bias:fill(0 / 0)
        end
      end }
      train(given, 40)
      assert.same({ "expected a finite loss, got nan in window 14 of epoch 1, first in parameter 'head.bias'; "
        .. "going back to step 10, with 0.25 times the rate\n" }, { shown[1] })
      assert.equal(2, #shown)
      for position, rate in ipairs(rates) do
        local times = position <= 13 and 0 or position <= 16 and 1 or 2
        assert.near(2e-3 * 0.25 ^ times, rate, 1e-12)
      end
      assert.same({ 12, 13, 11, 12, 13, 11 }, table.move(steps, 12, 17, 1, {}))
      local _, history = train(given)
      assert.equal(2e-3 * 0.25 ^ 2, rates[#rates])
      assert.equal(3 * WINDOWS, history[3].step)
      local events = {}
      for _, record in ipairs(metrics_of(run)) do
        events[record.event] = (events[record.event] or 0) + 1
      end
      assert.same({ window = 3 * WINDOWS, epoch = 3, rollback = 2 }, events)
    end)

    it("goes back to the beginning, too", function()
      local broken
      local bits = whole { lr = 1e-3 }
      assert.equal(bits, (train { rollback = 0.5, on_window = function(_, lm)
        if not broken then
          broken = true
          lm.head.bias:fill(0 / 0)
        end
      end }))
    end)

    it("gives up where that does not help, and says what is wrong", function()
      assert.error_matches(function()
        train { rollback = 0.01, on_window = function(_, lm) lm.head.bias:fill(0 / 0) end }
      end, "fit: expected a finite loss, got nan in window 2 of epoch 1, first in parameter 'head.bias'")
      assert.error_matches(function() train { rollback = 0 } end,
        "fit: expected rollback in (0, 1) and a run folder to go back to", 1, true)
    end)
  end)

  it("writes no checkpoint that is not finite", function()
    assert.error_matches(function()
      train { checkpoint = { steps = 7 }, on_window = function(record, lm)
        if record.step == 14 then
          lm.head.bias:fill(1 / 0)
        end
      end }
    end, "fit: expected a finite model, got one that is not after step 14, first in parameter 'head.bias'")
    assert.same({ "step-000000007.safetensors" }, names_in(run .. "/checkpoints"))
  end)

  it("says what options are for", function()
    assert.error_matches(function() train { checkpoint = {} } end,
      "expected option 'checkpoint' to be { steps = N } or { epochs = N }, got a table")
    assert.error_matches(function() train { average = 1 } end, "expected option 'average' to be a number in %[0, 1%)")
    assert.error_matches(function() train { optimizer = { step = 1, parameters = {} } } end,
      "fit: expected an optimizer with state and restore, since run is given")
  end)
end)
