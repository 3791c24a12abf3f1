--- Dates and times in the fields of a table, by formats as strftime has them.
---
---     local read = dates.reader "%d.%m.%Y %H:%M"
---     read "31.12.1999 23:30"     -- seconds since 1970, in UTC unless the format has %z

local core = require "saros.core"
local options = require "saros.options"

local dates = {}

local LONGEST = 60 -- bytes of a time

local MONTHS = { jan = 1, feb = 2, mar = 3, apr = 4, may = 5, jun = 6, jul = 7, aug = 8, sep = 9, oct = 10, nov = 11,
  dec = 12, january = 1, february = 2, march = 3, april = 4, june = 6, july = 7, august = 8, sept = 9, september = 9,
  october = 10, november = 11, december = 12 }

--- What a directive matches, and the part of a date that this gives. A part has a lower case
--- name of one letter, as its directive; several directives may give one part.
local DIRECTIVES = {
  Y = { "(%d%d%d%d)", "Y" }, y = { "(%d%d)", "y" }, m = { "(%d%d?)", "m" }, d = { "(%d%d?)", "d" },
  b = { "(%a+)%.?", "b" }, B = { "(%a+)%.?", "b" }, H = { "(%d%d?)", "H" }, I = { "(%d%d?)", "I" },
  M = { "(%d%d)", "M" }, S = { "(%d%d[.,]?%d*)", "S" }, p = { "([AaPp])%.?[Mm]%.?", "p" }, j = { "(%d%d?%d?)", "j" },
  a = { "%a+%.?" }, A = { "%a+%.?" },
  q = { "([1-4])", "q" }, s = { "(-?%d+%.?%d*)", "s" }, z = { "([Z+-]%d?%d?:?%d?%d?)", "z" },
}
-- Without marks between them, parts have all their digits.
local NARROW = { m = "(%d%d)", d = "(%d%d)", H = "(%d%d)", I = "(%d%d)" }

local function is_leap(year)
  return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

local LENGTHS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

--- The days of a month.
---@param year integer
---@param month integer  1..12
---@return integer
function dates.length(year, month)
  return month == 2 and is_leap(year) and 29 or LENGTHS[month]
end

--- Days since 1970-01-01 in the Gregorian calendar (Hinnant 2013, days_from_civil).
local function days_since_1970(year, month, day)
  local from_march = (month + 9) % 12
  year = month <= 2 and year - 1 or year
  local era, of_era = year // 400, year % 400
  local day_of_year = (153 * from_march + 2) // 5 + day - 1
  return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + day_of_year - 719468
end

