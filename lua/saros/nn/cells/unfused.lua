--- Layers of named cells that no kernel computes: the options that nn.recurrent takes for
--- them. The cell has a maker, or is a fused one with other activations.

local lazy = require "saros.lazy"

local late = lazy({}, { activated = { "saros.nn.cells.activated", "maker" } })

-- Options of nn.recurrent beside those of all layers.
local OTHERS = { "recurrent_dropout", "zoneout" }

---@param name string  of the cell
---@param cell saros.nn.Cell
---@param o table  the checked options of the layer
---@param common table[]  rows of options that all layers have
---@return table
return function(name, cell, o, common)
  local given = {}
  for _, row in ipairs(common) do
    given[row[1]] = o[row[1]]
  end
  for _, option in ipairs(OTHERS) do
    given[option] = o[option]
  end
  given.cell = cell.maker and cell.maker(o) or late.activated(name, cell, o, given)
  return given
end
