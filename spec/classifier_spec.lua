local commands = require "spec.support.commands"
local files = require "spec.support.files"
local folders = require "spec.support.folders"
local values = require "spec.support.values"
local saros = require "saros"
local nn, data = saros.nn, saros.data

-- Words of two languages: the letters are the same, their order is not.
local function words(given)
  local generator, lists = saros.generator(1), { ab = {}, ba = {} }
  for n = 1, 60 do
    local syllables = 1 + generator:integer(4)
    local letters = {}
    for place = 1, syllables do
      letters[place] = ("a"):rep(generator:integer(2)) .. ("b"):rep(generator:integer(3)) .. ("c"):rep(n % 3)
    end
    lists.ab[n] = table.concat(letters)
    lists.ba[n] = lists.ab[n]:reverse()
  end
  return data.labelled(lists, given)
end

local function build(set, given)
  local o = { vocabulary = set.vocabulary, labels = set.labels, hidden = 12, seed = 1 }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  return nn.classifier(o)
end

describe("a classifier", function()
  it("learns which label a sequence has", function()
    local set = words { valid = 0.2 }
    local classifier = build(set)
    local history = saros.fit(classifier, set, { epochs = 15, batch = 16, lr = 1e-2 })
    assert.is_true(history[15].accuracy > 0.95, "accuracy " .. history[15].accuracy)
    local label, ranking = classifier:classify "abcabc"
    assert.equal("ab", label)
    assert.same({ "ab", "ba" }, { ranking[1].label, ranking[2].label })
    assert.near(1, ranking[1].probability + ranking[2].probability, 1e-5)
    assert.is_true(ranking[1].probability > 0.9)
    assert.equal("ba", (classifier:classify "cba"))
  end)

  it("gives each row of a batch what it has alone", function()
    local set = words { valid = 0 }
    for _, given in ipairs { {}, { bidirectional = false }, { cell = "lstm", layers = 2 } } do
      local classifier = build(set, given)
      local batch = set:batches { batch = 30, seed = 1 } ()
      local logits = classifier(batch.inputs, batch.lengths)
      for row, sequence in ipairs(batch.sequences) do
        local alone = classifier(saros.ids(sequence.ids):reshape(-1, 1)):select(1, 1)
        assert.same_values(alone, logits:select(1, row), 1e-5)
      end
    end
  end)

  it("tells loss and accuracy of all that is held out", function()
    local set = words { valid = 0.3 }
    local classifier = build(set, { dropout = 0.5 })
    local loss, right = 0, 0
    for _, sequence in ipairs(set.valid) do
      local logits = classifier(saros.ids(sequence.ids):reshape(-1, 1))
      loss = loss + nn.cross_entropy(logits, saros.ids { sequence.label }):item()
      right = right + (logits:argmax(-1)[1] == sequence.label and 1 or 0)
    end
    for _, batch in ipairs { 1, 7, 100 } do
      local mean, accuracy = saros.evaluate(classifier, set, { batch = batch })
      assert.near(loss / #set.valid, mean, 1e-5)
      assert.equal(right / #set.valid, accuracy)
    end
    local counts = classifier:examine(set).confusion.counts
    assert.equal(right, counts[1][1] + counts[2][2])
    assert.equal(#set.valid, counts[1][1] + counts[1][2] + counts[2][1] + counts[2][2])
  end)

  it("comes back from its file, with vocabulary and labels", function()
    local set = words()
    for _, given in ipairs { {}, { cell = "lstm", layers = 2, dropout = 0.2, embedding = 3, bidirectional = false } } do
      files.with_path(function(path)
        local classifier = build(set, given)
        assert(classifier:save(path))
        local loaded = assert(saros.load(path))
        assert.equal(tostring(classifier), tostring(loaded))
        assert.same(classifier.labels, loaded.labels)
        assert.equal(values.fingerprint { classifier:classify "abba" }, values.fingerprint { loaded:classify "abba" })
      end)
    end
  end)

  it("is kept in the run folder of its training, which goes on with the same bits", function()
    local set = words()
    local function train(run, given)
      local classifier = build(set, { layers = 2, dropout = 0.3 })
      given.batch, given.epochs, given.run = 16, 3, run
      local ok, history = pcall(saros.fit, classifier, set, given)
      return values.fingerprint(classifier:tensors()), ok and history
    end
    local whole, parts = folders.unused(), folders.unused()
    local expected, history = train(whole, {})
    local _, done = train(parts, { on_window = function(record)
      assert(record.step < 10) -- within the second epoch
    end })
    assert.is_false(done)
    assert.equal(expected, (train(parts, {})))
    local loaded = assert(saros.load(whole))
    local found = assert(saros.json_decode(files.read(whole .. "/held_out.json")))
    local config = assert(saros.json_decode(files.read(whole .. "/config.json")))
    local other = words { seed = 2 }
    assert.error_matches(function()
      saros.fit(build(other), other, { batch = 16, epochs = 4, run = whole })
    end, "fit: expected the text that .* was trained on, got another one")
    folders.remove(whole)
    folders.remove(parts)
    assert.same(loaded:examine(set), found)
    assert.equal("ab, ba", config.text.labels)
    local best = history[history[3].best]
    assert.equal(best.accuracy, select(2, saros.evaluate(loaded, set)))
    assert.is_nil(best.bits)
  end)

  it("shows its accuracy", function()
    local output = commands.succeed("-e", [[
      local set = saros.data.labelled({ a = { "x", "xx", "xxx" }, b = { "y", "yy", "yyy" } }, { valid = 0.4 })
      local model = saros.nn.classifier { vocabulary = set.vocabulary, labels = set.labels, hidden = 4 }
      saros.fit(model, set, { epochs = 1, progress = saros.progress() })
    ]])
    assert.matches("^epoch 1  loss %d.%d+  valid %d.%d+  accuracy %d+%.%d %%  [%d.]+k? symbols/s", output)
  end)

  it("can be stepped where it reads from one end", function()
    local set = words()
    local classifier = build(set, { bidirectional = false })
    local session, logits = classifier:session(), nil
    for _, id in ipairs(set.train[1].ids) do
      logits = session:step(id)
    end
    assert.same_values(classifier(saros.ids(set.train[1].ids):reshape(-1, 1)):reshape(-1), logits:reshape(-1), 1e-5)
    assert.error_matches(function() build(set):session() end,
      "expected layers of one direction, got bidirectional ones")
  end)

  it("says what it cannot use", function()
    local set = words()
    local classifier = build(set)
    for expected, act in pairs {
      ["nn.classifier: expected labels of which no two are alike, got \"x\" twice"] = function()
        build(set, { labels = { "x", "y", "x" } })
      end,
      ["nn.classifier: expected some labels, got none"] = function() build(set, { labels = {} }) end,
      ["classify: expected some text, got none"] = function() classifier:classify "" end,
      ["classify: encode: expected a string, got 3"] = function() classifier:classify(3) end,
      ['classify: encode: expected one of the 3 characters of the vocabulary, got "x"'] = function()
        classifier:classify "abx"
      end,
      ["fit: expected no option 'length', since these sequences stay whole, got 20"] = function()
        saros.fit(classifier, set, { length = 20 })
      end,
      ['fit: expected data with the labels of the model, got "ba" as 2, which to the model is "bc"'] = function()
        saros.fit(build(set, { labels = { "ab", "bc" } }), set)
      end,
      ["classifier: expected labelled sequences, as data.labelled has them, got windows without labels"] = function()
        local text = data.text { string = ("ab"):rep(2000) }
        saros.fit(build(set, { vocabulary = text.vocabulary }), text)
      end,
    } do
      assert.error_matches(act, expected, 1, true)
    end
  end)

  it("is not built from a description that makes no sense", function()
    local set = words()
    for expected, change in pairs {
      ["option 'labels'"] = function(d) d.labels = "ab" end,
      ["option 'labels', a list"] = function(d) d.labels = nil end,
      ["no two are alike"] = function(d) d.labels = { "a", "a" } end,
      ["misshapen"] = function(d) d.labels = { "a" } end,
      ["vocabulary.from_table"] = function(d) d.vocabulary = nil end,
      ["expected option 'hidden'"] = function(d) d.options.hidden = 0 end,
      ["unknown option"] = function(d) d.options.command = "x" end,
    } do
      files.with_path(function(path)
        assert(build(set):save(path))
        local tensors, metadata = assert(saros.safetensors.read(path))
        local file = saros.json_decode(metadata.saros)
        change(file.description)
        assert(saros.safetensors.write(path, tensors, { saros = saros.json_encode(file) }))
        local model, message = saros.load(path)
        assert.is_nil(model)
        assert.matches(expected, message, 1, true)
      end)
    end
  end)
end)
