--- What a call from Lua into the C module costs, on a tensor so small that
--- nothing else does.
---
---   build/saros bench/call.lua

local saros = require "saros"
local host = require "bench.host"
local measure = require "bench.measure"

local CALLS, SAMPLES = 20000, 15

local loops = {
  { "x:rank()", "a question", function(x)
    for _ = 1, CALLS do
      x:rank()
    end
  end },
  { "x:add_scaled(1, x)", "arithmetic in place", function(x)
    for _ = 1, CALLS do
      x:add_scaled(1, x)
    end
  end },
  { "x + x", "a new tensor, and its share in collecting them", function(x)
    for _ = 1, CALLS do
      local _ = x + x
    end
  end },
}

--- Nanoseconds of one turn, the median over some samples.
local function measure_loop(loop)
  local x, times = saros.zeros(4), {}
  for sample = 0, SAMPLES do
    local begin = saros.clock()
    loop(x)
    times[sample] = (saros.clock() - begin) / CALLS * 1e9
  end
  return measure.median(times) -- without sample 0, the warm-up
end

saros.threads(1)
for _, loop in ipairs(loops) do
  host.emit { case = "call", call = loop[1], what = loop[2], ns = measure_loop(loop[3]) }
end
