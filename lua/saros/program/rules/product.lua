--- Rules for products: with a parameter (linear), and in each row (matvec, outer).
---
--- The leading axes of a matrix product (..., M, K) (..., K, N) in a row are heads. For
--- each head it is a product of a matrix and a vector if M or N is 1, and an outer
--- product if K is 1; otherwise it is one such product for each of the M or N vectors.

local layout = require "saros.program.layout"

local rules = { always = {} }

-- More vectors than these in one product would make a program of too many nodes.
local MOST_VECTORS = 1024

--- Features at * size to (at + 1) * size - 1 of a node that has count * size of them.
local function run_of(t, node, at, count, size)
  return count == 1 and node or t:node("slice", { node }, { outer = 1, n = count, inner = size, from = at, count = 1 },
    size)
end

local function side_by_side(t, nodes, width)
  return #nodes == 1 and nodes[1] or t:node("concatenate", nodes, {}, width)
end

--- Refuses more vectors than fit a program.
local function check_vectors(t, name, count)
  if count > MOST_VECTORS then
    t:refuse(("%s of %d vectors, more than %d"):format(name, count, MOST_VECTORS))
  end
end

--- W x + b for each run of K features of a node; W is (N, K) of a node.
local function linear_runs(t, name, node, weight, bias, K)
  local runs, N = t.widths[node] // K, t.widths[weight] // K
  check_vectors(t, name, runs)
  local nodes = {}
  for at = 0, runs - 1 do
    nodes[at + 1] = t:node("linear", { run_of(t, node, at, runs, K), weight, bias }, {}, N)
  end
  return side_by_side(t, nodes, runs * N)
end

--- (A, B) of a node as (B, A).
local function turned(t, node, A, B)
  return (A == 1 or B == 1) and node
    or t:node("transpose", { node }, { outer = 1, a = A, b = B, inner = 1 }, A * B)
end

--- x (..., K) times W (K, N), W without rows.
local function times_parameter(t, x, weight)
  local k = #x.axes
  local value, w = t:solid("matmul", x, k), t:spread("matmul", weight, weight.axes)
  local K = layout.size(value.axes[k])
  local axes, N = layout.copy(value.axes), t.widths[w] // K
  axes[k] = layout.axis(N, "feature")
  return t:as(linear_runs(t, "matmul", value.node, turned(t, w, K, N), nil, K), axes)
end

--- The run `at` of n in each of `outer` blocks.
local function picked(t, node, outer, n, inner, at)
  return t:node("slice", { node }, { outer = outer, n = n, inner = inner, from = at, count = 1 }, outer * inner)
end

local function interleaved(t, nodes, outer, width)
  return t:node("concatenate", nodes, { outer = outer > 1 and outer or nil }, width)
end

local product_of_heads

--- The product by the rows of a, or by the columns of b, whichever are fewer.
local function by_vectors(t, a, b, heads, M, K, N)
  check_vectors(t, "matmul", math.min(M, N))
  local nodes = {}
  for at = 0, math.min(M, N) - 1 do
    nodes[at + 1] = M <= N and product_of_heads(t, picked(t, a, heads, M, K, at), b, heads, 1, K, N)
      or product_of_heads(t, a, picked(t, b, heads * K, N, 1, at), heads, M, K, 1)
  end
  local all = interleaved(t, nodes, heads, heads * M * N)
  return M <= N and all
    or t:node("transpose", { all }, { outer = heads, a = N, b = M, inner = 1 }, heads * M * N)
end

--- The product of each head: M, K and N as they are.
function product_of_heads(t, a, b, heads, M, K, N)
  if K == 1 and M > 1 and N > 1 then
    return t:node("outer", { a, b }, { heads = heads }, heads * M * N)
  elseif N == 1 then
    return t:node("matvec", { a, b }, { heads = heads, rows = M, columns = K }, heads * M)
  elseif M == 1 then
    return t:node("matvec", { b, a }, { heads = heads, rows = K, columns = N, transposed = true }, heads * N)
  end
  return by_vectors(t, a, b, heads, M, K, N)
