--- A program inside another one. When the trace of a module calls a module that is made
--- of a program, the nodes of that program are copied into the trace.

local layout = require "saros.program.layout"
local widths = require "saros.program.widths"

---@class saros.program.Inlined
---@field parameters table<string, saros.Tensor>  by the names that the program has for them
---@field inputs table<string, saros.Tensor>  (T, B, width), or ids (T, B)
---@field states { [1]: saros.Tensor?, [2]: saros.Tensor }[]  (B, ...) before (nil: what they are at first) and after
---@field outputs table<string, saros.Tensor>  (T, B, width)

---@class saros.program.Inlining
---@field t saros.program.Recorder
---@field program saros.Program
---@field given saros.program.Inlined
---@field became table<integer, integer>  the program's nodes in the trace
local Inlining = {}
Inlining.__index = Inlining

--- The width of a node of a program, whose operands are these nodes of the trace.
local function width_of(t, program, given, operands)
  local inputs = {}
  for k, operand in ipairs(operands) do
    inputs[k] = { width = t.widths[operand], count = t.nodes[operand + 1].count }
  end
  local facts = widths.facts(program, given, inputs)
  return widths.of(setmetatable(facts, { __index = given }))
end

-- --- Nodes ----------------------------------------------------------------------------------

--- The position of the first state that a node keeps to itself; nil if it keeps none.
local function first_kept(program, n)
  local node = program.nodes[n + 1]
  return node.op == "cell" and node.states[1] + 1 or nil
end

local function whole(t, x)
  local value = t:value(x)
  return t:spread("a program", value, value.axes)
end

--- What a state is before the step: given, or what it is at first.
function Inlining:before(s)
  local before, state = self.given.states[s + 1][1], self.program.states[s + 1]
  if before then
    return whole(self.t, before)
  end
  local first = state.first and self:node(state.first) or self.t:scalar(0.0)
  return self.t:widened(first, state.width)
end

--- A state that a node keeps to itself: its tensors, and where it begins without one.
function Inlining:kept(s)
  local state, pair = self.program.states[s + 1], self.given.states[s + 1]
  return { pair[1], pair[2], width = state.width, name = state.name, reverse = state.reverse,
    first = not pair[1] and state.first and self:node(state.first) or nil }
end

local OWN = { op = true, ["in"] = true, state = true, states = true }

function Inlining:copy(node)
  local t, operands, fields, states = self.t, {}, {}, {}
  for k, operand in ipairs(node["in"] or {}) do
    operands[k] = self:node(operand)
  end
  for name, value in pairs(node) do
    fields[name] = not OWN[name] and value or nil
  end
  if t.is_step then -- masks for all steps of a call are those of one step
    fields.shared, fields.is_step = nil, node.op == "cell" and node.dropout ~= nil or nil
  end
  for k, s in ipairs(node.states or { node.state }) do
    states[k] = self:kept(s)
  end
  return t:keeping_node(node.op, operands, fields, width_of(t, self.program, node, operands), states)
end

--- The node of the trace that a node of the program is.
function Inlining:node(n)
  local node = self.program.nodes[n + 1]
  if not self.became[n] then
    local t, given = self.t, self.given
    self.became[n] = (node.op == "input" or node.op == "ids") and whole(t, given.inputs[node.name])
      or node.op == "parameter" and whole(t, given.parameters[self.program.parameters[node.parameter + 1].name])
      or node.op == "state" and self:before(node.state)
      or self:copy(node)
  end
  return self.became[n]
end

--- Bind the outputs, and the states that no node keeps to itself.
function Inlining:bind_all(rows)
  local t = self.t
  for _, output in ipairs(self.program.outputs) do
    local y = self.given.outputs[output.name]
    t:bind(y, t:as(self:node(output.node), t:output_axes(rows, y:size(-1))))
  end
  local of_state = layout.copy(rows)
  table.remove(of_state, 1)
  for n, state in ipairs(self.program.states) do
    local after, node = self.given.states[n][2], self:node(state.next)
    if not t.kept_by[after] then
      t:bind(after, t:as(t:widened(node, state.width), t:output_axes(of_state, state.width)))
    elseif t.kept_by[after] and t.widths[node] == state.width and n == first_kept(self.program, state.next) then
      t.bound[after] = t:as(node, t:output_axes(of_state, state.width))
    end
  end
end

--- Add the nodes of a program and bind its outputs and states.
---@param t saros.program.Recorder
---@param program saros.Program
---@param given saros.program.Inlined
return function(t, program, given)
  local self = setmetatable({ t = t, program = program, given = given, became = {} }, Inlining)
  local _, x = next(given.inputs)
  local value = t:value(x)
  local rows = layout.copy(value.axes)
  if x:dtype() == "ids" then
    rows[#rows + 1] = {}
  end
  self:bind_all(rows)
end
