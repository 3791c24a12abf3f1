--- Symbols to be written down later, in their order.

local core = require "saros.core"
local options = require "saros.options"
local draws = require "saros.data.tasks.draws"
local task = require "saros.data.tasks.task"

local tasks = {}

local check_copy = options.declare("data.tasks.copy", {
  { "lag", options.count, 100 },
  { "length", options.size, 10 },
  { "symbols", options.size, 8 },
})

--- Some symbols, then nothing for `lag` steps, then a sign to write the symbols
--- down in their order (Hochreiter and Schmidhuber 1997; Arjovsky et al. 2016).
---
---     a b c . . . . ! . .        symbols as one-hot features, ! as another one
---                   a b c        the answers
---@param given? { lag?: integer, length?: integer, symbols?: integer }  length: how many there are
---  to copy (10); symbols: how many different ones (8)
---@return saros.data.Task
function tasks.copy(given)
  local o = check_copy(given)
  local length, symbols = o.length, o.symbols
  return task.new("copy", {
    length = 2 * length + o.lag,
    inputs = symbols + 1,
    outputs = symbols,
    answers = length,
    chance = 1 / symbols,
    draw = function(generator, B)
      local ids = generator:categorical(core.ones(length, B, symbols))
      local sign = core.zeros(length, B, symbols + 1)
      sign[1]:select(2, symbols + 1):fill(1)
      return core.concatenate({
        ids:one_hot(symbols) .. core.zeros(length, B, 1),
        core.zeros(o.lag, B, symbols + 1),
        sign,
      }, 1), ids
    end,
  })
end

local check_selective = options.declare("data.tasks.selective_copy", {
  { "length", options.size, 4096 },
  { "count", options.size, 16 },
  { "tokens", options.at_least(3), 16 },
})

-- The token of a step without a symbol.
local NOISE = 1

--- Steps with noise, and symbols (count, B) at random ones of them: ids (length, B).
local function scatter(generator, length, symbols)
  local count, B = symbols:size(1), symbols:size(2)
  local steps, ids = core.full({ length, B }, NOISE), symbols:totable()
  for row = 1, B do
    local places = draws.different(generator, length, count)
    table.sort(places)
    for position, place in ipairs(places) do
      steps[place]:slice(1, row, row):fill(ids[position][row])
    end
  end
  return core.ids(steps)
end

--- Selective copying (Gu and Dao 2023, "Mamba"; Jing et al. 2019): symbols at random
--- steps among noise, then `count` signs, at which the symbols are to be written down in
--- their order. The distances between the symbols differ from row to row, so a cell has to
--- choose by content what it keeps.
---
---     . . a . . . b . c . ! ! !        . is token 1, ! the last token, symbols are between
---                         a b c        the answers, as tokens
---
--- The defaults are the paper's: 16 symbols among 4096 steps, 16 tokens in all, so that 14
--- of them are symbols. T is length + count.
---@param given? { length?: integer, count?: integer, tokens?: integer }  length: the steps among which
---  the symbols are (4096); count: how many there are to copy (16); tokens: V (16)
---@return saros.data.Task
function tasks.selective(given)
  local o = check_selective(given)
  if o.count > o.length then
    options.fail(("data.tasks.selective_copy: expected at least as many steps as symbols (%d), got %d"):format(
      o.count, o.length))
  end
  return task.new("selective_copy", {
    length = o.length + o.count,
    tokens = o.tokens,
    outputs = o.tokens,
    answers = o.count,
    chance = 1 / (o.tokens - 2),
    draw = function(generator, B)
      local symbols = generator:categorical(core.ones(o.count, B, o.tokens - 2))
      symbols = core.ids(core.tensor(symbols) + NOISE)
      local signs = core.ids(core.full({ o.count, B }, o.tokens))
      return core.concatenate({ scatter(generator, o.length, symbols), signs }, 1), symbols
    end,
  })
end

return tasks
