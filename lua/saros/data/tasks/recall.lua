--- One value, asked for by its key.

local core = require "saros.core"
local options = require "saros.options"
local draws = require "saros.data.tasks.draws"
local task = require "saros.data.tasks.task"

local check = options.declare("data.tasks.recall", {
  { "pairs", options.size, 8 },
  { "keys", options.size, 16 },
  { "values", options.size, 8 },
  { "lag", options.count, 0 },
})

--- Different ids for each row, `count` of 1..n: a list of (B).
local function draw_different(generator, n, count, B)
  local rest, list = generator:uniform { B, n }, {}
  for position = 1, count do
    list[position] = rest:argmax(-1)
    rest = rest - list[position]:one_hot(n) -- below all that are left
  end
  return list
end

--- Pairs of a key and a value, one in each step, then nothing for `lag` steps,
--- then one of the keys: which value came with it?
---@param given? { pairs?: integer, keys?: integer, values?: integer, lag?: integer }  pairs (8) with
---  different ones of the keys (16), and any of the values (8)
---@return saros.data.Task
return function(given)
  local o = check(given)
  if o.pairs > o.keys then
    options.fail(("data.tasks.recall: expected at least as many keys as pairs (%d), got %d"):format(
      o.pairs, o.keys))
  end
  return task.new("recall", {
    length = o.pairs + o.lag + 1,
    inputs = o.keys + o.values,
    outputs = o.values,
    answers = 1,
    chance = 1 / o.values,
    draw = function(generator, B)
      local keys = core.stack(draw_different(generator, o.keys, o.pairs, B)):one_hot(o.keys)
      local values = generator:categorical(core.ones(o.pairs, B, o.values)):one_hot(o.values)
      local asked = draws.mark(generator, o.pairs, B)
      return core.concatenate({
        keys .. values,
        core.zeros(o.lag, B, o.keys + o.values),
        (keys * asked):sum(1, true) .. core.zeros(1, B, o.values),
      }, 1), (values * asked):sum(1, true):argmax(-1)
    end,
  })
end
