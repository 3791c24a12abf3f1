--- The proof that a net gives the answers of a reference after every word of every length.
---
--- The states of a net of finite states are integers, so it is a finite automaton. A
--- search through all pairs of a state of the reference and one of the net, breadth first,
--- either closes with every answer right, which is a proof by induction on the length,
--- or finds a word that is wrong, than which none is shorter.
---
--- What is proved rests on the readout in this build's arithmetic; the smallest margin, the
--- distance of the largest output to the second, says how far rounding is from mattering.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local references = require "saros.automata.reference"
local search = require "saros.automata.search"
local subject = require "saros.automata.subject"

---@class saros.automata.Proof
---@field proved boolean
---@field closed boolean  was everything seen, or a wrong word found? false: there are more pairs than `limit`
---@field states integer  pairs of states that were seen
---@field limit integer  of them
---@field depth integer  tokens of the longest word that first reaches a pair
---@field margin number?  the smallest distance of the largest output to the second
---@field word integer[]?  a shortest word with a wrong answer at its end
---@field expected integer?  the right one
---@field got integer?
local Proof = {}
spelling.methods(Proof, "saros.Proof")

function Proof:__tostring()
  if self.proved then
    return core.format("proved: %d states, depth %d, smallest margin %.3g", self.states, self.depth, self.margin)
  elseif self.word then
    local word = self.word
    local shown = table.concat(word, " ", 1, math.min(#word, 40)) .. (#word > 40 and " ..." or "")
    return ("wrong after %s: expected %d, got %d"):format(shown, self.expected, self.got)
  end
  return ("not decided: more than %d pairs of states (option limit)"):format(self.limit)
end

local check = options.declare("automata.prove", { { "limit", options.size, 100000 } })

---@class saros.automata.ProveOptions
---@field limit? integer  pairs of states, at most (100,000)

---@param model saros.automata.Model|saros.nn.Module  or another net of tokens whose states are exact
---@param reference saros.data.Automaton|saros.data.Task
---@param given? saros.automata.ProveOptions
---@return saros.automata.Proof
return function(model, reference, given)
  local o = check(given or {})
  local against = references.of("prove", reference)
  local of, margin = subject.of("prove", model, against), math.huge
  local found = search.pairs(against, of.machine, { limit = o.limit }, function(states)
    local answers, least = of.read(states)
    margin = math.min(margin, least)
    return answers
  end)
  return setmetatable({
    proved = found.closed, closed = found.closed or found.word ~= nil, states = found.states, limit = o.limit,
    depth = found.depth, margin = found.closed and margin or nil, word = found.word, expected = found.expected,
    got = found.got,
  }, Proof)
end
