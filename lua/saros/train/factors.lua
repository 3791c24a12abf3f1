--- Schedules are functions; what tells them apart is the factors that they give. A run
--- folder keeps digests of them, over blocks of steps that grow with the step, so that
--- a change is noticed wherever it is.

local core = require "saros.core"

local factors = {}

local FINE = 2 -- blocks for each doubling of the step
local LEAST, MOST = 1 << 14, 1 << 22 -- steps that are looked at: twice those planned, within these

--- Iterate over blocks: their first and last steps, up to about a given step.
local function blocks(last)
  local first, size, at = 1, 1, 0
  return function()
    first = at + 1
    if first > last then
      return nil
    elseif first >= 2 * FINE * size then
      size = 2 * size
    end
    at = first + size - 1
    return first, at
  end
end

local function digest_of(schedule, first, last)
  local list = {}
  for step = first, last do
    local ok, factor = pcall(schedule, step)
    list[#list + 1] = ok and tonumber(factor) or -1 -- a table may end
  end
  return core.tensor(list):digest():sub(1, 8)
end

local function constant()
  return 1
end

--- Digests of a schedule's factors, as text.
---@param schedule? fun(step: integer): number  (1 at each step)
---@param steps integer  that are planned
---@return string
function factors.digest(schedule, steps)
  local list = {}
  for first, last in blocks(math.max(LEAST, math.min(2 * steps, MOST))) do
    list[#list + 1] = digest_of(schedule or constant, first, last)
  end
  return table.concat(list, " ")
end

--- The first step from which on two schedules differ, as far as their digests tell.
---@param before? string  digests (of 1 at each step)
---@param now? string
---@param first integer  steps first..last are looked at
---@param last integer
---@return integer? step  nil if they do not differ
function factors.difference(before, now, first, last)
  local old = (before or factors.digest(nil, last)):gmatch "%x+"
  local new = (now or factors.digest(nil, last)):gmatch "%x+"
  for from, to in blocks(last) do
    local was, is = old(), new()
    if not (was and is) or first > last then
      return nil
    elseif to >= first and was ~= is then
      return math.max(from, first)
    end
  end
end

return factors
