--- Shapes, views and what joins or cuts tensors. Axes of ONNX count from 0, or from the end if negative.

local core = require "saros.core"
local options = require "saros.options"
local permute = require "saros.onnx.permute"
local scope = require "saros.nn.scope"
local tensors = require "saros.onnx.tensors"
local work = require "saros.onnx.work"

local is_integers, is_parts = tensors.is_integers, tensors.is_parts

local operators = {}

--- An axis, from 1.
local function axis_of(axis, rank)
  local k = axis < 0 and axis + rank or axis
  if k < 0 or k >= rank then
    error(("expected an axis of %d, got %d"):format(rank, axis), 0)
  end
  return k + 1
end

--- The axes that an input, or before that an attribute, says; nil if neither does.
local function given_axes(node, input)
  return input and tensors.list(input) or node.attributes.axes
end

local function reshaped(x, shape)
  if is_integers(x) then
    return tensors.integers(tensors.list(x), shape)
  end
  return tensors.tensor(x):reshape(shape)
end

-- --- Shapes ------------------------------------------------------------------------------------------

function operators.Shape(node, x)
  local shape = tensors.shape(x)
  local from, stop = node.attributes.start or 0, node.attributes["end"] or #shape
  from, stop = from < 0 and math.max(0, from + #shape) or from, stop < 0 and stop + #shape or stop
  return tensors.integers(table.move(shape, from + 1, math.min(stop, #shape), 1, {}))
end

function operators.Size(_, x)
  local count = 1
  for _, size in ipairs(tensors.shape(x)) do
    count = count * size
  end
  return tensors.integers({ count }, {})
end

function operators.Reshape(node, x, shape)
  local own, sizes = tensors.shape(x), shape and tensors.list(shape) or node.attributes.shape
  local result = {}
  for k, size in ipairs(sizes) do
    result[k] = size == 0 and (node.attributes.allowzero or 0) == 0 and own[k] or size
  end
  local count, known, open = 1, 1, nil
  for _, size in ipairs(own) do
    count = count * size
  end
  for k, size in ipairs(result) do
    open = size == -1 and k or open
    known = known * (size == -1 and 1 or size)
  end
  if open and known > 0 then
    result[open] = count // known
  end
  return reshaped(x, result)
end

function operators.Flatten(node, x)
  local shape = tensors.shape(x)
  local axis = node.attributes.axis or 1
  axis = axis < 0 and axis + #shape or axis
  local rows, columns = 1, 1
  for k, size in ipairs(shape) do
    rows, columns = rows * (k <= axis and size or 1), columns * (k > axis and size or 1)
  end
  return reshaped(x, { rows, columns })
end

function operators.Squeeze(node, x, axes)
  local shape, gone, rest = tensors.shape(x), {}, {}
  axes = given_axes(node, axes)
  if is_parts(x) and #x.parts == 1 and axes and #axes == 1 and axis_of(axes[1], #shape) == 1 then
    return x.parts[1]
  end
  for _, axis in ipairs(axes or {}) do
    gone[axis_of(axis, #shape)] = true
  end
  for k, size in ipairs(shape) do
    if not (axes and gone[k] or not axes and size == 1) then
      rest[#rest + 1] = size
    elseif size ~= 1 then
      error(("expected an axis of size 1 to remove, got %d"):format(size), 0)
    end
  end
  return reshaped(x, rest)
end

function operators.Unsqueeze(node, x, axes)
  local shape = tensors.shape(x)
  local added = given_axes(node, axes) or {}
  local rank, is_new, result, at = #shape + #added, {}, {}, 1
  if rank == 3 and #added == 1 and axis_of(added[1], rank) == 1 and tensors.is_tensor(x) then
    return tensors.parts { x }
  end
  for _, axis in ipairs(added) do
    is_new[axis_of(axis, rank)] = true
  end
  for k = 1, rank do
    result[k] = is_new[k] and 1 or shape[at]
    at = is_new[k] and at or at + 1
  end
  return reshaped(x, result)
end

--- Integers (rows, columns) with the two axes changed.
local function turned(x)
  local rows, columns, list = x.shape[1], x.shape[2], {}
  for n = 1, #x do
    list[((n - 1) % columns) * rows + (n - 1) // columns + 1] = x[n]
  end
  return tensors.integers(list, { columns, rows })
end

function operators.Transpose(node, x)
  local given = node.attributes.perm
  if is_integers(x) and #x.shape == 2 and (not given or given[1] == 1) then
    return turned(x)
  end
  x = tensors.tensor(x)
  local order, perm = {}, node.attributes.perm
  for k = 1, x:rank() do
    order[k] = perm and axis_of(perm[k] or -99, x:rank()) or x:rank() - k + 1
  end
  return permute(x, order)
end

function operators.Expand(node, x, shape)
  local sizes, count = work.check_shape(tensors.list(shape), node.budget), 1
  for _, size in ipairs(sizes) do
    count = count * size
  end
  if is_integers(x) and #x == 1 and math.type(x[1]) == "integer" and count <= tensors.MOST_INTEGERS then
    local list = {}
    for n = 1, count do
      list[n] = x[1]
    end
    return tensors.integers(list, sizes)
  end
  x = tensors.real(x)
  local own = x:shape()
  for k = 1, #sizes do -- of two sizes the larger
    local size = own[k - #sizes + #own]
    sizes[k] = size and size > 1 and size or sizes[k]
  end
  local is_same = #sizes == #own
  for k, size in ipairs(sizes) do
    is_same = is_same and size == own[k]
  end
  return is_same and x or core.zeros(sizes) + x
end

-- --- Constants ---------------------------------------------------------------------------------------

function operators.Constant(node)
  local a = node.attributes
  if a.value then
    return a.value
  elseif a.value_int or a.value_ints then
    return tensors.integers(a.value_ints or { a.value_int }, a.value_int and {} or nil)
  elseif a.value_float then
    return core.full({}, a.value_float)
  elseif a.value_floats then
    return core.tensor(a.value_floats)
  end
  error("expected a constant of numbers", 0)
end

function operators.ConstantOfShape(node, shape)
  local value, sizes = node.attributes.value, work.check_shape(tensors.list(shape), node.budget)
  if is_integers(value) then
    return operators.Expand(node, value, shape)
  end
  return core.full(sizes, value and value:flatten()[1] or 0)
end

function operators.Range(node, from, stop, step)
  local list, first, last, by = {}, tensors.list(from)[1], tensors.list(stop)[1], tensors.list(step)[1]
  if by == 0 then
    error("expected a range with a step other than 0", 0)
  end
  work.check_shape({ math.max(0, math.tointeger((last + 0.0 - first) // by) or math.maxinteger) }, node.budget)
  for x = first, last - (by > 0 and 1 or -1), by do
    list[#list + 1] = x
  end
  return tensors.integers(list)
end

local function same(_, x)
  return x
end
operators.Identity = same
operators.Dropout = same

-- Types of ONNX that are reals here.
local REALS = { [1] = true, [10] = true, [11] = true, [16] = true }

--- Reals that are known when the graph is read, as integers.
local function truncated(x)
  local list = {}
  for n = 1, x:count() do
    local value = x:flatten()[n]
    list[n] = math.tointeger(value < 0 and -(-value // 1) or value // 1)
  end
  return tensors.integers(list, x:shape())
end

-- Of more numbers than these reals are a tensor.
local FEW = 16

--- Numbers that are known as those of another type.
local function cast_known(x, to)
  if REALS[to] and #x > FEW then
    return tensors.real(x)
  end
  local list = tensors.numbers(x)
  for n, value in ipairs(list) do
    list[n] = REALS[to] and value + 0.0 or to == 9 and (value ~= 0 and 1 or 0)
      or math.tointeger(value < 0 and -(-value // 1) or value // 1) or 0
  end
  return tensors.integers(list, x.shape)
end

function operators.Cast(node, x)
  local to = node.attributes.to
  if x == nil then -- lengths that the caller has not given
    return nil
  elseif is_integers(x) then
    return cast_known(x, to)
  elseif REALS[to] then
    return tensors.real(x)
  elseif to == 9 then
    return x:dtype() == "ids" and x or core.ne(x, 0)
  elseif tensors.is_tensor(x) and x:dtype() == "real" and node.is_constant and x:count() <= 65536 then
    return truncated(x)
  end
  return x -- booleans that tensors gave, and ids
end

function operators.CastLike(_, x, like)
  return is_integers(like) and x or tensors.real(x)
end

--- Rows in the other order along time; of the same number of steps each, all that there are.
function operators.ReverseSequence(node, x, lens)
  x = tensors.real(x)
  local axis = (node.attributes.time_axis or 0) + 1
  for _, steps in ipairs(tensors.list(lens)) do
    if steps ~= x:size(axis) then
      error(("expected a sequence that is turned as a whole, of %d steps, got %d"):format(x:size(axis), steps), 0)
    end
  end
  return x:flip(axis)
end

-- --- Cutting -----------------------------------------------------------------------------------------

--- x from place `from` to `stop`, which is left out, both from 0.
local function cut(x, axis, from, stop, step)
  local size = tensors.shape(x)[axis]
  local function bounded(at, low, high)
    return math.max(low, math.min(high, at < 0 and at + size or at))
  end
  if step < 0 then
    from, stop = bounded(from, -1, size - 1), stop < -size and -1 or bounded(stop, -1, size - 1)
  else
    from, stop = bounded(from, 0, size), bounded(stop, 0, size)
  end
  if is_integers(x) then
    local list = {}
    local shape = tensors.shape(x)
    if axis > 1 then
      error("expected a slice of integers along the first axis", 0)
    end
    local inner, count = #x // math.max(1, size), 0
    for n = from, stop + (step > 0 and -1 or 1), step do
      table.move(x, n * inner + 1, (n + 1) * inner, #list + 1, list)
      count = count + 1
    end
    shape[1] = count
    return tensors.integers(list, shape)
  elseif is_parts(x) and axis == 1 and step == 1 and stop > from then
    return tensors.parts(table.move(x.parts, from + 1, stop, 1, {}))
  elseif from == 0 and stop == size and step == 1 then
    return x
  elseif step < 0 then
    return tensors.tensor(x):slice(axis, from + 1, stop + 2, step)
  elseif stop <= from then
    error("expected a slice with elements, got none", 0)
  end
  return tensors.tensor(x):slice(axis, from + 1, stop, step)
end

function operators.Slice(node, x, starts, ends, axes, steps)
  local from = starts and tensors.list(starts) or node.attributes.starts
  local stop = ends and tensors.list(ends) or node.attributes.ends
  local by = steps and tensors.list(steps) or {}
  local over = axes and tensors.list(axes) or node.attributes.axes
  local rank = #tensors.shape(x)
  for n in ipairs(from) do
    x = cut(x, axis_of(over and over[n] or n - 1, rank), from[n], stop[n], by[n] or 1)
  end
  return x
end

function operators.Split(node, x, sizes)
  local shape = tensors.shape(x)
  local axis = axis_of(node.attributes.axis or 0, #shape)
  local list = sizes and tensors.list(sizes) or node.attributes.split
  if not list then
    local count = math.min(node.attributes.num_outputs or #node.outputs, #node.outputs)
    local each = -(-shape[axis] // count)
    list = {}
    for n = 1, count do
      list[n] = math.min(each, shape[axis] - (n - 1) * each)
    end
  end
  local parts, at = {}, 0
  for n, size in ipairs(list) do
    parts[n], at = cut(x, axis, at, at + size, 1), at + size
  end
  return table.unpack(parts)
end

--- True if a step stands behind those before it, which a program has as parts of a state: what is cut from them then
--- are values of one step, too.
local function is_step_behind(list)
  local last = list[#list]
  return scope.tracer and #list == 2 and tensors.is_tensor(last) and last:rank() == 3 and last:size(1) == 1
end

function operators.Concat(node, ...)
  local list, all_integers, all_first = { ... }, true, true
  local axis = axis_of(node.attributes.axis or 0, #tensors.shape(list[1]))
  for _, x in ipairs(list) do
    all_integers = all_integers and is_integers(x)
    all_first = all_first and is_parts(x)
  end
  if all_integers then
    local joined = {}
    for _, x in ipairs(list) do
      table.move(x, 1, #x, #joined + 1, joined)
      if #joined > tensors.MOST_INTEGERS then
        error(("expected at most %d integers, got more"):format(tensors.MOST_INTEGERS), 0)
      end
    end
    return tensors.integers(joined)
  elseif axis == 1 and (all_first or is_step_behind(list)) then
    local parts = {}
    for _, x in ipairs(list) do
      local more = tensors.parts_of(x)
      table.move(more, 1, #more, #parts + 1, parts)
    end
    return tensors.parts(parts)
  end
  for n, x in ipairs(list) do
    list[n] = tensors.real(x)
  end
  return #list == 1 and list[1] or core.concatenate(list, axis)
end

--- What stands before or behind an axis: a value, or the elements beside its end, reflected.
local function edge(x, axis, count, mode, value, is_before, budget)
  local size, shape = x:size(axis), x:shape()
  if mode == "constant" then
    shape[axis] = count
    return core.full(work.check_shape(shape, budget), value)
  elseif mode ~= "reflect" or count >= size then
    error(("expected padding with a constant or by reflection, got %s of %d"):format(mode, count), 0)
  end
  return is_before and x:slice(axis, count + 1, 2, -1) or x:slice(axis, size - 1, size - count, -1)
end

function operators.Pad(node, x, pads, value)
  x = tensors.real(x)
  local list, mode = pads and tensors.list(pads) or node.attributes.pads, node.attributes.mode or "constant"
  local number = value and tensors.real(value):flatten()[1] or 0
  for axis = 1, x:rank() do
    local before, behind, parts = list[axis] or 0, list[axis + x:rank()] or 0, { x }
    if before > 0 then
      table.insert(parts, 1, edge(x, axis, before, mode, number, true, node.budget))
    end
    if behind > 0 then
      parts[#parts + 1] = edge(x, axis, behind, mode, number, false, node.budget)
    end
    x = #parts > 1 and core.concatenate(parts, axis) or x
  end
  return x
end

-- --- Choosing ----------------------------------------------------------------------------------------

--- Positions that are known: integers, one or a list.
local function gathered(x, axis, ids)
  local shape, list = tensors.shape(x), tensors.list(ids)
  local size = shape[axis]
  for n, at in ipairs(list) do
    list[n] = at < 0 and at + size or at
    if list[n] < 0 or list[n] >= size then
      error(("expected places of %d, got %d"):format(size, at), 0)
    end
  end
  if is_integers(x) then
    local chosen = {}
    for n, at in ipairs(list) do
      chosen[n] = x[at + 1]
    end
    return tensors.integers(chosen, ids.shape)
  elseif #ids.shape == 0 and is_parts(x) and axis == 1 then
    return x.parts[list[1] + 1]
  elseif #ids.shape == 0 then
    local part = cut(x, axis, list[1], list[1] + 1, 1)
    table.remove(shape, axis)
    return tensors.tensor(part):reshape(shape)
  elseif #ids.shape > 1 then
    error("expected a list of places to gather, got more axes", 0)
  end
  local parts = {}
  for n, at in ipairs(list) do
    parts[n] = cut(x, axis, at, at + 1, 1)
  end
  if #parts == 1 then
    return parts[1]
  end
  for n, part in ipairs(parts) do
    parts[n] = tensors.tensor(part)
  end
  return core.concatenate(parts, axis)
end

function operators.Gather(node, x, ids)
  local axis = axis_of(node.attributes.axis or 0, #tensors.shape(x))
  if is_integers(ids) then
    return gathered(x, axis, ids)
  elseif axis == 1 and tensors.is_tensor(ids) and ids:dtype() == "ids" and tensors.is_tensor(x) and x:rank() == 2 then
    return core.embedding(x, ids)
  end
  error("expected places that are known without the input, or rows of a table, got " .. options.describe(ids), 0)
end

return operators
