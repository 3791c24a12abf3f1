-- The interpreter, the program saros, as a user meets it: options, errors, Ctrl-C.

local saros = require "saros"
local commands = require "spec.support.commands"
local files = require "spec.support.files"
local folders = require "spec.support.folders"
local run, succeed = commands.run, commands.succeed

-- Runs some code as a script; returns its output and its exit status.
local function run_script(code)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(code)
  file:close()
  local output, status = run(path)
  os.remove(path)
  return output, status
end

describe("the interpreter", function()
  it("shows its options and what it is, under the names that people try", function()
    assert.matches("^usage: saros ", succeed "-h")
    assert.equal(succeed "-h", succeed "--help")
    assert.matches("^Saros %d+%.%d+%.%d+, Lua 5%.4\n  real     %a+\n  isa      %w+\n  threads  %d+\n  blas     %w+",
      succeed "-v")
    assert.equal(succeed "-v", succeed "--version")
    local output, status = run "--verbose"
    assert.equal(1, status)
    assert.matches("unknown or incomplete option '--verbose'", output, 1, true)
  end)

  it("refuses an instruction set that there is not, and names those that there are", function()
    local isas = saros.info().isas
    assert.equal("baseline", isas[#isas])
    local output, status = commands.run_with("SAROS_ISA=sse9", "-e", "print(1)")
    assert.equal(1, status)
    assert.matches(("expected SAROS_ISA to be one of %s, which this processor runs, got \"sse9\""):format(
      table.concat(isas, ", ")), output, 1, true)
  end)

  it("begins its prompt with how to end it and where to begin", function()
    local output = commands.shell(("printf '1 + 1\\n' | '%s' -i"):format(commands.interpreter))
    assert.matches("^Saros %d[^\n]+\nCtrl%-D ends; [^\n]* in examples/ [^\n]+\n2\n", output)
  end)

  it("shows where a script went wrong, but a message for its user alone", function()
    local output, status = run_script 'local t\nlocal x = t.x\nprint(x)'
    assert.equal(1, status)
    assert.matches(":2: attempt to index a nil value .*\nstack traceback:\n", output)
    output, status = run_script 'error("no such text: maybe another", 0)'
    assert.equal(1, status)
    assert.equal("saros: no such text: maybe another\n", output)
  end)

  it("shows the calls of the script that led to an error, and none of the library's", function()
    local output = run_script [[
      local function inner() local layer = saros.nn.linear { 2, wrong = 3 } return layer end
      local function outer() for _ in saros.data.pipeline({ 1 }):map(inner):each() do end end
      outer()]]
    local places = {}
    for line in output:match("stack traceback:\n(.*)"):gmatch "[^\n]+" do
      places[#places + 1] = line:match ":(%d+: in .*)"
    end
    assert.same({ "1: in upvalue 'fn'", "2: in local 'outer'", "3: in main chunk" }, places)
    output = run_script "local function f() return 1 + f() end f()"
    assert.matches("stack overflow", output)
    assert.equal(20, select(2, output:gsub("in upvalue 'f'", "")))
    assert.matches("\n\t%.%.%.\n$", output)
  end)

  it("loads what a script asks for, once, and even if require is gone", function()
    local output = run_script [[
      collectgarbage()
      print(collectgarbage "count" < 210)
      local linear = require "saros.nn.linear"
      package.loaded["saros.nn.linear"] = nil
      print(linear == require "saros.nn.linear", linear == saros.nn.linear)
      require, package = nil, nil
      print(saros.data.text { string = "abc" }, saros.fit ~= nil, (pcall(function() return saros.nothing end)))
      local names = {}
      for name in pairs(saros) do
        names[name] = true
      end
      print(names.zeros, names.report)]]
    assert.equal("true\ntrue\ttrue\n"
      .. "text (string: 3 characters, none held out, as they are too few, 3 different)\ttrue\tfalse\n"
      .. "true\ttrue\n", output)
  end)

  it("ends with status 130 after Ctrl-C, and leaves the progress line and the model", function()
    local folder = os.tmpname()
    os.remove(folder)
    local output, status = run_script(([[
      local text = saros.data.text({ string = ("abc "):rep(100) }, { valid = 0 })
      local lm = saros.nn.language_model { vocabulary = text.vocabulary, hidden = 4 }
      saros.fit(lm, text, {
        epochs = 5, batch = 4, length = 10, run = %q, progress = saros.progress { live = true },
        on_window = function(record)
          if record.epoch == 3 then
            io.popen("kill -INT $PPID"):close()
          end
        end,
      })]]):format(folder))
    folders.remove(folder)
    assert.equal(130, status)
    assert.matches("\nthe model after epoch 2 is in " .. folder
      .. "; the same call goes on after step %d+\n[^\n]*report: [^\n]+\nsaros: interrupted!\n$", output)
  end)
end)

describe("the examples tell users what to mend, in one line", function()
    local write = files.write

  local text, folder = os.tmpname(), os.tmpname()
  os.remove(folder)
  write(text, ("emma\nolivia\nava\n"):rep(200))

  local function refuse(message, ...)
    local output, status = run(...)
    assert.equal(1, status)
    assert.equal("saros: " .. message .. "\n", output)
  end

  teardown(function()
    os.remove(text)
    folders.remove(folder)
  end)

  it("of a text without words in lines, and of a model without their characters", function()
    local output = succeed("examples/demo.lua", text, "--epochs", 1, "--run", folder)
    assert.is_nil(output:find("which word", 1, true))
    assert.matches("generate.lua --model " .. folder .. " --temperature 0.5\n", output, 1, true)
    refuse("expected characters that the model knows, got \"Z\" (U+005A) at line 1, column 1; it knows: \\naeilmov",
      "examples/generate.lua", "--model", folder, "--prime", "Zo")
    refuse("no words after \"the\": expected characters that the model knows, got \"t\" (U+0074) at line 1, column 1, "
      .. "\"h\" (U+0068) at line 1, column 2, \" \" (U+0020) at line 1, column 4; it knows: \\naeilmov "
      .. "(--prefix TEXT asks for others)", "examples/next_word.lua", "--model", folder)
  end)

  it("of a text that is too small or not there", function()
    local small = os.tmpname()
    write(small, "a few words")
    refuse("expected at least 1601 characters for batch = 32 and length = 50, got 11 in part 'train' of " .. small
      .. "; use a smaller batch or length, or more text: both are too large", "examples/demo.lua", small)
    refuse("expected at least 2501 characters for batch = 50 and length = 50, got 9 in part 'train' of " .. small
      .. "; use a smaller batch or length, or more text: both are too large", "examples/char_rnn.lua", "--text", small)
    os.remove(small)
    refuse("data.text: " .. small .. ": No such file or directory", "examples/char_rnn.lua", "--text", small)
  end)

  it("of prefixes: the demo takes them from the text", function()
    write(text, ("to be or not to be, that is the question. to be or not\n"):rep(40))
    local output = succeed("examples/demo.lua", text, "--epochs", 3, "--run", folder)
    assert.matches("\n  to +%-> .*\n  to be +%-> .*\n  to be or +%-> ", output)
    assert.matches(' --prime "to be or "\n', output, 1, true)
    assert.is_nil(output:find("(0 %)", 1, true))
    write(text, ("emma\nolivia\nava\n"):rep(200))
  end)

  it("of cells, and of what is not kept", function()
    assert.matches("--cell {delta,gru,", succeed("examples/char_rnn.lua", "--help"), 1, true)
    local output = succeed("examples/char_rnn.lua", "--text", text, "--cell", "gru", "--hidden", 4, "--batch", 4,
      "--length", 10, "--epochs", 1, "--sample", 3)
    assert.matches("\nlosses are in nats per character; not kept, --run FOLDER keeps it\n", output, 1, true)
  end)
end)

describe("make", function()
  local function planned(goal)
    local pipe <close> = assert(io.popen(("make -n %s PREFIX=/nowhere 2>/dev/null"):format(goal)))
    return pipe:read "a"
  end

  it("installs the headers, the examples and the annotations, and removes them again", function()
    local plan = planned "install"
    assert.matches("install -m 644 examples/*.lua /nowhere/share/saros/examples\n", plan, 1, true)
    assert.matches("install -m 644 lua/saros/meta/*.lua /nowhere/share/saros/meta\n", plan, 1, true)
    assert.matches("installed below /nowhere: ", plan, 1, true)
    assert.matches("install -m 644 src/saros/*.h /nowhere/include/saros\n", plan, 1, true)
    assert.matches("rm -rf /nowhere/share/saros /nowhere/include/saros\n", planned "uninstall", 1, true)
  end)

  it("installs for the demo what its report needs, and makes its text with all the rest", function()
    assert.matches("setup.sh build text report", planned "demo", 1, true)
    assert.matches("setup.sh build  report", planned "demo TEXT=file", 1, true)
    local texts <close> = io.open "/usr/share/state/us-constitution.gz"
    if not texts then
      return pending "miscfiles is not installed: make setup"
    end
    assert.matches("> build/demo.txt\n", planned "all -B", 1, true)
  end)
end)
