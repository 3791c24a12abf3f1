-- Modules of random operations: their programs, run over whole sequences and stepped,
-- have their values and gradients.

local core = require "saros.core"
local saros = require "saros"
local narrow = require "spec.support.narrow_weights"
local traced = require "spec.support.traced"
local nn = saros.nn

local T, B = traced.T, traced.B

-- Each makes (B, 2, 4) from two values of that shape; n is 0 or 1 by chance.
local OPERATIONS = {
  function(_, a, b) return a + b end,
  function(_, a, b) return a * b * 0.5 end,
  function(_, a, b) return saros.tanh(a) - b end,
  function(_, a) return a:transpose(2, 3):reshape(-1, 2, 4) end,
  function(_, a, _, n) return saros.softmax(a, n + 2) end,
  function(_, a, b) return a:slice(3, 1, 2) .. b:slice(3, 3, 4) end,
  function(_, a, b) return saros.concatenate({ a:slice(2, 2, 2), b:slice(2, 1, 1) }, 2) end,
  function(_, a, b, n) return a * b:mean(n + 2, true) end,
  function(_, a, b) return saros.where(a:gt(b:max(3, true) * 0.5), a, b) end,
  function(self, a) return self.lin(a:reshape(-1, 8)):reshape(-1, 2, 4) end,
  function(self, a) return saros.sigmoid(core.linear(a, self.w)) end,
  function(_, a, b) return a:matmul(b:transpose()):matmul(b) * 0.1 end,
  function(_, a, _, n) return a:flip(n + 2) end,
  function(_, a, _, n) return a:cumsum(n + 2) * 0.5 end,
  function(self, a) return saros.tanh(a + self.tall:reshape(2, 1)) * self.wide end,
  function(_, a, b, n) return a - b:sum(n + 2, true) * 0.2 end,
  function(_, a, b) return a:logsumexp(3, true) + b end,
  function(_, a, b) return saros.stack({ a:select(2, 1), b:select(2, 2) }, 2) end,
  function(_, a, b) return saros.tanh(a:slice(2, 1, 1):matmul(b:transpose()):matmul(b) + a) end,
  function(_, a) return a:reshape(-1, 4, 2):slice(3, 2, 1, -1):reshape(-1, 2, 4) end,
  function(self, a) return core.layer_norm(a, self.wide, self.bias) end,
  function(_, a, b) return core.maximum(a, b * 0.3) end,
}

--- Which operations follow each other, on which values.
local function random_script(generator)
  local script = {}
  for n = 1, 3 + generator:integer(6) do
    script[n] = { OPERATIONS[generator:integer(#OPERATIONS)], generator:integer(1000), generator:integer(1000),
      generator:integer(2) - 1 }
  end
  return script
end

--- The state and y after a step.
local function step(self, script, x, state)
  local values = { x:reshape(-1, 2, 4), state, saros.sin(x):reshape(-1, 2, 4) }
  for _, line in ipairs(script) do
    local operation, a, b, n = table.unpack(line)
    values[#values + 1] = saros.tanh(operation(self, values[a % #values + 1], values[b % #values + 1], n))
  end
  local y = values[#values]
  return (values[#values - 1] + y) * 0.5, y:reshape(-1, 8)
end

local function random_module(seed)
  local script = random_script(saros.generator(seed))
  local m = traced.own(8, { lin = nn.linear { 8, 8 } }, function(self, x, state)
    local outputs = {}
    state = state or saros.zeros(x:size(2), 2, 4)
    for t = 1, #x do
      state, outputs[t] = step(self, script, x[t], state)
    end
    return saros.stack(outputs), state
  end, true)
  local normal = nn.initialize.normal(0.5)
  for _, given in ipairs { { "w", 4, 4 }, { "tall", 2 }, { "wide", 4 }, { "bias", 4 } } do
    local name = given[1]
    m[name] = m:add_parameter(name, { table.unpack(given, 2) }, normal)
  end
  return m:init { seed = seed }
end

--- The gradients of a loss of y and the state, by name.
local function gradients_of(m, x, run)
  m:clear_gradients()
  x:clear_gradient()
  local tape <close> = saros.tape()
  tape:watch(x)
  local y, state = run()
  tape:backward((y * y):sum() + (state * state):sum() + x:sum())
  local gradients = { x = x:gradient():clone() }
  for name, tensor in pairs(m:tensors()) do
    local gradient = tensor:gradient()
    gradients[name] = gradient and gradient:clone()
  end
  return gradients
end

local function same_gradients(expected, got)
  for name, gradient in pairs(expected) do
    local other = got[name] or saros.zeros(gradient:shape())
    local scale = math.max(1, gradient:abs():max():item())
    traced.is_near(gradient * (1 / scale), other * (1 / scale), "gradient of " .. name, 1e-8, 2e-3)
  end
end

--- A session with bf16 or int8 weights computes what the program does with rounded weights.
local function agrees_with(m, program, x, weights)
  local expected, last, off = narrow.run(program, m:tensors(), { x = x }, weights)
  local session = m:session { streams = B, weights = weights }
  for t = 1, T do
    traced.is_near(expected.y[t], session:step(x[t]), ("%s, y at %d"):format(weights, t), 1e-9, 1e-4 + off)
  end
  traced.is_near(last[1], session:state(), weights .. ", state", 1e-9, 1e-4 + off)
end

describe("random operations", function()
  it("are the same as a program", function()
    for seed = 1, 60 do
      local m = random_module(seed)
      local program, x = traced.agrees(m), saros.generator(seed + 1000):normal { T, B, 8 }
      local compiled, parameters, tensors = core.program(program:encode()), {}, m:tensors()
      for _, given in ipairs(program.parameters) do
        parameters[given.name] = tensors[given.name]
      end
      same_gradients(gradients_of(m, x, function() return m(x) end), gradients_of(m, x, function()
        local outputs, last = compiled:run { parameters = parameters, inputs = { x = x } }
        return outputs.y, last.state
      end))
      for _, weights in ipairs { "bf16", "int8" } do
        agrees_with(m, program, x, weights)
      end
    end
  end)
end)
