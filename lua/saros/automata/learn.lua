--- From a reference to a net that is proved equal to it, at every length.
---
---     measure       a reference that is not finite, or needs more states than the net has, is refused
---     curriculum    words of 3, 5, 9, ... tokens; at each length that was learned, heads are
---                   looked for whose states determine every answer
---     polish        where none suffice: the step size goes to zero, then they are looked for again
---     words         that are wrong go back into training, up to some rounds
---     prune, prove  the heads that suffice, a readout of all their states, the proof

local options = require "saros.options"
local measure = require "saros.automata.measure"
local model_of = require "saros.automata.model"
local prove = require "saros.automata.prove"
local prune = require "saros.automata.prune"
local references = require "saros.automata.reference"
local train = require "saros.automata.train"

-- Updates of hard states after a soft start, and of a round with wrong words.
local HARD, ROUND = 150, 100

-- Pairs of states in a search for a wrong word: few, as short words are wrong first.
local FEW = 2000

-- Wrong words that are kept: the last ones.
local WORDS = 16

-- Searches for several heads may take as many steps as this share of the tokens that were
-- read, and these; a token costs several times as much as a step.
local SHARE, STEPS = 1 / 16, 20000

--- Look for heads that suffice.
local function look(self)
  local budget = STEPS + math.floor(SHARE * self.trainer.tokens)
  self.found = not self.model.finite.is_soft and prune.sufficient(self.model, self.reference, self.o, budget) or nil
  if self.found then
    self.trainer:tell("heads", { heads = self.found.heads and #self.found.heads or self.o.heads })
  end
  return self.found ~= nil
end

--- Updates at the last length; then a look for heads.
local function more(self, updates)
  for _ = 1, updates do
    self.trainer:update(self.o.length)
  end
  look(self)
end

--- A word that is wrong becomes one that training begins with.
local function add_word(self, round)
  local proof = prove(self.model, self.reference, { limit = FEW })
  if proof.word then
    local words = self.trainer.words
    table.insert(words, proof.word)
    if #words > WORDS then
      table.remove(words, 1)
    end
    self.trainer:tell("word", { word = proof.word, round = round })
  end
end

--- Train until heads suffice, or to the end of the recipe.
local function train_all(self)
  local o = self.o
  self.trainer:curriculum(o, function() return look(self) end)
  if self.model.finite.is_soft then
    self.model:harden()
    self.trainer:tell "hard"
    more(self, HARD)
  end
  for round = 0, o.rounds do
    if not self.found and round > 0 then
      add_word(self, round)
      more(self, ROUND)
    end
    if not self.found then
      self.trainer:polish(o.length, o.polish, function() return look(self) end)
    end
  end
end

local check = options.declare("automata.learn", train.joined(train.options, train.lengths, {
  { "heads", options.size, 8 },
  { "states", options.at_least(2), 8 },
  { "pointers", options.one_of { "one", "all" }, "one" },
  { "second", options.optional(options.table) },
  { "start", options.one_of { "hard", "soft" }, "hard" },
  { "hidden", options.size, 64 },
  { "polish", options.count, 200 },
  { "rounds", options.count, 3 },
  { "most", options.size, 3 },
  { "limit", options.size, 20000 },
  { "margin", options.positive, 12 },
}))

---@class saros.automata.LearnOptions: saros.automata.TrainOptions
---@field heads? integer  (8)
---@field states? integer  of each head; one or two more than are needed (8)
---@field pointers? "one"|"all"  of each head; all for products in groups of permutations ("one")
---@field second? { heads?: integer, states?: integer }  of a second layer, which reads tokens and the first (none)
---@field start? "hard"|"soft"  ("hard")
---@field hidden? integer  units of the readout (64)
---@field polish? integer  updates whose step size goes to zero, where heads do not suffice (200)
---@field rounds? integer  with wrong words, at most (3)
---@field most? integer  heads that are looked for together (3)
---@field limit? integer  states of the reference, and pairs of states in a search, at most (20,000)
---@field margin? number  of the readout (12)

---@class saros.automata.Facts
---@field updates integer
---@field seconds number  of processor time

--- Learn a reference. The same options give the same bits.
---@param reference saros.data.Automaton|saros.data.Task
---@param given? saros.automata.LearnOptions
---@return saros.automata.Model model  pruned, if it is proved
---@return saros.automata.Proof proof
---@return saros.automata.Facts facts
return function(reference, given)
  local o, before = check(given or {}), os.clock()
  local against = references.of("learn", reference)
  measure.check(against, o.limit)
  local model = model_of { tokens = against.tokens, answers = against.answers, heads = o.heads, states = o.states,
    pointers = o.pointers, second = o.second, start = o.start, hidden = o.hidden, seed = o.seed }
  measure.fit(against, model.o)
  local self = { o = o, reference = against, model = model, trainer = train.new(model, against, o) }
  train_all(self)
  if self.found then
    model = prune.refit(model, self.found, { updates = 2000, margin = o.margin, lr = 1e-2, seed = o.seed })
  end
  local proof = prove(model, against, { limit = o.limit })
  self.trainer:tell("proof", { proof = proof })
  return model, proof, { updates = self.trainer.updates, seconds = os.clock() - before }
end
