-- Losses: their values, and what their masks and weights hide. Gradients are in
-- gradient_spec.lua, kernels in c/kernel_loss.c.

require "spec.support.values"
local saros = require "saros"

local NAN = 0 / 0
local tolerance = 1e-6

-- The loss and the gradients of its inputs.
local function value_and_gradients(loss, inputs, ...)
  local tape <close> = saros.tape()
  for _, x in ipairs(inputs) do
    tape:watch(x)
  end
  local y = loss(inputs[1], inputs[2] or select(1, ...), select(inputs[2] and 1 or 2, ...))
  local value, gradients = y:item(), {}
  tape:backward(y)
  for n, x in ipairs(inputs) do
    gradients[n] = x:gradient()
  end
  return value, gradients
end

describe("losses of elements", function()
  local x, t = saros.tensor { 0.5, -1, 2 }, saros.tensor { 1, 0, 0.25 }

  it("are the means of what their names say", function()
    assert.near((0.25 + 1 + 1.75 ^ 2) / 3, saros.mse(x, t):item(), tolerance)
    assert.near((0.5 + 1 + 1.75) / 3, saros.nn.l1(x, t):item(), tolerance)
    assert.near((0.125 + 0.5 + 1.25) / 3, saros.nn.huber(x, t):item(), tolerance)
    assert.near((0.125 + 0.5 * 0.75 + 0.5 * 1.5) / 3, x:huber(t, { delta = 0.5 }):item(), tolerance)
    assert.near(0.8047555609137674, saros.nn.bce(x, t):item(), tolerance)
    assert.equal(saros.nn.mse, saros.mse)
  end)

  it("weigh what a mask says, by any weights", function()
    local mask = saros.tensor { 1, 0.5, 0 }
    assert.near((0.25 + 0.5) / 1.5, saros.mse(x, t, { mask = mask }):item(), tolerance)
    assert.near((0.5 + 0.5) / 1.5, saros.nn.l1(x, t, { mask = mask }):item(), tolerance)
    assert.near((0.125 + 0.25) / 1.5, saros.nn.huber(x, t, { mask = mask }):item(), tolerance)
  end)

  it("stay finite where logits are large, and accurate where the loss is small", function()
    local sure = saros.tensor { 1000, -1000 }
    assert.equal(0, saros.nn.bce(sure, saros.tensor { 1, 0 }):item())
    assert.equal(1000, saros.nn.bce(sure, saros.tensor { 0, 1 }):item())
    local small = saros.nn.bce(saros.tensor { 20 }, saros.ones(1)):item()
    assert.near(1, small / math.exp(-20), 1e-5)
  end)

  it("refuse targets that are no probabilities, where they count", function()
    assert.error_matches(function() saros.nn.bce(x, saros.tensor { 1, 0, 1.5 }) end,
      "bce: expected targets in 0..1, got 1.5 at position 3", 1, true)
    assert.error_matches(function() saros.nn.bce(x, saros.tensor { NAN, 0, 1 }) end,
      "expected targets in 0..1, got .*nan")
    assert.is_true(saros.nn.bce(x, saros.tensor { 1, 0, 1.5 }, { mask = saros.tensor { 1, 1, 0 } }):item() > 0)
  end)
end)

describe("the divergence", function()
  local q = saros.tensor { { 0.2, 0.3, 0.5 }, { 0.25, 0.25, 0.5 } }
  local p = saros.tensor { { 0.1, 0.1, 0.8 }, { 0, 0.5, 0.5 } }

  it("is that of the targets from the model, a mean over positions", function()
    assert.near(0.27170027337687785, saros.nn.kl(q:log(), p):item(), tolerance)
    assert.near(0, saros.nn.kl(q:log(), q):item(), tolerance)
  end)

  it("has a mask by position", function()
    local first = 0.1 * math.log(0.5) + 0.1 * math.log(1 / 3) + 0.8 * math.log(1.6)
    assert.near(first, saros.nn.kl(q:log(), p, { mask = saros.tensor { 1, 0 } }):item(), tolerance)
    assert.error_matches(function() saros.nn.kl(q, p, { mask = saros.ones(2, 3) }) end,
      "kl: expected mask of shape (2), got (2, 3)", 1, true)
  end)

  it("is finite where neither gives a chance", function()
    local sure = saros.tensor { 0, -math.huge }
    assert.equal(0, saros.nn.kl(sure, saros.tensor { 1, 0 }):item())
  end)
end)

