--- What passes through data have in common, and batches of whole sequences, for
--- data whose sequences are not cut.

local core = require "saros.core"

local batches = {}

---@class saros.data.Batch
---@field index integer  1..count
---@field count integer  the number of batches in the pass
---@field reset boolean  true: its rows have nothing to do with those of the last batch
---@field symbols integer  that are read or written
---@field answers integer  that a loss is the mean of

--- Lists of so many elements, one behind the other; the last one may be shorter.
---@generic T
---@param list T[]
---@param size integer
---@return T[][]
function batches.cut(list, size)
  local groups = {}
  for first = 1, #list, size do
    groups[#groups + 1] = table.move(list, first, math.min(first + size - 1, #list), 1, {})
  end
  return groups
end

--- Iterate over the windows or batches of a pass, each with its number.
---@generic T
---@param count integer
---@param first integer  the one to begin with
---@param make fun(index: integer): T
---@return fun(): T?
function batches.numbered(count, first, make)
  local index = first - 1
  return function()
    index = index + 1
    if index > count then
      return nil
    end
    local made = make(index)
    made.index, made.count = index, count
    return made
  end
end

--- Iterate over the batches that are made of some groups.
---@generic T
---@param groups T[][]
---@param first integer  the one to begin with
---@param make fun(group: T[]): saros.data.Batch
---@return fun(): saros.data.Batch?
function batches.each(groups, first, make)
  return batches.numbered(#groups, first, function(index)
    local batch = make(groups[index])
    batch.reset = true
    return batch
  end)
end

--- The sum of the lengths of some sequences.
---@param lengths integer[]
---@return integer
function batches.sum(lengths)
  local sum = 0
  for _, length in ipairs(lengths) do
    sum = sum + length
  end
  return sum
end

--- A number that tells these lists of ids from others.
---@param lists integer[][]
---@return integer
function batches.digest(lists)
  local all = {}
  for _, ids in ipairs(lists) do
    all[#all + 1] = #ids + 1 -- where one ends tells, too
    table.move(ids, 1, #ids, #all + 1, all)
  end
  return core.ids(all):digest()
end

return batches
