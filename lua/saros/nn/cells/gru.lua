--- Gated recurrent units (Cho et al. 2014): gates r z n.

local options = require "saros.options"
local activated = require "saros.nn.cells.activated"
local gated = require "saros.nn.cells.gated"

---@class saros.nn.GruOptions: saros.nn.RecurrentOptions
---@field remember? integer  as of the LSTM
---@field reset? "after"|"before"  r acts after the product U_n h (PyTorch), or before it (the paper) ("after")
---@field activation? string  of n, as of nn.rnn; others than tanh and sigmoid are not fused ("tanh")
---@field gate_activation? string  of r and z, such as "hard_sigmoid" ("sigmoid")

---@type saros.nn.Cell
return {
  gates = 3,
  states = { "h" },
  options = { { "reset", options.one_of { "after", "before" }, "after" }, gated.remember_option,
    activated.activation, activated.gate_activation },
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
  gates_of = function(a, states)
    local H = states.h:size(2)
    return { { name = "reset", values = gated.part(a, H, 1):sigmoid() },
      { name = "update", values = gated.part(a, H, 2):sigmoid() } }
  end,
}
