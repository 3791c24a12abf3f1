--- The graph of a program: inputs, states and outputs by name, and between them its nodes.

local Builder = require "saros.onnx.write.builder"
local keepers = require "saros.onnx.write.keepers"
local layer = require "saros.onnx.write.layer"
local plan_of = require "saros.onnx.write.plan"
local prune = require "saros.onnx.write.prune"
local rules = require "saros.onnx.write.rules"
local write_loop = require "saros.onnx.write.loop"

--- What is in the way of writing.
---@class saros.onnx.Writing
---@field b saros.onnx.Builder  over all steps
---@field graph saros.export.Graph
---@field plan saros.onnx.Plan
---@field o table  options
---@field inputs table[]  ValueInfos
---@field mask string?  (T, rows, 1), true before a row's end
---@field lengths string?

-- --- Inputs ------------------------------------------------------------------------------------------

--- The name of a state with what its layer calls it in place of a number: "1.h" for "1.1".
local function plain_name(state)
  local path = state.title and state.name:match "^(.*%.)%d+$" or state.title and state.name:match "^%d+$" and ""
  return path and path .. state.title or state.name
end

local function reserve_names(b, graph, o)
  for _, node in ipairs(graph.inputs) do
    node.full = b:name(node.name)
  end
  for _, output in ipairs(graph.outputs) do
    output.full = b:name(output.name)
  end
  for _, state in ipairs(o.states and graph.states or {}) do
    if not state.held then
      local name = plain_name(state)
      state.input, state.output = b:name("state." .. name), b:name("next_state." .. name)
    end
  end
end

local function lead_dims(o, width)
  local dims = o.batch_first and { "batch", "time" } or { "time", "batch" }
  dims[3] = width
  return dims
end

--- Axes of time and rows changed, if the caller's have rows first.
local function turned(self, x, rank)
  return self.o.batch_first and self.b:op("Transpose", { x }, { perm = rank == 3 and { 1, 0, 2 } or { 1, 0 } }) or x
end

