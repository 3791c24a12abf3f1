--- The update gate RNN (Collins, Sohl-Dickstein and Sussillo 2016, "Capacity and
--- Trainability in Recurrent Neural Networks"): gates z n.
---
---     z(t) = sigmoid(W_z x(t) + b_z + U_z h(t-1) + b'_z)
---     n(t) = tanh(W_n x(t) + b_n + U_n h(t-1) + b'_n)
---     h(t) = z(t) h(t-1) + (1 - z(t)) n(t)

local gated = require "saros.nn.cells.gated"

---@class saros.nn.UgrnnOptions: saros.nn.RecurrentOptions
---@field remember? integer  as of the LSTM

---@class saros.nn.RecurrentConstructors
---@field ugrnn fun(given: saros.nn.UgrnnOptions): saros.nn.Recurrent  `nn.ugrnn { 64, 128 }`

--- n + z (h - n), as a definition.
local function define(cell)
  local a, u = cell:from_input(), cell:from_state(cell.h, 0, 2)
  local function sum(gate)
    return cell:apply("add", cell:gate(a, gate), cell:gate(u, gate))
  end
  local z = cell:named(cell:apply("sigmoid", sum(0)), "z")
  local n = cell:named(cell:apply("tanh", sum(1)), "n")
  return cell:apply("add", n, cell:apply("multiply", z, cell:apply("subtract", cell.h, n)))
end

---@type saros.nn.Cell
return {
  gates = 2,
  states = { "h" },
  options = { gated.remember_option },
  operation = function()
    return "ugrnn"
  end,
  check = gated.remember_problem,
  bias = gated.remembering { 1 },
  add = gated.add,
  definitions = { ugrnn = define },
  named = { { "z", "update" }, { "n", "candidate" } },
}
