--- Source files as text: what C headers define, and how long functions are.

local sources = {}

-- Every character but the ends of lines becomes a space, so that places stay.
local function blank(text)
  return (text:gsub("[^\n]", " "))
end

-- The text without comments, strings and characters, cut out by rules. Each has the
-- pattern that such a piece begins with, and a function from that place to its last
-- character; 'marks' are the characters that pieces begin with.
local function without(text, marks, rules)
  local kept, done, at = {}, 1, 1
  while true do
    at = text:find(marks, at)
    if not at then
      return table.concat(kept) .. text:sub(done)
    end
    local last
    for _, rule in ipairs(rules) do
      if text:find("^" .. rule.begins, at) then
        last = rule.ends(text, at) or #text
        kept[#kept + 1] = text:sub(done, at - 1) .. blank(text:sub(at, last))
        done = last + 1
        break
      end
    end
    at = (last or at) + 1
  end
end

local function end_of_line(text, at)
  local ends = text:find("\n", at, true)
  return ends and ends - 1
end

-- Of a string or character that begins with its quote.
local function end_of_string(text, at)
  local quote, last = text:sub(at, at), at + 1
  while last <= #text and text:sub(last, last) ~= quote do
    last = last + (text:sub(last, last) == "\\" and 2 or 1)
  end
  return last
end

-- Of [[...]] or [==[...]==], behind a comment's hyphens or without them.
local function end_of_long(text, at)
  local level = text:match("^%-*%[(=*)%[", at)
  return select(2, text:find("]" .. level .. "]", at, true))
end

local C_RULES = {
  { begins = "/%*", ends = function(text, at) return select(2, text:find("*/", at + 2, true)) end },
  { begins = "//", ends = end_of_line },
  { begins = "[\"']", ends = end_of_string },
}
local LUA_RULES = { -- of two that begin at one place the first one counts
  { begins = "%-%-%[=*%[", ends = end_of_long },
  { begins = "%-%-", ends = end_of_line },
  { begins = "%[=*%[", ends = end_of_long },
  { begins = "[\"']", ends = end_of_string },
}

-- The name that a typedef defines, from the text between the word and its semicolon.
local function typedef_name(text)
  text = text:gsub("%b{}", " "):gsub("__attribute__%s*%b()", " ")
  return text:match "%(%s*%*%s*([%w_]+)%s*%)%s*%(" or text:match "([%w_]+)%s*%(" or text:match "([%w_]+)[%s%d%[%]]*$"
end

--- What a C header defines for those that include it: a list of { kind, name }. Kinds
--- are "type", "enumerator", "macro" and "function" (those that are static inline).
---@param text string
---@return table definitions
function sources.definitions(text)
  local found = {}
  local function add(kind, name)
    found[#found + 1] = { kind = kind, name = name }
  end
  text = without(text, "[/\"']", C_RULES):gsub("\\\n", " ")
  for name in text:gmatch "#%s*define%s+([%w_]+)" do
    add("macro", name)
  end
  text = ("\n" .. text):gsub("\n%s*#[^\n]*", "\n")
  for _, keyword in ipairs { "struct", "union", "enum" } do
    for name in text:gmatch("%f[%w_]" .. keyword .. "%s+([%w_]+)%s*{") do
      add("type", name)
    end
  end
  for body in text:gmatch "%f[%w_]enum[%s%w_]*(%b{})" do
    for name in body:gmatch "[{,]%s*([%w_]+)" do
      add("enumerator", name)
    end
  end
  local flat = text:gsub("%b{}", function(body) return (body:gsub(";", " ")) end)
  for body in flat:gmatch "%f[%w_]typedef%f[^%w_]([^;]*);" do
    add("type", (assert(typedef_name(body), body)))
  end
  for name in text:gmatch "static inline[^;{(]-([%w_]+)%s*%(" do
    add("function", name)
  end
  return found
end

--- The functions of a C file, laid out by clang-format: a list of { head, line, lines }.
---@param text string
---@return table functions
function sources.c_functions(text)
  local found, line, head, first, opened = {}, 0, nil, nil, false
  for row in without(text, "[/\"']", C_RULES):gmatch "([^\n]*)\n" do
    line = line + 1
    if not head and row:find "^[%a_]" then
      head, first, opened = row, line, false
    end
    opened = opened or row:find "{%s*$" ~= nil
    if row == "}" and head then
      found[#found + 1] = { head = head, line = first, lines = line - first + 1 }
    end
    if row:find "^[}#]" or row:find ";%s*$" and not opened then
      head = nil
    end
  end
  return found
end

local CLOSED = { ["function"] = "end", ["do"] = "end", ["if"] = "end", ["repeat"] = "until" }

--- The functions of a Lua file, the same; a head is the line that a function begins in,
--- without comments and strings.
---@param text string
---@return table functions
function sources.lua_functions(text)
  local open, found, line = {}, {}, 0
  for row in (without(text, "[-%[\"']", LUA_RULES) .. "\n"):gmatch "([^\n]*)\n" do
    line = line + 1
    for word in row:gmatch "%f[%w_]([%a_][%w_]*)" do
      if CLOSED[word] then
        open[#open + 1] = { word = word, head = row, line = line }
      elseif #open > 0 and word == CLOSED[open[#open].word] then
        local block = table.remove(open)
        if block.word == "function" then
          found[#found + 1] = { head = block.head, line = block.line, lines = line - block.line + 1 }
        end
      end
    end
  end
  assert(#open == 0)
  return found
end

return sources
