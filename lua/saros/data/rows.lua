--- Windows (T, B) of streams that are laid out as B rows, which lie one behind the
--- other in each stream. Window after window moves along all rows at once.

local batches = require "saros.data.batches"

local rows = {}

--- A function that gives steps first..last of all rows, one tensor for each
--- stream.
---@param streams saros.Tensor[]  each (N), N >= start - 1 + batch * steps
---@param batch integer  B
---@param steps integer  of a row
---@param start? integer  the element with which the first row begins (1)
---@return fun(first: integer, last: integer): saros.Tensor...  (T, B)
function rows.of(streams, batch, steps, start)
  start = start or 1
  local laid_out = {}
  for position, stream in ipairs(streams) do
    laid_out[position] = stream:slice(1, start, start + batch * steps - 1):reshape(batch, steps)
  end
  return function(first, last)
    local cut = {}
    for position, stream in ipairs(laid_out) do
      cut[position] = stream:slice(2, first, last):transpose():contiguous()
    end
    return table.unpack(cut)
  end
end

--- Iterate over windows, once through all rows.
---@param window fun(first: integer, last: integer): saros.Tensor, saros.Tensor, saros.Tensor?
---  inputs, targets and, for pieces, where they begin
---@param steps integer  of a row
---@param o { length: integer, first: integer, partial: boolean }
---@return fun(): saros.Window?
function rows.windows(window, steps, o)
  local count = o.partial and (steps - 1) // o.length + 1 or steps // o.length
  return batches.numbered(count, o.first, function(index)
    local first = (index - 1) * o.length + 1
    local inputs, targets, begins = window(first, math.min(first + o.length - 1, steps))
    return { inputs = inputs, targets = targets, begins = begins, reset = index == 1 }
  end)
end

--- What fits, for a message about a batch and a length that do not.
---@param length integer  the longest at this batch; below 1: none
---@param batch integer  the largest at this length; below 1: none
---@return string
function rows.fitting(length, batch)
  local fits = {}
  fits[1] = length >= 1 and ("length = %d fits this batch"):format(length) or nil
  fits[#fits + 1] = batch >= 1 and ("batch = %d fits this length"):format(batch) or nil
  return #fits > 0 and table.concat(fits, ", ") or "both are too large"
end

return rows
