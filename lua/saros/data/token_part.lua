--- Token files as texts: each part is a range of the ids in the file.

local core = require "saros.core"
local options = require "saros.options"
local share = require "saros.data.share"
local spelling = require "saros.spelling"
local vocabulary = require "saros.data.vocabulary"

---@class saros.data.TokenPart
---@field tokens saros.Tokens
---@field first integer  the place of its first id in the file
---@field count integer
local TokenPart = {}
spelling.methods(TokenPart, "saros.TokenPart")

--- The number of ids.
function TokenPart:__len()
  return self.count
end

--- The part as rows that lie one behind the other: a function that reads steps
--- first..last of all rows from the file, as inputs and targets (T, B).
---@param batch integer  B
---@param steps integer  of a row
---@param start? integer  the id with which the first row begins (1)
---@return fun(first: integer, last: integer): saros.Tensor, saros.Tensor
function TokenPart:rows(batch, steps, start)
  local before = self.first + (start or 1) - 2
  return function(first, last)
    return self.tokens:window(before + first, steps, last - first + 1, batch)
  end
end

--- Tells texts apart, as the digest of a tensor does.
---@return string
function TokenPart:digest()
  return ("%s, %d from %d"):format(self.tokens:digest(), self.count, self.first)
end

local token_part = { MAGIC = "\x89saros\r\n", TokenPart = TokenPart }

-- Returns the vocabulary of a token file, or nil and a message.
local function vocabulary_of(tokens, path)
  local count, description = tokens:symbols()
  local plain, message = core.json_decode(description)
  local ok, known = pcall(vocabulary.from_table, plain)
  if not ok then
    return nil, ("tokens: expected a vocabulary in %s: %s"):format(
      path, message or options.without_place(known))
  elseif #known ~= count then
    return nil, ("tokens: expected a vocabulary of %d symbols in %s, got %d"):format(
      count, path, #known)
  end
  return known
end

--- Open a token file.
---@param path string
---@param valid? number  the fraction that is held out, if not that of the file
---@return { vocabulary: saros.Vocabulary, fraction: number, train: saros.data.TokenPart,
---  valid: saros.data.TokenPart? }?
---@return string? message
function token_part.open(path, valid)
  local tokens, message = core.open_tokens(path)
  if not tokens then
    return nil, message
  end
  local known
  known, message = vocabulary_of(tokens, path)
  if not known then
    return nil, message
  end
  local function part(first, count)
    return setmetatable({ tokens = tokens, first = first, count = count }, TokenPart)
  end
  local held_out = valid and share.of_text(#tokens, valid) or tokens:held_out()
  local train = #tokens - held_out
  return {
    vocabulary = known,
    fraction = valid or tokens:held_out() / #tokens,
    train = part(1, train),
    valid = held_out > 0 and part(train + 1, held_out) or nil,
  }
end

return token_part
