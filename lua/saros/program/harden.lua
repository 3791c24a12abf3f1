--- Programs whose finite states are soft, made hard. A soft state is multiplied by a softmax
--- at each step; the hard one by one-hots of what is largest (saros.program.rules.layers):
---
---     softmax --> lookup --> expand --> matvec, transposed --> state
---                 of ids     of pointers       ^                  |
---                                              +------------------+

local first_largest = require "saros.program.first_largest"
local program = require "saros.program.program"

--- The node that a look-up or copies of a node are made from.
local function source_of(data, n)
  local node = data.nodes[n + 1]
  if node.op == "lookup" then
    return source_of(data, node["in"][2])
  elseif node.op == "expand" then
    return source_of(data, node["in"][1])
  end
  return n, node
end

--- The softmax that makes the functions of a state, if a node steps a soft one.
local function softmax_of(data, n)
  local node = data.nodes[n + 1]
  local state = node.op == "matvec" and node.transposed and data.nodes[node["in"][2] + 1]
  if not state or state.op ~= "state" or data.states[state.state + 1].next ~= n then
    return nil
  end
  local at, source = source_of(data, node["in"][1])
  return source.op == "softmax" and source.inner == 1 and source.n == node.rows and node.rows == node.columns and at
    or nil
end

local Copy = {}
Copy.__index = Copy

function Copy:node(op, operands, attributes)
  local node = { op = op, ["in"] = operands }
  for name, value in pairs(attributes) do
    node[name] = value
  end
  self.nodes[#self.nodes + 1] = node
  return #self.nodes - 1
end

function Copy:scalar(value)
  return self:node("constant", nil, { value = value + 0.0 })
end

--- A node, but for those that it reads.
local function copied(copy, node, became)
  local operands, attributes = node["in"] and {}, {}
  for k, operand in ipairs(node["in"] or {}) do
    operands[k] = became[operand]
  end
  for name, value in pairs(node) do
    attributes[name] = name ~= "op" and name ~= "in" and value or nil
  end
  return copy:node(node.op, operands, attributes)
end

--- A table whose fields of these names are nodes, with what they became.
local function renumbered(given, became, names)
  local new = {}
  for name, value in pairs(given) do
    new[name] = names[name] and became[value] or value
  end
  return new
end

local STATE, OUTPUT = { first = true, next = true }, { node = true }

--- The program with hard states; itself, if none is soft.
---@param data saros.Program
---@return saros.Program
return function(data)
  local soft, copy, became = {}, setmetatable({ nodes = {} }, Copy), {}
  for n in ipairs(data.nodes) do
    soft[softmax_of(data, n - 1) or false] = true
  end
  soft[false] = nil
  if not next(soft) then
    return data
  end
  for n, node in ipairs(data.nodes) do
    became[n - 1] = soft[n - 1] and first_largest(copy, became[node["in"][1]], node.outer, node.n)
      or copied(copy, node, became)
  end
  local new = renumbered(data, became, {})
  new.nodes, new.states, new.outputs = copy.nodes, {}, {}
  for n, state in ipairs(data.states) do
    new.states[n] = renumbered(state, became, STATE)
  end
  for n, output in ipairs(data.outputs) do
    new.outputs[n] = renumbered(output, became, OUTPUT)
  end
  return program.new(new)
end
