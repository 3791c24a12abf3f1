--- Rules for views, concatenations and stacks of features. Regrouping axes adds no node.

local layout = require "saros.program.layout"

local rules = { always = {} }

--- The layout of a value after axes i and j have changed places, and the node.
local function transposed(t, value, i, j)
  local axes = layout.copy(value.axes)
  axes[i], axes[j] = axes[j], axes[i]
  local f, node = layout.features, value.node
  local outer, inner = f(value.axes, 1, i - 1), f(value.axes, j + 1)
  local a, middle, b = f(value.axes, i, i), f(value.axes, i + 1, j - 1), f(value.axes, j, j)
  local function swap(before, first, second, after)
    if first > 1 and second > 1 then
      node = t:node("transpose", { node }, { outer = before, a = first, b = second, inner = after },
        before * first * second * after)
    end
  end
  swap(outer, a * middle, b, inner) -- (b, a, middle)
  swap(outer * b, a, middle, inner) -- (b, middle, a)
  return t:as(node, axes)
end

--- Positions from, from + step, ... of an axis of features.
local function sliced(t, name, x, k, from, count, step)
  local value = t:solid(name, x, k)
  local n = layout.size(value.axes[k])
  local axes = layout.copy(value.axes)
  axes[k] = layout.axis(count, "feature")
  if count == n and step == 1 then
    return t:as(value.node, axes)
  end
  local outer, inner = layout.features(axes, 1, k - 1), layout.features(axes, k + 1)
  local node = t:node("slice", { value.node }, {
    outer = outer, n = n, inner = inner, from = from, count = count, step = step ~= 1 and step or nil,
  }, outer * count * inner)
  return t:as(node, axes)
end

--- The value without an axis of size 1.
local function without(t, value, k)
  local axes = layout.copy(value.axes)
  table.remove(axes, k)
  return t:as(value.node, axes)
end

--- The value with a new axis of size 1 at k.
local function with_axis(t, value, k)
  local axes = layout.copy(value.axes)
  table.insert(axes, k, {})
  return t:as(value.node, axes)
end

local function position(at, size)
  return at < 0 and at + size or at - 1
end

--- What is left of axis k at one position, without the axis.
local function selected(t, name, x, k, at)
  local size = layout.size(x.axes[k])
  if size == 1 then -- the step of a sequence of one, too
    return without(t, x, k)
  elseif layout.row_of(x.axes[k]) then
    t:refuse(name .. " of a row of the batch")
  end
  return without(t, sliced(t, name, x, k, position(at, size), 1, 1), k)
end

--- Values one after the other along axis k.
local function joined(t, name, values, k)
  if #values == 1 then -- a list of steps, too
    return values[1]
  end
  local others = {}
  for n, value in ipairs(values) do
    others[n] = without(t, value, k)
  end
  local axes, nodes, size = layout.copy(t:common(name, others)), {}, 0
  table.insert(axes, k, {})
  for n, value in ipairs(values) do
    local part = t:solid(name, value, k)
    axes[k] = part.axes[k]
    nodes[n], size = t:spread(name, part, axes), size + layout.size(part.axes[k])
  end
  axes[k] = layout.axis(size, "feature")
  local outer, width = layout.features(axes, 1, k - 1), layout.features(axes)
  local node = t:node("concatenate", nodes, { outer = outer > 1 and outer or nil }, width)
  return t:as(node, axes)
end

local function values_of(t, list)
  local values = {}
  for n, x in ipairs(list) do
    values[n] = t:value(x)
  end
  return values
end

local function reshaped(name)
  return function(t, arguments, results)
    local value = t:value(arguments[1])
    local axes = layout.reshape(value.axes, results[1]:shape())
    if not axes then
      t:refuse(name .. " that mixes rows with features")
    end
    if results[1] ~= arguments[1] then
      t:bind(results[1], t:as(value.node, axes))
      t.kept_by[results[1]] = t.kept_by[arguments[1]]
    end
  end
end
rules.reshape, rules.flatten = reshaped "reshape", reshaped "flatten"

function rules.transpose(t, arguments, results)
  local value = t:value(arguments[1])
  local i, j = t:axis_of(value.axes, arguments[2] or -2), t:axis_of(value.axes, arguments[3] or -1)
  t:bind(results[1], i == j and value or transposed(t, value, math.min(i, j), math.max(i, j)))
end

function rules.slice(t, arguments, results)
  local value = t:value(arguments[1])
  local k, step = t:axis_of(value.axes, arguments[2]), arguments[5] or 1
  local size, count = layout.size(value.axes[k]), results[1]:size(k)
  if count == size and (step == 1 or size == 1) then
    t:bind(results[1], value)
    return
  elseif count == 0 then
    t:refuse(layout.row_of(value.axes[k]) == "time" and "a slice of steps, which leaves none of this one"
      or "a slice without elements")
  end
  t:bind(results[1], sliced(t, "slice", value, k, position(arguments[3], size), count, step))
end

function rules.flip(t, arguments, results)
  local value = t:value(arguments[1])
  local k = t:axis_of(value.axes, arguments[2])
  local size = layout.size(value.axes[k])
  t:check_features("flip", value.axes, k)
  t:bind(results[1], sliced(t, "flip", value, k, size - 1, size, -1))
end

function rules.select(t, arguments, results)
  local value = t:value(arguments[1])
  t:bind(results[1], selected(t, "select", value, t:axis_of(value.axes, arguments[2]), arguments[3]))
end

function rules.index(t, arguments, results)
  if type(results[1]) == "number" then
    t:refuse "an element that is read, as in x[1]"
  end
  t:bind(results[1], selected(t, "indexing", t:value(arguments[1]), 1, arguments[2]))
end

function rules.concat(t, arguments, results)
  local values = values_of(t, arguments)
  t:bind(results[1], joined(t, "concat", values, #values[1].axes))
end

function rules.concatenate(t, arguments, results)
  local values = values_of(t, arguments[1])
  t:bind(results[1], joined(t, "concatenate", values, t:axis_of(values[1].axes, arguments[2])))
end

function rules.stack(t, arguments, results)
  local values = values_of(t, arguments[1])
  local k = arguments[2] or 1
  k = k < 0 and k + #values[1].axes + 2 or k
  for n, value in ipairs(values) do
    values[n] = with_axis(t, value, k)
  end
  t:bind(results[1], joined(t, "stack", values, k))
end

return rules
