--- Scales: from values to places on an axis, with the marks that people read.

local format = require("saros.core").format

local scale = {}

-- Values beyond this are no longer shown: their differences would overflow.
local LARGEST = 1e300

-- What large numbers are counted in.
local UNITS = {
  { from = 1e4, below = 1e6, factor = 1e3, sign = "k" },
  { from = 1e6, below = 1e9, factor = 1e6, sign = "M" },
  { from = 1e9, below = 1e13, factor = 1e9, sign = "G" },
}

---@class saros.look.Scale
---@field at fun(value: number): number  the place of a value
---@field ticks number[]  values to mark

--- Can a value be shown?
---@param value number
---@param log? boolean
---@return boolean
function scale.shows(value, log)
  return value == value and math.abs(value) <= LARGEST and (not log or value >= 1 / LARGEST)
end

--- The smallest of 1, 2, 5, 10 times a power of ten that is not below a value.
local function nice_step(value)
  local power = 10 ^ math.floor(math.log(value, 10))
  for _, factor in ipairs { 1, 2, 5 } do
    if factor * power >= value * (1 - 1e-9) then
      return factor * power
    end
  end
  return 10 * power
end

local function linear_ticks(low, high, count)
  local step = nice_step((high - low) / count)
  local ticks = {}
  for n = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do
    ticks[#ticks + 1] = n * step
  end
  return ticks
end

--- Powers of ten; 2 and 5 times these as well where there are few.
local function log_ticks(low, high)
  local first, last = math.floor(math.log(low, 10)), math.ceil(math.log(high, 10))
  local factors = last - first <= 3 and { 1, 2, 5 } or { 1 }
  local every = math.max(1, (last - first) // 8)
  local ticks = {}
  for power = first, last, every do
    for _, factor in ipairs(factors) do
      local value = factor * 10.0 ^ power
      if value >= low * (1 - 1e-9) and value <= high * (1 + 1e-9) then
        ticks[#ticks + 1] = value
      end
    end
  end
  return #ticks >= 2 and ticks or linear_ticks(low, high, 4)
end

--- From low..high to the places from..to.
---@param low number
---@param high number
---@param from number
---@param to number
---@param log? boolean  equal factors, not differences, are equally far
---@return saros.look.Scale
function scale.new(low, high, from, to, log)
  if low > high then -- nothing to show
    low, high = log and 1 or 0, log and 10 or 1
  end
  if high - low <= math.max(1 / LARGEST, 1e-12 * math.max(math.abs(low), math.abs(high))) then
    local margin = low == 0 and 1 or math.abs(low) / 2
    low, high = low - margin, high + margin
  end
  local f = log and math.log or function(x) return x end
  local begin, slope = f(low), (to - from) / (f(high) - f(low))
  return {
    at = function(value)
      return from + (f(value) - begin) * slope
    end,
    ticks = log and log_ticks(low, high) or linear_ticks(low, high, 6),
  }
end

--- 12500 as "12.5k", 0.000012 as "1.2e-5": short enough for the left of a chart.
---@param value number
---@return string
function scale.label(value)
  local size = math.abs(value)
  for _, unit in ipairs(UNITS) do
    if size >= unit.from and size < unit.below then
      return format("%.4g%s", value / unit.factor, unit.sign)
    end
  end
  return (format("%.4g", value):gsub("e%+?(%-?)0*", "e%1"))
end

return scale
