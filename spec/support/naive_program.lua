-- A program over a sequence in the plainest way: a value of a node at a step is
-- asked for, and asks for what it is made of. Works for states in both directions.

local core = require "saros.core"

local naive = {}

local function erf(x)
  local sum, term = 0, x
  for n = 0, 80 do
    sum, term = sum + term / (2 * n + 1), -term * x * x / (n + 1)
  end
  return 2 / math.sqrt(math.pi) * sum
end

local function sigmoid(x) return 1 / (1 + math.exp(-x)) end
local function tanh(x) return 2 * sigmoid(2 * x) - 1 end
local function bit(condition) return condition and 1 or 0 end
local function within(x, low, high) return math.min(math.max(x, low), high) end

local unary = {
  negate = function(x) return -x end, abs = math.abs, exp = math.exp, log = math.log, sqrt = math.sqrt, tanh = tanh,
  sigmoid = sigmoid, relu = function(x) return math.max(x, 0) end, sin = math.sin, cos = math.cos,
  softplus = function(x) return math.log(1 + math.exp(x)) end, silu = function(x) return x * sigmoid(x) end,
  gelu = function(x) return x * (1 + erf(x / math.sqrt(2))) / 2 end,
  gelu_tanh = function(x) return x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ^ 3))) / 2 end,
  elu = function(x, slope) return x > 0 and x or (slope or 1) * (math.exp(x) - 1) end,
  leaky_relu = function(x, slope) return x < 0 and (slope or 0.01) * x or x end,
  hard_sigmoid = function(x) return within(x / 6 + 0.5, 0, 1) end, hard_tanh = function(x) return within(x, -1, 1) end,
  isfinite = function(x) return bit(x - x == 0) end, isnan = function(x) return bit(x ~= x) end,
}

local binary = {
  add = function(a, b) return a + b end, subtract = function(a, b) return a - b end,
  multiply = function(a, b) return a * b end, divide = function(a, b) return a / b end,
  power = function(a, b) return a ^ b end, maximum = math.max, minimum = math.min,
  lt = function(a, b) return bit(a < b) end, le = function(a, b) return bit(a <= b) end,
  gt = function(a, b) return bit(a > b) end, ge = function(a, b) return bit(a >= b) end,
  eq = function(a, b) return bit(a == b) end, ne = function(a, b) return bit(a ~= b) end,
}

-- Of each column of (outer, n, inner), a list of n numbers, what a rule makes: a number, or n.
local function columns(x, node, rule)
  local y, n, inner = {}, node.n, node.inner
  for o = 0, node.outer - 1 do
    for i = 1, inner do
      local column = {}
      for k = 0, n - 1 do
        column[k + 1] = x[(o * n + k) * inner + i]
      end
      local result = rule(column)
      if type(result) == "number" then
        y[o * inner + i] = result
      else
        for k = 0, n - 1 do
          y[(o * n + k) * inner + i] = result[k + 1]
        end
      end
    end
  end
  return y
end

local function total(column, rule)
  local sum = 0
  for _, x in ipairs(column) do
    sum = sum + (rule and rule(x) or x)
  end
  return sum
end

local function map(list, rule)
  local y = {}
  for i, x in ipairs(list) do
    y[i] = rule(x, i)
  end
  return y
end

local function logsumexp(column)
  return math.log(total(column, math.exp))
end

local reductions = {
  sum = total,
  mean = function(c) return total(c) / #c end,
  max = function(c) return math.max(table.unpack(c)) end,
  min = function(c) return math.min(table.unpack(c)) end,
  logsumexp = logsumexp,
  softmax = function(c) return map(c, function(x) return math.exp(x - logsumexp(c)) end) end,
  log_softmax = function(c) return map(c, function(x) return x - logsumexp(c) end) end,
  cumsum = function(c)
    local sum = 0
    return map(c, function(x)
      sum = sum + x
      return sum
    end)
  end,
}

