--- How a part is read to measure a loss on it: every element once, with what
--- precedes it. The layout depends on the size of the part alone, so the loss does not
--- depend on the caller's options.
---
--- A short part is one row, read from its beginning with the state carried, which
--- is exact. A long one has a head of that kind; what lies behind the head is cut
--- into rows of equal length that are read side by side. Each row first reads the
--- elements before it, a warm-up whose losses do not count:
---
---     part   |--head--|---row 1---|---row 2---|---row 3---|
---              |warm-up|
---                          |warm-up|
---                                      |warm-up|
---
--- The numbers: a step of 8 rows takes about twice as long as a step of one row, and
--- beyond that the time grows with the rows. So 8 rows reach nearly the best speed of one
--- thread; more of them keep other threads busy. The warm-up of 1024 elements is far longer than the
--- windows that most networks are trained with, and costs at most a quarter of the time:
--- on a tenth of tiny Shakespeare an LSTM has the loss of a single row to six digits.
--- Where the state is reset within a known distance, as in pieces, a warm-up of that
--- distance is exact.

local options = require "saros.options"

local reading = {}

local ROWS = 32 -- at most
local WARM_UP = 1024 -- elements
local SHARE = 4 -- a row has at least this many times its warm-up

--- The options of a method `reading`.
---@param parts string[]
---@return table fields
function reading.fields(parts)
  return {
    { "part", options.one_of(parts), "valid" },
    { "batch", options.size, 50 },
    { "length", options.size, 50 },
  }
end

--- Part of a reading: rows side by side, read for the same number of steps.
---@class saros.data.Pass
---@field window fun(first: integer, last: integer): saros.Tensor, saros.Tensor, saros.Tensor?
---@field steps integer
---@field reset boolean  the state does not continue from the pass before
---@field counts boolean

--- Rows of a part in groups of at most `batch`, as equal as they can be.
local function groups_of(rows, batch)
  local groups, number = {}, (rows - 1) // batch + 1
  for n = 1, number do
    local first = (n - 1) * rows // number + 1
    groups[n] = { first = first, rows = n * rows // number - first + 1 }
  end
  return groups
end

--- The passes that read all elements, one behind the other.
local function passes_of(count, lay_out, batch, warm_up)
  local rows = math.min(ROWS, count // (SHARE * warm_up))
  if rows < 2 then
    return { { window = lay_out(1, count, 1), steps = count, reset = true, counts = true } }
  end
  local steps = (count - warm_up) // rows
  local head = count - rows * steps
  local passes = { { window = lay_out(1, head, 1), steps = head, reset = true, counts = true } }
  for _, group in ipairs(groups_of(rows, batch)) do
    local first = head + (group.first - 1) * steps + 1
    passes[#passes + 1] = { window = lay_out(group.rows, steps, first - warm_up), steps = warm_up,
      reset = true, counts = false }
    passes[#passes + 1] = { window = lay_out(group.rows, steps, first), steps = steps, reset = false, counts = true }
  end
  return passes
end

--- Iterate over windows that together count every element of a part once.
---@param count integer  elements
---@param lay_out fun(rows: integer, steps: integer, start: integer): fun(first: integer, last: integer)
---  rows of `steps` elements that lie one behind the other, from element `start` of the part on; it
---  returns a function that gives steps first..last of all rows: inputs, targets and, for pieces, where they begin
---@param o { batch: integer, length: integer }  rows and steps that are read at once, at most
---@param warm_up? integer  elements (1024)
---@return fun(): saros.Window?
function reading.windows(count, lay_out, o, warm_up)
  local passes = passes_of(count, lay_out, o.batch, warm_up or WARM_UP)
  local at, number = 1, 0
  return function()
    local pass = passes[at]
    if not pass then
      return nil
    end
    local all = (pass.steps - 1) // o.length + 1 -- windows of the pass, of about equal length
    number = number + 1
    local inputs, targets, begins = pass.window((number - 1) * pass.steps // all + 1, number * pass.steps // all)
    local window = { inputs = inputs, targets = targets, begins = begins, reset = pass.reset and number == 1,
      counts = pass.counts }
    if number == all then
      at, number = at + 1, 0
    end
    return window
  end
end

return reading
