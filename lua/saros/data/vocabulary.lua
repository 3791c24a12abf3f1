--- Vocabulary: symbols <-> ids 1..V.
---
--- Unit "char": the UTF-8 characters of a text, in the order of their code
--- points, so the same text always gives the same ids. Unit "byte": all 256
--- bytes, so nothing is ever unknown; the id of a byte is its value plus 1.

local options = require "saros.options"

---@class saros.Vocabulary
---@field unit "char"|"byte"
---@field symbols string[]  id -> symbol
---@field ids table<string, integer>  symbol -> id
---@operator len: integer
local Vocabulary = {}
Vocabulary.__index = Vocabulary
Vocabulary.__name = "saros.Vocabulary"

local function new(unit, symbols)
  local ids = {}
  for id, symbol in ipairs(symbols) do
    ids[symbol] = id
  end
  return setmetatable({ unit = unit, symbols = symbols, ids = ids }, Vocabulary)
end

--- Splitting a text into symbols: for each unit a pattern that matches one.
local PATTERNS = { char = utf8.charpattern, byte = "." }

local function require_utf8(owner, text)
  local length, position = utf8.len(text)
  if not length then
    options.fail(('%s: expected UTF-8 text, got an invalid byte 0x%02X at position %d; '
      .. 'unit = "byte" accepts any file'):format(owner, text:byte(position), position))
  end
end

local function distinct(text, pattern)
  local seen, symbols = {}, {}
  for symbol in text:gmatch(pattern) do
    if not seen[symbol] then
      seen[symbol] = true
      symbols[#symbols + 1] = symbol
    end
  end
  table.sort(symbols, function(a, b)
    return utf8.codepoint(a) < utf8.codepoint(b)
  end)
  return symbols
end

local vocabulary = {}

--- The 256 bytes.
---@return saros.Vocabulary
function vocabulary.bytes()
  local symbols = {}
  for byte = 0, 255 do
    symbols[byte + 1] = string.char(byte)
  end
  return new("byte", symbols)
end

--- The characters that occur in a text.
---@param text string  UTF-8, not empty
---@return saros.Vocabulary
function vocabulary.characters(text)
  require_utf8("vocabulary.characters", text)
  if text == "" then
    options.fail("vocabulary.characters: expected some text, got an empty string")
  end
  return new("char", distinct(text, PATTERNS.char))
end

--- What `Vocabulary:to_table` described.
---@param description { unit: string, symbols?: string }
---@return saros.Vocabulary
function vocabulary.from_table(description)
  if type(description) ~= "table" then
    options.fail("vocabulary.from_table: expected a table, got " .. options.describe(description))
  elseif description.unit == "byte" then
    return vocabulary.bytes()
  elseif description.unit ~= "char" or type(description.symbols) ~= "string" then
    options.fail('vocabulary.from_table: expected unit "byte", or "char" with symbols, got unit '
      .. options.describe(description.unit))
  end
  return vocabulary.characters(description.symbols)
end

--- For functions that take a vocabulary as an option.
---@type saros.options.Kind
vocabulary.kind = options.kind("a vocabulary", function(value)
  return getmetatable(value) == Vocabulary and value or nil
end)

--- The number of symbols, V.
function Vocabulary:__len()
  return #self.symbols
end

function Vocabulary:__tostring()
  return ("vocabulary (%d %ss)"):format(#self, self.unit)
end

local function unknown_symbol(self, symbol, position)
  options.fail(('encode: expected one of the %d characters of the vocabulary, got "%s" (U+%04X) at '
    .. 'symbol %d; a vocabulary made from this text, or unit = "byte", accepts it'):format(
    #self, symbol, utf8.codepoint(symbol), position))
end

--- Translate a text to ids. An unknown symbol is an error: dropping it would
--- shift every target behind it by one.
---@param text string
---@return integer[] ids  one for each symbol, each in 1..V
function Vocabulary:encode(text)
  if type(text) ~= "string" then
    options.fail("encode: expected a string, got " .. options.describe(text))
  elseif self.unit == "char" then
    require_utf8("encode", text)
  end
  local known, ids, count = self.ids, {}, 0
  for symbol in text:gmatch(PATTERNS[self.unit]) do
    count = count + 1
    ids[count] = known[symbol] or unknown_symbol(self, symbol, count)
  end
  return ids
end

--- A list of symbols as a message shows it, cut where it is long.
local function symbols_text(symbols)
  local shown = table.concat(symbols, "", 1, math.min(#symbols, 200))
  shown = shown:gsub("\n", "\\n"):gsub("%c", function(byte)
    return ("\\x%02X"):format(byte:byte())
  end)
  return #symbols > 200 and shown .. "..." or shown
end

--- Are all symbols of a text known?
---@param text string
---@return true? known, string? message  that shows the symbols there are
function Vocabulary:check(text)
  if self.unit ~= "byte" then
    local length, position = utf8.len(text)
    if not length then
      return nil, ("expected UTF-8 text, got an invalid byte at position %d"):format(position)
    end
  end
  for symbol in text:gmatch(PATTERNS[self.unit]) do
    if not self.ids[symbol] then
      return nil, ('expected characters that the model knows, got "%s"; it knows: %s'):format(
        symbol, symbols_text(self.symbols))
    end
  end
  return true
end

--- Translate ids back to text.
---@param ids integer[]|saros.Tensor  a sequence, or an ids tensor of rank 1
---@return string
function Vocabulary:decode(ids)
  if type(ids) == "userdata" then
    ids = ids:totable()
  end
  local symbols = {}
  for position, id in ipairs(ids) do
    symbols[position] = self.symbols[id]
      or options.fail(("decode: expected ids in 1..%d, got %s at position %d"):format(
        #self, options.describe(id), position))
  end
  return table.concat(symbols)
end

--- Everything there is to know about it, as plain data for a model file.
---@return { unit: string, symbols?: string }
function Vocabulary:to_table()
  if self.unit == "byte" then
    return { unit = "byte" }
  end
  return { unit = self.unit, symbols = table.concat(self.symbols) }
end

return vocabulary
