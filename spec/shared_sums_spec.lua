-- Sums over many rows are shared among the threads, forward and back. What comes
-- out depends on neither the threads nor the way rows were shared out.

require "spec.support.values"
local saros = require "saros"
local core = require "saros.core"

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

--- What a function returns with 1, 2, 3 and 5 threads, which must be the same bits.
local function with_threads(f)
  local before, first = saros.threads(), nil
  for _, threads in ipairs { 1, 2, 3, 5 } do
    saros.threads(threads)
    local digests = {}
    for i, tensor in ipairs { f() } do
      digests[i] = tensor:digest()
    end
    first = first or digests
    assert.same(first, digests)
  end
  saros.threads(before)
  return f()
end

--- The gradients of tensors of a loss that a function makes of them.
local function gradients(loss, ...)
  local tape <close> = saros.tape()
  for _, x in ipairs { ... } do
    x:clear_gradient()
    tape:watch(x)
  end
  tape:backward(loss(...))
  local all = {}
  for i, x in ipairs { ... } do
    all[i] = x:gradient():clone()
  end
  return table.unpack(all)
end

-- single precision, sums of up to 200,000 terms of about 1 that were divided by the scale of the sum
local TOLERANCE = 2e-5

describe("sums over many rows, with any number of threads", function()
  it("are those of shorter sums", function()
    for _, shape in ipairs { { 70001, 3 }, { 1030, 300 }, { 2, 100003 }, { 200000, 1 }, { 131072, 1 } } do
      local x = random(1, table.unpack(shape))
      local sum, mean, total = with_threads(function() return x:sum(1), x:mean(1), x:sum() end)
      local expected = saros.zeros(shape[2])
      for first = 1, shape[1], 4096 do
        expected = expected + x:slice(1, first, math.min(first + 4095, shape[1])):sum(1)
      end
      assert.same_values(expected / 1000, sum / 1000, TOLERANCE)
      assert.same_values(expected / shape[1], mean, TOLERANCE)
      assert.near(expected:sum():item() / 1000, total:item() / 1000, 1e-3)
    end
  end)

  it("are not finite where a term is not", function()
    local x = saros.ones(3000, 70)
    x:slice(1, 2900, 2900):fill(0 / 0)
    assert.equal(0, x:sum(1):isfinite():sum():item())
    local y = saros.ones(3000, 70)
    y:select(1, 7):slice(1, 5, 5):fill(math.huge)
    assert.equal(69, y:sum(1):isfinite():sum():item())
    assert.equal(math.huge, y:sum():item())
  end)

  it("are gradients of a bias, a gain, and both operands of where", function()
    local T, B, F = 40, 33, 130
    local x, row, gain = random(1, T, B, F), random(2, 1, F), random(3, F)
    local weights = random(4, T, B, F)
    local drow, dgain = with_threads(function()
      return gradients(function(r, g) return ((x * g + r) * weights):sum() end, row, gain)
    end)
    assert.same_values(weights:sum(1):sum(1, true) / 10, drow / 10, TOLERANCE)
    assert.same_values((weights * x):sum(1):sum(1) / 10, dgain / 10, TOLERANCE)
    local chosen = x:gt(0)
    local da, db = with_threads(function()
      return gradients(function(a, b) return (saros.where(chosen, a, b) * weights):sum() end, row, gain)
    end)
    assert.same_values((weights * chosen):sum(1):sum(1, true) / 10, da / 10, TOLERANCE)
    assert.same_values((weights * (1 - chosen)):sum(1):sum(1) / 10, db / 10, TOLERANCE)
  end)

  it("are gradients of norms", function()
    local T, B, F = 30, 41, 257
    local x, gain, bias, weights = random(1, T, B, F), random(2, F), random(3, F), random(4, T, B, F)
    local dx, dgain, dbias = with_threads(function()
      return gradients(function(...) return (core.layer_norm(...) * weights):sum() end, x, gain, bias)
    end)
    local normal = core.layer_norm(x, saros.ones(F), saros.zeros(F))
    assert.same_values((normal * weights):sum(1):sum(1) / 10, dgain / 10, TOLERANCE)
    assert.same_values(weights:sum(1):sum(1) / 10, dbias / 10, TOLERANCE)
    assert.same_values(saros.zeros(T, B), dx:sum(3) / 100, TOLERANCE)
    local _, drms = with_threads(function()
      return gradients(function(...) return (core.rms_norm(...) * weights):sum() end, x, gain)
    end)
    assert.same_values((core.rms_norm(x) * weights):sum(1):sum(1) / 10, drms / 10, TOLERANCE)
  end)

  it("are gradients of a table that is read by id", function()
    local chosen = random(1, 60, 50):gt(0)
    local ids, rows = saros.argmax(saros.stack({ 1 - chosen, chosen }, -1), -1), { 1 - chosen, chosen }
    local table_, weights = random(2, 2, 300), random(3, 60, 50, 300)
    local y, dtable = with_threads(function()
      return core.embedding(table_, ids), gradients(function(t)
        return (core.embedding(t, ids) * weights):sum()
      end, table_)
    end)
    for row = 1, 2 do
      local mask = rows[row]:reshape(60, 50, 1)
      assert.same_values(table_:select(1, row) * mask, y * mask, 0)
      assert.same_values((weights * mask):sum(1):sum(1) / 10, dtable:select(1, row) / 10, TOLERANCE)
    end
  end)

  it("are the norm that clipping takes, and updates follow", function()
    local norm, updated = with_threads(function()
      local p = random(1, 700, 300)
      local adam = saros.optim.adam({ p }, { lr = 1e-2 })
      local tape <close> = saros.tape()
      tape:watch(p)
      tape:backward((p * p):sum())
      local norm = saros.optim.clip_norm({ p }, 3)
      adam:step()
      return saros.tensor(norm), p
    end)
    local p = random(1, 700, 300)
    local expected = 2 * math.sqrt((p * p):sum():item())
    assert.near(expected, norm:item(), 1e-5 * expected)
    assert.near(1e-2, (p - updated):abs():max():item(), 1e-4) -- the first step of Adam
  end)
end)
