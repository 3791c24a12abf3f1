--- Lists in another order.

local order = {}

--- Each element once, where it comes first.
---@generic T
---@param list T[]
---@return T[]
function order.once(list)
  local seen, once = {}, {}
  for _, element in ipairs(list) do
    if not seen[element] then
      seen[element], once[#once + 1] = true, element
    end
  end
  return once
end

--- The same elements in a random order.
---@generic T
---@param list T[]
---@param generator saros.Generator
---@return T[]
function order.shuffled(list, generator)
  local shuffled = {}
  for position, from in ipairs(#list > 0 and generator:permutation(#list):totable() or {}) do
    shuffled[position] = list[from]
  end
  return shuffled
end

return order
