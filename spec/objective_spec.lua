-- What training minimises where that is not the plain loss: class weights, weights of
-- sequences, label smoothing. Figures stay those of the plain loss.

require "spec.support.values"
local saros = require "saros"
local nn, data, optim = saros.nn, saros.data, saros.optim

local files = require "spec.support.files"
local folders = require "spec.support.folders"

-- Texts of two labels, of one length so that batches are the same in any order.
local function lists(weight)
  local common, rare = {}, {}
  for n = 1, 9 do
    common[n] = ("ab"):rep(n)
  end
  for n = 1, 3 do
    rare[n] = weight and { ("ba"):rep(n), weight = weight } or ("ba"):rep(n)
  end
  return { common = common, rare = rare }
end

local function classifier(set, given)
  local o = { vocabulary = set.vocabulary, labels = set.labels, hidden = 4, seed = 1 }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  return nn.classifier(o)
end

-- The gradient norm and record of the first update.
local function first_update(model, set, given)
  local first
  local o = { clip = 1e9, optimizer = optim.sgd(model:parameters(), { lr = 1 }), on_window = function(record)
    first = first or record
  end }
  for name, value in pairs(given) do
    o[name] = value
  end
  local history = saros.fit(model, set, o)
  return first, history
end

describe("weights in the training of a classifier", function()
  local set = data.labelled(lists(), { valid = 0 })
  local batch = set:batches { batch = 12 } ()

  local function plain_loss(model)
    return saros.cross_entropy(model(batch.inputs, batch.lengths), batch.labels):item()
  end

  it("of labels are minimised, the plain loss is told", function()
    local weights = saros.tensor { 0.5, 3 }
    local model = classifier(set, { class_weights = { rare = 3, common = 0.5 } })
    local logits = model(batch.inputs, batch.lengths)
    local objective = saros.cross_entropy(logits, batch.labels, { weights = weights }):item()
    local plain = plain_loss(model)
    local record, history = first_update(model, set, { batch = 12 })
    assert.near(objective, record.objective, 1e-5)
    assert.near(plain, record.loss, 1e-5)
    assert.near(plain, history[1].train, 1e-5)
    assert.is_true(math.abs(objective - plain) > 0.01)
    assert.same({ 0.5, 3 }, classifier(set, { class_weights = { 0.5, 3 } }).configuration.class_weights)
  end)

  it("that are all one, or none, give the same training bit for bit", function()
    local one, none = classifier(set, { class_weights = { 1, 1 } }), classifier(set)
    local told, plain = first_update(one, set, { batch = 5 }), first_update(none, set, { batch = 5 })
    assert.is_nil(plain.objective)
    assert.equal(plain.loss, told.loss)
    for name, tensor in pairs(none:tensors()) do
      assert.same_values(tensor, one:tensors()[name], 1e-6)
    end
  end)

  for name, given in pairs {
    ["class weights"] = { classes = { 0.5, 3 } },
    ["sequence weights"] = { weight = 4 },
    ["both, and label smoothing"] = { classes = { 0.5, 3 }, weight = 4, smoothing = 0.1 },
  } do
    it(("accumulate to the large batch (%s)"):format(name), function()
      local weighted = data.labelled(lists(given.weight), { valid = 0 })
      local records = {}
      for n, o in ipairs { { batch = 12 }, { batch = 5, accumulate = 3 }, { batch = 1, accumulate = 12 } } do
        records[n] = first_update(classifier(weighted,
          { class_weights = given.classes, label_smoothing = given.smoothing }), weighted, o)
      end
      for n = 2, 3 do
        for _, figure in ipairs { "norm", "loss", "objective", "accuracy" } do
          assert.near(records[1][figure], records[n][figure], 1e-4, figure)
        end
      end
    end)
  end

  it("of sequences are what repeating them would be", function()
    local thrice = data.labelled(lists(3), { valid = 0 })
    local model, twin = classifier(thrice), classifier(thrice)
    local record = first_update(model, thrice, { batch = 12 })
    local tape <close> = saros.tape()
    local logits = twin(batch.inputs, batch.lengths)
    local mask = saros.where(batch.labels:eq(2), 3, 1)
    local objective = saros.cross_entropy(logits, batch.labels, { mask = mask })
    tape:backward(objective)
    assert.near(objective:item(), record.objective, 1e-5)
    assert.near(optim.clip_norm(twin:parameters(), 1e9), record.norm, 1e-4)
  end)

  it("leave the held-out loss and the accuracy plain", function()
    local split = data.labelled(lists(5), { valid = 0.25 })
    local model = classifier(split, { class_weights = split:class_weights(), label_smoothing = 0.2 })
    local _, history = first_update(model, split, { batch = 4 })
    local held_out = split:batches { part = "valid", batch = 50 } ()
    local plain = saros.cross_entropy(model(held_out.inputs, held_out.lengths), held_out.labels):item()
    assert.near(plain, history[1].valid, 1e-5)
    assert.near(plain, saros.evaluate(model, split), 1e-5)
  end)

  it("that are balanced count each label as much as any other", function()
    assert.same({ 12 / (2 * 9), 12 / (2 * 3) }, set:class_weights())
    local weighted = data.labelled(lists(2), { valid = 0 })
    assert.same({ 15 / (2 * 9), 15 / (2 * 6) }, weighted:class_weights())
    local model = classifier(weighted, { class_weights = weighted:class_weights() })
    assert.near(15, model:training_weight(weighted:batches { batch = 12 } ()), 1e-4)
  end)

  it("are kept in the model's file", function()
    local model, path = classifier(set, { class_weights = { 0.5, 3 }, label_smoothing = 0.1 }), os.tmpname()
    assert(model:save(path))
    local loaded = saros.load(path)
    os.remove(path)
    assert.same(model.configuration, loaded.configuration)
    assert.same({ 0.5, 3 }, loaded.class_weights:totable())
  end)

  it("are noticed when a run goes on with others", function()
    local run = folders.unused()
    saros.fit(classifier(set, { class_weights = { 1, 2 } }), set, { run = run })
    local function go_on(other, given)
      return function() saros.fit(classifier(other, { class_weights = given }), other, { run = run, epochs = 2 }) end
    end
    assert.error_matches(go_on(set, { 1, 3 }), "model.options.class_weights.2: 2", 1, true)
    assert.error_matches(go_on(data.labelled(lists(2), { valid = 0 }), { 1, 2 }), "text.train.digest", 1, true)
    go_on(set, { 1, 2 })()
    folders.remove(run)
  end)

  it("are refused where they make no sense", function()
    for given, message in pairs {
      [{ 1 }] = "expected option 'class_weights' to have a weight for each of the 2 labels, got none for \"rare\"",
      [{ 1, 2, 3 }] = "expected option 'class_weights' to have weights of labels alone, got one for 3",
      [{ rare = 1, common = 1, other = 1 }] = "got one for \"other\"",
      [{ 0, 1 }] = "expected option 'class_weights' to be positive weights",
    } do
      assert.error_matches(function() classifier(set, { class_weights = given }) end, message, 1, true)
    end
    assert.error_matches(function() data.labelled { a = { { "x", weight = -1 } } } end,
      'expected the weight of sequence 1 of "a" to be a positive number, got -1', 1, true)
    assert.error_matches(function() data.labelled { a = { "x", { "x", weight = 2 } } } end,
      'expected one weight for a text of "a" that comes twice, got 1 and 2', 1, true)
    local without = data.labelled({ a = { "x" }, b = { "y", "z" } }, { valid = 0 })
    without.labels[3] = "c"
    assert.error_matches(function() without:class_weights() end, 'got no sequence of "c"', 1, true)
  end)

  it("stand beside sequences of numbers, too", function()
    local numbers = data.labelled({ up = { { { 1, 2 }, weight = 2 }, { 2, 3 } }, down = { { 3, 1 }, { 2, 1 } } },
      { valid = 0 })
    local sum = 0
    for _, sequence in ipairs(numbers.train) do
      sum = sum + sequence.weight
    end
    assert.equal(5, sum)
    assert.equal(5, numbers:batches { batch = 4 } ().weights:sum():item())
  end)
end)

