--- How many elements of a data set are held out.

local share = {}

--- The share of `count` elements that is held out: the nearest whole number, and at least `least` for either
--- part. A fraction of 0 holds out none, as do fewer elements than both parts need.
local function nearest(count, fraction, least)
  if fraction == 0 or count < 2 * least then
    return 0
  end
  return math.min(math.max(math.floor(count * fraction + 0.5), least), count - least)
end

--- How many of some sequences, pairs, rows or texts are held out: at least 1 of 2 or more, and never all.
---@param count integer
---@param fraction number  in [0, 1)
---@return integer
function share.held_out(count, fraction)
  return nearest(count, fraction, 1)
end

--- The same of the symbols of a text, whose parts need two each: one to read and one to tell. Token files are
--- written by the same rule.
---@param count integer  symbols
---@param fraction number  in [0, 1)
---@return integer
function share.of_text(count, fraction)
  return nearest(count, fraction, 2)
end

--- How a data set that is printed tells what is held out.
---@param held_out integer
---@param fraction number  that was asked for
---@return string
function share.description(held_out, fraction)
  if held_out == 0 and fraction > 0 then
    return "none held out, as they are too few"
  end
  return ("%d of them held out"):format(held_out)
end

return share
