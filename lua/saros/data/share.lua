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

return share
