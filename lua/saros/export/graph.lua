--- A program as nodes that point at each other, ready to become C: fused cells
--- taken apart, what depends on parameters alone computed, and what nothing
--- reads left out.

local core = require "saros.core"
local fold = require "saros.export.fold"
local options = require "saros.options"
local take_apart = require "saros.program.cells"
local widths = require "saros.program.widths"

---@class saros.export.Node
---@field op string  as in a program, or "elementwise"
---@field inputs saros.export.Node[]
---@field width integer
---@field title string  of its array and its comment
---@field tensor saros.Tensor?  of what depends on parameters alone: (width)
---@field parameter string?  the name of the parameter that it is
---@field state saros.export.State?  of op "state"
---@field owns saros.export.State[]?  of "window", "attention", "delta" and cells: states that it updates itself

---@class saros.export.State
---@field name string
---@field title string?  what its layer calls it
---@field width integer
---@field first saros.Tensor?  (width); zeros without
---@field next saros.export.Node?  none where a node updates the state itself
---@field reverse boolean?
---@field held boolean?  what a value is at the end of a sequence, which no step reads

---@class saros.export.Graph
---@field nodes saros.export.Node[]  in order of evaluation
---@field inputs saros.export.Node[]  those that take something, in their order
---@field outputs { name: string, node: saros.export.Node }[]
---@field states saros.export.State[]
---@field final boolean?  do outputs come at the end of a sequence alone?
local Graph = {}
Graph.__index = Graph

-- --- Nodes ---------------------------------------------------------------------------------

local Builder = {}
Builder.__index = Builder

-- Ops that invariant operands alone do not make invariant.
local LIVE = { input = true, ids = true, state = true, window = true, attention = true, delta = true, cell = true }

local function is_invariant(node)
  if LIVE[node.op] then
    return false
  end
  for _, input in ipairs(node.inputs) do
    if not input.tensor then
      return false
    end
  end
  return true
end

