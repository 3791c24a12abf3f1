-- nn.slstm: the paper's formulas, and what they overflow at. That its layers keep what all
-- recurrent layers promise, in all uses, is in the specs that walk all cells.

local gradients = require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local T, B, I, H = 9, 3, 3, 6
local TOLERANCE = gradients.is_double and 1e-12 or 2e-5

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local function sigmoid(a)
  return 1 / (1 + math.exp(-a))
end

-- The pre-activation of a unit's gate (i f z o), in double.
local function sum_of(p, heads, gate, unit, x, h)
  local D = H // heads
  local row, head = (gate - 1) * H + unit, (unit - 1) // D
  local first = head * D
  local weights = p["weight_hh_" .. head + 1][(gate - 1) * D + unit - first]
  local sum = p.bias and p.bias[row] or 0
  for k = 1, I do
    sum = sum + p.weight_ih[row][k] * x[k]
  end
  for k = 1, D do
    sum = sum + weights[k] * h[first + k]
  end
  return sum
end

-- A row of x, step by step, as the paper has it, without a stabiliser: h, c / n and log n of
-- all steps.
local function walk(p, heads, forget, x)
  local h, c, n, steps = {}, {}, {}, { h = {}, c = {}, m = {} }
  for unit = 1, H do
    h[unit], c[unit], n[unit] = 0, 0, 0
  end
  for t = 1, T do
    local new, mean, weight = {}, {}, {}
    for unit = 1, H do
      local function a(gate)
        return sum_of(p, heads, gate, unit, x[t], h)
      end
      local i, f = math.exp(a(1)), forget == "sigmoid" and sigmoid(a(2)) or math.exp(a(2))
      local e = math.exp(2 * a(3))
      c[unit] = f * c[unit] + i * (e - 1) / (e + 1)
      n[unit] = f * n[unit] + i
      new[unit], mean[unit], weight[unit] = sigmoid(a(4)) * c[unit] / n[unit], c[unit] / n[unit], math.log(n[unit])
    end
    h = new
    steps.h[t], steps.c[t], steps.m[t] = new, mean, weight
  end
  return steps
end

local function tables_of(net)
  local p = {}
  for name, tensor in pairs(net:tensors()) do
    p[name:match "([%w_]+)$"] = tensor:totable()
  end
  return p
end

