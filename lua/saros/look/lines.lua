--- Lines: one or several series over a common axis, linear or logarithmic.

local core = require "saros.core"
local options = require "saros.options"
local frame = require "saros.look.frame"
local scale = require "saros.look.scale"
local svg = require "saros.look.svg"

---@class saros.look.Series
---@field y number[]|saros.Tensor  a gap where a value is not finite
---@field x? number[]|saros.Tensor  rising, as many as y (1, 2, ...)
---@field name? string  for the legend

local check = options.declare("plot.lines", frame.options {
  { "series", options.table },
  { "log", options.boolean, false },
  { "log_x", options.boolean, false },
})

local function complain(position, field, expected, value)
  options.fail(("plot.lines: expected series[%d]%s to be %s, got %s"):format(
    position, field, expected, options.describe(value)))
end

local FIELDS = { "x", "y", "name" }

local function check_fields(position, given)
  for field in pairs(given) do
    if field ~= "x" and field ~= "y" and field ~= "name" then
      options.fail(("plot.lines: expected x, y and name in series[%d], got the field %s%s"):format(
        position, options.describe(field), core.hint(field, FIELDS)))
    end
  end
end

--- A series as the caller gave it -> lists x and y of equal length.
local function checked(position, given)
  if type(given) ~= "table" then
    complain(position, "", "a table with y", given)
  end
  check_fields(position, given)
  local y = frame.numbers(given.y) or complain(position, ".y", frame.numbers_kind.expected, given.y)
  local x = given.x
  if x == nil then
    x = {}
    for n = 1, #y do
      x[n] = n
    end
  else
    x = frame.numbers(x) or complain(position, ".x", frame.numbers_kind.expected, x)
  end
  if #x ~= #y then
    complain(position, "", ("as many x as y (%d)"):format(#y), #x)
  elseif given.name ~= nil and type(given.name) ~= "string" then
    complain(position, ".name", "a string", given.name)
  end
  return { x = x, y = y, name = given.name }
end

--- Calls act(x, y) for all points that can be shown, and gap() between them.
local function walk(series, o, act, gap)
  for n, y in ipairs(series.y) do
    if scale.shows(y, o.log) and scale.shows(series.x[n], o.log_x) then
      act(series.x[n], y)
    elseif gap then
      gap()
    end
  end
end

local function range_of(list, o)
  local low_x, high_x, low_y, high_y = math.huge, -math.huge, math.huge, -math.huge
  for _, series in ipairs(list) do
    walk(series, o, function(x, y)
      low_x, high_x = math.min(low_x, x), math.max(high_x, x)
      low_y, high_y = math.min(low_y, y), math.max(high_y, y)
    end)
  end
  return low_x, high_x, low_y, high_y
end

--- Many points in one column of pixels are as well shown by four of them.
local function thin_out(points)
  local thin, first = {}, 1
  while first <= #points do
    local last, low, high = first, first, first
    local column = points[first][1] // 1
    while last < #points and points[last + 1][1] // 1 == column do
      last = last + 1
      low = points[last][2] < points[low][2] and last or low
      high = points[last][2] > points[high][2] and last or high
    end
    local previous
    for _, n in ipairs { first, math.min(low, high), math.max(low, high), last } do
      if n ~= previous then
        thin[#thin + 1] = points[n]
      end
      previous = n
    end
    first = last + 1
  end
  return thin
end

--- One stretch without gaps; a single point is a dot.
local function stretch(points, colour)
  if #points == 1 then
    return svg.element("circle", { class = "f" .. colour, cx = points[1][1], cy = points[1][2], r = 3 })
  end
  local places = {}
  for n, point in ipairs(thin_out(points)) do
    places[n] = svg.number(point[1]) .. "," .. svg.number(point[2])
  end
  return svg.element("polyline", { class = "l" .. colour, points = table.concat(places, " ") })
end

local function draw(parts, series, colour, across, up, o)
  local points = {}
  local function finish()
    if #points > 0 then
      parts[#parts + 1] = stretch(points, colour)
    end
    points = {}
  end
  walk(series, o, function(x, y)
    points[#points + 1] = { across.at(x), up.at(y) }
  end, finish)
  finish()
end

--- Series as lines. Values that are not finite, or not positive on a
--- logarithmic axis, are gaps.
---@param given { series: saros.look.Series[], title?: string, x?: string, y?: string, log?: boolean,
---  log_x?: boolean, width?: integer, height?: integer }  x, y: names of the axes; log: of y, log_x: of x
---  (false); size in pixels (720, 360)
---@return saros.Plot
local function lines(given)
  local o = check(given)
  local list, names = {}, {}
  for position, series in options.each(o.series) do
    list[position] = checked(position, series)
    names[position] = series.name or #o.series > 1 and ("series %d"):format(position) or nil
  end
  local parts, top = frame.head(o, names)
  local box = frame.box(o, top)
  local low_x, high_x, low_y, high_y = range_of(list, o)
  local across = scale.new(low_x, high_x, box.left, box.right, o.log_x)
  local up = scale.new(low_y, high_y, box.bottom, box.top, o.log)
  frame.left_axis(parts, box, up, o.y)
  frame.bottom_axis(parts, box, across, o.x)
  for n, series in ipairs(list) do
    draw(parts, series, (n - 1) % svg.colours + 1, across, up, o)
  end
  return frame.plot("lines", o, parts)
end

return lines
