-- Host applications, built as their users build them: against an installed
-- library, found through pkg-config. Those of the float build; a program that
-- runs in another build has no library that a host could be given.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local folders = require "spec.support.folders"

local FOLDER = folders.unused()

local function succeed(line)
  local output, status = commands.shell(line)
  assert(status == 0, output)
  return output
end

--- Compiles a host; `libraries` are words for the linker.
local function build(source, program, libraries, flags)
  succeed(("PKG_CONFIG_PATH=%s/lib/pkgconfig; export PKG_CONFIG_PATH; "
    .. "cc -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror %s %s -o %s %s -lpthread"):format(
    FOLDER, flags or "", source, program, libraries))
end

local function execute(program, words)
  return succeed(("LD_LIBRARY_PATH=%s/lib %s %s"):format(FOLDER, program, words or ""))
end

--- Builds a host of the examples and runs it.
local function run(name, packages, words)
  local program = FOLDER .. "/" .. name
  build(("examples/host/%s.c"):format(name), program, ("$(pkg-config --cflags --libs %s)"):format(packages))
  return execute(program, words)
end

--- The same with a host that is written here.
local function run_text(text, libraries, flags)
  local source = FOLDER .. "/own.c"
  files.write(source, text)
  build(source, FOLDER .. "/own", libraries, flags)
  return execute(FOLDER .. "/own")
end

