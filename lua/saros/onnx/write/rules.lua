--- The operations of a program as operators of ONNX: one rule each, for values with any lead; see
--- saros.onnx.write.builder. A rule gives the name of the result.

local core = require "saros.core"

---@type table<string, fun(b: saros.onnx.Builder, node: saros.export.Node): string>
local rules = {}

-- --- Each element ----------------------------------------------------------------------------------

-- Operations that are operators of the same meaning.
local SAME = {
  negate = "Neg", abs = "Abs", exp = "Exp", log = "Log", sqrt = "Sqrt", tanh = "Tanh", sigmoid = "Sigmoid",
  relu = "Relu", sin = "Sin", cos = "Cos", softplus = "Softplus", add = "Add", subtract = "Sub", multiply = "Mul",
  divide = "Div", power = "Pow", maximum = "Max", minimum = "Min",
}

for name, op in pairs(SAME) do
  rules[name] = function(b, node)
    local inputs = {}
    for n, input in ipairs(node.inputs) do
      inputs[n] = b:value(input)
    end
    return b:op(op, inputs)
  end
end

--- 1 and 0 from true and false.
local function as_number(b, condition)
  return b:op("Cast", { condition }, { to = b.FLOAT })
end

for name, op in pairs { lt = "Less", le = "LessOrEqual", gt = "Greater", ge = "GreaterOrEqual", eq = "Equal" } do
  rules[name] = function(b, node)
    return as_number(b, b:op(op, { b:value(node.inputs[1]), b:value(node.inputs[2]) }))
  end
end

function rules.ne(b, node)
  return as_number(b, b:op("Not", { b:op("Equal", { b:value(node.inputs[1]), b:value(node.inputs[2]) }) }))
end

function rules.where(b, node)
  local condition = b:op("Cast", { b:value(node.inputs[1]) }, { to = b.BOOL })
  return b:op("Where", { condition, b:value(node.inputs[2]), b:value(node.inputs[3]) })
end

function rules.isnan(b, node)
  return as_number(b, b:op("IsNaN", { b:value(node.inputs[1]) }))
end

--- x - x is 0 where x is finite, and not a number elsewhere.
function rules.isfinite(b, node)
  local x = b:value(node.inputs[1])
  return as_number(b, b:op("Not", { b:op("IsNaN", { b:op("Sub", { x, x }) }) }))
end

function rules.silu(b, node)
  local x = b:value(node.inputs[1])
  return b:op("Mul", { x, b:op("Sigmoid", { x }) })
end

--- x (1 + erf(x / sqrt(2))) / 2
function rules.gelu(b, node)
  local x = b:value(node.inputs[1])
  local erf = b:op("Erf", { b:op("Mul", { x, b:number(0.5 ^ 0.5) }) })
  return b:op("Mul", { b:op("Mul", { x, b:number(0.5) }), b:op("Add", { erf, b:number(1) }) })
end

--- x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), as the library has it
function rules.gelu_tanh(b, node)
  local x = b:value(node.inputs[1])
  local cube = b:op("Mul", { b:op("Mul", { x, x }), x })
  local inner = b:op("Add", { x, b:op("Mul", { cube, b:number(0.044715) }) })
  return b:op("Mul", { x, b:op("Sigmoid", { b:op("Mul", { inner, b:number((8 / math.pi) ^ 0.5) }) }) })
end

-- Operators with factors: the operator, and its attributes from the node.
local WITH = {
  elu = { "Elu", function(node) return { alpha = (node.slope or 1) + 0.0 } end },
  leaky_relu = { "LeakyRelu", function(node) return { alpha = (node.slope or 0.01) + 0.0 } end },
  hard_sigmoid = { "HardSigmoid", function() return { alpha = 1 / 6, beta = 0.5 } end },
}

for name, entry in pairs(WITH) do
  rules[name] = function(b, node)
    return b:op(entry[1], { b:value(node.inputs[1]) }, entry[2](node))
  end
end

function rules.hard_tanh(b, node)
  return b:op("Clip", { b:value(node.inputs[1]), b:number(-1), b:number(1) })
end

-- --- Products ----------------------------------------------------------------------------------------

--- The weight of a product as (I, O), which is what MatMul reads. Others may read it as it is.
local function turned(b, weight, O, I)
  if b.shared.readers[weight] > 1 then
    return b:op("Transpose", { b:constant(weight, { O, I }) }, { perm = { 1, 0 } })
  end
  return b:constant(weight, { O, I }, true)
end

function rules.linear(b, node)
  local x, weight, bias = node.inputs[1], node.inputs[2], node.inputs[3]
  local O, I = node.width, x.width
  if not weight.tensor then -- another matrix in each row
    local y = b:flat(b:op("MatMul", { b:blocks(weight, { O, I }), b:blocks(x, { I, 1 }) }), O)
    return bias and b:op("Add", { y, b:value(bias) }) or y
  elseif b.lead == 1 and (not bias or bias.tensor) then
    return b:op("Gemm", { b:spread(x), b:constant(weight, { O, I }), bias and b:value(bias) }, { transB = 1 })
  end
  local y = b:op("MatMul", { b:value(x), turned(b, weight, O, I) })
  return bias and b:op("Add", { y, b:value(bias) }) or y