describe("cross_entropy", function()
  local logits = saros.tensor { { 1, 2, 3 }, { 0, 0, 1 }, { 2, 0, -1 } }
  local targets, weights = saros.ids { 1, 3, 2 }, saros.tensor { 1, 2, 3 }

  -- The values that PyTorch's formulas give.
  it("weighs classes and smooths labels as PyTorch does", function()
    for _, case in ipairs {
      { 1.4002720242255176, { weights = weights } },
      { 1.6874100104220169, { label_smoothing = 0.1 } },
      { 1.4089858228451675, { weights = weights, label_smoothing = 0.1 } },
      { 1.2925178917694502, { weights = weights, label_smoothing = 0.1, mask = saros.tensor { 1, 0.5, 0 } } },
    } do
      assert.near(case[1], saros.cross_entropy(logits, targets, case[2]):item(), tolerance)
    end
  end)

  it("takes any weights of samples as its mask", function()
    local mask, sum = { 0.5, 2, 0.25 }, 0
    for n, weight in ipairs(mask) do
      sum = sum + weight * saros.cross_entropy(logits:slice(1, n, n), targets:slice(1, n, n)):item()
    end
    assert.near(sum / 2.75, saros.cross_entropy(logits, targets, { mask = saros.tensor(mask) }):item(), tolerance)
  end)

  it("does not look at what a mask hides, neither logits nor target", function()
    local x = saros.tensor { { 1, 2 }, { NAN, 0 }, { math.huge, 0 } }
    local hidden, mask = saros.ids { 1, 2, 2 ^ 31 }, saros.tensor { 1, 0, 0 }
    for _, smoothing in ipairs { 0, 0.1 } do
      local value, gradients = value_and_gradients(saros.cross_entropy, { x }, hidden,
        { mask = mask, label_smoothing = smoothing })
      local alone, of_alone = value_and_gradients(saros.cross_entropy, { saros.tensor { { 1, 2 } } }, saros.ids { 1 },
        { label_smoothing = smoothing })
      assert.near(alone, value, tolerance)
      assert.same_values(saros.concatenate({ of_alone[1], saros.zeros(2, 2) }, 1), gradients[1], tolerance)
    end
  end)

  it("does not look at classes that count nothing", function()
    local x = saros.tensor { { 1, 2 }, { NAN, NAN } }
    local value, gradients = value_and_gradients(saros.cross_entropy, { x }, saros.ids { 1, 2 },
      { weights = saros.tensor { 1, 0 } })
    assert.near(math.log(1 + math.exp(1)), value, tolerance)
    assert.same({ 0, 0 }, gradients[1][2]:totable())
  end)

  it("says what does not fit", function()
    for given, message in pairs {
      [{ weights = saros.ones(2) }] = "cross_entropy: expected 3 class weights, got shape (2)",
      [{ weights = saros.tensor { 1, -1, 1 } }] = "expected class weights of 0 or more, got -1 for class 2",
      [{ weights = saros.tensor { 0, 0, 0 } }] = "expected weights with a finite sum other than 0, got 0",
      [{ label_smoothing = 1 }] = "cross_entropy: expected label smoothing in [0, 1), got 1",
      [{ smoothing = 1 }] = "label_smoothing",
    } do
      assert.error_matches(function() saros.cross_entropy(logits, targets, given) end, message, 1, true)
    end
    assert.error_matches(function() saros.cross_entropy(logits, saros.ids { 1, 4, 1 }) end,
      "cross_entropy: expected ids in 1..3, got 4 at position 2", 1, true)
  end)
end)

