--- How much the nodes of a graph may make while it is read, so that a small file cannot ask for much memory or
--- time: a bound on the elements of each value, one on what nodes do, and one on the memory that is taken.

local core = require "saros.core"
local tensors = require "saros.onnx.tensors"

local work = {}

---@class saros.onnx.Budget
---@field left integer  elements that nodes may still read and make
---@field most integer  elements of one value
---@field bytes integer  in use, of tensors, at most

-- What a node takes besides its elements, so that the steps of loops are bounded, too.
local OF_A_NODE = 4096

-- Elements, and bytes beside four times those of the file.
local MOST_OF_ONE, MOST, ROOM = 1 << 20, 1 << 28, 1 << 25

-- Elements of a shape that a node is told, when no file is read.
local MOST_OF_SHAPE = 1 << 24

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

--- A budget for a file of that many bytes.
---@param bytes integer
---@return saros.onnx.Budget
function work.new(bytes)
  return {
    left = MOST + 8 * bytes, most = math.max(MOST_OF_ONE, bytes), bytes = core.memory().in_use + 4 * bytes + ROOM,
  }
end

--- Takes what a node may make; error if that is too much.
---@param budget saros.onnx.Budget
---@param op string
---@param inputs any[]  false for one that is absent
function work.take(budget, op, inputs)
  local bound = bound_of(op, inputs)
  budget.left = budget.left - bound - OF_A_NODE
  if bound > 8 * budget.most or budget.left < 0 or core.memory().in_use > budget.bytes then
    error("expected a graph that can be tried with little work, got one that makes too many elements", 0)
  end
end

--- Refuses a shape that a node is told, if it has too many elements.
---@param sizes integer[]
---@param budget? saros.onnx.Budget
---@return integer[] sizes
function work.check_shape(sizes, budget)
  local count, most = 1, budget and budget.most or MOST_OF_SHAPE
  for _, size in ipairs(sizes) do
    count = count * size
    if size < 0 or size > 0x7FFFFFFF or count > most then
      error(("expected a shape of at most %d elements, got (%s)"):format(most, table.concat(sizes, ", ")), 0)
    end
  end
  return sizes
end

return work
