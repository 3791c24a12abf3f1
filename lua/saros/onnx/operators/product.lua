--- Products of matrices, and convolutions over one axis.

local core = require "saros.core"
local tensors = require "saros.onnx.tensors"
local work = require "saros.onnx.work"

local real = tensors.real

local operators = {}

function operators.MatMul(_, a, b)
  return core.matmul(real(a), real(b))
end

function operators.Gemm(node, a, b, c)
  local given = node.attributes
  a, b = real(a), real(b)
  a = (given.transA or 0) ~= 0 and a:transpose() or a
  local alpha, beta = given.alpha or 1, given.beta or 1
  local is_turned = (given.transB or 0) ~= 0
  if is_turned and alpha == 1 and beta == 1 and c and real(c):rank() == 1 then
    return core.linear(a, b, real(c))
  end
  local y = is_turned and core.linear(a, b) or core.matmul(a, b)
  y = alpha == 1 and y or y * alpha
  return c and y + (beta == 1 and real(c) or real(c) * beta) or y
end

-- --- Convolution ---------------------------------------------------------------------------------------

--- How many zeros stand before and behind the axis.
local function padding(given, size, kernel, stride, dilation)
  local auto = given.auto_pad or "NOTSET"
  if auto == "SAME_UPPER" or auto == "SAME_LOWER" then
    local all = math.max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)
    local less = all // 2
    return auto == "SAME_UPPER" and less or all - less, auto == "SAME_UPPER" and all - less or less
  elseif auto == "VALID" then
    return 0, 0
  end
  local pads = given.pads or {}
  return pads[1] or 0, pads[2] or 0
end

local function padded(x, before, behind, budget)
  local list, B, C = { x }, x:size(1), x:size(2)
  work.check_shape({ B, C, math.max(before, behind, 0) }, budget)
  if before > 0 then
    table.insert(list, 1, core.zeros(B, C, before))
  end
  if behind > 0 then
    list[#list + 1] = core.zeros(B, C, behind)
  end
  return #list == 1 and x or core.concatenate(list, 3)
end

--- The products of a group by places of the output, of which there are few: each is a product of a window.
local function by_places(x, weight, stride, dilation, count)
  local B, width, kernel, windows = x:size(1), weight:size(2) * weight:size(3), weight:size(3), {}
  for n = 1, count do
    local from = (n - 1) * stride + 1
    windows[n] = x:slice(3, from, from + dilation * (kernel - 1), dilation):reshape(B, width)
  end
  return core.linear(core.stack(windows, 2), weight:reshape(weight:size(1), width)):transpose(2, 3)
end

--- The products of a group: x (B, C, L) and W (M, C, K).
local function convolved(x, weight, stride, dilation)
  local kernel, size = weight:size(3), x:size(3)
  local count = (size - dilation * (kernel - 1) - 1) // stride + 1
  if count < 1 then
    error(("expected at least as many places as the kernel reads, got %d"):format(size), 0)
  elseif count <= kernel then
    return by_places(x, weight, stride, dilation, count)
  end
  local sum
  for k = 1, kernel do
    local from = (k - 1) * dilation + 1
    local part = x:slice(3, from, from + (count - 1) * stride, stride):transpose(2, 3) -- (B, L, C)
    local product = core.linear(part, weight:select(3, k))
    sum = sum and sum + product or product
  end
  return sum:transpose(2, 3)
end

--- Attributes of a convolution over two axes, for the second alone.
local function of_second(given)
  local own = setmetatable({}, { __index = given })
  for _, name in ipairs { "strides", "dilations" } do
    own[name] = given[name] and { given[name][2] }
  end
  local pads = given.pads or { 0, 0, 0, 0 }
  if (pads[1] or 0) ~= 0 or (pads[3] or 0) ~= 0 then
    error("expected no padding along an axis of size 1", 0)
  end
  own.pads = { pads[2], pads[4] }
  return own
end

local convolve

function operators.Conv(node, x, weight, bias)
  x, weight = real(x), real(weight)
  if x:rank() == 4 and x:size(3) == 1 and weight:rank() == 4 and weight:size(3) == 1 then -- as exporters of Keras do
    local y = convolve(of_second(node.attributes), x:select(3, 1), weight:select(3, 1), bias, node.budget)
    return y:reshape(y:size(1), y:size(2), 1, y:size(3))
  elseif x:rank() ~= 3 then
    error(("expected a convolution over one axis, got %d"):format(x:rank() - 2), 0)
  end
  return convolve(node.attributes, x, weight, bias, node.budget)
end
function convolve(given, x, weight, bias, budget)
  local stride, dilation = (given.strides or { 1 })[1], (given.dilations or { 1 })[1]
  local before, behind = padding(given, x:size(3), weight:size(3), stride, dilation)
  x = padded(x, before, behind, budget)
  local groups, parts = given.group or 1, {}
  local C, M = x:size(2) // groups, weight:size(1) // groups
  for g = 1, groups do
    local own = groups == 1 and x or x:slice(2, (g - 1) * C + 1, g * C)
    local part = groups == 1 and weight or weight:slice(1, (g - 1) * M + 1, g * M)
    parts[g] = convolved(own, part, stride, dilation)
  end
  local y = groups == 1 and parts[1] or core.concatenate(parts, 2)
  return bias and y + real(bias):reshape(M * groups, 1) or y
end

return operators
