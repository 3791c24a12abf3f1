-- The sLSTM of xLSTM (Beck et al. 2024): exponential gates, a normaliser n, and m, the
-- logarithm of what both are divided by so that no gate overflows.
local saros = require "saros"
local nn = saros.nn

local Slstm = nn.cell("slstm", { states = { "h", "c", "n", "m" }, parameters = { f = { bias = 3 } } },
  function(p, x, h, c, n, m)
    local v = x .. h
    local z, o = saros.tanh(p.z(v)), saros.sigmoid(p.o(v))
    local i, f = p.i(v), p.f(v)
    local largest = saros.maximum(f + m, i)
    i, f = saros.exp(i - largest), saros.exp(f + m - largest)
    c, n = f * c + i * z, f * n + i
    return o * c / n, c, n, largest
  end)

return nn.chain {
  nn.residual { nn.layer_norm { 8 }, nn.recurrent { 8, 8, cell = Slstm } },
  nn.residual { nn.layer_norm { 8 }, nn.recurrent { 8, 8, cell = Slstm } },
  nn.linear { 8, 3 },
}:init { seed = 1 }
