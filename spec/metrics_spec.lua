-- Figures beside the loss.

local saros = require "saros"
local nn, data, metrics = saros.nn, saros.data, saros.metrics

local folders = require "spec.support.folders"
local files = require "spec.support.files"

describe("metrics of labels", function()
  -- a: 3 cases, 2 right, 1 taken for b; b: 2 cases, 1 right; c: never occurs, told once.
  local truth, told = { "a", "a", "a", "b", "b" }, { "a", "a", "b", "b", "c" }

  it("are precision, recall and F1 of each, accuracy and macro F1", function()
    local found = metrics.classification(truth, told)
    assert.equal(3 / 5, found.accuracy)
    assert.equal(5, found.count)
    assert.same({ label = "a", count = 3, precision = 1, recall = 2 / 3, f1 = 4 / 5 }, found.classes[1])
    assert.same({ label = "b", count = 2, precision = 1 / 2, recall = 1 / 2, f1 = 1 / 2 }, found.classes[2])
    assert.same({ label = "c", count = 0, precision = 0, recall = 0, f1 = 0 }, found.classes[3])
    assert.near((4 / 5 + 1 / 2) / 3, found.macro_f1, 1e-12)
    assert.same({ { 2, 1, 0 }, { 0, 1, 1 }, { 0, 0, 0 } }, found.confusion.counts)
  end)

  it("leave out what has neither cases nor answers", function()
    local found = metrics.classification(truth, told, { labels = { "c", "d", "b", "a" } })
    assert.same({ label = "d", count = 0 }, found.classes[2])
    assert.near((4 / 5 + 1 / 2) / 3, found.macro_f1, 1e-12)
    local none = metrics.classification({}, {})
    assert.is_nil(none.accuracy)
    assert.is_nil(none.macro_f1)
    assert.matches("accuracy -, macro F1 -, of 0", tostring(none), 1, true)
  end)

  it("have no nan for a label that is never told", function()
    local found = metrics.classification({ 1, 2 }, { 1, 1 })
    assert.same({ label = 2, count = 1, precision = 0, recall = 0, f1 = 0 }, found.classes[2])
  end)

  it("take ids, as places among the labels or as they are", function()
    local logits = saros.tensor { { 3, 1 }, { 1, 3 }, { 2, 0 } }
    local found = metrics.classification(saros.ids { 1, 2, 2 }, logits:argmax(-1), { labels = { "no", "yes" } })
    assert.same({ { 1, 0 }, { 1, 1 } }, found.confusion.counts)
    assert.equal("yes", found.classes[2].label)
    found = metrics.classification(saros.ids { 10, 2 }, { 10, 9 })
    assert.same({ 2, 9, 10 }, found.confusion.labels)
  end)

  it("print as a table", function()
    assert.equal([[
label  precision  recall     F1  count
a          1.000   0.667  0.800      3
b          0.500   0.500  0.500      2
c          0.000   0.000  0.000      0
d              -       -      -      0
accuracy 0.600, macro F1 0.433, of 5]], tostring(metrics.classification(truth, told,
      { labels = { "a", "b", "c", "d" } })))
  end)

  it("refuse what does not fit", function()
    assert.error_matches(function() metrics.classification({ "a" }, {}) end,
      "expected as many answers as true labels, 1, got 0", 1, true)
    assert.error_matches(function() metrics.classification({ "a" }, { "b" }, { labels = { "a" } }) end,
      'expected one of the labels in predicted, got "b" at position 1', 1, true)
    assert.error_matches(function() metrics.classification(3, {}) end,
      "expected labels, as a list or ids (N) as argument 1, got 3", 1, true)
    local ids, labels = saros.ids { 1, 3 }, { "a", "b" }
    assert.error_matches(function() metrics.classification(ids, ids, { labels = labels }) end,
      "expected one of the labels in truth, got 3 at position 2", 1, true)
    assert.error_matches(function() metrics.classification(ids, ids, { labels = { 3, 4 } }) end,
      "expected one of the labels in truth, got 3 at position 2", 1, true) -- 3 is a label, but no place
    local each_once = "expected option 'labels' to be strings or numbers, each once, "
    for got, list in pairs { ["nan at position 2"] = { 1, 0 / 0 }, ["true at position 1"] = { true, false },
      ["nil at position 2"] = { "a", nil, "b" } } do
      assert.error_matches(function() metrics.classification(list, { "a", "b" }) end,
        "expected strings or numbers in truth, got " .. got, 1, true)
      assert.error_matches(function() metrics.classification({}, {}, { labels = list }) end,
        each_once .. "got " .. got, 1, true)
    end
    assert.error_matches(function() metrics.classification({ "a" }, { "a" }, { labels = { "a", "b", "a" } }) end,
      each_once .. 'got "a" at position 3', 1, true)
  end)
end)

