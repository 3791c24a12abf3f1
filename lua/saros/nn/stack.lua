--- The recurrent stack of a ready model: its cell, by name or of one's own, with every
--- option that the cell has.

local options = require "saros.options"
local cells = require "saros.nn.cells"
local lazy = require "saros.lazy"
local recurrent = require "saros.nn.recurrent"

local late = lazy({}, { maker = { "saros.nn.program_cell", "maker" } })

local stack = {}

local fused = options.one_of(recurrent.names)

--- The name of a fused cell, or one of nn.cell.
stack.cell = options.kind(fused.expected .. " or a cell of nn.cell", function(value)
  local is_own = type(value) == "table" and options.callable.accept(value) ~= nil and type(value.name) == "string"
  return is_own and value or fused.accept(value)
end)
stack.cell.explain = fused.explain

-- Options that all layers have.
local COMMON = { "variational", "residual", "learn_state", "bias", "recurrent_dropout", "zoneout", "layer_norm" }

-- The layer's own constructor judges it, as it depends on the cell.
local anything = options.kind("a value", function(value)
  return value
end)
anything.optional = true

local names, known = {}, {}
local function add(name)
  if not known[name] then
    known[name] = true
    names[#names + 1] = name
  end
end
for _, name in ipairs(COMMON) do
  add(name)
end
for _, cell in pairs(cells) do
  for _, row in ipairs(cell.options) do
    add(row[1])
  end
end
table.sort(names)

--- The fields of a model's options with those of all cells, which have no default.
---@param fields table[]  of options.declare
---@return table[]
function stack.fields(fields)
  local all, declared = { table.unpack(fields) }, {}
  for _, row in ipairs(fields) do
    declared[row[1]] = true
  end
  for _, name in ipairs(names) do
    all[#all + 1] = not declared[name] and { name, anything } or nil
  end
  return all
end

--- The stack for a model's options; `given` is what the model itself decides. What
--- a cell of one's own does not know may stay at its default.
---@param o table  the model's options
---@param given table
---@return saros.nn.Recurrent
function stack.build(o, given)
  local is_own = type(o.cell) ~= "string"
  for _, name in ipairs(names) do
    local value = o[name]
    if given[name] == nil and value ~= nil and not (is_own and value == false) then
      given[name] = value
    end
  end
  if not is_own then
    return recurrent[o.cell](given)
  end
  given.cell = o.cell
  return recurrent.own(given)
end

--- The options as plain data: a cell of one's own is told by its name.
---@param o table
---@return table
function stack.plain(o)
  if type(o.cell) == "string" then
    return o
  end
  local plain = {}
  for name, value in pairs(o) do
    plain[name] = value
  end
  plain.cell, plain.own_cell = o.cell.name, true
  return plain
end

--- The options of a file: a cell of one's own is made of its programs there.
---@param o table
---@param description table  of the model
function stack.read_cell(o, description)
  if o.own_cell then
    o.cell, o.own_cell = late.maker(description.cell), nil
  end
end

return stack
