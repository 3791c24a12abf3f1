--- Elman's network, the textbook's cell (Elman 1990):
---
---     h(t) = tanh(W_ih x(t) + b_ih + W_hh h(t-1) + b_hh)

local activated = require "saros.nn.cells.activated"
local gated = require "saros.nn.cells.gated"

---@class saros.nn.RnnOptions: saros.nn.RecurrentOptions
---@field activation? string  "tanh" and "relu" are fused; also "hard_tanh", "softsign", "elu", "identity" ... ("tanh")

---@type saros.nn.Cell
return {
  gates = 1,
  states = { "h" },
  options = { activated.activation },
  operation = function(o)
    return "elman_" .. o.activation
  end,
  add = gated.add,
}
