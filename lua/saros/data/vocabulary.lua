--- Vocabulary: symbols <-> ids 1..V, in one of four units.
---
---   byte  all 256 bytes, so nothing is ever unknown; the id is the value plus 1
---   char  the UTF-8 characters of a text, by code point
---   word  its words, signs and blanks, the most frequent first
---   bpe   bytes, and what frequent pairs of symbols make (byte-pair encoding);
---         nothing is ever unknown
---
--- The text is the concatenation of its symbols; pieces of BPE have the space
--- before them in them. Between words one space is implied, behind , . ; : ! ? ) as
--- well, so a word is one symbol wherever it stands. Any other blank is a symbol, and
--- the symbol "" stands where there is no space:
---
---     text      a cat, "yes" v1.2
---     symbols   a|cat|,| |"|yes|"| |v1|.||2

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"

---@alias saros.Unit "byte"|"char"|"word"|"bpe"

---@class saros.Vocabulary
---@field unit saros.Unit
---@field symbols string[]  id -> symbol
---@field ids table<string, integer>  symbol -> id
---@field codec saros.Codec
---@field unknown integer?  of words: the id of "<unk>", the last one, where there is one
---@operator len: integer
local Vocabulary = {}
spelling.methods(Vocabulary, "saros.Vocabulary")

local function new(unit, codec, has_unknown)
  local self = { unit = unit, codec = codec, symbols = codec:symbols(), ids = {} }
  for id, symbol in ipairs(self.symbols) do
    self.ids[symbol] = self.ids[symbol] or id
  end
  self.unknown = has_unknown and #self.symbols or nil
  return setmetatable(self, Vocabulary)
end

--- What a symbol is called, one and several.
local NAMES = { byte = "byte", char = "character", word = "word", bpe = "piece" }

local vocabulary = {}

vocabulary.unit = options.one_of { "char", "byte", "word", "bpe" }

---@class saros.data.UnitOptions
---@field unit? saros.Unit  ("char")
---@field size? integer  bpe: the number of symbols, 256 of them bytes (4096); it may stay below in a
---  short text. word: the largest number of symbols, the most frequent ones, " " and "" among them
---@field min_count? integer  word: only those that occur so often (1)
---@field unknown? "error"|"symbol"  word: what becomes of other words; "symbol" has "<unk>" for
---  them, and is the default where size or min_count leave words out

local unit_options = {
  { "unit", vocabulary.unit, "char" },
  { "size", options.optional(options.size) },
  { "min_count", options.optional(options.size) },
  { "unknown", options.optional(options.one_of { "error", "symbol" }) },
}

