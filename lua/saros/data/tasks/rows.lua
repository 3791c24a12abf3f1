--- How long the rows of a batch are, and which of their steps have an answer.

local core = require "saros.core"
local options = require "saros.options"

local rows = {}

--- Lengths of rows: all the same, or drawn evenly from a range.
---@class saros.data.RowLengths
---@field least integer
---@field most integer
---@field multiple integer  every length is a multiple of it
---@field vary boolean  false: all rows have `most` steps

--- All rows have n steps.
---@param n integer
---@param multiple? integer  (1)
---@return saros.data.RowLengths
function rows.of(n, multiple)
  return { least = n, most = n, multiple = multiple or 1, vary = false }
end

local function whole(value, least)
  local integer = math.type(value) and math.tointeger(value)
  return integer and integer >= least and integer or nil
end

--- The option `length`: an integer, or a range { least, most }.
---@param least integer  the smallest length that makes sense
---@param multiple? integer  lengths are multiples of it: those of a range that are not do not occur (1)
---@return saros.options.Kind
function rows.kind(least, multiple)
  multiple = multiple or 1
  local expected = least == 1 and "a positive integer" or ("an integer, %d or more"):format(least)
  expected = (multiple == 1 and "%s, or a range { least, most } of them"
    or "%s and a multiple of " .. multiple .. ", or a range { least, most } with one in it"):format(expected)
  return options.kind(expected, function(value)
    if type(value) ~= "table" then
      local n = whole(value, least)
      return n and n % multiple == 0 and rows.of(n, multiple) or nil
    end
    local first, last = whole(value[1], 1), whole(value[2], least)
    if not first or not last or #value > 2 then
      return nil
    end
    first, last = math.max(first, least), last // multiple * multiple
    first = (first + multiple - 1) // multiple * multiple
    return first <= last and { least = first, most = last, multiple = multiple, vary = true } or nil
  end)
end

--- The lengths of B rows. Those that are all the same take nothing from the generator.
---@param length saros.data.RowLengths
---@param generator saros.Generator
---@param B integer
---@return integer[] lengths
---@return integer T  the largest of them
function rows.draw(length, generator, B)
  local list, T = {}, 0
  local choices = (length.most - length.least) // length.multiple + 1
  for row = 1, B do
    list[row] = length.vary and length.least + length.multiple * (generator:integer(choices) - 1) or length.most
    T = math.max(T, list[row])
  end
  return list, T
end

--- The mask (T, B) of rows of these lengths.
---@param lengths integer[]
---@param T integer
---@return saros.Tensor
function rows.mask(lengths, T)
  return core.le(core.arange(T):reshape(T, 1), core.tensor(lengths))
end

--- Which steps have an answer: all; the last of each row; or some, as a mask says.
---@alias saros.data.Asked "all"|"last"|"some"

--- The fields of a task that follow from it.
---@param length saros.data.RowLengths
---@param asked saros.data.Asked
---@return { length: integer, lengths?: integer[], answers: integer, masked: boolean }
function rows.fields(length, asked)
  return {
    length = length.most,
    lengths = length.vary and { length.least, length.most } or nil,
    answers = asked == "last" and not length.vary and 1 or length.most,
    masked = length.vary or asked == "some",
  }
end

--- What a task draws: the inputs, and what of the targets (T, B) has to be answered.
---@param length saros.data.RowLengths
---@param asked saros.data.Asked
---@param drawn { inputs: saros.Tensor, targets: saros.Tensor, lengths: integer[], mask?: saros.Tensor }
---  mask (T, B): where some steps have an answer
---@return saros.Tensor inputs
---@return saros.Tensor targets
---@return saros.Tensor? mask
---@return integer[]? lengths
function rows.present(length, asked, drawn)
  local targets, lengths, T = drawn.targets, drawn.lengths, drawn.targets:size(1)
  if not length.vary then
    return drawn.inputs, asked == "last" and targets:slice(1, -1):contiguous() or targets, drawn.mask
  end
  local mask = drawn.mask or rows.mask(lengths, T)
  if asked == "last" then
    mask = core.eq(core.arange(T):reshape(T, 1), core.tensor(lengths))
  end
  return drawn.inputs, targets, mask, lengths
end

return rows
