--- Which nodes of a program are computed in which pass over a sequence. States that
--- walk from the first step to the last are in passes 0, 2, ..., those that walk back
--- in passes 1, 3, ...; what one pass leaves for a later one is kept for all steps.

local options = require "saros.options"
local schedule = require "saros.export.schedule"

---@class saros.export.Pass
---@field nodes saros.export.Node[]
---@field states saros.export.State[]
---@field outputs { name: string, node: saros.export.Node }[]
---@field keeps saros.export.Node[]  what later passes read
---@field reads saros.export.Node[]  what earlier passes have kept
---@field back boolean

local root = schedule.root

--- The first pass from p on that walks as a state does.
local function from(p, state)
  return (p % 2 == 1) == (state.reverse or false) and p or p + 1
end

--- Raise the pass of a node to what its operands and its states ask for.
local function raise(node, at, pass_of)
  local p = at[node] or 0
  for _, input in ipairs(node.inputs) do
    p = math.max(p, at[input] or 0)
  end
  for _, state in ipairs(node.owns or {}) do
    p = from(p, state)
  end
  local state = node.state
  if state then
    p = from(math.max(p, pass_of[state] or 0, state.next and at[state.next] or 0), state)
    pass_of[state] = p
  end
  local changed = p ~= at[node]
  at[node] = p
  return changed
end

local function earliest(nodes)
  local at, pass_of, changed, rounds = {}, {}, true, 0
  while changed do
    changed, rounds = false, rounds + 1
    for _, node in ipairs(nodes) do
      changed = raise(node, at, pass_of) or changed
    end
    if rounds > 2 * #nodes + 2 then
      options.fail "export_c: expected states that go one way in each loop, got one with both directions in it"
    end
  end
  return at, pass_of
end

--- Nodes that no state holds are computed where they are first read, so that less
--- has to be kept.
local function sink(graph, at, pass_of)
  local first = {}
  local function read(node, p)
    first[node] = math.min(first[node] or p, p)
  end
  for _, state in ipairs(graph.states) do
    if state.next then
      read(state.next, pass_of[state])
    end
  end
  for _, output in ipairs(graph.outputs) do
    read(output.node, at[output.node])
  end
  for position = #graph.nodes, 1, -1 do
    local node = graph.nodes[position]
    if not (node.state or node.owns) and first[node] then
      at[node] = math.max(at[node], first[node])
    end
    for _, input in ipairs(node.inputs) do
      read(input, at[node])
    end
  end
end

--- True if a value is at hand in every pass.
local function is_everywhere(node)
  return node.tensor or node.op == "input" or node.op == "ids" or node.op == "lookup" and not schedule.is_computed(node)
end

--- Say that pass p reads a node, which may be of an earlier one.
local function note(passes, node, p, at, seen)
  node = root(node)
  if at[node] == p or is_everywhere(node) then
    return
  end
  local key = p .. tostring(node)
  if not seen[key] then
    seen[key] = true
    table.insert(passes[p].reads, node)
    if not seen[node] then
      seen[node] = true
      table.insert(passes[at[node]].keeps, node)
    end
  end
end

local function blank(count)
  local passes = {}
  for p = 0, count do
    passes[p] = { nodes = {}, states = {}, outputs = {}, keeps = {}, reads = {}, back = p % 2 == 1 }
  end
  return passes
end

--- States that a later pass reads have to be copied, as they are written over.
local function copy_states(graph, at)
  local copies, list = {}, {}
  for _, node in ipairs(graph.nodes) do
    list[#list + 1] = node
    for position, input in ipairs(node.inputs) do
      if input.op == "state" and at[input] ~= at[node] then
        local copy = copies[input]
        if not copy then
          copy = { op = "copy", inputs = { input }, width = input.width, title = input.state.name }
          copies[input], at[copy] = copy, at[input]
          table.insert(list, #list, copy)
        end
        node.inputs[position] = copy
      end
    end
  end
  graph.nodes = list
end

--- Split a graph.
---@param graph saros.export.Graph
---@return saros.export.Pass[]  those with something to do, in their order
return function(graph)
  local at, pass_of = earliest(graph.nodes)
  sink(graph, at, pass_of)
  copy_states(graph, at)
  local last = 0
  for _, p in pairs(at) do
    last = math.max(last, p)
  end
  local passes, seen = blank(last), {}
  for _, node in ipairs(graph.nodes) do
    table.insert(passes[at[node]].nodes, node)
    for _, input in ipairs(node.inputs) do
      note(passes, input, at[node], at, seen)
    end
  end
  for _, state in ipairs(graph.states) do
    local p = pass_of[state]
    if p then
      table.insert(passes[p].states, state)
      note(passes, state.next, p, at, seen)
    end
  end
  for _, output in ipairs(graph.outputs) do
    table.insert(passes[at[root(output.node)] or 0].outputs, output)
  end
  local list = {}
  for p = 0, last do
    if #passes[p].nodes + #passes[p].outputs > 0 then
      list[#list + 1] = passes[p]
    end
  end
  return list
end
