-- nn.delta: layers of matrices that are written by the delta rule.

require "spec.support.gradients"
require "spec.support.values"
local files = require "spec.support.files"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local is_double = saros.info().real == "double"
local ROUNDING = is_double and 1e-11 or 2e-4

local T, B, I, H = 7, 3, 5, 6

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- --- By a loop over rows and steps ------------------------------------------------------------

local function normed(x, gain, epsilon)
  return x / ((x * x):mean() + epsilon):sqrt() * gain
end

local function unit(x)
  return x / ((x * x):sum() + 1e-6):sqrt()
end

-- Features from (block - 1) * size + 1 on.
local function run_of(x, block, size)
  return x:slice(1, (block - 1) * size + 1, block * size)
end

local function as_it_is(x)
  return x
end

-- activation(convolution(W x)) of the last step of a list of inputs.
local function mixed(o, p, name, inputs)
  local taps, y = p["taps_" .. name], 0
  local activation = o.qkv_activation == "silu" and saros.silu or as_it_is
  local function raw(x)
    return p["weight_" .. name]:matmul(x)
  end
  if not taps then
    return activation(raw(inputs[#inputs]))
  end
  local k = taps:size(2)
  for j = 1, k do
    local x = inputs[#inputs - k + j]
    y = x and y + taps:select(2, j) * raw(x) or y
  end
  return activation(y)
end

-- a, (H K).
local function kept(o, p, x)
  if o.gate == "none" then
    return saros.ones(o.heads * o.key_size)
  end
  local sums = p.weight_gates:matmul(x)
  sums = sums:slice(1, o.reflections * o.heads * (o.erase == "separate" and 2 or 1) + 1)
  if o.gate == "channel" then
    sums = p.weight_decay:matmul(sums)
  end
  local rate = saros.softplus(sums + p.bias_decay)
  local function wide(y)
    return (y:reshape(-1, 1) * saros.ones(1, o.key_size)):reshape(-1)
  end
  rate = o.gate == "head" and wide(rate) or rate
  return (-rate * wide(p.rate_log:exp())):exp()
end

-- One step of a row whose inputs so far, since it began, are these; changes the matrices.
local function step(o, p, inputs, matrices)
  local x, n, K, V = inputs[#inputs], o.reflections, o.key_size, o.value_size
  local q, k, v = mixed(o, p, "q", inputs), mixed(o, p, "k", inputs), mixed(o, p, "v", inputs)
  local gates, a, read = saros.sigmoid(p.weight_gates:matmul(x)), kept(o, p, x), {}
  for h = 1, o.heads do
    local M = matrices[h] * run_of(a, h, K):reshape(K, 1)
    for j = 1, n do
      local block = (j - 1) * o.heads + h
      local key, value = unit(run_of(k, block, K)), run_of(v, block, V)
      local write, erase = gates:slice(1, block, block), 0
      if o.erase == "write" then
        write = o.reflect and write * 2 or write
        erase = write
      elseif o.erase == "separate" then
        erase = gates:slice(1, n * o.heads + block, n * o.heads + block) * (o.reflect and 2 or 1)
      end
      local u = value * write - key:matmul(M) * erase
      M = M + key:reshape(K, 1) * u:reshape(1, V)
    end
    matrices[h] = M
    local found = (unit(run_of(q, h, K)) * K ^ -0.5):matmul(M)
    read[h] = p.norm_out and normed(found, p.norm_out, 1e-5) or found
  end
  local y = saros.concatenate(read, 1)
  if p.weight_g then
    y = y * saros.silu(p.weight_g:matmul(x))
  end
  return p.weight_o:matmul(y)
end

-- A layer's y (T, B, O) and last matrices (B, H K V); keep (T, B) is 0 where rows start again.
local function twin(net, position, x, mask, keep, reverse)
  local o, p, initial = net.o, net.layers[position], net.directions[position].initial
  local size, columns, last = o.key_size * o.value_size, {}, {}
  local function first()
    local matrices = {}
    for h = 1, o.heads do
      local flat = initial and run_of(initial[1], h, size) or saros.zeros(size)
      matrices[h] = flat:reshape(o.key_size, o.value_size)
    end
    return matrices
  end
  for row = 1, x:size(2) do
    local inputs, matrices, ys = {}, first(), {}
    for n = 1, #x do
      local t = reverse and #x + 1 - n or n
      if mask and mask[t][row] == 0 then
        ys[t] = saros.zeros(o.hidden)
      else
        if keep and keep[t][row] == 0 then
          inputs, matrices = {}, first()
        end
        local input = x[t][row]
        inputs[#inputs + 1] = p.norm_in and normed(input, p.norm_in, 1e-5) or input
        ys[t] = step(o, p, inputs, matrices)
      end
    end
    columns[row] = saros.stack(ys)
    for h, M in ipairs(matrices) do
      matrices[h] = M:reshape(-1)
    end
    last[row] = saros.concatenate(matrices, 1)
  end
  return saros.stack(columns, 2), saros.stack(last)
end

-- --- Every option -------------------------------------------------------------------------------

local KINDS = {
  {}, { gate = "none" }, { gate = "channel" }, { gate = "channel", convolution = 0 }, { erase = "separate" },
  { erase = "separate", reflect = true, gate = "none" }, { erase = "none" }, { reflect = true },
  { reflections = 2 }, { reflections = 3, erase = "separate", gate = "channel", reflect = true },
  { convolution = 2 }, { convolution = 0 }, { output_gate = false }, { pre_norm = true }, { heads = 1 },
  { heads = 2, key_size = 3, value_size = 5 }, { heads = 4, key_size = 2, value_size = 3, reflections = 2 },
  { remember = 9 }, { gate = "channel", remember = 9 }, { heads = 6 }, { output_norm = false },
  { qkv_activation = "none" }, { qkv_activation = "none", convolution = 0, output_norm = false, output_gate = false },
}

local function title(kind)
  local parts = {}
  for name, value in pairs(kind) do
    parts[#parts + 1] = name .. " = " .. tostring(value)
  end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function build(kind, more)
  local o = { input = I, hidden = H }
  for _, list in ipairs { kind, more or {} } do
    for name, value in pairs(list) do
      o[name] = value
    end
  end
  local net = nn.delta(o):init { seed = 3 }
  for name, tensor in pairs(net:tensors()) do
    if name:find "norm_" or name:find "initial" then
      tensor:assign(tensor + random(#name, table.unpack(tensor:shape())) * 0.3)
    end
  end
  return net
end

local MASK = { { 1, 1, 1 }, { 1, 1, 0 }, { 0, 1, 1 }, { 1, 1, 1 }, { 1, 1, 0 }, { 1, 0, 1 }, { 0, 0, 1 } }
local RESET = { { 0, 0, 1 }, { 0, 0, 0 }, { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 }, { 0, 1, 0 }, { 0, 0, 0 } }

describe("a delta layer", function()
  for _, kind in ipairs(KINDS) do
    it("is what a loop over rows and steps computes: " .. title(kind), function()
      local net, x = build(kind), random(1, T, B, I)
      local y, state = net(x)
      local expected, matrix = twin(net, 1, x)
      assert.same_values(expected, y, ROUNDING)
      assert.same_values(matrix, state[1][1], ROUNDING)
    end)
  end

  it("reads masks, resets, both ways, from a learned first matrix", function()
    for _, kind in ipairs { {}, { gate = "channel", reflections = 2, pre_norm = true } } do
      for _, more in ipairs { {}, { learn_state = true } } do
        local net, x = build(kind, more), random(1, T, B, I)
        more.bidirectional = true
        local both = build(kind, more)
        local mask, reset = saros.tensor(MASK), saros.tensor(RESET)
        for _, given in ipairs { { mask = mask }, { reset = reset }, { mask = mask, reset = reset } } do
          local function keep(reverse)
            return given.reset and core.keep(given.reset, given.mask, reverse)
          end
          local y, state = net(x, nil, given)
          local expected, matrix = twin(net, 1, x, given.mask, keep(false))
          assert.same_values(expected, y, ROUNDING)
          assert.same_values(matrix, state[1][1], ROUNDING)
          y, state = both(x, nil, given)
          local ahead = twin(both, 1, x, given.mask, keep(false))
          local back, of_back = twin(both, 2, x, given.mask, keep(true), true)
          assert.same_values(ahead .. back, y, ROUNDING)
          assert.same_values(of_back, state[2][1], ROUNDING)
        end
      end
    end
  end)

  it("gives the same in windows of any size as at once, both ways", function()
    local kinds = { {}, { gate = "channel" }, { reflections = 2, convolution = 3 }, { convolution = 0 },
      { qkv_activation = "none" }, { qkv_activation = "none", convolution = 0, output_norm = false } }
    for _, kind in ipairs(kinds) do
      local net, x = build(kind, { layers = 2 }), random(1, 11, B, I)
      local whole, last = net(x)
      for _, length in ipairs { 1, 2, 5 } do
        local parts, state = {}, nil
        for first = 1, 11, length do
          parts[#parts + 1], state = net(x:slice(1, first, math.min(first + length - 1, 11)), state)
        end
        assert.same_values(whole, saros.concatenate(parts, 1), ROUNDING)
        for layer = 1, 2 do
          for n, tensor in ipairs(last[layer]) do
            assert.same_values(tensor, state[layer][n], ROUNDING)
          end
        end
      end
    end
  end)

  it("reads nothing behind the ends of rows, nor the gradient there", function()
    local net, x = build({ pre_norm = true }, { layers = 2, bidirectional = true }), random(1, T, B, I)
    local lengths = { T, 3, 0 }
    x[5][2]:fill(0 / 0)
    x[1][3]:fill(0 / 0)
    local tape <close> = core.tape()
    local y = net(x, nil, { lengths = lengths })
    assert.is_true(y:all_finite())
    assert.equal(0, y:slice(1, 4):select(2, 2):abs():max():item())
    tape:backward((y * y):sum())
    for _, tensor in ipairs(net:parameters()) do
      assert.is_true(tensor:gradient():all_finite())
    end
  end)

  it("has the gradients that finite differences predict", function()
    local kinds = { -- of long keys, whose lengths are not near 0
      { heads = 1 }, { heads = 2, key_size = 5, value_size = 2, gate = "channel", reflections = 2, reflect = true },
      { heads = 1, erase = "separate", pre_norm = true, gate = "none" },
      { heads = 1, convolution = 0, output_gate = false, erase = "none" },
      { heads = 1, qkv_activation = "none", convolution = 0, output_norm = false, reflect = true, reflections = 2 },
      { heads = 1, qkv_activation = "none", convolution = 3 },
    }
    for _, kind in ipairs(is_double and kinds or {}) do -- lengths bend too much for differences of floats
      local net, x = build(kind, { learn_state = true }), random(1, 4, 2, I)
      local inputs = net:tensors()
      inputs.x = x
      assert.gradients_match(function()
        local y, state = net(inputs.x)
        return (y * random(2, 4, 2, H)):sum() + (state[1][1] * random(3, table.unpack(state[1][1]:shape()))):sum()
      end, inputs)
    end
  end)

  it("reads ids of a table as the vectors there", function()
    local table_of = nn.embedding { 4, I }:init { seed = 1 }
    local ids = saros.ids { { 1, 2, 3 }, { 4, 1, 1 }, { 2, 2, 4 }, { 3, 1, 2 }, { 1, 4, 3 }, { 2, 3, 3 }, { 4, 4, 1 } }
    for _, kind in ipairs { {}, { pre_norm = true, gate = "channel" } } do
      for _, more in ipairs { { layers = 2 }, { bidirectional = true } } do
        local net = build(kind, more)
        local expected = net(table_of(ids), nil, { lengths = { T, 4, 2 } })
        assert.same_values(expected, (net(ids, nil, { lengths = { T, 4, 2 } }, table_of)), ROUNDING)
        assert.same_values((net(table_of(ids))), (net(ids, nil, nil, table_of)), ROUNDING)
      end
    end
  end)

  it("tells its gates", function()
    local net, x = build { erase = "separate", gate = "channel" }, random(1, T, B, I)
    local y, _, layers = net(x, nil, { layers = "all", mask = saros.tensor(MASK) })
    assert.same_values(y, layers[1].y, 0)
    local gates = layers[1].gates
    assert.same({ T, B, 3 }, gates.write:shape())
    assert.same({ T, B, 3 }, gates.erase:shape())
    assert.same({ T, B, 6 }, gates.decay:shape())
    assert.equal(0, gates.decay[3][1]:max():item())
    assert.is_true(gates.decay:max():item() <= 1 and gates.write:min():item() >= 0)
  end)

  it("starts to keep values for up to `remember` steps", function()
    for _, gate in ipairs { "head", "channel" } do
      local net = nn.delta({ 4, 64, heads = 16, gate = gate, remember = 50 }):init { seed = 1 }
      local p = net.layers[1]
      local steps = 1 / (saros.softplus(p.bias_decay) * p.rate_log:exp():max():item())
      assert.is_true(steps:min():item() >= 0.99 and steps:max():item() <= 49.1 and steps:max():item() > 25)
    end
  end)

  it("refuses options that make no sense together", function()
    local function fails(o, message)
      o.input, o.hidden = 4, 6
      assert.error_matches(function() nn.delta(o) end, message, 1, true)
    end
    fails({ heads = 4 }, "nn.delta: expected heads that divide hidden = 6, or key_size and value_size, got 4")
    fails({ convolution = 1 }, "nn.delta: expected convolution = 0 or at least 2 steps, got 1")
    fails({ reflect = true, erase = "none" }, 'nn.delta: expected reflect = false with erase = "none", got true')
    fails({ remember = 9, gate = "none" }, 'nn.delta: expected gate = "head" or "channel" with remember')
    fails({ layer_norm = true }, "nn.delta: expected no layer_norm, which this cell does not have")
    fails({ zoneout = 0.1 }, "nn.delta: expected no zoneout")
    fails({ gate = "heads" }, "expected option 'gate'")
    fails({ qkv_activation = "relu" }, [[expected option 'qkv_activation' to be "silu" or "none", got "relu"]])
    local net = build {}
    assert.error_matches(function() net(saros.zeros(2, 1, 3)) end, "delta: expected x of shape (T, B, 5)", 1, true)
    assert.error_matches(function() net(saros.zeros(2, 1, I), { { saros.zeros(1, 3) } }) end,
      "delta: expected a state { {matrix, queries, keys, values} }", 1, true)
  end)
end)

describe("the norm with a gate", function()
  it("is the norm of each group of features, times a function of the gate", function()
    local x, gate, gain = random(40, 2, 3, 6), random(41, 2, 3, 6), saros.tensor { 2, -1, 3 }
    for _, activation in ipairs { "silu", "sigmoid" } do
      local heads = x:reshape(-1, 3):rms_norm(gain, 0.5):reshape(2, 3, 6)
      assert.same_values(heads * core[activation](gate), core.gated_rms_norm(x, gate, gain, 0.5, activation), ROUNDING)
    end
    assert.error_matches(function() return core.gated_rms_norm(x, gate, gain, 0.5, "tanh") end,
      'expected "silu" or "sigmoid"', 1, true)
  end)
end)

describe("models of delta layers", function()
  local TEXT = saros.data.text({ string = ("abcab cabba "):rep(40) }, { valid = 0 })

  local function model(more)
    local o = { vocabulary = TEXT.vocabulary, cell = "delta", hidden = 16, heads = 2, layers = 1, seed = 2 }
    for name, value in pairs(more or {}) do
      o[name] = value
    end
    return nn.language_model(o)
  end

  it("learn a text, as a stack of residual blocks too", function()
    for _, more in ipairs { {}, { layers = 2, residual = true, gate = "channel" }, { reflections = 2 } } do
      local lm = model(more)
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

  it("are the same from a file, and step in a session", function()
    local lm = model { layers = 2, residual = true, learn_state = true }
    local ids = saros.ids { { 1, 2 }, { 3, 4 }, { 1, 3 } }
    files.with_path(function(path)
      assert(lm:save(path))
      local copy = assert(saros.load(path))
      assert.same_values((lm(ids)), (copy(ids)), 0)
    end)
    local session, logits = lm:session { streams = 2 }, lm(ids)
    for t = 1, 3 do
      assert.same_values(logits[t], session:step(ids[t]), ROUNDING)
    end
  end)

  it("classify by the output at the end of each row", function()
    for _, bidirectional in ipairs { false, true } do
      local classifier = nn.classifier { vocabulary = TEXT.vocabulary, labels = { "x", "y" },
        cell = "delta", hidden = 8, bidirectional = bidirectional }
      local ids = saros.ids { { 1, 2, 3 }, { 2, 1, 1 }, { 3, 3, 1 } }
      local logits = classifier(ids, { 3, 1, 2 })
      for row, length in ipairs { 3, 1, 2 } do
        local alone = classifier(ids:slice(2, row, row):slice(1, 1, length):contiguous())
        assert.same_values(alone[1], logits[row], ROUNDING)
      end
    end
  end)
end)
