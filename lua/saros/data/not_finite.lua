--- The first element of a matrix that is an infinity or no number.

--- The half of an axis in which something is not finite, until it is one position.
local function first_along(x, axis)
  local first, last = 1, x:size(axis)
  while first < last do
    local middle = (first + last) // 2
    if x:slice(axis, first, middle):all_finite() then
      first = middle + 1
    else
      last = middle
    end
  end
  return first
end

---@param x saros.Tensor  (n, F)
---@return integer? row  nil if all are finite
---@return integer? column
local function not_finite(x)
  if x:all_finite() then
    return nil
  end
  local row = first_along(x, 1)
  return row, first_along(x:slice(1, row, row), 2)
end

return not_finite
