--- Beam search: the likeliest sequences that a step function can make, as far
--- as a look at the K best beginnings of each length can tell.
---
---     beam 3      a  ->  ab  ->  abb           a sequence that ends keeps its
---                 b  ->  aa  ->  ab|  ended    place in the beam, so the search
---                 c  ->  b|      ended         is over when all places are taken
---
--- Sequences are ranked by log p / penalty, penalty = ((5 + n) / 6)^a for n
--- symbols, the end counting as one (Wu et al. 2016). With a > 0 a long one may
--- still overtake a short one that ended before: its log p only falls, but its
--- penalty grows. So the search ends early only when the best beginning would
--- fall behind even if all that it lacks up to the largest length were certain.

local core = require "saros.core"
local options = require "saros.options"
local limits = require "saros.generate.limits"
local prompt = require "saros.generate.prompt"
local state_of = require "saros.nn.state"

local beam = {}

---@class saros.generate.BeamOptions
---@field first integer  the id that the first step is given
---@field stop? integer  the id that ends a sequence; without it only the length does
---@field beam? integer  K (5)
---@field best? integer  the number of sequences to return, at most K (1)
---@field length_penalty? number  a: 0 ranks by probability alone (0)
---@field max_length? integer  the most symbols before the end (100)
---@field allow? fun(ids: integer[]): integer[]?  from a beginning to the ids that may follow, the stop among them; nil:
---  all; an empty list ends a sequence as it is

---@class saros.generate.Sequence
---@field ids integer[]  without the end
---@field log_probability number  of the ids and the end, in nats
---@field score number  the same over the length penalty: what ranks it
---@field text? string  where there is a vocabulary

local check = options.declare("beam search", {
  { "first", options.size },
  { "stop", options.optional(options.size) },
  { "beam", options.size, 5 },
  { "best", options.size, 1 },
  { "length_penalty", options.nonnegative, 0 },
  { "max_length", options.size, 100 },
  { "allow", options.optional(options.callback) },
})

--- The beginning of a sequence: its last id and the one before it, linked, so
--- that beginnings share what they have in common.
---@class saros.generate.Beginning
---@field before saros.generate.Beginning?
---@field id integer
---@field row integer  of the step that it continues
---@field length integer
---@field log_probability number

local function extend(before, row, id, log_probability)
  return {
    before = before,
    row = row,
    id = id,
    length = before.length + 1,
    log_probability = before.log_probability + log_probability,
  }
end

