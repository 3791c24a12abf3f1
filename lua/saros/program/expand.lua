--- Programs for training: a fused cell that a loop leads back into is taken apart, so
--- that the loop around it is compiled as a whole. A cell outside of every loop stays
--- what it is, one operation over all steps.

local cells = require "saros.program.cells"
local program = require "saros.program.program"
local widths = require "saros.program.widths"

-- --- Loops ---------------------------------------------------------------------------------

--- The nodes that read each node: as an operand, or one step later as a state.
local function readers_of(data)
  local readers, readers_of_state = {}, {}
  for n, node in ipairs(data.nodes) do
    readers[n - 1] = readers[n - 1] or {}
    for _, operand in ipairs(node["in"] or {}) do
      table.insert(readers[operand], n - 1)
    end
    if node.op == "state" then
      readers_of_state[node.state] = readers_of_state[node.state] or {}
      table.insert(readers_of_state[node.state], n - 1)
    end
  end
  for s, state in ipairs(data.states) do
    local list = readers[state.next]
    table.move(readers_of_state[s - 1] or {}, 1, #(readers_of_state[s - 1] or {}), #list + 1, list)
  end
  return readers
end

--- True if what a node computes comes back to it.
local function is_in_loop(readers, node)
  local seen, pending = {}, { node }
  while #pending > 0 do
    for _, reader in ipairs(readers[table.remove(pending)]) do
      if reader == node then
        return true
      elseif not seen[reader] then
        seen[reader] = true
        pending[#pending + 1] = reader
      end
    end
  end
  return false
end

--- The nodes that keep states by themselves within a loop, by number.
local function keepers_in_loops(data)
  local list, readers = {}, nil
  for n, node in ipairs(data.nodes) do
    if node.op ~= "state" and (node.states or node.state) then
      readers = readers or readers_of(data)
      list[n - 1] = is_in_loop(readers, n - 1) or nil
    end
  end
  return list
end

-- --- Nodes ----------------------------------------------------------------------------------

local Builder = { trains = true }
Builder.__index = Builder
Builder.part = cells.part

--- Add a node; its fields are those of the table, and `facts` help to find its width.
function Builder:add(op, inputs, fields, facts)
  local node = { op = op, inputs = inputs, fields = fields or {}, number = #self.nodes }
  for _, source in ipairs { node.fields, facts or {} } do
    for name, value in pairs(source) do
      node[name] = value
    end
  end
  node.width = widths.of(node)
  self.nodes[#self.nodes + 1] = node
  return node
end

function Builder:constant(tensor)
  return self:add("constant", {}, { value = tensor:item() })
end

local function copied(self, given, inputs)
  local fields = {}
  for name, value in pairs(given) do
    fields[name] = name ~= "op" and name ~= "in" and name ~= "is_step" and value or nil
  end
  return self:add(given.op, inputs, fields, widths.facts(self.data, given, inputs))
end

local function taken_apart(self, given, inputs)
  local parameters, states = {}, {}
  for n, name in ipairs(given.with) do
    parameters[name] = inputs[n + 1]
  end
  for n, state in ipairs(given.states) do
    states[n] = self.states[state + 1]
  end
  return cells.cell(self, given, inputs[1], parameters, states)
end

--- A node of the table.
local function row_of(node)
  local row = { op = node.op }
  for name, value in pairs(node.fields) do
    row[name] = name ~= "title" and value or nil
  end
  row.state = type(row.state) == "table" and row.state.number or row.state
  for n, input in ipairs(node.inputs) do
    row["in"] = row["in"] or {}
    row["in"][n] = input.number
  end
  return row
end

-- --- The whole --------------------------------------------------------------------------------

--- A copy of a table with some fields replaced.
local function with(given, fields)
  local copy = {}
  for _, source in ipairs { given, fields } do
    for name, value in pairs(source) do
      copy[name] = value
    end
  end
  return copy
end

local function read_nodes(self, apart)
  for n, given in ipairs(self.data.nodes) do
    local inputs = {}
    for k, operand in ipairs(given["in"] or {}) do
      inputs[k] = self.became[operand]
    end
    self.became[n - 1] = (apart[n - 1] and taken_apart or copied)(self, given, inputs)
  end
end

--- What state n becomes: what its cell says, if that was taken apart.
local function next_of(self, n, given, apart)
  for _, s in ipairs(apart[given.next] and self.data.nodes[given.next + 1].states or {}) do
    if s == n - 1 then
      return self.states[n].next
    end
  end
  return self.became[given.next]
end

local function take_apart(data, apart)
  local self = setmetatable({ data = data, nodes = {}, states = {}, became = {} }, Builder)
  for n, state in ipairs(data.states) do
    self.states[n] = { number = n - 1, width = state.width }
  end
  read_nodes(self, apart)
  local nodes, states, outputs = {}, {}, {}
  for n, node in ipairs(self.nodes) do
    nodes[n] = row_of(node)
  end
  for n, given in ipairs(data.states) do
    local first = given.first and self.became[given.first].number
    states[n] = with(given, { next = next_of(self, n, given, apart).number, first = first })
  end
  for n, given in ipairs(data.outputs) do
    outputs[n] = with(given, { node = self.became[given.node].number })
  end
  return program.new(with(data, { nodes = nodes, states = states, outputs = outputs }))
end

local expand = {}

--- What in a program is slow, and why; nil if nothing is.
---@param data saros.Program
---@return string?
function expand.slow(data)
  for n in pairs(keepers_in_loops(data)) do
    local node = data.nodes[n + 1]
    if node.op ~= "cell" or not cells.is_differentiable(node.cell) then
      return ("program: a loop with %s in it runs by ordinary operations, step by step: the compiled one has no %s")
        :format(node.cell or node.op, node.cell or node.op)
    end
  end
end

--- The program with the cells of its loops taken apart; itself if there are none.
---@param data saros.Program
---@return saros.Program
function expand.cells(data)
  local apart, any = {}, false
  for n in pairs(keepers_in_loops(data)) do
    local node = data.nodes[n + 1]
    apart[n] = node.op == "cell" and cells.is_differentiable(node.cell) or nil
    any = any or apart[n] or false
  end
  return any and take_apart(data, apart) or data
end

--- True if something else reads a state that a node keeps by itself.
local function is_read(read, node)
  for _, s in ipairs(node.op ~= "state" and (node.states or { node.state }) or {}) do
    if read[s] then
      return true
    end
  end
  return false
end

--- The program of a trace without cells that are no operation over all steps: those
--- whose states something else in the step reads or changes, and those called once a
--- step with a mask of dropout for each call. They are taken apart. In a loop any cell
--- is called once a step.
---@param data saros.Program
---@return saros.Program
---@return string? stuck  what else keeps a state that is read or changed
function expand.steps(data)
  local apart, read, any, loops = {}, {}, false, nil
  for _, node in ipairs(data.nodes) do
    read[node.op == "state" and node.state or -1] = true
  end
  read[-1] = nil
  for n, node in ipairs(data.nodes) do
    local reads = node.is_apart or is_read(read, node)
    if reads and not (node.op == "cell" and cells.is_differentiable(node.cell)) then
      return data, node.cell or node.op
    elseif reads or node.is_step then
      loops, any = loops or keepers_in_loops(data), true
      apart[n - 1] = reads or not loops[n - 1]
    end
  end
  return any and take_apart(data, apart) or data
end

return expand
