--- A place inside a text from which a model can show what it makes of it: the first
--- words of a line, wherever blanks, empty lines or the script leave one.

local BLANK = "^[ \t-\r]*$"
local LOOKED_AT, TRIES = 400, 20 -- symbols, places
local GOOD, LONG, MOST = 3, 8, 24 -- visible bytes

local function is_blank(symbol)
  return symbol:find(BLANK) ~= nil
end

--- True if a symbol is the middle of a UTF-8 character.
local function is_inside(symbol)
  return symbol:find "^[\x80-\xBF]" ~= nil
end

--- The first symbol with something to see behind a line break; in text without line
--- breaks, behind a blank; else the first that begins a character.
local function first_visible(symbols)
  local after_blank, whole, is_new = nil, nil, false
  for at, symbol in ipairs(symbols) do
    is_new = is_new or symbol:find "\n" ~= nil
    if not is_blank(symbol) and not is_inside(symbol) then
      if is_new then
        return at
      end
      local is_after = at > 1 and (is_blank(symbols[at - 1]) or symbol:find "^ " ~= nil)
      after_blank = after_blank or is_after and at or nil
      whole = whole or at
    end
  end
  return after_blank or whole
end

--- The last symbol of an opening, some words of one line, and its visible bytes: where a
--- blank follows, or anything behind many.
local function last_visible(symbols, first, unit)
  local visible = 0
  for at = first, #symbols do
    local next_symbol = symbols[at + 1]
    visible = visible + #symbols[at]:gsub("[ \t-\r]", "")
    local is_end = not next_symbol or next_symbol:find "^[ \t-\r]" or unit == "word"
    local is_gap = is_end and (is_blank(symbols[at]) or (next_symbol or "\n"):find "^[\n\r]")
    if is_gap or visible >= LONG and is_end or visible >= MOST and not is_inside(next_symbol) then
      return is_blank(symbols[at]) and at - 1 or at, visible
    end
  end
  return #symbols, visible
end

--- Find an opening.
---@param vocabulary saros.Vocabulary
---@param count integer  symbols of the text
---@param read fun(first: integer, last: integer): integer[]  ids
---@param generator saros.Generator
---@return string opening  "" if there is nothing to see
local function opening(vocabulary, count, read, generator)
  local best, most = "", 0
  for _ = 1, TRIES do
    local first = generator:integer(math.max(1, count - LOOKED_AT))
    local ids, symbols = read(first, math.min(first + LOOKED_AT - 1, count)), {}
    for at, id in ipairs(ids) do
      symbols[at] = vocabulary.symbols[id]
    end
    local begins = first_visible(symbols)
    local ends, visible = begins or 1, 0
    if begins then
      ends, visible = last_visible(symbols, begins, vocabulary.unit)
    end
    if visible > most then
      best, most = vocabulary:decode(table.move(ids, begins, ends, 1, {})):gsub("^ ", ""), visible
    end
    if most >= GOOD then
      return best
    end
  end
  return best
end

return opening
