--- From the logits of a model that was trained with `ctc_loss` to ids: the best
--- path, or a beam search over what paths collapse to; and how wrong they are.
---
--- A path is a class for each step. Merging its repeats and then removing its
--- blanks collapses it to a sequence of ids; the probability of that sequence
--- is the sum over all paths that collapse to it.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local check_lengths = require("saros.nn.steps").check_lengths

local ctc = spelling.space("saros.ctc", {})

local IMPOSSIBLE = -math.huge

local lengths = options.optional(options.list_of(options.size))

local check_greedy = options.declare("ctc.greedy", {
  { "lengths", lengths },
  { "blank", options.size, 1 },
})

local check_beam = options.declare("ctc.beam", {
  { "lengths", lengths },
  { "blank", options.size, 1 },
  { "width", options.size, 16 },
  { "best", options.size, 1 },
  { "score", options.optional(options.callback) },
})

-- --- Arguments -----------------------------------------------------------------

--- The steps of each row. Blames the caller of the function that calls it.
local function steps_of_rows(owner, logits, o)
  local function complain(...)
    error(owner .. ": " .. (...):format(select(2, ...)), 4)
  end
  if not options.tensor.accept(logits) or logits:dtype() ~= "real" or logits:rank() ~= 3 then
    complain("expected logits of shape (T, B, V), got %s", options.describe(logits))
  end
  local T, B, V = table.unpack(logits:shape())
  if o.blank > V then
    complain("expected a blank in 1..%d, got %d", V, o.blank)
  elseif o.lengths then
    options.about(owner, check_lengths, o.lengths, T, B, 1)
  end
  local steps = {}
  for row = 1, B do
    steps[row] = o.lengths and o.lengths[row] or T
  end
  return steps
end

-- --- The best path ---------------------------------------------------------------

