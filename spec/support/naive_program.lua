-- A program over a sequence in the plainest way: a value of a node at a step is
-- asked for, and asks for what it is made of. Works for states in both directions.

local core = require "saros.core"
local rules = require "spec.support.node_rules"

local naive = {}

local function map(list, rule)
  local y = {}
  for i, x in ipairs(list) do
    y[i] = rule(x, i)
  end
  return y
end

-- --- Nodes that know the past -----------------------------------------------------------------

local past = {}

function past.state(self, node, t)
  local state = self.program.states[node.state + 1]
  local before = t + (state.reverse and 1 or -1)
  if before < 1 or before > self.T then
    return state.first and self:value(state.first, t) or map(self.blank[state.width], function(x) return x end)
  end
  local value = self:value(state.next, before)
  local maker = self.program.nodes[state.next + 1]
  if maker.op == "cell" then
    for position, number in ipairs(maker.states) do
      if number == node.state then
        return self.of_cell[value][position]
      end
    end
  end
  return value
end

function past.window(self, node, t)
  local x = node["in"][1]
  local width, d = #self:value(x, t), node.dilation or 1
  local taps = self.program.states[node.state + 1].width // (width * d) + 1
  local y = {}
  for back = taps - 1, 0, -1 do
    local value = t - back * d >= 1 and self:value(x, t - back * d) or self.blank[width]
    table.move(value, 1, width, #y + 1, y)
  end
  return y
end

function past.attention(self, node, t)
  local ins = node["in"]
  local q, distance = self:value(ins[1], t), self:value(ins[4], t)
  local heads, W = node.heads, node.window
  local d, y = #q // heads, {}
  for h = 0, heads - 1 do
    local scores, seen = {}, math.min(t, W)
    for back = 0, seen - 1 do
      local k, sum = self:value(ins[2], t - back), 0
      for i = 1, d do
        sum = sum + q[h * d + i] * k[h * d + i]
      end
      scores[back + 1] = sum / math.sqrt(d) + distance[h * W + W - back]
    end
    local weights = rules.softmax({ outer = 1, n = seen, inner = 1 }, scores)
    for i = 1, d do
      local sum = 0
      for back = 0, seen - 1 do
        sum = sum + weights[back + 1] * self:value(ins[3], t - back)[h * d + i]
      end
      y[#y + 1] = sum
    end
  end
  return y
end

--- The matrices of a delta node after step t.
local function matrices(self, number, node, t)
  local state, key = self.program.states[node.states[1] + 1], number * 1000 + t
  if t < 1 or t > self.T then
    return state.first and self:value(state.first, 1) or self.blank[state.width]
  elseif not self.of_delta[key] then
    local before = matrices(self, number, node, t + (state.reverse and 1 or -1))
    local operands = map(node["in"], function(input) return self:value(input, t) end)
    local y, after = rules.delta(node, before, table.unpack(operands))
    self.of_delta[key] = { after, y = y }
  end
  return self.of_delta[key][1]
end

function past.delta(self, node, t, number)
  matrices(self, number, node, t)
  return self.of_delta[number * 1000 + t].y
end

-- By the core's own walk over one step.
function past.cell(self, node, t)
  local before, parameters, states, mixed = {}, {}, {}, {}
  for position, name in ipairs(node.with) do
    local shape = self.program.parameters[self.program.nodes[node["in"][position + 1] + 1].parameter + 1].shape
    parameters[name] = core.tensor(self:value(node["in"][position + 1], t)):reshape(shape)
  end
  for position, number in ipairs(node.states) do
    before[position] = past.state(self, { state = number }, t)
    states[position] = core.tensor(before[position]):reshape(1, -1)
  end
  local x = core.tensor(self:value(node["in"][1], t)):reshape(1, 1, -1)
  local _, last = core.recurrent(node.cell, x, states, parameters)
  for position in ipairs(states) do
    local p = node.zoneout and node.zoneout[position] or 0
    mixed[position] = map(last[position]:reshape(-1):totable(), function(v, i)
      return (1 - p) * v + p * before[position][i]
    end)
  end
  self.of_cell[mixed[1]] = mixed
  return mixed[1]
end

-- --- Walking -----------------------------------------------------------------------------------

local Walk = {}
Walk.__index = Walk

function Walk:value(number, t)
  local key = number * 1000 + t
  local known = self.known[key]
  if known then
    return known
  end
  local node = self.program.nodes[number + 1]
  local made
  if node.op == "input" or node.op == "ids" then
    made = self.inputs[node.name][t]
    made = type(made) == "table" and made or { made }
  elseif node.op == "parameter" then
    made = self.parameters[self.program.parameters[node.parameter + 1].name]:reshape(-1):totable()
  elseif node.op == "constant" then
    made = node.values or { node.value }
  elseif past[node.op] then
    made = past[node.op](self, node, t, number)
  else
    local operands = map(node["in"], function(input) return self:value(input, t) end)
    local fields = node.op == "lookup" and self.program.nodes[node["in"][1] + 1] or node
    made = rules[node.op](fields, table.unpack(operands))
  end
  self.known[key] = made
  return made
end

-- What a program's outputs are at the T steps of its inputs: by name, lists of rows. Ids
-- count from 0.
function naive.run(program, parameters, inputs, T)
  local self = setmetatable({ program = program, parameters = parameters, inputs = inputs, T = T, known = {},
    of_cell = {}, of_delta = {}, blank = setmetatable({}, { __index = function(_, n)
      local zeros = {}
      for i = 1, n do
        zeros[i] = 0
      end
      return zeros
    end }) }, Walk)
  local outputs = {}
  for _, output in ipairs(program.outputs) do
    outputs[output.name] = {}
    for t = 1, T do
      outputs[output.name][t] = self:value(output.node, t)
    end
  end
  return outputs
end

return naive
