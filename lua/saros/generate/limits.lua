--- What a caller says about the symbols that a model may write: which ones are
--- wanted more or less, which are allowed at all, and how much less likely one is
--- that was written before.
---
--- The logits of the next symbol are changed in this order, as in sessions:
---
---     repetition penalty -> bias -> allowed ones alone -> temperature, top_k, top_p

local core = require "saros.core"
local options = require "saros.options"

---@class saros.generate.LimitOptions
---@field repetition_penalty? number  divides the logits of symbols that came before where they are positive, and
---  multiplies them where they are not; above 1 they come less often (Keskar et al. 2019) (1)
---@field repetition_window? integer  how many of the last symbols count for it, the prime's included (all)
---@field bias? table<string, number>  added to the logits of symbols; -math.huge forbids one
---@field allow? fun(text: string, ids: integer[]): (string|integer)[]?  from what was written behind the prime to the
---  symbols (or their ids) that may follow; nil: all; an empty list ends the text

local function is_bias(value)
  return type(value) == "number" and value == value and value < math.huge
end

local biases = options.kind("numbers by symbol, finite or -math.huge", function(value)
  if type(value) ~= "table" then
    return nil
  end
  for symbol, bias in pairs(value) do
    if type(symbol) ~= "string" or not is_bias(bias) then
      return nil
    end
  end
  return value
end)

local limits = {
  options = {
    { "repetition_penalty", options.positive, 1 },
    { "repetition_window", options.optional(options.size) },
    { "bias", options.optional(biases) },
    { "allow", options.optional(options.callback) },
  },
}

---@class saros.generate.Limits
---@field owner string  for errors
---@field vocabulary saros.Vocabulary
---@field o saros.generate.LimitOptions
---@field bias saros.Tensor?  (V)
local Limits = {}
Limits.__index = Limits

--- The id of a symbol, or of an id; an error unless the vocabulary has it.
local function id_of(self, symbol, what)
  local id = type(symbol) == "string" and self.vocabulary.ids[symbol] or math.tointeger(symbol)
  if not id or id < 1 or id > #self.vocabulary then
    options.fail(("%s: expected %s of the vocabulary, got %s"):format(self.owner, what, options.describe(symbol)))
  end
  return id
end

---@param owner string  for errors
---@param vocabulary saros.Vocabulary
---@param o saros.generate.LimitOptions
---@return saros.generate.Limits
function limits.of(owner, vocabulary, o)
  local self = setmetatable({ owner = owner, vocabulary = vocabulary, o = o }, Limits)
  if o.bias and next(o.bias) then
    self.bias = core.zeros(#vocabulary)
    for symbol, bias in pairs(o.bias) do
      self.bias[id_of(self, symbol, "a bias of symbols")] = bias
    end
  end
  return self
end

--- What may follow a text: a list of ids, or nil for all.
---@param text string
---@param ids integer[]  of the text
---@return integer[]?
function Limits:allowed(text, ids)
  if not self.o.allow then
    return nil
  end
  local list = self.o.allow(text, ids)
  if list == nil then
    return nil
  elseif type(list) ~= "table" then
    options.fail(("%s: expected allow to return a list of symbols or nil, got %s"):format(
      self.owner, options.describe(list)))
  end
  local allowed = {}
  for position, symbol in ipairs(list) do
    allowed[position] = id_of(self, symbol, "allow to return symbols")
  end
  return allowed
end

--- The bias of the symbols that may follow: (V), or nil if there is none.
---@param allowed integer[]?
---@return saros.Tensor?
function Limits:bias_of(allowed)
  if not allowed then
    return self.bias
  end
  local bias = core.full({ #self.vocabulary }, -math.huge)
  for _, id in ipairs(allowed) do
    bias[id] = self.bias and self.bias[id] or 0
  end
  return bias
end

--- Does the penalty change anything?
---@return boolean
function Limits:penalizes()
  return self.o.repetition_penalty ~= 1
end

--- The ids that count as repeated, each once.
---@param prime integer[]
---@param ids integer[]  behind it
---@return integer[]
function Limits:history(prime, ids)
  local history, seen = {}, {}
  local total = #prime + #ids
  for position = total, math.max(1, total + 1 - (self.o.repetition_window or total)), -1 do
    local id = position > #prime and ids[position - #prime] or prime[position]
    if not seen[id] then
      seen[id] = true
      history[#history + 1] = id
    end
  end
  return history
end

--- Make the ids of a history less likely, in place.
---@param logits saros.Tensor  (V)
---@param history integer[]  each once
---@param penalty number
function limits.penalize(logits, history, penalty)
  for _, id in ipairs(history) do
    local logit = logits[id]
    logits[id] = logit > 0 and logit / penalty or logit * penalty
  end
end

return limits
