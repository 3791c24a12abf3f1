--- Functions of each element, and of two that broadcast.

local core = require "saros.core"
local tensors = require "saros.onnx.tensors"

local real, is_integers = tensors.real, tensors.is_integers

local operators = {}

-- --- One operand --------------------------------------------------------------------------------

local function erf(x)
  local y = x * math.sqrt(2)
  local is_zero = y:eq(0)
  return core.where(is_zero, 0, core.gelu(y) / core.where(is_zero, 1, y) * 2 - 1)
end

local FUNCTIONS = {
  Exp = core.exp, Log = core.log, Sqrt = core.sqrt, Sigmoid = core.sigmoid,
  Tanh = core.tanh, Relu = core.relu, Sin = core.sin, Cos = core.cos, Softplus = core.softplus, Erf = erf,
  IsNaN = core.isnan,
  Softsign = function(x) return x / (x:abs() + 1) end,
  Reciprocal = function(x) return 1 / x end,
  Sign = function(x) return x:gt(0) - x:lt(0) end,
  Mish = function(x) return x * core.tanh(core.softplus(x)) end,
  HardSwish = function(x) return x * (x / 6 + 0.5):maximum(0):minimum(1) end,
}

for name, fn in pairs(FUNCTIONS) do
  operators[name] = function(_, x)
    return fn(real(x))
  end
end

-- name -> for integers, for tensors
local OF_BOTH = {
  Neg = { function(x) return -x end, core.negate },
  Not = { function(x) return x == 0 and 1 or 0 end, function(x) return 1 - x end },
  Abs = { math.abs, core.abs },
  Floor = { math.floor }, Ceil = { math.ceil },
}

for name, entry in pairs(OF_BOTH) do
  operators[name] = function(_, x)
    if not is_integers(x) then
      return (entry[2] or error("expected numbers that are known without the input, got a tensor", 0))(real(x))
    end
    local list = tensors.numbers(x)
    for n, each in ipairs(list) do
      list[n] = entry[1](each)
    end
    return tensors.integers(list, x.shape)
  end
end

function operators.LeakyRelu(node, x)
  return core.leaky_relu(real(x), node.attributes.alpha or 0.01)
end

function operators.Elu(node, x)
  return core.elu(real(x), node.attributes.alpha or 1)
end

function operators.Celu(node, x)
  local alpha = node.attributes.alpha or 1
  return core.elu(real(x) / alpha) * alpha
end

function operators.Selu(node, x)
  return core.elu(real(x), node.attributes.alpha or 1.6732632423543772) * (node.attributes.gamma or 1.0507009873554805)
end

function operators.PRelu(_, x, slope)
  x = real(x)
  return core.where(x:lt(0), x * real(slope), x)
end

function operators.ThresholdedRelu(node, x)
  x = real(x)
  return x * x:gt(node.attributes.alpha or 1)
end

function operators.HardSigmoid(node, x)
  return (real(x) * (node.attributes.alpha or 0.2) + (node.attributes.beta or 0.5)):maximum(0):minimum(1)
end

function operators.Gelu(node, x)
  return node.attributes.approximate == "tanh" and core.gelu_tanh(real(x)) or core.gelu(real(x))
end

function operators.Swish(node, x)
  x = real(x)
  return x * core.sigmoid(x * (node.attributes.alpha or 1))
end
operators.QuickGelu = function(node, x)
  x = real(x)
  return x * core.sigmoid(x * (node.attributes.alpha or 1.702))
end

function operators.Clip(node, x, low, high)
  x = real(x)
  low, high = low and real(low) or node.attributes.min, high and real(high) or node.attributes.max
  x = low and core.maximum(x, low) or x
  return high and core.minimum(x, high) or x
end

-- --- Two operands -----------------------------------------------------------------------------------

