-- An encoder and a decoder as one C file: it writes what the model writes, greedily.

local c = require "spec.support.c_files"
local files = require "spec.support.files"
local saros = require "saros"
local nn, data = saros.nn, saros.data

-- An untrained model whose end is unlikely, so that it writes for a while.
local function made(given)
  given.source, given.target = given.source or 7, given.target or 6
  given.hidden, given.embedding = 8, 5
  local model, generator = nn.encoder_decoder(given), saros.generator(4)
  for _, tensor in ipairs(model:parameters()) do
    tensor:assign(tensor + generator:normal(tensor:shape()) * 0.4)
  end
  local bias = model.head.bias
  bias:slice(1, model.boundary, model.boundary):fill(-1)
  return model
end

local CELLS = { "gru", "lstm", "rnn", "mingru", "lru", "slstm" } -- whose first state is not zeros

describe("an encoder-decoder as C", function()
  for _, bidirectional in ipairs { false, true } do
    it("says and writes what the model does, " .. (bidirectional and "read to and fro" or "read once"), function()
      local steps = 0
      for n, form in ipairs { "dot", "scaled_dot", "general", "additive", false, "dot" } do
        for _, weights in ipairs { "real", "int8" } do
          local model = made { attention = form, cell = CELLS[n], layers = n % 2 + 1, bidirectional = bidirectional }
          local name = "e" .. n
          c.assert_well(model, { name = name, weights = weights })
          local text = c.source_of(model, { name = name, weights = weights })
          steps = steps + tonumber(text:match("t < (%d+); t%+%+%) {\n    " .. name .. "_next"))
        end
      end
      assert.is_true(steps > 30, steps)
    end)
  end

  local USER = [=[
#define LM_DECLARE
#include "a.c"
#include <stdio.h>
int main(void) {
  static lm_state state;
  static %s memory[LM_MEMORY(64)];
  int32_t source[64], target[20];
  int length = 0, id;
  while (length < 64 && scanf("%%d", &id) == 1)
    source[length++] = id;
  const int count = lm_translate(&state, source, length, target, 20, memory);
  for (int i = 0; i < count; i++)
    fputs(lm_targets[target[i]], stdout);
  printf("|%%s", lm_sources[source[0]]);
  source[0] = LM_SOURCES;
  printf("|%%d %%d", lm_translate(&state, source, length, target, 20, memory),
         lm_translate(&state, source, 0, target, 20, memory));
  return 0;
}
]=]

  it("translates as the model does with a beam of 1, and refuses other ids and no source", function()
    local set = data.pairs({ { "abc", "xyz" }, { "cab", "zxy" }, { "bca", "yz" } }, { valid = 0 })
    local model = made { source = set.source, target = set.target, bidirectional = true, cell = "gru" }
    files.with_folder(function(folder)
      assert(saros.export_c(model, folder .. "/a.c", { name = "lm", test = "abcabc" }))
      files.write(folder .. "/user.c", USER:format(c.REAL))
      for _, source in ipairs { "abc", "c", "bacabcbbcbca" } do
        local ids = {}
        for position, id in ipairs(set.source:encode(source)) do
          ids[position] = id - 1
        end
        files.write(folder .. "/ids", table.concat(ids, " "))
        c.succeed("cd '%s' && gcc %s user.c a.c -o user -lm", folder, c.FLAGS)
        local expected = model:translate(source, { beam = 1, max_length = 20 })[1].text
        assert.equal(("%s|%s|-1 -1"):format(expected, source:sub(1, 1)), c.succeed("cd '%s' && ./user < ids", folder))
      end
      local output, ok = c.test_alone(folder, "g++ -x c++", "LM")
      assert(ok, output)
    end)
  end)

  it("has a test that knows logits of symbols that are never written", function()
    files.with_folder(function(folder)
      local model = made {}
      model.head.bias[1] = -math.huge
      assert(saros.export_c(model, folder .. "/a.c"))
      local output, ok = c.test_alone(folder, "gcc", "MODEL")
      assert(ok, output)
    end)
  end)

  it("has a test that notices a changed weight", function()
    files.with_folder(function(folder)
      assert(saros.export_c(made {}, folder .. "/a.c"))
      local text = files.read(folder .. "/a.c")
      files.write(folder .. "/a.c", (text:gsub("(model_combine_bias%[8%] = {\n *)[^,]+", "%11", 1)))
      local output, ok = c.test_alone(folder, "gcc", "MODEL")
      assert.is_false(ok)
      assert.matches(": WRONG\n", output)
    end)
  end)

  it("refuses a test that it cannot read", function()
    assert.error_matches(function()
      saros.export_c(made {}, "/nowhere/a.c", { test = saros.ones(2, 2) })
    end, "export_c: expected option 'test' to be a sequence that the model reads, got a tensor %(2, 2%)")
    for _, given in ipairs { saros.ones(3), { "a" }, {} } do
      assert.error_matches(function()
        saros.export_c(made {}, "/nowhere/a.c", { test = given })
      end, "export_c: expected option 'test' to be a sequence that the model reads, got ")
    end
  end)
end)
