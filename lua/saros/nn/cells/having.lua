--- The names of the fused cells whose table has a field, such as "named".

local cells = require "saros.nn.cells"
local list = require "saros.nn.cells.list"

---@param field string
---@return string[]  in the order of the list
return function(field)
  local names = {}
  for _, name in ipairs(list) do
    if cells[name][field] then
      names[#names + 1] = name
    end
  end
  return names
end
