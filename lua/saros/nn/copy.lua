--- Copies of modules: the tables of a module from which a parameter or a module can be
--- reached, and a copy of each tensor in them; all else, such as a vocabulary or a function,
--- is shared.

local core = require "saros.core"
local options = require "saros.options"

local function is_module(value)
  return rawget(value, "members") ~= nil and rawget(value, "own_generators") ~= nil
end

--- True if a value is a part of a net, or a table from which one can be reached.
local function has_parts(value, seen)
  if type(value) ~= "table" then
    return options.tensor.accept(value) ~= nil or options.generator.accept(value) ~= nil
  elseif is_module(value) then
    return true
  elseif not seen[value] then
    seen[value] = true
    for _, inner in next, value do
      if has_parts(inner, seen) then
        return true
      end
    end
  end
  return false
end

--- A copy of a value, or the value itself if there is nothing in it to copy. `copies`
--- holds what was copied: a tensor that occurs twice stays one.
local function copy(value, copies, of_tensor)
  local known = copies[value]
  if known ~= nil then
    return known
  elseif not has_parts(value, {}) then
    return value
  elseif type(value) ~= "table" then
    copies[value] = options.tensor.accept(value) and of_tensor(value) or core.generator(0)
    return copies[value]
  end
  local made = {}
  copies[value] = made
  for key, inner in next, value do
    rawset(made, copy(key, copies, of_tensor), copy(inner, copies, of_tensor))
  end
  setmetatable(made, getmetatable(value))
  if is_module(made) and made.after_copy then
    made:after_copy()
  end
  return made
end

---@param module saros.nn.Module
---@param of_tensor fun(tensor: saros.Tensor): saros.Tensor  makes the copy of a tensor
---@return saros.nn.Module  no member of what the module is part of
return function(module, of_tensor)
  return copy(module, { [module.place or {}] = false }, of_tensor)
end
