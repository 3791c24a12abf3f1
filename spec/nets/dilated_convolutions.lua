-- Residual blocks of dilated causal convolutions, whose reach doubles, then a GRU.
local saros = require "saros"
local nn = saros.nn

local F = 12

local function block(dilation)
  return nn.residual {
    nn.branch {
      nn.chain { nn.conv1d { F, F, kernel = 2, dilation = dilation }, saros.tanh },
      nn.chain { nn.conv1d { F, F, kernel = 2, dilation = dilation }, saros.sigmoid },
      combine = "multiply",
    },
    nn.linear { F, F },
  }
end

return nn.chain {
  nn.linear { 3, F }, block(1), block(2), block(4), block(8), nn.gru { F, 16 }, nn.linear { 16, 5 },
}:init { seed = 1 }
