--- Whole sequences through a net, in inference, with its products in each precision.
---
---   build/saros bench/sequence.lua CELL BATCH SECONDS

local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"
local measure = require "bench.measure"

local cell, batch, seconds = arg[1], math.tointeger(arg[2]), tonumber(arg[3])
local sizes, FEWEST = cases.sequences[1], 5

local function time_of(net, x)
  local begin = saros.clock()
  local _ <close> = net(x)
  return (saros.clock() - begin) * 1000
end

--- Milliseconds of a pass: the median and the least of what fits into the time.
local function passes(net, x)
  local times, least, ends = {}, math.huge, saros.clock() + seconds
  time_of(net, x)
  while #times < FEWEST or saros.clock() < ends do
    times[#times + 1] = time_of(net, x)
    least = math.min(least, times[#times])
  end
  return measure.median(times), least
end

saros.threads(1)
local net = saros.nn[cell] { sizes.hidden, sizes.hidden, layers = sizes.layers, bidirectional = sizes.directions == 2 }
net:init { seed = 1 }
local x = saros.generator(1):uniform({ sizes.length, batch, sizes.hidden }, -1, 1)
for _, precision in ipairs { "real", "bf16", "int8" } do
  local ms, least = passes(precision == "real" and net or net:quantised(precision), x)
  host.emit {
    case = "sequence", cell = cell, precision = precision, threads = 1, layers = sizes.layers, hidden = sizes.hidden,
    batch = batch, length = sizes.length, directions = sizes.directions, isa = saros.info().isa,
    ms = ms, ms_least = least,
  }
end
