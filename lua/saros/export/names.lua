--- The names of what goes into an exported model and of what comes out: the
--- symbols of its vocabulary and the labels of a classifier.

--- A string literal. Escapes have three octal digits, so that a digit behind
--- one cannot join it. Question marks begin trigraphs, dollars $words.
local function quoted(text)
  return '"' .. text:gsub('[^%w !#&-/:->@%[%]^_`{-~]', function(byte)
    return ("\\%03o"):format(byte:byte())
  end) .. '"'
end

-- Compilers need not take longer literals (C99, 5.2.4.1).
local LONGEST_LITERAL = 4095

--- Literals; nil if one of the names cannot be one.
local function literals(names)
  local list = {}
  for id, name in ipairs(names) do
    if type(name) ~= "string" or #name > LONGEST_LITERAL then
      return nil
    end
    list[id] = "    " .. quoted(name)
  end
  return table.concat(list, ",\n")
end

local DECLARED = "\n/* The %s of each %s. */\nextern const char *const $name_%ss[$NAME_%s];\n"
local DEFINED = "const char *const $name_%ss[$NAME_%s] = {\n%s,\n};\n\n"

--- The declaration and definition of a table of names; empty without.
local function table_of(what, whose, size, names)
  local list = names and literals(names)
  return list and DECLARED:format(what, whose, what, size) or "", list and DEFINED:format(what, size, list) or ""
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

--- The declarations and definitions of all names.
---@param vocabulary any
---@param count integer?  the ids that the model takes
---@param labels string[]?
---@return { declarations: string, definitions: string }
local function names_of(vocabulary, count, labels)
  local is_known = type(vocabulary) == "table" and type(vocabulary.symbols) == "table"
    and #vocabulary.symbols == count
  local declared, defined = table_of("symbol", "id", "SYMBOLS", is_known and vocabulary.symbols)
  if defined ~= "" and vocabulary.unit == "word" then
    declared = declared .. "/* Whether a space stands between two of them. */\n"
      .. "int $name_space(int32_t before, int32_t after);\n"
    defined = defined .. spacing(vocabulary)
  end
  local labels_declared, labels_defined = table_of("label", "output", "OUTPUTS", labels)
  return { declarations = declared .. labels_declared, definitions = defined .. labels_defined }
end

return { of = names_of, table_of = table_of }
