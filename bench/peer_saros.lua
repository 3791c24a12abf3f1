--- Saros's side of `make bench-peers`: training, passes over whole sequences, or
--- steps of a session. It first prints its name as a line of JSON; then each line
--- of its input is a number of runs, and its answer the seconds that they took.
---
---   build/saros bench/peer_saros.lua '{"work": "train", "case": "A", "cell": "lstm", "threads": 1}'

local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"
local training = require "bench.training"

local nn = saros.nn

--- The most memory that this process has used so far, in MB; nil where the
--- system does not tell.
local function peak_resident_mb()
  local status = io.open "/proc/self/status"
  if status then
    local kilobytes = status:read("a"):match "VmHWM:%s*(%d+)"
    status:close()
    return tonumber(kilobytes) * 1024 / 1e6
  end
end

--- Each kind of work by name: sets the work up, and returns a function that runs it
--- `count` times and returns the seconds that this took.
local kinds = {}

function kinds.train(work)
  local run = training.prepare(cases.case(work.case, work.cell), { precision = work.precision })
  return function(updates)
    return training.learn(run, updates).seconds
  end
end

--- A function that calls `run` `count` times and returns the seconds of all calls.
local function timed(run)
  return function(count)
    local begin = saros.clock()
    for _ = 1, count do
      run()
    end
    return saros.clock() - begin
  end
end

function kinds.sequence(work)
  local H = work.hidden
  local net = nn[work.cell] { H, H, layers = work.layers, bidirectional = work.directions == 2 }:init { seed = 1 }
  if work.precision ~= "real" then
    net = net:quantised(work.precision)
  end
  local x = saros.generator(1):uniform({ work.length, work.batch, H }, -1, 1)
  return timed(function()
    net(x)
  end)
end

function kinds.step(work)
  local session = nn[work.cell]({ 1, work.hidden }):init({ seed = 1 }):session()
  return timed(function()
    session:step(0.5)
  end)
end

local work = assert(saros.json_decode(arg[1]))
saros.threads(work.threads)
host.emit { name = "Saros " .. saros.info().version, peak_resident_mb = peak_resident_mb() }
local run = kinds[work.work](work)
for line in io.lines() do
  host.emit { seconds = run(tonumber(line)), peak_resident_mb = peak_resident_mb() }
end
