--- Elman's network, the textbook's cell (Elman 1990):
---
---     h(t) = tanh(W_ih x(t) + b_ih + W_hh h(t-1) + b_hh)

local activation = require "saros.nn.cells.activation"
local gated = require "saros.nn.cells.gated"

---@class saros.nn.RnnOptions: saros.nn.RecurrentOptions
---@field activation? string  "tanh" and "relu" are fused; also "hard_tanh", "softsign", "elu", "identity" ... ("tanh")

---@class saros.nn.RecurrentConstructors
---@field rnn fun(given: saros.nn.RnnOptions): saros.nn.Recurrent  `nn.rnn { 64, 128, layers = 2 }`

--- f(W x + b + U h + b'), as a definition.
local function elman(f)
  return function(cell)
    return cell:apply(f, cell:apply("add", cell:from_input(), cell:from_state(cell.h, 0, 1)))
  end
end

---@type saros.nn.Cell
return {
  gates = 1,
  states = { "h" },
  options = { activation.option },
  operation = function(o)
    return "elman_" .. o.activation
  end,
  add = gated.add,
  definitions = { elman_tanh = elman "tanh", elman_relu = elman "relu" },
}
