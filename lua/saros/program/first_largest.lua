--- Which of the n elements of each row of a node is the first largest, as one-hots: nodes
--- that are added to a program.
---@param t { node: function, scalar: function }  what they are added to, such as a recorder
---@param node integer
---@param rows integer
---@param n integer
---@return integer node
return function(t, node, rows, n)
  local width = rows * n
  local shape = { outer = rows, n = n, inner = 1 }
  local top = t:node("max", { node }, shape, rows)
  local wide = t:node("expand", { top }, { outer = rows, times = n, inner = 1 }, width)
  local is_top = t:node("eq", { node, wide }, {}, width)
  local count = t:node("cumsum", { is_top }, shape, width)
  return t:node("multiply", { is_top, t:node("eq", { count, t:scalar(1) }, {}, width) }, {}, width)
end
