-- An exported model is C that every compiler takes, and it computes what a
-- session does.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local is_double = saros.info().real == "double"
local PACK = is_double and "d" or "f"

-- Sums are taken in another order. A norm of values that hardly differ makes
-- more of that: it divides by their deviation.
local TOLERANCE = is_double and 1e-12 or 1e-5
local NORM_TOLERANCE = is_double and 1e-10 or 1e-3

local STEPS = 60
local I, H, V = 3, 9, 11

local TEXT = data.text({ string = ('the "quick" fox? ??/\n\\ $name %d */ \u{e9}\u{3042}1'):rep(5) }, { valid = 0 })

local function language_model(given)
  given.vocabulary, given.hidden, given.embedding = TEXT.vocabulary, H, H
  return nn.language_model(given)
end

-- --- The models ------------------------------------------------------------------------------

local models = {
  nn.rnn { I, H },
  nn.rnn { I, H, activation = "relu", layers = 2, bias = false },
  nn.rnn { I, H, layer_norm = true, zoneout = 0.2 },
  nn.lstm { I, H },
  nn.lstm { I, H, peepholes = true, bias = false },
  nn.lstm { I, H, peepholes = true, projection = 4, layers = 2, residual = true },
  nn.lstm { I, H, zoneout = 0.1, zoneout_cell = 0.3, projection = 4 },
  nn.lstm { I, H, layer_norm = true, layers = 2, learn_state = true },
  nn.gru { I, H, learn_state = true, layers = 3, residual = true },
  nn.gru { I, H, reset = "before" },
  nn.gru { I, H, reset = "before", zoneout = 0.2, bias = false },
  nn.gru { I, H, layer_norm = true },
  nn.mingru { I, H, layers = 2, residual = true },
  nn.mingru { I, H, candidate = "positive", zoneout = 0.2, learn_state = true },
  nn.minlstm { I, H },
  nn.lru { I, H, layers = 2, residual = true, learn_state = true },
  nn.lru { H, H, units = 2, zoneout = 0.2 },
  language_model { cell = "lru", residual = true },
  nn.chain { nn.linear { I, H }, nn.residual { saros.tanh }, nn.residual { nn.layer_norm { H }, nn.gru { H, H } } },
  nn.minlstm { I, H, candidate = "positive", layer_norm = true },
  nn.windowed_attention { I, 7 },
  nn.windowed_attention { 12, 5, heads = 3, residual = true },
  nn.chain { nn.embedding { V, 8 }, nn.residual { nn.windowed_attention { 8, 2, heads = 8 } }, nn.lstm { 8, 3 },
    nn.windowed_attention { 3, 100, residual = true } },
  nn.lstm { 1, 1 },
  nn.linear { I, 2 },
  nn.chain { nn.linear { I, 5, bias = false }, saros.tanh, nn.linear { 5, 2 }, saros.sigmoid, saros.exp },
  nn.chain { nn.linear { I, 5 }, saros.relu, nn.layer_norm { 5 }, saros.abs, saros.sqrt, nn.dropout { 0.5 },
    nn.gru { 5, H }, saros.negate, saros.log },
  nn.chain { nn.linear { I, 7 }, saros.sin, saros.cos, saros.softplus, saros.silu, saros.gelu, saros.gelu_tanh,
    nn.linear { 7, 7 }, saros.elu, saros.leaky_relu, nn.linear { 7, 5 }, saros.hard_sigmoid, nn.linear { 5, 5 },
    saros.hard_tanh },
  nn.embedding { V, 4 },
  nn.chain { nn.embedding { V, H }, nn.gru { H, H, residual = true }, nn.chain { nn.linear { H, 2 } } },
  language_model { cell = "rnn" },
  language_model { cell = "lstm", tie = true, layers = 1, dropout = 0.5 },
  language_model { cell = "gru", head = { 7, 5 }, layer_norm = true, zoneout = 0.1, learn_state = true },
}

-- First states, norms and what begins as zeros are no longer what they begin with.
for _, model in ipairs(models) do
  local generator = saros.generator(2)
  model:init { seed = 1 }
  for position, parameter in ipairs(model:parameters()) do
    local name = model:parameters().names[position]
    if name:find "initial" or name:find "norm" or name:find "distance" or name:find "in_proj_bias" then
      generator:fill_normal(parameter)
    end
  end
