--- The minimal LSTM: gates i f n, of which i and f are divided by their sum; its state
--- is h.

local gated = require "saros.nn.cells.gated"
local minimal = require "saros.nn.cells.minimal"

---@class saros.nn.RecurrentConstructors
---@field minlstm fun(given: saros.nn.MinimalOptions): saros.nn.Recurrent  `nn.minlstm { 64, 128 }`

return minimal("minlstm", 3, { -1, 1 }, function(a, states)
  local H = states.h:size(2)
  local i, f = gated.part(a, H, 1):sigmoid(), gated.part(a, H, 2):sigmoid()
  -- the share of the old state, which with that of the new one makes a whole
  return { { name = "forget", values = f / (i + f) } }
end, function(cell, candidate)
  -- f and i over their sum, which is sigmoid(f - i') of the logarithms of the two: as
  -- exponentials of which none is above 1
  local a = cell:from_input()
  local i, f, n = cell:gate(a, 0), cell:gate(a, 1), candidate(cell:gate(a, 2))
  local least = cell:apply("minimum", cell:apply("minimum", i, f), cell:number(0))
  local one = cell:apply("exp", least)
  local of_i = cell:apply("add", one, cell:apply("exp", cell:apply("subtract", least, f)))
  local of_f = cell:apply("add", one, cell:apply("exp", cell:apply("subtract", least, i)))
  local sum = cell:apply("add", cell:apply("multiply", of_f, cell.h), cell:apply("multiply", of_i, n))
  return cell:apply("divide", sum, cell:apply("add", of_i, of_f))
end)
