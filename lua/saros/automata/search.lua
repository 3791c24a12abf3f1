--- The search through all that can happen: pairs of a state of the reference and one of a
--- machine, breadth first from the start, so that what is found first is shortest.
---
---     a word --> reference: state, answer
---           \--> machine:   state              one pair; from it, each token that is allowed
---
--- Where the search closes, every word of every length leads to one of its pairs.

---@class saros.automata.Search
---@field closed boolean  all pairs were seen
---@field states integer  pairs that were seen
---@field depth integer  letters of the longest word that first reached a pair
---@field needs table<integer, integer>  by state of the machine: the answer that is asked there
---@field word integer[]?  after which an answer is wrong, or disagrees with that after `other`
---@field other integer[]?  leads to the same state of the machine, where another answer is asked
---@field expected integer?  the answer that is asked after the word
---@field got integer?  what the machine's net says instead

local search = {}

--- The word that leads to a pair, with one more token.
local function word_to(s, pair, token)
  local word = { token }
  while pair > 1 do
    table.insert(word, 1, s.via[pair])
    pair = s.from[pair]
  end
  return word
end

--- Note a pair that was not seen before.
local function reach(s, r, c, pair, token)
  local key = r << 32 | c
  if not s.numbers[key] then
    local number = #s.r + 1
    s.numbers[key], s.r[number], s.c[number], s.from[number], s.via[number] = number, r, c, pair, token
  end
end

--- Note that an answer is asked in a state; true if another one was.
local function disagrees(s, result, c, answer, pair, token)
  local before = result.needs[c]
  if not before then
    result.needs[c], s.witness[c] = answer, { pair, token }
    s.fresh[#s.fresh + 1] = c
  elseif before ~= answer then
    result.word, result.other = word_to(s, pair, token), word_to(s, table.unpack(s.witness[c]))
    result.expected, result.got = answer, before
    return true
  end
  return false
end

--- All steps from a pair; true if the search is over.
local function leave(s, result, reference, machine, pair)
  local r, c = s.r[pair], s.c[pair]
  local choices = reference:choices(r)
  s.steps = s.steps + #choices
  for _, token in ipairs(choices) do
    local after, answer = reference:step(r, token)
    local to = machine:step(c, token)
    if answer and disagrees(s, result, to, answer, pair, token) then
      return true
    end
    reach(s, after, to, pair, token)
  end
  return false
end

--- True if the net answers otherwise than is asked in one of the states that are new.
local function judged(s, result, judge)
  local fresh = s.fresh
  s.fresh = {}
  local said = #fresh > 0 and judge(fresh) or {}
  for n, c in ipairs(fresh) do
    if said[n] ~= result.needs[c] then
      result.word, result.expected, result.got = word_to(s, table.unpack(s.witness[c])), result.needs[c], said[n]
      return true
    end
  end
  return false
end

local function is_too_long(s, bounds)
  if bounds.budget then
    bounds.budget, s.steps = bounds.budget - s.steps, 0
  end
  return #s.r > bounds.limit or bounds.budget and bounds.budget <= 0
end

---@class saros.automata.Bounds
---@field limit integer  pairs of a search, at most
---@field budget? integer  steps that are left to it and to those after it, about; what it takes is subtracted

--- Search until it closes, a word is found, or it has reached its bounds.
---@param reference saros.automata.Reference
---@param machine saros.automata.Machine
---@param bounds saros.automata.Bounds
---@param judge? fun(states: integer[]): integer[]  the answers of a net in states of the machine
---@return saros.automata.Search
function search.pairs(reference, machine, bounds, judge)
  local s = { r = {}, c = {}, from = {}, via = {}, numbers = {}, witness = {}, fresh = {}, steps = 0 }
  local result = { closed = false, states = 0, depth = 0, needs = {} }
  reach(s, 1, 1, 0, 0)
  local first, last, is_over = 1, 1, false
  while first <= last and not is_over and not is_too_long(s, bounds) do
    for pair = first, last do
      is_over = leave(s, result, reference, machine, pair)
      if is_over or is_too_long(s, bounds) then
        break
      end
    end
    is_over = judge and judged(s, result, judge) or is_over or is_too_long(s, bounds)
    first, last = last + 1, #s.r
    result.depth = result.depth + (first <= last and 1 or 0)
  end
  result.states, result.closed = #s.r, first > last and not is_over and result.word == nil
  return result
end

return search
