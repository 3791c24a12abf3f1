--- Elman's network, the textbook's cell (Elman 1990):
---
---     h(t) = tanh(W_ih x(t) + b_ih + W_hh h(t-1) + b_hh)

local options = require "saros.options"
local gated = require "saros.nn.cells.gated"

---@class saros.nn.RnnOptions: saros.nn.RecurrentOptions
---@field activation? "tanh"|"relu"  ("tanh")

---@type saros.nn.Cell
return {
  gates = 1,
  states = { "h" },
  options = { { "activation", options.one_of { "tanh", "relu" }, "tanh" } },
  operation = function(o)
    return "elman_" .. o.activation
  end,
  add = gated.add,
}
