--- What becomes of places in columns of numbers where a number is missing.

local problem = require "saros.data.problem"

local gaps = {}

gaps.policies = { "error", "previous", "interpolate", "skip" }

---@class saros.data.Rows
---@field table saros.data.Table  for messages
---@field columns saros.data.Column[]  of numbers, each with a value or false a row
---@field lines integer[]  of the rows in the file
---@field count integer  rows

local function expected_number(rows, column, row, got)
  problem.raise("%s, line %d, column %d (%s): expected a number, got %s", rows.table.name, rows.lines[row],
    column.position, column.name, got)
end

--- The first row in which a number is missing, and its column.
local function first_gap(rows)
  local first, found = rows.count + 1, nil
  for _, column in ipairs(rows.columns) do
    for row = 1, first - 1 do
      if not column.values[row] then
        first, found = row, column
        break
      end
    end
  end
  return first, found
end

--- The rows of a list for which a function is true, moved to its beginning.
local function keep(list, kept, count)
  for n, row in ipairs(kept) do
    list[n] = list[row]
  end
  for row = #kept + 1, count do
    list[row] = nil
  end
end

--- Leave out the rows in which a number is missing.
---@param rows saros.data.Rows
---@param beside table[]  other lists with an element a row
---@return integer dropped
function gaps.skip(rows, beside)
  local kept = {}
  for row = 1, rows.count do
    local whole = true
    for _, column in ipairs(rows.columns) do
      whole = whole and column.values[row] ~= false
    end
    kept[#kept + 1] = whole and row or nil
  end
  local dropped = rows.count - #kept
  if dropped > 0 then
    for _, column in ipairs(rows.columns) do
      keep(column.values, kept, rows.count)
    end
    for _, list in ipairs(beside) do
      keep(list, kept, rows.count)
    end
    rows.count = #kept
  end
  return dropped
end

--- The value before in place of a missing one.
local function carry(rows, column, first, last)
  local filled = 0
  for row = first, last do
    if not column.values[row] then
      column.values[row] = row > first and column.values[row - 1] or expected_number(rows, column, row,
        'nothing, and nothing before it; missing = "interpolate" or "skip" reads on without')
      filled = filled + 1
    end
  end
  return filled
end

--- A straight line from the value before a gap to the one behind it. A gap at an
--- end has one neighbour, which is repeated.
local function bridge(values, first, last, from, to)
  from, to = (from or to) + 0.0, (to or from) + 0.0
  for row = first, last do
    values[row] = from + (to - from) * (row - first + 1) / (last - first + 2)
  end
end

local function interpolate(rows, column, first, last)
  local values, row, filled = column.values, first, 0
  while row <= last do
    local stop = row
    while stop <= last and not values[stop] do
      stop = stop + 1
    end
    if stop > row then
      if row == first and stop > last then
        problem.raise("%s, column %d (%s): expected some numbers in lines %d to %d, got none", rows.table.name,
          column.position, column.name, rows.lines[first], rows.lines[last])
      end
      bridge(values, row, stop - 1, row > first and values[row - 1], stop <= last and values[stop])
      filled = filled + stop - row
    end
    row = stop + 1
  end
  return filled
end

--- Put numbers where some are missing.
---@param rows saros.data.Rows
---@param policy "error"|"previous"|"interpolate"
---@param parts integer[][]  { first, last } of those that take no number from each other
---@return table<string, integer> filled  numbers put in, by the name of a column
function gaps.fill(rows, policy, parts)
  local row, column = first_gap(rows)
  local filled = {}
  if not column then
    return filled
  elseif policy == "error" then
    expected_number(rows, column, row,
      'nothing; missing = "previous", "interpolate" or "skip" reads on without')
  end
  for _, each in ipairs(rows.columns) do
    local count = 0
    for _, part in ipairs(parts) do
      count = count + (policy == "previous" and carry or interpolate)(rows, each, part[1], part[2])
    end
    filled[each.name] = count > 0 and count or nil
  end
  return filled
end

return gaps
