-- Choosing element by element, and what may be chosen by.

local saros = require "saros"

local NAN = 0 / 0

describe("isfinite and isnan", function()
  local x = saros.tensor { 1, NAN, math.huge, -math.huge, 0 }

  it("tell of each element what it is", function()
    assert.same({ 1, 0, 0, 0, 1 }, saros.isfinite(x):totable())
    assert.same({ 0, 1, 0, 0, 0 }, x:isnan():totable())
    assert.equal(1, saros.isnan(NAN):item())
    assert.equal(0, saros.isfinite(math.huge):item())
  end)

  it("have no gradient", function()
    local tape <close> = saros.tape()
    tape:watch(x)
    tape:backward((x:isfinite() * 3 + x:isnan() + saros.where(x:isfinite(), x, 0)):sum())
    assert.same({ 1, 0, 0, 0, 1 }, x:gradient():totable())
  end)

  it("are for real numbers", function()
    assert.error_matches(function() saros.isnan(saros.ids { 1 }) end,
      "isnan: expected the tensor to be real numbers, got ids (1)", 1, true)
  end)
end)

describe("where", function()
  it("takes elements of one tensor or the other", function()
    local c = saros.tensor { 1, 0, -2, NAN }
    assert.same({ 5, 7, 5, 5 }, saros.where(c, saros.full({ 4 }, 5), saros.full({ 4 }, 7)):totable())
    assert.same({ 5, 7, 5, 5 }, c:where(5, 7):totable())
  end)

  it("broadcasts all three", function()
    local rows = saros.where(saros.tensor { { 1 }, { 0 } }, saros.tensor { 1, 2, 3 }, 9)
    assert.same({ { 1, 2, 3 }, { 9, 9, 9 } }, rows:totable())
    assert.same({ 2, 3, 4 }, saros.where(1, saros.zeros(2, 1, 4), saros.zeros(3, 1)):shape())
    assert.same({ 0, 3 }, saros.where(1, saros.zeros(0, 3), 1):shape())
  end)

  it("reads views, as a copy of them would be read", function()
    local g = saros.generator(1)
    local a, b, c = g:normal { 5, 3 }, g:normal { 3, 5 }, g:normal { 5, 3 }:gt(0)
    local y = saros.where(c:transpose(), a:transpose(), b)
    local twin = saros.where(c:transpose():clone(), a:transpose():clone(), b)
    assert.same(twin:totable(), y:totable())
  end)

  it("hides NaN where it is not chosen, from values and from gradients", function()
    local x, y = saros.tensor { 4, NAN, -1 }, saros.tensor { NAN, 2, NAN }
    local tape <close> = saros.tape()
    tape:watch(x)
    tape:watch(y)
    local chosen = saros.where(saros.tensor { 1, 0, 1 }, x, y)
    assert.same({ 4, 2, -1 }, chosen:totable())
    tape:backward((chosen * chosen):sum())
    assert.same({ 8, 0, -2 }, x:gradient():totable())
    assert.same({ 0, 4, 0 }, y:gradient():totable())
  end)

  it("lets no NaN of the gradient into what is not chosen", function()
    local x, y = saros.tensor { 1, 1 }, saros.tensor { 0, 4 }
    local tape <close> = saros.tape()
    tape:watch(x)
    tape:watch(y)
    tape:backward((saros.where(y:gt(0), x, -y):sqrt()):sum()) -- its slope at 0 is infinite
    assert.same({ 0, 0.5 }, x:gradient():totable())
  end)

  it("keeps its condition from being written to until backward has read it", function()
    local c, x = saros.tensor { 1, 0 }, saros.tensor { 1, 2 }
    local tape <close> = saros.tape()
    tape:watch(x)
    local loss = saros.where(c, x, 0):sum()
    assert.error_matches(function() c:fill(0) end, "fill: .*where")
    tape:backward(loss)
    c:fill(0)
    assert.same({ 1, 0 }, x:gradient():totable())
  end)

  it("gives the same bits on any number of threads", function()
    local before = saros.threads()
    local function results(threads)
      saros.threads(threads)
      local g = saros.generator(4)
      local c, a, b = g:normal({ 300, 1, 101 }):gt(0), g:normal { 300, 7, 101 }, g:normal { 7, 1 }
      local tape <close> = saros.tape()
      tape:watch(b)
      local y = saros.where(c, a, b)
      tape:backward((y * a):sum())
      return y:digest(), b:gradient():digest()
    end
    local y, gradient = results(1)
    local y3, gradient3 = results(3)
    saros.threads(before)
    assert.same({ y, gradient }, { y3, gradient3 })
  end)

  it("refuses what does not fit", function()
    local x = saros.zeros(2)
    local ids = saros.ids { 1, 2 }
    assert.error_matches(function() saros.where(ids, x, x) end,
      "where: expected the condition to be real numbers, got ids (2)", 1, true)
    assert.error_matches(function() saros.where(x, ids, x) end,
      "where: expected operands to be real numbers, got ids (2)", 1, true)
    assert.error_matches(function() saros.where(saros.zeros(3), x, x) end,
      "where: expected shapes that broadcast, got (3) and (2)", 1, true)
    assert.error_matches(function() saros.where(x, x) end, "where")
    assert.error_matches(function() saros.where(true, x, x) end, "where")
  end)
end)
