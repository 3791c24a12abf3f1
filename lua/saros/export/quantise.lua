--- Matrices in 8 bits, as sessions have them: rows of integers in -127..127, and a
--- scale for each row.

local core = require "saros.core"

-- What the largest weight of a row of zeros is taken for.
local SMALLEST = 1e-30

--- Whole numbers by the rounding of sums that leave no room for a fraction.
local function round(x)
  local large = 1.5 * 2 ^ (core.info().real == "float" and 23 or 52)
  return x + large - large
end

--- A row with a weight that is not finite is zeros with the scale NaN, so all that
--- it makes is NaN.
---@param weight saros.Tensor  (n, k)
---@return { integers: saros.Tensor, scale: saros.Tensor, values: saros.Tensor }  (n, k), (n), (n, k)
return function(weight)
  local largest = weight:abs():max(2):reshape(-1, 1)
  local is_finite = largest:isfinite()
  local scale = core.where(is_finite, largest:maximum(SMALLEST) / 127, 0 / 0)
  local integers = core.where(is_finite, round(weight / scale), 0)
  return { integers = integers, scale = scale:reshape(-1), values = integers * scale }
end
