--- Simple properties of the place in a text that a model has just read, as one
--- number for each symbol. Neurons are compared with them.

local properties = {}

--- Whether a symbol is of a class of ASCII characters.
local function is(class)
  return function()
    return function(symbol)
      return symbol:find(class) and 1 or 0
    end
  end
end

--- Between two symbols; the same symbol may be both, as a quotation mark is. A
--- new paragraph ends it, so that a missing one does no harm for long.
local function between(open, close)
  return function()
    local inside, last = 0, ""
    return function(symbol)
      if symbol == open and (inside == 0 or open ~= close) then
        inside = 1
      elseif symbol == close or symbol == "\n" and last == "\n" then
        inside = 0
      end
      last = symbol
      return inside
    end
  end
end

--- How many symbols lie behind the last one of a class.
local function since(class)
  return function()
    local count = 0
    return function(symbol)
      count = symbol:find(class) and 0 or count + 1
      return count
    end
  end
end

--- Each with its name and a function that makes a fresh counter.
local all = {
  { "inside double quotes", between('"', '"') },
  { "inside typographic quotes", between("\u{201C}", "\u{201D}") },
  { "inside parentheses", between("(", ")") },
  { "inside brackets", between("[", "]") },
  { "inside braces", between("{", "}") },
  { "position in the line", since "^\n" },
  { "length of the word so far", since "^[^%w\x80-\xFF]" },
  { "end of a line", is "^\n" },
  { "white space", is "^%s" },
  { "upper case", is "^%u" },
  { "digit", is "^%d" },
  { "punctuation", is "^%p" },
  { "vowel", is "^[aeiouAEIOU]" },
}

--- All properties of a text.
---@param symbols string[]
---@return { name: string, values: number[] }[]
function properties.of(symbols)
  local list = {}
  for n, entry in ipairs(all) do
    local values, measure = {}, entry[2]()
    for t, symbol in ipairs(symbols) do
      values[t] = measure(symbol)
    end
    list[n] = { name = entry[1], values = values }
  end
  return list
end

return properties
