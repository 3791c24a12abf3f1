--- The minimal LSTM: gates i f n, of which i and f are divided by their sum; its state
--- is h.

local gated = require "saros.nn.cells.gated"
local minimal = require "saros.nn.cells.minimal"

return minimal("minlstm", 3, { -1, 1 }, function(a, states)
  local H = states.h:size(2)
  local i, f = gated.part(a, H, 1):sigmoid(), gated.part(a, H, 2):sigmoid()
  -- the share of the old state, which with that of the new one makes a whole
  return { { name = "forget", values = f / (i + f) } }
end)
