--- Values by their keys, asked for all along the rest of a sequence.

local core = require "saros.core"
local options = require "saros.options"
local draws = require "saros.data.tasks.draws"
local task = require "saros.data.tasks.task"

local OWNER = "data.tasks.multi_query_recall"

local check = options.declare(OWNER, {
  { "length", options.at_least(4), 64 },
  { "pairs", options.size, 4 },
  { "tokens", options.at_least(4), 8192 },
  { "power", options.positive, 0.01 },
  { "noise", options.boolean, false },
})

local BLANK = 1

local function check_fit(o)
  local function expect(fits, what, got)
    if not fits then
      options.fail(("%s: expected %s, got %d"):format(OWNER, what, got))
    end
  end
  expect(o.length % 2 == 0, "an even length", o.length)
  expect(o.tokens % 2 == 0, "an even number of tokens", o.tokens)
  expect(4 * o.pairs <= o.length, ("a length of 4 steps a pair at least (%d)"):format(4 * o.pairs), o.length)
  expect(o.pairs < o.tokens // 2, ("more than %d tokens, half of which are keys but for one")
    :format(2 * o.pairs), o.tokens)
end

--- For each row the places 1..S where its keys are asked, none twice: drawn one after the
--- other, place n in proportion to n^(power - 1) among those that are left. The order of
--- log(u) / weight, with u uniform, is that of such draws.
local function draw_places(generator, S, count, power, B)
  local weights = core.arange(S) ^ (power - 1)
  local race = (1 - generator:uniform { B, S }):log() / weights
  return select(2, race:topk(count)):totable()
end

--- Ids (n, B): 1, or with noise any tokens.
local function fill(generator, n, B, o)
  local steps = {}
  for t = 1, n do
    local step = {}
    for row = 1, B do
      step[row] = o.noise and generator:integer(o.tokens) or BLANK
    end
    steps[t] = step
  end
  return steps
end

--- The keys and values of the pairs, and what is asked at each of S places, all by step.
local function draw_rows(generator, B, S, o)
  local half = o.tokens // 2
  local places = draw_places(generator, S, o.pairs, o.power, B)
  local drawn = { keys = {}, values = {}, asked = fill(generator, S, B, o), answers = {}, mask = {} }
  for n = 1, o.pairs do
    drawn.keys[n], drawn.values[n] = {}, {}
  end
  for s = 1, S do
    drawn.answers[s], drawn.mask[s] = {}, {}
    for row = 1, B do
      drawn.answers[s][row], drawn.mask[s][row] = BLANK, 0
    end
  end
  for row = 1, B do
    local keys, values = draws.different(generator, half - 1, o.pairs), draws.different(generator, half, o.pairs)
    for n, place in ipairs(places[row]) do
      local key, value = keys[n] + BLANK, values[n] + half
      drawn.keys[n][row], drawn.values[n][row] = key, value
      drawn.asked[place][row], drawn.answers[place][row], drawn.mask[place][row] = key, value, 1
    end
  end
  return drawn
end

--- The steps of a and b (n, B) in turns, as reals (2n, B).
local function in_turns(a, b)
  return core.stack({ core.tensor(a), core.tensor(b) }, 2):reshape(2 * #a, #a[1])
end

--- Multi-query associative recall (Arora et al. 2023, "Zoology"): pairs of a key and a value,
--- then the keys again, each once, at which their values are to be told.
---
---     k1 v1 k2 v2 k3 v3 k2 . k1 . . . . . k3 .        . is token 1
---                       v2   v1           v3          the answers, as tokens
---
--- Tokens up to half of V are keys, those above it values; no key and no value comes twice.
--- Of the S = T / 2 - pairs places for questions, early ones are likelier: place n is drawn
--- in proportion to n^(power - 1). The paper has V = 8192, power = 0.01 and, from easy to
--- hard, (T, pairs) of (64, 4), (128, 8), (256, 16) and (512, 64), 100,000 rows of each for
--- training and 3,000 for a test; its code goes up to (1024, 256).
---@param given? { length?: integer, pairs?: integer, tokens?: integer, power?: number, noise?: boolean }
---  length: T (64); pairs (4); tokens: V (8192); power (0.01), 1 makes all places as likely; noise: any
---  tokens in place of token 1 (false)
---@return saros.data.Task
return function(given)
  local o = check(given)
  check_fit(o)
  local T, P = o.length, o.pairs
  local S = T // 2 - P
  return task.new("multi_query_recall", {
    length = T,
    tokens = o.tokens,
    outputs = o.tokens,
    answers = T,
    masked = true,
    chance = 2 / o.tokens,
    draw = function(generator, B)
      local drawn = draw_rows(generator, B, S, o)
      local between, none = fill(generator, S, B, o), core.zeros(S, B)
      local inputs = core.concatenate({
        in_turns(drawn.keys, drawn.values), in_turns(drawn.asked, between),
      }, 1)
      local answers = core.stack({ core.tensor(drawn.answers), none + BLANK }, 2):reshape(2 * S, B)
      local mask = core.stack({ core.tensor(drawn.mask), none }, 2):reshape(2 * S, B)
      return core.ids(inputs), core.ids(core.concatenate({ core.full({ 2 * P, B }, BLANK), answers }, 1)),
        core.concatenate({ core.zeros(2 * P, B), mask }, 1)
    end,
  })
end
