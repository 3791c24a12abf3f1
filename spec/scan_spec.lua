-- Cells that are linear in their state: one step after the other, in any split
-- of the work, comes to the same bits, and to what the papers compute in log space.

local saros = require "saros"
local core = require "saros.core"
require "spec.support.values"

local is_double = saros.info().real == "double"

local cells = {
  mingru = { gates = 2 }, mingru_positive = { gates = 2 },
  minlstm = { gates = 3 }, minlstm_positive = { gates = 3 },
  lru = { gates = 1, rates = true },
}

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- The parameters of a cell whose input is projected already.
local function parameters_of(cell, H)
  return cell.rates and { nu = random(1, H // 2) - 3, theta = random(2, H // 2) } or {}
end

local function assert_same_bits(expected, actual)
  assert.same(expected:shape(), actual:shape())
  assert.equal(0, (expected - actual):abs():max():item())
end

for name, cell in pairs(cells) do
  describe("the cell " .. name, function()
    -- So many units and steps of few rows that their units are shared out, and
    -- no multiple of what a block holds.
    local T, B, H = 110, 3, 392
    local x, first, parameters = random(3, T, B, cell.gates * H), random(4, B, H), parameters_of(cell, H)

    it("takes single steps from any state to the same bits", function()
      local y, last = core.recurrent(name, x, { first }, parameters)
      local state = { first }
      for t = 1, T do
        local one
        one, state = core.recurrent(name, x:slice(1, t, t), state, parameters)
        assert_same_bits(y[t], one[1])
      end
      assert_same_bits(last[1], state[1])
    end)

    it("has the same bits in a batch as in a row alone, values and gradients", function()
      local rows = saros.concatenate({ x, x, x }, 2)
      local function run(input)
        local tape <close> = saros.tape()
        tape:watch(input)
        local y = core.recurrent(name, input, nil, parameters)
        tape:backward((y * y):sum())
        return y:detach(), input:gradient()
      end
      local y, dx = run(rows:clone())
      for row = 1, B do
        local alone, dx_alone = run(x:slice(2, row, row):clone())
        assert_same_bits(alone, y:slice(2, row, row))
        assert_same_bits(dx_alone, dx:slice(2, row, row))
      end
    end)

    it("has the same bits on one thread and on three", function()
      local threads = saros.threads()
      local function run(count)
        saros.threads(count)
        return (core.recurrent(name, x, { first }, parameters))
      end
      local one, three = run(1), run(3)
      saros.threads(threads)
      assert_same_bits(one, three)
    end)

    it("walks backwards, masked and started again, in blocks of units as in one", function()
      local steps = { reverse = true, mask = random(5, T, B):gt(-1), reset = random(6, T, B):lt(-1),
        zoneout_h = saros.generator(7):uniform { T, B, H } }
      local whole = core.recurrent(name, x, { first }, parameters, steps)
      local state, mask, keep = first, steps.mask, core.keep(steps.reset, steps.mask, true)
      for t = T, 1, -1 do
        local before = state * keep[t]:reshape(B, 1)
        local h = core.recurrent(name, x:slice(1, t, t), { before }, parameters)[1]
        local w = mask[t]:reshape(B, 1) * steps.zoneout_h[t]
        state = h * w + before * (1 - w)
        assert.same_values(state * mask[t]:reshape(B, 1), whole[t], is_double and 1e-12 or 1e-4)
      end
    end)
  end)
end

describe("the walk in the order of time", function()
  -- The scan of the paper: log h(t) from sums of log a and of log (b / a).
  local function softplus(v)
    return math.max(v, 0) + math.log(1 + math.exp(-math.abs(v)))
  end

  local function log_add(a, b)
    local most = math.max(a, b)
    return most + math.log(math.exp(a - most) + math.exp(b - most))
  end

  local function log_candidate(n)
    return n >= 0 and math.log(n + 0.5) or -softplus(-n)
  end

  -- log a and log b of one unit from its gates.
  local logs = {
    mingru_positive = function(z, n)
      return -softplus(z), -softplus(-z) + log_candidate(n)
    end,
    minlstm_positive = function(i, f, n)
      local odds = softplus(-f) - softplus(-i)
      return -softplus(odds), -softplus(-odds) + log_candidate(n)
    end,
  }

  for name, of_gates in pairs(logs) do
    it("comes to what the sum in log space does: " .. name, function()
      local T, G = 60, cells[name].gates
      local x = random(8, T, 1, G) * 3
      local first, gates = saros.full({ 1, 1 }, 0.25), x:totable()
      local y = core.recurrent(name, x, { first }, {}):reshape(-1):totable()
      local sum_a, sum_b = 0, math.log(0.25)
      for t = 1, T do
        local log_a, log_b = of_gates(table.unpack(gates[t][1]))
        sum_a = sum_a + log_a
        sum_b = log_add(sum_b, log_b - sum_a)
        local expected = math.exp(sum_a + sum_b)
        assert.is_true(math.abs(y[t] - expected) <= (is_double and 1e-12 or 2e-6) * expected)
      end
    end)
  end
end)

describe("a layer of a linear cell", function()
  local function refuses(message, ...)
    local arguments = table.pack(...)
    assert.error_matches(function() core.recurrent(table.unpack(arguments, 1, arguments.n)) end, message, 1, true)
  end

  it("refuses what does not fit", function()
    local x = saros.zeros(5, 2, 6)
    refuses("mingru: expected no weight_hh: h is not multiplied by weights", "mingru", x, nil,
      { weight_hh = saros.zeros(6, 3) })
    refuses("mingru: expected no bias_hh", "mingru", x, nil, { bias_hh = saros.zeros(6) })
    refuses("mingru: expected no dropout", "mingru", x, nil, {}, { dropout = saros.zeros(2, 3) })
    refuses('mingru: expected parameters named weight_ih, bias_ih, table, first_h, got "nu"', "mingru", x, nil,
      { nu = saros.zeros(1) })
    refuses('lru: expected parameters named weight_ih, bias_ih, table, nu, theta, first_h, got "wieght_ih"', "lru", x,
      nil, { wieght_ih = saros.zeros(6, 6) })
    refuses("gru_before: expected no norm_gain: its projection is made in two parts; use gru", "gru_before", x, nil,
      { norm_gain = saros.zeros(6) })
    refuses("minlstm: expected x with a multiple of 3 as its last size, got shape (5, 2, 5)", "minlstm",
      saros.zeros(5, 2, 5), nil, {})
    refuses("mingru: expected weight_ih with a multiple of 2 as its first size, got shape (5, 6)", "mingru", x, nil,
      { weight_ih = saros.zeros(5, 6) })
    refuses("mingru: expected x of shape (T, B, 4) with T >= 1, got (5, 2, 6)", "mingru", x, nil,
      { weight_ih = saros.zeros(8, 4) })
    refuses("lru: expected a tensor nu", "lru", x, nil, { theta = saros.zeros(3) })
    refuses("lru: expected nu of shape (3), got (2)", "lru", x, nil, { nu = saros.zeros(2), theta = saros.zeros(3) })
    refuses("lru: expected x with a multiple of 2 as its last size, got shape (5, 2, 3)", "lru",
      saros.zeros(5, 2, 3), nil, { nu = saros.zeros(1), theta = saros.zeros(1) })
    refuses("mingru: expected the state h of shape (2, 3), got (2, 4)", "mingru", x, { saros.zeros(2, 4) }, {})
  end)

  it("runs over no rows and no units at all", function()
    assert.same({ 5, 0, 3 }, core.recurrent("mingru", saros.zeros(5, 0, 6), nil, {}):shape())
    assert.same({ 5, 2, 0 }, core.recurrent("mingru", saros.zeros(5, 2, 0), nil, {}):shape())
    local none = { weight_ih = saros.zeros(0, 3), weight_hh = saros.zeros(0, 0) }
    assert.same({ 5, 2, 0 }, core.recurrent("elman_tanh", saros.zeros(5, 2, 3), nil, none):shape())
  end)
end)