describe("weights in a table", function()
  local function of(content, given)
    local path = os.tmpname()
    files.write(path, content)
    local set, message = data.labelled(path, given)
    os.remove(path)
    return set, message
  end

  local function sum_of(set)
    local sum = 0
    for _, sequence in ipairs(set.train) do
      sum = sum + sequence.weight
    end
    return sum
  end

  it("are read from the column that was asked for, of texts", function()
    local given = { weight = "w", valid = 0 }
    assert.equal(3.5, sum_of(of("text,label,w\nx,a,1\ny,b,2.5\n", given)))
    assert.equal(3.5, sum_of(of("text;label;w\nx;a;1\ny;b;2,5\n", given)))
    local ok, message = of("text,label,w\nx,a,1\ny,b,-2\n", given)
    assert.is_nil(ok)
    assert.matches("line 3, column 3 %(w%): expected a weight, a positive number, got %-2", message)
    assert.matches("line 3, column 3 %(w%): expected a weight, a positive number, got none",
      select(2, of("text,label,w\nx,a,1\ny,b,\n", given)))
  end)

  it("are read from the column that was asked for, one for each sequence of numbers", function()
    local given = { id = "id", features = { "x" }, label = "l", weight = "w", valid = 0 }
    assert.equal(5, sum_of(of("id,x,l,w\n1,2,a,4\n1,3,a,4\n2,5,b,1\n2,6,b,1\n", given)))
    assert.matches("line 3, column 4 %(w%): expected one weight for id \"1\", got 4 and 2",
      select(2, of("id,x,l,w\n1,2,a,4\n1,3,a,2\n2,5,b,1\n", given)))
  end)
end)

