--- Tables in text files: RFC 4180 (quoted fields, which may hold separators,
--- quotes and new lines; lines end in LF or CRLF), with any separator.
---
--- What is wrong with a file is raised as a problem: `csv.try` turns it into nil
--- and a message, and lets every other error pass.

local options = require "saros.options"
local read_file = require "saros.read_file"
local without_mark = require "saros.data.byte_order_mark"

local csv = {}

local Problem = {}

--- Raise what is wrong with a file.
---@param form string  and what it formats
function csv.problem(form, ...)
  error(setmetatable({ message = form:format(...) }, Problem), 0)
end

--- Call a function: its first result, or nil and the message of a problem.
---@return any? result, string? message
function csv.try(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then
    return result
  elseif getmetatable(result) == Problem then
    return nil, result.message
  end
  error(result, 0)
end

--- The text of a file, without a byte order mark.
---@param path string
---@return string
function csv.read(path)
  local content, message = read_file(path)
  if not content then
    csv.problem("%s", message)
  end
  return without_mark(content)
end

--- For functions that take a separator as an option.
---@type saros.options.Kind
csv.separator_kind = options.kind("one character", function(value)
  return type(value) == "string" and value:find '^[^\r\n"]$' and value or nil
end)

--- The separator that comes most often in the first line, outside of quotes.
---@param content string
---@return string
function csv.separator(content)
  local line = content:gsub('"[^"]*"', ""):match "^[\r\n]*([^\r\n]*)"
  local best, most = ",", 0
  for _, separator in ipairs { ",", ";", "\t", "|" } do
    local _, count = line:gsub(separator, separator)
    if count > most then
      best, most = separator, count
    end
  end
  return best
end

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
--- Empty lines are no records.
---@param content string
---@param separator string  one character
---@param name string  of the file, for messages
---@return fun(): string[]?, integer?, integer?
function csv.records(content, separator, name)
  local find, sub = string.find, string.sub
  local finish = "[%" .. separator .. "\n]"
  local fields, position, line = {}, 1, 0

  -- The record at `first`, where quotes may hide separators and new lines.
  local function careful(first)
    local count, begun, at = 0, line, first
    repeat
      local text, last, stop
      if content:byte(at) == 34 then
        text, last = quoted(content, at)
        if not last then
          csv.problem("%s, line %d, column %d: expected a closing quote, got the end of the file",
            name, line, count + 1)
        end
        line = line + select(2, text:gsub("\n", "\n"))
        stop = content:match("^\r?()\n", last + 1) or last + 1
      else
        stop = content:find(finish, at) or #content + 1
        text = content:sub(at, stop - 1)
      end
      local mark = content:sub(stop, stop)
      if mark ~= separator then
        text = last and text or text:gsub("\r$", "")
      end
      if last and mark ~= "" and mark ~= "\n" and mark ~= separator then
        csv.problem("%s, line %d, column %d: expected %q or a new line behind the closing quote, got %q",
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

  return function()
    while position <= #content do
      line = line + 1
      local first, stop = position, find(content, "\n", position, true) or #content + 1
      local last = content:byte(stop - 1) == 13 and stop - 2 or stop - 1
      position = stop + 1
      if last >= first then
        local text = sub(content, first, last)
        if find(text, '"', 1, true) then
          return careful(first)
        end
        return plain(text)
      end
    end
  end
end

return csv
