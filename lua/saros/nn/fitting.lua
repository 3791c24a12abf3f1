--- Which tensors of a file or table belong to the parameters of a module, and whether
--- they fit.

local options = require "saros.options"

local fitting = {}

local function sorted_names(tensors)
  local names = {}
  for name in pairs(tensors) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  return names
end

local function shape_text(tensor)
  return "(" .. table.concat(tensor:shape(), ", ") .. ")"
end

--- The parameters with all their names, of which tied ones have several, in
--- the order of the names.
---@return { tensor: saros.Tensor, names: string[] }[]
local function parameters_of(wanted)
  local list, by_tensor = {}, {}
  for _, name in ipairs(sorted_names(wanted)) do
    local tensor = wanted[name]
    if not by_tensor[tensor] then
      by_tensor[tensor] = { tensor = tensor, names = {} }
      list[#list + 1] = by_tensor[tensor]
    end
    table.insert(by_tensor[tensor].names, name)
  end
  return list
end

--- What is wrong with a value for a parameter; nil if nothing is.
local function misfit(tensor, value)
  local expected = shape_text(tensor)
  if type(value) ~= "userdata" then
    return "expected a tensor, got " .. options.describe(value)
  elseif value:dtype() ~= "real" or shape_text(value) ~= expected then
    return ("expected %s, got %s%s"):format(expected, value:dtype() == "ids" and "ids " or "", shape_text(value))
  end
end

--- Of the names of a parameter, those that are in a file: one is enough, as not
--- everyone writes tied weights twice. Several must have the same elements.
local function check_parameter(parameter, tensors, complain, lenient)
  local present, chosen = {}, nil
  for _, name in ipairs(parameter.names) do
    local value = tensors[name]
    local problem = value ~= nil and misfit(parameter.tensor, value)
    present[#present + 1] = value ~= nil and name or nil
    if problem then
      complain("misshapen %s: %s", name, problem)
    elseif value ~= nil and chosen and value:digest() ~= tensors[chosen]:digest() then
      complain("differing %s and %s: expected the same elements, as they are one parameter", chosen, name)
    elseif value ~= nil then
      chosen = name
    end
  end
  if #present == 0 and lenient then
    table.insert(lenient.missing, parameter.names[1])
  elseif #present == 0 then
    complain("missing %s %s", table.concat(parameter.names, ", or its other name "), shape_text(parameter.tensor))
  end
  return chosen
end

--- Each parameter with its tensor of a table, once all are known to fit. What
--- does not fit is listed in one error.
---@param self saros.nn.Module
---@param tensors table<string, saros.Tensor>
---@param prefix? string  of the names that belong to the module
---@param lenient? { missing: string[], unused: string[] }  gets names that would be errors: `strict = false`
---@return function iterator  of parameters and their tensors
function fitting.each(self, tensors, prefix, lenient)
  local wanted, problems, found = self:tensors(prefix), {}, {}
  local function complain(...)
    problems[#problems + 1] = "  " .. (...):format(select(2, ...))
  end
  for _, parameter in ipairs(parameters_of(wanted)) do
    local name = check_parameter(parameter, tensors, complain, lenient)
    found[parameter.tensor] = name and tensors[name]
  end
  for _, name in ipairs(sorted_names(tensors)) do
    if not wanted[name] and name:sub(1, #(prefix or "")) == (prefix or "") then
      if lenient then
        table.insert(lenient.unused, name)
      else
        complain("unexpected %s", name)
      end
    end
  end
  if #problems > 0 then
    options.fail("load: the tensors do not fit this " .. self.kind .. ":\n"
      .. table.concat(problems, "\n"))
  end
  return pairs(found)
end

return fitting
