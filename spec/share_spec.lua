-- How much of a data set is held out: about the share that was asked for, of
-- every kind of data whose elements are whole.

local saros = require "saros"
local data = saros.data

local function texts(count)
  local list = {}
  for n = 1, count do
    list[n] = "text " .. n
  end
  return list
end

local function both(count)
  local list = {}
  for n = 1, count do
    list[n] = { "in " .. n, "out " .. n }
  end
  return list
end

local function held_out(count, valid)
  local labelled = data.labelled({ a = texts(count) }, { valid = valid })
  local pairs_of = data.pairs(both(count), { valid = valid })
  local pieces = data.pieces(texts(count), { valid = valid })
  return { #labelled.valid, #pairs_of.valid, pieces.valid and #pieces.valid.texts or 0 }
end

describe("the share that is held out", function()
  it("is the nearest whole number", function()
    assert.same({ 29, 29, 29 }, held_out(100, 0.29)) -- 100 * 0.29 is a little less than 29
    assert.same({ 2, 2, 2 }, held_out(16, 0.1))
    assert.same({ 1, 1, 1 }, held_out(14, 0.1))
  end)

  it("is at least one of two or more, and never all", function()
    for _, count in ipairs { 2, 4, 5, 9 } do
      assert.same({ 1, 1, 1 }, held_out(count, 0.1))
    end
    assert.same({ 1, 1, 1 }, held_out(2, 0.9))
    assert.same({ 0, 0, 0 }, held_out(1, 0.5))
    assert.same({ 0, 0, 0 }, held_out(20, 0))
  end)

  it("is taken from each label", function()
    local set = data.labelled({ rare = texts(3), common = texts(40) }, { valid = 0.1 })
    local count = { 0, 0 }
    for _, sequence in ipairs(set.valid) do
      count[sequence.label] = count[sequence.label] + 1
    end
    assert.same({ 4, 1 }, count)
  end)
end)
