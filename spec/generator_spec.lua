local saros = require "saros"

local function mean_and_deviation(t)
  local mean = t:mean():item()
  return mean, math.sqrt(((t - mean) ^ 2):mean():item())
end

describe("a generator", function()
  it("gives the same numbers for the same seed", function()
    local a, b, c = saros.generator(5), saros.generator(5), saros.generator(6)
    local x = a:normal { 100 }:totable()
    assert.same(x, b:normal { 100 }:totable())
    assert.are_not.same(x, c:normal { 100 }:totable())
    assert.same(x, a:seed(5):normal { 100 }:totable())
  end)

  it("takes any integer as its seed", function()
    for _, seed in ipairs { 0, -1, 2 ^ 53, math.mininteger, math.maxinteger } do
      assert.is_true(saros.generator(seed):number() < 1)
    end
  end)

  it("goes on from a saved state", function()
    local g = saros.generator(5)
    g:number()
    local state = g:state()
    assert.matches("^%x+$", state)
    assert.equal(64, #state)
    local x = { g:number(), g:integer(10), g:normal { 7 }:totable() }
    assert.equal(g, g:restore(state))
    assert.same(x, { g:number(), g:integer(10), g:normal { 7 }:totable() })
    assert.same(x, (function()
      local other = saros.generator(1):restore(state:upper())
      return { other:number(), other:integer(10), other:normal { 7 }:totable() }
    end)())
  end)

  it("refuses what is no state", function()
    local g = saros.generator(5)
    for _, state in ipairs { "", "12", ("g"):rep(64), ("1"):rep(63), (" "):rep(64), 5 } do
      assert.error_matches(function()
        g:restore(state)
      end, "restore: expected a state of 64 hex digits")
    end
    assert.error_matches(function()
      g:restore(("0"):rep(64))
    end, "expected")
  end)

  it("draws numbers in [0, 1) and integers in 1..n", function()
    local g, seen = saros.generator(2), {}
    for _ = 1, 1000 do
      local x, n = g:number(), g:integer(6)
      assert.is_true(x >= 0 and x < 1)
      seen[n] = true
    end
    assert.same({ true, true, true, true, true, true }, seen)
    assert.equal(1, g:integer(1))
    assert.is_true(g:integer(math.maxinteger) > 0)
  end)

  it("fills tensors with the moments it promises", function()
    local g = saros.generator(3)
    -- Tolerances: five standard errors of 40,000 draws.
    local mean, deviation = mean_and_deviation(g:normal({ 200, 200 }, 2, 3))
    assert.near(2, mean, 0.075)
    assert.near(3, deviation, 0.053)
    mean, deviation = mean_and_deviation(g:uniform { 200, 200 })
    assert.near(0.5, mean, 0.0073)
    assert.near(math.sqrt(1 / 12), deviation, 0.005)
    local t = g:fill_uniform(saros.zeros(200, 200), -1, 3)
    assert.is_true(t:min():item() >= -1 and t:max():item() < 3)
    mean = mean_and_deviation(g:fill_normal(t, -1, 0.1))
    assert.near(-1, mean, 0.0025)
  end)

  it("makes orthonormal rows or columns", function()
    local g = saros.generator(4)
    for _, shape in ipairs { { 5, 5 }, { 3, 7 }, { 7, 3 } } do
      local w = g:fill_orthogonal(saros.zeros(shape), 2)
      local product = shape[1] <= shape[2] and w:matmul(w:transpose()) or w:transpose():matmul(w)
      local size = math.min(shape[1], shape[2])
      local off = product - saros.one_hot(saros.ids((function()
        local ids = {}
        for i = 1, size do ids[i] = i end
        return ids
      end)()), size) * 4
      assert.near(0, off:abs():max():item(), 1e-5)
    end
  end)

  it("draws ids in proportion to weights", function()
    local g = saros.generator(5)
    local counts = { 0, 0, 0, 0 }
    local weights = saros.tensor { 1, 0, 2, 5 } + saros.zeros(8000, 4)
    for _, id in ipairs(g:categorical(weights):totable()) do
      counts[id] = counts[id] + 1
    end
    assert.near(1000, counts[1], 150) -- five standard deviations
    assert.equal(0, counts[2])
    assert.near(2000, counts[3], 195)
    assert.near(5000, counts[4], 217)
    assert.equal("ids", g:categorical(saros.tensor { 1, 1 }):dtype())
    assert.same({}, g:categorical(saros.tensor { 1, 1 }):shape())
  end)

  it("refuses weights that are none", function()
    local g = saros.generator(5)
    for _, weights in ipairs { { 0, 0 }, { -1, 2 }, { 0 / 0, 1 }, { 1 / 0, 1 } } do
      assert.error_matches(function()
        g:categorical(saros.tensor(weights))
      end, "categorical: expected")
    end
  end)

  it("orders ids at random, each once", function()
    local list = saros.generator(6):permutation(50):totable()
    assert.are_not.same(list, saros.generator(7):permutation(50):totable())
    table.sort(list)
    for i = 1, 50 do
      assert.equal(i, list[i])
    end
    assert.same({ 0 }, saros.generator(1):permutation(0):shape())
  end)
end)
