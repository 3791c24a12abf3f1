--- The numbers in nested lists, in order: as they are in Lua, in double, before they
--- are rounded to those of the build.

local function append(numbers, values)
  if type(values) == "number" then
    numbers[#numbers + 1] = values
    return numbers
  end
  for _, inner in ipairs(values) do
    append(numbers, inner)
  end
  return numbers
end

---@param values number|table
---@return number[]
return function(values)
  return append({}, values)
end
