--- Gated recurrent units (Cho et al. 2014): gates r z n.

local options = require "saros.options"
local activation = require "saros.nn.cells.activation"
local gated = require "saros.nn.cells.gated"

---@class saros.nn.GruOptions: saros.nn.RecurrentOptions
---@field remember? integer  as of the LSTM
---@field reset? "after"|"before"  r acts after the product U_n h (PyTorch), or before it (the paper) ("after")
---@field activation? string  of n, as of nn.rnn; others than tanh and sigmoid are not fused ("tanh")
---@field gate_activation? string  of r and z, such as "hard_sigmoid" ("sigmoid")

---@class saros.nn.RecurrentConstructors
---@field gru fun(given: saros.nn.GruOptions): saros.nn.Recurrent  `nn.gru { 64, 128 }`

-- --- Definitions ---------------------------------------------------------------------------

local function sigmoid_gate(cell, a, u, n)
  return cell:apply("sigmoid", cell:apply("add", cell:gate(a, n), cell:gate(u, n)))
end

--- n + z (h - n).
local function blend(cell, n, z)
  return cell:apply("add", n, cell:apply("multiply", z, cell:apply("subtract", cell.h, n)))
end

local function define(cell)
  local a, u = cell:from_input(), cell:from_state(cell.h, 0, 3)
  local r = cell:named(sigmoid_gate(cell, a, u, 0), "r")
  local z = cell:named(sigmoid_gate(cell, a, u, 1), "z")
  local n = cell:apply("tanh", cell:apply("add", cell:gate(a, 2), cell:apply("multiply", r, cell:gate(u, 2))))
  return blend(cell, cell:named(n, "n"), z)
end

--- It resets before the product.
local function define_before(cell)
  local a, u = cell:from_input(), cell:from_state(cell.h, 0, 2)
  local r = cell:named(sigmoid_gate(cell, a, u, 0), "r")
  local z = cell:named(sigmoid_gate(cell, a, u, 1), "z")
  local read = cell:from_state(cell:apply("multiply", r, cell.h), 2, 1)
  return blend(cell, cell:named(cell:apply("tanh", cell:apply("add", cell:gate(a, 2), read)), "n"), z)
end

---@type saros.nn.Cell
return {
  gates = 3,
  states = { "h" },
  options = { { "reset", options.one_of { "after", "before" }, "after" }, gated.remember_option,
    activation.option, activation.gate_option },
  operation = function(o)
    return o.reset == "after" and "gru" or "gru_before"
  end,
  check = function(o)
    if o.reset == "before" and o.layer_norm then
      return 'expected reset = "after" with layer_norm, got "before"'
    end
    return gated.remember_problem(o)
  end,
  bias = gated.remembering { [2] = 1 },
  add = gated.add,
  definitions = { gru = define, gru_before = define_before },
  named = { { "r", "reset" }, { "z", "update" }, { "n", "candidate" } },
}
