--- Sums that begin again at a modulus.

local options = require "saros.options"
local automaton = require "saros.data.tasks.automaton"
local rows = require "saros.data.tasks.rows"

local check = options.declare("data.tasks.counter", {
  { "modulus", options.at_least(2), 3 },
  { "length", rows.kind(1), rows.of(40) },
})

--- The sum of the tokens so far, modulo m: token n stands for n - 1, and class n for a
--- sum of n - 1. The words of the cyclic group of order m (Liu et al. 2023, "Transformers
--- Learn Shortcuts to Automata").
---@param given? { modulus?: integer, length?: integer|integer[] }  modulus: m (3); length: T (40), or
---  { least, most }
---@return saros.data.Task
return function(given)
  local o = check(given)
  local m = o.modulus
  return automaton.task("counter", {
    tokens = m,
    answers = m,
    start = 0,
    step = function(sum, token)
      sum = (sum + token - 1) % m
      return sum, sum + 1
    end,
  }, o.length, "all")
end
