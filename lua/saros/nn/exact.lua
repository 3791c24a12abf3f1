--- Steps of the delta rule whose numbers are small integers: each key a root, e_i or
--- e_i +- e_j, and each step one of three things.
---
---     b = 0   keeps the matrix
---     b = 1   replaces row i by a value of -1, 0 and 1        the key is e_i
---     b = 2   reflects, M - 2 k k^T M / (k.k): negates row i, or exchanges two rows, with
---             or without a change of sign
---
--- From an identity the rows stay vectors of integers, so a matrix is one of finitely many,
--- and sums of them have no rounding in any order: 2^24, above which float skips integers,
--- is far from the few hundred that a chunk of 64 steps adds up.
---
--- Training is straight-through: values as above, gradients of the numbers that they are
--- nearest to (Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic
--- Neurons for Conditional Computation").

local core = require "saros.core"
local scope = require "saros.nn.scope"

local exact = {}

-- A key is nearer to e_i +- e_j than to e_i if its second largest element is more than
-- tan(pi / 8) times the largest.
local PAIR = math.sqrt(2) - 1

-- Within the root of the length of keys, as for soft ones.
local LENGTH_EPSILON = 1e-6

-- 2 sigmoid(s z) is nearest to 1 for |z| < log(3) / s, a third of the logits of an untrained layer.
local SHARPNESS = 4

--- The value of `hard`, and on the way back the gradient of `soft`.
local function through(hard, soft)
  if scope.tracer then -- a program has no way back for it
    scope.tracer.asks_training = true
    return hard
  end
  return hard + (soft - soft:detach())
end

--- 1 where an element is the first of the largest along the last axis.
local function first_largest(x)
  local is_top = x:ge(x:max(-1, true))
  return is_top * is_top:cumsum(-1):eq(1)
end

--- b by logits: 0, 1 or 2; and the write gate, 1 where b is 1.
---@param logits saros.Tensor  (T, B, n H)
---@return saros.Tensor b
---@return saros.Tensor write
function exact.gates(logits)
  local soft = core.sigmoid(logits * SHARPNESS) * 2
  local known = soft:detach()
  local replaces = known:ge(0.5) * known:lt(1.5)
  return through(replaces + known:ge(1.5) * 2, soft), through(replaces, soft * (2 - soft))
end

--- The roots that are nearest to keys, and the squares of their lengths, 1 or 2.
---@param keys saros.Tensor  (T, B, n H, K)
---@param b saros.Tensor  (T, B, n H): where it is 1, roots are e_i
---@return saros.Tensor roots  (T, B, n H, K)
---@return saros.Tensor squares  (T, B, n H)
function exact.roots(keys, b)
  local T, B, n, K = keys:size(1), keys:size(2), keys:size(3), keys:size(4)
  local known = keys:detach()
  local size = known:abs()
  local first = first_largest(size)
  local rest = size * (1 - first) - first
  local is_pair = (size:max(-1) * PAIR):lt(rest:max(-1)) * b:detach():ne(1)
  local wide = is_pair:reshape(T, B, n, 1)
  local roots = (first + first_largest(rest) * wide) * (known:ge(0) * 2 - 1)
  local unit = core.rms_norm(keys, core.full({ K }, K ^ -0.5), LENGTH_EPSILON / K)
  return through(roots, unit * (wide + 1):sqrt()), is_pair + 1
end

--- -1, 0 or 1, whichever tanh(x) is nearest to.
---@param x saros.Tensor
---@return saros.Tensor
function exact.values(x)
  local soft = core.tanh(x * SHARPNESS)
  local known = soft:detach()
  return through(known:gt(0.5) - known:lt(-0.5), soft)
end

--- The first matrices (H K V): zeros of soft heads, identities of exact ones.
---@param o { heads: integer, exact: integer, key_size: integer, value_size: integer }
---@return saros.Tensor
function exact.first(o)
  local K, V, list = o.key_size, o.value_size, {}
  for place = 0, o.heads * K * V - 1 do
    local is_exact = place // (K * V) >= o.heads - o.exact
    list[place + 1] = is_exact and place // V % K == place % V and 1 or 0
  end
  return core.tensor(list)
end

return exact
