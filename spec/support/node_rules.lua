--- What each kind of node that knows no past makes of its operands, in plain Lua
--- numbers: rules[op](node, operands...). Values are lists of numbers, ids count from
--- 0, and a `lookup` is told the `count` of its ids.

local function erf(x)
  local sum, term = 0, x
  for n = 0, 80 do
    sum, term = sum + term / (2 * n + 1), -term * x * x / (n + 1)
  end
  return 2 / math.sqrt(math.pi) * sum
end

local function sigmoid(x) return 1 / (1 + math.exp(-x)) end
local function tanh(x)
  local e = math.exp(-2 * math.abs(x))
  return (x < 0 and -1 or 1) * (1 - e) / (1 + e)
end
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

--- y and the matrices after a step, from those before it: (heads, K, V) each, row by row.
function rules.delta(node, before, q, k, v, write, erase, decay)
  local heads, n = node.heads, node.reflections or 1
  local K, V, y, m = #q // heads, #v // heads // n, {}, {}
  local function gate(list, i) return list[#list > 1 and i or 1] end
  for i, x in ipairs(before) do
    local row = (i - 1) // V -- of all heads
    m[i] = decay and x * math.exp(decay[#decay == heads and row // K + 1 or row + 1]) or x
  end
  for g = 0, n * heads - 1 do -- a reflection of a head
    local first = g % heads * K * V
    for j = 1, V do
      local seen = 0
      for i = 0, K - 1 do
        seen = seen + k[g * K + i + 1] * m[first + i * V + j]
      end
      local u = gate(write, g + 1) * v[g * V + j] - gate(erase, g + 1) * seen
      for i = 0, K - 1 do
        m[first + i * V + j] = m[first + i * V + j] + k[g * K + i + 1] * u
      end
    end
  end
  for h = 0, heads - 1 do
    for j = 1, V do
      local sum = 0
      for i = 0, K - 1 do
        sum = sum + q[h * K + i + 1] * m[(h * K + i) * V + j]
      end
      y[h * V + j] = sum
    end
  end
  return y, m
end

return rules
