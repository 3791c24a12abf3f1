--- Columns of numbers from a table in a text file: which of its fields they
--- are, what stands for a number, and what happens where there is none.

local core = require "saros.core"
local csv = require "saros.data.csv"
local options = require "saros.options"

local tonumber = core.to_number -- with a decimal point, in any locale

---@class saros.data.Column
---@field name string
---@field position integer  among the fields of a record
---@field parse? fun(text: string): number?  what reads its fields, if they are no numbers
---@field values number[]
---@field gaps integer[]  rows whose value is still unknown

local columns = {}

-- --- What stands in a field ----------------------------------------------------------

local MISSING = { [""] = true, na = true, ["n/a"] = true, nan = true, null = true, ["?"] = true }

local function is_missing(text)
  return MISSING[text:match("^%s*(.-)%s*$"):lower()] or false
end

local function is_number(value)
  return type(value) == "number" and value - value == 0 -- neither infinite nor NaN
end

local function expected_number(place, line, column, got)
  csv.problem("%s, line %d, column %d (%s): expected %s, got %s", place.name, line, column.position,
    column.name, column.parse and "parse to make a finite number of it" or "a number", got)
end

-- The number in a field that is not simply one; nil where it is missing.
local function read_field(place, line, column, text)
  if is_missing(text) then
    return nil
  end
  local value
  if column.parse then
    value = column.parse(text)
  end
  return is_number(value) and value or expected_number(place, line, column, options.describe(text))
end

-- --- What becomes of gaps --------------------------------------------------------------

--- What stands in row `row` of a column instead; nil leaves the row out.
local FILL = {
  error = function(place, line, column)
    expected_number(place, line, column,
      'nothing; missing = "previous", "interpolate" or "skip" goes on without')
  end,
  previous = function(place, line, column, row)
    return column.values[row - 1] or expected_number(place, line, column,
      'nothing, and nothing before it; missing = "interpolate" or "skip" goes on without')
  end,
  interpolate = function(_, _, column, row)
    column.gaps[#column.gaps + 1] = row
    return 0
  end,
  skip = function() end,
}

columns.policies = { "error", "previous", "interpolate", "skip" }

--- A straight line from the value before a gap to the one behind it. A gap at an
--- end has one neighbour, which is repeated.
local function bridge(values, first, last)
  local before, behind = values[first - 1], values[last + 1]
  local from, to = before or behind, behind or before
  for row = first, last do
    values[row] = from + (to - from) * (row - first + 1) / (last - first + 2)
  end
end

local function interpolate(place, column)
  local gaps, n = column.gaps, 1
  if #gaps > 0 and #gaps == #column.values then
    csv.problem("%s, column %d (%s): expected some numbers, got none", place.name, column.position, column.name)
  end
  while n <= #gaps do
    local first = gaps[n]
    while gaps[n + 1] == gaps[n] + 1 do
      n = n + 1
    end
    bridge(column.values, first, gaps[n])
    n = n + 1
  end
end

-- --- Which columns there are ---------------------------------------------------------------

---@class saros.data.Place
---@field name string  of the file
---@field content string
---@field separator string
---@field header? boolean  is the first record one?
---@field names string[]  of all its columns

--- A first record without any number in it is a heading.
local function is_header(fields, count)
  for position = 1, count do
    if tonumber(fields[position]) then
      return false
    end
  end
  return true
end

--- Look at the beginning of a table.
---@param place saros.data.Place
function columns.survey(place)
  local fields, count = csv.records(place.content, place.separator, place.name)()
  if not fields then
    csv.problem("%s: expected a table, got nothing", place.name)
  end
  if place.header == nil then
    place.header = is_header(fields, count)
  end
  place.names = {}
  for position = 1, count do
    local name = place.header and fields[position]:match "^%s*(.-)%s*$"
    place.names[position] = name and name ~= "" and name or tostring(position)
  end
end

--- Iterate over the records behind the heading, each with as many fields as the
--- first: fields, line.
---@param place saros.data.Place
---@return fun(): string[]?, integer?
function columns.records(place)
  local next_record = csv.records(place.content, place.separator, place.name)
  if place.header then
    next_record()
  end
  local expected = #place.names
  return function()
    local fields, count, line = next_record()
    if fields and count ~= expected then
      csv.problem("%s, line %d: expected %d fields, as in the first line, got %d",
        place.name, line, expected, count)
    end
    return fields, line
  end
end

--- The columns that hold numbers: those whose first value is one, or is parsed.
---@param place saros.data.Place
---@param parsed table<integer, function>
---@return integer[] positions
function columns.numeric(place, parsed)
  local known, left = {}, #place.names
  for fields in columns.records(place) do
    for position in ipairs(place.names) do
      local text = fields[position]
      if known[position] == nil and not is_missing(text) then
        known[position], left = parsed[position] ~= nil or is_number(tonumber(text)), left - 1
      end
    end
    if left == 0 then
      break
    end
  end
  local positions = {}
  for position in ipairs(place.names) do
    positions[#positions + 1] = known[position] and position or nil
  end
  return #positions > 0 and positions
    or csv.problem("%s: expected a column of numbers, got none", place.name)
end

--- For functions that take a column as an option.
---@type saros.options.Kind
columns.kind = options.kind("a column's name or number", function(value)
  return (type(value) == "string" or math.type(value) == "integer") and value or nil
end)

--- The position of a column that is given by name or by number.
---@param place saros.data.Place
---@param wanted string|integer
---@param option? string  that chose it, for the message
---@return integer
function columns.find(place, wanted, option)
  local found = math.type(wanted) == "integer" and place.names[wanted] and wanted or nil
  for position, name in ipairs(place.names) do
    if name == wanted and found then
      csv.problem("%s: expected one column %q, got columns %d and %d; choose by number",
        place.name, wanted, found, position)
    end
    found = name == wanted and position or found
  end
  local hint = option and ("; option '%s' says which%s"):format(option,
    place.header and ", and the first line is read as the header unless header = false" or "")
  return found or csv.problem("%s: expected a column among %s (or 1..%d), got %s%s", place.name,
    table.concat(place.names, ", "), #place.names, options.describe(wanted), hint or "")
end

-- --- Reading ---------------------------------------------------------------------------------

--- Read columns, all of one length.
---@param place saros.data.Place
---@param list saros.data.Column[]
---@param missing "error"|"previous"|"interpolate"|"skip"
---@return integer rows
function columns.read(place, list, missing)
  local fill, row, numbers = FILL[missing], 1, {}
  for fields, line in columns.records(place) do
    local whole = true
    for n, column in ipairs(list) do
      local text = fields[column.position]
      local value = not column.parse and tonumber(text)
      if not is_number(value) then
        value = read_field(place, line, column, text)
        value = value or fill(place, line, column, row)
      end
      numbers[n], whole = value, whole and value ~= nil
    end
    if whole then
      for n, column in ipairs(list) do
        column.values[row] = numbers[n]
      end
      row = row + 1
    end
  end
  for _, column in ipairs(list) do
    interpolate(place, column)
  end
  return row - 1
end

return columns
