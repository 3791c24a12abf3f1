-- From logits to ids: the best path, the beam against a sum over all paths, and
-- the error rate.

local saros = require "saros"
local ctc_paths = require "spec.support.ctc_paths"
local gradients = require "spec.support.gradients"

local ctc = saros.ctc
local ids_in, loss_of, probabilities_of_targets = ctc_paths.ids_in, ctc_paths.loss_of, ctc_paths.probabilities
-- The float build rounds each log-probability to seven digits.
local tolerance = gradients.is_double and 1e-10 or 2e-5

local function random(shape, seed)
  return saros.generator(seed):normal(shape)
end

-- The targets of all paths, likeliest first: { ids, log-probability }.
local function ranked_targets(logits, blank)
  local list = {}
  for target, probability in pairs(probabilities_of_targets(logits, blank)) do
    list[#list + 1] = { target, math.log(probability) }
  end
  table.sort(list, function(a, b)
    return a[2] > b[2]
  end)
  return list
end

describe("greedy CTC decoding", function()
  it("collapses the best path", function()
    local path = saros.ids { { 1, 2 }, { 2, 2 }, { 2, 1 }, { 1, 2 }, { 2, 2 }, { 3, 3 }, { 3, 1 } }
    local logits = saros.one_hot(path, 4)
    assert.same({ { 2, 2, 3 }, { 2, 2, 3 } }, ctc.greedy(logits))
    assert.same({ { 1, 1, 3 }, { 1, 3, 1 } }, ctc.greedy(logits, { blank = 2 }))
    assert.same({ { 2, 2 }, { 2 } }, ctc.greedy(logits, { lengths = { 5, 1 } }))
  end)
end)

describe("CTC beam search", function()
  for _, case in ipairs { { T = 5, V = 3, blank = 1 }, { T = 4, V = 4, blank = 4 } } do
    it(("that is wide enough sums over all paths: T = %d, V = %d"):format(case.T, case.V), function()
      local logits = random({ case.T, 1, case.V }, 30) * 2
      local expected = ranked_targets(logits:select(2, 1), case.blank)
      local results = ctc.beam(logits, { width = 1000, best = 1000, blank = case.blank })[1]
      assert.equal(#expected, #results)
      for place, result in ipairs(results) do
        assert.equal(expected[place][1], table.concat(result.ids, " "))
        assert.near(expected[place][2], result.log_probability, tolerance)
        assert.equal(result.log_probability, result.score)
      end
    end)
  end

  it("agrees with the loss", function()
    local logits = random({ 12, 2, 5 }, 31) * 4
    for row, results in ipairs(ctc.beam(logits, { width = 200, best = 3, lengths = { 12, 9 } })) do
      assert.equal(3, #results)
      local T = row == 1 and 12 or 9
      for _, result in ipairs(results) do
        local loss = loss_of(logits:select(2, row):slice(1, 1, T), result.ids, 1)
        assert.near(-loss, result.log_probability, 1e-4) -- what the beam left out
      end
    end
  end)

  it("finds what the best path misses", function()
    -- blank is the likeliest class of both steps, but most paths give "2"
    local p = saros.tensor { { { 0.6, 0.4 } }, { { 0.6, 0.4 } } }
    assert.same({ {} }, ctc.greedy(p:log()))
    local result = ctc.beam(p:log())[1][1]
    assert.same({ 2 }, result.ids)
    assert.near(math.log(0.64), result.log_probability, tolerance)
  end)

  it("keeps to its width, and is deterministic", function()
    local logits = random({ 20, 1, 6 }, 32)
    local narrow = ctc.beam(logits, { width = 3, best = 10 })[1]
    assert.equal(3, #narrow)
    assert.same(narrow, ctc.beam(logits, { width = 3, best = 10 })[1])
    local wide = ctc.beam(logits, { width = 100 })[1][1]
    assert.is_true(wide.log_probability >= narrow[1].log_probability)
    assert.equal(#ctc.beam(saros.zeros(3, 1, 4), { width = 1 })[1], 1)
  end)

  it("listens to a score", function()
    local logits = random({ 5, 3 }, 33)
    -- what a weight for each id after each other makes of the exact sums
    local function weight(last, id)
      return ((last or 0) * 3 + id) % 4 - 1.5
    end
    local expected = ranked_targets(logits, 1)
    for _, entry in ipairs(expected) do
      local last
      entry[3] = entry[2]
      for _, id in ipairs(ids_in(entry[1])) do
        entry[3], last = entry[3] + weight(last, id), id
      end
    end
    table.sort(expected, function(a, b)
      return a[3] > b[3]
    end)
    local asked = {}
    local results = ctc.beam(logits:reshape(5, 1, 3), {
      width = 1000, best = 1000,
      score = function(prefix, id)
        local key = table.concat(prefix, " ") .. "+" .. id
        assert.is_nil(asked[key])
        asked[key] = true
        return weight(prefix[#prefix], id)
      end,
    })[1]
    assert.equal(#expected, #results)
    for place, result in ipairs(results) do
      assert.near(expected[place][3], result.score, tolerance)
      assert.near(expected[place][2], result.log_probability, tolerance)
    end
  end)

  it("obeys a score that forbids", function()
    local results = ctc.beam(random({ 6, 1, 4 }, 34), {
      width = 50, best = 50,
      score = function(_, id)
        return id == 2 and -math.huge or 0
      end,
    })[1]
    for _, result in ipairs(results) do
      assert.is_nil(table.concat(result.ids, " "):find "2")
    end
  end)

  it("says what does not fit", function()
    local logits = random({ 5, 2, 4 }, 35)
    for _, case in ipairs {
      { "logits of shape (T, B, V)", random({ 5, 4 }, 1) }, { "logits of shape (T, B, V)", 3 },
      { "a blank in 1..4, got 5", logits, { blank = 5 } },
      { "a list of 2 lengths, one for each row, got 3 of them", logits, { lengths = { 1, 2, 3 } } },
      { "lengths in 1..5, got 6 in row 2", logits, { lengths = { 1, 6 } } },
      { "option 'width' to be a positive integer, got 0", logits, { width = 0 } },
      { "a number from score, got nil", logits, { score = function() end } },
    } do
      local ok, message = pcall(ctc.beam, case[2], case[3])
      assert.is_false(ok)
      assert.is_truthy(message:find("ctc.beam: expected " .. case[1], 1, true), message)
    end
    local line = debug.getinfo(1, "l").currentline + 1
    local _, message = pcall(function() ctc.greedy(logits, { blank = 9 }) end)
    assert.is_truthy(message:find("ctc_decoding_spec.lua:" .. line .. ": ctc.greedy: expected", 1, true), message)
  end)
end)

describe("the label error rate", function()
  it("counts insertions, deletions and replacements", function()
    assert.equal(0, ctc.distance({}, {}))
    assert.equal(3, ctc.distance({}, { 1, 2, 3 }))
    assert.equal(3, ctc.distance({ "k", "i", "t", "t", "e", "n" }, { "s", "i", "t", "t", "i", "n", "g" }))
    assert.equal(2, ctc.distance({ 1, 2, 3, 4 }, { 2, 3, 4, 5 }))
  end)

  it("is over all labels of all rows", function()
    assert.near(2 / 5, ctc.error_rate({ { 2, 3 }, {} }, { { 2, 3, 3, 4 }, { 5 } }) - 1 / 5, 1e-15)
    assert.error_matches(function() ctc.error_rate({}, { {} }) end, "ctc.error_rate: expected")
  end)
end)