--- The `count` best continuations, best first; fewer if the rest is impossible.
---@param live saros.generate.Beginning[]  K of them
---@param log_probabilities saros.Tensor  (K, V)
---@param count integer
---@return saros.generate.Beginning[]
local function best_continuations(live, log_probabilities, count)
  local before = {}
  for row, beginning in ipairs(live) do
    before[row] = { beginning.log_probability }
  end
  local V = log_probabilities:size(2)
  local steps = log_probabilities:reshape(-1)
  local totals = (log_probabilities + core.tensor(before)):reshape(-1)
  local chosen = {}
  for rank = 1, math.min(count, #totals) do
    local place = totals:argmax():item()
    if totals[place] == -math.huge then
      break
    end
    totals[place] = -math.huge
    local row = (place - 1) // V + 1
    chosen[rank] = extend(live[row], row, (place - 1) % V + 1, steps[place])
  end
  return chosen
end

--- Every beginning that can ends here, for want of room.
local function endings(live, log_probabilities, stop)
  local ended = {}
  for row, beginning in ipairs(live) do
    local log_probability = log_probabilities[row][stop]
    if log_probability > -math.huge then
      ended[#ended + 1] = extend(beginning, row, stop, log_probability)
    end
  end
  return ended
end

local function penalty(length, o)
  return ((5 + length) / 6) ^ o.length_penalty
end

--- The ids of a sequence, without the stop.
local function unwind(last, stop)
  local ids = {}
  local at = stop and last.id == stop and last.before or last
  for position = at.length, 1, -1 do
    ids[position] = at.id
    at = at.before
  end
  return ids
end

local function complete(last, o)
  return {
    ids = unwind(last, o.stop),
    log_probability = last.log_probability,
    score = last.log_probability / penalty(last.length, o),
  }
end

-- Equal ones stay in the order in which they were found.
local function ranked(sequences)
  local position = {}
  for place, sequence in ipairs(sequences) do
    position[sequence] = place
  end
  table.sort(sequences, function(a, b)
    if a.score ~= b.score then
      return a.score > b.score
    end
    return position[a] < position[b]
  end)
  return sequences
end

--- Could any sequence that is not complete yet still be among the best?
local function is_open(live, complete_ones, longest, o)
  local last = complete_ones[o.best]
  return not last or live[1].log_probability / penalty(longest, o) > last.score
end

local function check_step(log_probabilities, live)
  if type(log_probabilities) ~= "userdata" or log_probabilities:rank() ~= 2
    or #log_probabilities ~= #live then
    options.fail(("beam search: expected step to return log-probabilities of shape (%d, V), got %s"):format(
      #live, options.describe(log_probabilities)))
  end
end

local function check_allowed(list, V)
  for _, id in ipairs(type(list) == "table" and list or { false }) do
    if math.type(id) ~= "integer" or id < 1 or id > V then
      options.fail(("beam search: expected allow to return a list of ids in 1..%d or nil, got %s"):format(
        V, options.describe(type(list) == "table" and id or list)))
    end
  end
  return list
end

--- The log-probabilities of the ids that `allow` lets follow each beginning; those of
--- the others are -inf. A beginning that nothing may follow goes to `found`.
local function allowed_only(log_probabilities, live, found, o)
  if not o.allow then
    return log_probabilities
  end
  log_probabilities = log_probabilities:clone()
  for row, beginning in ipairs(live) do
    local list = o.allow(unwind(beginning))
    if list then
      local all, V = log_probabilities[row]:clone(), log_probabilities:size(2)
      log_probabilities[row]:fill(-math.huge)
      for _, id in ipairs(check_allowed(list, V)) do
        log_probabilities[row][id] = all[id]
      end
      if #list == 0 then
        found[#found + 1] = complete(beginning, o)
      end
    end
  end
  return log_probabilities
end

local function column(live, name)
  local ids = {}
  for row, beginning in ipairs(live) do
    ids[row] = beginning[name]
  end
  return core.ids(ids)
end

--- A function that gives the ids of beginnings.
local function beginnings_of(live)
  return function()
    local list = {}
    for row, beginning in ipairs(live) do
      list[row] = unwind(beginning)
    end
    return list
  end
end

--- The likeliest sequences. A step is given the last id of each of K beginnings
--- and their states, of which row k belongs to beginning k; K changes from step
--- to step and is 1 at the first. An id whose log-probability is -inf is never
--- chosen. With beam = 1 the search is greedy: always the likeliest id.
---@param step fun(ids: saros.Tensor, state: saros.nn.State, beginnings: fun(): integer[][]): saros.Tensor, table
---  ids (K), state, a function that gives the ids of the K beginnings -> log-probabilities (K, V) of the ids that
---  follow, state
---@param state saros.nn.State  before the first step, of one row
---@param given saros.generate.BeamOptions
---@return saros.generate.Sequence[]  at most `best`, best first
function beam.search(step, state, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  if type(step) ~= "function" then
    options.fail("beam search: expected step to be a function, got " .. options.describe(step))
  end
  if o.best > o.beam then
    options.fail(("beam search: expected best to be at most beam = %d, got %d"):format(o.beam, o.best))
  end
  local longest = o.max_length + (o.stop and 1 or 0)
  local live, found = { { id = o.first, row = 1, length = 0, log_probability = 0 } }, {}
  for length = 1, longest do
    local log_probabilities
    log_probabilities, state = step(column(live, "id"), state, beginnings_of(live))
    check_step(log_probabilities, live)
    log_probabilities = allowed_only(log_probabilities, live, found, o)
    local candidates = o.stop and length == longest and endings(live, log_probabilities, o.stop)
      or best_continuations(live, log_probabilities, o.beam - #found)
    live = {}
    for _, candidate in ipairs(candidates) do
      if candidate.id == o.stop or length == longest then
        found[#found + 1] = complete(candidate, o)
      else
        live[#live + 1] = candidate
      end
    end
    ranked(found)
    if #live == 0 or not is_open(live, found, longest, o) then
      break
    end
    state = state_of.rows(state, column(live, "row"))
  end
  return table.move(found, 1, math.min(o.best, #found), 1, {})
end

local check_text = options.declare("beam", {
  { "prime", options.string },
  { "stop", options.optional(options.string) },
  { "length", options.size, 50 },
  { "beam", options.size, 5 },
  { "best", options.size, 1 },
  { "length_penalty", options.nonnegative, 0 },
  table.unpack(limits.options),
})

--- The id of a symbol that ends the text; nil if none was given.
local function stop_id(vocabulary, symbol)
  if symbol then
    return vocabulary.ids[symbol]
      or options.fail(("beam: expected stop to be one symbol of the vocabulary, got %s"):format(
        options.describe(symbol)))
  end
end

---@class saros.generate.LikeliestOptions: saros.generate.LimitOptions
---@field prime string  text to go on from, not empty; it is not repeated
---@field stop? string  the symbol that ends a text
---@field length? integer  the most symbols (50)
---@field beam? integer  K (5)
---@field best? integer  the number of texts to return, at most K (1)
---@field length_penalty? number  (0)

--- Logits (K, V) as the penalty and the bias of a caller change them.
local function adjusted(logits, limit, prime, beginnings)
  if limit:penalizes() then
    logits = logits:clone()
    for row, ids in ipairs(beginnings()) do
      limits.penalize(logits[row], limit:history(prime.ids, ids), limit.o.repetition_penalty)
    end
  end
  return limit.bias and logits + limit.bias or logits
end

--- A step of a model, as beam.search wants it.
local function step_of(model, limit, prime)
  return function(last, before, beginnings)
    local logits, after = model(last:reshape(1, -1), before)
    return core.log_softmax(adjusted(logits:select(1, 1), limit, prime, beginnings)), after
  end
end

--- The likeliest continuations of a text by a language model. Penalties and biases
--- change the probabilities of symbols; `allow` leaves them as they are, so that the
--- best text is the likeliest of all that it lets through.
---@param model saros.nn.LanguageModel
---@param given saros.generate.LikeliestOptions
---@return saros.generate.Sequence[]  with their `text`
function beam.text(model, given)
  local o = check_text(given)
  if o.best > o.beam then
    options.fail(("beam: expected best to be at most beam = %d, got %d"):format(o.beam, o.best))
  end
  local limit = limits.of("beam", model.vocabulary, o)
  local prime, state = prompt.of("beam", model.vocabulary, o.prime), nil
  local row = prime:row()
  if #row > 1 then
    local _
    _, state = model(row:slice(1, 1, #row - 1))
  end
  local found = beam.search(step_of(model, limit, prime), state, {
    first = prime.ids[#prime.ids],
    stop = stop_id(model.vocabulary, o.stop),
    beam = o.beam,
    best = o.best,
    length_penalty = o.length_penalty,
    max_length = o.length,
    allow = o.allow and function(ids)
      return limit:allowed(prime:continuation(ids), ids)
    end or nil,
  })
  for _, sequence in ipairs(found) do
    sequence.text = prime:continuation(sequence.ids)
  end
  return found
end

return beam