local SHARED = "$(pkg-config --cflags --libs saros lua5.4)"
local STATIC = ("$(pkg-config --cflags lua5.4) -I%s/include %s/lib/libsaros.a "
  .. "$(pkg-config --libs lua5.4 openblas jansson minizip) -lm"):format(FOLDER, FOLDER)

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

  it("without Lua steps any model that a script saved", function()
    local saros = require "saros"
    local nn = saros.nn
    local Slow = nn.cell("slow", {}, function(p, x, h) return 0.5 * h + saros.tanh(p.inner(x .. h)) end)
    local net = nn.chain { nn.recurrent { 2, 3, cell = Slow }, nn.linear { 3, 1 } }:init { seed = 1 }
    local path = FOLDER .. "/net.safetensors"
    assert(net:save(path))
    local x = saros.tensor { { { 0.5, -1 } }, { { 0.25, 2 } }, { { 1, 1 } } }
    local y, lines = net(x), {}
    for t = 1, 3 do
      lines[t] = ("%.5g\n"):format(y[t]:item())
    end
    local input = FOLDER .. "/numbers"
    files.write(input, "0.5 -1\n0.25 2\n1 1\n")
    assert.equal(table.concat(lines), run("load", "saros", path .. " < " .. input))
    local missing = ("LD_LIBRARY_PATH=%s/lib %s/load no-such-file 2>&1"):format(FOLDER, FOLDER)
    assert.matches("load: .*no%-such%-file", (commands.shell(missing)))
  end)

  -- What load.c says, as rows of numbers, and its exit status.
  local function loaded(path, input)
    files.write(FOLDER .. "/numbers", input)
    return commands.shell(("LD_LIBRARY_PATH=%s/lib %s/load %s < %s/numbers 2>&1"):format(FOLDER, FOLDER, path, FOLDER))
  end

  it("without Lua steps forecasters and classifiers of features in the units of a script's session", function()
    local saros = require "saros"
    local rows, input, path = {}, {}, FOLDER .. "/units.safetensors"
    for t = 1, 60 do
      rows[t] = { 100 + math.sin(t / 3), -5000 + 7 * math.cos(t / 4), t % 5 }
    end
    for t = 1, 4 do
      input[t] = ("%.17g %.17g %.17g\n"):format(table.unpack(rows[t + 7]))
    end
    local series = assert(saros.data.series(saros.tensor(rows), { horizon = 2, targets = { 2, 1 } }))
    local set = saros.data.labelled({ low = { rows, rows }, high = { rows } }, { valid = 0 })
    local models = { saros.nn.forecaster { series = series, layers = 2, dropout = 0.3 },
      saros.nn.forecaster { series = series, cell = "lru", difference = false },
      saros.nn.classifier { features = set.features, labels = set.labels, bidirectional = false, dropout = 0.3 } }
    for _, model in ipairs(models) do
      assert(model:save(path))
      for _, saved in ipairs { model, (assert(saros.load(path))) } do
        local session, lines = saved:session(), loaded(path, table.concat(input)):gmatch "[^\n]+"
        for t = 1, 4 do
          local expected = session:step(rows[t + 7])
          expected = (model.labels and session.inner:logits() or expected):reshape(-1):totable()
          local n = 0
          for number in lines():gmatch "%S+" do
            n = n + 1
            assert.near(expected[n], tonumber(number), 1e-4 * math.max(1, math.abs(expected[n])))
          end
          assert.equal(#expected, n)
        end
        assert.is_nil(lines())
      end
    end
  end)

  it("without Lua says what it cannot step, and ends with a status that says so, too", function()
    local saros = require "saros"
    local path = FOLDER .. "/lm.safetensors"
    local lm = saros.nn.language_model { vocabulary = saros.data.vocabulary.characters "abc", hidden = 4 }
    assert(lm:save(path))
    for input, problem in pairs { ["1 99"] = "id", ["1 -1"] = "id", ["1 0.5"] = "id", ["1 x"] = "expected numbers" } do
      local output, status = loaded(path, input)
      assert.equal(1, status)
      assert.matches("^[^\n]+\nload: [^\n]*" .. problem .. "[^\n]*\n$", output)
    end
    assert.equal(0, select(2, loaded(path, "1 2\n")))
    assert(saros.nn.linear({ 2, 1 }):init({ seed = 1 }):save(path))
    assert.matches("\nload: expected numbers, as many as", (loaded(path, "1 2 3")))
    assert(saros.nn.encoder_decoder({ source = 3, target = 3, hidden = 4 }):save(path))
    local output, status = loaded(path, "1")
    assert.equal(1, status)
    assert.matches("got parameters only %(program: .*got an encoder_decoder", output)
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

  it("links a static library that defines no names but those of saros.h", function()
    local names = 0
    for name in succeed(("nm -g --defined-only %s/lib/libsaros.a"):format(FOLDER)):gmatch "%x+ %a ([^\n]+)" do
      assert.matches("^saros_", (name:gsub("^_?luaopen_saros$", "saros_open"):gsub("^_saros", "saros")))
      names = names + 1
    end
    assert.is_true(names > 100)
  end)

  it("may have functions of any name, and raise signals", function()
    local host = [[
      #include <lauxlib.h>
      #include <lualib.h>
      #include <saros.h>
      #include <signal.h>
      #include <stdio.h>
      static volatile sig_atomic_t signals;
      static void count(int number) { signals += number == SIGUSR1; }
      int draw(void), multiply(void), cells(void), failure(void), object_new(void), kernels_select(void);
      int draw(void) { return 1; }
      int multiply(void) { return 2; }
      int cells(void) { return 3; }
      int failure(void) { return 4; }
      int object_new(void) { return 5; }
      int kernels_select(void) { return 6; }
      int main(void) {
        signal(SIGUSR1, count);
        raise(SIGUSR1);
        lua_State *L = luaL_newstate();
        luaL_openlibs(L);
        luaL_requiref(L, "saros", luaopen_saros, 1);
        if (luaL_dostring(L, "assert(not pcall(saros.zeros, 'x')) "
                             "print(saros.ones(2, 2):matmul(saros.ones(2, 2)):sum():item())"))
          puts(lua_tostring(L, -1));
        lua_close(L);
        printf("%d %d\n", (int)signals, draw() + multiply() + cells() + failure() + object_new() + kernels_select());
        return 0;
      }]]
    assert.equal("8.0\n1 21\n", run_text(host, STATIC))
    assert.equal("8.0\n1 21\n", run_text(host, SHARED))
  end)

  it("may have a raise of its own, which the library never calls", function()
    local host = [[
      #include <lauxlib.h>
      #include <lualib.h>
      #include <saros.h>
      #include <stdio.h>
      static int calls;
      int raise(int), update(void), walk(void), push_tensor(void), TRY(void);
      int raise(int number) { calls++; return 1000 + number; }
      int update(void) { return 1; }
      int walk(void) { return 2; }
      int push_tensor(void) { return 3; }
      int TRY(void) { return 4; }
      int main(void) {
        lua_State *L = luaL_newstate();
        luaL_openlibs(L);
        luaL_requiref(L, "saros", luaopen_saros, 1);
        if (luaL_dostring(L, "assert(not pcall(saros.zeros, 'x') and not pcall(saros.ones(2).matmul, 1)) "
                             "local net = saros.nn.gru({ 2, 3 }):init { seed = 1 } "
                             "local tape = saros.tape() tape:backward(net(saros.ones(4, 2, 2)):sum()) tape:close() "
                             "saros.optim.adam(net:parameters(), { lr = 0.1 }):step()"))
          puts(lua_tostring(L, -1));
        lua_close(L);
        printf("%d ", calls);
        printf("%d %d\n", raise(10), update() + walk() + push_tensor() + TRY());
        return 0;
      }]]
    assert.equal("0 1010 10\n", run_text(host, STATIC))
    assert.equal("0 1010 10\n", run_text(host, SHARED))
  end)

  it("and a script that requires the toolkit share one copy of it", function()
    local host = ([[
      #include <lauxlib.h>
      #include <lualib.h>
      #include <saros.h>
      #include <stdio.h>
      int main(void) {
        lua_State *L = luaL_newstate();
        luaL_openlibs(L);
        if (luaL_dostring(L, "package.cpath = '%s/lib/lua/5.4/?.so' saros = require 'saros' x = saros.ones(3)"))
          return puts(lua_tostring(L, -1));
        lua_getglobal(L, "x");
        saros_tensor *x = saros_to_tensor(L, -1);
        saros_context *context = saros_context_in(L);
        if (x == NULL || context == NULL)
          return puts("another copy");
        saros_push_tensor(L, x);
        lua_setglobal(L, "y");
        if (luaL_dostring(L, "y:fill(2) print(x:sum():item())"))
          puts(lua_tostring(L, -1));
        lua_close(L);
        return 0;
      }]]):format(FOLDER)
    assert.equal("6.0\n", run_text(host, SHARED))
  end)

  it("that was compiled for other elements is told so", function()
    local host = [[
      #include <lauxlib.h>
      #include <lualib.h>
      #include <saros.h>
      #include <stdio.h>
      static int restricted(lua_State *L) { saros_open(L, SAROS_NO_FILES); return 0; }
      int main(void) {
        char message[160];
        lua_State *L = luaL_newstate();
        luaL_openlibs(L);
        lua_pushcfunction(L, luaopen_saros);
        if (lua_pcall(L, 0, 0, 0))
          puts(lua_tostring(L, -1));
        lua_pushcfunction(L, restricted);
        if (lua_pcall(L, 0, 0, 0))
          puts(lua_tostring(L, -1));
        lua_close(L);
        if (saros_context_new(NULL, NULL) == NULL &&
            saros_check_build(SAROS_VERSION_NUMBER, sizeof(saros_real), message, sizeof message) != SAROS_OK)
          puts(message);
        return 0;
      }]]
    local said = "expected a host compiled for Saros [%d.]+ with elements of type float, as the library is, "
      .. "got one for [%d.]+ and double\n"
    assert.matches(("^saros: %ssaros: %s%s$"):format(said, said, said), run_text(host, SHARED, "-DSAROS_DOUBLE"))
    assert.equal("", run_text(host, SHARED))
  end)

  it("leaves nothing behind when the library is uninstalled", function()
    local prefix = FOLDER .. "/staged"
    succeed(("make -s install DESTDIR=%s PREFIX=/usr"):format(prefix))
    assert.equal("", succeed(("find %s -xtype l"):format(prefix)), "links to nothing")
    succeed(("make -s uninstall DESTDIR=%s PREFIX=/usr"):format(prefix))
    assert.equal("", succeed(("find %s ! -type d"):format(prefix)))
  end)
end)
