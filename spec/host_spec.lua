-- Host applications, built as their users build them: against an installed
-- library, found through pkg-config. Those of the float build; a program that
-- runs in another build has no library that a host could be given.

local commands = require "spec.support.commands"
local folders = require "spec.support.folders"

local FOLDER = folders.unused()

local function succeed(line)
  local output, status = commands.shell(line)
  assert(status == 0, output)
  return output
end

--- Builds a host and runs it.
local function run(name, packages, words)
  local program = FOLDER .. "/" .. name
  succeed(("PKG_CONFIG_PATH=%s/lib/pkgconfig; export PKG_CONFIG_PATH; "
    .. "cc -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror examples/host/%s.c -o %s "
    .. "$(pkg-config --cflags --libs %s) -lpthread"):format(FOLDER, name, program, packages))
  return succeed(("LD_LIBRARY_PATH=%s/lib %s %s"):format(FOLDER, program, words or ""))
end

local float = commands.interpreter:find "build/saros$"

describe(float and "a host application" or "a host application (float build only)", function()
  if not float then
    return
  end

  setup(function()
    succeed(("make -s install PREFIX=%s"):format(FOLDER))
  end)

  teardown(function()
    folders.remove(FOLDER)
  end)

  it("of twenty lines trains a model and lets it write", function()
    assert.matches("that is the question", run("minimal", "saros lua5.4"), 1, true)
  end)

  it("that trusts no script survives all of them, and gets every byte back", function()
    local output = run("limited", "saros lua5.4")
    local refused = select(2, output:gsub("refused: ", ""))
    assert.equal(5, refused, output)
    assert.equal(2, select(2, output:gsub("out of time", "")), output)
    for _, part in ipairs { "got none", "no way to files from the host", "expected 1, as the host gives no more",
      "out of time", "returned: 8", "left: 0 bytes" } do
      assert.matches(part, output, 1, true)
    end
  end)

  it("has eight states on eight threads with one model, which give the same answers and hold no weights", function()
    local packed, own = run("threads", "saros lua5.4"):match(
      "^8 of 8 wrote: .*\nshared: %d+ bytes of weights, (%d+) packed; in each state: (%d+)\n$")
    assert.is_true(tonumber(own) < tonumber(packed) / 4)
  end)

  it("without Lua steps a model sample by sample, and allocates nothing", function()
    assert.matches("^%d+ blocks: median .* us, 99 %% .*, worst .* us of 1333 us; 0 bytes more\n$",
      run("realtime", "saros", "0.05"))
  end)
end)
