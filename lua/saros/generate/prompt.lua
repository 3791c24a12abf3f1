--- How a text that a model is to go on from is read: as it would be inside a text, behind
--- a space. So with words and BPE, whose symbols imply or have the space before them,
--- "the cat", " the cat" and "the cat " ask the same question. What follows is text
--- behind the prompt as it was written. Characters and bytes are taken as they come.

local core = require "saros.core"
local options = require "saros.options"

---@class saros.generate.Prompt
---@field vocabulary saros.Vocabulary
---@field ids integer[]  at least one
---@field ends_in_space boolean  the text ends in a space that the next symbol brings
local Prompt = {}
Prompt.__index = Prompt

local BLANK = "^[ \t-\r]"

local function is_space(vocabulary, id)
  return vocabulary.symbols[id] == " "
end

--- Pieces of BPE that are no blanks may have the space before them.
local function encode(vocabulary, text)
  local is_bare = vocabulary.unit == "bpe" and text ~= "" and not text:find(BLANK)
  return vocabulary:encode(is_bare and " " .. text or text)
end

local function brings_space(vocabulary, before)
  return vocabulary.unit == "bpe" and not vocabulary.symbols[before]:find "[ \t-\r]$"
    or vocabulary.codec:space(before)
end

--- Leaves out a space at the beginning, and one at the end that the next symbol brings.
local function trim(self)
  local vocabulary, ids = self.vocabulary, self.ids
  if #ids > 1 and is_space(vocabulary, ids[1]) and not vocabulary.symbols[ids[2]]:find(BLANK) then
    table.remove(ids, 1)
  end
  if #ids > 1 and is_space(vocabulary, ids[#ids]) and brings_space(vocabulary, ids[#ids - 1]) then
    self.ends_in_space = true
    table.remove(ids)
  end
end

local function new(vocabulary, ids)
  return setmetatable({ vocabulary = vocabulary, ids = ids, ends_in_space = false }, Prompt)
end

local prompt = {}

--- Read a prompt. Error at an empty one, and at unknown symbols.
---@param owner string  for errors
---@param vocabulary saros.Vocabulary
---@param text string
---@return saros.generate.Prompt
function prompt.of(owner, vocabulary, text)
  if text == "" then
    options.fail(owner .. ": expected some text as prime, got an empty string")
  end
  local ok, ids = pcall(encode, vocabulary, text)
  if not ok then
    options.fail(owner .. ": " .. options.without_place(ids):gsub("^encode: ", ""))
  end
  local self = new(vocabulary, ids)
  if vocabulary.unit == "word" or vocabulary.unit == "bpe" then
    trim(self)
  end
  return self
end

--- Where a text begins that no prompt is given for: behind a new line, else a full stop between
--- words, else the first symbol.
---@param vocabulary saros.Vocabulary
---@return saros.generate.Prompt
function prompt.of_nothing(vocabulary)
  local self = new(vocabulary, { vocabulary.ids["\n"] or vocabulary.unit == "word" and vocabulary.ids["."] or 1 })
  self.ends_in_space = self.vocabulary.unit == "word"
  return self
end

--- The ids as one row.
---@return saros.Tensor ids  (T, 1)
function Prompt:row()
  return core.ids(self.ids):reshape(-1, 1)
end

--- What a symbol adds to the text.
---@param id integer
---@param before? integer  the id before it, unless that is the prompt's last one
---@return string
function Prompt:text_of(id, before)
  local text = self.vocabulary:text_of(id, before or self.ids[#self.ids])
  return not before and self.ends_in_space and text:gsub("^ ", "", 1) or text
end

--- The text of ids that follow.
---@param ids integer[]
---@return string
function Prompt:continuation(ids)
  local pieces = {}
  for position, id in ipairs(ids) do
    pieces[position] = self:text_of(id, ids[position - 1])
  end
  return table.concat(pieces)
end

return prompt