local function add_inputs(self)
  local b = self.b
  for _, node in ipairs(self.graph.inputs) do
    local width = node.op == "input" and node.width or nil
    self.inputs[#self.inputs + 1] = b.info(node.full, width and b.FLOAT or b.INT64, lead_dims(self.o, width))
    b.values[node] = turned(self, node.full, width and 3 or 2)
  end
  local first = b.values[self.graph.inputs[1]]
  local sizes = b:op("Shape", { first })
  b.lead_shape, b.shared.batch = b:slice(sizes, 0, 0, 2), b:slice(sizes, 0, 1, 2)
  for _, state in ipairs(self.graph.states) do
    if state.input then
      self.inputs[#self.inputs + 1] = b.info(state.input, b.FLOAT, { "batch", state.width })
      b.states[state] = state.input
    end
  end
end

--- True before the end of each row. What stands behind it reaches no state, and no output.
local function add_lengths(self)
  local b = self.b
  self.lengths = b:name "lengths"
  self.inputs[#self.inputs + 1] = b.info(self.lengths, b.INT32, { "batch" })
  local T = b:op("Squeeze", { b:slice(b.lead_shape, 0, 0, 1), b:integers { 0 } })
  local steps = b:op("Range", { b:integer(0), T, b:integer(1) })
  local ends = b:op("Cast", { self.lengths }, { to = b.INT64 })
  local counts = b:op("Less", { b:op("Unsqueeze", { steps, b:integers { 1 } }), ends })
  self.mask = b:op("Unsqueeze", { counts, b:integers { -1 } })
end

-- --- Nodes -------------------------------------------------------------------------------------------

--- What a state was one step before, where no loop leads back to it.
local function delayed(b, state)
  local first, x = b:op("Unsqueeze", { b:before(state), b:integers { 0 } }), b:spread(state.next)
  if state.reverse then
    return b:slice(b:op("Concat", { x, first }, { axis = 0 }), 0, 1, b.END)
  end
  return b:slice(b:op("Concat", { first, x }, { axis = 0 }), 0, 0, -1)
end

local function emit(b, node)
  if node.tensor or b.values[node] then
    return
  elseif node.op == "state" then
    b.values[node] = b.states[node.state] and b.lead == 1 and b.states[node.state] or delayed(b, node.state)
    return
  end
  local rule = rules[node.op] or keepers[node.op]
  if not rule then
    b:refuse(node, "an operation that files have no operator for")
    b.values[node] = ""
    return
  end
  b.values[node] = rule(b, node)
end

local function write_part(self, part)
  if part.kind == "loop" then
    write_loop(self.b, part, self.plan, emit, self.mask)
  elseif part.kind == "operator" then
    layer.write(self.b, part.nodes, self.lengths)
  else
    emit(self.b, part.nodes[1])
  end
end

--- What a state is at the end, (rows, width).
local function last_of(self, state)
  local b = self.b
  if not b.after[state] then
    local x = b:spread(state.next)
    local step = state.reverse and b:slice(x, 0, 0, 1) or b:slice(x, 0, -1, b.END)
    b:keep(state, b:op("Squeeze", { step, b:integers { 0 } }))
  end
  return b.after[state]
end

-- --- What comes out ------------------------------------------------------------------------------------

--- Visits what outputs at the end of a sequence are made of: states(state), then nodes.
local function walk_end(self, visit_state, visit)
  local next_of, seen = {}, {}
  for _, state in ipairs(self.graph.states) do
    next_of[state.next or false] = state
  end
  local function walk(node)
    if seen[node] or node.tensor then
      return
    end
    seen[node] = true
    local state = next_of[node] or node.op == "state" and node.state
    if state then
      visit_state(node, state)
      return
    end
    for _, input in ipairs(node.inputs) do
      walk(input)
    end
    visit(node)
  end
  for _, output in ipairs(self.graph.outputs) do
    walk(output.node)
  end
end

--- Says what has to be written.
local function find_needs(self)
  local plan = self.plan
  if self.graph.final then
    walk_end(self, function(_, state) plan:need_last(state) end, function() end)
  else
    for _, output in ipairs(self.graph.outputs) do
      plan:need(output.node)
    end
  end
  for _, state in ipairs(self.graph.states) do
    if state.output then
      plan:need_last(state)
    end
  end
end

local function add_output(self, list, name, x, dims)
  self.b:op("Identity", { x }, nil, { name })
  list[#list + 1] = self.b.info(name, self.b.FLOAT, dims)
end

local function add_outputs_at_end(self, list)
  local at_end = Builder.new(self.b.shared, 1, self.b.nodes)
  at_end.lead_shape = self.b.shared.batch
  walk_end(self, function(node, state)
    at_end.values[node] = last_of(self, state)
  end, function(node)
    emit(at_end, node)
  end)
  for _, output in ipairs(self.graph.outputs) do
    add_output(self, list, output.full, at_end:spread(output.node), { "batch", output.node.width })
  end
end

local function add_outputs(self, list)
  local b = self.b
  for _, output in ipairs(self.graph.outputs) do
    local y = b:spread(output.node)
    y = self.mask and b:op("Where", { self.mask, y, b:number(0) }) or y
    add_output(self, list, output.full, turned(self, y, 3), lead_dims(self.o, output.node.width))
  end
end

--- How often each node is read.
local function readers_of(graph)
  local count = setmetatable({}, { __index = function() return 0 end })
  for _, node in ipairs(graph.nodes) do
    for _, input in ipairs(node.inputs) do
      count[input] = count[input] + 1
    end
  end
  return count
end

--- The graph of a program.
---@param graph saros.export.Graph
---@param o { opset: integer, states: boolean, lengths: boolean, batch_first: boolean }
---@return table graph  GraphProto
---@return string[] problems  what cannot be written
return function(graph, o)
  local shared = { opset = o.opset, initializers = {}, known = {}, taken = {}, problems = {} }
  local self = { b = Builder.new(shared, 2), graph = graph, o = o, inputs = {}, plan = plan_of(graph, o.lengths) }
  shared.readers, shared.first = readers_of(graph), graph.inputs[1]
  reserve_names(self.b, graph, o)
  add_inputs(self)
  if o.lengths then
    add_lengths(self)
  end
  find_needs(self)
  for _, part in ipairs(self.plan.parts) do
    if self.plan.is_needed[part] then
      write_part(self, part)
    end
  end
  local outputs = {}
  local add = graph.final and add_outputs_at_end or add_outputs
  add(self, outputs)
  for _, state in ipairs(graph.states) do
    if state.output then
      add_output(self, outputs, state.output, last_of(self, state), { "batch", state.width })
    end
  end
  return prune { name = "main", node = self.b.nodes, initializer = shared.initializers, input = self.inputs,
    output = outputs }, shared.problems
end
