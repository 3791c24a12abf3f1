-- saros.fit on several ranks: the same bits for any number of them, one run folder, and
-- errors that all are told.
--
-- See ranks_spec.lua for how to take another MPI.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local folders = require "spec.support.folders"
local ranks = require "spec.support.ranks"
local saros = require "saros"

-- What all scripts begin with.
local START = [[
saros.threads(1)
local nn, data, is_first = saros.nn, saros.data, saros.ranks.rank() == 0
local function bits(name, model, history)
  local names = {}
  for name, tensor in pairs(model:tensors()) do
    names[#names + 1] = name .. "=" .. tensor:digest()
  end
  table.sort(names)
  local figures = {}
  for n, record in ipairs(history or {}) do
    figures[n] = ("%.17g %s %s"):format(record.train, record.valid, record.accuracy)
  end
  if is_first then
    print(name, table.concat(figures, ", "), table.concat(names, " "))
  end
end
local text = data.text({ string = ("the quick brown fox jumps over the lazy dog. "):rep(20) }, { valid = 0.1 })
local function language_model(o)
  return nn.language_model { vocabulary = text.vocabulary, cell = o and o.cell or "gru", hidden = 8, dropout = 0.2,
    zoneout = 0.1, seed = saros.ranks.rank() + 1 } -- all begin as rank 0 does
end
]]

-- Each kind of data, of odd sizes, and options of fit.
local KINDS = [[
local function train(name, model, set, o)
  o.shards, o.epochs = 5, 2
  bits(name, model, saros.fit(model, set, o))
end
train("text", language_model(), text, { batch = 7, length = 9, accumulate = 3, average = 0.9 })
train("segments", language_model { cell = "lstm" }, text, { batch = 6, length = 12, segment = 5 })
train("few rows", language_model(), text, { batch = 3, length = 20 })
local pieces = data.pieces({ "abc", "cabbage", "ab", "a bad cab", "face", "deaf" }, { valid = 0 })
train("pieces", nn.language_model { vocabulary = pieces.vocabulary, cell = "rnn", hidden = 6, seed = 1 }, pieces,
  { batch = 3, length = 4 })
local pairs_of = {}
for n = 1, 23 do
  pairs_of[n] = { tostring(n * 37), ("x"):rep(n % 5) }
end
pairs_of = data.pairs(pairs_of, { valid = 0.2 })
train("pairs", nn.encoder_decoder { source = pairs_of.source, target = pairs_of.target, cell = "gru", hidden = 6,
  attention = "dot", label_smoothing = 0.1, seed = 1 }, pairs_of, { batch = 8 })
local waves = { slow = {}, fast = {} }
for n = 1, 13 do
  for label, rate in pairs { slow = 0.3, fast = 0.9 } do
    local wave = {}
    for t = 1, 3 + n % 4 do
      wave[t] = math.sin(rate * t + n)
    end
    waves[label][n] = { wave, weight = n % 3 + 1 }
  end
end
local labelled = data.labelled(waves, { valid = 0.2 })
train("labelled", nn.classifier { features = labelled.features, labels = labelled.labels, cell = "gru", hidden = 5,
  class_weights = labelled:class_weights(), seed = 1 }, labelled, { batch = 6 })
local numbers = saros.arange(60):sin()
local series = assert(data.series(numbers, { valid = 0.2 }))
train("series", nn.forecaster { series = series, cell = "lstm", hidden = 4, seed = 1 }, series,
  { batch = 7, length = 6, optimizer = nil, clip = 0.1 })
]]

-- A training with a folder, that its checkpoints can be cut off.
local RUN = [[
local lm = language_model()
local history = saros.fit(lm, text, { epochs = 2, batch = 9, length = 10, run = arg[1], sample = 5, keep = 9,
  checkpoint = { steps = 3 }, patience = 3, progress = saros.progress(),
  on_window = arg[2] and function(record)
    if record.step == tonumber(arg[2]) and saros.ranks.rank() == 1 then
      os.execute "kill -9 $PPID"
    end
  end })
bits("run", lm, history)
]]

describe("fit in shards", function()
  it("is the same for a process alone without MPI, whatever the threads", function()
    local path = os.tmpname()
    files.write(path, START .. KINDS)
    local one = commands.succeed(path)
    files.write(path, (START:gsub("threads%(1%)", "threads(2)")) .. KINDS)
    assert.equal(one, commands.succeed(path))
    os.remove(path)
    assert.equal(7, select(2, one:gsub("\n", "\n")))
  end)

  it("has the gradients of all rows, up to rounding", function()
    local text = saros.data.text({ string = ("abcab cabbage "):rep(40) }, { valid = 0.1 })
    local function train(shards)
      local lm = saros.nn.language_model { vocabulary = text.vocabulary, cell = "gru", hidden = 8, seed = 1 }
      local history = saros.fit(lm, text, { batch = 7, length = 9, shards = shards })
      return history[1].train, lm
    end
    local whole, model = train()
    for _, shards in ipairs { 1, 3, 8 } do
      local loss, other = train(shards)
      assert.is_true(math.abs(loss - whole) < 1e-4)
      for name, tensor in pairs(model:tensors()) do
        assert.is_true((tensor - other:tensors()[name]):abs():max():item() < 1e-3, name)
      end
    end
  end)

  it("says what it expects", function()
    local nn = saros.nn
    local text = saros.data.text({ string = ("abcab cabbage "):rep(40) }, { valid = 0.1 })
    local V = #text.vocabulary
    local net = nn.chain { nn.embedding { V, 4 }, nn.batch_norm { 4 }, nn.gru { 4, 4 }, nn.linear { 4, V } }
    net:init { seed = 1 }
    assert.error_matches(function()
      saros.fit(net, text, { shards = 2, batch = 4, length = 5 })
    end, "fit: expected a model that keeps no statistics of what it reads", 1, true)
  end)
end)

describe("fit on several ranks", function()
  if ranks.missing() then
    it("is started by mpirun", function()
      pending(ranks.missing())
    end)
    return
  end

  local run

  before_each(function()
    run = folders.unused()
  end)
  after_each(function()
    folders.remove(run)
  end)

  it("has the same bits for every kind of data, whatever their number", function()
    local one = ranks.succeed(1, START .. KINDS)
    assert.equal(7, select(2, one:gsub("\n", "\n")))
    for _, count in ipairs { 2, 3, 5 } do
      assert.equal(one, ranks.succeed(count, START .. KINDS), count .. " ranks")
    end
  end)

  it("has one run folder, which rank 0 writes", function()
    local output = ranks.succeed(3, START .. RUN, run)
    assert.equal(1, select(2, output:gsub("epoch 1  loss ", "")), output)
    assert.equal(1, select(2, output:gsub("report: ", "")))
    local lines = {}
    for line in files.read(run .. "/metrics.jsonl"):gmatch "[^\n]+" do
      lines[#lines + 1] = saros.json_decode(line)
    end
    assert.equal(18, #lines) -- 16 updates, 2 epochs
    assert.equal(3, #lines[18].ranks)
    local page = files.read(run .. "/report.html")
    assert.matches("<h2>Seconds of the last pass by rank</h2>", page, 1, true)
    for _, label in ipairs { "rank 0", "rank 2", "computing", "waiting", "communicating" } do
      assert.matches(">" .. label .. "<", page, 1, true)
    end
    for _, seconds in ipairs(lines[18].ranks) do
      assert.is_true(seconds.computing > 0 and seconds.waiting > 0 and seconds.communicating > 0)
      local sum = seconds.computing + seconds.waiting + seconds.communicating
      assert.is_true(math.abs(sum - lines[18].seconds) < 0.5 * lines[18].seconds + 0.5)
    end
    for _, name in ipairs { "model.safetensors", "report.html", "samples/epoch-0002.txt", "config.json" } do
      assert.is_true(#files.read(run .. "/" .. name) > 0)
    end
  end)

  it("goes on with another number of ranks after one was killed, with the same bits", function()
    local whole = ranks.succeed(1, START .. RUN, run):match "run\t[^\n]+"
    folders.remove(run)
    local output, status = ranks.run(4, START .. RUN, run, 5)
    assert.is_true(status ~= 0, output)
    assert.is_nil(output:find "run\t")
    output = ranks.succeed(2, START .. RUN, run)
    assert.matches("going on in " .. run .. " after step 3, ", output, 1, true)
    assert.equal(whole, output:match "run\t[^\n]+")
  end)

  it("stops together behind an update where a signal comes to one, and goes on from there", function()
    local whole = ranks.succeed(1, START .. RUN, run):match "run\t[^\n]+"
    folders.remove(run)
    local output, status = ranks.run(3, START .. RUN:gsub("kill %-9", "kill -TERM"), run, 4)
    assert.is_true(status ~= 0, output)
    assert.matches("saros: fit: interrupted by a signal after step 5\n", output, 1, true)
    assert.is_nil(output:find("has failed", 1, true), output)
    output = ranks.succeed(2, START .. RUN, run)
    assert.matches("going on in " .. run .. " after step 5, ", output, 1, true)
    assert.equal(whole, output:match "run\t[^\n]+")
  end)

  it("goes back together where a loss is not finite", function()
    local output = ranks.succeed(3, START .. [[
      local lm = language_model()
      local hit
      local history = saros.fit(lm, text, { epochs = 2, batch = 9, length = 10, run = arg[1], sample = 0,
        rollback = 0.5, checkpoint = { steps = 2 }, progress = saros.progress(), on_window = function(record)
          if record.step == 3 and not hit then
            hit = true
            lm:parameters()[1]:fill(0 / 0)
          end
        end })
      bits("run", lm, history)]], run)
    assert.matches("expected a finite loss, got nan in window 4 of epoch 1, first in parameter 'embedding.weight'; "
      .. "going back to step 2, with 0.5 times the rate", output, 1, true)
    assert.is_nil(output:match("run\t[^\n]+"):find "nan")
  end)

  it("sends gradients in 16 bits where asked to, with which all ranks end alike", function()
    local output = ranks.succeed(3, START .. [[
      local function train(wire)
        local lm = language_model()
        local history = saros.fit(lm, text, { epochs = 2, batch = 9, length = 10, wire = wire })
        local all = saros.ranks.gather(lm:parameters()[1]:digest())
        assert(all[1] == all[2] and all[2] == all[3])
        return history[2].train, all[1]
      end
      local real, one = train "real"
      local bf16, two = train "bf16"
      if is_first then
        print(one == two, math.abs(real - bf16) < 0.01)
      end]])
    assert.equal("false\ttrue\n", output)
  end)

  it("ends on all ranks where it fails on one, which is named", function()
    local output, status = ranks.run(3, START .. [[
      saros.fit(language_model(), text, { epochs = 2, batch = 9, length = 10, on_window = function(record)
        if record.step == 2 and saros.ranks.rank() == 2 then error("this is enough", 0) end
      end })]])
    assert.is_true(status ~= 0)
    assert.matches("ranks: rank 2 on %S+ has failed: this is enough\n", output)
  end)

  it("refuses ranks that differ in options or data, and lists how", function()
    local output, status = ranks.run(2, START .. [[
      local own = is_first and text or data.text({ string = ("the quick brown fox jumps over the lazy dog. "):rep(21) })
      saros.fit(language_model(), own, { batch = 9, length = 10, clip = is_first and 1 or 2 })]])
    assert.is_true(status ~= 0)
    assert.matches("fit: expected the same configuration and data on all ranks, got on rank 0 and on rank 1 on %S+:\n"
      .. "  text%.train%.digest: %S+ there, %S+ here\n  text%.train%.symbols: 810 there, 850 here\n.*\n"
      .. "  training%.clip: 1 there, 2 here\n", output)
  end)

  it("refuses more ranks than shards", function()
    local output, status = ranks.run(3, START .. "saros.fit(language_model(), text, { batch = 9, shards = 2 })")
    assert.is_true(status ~= 0)
    assert.matches("fit: expected shards for all 3 ranks, got shards = 2", output, 1, true)
  end)
end)
