--- One row of the benchmark: training of one case, in a process of its own, so
--- that the peak of its memory is that of this case.
---
---   build/saros bench/train.lua CASE CELL THREADS SECONDS [PRECISION [SIZE VALUE]]
---
--- With a size, as in `hidden 64`, that of the case is replaced, and the row
--- says so in `varies`.

local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"
local measure = require "bench.measure"
local training = require "bench.training"

local clock = saros.clock

local SHORTEST = 0.04 -- seconds of a sample; small windows share one
local WARM_UP = 0.2 -- seconds, and at least one window, that are not counted

--- Train until everything is where it stays. Returns the updates of a sample.
local function warm_up(run)
  local begin = clock()
  local seconds = math.huge -- of the fastest window: others may be disturbed
  repeat
    seconds = math.min(seconds, training.learn(run, 1).seconds)
  until clock() - begin > WARM_UP
  return math.ceil(SHORTEST / seconds)
end

---@param case bench.Case
---@param precision string  of the products
---@param limits { seconds: number, threads: integer }
local function measure_training(case, precision, limits)
  saros.threads(limits.threads)
  local run = training.prepare(case, { written_out = true, precision = precision })
  local updates = warm_up(run)
  local symbols = updates * case.batch * case.length
  local samples = measure.beside_peak(function()
    local sample = training.learn(run, updates)
    sample.flops = symbols * cases.flops_per_symbol(case)
    sample.symbols_per_s = symbols / sample.seconds
    sample.rate = sample.flops / sample.seconds
    return sample
  end, limits)
  local row = { threads = limits.threads, isa = saros.info().isa, precision = precision, samples = #samples }
  for field, value in pairs(case) do
    row[field] = value
  end
  local function median(field)
    return measure.median_of(samples, field)
  end
  row.symbols_per_s = median "symbols_per_s"
  row.gflops, row.peak_gflops, row.fraction = median "rate" / 1e9, median "peak" / 1e9, median "fraction"
  row.ms_forward, row.ms_backward = 1e3 * median "forward", 1e3 * median "backward"
  row.ms_optimizer = 1e3 * median "optimizer"
  row.waited = samples[1].waited and median "waited"
  row.peak_mb = saros.memory().peak / 1e6
  return row
end

local name, cell, threads, seconds, precision, size, value = table.unpack(arg)
local case = cases.case(name, cell, size and { [size] = math.tointeger(value) })
local limits = { threads = math.tointeger(threads), seconds = tonumber(seconds) }
local row = measure_training(case, precision or "real", limits)
row.varies = size
host.emit(row)