--- Collapse the likeliest path: the likeliest class of each step. Fast, and as
--- good as a beam where a model is sure.
---@param logits saros.Tensor  (T, B, V), or anything with the same order in each step
---@param given? { lengths?: integer[], blank?: integer }  steps of each row (all T); (1)
---@return integer[][] ids  for each row
function ctc.greedy(logits, given)
  local _ <close> = core.no_gradient()
  local o = check_greedy(given)
  local steps = steps_of_rows("ctc.greedy", logits, o)
  local path = core.argmax(logits, -1):totable()
  local rows = {}
  for row, count in ipairs(steps) do
    local ids, last = {}, o.blank
    for t = 1, count do
      local id = path[t][row]
      if id ~= last and id ~= o.blank then
        ids[#ids + 1] = id
      end
      last = id
    end
    rows[row] = ids
  end
  return rows
end

-- --- Beam search -------------------------------------------------------------------

local exp, log = math.exp, math.log
local NEGLIGIBLE = -37 -- e^-37 added to 1 is 1

--- log(e^a + e^b)
local function log_add(a, b)
  if a < b then
    a, b = b, a
  end
  local distance = b - a
  -- of two that are IMPOSSIBLE it is NaN, which is not above the bound either
  return distance > NEGLIGIBLE and a + log(1 + exp(distance)) or a
end

--- A prefix of the target, a node in the tree of all that were in the beam. The
--- paths that collapse to it are counted apart by how they end: a repeat of its
--- last id merges with those that end in it and extends those that end in blank.
---@class saros.ctc.Prefix
---@field parent saros.ctc.Prefix?
---@field id integer?  the last one
---@field children table<integer, saros.ctc.Prefix>
---@field extra number  what `score` has given to its ids
---@field blank number  log-probability of the paths that end in blank
---@field label number  and of those that end in the last id
---@field rank number  by which prefixes are chosen
---@field step integer?  the last one at which it was in the beam

local function new_prefix(parent, id, extra)
  return { parent = parent, id = id, children = {}, extra = extra }
end

---@param prefix saros.ctc.Prefix
---@return integer[]
local function ids_of(prefix)
  local ids = {}
  while prefix.id do
    table.insert(ids, 1, prefix.id)
    prefix = prefix.parent
  end
  return ids
end

--- What `score` gives for an id after a prefix; asked once.
local function extra_of(prefix, id, score)
  if not score then
    return 0
  end
  prefix.ids = prefix.ids or ids_of(prefix)
  prefix.scores = prefix.scores or {}
  local extra = prefix.scores[id]
  if not extra then
    extra = score(prefix.ids, id)
    if type(extra) ~= "number" or extra ~= extra then
      error(("ctc.beam: expected a number from score, got %s"):format(options.describe(extra)), 0)
    end
    prefix.scores[id] = extra
  end
  return extra
end

--- The `width` entries of highest rank, in that order; of equal ones those that
--- came first. An entry is { rank, prefix, blank, label, id }: with an id, it
--- is the prefix and that id. What is impossible (or NaN) is no entry.
local function offer(beam, width, rank, ...)
  if rank == IMPOSSIBLE or rank ~= rank then
    return
  end
  local last = #beam
  if last == width then
    if rank <= beam[last][1] then
      return
    end
    beam[last], last = nil, last - 1
  end
  local at = last + 1
  while at > 1 and beam[at - 1][1] < rank do
    at = at - 1
  end
  table.insert(beam, at, { rank, ... })
end

--- Offer a prefix as it is after one more step.
local function offer_same(entries, width, prefix, probability, blank)
  local ends_in_blank = log_add(prefix.blank, prefix.label) + probability[blank]
  local ends_in_label = prefix.id and prefix.label + probability[prefix.id] or IMPOSSIBLE
  local parent = prefix.parent
  if parent and parent.step == prefix.step then -- it may also become this prefix now
    local before = parent.id == prefix.id and parent.blank or log_add(parent.blank, parent.label)
    ends_in_label = log_add(ends_in_label, before + probability[prefix.id])
  end
  local rank = log_add(ends_in_blank, ends_in_label) + prefix.extra
  offer(entries, width, rank, prefix, ends_in_blank, ends_in_label)
end

--- Offer a prefix with one more id, unless the longer one is in the beam itself.
local function offer_longer(entries, width, prefix, probability, o)
  local total = log_add(prefix.blank, prefix.label)
  for id, value in ipairs(probability) do
    local child = prefix.children[id]
    if id ~= o.blank and not (child and child.step == prefix.step) then
      local label = value + (id == prefix.id and prefix.blank or total)
      local rank = label + prefix.extra + extra_of(prefix, id, o.score)
      offer(entries, width, rank, prefix, IMPOSSIBLE, label, id)
    end
  end
end

--- The prefix of an entry, with its new probabilities.
local function enter(entry, t, score)
  local rank, prefix, blank, label, id = table.unpack(entry, 1, 5)
  if id then -- a node is made once: longer prefixes may still hang on it
    local child = prefix.children[id]
      or new_prefix(prefix, id, prefix.extra + extra_of(prefix, id, score))
    prefix.children[id] = child
    prefix = child
  end
  prefix.rank, prefix.blank, prefix.label, prefix.step = rank, blank, label, t
  return prefix
end

--- The prefixes in the beam after the last of `steps` steps.
local function search(probabilities, row, steps, o)
  local root = new_prefix(nil, nil, 0)
  root.rank, root.blank, root.label, root.step = 0, 0, IMPOSSIBLE, 0
  local beam = { root }
  for t = 1, steps do
    local probability, entries = probabilities[t][row], {}
    for _, prefix in ipairs(beam) do
      offer_same(entries, o.width, prefix, probability, o.blank)
    end
    for _, prefix in ipairs(beam) do
      offer_longer(entries, o.width, prefix, probability, o)
    end
    beam = {}
    for place, entry in ipairs(entries) do
      beam[place] = enter(entry, t, o.score)
    end
  end
  return beam
end

---@class saros.ctc.Result
---@field ids integer[]
---@field log_probability number  of the ids: of all their paths that stayed in the beam
---@field score number  log_probability and what `score` gave; results are in this order

---@class saros.ctc.BeamOptions
---@field lengths? integer[]  steps of each row (all T)
---@field blank? integer  (1)
---@field width? integer  prefixes that are kept after each step (16)
---@field best? integer  how many results to return (1)
---@field score? fun(prefix: integer[], id: integer): number  see below

--- Prefix beam search (Hannun et al. 2014): after each step, the likeliest
--- beginnings of targets, each with the sum of its paths. With a width that no
--- step exhausts, the results are exact.
---
--- `score` brings in other knowledge, such as a language model: what it returns
--- for an id after a prefix, for example `0.5 * log P(id | prefix) + 1`, is
--- added to the log-probability by which the longer prefix is judged. It is
--- asked once for each, and must not change the prefix.
---@param logits saros.Tensor  (T, B, V)
---@param given? saros.ctc.BeamOptions
---@return saros.ctc.Result[][] results  for each row, best first, at most `best`
function ctc.beam(logits, given)
  local _ <close> = core.no_gradient()
  local o = check_beam(given)
  local steps = steps_of_rows("ctc.beam", logits, o)
  local probabilities = core.log_softmax(logits, -1):totable()
  local rows = {}
  for row, count in ipairs(steps) do
    local results = {}
    for place, prefix in ipairs(search(probabilities, row, count, o)) do
      if place > o.best then
        break
      end
      results[place] = {
        ids = ids_of(prefix),
        log_probability = log_add(prefix.blank, prefix.label),
        score = prefix.rank,
      }
    end
    rows[row] = results
  end
  return rows
end

-- --- How wrong ------------------------------------------------------------------------

--- The least number of insertions, deletions and replacements that turn one
--- sequence into the other (Levenshtein 1966).
---@param a any[]
---@param b any[]
---@return integer
function ctc.distance(a, b)
  options.argument("ctc.distance", 1, options.list, a)
  options.argument("ctc.distance", 2, options.list, b)
  local costs = {}
  for j = 0, #b do
    costs[j] = j
  end
  for i = 1, #a do
    local diagonal = costs[0]
    costs[0] = i
    for j = 1, #b do
      local replaced = diagonal + (a[i] == b[j] and 0 or 1)
      diagonal = costs[j]
      costs[j] = math.min(replaced, costs[j] + 1, costs[j - 1] + 1)
    end
  end
  return costs[#b]
end

--- The label error rate: distances to the truth over the length of the truth,
--- both summed over the rows.
---@param decoded integer[][]
---@param truth integer[][]
---@return number
function ctc.error_rate(decoded, truth)
  options.argument("ctc.error_rate", 1, options.list, decoded)
  options.argument("ctc.error_rate", 2, options.list, truth)
  if #decoded ~= #truth then
    error(("ctc.error_rate: expected as many rows as the truth's %d, got %d"):format(#truth, #decoded), 2)
  end
  local errors, labels = 0, 0
  for row, ids in ipairs(truth) do
    errors = errors + ctc.distance(decoded[row], ids)
    labels = labels + #ids
  end
  return errors / labels
end

return ctc
