-- An exported model is C that every compiler takes, and it computes what a
-- session does.

local c = require "spec.support.c_files"
local files = require "spec.support.files"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local is_double, PACK = c.is_double, c.PACK

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
  nn.ugrnn { I, H, layers = 2, residual = true },
  nn.ugrnn { I, H, layer_norm = true, zoneout = 0.2 },
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

-- The node of a model's program that takes its input.
local function input_of(model)
  for _, node in ipairs(model:program().nodes) do
    if node.op == "ids" or node.op == "input" then
      return node
    end
  end
end

local function begins_with_symbols(model)
  return input_of(model).count
end

local function has_norm(model)
  for _, node in ipairs(model:program().nodes) do
    if node.op == "layer_norm" or table.concat(node.with or {}):find "norm" then
      return true
    end
  end
end

-- Ids (T), or features (T, inputs).
local function draw(model)
  local generator, symbols = saros.generator(5), begins_with_symbols(model)
  if not symbols then
    return generator:normal { STEPS, input_of(model).width }
  end
  local ids = {}
  for step = 1, STEPS do
    ids[step] = generator:integer(symbols)
  end
  return saros.ids(ids)
end

-- --- A program of all models -------------------------------------------------------------------

local write, read, in_folder = files.write, files.read, files.with_folder
local has, succeed, FLAGS = c.has, c.succeed, c.FLAGS

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
  local flags = compiler:find "++" and FLAGS:gsub("%-std=c99 ", "") or FLAGS
  succeed("cd '%s' && %s %s all.c -o all -lm", folder, compiler, flags)
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
    { compiler = "g++ -x c++ -std=c++17", runner = "" },
    { compiler = "arm-linux-gnueabihf-gcc -static", runner = "qemu-arm" },
    { compiler = "aarch64-linux-gnu-gcc -static", runner = "qemu-aarch64" },
  }
  for _, machine in ipairs(machines) do
    it("steps as its session does: " .. machine.compiler, function()
      if machine.runner ~= "" and not (has(machine.compiler:match "%S+") and has(machine.runner)) then
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
