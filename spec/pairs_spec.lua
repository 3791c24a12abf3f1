local folders = require "spec.support.folders"
local values = require "spec.support.values"
local saros = require "saros"
local data = saros.data

describe("padding", function()
  it("puts sequences of unequal length side by side", function()
    local ids, lengths = data.pad { { 5, 6, 7 }, { 8 }, {} }
    assert.same({ { 5, 8, 1 }, { 6, 1, 1 }, { 7, 1, 1 } }, ids:totable())
    assert.same({ 3, 1, 0 }, lengths)
    assert.same({ 1, 2 }, data.pad({ {}, {} }):shape())
  end)

  it("refuses what is no list of sequences", function()
    assert.error_matches(function() data.pad {} end, "data.pad: expected a list of sequences of ids")
    assert.error_matches(function() data.pad { 1, 2 } end, "expected sequence 1 to be a list of ids, got 1")
    assert.error_matches(function() data.pad { { 1 }, { 2, "x" } } end,
      'expected ids in sequence 2, got "x" at position 2')
  end)
end)

describe("pairs of texts", function()
  local list = { { "one", "1" }, { "two", "2" }, { "three", "3" }, { "four", "4" }, { "none", "" } }

  -- The texts of all rows of all batches.
  local function read(set, given)
    local texts = {}
    for batch in set:batches(given) do
      for row, length in ipairs(batch.source_lengths) do
        local target = batch.targets:select(2, row):totable()
        texts[#texts + 1] = set.source:decode(batch.sources:slice(1, 1, length):select(2, row))
          .. set.target:decode(table.move(target, 1, batch.target_lengths[row], 1, {}))
      end
    end
    return texts
  end

  it("come in batches, in the order of the list or in that of a seed", function()
    local set = data.pairs(list)
    assert.equal(5, #set)
    assert.same({ "one1", "two2", "three3", "four4", "none" }, read(set, { batch = 2 }))
    local shuffled = read(set, { batch = 3, seed = 1 })
    assert.same(shuffled, read(set, { batch = 2, seed = 1 }))
    assert.not_same(shuffled, read(set))
    table.sort(shuffled)
    assert.same({ "four4", "none", "one1", "three3", "two2" }, shuffled)
  end)

  it("hold out some from the end", function()
    local set = data.pairs(list, { valid = 0.4 })
    assert.same({ "one1", "two2", "three3" }, read(set))
    assert.same({ "four4", "none" }, read(set, { part = "valid" }))
    assert.same({}, read(data.pairs(list), { part = "valid" }))
    assert.matches("pairs %(5, 2 of them held out; vocabulary %(9 characters%) %-> vocabulary %(4 characters%)%)",
      tostring(set))
  end)

  it("take vocabularies that exist", function()
    local known = data.vocabulary.characters "abc123"
    local set = data.pairs({ { "ab", "1" } }, { source = known, target = known })
    assert.equal(known, set.source)
    assert.error_matches(function() data.pairs({ { "x", "1" } }, { source = known }) end, 'pair 1: encode: .* got "x"')
    assert.equal(256, #data.pairs(list, { unit = "byte" }).target)
  end)

  it("are characters, bytes, words or pieces of BPE", function()
    local texts = { { "one day", "ein Tag" }, { "two days", "zwei Tage" } }
    local set = data.pairs(texts, { unit = "word" })
    assert.same({ 2, 2 }, { #set.train[1].source, #set.train[2].target })
    assert.same(set.train[1].source[2], set.source:encode("day")[1])
    assert.equal("ein Tag", set.target:decode(set.train[1].target))
    assert.is_true(#data.pairs(texts, { unit = "bpe", size = 260 }).source > 256)
    assert.error_matches(function() data.pairs({ { "ok", "x" }, { "\xFF", "x" } }) end,
      "data.pairs: pair 2: expected UTF%-8 text, got an invalid byte 0xFF at line 1, column 1")
  end)

  it("are learned by fit, in an order of each epoch, and go on in the middle of one", function()
    local texts = {}
    for n = 1, 40 do
      texts[n] = { tostring(n), tostring(n):reverse() }
    end
    local set = data.pairs(texts, { valid = 0.1 })
    local function train(run, stop)
      local model = saros.nn.encoder_decoder { source = set.source, target = set.target, hidden = 8 }
      local ok, history = pcall(saros.fit, model, set, { epochs = 3, batch = 8, run = run, on_window = function(record)
        assert(record.step ~= stop)
      end })
      return values.fingerprint(model:tensors()), ok and history
    end
    local run = folders.unused()
    local whole, history = train()
    train(run, 7)
    assert.equal(whole, (train(run)))
    folders.remove(run)
    assert.is_true(history[3].valid < history[1].valid)
    assert.equal(history[3].valid / math.log(2), history[3].bits)
  end)

  it("refuse what makes no sense", function()
    assert.error_matches(function() data.pairs {} end, "expected a list of pairs of texts")
    assert.error_matches(function() data.pairs { { "a" } } end, "expected pair 1 to be { source, target }")
    assert.error_matches(function() data.pairs { { "", "a" } } end, "expected a source in pair 1")
    assert.error_matches(function() data.pairs(list):batches { size = 3 } end, 'unknown option "size"')
  end)
end)
