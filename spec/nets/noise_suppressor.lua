-- Gains of 22 bands and voice activity from 42 features of a frame, as RNNoise (Valin 2018):
-- three GRUs with relu and hard sigmoids, each of which also reads what earlier ones read.
local saros = require "saros"
local nn = saros.nn

local function gru(inputs, units)
  return nn.gru { inputs, units, activation = "relu", gate_activation = "hard_sigmoid" }
end

local function first(n)
  return function(v) return v:slice(-1, 1, n) end
end

local function all(v)
  return v
end

local function voice_and_x(v) -- of noise 48, voice 24, dense 24, x 42
  return v:slice(-1, 1, 72) .. v:slice(-1, 97, 138)
end

local net = nn.chain {
  nn.concatenate { nn.chain { nn.linear { 42, 24 }, saros.tanh }, all },  -- dense, x
  nn.concatenate { nn.chain { first(24), gru(24, 24) }, all },            -- voice, dense, x
  nn.concatenate { gru(90, 48), all },                                    -- noise, voice, dense, x
  nn.heads {
    gains = nn.chain { voice_and_x, gru(114, 96), nn.linear { 96, 22 }, saros.sigmoid },
    voice = nn.chain { function(v) return v:slice(-1, 49, 72) end, nn.linear { 24, 1 }, saros.sigmoid },
  },
}

return net:init { seed = 1 }