describe("label smoothing", function()
  local text = data.text({ string = ("the quick brown fox jumps over the lazy dog. "):rep(20) }, { valid = 0.1 })

  local function model(smoothing)
    return nn.language_model { vocabulary = text.vocabulary, cell = "gru", hidden = 8, layers = 1, seed = 1,
      label_smoothing = smoothing }
  end

  it("of a language model is minimised, the plain loss is told", function()
    local smoothed, window = model(0.2), text:windows { batch = 4, length = 10 } ()
    local logits = smoothed(window.inputs)
    local objective = saros.cross_entropy(logits, window.targets, { label_smoothing = 0.2 }):item()
    local record, history = first_update(smoothed, text, { batch = 4, length = 10 })
    assert.near(objective, record.objective, 1e-5)
    assert.near(saros.cross_entropy(logits, window.targets):item(), record.loss, 1e-5)
    assert.near(record.loss / math.log(2), record.bits, 1e-5)
    assert.near(saros.evaluate(smoothed, text), history[1].valid, 1e-6)
    assert.is_nil(first_update(model(), text, { batch = 4, length = 10 }).objective)
  end)

  it("works in segments", function()
    local whole = first_update(model(0.2), text, { batch = 4, length = 20 })
    local parts = first_update(model(0.2), text, { batch = 4, length = 20, segment = 6 })
    for _, figure in ipairs { "loss", "objective", "norm" } do
      assert.near(whole[figure], parts[figure], 1e-5, figure)
    end
  end)

  it("goes with a mask of the targets", function()
    local window = text:windows { batch = 4, length = 10 } ()
    window.mask = saros.generator(1):uniform({ 10, 4 }, 0, 1):gt(0.5)
    local smoothed = model(0.2)
    local logits = smoothed(window.inputs)
    local plain = saros.cross_entropy(logits, window.targets, { mask = window.mask }):item()
    local objective, _, _, told = smoothed:training_loss(window)
    assert.near(plain, told, 1e-6)
    assert.near(plain, model():window_loss(window):item(), 1e-6)
    assert.near(saros.cross_entropy(logits, window.targets, { mask = window.mask, label_smoothing = 0.2 }):item(),
      objective:item(), 1e-6)
  end)

  it("of an encoder-decoder is minimised, the plain loss is told", function()
    local pairs_set = data.pairs({ { "ab", "ba" }, { "abb", "bba" }, { "b", "b" } }, { valid = 0 })
    local m = nn.encoder_decoder { source = pairs_set.source, target = pairs_set.target, hidden = 4, seed = 1,
      label_smoothing = 0.3 }
    local plain = m:loss(pairs_set:batches { batch = 3 } ()):item()
    local record = first_update(m, pairs_set, { batch = 3 })
    assert.near(plain, record.loss, 1e-5)
    assert.is_true(math.abs(record.objective - plain) > 1e-4)
  end)
end)

describe("the loss of a forecaster", function()
  local series = data.series(saros.arange(200), { valid = 0.2 })

  it("is the one that was chosen, in training and when it is told", function()
    local window = series:windows { batch = 2, length = 10, seed = 1 } ()
    for _, name in ipairs { "mse", "l1", "huber" } do
      local forecaster = nn.forecaster { series = series, hidden = 4, loss = name }
      local expected = nn[name]((forecaster(window.inputs)), window.targets):item()
      assert.near(expected, first_update(forecaster, series, { batch = 2, length = 10 }).loss, 1e-5)
    end
    local default = nn.forecaster { series = series, hidden = 4 }
    assert.near(saros.mse((default(window.inputs)), window.targets):item(), default:window_loss(window):item(), 1e-6)
  end)

  it("does not look at targets that a mask hides", function()
    local window = series:windows { batch = 2, length = 10 } ()
    for _, name in ipairs { "mse", "l1", "huber" } do
      local forecaster = nn.forecaster { series = series, hidden = 4, loss = name }
      local targets = window.targets:clone()
      targets[3]:fill(0 / 0)
      local mask = saros.ones(targets:shape())
      mask[3]:fill(0)
      local y = forecaster(window.inputs)
      local kept = function(x) return saros.concatenate({ x:slice(1, 1, 2), x:slice(1, 4) }, 1) end
      assert.near(nn[name](kept(y), kept(window.targets)):item(),
        forecaster:window_loss({ inputs = window.inputs, targets = targets, mask = mask }):item(), 1e-6)
    end
  end)

  it("comes back with its file, and is that of its learner", function()
    local forecaster, path = nn.forecaster { series = series, hidden = 4, loss = "l1" }, os.tmpname()
    assert(forecaster:save(path))
    local loaded = saros.load(path)
    os.remove(path)
    local live = loaded:learner { window = 4 }
    assert.equal("l1", loaded.configuration.loss)
    local told = live:learn(1)
    assert.is_truthy(told)
    assert.error_matches(function() nn.forecaster { series = series, loss = "mae" } end,
      'to be "mse" or "l1" or "huber"')
  end)
end)