describe("metrics of numbers", function()
  it("are MAE and RMSE, of lists and tensors", function()
    local found = metrics.regression({ 1, 2, 3, 4 }, { 1, 2, 3, 8 })
    assert.same({ 4, 1, 2 }, { found.count, found.mae, found.rmse })
    assert.equal("MAE 1, RMSE 2, of 4", tostring(found))
    assert.equal(0, metrics.regression(saros.ones(2, 2), saros.ones(2, 2)).rmse)
    found = metrics.regression({ { 1, 2 }, { 3, 4 } }, saros.tensor { { 1, 2 }, { 3, 6 } })
    assert.same({ 4, 0.5, 1 }, { found.count, found.mae, found.rmse })
  end)

  it("keep the differences of numbers far from 0", function()
    local far = 1700000000 -- where the numbers of the build are 128 apart
    local found = metrics.regression({ far + 1, far + 2 }, { far + 4, far + 6 })
    assert.equal(3.5, found.mae)
    assert.near(math.sqrt(12.5), found.rmse, 1e-6)
  end)

  it("refuse what does not fit", function()
    assert.error_matches(function() metrics.regression({ 1 }, { 1, 2 }) end, "expected predictions of the shape of")
    for _, list in ipairs { { 1, 0 / 0 }, {} } do
      assert.error_matches(function() metrics.regression(list, { 1, 2 }) end,
        "expected finite numbers, at least one, as a tensor or a list as argument 1", 1, true)
    end
  end)
end)

