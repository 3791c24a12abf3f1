--- The options of recurrent layers: those that all have, and those of named cells, some of
--- which a cell may lack.

local options = require "saros.options"

local layer_options = {}

--- Of all layers, those of nn.recurrent, too.
layer_options.common = {
  { "input", options.size },
  { "hidden", options.size },
  { "layers", options.size, 1 },
  { "bidirectional", options.boolean, false },
  { "dropout", options.fraction, 0 },
  { "variational", options.boolean, false },
  { "residual", options.boolean, false },
  { "learn_state", options.boolean, false },
  { "batch_first", options.boolean, false },
}

local named = {
  { "bias", options.boolean, true },
  { "recurrent_dropout", options.fraction, 0 },
  { "zoneout", options.fraction, 0 },
  { "layer_norm", options.boolean, false },
}

--- The options of named cells, for one of them. Those that it lacks take their defaults
--- alone, and no message lists them.
---@param cell saros.nn.Cell
---@return table[]
function layer_options.named_for(cell)
  local lacks, rows = {}, {}
  for _, name in ipairs(cell.lacks or {}) do
    lacks[name] = true
  end
  for n, row in ipairs(named) do
    rows[n] = { row[1], row[2], row[3], unlisted = lacks[row[1]] }
  end
  return rows
end

--- What a cell lacks and was asked for, if anything.
---@param rows table[]  of named_for
---@param o table  checked
---@return string?
function layer_options.problem(rows, o)
  for _, row in ipairs(rows) do
    local name, default = row[1], row[3]
    if row.unlisted and o[name] ~= default then
      return ("expected no %s%s, which this cell does not have"):format(name, o[name] == false and " = false" or "")
    end
  end
end

--- Several lists of options as one.
---@param ... table[]
---@return table[]
function layer_options.joined(...)
  local list = {}
  for _, part in ipairs { ... } do
    table.move(part, 1, #part, #list + 1, list)
  end
  return list
end

return layer_options
