--- What the columns of a table hold: numbers, truth or text. All rows
--- decide. A column of numbers with a few fields that are none is a mistake in the
--- file or a spelling of "missing" that must be told, so it is refused.

local dates = require "saros.data.dates"
local numbers = require "saros.data.numbers"
local options = require "saros.options"
local problem = require "saros.data.problem"

local columns = {}

---@class saros.data.Column
---@field name string
---@field position integer  in the table
---@field kind "number"|"truth"|"text"|"nothing"
---@field unit string?  of numbers: "%" or a currency sign
---@field values (number|false)[]?  of numbers and truth, a row each; false where one is missing
---@field why string?  of another kind: what it is, for people

--- For functions that take a column as an option.
---@type saros.options.Kind
columns.kind = options.kind("a column's name or number", function(value)
  return (type(value) == "string" or math.type(value) == "integer") and value or nil
end)

local some = options.list_of(columns.kind)

--- For functions that take columns, one or a list.
---@type saros.options.Kind
columns.list = options.kind("columns, by name or number", function(value)
  local list = columns.kind.accept(value) and { value } or some.accept(value)
  return list and #list > 0 and list or nil
end)

--- For functions that take functions by column that parse its fields.
---@type saros.options.Kind
columns.parsers = options.kind("functions by column", function(value)
  if type(value) ~= "table" then
    return nil
  end
  for wanted, parse in pairs(value) do
    if not columns.kind.accept(wanted) or type(parse) ~= "function" then
      return nil
    end
  end
  return value
end)

-- --- What each field means -------------------------------------------------------------

local function is_number(value)
  return type(value) == "number" and value < numbers.LIMIT and value > -numbers.LIMIT
end

--- What a function of the script makes of a field: a number, or false for nil.
local function parsed(table, position, row, text, parse)
  local value = parse(text)
  if value ~= nil and not is_number(value) then
    problem.raise("%s: expected parse to make a finite number of %s, or nil where one is missing, got %s",
      table:place(position, row), options.describe(text), options.describe(value))
  end
  return value or false
end

--- A function from the texts in a column to their meaning: a number, false for
--- missing, or nil; and the unit or the reason. Without `parse` a text is looked at
--- once.
local function understanding(table, position, parse)
  local read, missing, known = numbers.reader(table.dialect), table.missing, {}
  local function understand(text, row)
    local trimmed = numbers.trim(text)
    if numbers.is_missing(trimmed) or missing[trimmed] then
      return false
    elseif parse then
      return parsed(table, position, row, text, parse)
    end
    local value, note = read(trimmed)
    if value and missing[value] then
      return false
    end
    return value, note
  end
  return parse and understand or function(text, row)
    local found = known[text]
    if not found then
      found = { understand(text, row) }
      known[text] = found
    end
    return found[1], found[2]
  end
end

---@class saros.data.Survey
---@field numbers integer  fields that are numbers
---@field plain integer  of them those without a unit
---@field texts integer  fields that are neither numbers nor missing
---@field unclear integer  of them those that are numbers in another reading
---@field row integer?  the first of these
---@field text string?  what stands there
---@field reason string?  why it is no number
---@field units table<string, integer>  the first row of each

--- Replace what stands in a column by numbers and false, where it is understood.
local function survey(table, position, parse)
  local cells, understand, missing = table.cells[position], understanding(table, position, parse), table.missing
  local found = { numbers = 0, plain = 0, texts = 0, unclear = 0, units = {} }
  for row = 1, table.rows do
    local cell, note = cells[row], nil
    if type(cell) == "string" then
      cell, note = understand(cell, row)
    elseif missing[cell] then
      cell = false
    end
    if cell then
      found.numbers, cells[row] = found.numbers + 1, cell
      if note then
        found.units[note] = found.units[note] or row
      else
        found.plain = found.plain + 1
      end
    elseif cell == nil then
      found.texts, found.unclear = found.texts + 1, found.unclear + (note and 1 or 0)
      if not found.row then
        found.row, found.text, found.reason = row, cells[row], note
      end
    else
      cells[row] = false
    end
  end
  return found
end

-- --- What is refused ----------------------------------------------------------------------

--- What helps with a text among numbers.
local function hint_of(column, found)
  if found.reason == "either" then
    local whole, rest = numbers.trim(found.text):match "^(.-),(.*)$"
    return ("; it is %s%s with thousands = \",\" and %s.%s with decimal = \",\"; one of these options says which")
      :format(whole, rest, whole, rest)
  elseif found.reason == "infinite" then
    return ", which is more than a number of this build can be"
  elseif numbers.evidence(numbers.trim(found.text)) == "," then
    return "; decimal = \",\" reads it"
  elseif #dates.fitting { numbers.trim(found.text) } > 0 then
    return "; option 'time' or 'parse' reads times"
  end
  return ("; na = { %s } says that it is missing, parse = { [%q] = function(text) ... end } reads it"):format(
    options.describe(found.text), column.name)
