--- How much the nodes of a graph may make while it is read, so that a small file cannot ask for
--- much memory or time: a bound on the elements of each value, and on their sum.

local tensors = require "saros.onnx.tensors"

local work = {}

local MOST_OF_ONE, MOST = 1 << 24, 1 << 28

-- What a node takes besides: the steps of loops are bounded, too.
local OF_A_NODE = 4096

local function count_of(shape)
  local count = 1
  for _, size in ipairs(shape) do
    count = count * size
  end
  return count
end

--- A product of matrices: rows of one by columns of the other.
local function product_bound(a, b)
  local K = math.max(1, a[#a] or 1)
  return count_of(a) // K * (count_of(b) // K)
end

--- No fewer elements than a node gives, unless its inputs say a shape.
local function bound_of(op, inputs)
  local wide, sum, shapes = {}, 0, {}
  for n, value in ipairs(inputs) do
    local shape = value and tensors.shape(value) or {}
    shapes[n], sum = shape, sum + count_of(shape)
    for k = 1, #shape do -- from the last axis
      wide[k] = math.max(wide[k] or 1, shape[#shape - k + 1])
    end
  end
  local is_product = op == "MatMul" or op == "Gemm" or op == "MatMulInteger"
  return sum + (is_product and product_bound(shapes[1], shapes[2]) or count_of(wide))
end

---@return { left: integer }
function work.new()
  return { left = MOST }
end

--- Takes what a node may make; error if that is too much.
---@param budget { left: integer }
---@param op string
---@param inputs any[]  false for one that is absent
function work.take(budget, op, inputs)
  local bound = bound_of(op, inputs)
  budget.left = budget.left - bound - OF_A_NODE
  if bound > MOST_OF_ONE or budget.left < 0 then
    error("expected a graph that can be tried with little work, got one that makes too many elements", 0)
  end
end

--- Refuses a shape that a node is told, if it has too many elements.
---@param sizes integer[]
---@return integer[] sizes
function work.check_shape(sizes)
  local count = 1
  for _, size in ipairs(sizes) do
    count = count * size
    if size < 0 or size > 0x7FFFFFFF or count > MOST_OF_ONE then
      error(("expected a shape of at most %d elements, got (%s)"):format(MOST_OF_ONE, table.concat(sizes, ", ")), 0)
    end
  end
  return sizes
end

return work
