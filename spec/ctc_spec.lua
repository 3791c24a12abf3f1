-- Connectionist temporal classification: the loss against a sum over all
-- alignments, and its gradient against finite differences.

local saros = require "saros"
local ctc_paths = require "spec.support.ctc_paths"
local gradients = require "spec.support.gradients"
require "spec.support.values"

local ids_in, loss_of, probabilities_of_targets = ctc_paths.ids_in, ctc_paths.loss_of, ctc_paths.probabilities
-- The float build rounds each log-probability to seven digits.
local tolerance = gradients.is_double and 1e-10 or 2e-5

local function random(shape, seed)
  return saros.generator(seed):normal(shape)
end

describe("the CTC loss", function()
  for _, case in ipairs { { T = 5, V = 3, blank = 1 }, { T = 4, V = 4, blank = 3 }, { T = 1, V = 3, blank = 3 } } do
    it(("sums over all alignments: T = %d, V = %d, blank %d"):format(case.T, case.V, case.blank), function()
      local logits = random({ case.T, case.V }, 1)
      for target, probability in pairs(probabilities_of_targets(logits, case.blank)) do
        assert.near(-math.log(probability), loss_of(logits, ids_in(target), case.blank), tolerance, target)
      end
    end)
  end

  it("adds up to certainty over all targets", function()
    local logits, total = random({ 4, 3 }, 2) * 3, 0
    for target in pairs(probabilities_of_targets(logits, 1)) do
      total = total + math.exp(-loss_of(logits, ids_in(target), 1))
    end
    assert.near(1, total, tolerance)
  end)

  it("is infinity where the steps are too few, and its gradient 0", function()
    local logits = random({ 4, 2, 4 }, 3)
    local targets = saros.ids { { 2, 2 }, { 2, 2 }, { 3, 2 } } -- the rows need four and five steps
    local losses = saros.nn.ctc_loss(logits, targets, { reduction = "none" })
    assert.is_true(losses[1] < math.huge)
    assert.equal(math.huge, losses[2])
    assert.equal(math.huge, saros.nn.ctc_loss(logits, targets):item())
    local tape <close> = saros.tape()
    tape:watch(logits)
    tape:backward(saros.nn.ctc_loss(logits, targets))
    assert.same_values(saros.zeros(4, 4), logits:gradient():select(2, 2), 0)
    assert.is_true(logits:gradient():select(2, 1):abs():max():item() > 0.01)
  end)

  it("is infinity where a class is impossible, and NaN where a logit is", function()
    local logits = random({ 3, 4 }, 4)
    logits[1][2], logits[2][2], logits[3][2] = -math.huge, -math.huge, -math.huge
    assert.equal(math.huge, loss_of(logits, { 2 }, 1))
    assert.is_true(loss_of(logits, { 3 }, 1) < math.huge)
    logits[2][4] = 0 / 0
    local loss = loss_of(logits, { 3 }, 1)
    assert.is_true(loss ~= loss)
  end)

  it("takes an empty target: blanks all the way", function()
    local logits = random({ 5, 3 }, 5)
    local blanks = logits:log_softmax():select(2, 2):sum():item()
    assert.near(-blanks, loss_of(logits, {}, 2), tolerance)
    local nothing = saros.ids { { 1 } }:slice(1, 1, 0) -- (0, 1)
    assert.near(-blanks, saros.nn.ctc_loss(logits:reshape(5, 1, 3), nothing, { blank = 2 }):item(), tolerance)
  end)

  it("is the mean of the rows' losses, each over the length of its target", function()
    local logits, targets = random({ 7, 3, 4 }, 6), saros.ids { { 2, 3, 4 }, { 2, 4, 3 }, { 3, 2, 2 } }
    local lengths = { target_lengths = { 3, 1, 0 } }
    local mean = saros.nn.ctc_loss(logits, targets, lengths):item()
    lengths.reduction = "none"
    local losses = logits:ctc_loss(targets, lengths)
    assert.near((losses[1] / 3 + losses[2] + losses[3]) / 3, mean, tolerance)
  end)

  it("of a batch is that of its rows, whatever lies behind their lengths", function()
    local logits = random({ 6, 3, 4 }, 7)
    local targets = saros.ids { { 2, 3, 4 }, { 2, 9, 3 }, { 3, 9, 1 } }
    local o = { input_lengths = { 6, 4, 5 }, target_lengths = { 3, 1, 2 }, reduction = "none" }
    logits[5][2]:fill(0 / 0)
    logits[6][2]:fill(1e30)
    local losses, gradient
    do
      local tape <close> = saros.tape()
      tape:watch(logits)
      losses = saros.nn.ctc_loss(logits, targets, o)
      tape:backward(losses:sum())
      gradient = logits:gradient()
    end
    for row = 1, 3 do
      local T, L = o.input_lengths[row], o.target_lengths[row]
      local alone = logits:slice(2, row, row):slice(1, 1, T):clone()
      local tape <close> = saros.tape()
      tape:watch(alone)
      local loss = saros.nn.ctc_loss(alone, targets:slice(2, row, row):slice(1, 1, L), { reduction = "none" })
      tape:backward(loss)
      assert.equal(losses[row], loss[1])
      assert.same_values(gradient:slice(2, row, row):slice(1, 1, T), alone:gradient(), 0)
      if T < 6 then
        assert.equal(0, gradient:slice(2, row, row):slice(1, T + 1, 6):abs():max():item())
      end
    end
  end)

  it("stays finite over thousands of steps", function()
    local T, L, V = 2000, 300, 50
    local g = saros.generator(8)
    local logits, ids = g:normal { T, 1, V } * 20, {}
    for i = 1, L do
      ids[i] = { g:integer(V - 1) + 1 }
    end
    local tape <close> = saros.tape()
    tape:watch(logits)
    local loss = saros.nn.ctc_loss(logits, saros.ids(ids), { reduction = "none" })
    tape:backward(loss)
    local gradient = logits:gradient()
    assert.is_true(loss[1] > 1000 and loss[1] < 1e6)
    -- both the softmax and the posterior sum to 1
    assert.is_true(gradient:sum(-1):abs():max():item() < 1e-5)
    local largest = gradient:abs():max():item()
    assert.is_true(largest > 0.1 and largest <= 1 + 1e-5)
  end)

  it("does not mind logits of any size", function()
    local logits = random({ 6, 2, 4 }, 9) * 1e30
    local tape <close> = saros.tape()
    tape:watch(logits)
    local loss = saros.nn.ctc_loss(logits, saros.ids { { 2, 3 }, { 3, 3 } })
    tape:backward(loss)
    assert.is_true(loss:item() > 1e29)
    assert.is_true(logits:gradient():abs():max():item() <= 1)
  end)

  it("gives the same bits on any number of threads", function()
    local logits, targets = random({ 30, 7, 5 }, 10), saros.ids { { 2, 3, 4, 5, 2, 2, 3 }, { 2, 3, 4, 2, 3, 5, 5 } }
    local before, first = saros.threads(), nil
    for _, threads in ipairs { 1, 2, 3, 8 } do
      saros.threads(threads)
      local tape <close> = saros.tape()
      tape:watch(logits)
      logits:clear_gradient()
      tape:backward(saros.nn.ctc_loss(logits, targets, { input_lengths = { 30, 3, 10, 20, 30, 8, 9 } }))
      first = first or logits:gradient():clone()
      assert.same_values(first, logits:gradient(), 0)
    end
    saros.threads(before)
  end)

  it("can be learned to near 0", function()
    local logits = saros.zeros(8, 2, 4):trainable(true)
    local targets = saros.ids { { 2, 3 }, { 2, 4 }, { 4, 3 } }
    local adam, last = saros.optim.adam({ logits }, { lr = 0.3 }), nil
    for _ = 1, 100 do
      local tape <close> = saros.tape()
      last = saros.nn.ctc_loss(logits, targets)
      tape:backward(last)
      adam:step()
    end
    assert.is_true(last:item() < 0.01)
  end)

  it("says what does not fit, counted from 1", function()
    local logits, targets = random({ 5, 2, 4 }, 11), saros.ids { { 2, 3 }, { 2, 4 } }
    for _, case in ipairs {
      { "logits of shape (T, B, V), got (5, 2)", logits:select(3, 1), targets },
      { "logits of shape (T, B, V), got (0, 2, 4)", logits:slice(1, 1, 0), targets },
      { "targets of shape (S, 2), got (2)", logits, targets:select(1, 1) },
      { "targets of shape (S, 2), got (1, 4)", logits, targets:reshape(1, 4) },
      { "targets to be ids, got real numbers (5, 2, 4)", logits, logits },
      { "target ids in 1..4 other than the blank 3, got 3 at [1, 2]", logits, targets, { blank = 3 } },
      { "target ids in 1..4 other than the blank 1, got 5 at [2, 1]", logits, saros.ids { { 2, 3 }, { 5, 4 } } },
      { "a blank in 1..4, got 5", logits, targets, { blank = 5 } },
      { "an id (1 is the first) in the field 'blank', got 0", logits, targets, { blank = 0 } },
      { "input_lengths in 1..5, got 6 for row 2", logits, targets, { input_lengths = { 5, 6 } } },
      { "input_lengths in 1..5, got 0 for row 1", logits, targets, { input_lengths = { 0, 5 } } },
      { "target_lengths in 0..2, got 3 for row 1", logits, targets, { target_lengths = { 3, 1 } } },
      { "2 input_lengths, one for each row, got 1", logits, targets, { input_lengths = { 5 } } },
      { "a length in the field 'target_lengths', got 1.5", logits, targets, { target_lengths = { 1, 1.5 } } },
      { "a table of lengths in the field 'input_lengths', got 5", logits, targets, { input_lengths = 5 } },
      { "\"mean\" or \"none\" in the field 'reduction', got \"sum\"", logits, targets, { reduction = "sum" } },
      { "only the fields input_lengths, target_lengths,", logits, targets, { lengths = { 5, 5 } } },
    } do
      local ok, message = pcall(saros.nn.ctc_loss, table.unpack(case, 2, 4))
      assert.is_false(ok)
      assert.is_truthy(message:find("ctc_loss: expected " .. case[1], 1, true), message)
    end
  end)
end)

describe("the gradient of the CTC loss", function()
  local targets = saros.ids { { 2, 3, 4 }, { 3, 3, 2 }, { 2, 4, 4 } }

  it("is what finite differences predict", function()
    assert.gradients_match(function(t)
      return saros.nn.ctc_loss(t[1], targets)
    end, { random({ 7, 3, 4 }, 20) })
  end)

  it("is so with lengths, another blank, and a weight for each row", function()
    local o = { blank = 5, input_lengths = { 8, 6, 2 }, target_lengths = { 3, 2, 0 }, reduction = "none" }
    local weights = random({ 3 }, 21)
    assert.gradients_match(function(t)
      return (saros.nn.ctc_loss(t[1] * 2, targets, o) * weights):sum()
    end, { random({ 8, 3, 5 }, 22) })
  end)

  it("is so where the logits are a view, used twice", function()
    assert.gradients_match(function(t)
      local logits = t[1]:transpose(1, 2)
      return saros.nn.ctc_loss(logits, targets)
        + saros.nn.ctc_loss(logits, targets, { target_lengths = { 1, 1, 2 } }) * 3
    end, { random({ 3, 6, 4 }, 23) })
  end)
end)