describe("examine", function()
  it("of a classifier counts each sequence of a part once", function()
    local set = data.labelled({ a = { "ab", "abab", "aab", "ba" }, b = { "cd", "cdcd", "dc", { "ccd", weight = 3 } } },
      { valid = 0.5 })
    local model = nn.classifier { vocabulary = set.vocabulary, labels = set.labels, hidden = 4, seed = 1 }
    for _, part in ipairs { "train", "valid" } do
      local found = model:examine(set, { part = part, batch = 3 })
      assert.equal(#set[part], found.count)
      assert.equal(select(2, saros.evaluate(model, set, { part = part })), found.accuracy)
      assert.matches("^label +precision", tostring(found))
    end
  end)

  -- A forecaster tells differences from the present value; with a head of 0 it tells that value.
  local function persistent(given)
    local values = {}
    for n = 1, 60 do
      values[n] = { n * n, -2 * n }
    end
    local series = data.series(saros.tensor(values), { horizon = 3, valid = 0.25, scale = given.scale })
    local model = nn.forecaster { series = series, hidden = 4, seed = 1 }
    model.head.weight:fill(0)
    model.head.bias:fill(0)
    return model, series
  end

  it("of a forecaster tells the errors of each target and step ahead, in the series' units", function()
    for _, scale in ipairs { "standard", "minmax" } do
      local model, series = persistent { scale = scale }
      local found = model:examine(series, { rows = 2 })
      assert.equal(6, #found.errors)
      assert.equal(2, #found.forecasts[1].x)
      local first, last = series.valid.first, series.valid.first + #series.valid - 1
      for n, entry in ipairs(found.errors) do
        local ahead = (n - 1) % 3 + 1
        local sum, squares, count = 0, 0, 0
        for row = first, last do
          local miss = n <= 3 and row ^ 2 - (row - ahead) ^ 2 or 2 * ahead
          sum, squares, count = sum + miss, squares + miss ^ 2, count + 1
        end
        assert.equal(ahead, entry.ahead)
        assert.equal(count, entry.count)
        assert.near(sum / count, entry.mae, 1e-3 * sum / count)
        assert.near(math.sqrt(squares / count), entry.rmse, 1e-3 * sum / count)
      end
      assert.matches("^target +ahead +MAE +RMSE +count\n1 ", tostring(found))
    end
  end)

  it("of a forecaster of numbers far from 0 is exact to their differences", function()
    local lines, values = { "x" }, {}
    for n = 1, 200 do
      values[n] = 1700000000 + 3 * n + 7 * n % 5 -- the numbers of the build there are 128 apart
      lines[n + 1] = ("%d"):format(values[n])
    end
    local series = assert(data.series({ string = table.concat(lines, "\n") }, { valid = 0.2 }))
    local model = nn.forecaster { series = series, hidden = 3, seed = 1 }
    model.head.weight:fill(0)
    model.head.bias:fill(0) -- it tells the last value
    local found, sum = model:examine(series), 0
    for row = 161, 200 do
      sum = sum + math.abs(values[row] - values[row - 1])
      assert.near(values[row], found.forecasts[1].truth[row - 160], 0.01)
      assert.near(values[row - 1], found.forecasts[1].predictions[1].y[row - 160], 0.01)
    end
    assert.near(sum / 40, found.errors[1].mae, 0.01)
  end)

  it("refuses data that means something else to the model", function()
    local function numbers(factor)
      local lists = { a = {}, b = {} }
      for n = 1, 5 do
        lists.a[n], lists.b[n] = { factor * n, 2 }, { 4, factor * n }
      end
      return lists
    end
    local first, other = data.labelled(numbers(1)), data.labelled(numbers(30))
    local model = nn.classifier { features = first.features, labels = first.labels, hidden = 3 }
    assert.error_matches(function() model:examine(other) end, "examine: expected data with the features of the model")
    assert.equal(#first.train, model:examine(data.labelled(numbers(30), { features = first.features }),
      { part = "train" }).count)
    local turned = nn.classifier { features = first.features, labels = { "b", "a" }, hidden = 3 }
    assert.error_matches(function() turned:examine(first) end,
      'examine: expected data with the labels of the model, got "a" as 1, which to the model is "b"', 1, true)
    local wide = assert(data.series(saros.generator(1):normal { 60, 2 }))
    local narrow = assert(data.series(saros.generator(1):normal { 60, 1 }))
    assert.error_matches(function() nn.forecaster({ series = wide, hidden = 3 }):examine(narrow) end,
      "examine: expected a series with the inputs of the model, 2 of them (1, 2), got 1 (1)", 1, true)
    local swapped = assert(data.series(wide.inputs, { inputs = { 2, 1 }, targets = { 1 } }))
    assert.error_matches(function() nn.forecaster({ series = wide, hidden = 3 }):examine(swapped) end,
      "examine: expected a series with the inputs of the model, 2 of them (1, 2), got 2 (2, 1)", 1, true)
  end)

  it("goes into the run folder, and its figures into the report", function()
    local run = folders.unused()
    local model, series = persistent {}
    saros.fit(model, series, { batch = 2, length = 10, run = run })
    local held_out = saros.json_decode(files.read(run .. "/held_out.json"))
    assert.equal(6, #held_out.errors)
    local html = require "saros.report.pictures".of_run({ held_out = held_out }, "")
    assert.matches("<h2>Errors</h2>\n<pre>target  ahead", html)
    local labels = require "saros.report.pictures".of_run({ held_out = { confusion = { labels = { "a" },
      counts = { { 2 } } } } }, "")
    assert.matches("accuracy 1.000, macro F1 1.000, of 2</pre>", labels, 1, true)
    assert.equal("", (require "saros.report.pictures".of_run({ held_out = { errors = 3 } }, "")))
    folders.remove(run)
  end)
end)
