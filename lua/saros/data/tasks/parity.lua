--- Whether the number of ones is odd.

local core = require "saros.core"
local options = require "saros.options"
local rows = require "saros.data.tasks.rows"
local task = require "saros.data.tasks.task"

local check = options.declare("data.tasks.parity", {
  { "length", rows.kind(1), rows.of(32) },
  { "tokens", options.boolean, false },
  { "every", options.boolean, true },
})

--- Whether the number of ones is odd, at every step for the steps up to it: by
--- doubling the stretch that each step stands for.
local function odd_so_far(bits)
  local T, odd, stretch = bits:size(1), bits, 1
  while stretch < T do
    local before = core.concatenate({
      core.zeros(stretch, bits:size(2)), odd:slice(1, 1, T - stretch),
    }, 1)
    odd, stretch = (odd - before):abs(), 2 * stretch
  end
  return odd
end

local reference = {
  tokens = 2,
  answers = 2,
  start = 0,
  step = function(odd, token)
    odd = token == 2 and 1 - odd or odd
    return odd, odd + 1
  end,
}

--- A bit at each step; the answer at each is class 2 if so far the number of
--- ones is odd, else 1. The smallest task that needs a state which every step
--- may turn over. Deletang et al. (2023, "Neural Networks and the Chomsky
--- Hierarchy") and Grazzi et al. (2024, "Unlocking State-Tracking in Linear RNNs
--- Through Negative Eigenvalues") ask at the end alone, `every = false`; the latter
--- train with lengths in 3..40 and test with lengths in 40..256.
---@param given? { length?: integer|integer[], tokens?: boolean, every?: boolean }  length: T (32), or
---  { least, most }; tokens: bits are the ids 1 and 2 (false: one feature, 0 or 1); every: ask at every step
---@return saros.data.Task
return function(given)
  local o = check(given)
  local length, asked = o.length, o.every and "all" or "last"
  local fields = rows.fields(length, asked)
  fields.inputs, fields.tokens = not o.tokens and 1 or nil, o.tokens and 2 or nil
  fields.outputs, fields.chance, fields.reference = 2, 1 / 2, reference
  fields.draw = function(generator, B)
    local lengths, T = rows.draw(length, generator, B)
    local bits = generator:uniform({ T, B }):lt(0.5)
    bits = length.vary and bits * rows.mask(lengths, T) or bits
    local odd = odd_so_far(bits)
    return rows.present(length, asked, {
      inputs = o.tokens and core.ids(bits + 1) or bits:reshape(T, B, 1),
      targets = core.stack({ 1 - odd, odd }, 3):argmax(-1),
      lengths = lengths,
    })
  end
  return task.new("parity", fields)
end
