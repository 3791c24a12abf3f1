local saros = require "saros"
local pipeline = saros.data.pipeline

local function list(p)
  local items = {}
  for item in p:each() do
    items[#items + 1] = item
  end
  return items
end

local function count_to(n)
  local items = {}
  for k = 1, n do
    items[k] = k
  end
  return pipeline(items)
end

describe("a pipeline", function()
  it("gives the elements of a list, or of an iterator, again and again", function()
    local three = count_to(3)
    assert.same({ 1, 2, 3 }, list(three))
    assert.same({ 1, 2, 3 }, list(three))
    local words = pipeline(function() return ("to be or not"):gmatch "%a+" end)
    assert.same({ "to", "be", "or", "not" }, list(words))
    assert.same({ "to", "be", "or", "not" }, list(words))
    assert.same({}, list(pipeline {}))
  end)

  it("maps, filters, takes and makes batches", function()
    local squares = count_to(7):map(function(n) return n * n end)
    assert.same({ 1, 4, 9, 16, 25, 36, 49 }, list(squares))
    assert.same({ 4, 16, 36 }, list(squares:filter(function(n) return n % 2 == 0 end)))
    assert.same({ { 1, 4, 9 }, { 16, 25, 36 }, { 49 } }, list(squares:batch(3)))
    assert.same({ { 1, 4 }, { 9, 16 } }, list(squares:take(4):batch(2)))
    assert.same({}, list(squares:take(0)))
    assert.same({ false, 1 }, list(pipeline { false, 1 }:take(2)))
  end)

  it("goes round", function()
    assert.same({ 1, 2, 1, 2, 1, 2 }, list(count_to(2):cycle(3)))
    assert.same({ 1, 2, 1, 2, 1 }, list(count_to(2):cycle():take(5)))
    assert.same({}, list(count_to(2):cycle(0)))
    assert.same({}, list(pipeline {}:cycle()))
  end)

  it("shuffles with a buffer, by a generator", function()
    local function order(buffer, seed)
      return list(count_to(50):shuffle(buffer, saros.generator(seed)))
    end
    assert.same(order(10, 1), order(10, 1))
    assert.not_same(order(10, 1), order(10, 2))
    assert.same(list(count_to(50)), order(1, 1))
    for _, buffer in ipairs { 2, 10, 50, 100 } do
      local shuffled = order(buffer, 3)
      for place, item in ipairs(shuffled) do
        assert.is_true(item < place + buffer)
      end
      table.sort(shuffled)
      assert.same(list(count_to(50)), shuffled)
    end
    local again = count_to(50):shuffle(50, saros.generator(1))
    assert.not_same(list(again), list(again))
  end)

  it("reads no more than is asked for", function()
    local read = 0
    local source = pipeline(function()
      return function()
        read = read + 1
        return read
      end
    end)
    local all = source:map(function(n) return n end):filter(function() return true end):batch(2):take(3)
    assert.equal(0, read)
    assert.same({ { 1, 2 }, { 3, 4 }, { 5, 6 } }, list(all))
    assert.equal(6, read)
  end)

  it("says what it expects", function()
    local one = count_to(1)
    for expected, act in pairs {
      ["data.pipeline: expected a list or a function that gives an iterator, got 3"] = function() pipeline(3) end,
      ["pipeline:each: expected the source to give an iterator, got 3"] = function()
        pipeline(function() return 3 end):each()
      end,
      ["pipeline:map: expected a function, got nil"] = function() one:map() end,
      ["pipeline:map: expected the function to make something of each item, got nil"] = function()
        list(one:map(function() end))
      end,
      ["pipeline:filter: expected a function, got true"] = function() one:filter(true) end,
      ["pipeline:batch: expected a positive integer, got 0"] = function() one:batch(0) end,
      ["pipeline:take: expected a whole number, 0 or more, got -1"] = function() one:take(-1) end,
      ["pipeline:cycle: expected a whole number, 0 or more, got 1.5"] = function() one:cycle(1.5) end,
      ["pipeline:shuffle: expected a positive integer, got nil"] = function() one:shuffle() end,
      ["pipeline:shuffle: expected a generator, got a tensor (1)"] = function() one:shuffle(2, saros.zeros(1)) end,
    } do
      assert.error_matches(act, expected, 1, true)
    end
  end)
end)
