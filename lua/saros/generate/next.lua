--- What comes next? The probabilities of the next symbols, and of whole words.

local core = require "saros.core"
local options = require "saros.options"
local prompt = require "saros.generate.prompt"
local state_of = require "saros.nn.state"

local next_symbols = {}

local LONGEST_WORD = 32

local check_symbols = options.declare("next", {
  { "prime", options.string },
  { "top", options.size, 5 },
})

local check_words = options.declare("next_words", {
  { "prime", options.string },
  { "top", options.size, 5 },
  { "beam", options.size, 32 },
})

local function by_probability(name)
  return function(a, b)
    if a.probability ~= b.probability then
      return a.probability > b.probability
    end
    return a[name] < b[name]
  end
end

--- Sort a list and cut it to its first `count` entries.
local function best(list, name, count)
  table.sort(list, by_probability(name))
  return table.move(list, 1, math.min(#list, count), 1, {})
end

--- The logits (V) after a prompt, and the state.
local function read(model, prime)
  local logits, state = model(prime:row())
  return logits:select(1, -1):select(1, 1), state
end

---@param model saros.nn.LanguageModel
---@param given { prime: string, top?: integer }
---@return { symbol: string, probability: number }[]
function next_symbols.symbols(model, given)
  local o = check_symbols(given)
  local logits = read(model, prompt.of("next", model.vocabulary, o.prime))
  local entries = {}
  for id, probability in ipairs(core.softmax(logits):totable()) do
    entries[id] = { symbol = model.vocabulary.symbols[id], probability = probability }
  end
  return best(entries, "symbol", o.top)
end

--- Letters continue a word, anything else ends it. Every byte or character
--- beyond ASCII counts as a letter.
local function is_letter(symbol)
  return symbol:find "^[%a\x80-\xFF]" ~= nil
end

local function never()
  return false
end

local function is_spaced_letter(symbol)
  return symbol:find "^ [%a\x80-\xFF]" ~= nil
end

--- The prompt before a word: with a space, unless it ends in a blank.
local function before_word(vocabulary, prime)
  local is_blank = prime == "" or prime:find "[ \t-\r]$"
  return prompt.of("next_words", vocabulary, is_blank and prime or prime .. " ")
end

--- Which symbols begin a word, and which go on with it. Pieces of BPE have the space
--- before a word in them, if the prompt leaves it to them.
local function spelling(prime)
  local unit = prime.vocabulary.unit
  return {
    begins = unit == "bpe" and prime.ends_in_space and is_spaced_letter or is_letter,
    goes_on = unit == "word" and never or is_letter,
  }
end

--- Split the distribution after each beginning of a word: what goes on with it
--- makes a longer one, all the rest together is the probability that it ends.
local function extend(beginnings, distributions, symbols, words, spelt)
  local longer = {}
  for row, beginning in ipairs(beginnings) do
    local ends = 0
    for id, probability in ipairs(distributions[row]) do
      local fits = beginning.text == "" and spelt.begins or spelt.goes_on
      if fits(symbols[id]) then
        longer[#longer + 1] = {
          text = (beginning.text .. symbols[id]):gsub("^ ", "", 1),
          probability = beginning.probability * probability,
          row = row,
          id = id,
        }
      else
        ends = ends + probability
      end
    end
    if beginning.text ~= "" then
      words[#words + 1] = { word = beginning.text, probability = beginning.probability * ends }
    end
  end
  return longer
end

local function column(list, name)
  local values = {}
  for position, entry in ipairs(list) do
    values[position] = entry[name]
  end
  return values
end

--- The most likely words after `prime` and a space, by a beam search over the
--- letters: the probability of a word is that of its letters (or pieces) one
--- after the other and then of anything but a letter.
---@param model saros.nn.LanguageModel
---@param given { prime: string, top?: integer, beam?: integer }
---@return { word: string, probability: number }[]
function next_symbols.words(model, given)
  local o = check_words(given)
  local prime = before_word(model.vocabulary, o.prime)
  local spelt = spelling(prime)
  local logits, state = read(model, prime)
  logits = logits:reshape(1, -1)
  local beginnings, words = { { text = "", probability = 1 } }, {}
  for _ = 1, LONGEST_WORD do
    local distributions = core.softmax(logits):totable()
    local longer = extend(beginnings, distributions, model.vocabulary.symbols, words, spelt)
    words, beginnings = best(words, "word", o.top), best(longer, "text", o.beam)
    local last = words[o.top]
    if #beginnings == 0 or last and last.probability >= beginnings[1].probability then
      break -- no word still to come can be likelier
    end
    state = state_of.rows(state, core.ids(column(beginnings, "row")))
    logits, state = model(core.ids { column(beginnings, "id") }, state)
    logits = logits:select(1, 1)
  end
  return words
end

return next_symbols
