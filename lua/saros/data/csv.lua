--- The records of tables in text: RFC 4180 (quoted fields, which may hold separators,
--- quotes and new lines; lines end in LF or CRLF), with any separator.

local core = require "saros.core"
local options = require "saros.options"
local problem = require "saros.data.problem"

local csv = {}

---@class saros.data.Dialect
---@field separator string  one character
---@field first integer  the byte with which the first record, or what names the columns, begins
---@field line integer  the lines before it
---@field comment string?  lines that begin with it are left out
---@field header boolean  true: the first record names the columns
---@field decimal string?  "." or ","; nil: no field tells
---@field thousands string?  between groups of digits

--- For functions that take a separator as an option.
---@type saros.options.Kind
csv.separator_kind = options.kind("one character", function(value)
  return type(value) == "string" and value:find '^[^\r\n"]$' and value or nil
end)

--- A quoted field that begins at a position: its text and where it ends, or nil
--- if it never does.
local function quoted(content, position)
  local first = position + 1
  local last = content:find('"', first, true)
  while last and content:byte(last + 1) == 34 do -- a doubled quote stands for one
    last = content:find('"', last + 2, true)
  end
  if last then
    return (content:sub(first, last - 1):gsub('""', '"')), last
  end
end

--- A text whose records are read one by one.
---@class saros.data.Records
---@field content string
---@field separator string
---@field finish string  the pattern of what ends a field without quotes
---@field name string  of the file, for messages
---@field position integer  where the next line begins
---@field line integer  on which the last record began, or an empty line stood
---@field fields string[]  of the last record, in a table that is used again

local function ends_field(self, at)
  local mark = self.content:sub(at, at)
  return mark == "" or mark == "\n" or mark == self.separator
end

--- The field at a position: its text, where it ends, and whether it was quoted. Behind blanks, quotes
--- are such only if nothing follows them; else they belong to the text.
local function field_at(self, at, column)
  local content = self.content
  local mark_at, text, last = content:match('^ *()"', at), nil, nil
  if mark_at then
    text, last = quoted(content, mark_at)
  end
  local stop = last and content:match("^ *\r?()", last + 1)
  if mark_at ~= at and not (stop and ends_field(self, stop)) then
    stop = content:find(self.finish, at) or #content + 1
    return content:sub(at, stop - 1), stop, false
  elseif not last then
    problem.raise("%s, line %d, column %d: expected a closing quote, got the end of the file",
      self.name, self.line, column)
  end
  self.line = self.line + select(2, text:gsub("\n", "\n"))
  return text, stop, true
end

--- The record at `first`, where quotes may hide separators and new lines. Returns the number
--- of its fields and its line.
local function read_quoted(self, first)
  local count, begun, at = 0, self.line, first
  repeat
    local text, stop, is_quoted = field_at(self, at, count + 1)
    local mark = self.content:sub(stop, stop)
    if is_quoted and not ends_field(self, stop) then
      problem.raise("%s, line %d, column %d: expected %q or a new line behind the closing quote, got %q",
        self.name, self.line, count + 1, self.separator, mark)
    elseif not is_quoted and mark ~= self.separator then
      text = text:gsub("\r$", "")
    end
    count, at = count + 1, stop + 1
    self.fields[count] = text
  until mark ~= self.separator
  self.position = at
  return count, begun
end

--- The same where nothing is quoted: plain searches are the quickest.
local function read_plain(text, separator, fields)
  local find, sub, count, at = string.find, string.sub, 0, 1
  repeat
    local stop = find(text, separator, at, true)
    count = count + 1
    fields[count] = sub(text, at, stop and stop - 1 or -1)
    at = stop and stop + 1
  until not at
  return count
end

--- Iterate over the records of a text: their fields, in a table that is used
--- again for the next one, their number, and the line on which they begin.
--- Empty lines and comments are no records; they are counted.
---@param content string
---@param dialect saros.data.Dialect
---@param name string  of the file, for messages
---@param marks? string  with it, fields that are numbers without these characters come as such where nothing is quoted
---@return fun(): (string|number)[]?, integer?, integer?
---@return { blank: integer, comments: integer } ignored  lines so far
function csv.records(content, dialect, name, marks)
  local find, sub, separator, comment = string.find, string.sub, dialect.separator, dialect.comment
  local fields, ignored = {}, { blank = 0, comments = 0 }
  local self = { content = content, separator = separator, name = name, position = dialect.first, line = dialect.line,
    finish = "[" .. separator:gsub("%W", "%%%0") .. "\n]", fields = fields }
  local function next_record()
    while self.position <= #content do
      local first = self.position
      local stop = find(content, "\n", first, true) or #content + 1
      local last = content:byte(stop - 1) == 13 and stop - 2 or stop - 1
      self.position, self.line = stop + 1, self.line + 1
      if last < first then
        ignored.blank = ignored.blank + 1
      elseif comment and sub(content, first, first + #comment - 1) == comment then
        ignored.comments = ignored.comments + 1
      else
        local text = sub(content, first, last)
        if find(text, '"', 1, true) then
          return fields, read_quoted(self, first)
        end
        local read = marks and core.fields or read_plain
        return fields, read(text, separator, fields, marks), self.line
      end
    end
  end
  return next_record, ignored
end

return csv
