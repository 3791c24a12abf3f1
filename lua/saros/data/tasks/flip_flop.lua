--- One bit that is written, kept and read.

local options = require "saros.options"
local automaton = require "saros.data.tasks.automaton"
local rows = require "saros.data.tasks.rows"

local check = options.declare("data.tasks.flip_flop", {
  { "length", rows.kind(4, 2), rows.of(512, 2) },
  { "ignore", options.share, 0.8 },
})

local WRITE, READ, IGNORE, ZERO = 1, 2, 3, 4 -- and 5 is one
local INSTRUCTIONS, BITS = { WRITE, READ, IGNORE }, { ZERO, ZERO + 1 }

-- States: "start"; the bit in memory, "0" or "1", before an instruction; "w", behind a
-- write; and "r0", "r1", "i0", "i1", behind another instruction, with the bit in memory.
local allowed = {
  start = { WRITE },
  ["0"] = INSTRUCTIONS, ["1"] = INSTRUCTIONS,
  w = BITS, i0 = BITS, i1 = BITS,
  r0 = { ZERO }, r1 = { ZERO + 1 },
}

local reference = {
  tokens = 5,
  answers = 2,
  start = "start",
  step = function(state, token)
    if token == WRITE then
      return "w"
    elseif token == IGNORE then
      return "i" .. state
    elseif token == READ then
      return "r" .. state, 1 + tonumber(state)
    elseif state == "w" then
      return token == ZERO and "0" or "1"
    end
    return state:sub(2)
  end,
  allowed = function(state)
    return allowed[state]
  end,
}

--- The next token: the first instruction writes, the last one reads.
local function chooser(ignore)
  return function(generator, state, left)
    local list = allowed[state]
    if list ~= INSTRUCTIONS then
      return #list == 1 and list[1] or list[generator:integer(#list)]
    elseif left == 1 then
      return READ
    end
    local draw = generator:number()
    return draw < ignore and IGNORE or draw < (1 + ignore) / 2 and WRITE or READ
  end
end

--- Instructions and bits in turns (Liu et al. 2023, "Exposing Attention Glitches with
--- Flip-Flop Language Modeling"): write the bit that follows, ignore it, or read, which is
--- followed by the bit that was written last. The answer at a read is this bit, class 1 for
--- 0 and class 2 for 1; nothing else is asked.
---
---     w 1 i 0 i 0 r 1 w 0 r 0        tokens: w is 1, r 2, i 3, 0 4 and 1 5
---                 2       1          the answers
---
--- The first instruction writes, the last one reads, others ignore with probability
--- `ignore`, and write or read with half of the rest. The paper trains with 512 steps and
--- ignore = 0.8, and tests with 0.98 and 0.1 as well.
---@param given? { length?: integer|integer[], ignore?: number }  length: T (512), even, or { least,
---  most }; ignore, in (0, 1] (0.8)
---@return saros.data.Task
return function(given)
  local o = check(given)
  return automaton.task("flip_flop", reference, o.length, "some", chooser(o.ignore))
end
