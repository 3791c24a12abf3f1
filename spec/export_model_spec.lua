-- What exported models say of themselves: symbols, spaces, labels, the units of series.

local c = require "spec.support.c_files"
local files = require "spec.support.files"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local is_double = c.is_double
local write, in_folder = files.write, files.with_folder
local succeed, source_of, test_alone, FLAGS = c.succeed, c.source_of, c.test_alone, c.FLAGS
local H = 9

local TEXT = data.text({ string = ('the "quick" fox? ??/\n\\ $name %d */ \u{e9}\u{3042}1'):rep(5) }, { valid = 0 })

local function language_model(given)
  given.vocabulary, given.hidden, given.embedding = TEXT.vocabulary, H, H
  return nn.language_model(given)
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

describe("an exported language model", function()
  it("has its symbols and the loss of a session over a text", function()
    if is_double then
      return -- its numbers are read as floats
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
      succeed("cd '%s' && %s %s user.c a.c -o user -lm", folder, "gcc", FLAGS)
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
    if is_double then
      return -- its numbers are read as floats
    end
    local words = 'The cat, "the dog". v1.2\n' .. ("w"):rep(130) .. " x"
    local known = saros.data.vocabulary.words(words, { unknown = "symbol" })
    local lm = nn.language_model { vocabulary = known, hidden = H, layers = 1, seed = 1 }
    in_folder(function(folder)
      assert(saros.export_c(lm, folder .. "/a.c", { name = "lm" }))
      write(folder .. "/user.c", WORDS_USER)
      local ids = known:encode(words .. " fish cat.dog, the")
      write(folder .. "/ids", table.concat(ids, " "))
      succeed("cd '%s' && %s %s user.c a.c -o user -lm", folder, "gcc", FLAGS)
      assert.equal(known:decode(ids), succeed("cd '%s' && ./user < ids", folder))
    end)
  end)

  it("writes tied weights once", function()
    local tied = source_of(language_model { tie = true })
    local free = source_of(language_model {})
    local count = #TEXT.vocabulary * H
    local function arrays(text)
      return select(2, text:gsub("static const %w+ [%w_]+%[" .. count .. "%]", ""))
    end
    assert.equal(1, arrays(tied))
    assert.equal(2, arrays(free))
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
local function assert_forecasts(model, series, given)
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
    succeed("cd '%s' && %s %s user.c a.c -o user -lm", folder, "gcc", FLAGS)
    local numbers = {}
    for number in succeed("cd '%s' && ./user < rows", folder):gmatch "%S+" do
      numbers[#numbers + 1] = tonumber(number)
    end
    expected = saros.stack(expected)
    local got = saros.tensor(numbers):reshape(expected:shape())
    local off = ((got - expected):abs() / expected:abs():maximum(1)):max():item()
    assert(off <= (is_double and 1e-12 or 1e-5), off)
    local output, ok = test_alone(folder, "gcc", "MODEL")
    assert(ok, output)
  end)
end

describe("an exported forecaster", function()
  it("takes and tells the units of the series", function()
    for _, given in ipairs {
      { horizon = 3 }, { horizon = 2, inputs = { 3, 1 }, targets = { 1 } }, { inputs = { 1 }, targets = { 2, 3 } },
    } do
      local series = series_of(given)
      assert_forecasts(nn.forecaster { series = series, hidden = H }, series)
    end
    local series = series_of { horizon = 2 }
    assert_forecasts(nn.forecaster { series = series, cell = "lru", layers = 2, difference = false }, series)
  end)

  it("has a test that passes with weights in 8 bits", function()
    in_folder(function(folder)
      assert(saros.export_c(nn.forecaster { series = series_of {} }, folder .. "/a.c", { weights = "int8" }))
      local output, ok = test_alone(folder, "gcc", "MODEL")
      assert(ok, output)
    end)
  end)

  it("says which numbers go in and come out", function()
    local text = source_of(nn.forecaster { series = series_of { horizon = 2, inputs = { 3, 1 }, targets = { 1 } } })
    assert.matches("input:   2 numbers in the units of the series: 3, 1\n", text, 1, true)
    assert.matches("in the units of the series, 1 for each of the next 2 steps: 1\n", text, 1, true)
    assert.matches("scale:   inside, (x - model_input_mean) / model_input_scale, and back at the end\n", text, 1, true)
    assert.matches("static const %w+ model_input_mean%[2%] = {", text)
  end)
end)

-- A user of a classifier: its label and the probabilities of all, for the numbers of
-- standard input.
local CHOICE_USER = [[
#define MODEL_DECLARE
#include "a.c"
#include <stdio.h>
int main(void) {
  static model_state s;
  static %s x[20], y[MODEL_OUTPUTS], memory[MODEL_MEMORY(10)];
  double number;
  int count = 0;
  model_reset(&s);
  while (count < 20 && scanf("%%lf", &number) == 1)
    x[count++] = (%s)number;
  model_run(&s, x, count / MODEL_INPUTS, y, memory);
  printf("%%s", model_labels[model_probabilities(y, y)]);
  for (int i = 0; i < MODEL_OUTPUTS; i++)
    printf(" %%.9g", (double)y[i]);
  return 0;
}
]]

describe("an exported classifier", function()
  it("says the label and the probabilities of a whole sequence", function()
    local examples = { low = {}, mid = {}, high = {} }
    for i = 1, 6 do
      for n, label in ipairs { "low", "mid", "high" } do
        examples[label][i] = saros.generator(i):normal { 5, 2 } * 40 + 60 * n
      end
    end
    local set = data.labelled(examples, { valid = 0 })
    local model = nn.classifier { features = set.features, labels = set.labels, hidden = H, seed = 2 }
    in_folder(function(folder)
      assert(saros.export_c(model, folder .. "/a.c"))
      write(folder .. "/user.c", CHOICE_USER:format(c.REAL, c.REAL))
      write(folder .. "/rows", "1 2 30 -40.5 100 200")
      succeed("cd '%s' && gcc %s user.c a.c -o user -lm", folder, FLAGS)
      local label, ranking = model:classify { { 1, 2 }, { 30, -40.5 }, { 100, 200 } }
      local said, numbers = succeed("cd '%s' && ./user < rows", folder):match "^(%w+) (.*)$"
      assert.equal(label, said)
      local probabilities = {}
      for number in numbers:gmatch "%S+" do
        probabilities[#probabilities + 1] = tonumber(number)
      end
      for _, entry in ipairs(ranking) do
        assert.near(entry.probability, probabilities[model:label_id(entry.label)], 1e-5)
      end
    end)
  end)
end)
