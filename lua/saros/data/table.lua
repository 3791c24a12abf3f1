--- A table in text: which columns it has, and what stands in their fields, row by
--- row. A field that Lua reads as a number is one from here on; what the other
--- texts mean is found out column by column (saros.data.columns).

local core = require "saros.core"
local csv = require "saros.data.csv"
local decode = require "saros.data.decode"
local dialect = require "saros.data.dialect"
local numbers = require "saros.data.numbers"
local options = require "saros.options"
local problem = require "saros.data.problem"
local files = require "saros.files"

---@class saros.data.Table
---@field name string  of the file
---@field names string[]  of the columns
---@field cells (number|string|false)[][]  of each column: number, text not yet understood, or false where nothing is
---@field lines integer[]  where the rows stand in the file
---@field rows integer
---@field dialect saros.data.Dialect
---@field missing table<string|number, true>  what says that there is no value beside the common spellings
---@field ignored { blank: integer, comments: integer }  lines
---@field content string?  until it is read
local Table = {}
Table.__index = Table

local tables = {}

local texts = options.list_of(options.kind("text or a number", function(value)
  return (type(value) == "string" or options.number.accept(value)) and value or nil
end))

local missing = options.kind("a list of texts or numbers that stand for no value", function(value)
  return texts.accept(type(value) == "table" and value or { value })
end)

--- What functions that read tables have as options.
tables.options = {
  { "separator", options.optional(csv.separator_kind) },
  { "header", options.optional(options.boolean) },
  { "decimal", options.optional(options.one_of { ".", "," }) },
  { "thousands", options.optional(options.one_of { ".", ",", " ", "'" }) },
  { "comment", options.optional(options.kind("text with which comments begin", function(value)
    return type(value) == "string" and value ~= "" and value or nil
  end)) },
  { "skip", options.count, 0 },
  { "na", missing, {} },
}

---@class saros.data.TableOptions: saros.data.DialectOptions
---@field na? (string|number)[]|string|number  what stands for no value beside the common spellings ({})

