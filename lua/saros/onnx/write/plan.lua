--- Which nodes of a program go where in a graph of ONNX. What a state's new value reaches from its
--- old one is a loop, which becomes a Scan; everything else is computed for all steps at once. A
--- layer that ONNX has is an operator, with both directions of it in one.

---@class saros.onnx.Part
---@field nodes saros.export.Node[]  in order of evaluation
---@field kind "steps"|"operator"|"loop"  over all steps at once, one operator, or step by step
---@field states saros.export.State[]  of a loop
---@field reverse boolean

---@class saros.onnx.Plan
---@field parts saros.onnx.Part[]  in order of evaluation
---@field part_of table<saros.export.Node, saros.onnx.Part>
---@field state_node table<saros.export.State, saros.export.Node>  the node that reads a state
---@field owner table<saros.export.State, saros.onnx.Part>
---@field needed table<saros.export.Node, true>  what is read over all steps outside of its own part
---@field is_needed table<saros.onnx.Part, true>

-- --- Nodes that depend on each other ----------------------------------------------------------------

--- One node for each state, in place of all that read it.
local function unify_states(graph)
  local of = {}
  local function only(node)
    if node and node.op == "state" then
      of[node.state] = of[node.state] or node
      return of[node.state]
    end
    return node
  end
  for _, node in ipairs(graph.nodes) do
    for position, input in ipairs(node.inputs) do
      node.inputs[position] = only(input)
    end
  end
  for _, state in ipairs(graph.states) do
    state.next = only(state.next)
  end
  for _, output in ipairs(graph.outputs) do
    output.node = only(output.node)
  end
  for _, node in ipairs(graph.nodes) do
    only(node)
  end
  return of
end

--- What a node reads, of this step or of the one before.
local function read_by(node)
  if node.op == "state" then
    return { node.state.next }
  end
  return node.inputs
end

--- The strongly connected components, each behind those that it reads (Tarjan 1972).
---@param nodes saros.export.Node[]
---@return saros.export.Node[][]
local function components(nodes)
  local index, low, on, stack, list, count = {}, {}, {}, {}, {}, 0
  local function visit(node)
    count = count + 1
    index[node], low[node], on[node] = count, count, true
    stack[#stack + 1] = node
    for _, other in ipairs(read_by(node)) do
      if not index[other] then
        visit(other)
      end
      if on[other] then
        low[node] = math.min(low[node], low[other])
      end
    end
    if low[node] == index[node] then
      local own = {}
      repeat
        local last = table.remove(stack)
        on[last], own[#own + 1] = nil, last
      until last == node
      list[#list + 1] = own
    end
  end
  for _, node in ipairs(nodes) do
    if not index[node] then
      visit(node)
    end
  end
  return list
end

-- --- Parts -------------------------------------------------------------------------------------------

-- Nodes that keep states by themselves, but can be cut from a whole sequence.
local CUT = { window = true, attention = true }

--- What a node alone is.
local function kind_of(node, by_step)
  if node.op == "cell" then
    return "operator"
  elseif node.op == "delta" or by_step and (CUT[node.op] or node.op == "state") then
    return "loop"
  end
  return "steps"
end

local function states_of(nodes)
  local list, seen = {}, {}
  for _, node in ipairs(nodes) do
    for _, state in ipairs(node.owns or { node.state }) do
      if not seen[state] then
        seen[state], list[#list + 1] = true, state
      end
    end
  end
  return list
end

--- The other direction of a layer that came before.
local function find_twin(layers, node)
  for _, part in ipairs(layers) do
    local other = part.nodes[1]
    if #part.nodes == 1 and other.cell == node.cell and other.inputs[1] == node.inputs[1]
      and other.owns[1].reverse ~= node.owns[1].reverse and other.width == node.width
      and table.concat(other.with, " ") == table.concat(node.with, " ") then
      return part
    end
  end
end

local function make_parts(graph, by_step)
  local place, parts, layers = {}, {}, {}
  for n, node in ipairs(graph.nodes) do
    place[node] = n
  end
  for _, nodes in ipairs(components(graph.nodes)) do
    table.sort(nodes, function(a, b) return (place[a] or 0) < (place[b] or 0) end)
    local kind = #nodes > 1 and "loop" or kind_of(nodes[1], by_step)
    local twin = kind == "operator" and find_twin(layers, nodes[1])
    if twin then
      table.insert(twin.nodes, nodes[1].owns[1].reverse and 2 or 1, nodes[1])
      twin.states = states_of(twin.nodes)
    else
      local part = { nodes = nodes, kind = kind, states = states_of(nodes) }
      part.reverse = part.states[1] and part.states[1].reverse or false
      parts[#parts + 1] = part
      layers[#layers + 1] = kind == "operator" and part or nil
    end
  end
  return parts
end

-- --- What is needed -----------------------------------------------------------------------------------

local Plan = {}
Plan.__index = Plan

--- What a part reads of others, each value once.
---@return saros.export.Node[]
function Plan:reads_of(part)
  local list, seen = {}, {}
  local function read(node)
    if node and not node.tensor and self.part_of[node] ~= part and not seen[node] then
      seen[node], list[#list + 1] = true, node
    end
  end
  for _, node in ipairs(part.nodes) do
    for _, input in ipairs(node.inputs) do
      read(input)
    end
    if node.op == "state" then
      read(node.state.next)
    end
  end
  return list
end

local function need_part(self, part)
  if self.is_needed[part] then
    return
  end
  self.is_needed[part] = true
  for _, node in ipairs(self:reads_of(part)) do
    self:need(node)
  end
end

--- Says that a value is read over all steps.
---@param node saros.export.Node
function Plan:need(node)
  if not node.tensor then
    self.needed[node] = true
    need_part(self, self.part_of[node])
  end
end

--- Says that what a state is at the end is read.
---@param state saros.export.State
function Plan:need_last(state)
  local part = self.owner[state]
  if part and (self.by_step or not state.held) then
    need_part(self, part)
  elseif state.next then
    self:need(state.next)
  end
end

--- The plan of a graph.
---@param graph saros.export.Graph
---@param by_step boolean  are windows and delays kept step by step, as where rows end early?
---@return saros.onnx.Plan
return function(graph, by_step)
  local state_node = unify_states(graph)
  local self = setmetatable({ state_node = state_node, parts = make_parts(graph, by_step), part_of = {}, owner = {},
    needed = {}, is_needed = {}, by_step = by_step }, Plan)
  for _, part in ipairs(self.parts) do
    for _, state in ipairs(part.states) do
      self.owner[state] = part
    end
    for _, node in ipairs(part.nodes) do
      self.part_of[node] = part
    end
  end
  return self
end
