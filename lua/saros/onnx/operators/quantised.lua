--- Integers of 8 bits as weights. They are read as the reals that they stand for; what they are
--- multiplied with keeps all digits, where ONNX Runtime rounds it to 8 bits at each call. So
--- results differ from its own by that rounding, and are the nearer to the net before it was
--- quantised.

local core = require "saros.core"
local tensors = require "saros.onnx.tensors"

local real = tensors.real

local operators = {}

--- (x - zero) * scale, along an axis if these are lists.
function operators.DequantizeLinear(node, x, scale, zero)
  x, scale = real(x), real(scale)
  zero = zero and real(zero)
  if scale:rank() == 1 and scale:count() > 1 then
    local axis = node.attributes.axis or 1
    axis = (axis < 0 and axis + x:rank() or axis) + 1
    local shape = { scale:count() }
    for k = 2, x:rank() - axis + 1 do
      shape[k] = 1
    end
    scale, zero = scale:reshape(shape), zero and zero:reshape(shape)
  end
  return (zero and x - zero or x) * scale
end

--- x, with the scale 1 and the zero 0.
function operators.DynamicQuantizeLinear(_, x)
  return real(x), core.full({}, 1), core.full({}, 0)
end

--- A zero that belongs to rows of `a`, or to columns of `b`.
function operators.MatMulInteger(_, a, b, zero_a, zero_b)
  a, b = real(a), real(b)
  if zero_a then
    zero_a = real(zero_a)
    a = a - (zero_a:rank() == 1 and zero_a:count() > 1 and zero_a:reshape(zero_a:count(), 1) or zero_a)
  end
  return core.matmul(a, zero_b and b - real(zero_b) or b)
end

return operators