--- Options of tables behind others, for options.declare.
---@param fields table[]
---@return table[]
function tables.with_options(fields)
  return table.move(tables.options, 1, #tables.options, #fields + 1, fields)
end

--- Refuse options of tables for data that come from elsewhere, as they would say nothing.
---@param owner string  for the message
---@param given? table  the options as the script gave them
---@param others string[]  options of this kind beside those of `with_options`
---@param source string  where the data come from
function tables.refuse_options(owner, given, others, source)
  local names = table.move(others, 1, #others, 1, {})
  for _, field in ipairs(tables.options) do
    names[#names + 1] = field[1]
  end
  for _, name in ipairs(names) do
    if given and given[name] ~= nil then
      options.fail(("%s: expected no option '%s', which is one of tables, for %s"):format(owner, name, source))
    end
  end
end

--- Texts and numbers as a set; "-9999" is found as a number, too.
local function set_of(list)
  local set = {}
  for _, value in ipairs(list) do
    value = type(value) == "string" and numbers.trim(value) or value
    set[value] = true
    local number = type(value) == "string" and not value:find "[xX]" and core.to_number(value)
    if number then
      set[number] = true
    end
  end
  return set
end

--- The names of columns, or their numbers where they have none.
local function names_of(first, header)
  local names = {}
  for position, text in ipairs(first) do
    names[position] = header and text ~= "" and text or tostring(position)
  end
  return names
end

--- Look at the beginning of a table.
---@param name string  of the file
---@param content? string  its bytes; read from the file without
---@param o saros.data.TableOptions
---@return saros.data.Table
function tables.open(name, content, o)
  local message
  if not content then
    content, message = files.read(name)
  end
  content = decode(content or problem.raise("%s", message), name, o.unit == "byte")
  local na = set_of(o.na)
  local text, form, first = dialect.of(content, name, o, na)
  return setmetatable({ name = name, content = text, dialect = form, names = names_of(first, form.header),
    missing = na }, Table)
end

-- --- Rows ------------------------------------------------------------------------------------

--- Characters with which a field is no plain number: 0x10 is none in a table, and 1.234 is another
--- one beside decimal commas.
local function marks_of(decimal)
  return decimal == "," and ".xX" or "xX"
end

--- A function from text to finite numbers; nil where it must be looked at closely.
local function quick_reader(marks)
  local limit, pattern = numbers.LIMIT, "[" .. marks .. "]"
  return function(text)
    local value = not text:find(pattern) and core.to_number(text)
    return value and value < limit and value > -limit and value or nil
  end
end

local function is_empty(fields, count)
  for position = 1, count do
    if type(fields[position]) == "number" or fields[position]:find "%S" then
      return false
    end
  end
  return true
end

--- What helps with a line that is no row, such as one of totals: option 'comment', if the line begins with text
--- that has no digits, as names of months stand before days.
---@param first string|number  its first field
---@return string
function tables.hint_of_comment(first)
  local word = type(first) == "string" and (first:match "^[#%%!;/]+" or first:match "^(%a+)%D*$")
  return word and ("; comment = %q leaves out lines that begin with it"):format(word) or ""
end

--- Refuse a record with more or fewer fields than the first, unless there is nothing in it.
local function refuse_count(self, count, line, first)
  local expected, hint = #self.names, count < #self.names and tables.hint_of_comment(first) or ""
  if self.dialect.separator == "," and count > expected then
    hint = "; if a comma is a decimal one and no separator, decimal = \",\" or separator says so"
  end
  problem.raise("%s, line %d: expected %d field%s, as in the first line, got %d%s", self.name, line, expected,
    expected == 1 and "" or "s", count, hint)
end

--- Iterate over the records behind the names: fields, line. Records without
--- anything in them count as blank lines.
local function records(self, marks)
  local next_record, ignored = csv.records(self.content, self.dialect, self.name, marks)
  local expected = #self.names
  self.ignored = ignored
  if self.dialect.header then
    next_record()
  end
  return function()
    while true do
      local fields, count, line = next_record()
      if not fields then
        return nil
      elseif (fields[1] == "" or count ~= expected) and (expected > 1 or count ~= 1) and is_empty(fields, count) then
        ignored.blank = ignored.blank + 1
      elseif count ~= expected then
        refuse_count(self, count, line, fields[1])
      else
        return fields, line
      end
    end
  end
end

--- Read all rows.
---@param texts_in? table<integer, boolean>  columns whose fields stay as they are
---@return saros.data.Table self
function Table:read(texts_in)
  local cells, lines, row, width = {}, {}, 0, #self.names
  for position = 1, width do
    cells[position] = {}
  end
  local marks, as_text = marks_of(self.dialect.decimal), texts_in or {}
  local quick = quick_reader(marks)
  -- Where some fields stay as they are, all come as text.
  for fields, line in records(self, not next(as_text) and marks or nil) do
    row = row + 1
    lines[row] = line
    for position = 1, width do
      local cell = fields[position]
      if type(cell) == "string" and not as_text[position] then
        cell = quick(cell) or cell
      end
      cells[position][row] = cell
    end
  end
  self.cells, self.lines, self.rows, self.content = cells, lines, row, nil
  return self
end

-- --- Columns ------------------------------------------------------------------------------------

--- The name of a column; its number tells it from others of that name.
---@param position integer
---@return string
function Table:unique_name(position)
  local name = self.names[position]
  for other, same in ipairs(self.names) do
    if same == name and other ~= position then
      return ("%s (%d)"):format(name, position)
    end
  end
  return name
end

--- The position of a column by its name with its number, as `unique_name` gives it.
function Table:find_numbered(wanted)
  local position = type(wanted) == "string" and math.tointeger(wanted:match " %((%d+)%)$")
  return position and self.names[position] and self:unique_name(position) == wanted and position or nil
end

--- The position of a column that is given by name or by number.
---@param wanted string|integer
---@param option? string  that chose it, for the message
---@return integer
function Table:find(wanted, option)
  local found = math.type(wanted) == "integer" and self.names[wanted] and wanted or nil
  for position, name in ipairs(self.names) do
    if name == wanted and found then
      problem.raise("%s: expected one column %q, got columns %d and %d; choose by number",
        self.name, wanted, found, position)
    end
    found = name == wanted and position or found
  end
  found = found or self:find_numbered(wanted)
  local hint = option and ("; option '%s' says which%s"):format(option, self.dialect.header
    and ", and the first line is read as the header unless header = false" or "") or ""
  return found or problem.raise("%s: expected a column among %s (or 1..%d), got %s%s", self.name,
    table.concat(self.names, ", "), #self.names, options.describe(wanted), hint .. core.hint(wanted, self.names))
end

--- Add a column whose fields are those of others, with blanks between them; nothing
--- where one of them has nothing.
---@param positions integer[]  of columns whose fields are text
---@return integer position
function Table:join(positions)
  local joined, names = {}, {}
  for row = 1, self.rows do
    local parts, is_whole = {}, true
    for n, position in ipairs(positions) do
      parts[n] = numbers.trim(self.cells[position][row])
      is_whole = is_whole and not numbers.is_missing(parts[n])
    end
    joined[row] = is_whole and table.concat(parts, " ") or ""
  end
  for n, position in ipairs(positions) do
    names[n] = self.names[position]
  end
  self.names[#self.names + 1], self.cells[#self.cells + 1] = table.concat(names, " "), joined
  return #self.names
end

--- Where a field stands, for messages: "a.csv, line 2, column 3 (Temp)".
---@param position integer
---@param row integer
---@return string
function Table:place(position, row)
  return ("%s, line %d, column %d (%s)"):format(self.name, self.lines[row], position, self.names[position])
end

return tables