--- Fields for options.declare, and behind them those of a unit.
---@param fields table[]
---@return table[]
function vocabulary.with_unit(fields)
  return table.move(unit_options, 1, #unit_options, #fields + 1, fields)
end

local BPE_SIZE = 4096

local function check_unit(o)
  local of_words = o.unit == "word"
  if not of_words and (o.min_count or o.unknown) then
    options.fail('expected unit = "word" with min_count or unknown, got ' .. options.describe(o.unit))
  elseif o.size and not of_words and o.unit ~= "bpe" then
    options.fail('expected unit = "word" or "bpe" with size, got ' .. options.describe(o.unit))
  elseif o.unit == "bpe" and o.size and o.size <= 256 then
    options.fail(("expected size above 256, the number of bytes, got %d"):format(o.size))
  elseif o.size and o.size < 4 or o.size and o.size >= 2 ^ 31 then
    options.fail(("expected size in 4..2^31 - 1, got %d"):format(o.size))
  elseif o.unknown == "error" and (o.size or (o.min_count or 1) > 1) then
    options.fail('expected unknown = "symbol" with size or min_count, got "error"')
  end
end

--- Learn a vocabulary. A path that cannot be read gives nil and a message.
---@param source string|{ string: string }  a path, or the text itself
---@param o saros.data.UnitOptions  checked, with its unit
---@return saros.Vocabulary? learned, string? message
function vocabulary.learn(source, o)
  check_unit(o)
  local has_unknown = o.unit == "word"
    and (o.unknown == "symbol" or o.size ~= nil or (o.min_count or 1) > 1)
  local size = o.size or o.unit == "bpe" and BPE_SIZE or 0
  local is_path = type(source) == "string"
  local ok, codec, message = pcall(core.learn_codec, o.unit, is_path and source or source.string,
    is_path, size, o.min_count or 1, has_unknown)
  if not ok then
    options.fail((options.without_place(codec):gsub("^learn: ", "")))
  elseif not codec then
    return nil, (message:gsub("^learn: ", ""))
  end
  return new(o.unit, codec, has_unknown)
end

--- Learn the vocabulary of several texts: no word or piece reaches from one into
--- the next. Between words and pieces there are new lines, which are a symbol, too.
---@param owner string  for errors
---@param texts string[]
---@param o saros.data.UnitOptions  checked, with its unit
---@param name_of fun(position: integer): string  what an error calls a text
---@return saros.Vocabulary
function vocabulary.learn_all(owner, texts, o, name_of)
  options.about(owner, check_unit, o)
  local together = { string = table.concat(texts, o.unit == "char" and "" or "\n") }
  local ok, learned = pcall(vocabulary.learn, together, o)
  if ok then
    return learned
  end
  for position, text in ipairs(texts) do
    if text ~= "" then
      options.about(owner .. ": " .. name_of(position), vocabulary.learn, { string = text }, o)
    end
  end
  options.fail(owner .. ": " .. options.without_place(learned))
end

local function learn_from(owner, text, o)
  if type(text) ~= "string" then
    options.fail(("%s: expected a string, got %s"):format(owner, options.describe(text)))
  end
  return options.about(owner, vocabulary.learn, { string = text }, o)
end

--- The 256 bytes.
---@return saros.Vocabulary
function vocabulary.bytes()
  return new("byte", core.codec "byte")
end

--- The characters that occur in a text.
---@param text string  UTF-8, not empty
---@return saros.Vocabulary
function vocabulary.characters(text)
  return learn_from("vocabulary.characters", text, { unit = "char" })
end

local check_words = options.declare("vocabulary.words", table.move(unit_options, 2, 4, 1, {}))

--- The words of a text, the most frequent first.
---@param text string  UTF-8, not empty
---@param given? { size?: integer, min_count?: integer, unknown?: "error"|"symbol" }
---@return saros.Vocabulary
function vocabulary.words(text, given)
  local o = check_words(given)
  o.unit = "word"
  return learn_from("vocabulary.words", text, o)
end

local check_bpe = options.declare("vocabulary.bpe", { { "size", options.size, BPE_SIZE } })

--- Byte-pair encoding, learned from a text: equal texts give equal symbols.
---@param text string  any bytes, not empty
---@param given? { size?: integer }  the number of symbols, above 256 (4096)
---@return saros.Vocabulary
function vocabulary.bpe(text, given)
  local o = check_bpe(given)
  o.unit = "bpe"
  return learn_from("vocabulary.bpe", text, o)
end

--- The characters of a string as a list.
local function split(text)
  local symbols = {}
  if type(text) == "string" and utf8.len(text) then
    for symbol in text:gmatch(utf8.charpattern) do
      symbols[#symbols + 1] = symbol
    end
  end
  if #symbols == 0 then
    options.fail("vocabulary.from_table: expected characters as symbols, got " .. options.describe(text))
  end
  return symbols
end

local function list_in(description, field)
  local list = description[field]
  if type(list) ~= "table" then
    options.fail(("vocabulary.from_table: expected a list of %s, got %s"):format(
      field, options.describe(list)))
  end
  return list
end

local BUILD = {
  byte = vocabulary.bytes,
  char = function(description)
    return new("char", core.codec("char", split(description.symbols)))
  end,
  word = function(description)
    if description.symbols then
      options.fail("vocabulary.from_table: expected words without the spaces before them, got those of an older "
        .. "version; read the text and train again")
    end
    local words = list_in(description, "words")
    if #words == 0 then
      options.fail "vocabulary.from_table: expected at least one word, got none"
    end
    local has_unknown = description.unknown == true
    return new("word", core.codec("word", words, has_unknown), has_unknown)
  end,
  bpe = function(description)
    return new("bpe", core.codec("bpe", list_in(description, "merges")))
  end,
}

--- What `Vocabulary:to_table` described.
---@param description { unit: saros.Unit, symbols?: string, words?: string[], merges?: integer[], unknown?: boolean }
---@return saros.Vocabulary
function vocabulary.from_table(description)
  if type(description) ~= "table" then
    options.fail("vocabulary.from_table: expected a table, got " .. options.describe(description))
  end
  local build = BUILD[description.unit]
  if not build then
    options.fail(("vocabulary.from_table: expected unit %s, got %s"):format(
      vocabulary.unit.expected, options.describe(description.unit)))
  end
  return build(description)
end

--- For functions that take a vocabulary as an option.
---@type saros.options.Kind
vocabulary.kind = options.kind("a vocabulary, such as text.vocabulary", function(value)
  return getmetatable(value) == Vocabulary and value or nil
end)

--- The number of symbols, V.
function Vocabulary:__len()
  return #self.symbols
end

function Vocabulary:__tostring()
  return ("vocabulary (%d %ss)"):format(#self, self:noun())
end

--- What one symbol is called: "byte", "character", "word" or "piece".
---@return string
function Vocabulary:noun()
  return NAMES[self.unit]
end

--- Translate a text to ids. Unknown symbols are an error, which names them, unless there is
--- one for them: dropping one would shift every target behind it.
---@param text string
---@return saros.Tensor ids  (N), each in 1..V
function Vocabulary:tensor(text)
  if type(text) ~= "string" then
    options.fail("encode: expected a string, got " .. options.describe(text))
  end
  return self.codec:encode(text)
end

--- The same as a list.
---@param text string
---@return integer[] ids
function Vocabulary:encode(text)
  return self:tensor(text):totable()
end

--- The ids of a text that stands alone, such as one to translate or to classify, where it is
--- learned and where it is asked about: with words and BPE, a space at either end is no part of it.
---@param text string
---@return saros.Tensor ids  (N)
function Vocabulary:whole(text)
  if type(text) ~= "string" or self.unit ~= "word" and self.unit ~= "bpe" then
    return self:tensor(text)
  end
  local first = text:find "^ [^ \t-\r]" and 1 or 0
  local last = text:find "[^ \t-\r] $" and 1 or 0
  if self.unit == "bpe" then
    return self:tensor(text:sub(1 + first, #text - last))
  end
  local ids = self:tensor(text) -- each of these spaces is a symbol
  return first + last > 0 and ids:slice(1, 1 + first, #ids - last):contiguous() or ids
end

--- The symbols as a message shows them, cut where there are many.
local function symbols_text(self)
  local symbols = self.symbols
  local shown = table.concat(symbols, self.unit == "word" and " " or "", 1, math.min(#symbols, 200))
  shown = shown:gsub("^  +", ""):gsub("\n", "\\n"):gsub("%c", function(byte)
    return ("\\x%02X"):format(byte:byte())
  end)
  return #symbols > 200 and shown .. "..." or shown
end

--- Are all symbols of a text known?
---@param text string
---@return true? known, string? message  that names those that are not, and shows those that are
function Vocabulary:check(text)
  local ok, message = pcall(self.codec.encode, self.codec, text)
  if ok then
    return true
  end
  local unknown = message:match "of the vocabulary, (got .*); a vocabulary"
  if not unknown then
    return nil, (options.without_place(message):gsub("^encode: ", ""))
  end
  return nil, ("expected %ss that the model knows, %s; it knows: %s"):format(
    self:noun(), unknown, symbols_text(self))
end

--- What a symbol adds to a text: with words, the space before it belongs to that.
---@param id integer
---@param before? integer  the id before it, if there is one
---@return string
function Vocabulary:text_of(id, before)
  local is_apart = before and self.unit == "word" and self.codec:space(before, id)
  return is_apart and " " .. self.symbols[id] or self.symbols[id]
end

--- Translate ids back to text.
---@param ids integer[]|saros.Tensor  a sequence, or an ids tensor of rank 1
---@return string
function Vocabulary:decode(ids)
  if options.tensor.accept(ids) then
    ids = ids:totable()
  elseif type(ids) ~= "table" then
    options.fail("decode: expected a list of ids, got " .. options.describe(ids))
  end
  local pieces, has_spaces = {}, self.unit == "word"
  for position, id in options.each(ids) do
    if not (id and self.symbols[id]) then
      options.fail(("decode: expected ids in 1..%d, got %s at position %d"):format(
        #self, options.describe(id), position))
    end
    pieces[position] = has_spaces and self:text_of(id, ids[position - 1]) or self.symbols[id]
  end
  return table.concat(pieces)
end

--- Everything there is to know about it, as plain data for a model file.
---@return { unit: saros.Unit, symbols?: string, words?: string[], merges?: integer[], unknown?: boolean }
function Vocabulary:to_table()
  if self.unit == "byte" then
    return { unit = "byte" }
  elseif self.unit == "char" then
    return { unit = "char", symbols = table.concat(self.symbols) }
  elseif self.unit == "bpe" then
    return { unit = "bpe", merges = self.codec:merges() }
  end
  local known = table.move(self.symbols, 1, self.unknown and self.unknown - 1 or #self, 1, {})
  return { unit = "word", words = known, unknown = self.unknown ~= nil }
end

--- What scripts have of this module, as data.vocabulary.
vocabulary.public = spelling.space("data.vocabulary", {
  bytes = vocabulary.bytes,
  characters = vocabulary.characters,
  words = vocabulary.words,
  bpe = vocabulary.bpe,
})

return vocabulary
