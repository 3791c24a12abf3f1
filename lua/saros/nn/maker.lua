--- What makes the cells of one's own: the option `cell` of nn.recurrent, a function of
--- the sizes, and what is said where it gets something else.

local core = require "saros.core"
local options = require "saros.options"
local cell_names = require "saros.nn.cells.list"
local module = require "saros.nn.module"

local maker = {}

--- The option. A name is one of a fused cell, which other functions take.
maker.option = options.kind(options.callable.expected, options.callable.accept)
function maker.option.explain(value)
  if type(value) ~= "string" then
    return ""
  end
  local name = core.nearest(value, cell_names)
  return ("; %s for layers of a fused cell, nn.cell for a cell of your own"):format(
    name and "nn." .. name or "nn.lstm, nn.gru and the like")
end

--- Calls it. A step, given as a function, takes the sizes for p and x, and fails.
local function call(make, inputs, hidden)
  if type(make) ~= "function" then
    return make(inputs, hidden)
  end
  local ok, cell = pcall(make, inputs, hidden)
  if not ok and type(cell) == "string" and cell:find "attempt to " then
    cell = cell .. "; nn.recurrent calls the function of option 'cell' with inputs and hidden, to make a module; "
      .. "nn.cell makes one of a step"
  end
  if not ok then
    error(cell, 0)
  end
  return cell
end

--- The module that it makes of these sizes.
---@param make function|table
---@param inputs integer
---@param hidden integer
---@return saros.nn.Module
function maker.make(make, inputs, hidden)
  local cell = call(make, inputs, hidden)
  if not module.is(cell) then
    options.fail(("nn.recurrent: expected the option 'cell' to make a module of its sizes, got %s; nn.cell makes one "
      .. "of a step"):format(options.describe(cell)))
  end
  return cell
end

return maker
