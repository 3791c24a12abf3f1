--- A sequence that a script gives for the test of a file.

local core = require "saros.core"
local options = require "saros.options"

--- A list as the tensor that it stands for; anything else, and a list that is none, as it is.
local function as_tensor(value, node)
  if type(value) ~= "table" or getmetatable(value) ~= nil then
    return value
  end
  local ok, tensor = pcall(node.op == "ids" and core.ids or core.tensor, value)
  return ok and tensor or value
end

--- True if it is what steps take, once for each.
local function fits(input, node)
  if options.tensor.accept(input) == nil or #input == 0 then
    return false
  elseif node.op == "ids" then
    return input:dtype() == "ids" and input:rank() == 1
  end
  return input:dtype() == "real" and input:rank() == 2 and input:size(2) == node.width
end

--- The tensor that a node takes: ids (T) or numbers (T, width); nil if the value is no
--- such sequence.
---@param value any
---@param input fun(value: any): any  what scripts give the model, as a tensor or a list
---@param node { op: string, width: integer? }  that takes it
---@return saros.Tensor?
return function(value, input, node)
  local tensor = as_tensor(options.about("export_c", input, value), node)
  return fits(tensor, node) and tensor or nil
end