-- The rules of nodes: (node, operands, node's own values) -> list.
local rules = {}

for name, rule in pairs(unary) do
  rules[name] = function(node, x) return map(x, function(v) return rule(v, node.slope) end) end
end

local function at(list, i)
  return list[#list == 1 and 1 or i]
end

local function widest(...)
  local width = 1
  for _, list in ipairs { ... } do
    width = math.max(width, #list)
  end
  return width
end

for name, rule in pairs(binary) do
  rules[name] = function(_, a, b)
    local y = {}
    for i = 1, widest(a, b) do
      y[i] = rule(at(a, i), at(b, i))
    end
    return y
  end
end

for name, rule in pairs(reductions) do
  rules[name] = function(node, x) return columns(x, node, rule) end
end

function rules.where(_, c, a, b)
  local y = {}
  for i = 1, widest(c, a, b) do
    y[i] = at(c, i) ~= 0 and at(a, i) or at(b, i)
  end
  return y
end

function rules.linear(_, x, w, b)
  local y = {}
  for o = 1, #w // #x do
    y[o] = (b and b[o] or 0)
    for k = 1, #x do
      y[o] = y[o] + w[(o - 1) * #x + k] * x[k]
    end
  end
  return y
end

function rules.lookup(node, id, from)
  local width = #from // node.count
  return table.move(from, id[1] * width + 1, (id[1] + 1) * width, 1, {})
end

function rules.expand(node, x)
  local y = {}
  for o = 0, node.outer - 1 do
    for _ = 1, node.times do
      table.move(x, o * node.inner + 1, (o + 1) * node.inner, #y + 1, y)
    end
  end
  return y
end

function rules.slice(node, x)
  local y = {}
  for o = 0, node.outer - 1 do
    for i = 0, node.count - 1 do
      local first = (o * node.n + node.from + i * (node.step or 1)) * node.inner
      table.move(x, first + 1, first + node.inner, #y + 1, y)
    end
  end
  return y
end

function rules.concatenate(node, ...)
  local y, outer = {}, node.outer or 1
  for o = 0, outer - 1 do
    for _, x in ipairs { ... } do
      local width = #x // outer
      table.move(x, o * width + 1, (o + 1) * width, #y + 1, y)
    end
  end
  return y
end

function rules.transpose(node, x)
  local y, a, b, inner = {}, node.a, node.b, node.inner
  for o = 0, node.outer - 1 do
    for j = 0, b - 1 do
      for i = 0, a - 1 do
        local first = ((o * a + i) * b + j) * inner
        table.move(x, first + 1, first + inner, #y + 1, y)
      end
    end
  end
  return y
end

local function normed(node, x, gain, bias, centred)
  local y, n = {}, node.n
  for first = 0, #x - 1, n do
    local mean, square = 0, 0
    for i = 1, n do
      mean = mean + (centred and x[first + i] / n or 0)
    end
    for i = 1, n do
      square = square + (x[first + i] - mean) ^ 2 / n
    end
    for i = 1, n do
      y[first + i] = (x[first + i] - mean) / math.sqrt(square + node.epsilon) * (gain and gain[i] or 1)
        + (bias and bias[i] or 0)
    end
  end
  return y
end

function rules.layer_norm(node, x, gain, bias) return normed(node, x, gain, bias, true) end
function rules.rms_norm(node, x, gain) return normed(node, x, gain, nil, false) end
function rules.dropout(_, x) return x end

function rules.matvec(node, m, v)
  local y, R, C = {}, node.rows, node.columns
  local from = node.transposed and R or C
  for h = 0, node.heads - 1 do
    for o = 0, (node.transposed and C or R) - 1 do
      local sum = 0
      for k = 0, from - 1 do
        local row, column = node.transposed and k or o, node.transposed and o or k
        sum = sum + m[(h * R + row) * C + column + 1] * v[h * from + k + 1]
      end
      y[#y + 1] = sum
    end
  end
  return y
end

function rules.outer(node, u, v)
  local y, a, b = {}, #u // node.heads, #v // node.heads
  for h = 0, node.heads - 1 do
    for i = 1, a do
      for j = 1, b do
        y[#y + 1] = u[h * a + i] * v[h * b + j]
      end
    end
  end
  return y
end

-- --- Nodes that know the past -----------------------------------------------------------------

local past = {}

function past.state(self, node, t)
  local state = self.program.states[node.state + 1]
  local before = t + (state.reverse and 1 or -1)
  if before < 1 or before > self.T then
    return state.first and self:value(state.first, t) or map(self.blank[state.width], function(x) return x end)
  end
  local value = self:value(state.next, before)
  local maker = self.program.nodes[state.next + 1]
  if maker.op == "cell" then
    for position, number in ipairs(maker.states) do
      if number == node.state then
        return self.of_cell[value][position]
      end
    end
  end
  return value
end

function past.window(self, node, t)
  local x = node["in"][1]
  local width, d = #self:value(x, t), node.dilation or 1
  local taps = self.program.states[node.state + 1].width // (width * d) + 1
  local y = {}
  for back = taps - 1, 0, -1 do
    local value = t - back * d >= 1 and self:value(x, t - back * d) or self.blank[width]
    table.move(value, 1, width, #y + 1, y)
  end
  return y
end

function past.attention(self, node, t)
  local ins = node["in"]
  local q, distance = self:value(ins[1], t), self:value(ins[4], t)
  local heads, W = node.heads, node.window
  local d, y = #q // heads, {}
  for h = 0, heads - 1 do
    local scores, seen = {}, math.min(t, W)
    for back = 0, seen - 1 do
      local k, sum = self:value(ins[2], t - back), 0
      for i = 1, d do
        sum = sum + q[h * d + i] * k[h * d + i]
      end
      scores[back + 1] = sum / math.sqrt(d) + distance[h * W + W - back]
    end
    local weights = reductions.softmax(scores)
    for i = 1, d do
      local sum = 0
      for back = 0, seen - 1 do
        sum = sum + weights[back + 1] * self:value(ins[3], t - back)[h * d + i]
      end
      y[#y + 1] = sum
    end
  end
  return y
end

-- By the core's own walk over one step.
function past.cell(self, node, t)
  local before, parameters, states, mixed = {}, {}, {}, {}
  for position, name in ipairs(node.with) do
    local shape = self.program.parameters[self.program.nodes[node["in"][position + 1] + 1].parameter + 1].shape
    parameters[name] = core.tensor(self:value(node["in"][position + 1], t)):reshape(shape)
  end
  for position, number in ipairs(node.states) do
    before[position] = past.state(self, { state = number }, t)
    states[position] = core.tensor(before[position]):reshape(1, -1)
  end
  local x = core.tensor(self:value(node["in"][1], t)):reshape(1, 1, -1)
  local _, last = core.recurrent(node.cell, x, states, parameters)
  for position in ipairs(states) do
    local p = node.zoneout and node.zoneout[position] or 0
    mixed[position] = map(last[position]:reshape(-1):totable(), function(v, i)
      return (1 - p) * v + p * before[position][i]
    end)
  end
  self.of_cell[mixed[1]] = mixed
  return mixed[1]
end

-- --- Walking -----------------------------------------------------------------------------------

local Walk = {}
Walk.__index = Walk

function Walk:value(number, t)
  local key = number * 1000 + t
  local known = self.known[key]
  if known then
    return known
  end
  local node = self.program.nodes[number + 1]
  local made
  if node.op == "input" or node.op == "ids" then
    made = self.inputs[node.name][t]
    made = type(made) == "table" and made or { made }
  elseif node.op == "parameter" then
    made = self.parameters[self.program.parameters[node.parameter + 1].name]:reshape(-1):totable()
  elseif node.op == "constant" then
    made = node.values or { node.value }
  elseif past[node.op] then
    made = past[node.op](self, node, t)
  else
    local operands = map(node["in"], function(input) return self:value(input, t) end)
    local fields = node
    if node.op == "lookup" then
      fields = { count = self.program.nodes[node["in"][1] + 1].count }
    end
    made = rules[node.op](fields, table.unpack(operands))
  end
  self.known[key] = made
  return made
end

-- What a program's outputs are at the T steps of its inputs: by name, lists of rows. Ids
-- count from 0.
function naive.run(program, parameters, inputs, T)
  local self = setmetatable({ program = program, parameters = parameters, inputs = inputs, T = T, known = {},
    of_cell = {}, blank = setmetatable({}, { __index = function(_, n)
      local zeros = {}
      for i = 1, n do
        zeros[i] = 0
      end
      return zeros
    end }) }, Walk)
  local outputs = {}
  for _, output in ipairs(program.outputs) do
    outputs[output.name] = {}
    for t = 1, T do
      outputs[output.name][t] = self:value(output.node, t)
    end
  end
  return outputs
end

naive.rules = rules

return naive
