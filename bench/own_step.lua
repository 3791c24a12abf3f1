--- One step of an LSTM and a GRU that a user writes, in a session, beside the fused
--- ones: one stream, from Lua. The time of a call that computes nothing is taken off.
---
---   build/saros bench/own_step.lua [HIDDEN ...]

local saros = require "saros"
local host = require "bench.host"
local measure = require "bench.measure"

local nn = saros.nn
local SAMPLES, STEPS = 31, 2000

local own = {}

own.lstm = nn.cell("own_lstm", { states = { "h", "c" } }, function(p, x, h, c)
  local read = x .. h
  local i, f, o = saros.sigmoid(p.i(read)), saros.sigmoid(p.f(read)), saros.sigmoid(p.o(read))
  c = f * c + i * saros.tanh(p.g(read))
  return o * saros.tanh(c), c
end)

own.gru = nn.cell("own_gru", { states = { "h" } }, function(p, x, h)
  local read = x .. h
  local r, z = saros.sigmoid(p.r(read)), saros.sigmoid(p.z(read))
  local n = saros.tanh(p.n(x) + r * p.u(h))
  return n + z * (h - n)
end)

local function time_steps(session, x)
  local begin = saros.clock()
  for _ = 1, STEPS do
    session:step(x)
  end
  return (saros.clock() - begin) / STEPS * 1e6
end

--- Microseconds of a step of each session, taken in turn, without the call's own.
local function medians(sessions, x)
  local times, least = {}, {}
  for n = 1, #sessions do
    times[n] = {}
  end
  for sample = 1, SAMPLES do
    for n, session in ipairs(sessions) do
      times[n][sample] = time_steps(session, x)
    end
  end
  for n = 1, #sessions do
    least[n] = measure.median(times[n])
  end
  return least
end

local function sessions_of(cell, I, H)
  local nothing = nn.chain { nn.linear { I, 1 } }
  local models = { nothing, nn[cell] { I, H }, nn.recurrent { I, H, cell = own[cell] } }
  for n, model in ipairs(models) do
    models[n] = model:init({ seed = 1 }):session()
  end
  return models
end

for _, word in ipairs(#arg > 0 and arg or { "32", "128" }) do
  local H = math.tointeger(tonumber(word))
  for _, cell in ipairs { "gru", "lstm" } do
    for _, I in ipairs { 1, H } do
      local call, fused, written = table.unpack(medians(sessions_of(cell, I, H), saros.ones(I)))
      fused, written = fused - call, written - call
      host.emit { case = "own_step", cell = cell, hidden = H, inputs = I, us_fused = fused, us_own = written,
        ratio = written / fused }
    end
  end
end
