--- A text of any size to a token file, which `data.text` opens: the ids of all
--- its symbols, and the vocabulary.

local core = require "saros.core"
local options = require "saros.options"
local vocabulary = require "saros.data.vocabulary"

local check = options.declare("data.prepare", vocabulary.with_unit {
  { "valid", options.fraction, 0.1 },
  { "vocabulary", options.optional(vocabulary.kind) },
})

local function require_path(path, what)
  if type(path) ~= "string" then
    options.fail(("data.prepare: expected the path of %s, got %s"):format(what, options.describe(path)))
  end
end

--- Write the token file of a text. The text is read in small parts, twice: for
--- the vocabulary, unless that is given, and for the ids; never is it in memory
--- as a whole. The file appears under its name when it is complete.
---@param text_path string
---@param path string
---@param given? saros.data.TextOptions
---@return integer? count  the number of symbols; nil if a file could not be read or written
---@return string|saros.Vocabulary message  or the vocabulary
local function prepare(text_path, path, given)
  local o = check(given)
  require_path(text_path, "a text")
  require_path(path, "the file to write")
  local known, message = o.vocabulary
  if not known then
    known, message = options.about("data.prepare", vocabulary.learn, text_path, o)
    if not known then
      return nil, "data.prepare: " .. message
    end
  end
  local ok, count
  ok, count, message = pcall(known.codec.prepare, known.codec, text_path, path, o.valid,
    core.json_encode(known:to_table()))
  if not ok then
    options.fail("data." .. options.without_place(count))
  elseif not count then
    return nil, "data." .. message
  end
  return count, known
end

return prepare
