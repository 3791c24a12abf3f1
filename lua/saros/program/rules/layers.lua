--- Rules for the operations of layers: lookup, norms, dropout and the fused cells.

local core = require "saros.core"
local first_largest = require "saros.program.first_largest"
local layout = require "saros.program.layout"

local rules = { always = {} }

--- 1 where row and column are equal, (count, count), from two sums of ones.
local function identity(t, count)
  local ones = t:node("expand", { t:scalar(1.0) }, { outer = 1, times = count, inner = 1 }, count)
  local ids = t:node("cumsum", { ones }, { outer = 1, n = count, inner = 1 }, count)
  local rows = t:node("expand", { ids }, { outer = count, times = count, inner = 1 }, count * count)
  local columns = t:node("expand", { ids }, { outer = 1, times = count, inner = count }, count * count)
  return t:node("eq", { rows, columns }, {}, count * count)
end

-- One-hot vectors of more symbols should be an embedding.
local MOST_SYMBOLS = 4096

--- The rows of a table that ids choose.
local function look_up(t, name, ids, table_node, width)
  if t.nodes[ids.node + 1].op ~= "ids" then
    t:refuse(name .. " with ids that are no input")
  end
  local axes = layout.copy(ids.axes)
  axes[#axes + 1] = layout.axis(width, "feature")
  return t:as(t:node("lookup", { ids.node, table_node }, {}, width), axes)
end

--- Gain or bias (n) of a norm.
local function of_norm(t, x)
  local value = x and t:value(x)
  return value and t:spread("layer_norm", value, layout.all(x:shape(), "feature"))
end

-- --- Fused cells ---------------------------------------------------------------------------

-- The names of core.recurrent, in their order.
local PARAMETERS = {
  "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "peephole", "norm_gain", "norm_bias", "norm_c_gain",
  "norm_c_bias", "table", "nu", "theta",
}
local FIRST = { "first_h", "first_c" }

local function probability(t, mask)
  return mask and t.bound[mask] and t.bound[mask].mask or 0
end

--- The parameters of a cell and their names.
local function parameters_of(given)
  local names, tensors = {}, {}
  for _, name in ipairs(PARAMETERS) do
    if given[name] then
      names[#names + 1], tensors[#tensors + 1] = name, given[name]
    end
  end
  return names, tensors
end

--- How often dropout and zoneout act, as fields of the node.
local function randomness(t, steps, fields)
  local h, c = probability(t, steps.zoneout_h), probability(t, steps.zoneout_c)
  if h > 0 or c > 0 then
    fields.zoneout = steps.zoneout_c and { h, c } or { h }
    if fields.zoneout[2] == nil and #fields.states == 2 then
      fields.zoneout[2] = 0.0
    end
  end
  local p = probability(t, steps.dropout)
  fields.dropout = p > 0 and p or nil
  fields.is_step = p > 0 and t.is_step or nil
end

--- Before and after of each state, and the learned value that it begins with.
local function states_of(t, given, parameters, last, reverse)
  local list = {}
  for i, after in ipairs(last) do
    local before = given and given[i] or nil
    local first = not before and parameters[FIRST[i]]
    list[i] = { before, after, reverse = reverse or nil, name = i == 1 and "h" or "c",
      first = first and t:value(first).node or nil }
  end
  return list
end

function rules.embedding(t, arguments, results)
  local given, ids = t:value(arguments[1]), t:is_traced(arguments[2]) and t:value(arguments[2])
  if not ids then
    t:refuse "embedding with ids that are no input"
  elseif not t.invariant[given.node] then
    t:refuse "embedding with a table that differs from row to row"
  end
  local width = results[1]:size(-1)
  local whole = t:spread("embedding", given, layout.all(arguments[1]:shape(), "feature"))
  t:bind(results[1], look_up(t, "embedding", ids, whole, width))
end

function rules.one_hot(t, arguments, results)
  local count = arguments[2]
  if count > MOST_SYMBOLS then
    t:refuse(("one_hot of %d symbols, more than %d"):format(count, MOST_SYMBOLS))
  end
  t:bind(results[1], look_up(t, "one_hot", t:value(arguments[1]), identity(t, count), count))
end

function rules.layer_norm(t, arguments, results)
  local x = t:value(arguments[1])
  x = t:solid("layer_norm", x, #x.axes)
  local operands = { x.node, of_norm(t, arguments[2]), of_norm(t, arguments[3]) }
  local n = layout.size(x.axes[#x.axes])
  local node = t:node("layer_norm", operands, { n = n, epsilon = (arguments[4] or 1e-5) + 0.0 }, t.widths[x.node])
  t:bind(results[1], t:as(node, x.axes))
end

function rules.rms_norm(t, arguments, results)
  local x = t:value(arguments[1])
  x = t:solid("rms_norm", x, #x.axes)
  local fields = { n = layout.size(x.axes[#x.axes]), epsilon = (arguments[3] or 1e-5) + 0.0 }
  local node = t:node("rms_norm", { x.node, of_norm(t, arguments[2]) }, fields, t.widths[x.node])
  t:bind(results[1], t:as(node, x.axes))
end

function rules.gated_rms_norm(t, arguments, results)
  local x, gate, gain = t:value(arguments[1]), t:value(arguments[2]), arguments[3]
  local row, sums = t:spread("gated_rms_norm", x, x.axes), t:spread("gated_rms_norm", gate, x.axes)
  local width, fields = t.widths[row], { n = gain:size(1), epsilon = (arguments[4] or 1e-5) + 0.0 }
  local normed = t:node("rms_norm", { row, of_norm(t, gain) }, fields, width)
  local open = t:node(arguments[5] or "silu", { sums }, {}, width)
  t:bind(results[1], t:as(t:node("multiply", { normed, open }, {}, width), x.axes))
end

--- Of ones that depend on nothing it is a mask: the factor of something else.
function rules.always.dropout(t, arguments, results)
  local x, p = arguments[1], arguments[2] + 0.0
  if not t:is_traced(x) and x:eq(1):min():item() == 1 then
    t.bound[results[1]] = p > 0 and { mask = p } or nil
    return
  end
  local value = t:value(x)
  local node = p > 0 and t:node("dropout", { value.node }, { p = p }, t.widths[value.node]) or value.node
  t:bind(results[1], t:as(node, value.axes))
end
rules.dropout = rules.always.dropout

--- The window node of k parts of x, and the state that it keeps.
local function window_node(t, x, k, given, before, after)
  if given.mask or given.reset or (given.ahead or 0) > 0 then
    t:refuse "a window that reads ahead, or with a mask or resets of the module's own"
  end
  return t:emit("window", { x }, { width = k * x:size(-1), dilation = given.dilation or 1,
    states = { { before, after, reverse = given.reverse or nil } } })
end

--- core.window(x, memory, options)
function rules.window(t, arguments, results)
  local x, before, given = table.unpack(arguments, 1, 3)
  t:bind(results[1], window_node(t, x, given.kernel or 1, given, before, results[2]))
end

--- core.depthwise(x, weight, bias, memory, options), and the memory after it: a window, times
--- the weight (k, F), the sum over its parts, and the activation.
local function depthwise(t, x, weight, bias, before, given, after)
  local F, k = weight:size(1), weight:size(2)
  local turned = t:node("transpose", { t:spread("depthwise", t:value(weight), layout.all({ F, k }, "feature")) },
    { outer = 1, a = F, b = k, inner = 1 }, k * F)
  local parts = k == 1 and t:value(x) or window_node(t, x, k, given, before, after)
  local product = t:node("multiply", { parts.node, turned }, {}, k * F)
  local node = k == 1 and product or t:node("sum", { product }, { outer = 1, n = k, inner = F }, F)
  if bias then
    node = t:node("add", { node, t:spread("depthwise", t:value(bias), { layout.axis(F, "feature") }) }, {}, F)
  end
  node = given.activation and t:node(given.activation, { node }, {}, F) or node
  return t:as(node, t:value(x).axes)
end

function rules.depthwise(t, arguments, results)
  local x, weight, bias, before = table.unpack(arguments, 1, 4)
  t:bind(results[1], depthwise(t, x, weight, bias, before, arguments[5] or {}, results[2]))
end

--- The functions of a step, (heads, n, n), and the axes of its rows.
local function functions_of(t, logits, ids, rows, n, is_soft)
  local function of_rows(node, count)
    return is_soft and t:node("softmax", { node }, { outer = count, n = n, inner = 1 }, count * n)
      or first_largest(t, node, count, n)
  end
  local value = t:value(logits)
  if not ids then
    return of_rows(t:spread("finite", value, value.axes), rows), value.axes
  elseif not t:is_traced(ids) then
    t:refuse "finite with ids that are no input"
  elseif not t.invariant[value.node] then
    t:refuse "finite with a table that differs from row to row"
  end
  local whole = t:spread("finite", value, layout.all(logits:shape(), "feature"))
  local tables = of_rows(whole, logits:size(1) * rows)
  local chosen = look_up(t, "finite", t:value(ids), tables, rows * n)
  return chosen.node, chosen.axes
end

--- The state that pointers begin with, as core.finite has it.
local function first_state(heads, n, P)
  local list = {}
  for place = 1, heads * P * n do
    local pointer, state = (place - 1) // n % P, (place - 1) % n
    list[place] = state == (P == n and pointer or 0) and 1.0 or 0.0
  end
  return core.tensor(list)
end

--- core.finite(logits, ids, state, options): one product a step and pointer, of the state and a
--- function whose table is made once.
function rules.finite(t, arguments, results)
  local logits, ids, before, given = table.unpack(arguments, 1, 4)
  if given.mask or given.reset then
    t:refuse "a finite-state cell with a mask or resets of the module's own"
  end
  t.asks_training = t.asks_training or not given.soft -- whose way back no program has
  local heads, n, P = given.heads or 1, given.states, given.pointers or 1
  local m, axes = functions_of(t, logits, ids, heads * n, n, given.soft)
  if P > 1 then
    m = t:node("expand", { m }, { outer = heads, times = P, inner = n * n }, heads * P * n * n)
  end
  local state = t:value(before or first_state(heads, n, P))
  local whole = t:spread("finite", state, state.axes)
  local width = heads * P * n
  local y = t:node("matvec", { m, whole }, { heads = heads * P, rows = n, columns = n, transposed = true }, width)
  local after = layout.copy(axes)
  after[#after] = layout.axis(width, "feature")
  t:bind(results[1], t:as(y, after))
  local rows = layout.copy(after)
  table.remove(rows, 1)
  t:bind(results[2], t:as(y, rows))
end

--- Vectors of n features with that length, as core.delta gives it to them.
local function with_length(t, x, n, length, epsilon)
  local value = t:value(x)
  if (length or 0) == 0 then
    return value
  end
  local row = t:spread("delta", value, value.axes)
  local gain = t:node("expand", { t:scalar(length * n ^ -0.5) }, { outer = 1, times = n, inner = 1 }, n)
  return t:as(t:node("rms_norm", { row, gain }, { n = n, epsilon = (epsilon or 0) / n }, t.widths[row]), value.axes)
end

--- Rows of a table of core.delta.
local function rows_of(t, ids, table_of)
  local value = t:value(table_of)
  if not t:is_traced(ids) then
    t:refuse "delta with ids that are no input"
  elseif not t.invariant[value.node] then
    t:refuse "delta with a table that differs from row to row"
  end
  local whole = t:spread("delta", value, layout.all(table_of:shape(), "feature"))
  return look_up(t, "delta", t:value(ids), whole, table_of:size(-1))
end

--- core.delta(q, k, v, options, state)
function rules.delta(t, arguments, results)
  local q, k, v, given, before = table.unpack(arguments, 1, 5)
  local y, after = results[1], results[2]
  if given.mask or given.reset then
    t:refuse "core.delta with a mask or resets of the module's own"
  end
  local first = not before and given.first and t:value(given.first)
  local reflections = given.reflections or 1
  local K = q:size(-1) // (given.heads or 1)
  local convolution = { reverse = given.reverse, activation = given.activation }
  local function convolved(x, taps, memory, memory_after)
    return taps and depthwise(t, x, taps, nil, memory, convolution, memory_after) or x
  end
  if given.ids then
    q, k, v = rows_of(t, given.ids, q), rows_of(t, given.ids, k), rows_of(t, given.ids, v)
  end
  q = convolved(q, given.taps_q, given.memory_q, results[3])
  k = convolved(k, given.taps_k, given.memory_k, results[4])
  v = convolved(v, given.taps_v, given.memory_v, results[5])
  q = with_length(t, q, K, given.query_length, given.epsilon)
  k = with_length(t, k, K, given.key_length, given.epsilon)
  t:bind(y, t:emit("delta", { q, k, v, given.write or 1, given.erase or 0, given.decay }, {
    heads = given.heads or 1, reflections = reflections > 1 and reflections or nil, width = y:size(-1),
    states = { { before, after, name = "m", reverse = given.reverse or nil,
      first = first and t:widened(t:spread("delta", first, first.axes), after:size(-1)) or nil } } }))
end

--- core.recurrent(cell, x, states, parameters, steps)
function rules.recurrent(t, arguments, results)
  local cell, x, given, parameters = table.unpack(arguments, 1, 4)
  local steps, y, last = arguments[5] or {}, results[1], results[2]
  if steps.mask or steps.reset then
    t:refuse "a recurrent layer with a mask or resets of the module's own"
  end
  local names, tensors = parameters_of(parameters)
  local states = states_of(t, given, parameters, last, steps.reverse)
  local fields = { cell = cell, with = names, width = y:size(-1), states = states }
  randomness(t, steps, fields)
  local value = t:emit("cell", { x, table.unpack(tensors) }, fields)
  local rows = layout.copy(value.axes)
  t:bind(y, value)
  table.remove(rows, 1) -- h is (B, H)
  t.bound[last[1]] = t:as(value.node, rows)
end

return rules