end

local function begins_with_symbols(model)
  local first = model:stages()[1]
  return first.kind == "embedding" and first.weight:size(1)
end

local function has_norm(model)
  for _, stage in ipairs(model:stages()) do
    if stage.norm_gain or stage.kind == "layer_norm" then
      return true
    end
  end
end

-- Ids (T), or features (T, inputs).
local function draw(model)
  local generator, symbols = saros.generator(5), begins_with_symbols(model)
  if not symbols then
    local first = model:stages()[1]
    return generator:normal { STEPS, (first.weight or first.weight_ih):size(-1) }
  end
  local ids = {}
  for step = 1, STEPS do
    ids[step] = generator:integer(symbols)
  end
  return saros.ids(ids)
end

-- --- Files and commands ----------------------------------------------------------------------

local write, read, in_folder = files.write, files.read, files.with_folder

local function has(command)
  return os.execute("command -v " .. command .. " > /dev/null 2>&1") == true
end

-- What a command printed, and whether it ended well.
local function run(command, ...)
  local output, status = commands.shell(command:format(...))
  return output, status == 0
end

local function succeed(...)
  local output, ok = run(...)
  assert(ok, output)
  return output
end

-- --- A program of all models -------------------------------------------------------------------

local FLAGS = "-std=c99 -O1 -Wall -Wextra -Wshadow -Werror -pedantic"

-- It runs every model's own test; with two files it reads inputs from the one
-- and writes outputs to the other.
local PROGRAM = [[
static %s in[64], out[4096];
int main(int argc, char **argv) {
  int wrong = 0;
  if (argc < 3) {
    %s
    return wrong;
  }
  FILE *from = fopen(argv[1], "rb"), *to = fopen(argv[2], "wb");
  if (!from || !to)
    return 2;
%s  return fclose(to) != 0;
}
]]

local INCLUDE = "#define M%d_TEST\n#define main m%d_main\n#include \"m%d.c\"\n#undef main\n"

local WALK = [[
  {
    static m%d_state state;
    m%d_reset(&state);
    for (int t = 0; t < %d; t++) {
      if (fread(in, sizeof *in, %d, from) != %d)
        return 3;
      m%d_step(&state, %s, out);
      fwrite(out, sizeof *out, M%d_OUTPUTS, to);
    }
  }
]]

local function program_of(list)
  local includes, tests, walks = {}, {}, {}
  for n, model in ipairs(list) do
    local input = draw(model)
    local width = input:rank() == 2 and input:size(2) or 1
    includes[n] = INCLUDE:format(n, n, n)
    tests[n] = ("wrong |= m%d_main();"):format(n)
    walks[n] = WALK:format(n, n, STEPS, width, width, n,
      begins_with_symbols(model) and "(int32_t)in[0]" or "in", n)
  end
  return table.concat(includes) .. PROGRAM:format(is_double and "double" or "float",
    table.concat(tests, "\n"), table.concat(walks))
end

