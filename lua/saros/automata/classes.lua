--- A class for each state, from 1: states of equal keys have the same one.
---@param keys string[]  by state
---@return integer[] class  by state
---@return integer count  of classes
return function(keys)
  local numbers, class, count = {}, {}, 0
  for state, key in ipairs(keys) do
    if not numbers[key] then
      count = count + 1
      numbers[key] = count
    end
    class[state] = numbers[key]
  end
  return class, count
end
