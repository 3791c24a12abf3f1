-- The loss on a part: one figure for a model and a part, whatever is read at once.

local files = require "spec.support.files"
local values = require "spec.support.values"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local TOLERANCE = saros.info().real == "double" and 1e-10 or 2e-5

local SENTENCE = "the quick brown fox jumps over the lazy dog. "

-- What is read at once.
local SIZES = { {}, { batch = 1 }, { batch = 3, length = 7 }, { batch = 20, length = 1 },
  { batch = 1000, length = 999 } }

local function assert_near(expected, actual)
  assert.is_true(math.abs(expected - actual) <= TOLERANCE * math.max(1, math.abs(expected)),
    ("expected %.9g, got %.9g"):format(expected, actual))
end

-- The loss of a part is the expected one in windows of every size.
local function assert_one_loss(expected, model, set, part)
  for _, size in ipairs(SIZES) do
    local given = { batch = size.batch, length = size.length, part = part }
    assert_near(expected, (saros.evaluate(model, set, given)))
  end
end

-- Random symbols, of which each depends on the one before.
local function symbols(count, seed)
  local generator, text, last = saros.generator(seed or 1), {}, 0
  for position = 1, count do
    last = (3 * last + generator:integer(3)) % 11
    text[position] = string.char(97 + last)
  end
  return table.concat(text)
end

local function small_text(valid)
  return data.text({ string = SENTENCE:rep(20) }, { valid = valid or 0.2 })
end

local function small_model(set, given)
  local options = { vocabulary = set.vocabulary, hidden = 12, cell = "gru", seed = 1 }
  for name, value in pairs(given or {}) do
    options[name] = value
  end
  return nn.language_model(options)
end

-- The mean loss of ids that are read in one piece.
local function loss_of(model, ids)
  local inputs, targets = ids:slice(1, 1, -2):reshape(-1, 1), ids:slice(1, 2):reshape(-1, 1)
  return nn.cross_entropy((model(inputs)), targets):item()
end

-- A model with a loss of its own and no state: the mean of its targets.
local function mean_of_targets(V)
  local Mean = nn.module "mean_of_targets"
  function Mean.window_loss(_, window)
    return (saros.one_hot(window.targets, V) * saros.arange(V)):sum(-1):mean()
  end
  return Mean.new()
end