end

local function refuse_text(table, column, found)
  local fields = found.numbers + found.texts
  local count = found.numbers > 0 and (" (%d of %d fields are numbers)"):format(found.numbers, fields) or ""
  problem.raise("%s: expected a number, got %s%s%s", table:place(column.position, found.row),
    options.describe(found.text), count, hint_of(column, found))
end

--- The unit of all numbers; per cent beside plain numbers, or two currencies, are refused.
local function unit_of(table, column, found)
  local unit, row = next(found.units)
  for other, at in pairs(found.units) do
    if at < row then
      unit, row = other, at
    end
  end
  for other, at in pairs(found.units) do
    if other ~= unit then
      problem.raise("%s: expected numbers in %s, as in line %d, got some in %s; "
        .. "parse = { [%q] = function(text) ... end } makes one unit of them", table:place(column.position, at), unit,
        table.lines[row], other, column.name)
    end
  end
  if unit == "%" and found.plain > 0 then
    problem.raise("%s: expected all numbers in %% or none, got both; parse = { [%q] = function(text) ... end } "
      .. "makes one unit of them", table:place(column.position, row), column.name)
  end
  return unit
end

-- --- Kinds ----------------------------------------------------------------------------------

--- Numbers of a column in which all texts are true or false.
local function truth_of(cells)
  local values = {}
  for row, cell in ipairs(cells) do
    values[row] = cell and numbers.truth(numbers.trim(cell))
    if values[row] == nil then
      return nil
    end
  end
  return values
end

--- Numbers of a column whose texts all are numbers with one unit, and the unit.
local function with_unit(table, cells)
  local read, values, unit = numbers.reader(table.dialect), {}, nil
  for row, cell in ipairs(cells) do
    local digits, own
    if cell then
      digits, own = numbers.split_unit(numbers.trim(cell))
    end
    values[row] = cell and (digits and read(digits) or nil) -- false where one is missing
    if values[row] == nil or own and unit and own ~= unit then
      return nil
    end
    unit = unit or own
  end
  return values, unit
end

--- What a script can do about text that has numbers or times in it.
local function remedy(text)
  if text:find "^%d+[/.:-]%d%d?[/.:-]%d" or text:find "^%d%d?:%d%d" or text:find "^%a%a%a+[/ .-]+%d+$" then
    return "; option 'format' reads times"
  end
  return text:find "^[+-]?%d[%d.,]*%s*%a+[%d/]*$" and "; option 'parse' reads numbers with units" or ""
end

--- What a column is of which few fields are plain numbers.
local function no_numbers(table, column, cells, found)
  if found.texts == 0 then
    column.kind, column.why = "nothing", "no values"
    return column
  end
  if found.numbers == 0 then
    column.kind, column.values = "truth", truth_of(cells)
    if not column.values then
      column.kind = "number"
      column.values, column.unit = with_unit(table, cells)
    end
  end
  if not column.values then
    column.kind = "text"
    column.why = ("text such as %s%s%s"):format(options.describe(found.text),
      found.numbers > 0 and (", beside %d numbers"):format(found.numbers) or "", remedy(numbers.trim(found.text)))
  end
  return column
end

--- What a column holds. Most fields decide; where these are numbers, every other
--- field must be a number or missing.
---@param table saros.data.Table  read
---@param position integer
---@param wanted? boolean  true: it must hold numbers
---@param parse? fun(text: string): number?
---@return saros.data.Column
function columns.understand(table, position, wanted, parse)
  local cells = table.cells[position]
  local column = { name = table.names[position], position = position }
  local found = survey(table, position, parse)
  local likely = found.numbers + found.unclear
  if likely > 0 and (likely >= found.texts - found.unclear or wanted) then
    if found.texts > 0 then
      refuse_text(table, column, found)
    end
    column.kind, column.values, column.unit = "number", cells, unit_of(table, column, found)
    return column
  end
  no_numbers(table, column, cells, found)
  if wanted and column.kind == "nothing" then
    problem.raise("%s, column %d (%s): expected some numbers, got none", table.name, position, column.name)
  elseif wanted and not column.values then
    refuse_text(table, column, found)
  end
  return column
end

return columns
