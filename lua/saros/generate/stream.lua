--- Text as a model makes it, piece by piece.

local core = require "saros.core"
local options = require "saros.options"
local characters = require "saros.generate.characters"
local limits = require "saros.generate.limits"
local prompt = require "saros.generate.prompt"

---@class saros.generate.Options: saros.generate.LimitOptions
---@field prime? string  text to begin from; it is not repeated in the output
---@field length? integer  the number of symbols to make (200)
---@field stop? string|string[]  end before this text, or before the first of several
---@field temperature? number  below 1 bolder, above 1 wilder; 0 always takes the likeliest (1)
---@field top_k? integer  choose among the k likeliest
---@field top_p? number  choose among the likeliest that together reach p
---@field seed? integer  (1)
---@field raw? boolean  bytes as they come, whether they are UTF-8 or not (false)

local one_stop = options.kind("some text", function(value)
  return type(value) == "string" and value ~= "" and value or nil
end)
local many_stops = options.list_of(one_stop)

--- One text to stop at, or several, as a list.
local stops = options.kind("some text, or a list of texts", function(value)
  local list = many_stops.accept(one_stop.accept(value) and { value } or value)
  return list and #list > 0 and list or nil
end)
function stops.explain(value)
  return type(value) == "table" and next(value) == nil and " that is empty" or many_stops.explain(value)
end

local check = options.declare("generate", {
  { "prime", options.optional(options.string) },
  { "length", options.count, 200 },
  { "stop", options.optional(stops) },
  { "temperature", options.nonnegative, 1 },
  { "top_k", options.optional(options.size) },
  { "top_p", options.optional(options.share) },
  { "seed", options.integer, 1 },
  { "raw", options.boolean, false },
  table.unpack(limits.options),
})

--- What to begin from; where no text is given, a new line or the first symbol.
local function beginning(vocabulary, prime)
  if prime and prime ~= "" then
    return prompt.of("generate", vocabulary, prime)
  end
  return prompt.of_nothing(vocabulary)
end

local function same(piece)
  return piece
end

--- Symbols without end: each call draws the next one and feeds it back. Returns nil
--- where nothing may follow.
local function symbols_of(model, prime, sampling, limit, seed)
  local session, generator = model:session(), core.generator(seed)
  for _, id in ipairs(prime.ids) do
    session:step(id)
  end
  local made, text = {}, ""
  return function()
    local allowed = limit:allowed(text, made)
    if allowed and #allowed == 0 then
      return nil
    end
    sampling.bias = limit:bias_of(allowed)
    sampling.history = limit:penalizes() and core.ids(limit:history(prime.ids, made)) or nil
    local id = session:sample(generator, sampling)
    session:step(id)
    local piece = prime:text_of(id, made[#made])
    made[#made + 1] = id
    text = limit.o.allow and text .. piece or text
    return piece
  end
end

--- The length of the longest end of `text` that could still grow into a stop.
local function overlap(text, texts)
  local longest = 0
  for _, stop in ipairs(texts) do
    for length = math.min(#text, #stop - 1), longest + 1, -1 do
      if text:sub(-length) == stop:sub(1, length) then
        longest = length
        break
      end
    end
  end
  return longest
end

--- Where the stop that is complete first begins; of several, the longest. So it does
--- not matter how a text is cut into pieces.
local function first_stop(text, texts)
  local first, last
  for _, stop in ipairs(texts) do
    local from, to = text:find(stop, 1, true)
    if from and (not first or to < last or to == last and from < first) then
      first, last = from, to
    end
  end
  return first
end

--- Hold back what may be the beginning of a stop. The filter returns the text
--- that is safe to show and whether a stop was reached; called without a
--- piece, it gives back what it still holds.
local function until_stop(texts)
  local held = ""
  return function(piece)
    if not piece then
      return held, true
    end
    held = held .. piece
    local at = first_stop(held, texts)
    if at then
      return held:sub(1, at - 1), true
    end
    local keep = overlap(held, texts)
    local safe = held:sub(1, #held - keep)
    held = held:sub(#held - keep + 1)
    return safe, false
  end
end

local function without_stop(piece)
  return piece or "", piece == nil
end

--- Iterate over text that a model writes. Each piece is one or more whole
--- characters, and never empty; a model of bytes or BPE gives U+FFFD for what is no
--- UTF-8, and keeps an unfinished last character to itself.
---@param model saros.nn.LanguageModel
---@param given? saros.generate.Options
---@return fun(): string?
local function stream(model, given)
  local o = check(given)
  local next_symbol = symbols_of(model, beginning(model.vocabulary, o.prime), {
    temperature = o.temperature,
    top_k = o.top_k,
    top_p = o.top_p,
    repetition_penalty = o.repetition_penalty,
  }, limits.of("generate", model.vocabulary, o), o.seed)
  local unit = model.vocabulary.unit
  local cuts_characters = unit == "byte" or unit == "bpe"
  local whole = cuts_characters and not o.raw and characters() or same
  local filter = o.stop and until_stop(o.stop) or without_stop

  local made, stopped = 0, false
  return function()
    while not stopped do
      local piece
      made = made + 1
      local symbol = made <= o.length and next_symbol() or nil
      piece, stopped = filter(symbol and whole(symbol))
      if piece ~= "" then
        return piece
      end
    end
  end
end

return stream