describe("a layer of nn.slstm", function()
  for _, o in ipairs {
    { heads = 1 }, { heads = 2 }, { heads = 3, forget = "exponential" }, { heads = 6, bias = false },
  } do
    local forget = o.forget or "sigmoid"
    it(("is what the paper's formulas say: %d heads, %s, bias %s"):format(o.heads, forget, o.bias ~= false), function()
      local net = nn.slstm({ I, H, heads = o.heads, forget = o.forget, bias = o.bias }):init { seed = 1 }
      for n, tensor in ipairs(net:parameters()) do
        tensor:assign(random(n, table.unpack(tensor:shape())))
      end
      local x = random(9, T, B, I)
      local _, last, layers = net(x, nil, { layers = "all" })
      for row = 1, B do
        local expected = walk(tables_of(net), o.heads, forget, x:select(2, row):totable())
        for name, steps in pairs(expected) do
          assert.same_values(saros.tensor(steps), layers[1].states[name]:select(2, row), TOLERANCE)
        end
        assert.same_values(saros.tensor(expected.m[T]), last[1][3]:select(1, row), TOLERANCE)
      end
    end)
  end

  it("takes all of the first candidate, however small its input gate is", function()
    for _, forget in ipairs { "sigmoid", "exponential" } do
      local net = nn.slstm({ I, H, forget = forget }):init { seed = 1 }
      local bias = net:tensors()["cell_l0.bias"]
      local x = random(1, 1, B, I)
      local expected = net(x)
      for _, size in ipairs { -1e4, 1e4 } do
        bias:slice(1, 1, 2 * H):fill(size)
        assert.same_values(expected, (net(x)), TOLERANCE)
      end
    end
  end)

  it("is finite, as its gradients are, whatever the pre-activations", function()
    local sizes = { -1e30, -1e4, 0, 1e4, 1e30 }
    for _, o in ipairs { {}, { forget = "exponential" }, { learn_state = true, forget = "exponential" } } do
      local net = nn.slstm({ I, H, layers = 2, forget = o.forget, learn_state = o.learn_state }):init { seed = 1 }
      local tensors, x = net:tensors(), random(1, T, B, I)
      for trial = 1, 60 do
        local generator = saros.generator(trial)
        for layer = 0, 1 do
          local bias = tensors[("cell_l%d.bias"):format(layer)]
          for row = 1, 4 * H do
            bias:slice(1, row, row):fill(sizes[generator:integer(trial <= 30 and 4 or #sizes)])
          end
        end
        local tape <close> = saros.tape()
        tape:watch(x)
        local y, state = net(x)
        local loss = (y * y):sum()
        for _, layer in ipairs(state) do
          loss = loss + layer[1]:sum() + layer[2]:sum() + (layer[3] * 1e-35):sum()
          assert.is_true(layer[2]:abs():max():item() <= 1)
        end
        tape:backward(loss)
        assert.is_true(y:isfinite():min():item() == 1 and x:gradient():isfinite():min():item() == 1)
        for name, tensor in pairs(tensors) do
          assert.is_true(tensor:gradient():isfinite():min():item() == 1, name)
        end
        net:clear_gradients()
        x:clear_gradient()
      end
    end
  end)

  it("goes on for ever at forget gates that keep everything", function()
    local net = nn.slstm({ I, H }):init { seed = 1 }
    net:tensors()["cell_l0.bias"]:slice(1, H + 1, 2 * H):fill(100)
    local session = net:session()
    local y
    for t = 1, 20000 do
      y = session:step { math.sin(t), 0, 1 }
    end
    assert.is_true(y:isfinite():min():item() == 1 and y:abs():max():item() < 1)
  end)

  it("reads the state of its own head alone", function()
    local net = nn.slstm({ I, H, heads = 3 }):init { seed = 1 }
    local x, state = random(1, 1, 1, I), select(2, net(random(2, 3, 1, I)))
    local expected = net(x, state)
    state[1][1] = state[1][1]:clone()
    state[1][1]:slice(2, 3, 4):fill(0.9)
    local changed = (net(x, state) - expected):abs():reshape(-1)
    assert.is_true(changed:slice(1, 3, 4):min():item() > 0)
    assert.equal(0, changed:slice(1, 1, 2):max():item() + changed:slice(1, 5, 6):max():item())
  end)

  it("has as many heads as divide it, up to four, or as it is given", function()
    for _, row in ipairs { { 8, 2 }, { 6, 2 }, { 5, 5 }, { 7, 7 }, { 12, 3 }, { 10, 5 }, { 2, 1 } } do
      local tensors = nn.slstm({ I, row[1] }):tensors()
      assert.same({ 4 * row[2], row[2] }, tensors["cell_l0.weight_hh_" .. row[1] // row[2]]:shape())
      assert.is_nil(tensors["cell_l0.weight_hh_" .. row[1] // row[2] + 1])
    end
    assert.same({ 4, 1 }, nn.slstm({ I, 6, heads = 6 }):tensors()["cell_l0.weight_hh_6"]:shape())
  end)

  it("starts with forget gates that keep for as long as it is told to", function()
    local function kept(o)
      o.input, o.hidden, o.remember = I, 2000, 50
      local bias = nn.slstm(o):init({ seed = 1 }):tensors()["cell_l0.bias"]:slice(1, 2001, 4000)
      local f = o.forget == "exponential" and bias:exp() or bias:sigmoid()
      return 1 / (1 - f) -- steps: 2 to 50
    end
    for _, forget in ipairs { "sigmoid", "exponential" } do
      local steps = kept { forget = forget }
      assert.is_true(steps:min():item() >= 2 - 1e-3 and steps:max():item() <= 50 + 1e-2)
      assert.is_true(math.abs(steps:mean():item() - 26) < 1)
    end
    local bias = nn.slstm({ I, H, forget_bias = 3 }):init({ seed = 1 }):tensors()["cell_l0.bias"]
    assert.same({ 3, 3, 3, 3, 3, 3 }, bias:slice(1, H + 1, 2 * H):totable())
  end)

  it("starts with orthogonal blocks where it is told to", function()
    local net = nn.slstm({ I, H, heads = 2 }):init { seed = 1, weights = "orthogonal" }
    for block = 0, 7 do
      local weight = net:tensors()["cell_l0.weight_hh_" .. block // 4 + 1]
      local part = weight:slice(1, block % 4 * 3 + 1, block % 4 * 3 + 3)
      local product = part:matmul(part:transpose(1, 2)):totable()
      for a = 1, 3 do
        for b = 1, 3 do
          assert.near(a == b and 1 or 0, product[a][b], 1e-5)
        end
      end
    end
  end)

  it("is refused with options that it does not have", function()
    local function refused(o, message)
      o.input, o.hidden = I, H
      assert.error_matches(function() nn.slstm(o) end, "nn.slstm: expected " .. message, 1, true)
    end
    refused({ heads = 4 }, "heads to be a divisor of hidden, got 4 heads of 6 units")
    refused({ layer_norm = true }, "no layer_norm, which this cell does not have")
    refused({ forget = "tanh" }, [[option 'forget' to be "sigmoid" or "exponential", got "tanh"]])
    refused({ remember = 9, bias = false }, "no remember with bias = false, which leaves no biases to start")
  end)

  it("is a cell of models, sessions and files", function()
    local text = saros.data.text({ string = ("hello world. "):rep(40) }, { valid = 0 })
    local lm = nn.language_model { vocabulary = text.vocabulary, cell = "slstm", hidden = 16, heads = 2, layers = 2,
      forget = "exponential", remember = 20, seed = 1 }
    saros.fit(lm, text, { epochs = 12, batch = 4, length = 26, lr = 1e-2 })
    local path = os.tmpname()
    assert(lm:save(path))
    local loaded = assert(saros.load(path))
    os.remove(path)
    local written = lm:write { prime = "hello", length = 20, temperature = 0 }
    assert.equal(written, loaded:write { prime = "hello", length = 20, temperature = 0 })
    assert.is_truthy(written:find("world. hello", 1, true), written)
  end)
end)
