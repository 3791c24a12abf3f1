-- bench/real.lua, which compares published nets: what it says of a small one, and of what is missing.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local folders = require "spec.support.folders"
local lfs = require "lfs"
local saros = require "saros"
local nn = saros.nn

-- What it prints where a command in place of Python prints these lines.
local function printed(folder, ...)
  local python = folder .. "/python"
  files.write(python, "#!/bin/sh\ncat <<'END'\n" .. table.concat({ ... }, "\n") .. "\nEND\n")
  os.execute(("chmod +x '%s'"):format(python))
  return commands.run("bench/real.lua", "--python", python, "--folder", folder)
end

local function with_folder(act)
  local folder = os.tmpname()
  os.remove(folder)
  assert(lfs.mkdir(folder))
  local ok, message = pcall(act, folder)
  folders.remove(folder)
  assert(ok, message)
end

describe("bench/real.lua", function()
  it("tells how far a net, its session and its C file are off, and what is not compared", function()
    with_folder(function(folder)
      local net = nn.chain { nn.lstm { 1, 3 }, nn.linear { 3, 1 } }:init { seed = 1 }
      local x = saros.generator(1):normal { 20, 1, 1 }
      local y = (net(x)) + 0.25
      assert(saros.rtneural.write(net, folder .. "/amp.json"))
      assert(saros.safetensors.write(folder .. "/values.safetensors", { x = x, y = y }, {}))
      local entry = saros.json_encode { net = "small amp", kind = "amp", weights = folder .. "/amp.json",
        values = folder .. "/values.safetensors", original = "its twin", seconds = 1, rate = 100 }
      local output, status = printed(folder, entry, '{ "net": "other", "missing": "ImportError: keras" }',
        '{ "net": "broken", "kind": "amp", "weights": "none.json" }')
      assert.equal(0, status)
      assert.matches("\nsmall amp +2%.5e%-01 +2%.5e%-01 +%d[%d.e-]* +[%d.]+ x its twin, %d+ x real time in a session\n",
        output)
      assert.matches("\nother: not compared: ImportError: keras\n", output, 1, true)
      assert.matches("\nbroken: fails: [^\n]*none.json", output)
    end)
  end)

  it("says what is wrong with the Python that it was given", function()
    with_folder(function(folder)
      local output, status = commands.run("bench/real.lua", "--python", folder .. "/none", "--folder", folder)
      assert.not_equal(0, status)
      assert.matches("expected [^\n]*/none, with NumPy, to run bench/real.py, got: .*not found", output)
    end)
  end)
end)
