--- A net of finite states: a finite-state layer that reads tokens, and a readout of its
--- states, linear, relu, linear. Its answer at a step is the class of the largest output.
---
--- A second layer reads the token and the states of the first; the readout reads both. So
--- what a state of one head would have to know can be shared out: a stack of brackets is
--- the depth, in the first layer, and a head for each level in the second.

local core = require "saros.core"
local lazy = require "saros.lazy"
local options = require "saros.options"
local model_file = require "saros.model_file"
local finite = require "saros.nn.finite"
local linear = require "saros.nn.linear"
local module = require "saros.nn.module"
local states = require "saros.nn.state"
local steps = require "saros.nn.steps"

local late = lazy({}, {
  extract = { "saros.automata.extract" },
  prove = { "saros.automata.prove" },
  prune = { "saros.automata.prune", "prune" },
})

---@class saros.automata.Model: saros.nn.Module
---@field o saros.automata.ModelOptions
---@field finite saros.nn.Finite
---@field second saros.nn.Finite?
---@field hidden saros.nn.Linear
---@field head saros.nn.Linear
local Model = module.class "automaton"
Model.stateful = true
Model.hides_padding = true

--- What the readout says of states.
---@param y saros.Tensor  (..., F) as the layer has them
---@return saros.Tensor  (..., answers)
function Model:readout(y)
  return self.head(core.relu(self.hidden(y)))
end

---@param ids saros.Tensor  (T, B)
---@param state? saros.nn.State
---@param given? saros.nn.StepOptions
---@return saros.Tensor logits  (T, B, answers); 0 behind the ends of rows
---@return saros.nn.State state
function Model:forward(ids, state, given)
  local walk = given and options.about(self.kind, steps.of, given, ids)
  local mask = walk and walk.mask
  local y, last = self.finite(ids, state and state[1], given)
  last = states.new { last }
  if self.second then
    local tokens = core.one_hot(steps.hide(ids, mask), self.o.tokens)
    local z, after = self.second(tokens .. y, state and state[2], given)
    y, last[2] = y .. z, after
  end
  return steps.hide(self:readout(y), mask), last
end

--- Search through all that can happen beside a reference: see saros.automata.prove.
---@param reference saros.data.Automaton|saros.data.Task
---@param given? saros.automata.ProveOptions
---@return saros.automata.Proof
function Model:prove(reference, given)
  return late.prove(self, reference, given)
end

--- The heads that are needed alone, with a new readout: see saros.automata.prune.
---@param reference saros.data.Automaton|saros.data.Task
---@param given? saros.automata.PruneOptions
---@return saros.automata.Model? model
---@return string? message
function Model:prune(reference, given)
  return late.prune(self, reference, given)
end

--- What the net does, as an automaton with as few states as possible: see saros.automata.extract.
---@param given? saros.automata.ExtractOptions
---@return saros.automata.Automaton
function Model:automaton(given)
  return late.extract(self, given)
end

--- Write the whole model to one file: saros.load(path) gives it back.
---@param path string
---@return true? ok, string? message
function Model:save(path)
  self.o.start = self.finite.is_soft and "soft" or "hard"
  return model_file.write(path, self.kind, { options = self.o }, self)
end

function Model:describe()
  local second = self.second and "; " .. self.second:describe() or ""
  return ("automaton (%s%s -> %d answers)"):format(self.finite:describe(), second, self.o.answers)
end

local check_second = options.declare("automata.model: second", {
  { "heads", options.size, 16 },
  { "states", options.at_least(2), 4 },
})

local check = options.declare("automata.model", {
  { "tokens", options.size },
  { "answers", options.size },
  { "heads", options.size, 8 },
  { "states", options.at_least(2), 8 },
  { "pointers", options.one_of { "one", "all" }, "one" },
  { "second", options.optional(options.table) },
  { "start", options.one_of { "hard", "soft" }, "hard" },
  { "hidden", options.size, 64 },
  { "seed", options.integer, 1 },
})

---@class saros.automata.ModelOptions
---@field tokens integer
---@field answers integer
---@field heads? integer  (8)
---@field states? integer  of each head (8)
---@field pointers? "one"|"all"  of each head ("one")
---@field second? { heads?: integer, states?: integer }  of a second layer (none; heads 16, states 4)
---@field start? "hard"|"soft"  ("hard")
---@field hidden? integer  units of the readout (64)
---@field seed? integer  (1)

---@param given saros.automata.ModelOptions
---@return saros.automata.Model
local function model(given)
  local o = check(given)
  local self = Model.new()
  self.o, self.inputs = o, { { name = "x", count = o.tokens } }
  o.second = o.second and check_second(o.second)
  self.finite = self:add_member("finite", finite { tokens = o.tokens, heads = o.heads, states = o.states,
    pointers = o.pointers, start = o.start })
  local features = self.finite.output
  if o.second then
    self.second = self:add_member("second", finite { input = o.tokens + features, heads = o.second.heads,
      states = o.second.states, start = o.start })
    features = features + self.second.output
  end
  self.hidden = self:add_member("hidden", linear { features, o.hidden })
  self.head = self:add_member("head", linear { o.hidden, o.answers })
  return self:init { seed = o.seed }
end

model_file.register("automaton", function(description)
  return model(description.options)
end)

return model
