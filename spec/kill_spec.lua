-- A training that is killed at any moment, or has no room on the disk, leaves a
-- folder from which it goes on with the same bits.
--
-- SAROS_KILLS=100 build/saros spec/busted.lua spec/kill_spec.lua   kills more often

local commands = require "spec.support.commands"
local folders = require "spec.support.folders"
local checkpoint = require "saros.train.checkpoint"
local saros = require "saros"

local KILLS = math.tointeger(tonumber(os.getenv "SAROS_KILLS")) or 20

local SCRIPT = [[
saros.threads(1)
local text = saros.data.text({ string = ("the quick brown fox jumps over the lazy dog. "):rep(20) }, { valid = 0.1 })
local lm = saros.nn.language_model { vocabulary = text.vocabulary, cell = "gru", hidden = 8, dropout = 0.2,
  zoneout = 0.1 }
saros.fit(lm, text, { epochs = 3, batch = 4, length = 10, average = 0.9, run = arg[1], sample = 5,
  checkpoint = { steps = math.tointeger(arg[2]) or 1 }, progress = saros.progress() })
local names = {}
for name, tensor in pairs(lm:tensors()) do
  names[#names + 1] = name .. "=" .. tensor:digest()
end
table.sort(names)
print("bits: " .. table.concat(names, " "))
]]

local function content(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

describe("a training in a process of its own", function()
  local script, run, wanted
  local generator = saros.generator(7)

  setup(function()
    script = os.tmpname()
    local file = assert(io.open(script, "w"))
    file:write(SCRIPT)
    file:close()
    local whole = folders.unused()
    wanted = commands.succeed(script, whole):match "bits: [^\n]+"
    folders.remove(whole)
  end)
  teardown(function()
    os.remove(script)
  end)
  before_each(function()
    run = folders.unused()
  end)
  after_each(function()
    folders.remove(run)
  end)

  -- Trains, and sends a signal after some time. Returns what was printed, and
  -- the status: nil if the training was faster.
  local function stop(signal, seconds)
    local out = os.tmpname()
    local command = ("%s %s %s 1 >%s 2>&1 & p=$!; sleep %.3f; kill -%s $p 2>/dev/null; wait $p; echo $?"):format(
      commands.interpreter, script, run, out, seconds, signal)
    local pipe <close> = assert(io.popen("(" .. command .. ") 2>/dev/null"))
    local status = pipe:read "n"
    local output = content(out)
    os.remove(out)
    return output, status ~= 0 and status or nil
  end

  -- Everything in the folder can be read. Returns what was being written.
  local function check_folder()
    local unfinished = 0
    local pipe <close> = assert(io.popen("find " .. run .. " -type f 2>/dev/null"))
    for path in pipe:lines() do
      if path:find "%.tmp%-" then
        unfinished = unfinished + 1
      elseif path:find "step%-%d+%.safetensors$" then
        assert(checkpoint.read(path))
      elseif path:find "model%.safetensors$" then
        assert(saros.load(run))
      elseif path:find "config%.json$" then
        assert(saros.json_decode(content(path)))
      end
    end
    return unfinished
  end

  -- Stops trainings that many times; those that end in between have the right bits.
  local function stop_often(signal, times, wanted_status)
    local count, unfinished, ended = 0, 0, 0
    while count < times do
      local output, status = stop(signal, 0.01 + 0.1 * generator:number())
      unfinished = unfinished + check_folder()
      if status then
        assert.equal(wanted_status, status, output)
        count = count + 1
      else
        assert.equal(wanted, output:match "bits: [^\n]+")
        folders.remove(run)
        ended = ended + 1
      end
    end
    assert.equal(wanted, commands.succeed(script, run):match "bits: [^\n]+")
    if os.getenv "SAROS_KILLS" then
      print(("%d times %s: %d trainings ended, %d files were being written"):format(count, signal, ended, unfinished))
    end
  end

  it("goes on with the same bits after kill -9 at any moment", function()
    stop_often("KILL", KILLS, 128 + 9)
  end)

  it("goes on with the same bits after Ctrl-C at any moment, and says how", function()
    stop_often("INT", KILLS // 4 + 1, 128 + 2)
  end)

  it("keeps what it had where the disk is full, and says so", function()
    commands.succeed("-e", ("arg = { %q }"):format(run), "-e", [[
      local fit = saros.fit
      saros.fit = function(lm, text, o)
        o.on_window = function(record) if record.step == 10 then error("stop", 0) end end
        fit(lm, text, o)
      end]], "-e", ("pcall(dofile, %q)"):format(script))
    local before = content(run .. "/checkpoints/step-000000010.safetensors")
    local limited = ("trap '' XFSZ; ulimit -f 16; exec %s %s %s 2>&1"):format(commands.interpreter, script, run)
    local pipe = assert(io.popen(limited))
    local output = pipe:read "a"
    local _, _, status = pipe:close()
    assert.equal(1, status)
    assert.matches('saros: fit: safetensors: expected to write ".*step%-000000011.safetensors", got "File too large"\n',
      output)
    assert.matches("the same call goes on after step 10\n", output)
    assert.equal(before, content(run .. "/checkpoints/step-000000010.safetensors"))
    assert.equal(0, check_folder())
    assert.equal(wanted, commands.succeed(script, run):match "bits: [^\n]+")
  end)

  it("has its folder for itself", function()
    local text = saros.data.text({ string = ("abc "):rep(50) }, { valid = 0 })
    local lm = saros.nn.language_model { vocabulary = text.vocabulary, hidden = 4 }
    local output, status
    saros.fit(lm, text, { batch = 4, length = 10, run = run, on_window = function(record)
      if record.index == 1 then
        output, status = commands.run(script, run)
      end
    end })
    assert.equal(1, status)
    assert.matches("fit: expected a run folder of one's own, got \"" .. run .. "\", into which another process trains",
      output, 1, true)
  end)
end)
