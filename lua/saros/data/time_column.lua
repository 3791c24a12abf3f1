--- Which column of a table says when its rows were, and the times in it.

local core = require "saros.core"
local dates = require "saros.data.dates"
local numbers = require "saros.data.numbers"
local options = require "saros.options"
local problem = require "saros.data.problem"
local tables = require "saros.data.table"
local timeline = require "saros.data.timeline"

local time_column = {}

local HINT = "; option 'time' says which column is the time, or which are together; "
  .. "time = false reads the rows as they stand"
local SEEN = 20 -- texts from which the formats of a column are guessed

---@class saros.data.TimeColumn
---@field position integer
---@field seconds number[]?  since 1970, as the rows stand
---@field descending boolean?
---@field failure string?  why these cannot be the times of the rows

--- A field, trimmed, or false where nothing is.
local function text_of(cell)
  local text = type(cell) == "string" and numbers.trim(cell)
    or math.type(cell) == "integer" and ("%d"):format(cell) or core.format("%s", cell)
  return not numbers.is_missing(text) and text
end

--- The common formats of most of the first different texts in a column.
local function common_formats(cells)
  local list, seen = {}, {}
  for _, cell in ipairs(cells) do
    local text = text_of(cell)
    if text and not seen[text] then
      seen[text], list[#list + 1] = true, text
    end
    if #list == SEEN then
      break
    end
  end
  return dates.fitting(list, #list // 2)
end

--- Times by one format. Returns also the number of fields that do not fit, and the first row of these.
local function read_by(cells, format)
  local read, seconds, wrong, first = dates.reader(format), {}, 0, nil
  for row, cell in ipairs(cells) do
    local time = type(cell) == "string" and read(cell)
    if not time then
      local text = text_of(cell)
      time = text and read(text) or false
      wrong, first = wrong + (time and 0 or 1), first or not time and row or nil
    end
    seconds[row] = time
  end
  return seconds, wrong, first
end

local function failed(table, position, row, form, ...)
  return { position = position, failure = ("%s: "):format(table:place(position, row)) .. form:format(...) }
end

--- Times that are in order, or why they are not.
local function in_order(table, position, seconds)
  local descending, row = timeline.direction(seconds)
  if descending ~= nil then
    return { position = position, seconds = seconds, descending = descending }
  end
  local before, now = seconds[row - 1], seconds[row]
  return failed(table, position, row, now == before and "expected each time once, got %s in line %d as well%s"
    or "expected times in one order, got %s behind line %d%s",
    options.describe(table.cells[position][row]), table.lines[row - 1], HINT)
end

local function are_equal(a, b)
  for row, value in ipairs(a) do
    if b[row] ~= value then
      return false
    end
  end
  return true
end

local function ambiguous(table, position, format, other)
  return failed(table, position, 1, "expected dates of one form, got some that are %s as well as %s; "
    .. "option 'format' says which, as in format = %q", format, other, format)
end

--- What the formats that fit all fields say: one reading in order, or a failure.
local function decide(table, position, readings)
  local found
  for _, reading in ipairs(readings) do
    local own = in_order(table, position, reading.seconds)
    if own.seconds and found and found.seconds and not are_equal(own.seconds, found.seconds) then
      return ambiguous(table, position, found.format, reading.format)
    end
    if not found or own.seconds and not found.seconds then
      found, own.format = own, reading.format
    end
  end
  return found
end

--- The times in the fields of a column by the formats that fit; a failure where some are no times; nil where
--- more than a third are none, so that the column holds something else.
---@return saros.data.TimeColumn?
local function times_of(table, position, formats)
  local cells = table.cells[position]
  local readings, nearest, fewest, at = {}, nil, math.huge, nil
  for _, format in ipairs(formats) do
    local seconds, wrong, first = read_by(cells, format)
    if wrong == 0 then
      readings[#readings + 1] = { seconds = seconds, format = format }
    elseif wrong < fewest then
      nearest, fewest, at = format, wrong, first
    end
  end
  if #readings > 0 then
    return decide(table, position, readings)
  elseif fewest * 3 <= #cells then
    return failed(table, position, at, "expected a time of the form %s, as in most rows, got %s%s", nearest,
      text_of(cells[at]) and options.describe(cells[at]) or "nothing",
      HINT .. (position == 1 and tables.hint_of_comment(cells[at]) or ""))
  end
end

-- --- Numbers as times -----------------------------------------------------------------------

local NAMES = { "date", "time", "month", "period", "day" }

local function is_called_time(name)
  for _, part in ipairs(NAMES) do
    if name:lower():find(part, 1, true) then
      return true
    end
  end
  return false
end

--- The format by which whole numbers may be times: of 19810131 or, if there are many or the
--- name says so, 198101.
local function format_of(table, position)
  local first, name = table.cells[position][1], table.names[position]
  if math.type(first) ~= "integer" or table.rows < 3 then
    return nil
  elseif first >= 18000101 and first <= 21991231 then
    return "%Y%m%d"
  end
  return first >= 180001 and first <= 219912 and (table.rows > 12 or is_called_time(name)) and "%Y%m" or nil
end

--- Whole numbers are times where all are, in order.
local function numeric_times(table, position)
  local format = format_of(table, position)
  local seconds, wrong = {}, 1
  if format then
    seconds, wrong = read_by(table.cells[position], format)
  end
  local found = wrong == 0 and in_order(table, position, seconds)
  return found and found.seconds and found or nil
end

-- --- Which column ---------------------------------------------------------------------------

--- True if there is text in the first fields of a column.
local function begins_with_text(cells)
  for row = 1, math.min(#cells, SEEN) do
    if type(cells[row]) == "string" and not numbers.is_missing(numbers.trim(cells[row])) then
      return true
    end
  end
  return false
end

--- What a column says about time; nil where it holds something else.
local function candidate(table, position, format)
  if not format and not begins_with_text(table.cells[position]) then
    return numeric_times(table, position)
  end
  local formats = format and { format } or common_formats(table.cells[position])
  return #formats > 0 and times_of(table, position, formats) or nil
end

--- The column that gives the times of rows: the first whose times are in order, each once. Dates that
--- are not are refused where no column gives better ones.
---@param table saros.data.Table  read
---@param other table<integer, any>  positions that hold something else
---@param format? string
---@return saros.data.TimeColumn? time
---@return table<integer, true> dates  all columns with times
function time_column.find(table, other, format)
  local found, all = nil, {}
  for position in ipairs(table.names) do
    local own = not other[position] and candidate(table, position, format)
    if own then
      all[position] = true
      found = own.seconds and (not found or found.failure) and own or found or own
    end
  end
  if found and found.failure then
    problem.raise("%s", found.failure)
  elseif not found and format then
    problem.raise("%s: expected a column of times of the form %s, got none", table.name, format)
  end
  return found, all
end

--- All columns that begin with times in text.
---@param table saros.data.Table  read
---@param other table<integer, any>  positions that hold something else
---@return table<integer, true>
function time_column.all(table, other)
  local all = {}
  for position in ipairs(table.names) do
    local cells = table.cells[position]
    all[position] = not other[position] and begins_with_text(cells) and #common_formats(cells) > 0 or nil
  end
  return all
end

--- Times that are plain numbers of an unknown unit.
local function plain_times(table, position)
  local seconds = {}
  for row, cell in ipairs(table.cells[position]) do
    local text = text_of(cell)
    seconds[row] = text and core.to_number(text)
      or problem.raise("%s: expected a time, got %s; option 'format' says how it is written",
        table:place(position, row), text and options.describe(text) or "nothing")
  end
  return seconds
end

--- The formats that may fit a column that was asked for.
local function formats_of(cells, format)
  local formats = format and { format } or common_formats(cells)
  if #formats == 0 and select(2, read_by(cells, "%Y")) == 0 then
    formats[1] = "%Y"
  end
  return formats
end

local function refuse_format(table, position, format)
  problem.raise("%s: expected times of the form %s, got %s", table:place(position, 1), format,
    options.describe(table.cells[position][1]))
end

--- The times in a column that was asked for. Its fields must be text still.
---@param table saros.data.Table  read
---@param position integer
---@param format? string  one of the common ones that fits, or "%Y", or plain numbers
---@return saros.data.TimeColumn
function time_column.of(table, position, format)
  local found = times_of(table, position, formats_of(table.cells[position], format))
  if not found and format then
    refuse_format(table, position, format)
  elseif not found then
    found = in_order(table, position, plain_times(table, position))
    found.plain = true
  end
  return found.failure and problem.raise("%s", found.failure) or found
end

--- The times in a column whose rows may be in any order, so that only one format may fit.
---@param table saros.data.Table  read
---@param position integer
---@param format? string  one of the common ones that fits, or "%Y", or plain numbers
---@return number[]  a row each
function time_column.values(table, position, format)
  local cells, found = table.cells[position], nil
  for _, each in ipairs(formats_of(cells, format)) do
    local seconds, wrong = read_by(cells, each)
    if wrong == 0 and found and not are_equal(found.seconds, seconds) then
      problem.raise("%s", ambiguous(table, position, found.format, each).failure)
    end
    found = wrong == 0 and { seconds = seconds, format = each } or found
  end
  if not found and format then
    refuse_format(table, position, format)
  end
  return found and found.seconds or plain_times(table, position)
end

return time_column