--- Add a node: its operands, and its attributes by name.
---@param op string
---@param inputs saros.export.Node[]
---@param fields? table
---@return saros.export.Node
function Builder:add(op, inputs, fields)
  local node = {}
  for name, value in pairs(fields or {}) do
    node[name] = value
  end
  node.op, node.inputs = op, inputs
  node.width = widths.of(node)
  if not node.tensor and is_invariant(node) then
    node.tensor = fold(node)
  end
  self.nodes[#self.nodes + 1] = node
  return node
end

--- A tensor as a node.
---@param tensor saros.Tensor
---@param name? string  of the parameter
function Builder:constant(tensor, name)
  return self:add("constant", {}, { tensor = tensor:reshape(-1), parameter = name })
end

Builder.part = take_apart.part

-- --- From the table ------------------------------------------------------------------------

--- Attributes that a program may leave out.
local DEFAULTS = { slice = { step = 1 }, concatenate = { outer = 1 }, window = { dilation = 1 } }

local makers = {}

function makers.parameter(self, given)
  local known = self.known[given.parameter + 1]
  if not known then
    local name = self.program.parameters[given.parameter + 1].name
    known = self:constant(self.tensors[name] or options.fail(
      ("export_c: expected a tensor for each parameter, got none for %q"):format(name)), name)
    self.known[given.parameter + 1] = known
  end
  return known
end

function makers.constant(self, given)
  return self:constant(core.tensor(given.values or { given.value }))
end

function makers.state(self, given)
  return self:add("state", {}, { state = self.states[given.state + 1] })
end

--- Training alone drops.
function makers.dropout(_, _, inputs)
  return inputs[1]
end

--- The state that a node updates itself, number n of those that it names.
local function owned(self, given, n)
  local list = type(given.state) == "table" and given.state or given.states or { given.state }
  local state = self.states[list[n] + 1]
  state.owned = true
  return state
end

function makers.window(self, given, inputs)
  local ring, dilation = owned(self, given, 1), given.dilation or 1
  ring.ring = true
  return self:add("window", inputs, { owns = { ring }, dilation = dilation,
    taps = ring.width // (dilation * inputs[1].width) + 1 })
end

function makers.attention(self, given, inputs)
  local memory, seen = owned(self, given, 1), owned(self, given, 2)
  memory.ring, seen.counted = true, true
  return self:add("attention", inputs, { owns = { memory, seen }, heads = given.heads, window = given.window })
end

function makers.delta(self, given, inputs)
  return self:add("delta", inputs, { owns = { owned(self, given, 1) }, heads = given.heads,
    reflections = given.reflections or 1 })
end

--- Numbers in their own units on the scale of the net.
function makers.input(self, given)
  local x = self:add("input", {}, { name = given.name, width = given.width, title = given.name })
  self.scaled = self.before and self:add("scale", { x }, { scale = self.before, title = "scaled" })
  return self.scaled or x
end

function makers.cell(self, given, inputs)
  local parts, states = {}, {}
  if self.keeps_whole and self.keeps_whole(given, inputs) then
    for position in ipairs(given.states) do
      states[position] = owned(self, given, position)
    end
    return self:add("cell", inputs, { cell = given.cell, with = given.with, owns = states, width = states[1].width })
  end
  for position, name in ipairs(given.with) do
    parts[name] = inputs[position + 1]
  end
  for position, number in ipairs(given.states) do
    states[position] = self.states[number + 1]
  end
  return take_apart.cell(self, given, inputs[1], parts, states)
end

local function make(self, given)
  local inputs = {}
  for position, number in ipairs(given["in"] or {}) do
    inputs[position] = self.made[number]
  end
  local own = makers[given.op]
  if own then
    return own(self, given, inputs)
  end
  local fields = {}
  for _, source in ipairs { DEFAULTS[given.op] or {}, given } do
    for name, value in pairs(source) do
      fields[name] = value
    end
  end
  return self:add(given.op, inputs, fields)
end

--- Make the nodes of the program, each with a title.
local function read_nodes(self)
  for number, given in ipairs(self.program.nodes) do
    local node = make(self, given)
    node.title = node.title or node.parameter or given.name or given.cell or given.op
    self.made[number - 1] = node
  end
end

--- Where the states begin and what they become. A cell has said that itself.
local function read_states(self)
  for number, given in ipairs(self.program.states or {}) do
    local state = self.states[number]
    state.first = given.first and self.made[given.first].tensor
    if not state.owned then
      state.next = state.next or self.made[given.next]
    end
  end
end

-- --- What is read ---------------------------------------------------------------------------

local function mark(node, live)
  if live[node] then
    return
  end
  live[node] = true
  local state = node.state
  if state and state.next then
    mark(state.next, live)
  end
  for _, input in ipairs(node.inputs) do
    mark(input, live)
  end
end

--- The nodes that an output needs, and all that take something.
local function living(self, outputs)
  local live, nodes = {}, {}
  for _, output in ipairs(outputs) do
    mark(output.node, live)
  end
  for _, node in ipairs(self.nodes) do
    if live[node] or node.op == "input" or node.op == "ids" then
      nodes[#nodes + 1] = node
    end
  end
  return nodes, live
end

-- --- The end of a sequence --------------------------------------------------------------------

--- The nodes that are computed in each step: what states become, nodes with states of
--- their own, and their operands.
local function stepped(self, nodes)
  local found = {}
  local function need(node)
    if not found[node] then
      found[node] = true
      for _, input in ipairs(node.inputs) do
        need(input)
      end
    end
  end
  for _, node in ipairs(nodes) do
    if node.owns then
      need(node)
    end
  end
  for _, state in ipairs(self.states) do
    if state.next then
      need(state.next)
    end
  end
  return found
end

--- For each node of one direction, "on" or "back", and "both" behind both; and which of
--- them are no function of states at the end.
local function sides_of(self, nodes)
  local in_step, next_of, side, is_open = stepped(self, nodes), {}, {}, {}
  for _, state in ipairs(self.states) do
    next_of[state.next or false] = state
  end
  for _, node in ipairs(nodes) do
    local state = node.owns and node.owns[1] or next_of[node]
    local takes = node.op == "input" or node.op == "ids" or node.owns ~= nil
    side[node] = state and (state.reverse and "back" or "on") or nil
    for _, input in ipairs(node.inputs) do
      takes = takes or is_open[input]
      if not in_step[node] and side[input] then
        side[node] = (side[node] or side[input]) == side[input] and side[input] or "both"
      end
    end
    is_open[node] = takes and not next_of[node]
  end
  return side, is_open
end

--- What outputs at the end of a sequence read of one direction, and no state is, becomes a
--- state that no step reads: at the last step on, or at the first one back.
local function hold_ends(self, nodes, outputs, live)
  local side, is_open = sides_of(self, nodes)
  local held = {}
  local function hold(node)
    if is_open[node] and side[node] and side[node] ~= "both" and not held[node] then
      local state = { name = "end." .. (node.title or node.op):gsub("%.", "_"), width = node.width, next = node,
        reverse = side[node] == "back" or nil, held = true }
      held[node], self.states[#self.states + 1] = state, state
    end
  end
  for _, node in ipairs(nodes) do
    for _, input in ipairs(side[node] == "both" and node.inputs or {}) do
      hold(input)
    end
  end
  for _, output in ipairs(outputs) do
    hold(output.node)
  end
  for _, state in ipairs(self.states) do
    if state.next and held[state.next] == state then
      local node = { op = "state", inputs = {}, state = state, width = state.width }
      nodes[#nodes + 1], live[node] = node, true
    end
  end
end

local function living_states(self, live)
  local states, read = {}, {}
  for node in pairs(live) do
    for _, state in ipairs(node.owns or { node.state }) do
      read[state] = true
    end
  end
  for _, state in ipairs(self.states) do
    if read[state] then
      states[#states + 1] = state
    end
  end
  return states
end

--- Read a program.
---@param program table  as its JSON has it
---@param tensors table<string, saros.Tensor>  the parameters by name
---@param facts? { before: saros.export.Scale?, behind: saros.export.Ahead?, final: boolean?,
---  keeps_whole: (fun(given: table, inputs: saros.export.Node[]): boolean)? }  true for a cell that stays one node
---@return saros.export.Graph
local function read(program, tensors, facts)
  local self = setmetatable({ program = program, tensors = tensors, nodes = {}, made = {}, known = {}, states = {},
    before = facts and facts.before, keeps_whole = facts and facts.keeps_whole }, Builder)
  for number, given in ipairs(program.states or {}) do
    self.states[number] = { name = given.name, width = given.width, reverse = given.reverse or nil,
      path = given.path, title = given.title }
  end
  read_nodes(self)
  read_states(self)
  local outputs, inputs = {}, {}
  for position, given in ipairs(program.outputs) do
    local node, behind = self.made[given.node], facts and facts.behind
    node = behind and self:add("ahead", { node, behind.places and self.scaled }, { scale = behind, title = "ahead" })
      or node
    outputs[position] = { name = given.name, node = node }
  end
  local nodes, live = living(self, outputs)
  if facts and facts.final then
    hold_ends(self, nodes, outputs, live)
  end
  for _, node in ipairs(nodes) do
    if node.op == "input" or node.op == "ids" then
      inputs[#inputs + 1] = node
    end
  end
  return setmetatable({ nodes = nodes, inputs = inputs, outputs = outputs, states = living_states(self, live),
    final = facts and facts.final }, Graph)
end

return read
