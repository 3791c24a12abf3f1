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

--- The threads of this process, as Linux numbers them; none elsewhere.
local function list_threads()
  local pipe, ids = assert(io.popen "ls /proc/$PPID/task 2>&-"), {}
  for id in pipe:read("a"):gmatch "%d+" do
    ids[#ids + 1] = id
  end
  pipe:close()
  return ids
end

--- Seconds that these threads have been ready to run while others had the
--- processors; nil where the system does not tell.
local function waited_seconds(ids)
  local nanoseconds
  for _, id in ipairs(ids) do
    local file = io.open(("/proc/self/task/%s/schedstat"):format(id))
    if file then
      nanoseconds = (nanoseconds or 0) + (tonumber(file:read("a"):match "^%d+ (%d+)") or 0)
      file:close()
    end
  end
  return nanoseconds and nanoseconds / 1e9
end

--- What a function returns, and the part of its time that a thread waited for a
--- processor; nil where the system does not tell.
local function watched(run, ids, threads)
  local before, begin = waited_seconds(ids), saros.clock()
  local result = run()
  local seconds, after = saros.clock() - begin, waited_seconds(ids)
  return result, before and after and math.min(1, (after - before) / (threads * seconds))
end

--- The part of a thread's time in which it had a processor. Of several threads
--- only the time of all counts, as they also wait for each other.
local function had_processor(waited, threads)
  return threads == 1 and 1 - math.min(waited or 0, 0.95) or 1
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
--- `waited`, the part of its time without a processor. On one thread this time
--- counts neither for the sample nor for the peaks. A few more are taken where it
--- is much or the peaks on both sides of a sample differ, and those samples are
--- left out.
---@param sample fun(): { seconds: number, flops: number }
---@param limits { seconds: number, threads: integer }
---@return table<string, any>[]
function measure.beside_peak(sample, limits)
  local samples, disturbed, begin, threads = {}, 0, saros.clock(), limits.threads
  local ids = list_threads()
  local function peak_for(seconds)
    local flops_per_s, waited = watched(function()
      return peak(threads, seconds)
    end, ids, threads)
    return flops_per_s / had_processor(waited, threads)
  end
  local before = peak_for(0.02)
  while #samples - math.min(disturbed, MOST_DISTURBED) < FEWEST or saros.clock() - begin < limits.seconds do
    local one, waited = watched(sample, ids, threads)
    local after = peak_for(peak_seconds(one.seconds))
    one.peak, one.waited = (before + after) / 2, waited
    one.fraction = one.flops / (one.seconds * had_processor(waited, threads)) / one.peak
    one.change = math.abs(before - after) / math.max(before, after)
    disturbed = disturbed + (is_steady(one) and 0 or 1)
    before = after
    samples[#samples + 1] = one
  end
  return measure.undisturbed(samples)
end

return measure
