--- Layouts: where the elements of a traced tensor are in a row of the program.
---
--- A layout is a list of axes, each a list of parts { size, kind }, outermost
--- first. The node holds the features of one row and step, row-major, and no other
--- parts:
---
---     feature   in the node
---     flat      the same values at each place, such as the rows of zeros(B, H)
---     batch     one place for each row of the batch
---     time      one place for each step; its size is 1, since one step is traced
---
--- An axis of size 1 has no parts, or a part of time. So a reshape only regroups the
--- parts, and a transpose moves elements only if it reorders features: (1, B, 8) as
--- (B, 2, 4) is { batch }, { feature 2 }, { feature 4 }.

---@class saros.program.Part
---@field size integer
---@field kind "feature"|"flat"|"batch"|"time"

---@alias saros.program.Layout saros.program.Part[][]

local layout = {}

local function part(size, kind)
  return { size = size, kind = kind }
end

--- An axis of that size; without parts if there is nothing to walk over.
---@param size integer
---@param kind string
---@return saros.program.Part[]
function layout.axis(size, kind)
  return (size == 1 and kind ~= "time" and kind ~= "batch") and {} or { part(size, kind) }
end

--- A shape of which all axes are of one kind.
---@param shape integer[]
---@param kind string
---@return saros.program.Layout
function layout.all(shape, kind)
  local axes = {}
  for k, size in ipairs(shape) do
    axes[k] = layout.axis(size, kind)
  end
  return axes
end

--- How many elements the parts of an axis have; of one kind alone, if given.
---@param axis saros.program.Part[]
---@param kind? string
---@return integer
function layout.size(axis, kind)
  local size = 1
  for _, p in ipairs(axis) do
    size = size * ((kind == nil or p.kind == kind) and p.size or 1)
  end
  return size
end

--- How many features the axes first..last have together (all of them).
---@param axes saros.program.Layout
---@param first? integer
---@param last? integer
---@return integer
function layout.features(axes, first, last)
  local count = 1
  for k = first or 1, last or #axes do
    count = count * layout.size(axes[k], "feature")
  end
  return count
end

--- The kind of the rows that an axis runs over: "time", "batch"; nil if none.
---@param axis saros.program.Part[]
---@return string?
function layout.row_of(axis)
  for _, p in ipairs(axis) do
    if p.kind == "batch" then
      return "batch"
    end
  end
  return axis[1] and axis[1].kind == "time" and "time" or nil
end

--- True if an axis has a part of that kind.
---@param axis saros.program.Part[]
---@param kind string
---@return boolean
function layout.has(axis, kind)
  for _, p in ipairs(axis) do
    if p.kind == kind then
      return true
    end
  end
  return false
end

--- A copy of the list of axes, which may be changed.
---@param axes saros.program.Layout
---@return saros.program.Layout
function layout.copy(axes)
  return table.move(axes, 1, #axes, 1, {})
end

-- --- Two layouts side by side ------------------------------------------------------------

local ROWS = { batch = true, time = true }

--- The kind of what two parts give; nil if rows meet features.
local function joined(a, b)
  if a == b or b == "flat" then
    return a
  elseif a == "flat" then
    return b
  end
  return nil
end

--- The first `size` elements of a part, and the rest of it; nil if it cannot be cut.
local function cut(p, size)
  if p.size == size then
    return p, nil
  elseif ROWS[p.kind] or p.size % size ~= 0 then
    return nil
  end
  return part(size, p.kind), part(p.size // size, p.kind)
end

--- The parts of two axes of equal size, cut where either is cut; nil if that cannot
--- be. Time, of size 1, needs no counterpart.
local function paired(a, b)
  local pairs_, i, j, pa, pb = {}, 1, 1, nil, nil
  while true do
    pa, pb = pa or a[i], pb or b[j]
    if pa == nil and pb == nil then
      return pairs_
    end
    local size, first, second
    if pa and pa.size == 1 then
      first, pa, i = pa, nil, i + 1
      if pb and pb.size == 1 then
        second, pb, j = pb, nil, j + 1
      end
    elseif pb and pb.size == 1 then
      second, pb, j = pb, nil, j + 1
    else
      if not (pa and pb) then
        return nil
      end
      size = math.min(pa.size, pb.size)
      first, pa = cut(pa, size)
      second, pb = cut(pb, size)
      if not (first and second) then
        return nil
      end
      i, j = pa and i or i + 1, pb and j or j + 1
    end
    pairs_[#pairs_ + 1] = { first, second }
  end
end

--- An axis of size 1 repeated over the parts of another one.
local function repeated(axis, over)
  if layout.size(axis) > 1 then
    return axis
  end
  local parts = table.move(axis, 1, #axis, 1, {})
  for _, p in ipairs(over) do
    if p.size > 1 then
      parts[#parts + 1] = part(p.size, "flat")
    end
  end
  return parts
end

--- One axis of both; parts also say of what kind they are in a and in b.
local function join_axis(a, b)
  local both = paired(repeated(a, b), repeated(b, a))
  if not both then
    return nil
  end
  for n, pair in ipairs(both) do
    local of_a, of_b = pair[1] and pair[1].kind or "flat", pair[2] and pair[2].kind or "flat"
    local kind = joined(of_a, of_b)
    if not kind then
      return nil
    end
    both[n] = { size = (pair[1] or pair[2]).size, kind = kind, a = of_a, b = of_b }
  end
  return both
end

--- The layout of what two tensors give that broadcast, aligned at their last axes;
--- nil if rows would meet features. Parts say of what kind they are in `a` and `b`.
---@param a saros.program.Layout
---@param b saros.program.Layout
---@return saros.program.Layout?
function layout.join(a, b)
  local rank, axes = math.max(#a, #b), {}
  for k = 1, rank do
    local axis = join_axis(a[k - rank + #a] or {}, b[k - rank + #b] or {})
    if not axis then
      return nil
    end
    axes[k] = axis
  end
  return axes
end

-- --- One layout seen in another way --------------------------------------------------------

--- Takes the parts of an axis of that size from the front of a queue; nil if rows
--- would have to be cut. Time behind it belongs to it unless the next axis is of size 1:
--- (B, 1, 8) as (B, 8) is rows of all steps.
local function take(queue, size, following)
  local axis = {}
  if size == 1 then
    if queue[1] and queue[1].kind == "time" then
      axis[1] = table.remove(queue, 1)
    end
    return axis
  end
  while size > 1 do
    local p = table.remove(queue, 1)
    if not p then
      return nil
    end
    local first, rest = p, nil
    if size % p.size ~= 0 then
      first, rest = cut(p, size)
    end
    if not first then
      return nil
    elseif rest then
      table.insert(queue, 1, rest)
    end
    axis[#axis + 1], size = first, size // first.size
  end
  if queue[1] and queue[1].kind == "time" and following ~= 1 then
    axis[#axis + 1] = table.remove(queue, 1)
  end
  return axis
end

--- The layout after a reshape; nil if it would cut rows.
---@param axes saros.program.Layout
---@param shape integer[]
---@return saros.program.Layout?
function layout.reshape(axes, shape)
  local queue, result = {}, {}
  for _, axis in ipairs(axes) do
    table.move(axis, 1, #axis, #queue + 1, queue)
  end
  for k, size in ipairs(shape) do
    result[k] = take(queue, size, shape[k + 1])
    if not result[k] then
      return nil
    end
  end
  return result
end

return layout
