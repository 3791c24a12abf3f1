--- Axes in another order.

--- The tensor whose axis k is axis order[k] of x.
---@param x saros.Tensor
---@param order integer[]  from 1
---@return saros.Tensor
return function(x, order)
  local now = {}
  for k = 1, #order do
    now[k] = k
  end
  for k = 1, #order do
    local at = k
    while now[at] ~= order[k] do
      at = at + 1
      if at > #order then
        error("expected each axis once in an order of axes", 0)
      end
    end
    while at > k do -- one place at a time, so that the others keep their order
      x = x:transpose(at - 1, at)
      now[at - 1], now[at] = now[at], now[at - 1]
      at = at - 1
    end
  end
  return x
end
