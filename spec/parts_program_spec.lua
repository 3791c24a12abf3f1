-- Modules and operations as programs: run over a sequence, they compute the same.

require "spec.support.values"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local ROUNDING = saros.info().real == "double" and 1e-12 or 1e-5

-- Of three features. Functions stand behind a layer, which says what is read.
local function of(fn)
  return nn.chain { nn.linear { 3, 3 }, fn }
end

local PARTS = {
  ["a convolution"] = nn.conv1d { 3, 4, kernel = 3, dilation = 2 },
  ["a convolution of each feature"] = nn.conv1d { 3, 3, kernel = 3, groups = 3 },
  ["a convolution of groups"] = nn.conv1d { 3, 6, kernel = 2, groups = 3 },
  ["a convolution of one step"] = nn.conv1d { 3, 4, kernel = 1 },
  ["batch norm"] = nn.batch_norm { 3 },
  ["a branch"] = nn.branch { nn.linear { 3, 4 }, nn.gru { 3, 4 }, saros.tanh },
  ["a sum of branches"] = nn.branch { nn.conv1d { 3, 4, kernel = 2 }, nn.lstm { 3, 4 }, combine = "add" },
  heads = nn.chain { nn.linear { 3, 4 }, nn.heads { a = nn.linear { 4, 2 }, b = nn.gru { 4, 3 } } },
  elu = of(function(x) return x:elu(0.3) end),
  leaky_relu = of(function(x) return x:leaky_relu(0.3) .. x:leaky_relu() end),
  functions = of(function(x)
    return x:silu() + x:gelu() * x:gelu_tanh() + x:softplus() * x:hard_sigmoid() + x:hard_tanh() * x:sin() + x:cos()
  end),
  flip = of(function(x) return x:flip(3) end),
  ["a slice by steps"] = of(function(x) return x:slice(3, 1, nil, 2) end),
  ["a slice backwards"] = of(function(x) return x:slice(3, 3, 1, -2) end),
  cumsum = of(function(x) return x:cumsum() end),
  logsumexp = of(function(x) return x .. x:logsumexp(3, true) end),
}

local REFUSED = {
  ["nn.conv1d: a stride of 2 drops steps"] = nn.conv1d { 3, 4, kernel = 3, stride = 2 },
  ["a kernel that is not causal reads ahead"] = nn.conv1d { 3, 4, kernel = 3, causal = false },
  ["got flip over time"] = of(function(x) return x:flip(1) end),
  ["got cumsum over time"] = of(function(x) return x:cumsum(1) end),
  ["got topk"] = of(function(x) return (x:topk(2)) end),
}

describe("a program of", function()
  for name, net in pairs(PARTS) do
    it(name .. " computes what the module does", function()
      net:init { seed = 1 }
      local x = saros.generator(3):normal { 5, 2, 3 }
      local outputs = core.program(net:program():encode()):run { parameters = net:tensors(), inputs = { x = x } }
      local y = net(x)
      for output, value in pairs(type(y) == "table" and y or { y = y }) do
        assert.same_values(value, outputs[output], ROUNDING)
      end
    end)
  end

  for message, net in pairs(REFUSED) do
    it("no part that is refused: " .. message, function()
      net:init { seed = 1 }
      assert.error_matches(function() net:program() end, message, 1, true)
    end)
  end
end)
