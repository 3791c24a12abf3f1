--- The records of tables in text: RFC 4180 (quoted fields, which may hold separators,
--- quotes and new lines; lines end in LF or CRLF), with any separator.

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

--- Iterate over the records of a text: their fields, in a table that is used
--- again for the next one, their number, and the line on which they begin.
--- Empty lines and comments are no records; they are counted.
---@param content string
---@param dialect saros.data.Dialect
---@param name string  of the file, for messages
---@return fun(): string[]?, integer?, integer?
---@return { blank: integer, comments: integer } ignored  lines so far
function csv.records(content, dialect, name)
  local find, sub, separator, comment = string.find, string.sub, dialect.separator, dialect.comment
  local finish = "[" .. separator:gsub("%W", "%%%0") .. "\n]"
  local fields, position, line, ignored = {}, dialect.first, dialect.line, { blank = 0, comments = 0 }

  -- The record at `first`, where quotes may hide separators and new lines.
  local function careful(first)
    local count, begun, at = 0, line, first
    repeat
      local text, last, stop
      local mark_at = content:match('^ *()"', at)
      if mark_at then
        text, last = quoted(content, mark_at)
        if not last then
          problem.raise("%s, line %d, column %d: expected a closing quote, got the end of the file",
            name, line, count + 1)
        end
        line = line + select(2, text:gsub("\n", "\n"))
        stop = content:match("^ *\r?()", last + 1)
      else
        stop = content:find(finish, at) or #content + 1
        text = content:sub(at, stop - 1)
      end
      local mark = content:sub(stop, stop)
      if mark ~= separator then
        text = last and text or text:gsub("\r$", "")
      end
      if last and mark ~= "" and mark ~= "\n" and mark ~= separator then
        problem.raise("%s, line %d, column %d: expected %q or a new line behind the closing quote, got %q",
          name, line, count + 1, separator, mark)
      end
      count, at = count + 1, stop + 1
      fields[count] = text
    until mark ~= separator
    position = at
    return fields, count, begun
  end

  -- The same where nothing is quoted: plain searches are the quickest.
  local function plain(text)
    local count, at = 0, 1
    repeat
      local stop = find(text, separator, at, true)
      count = count + 1
      fields[count] = sub(text, at, stop and stop - 1 or -1)
      at = stop and stop + 1
    until not at
    return fields, count, line
  end

  local function is_comment(first)
    return comment and sub(content, first, first + #comment - 1) == comment
  end

  local function next_record()
    while position <= #content do
      line = line + 1
      local first, stop = position, find(content, "\n", position, true) or #content + 1
      local last = content:byte(stop - 1) == 13 and stop - 2 or stop - 1
      position = stop + 1
      if last < first then
        ignored.blank = ignored.blank + 1
      elseif is_comment(first) then
        ignored.comments = ignored.comments + 1
      else
        local text = sub(content, first, last)
        if find(text, '"', 1, true) then
          return careful(first)
        end
        return plain(text)
      end
    end
  end
  return next_record, ignored
end

return csv
