--- The minimal LSTM: gates i f n, of which i and f are divided by their sum; its state
--- is h.

local minimal = require "saros.nn.cells.minimal"

---@class saros.nn.RecurrentConstructors
---@field minlstm fun(given: saros.nn.MinimalOptions): saros.nn.Recurrent  `nn.minlstm { 64, 128 }`

return minimal("minlstm", 3, { -1, 1 }, { { "f", "forget" }, { "n", "candidate" } }, function(cell, candidate)
  -- f and i over their sum, which is sigmoid(f - i') of the logarithms of the two: as
  -- exponentials of which none is above 1
  local a = cell:from_input()
  local i, f, n = cell:gate(a, 0), cell:gate(a, 1), cell:named(candidate(cell:gate(a, 2)), "n")
  local least = cell:apply("minimum", cell:apply("minimum", i, f), cell:number(0))
  local one = cell:apply("exp", least)
  local of_i = cell:apply("add", one, cell:apply("exp", cell:apply("subtract", least, f)))
  local of_f = cell:apply("add", one, cell:apply("exp", cell:apply("subtract", least, i)))
  local sum = cell:apply("add", cell:apply("multiply", of_f, cell.h), cell:apply("multiply", of_i, n))
  local both = cell:apply("add", of_i, of_f)
  cell:named(cell:apply("divide", of_f, both), "f") -- the share of the old state; that of n is the rest
  return cell:apply("divide", sum, both)
end)
