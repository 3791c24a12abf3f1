--- What several tasks draw.

local core = require "saros.core"

local draws = {}

--- One step of a stretch of T, (T, B, 1): a one-hot mark.
---@param generator saros.Generator
---@param T integer
---@param B integer
---@return saros.Tensor
function draws.mark(generator, T, B)
  return generator:categorical(core.ones(B, T)):one_hot(T):transpose():reshape(T, B, 1)
end

--- Some of 1..n, none twice, in random order: the first steps of a Fisher-Yates shuffle,
--- of which only the places that have changed are kept.
---@param generator saros.Generator
---@param n integer
---@param count integer  <= n
---@return integer[]
function draws.different(generator, n, count)
  local moved, list = {}, {}
  for place = 1, count do
    local other = place - 1 + generator:integer(n - place + 1)
    list[place] = moved[other] or other
    moved[other] = moved[place] or place
  end
  return list
end

return draws
