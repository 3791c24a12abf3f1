-- A block of Mamba (Gu and Dao 2023): a causal convolution of each feature, a selective
-- diagonal state of N numbers a feature, and a silu gate.
local saros = require "saros"
local nn = saros.nn

local D, E, N, R = 8, 16, 4, 2

local function decays(a) -- -1 .. -N in each feature, as logarithms
  a:assign(saros.log(saros.arange(N)):reshape(1, N) + saros.zeros(E, N))
end

local Selective = nn.cell("selective", {
  states = { { "m", E, N } }, output = true, parameters = { a = { value = decays }, skip = { value = 1 } },
}, function(p, x, m)
  local rows = x:size(1)
  local dt = saros.softplus(p.dt(p.dt_low(x, R), E)):reshape(rows, E, 1)
  local b, c = p.b(x, N):reshape(rows, 1, N), p.c(x, N):reshape(rows, 1, N)
  m = saros.exp(-dt * saros.exp(p.a:tensor { E, N })) * m + dt * b * x:reshape(rows, E, 1)
  return (m * c):sum(3) + p.skip:vector(E) * x, m
end)

return nn.chain {
  nn.residual {
    nn.rms_norm { D },
    nn.branch {
      nn.chain {
        nn.linear { D, E }, nn.conv1d { E, E, kernel = 4, groups = E }, saros.silu,
        nn.recurrent { E, E, cell = Selective },
      },
      nn.chain { nn.linear { D, E }, saros.silu },
      combine = "multiply",
    },
    nn.linear { E, D },
  },
  nn.linear { D, 3 },
}:init { seed = 1 }
