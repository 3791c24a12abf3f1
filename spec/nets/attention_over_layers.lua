-- Characters through an embedding and two LSTMs; what predicts is a mean of the three
-- outputs, with weights that each step chooses by itself.
local saros = require "saros"
local nn = saros.nn

local V, H = 30, 24

local Layers = nn.module "layers"
Layers.stateful = true

function Layers:forward(ids, state)
  state = state or {}
  local e = self.embedding(ids)
  local a, first = self.first(e, state.first)
  local b, second = self.second(a, state.second)
  local weights = saros.softmax(self.score(e) .. self.score(a) .. self.score(b), -1)
  local y = e * weights:slice(-1, 1, 1) + a * weights:slice(-1, 2, 2) + b * weights:slice(-1, 3, 3)
  return self.head(y), { first = first, second = second }
end

local net = Layers.new()
net.embedding = net:add_member("embedding", nn.embedding { V, H })
net.first = net:add_member("first", nn.lstm { H, H })
net.second = net:add_member("second", nn.lstm { H, H })
net.score = net:add_member("score", nn.linear { H, 1 })
net.head = net:add_member("head", nn.linear { H, V })

return net:init { seed = 1 }
