--- How a layer walks over its steps: which steps of which rows count, and where
--- rows begin anew. Made from what a caller says, used by fused layers and by
--- cells of one's own alike.

local core = require "saros.core"
local options = require "saros.options"

local steps = {}

---@class saros.nn.StepOptions
---@field lengths? integer[]  for each row the number of its steps, 0..T; the rest is padding
---@field mask? saros.Tensor  (T, B) of 1 and 0, instead of lengths: 0 is padding
---@field reset? saros.Tensor  (T, B) of 1 and 0: before a step with 1 the row's state is zeros

--- What the core takes; see core.recurrent.
---@class saros.nn.Steps
---@field mask? saros.Tensor  (T, B)
---@field keep? saros.Tensor  (T, B)
---@field reverse? boolean
---@field dropout? saros.Tensor  (B, P)
---@field zoneout_h? saros.Tensor  (T, B, P)
---@field zoneout_c? saros.Tensor  (T, B, H)

local check = options.declare("steps", {
  { "lengths", options.optional(options.list_of(options.count)) },
  { "mask", options.optional(options.tensor) },
  { "reset", options.optional(options.tensor) },
})

--- The mask (T, B) of rows of these lengths.
---@param lengths integer[]  each in 0..T
---@param T integer
---@return saros.Tensor
function steps.mask(lengths, T)
  return core.le(core.arange(T):reshape(T, 1), core.tensor(lengths))
end

--- Refuse lengths that do not fit a batch. Complaints have no position: see
--- options.about.
---@param lengths any
---@param T integer
---@param B integer
---@param least integer  the smallest length that makes sense
function steps.check_lengths(lengths, T, B, least)
  if type(lengths) ~= "table" or #lengths ~= B then
    error(("expected a list of %d lengths, one for each row, got %s"):format(B,
      type(lengths) == "table" and #lengths .. " of them" or options.describe(lengths)), 0)
  end
  for row, length in options.each(lengths) do
    if not (math.type(length) == "integer" and length >= least and length <= T) then
      error(("expected lengths in %d..%d, got %s in row %d"):format(
        least, T, options.describe(length), row), 0)
    end
  end
end

--- Steps for an input, from what the caller said; nil if he said nothing.
--- Complaints have no position.
---@param given saros.nn.StepOptions?
---@param x saros.Tensor  (T, B, I)
---@return saros.nn.Steps?
function steps.of(given, x)
  if given == nil then
    return nil
  end
  local o = check(given)
  if o.lengths and o.mask then
    error("expected lengths or a mask, got both", 0)
  end
  if o.lengths then
    steps.check_lengths(o.lengths, x:size(1), x:size(2), 0)
  end
  return {
    mask = o.lengths and steps.mask(o.lengths, x:size(1)) or o.mask,
    keep = o.reset and 1 - o.reset,
  }
end

return steps
