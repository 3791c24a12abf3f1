--- Bars of values, and histograms of many.

local format = require("saros.core").format
local options = require "saros.options"
local frame = require "saros.look.frame"
local scale = require "saros.look.scale"
local svg = require "saros.look.svg"

local bars = {}

local check_bars = options.declare("plot.bars", frame.options {
  { "values", frame.numbers_kind },
  { "labels", options.list_of(options.string), {} },
})

local check_histogram = options.declare("plot.histogram", frame.options {
  { "values", frame.numbers_kind },
  { "bins", options.size, 30 },
  { "low", options.optional(options.number) },
  { "high", options.optional(options.number) },
})

--- From the line of 0 to the value, hovered with a text.
local function add_bar(parts, up, x, width, value, hint)
  local zero, y = up.at(0), up.at(value)
  parts[#parts + 1] = svg.element("rect", {
    class = "f1", x = x, width = width, y = math.min(zero, y), height = math.abs(zero - y),
  }, svg.element("title", {}, svg.escape(hint)))
end

--- The frame of bars whose values lie in low..high, and 0.
local function begin(o, low, high)
  local parts, top = frame.head(o)
  local box = frame.box(o, top)
  local up = scale.new(math.min(low, 0), math.max(high, 0), box.bottom, box.top)
  frame.left_axis(parts, box, up, o.y)
  return parts, box, up
end

local GAP = 6 -- between labels

--- The labels of the bars; those that would reach into the one before are left out.
local function add_labels(parts, box, o, step)
  local free = 0 -- where the room for the next one begins
  for n = 1, math.min(#o.labels, #o.values) do
    local label, middle = o.labels[n], box.left + (n - 0.5) * step
    local half = frame.width_of(label) / 2
    if middle - half >= free and middle + half <= o.width then
      parts[#parts + 1] = svg.text(label, {
        class = "soft", x = middle, y = box.bottom + 18, ["text-anchor"] = "middle",
      })
      free = middle + half + GAP
    end
  end
end

local function shown(value)
  return scale.shows(value) and value or 0
end

--- One bar for each value; those that are not finite have none.
---@param given { values: number[]|saros.Tensor, labels?: string[], title?: string, x?: string, y?: string,
---  width?: integer, height?: integer }
---@return saros.Plot
function bars.bars(given)
  local o = check_bars(given)
  local low, high = 0, 0
  for _, value in ipairs(o.values) do
    low, high = math.min(low, shown(value)), math.max(high, shown(value))
  end
  local parts, box, up = begin(o, low, high)
  local step = (box.right - box.left) / math.max(1, #o.values)
  for n, value in ipairs(o.values) do
    local label, x = o.labels[n] or tostring(n), box.left + (n - 1) * step
    add_bar(parts, up, x + step * 0.1, step * 0.8, shown(value), format("%s: %.6g", label, value))
  end
  add_labels(parts, box, o, step)
  frame.bottom_line(parts, box, o.x)
  return frame.plot("bars", o, parts)
end

--- How many values lie in each of the bins; those outside low..high are in none.
local function count(values, low, high, bins)
  local counts, most = {}, 0
  for bin = 1, bins do
    counts[bin] = 0
  end
  for _, value in ipairs(values) do
    if value >= low and value <= high then
      local bin = math.min(bins, math.floor((value - low) / (high - low) * bins) + 1)
      counts[bin] = counts[bin] + 1
      most = math.max(most, counts[bin])
    end
  end
  return counts, most
end

local function range_of(o)
  local low, high = math.huge, -math.huge
  for _, value in ipairs(o.values) do
    if scale.shows(value) then
      low, high = math.min(low, value), math.max(high, value)
    end
  end
  low, high = o.low or low, o.high or high
  if low < high then
    return low, high
  end
  low = scale.shows(low) and low or 0 -- one value, or none
  return low - 0.5, low + 0.5
end

--- How many of the values lie where.
---@param given { values: number[]|saros.Tensor, bins?: integer, low?: number, high?: number, title?: string,
---  x?: string, y?: string, width?: integer, height?: integer }  bins (30) between low and high (those of the values)
---@return saros.Plot
function bars.histogram(given)
  local o = check_histogram(given)
  local low, high = range_of(o)
  local counts, most = count(o.values, low, high, o.bins)
  local parts, box, up = begin(o, 0, most)
  local across = scale.new(low, high, box.left, box.right)
  local size = (high - low) / o.bins
  for bin, number in ipairs(counts) do
    local from = low + (bin - 1) * size
    local x = across.at(from)
    add_bar(parts, up, x + 0.5, math.max(0.5, across.at(from + size) - x - 1), number,
      format("%.4g to %.4g: %d", from, from + size, number))
  end
  frame.bottom_axis(parts, box, across, o.x)
  return frame.plot("histogram", o, parts)
end

return bars