for _, name in ipairs { "mse", "l1", "huber", "bce", "kl" } do
  describe(("a mask of %s"):format(name), function()
    local loss = saros.nn[name]
    local g = saros.generator(1)
    local x, t = g:normal { 4, 3 }, g:uniform({ 4, 3 }, 0.1, 0.9)
    local keep = name == "kl" and saros.tensor { 1, 0, 1, 0 } or saros.tensor { { 1, 1, 1 }, { 0, 0, 0 }, { 1, 1, 1 },
      { 0, 0, 0 } }

    -- Rows 2 and 4 are hidden.
    local function spoiled(tensor, row, value)
      local copy = tensor:clone()
      copy[row]:fill(value)
      return copy
    end

    it("hides NaN in both inputs, from the value and from both gradients", function()
      local value, gradients = value_and_gradients(loss, { spoiled(x, 2, NAN), spoiled(t, 4, NAN) }, { mask = keep })
      local rows = function(tensor) return saros.concatenate({ tensor:slice(1, 1, 1), tensor:slice(1, 3, 3) }, 1) end
      local expected, of_rows = value_and_gradients(loss, { rows(x), rows(t) })
      assert.near(expected, value, tolerance)
      for n = 1, 2 do
        assert.same_values(of_rows[n], rows(gradients[n]), tolerance)
        assert.equal(0, gradients[n]:slice(1, 2, 2):abs():max():item())
        assert.equal(0, gradients[n]:slice(1, 4, 4):abs():max():item())
      end
    end)

    it("hides infinities", function()
      local value, gradients = value_and_gradients(loss,
        { spoiled(x, 2, -math.huge), spoiled(t, 4, math.huge) }, { mask = keep })
      assert.is_true(value == value and math.abs(value) < 100)
      assert.is_true(gradients[1]:all_finite() and gradients[2]:all_finite())
    end)

    it("does not hide NaN where it is not 0", function()
      local value = loss(spoiled(x, 1, NAN), t, { mask = keep }):item()
      assert.is_true(value ~= value)
    end)

    it("has to have a sum", function()
      assert.error_matches(function() loss(x, t, { mask = keep * 0 }) end,
        name .. ": expected weights with a finite sum other than 0, got 0", 1, true)
      assert.error_matches(function() loss(saros.zeros(0, 3), saros.zeros(0, 3)) end,
        name .. ": expected at least one position", 1, true)
    end)
  end)
end

describe("ctc_loss", function()
  it("lets no NaN of a row through that is not chosen", function()
    local x = saros.generator(1):normal { 4, 2, 3 }
    x:select(2, 2):fill(NAN)
    local tape <close> = saros.tape()
    tape:watch(x)
    local rows = saros.nn.ctc_loss(x, saros.ids { { 2, 2 } }, { reduction = "none" })
    tape:backward(saros.where(saros.tensor { 1, 0 }, rows, 0):sum())
    assert.is_true(x:gradient():all_finite())
    assert.is_true(x:gradient():abs():sum():item() > 0)
  end)

  it("does not look behind the lengths", function()
    local x = saros.generator(1):normal { 4, 2, 3 }
    local targets = saros.ids { { 2, 2 }, { 3, 2 ^ 31 } }
    x:slice(1, 3, 4):select(2, 2):fill(NAN)
    local value, gradients = value_and_gradients(saros.nn.ctc_loss, { x }, targets,
      { input_lengths = { 4, 2 }, target_lengths = { 2, 1 } })
    assert.is_true(value == value)
    assert.is_true(gradients[1]:all_finite())
  end)
end)

describe("losses", function()
  it("have the same bits on any number of threads", function()
    local before, g = saros.threads(), saros.generator(1)
    local x, t = g:normal { 300, 400 }, g:uniform({ 300, 400 }, 0, 1)
    local ids = t:argmax(-1)
    local function digests(threads)
      saros.threads(threads)
      local list = {}
      for _, name in ipairs { "mse", "l1", "huber", "bce", "kl" } do
        local value, gradients = value_and_gradients(saros.nn[name], { x:clone(), t:clone() })
        list[#list + 1] = ("%a %s %s"):format(value, gradients[1]:digest(), gradients[2]:digest())
      end
      local value, gradients = value_and_gradients(saros.cross_entropy, { x:clone() }, ids, { label_smoothing = 0.1 })
      list[#list + 1] = ("%a %s"):format(value, gradients[1]:digest())
      return list
    end
    local one, three = digests(1), digests(3)
    saros.threads(before)
    assert.same(one, three)
  end)
end)