describe("evaluate", function()
  it("is the mean loss over the held-out part, read from its beginning", function()
    local text = small_text()
    for _, cell in ipairs { "rnn", "lstm", "lru" } do
      local lm = small_model(text, { cell = cell })
      assert_one_loss(loss_of(lm, text.valid), lm, text)
    end
  end)

  it("is the same where fit calls it, in whatever batches it learns", function()
    local text = small_text()
    for _, size in ipairs { { batch = 1, length = 30 }, { batch = 4, length = 20 }, { batch = 12, length = 3 } } do
      local lm = small_model(text)
      size.epochs = 1
      local history = saros.fit(lm, text, size)
      assert_near(loss_of(lm, text.valid), history[1].valid)
    end
  end)

  it("is that of one row for a long part, too, which is read in several", function()
    local text = data.text({ string = symbols(30000) }, { valid = 0.7 })
    local lm = small_model(text)
    saros.fit(lm, text, { batch = 20, length = 20, lr = 1e-2 })
    assert_one_loss(loss_of(lm, text.valid), lm, text)
    files.with_path(function(source)
      files.with_path(function(path)
        files.write(source, symbols(30000))
        assert(data.prepare(source, path, { unit = "char", valid = 0.7 }))
        assert_one_loss(loss_of(lm, text.valid), lm, assert(data.text(path)))
      end)
    end)
  end)

  it("has every element of a part once, whatever its size", function()
    for _, count in ipairs { 2, 3, 50, 8191, 8192, 8193, 9000, 12345, 33000 } do
      local series = assert(data.series(saros.arange(2 * count), { scale = "none", valid = 0.5 }))
      for _, size in ipairs { { batch = 50, length = 50 }, { batch = 3, length = 4000 } } do
        local seen, steps = {}, 0
        for window in series:reading(size) do
          assert.is_true(window.inputs:size(1) <= size.length and window.inputs:size(2) <= size.batch)
          if window.counts ~= false then
            assert.same_values(window.inputs:reshape(-1) + 1, window.targets:reshape(-1), 0)
            for _, target in ipairs(window.targets:reshape(-1):totable()) do
              seen[target], steps = true, steps + 1
            end
          end
        end
        assert.equal(count - 1, steps)
        for target = count + 2, 2 * count do -- the first value of a part has nothing before it
          assert(seen[target], target)
        end
      end
    end
  end)

  it("reads a series with the state carried, all targets of a step at once", function()
    local generator, rows = saros.generator(2), {}
    for t = 1, 400 do
      rows[t] = { math.sin(t / 3), generator:number() }
    end
    local series = assert(data.series(saros.tensor(rows), { horizon = 3, targets = 1, valid = 0.3, test = 0.1 }))
    local forecaster = nn.forecaster { series = series, hidden = 6, cell = "lstm" }
    for _, part in ipairs { "train", "valid", "test" } do
      local x, n = series[part].inputs, #series[part]
      local following = {}
      for k = 1, 3 do
        following[k] = series[part].targets:slice(1, k + 1, n - 3 + k)
      end
      local y = forecaster(x:slice(1, 1, n - 3):reshape(n - 3, 1, 2))
      local expected = saros.mse(y:reshape(n - 3, 3), saros.concatenate(following, 2)):item()
      assert_one_loss(expected, forecaster, series, part)
    end
  end)

  it("reads each piece from its own beginning", function()
    local generator, list = saros.generator(3), {}
    for n = 1, 120 do
      list[n] = symbols(1 + generator:integer(40), n)
    end
    for _, longest in ipairs { 0, 3000 } do
      list[1] = longest > 0 and symbols(longest, 999) or list[1]
      local set = assert(data.pieces(list, { valid = 0.9 }))
      local lm = small_model(set, { cell = "lstm" })
      local V = #set.vocabulary
      local chain = nn.chain { nn.embedding { V, 6 }, nn.gru { 6, 8 }, nn.linear { 8, V } }:init { seed = 1 }
      for _, model in ipairs { lm, chain } do
        local total, count = 0, 0
        for _, ids in ipairs(set.valid.ids) do
          total, count = total + loss_of(model, ids) * (#ids - 1), count + #ids - 1
        end
        assert.equal(#set.valid, count)
        assert_one_loss(total / count, model, set)
      end
    end
  end)

  it("counts labelled sequences and pairs once each, and their symbols", function()
    local lists, list = { a = {}, b = {} }, {}
    for n = 1, 37 do
      table.insert(lists[n % 3 == 0 and "a" or "b"], symbols(n, n))
      list[n] = { symbols(n, n), symbols(n % 7, n + 50) }
    end
    local set = assert(data.labelled(lists, { valid = 0.5 }))
    local classifier = nn.classifier { vocabulary = set.vocabulary, labels = set.labels, hidden = 8 }
    local total, right = 0, 0
    for batch in set:batches { part = "valid", batch = 1 } do
      local loss, _, hit = classifier:window_loss(batch)
      total, right = total + loss:item(), right + hit
    end
    assert_one_loss(total / #set.valid, classifier, set)
    assert.equal(right / #set.valid, select(2, saros.evaluate(classifier, set, { batch = 5 })))

    local pairs_of = data.pairs(list, { valid = 0.6 })
    local model = nn.encoder_decoder { source = pairs_of.source, target = pairs_of.target, hidden = 8, seed = 1 }
    local sum, count = 0, 0
    for batch in pairs_of:batches { part = "valid", batch = 1 } do
      local answers = batch.targets:size(1) * (batch.target_lengths[1] > 0 and 1 or 0) + 1
      sum, count = sum + model:loss(batch):item() * answers, count + answers
    end
    assert_one_loss(sum / count, model, pairs_of)
  end)

  it("takes models that carry no state, and those with a loss of their own", function()
    local text = small_text()
    local V = #text.vocabulary
    local net = nn.chain { nn.embedding { V, 8 }, nn.linear { 8, V } }:init { seed = 1 }
    local targets = text.valid:slice(1, 2)
    local expected = nn.cross_entropy(net(text.valid:slice(1, 1, -2)), targets):item()
    assert_one_loss(expected, net, text)
    local sum = 0
    for _, id in ipairs(targets:totable()) do
      sum = sum + id
    end
    assert_one_loss(sum / #targets, mean_of_targets(V), text)
  end)

  it("leaves out of a mean what a mask of one's own data hides", function()
    local text = small_text()
    local lm = nn.chain { nn.embedding { #text.vocabulary, 4 }, nn.rnn { 4, 8 }, nn.linear { 8, #text.vocabulary } }
    lm:init { seed = 1 }
    local inputs, targets = text.valid:slice(1, 1, 60):reshape(20, 3), text.valid:slice(1, 2, 61):reshape(20, 3)
    local mask = saros.generator(1):uniform({ 20, 3 }):lt(0.4)
    mask:slice(1, 8, 14):fill(0) -- all of the second window, which leads to the state of the third
    local own = { train = text.train, valid = text.valid, windows = function()
      local first = -6
      return function()
        first = first + 7
        local last = math.min(first + 6, 20)
        return first <= 20 and { inputs = inputs:slice(1, first, last), targets = targets:slice(1, first, last),
          mask = mask:slice(1, first, last) } or nil
      end
    end }
    assert_near(nn.cross_entropy((lm(inputs)), targets, { mask = mask }):item(), (saros.evaluate(lm, own)))
    mask:fill(0)
    assert.error_matches(function() saros.evaluate(lm, own) end,
      "evaluate: expected a target that counts in part 'valid', got masks of zeros", 1, true)
  end)

  it("does not use dropout and leaves no gradients", function()
    local text = small_text()
    local lm = small_model(text, { dropout = 0.5 })
    local before = values.fingerprint(lm:tensors())
    assert.equal(saros.evaluate(lm, text), saros.evaluate(lm, text))
    assert.equal(before, values.fingerprint(lm:tensors()))
    for _, parameter in ipairs(lm:parameters()) do
      assert.is_nil(parameter:gradient())
    end
  end)

  it("refuses what has read the symbols that it is to tell", function()
    local text = small_text()
    local V = #text.vocabulary
    local both_ways = nn.lru { 4, 2, bidirectional = true }
    for _, layer in ipairs { nn.gru { 4, 4, bidirectional = true }, nn.residual { both_ways } } do
      local net = nn.chain { nn.embedding { V, 4 }, layer, nn.linear { layer.output or 4, V } }:init { seed = 1 }
      for name, ask in pairs { evaluate = saros.evaluate, fit = saros.fit, find_rate = saros.find_rate } do
        assert.error_matches(function() ask(net, text) end, name .. ": expected layers of one direction, as each "
          .. "element of this data is told from those before it, got", 1, true)
      end
      local own = { train = text.train, valid = text.valid, windows = function(_, given)
        return text:windows(given)
      end }
      assert.is_true(saros.evaluate(net, own) > 0)
    end
  end)

  it("says what is missing", function()
    local text = small_text(0)
    assert.error_matches(function() saros.evaluate(small_model(text), text) end,
      "evaluate: expected data with a part 'valid', which in a text has at least 2 symbols; option 'valid' of the data "
        .. "holds one out", 1, true)
    assert.error_matches(function() text:reading {} end,
      "text:reading: expected a text with a part 'valid', got one without", 1, true)
  end)
end)