end

--- The last two axes of an operand as (rows, columns) of features.
local function check_matrix(t, value, inner)
  for k = #value.axes - 1, #value.axes do
    local row = layout.row_of(value.axes[k])
    if row == "batch" or (row == "time" and k == inner) then
      t:refuse("matmul over " .. (row == "batch" and "the rows of a batch" or "time"))
    end
  end
end

--- (..., M, K) times (..., K, N), a matrix of each row at least once.
local function times_rows(t, a, b)
  check_matrix(t, a, #a.axes)
  check_matrix(t, b, #b.axes - 1)
  local size, of = layout.size, function(value, k) return value.axes[#value.axes + k] end
  local M, K, N = size(of(a, -1)), size(of(a, 0)), size(of(b, 0))
  local lead = function(value)
    return { axes = table.move(value.axes, 1, #value.axes - 2, 1, {}) }
  end
  local axes = layout.copy(t:common("matmul", { lead(a), lead(b) }))
  local heads, rank = layout.features(axes), #axes
  local function whole(value, rows, columns)
    local wanted = layout.copy(axes)
    wanted[rank + 1], wanted[rank + 2] = layout.axis(rows, "feature"), layout.axis(columns, "feature")
    return t:spread("matmul", value, wanted)
  end
  local node = product_of_heads(t, whole(a, M, K), whole(b, K, N), heads, M, K, N)
  axes[rank + 1], axes[rank + 2] = layout.axis(M, "feature"), layout.axis(N, "feature")
  if layout.row_of(of(a, -1)) then -- the step
    axes[rank + 1] = of(a, -1)
  end
  return t:as(node, axes)
end

local function has_rows(value)
  for _, axis in ipairs(value.axes) do
    if layout.row_of(axis) then
      return true
    end
  end
  return false
end

--- Without the axes of size 1 that operands of rank 1 were given.
local function squeezed(t, value, first, second)
  local axes = layout.copy(value.axes)
  if second then
    table.remove(axes)
  end
  if first then
    table.remove(axes, second and #axes or #axes - 1)
  end
  return t:as(value.node, axes)
end

--- True if b is a map of the last axis of a: a matrix without rows, of rows or of one
--- vector. Rows that are all alike, such as zeros(B, H), count as rows.
local function is_map(a, b)
  return #b.axes == 2 and not has_rows(b) and (has_rows(a) or layout.size(a.axes[#a.axes - 1], "feature") == 1)
end

function rules.matmul(t, arguments, results)
  local a, b = t:value(arguments[1]), t:value(arguments[2])
  local is_row, is_column = #a.axes == 1, #b.axes == 1
  if is_row then
    a = t:as(a.node, { {}, a.axes[1] })
  end
  if is_column then
    b = t:as(b.node, { b.axes[1], {} })
  end
  local y = is_map(a, b) and times_parameter(t, a, b) or times_rows(t, a, b)
  t:bind(results[1], squeezed(t, y, is_row, is_column))
end

--- With a bias (N) that every run gets.
function rules.linear(t, arguments, results)
  local x, weight = t:value(arguments[1]), t:value(arguments[2])
  local bias = arguments[3] and t:value(arguments[3])
  if has_rows(weight) or (bias and has_rows(bias)) then
    t:refuse "linear with weights that differ from row to row"
  end
  local k = #x.axes
  local value = t:solid("linear", x, k)
  local K, axes = layout.size(value.axes[k]), layout.copy(value.axes)
  local w = t:spread("linear", weight, weight.axes)
  axes[k] = layout.axis(t.widths[w] // K, "feature")
  local b = bias and t:spread("linear", bias, { axes[k] })
  t:bind(results[1], t:as(linear_runs(t, "linear", value.node, w, b, K), axes))
end

return rules
