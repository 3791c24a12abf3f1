--- Fewer heads: those whose states alone determine every answer.
---
--- A head's next state depends on its own, so any heads together are an automaton. A
--- search beside the reference tells whether in each of its states one answer is right;
--- then there is a readout that is right at every length, and it is fitted to the list
--- of all states that occur. Single heads are tried first, then pairs, and so on: the
--- smallest automaton of the first number of heads that suffices is taken.
---
--- So it is with nets of saros.automata, and with nets of one's own that have one layer of
--- exact heads: see saros.automata.exact_heads.

local core = require "saros.core"
local lazy = require "saros.lazy"
local options = require "saros.options"
local expect = require "saros.automata.expect"
local machine = require "saros.automata.machine"
local model_of = require "saros.automata.model"
local readout = require "saros.automata.readout"
local references = require "saros.automata.reference"
local search = require "saros.automata.search"

local late = lazy({}, {
  position = { "saros.automata.exact_heads", "position" },
  machines = { "saros.automata.exact_heads", "machines" },
  smaller = { "saros.automata.exact_heads", "smaller" },
  fit = { "saros.automata.exact_readout", "fit" },
})

local prune = {}

--- All choices of `count` numbers in 1..n, in order, each told to fn.
local function each_choice(n, count, fn)
  local chosen = {}
  local function extend(from)
    if #chosen == count then
      return fn(table.move(chosen, 1, count, 1, {}))
    end
    for at = from, n do
      chosen[#chosen + 1] = at
      extend(at + 1)
      chosen[#chosen] = nil
    end
  end
  extend(1)
end

---@class saros.automata.Sufficient
---@field heads integer[]?  all of them, if nil
---@field machine saros.automata.Machine
---@field found saros.automata.Search

--- All heads of a net of two layers, which stay together; nil if they do not suffice.
local function whole(model, reference, o)
  local all = machine.whole(model)
  local found = search.pairs(reference, all, { limit = o.limit })
  return found.closed and { machine = all, found = found } or nil
end

--- Those of some machines that suffice.
local function among(heads, reference, o, budget)
  local best
  local bounds = { budget = budget }
  for count = 1, math.min(o.most, #heads) do
    each_choice(#heads, count, function(which)
      if count > 1 and budget and bounds.budget <= 0 then
        return
      end
      local some = machine.of(heads, which)
      bounds.limit = best and best.found.states - 1 or o.limit
      local found = search.pairs(reference, some, count > 1 and bounds or { limit = bounds.limit })
      if found.closed then
        best = { heads = which, machine = some, found = found }
      end
    end)
    if best then
      return best
    end
  end
end

--- The heads that suffice; nil if no `most` heads do. With a budget, only single heads are
--- sure to be tried.
---@param model saros.automata.Model
---@param reference saros.automata.Reference
---@param o { most: integer, limit: integer }
---@param budget? integer  steps of the searches for several heads, about
---@return saros.automata.Sufficient?
function prune.sufficient(model, reference, o, budget)
  if model.second then
    return whole(model, reference, o)
  end
  return among(machine.heads(model.finite), reference, o, budget)
end

--- The same functions in a new model.
local function with_all(model, seed)
  local given = {}
  for name, value in pairs(model.o) do
    given[name] = value
  end
  given.start, given.seed = "hard", seed
  local new = model_of(given)
  for _, name in ipairs { "finite", "second" } do
    for n, parameter in ipairs(model[name] and new[name]:parameters() or {}) do
      parameter:assign(model[name]:parameters()[n]:detach())
    end
  end
  return new
end

--- The same functions, of some heads alone, in a new model.
local function with_heads(model, which, seed)
  local o, old = model.o, model.finite
  local new = model_of { tokens = o.tokens, answers = o.answers, heads = #which, states = o.states,
    pointers = o.pointers, hidden = o.hidden, seed = seed }
  local size, parts = o.states * o.states, {}
  for n, h in ipairs(which) do
    parts[n] = old.weight:detach():slice(2, (h - 1) * size + 1, h * size)
  end
  new.finite.weight:assign(core.concatenate(parts, 2))
  return new
end

--- The model of heads that suffice, with a readout of all their states.
---@param model saros.automata.Model
---@param which saros.automata.Sufficient
---@param o { updates: integer, margin: number, lr: number, seed: integer }
---@return saros.automata.Model
---@return boolean  is its readout right?
function prune.refit(model, which, o)
  local states, answers = {}, {}
  for state in pairs(which.found.needs) do
    states[#states + 1] = state
  end
  table.sort(states)
  for n, state in ipairs(states) do
    answers[n] = which.found.needs[state]
  end
  local new = which.heads and with_heads(model, which.heads, o.seed) or with_all(model, o.seed)
  local x = machine.features(which.machine, states)
  return new, readout.fit(new, x, core.ids(answers), o)
end

prune.options = {
  { "most", options.size, 3 },
  { "limit", options.size, 20000 },
  { "updates", options.size, 1000 },
  { "margin", options.positive, 12 },
  { "lr", options.positive, 1e-2 },
  { "seed", options.integer, 1 },
}
local check = options.declare("automata.prune", prune.options)

---@class saros.automata.PruneOptions
---@field most? integer  heads that are tried together, at most (3)
---@field limit? integer  pairs of states of reference and heads, at most (20,000)
---@field updates? integer  of the readout, at most (1000)
---@field margin? number  of the readout, at which its fitting ends (12)
---@field lr? number  of the readout (1e-2)
---@field seed? integer  of the readout (1)

--- A net with those of its exact heads that suffice, fitted; nil and how many heads there are
--- if none do, nil if it cannot be fitted.
local function smaller_net(net, reference, o)
  local position = late.position("prune", net)
  local heads = late.machines(net, position, reference.tokens)
  local which = among(heads, reference, o)
  if not which then
    return nil, #heads
  end
  local new = late.smaller(net, position, which.heads)
  return late.fit(new, position, reference, o) and new or nil
end

--- As smaller_net, of a net of saros.automata.
local function smaller_model(model, reference, o)
  local against = expect.both("prune", model, reference)
  local which = prune.sufficient(model, against, o)
  if not which then
    return nil, model.o.heads
  end
  local new, is_right = prune.refit(model, which, o)
  return is_right and new or nil
end

--- A smaller net with the heads that suffice, and a new readout; the given one stays as it is.
---@generic M: saros.nn.Module
---@param model M  of saros.automata; or a chain whose only member with a state is one layer of nn.delta with exact
---  heads and no convolution, from ids (T, B) to outputs (T, B, answers)
---@param reference saros.data.Automaton|saros.data.Task
---@param given? saros.automata.PruneOptions
---@return M? model  nil if no heads suffice
---@return string? message  why not
function prune.prune(model, reference, given)
  local o = check(given or {})
  local is_own = type(model) ~= "table" or model.kind ~= "automaton"
  local against = references.of("prune", reference)
  local new, heads = (is_own and smaller_net or smaller_model)(model, against, o)
  if heads then
    return nil, ("prune: no %d heads determine every answer (options most, limit)"):format(math.min(o.most, heads))
  elseif not new then
    return nil, ("prune: the readout is not right in all states after %d updates (option updates)"):format(o.updates)
  end
  return new
end

return prune
