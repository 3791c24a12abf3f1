--- A series in a table: which columns are its inputs, its targets and its time,
--- and what becomes of the others.

local columns = require "saros.data.columns"
local gaps = require "saros.data.gaps"
local problem = require "saros.data.problem"
local remarks = require "saros.data.remarks"
local tables = require "saros.data.table"
local time_column = require "saros.data.time_column"
local timeline = require "saros.data.timeline"

local series_table = {}

--- Columns that a script asks for, as positions; nil if it asks for none.
local function positions_of(table, given)
  if not given then
    return nil
  end
  local positions = {}
  for n, wanted in ipairs(given) do
    positions[n] = table:find(wanted)
  end
  return positions
end

--- What the options say of columns, by position: functions to parse, and what is asked for.
local function asked(table, o)
  local own = { parse = {}, wanted = {}, texts = {}, parts = {} }
  for wanted, parse in pairs(o.parse) do
    local position = table:find(wanted, "parse")
    own.parse[position], own.texts[position] = parse, true
  end
  own.inputs, own.targets = positions_of(table, o.inputs), positions_of(table, o.targets)
  for _, positions in ipairs { own.inputs or {}, own.targets or {} } do
    for _, position in ipairs(positions) do
      own.wanted[position] = true
    end
  end
  for n, wanted in ipairs(o.time or {}) do
    local position = table:find(wanted, "time")
    own.parts[n], own.texts[position] = position, true
  end
  return own
end

--- The times of the rows, if a column has them, and all columns with times.
local function find_time(table, own, o)
  if #own.parts > 0 then
    local times, position = {}, own.parts[2] and table:join(own.parts) or own.parts[1]
    for _, part in ipairs(own.parts) do
      times[part] = true
    end
    return time_column.of(table, position, o.format), times
  end
  local other = setmetatable({}, { __index = function(_, position)
    return own.parse[position] or own.wanted[position]
  end })
  if o.time ~= false then
    return time_column.find(table, other, o.format)
  end
  return nil, time_column.all(table, other)
end

--- The columns that are needed, by position, and what is left out.
local function understand(table, own, times)
  local found, left_out = {}, {}
  for position, name in ipairs(table.names) do
    local column, why
    local is_time = position == own.time or #own.parts > 0 and times[position]
    if own.wanted[position] or not (is_time or times[position]) and not own.inputs then
      column = columns.understand(table, position, own.wanted[position], own.parse[position])
      why = not column.values and column.why
    else
      why = times[position] and "times" or "not among the inputs or targets"
    end
    found[position] = column and column.values and column
    if why and not is_time then
      left_out[#left_out + 1] = { name = name, why = why }
    end
  end
  return found, left_out
end

local function numeric(table, found, left_out)
  local positions = {}
  for position in ipairs(table.names) do
    positions[#positions + 1] = found[position] and position or nil
  end
  return #positions > 0 and positions or problem.raise("%s: expected a column of numbers, got none%s",
    table.name, remarks.text(left_out))
end

--- The columns that are used, each once.
local function used_columns(found, inputs, targets)
  local list, seen = {}, {}
  for _, positions in ipairs { inputs, targets } do
    for _, position in ipairs(positions) do
      if not seen[position] then
        seen[position], list[#list + 1] = true, found[position]
      end
    end
  end
  return list
end

local function reverse(list)
  for row = 1, #list // 2 do
    list[row], list[#list + 1 - row] = list[#list + 1 - row], list[row]
  end
end

--- Put rows whose file begins with the last one in the order of time.
local function ascend(rows, time)
  if time and time.descending then
    for _, column in ipairs(rows.columns) do
      reverse(column.values)
    end
    reverse(rows.lines)
    reverse(time.seconds)
  end
end

---@class saros.data.LeftOut
---@field name string  of a column
---@field why string

---@class saros.data.SeriesRows: saros.data.Rows
---@field by_position table<integer, saros.data.Column>
---@field names string[]  of all columns
---@field inputs integer[]  positions
---@field targets integer[]  positions
---@field left_out saros.data.LeftOut[]
---@field time saros.data.Timeline?
---@field ignored { blank: integer, comments: integer }  lines
---@field dropped integer  rows in which a number is missing

--- Read the rows of a series, in the order of time. Numbers may still be missing.
---@param name string  of the file
---@param content? string  instead of the file's
---@param o saros.data.SeriesOptions
---@return saros.data.SeriesRows
function series_table.read(name, content, o)
  local table = tables.open(name, content, o)
  local own = asked(table, o)
  table:read(own.texts)
  if table.rows == 0 then
    problem.raise("%s: expected rows of numbers, got none", name)
  end
  local time, times = find_time(table, own, o)
  own.time = time and time.position
  local found, left_out = understand(table, own, times)
  local inputs = own.inputs or numeric(table, found, left_out)
  local targets = own.targets or inputs
  local rows = { table = table, columns = used_columns(found, inputs, targets), lines = table.lines, count = table.rows,
    by_position = found, names = table.names, inputs = inputs, targets = targets, left_out = left_out,
    ignored = table.ignored, dropped = 0 }
  ascend(rows, time)
  if o.missing == "skip" then
    rows.dropped = gaps.skip(rows, { rows.lines, time and time.seconds })
  end
  if rows.count == 0 then
    problem.raise("%s: expected rows of numbers, got none without a gap", name)
  end
  rows.time = time and timeline.describe(table.names[time.position], time.seconds, time.descending, time.plain or false)
  return rows
end

return series_table
