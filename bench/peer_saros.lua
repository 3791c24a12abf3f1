--- Saros's side of `make bench-peers`: trains one case, as many updates as each
--- line of the input says, and prints one line of JSON for each.
---
---   build/saros bench/peer_saros.lua CASE CELL THREADS

local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"
local training = require "bench.training"

--- The largest part of memory that the process has had so far, in MB; nothing
--- where the system does not say.
local function peak_resident_mb()
  local status = io.open "/proc/self/status"
  if status then
    local kilobytes = status:read("a"):match "VmHWM:%s*(%d+)"
    status:close()
    return tonumber(kilobytes) * 1024 / 1e6
  end
end

local info = saros.info()
saros.threads(tonumber(arg[3]))
host.emit { name = "Saros " .. info.version, peak_resident_mb = peak_resident_mb() }
local run = training.prepare(cases.case(arg[1], arg[2]))
for line in io.lines() do
  local sample = training.learn(run, tonumber(line))
  host.emit { seconds = sample.seconds, peak_resident_mb = peak_resident_mb() }
end
