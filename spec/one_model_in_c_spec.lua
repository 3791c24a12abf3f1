-- The C file of a model, compiled and run, says what the model says.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local one_model = require "spec.support.one_model"
local saros = require "saros"
local nn = saros.nn

local is_double = saros.info().real == "double"
local models, numbers, T = one_model.list, one_model.numbers, one_model.T
local assert_same = one_model.assert_same

-- What a model says of its sequences one behind the other in a row, with a reset where each
-- begins: (3 T, O).
local function in_one_row(entry)
  local row, reset = {}, saros.zeros(3 * T, 1)
  for n, sequence in ipairs(entry.sequences) do
    table.move(sequence, 1, T, #row + 1, row)
    reset[(n - 1) * T + 1]:fill(1)
  end
  local x = entry.symbols and saros.ids(row):reshape(-1, 1) or saros.tensor(row):reshape(3 * T, 1, -1)
  return entry.model(x, nil, { reset = reset }):select(2, 1)
end

local PACK = is_double and "d" or "f"
local FLAGS = "-std=c99 -O1 -Wall -Wextra -Wshadow -Werror -pedantic"

-- Runs the test of every file, and then with every model the steps in `in`.
local PROGRAM = [[
static %s in[64], out[4096];
int main(void) {
  int wrong = 0;
  FILE *from = fopen("in", "rb"), *to = fopen("out", "wb");
  if (!from || !to)
    return 2;
%s
  return fclose(to) != 0 || wrong;
}
]]

local WALK = [[
  {
    static m%d_state state;
    wrong |= m%d_main();
    for (int t = 0; t < %d; t++) {
      if (fread(in, sizeof *in, %d, from) != %d)
        return 3;
      if (t %% %d == 0)
        m%d_reset(&state);
      m%d_step(&state, %s, out);
      fwrite(out, sizeof *out, M%d_OUTPUTS, to);
    }
  }
]]

-- The files of all models in a folder, the program, and its input.
local function export_all(folder, given)
  local includes, walks, input = {}, {}, {}
  for n, entry in ipairs(models) do
    local first = entry.sequences[1]
    local test = not entry.symbols and (entry.asked and first or saros.tensor(first)) or nil
    local path = ("%s/m%d.c"):format(folder, n)
    assert(saros.export_c(entry.model, path, { name = "m" .. n, weights = given, test = test }))
    includes[n] = ("#define M%d_TEST\n#define main m%d_main\n#include \"m%d.c\"\n#undef main\n"):format(n, n, n)
    local width = entry.symbols and 1 or #first[1]
    walks[n] = WALK:format(n, n, 3 * T, width, width, T, n, n, entry.symbols and "(int32_t)in[0]" or "in", n)
    for _, sequence in ipairs(entry.sequences) do
      for _, x in ipairs(sequence) do
        for _, number in ipairs(entry.symbols and { x - 1 } or x) do
          input[#input + 1] = PACK:pack(number)
        end
      end
    end
  end
  files.write(folder .. "/in", table.concat(input))
  files.write(folder .. "/all.c", table.concat(includes)
    .. PROGRAM:format(is_double and "double" or "float", table.concat(walks)))
end

local function in_c(folder, compiler)
  local output, status = commands.shell(("cd '%s' && %s %s all.c -o all -lm && ./all"):format(folder, compiler, FLAGS))
  assert(status == 0, output)
  return files.read(folder .. "/out"), output
end

describe("a C file", function()
  for _, weights in ipairs { "real", "int8" } do
    it("says what the model says, with weights in " .. weights, function()
      if not os.execute "command -v cc > /dev/null 2>&1" then
        pending "no C compiler here"
        return
      end
      files.with_folder(function(folder)
        export_all(folder, weights)
        local bytes, output = in_c(folder, "cc")
        local at, tests = 1, select(2, output:gsub(": well\n", ""))
        assert.equal(#models, tests, output)
        for _, entry in ipairs(weights == "real" and models or {}) do
          local all = {}
          for n, sequence in ipairs(entry.sequences) do
            local expected, got = entry.called(entry.model, sequence), {}
            for position = 1, expected:count() do
              got[position], at = PACK:unpack(bytes, at)
            end
            all[n] = saros.tensor(got)
            assert_same(expected, all[n], entry.name)
          end
          if entry.resets then
            assert_same(in_one_row(entry), saros.concatenate(all, 1), entry.name .. ", with resets")
          end
        end
      end)
    end)
  end

  it("of a classifier has its labels, and a test that notices another scale", function()
    files.with_folder(function(folder)
      local model = nn.classifier { features = numbers.features, labels = { 'a "b"?', "$name" }, hidden = 3,
        bidirectional = false }
      local path = folder .. "/a.c"
      assert(saros.export_c(model, path, { test = { { 100, -5000 }, { 101, -4990 } } }))
      local text = files.read(path)
      assert.matches("extern const char *const model_labels[MODEL_OUTPUTS];", text, 1, true)
      assert.matches('model_labels[MODEL_OUTPUTS] = {\n    "a \\042b\\042\\077",\n    "\\044name",\n};', text, 1, true)
      assert.matches("input:   2 numbers in their own units: ", text, 1, true)
      assert.matches("#define MODEL_TEST_STEPS 2\n", text, 1, true)
      files.write(path, (text:gsub("(model_input_mean%[2%] = {\n *)[^,]+", "%10", 1)))
      local _, status = commands.shell(("cd '%s' && cc -std=c99 -DMODEL_TEST a.c -o a -lm && ./a"):format(folder))
      assert.is_true(status ~= 0)
    end)
  end)

  it("is tested on what it is given, or refuses it", function()
    local model = models[1].model
    files.with_folder(function(folder)
      assert(saros.export_c(model, folder .. "/a.c", { test = "the fox" }))
      assert.matches("TEST_STEPS 7\n", files.read(folder .. "/a.c"), 1, true)
    end)
    local function refuses(expected, asked, test)
      assert.error_matches(function() saros.export_c(asked, "/nowhere/a.c", { test = test }) end, expected, 1, true)
    end
    refuses("export_c: encode: expected one of the", model, "THE")
    refuses("export_c: expected option 'test' to be a sequence that the model reads, ids (T), got \"\"", model, "")
    local chain = nn.linear({ 2, 2 }):init { seed = 1 }
    local expected = "export_c: expected option 'test' to be a sequence that the model reads, numbers (T, 2), got "
    refuses(expected .. "a tensor (3, 3)", chain, saros.ones(3, 3))
    refuses(expected .. '"x"', chain, "x")
    refuses(expected .. "a table", chain, { 1, "x" })
  end)
end)
