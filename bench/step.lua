--- One step of a recurrent layer in a session, with one input and one stream:
--- from C (bench/step.c), and from Lua. With OUTPUTS, it has a dense head; with
--- one, small cells are compared with what one writes by hand (bench/plain.c).
---
---   build/saros bench/step.lua CELL HIDDEN [WEIGHTS [OUTPUTS]]

local saros = require "saros"
local host = require "bench.host"
local measure = require "bench.measure"

local SAMPLES, SAMPLE_SECONDS = 101, 0.001

local cell, hidden, weights, outputs = arg[1], math.tointeger(arg[2]), arg[3] or "real", math.tointeger(arg[4]) or 0
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

local function new_session()
  local nn = saros.nn
  local model = nn[cell] { 1, hidden }
  if outputs > 0 then
    model = nn.chain { model, nn.linear { hidden, outputs } }
  end
  return model:init({ seed = 1 }):session { weights = weights }
end

for line in host.lines { host.folder .. "step", names[cell] or cell, hidden, weights, outputs } do
  local row = assert(saros.json_decode(line))
  host.emit {
    case = "step", cell = cell, hidden = hidden, weights = weights, outputs = outputs,
    us_per_step = row.us_per_step, us_per_step_lua = median_step(new_session()),
    us_single = row.us_single, us_single_999 = row.us_single_999, us_plain = row.us_plain,
  }
end
