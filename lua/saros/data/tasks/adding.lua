--- The sum of two marked numbers.

local core = require "saros.core"
local options = require "saros.options"
local draws = require "saros.data.tasks.draws"
local task = require "saros.data.tasks.task"

local check = options.declare("data.tasks.adding", {
  { "length", options.at_least(2), 100 },
})

--- Each step brings a number in 0..1 and a mark; two steps are marked, one in
--- each half, and the answer is the sum of their numbers (Hochreiter and
--- Schmidhuber 1997). Always answering 1 gives a mean squared error of 1/6.
---@param given? { length?: integer }  T (100)
---@return saros.data.Task
return function(given)
  local T = check(given).length
  return task.new("adding", {
    length = T,
    inputs = 2,
    outputs = 1,
    answers = 1,
    chance = 2 * task.NEAR - task.NEAR ^ 2, -- of answering 1
    draw = function(generator, B)
      local numbers = generator:uniform { T, B, 1 }
      local marks = core.concatenate({
        draws.mark(generator, T // 2, B),
        draws.mark(generator, T - T // 2, B),
      }, 1)
      return numbers .. marks, (numbers * marks):sum(1, true)
    end,
  })
end
