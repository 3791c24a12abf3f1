--- Reductions, softmax and norms.

local core = require "saros.core"
local tensors = require "saros.onnx.tensors"

local real = tensors.real

local operators = {}

--- Axes from 1, in descending order, of an input or an attribute; all if neither says any.
local function axes_of(node, x, given)
  local list = given and tensors.list(given) or node.attributes.axes or {}
  local axes = {}
  for n, axis in ipairs(list) do
    axes[n] = (axis < 0 and axis + x:rank() or axis) + 1
  end
  if #axes == 0 and (node.attributes.noop_with_empty_axes or 0) == 0 then
    for k = 1, x:rank() do
      axes[k] = k
    end
  end
  table.sort(axes, function(a, b) return a > b end)
  return axes
end

--- name -> before, over an axis, behind
local REDUCTIONS = {
  ReduceSum = { nil, core.sum },
  ReduceMean = { nil, core.mean },
  ReduceMax = { nil, core.max },
  ReduceMin = { nil, core.min },
  ReduceSumSquare = { function(x) return x * x end, core.sum },
  ReduceL1 = { core.abs, core.sum },
  ReduceL2 = { function(x) return x * x end, core.sum, core.sqrt },
  ReduceLogSumExp = { nil, core.logsumexp },
}

for name, entry in pairs(REDUCTIONS) do
  operators[name] = function(node, x, axes)
    x = real(x)
    local keep = (node.attributes.keepdims or 1) ~= 0
    local over = axes_of(node, x, axes)
    x = entry[1] and entry[1](x) or x
    for _, axis in ipairs(over) do
      x = entry[2](x, axis, keep)
    end
    return entry[3] and entry[3](x) or x
  end
end

--- Of integers alone, such as sizes, over all of them.
function operators.ReduceProd(node, x)
  local product = 1
  for _, size in ipairs(tensors.numbers(tensors.is_integers(x) and x
    or error("expected a product of integers that are known without the input, got a tensor", 0))) do
    product = product * size
  end
  local shape = {}
  for k = 1, (node.attributes.keepdims or 1) ~= 0 and #x.shape or 0 do
    shape[k] = 1
  end
  return tensors.integers({ product }, shape)
end

--- Means over all axes behind the second.
function operators.GlobalAveragePool(_, x)
  x = real(x)
  for k = 3, x:rank() do
    x = core.mean(x, k, true)
  end
  return x
end

--- Over the axis; before opset 13 over all axes from there on together.
local function over_axis(fn)
  return function(node, x)
    x = real(x)
    local axis = node.attributes.axis or (node.opset < 13 and 1 or -1)
    axis = (axis < 0 and axis + x:rank() or axis) + 1
    if node.opset >= 13 or axis == x:rank() then
      return fn(x, axis)
    end
    local shape, count = x:shape(), 1
    for k = axis, #shape do
      count = count * shape[k]
    end
    return fn(x:reshape(x:count() // count, count)):reshape(shape)
  end
end

operators.Softmax = over_axis(core.softmax)
operators.LogSoftmax = over_axis(core.log_softmax)

--- Ids from 1 for places from 0, as all integers of tensors.
function operators.ArgMax(node, x)
  x = real(x)
  local axis = node.attributes.axis or 0
  axis = (axis < 0 and axis + x:rank() or axis) + 1
  local ids = core.argmax(x, axis)
  if (node.attributes.keepdims or 1) == 0 then
    return ids
  end
  local shape = x:shape()
  shape[axis] = 1
  return ids:reshape(shape)
end

function operators.CumSum(_, x, axis)
  x = real(x)
  local k = tensors.list(axis)[1]
  return core.cumsum(x, (k < 0 and k + x:rank() or k) + 1)
end

-- --- Norms ---------------------------------------------------------------------------------------------

function operators.LayerNormalization(node, x, gain, bias)
  x = real(x)
  local axis = node.attributes.axis or -1
  if axis ~= -1 and axis ~= x:rank() - 1 then
    error("expected a norm over the last axis", 0)
  end
  return core.layer_norm(x, real(gain), bias and real(bias) or nil, node.attributes.epsilon or 1e-5)
end

--- By the running statistics, over the axis behind the first.
function operators.BatchNormalization(node, x, gain, bias, mean, variance)
  x = real(x)
  local factor = real(gain) / core.sqrt(real(variance) + (node.attributes.epsilon or 1e-5))
  local shift = real(bias) - real(mean) * factor
  local shape = { factor:count() }
  for k = 2, x:rank() - 1 do
    shape[k] = 1
  end
  return x * factor:reshape(shape) + shift:reshape(shape)
end

return operators
