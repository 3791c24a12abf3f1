--- The minimal GRU: gates z n.
---
---     h(t) = (1 - z(t)) h(t-1) + z(t) n(t),  z = sigmoid(W_z x + b_z),  n = W_n x + b_n

local minimal = require "saros.nn.cells.minimal"

---@class saros.nn.RecurrentConstructors
---@field mingru fun(given: saros.nn.MinimalOptions): saros.nn.Recurrent  `nn.mingru { 64, 128 }`

return minimal("mingru", 2, { -1 }, { { "z", "update" }, { "n", "candidate" } }, function(cell, candidate)
  local a = cell:from_input()
  local z, n = cell:gate(a, 0), cell:named(candidate(cell:gate(a, 1)), "n")
  local taken = cell:named(cell:apply("sigmoid", z), "z")
  return cell:apply("add", cell:apply("multiply", cell:apply("sigmoid", cell:apply("negate", z)), cell.h),
    cell:apply("multiply", taken, n))
end)
