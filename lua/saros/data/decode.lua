--- The bytes of a table as UTF-8 text whose lines end in LF or CRLF. Spreadsheets
--- also write byte order marks, UTF-16 and lines that end in CR; these are read.
--- What is no text, or text in an older encoding, is a problem that says so.

local problem = require "saros.data.problem"
local files = require "saros.files"

local UNITS = 200 -- of UTF-16 that are decoded at once

local function line_at(content, position)
  local _, breaks = content:sub(1, position - 1):gsub("\n", "")
  return breaks + 1
end

--- A surrogate pair as one code; nil where the second is none.
local function joined(high, low)
  return low >= 0xDC00 and low <= 0xDFFF and 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00) or nil
end

--- UTF-16 units to UTF-8.
---@param order "<"|">"
---@param first integer  the byte with which the text begins
local function from_utf16(content, order, first, name)
  local parts, high = {}, nil
  if (#content - first) % 2 == 0 then
    problem.raise("%s: expected UTF-16 with two bytes a unit, got half a unit at the end", name)
  end
  for at = first, #content, 2 * UNITS do
    local count = math.min(UNITS, (#content - at + 1) // 2)
    local codes = { string.unpack(order .. ("I2"):rep(count), content, at) }
    local list = {}
    for n = 1, count do
      local code = codes[n]
      if high then
        code, high = joined(high, code), nil
      elseif code >= 0xD800 and code <= 0xDBFF then
        code, high = nil, code
      end
      if not (code or high) or code and code >= 0xDC00 and code <= 0xDFFF then
        problem.raise("%s: expected UTF-16, got half a surrogate pair at byte %d", name, at + 2 * n - 2)
      end
      list[#list + 1] = code
    end
    parts[#parts + 1] = utf8.char(table.unpack(list))
  end
  return table.concat(parts)
end

--- The byte order of UTF-16 without a mark, whose every second byte is mostly 0.
local function order_of(content)
  local zeros = { 0, 0 }
  local head = content:sub(1, 256)
  for at in head:gmatch "()%z" do
    zeros[2 - at % 2] = zeros[2 - at % 2] + 1
  end
  local half = #head // 4
  return zeros[1] == 0 and zeros[2] > half and "<" or zeros[2] == 0 and zeros[1] > half and ">" or nil
end

--- Without marks, and as UTF-8.
local function to_utf8(content, name)
  local mark = content:sub(1, 2)
  if content:find "^\xFF\xFE%z%z" or content:find "^%z%z\xFE\xFF" then
    problem.raise("%s: expected UTF-8 or UTF-16, got UTF-32; iconv -f utf-32 -t utf-8 makes UTF-8 of it", name)
  elseif mark == "\xFF\xFE" or mark == "\xFE\xFF" then
    return from_utf16(content, mark == "\xFF\xFE" and "<" or ">", 3, name)
  end
  local at = content:find("\0", 1, true)
  if not at then
    return files.without_mark(content)
  end
  return from_utf16(content, order_of(content)
    or problem.raise("%s, line %d: expected text, got a byte 0", name, line_at(content, at)), 1, name)
end

local function require_utf8(content, name)
  local length, at = utf8.len(content)
  if not length then
    problem.raise("%s, line %d: expected UTF-8, got byte 0x%02X; if it is Windows-1252 or Latin-1, "
      .. "iconv -f windows-1252 -t utf-8 makes UTF-8 of it", name, line_at(content, at), content:byte(at))
  end
end

--- The text of a table.
---@param content string  the bytes of a file
---@param name string  of the file, for messages
---@param any? boolean  true: other encodings pass as they are, as their symbols are bytes
---@return string
local function decode(content, name, any)
  content = to_utf8(content, name)
  if not any then
    require_utf8(content, name)
  end
  if content:find("\r", 1, true) and content:find "\r%f[^\n\r]" or content:find "\r$" then
    content = content:gsub("\r\n?", "\n")
  end
  return content
end

return decode
