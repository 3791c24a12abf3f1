--- The times of the rows of a series: whether they are in order, how far apart
--- they are, and where some are missing.

local core = require "saros.core"
local dates = require "saros.data.dates"

local timeline = {}

---@class saros.data.Timeline
---@field name string  of the column
---@field seconds number[]  since 1970, ascending
---@field step string?  "hour", "3 months": what lies between most rows; nil if there is one row
---@field gaps integer  places where more than one step lies between two rows
---@field absent integer  steps without a row, in all gaps
---@field irregular boolean  true: some rows are not a whole number of steps apart
---@field descending boolean  true: the file begins with the last row
---@field plain boolean  true: numbers of an unknown unit instead of seconds

--- True if times come in descending order, false if in ascending order; nil and
--- the row that breaks the order of the most.
---@param seconds number[]
---@return boolean? descending, integer? row
function timeline.direction(seconds)
  local up, down = 0, 0
  for row = 2, #seconds do
    local change = seconds[row] - seconds[row - 1]
    up, down = up + (change > 0 and 1 or 0), down + (change < 0 and 1 or 0)
  end
  local sign = down > up and -1 or 1
  for row = 2, #seconds do
    if (seconds[row] - seconds[row - 1]) * sign <= 0 then
      return nil, row
    end
  end
  return sign < 0
end

--- Months since the year 0 of each time; nil unless all are the same day of their
--- month, or all the last one.
local function in_months(seconds)
  local months, same, last, day, second = {}, true, true, nil, nil
  for row, time in ipairs(seconds) do
    local year, month, of_month, of_day = dates.civil(time)
    day, second = day or of_month, second or of_day
    same, last = same and of_month == day, last and of_month == dates.length(year, month)
    if of_day ~= second or not (same or last) then
      return nil
    end
    months[row] = year * 12 + month
  end
  return months
end

--- What lies between most neighbours, and the smaller of equally common ones.
local function common_step(values)
  local counts, best = {}, nil
  for row = 2, #values do
    local step = values[row] - values[row - 1]
    counts[step] = (counts[step] or 0) + 1
  end
  for step, count in pairs(counts) do
    if not best or count > counts[best] or count == counts[best] and step < best then
      best = step
    end
  end
  return best
end

local SECONDS = { { 604800, "week" }, { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } }
local MONTHS = { { 12, "year" }, { 3, "quarter" }, { 1, "month" } }

local function name_of(step, units)
  for _, unit in ipairs(units) do
    if step % unit[1] == 0 then
      local count = math.tointeger(step // unit[1])
      return count == 1 and unit[2] or ("%d %ss"):format(count, unit[2])
    end
  end
  return core.format("%g seconds", step)
end

--- Times that are in order, described.
---@param name string  of the column
---@param seconds number[]  ascending
---@param descending boolean  as the file had them
---@param plain boolean  true: numbers of another unit than seconds
---@return saros.data.Timeline
function timeline.describe(name, seconds, descending, plain)
  local months = not plain and in_months(seconds)
  local values = months or seconds
  local step, self = common_step(values), { name = name, seconds = seconds, descending = descending, plain = plain,
    gaps = 0, absent = 0, irregular = false }
  self.step = step and (plain and core.format("%g", step) or name_of(step, months and MONTHS or SECONDS))
  for row = 2, #values do
    local apart = (values[row] - values[row - 1]) / step
    self.irregular = self.irregular or apart % 1 ~= 0
    if apart > 1 then
      self.gaps, self.absent = self.gaps + 1, self.absent + math.max(math.ceil(apart) - 1, 0)
    end
  end
  return self
end

--- "Date, every day from 1981-01-01 to 1990-12-31, 2 gaps (3 rows missing)".
---@param self saros.data.Timeline
---@return string
function timeline.summary(self)
  local shown = self.plain and function(time) return core.format("%.14g", time) end or dates.iso
  local text = ("%s, %s%s from %s to %s"):format(self.name, self.irregular and "irregular, mostly " or "",
    self.step and "every " .. self.step or "one row", shown(self.seconds[1]), shown(self.seconds[#self.seconds]))
  if self.gaps > 0 then
    text = ("%s, %d gap%s (%d row%s missing)"):format(text, self.gaps, self.gaps == 1 and "" or "s", self.absent,
      self.absent == 1 and "" or "s")
  end
  return text .. (self.descending and "; put in ascending order" or "")
end

return timeline
