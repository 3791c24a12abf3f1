--- Some rows of a window or batch of data, as a window of its own.

local options = require "saros.options"
local batches = require "saros.data.batches"

local function rows_of(window)
  local tensor = window.inputs or window.sources
  return tensor:size(2)
end

--- The rows of a field: those of a tensor (T, B, ...), else (B, ...), or of a list of B.
local function field_of(value, rows, first, last)
  if options.tensor.accept(value) then
    local axis = value:rank() >= 2 and value:size(2) == rows and 2 or value:rank() >= 1 and value:size(1) == rows and 1
    return axis and value:slice(axis, first, last):contiguous() or value
  elseif type(value) == "table" and #value == rows then
    return table.move(value, first, last, 1, {})
  end
  return value
end

--- How many answers the rows have of a window that tells it.
local function answers_of(window, part, rows, count)
  if part.target_lengths then
    return batches.sum(part.target_lengths) + count
  elseif window.answers == rows then
    return count
  end
  options.fail(("fit: expected windows with a function rows(first, last), which gives some of their rows with their "
    .. "own number of answers, got a window with answers = %s"):format(options.describe(window.answers)))
end

---@class saros.train.RowShard
local row_shard = { rows = rows_of }

--- Rows first..last. A window of data of one's own may have a function `rows(first, last)`
--- for it.
---@param window saros.Window|saros.data.Batch
---@param first integer
---@param last integer
---@return table
function row_shard.of(window, first, last)
  local part = {}
  if window.rows then
    for name, value in pairs(window.rows(first, last)) do
      part[name] = value
    end
    part.index, part.count, part.reset = window.index, window.count, window.reset
    return part
  end
  local rows = rows_of(window)
  for name, value in pairs(window) do
    part[name] = field_of(value, rows, first, last)
  end
  if window.answers and not window.mask then
    part.answers = answers_of(window, part, rows, last - first + 1)
  elseif window.answers then
    part.answers = nil -- the sum of the mask
  end
  return part
end

return row_shard
