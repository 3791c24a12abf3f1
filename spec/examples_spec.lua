-- Every example runs for a few steps, as a user would run it.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local folders = require "spec.support.folders"
local lfs = require "lfs"
local saros = require "saros"
local data, nn = saros.data, saros.nn

local SENTENCE = "We the People of the United States of America. "

local run, succeed = commands.run, commands.succeed

-- Calls act(text_path, run_folder) with a small text; all is gone afterwards.
local function with_text(act)
  local path, folder = os.tmpname(), os.tmpname()
  os.remove(folder)
  local file = assert(io.open(path, "w"))
  file:write(SENTENCE:rep(80))
  file:close()
  local ok, message = pcall(act, path, folder)
  os.remove(path)
  folders.remove(folder)
  assert(ok, message)
end

-- What examples/stream.lua prints about some lines.
local function told_after(model, lines, options)
  local output
  files.with_path(function(path)
    assert(model:save(path))
    output = commands.shell(("printf '%s' | '%s' examples/stream.lua %s %s"):format(
      lines, commands.interpreter, path, options or ""))
  end)
  return output
end

describe("the examples", function()
  it("train a character model, let it go on, and ask it for words", function()
    with_text(function(text, folder)
      local output = succeed("examples/char_rnn.lua", "--text", text, "--unit", "char", "--cell", "rnn",
        "--layers", 1, "--hidden", 24, "--embedding", 12, "--residual", "--batch", 4, "--length", 20,
        "--epochs", 3, "--lr", 1e-2, "--schedule", "cosine", "--clip", 5, "--dropout", 0.1,
        "--patience", 2, "--seed", 1, "--threads", 1, "--run", folder, "--sample", 40)
      assert.matches("\nepoch 3  loss %d%.%d%d%d%d  valid %d%.%d%d%d%d %b()  [%d.]+[kM]? symbols/s  %d+ MB\n", output)
      assert.is_true(#output:match "\nreport: [^\n]+\n\n(.*)\n$" >= 40)

      output = succeed("examples/export.lua", "--model", folder, "--out", text .. ".c", "--name", "first",
        "--weights", "int8")
      os.remove(text .. ".c")
      assert.matches("^[^\n]+%.c: language_model [^\n]+ weights\ncheck it: [^\n]+ %-DFIRST_TEST ", output)

      output = succeed("examples/generate.lua", "--model", folder, "--prime", "We the", "--length", 20,
        "--temperature", 0.5, "--top-k", 5, "--top-p", 0.9, "--seed", 2)
      assert.equal(#"We the" + 20 + 1, #output)
      assert.equal("We the", output:sub(1, 6))

      output = succeed("examples/next_word.lua", "--model", folder)
      assert.matches("\nthe United States of +%-> %a+ %d+ %%", output)
      assert.matches("^We +%-> %a+ ", succeed("examples/next_word.lua", "--model", folder, "--prefix", "We"))

      output = succeed("examples/neurons.lua", "--model", folder, "--text", text, "--save", folder .. "/pictures")
      assert.matches("^follows .*\nupper case +%d +%d+ +[+-]%d%.%d%d\n", output)
      assert.matches("\nWhat was expected under each symbol ", output, 1, true)
      assert.is_nil(output:find("\27", 1, true)) -- no colours where there is no terminal
      assert.matches("\nuses %a[^\n]*\nsteps  gradient  loss    recalled\n1  ", output)
      for _, name in ipairs { "neurons.html", "guesses.html", "reach.svg" } do
        assert(os.remove(folder .. "/pictures/" .. name))
      end
      os.remove(folder .. "/pictures")

      output = run("examples/report.lua", folder, "--output", text .. ".html")
      assert.is_truthy(output == "written: " .. text .. ".html\n" or output:find "make setup", output)
      os.remove(text .. ".html")
    end)
  end)

  it("go on with a character model where its run folder has one", function()
    with_text(function(text, folder)
      local function train(...)
        return (run("examples/char_rnn.lua", "--text", text, "--hidden", 8, "--batch", 4, "--length", 20,
          "--run", folder, "--sample", 5, ...))
      end
      assert.is_nil(train("--epochs", 1):find("going on", 1, true))
      local output = train("--epochs", 2)
      assert.matches("\ngoing on in " .. folder .. " after step 42, in epoch 2\nepoch 2  loss ", output, 1, true)
      assert.is_nil(output:find("\nepoch 1 ", 1, true))
      output = train("--epochs", 3, "--lr", 1e-3)
      assert.matches("\n  training.optimizer.options.lr: 0.002 then, 0.001 now\n$", output)
      assert.matches("\nepoch 3 ", train("--epochs", 3, "--lr", 1e-3, "--force"))
      assert.matches("\nepoch 1 ", train("--epochs", 1, "--lr", 1e-3, "--anew"))
    end)
  end)

  it("begin with the script that the README shows", function()
    local function content(path)
      local file <close> = assert(io.open(path))
      return file:read "a"
    end
    assert.is_truthy(content("README.md"):find(content "examples/first.lua", 1, true))
    with_text(function(text)
      local output = succeed("examples/first.lua", text, 2)
      assert.matches("^epoch  1  loss %d%.%d%d%d\nepoch  2  loss %d%.%d%d%d\nWe the People ", output)
      local refusal, status = run("examples/first.lua", text, "two")
      assert.equal(1, status)
      assert.matches("'for' limit", refusal, 1, true)
    end)
  end)

  it("follow the recipe for a larger text", function()
    with_text(function(text, folder)
      local output = succeed("examples/shakespeare.lua", text, "--epochs", 2, "--seed", 1, "--threads", 1,
        "--run", folder)
      assert.matches("\nepoch 1  loss %d%.%d%d%d%d  valid %d%.%d%d%d%d %b()  [%d.]+[kM]? symbols/s  %d+ MB\n", output)
      assert.is_true(#output:match "\n\n(.*)\n$" >= 400)
      succeed("examples/generate.lua", "--model", folder, "--length", 5)
    end)
  end)

  it("follow the recipe with minimal GRUs in blocks", function()
    with_text(function(text, path)
      local output = succeed("examples/blocks.lua", text, "--epochs", 1, "--size", 12, "--hidden", 16, "--blocks", 2,
        "--threads", 1, "--save", path)
      assert.equal(30, #succeed("examples/generate.lua", "--model", path, "--length", 29))
      os.remove(path)
      assert.matches("\nepoch 1  loss %d%.%d%d%d%d  valid %d%.%d%d%d%d ", output)
      assert.equal(400, #output:match " MB\n(.*)\n$")
    end)
  end)

  it("prepare a text, and train a model of pieces and one of words", function()
    with_text(function(text, folder)
      local tokens = folder .. ".tokens"
      local output = succeed("examples/prepare.lua", "--text", text, "--out", tokens, "--unit", "bpe", "--size", 270)
      assert.matches("symbols, 270 different", output)
      local arguments = { "--hidden", 8, "--batch", 4, "--length", 20, "--epochs", 1, "--sample", 10 }
      output = succeed("examples/char_rnn.lua", "--text", tokens, "--run", folder, table.unpack(arguments))
      assert.matches("losses are in nats per piece", output)
      succeed("examples/generate.lua", "--model", folder, "--prime", "We the", "--length", 5)
      os.remove(tokens)
      output = succeed("examples/char_rnn.lua", "--text", text, "--unit", "word", "--size", 5, table.unpack(arguments))
      assert.matches("embedding 5 %-> 8", output)
    end)
  end)

  it("train a byte model of residual blocks", function()
    with_text(function(text, folder)
      local function train(...)
        return succeed("examples/char_rnn.lua", "--text", text, "--cell", "slstm", "--heads", 2, "--blocks", "--hidden",
          8, "--dropout", 0.1, "--unit", "byte", "--batch", 4, "--length", 20, "--epochs", 1, "--sample", 10, ...)
      end
      local output = train("--seed", 1, "--embedding", 6, "--run", folder)
      assert.matches("embedding 256 -> 6; slstm 6 -> 8, 1 layer; x + chain (layer_norm 8; slstm 8 -> 8, 1 layer; "
        .. "dropout 0.1); layer_norm 8; dropout 0.1; linear 8 -> 256", output, 1, true)
      assert.not_equal(train("--seed", 1):match "epoch 1  loss [%d.]+", train("--seed", 2):match "epoch 1  loss [%d.]+")
      assert.equal(#"We" + 3 + 1, #succeed("examples/generate.lua", "--model", folder, "--prime", "We", "--length", 3))
    end)
  end)

  it("show it all in the demo", function()
    with_text(function(text, folder)
      local output = succeed("examples/demo.lua", text, "--epochs", 2, "--run", folder)
      assert.matches("after epoch 1 it writes:\n  | ", output, 1, true)
      assert.matches("the United States of +%-> ", output)
      assert.matches("examples/generate.lua --model " .. folder, output, 1, true)
      succeed("examples/generate.lua", "--model", folder, "--length", 5)
      local place = "this takes the place of the training in " .. folder
      assert.is_nil(output:find(place, 1, true))
      assert.matches(place, succeed("examples/demo.lua", text, "--epochs", 1, "--run", folder), 1, true)
    end)
  end)

  it("learn the exclusive or", function()
    local output = succeed("examples/xor.lua", "--seed", 1)
    for _, case in ipairs { "0 xor 0 = 0.0", "0 xor 1 = 0.9", "1 xor 0 = 0.9", "1 xor 1 = 0.0" } do
      assert.matches(case, output, 1, true)
    end
  end)

  it("learn to add, where a net without memory cannot", function()
    local output = succeed("examples/binary_addition.lua", "--seed", 1)
    assert.is_true(tonumber(output:match "feed%-forward +([%d.]+)") < 70)
    assert.is_true(tonumber(output:match "recurrent +([%d.]+)") > 99)
  end)

  it("read unaligned handwriting", function()
    local output = succeed("examples/ctc_digits.lua", "--steps", 20, "--hidden", 8, "--seed", 1)
    assert.matches("step    20  loss %d%.%d%d%d nats per digit\n", output)
    assert.matches("\nwritten   greedy    beam\n%d", output)
    assert.matches("\nwrong: greedy %d+%.%d%d %%, beam %d+%.%d%d %% of the digits of 500 new strings\n$", output)
  end)

  it("write a cell by hand that agrees with the fused one", function()
    local output = succeed("examples/own_cell.lua", "--steps", 100, "--seed", 1)
    for difference in output:gmatch "  [%a ]+   +(%d%.%de[-+]%d+)\n" do
      assert.is_true(tonumber(difference) < 1e-5, output)
    end
    local losses = {}
    for loss in output:gmatch "loss ([%d.]+)" do
      losses[#losses + 1] = tonumber(loss)
    end
    assert.is_true(losses[#losses] < losses[1] / 2, output)
  end)

  it("read dates, with and without attention", function()
    local output = succeed("examples/dates.lua", "--dates", 200, "--epochs", 2, "--batch", 16, "--hidden", 8,
      "--attention", "additive", "--beam", 2, "--seed", 1)
    assert.matches("^without attention\n  %d+%.%d %% of 10 held%-out dates are right", output)
    assert.matches("with additive attention\n  %d+%.%d %% of 10 held%-out dates are right", output)
    assert.matches(" %-> [%d-]*  %(%d+%.%d %%%)\n", output)
  end)

  it("tell languages by names, where counting letters cannot", function()
    local folder = folders.unused()
    local output = succeed("examples/surnames.lua", "--epochs", 3, "--seed", 1, "--run", folder)
    assert.is_true(tonumber(output:match "counts of letters +([%d.]+) %%") < 60)
    assert.is_true(tonumber(output:match "GRU, both ways +([%d.]+) %%") > 95)
    output = succeed("examples/classify.lua", "--model", folder, "kelish", "thyzan")
    assert.matches("^kelish +%-> Kelish %d+ %%[^\n]*\nthyzan +%-> Zethan %d+ %%[^\n]*\n$", output)
    for _, name in ipairs { "generate", "next_word", "neurons" } do
      output = run("examples/" .. name .. ".lua", "--model", folder, table.unpack(name == "neurons" and
        { "--text", "README.md" } or {}))
      assert.equal(("saros: expected a language model in %s, got a classifier\n"):format(folder), output)
    end
    output = run("examples/classify.lua", "--model", folder, "1")
    assert.matches('^saros: expected characters that the model knows, got "1" [^\n]*\n$', output)
    folders.remove(folder)
  end)

  it("write names by category", function()
    local folder = folders.unused()
    local output = succeed("examples/names.lua", "--epochs", 4, "--temperature", 0.5, "--seed", 1, "--run", folder)
    for language, letters in pairs { Kelish = "ktrlvaeisnh", Monari = "mnrbloaui" } do
      local own = 0
      for name in output:match("\n" .. language .. ": +([^\n]+)"):gmatch "%l+" do
        own = own + (name:find("^[" .. letters .. "]+$") and 1 or 0)
      end
      assert.is_true(own >= 5, output)
    end
    output = succeed("examples/generate.lua", "--model", folder, "--prime", "\\nMonari: ", "--stop", "\\n")
    assert.matches("^\nMonari: %l+\n$", output)
    folders.remove(folder)
  end)

  it("write names by first letter from a file", function()
    local path = os.tmpname() .. ".txt"
    local file = assert(io.open(path, "w"))
    for position = 1, 12 do
      file:write("a", ("n"):rep(position), "a\nb", ("o"):rep(position), "b\n")
    end
    file:close()
    local ok, output = pcall(succeed, "examples/names.lua", "--data", path, "--epochs", 1, "--seed", 1)
    os.remove(path)
    os.remove(path:sub(1, -5))
    assert(ok, output)
    assert.matches(": 24, 2 of them held out; ", output, 1, true)
    assert.matches("\na  .*\nb  ", output)
  end)

  -- The mean absolute errors that the example of series prints: of the network, and of
  -- the last value and the last season, by the number of steps ahead.
  local function errors_of(...)
    local rows = {}
    for k, errors in succeed("examples/series.lua", ...):gmatch "\n +(%d+)([ %d.]+)" do
      rows[tonumber(k)] = { errors:match "([%d.]+) +([%d.]+) +([%d.]+)" }
    end
    return rows
  end

  it("predict a series", function()
    local rows = errors_of("--epochs", 1, "--ahead", 3, "--seed", 1)
    assert.equal(3, #rows)
    for _, row in ipairs(rows) do
      assert.is_true(tonumber(row[1]) < tonumber(row[2]))
    end
  end)

  it("predict a short series whose swings grow with its values, as sales do", function()
    files.with_folder(function(folder)
      local lines = { "Month,Sold" }
      for month = 0, 143 do
        lines[month + 2] = ("%d-%02d,%.1f"):format(1949 + month // 12, month % 12 + 1,
          100 * 1.01 ^ month * (1 + 0.25 * math.sin(month * math.pi / 6)) * (1 + 0.02 * math.sin(month ^ 2)))
      end
      files.write(folder .. "/sold.csv", table.concat(lines, "\n"))
      local output = succeed("examples/series.lua", "--csv", folder .. "/sold.csv", "--ahead", 2, "--run", folder)
      assert.matches("a season has 12 steps, and its swings grow with the values", output, 1, true)
      assert.matches("seasons, for forecast.lua with --season 12 --quotients", output, 1, true)
      for gru, last, before in output:gmatch "\n +%d +([%d.]+) +([%d.]+) +([%d.]+)" do
        assert.is_true(tonumber(gru) < 0.5 * tonumber(before) and tonumber(gru) < 0.5 * tonumber(last), output)
      end
      local forecast = succeed("examples/forecast.lua", "--model", folder .. "/seasons", "--csv", folder .. "/sold.csv",
        "--season", 12, "--quotients")
      local first = tonumber(forecast:match "^steps ahead  Sold\n +1 +([%d.]+)\n +2 +[%d.]+\n$")
      assert.near(1, first / (100 * 1.01 ^ 144), 0.1) -- and sin(144 pi / 6) is 0
      for _, case in ipairs {
        { "seasons", nil, "; a forecaster of seasons wants %-%-season\n" },
        { "values", "--season", "%-%-season: expected a forecaster of seasons in [^\n]+, got one of Sold\n" },
      } do
        local refusal, status = run("examples/forecast.lua", "--model", folder .. "/" .. case[1], "--csv",
          folder .. "/sold.csv", case[2], case[2] and 12)
        assert.equal(1, status)
        assert.matches(case[3], refusal)
      end
    end)
  end)

  it("predict a column of a table, and go on from the file of the model", function()
    files.with_folder(function(folder)
      local rows = { '"Day","Note","Value"\n' }
      for day = 1, 200 do
        rows[day + 1] = ('"%d",,%.3f\n'):format(day, math.sin(day / 4))
      end
      local path = folder .. "/days.csv"
      files.write(path, table.concat(rows))
      local errors = errors_of("--run", folder, "--csv", path, "--column", 3, "--season", 25, "--ahead", 2,
        "--epochs", 1)
      local forecast = succeed("examples/forecast.lua", "--model", folder .. "/values", "--csv", path)
      local refusal, status = run("examples/forecast.lua", "--model", folder .. "/values", "--csv", path, "--column", 3)
      assert.equal(1, status)
      assert.matches("^saros: %-%-column: expected %-%-season beside it", refusal)
      assert.matches("^steps ahead  Value\n +1 +%-?%d%.%d%d%d\n +2 +%-?%d%.%d%d%d\n$", forecast)
      assert.equal(2, #errors)
      assert.is_true(math.abs(tonumber(errors[1][2]) - 0.177) < 0.01) -- persistence: sin' / 4 / sqrt 2
    end)
  end)

  it("go on learning where a series changes its habits", function()
    local rows = {}
    for row, frozen, learning in succeed("examples/adapt.lua", "--seed", 1):gmatch "\n(%d+) +([%d.]+) +([%d.]+)" do
      rows[tonumber(row)] = { frozen = tonumber(frozen), learning = tonumber(learning) }
    end
    assert.is_true(rows[1800].learning < 1.2 * rows[1800].frozen)
    assert.is_true(rows[3000].frozen > 2 * rows[1800].frozen)
    assert.is_true(rows[3000].learning < rows[3000].frozen / 2)
    files.with_path(function(path)
      files.write(path, "Day;Value\n" .. ("1;2\n2;3\n3;5\n4;4\n"):rep(80))
      local output = succeed("examples/adapt.lua", "--csv", path, "--column", 2, "--ahead", 2, "--save", path)
      assert.matches("mean absolute error of 'Value', 2 ahead:", output, 1, true)
      assert.matches("^<svg .*>frozen</text>", files.read(path))
    end)
  end)

  it("proves nets of finite states", function()
    files.with_folder(function(folder)
      local output = succeed("examples/automata.lua", "--task", "parity", "--seeds", 2, "--show", "--steps", 100,
        "--save", folder .. "/a.svg", "--table", folder .. "/a.c")
      local _, proofs = output:gsub("proved: %d+ states, depth %d+, smallest margin", "")
      assert.equal(2, proofs)
      assert.matches("automaton of 2 states, 2 tokens, 2 answers", output)
      assert.matches("100.0000 %% right in 100 steps", output)
      assert.matches("^<svg", files.read(folder .. "/a.svg"))
      assert.matches("automaton_step", files.read(folder .. "/a.c"))
      output = succeed("examples/automata.lua", "--task", "mod3", "--progress")
      assert.matches("^ +%d+%.%d%d s  update +%d+  words of 3 tokens are learned\n", output)
      assert.matches("  %d heads? determines? every answer\n", output)
    end)
  end)

  it("learn what lies further back than a window", function()
    local output = succeed("examples/far_back.lua", "--lag", 20, "--window", 4, "--steps", 20000)
    assert.is_true(tonumber(output:match "window +([%d.]+) %% right") < 75, output)
    assert.is_true(tonumber(output:match "exact +([%d.]+) %% right") > 95, output)
  end)

  it("turn lines of a stream into steps", function()
    local series = data.series({ string = "a,b\n1,4\n3,5\n2,7\n5,6\n" }, { valid = 0 })
    local forecaster = nn.forecaster { series = series, hidden = 3 }
    local alone = told_after(forecaster, "1,2\n3,4\n")
    assert.matches("^%-?[%d.]+,%-?[%d.]+\n%-?[%d.]+,%-?[%d.]+\n$", alone)
    assert.equal(alone, told_after(forecaster, "day;b;a\nx;2;1\ny;4;3\n"))
    assert.equal(alone, told_after(forecaster, "x,\"2\",1\r\ny,4,3\r\n", "--fields 3 2"))
    for _, flag in ipairs { "", "--learn" } do
      local output = told_after(forecaster, "1,2\n3,nan\n3,4\n5,6,7\n", flag)
      assert.equal(alone, output:gsub("line[^\n]*\n", ""))
      assert.matches('line 2: expected a number for b, got "nan"\n', output, 1, true)
      assert.matches("line 4: expected 2 fields, got 3; --fields tells which\n", output, 1, true)
    end

    local text = data.text({ string = ("ab\ncd\n"):rep(30) }, { valid = 0 })
    local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 12, layers = 1 }
    saros.fit(lm, text, { epochs = 15, batch = 4, length = 10, lr = 2e-2 })
    assert.equal("cd\nab\n", told_after(lm, "ab\ncd\n"))
    local output = told_after(lm, "ab\nx\ncd\n", "--learn")
    assert.equal("cd\nab\n", output:gsub("line[^\n]*\n", ""))
    assert.matches('line 2: expected characters that the model knows, got "x"', output, 1, true)
  end)

  it("write tunes, and tell whether they are well-formed", function()
    local output = succeed("examples/tunes.lua", "--epochs", 1, "--hidden", 8, "--count", 2, "--seed", 1)
    assert.matches("^pieces %(list: 300, 30 of them held out; %d+ characters, %d+ different%)\n", output)
    assert.matches("\n%d of 2 tunes are well%-formed; %d+ of their %d+ bars are full\n$", output)
    local path, tunes = os.tmpname(), {}
    for n = 1, 40 do
      tunes[n] = ("X:%d\nT:No. %d\nZ:id\nM:6/8\nK:D\nABc dBA|G3 F3|!\nE2F G2A|D6|!\n"):format(n, n)
    end
    local file = assert(io.open(path, "w"))
    file:write(table.concat(tunes, "\n"), "\nno tune\n")
    file:close()
    output = succeed("examples/tunes.lua", "--text", path, "--epochs", 1, "--hidden", 8, "--count", 1)
    os.remove(path)
    assert.matches(": 40, 4 of them held out; ", output, 1, true)
  end)

  it("read tunes", function()
    local abc = dofile "examples/abc.lua"
    local head = "X:1\nM:6/8\nL:1/8\nK:D\n"
    local function bars(body)
      return { abc.bars(head .. body) }
    end
    assert.same({ 4, 4 }, bars "ABc dBA|[G3B3]F3|E2F/2G/2 (3AGA A|D6|]")
    assert.same({ 5, 4 }, bars "D|ABc dBA|G3 F3:|\n|:\"Am\"E2F {c}G>A A|1 D6:|")
    assert.same({ 4, 4 }, { abc.bars "X:1\nK:C\nc8|c,8|^c'8|z4z4||" })
    for _, body in ipairs { "D6|D6|D6|", "D6|D6|D6|D6|D", "D6|D6|D6|h6|" } do
      assert.is_nil(abc.bars(head .. body))
    end
    assert.is_nil(abc.bars "X:1\nT:x\nD6|D6|D6|D6|\n")
    assert.is_nil(abc.bars "X:1\nx\nK:D\nD6|D6|D6|D6|\n")
    assert.is_nil(abc.bars "K:D\nD6|D6|D6|D6|\n")
    assert.is_nil(abc.bars "")
    for _, tune in ipairs(abc.made_up(require("saros").generator(1), 20)) do
      assert.same({ 8, 8 }, { abc.bars(tune) })
    end
  end)

  it("add two numbers that lie apart", function()
    local output = succeed("examples/adding.lua", "--length", 10, "--steps", 10, "--seed", 1)
    for _, cell in ipairs { "rnn", "lstm", "gru" } do
      assert.matches("\n" .. cell .. " +%d%.%d+ +10 +%d+   not solved\n", output)
    end
    output = succeed("examples/adding.lua", "--length", 10, "--cell", "gru", "--steps", 400)
    assert.matches("\ngru .* solved\n$", output)
    assert.not_matches("not solved", output)
  end)

  it("show where recurrence ends, in a table and a picture", function()
    local path = os.tmpname() .. ".svg"
    local output = succeed("examples/limits.lua", "--lengths", 10, 20, "--symbols", 3, 4, "--updates", 20,
      "--save", path)
    local head = "   updates  us/symbol  bytes/symbol  parameters  minutes\n"
    assert.matches("^\nadding over steps +10 +20" .. head .. "tanh +%d+ %%", output)
    assert.matches("\nrepeating symbols +3 +4 .*\nwith attention +%d+ %% +%d+ %% +%d+ +%d+%.%d%d +%d+ +59849 +"
      .. "%d+%.%d%d\n$", output)
    local svg = files.read(path)
    os.remove(path)
    for _, name in ipairs { "limits", "repeat: encoder-decoder", "adding: LSTM", "adding: guess" } do
      assert.matches(">" .. name .. "</text>", svg, 1, true)
    end
    assert.not_matches("repeat: guess", svg)
    output = succeed("examples/limits.lua", "--task", "copy", "--only", "GRU", "LRU", "--lengths", 2, 4,
      "--updates", 60)
    assert.matches("^\ncopy over steps +2 +4 .*\nGRU .*\nLRU +%d+ %% +[19][0-9]+ %%", output)
  end)

  it("learn tasks of both kinds with one stack", function()
    local output = succeed("examples/one_stack.lua", "--task", "parity", "--lengths", 4, 8, "--tests", 8, 600,
      "--polish", 200, "--log")
    assert.matches("^task       seed  parameters  minutes  right\n  parity 4: 100.00 %% after %d+ updates, %d+ s\n.*"
      .. "\nparity        1      233794     %d%.%d%d  100.00 %% at 8, +%d+%.%d%d %% at 600\n$", output)
    output = succeed("examples/one_stack.lua", "--first", 4, "--seeds", 2, "--lengths", 16, "--updates", 1, "--polish",
      1, "--tests", 16)
    for _, name in ipairs { "parity", "words", "copy", "adding", "selective", "recall" } do
      assert.matches("\n" .. name .. " +4 .*\n" .. name .. " +5 +%d+ +0%.%d%d +%d+%.%d%d %% at 16\n", output)
    end
  end)

  it("say that none of the nets learns a task", function()
    local output, status = run("examples/limits.lua", "--task", "repeat", "--only", "LSTM", "GRU")
    assert.not_equal(0, status)
    assert.matches("--only LSTM GRU: expected a net that learns \"repeat\": encoder-decoder, with attention", output, 1,
      true)
    output = succeed("examples/limits.lua", "--only", "GRU", "--lengths", 4, "--updates", 1)
    assert.matches("^\nadding over steps +4 .*\nGRU .*\n\n%-%-only GRU: expected a net that learns \"repeat\": "
      .. "encoder%-decoder, with attention\n$", output)
  end)

  it("draw one task by name, and go on at lengths that were not learned", function()
    files.with_path(function(path)
      local output = succeed("examples/limits.lua", "--task", "recall", "--only", "LSTM", "--lengths", 2, 4, 8,
        "--updates", 3, "--go-on", "--save", path .. ".svg")
      assert.matches("\nLSTM +%d+ %% +%d+ %% +%d+ %% +9 ", output) -- 3 updates at each
      local svg = files.read(path .. ".svg")
      for _, name in ipairs { "recall of pairs", "pairs", "LSTM", "guess" } do
        assert.matches(">" .. name .. "</text>", svg, 1, true)
      end
      succeed("examples/limits.lua", "--task", "parity", "--only", "GRU", "--lengths", 4, "--beyond", 20, 50,
        "--updates", 3, "--polish", 2, "--save", path .. ".svg")
      svg = files.read(path .. ".svg")
      os.remove(path .. ".svg")
      assert.matches(">parity of steps</text>", svg, 1, true)
      assert.matches('<polyline class="l2" points="72,[%d.]+ 700,[%d.]+"', svg) -- the guess, at two lengths
    end)
  end)

  it("show what holds at lengths beyond those learned", function()
    local output = succeed("examples/limits.lua", "--task", "parity", "--only", "GRU", "--lengths", 4, 8,
      "--beyond", 30, 1100, "--updates", 400, "--polish", 40)
    assert.matches("^\nparity of steps +4 +8 +%+30 +%+1100   updates .*\nGRU +%d+ %% +9[0-9]+ %% +%d+ %% +%d+ %% ",
      output)
    output = succeed("examples/limits.lua", "--task", "words", "--only", "delta", "reflections", "--lengths", 4,
      "--beyond", 20, "--updates", 30, "--polish", 2)
    assert.matches("\ndelta +%d+ %% .*\nreflections +%d+ %% +%d+ %% +%d+ ", output)
    output = succeed("examples/limits.lua", "--task", "counter", "words", "arithmetic", "flip-flop", "queries",
      "selective", "at-end", "noisy", "S5", "--only", "LSTM", "--lengths", 16, "--beyond", 20, "--updates", 3,
      "--polish", 2)
    for _, heading in ipairs { "parity, at the end", "parity with noise", "sum modulo 5", "words of S3", "words of S5",
      "value modulo 5", "flip%-flop steps", "queries in steps", "selective copy" } do
      assert.matches("\n" .. heading .. " +16 .*\nLSTM +%d+ %%", output)
    end
  end)

  it("say of an option what was expected of it, before any work", function()
    for _, case in ipairs {
      { "adding", "--cell", "foo", "argument for option '--cell' must be one of 'delta'" },
      { "limits", "--only", "foo", "argument for option '--only' must be one of 'tanh'" },
      { "dates", "--attention", "foo", "argument for option '--attention' must be one of 'dot'" },
      { "dates", "--cell", "foo", "argument for option '--cell' must be one of 'delta'" },
      { "export", "--name", "1x", "--name: expected a letter, then up to 39 letters, digits and _, got '1x'" },
      { "char_rnn", "--lr", "0", "--lr: expected a number above 0, got '0'" },
      { "char_rnn", "--dropout", "1", "--dropout: expected a number from 0 on and below 1, got '1'" },
      { "generate", "--temperature", "nan", "--temperature: expected a number, 0 or more, got 'nan'" },
      { "generate", "--top-p", "2", "--top-p: expected a number above 0, 1 at most, got '2'" },
      { "limits", "--lengths", "1.5", "--lengths: expected a whole number, 2 or more, got '1.5'" },
      { "adding", "--length", "2", "--length: expected a whole number, 3 or more, got '2'" },
      { "dates", "--dates", "19", "--dates: expected a whole number, 20 or more, got '19'" },
      { "neurons", "--symbols", "3", "--symbols: expected a whole number, 8 or more, got '3'" },
    } do
      local name, option, value, message = table.unpack(case)
      local output, status = run("examples/" .. name .. ".lua", option, value)
      assert.not_equal(0, status)
      assert.matches("\nError: " .. message, output, 1, true)
    end
  end)

  it("name the option of a number that is none, and of passes that are none", function()
    for name in lfs.dir "examples" do
      local source = name:find "%.lua$" and files.read("examples/" .. name) or ""
      for option in source:gmatch 'numbers%.%l+%(parser, "([^"]+)"' do
        for _, value in ipairs { "x", option == "--epochs" and "0" or "" } do
          local output, status = run("examples/" .. name, option, value)
          assert.not_equal(0, status)
          assert.matches(("\nError: %s: expected "):format(option), output, 1, true)
          assert.matches((", got '%s'\n"):format(value), output, 1, true)
        end
      end
    end
  end)

  it("add with each kind of cell", function()
    for _, cell in ipairs(require("saros.nn.recurrent").names) do
      succeed("examples/adding.lua", "--length", 4, "--steps", 1, "--cell", cell)
    end
  end)

  it("write a forecaster as a C file", function()
    local series = data.series({ string = "a,b\n1,4\n3,5\n2,7\n5,6\n" }, { valid = 0 })
    files.with_path(function(path)
      assert(nn.forecaster({ series = series, hidden = 2 }):save(path))
      local output = succeed("examples/export.lua", "--model", path, "--out", path .. ".c")
      assert.matches("^[^\n]+%.c: forecaster [^\n]+ weights\ncheck it: ", output)
      assert.matches("\n** forecaster (", files.read(path .. ".c"), 1, true)
      os.remove(path .. ".c")
    end)
  end)

  it("write a model of pairs as a C file", function()
    local pairs_of = data.pairs({ { "a", "b" } }, { valid = 0 })
    files.with_path(function(path)
      assert(nn.encoder_decoder({ source = pairs_of.source, target = pairs_of.target, hidden = 2 }):save(path))
      local output, status = run("examples/export.lua", "--model", path, "--out", path .. ".c")
      assert.equal(0, status, output)
      assert.matches("int model_translate(", files.read(path .. ".c"), 1, true)
      os.remove(path .. ".c")
    end)
  end)

  it("say how the first script is called", function()
    for _, word in ipairs { "", "-h", "no/such/text" } do
      local output, status = run("examples/first.lua", word ~= "" and word or nil)
      assert.equal(1, status)
      assert.matches("^saros: data%.text: [^\n]*: No such file or directory\n"
        .. "usage: build/saros examples/first%.lua TEXT %[EPOCHS%]\n$", output)
    end
  end)

  it("say what is wrong without a model or with wrong arguments", function()
    for _, arguments in ipairs {
      { "examples/generate.lua", "--model", "no/such/model" },
      { "examples/char_rnn.lua", "--text", "no/such/text" },
      { "examples/char_rnn.lua", "--hidden", "many", "--text", "x" },
      { "examples/xor.lua", "--step", 3 },
      { "examples/surnames.lua", "--data", "no/such/folder" },
      { "examples/series.lua", "--csv", "README.md" },
    } do
      local output, status = run(table.unpack(arguments))
      assert.not_equal(0, status)
      assert.is_true(#output > 0)
    end
  end)
end)
