--- Tables in an order that does not depend on hashing.

local sorted = {}

local function precedes(a, b)
  if type(a) == type(b) then
    return a < b
  end
  return type(a) == "number"
end

--- The keys of a table: numbers, then strings, each in ascending order.
---@param fields table<string|number, any>
---@return (string|number)[]
function sorted.keys(fields)
  local keys = {}
  for key in pairs(fields) do
    keys[#keys + 1] = key
  end
  table.sort(keys, precedes)
  return keys
end

return sorted
