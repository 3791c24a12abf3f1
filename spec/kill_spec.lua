-- A training that is killed at any moment, or has no room on the disk, or no
-- permission, leaves a folder from which it goes on with the same bits.
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

  -- Trains up to step 10.
  local function begin()
    commands.succeed("-e", ("arg = { %q }"):format(run), "-e", [[
      local fit = saros.fit
      saros.fit = function(lm, text, o)
        o.on_window = function(record) if record.step == 10 then error("stop", 0) end end
        fit(lm, text, o)
      end]], "-e", ("pcall(dofile, %q)"):format(script))
  end

  it("keeps what it had where the disk is full, and says so", function()
    begin()
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

  it("ends with an error at whatever there is no room for, and goes on once there is", function()
    local refused = {}
    for _, blocks in ipairs { 1, 2, 4, 8, 12, 16, 24, 32 } do
      local output, status = commands.shell(("trap '' XFSZ; ulimit -f %d; exec %s %s %s 1000"):format(
        blocks, commands.interpreter, script, run))
      local what = output:match 'saros: fit: .-expected to write "[^"]-([^/"]+)", got "File too large"\n$'
      assert.equal(what and 1 or 0, status, output)
      refused[(what or "nothing"):gsub("%d+", "N")] = true
      check_folder()
    end
    for _, what in ipairs { "config.json", "metrics.jsonl", "model.safetensors", "step-N.safetensors" } do
      assert.is_true(refused[what], what)
    end
    assert.equal(wanted, commands.succeed(script, run, 1000):match "bits: [^\n]+")
  end)

  describe("without the permission", function()
    -- What a user may not do, root may; without its privileges, neither may.
    local unprivileged = "exec "

    setup(function()
      local folder = folders.unused()
      local _, status = commands.shell(("mkdir %s && chmod 555 %s && touch %s/x"):format(folder, folder, folder))
      if status == 0 then
        unprivileged = "exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all "
      end
      folders.remove(folder)
    end)
    before_each(function()
      commands.succeed("-e", "arg = {}", "-e", ("saros.make_folder(%q)"):format(run))
    end)
    after_each(function()
      commands.shell("chmod -R u+rwX " .. run)
    end)

    local function refused()
      local output, status = commands.shell(unprivileged .. commands.interpreter .. " " .. script .. " " .. run)
      assert.equal(1, status, output)
      return output
    end

    local function bits()
      commands.shell("chmod -R u+rwX " .. run)
      return commands.succeed(script, run):match "bits: [^\n]+"
    end

    it("to write to the folder, says so at once", function()
      commands.shell("chmod 555 " .. run)
      assert.matches('fit: expected to make the run folder ".*/checkpoints": Permission denied', refused())
      assert.equal(wanted, bits())
    end)

    it("to read a file or folder of its own, keeps it", function()
      begin()
      for path, expected in pairs {
        ["checkpoints"] = "cannot open .*/checkpoints: Permission denied",
        ["config.json"] = "expected a readable .*/config.json",
        ["checkpoints/*"] = "expected a readable checkpoint in .*, got none;.*Permission denied",
        ["metrics.jsonl"] = "metrics.jsonl: Permission denied",
      } do
        commands.shell(("chmod 000 %s/%s"):format(run, path))
        assert.matches("saros: fit: [^\n]*" .. expected, refused())
        commands.shell("chmod -R u+rwX " .. run)
      end
      assert.equal(wanted, bits())
    end)
  end)

  it("says what stands where its folder should be", function()
    for _, part in ipairs { "", "/checkpoints", "/samples" } do
      commands.shell(part == "" and "touch " .. run or ("mkdir %s && touch %s%s"):format(run, run, part))
      local output, status = commands.run(script, run)
      assert.equal(1, status)
      assert.matches(('fit: expected to make the run folder "%s%s": '):format(run, part), output, 1, true)
      folders.remove(run)
    end
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
