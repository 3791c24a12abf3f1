--- How many elements of a data set are held out.

local share = {}

--- The share of `count` elements that is held out: the nearest whole number, at
--- least 1 if there are 2 or more, and never all of them. A fraction of 0 holds
--- out none.
---@param count integer
---@param fraction number  in [0, 1)
---@return integer
function share.held_out(count, fraction)
  if fraction == 0 or count < 2 then
    return 0
  end
  return math.min(math.max(math.floor(count * fraction + 0.5), 1), count - 1)
end

--- The same of a text, whose parts need two symbols each: one to read and one to tell.
--- Rounded down, as token files have it.
---@param count integer  symbols
---@param fraction number  in [0, 1)
---@return integer
function share.of_text(count, fraction)
  if fraction == 0 or count < 4 then
    return 0
  end
  return math.min(math.max(math.floor(count * fraction), 2), count - 2)
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