-- Exports all models into the folder, with the inputs for them.
local function export_all(folder, given)
  local inputs = {}
  for n, model in ipairs(models) do
    assert(saros.export_c(model, ("%s/m%d.c"):format(folder, n), { name = "m" .. n, weights = given }))
    local numbers = draw(model):totable()
    for _, row in ipairs(numbers) do
      for _, x in ipairs(type(row) == "table" and row or { row - 1 }) do
        inputs[#inputs + 1] = PACK:pack(x)
      end
    end
  end
  write(folder .. "/in", table.concat(inputs))
  write(folder .. "/all.c", program_of(models))
end

-- What sessions make of a model's input, (T, outputs).
local function expected_of(model)
  local session, input, rows = model:session(), draw(model), {}
  for step = 1, STEPS do
    rows[step] = session:step(input[step]):totable()
  end
  return saros.tensor(rows)
end

-- The outputs of a model from the bytes of all, and where the next one's begin.
local function outputs_of(bytes, at, width)
  local rows = {}
  for step = 1, STEPS do
    rows[step] = {}
    for n = 1, width do
      rows[step][n], at = PACK:unpack(bytes, at)
    end
  end
  return saros.tensor(rows), at
end

local function assert_agrees(model, got, expected)
  local off = 0
  for n, x in ipairs(expected:reshape(-1):totable()) do
    local y = got:reshape(-1)[n]
    if x == x or y == y then -- not both NaN
      off = math.max(off, x == y and 0 or math.abs(x - y) / math.max(1, math.abs(x)))
    end
  end
  local bound = has_norm(model) and NORM_TOLERANCE or TOLERANCE
  assert(off <= bound, ("%s: %g off"):format(model:describe(), off))
end

-- Compiles the program, lets it check itself, and compares its walks.
local function check_program(folder, compiler, runner)
  succeed("cd '%s' && %s %s all.c -o all -lm", folder, compiler, FLAGS)
  succeed("cd '%s' && %s ./all", folder, runner)
  succeed("cd '%s' && %s ./all in out", folder, runner)
  local bytes, at = read(folder .. "/out"), 1
  for _, model in ipairs(models) do
    local expected = expected_of(model)
    local got
    got, at = outputs_of(bytes, at, expected:size(2))
    assert_agrees(model, got, expected)
  end
  assert.equal(#bytes + 1, at)
end

describe("an exported model", function()
  local machines = {
    { compiler = "gcc", runner = "" },
    { compiler = "clang", runner = "" },
    { compiler = "arm-linux-gnueabihf-gcc -static", runner = "qemu-arm" },
    { compiler = "aarch64-linux-gnu-gcc -static", runner = "qemu-aarch64" },
  }
  for _, machine in ipairs(machines) do
    it("steps as its session does: " .. machine.compiler, function()
      if not has(machine.compiler:match "%S+") or (machine.runner ~= "" and not has(machine.runner)) then
        pending("no " .. machine.compiler .. " here")
        return
      end
      in_folder(function(folder)
        export_all(folder)
        check_program(folder, machine.compiler, machine.runner)
      end)
    end)
  end
end)

-- --- One model ---------------------------------------------------------------------------------

-- The text of the file that a model becomes.
local function source_of(model, given)
  local text
  in_folder(function(folder)
    assert(saros.export_c(model, folder .. "/a.c", given))
    text = read(folder .. "/a.c")
  end)
  return text
end

-- The compiler that there is, or nil and a pending spec.
local function any_compiler()
  for _, name in ipairs { "gcc", "clang", "cc" } do
    if has(name) then
      return name
    end
  end
  pending "no C compiler here"
end

-- Compiles a.c of the folder and runs it.
local function test_alone(folder, compiler, name)
  succeed("cd '%s' && %s %s -D%s_TEST a.c -o a -lm", folder, compiler, FLAGS, name)
  return run("cd '%s' && ./a", folder)
end

local function small_model()
  return nn.chain { nn.linear { 2, 3 }, nn.lstm { 3, 4 }, nn.linear { 4, 2 } }:init { seed = 1 }
end

-- A user of a file: prints what it says about itself, and its logits for the ids
-- of standard input.
local USER = [[
#define LM_DECLARE
#include "a.c"
#include <stdio.h>
int main(void) {
  static lm_state s;
  float x[LM_OUTPUTS];
  int id;
  for (int i = 0; i < LM_SYMBOLS; i++)
    fputs(lm_symbols[i], stdout);
  lm_reset(&s);
  printf("|%d %d|", lm_step(&s, -1, x), lm_step(&s, LM_SYMBOLS, x));
  while (scanf("%d", &id) == 1) {
    lm_step(&s, id, x);
    for (int i = 0; i < LM_OUTPUTS; i++)
      printf(" %.9g", x[i]);
  }
  return 0;
}
]]

-- Prints the text of the ids of standard input, which count from 1.
local WORDS_USER = [[
#define LM_DECLARE
#include "a.c"
#include <stdio.h>
int main(void) {
  int id, before = -1;
  while (scanf("%d", &id) == 1) {
    if (before >= 0 && lm_space(before, id - 1))
      fputs(" ", stdout);
    fputs(lm_symbols[id - 1], stdout);
    before = id - 1;
  }
  return 0;
}
]]

describe("the comment of an exported file", function()
  it("says what the model is, with the + of what is added", function()
    local model = nn.chain { nn.residual { nn.linear { 2, 2 }, saros.tanh } }:init { seed = 1 }
    in_folder(function(folder)
      assert(saros.export_c(model, folder .. "/a.c"))
      assert.matches("^/%*\n%*%* chain %(x %+ chain %(linear 2 %-> 2; function%)%)%.\n", files.read(folder .. "/a.c"))
    end)
  end)
end)

describe("an exported language model", function()
  it("has its symbols and the loss of a session over a text", function()
    local compiler = any_compiler()
    if not compiler or is_double then
      return
    end
    local lm = language_model { cell = "gru", layers = 2, seed = 4 }
    in_folder(function(folder)
      assert(saros.export_c(lm, folder .. "/a.c", { name = "lm" }))
      write(folder .. "/user.c", USER)
      local ids = lm.vocabulary:encode(('"quick" \\ fox? ??/\n'):rep(20))
      local session, rows, text = lm:session(), {}, {}
      for step = 1, #ids - 1 do
        rows[step], text[step] = session:step(ids[step]):totable(), ids[step] - 1
      end
      write(folder .. "/ids", table.concat(text, " "))
      succeed("cd '%s' && %s %s user.c a.c -o user -lm", folder, compiler, FLAGS)
      local symbols, refused, numbers = succeed("cd '%s' && ./user < ids", folder):match "^(.*)|(.-)|(.*)$"
      assert.equal(table.concat(lm.vocabulary.symbols), symbols)
      assert.equal("-1 -1", refused)
      local logits = {}
      for number in numbers:gmatch "%S+" do
        logits[#logits + 1] = tonumber(number)
      end
      local targets = saros.ids { table.unpack(ids, 2) }
      local got = nn.cross_entropy(saros.tensor(logits):reshape(#rows, -1), targets):item()
      assert.near(nn.cross_entropy(saros.tensor(rows), targets):item(), got, 1e-6)
    end)
  end)

  it("has the spaces between words", function()
    local compiler = any_compiler()
    if not compiler or is_double then
      return
    end
    local words = 'The cat, "the dog". v1.2\n' .. ("w"):rep(130) .. " x"
    local known = saros.data.vocabulary.words(words, { unknown = "symbol" })
    local lm = nn.language_model { vocabulary = known, hidden = H, layers = 1, seed = 1 }
    in_folder(function(folder)
      assert(saros.export_c(lm, folder .. "/a.c", { name = "lm" }))
      write(folder .. "/user.c", WORDS_USER)
      local ids = known:encode(words .. " fish cat.dog, the")
      write(folder .. "/ids", table.concat(ids, " "))
      succeed("cd '%s' && %s %s user.c a.c -o user -lm", folder, compiler, FLAGS)
      assert.equal(known:decode(ids), succeed("cd '%s' && ./user < ids", folder))
    end)
  end)

  it("writes tied weights once", function()
    local tied = source_of(language_model { tie = true })
    local free = source_of(language_model {})
    local count = #TEXT.vocabulary * H
    assert.is_nil(tied:find("weight_4[", 1, true))
    assert.is_string(free:match("model_weight_4%[" .. count .. "%]"))
  end)
end)

-- A user of a forecaster: its numbers for those of standard input.
local SERIES_USER = [[
#define MODEL_DECLARE
#include "a.c"
#include <stdio.h>
int main(void) {
  static model_state s;
  %s x[MODEL_INPUTS], y[MODEL_OUTPUTS];
  double number;
  model_reset(&s);
  for (int n = 0; scanf("%%lf", &number) == 1; n++) {
    x[n %% MODEL_INPUTS] = (%s)number;
    if ((n + 1) %% MODEL_INPUTS > 0)
      continue;
    model_step(&s, x, y);
    for (int i = 0; i < MODEL_OUTPUTS; i++)
      printf(" %%.17g", (double)y[i]);
  }
  return 0;
}
]]

local function series_of(given)
  local rows = {}
  for t = 1, 100 do
    rows[t] = { 50 + 7 * math.sin(t / 3), -3 + 0.1 * math.sin((t + 1) / 3), 1000 * t }
  end
  return assert(data.series(saros.tensor(rows), given))
end

-- What a session tells of the first rows, and what the file does.
local function assert_forecasts(model, series, compiler, given)
  in_folder(function(folder)
    assert(saros.export_c(model, folder .. "/a.c", given))
    write(folder .. "/user.c", SERIES_USER:format(is_double and "double" or "float", is_double and "double" or "float"))
    local session, expected, lines = model:session(given), {}, {}
    for t = 1, 20 do
      expected[t] = session:step(series.inputs[t]):reshape(-1)
      local row = series.inputs[t]:totable()
      lines[t] = (("%.17g "):rep(#row)):format(table.unpack(row))
    end
    write(folder .. "/rows", table.concat(lines, "\n"))
    succeed("cd '%s' && %s %s user.c a.c -o user -lm", folder, compiler, FLAGS)
    local numbers = {}
    for number in succeed("cd '%s' && ./user < rows", folder):gmatch "%S+" do
      numbers[#numbers + 1] = tonumber(number)
    end
    expected = saros.stack(expected)
    assert_agrees(model.net, saros.tensor(numbers):reshape(expected:shape()), expected)
    local output, ok = test_alone(folder, compiler, "MODEL")
    assert(ok, output)
  end)
end

describe("an exported forecaster", function()
  it("takes and tells the units of the series", function()
    local compiler = any_compiler()
    if not compiler then
      return
    end
    for _, given in ipairs {
      { horizon = 3 }, { horizon = 2, inputs = { 3, 1 }, targets = { 1 } }, { inputs = { 1 }, targets = { 2, 3 } },
    } do
      local series = series_of(given)
      assert_forecasts(nn.forecaster { series = series, hidden = H }, series, compiler)
    end
    local series = series_of { horizon = 2 }
    assert_forecasts(nn.forecaster { series = series, cell = "lru", layers = 2, difference = false }, series, compiler)
  end)

  it("has a test that passes with weights in 8 bits", function()
    local compiler = any_compiler()
    if not compiler then
      return
    end
    in_folder(function(folder)
      assert(saros.export_c(nn.forecaster { series = series_of {} }, folder .. "/a.c", { weights = "int8" }))
      local output, ok = test_alone(folder, compiler, "MODEL")
      assert(ok, output)
    end)
  end)

  it("says which numbers go in and come out", function()
    local text = source_of(nn.forecaster { series = series_of { horizon = 2, inputs = { 3, 1 }, targets = { 1 } } })
    assert.matches("input:   2 numbers in the units of the series: 3, 1\n", text, 1, true)
    assert.matches("in the units of the series, 1 for each of the next 2 steps: 1\n", text, 1, true)
    assert.matches("scale:   inside, (x - model_mean_1) / model_scale_1, and back at the end\n", text, 1, true)
    assert.matches("static const %w+ model_mean_1%[2%] = {", text)
  end)
end)

describe("export_c", function()
  it("writes numbers that are exactly the weights, and the same bytes each time", function()
    local model = nn.linear { 4, 4, bias = false }:init { seed = 1 }
    local odd = { 0.0, -0.0, 1, -99999, 100000, 0.1, -1 / 3, 2 ^ -126, 2 ^ -149, 16777215, 2 ^ 127, -2 ^ -130,
      1e-10, 3.4028234663852886e38, 0.5, -7 }
    model.weight:assign(saros.tensor(odd):reshape(4, 4))
    local text = source_of(model)
    assert.equal(text, source_of(model))
    local at, list = 0, text:match "model_weight_1%[16%] = {(.-)}"
    for literal in list:gmatch "[^%s,]+" do
      at = at + 1
      local x = tonumber((literal:gsub("f$", ""))) -- hexadecimal in Lua, too
      local expected = model.weight:reshape(-1)[at]
      assert.equal(expected, x)
      assert.equal(1 / expected, 1 / (literal == "-0x0p0f" and -0.0 or x))
    end
    assert.equal(16, at)
  end)

  it("writes a test that notices a changed weight", function()
    local compiler = any_compiler()
    if not compiler then
      return
    end
    in_folder(function(folder)
      assert(saros.export_c(small_model(), folder .. "/a.c"))
      local text = read(folder .. "/a.c")
      write(folder .. "/a.c", (text:gsub("(model_bias_3%[2%] = {\n *)[^,]+", "%11", 1)))
      local output, ok = test_alone(folder, compiler, "MODEL")
      assert.is_false(ok)
      assert.matches("^model: 8 steps, off by at most [%d.e-]+: WRONG\n", output)
    end)
  end)

  it("keeps weights in 8 bits on request", function()
    local compiler = any_compiler()
    if not compiler then
      return
    end
    local model = nn.chain { nn.embedding { 7, 20 }, nn.gru { 20, 20, reset = "before" },
      nn.lstm { 20, 20, projection = 9 }, nn.windowed_attention { 9, 4 }, nn.linear { 9, 7 } }:init { seed = 1 }
    model.steps[5].weight:slice(1, 2, 2):fill(0)
    in_folder(function(folder)
      assert(saros.export_c(model, folder .. "/a.c", { weights = "int8" }))
      local text = read(folder .. "/a.c")
      assert.matches("static const int8_t model_weight_hr_3%[180%]", text)
      for list in text:gmatch "int8_t [%w_]+%[%d+%] = {(.-)}" do
        local largest = 0
        for literal in list:gmatch "[^%s,]+" do
          local value = assert(math.tointeger(tonumber(literal)), literal)
          largest = math.max(largest, math.abs(value))
        end
        assert.equal(127, largest)
      end
      local output, ok = test_alone(folder, compiler, "MODEL")
      assert(ok, output)
    end)
  end)

  it("takes a name that C takes", function()
    assert.matches("void rnn_2_reset%(rnn_2_state %*state%)", source_of(small_model(), { name = "rnn_2" }))
    for _, name in ipairs { "", "2x", "_x", "a b", "a;", "a\0", "x\n", "\u{e9}", ("x"):rep(41), 7, "a-b" } do
      assert.has_error(function()
        saros.export_c(small_model(), "/nowhere/a.c", { name = name })
      end, nil)
    end
    local ok, message = pcall(saros.export_c, small_model(), "/nowhere/a.c", { name = "a-b" })
    assert.is_false(ok)
    assert.matches("export_c: expected option 'name' to be a C identifier of at most 40 characters that begins "
      .. 'with a letter, got "a%-b"', message)
  end)

  it("refuses what sessions refuse, with their error, and blames the caller", function()
    local own = nn.module "own"
    for _, model in ipairs {
      nn.gru { 2, 3, bidirectional = true }:init { seed = 1 },
      nn.chain { nn.linear { 2, 3 }, nn.embedding { 4, 2 } }:init { seed = 1 },
      nn.linear { 2, 3 },
      own.new(),
    } do
      local _, expected = pcall(function() model:session() end)
      local _, message = pcall(function() saros.export_c(model, "/nowhere/a.c") end)
      assert.equal((expected:gsub("^.-:%d+: ", "")), (message:gsub("^.-:%d+: ", "")))
      assert.matches("^spec/export_spec.lua:%d+: %a+: expected ", message)
    end
  end)

  it("says what is wrong with its arguments", function()
    local function message_of(...)
      return select(2, pcall(saros.export_c, ...))
    end
    assert.matches("export_c: expected a model, got a table", message_of({}, "/nowhere/a.c"))
    assert.matches("export_c: expected a path, got nil", message_of(small_model()))
    assert.matches("unknown option \"nmae\"", message_of(small_model(), "/nowhere/a.c", { nmae = "x" }))
    assert.matches("expected option 'weights'", message_of(small_model(), "/nowhere/a.c", { weights = "int4" }))
    assert.matches("zero bytes", message_of(small_model(), "/nowhere/a\0.c"))
  end)

  it("leaves the old file where it cannot write, and nothing beside it where it can", function()
    local result, message = saros.export_c(small_model(), "/nowhere/a.c")
    assert.is_nil(result)
    assert.equal('export_c: expected to write "/nowhere/a.c", got "No such file or directory"', message)
    in_folder(function(folder)
      assert.is_nil(saros.export_c(small_model(), folder))
      write(folder .. "/a.c", "old")
      assert.is_true(saros.export_c(small_model(), folder .. "/a.c"))
      assert.equal("a.c\n", succeed("ls -A '%s'", folder))
    end)
  end)

  it("cannot be left by what a model is called", function()
    local model = small_model()
    function model.describe() return "*/ #error \\\n$name ??/" end
    assert.matches("^/%*\n%*%*  +error  +name", source_of(model))
  end)

  it("exports weights that are not finite as they are", function()
    local model = nn.linear { 3, 1 }:init { seed = 1 }
    model.weight:assign(saros.tensor { { 0 / 0, 1 / 0, -1 / 0 } })
    assert.matches("{\n    NAN, INFINITY, %-INFINITY,\n}", source_of(model))
  end)
end)
