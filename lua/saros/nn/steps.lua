--- How a layer walks over its steps: which steps of which rows count, and where
--- the pieces of a row begin. Made from what a caller says, used by fused layers
--- and by cells of one's own alike.
---
--- Padding is never read: NaN there changes no output, no state and no gradient, and
--- a module that is told where rows end has outputs of 0 there.

local core = require "saros.core"
local options = require "saros.options"

local steps = {}

-- Added to the scores of steps that do not count. Scores stay far below it, and e^-1e9
-- is exactly 0 in float and in double.
steps.FAR_BELOW = -1e9

---@class saros.nn.StepOptions
---@field lengths? integer[]  for each row the number of its steps, 0..T; the rest is padding
---@field mask? saros.Tensor  (T, B) of 1 and 0, instead of lengths: 0 is padding
---@field reset? saros.Tensor  (T, B) of 1 and 0: at 1 a new piece of the row begins, which is read as if it
---  stood alone, in both directions: from where a state begins without one, zeros or the learned state

--- What the core takes; see core.recurrent.
---@class saros.nn.Steps
---@field mask? saros.Tensor  (T, B)
---@field reset? saros.Tensor  (T, B)
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

--- Lengths of a padded batch, for `memory`: all rows but the first are a step short,
--- if there is more than one.
---@param T integer
---@param B integer
---@return integer[]
function steps.padded(T, B)
  local lengths = {}
  for row = 1, B do
    lengths[row] = row == 1 and T or math.max(1, T - 1)
  end
  return lengths
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

--- x with zeros behind the rows' ends, and the first id in their place in ids. The
--- gradient of the result is not read there.
---@param x saros.Tensor  (T, B, ...)
---@param mask saros.Tensor?  (T, B); without, x itself
---@return saros.Tensor
function steps.hide(x, mask)
  return mask and core.mask_rows(x, mask) or x
end

--- The rows of a table that ids choose, with zeros behind the rows' ends.
---@param table saros.Tensor  (V, F)
---@param ids saros.Tensor  (T, B); anything behind the ends
---@param mask saros.Tensor?  (T, B)
---@return saros.Tensor  (T, B, F)
function steps.embed(table, ids, mask)
  local rows = core.embedding(table, steps.hide(ids, mask))
  local _ <close> = mask and rows or nil
  return steps.hide(rows, mask)
end

--- Refuse what is no tensor (T, B) of 1 and 0. Complaints have no position.
---@param what string  "a mask"
---@param tensor saros.Tensor?
---@param T integer
---@param B integer
---@param mask saros.Tensor?  (T, B): where it is 0, the tensor may be anything
function steps.check_binary(what, tensor, T, B, mask)
  if not tensor then
    return
  elseif not options.has_shape(tensor, T, B) then
    error(("expected %s of shape (%d, %d), got %s"):format(what, T, B, options.describe(tensor)), 0)
  end
  local read = steps.hide(tensor:detach(), mask)
  if tensor:count() > 0 and read:eq(0):maximum(read:eq(1)):min():item() == 0 then
    error(("expected %s of 1 and 0, got other numbers in it"):format(what), 0)
  end
end

--- True if every row has all T steps.
local function are_full(lengths, T)
  for _, length in ipairs(lengths) do
    if length < T then
      return false
    end
  end
  return true
end

--- The lengths of rows of which a mask (T, B) has 1 up to the end of each, then 0.
---@param mask saros.Tensor
---@return integer[]
function steps.lengths(mask)
  local lengths, T = {}, mask:size(1)
  for row, length in ipairs(mask:sum(1):totable()) do
    lengths[row] = math.tointeger(length)
  end
  if #lengths < mask:size(2) or steps.mask(lengths, T):eq(mask):min():item() == 0 then
    error("expected a mask of ones up to the end of each row, then zeros, got another one", 0)
  end
  return lengths
end

--- The mask (S, B) of a memory, of which every row has a step that counts, from what the
--- caller said; nil if all steps count. Complaints have no position.
---@param given { lengths?: integer[], mask?: saros.Tensor }
---@param S integer
---@param B integer
---@return saros.Tensor?
function steps.of_memory(given, S, B)
  local lengths, mask = given.lengths, given.mask
  if lengths and mask then
    error("expected lengths or a mask, got both", 0)
  elseif lengths then
    steps.check_lengths(lengths, S, B, 1)
    return steps.mask(lengths, S)
  end
  steps.check_binary("a mask", mask, S, B)
  if mask and mask:max(1):min():item() == 0 then
    error("expected a mask with a 1 in every row, got one with only zeros", 0)
  end
  return mask
end

--- What is added to scores of attention, so that steps that do not count get weight 0.
---@param mask saros.Tensor
---@return saros.Tensor  of the shape of the mask
function steps.far_below(mask)
  return (1 - mask) * steps.FAR_BELOW
end

--- Steps for an input, from what the caller said; nil if he said nothing. There is
--- no mask where no row is padded. Complaints have no position.
---@param given saros.nn.StepOptions?
---@param x saros.Tensor  (T, B, I), or ids (T, B)
---@return saros.nn.Steps?
function steps.of(given, x)
  if given == nil then
    return nil
  end
  if type(given) == "table" and given.layers ~= nil then
    options.fail('steps: expected no option "layers", which recurrent layers alone take; call the layer itself, such '
      .. 'as net.steps[1] of a chain or lm.recurrent, with { layers = "all" }')
  end
  local o = check(given)
  if not options.tensor.accept(x) or x:rank() < 2 then
    error("expected x of shape (T, B, ...), got " .. options.describe(x), 0)
  elseif o.lengths and o.mask then
    error("expected lengths or a mask, got both", 0)
  end
  local T, B = x:size(1), x:size(2)
  if o.lengths then
    steps.check_lengths(o.lengths, T, B, 0)
  end
  steps.check_binary("a mask", o.mask, T, B)
  local padded = o.lengths and not are_full(o.lengths, T)
  local mask = padded and steps.mask(o.lengths, T) or o.mask
  steps.check_binary("reset", o.reset, T, B, mask)
  return { mask = mask, reset = o.reset }
end

return steps