--- The reverse: year, month, day and the second of the day.
---@param seconds number  since 1970
---@return integer year, integer month, integer day, number second
function dates.civil(seconds)
  local days, second = seconds // 86400, seconds % 86400
  days = math.tointeger(days) + 719468
  local era, of_era = days // 146097, days % 146097
  local year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
  local day_of_year = of_era - (365 * year + year // 4 - year // 100)
  local from_march = (5 * day_of_year + 2) // 153
  local month = (from_march + 2) % 12 + 1
  return era * 400 + year + (month <= 2 and 1 or 0), month, day_of_year - (153 * from_march + 2) // 5 + 1, second
end

--- Seconds as ISO 8601 has them, no longer than needed.
---@param seconds number  since 1970
---@return string
function dates.iso(seconds)
  local year, month, day, second = dates.civil(seconds)
  local text = ("%04d-%02d-%02d"):format(year, month, day)
  if second == 0 then
    return text
  end
  local whole = math.tointeger(second // 1)
  text = ("%s %02d:%02d"):format(text, whole // 3600, whole // 60 % 60)
  if second % 1 ~= 0 then
    return core.format("%s:%06.3f", text, second % 60)
  end
  return second % 60 == 0 and text or ("%s:%02d"):format(text, whole % 60)
end

-- --- From parts to seconds --------------------------------------------------------------

--- Seconds that a zone is ahead of UTC: "Z", "+01", "+0100" or "+01:00".
local function offset_of(zone)
  if zone == "Z" then
    return 0
  end
  local sign, hours, minutes = zone:match "^([+-])(%d%d):?(%d?%d?)$"
  if not sign or #minutes == 1 then
    return nil
  end
  return (sign == "-" and -1 or 1) * (tonumber(hours) * 3600 + (tonumber(minutes == "" and "0" or minutes)) * 60)
end

local function hour_of(parts)
  local hour = tonumber(parts.H or parts.I or "0")
  if not parts.I then
    return hour <= 24 and hour or nil
  end
  return hour >= 1 and hour <= 12 and hour % 12 + (parts.p and parts.p:lower() == "p" and 12 or 0) or nil
end

--- The year; of two digits, one in 1930..2029, as spreadsheets have it.
local function year_of(parts)
  local year = tonumber(parts.Y or parts.y or "1970")
  return parts.Y and year or parts.y and year + (year < 30 and 2000 or 1900) or year
end

--- Days since 1970 of the day; nil where there is no such day.
local function day_of(parts)
  local year = year_of(parts)
  if parts.j then
    local day = tonumber(parts.j)
    return day >= 1 and day <= (is_leap(year) and 366 or 365) and days_since_1970(year, 1, 1) + day - 1 or nil
  end
  local month = parts.b and MONTHS[parts.b:lower()] or not parts.b and (parts.q and 3 * tonumber(parts.q) - 2
    or tonumber(parts.m or "1"))
  local day = tonumber(parts.d or "1")
  if not month or month < 1 or month > 12 or day < 1 or day > dates.length(year, month) then
    return nil
  end
  return days_since_1970(year, month, day)
end

--- The second with its fraction, which has a point in any locale.
local function second_of(parts)
  return tonumber(parts.S or "0", 10) or core.to_number((parts.S:gsub(",", ".")))
end

local function seconds_of(parts)
  if parts.s then
    return core.to_number(parts.s)
  end
  local days, hour = day_of(parts), hour_of(parts)
  local minute, second = tonumber(parts.M or "0"), second_of(parts)
  local offset = parts.z and offset_of(parts.z) or not parts.z and 0
  if not (days and hour and offset) or minute > 59 or second > 60 or hour == 24 and minute + second > 0 then
    return nil
  end
  return days * 86400 + hour * 3600 + minute * 60 + second - offset
end

-- --- Formats ------------------------------------------------------------------------------

--- The pattern of a format and the parts that it captures; nil and the directive
--- that is unknown.
local function compile(format)
  local pattern, parts, at = {}, {}, 1
  while at <= #format do
    local character = format:sub(at, at)
    local directive = character == "%" and format:sub(at + 1, at + 1)
    if directive == "%" then
      pattern[#pattern + 1] = "%%"
    elseif directive then
      local known = DIRECTIVES[directive]
      if not known then
        return nil, "%" .. directive
      end
      local next_to_digits = format:find("^%%[YmdHIMSj]", at + 2) or at > 2 and format:find("^%%[YmdHIMj]", at - 2)
      pattern[#pattern + 1] = next_to_digits and NARROW[directive] or known[1]
      parts[#parts + 1] = known[2]
    else
      pattern[#pattern + 1] = character == " " and "%s+" or character:gsub("%W", "%%%0")
    end
    at = at + (directive and 2 or 1)
  end
  return "^" .. table.concat(pattern) .. "$", parts
end

local function require_parts(format, pattern, parts)
  if not pattern then
    options.fail(("expected directives among %%Y %%y %%m %%d %%a %%A %%b %%B %%j %%q %%H %%I %%p %%M %%S %%z %%s "
      .. "in format %q, got %s"):format(format, parts))
  end
end

--- A function that reads trimmed text by a format: seconds since 1970, or nil
--- where the text has another form or names no day or time that exists.
---@param format string
---@return fun(text: string): number?
function dates.reader(format)
  local pattern, names = compile(format)
  require_parts(format, pattern, names)
  local parts = {} -- used again for the next text, as a format always gives the same ones
  local function take(first, ...)
    if not first then
      return nil
    end
    parts[names[1]] = first
    for n = 2, #names do
      parts[names[n]] = (select(n - 1, ...))
    end
    return seconds_of(parts)
  end
  return function(text)
    return #text <= LONGEST and take(text:match(pattern)) or nil
  end
end

--- For functions that take a format as an option.
---@type saros.options.Kind
dates.kind = options.kind("a format of dates such as \"%d.%m.%Y\"", function(value)
  return type(value) == "string" and value:find "%%" and compile(value) and value or nil
end)

-- The day first, then with the times of day that may follow it.
local DAYS = { "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d",
  "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d. %m. %Y", "%d. %b %Y", "%a, %b %d, %Y", "%a, %d %b %Y",
  "%a %d %b %Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%y" }
local TIMES = { "", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S%z",
  " %H:%M:%S %z", " %H:%M:%S UTC", "T%H:%M:%S%z", " %H:%M%z", "T%H:%M%z", "T%H%M%S", "T%H%M%S%z", " %H", "T%H" }
local LONE = { "%Y-%m", "%Y/%m", "%m/%Y", "%m.%Y", "%b %Y", "%b-%Y", "%b-%y", "%Y-Q%q", "%YQ%q", "%Y Q%q", "%Y%m" }

--- The common formats.
local COMMON = table.move(LONE, 1, #LONE, 1, {})
for _, day in ipairs(DAYS) do
  for _, time in ipairs(TIMES) do
    COMMON[#COMMON + 1] = day .. time
  end
end

--- The common formats that fit some texts.
---@param texts string[]  trimmed
---@param others? integer  as many of them may have another form (0)
---@return string[] formats
function dates.fitting(texts, others)
  local list = {}
  for _, format in ipairs(texts[1] and COMMON or {}) do
    local read, left = dates.reader(format), others or 0
    for _, text in ipairs(texts) do
      left = left - (read(text) and 0 or 1)
      if left < 0 then
        break
      end
    end
    list[#list + 1] = left >= 0 and format or nil
  end
  return list
end

return dates
