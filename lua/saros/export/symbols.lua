--- The symbols of a model with a vocabulary, for an exported file.


--- A string literal. Escapes have three octal digits, so that a digit behind
--- one cannot join it. Question marks begin trigraphs, dollars $words.
local function quoted(text)
  return '"' .. text:gsub('[^%w !#&-/:->@%[%]^_`{-~]', function(byte)
    return ("\\%03o"):format(byte:byte())
  end) .. '"'
end

-- Compilers need not take longer literals (C99, 5.2.4.1).
local LONGEST_LITERAL = 4095

--- Literals; nil if one of the symbols cannot be one.
local function literals(symbols)
  local list = {}
  for id, symbol in ipairs(symbols) do
    if type(symbol) ~= "string" or #symbol > LONGEST_LITERAL then
      return nil
    end
    list[id] = "    " .. quoted(symbol)
  end
  return table.concat(list, ",\n")
end

local SPACE = [[
/* Whether a space stands between two symbols, by their ids: 1 is a word that wants
** one before it, 2 leaves one behind it. */
int $name_space(int32_t before, int32_t after) {
  static const char has[$NAME_SYMBOLS] = {%s
  };
  return has[before] >= 2 && has[after] %% 2 == 1;
}

]]

--- What decides of spaces, for each word.
local function spacing(vocabulary)
  local codec, flags, open = vocabulary.codec, {}, nil
  for id = 1, #vocabulary do
    open = open or codec:space(id) and id
  end
  for id = 1, #vocabulary do
    local flag = (codec:space(id) and 2 or 0) + (open and codec:space(open, id) and 1 or 0)
    flags[id] = (id % 32 == 1 and "\n    " or " ") .. flag
  end
  return SPACE:format(table.concat(flags, ","))
end

--- The declarations and definitions of symbols; nil for a model without.
---@param vocabulary any
---@param count integer?  the ids that the model takes
---@return { declarations: string, definitions: string }?
local function symbols(vocabulary, count)
  local is_known = type(vocabulary) == "table" and type(vocabulary.symbols) == "table"
    and #vocabulary.symbols == count
  local list = is_known and literals(vocabulary.symbols)
  if not list then
    return nil
  end
  local found = {
    declarations = "\n/* The symbol of each id. */\nextern const char *const $name_symbols[$NAME_SYMBOLS];\n",
    definitions = "const char *const $name_symbols[$NAME_SYMBOLS] = {\n" .. list .. ",\n};\n\n",
  }
  if vocabulary.unit == "word" then
    found.declarations = found.declarations .. "/* Whether a space stands between two of them. */\n"
      .. "int $name_space(int32_t before, int32_t after);\n"
    found.definitions = found.definitions .. spacing(vocabulary)
  end
  return found
end

return symbols
