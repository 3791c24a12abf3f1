-- nn.mlstm: the paper's formulas, without a stabiliser, and what they overflow at. That its
-- layers keep what all recurrent layers promise, in all uses, is in the specs that walk all cells.

local gradients = require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local is_double = gradients.is_double
local TOLERANCE = is_double and 1e-12 or 5e-5

local T, B, I, H = 9, 3, 5, 6

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- --- The paper's loop over rows and steps -----------------------------------------------------

local function normed(x, gain)
  return x / ((x * x):mean() + 1e-5):sqrt() * gain
end

-- Features of a head.
local function of_head(x, head, size)
  return x:slice(1, (head - 1) * size + 1, head * size)
end

-- q or k of the last step of a list of inputs.
local function mixed(p, name, inputs)
  local taps, weight, y = p["taps_" .. name], p["weight_" .. name], 0
  if not taps then
    return weight:matmul(inputs[#inputs])
  end
  local k = taps:size(2)
  for j = 1, k do
    local x = inputs[#inputs - k + j]
    y = x and y + taps:select(2, j) * weight:matmul(x) or y
  end
  return saros.silu(y)
end

-- One step of a row whose inputs since it began are these; changes C and n (K) and the sums of
-- weights of all heads.
local function step(o, p, inputs, C, n, weights)
  local x, K, V, h, shares = inputs[#inputs], o.key_size, o.value_size, {}, {}
  local q, k, v = mixed(p, "q", inputs), mixed(p, "k", inputs) * K ^ -0.5, p.weight_v:matmul(x)
  local a = (p.weight_gates:matmul(x) + p.bias_gates):totable()
  for head = 1, o.heads do
    local i, f = math.exp(a[head]), 1 / (1 + math.exp(-a[o.heads + head]))
    local key, query = of_head(k, head, K), of_head(q, head, K)
    C[head] = C[head] * f + key:reshape(K, 1) * of_head(v, head, V):reshape(1, V) * i
    n[head] = n[head] * f + key * i
    weights[head] = weights[head] * f + i
    shares[head] = i / weights[head]
    h[head] = query:matmul(C[head]) / math.max(math.abs((query * n[head]):sum():item()), 1)
    h[head] = p.norm_out and normed(h[head], p.norm_out) or h[head]
  end
  local y = saros.concatenate(h, 1)
  return p.weight_o:matmul(p.weight_g and y * saros.sigmoid(p.weight_g:matmul(x)) or y), shares
end

-- Where rows begin: C, n and the sum of weights of each head.
local function first_of(o, initial)
  local C, n, weights, K, V = {}, {}, {}, o.key_size, o.value_size
  for head = 1, o.heads do
    local whole = initial and of_head(initial[1], head, K * (V + 1)) or saros.zeros(K * (V + 1))
    whole = whole:reshape(K, V + 1)
    C[head], n[head], weights[head] = whole:slice(2, 1, V), whole:select(2, V + 1), initial and 1 or 0
  end
  return C, n, weights
end

-- The state of a row: C and n side by side over the sum of weights, (H K (V + 1)), and its logarithm.
local function state_of(o, C, n, weights)
  local whole = {}
  for head = 1, o.heads do
    local W = (C[head] .. n[head]:reshape(-1, 1)) / math.max(weights[head], 1e-300)
    whole[head] = W:reshape(-1)
  end
  return saros.concatenate(whole, 1), saros.tensor(weights):log()
end

-- A row (T, I) of a layer: y, the shares of all steps and the last state.
local function twin_row(net, position, x, mask, keep, reverse)
  local o, p, initial = net.o, net.layers[position], net.directions[position].initial
  local inputs, C, n, weights = {}, first_of(o, initial)
  local ys, shares = {}, {}
  for at = 1, #x do
    local t = reverse and #x + 1 - at or at
    if mask and mask[t] == 0 then
      ys[t], shares[t] = saros.zeros(o.hidden), {}
      for head = 1, o.heads do
        shares[t][head] = 0
      end
    else
      if keep and keep[t] == 0 then
        inputs, C, n, weights = {}, first_of(o, initial)
      end
      inputs[#inputs + 1] = p.norm_in and normed(x[t], p.norm_in) or x[t]
      ys[t], shares[t] = step(o, p, inputs, C, n, weights)
    end
  end
  return saros.stack(ys), saros.tensor(shares), state_of(o, C, n, weights)
end

-- The same of all rows.
local function twin(net, position, x, mask, keep, reverse)
  local lists = { {}, {}, {}, {} }
  for row = 1, x:size(2) do
    local function column(of)
      return of and of:select(2, row):totable()
    end
    local results = { twin_row(net, position, x:select(2, row), column(mask), column(keep), reverse) }
    for n, result in ipairs(results) do
      lists[n][row] = result
    end
  end
  return saros.stack(lists[1], 2), saros.stack(lists[2], 2), saros.stack(lists[3]), saros.stack(lists[4])
end

-- --- Every option -------------------------------------------------------------------------------

local PLAIN = { convolution = 0, output_norm = false, output_gate = false }

local KINDS = {
  {}, PLAIN, { convolution = 0, output_norm = false }, { convolution = 0 }, { output_norm = false }, { heads = 1 },
  { heads = 6 }, { heads = 2, key_size = 4, value_size = 5 }, { convolution = 2 }, { output_gate = false },
  { pre_norm = true }, { remember = 9 },
}

local function title(kind)
  local parts = {}
  for name, value in pairs(kind) do
    parts[#parts + 1] = name .. " = " .. tostring(value)
  end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

-- A layer whose gates and scores are as large as 1, so that either divisor counts.
local function build(kind, more)
  local o = { input = I, hidden = H }
  for _, list in ipairs { kind, more or {} } do
    for name, value in pairs(list) do
      o[name] = value
    end
  end
  local net = nn.mlstm(o):init { seed = 3 }
  for name, tensor in pairs(net:tensors()) do
    local size = name:find "weight_[qkg]" and 1.5 or name:find "bias" and 2 or 0.3
    tensor:assign(tensor + random(#name, table.unpack(tensor:shape())) * size)
  end
  return net
end

local MASK = { { 1, 1, 1 }, { 1, 1, 0 }, { 0, 1, 1 }, { 1, 1, 1 }, { 1, 1, 0 }, { 1, 0, 1 }, { 0, 0, 1 }, { 1, 1, 1 },
  { 1, 0, 1 } }
local RESET = { { 0, 0, 1 }, { 0, 0, 0 }, { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 }, { 0, 1, 0 }, { 0, 0, 0 }, { 0, 0, 0 },
  { 1, 0, 0 } }

describe("an mLSTM layer", function()
  for _, kind in ipairs(KINDS) do
    it("is what the paper's formulas say, without a stabiliser: " .. title(kind), function()
      local net, x = build(kind), random(1, T, B, I)
      local y, state, layers = net(x, nil, { layers = "all" })
      local expected, shares, matrix, m = twin(net, 1, x)
      assert.same_values(expected, y, TOLERANCE)
      assert.same_values(shares, layers[1].gates.input, TOLERANCE)
      assert.same_values(matrix, state[1][1], TOLERANCE)
      assert.same_values(m, state[1][2], TOLERANCE)
    end)
  end

  it("divides by 1 at some steps and by |n . q| at others", function()
    local net, x = build(PLAIN), random(1, T, B, I)
    local with = net(x)
    net:tensors().bias_gates_l0:slice(1, 1, net.o.heads):add_scaled(-3, saros.ones(net.o.heads))
    local ratio = (net(x) / with):reshape(-1)
    assert.is_true(ratio:max():item() - ratio:min():item() > 0.1)
  end)

  it("reads masks, resets, both ways, from a learned first matrix", function()
    for _, kind in ipairs { {}, PLAIN, { pre_norm = true, convolution = 2 } } do
      for _, more in ipairs { {}, { learn_state = true } } do
        more.bidirectional = true
        local net, x = build(kind, more), random(1, T, B, I)
        local mask, reset = saros.tensor(MASK), saros.tensor(RESET)
        for _, given in ipairs { { mask = mask }, { reset = reset }, { mask = mask, reset = reset } } do
          local function keep(reverse)
            return given.reset and core.keep(given.reset, given.mask, reverse)
          end
          local y, state = net(x, nil, given)
          local ahead, _, matrix, m = twin(net, 1, x, given.mask, keep(false))
          local back, _, of_back, m_back = twin(net, 2, x, given.mask, keep(true), true)
          assert.same_values(ahead .. back, y, TOLERANCE)
          assert.same_values(matrix, state[1][1], TOLERANCE)
          assert.same_values(m, state[1][2], TOLERANCE)
          assert.same_values(of_back, state[2][1], TOLERANCE)
          assert.same_values(m_back, state[2][2], TOLERANCE)
        end
      end
    end
  end)

  it("gives the same in windows of any size as at once", function()
    for _, kind in ipairs { {}, PLAIN } do
      local net, x = build(kind, { layers = 2, learn_state = kind == PLAIN }), random(1, 11, B, I)
      local whole, last = net(x)
      for _, length in ipairs { 1, 2, 5 } do
        local parts, state = {}, nil
        for first = 1, 11, length do
          parts[#parts + 1], state = net(x:slice(1, first, math.min(first + length - 1, 11)), state)
        end
        -- Values up to 88, which are quotients by small n . q.
        assert.same_values(whole, saros.concatenate(parts, 1), 50 * TOLERANCE)
        for n, tensor in ipairs(last[2]) do
          assert.same_values(tensor, state[2][n], 10 * TOLERANCE)
        end
      end
    end
  end)

  it("reads nothing behind the ends of rows, nor the gradient there", function()
    local net, x = build({ pre_norm = true }, { layers = 2, bidirectional = true }), random(1, T, B, I)
    x[5][2]:fill(0 / 0)
    x[1][3]:fill(0 / 0)
    local tape <close> = core.tape()
    local y = net(x, nil, { lengths = { T, 3, 0 } })
    assert.is_true(y:all_finite())
    assert.equal(0, y:slice(1, 4):select(2, 2):abs():max():item())
    tape:backward((y * y):sum())
    for _, tensor in ipairs(net:parameters()) do
      assert.is_true(tensor:gradient():all_finite())
    end
  end)

  it("has the gradients that finite differences predict", function()
    for _, kind in ipairs { {}, PLAIN, { pre_norm = true, heads = 2, key_size = 4, value_size = 2 } } do
      local net, x = build(kind, { learn_state = true }), random(1, 4, 2, I)
      local inputs = net:tensors()
      inputs.x = x
      if is_double then -- float is too coarse beside the corners of |n . q| and max
        assert.gradients_match(function()
          local y, state = net(inputs.x)
          local loss = (y * random(2, 4, 2, H)):sum()
          for n = 1, 2 do
            loss = loss + (state[1][n] * random(n + 2, table.unpack(state[1][n]:shape()))):sum()
          end
          return loss
        end, inputs, { epsilon = 1e-6 }) -- it bends at small h and scores
      end
    end
  end)

  it("reads ids of a table as the vectors there", function()
    local table_of = nn.embedding { 4, I }:init { seed = 1 }
    local ids = saros.ids { { 1, 2, 3 }, { 4, 1, 1 }, { 2, 2, 4 }, { 3, 1, 2 }, { 1, 4, 3 }, { 2, 3, 3 }, { 4, 4, 1 } }
    for _, kind in ipairs { {}, { pre_norm = true } } do
      local net = build(kind, { layers = 2 })
      assert.same_values((net(table_of(ids))), (net(ids, nil, nil, table_of)), TOLERANCE)
    end
  end)

  it("starts to keep values for up to `remember` steps, or as the released code", function()
    local function bias(o)
      return nn.mlstm(o):init({ seed = 1 }):tensors().bias_gates_l0
    end
    local steps = bias({ 4, 64, heads = 16, remember = 50 }):slice(1, 17, 32):exp() + 1
    assert.is_true(steps:min():item() >= 2 and steps:max():item() <= 50.1 and steps:max():item() > 25)
    assert.same_values(saros.tensor { 0, 0, 0, 0, 3, 4, 5, 6 }, bias { 4, 8, heads = 4 }, 1e-6)
    assert.same_values(saros.tensor { 0, 3 }, bias { 4, 8, heads = 1 }, 1e-6)
  end)

  it("refuses options that make no sense", function()
    local function fails(o, message)
      o.input, o.hidden = 4, 6
      assert.error_matches(function() nn.mlstm(o) end, message, 1, true)
    end
    fails({ heads = 4 }, "nn.mlstm: expected heads that divide hidden = 6, or key_size and value_size, got 4")
    fails({ convolution = 1 }, "nn.mlstm: expected convolution = 0 or at least 2 steps, got 1")
    fails({ layer_norm = true }, "nn.mlstm: expected no layer_norm, which this cell does not have")
    fails({ zoneout = 0.1 }, "nn.mlstm: expected no zoneout")
    fails({ erase = "none" }, "nn.mlstm: unknown option")
    local net = build {}
    assert.error_matches(function() net(saros.zeros(2, 1, 3)) end, "mlstm: expected x of shape (T, B, 5)", 1, true)
    assert.error_matches(function() net(saros.zeros(2, 1, I), { { saros.zeros(1, 3) } }) end,
      "mlstm: expected a state { {matrix, m, queries, keys} }", 1, true)
  end)
end)

-- --- Where the formulas overflow ------------------------------------------------------------------

local function all_finite(net, x)
  local tape <close> = core.tape()
  local y, state = net(x)
  tape:backward((y * y):sum() + (state[1][1] * state[1][1]):sum())
  local finite = y:all_finite() and state[1][1]:all_finite() and state[1][2]:all_finite()
  for _, tensor in ipairs(net:parameters()) do
    finite = finite and tensor:gradient():all_finite()
    tensor:clear_gradient()
  end
  return finite
end

describe("gates of an mLSTM layer", function()
  local SIZES = { -1e30, -1e4, -100, 0, 100, 1e4, 1e30 }

  it("may be of any size: outputs, states and gradients are finite", function()
    for _, kind in ipairs { {}, PLAIN, { learn_state = true } } do
      local net, x = build(kind), random(1, T, B, I)
      local bias, heads = net:tensors().bias_gates_l0, net.o.heads
      for _, input in ipairs(SIZES) do
        for _, forget in ipairs(SIZES) do
          bias:slice(1, 1, heads):fill(input)
          bias:slice(1, heads + 1, 2 * heads):fill(forget)
          assert.is_true(all_finite(net, x), ("not finite at %g, %g"):format(input, forget))
          assert.is_true(all_finite(net, x * 0), ("not finite at %g, %g of zeros"):format(input, forget))
        end
      end
    end
  end)

  it("may jump by 1e4 from step to step", function()
    for seed = 1, 20 do
      local net, x = build(seed % 2 == 0 and PLAIN or {}), random(seed, T, B, I)
      local weight = net:tensors().weight_gates_l0
      weight:assign(weight * 1e4)
      assert.is_true(all_finite(net, x))
    end
  end)

  it("of -1e30 write nothing, and lose nothing of what is there", function()
    local net, x = build(PLAIN), random(1, 4, B, I)
    local _, state = net(x)
    local tensors, heads = net:tensors(), net.o.heads
    local weight, bias = tensors.weight_gates_l0, tensors.bias_gates_l0
    weight:fill(0)
    bias:slice(1, 1, heads):fill(-1e30)
    bias:slice(1, heads + 1, 2 * heads):fill(1e4)
    local _, after = net(x, state)
    assert.same_values(state[1][1], after[1][1], 0)
    assert.same_values(state[1][2], after[1][2], 0)
  end)

  it("whose weights are in the hundreds give the ratio that the formulas have", function()
    local net, x = build(PLAIN), random(1, T, B, I)
    local bias, heads = net:tensors().bias_gates_l0, net.o.heads
    local function with(size)
      bias:slice(1, 1, heads):fill(size)
      return (net(x))
    end
    assert.same_values(with(100), with(1000), is_double and 1e-9 or 2e-2)
  end)
end)

describe("models of mLSTM layers", function()
  local TEXT = saros.data.text({ string = ("abcab cabba "):rep(40) }, { valid = 0 })

  it("learn a text, as a stack of residual blocks too", function()
    for _, more in ipairs { {}, { layers = 2, residual = true }, { convolution = 0 } } do
      local o = { vocabulary = TEXT.vocabulary, cell = "mlstm", hidden = 16, heads = 2, layers = 1, seed = 2 }
      for name, value in pairs(more) do
        o[name] = value
      end
      local lm = nn.language_model(o)
      local optimizer = saros.optim.adam(lm:parameters(), { lr = 0.01 })
      local first, loss
      for _ = 1, 6 do
        local state
        for window in TEXT:windows { batch = 2, length = 20 } do
          local tape <close> = core.tape { training = true }
          loss, state = lm:training_loss(window, state and nn.state.detach(state))
          tape:backward(loss)
          optimizer:step()
          first = first or loss:item()
        end
      end
      assert.is_true(loss:item() < 0.5 * first, ("%g after %g"):format(loss:item(), first))
    end
  end)
end)
