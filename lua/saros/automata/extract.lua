--- What a net of finite states does, as an automaton with as few states as possible.
---
--- States that are reached from the start are found breadth first, and those that no word
--- tells apart become one (Moore 1956). Beside a reference, only tokens that it allows are
--- followed, and the net's answers stand only where the reference asks for one: a state that
--- is reached with and without a question is two, one of which says that none is asked.

local options = require "saros.options"
local automaton = require "saros.automata.automaton"
local references = require "saros.automata.reference"
local subject = require "saros.automata.subject"

--- A reference that allows every token and asks after each.
local function anything(tokens)
  return references.of("automaton", { tokens = tokens, answers = 1, start = 1, step = function() return 1, 1 end })
end

--- All that is reached: a state of the reference and one of the machine, and whether an answer
--- is asked there (nil at the start if no word ends there), with the transitions.
local function walk(reference, of, limit)
  local r, c, numbers, next, asked, at = { 1 }, { 1 }, {}, { {} }, {}, 1
  local function number_of(state, place, is_asked)
    local key = (state << 32 | place) << 1 | (is_asked and 1 or 0)
    if not numbers[key] then
      local is_start = state == 1 and place == 1 and asked[1] == nil
      local number = is_start and 1 or #r + 1
      numbers[key], asked[number], r[number], c[number] = number, is_asked, state, place
      next[number] = next[number] or {}
    end
    return numbers[key]
  end
  while r[at] do
    for _, token in ipairs(reference:choices(r[at])) do
      local after, answer = reference:step(r[at], token)
      next[at][token] = number_of(after, of:step(c[at], token), answer ~= false)
    end
    if #r > limit then
      options.fail(("automaton: expected at most %d states, got more; prune the model first or give a larger limit")
        :format(limit))
    end
    at = at + 1
  end
  return c, next, asked
end

--- The net's answer in each state where one is asked.
local function answers_of(of, c, asked)
  local told = {}
  for state, answer in ipairs((of.read(c))) do
    told[state] = asked[state] and answer
  end
  return told
end

local check = options.declare("automata.extract", {
  { "reference", options.optional(options.table) },
  { "limit", options.size, 100000 },
})

---@class saros.automata.ExtractOptions
---@field reference? saros.data.Automaton|saros.data.Task  what is allowed and asked (every token, after each);
---  nets that are none of saros.automata need one
---@field limit? integer  states, at most (100,000)

---@param model saros.automata.Model|saros.nn.Module  or another net of tokens whose states are exact
---@param given? saros.automata.ExtractOptions
---@return saros.automata.Automaton
return function(model, given)
  local o = check(given or {})
  local reference = o.reference and references.of("automaton", o.reference)
  local of = subject.of("automaton", model, reference or nil)
  local c, next, asked = walk(reference or anything(of.tokens), of.machine, o.limit)
  return automaton.minimal {
    tokens = of.tokens, answers = of.answers, next = next, told = answers_of(of, c, asked),
  }
end