--- A shape with as many axes as another one, if that has more.
local function with_axes(shape, other)
  local wide = table.move(shape, 1, #shape, math.max(0, #other - #shape) + 1, {})
  for k = 1, #other - #shape do
    wide[k] = 1
  end
  return wide
end

--- Integers of two lists of one shape, or of which one is a single number; nil for other shapes.
local function of_integers(fn, a, b)
  local x, y = tensors.list(a), tensors.list(b)
  local first, second = with_axes(a.shape, b.shape), with_axes(b.shape, a.shape)
  if #x ~= 1 and #y ~= 1 and table.concat(first, " ") ~= table.concat(second, " ") then
    return nil
  end
  local list = {}
  for n = 1, math.max(#x, #y) * math.min(1, #x, #y) do
    list[n] = fn(x[#x == 1 and 1 or n], y[#y == 1 and 1 or n])
  end
  return tensors.integers(list, #x == 1 and second or first)
end

local function quotient(x, y) -- of integers towards 0
  if math.type(x) == "float" or math.type(y) == "float" then
    return x / y
  elseif y == 0 then
    error("expected integers to divide by other numbers than 0", 0)
  end
  local q = x // y
  return q < 0 and q * y ~= x and q + 1 or q
end

local function truth(value)
  return value and 1 or 0
end

-- name -> for tensors, for integers
local PAIRS = {
  Add = { core.add, function(x, y) return x + y end },
  Sub = { core.subtract, function(x, y) return x - y end },
  Mul = { core.multiply, function(x, y) return x * y end },
  Div = { core.divide, quotient },
  Pow = { core.power },
  Equal = { core.eq, function(x, y) return truth(x == y) end },
  Greater = { core.gt, function(x, y) return truth(x > y) end },
  Less = { core.lt, function(x, y) return truth(x < y) end },
  GreaterOrEqual = { core.ge, function(x, y) return truth(x >= y) end },
  LessOrEqual = { core.le, function(x, y) return truth(x <= y) end },
  And = { core.multiply, function(x, y) return x & y end },
  Or = { core.maximum, function(x, y) return x | y end },
  Xor = { core.ne, function(x, y) return x ~ y end },
}

local COMPARES = { Equal = true, Greater = true, Less = true, GreaterOrEqual = true, LessOrEqual = true }

--- The number of a tensor without axes, as that of a known value beside it; any other value as it is.
local function beside(value, other)
  local is_number = is_integers(other) and tensors.is_tensor(value) and value:dtype() == "real" and value:rank() == 0
  return is_number and tensors.integers({ value:item() }, {}) or value
end

for name, entry in pairs(PAIRS) do
  operators[name] = function(_, a, b)
    if COMPARES[name] then
      a, b = beside(a, b), beside(b, a)
    end
    local both = entry[2] and is_integers(a) and is_integers(b) and of_integers(entry[2], a, b)
    return both or entry[1](real(a), real(b))
  end
end

--- Of any number of operands.
local function folded(fn, of_lua)
  return function(_, first, ...)
    local result = first
    for _, other in ipairs { ... } do
      local both = is_integers(result) and is_integers(other) and of_integers(of_lua, result, other)
      result = both or fn(real(result), real(other))
    end
    return is_integers(result) and result or real(result)
  end
end

operators.Max = folded(core.maximum, math.max)
operators.Min = folded(core.minimum, math.min)
operators.Sum = folded(core.add, function(x, y) return x + y end)

function operators.Mean(node, ...)
  return real(operators.Sum(node, ...)) / select("#", ...)
end

function operators.Where(_, condition, a, b)
  if is_integers(condition) and is_integers(a) and is_integers(b) and #condition > 0 then
    local chosen, shape, count = {}, condition.shape, #condition
    for _, other in ipairs { a, b } do
      if #other > count then
        shape, count = other.shape, #other
      end
    end
    for n = 1, count do
      local of = condition[#condition == 1 and 1 or n] ~= 0 and a or b
      chosen[n] = of[#of == 1 and 1 or n]
    end
    return tensors.integers(chosen, shape)
  end
  return core.where(real(condition), real(a), real(b))
end

return operators