end

function rules.lookup(b, node)
  local ids, weight = node.inputs[1], node.inputs[2]
  if not weight.tensor then
    b:refuse(node, "a table that differs from row to row")
    return ""
  end
  return b:op("Gather", { b:constant(weight, { ids.count, node.width }), b:ids(ids) }, { axis = 0 })
end

function rules.matvec(b, node)
  local m = b:blocks(node.inputs[1], { node.heads, node.rows, node.columns })
  local v = node.inputs[2]
  if node.transposed then
    return b:flat(b:op("MatMul", { b:blocks(v, { node.heads, 1, node.rows }), m }), node.width)
  end
  return b:flat(b:op("MatMul", { m, b:blocks(v, { node.heads, node.columns, 1 }) }), node.width)
end

function rules.outer(b, node)
  local u, v, heads = node.inputs[1], node.inputs[2], node.heads
  local column, row = b:blocks(u, { heads, u.width // heads, 1 }), b:blocks(v, { heads, 1, v.width // heads })
  return b:flat(b:op("Mul", { column, row }), node.width)
end

--- Complex numbers as pairs: decay h + a.
function rules.rotate(b, node)
  local half, parts = node.width // 2, {}
  for n, input in ipairs { node.inputs[1], node.inputs[2] } do
    local pairs_of = b:blocks(input, { half, 2 })
    parts[n] = { re = b:slice(pairs_of, -1, 0, 1), im = b:slice(pairs_of, -1, 1, 2) }
  end
  local h, decay = parts[1], parts[2]
  local re = b:op("Sub", { b:op("Mul", { h.re, decay.re }), b:op("Mul", { h.im, decay.im }) })
  local im = b:op("Add", { b:op("Mul", { h.re, decay.im }), b:op("Mul", { h.im, decay.re }) })
  local turned_h = b:flat(b:op("Concat", { re, im }, { axis = -1 }), node.width)
  return b:op("Add", { turned_h, b:value(node.inputs[3]) })
end

-- --- Elements moved ----------------------------------------------------------------------------------

--- (outer, inner) -> (outer, times, inner)
function rules.expand(b, node)
  local x, outer, times, inner = node.inputs[1], node.outer, node.times, node.inner
  if outer == 1 and inner == 1 then
    return b:op("Expand", { b:value(x), b:integers { times } })
  end
  local wide = b:op("Expand", { b:blocks(x, { outer, 1, inner }), b:integers { times, 1 } })
  return b:flat(wide, node.width)
end

function rules.slice(b, node)
  local x, n, inner, from, count, step = node.inputs[1], node.n, node.inner, node.from, node.count, node.step
  local stop = from + count * step
  stop = stop < 0 and -b.END or stop
  if node.outer == 1 and (step == 1 or inner == 1) then
    return step == 1 and b:slice(b:value(x), -1, from * inner, (from + count) * inner)
      or b:slice(b:value(x), -1, from, stop, step)
  end
  local part = b:slice(b:blocks(x, { node.outer, n, inner }), -2, from, stop, step)
  return b:flat(part, node.width)
end

--- The whole of which the operands are all parts, in order; nil if they are not.
local function whole_of(b, node)
  local first, at = b.cuts[node.inputs[1]], 0
  for _, input in ipairs(node.inputs) do
    local cut = b.cuts[input]
    if not (first and cut and cut.whole == first.whole and cut.from == at) then
      return nil
    end
    at = at + input.width
  end
  return at == first.width and first.whole or nil
end

function rules.concatenate(b, node)
  local outer, list = node.outer or 1, {}
  local whole = outer == 1 and whole_of(b, node)
  if whole then
    return whole
  end
  for position, input in ipairs(node.inputs) do
    local x = b:spread(input)
    list[position] = outer == 1 and x or b:shaped(x, { outer, input.width // outer })
  end
  local joined = b:op("Concat", list, { axis = -1 })
  return outer == 1 and joined or b:flat(joined, node.width)
end

function rules.transpose(b, node)
  local x = b:shaped(b:value(node.inputs[1]), { node.outer, node.a, node.b, node.inner })
  return b:flat(b:transposed(x, { 0, 2, 1, 3 }), node.width)
end

-- --- Along features ----------------------------------------------------------------------------------

--- Apply f(x, axis) along the n of (outer, n, inner).
local function along(b, node, f)
  local x, outer, inner = b:value(node.inputs[1]), node.outer or 1, node.inner or 1
  if outer == 1 and inner == 1 then
    return f(x, -1)
  end
  local dims = inner == 1 and { outer, node.n } or { outer, node.n, inner }
  return b:flat(f(b:shaped(x, dims), inner == 1 and -1 or -2), node.width)
end

--- A sum, or another reduction, over an axis, which stays with size 1. Older operators have axes as an attribute.
local function reduced(b, op, x, axis)
  if op == "ReduceSum" or b.shared.opset >= 18 then
    return b:op(op, { x, b:integers { axis } }, { keepdims = 1 })
  end
  return b:op(op, { x }, { keepdims = 1, axes = { axis } })
end

local REDUCTIONS = { sum = "ReduceSum", mean = "ReduceMean", max = "ReduceMax", min = "ReduceMin",
  logsumexp = "ReduceLogSumExp" }

for name, op in pairs(REDUCTIONS) do
  rules[name] = function(b, node)
    return along(b, node, function(x, axis) return reduced(b, op, x, axis) end)
  end
end

for name, op in pairs { softmax = "Softmax", log_softmax = "LogSoftmax" } do
  rules[name] = function(b, node)
    return along(b, node, function(x, axis) return b:op(op, { x }, { axis = axis }) end)
  end
end

function rules.cumsum(b, node)
  return along(b, node, function(x, axis) return b:op("CumSum", { x, b:integer(axis) }) end)
end

-- --- Norms -------------------------------------------------------------------------------------------

--- x over the root of the mean of its squares, and that centred before.
local function over_root(b, x, epsilon)
  local squares = reduced(b, "ReduceMean", b:op("Mul", { x, x }), -1)
  return b:op("Div", { x, b:op("Sqrt", { b:op("Add", { squares, b:number(epsilon) }) }) })
end

local function plain_norm(b, x, epsilon)
  return over_root(b, b:op("Sub", { x, reduced(b, "ReduceMean", x, -1) }), epsilon)
end

--- A norm over the last n features, times a gain and plus a bias (n) of the inputs.
local function norm(b, node, f)
  local width = node.inputs[1].width
  local is_whole = width == node.n
  local x = b:value(node.inputs[1])
  local y = f(is_whole and x or b:shaped(x, { width // node.n, node.n }))
  for n, op in ipairs { "Mul", "Add" } do
    local input = node.inputs[n + 1]
    if input then
      local own = input.tensor and b:value(input) or b:shaped(b:value(input), is_whole and { node.n } or { 1, node.n })
      y = b:op(op, { y, own })
    end
  end
  return is_whole and y or b:flat(y, width)
end

function rules.layer_norm(b, node)
  local gain, bias = node.inputs[2], node.inputs[3]
  if b.shared.opset < 17 or gain and not gain.tensor or bias and not bias.tensor then
    return norm(b, node, function(x) return plain_norm(b, x, node.epsilon) end)
  end
  local width = node.inputs[1].width
  local x, is_whole = b:value(node.inputs[1]), width == node.n
  local ones = not gain and b:tensor("ones", core.ones(node.n))
  local y = b:op("LayerNormalization", { is_whole and x or b:shaped(x, { width // node.n, node.n }),
    ones or b:value(gain), bias and b:value(bias) }, { axis = -1, epsilon = node.epsilon + 0.0 })
  return is_whole and y or b:flat(y, width)
end

function rules.rms_norm(b, node)
  return norm(b, node, function(x) return over_root(b, x, node.epsilon) end)
end

-- --- The units of the data ---------------------------------------------------------------------------

--- Columns in their own units to numbers near 1, in double precision as the library has it.
function rules.scale(b, node)
  local x = b:op("Cast", { b:value(node.inputs[1]) }, { to = b.DOUBLE })
  x = b:op("Sub", { x, b:doubles("input_mean", node.scale.shift) })
  x = b:op("Div", { x, b:doubles("input_scale", node.scale.factor) })
  return b:op("Cast", { x }, { to = b.FLOAT })
end

--- And back: `horizon` steps of some columns; `places`: what they will differ by from the present values.
function rules.ahead(b, node)
  local scale = node.scale
  local x = b:op("Cast", { b:value(node.inputs[1]) }, { to = b.DOUBLE })
  x = b:shaped(x, { scale.horizon, #scale.shift })
  if scale.places then
    local places = {}
    for n = 1, scale.places:count() do
      places[n] = scale.places[n] - 1
    end
    local now = b:op("Gather", { b:value(node.inputs[2]), b:integers(places) }, { axis = -1 })
    x = b:op("Add", { x, b:op("Unsqueeze", { b:op("Cast", { now }, { to = b.DOUBLE }), b:integers { -2 } }) })
  end
  x = b:op("Mul", { x, b:doubles("target_scale", scale.factor) })
  x = b:op("Add", { x, b:doubles("target_mean", scale.shift) })
  return b:flat(b:op("Cast", { x }, { to = b.FLOAT }), node.width)
end

return rules
