-- Layers with other activations than tanh and the sigmoid.

require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = saros.info().real == "double" and 1e-11 or 1e-5
local I, H = 3, 4

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local FUNCTIONS = {
  hard_sigmoid = saros.hard_sigmoid, relu = saros.relu, sigmoid = saros.sigmoid, tanh = saros.tanh, elu = saros.elu,
  softsign = function(x) return x / (1 + x:abs()) end,
  hard_sigmoid_keras = function(x) return saros.minimum(saros.maximum(0.2 * x + 0.5, 0), 1) end,
  identity = function(x) return x end,
}

-- One step by the textbook, from PyTorch's weights.
local STEPS = {
  rnn = function(f, _, a, b)
    return f(a + b)
  end,
  lstm = function(f, gate, a, b, _, c)
    local s = a + b
    local function part(n) return s:slice(2, (n - 1) * H + 1, n * H) end
    c = gate(part(2)) * c + gate(part(1)) * f(part(3))
    return gate(part(4)) * f(c), c
  end,
  gru = function(f, gate, a, b, h)
    local function part(x, n) return x:slice(2, (n - 1) * H + 1, n * H) end
    local r, z = gate(part(a, 1) + part(b, 1)), gate(part(a, 2) + part(b, 2))
    return (1 - z) * f(part(a, 3) + r * part(b, 3)) + z * h
  end,
}

local function naive(name, net, x, f, gate)
  local p, h, c, list = net:tensors(), saros.zeros(x:size(2), H), saros.zeros(x:size(2), H), {}
  for t = 1, #x do
    local a = x[t]:linear(p["cell_l0.weight_ih"], p["cell_l0.bias_ih"])
    local b = h:linear(p["cell_l0.weight_hh"], p["cell_l0.bias_hh"])
    h, c = STEPS[name](f, gate, a, b, h, c)
    list[t] = h
  end
  return saros.stack(list)
end

describe("activations of layers", function()
  for name in pairs(STEPS) do
    it(("are those that nn.%s is given"):format(name), function()
      for _, pair in ipairs { { "softsign", "hard_sigmoid" }, { "tanh", "hard_sigmoid_keras" },
        { "elu", "sigmoid" }, { "identity", "hard_sigmoid" }, { "hard_sigmoid", "sigmoid" } } do
        local is_fused = name == "rnn" and pair[1] == "tanh"
        local given = { I, H, activation = pair[1], gate_activation = name ~= "rnn" and pair[2] or nil }
        local net = nn[name](given):init { seed = 1 }
        assert.equal(name, net.kind)
        if not is_fused then
          local x = random(2, 6, 3, I)
          assert.same_values(naive(name, net, x, FUNCTIONS[pair[1]], FUNCTIONS[pair[2]]), (net(x)), ROUNDING)
        end
      end
    end)

    it(("give nn.%s the fused layer's values if they are its own"):format(name), function()
      local fused = nn[name] { I, H }:init { seed = 3 }
      local net = nn[name] { I, H, activation = "identity" }:init { seed = 1 }
      local x, own = random(2, 6, 3, I), net:tensors()
      for _, part in ipairs { "weight_ih", "weight_hh", "bias_ih", "bias_hh" } do
        own["cell_l0." .. part]:assign(fused:tensors()[part .. "_l0"])
      end
      assert.same_values(naive(name, net, x, saros.tanh, saros.sigmoid), (fused(x)), ROUNDING)
    end)
  end

  it("go with reset = \"before\", two layers and directions, without biases, and have gradients", function()
    local net = nn.gru { I, H, layers = 2, bidirectional = true, bias = false, reset = "before",
      activation = "softsign", gate_activation = "hard_sigmoid" }:init { seed = 1 }
    local inputs, weights = net:tensors(), random(5, 4, 2, 2 * H)
    inputs.x = random(4, 4, 2, I)
    assert.is_nil(inputs["cell_l0.bias_ih"])
    assert.gradients_match(function() return ((net(inputs.x)) * weights):sum() end, inputs)
  end)

  it("go with recurrent_dropout and zoneout, number for number", function()
    local Twin = nn.cell("twin", {}, function(p, x, h)
      return FUNCTIONS.softsign(p.ih(x) + p.hh(h))
    end)
    for _, option in ipairs { "recurrent_dropout", "zoneout" } do
      local net = nn.rnn { I, H, activation = "softsign", [option] = 0.5 }:init { seed = 1 }
      local twin = nn.recurrent { I, H, cell = Twin, [option] = 0.5 }:init { seed = 1 }
      local own, other = net:tensors(), twin:tensors()
      for _, part in ipairs { "ih", "hh" } do
        other["cell_l0." .. part .. ".weight"]:assign(own["cell_l0.weight_" .. part])
        other["cell_l0." .. part .. ".bias"]:assign(own["cell_l0.bias_" .. part])
      end
      for _, model in ipairs { net, twin } do
        for _, generator in pairs(model:generators()) do
          generator:seed(7)
        end
      end
      local x = random(2, 6, 3, I)
      local plain = net(x)
      local _ <close> = saros.tape()
      local y = net(x)
      assert.same_values((twin(x)), y, ROUNDING)
      assert.is_true((y - plain):abs():max():item() > 1e-3)
    end
  end)

  it("reach the ready models and come back from their files", function()
    local text = saros.data.text({ string = ("to be or not to be "):rep(9) }, { valid = 0 })
    local lm = nn.language_model { vocabulary = text.vocabulary, hidden = H, cell = "lstm",
      gate_activation = "hard_sigmoid" }
    local ids, path = saros.ids { { 1 }, { 2 }, { 3 } }, os.tmpname()
    assert.is_true(lm:save(path))
    assert.same_values((lm(ids)), (assert(saros.load(path))(ids)), 0)
    os.remove(path)
  end)

  it("are refused beside what their definition lacks", function()
    assert.error_matches(function() nn.lstm { I, H, activation = "relu", peepholes = true } end,
      "nn.lstm: expected no peepholes with activations other than tanh and sigmoid, got true")
    assert.error_matches(function() nn.gru { I, H, gate_activation = "relu", layer_norm = true } end,
      "nn.gru: expected no layer_norm")
    assert.error_matches(function() nn.gru { I, H, activation = "tan" } end, "nn.gru: expected option 'activation'")
  end)
end)
