--- Sequences of unequal length as one tensor (T, B): shorter ones are filled
--- up to the longest. The filling is id 1, a symbol like any other; what says
--- where a sequence ends is its length, and nobody looks behind it.

local core = require "saros.core"
local options = require "saros.options"

local FILLING = 1

local padding = {}

local function check_sequences(sequences)
  if type(sequences) ~= "table" or #sequences == 0 then
    options.fail("data.pad: expected a list of sequences of ids, got " .. options.describe(sequences))
  end
  for position, ids in options.each(sequences) do
    if type(ids) ~= "table" then
      options.fail(("data.pad: expected sequence %d to be a list of ids, got %s"):format(
        position, options.describe(ids)))
    end
    for place, id in options.each(ids) do
      if math.type(id) ~= "integer" or id < 1 then
        options.fail(("data.pad: expected ids in sequence %d, got %s at position %d"):format(
          position, options.describe(id), place))
      end
    end
  end
end

--- Sequences of rows side by side; behind the shorter ones there are zeros.
---@param sequences saros.Tensor[]  B of them, each (t, F), t >= 1
---@return saros.Tensor rows  (T, B, F)
---@return integer[] lengths
function padding.pad_rows(sequences)
  local lengths, longest, filled = {}, 1, {}
  for row, x in ipairs(sequences) do
    lengths[row] = x:size(1)
    longest = math.max(longest, lengths[row])
  end
  for row, x in ipairs(sequences) do
    local left = longest - lengths[row]
    filled[row] = left > 0 and core.concatenate({ x, core.zeros(left, x:size(2)) }, 1) or x
  end
  return core.stack(filled, 2), lengths
end

--- Put sequences side by side. Those without ids are allowed; T is at least 1.
---@param sequences integer[][]  B lists of ids
---@return saros.Tensor ids  (T, B), T being the largest length
---@return integer[] lengths  of the B sequences
function padding.pad(sequences)
  check_sequences(sequences)
  local lengths, longest = {}, 1
  for row, ids in ipairs(sequences) do
    lengths[row] = #ids
    longest = math.max(longest, #ids)
  end
  local steps = {}
  for t = 1, longest do
    local step = {}
    for row, ids in ipairs(sequences) do
      step[row] = ids[t] or FILLING
    end
    steps[t] = step
  end
  return core.ids(steps), lengths
end

return padding
