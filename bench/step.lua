--- One step of a recurrent layer in a session, with one input and one stream:
--- from C (bench/step.c), and from Lua.
---
---   build/saros bench/step.lua CELL HIDDEN [WEIGHTS]

local saros = require "saros"
local host = require "bench.host"
local measure = require "bench.measure"

local SAMPLES, SAMPLE_SECONDS = 31, 0.01

local cell, hidden, weights = arg[1], math.tointeger(arg[2]), arg[3] or "real"
local names = { rnn = "elman_tanh" } -- in C, where they differ

local function time_steps(session, steps)
  local begin = saros.clock()
  for t = 1, steps do
    session:step(t % 7 / 7)
  end
  return (saros.clock() - begin) / steps
end

--- Microseconds of a step, the median over some samples.
local function median_step(session)
  local steps, times = 10, {}
  while time_steps(session, steps) * steps < SAMPLE_SECONDS do
    steps = steps * 2
  end
  for sample = 1, SAMPLES do
    times[sample] = time_steps(session, steps) * 1e6
  end
  return measure.median(times)
end

for line in host.lines { host.folder .. "step", names[cell] or cell, hidden, weights } do
  local session = saros.nn[cell]({ 1, hidden }):init({ seed = 1 }):session { weights = weights }
  host.emit {
    case = "step", cell = cell, hidden = hidden, weights = weights,
    us_per_step = assert(saros.json_decode(line)).us_per_step,
    us_per_step_lua = median_step(session),
  }
end
