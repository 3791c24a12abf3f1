--- Measuring on a machine that others use as well: every sample of the work
--- lies between two samples of what the arithmetic could do at that moment.

local saros = require "saros"
require "bench.host" -- where "peak" is
local peak = require "peak"

local measure = {}

---@param values number[]
---@return number
function measure.median(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local middle = (#sorted + 1) // 2
  return (sorted[middle] + sorted[#sorted + 1 - middle]) / 2
end

--- The median of one field of all samples.
---@param samples table<string, number>[]
---@param field string
---@return number
function measure.median_of(samples, field)
  local values = {}
  for position, sample in ipairs(samples) do
    values[position] = sample[field]
  end
  return measure.median(values)
end

local FEWEST, MOST_DISTURBED = 3, 2 -- samples
local STEADY = 0.1 -- a difference of two peaks, relative to the larger, that may be noise
local WAITED = 0.02 -- of a sample's time without a processor, that may be

--- Seconds that all threads of this process have been ready to run while others
--- had the processors; nil where the system does not tell (Linux does).
local function waited_seconds()
  local pipe = assert(io.popen "cat /proc/$PPID/task/*/schedstat 2>&-")
  local nanoseconds
  for waited in pipe:read("a"):gmatch "%d+ (%d+) %d+" do
    nanoseconds = (nanoseconds or 0) + tonumber(waited)
  end
  pipe:close()
  return nanoseconds and nanoseconds / 1e9
end

--- One sample, with the part of its time that a thread waited for a processor.
local function watched(sample, threads)
  local before = waited_seconds()
  local one = sample()
  local after = before and waited_seconds()
  one.waited = after and math.max(0, after - before) / (threads * one.seconds)
  return one
end

--- How long to look at the peak: longer where the work is longer, as what
--- disturbs the work comes and goes.
local function peak_seconds(seconds)
  return math.max(0.02, math.min(seconds / 8, 0.3))
end

local function is_steady(sample)
  return sample.change < STEADY and (sample.waited or 0) < WAITED
end

--- Only samples during which nothing came or went, if there are enough.
---@param samples { change: number, waited: number? }[]
function measure.undisturbed(samples)
  local steady = {}
  for _, sample in ipairs(samples) do
    if is_steady(sample) then
      steady[#steady + 1] = sample
    end
  end
  return #steady >= FEWEST and steady or samples
end

--- Take samples for about so many seconds, and add to each `peak` and
--- `fraction`, of the floating-point operations that it says to have done, and
--- `waited`, the part of its time without a processor. A few more are taken where
--- that is much or the peaks on both sides of a sample differ, and those samples
--- are left out.
---@param sample fun(): { seconds: number, flops: number }
---@param limits { seconds: number, threads: integer }
---@return table<string, any>[]
function measure.beside_peak(sample, limits)
  local samples, disturbed, begin = {}, 0, saros.clock()
  local before = peak(limits.threads, 0.02)
  while #samples - math.min(disturbed, MOST_DISTURBED) < FEWEST or saros.clock() - begin < limits.seconds do
    local one = watched(sample, limits.threads)
    local after = peak(limits.threads, peak_seconds(one.seconds))
    one.peak = (before + after) / 2
    one.fraction = one.flops / one.seconds / one.peak
    one.change = math.abs(before - after) / math.max(before, after)
    disturbed = disturbed + (is_steady(one) and 0 or 1)
    before = after
    samples[#samples + 1] = one
  end
  return measure.undisturbed(samples)
end

return measure
