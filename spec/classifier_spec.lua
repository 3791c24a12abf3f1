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
  local o = { vocabulary = set.vocabulary, features = set.features, labels = set.labels, hidden = 12, seed = 1 }
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
    local variants = { { bidirectional = false }, { layers = 2 } }
    for _, cell in ipairs(require("saros.nn.recurrent").names) do
      variants[#variants + 1] = { cell = cell }
    end
    for _, given in ipairs(variants) do
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

  describe("of numbers", function()
    -- Waves that rise quickly or fall quickly: the values are the same, their order is not.
    local function waves(given)
      local generator, lists = saros.generator(3), { falling = {}, rising = {} }
      for n = 1, 40 do
        local rising, falling, length = {}, {}, 5 + generator:integer(8)
        for t = 1, length do
          rising[t] = { 500 + 100 * math.fmod(t / 4 + n / 7, 1), generator:number() }
          falling[length - t + 1] = rising[t]
        end
        lists.rising[n], lists.falling[n] = rising, n % 2 == 0 and saros.tensor(falling) or falling
      end
      return data.labelled(lists, given)
    end

    it("learns, is kept, and goes on with the same bits", function()
      local set = waves { valid = 0.2 }
      assert.equal("labelled sequences (80, 16 of them held out; 2 labels, 2 features)", tostring(set))
      local function train(run, stop)
        local classifier = build(set)
        local ok, history = pcall(saros.fit, classifier, set, { epochs = 20, batch = 16, lr = 1e-2, run = run,
          on_window = function(record) assert(record.step ~= stop) end })
        return classifier, ok and history
      end
      local run = folders.unused()
      local whole, history = train()
      assert.is_true(history[20].accuracy > 0.9, "accuracy " .. history[20].accuracy)
      train(run, 17)
      assert.equal(values.fingerprint(whole:tensors()), values.fingerprint(train(run):tensors()))
      local loaded = assert(saros.load(run))
      folders.remove(run)
      assert.same(set.features:to_table(), loaded.features:to_table())
      assert.equal("classifier (2 features -> 2 labels; gru 2 -> 12, 1 layer, both ways)", tostring(loaded))
      local sequence = { { 500, 0.5 }, { 525, 0.5 }, { 550, 0.5 }, { 575, 0.5 }, { 500, 0.5 }, { 525, 0.5 } }
      assert.equal("rising", (loaded:classify(sequence)))
      assert.equal("rising", (loaded:classify(saros.tensor(sequence))))
    end)

    it("gives each row of a batch what it has alone", function()
      local set = waves { valid = 0 }
      local classifier = build(set)
      local batch = set:batches { batch = 30, seed = 1 } ()
      local logits = classifier(batch.inputs, batch.lengths)
      for row, sequence in ipairs(batch.sequences) do
        assert.same_values(classifier(sequence.rows:reshape(sequence.length, 1, 2)):select(1, 1),
          logits:select(1, row), 1e-5)
      end
      assert.is_true(classifier:memory({ length = 5, batch = 4 }).total > 0)
    end)

    it("says what it cannot use", function()
      local set = waves()
      local classifier = build(set)
      for expected, act in pairs {
        ["classify: expected values of shape (T, 2), for 1, 2, got a tensor (3)"] = function()
          classifier:classify { 1, 2, 3 }
        end,
        ["classify: expected values, got \"x\""] = function() classifier:classify "x" end,
        ["fit: expected data with the features of the model, got "] = function()
          saros.fit(classifier, waves { seed = 2 })
        end,
        ["data.labelled: expected values of shape (T, 2), for 1, 2, got a tensor (2, 1)"] = function()
          data.labelled({ a = { { 1, 2 } } }, { features = set.features })
        end,
        ["nn.classifier: expected either a vocabulary, of texts, or features, of numbers"] = function()
          build(set, { vocabulary = data.vocabulary.bytes() })
        end,
        ['expected sequence 2 of "a" to be finite numbers of shape (T, 1), or (T), got a table'] = function()
          data.labelled { a = { { 1, 2 }, { { 1, 2 } } } }
        end,
        ['data.labelled: expected sequence 1 of "b" to be finite numbers of shape (T, 1), or (T), got "x"'] = function()
          data.labelled { a = { { 1, 2 } }, b = { "x" } }
        end,
        ['sequence 1 of "a" to be text with symbols, or finite numbers (T, F) or (T), got a table'] = function()
          data.labelled { a = { { 0 / 0 } } }
        end,
        ['expected sequence 2 of "a" to be text with symbols, got a table'] = function()
          data.labelled { a = { "x", { 1 } } }
        end,
      } do
        assert.error_matches(act, expected, 1, true)
      end
    end)

    it("goes on with other sequences in its own scale", function()
      local classifier = build(waves())
      local other = waves { seed = 2, features = classifier.features }
      assert.equal(1, #saros.fit(classifier, other, { batch = 16 }))
    end)

    it("has a digest that tells any change", function()
      local function digest(source)
        return data.labelled(source, { valid = 0, scale = "none" }).train:digest()
      end
      assert.equal(digest { a = { { 1, 2 }, { 3 } } }, digest { a = { { 1, 2 }, { 3 } } })
      assert.not_equal(digest { a = { { 1, 2 } }, b = { { 3 } } }, digest { a = { { 1 } }, b = { { 2, 3 } } })
      assert.not_equal(digest { a = { { 1, 2 } } }, digest { a = { { 1, 3 } } })
    end)
  end)

  it("shows its accuracy", function()
    local output = commands.succeed("-e", [[
      local set = saros.data.labelled({ a = { "x", "xx", "xxx" }, b = { "y", "yy", "yyy" } }, { valid = 0.4 })
      local model = saros.nn.classifier { vocabulary = set.vocabulary, labels = set.labels, hidden = 4 }
      saros.fit(model, set, { epochs = 1, progress = saros.progress() })
    ]])
    assert.matches("^epoch 1  loss %d.%d+  valid %d.%d+  accuracy %d+%.%d %%  [%d.]+k? steps/s", output)
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
      "session: expected a classifier with bidirectional = false, got one that reads sequences from both ends", 1, true)
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
      ['fit: expected data with the labels of the model, got nothing as 3, which to the model is "c"'] = function()
        saros.fit(build(set, { labels = { "ab", "ba", "c" } }), set)
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
