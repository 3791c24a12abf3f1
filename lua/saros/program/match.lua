--- The first values of states. A module is traced twice: from nil, and from a given
--- state. The two programs are compared node by node; where the second one reads a
--- state, the first one has its first value. Otherwise the programs must be equal, which
--- is checked by running the module from these first values.

local core = require "saros.core"
local layout = require "saros.program.layout"

local match = {}

--- The nodes that states of a cell or the like begin with, by their place in the node.
local function kept_states(node)
  return node.states or (node.op == "window" and { node.state }) or {}
end

-- Fields in which nodes of the same operation may differ.
local OTHERS = { ["in"] = true, states = true, state = true, is_apart = true }

local function same_fields(a, b)
  for name, given in pairs(a) do
    if not OTHERS[name] and type(given) ~= "table" and given ~= b[name] then
      return false
    end
  end
  return a.op == b.op and #(a["in"] or {}) == #(b["in"] or {})
end

--- Binds states of t to nodes of the other trace, side by side from two nodes down.
local function unify(t, first, a, b, found)
  local seen = {}
  local function walk(n, m)
    if seen[n] == m then
      return
    end
    seen[n] = m
    local x, y = t.nodes[n + 1], first.nodes[m + 1]
    if x.op == "state" then
      found[x.state] = found[x.state] or first.invariant[m] and m or nil
      return
    elseif not same_fields(x, y) then
      return
    end
    local others = kept_states(y)
    for k, s in ipairs(kept_states(x)) do
      found[s] = found[s] or first.begins[others[k]]
    end
    for k, operand in ipairs(x["in"] or {}) do
      walk(operand, y["in"][k])
    end
  end
  walk(a, b)
end

--- A node of the other trace and all that it needs, added to this one.
local function copied(t, first, n, done)
  if done[n] then
    return done[n]
  end
  local node, operands, attributes = first.nodes[n + 1], {}, {}
  for k, operand in ipairs(node["in"] or {}) do
    operands[k] = copied(t, first, operand, done)
  end
  for name, given in pairs(node) do
    if name ~= "op" and name ~= "in" then
      attributes[name] = given
    end
  end
  done[n] = t:node(node.op, operands, attributes, first.widths[n])
  return done[n]
end

--- True if a node is zeros.
local function is_zero(t, n)
  local node = t.nodes[n + 1]
  return t:number_of(n) == 0 or (node.op == "expand" and is_zero(t, node["in"][1]))
end

--- Gives the states of a trace what they begin with.
---@param t saros.program.Recorder  from a state
---@param outputs { node: integer }[]
---@param first saros.program.Recorder  from nil
---@param first_outputs { node: integer }[]
---@param after { tensor: saros.Tensor }[]  the leaves of its state after the step
function match.first(t, outputs, first, first_outputs, after)
  local found, done = {}, {}
  for n, output in ipairs(outputs) do
    if first_outputs[n] and first_outputs[n].name == output.name then
      unify(t, first, output.node, first_outputs[n].node, found)
    end
  end
  for n, state in ipairs(t.states) do
    local value = after[n] and first.bound[after[n].tensor]
    if value and value.node then
      unify(t, first, state.next, value.node, found)
    elseif value and value.part_of then
      unify(t, first, state.next, value.part_of, found)
    end
  end
  for s, state in ipairs(t.states) do
    local n = found[s - 1]
    local node = n and not is_zero(first, n) and copied(t, first, n, done)
    node = node and t:widened(node, state.width)
    if node and t.widths[node] == state.width then
      state.first, state.example = node, first:example(n)
    end
  end
end

-- --- The same beginning, computed ----------------------------------------------------------

--- An example of a state's first value, (width) or one number, as a tensor like the
--- leaf, added to zeros of that shape.
local function spread(zeros, example, axes)
  local x, shape = example.tensor, zeros:shape()
  for k, axis in ipairs(example.axes) do
    x = layout.has(axis, "flat") and x:slice(k, 1, 1) or x
  end
  for k, axis in ipairs(axes) do
    shape[k] = layout.row_of(axis) and 1 or shape[k]
  end
  return zeros + (x:count() == 1 and x:flatten():reshape {} or x:contiguous():reshape(shape))
end

--- The first states of the leaves as tensors; nil if one of them is not known.
---@param t saros.program.Recorder
---@param leaves { tensor: saros.Tensor, axes: saros.program.Layout }[]
---@return saros.Tensor[]?
function match.first_states(t, leaves)
  local tensors = {}
  for n, leaf in ipairs(leaves) do
    local state, zeros = t.states[n], core.zeros(leaf.tensor:shape())
    if state.first and not state.example then
      return nil
    end
    tensors[n] = state.first and spread(zeros, state.example, leaf.axes) or zeros
  end
  return tensors
end

-- Relative to the larger of 1 and the values: float sums in another order.
local TOLERANCE = 1e-4

--- True if two tensors have the same shape and nearly the same values.
---@param a saros.Tensor
---@param b saros.Tensor
---@return boolean
function match.is_close(a, b)
  if table.concat(a:shape(), ",") ~= table.concat(b:shape(), ",") then
    return false
  end
  local x, y = a:contiguous():flatten():totable(), b:contiguous():flatten():totable()
  for n, value in ipairs(x) do
    local other = y[n]
    local is_same = value == other or (value ~= value and other ~= other)
    local is_near = math.abs(value - other) <= TOLERANCE * math.max(1, math.abs(value))
    if not (is_same or is_near) then
      return false
    end
  end
  return true
end

return match
