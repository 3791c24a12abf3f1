--- Rules for reductions over features, and for softmax and running sums along them.

local layout = require "saros.program.layout"

local rules = { always = {} }

--- The sum over flat parts, in which each value stands `times` times.
local function repeated(t, value, times)
  if times == 1 then
    return value
  end
  local node = t:node("multiply", { value.node, t:scalar(times) }, {}, t.widths[value.node])
  return t:as(node, value.axes)
end

--- Reduces axis k to size 1.
local function reduce(t, name, value, k)
  t:check_features(name, value.axes, k)
  if name == "logsumexp" then
    value = t:solid(name, value, k)
  end
  local axis, axes = value.axes[k], layout.copy(value.axes)
  local n, times = layout.size(axis, "feature"), layout.size(axis, "flat")
  local outer, inner = layout.features(axes, 1, k - 1), layout.features(axes, k + 1)
  axes[k] = {}
  local node = n == 1 and value.node
    or t:node(name, { value.node }, { outer = outer, n = n, inner = inner }, outer * inner)
  return repeated(t, t:as(node, axes), name == "sum" and times or 1)
end

for _, name in ipairs { "sum", "mean", "max", "min", "logsumexp" } do
  rules[name] = function(t, arguments, results)
    local value, axis, keep = t:value(arguments[1]), arguments[2], arguments[3]
    local k = axis and t:axis_of(value.axes, axis)
    for each = k or 1, k or #value.axes do
      value = reduce(t, name, value, each)
    end
    local axes = layout.copy(value.axes)
    if not keep then
      if k then
        table.remove(axes, k)
      else
        axes = {}
      end
    end
    t:bind(results[1], t:as(value.node, axes))
  end
end

for _, name in ipairs { "softmax", "log_softmax", "cumsum" } do
  rules[name] = function(t, arguments, results)
    local value = t:value(arguments[1])
    local k = t:axis_of(value.axes, arguments[2] or -1)
    value = t:solid(name, value, k)
    local axes, n = value.axes, layout.size(value.axes[k])
    local node = t:node(name, { value.node },
      { outer = layout.features(axes, 1, k - 1), n = n, inner = layout.features(axes, k + 1) },
      t.widths[value.node])
    t:bind(results[1], t:as(node, axes))
  end
end

return rules
