--- What a graph computes over a sequence, in plain operations on tensors: for the test
--- of a file whose weights are rounded to 8 bits, if no session steps it. A value of a node at a step is asked
--- for, and asks for what it is made of.

local core = require "saros.core"
local fold = require "saros.export.fold"
local quantise = require "saros.export.quantise"

local Walk = {}
Walk.__index = Walk

local rules = {}

--- The value of a node at step t, (width); nil if the sequence has no such step.
local function value_at(self, node, t)
  return t >= 1 and t <= self.T and self:value(node, t) or nil
end

function rules.state(self, node, t)
  local state = node.state
  local before = value_at(self, state.next, t + (state.reverse and 1 or -1))
  return before or state.first or core.zeros(state.width)
end

--- The rows of a matrix as 8 bits have them.
local function rounded(self, node, rows)
  self.small[node] = self.small[node] or quantise.rows(node.tensor:reshape(rows, -1)).values
  return self.small[node]
end

function rules.linear(self, node, t)
  local weight, bias = node.inputs[2], node.inputs[3]
  local w = quantise.is_exact(node.width) and weight.tensor:reshape(node.width, -1) or rounded(self, weight, node.width)
  local y = core.linear(self:value(node.inputs[1], t):reshape(1, -1), w):reshape(-1)
  return bias and y + bias.tensor or y
end

function rules.lookup(self, node, t)
  return rounded(self, node.inputs[2], node.inputs[1].count)[self.inputs[node.inputs[1]][t]]
end

function rules.window(self, node, t)
  local list, x = {}, node.inputs[1]
  local back = node.owns[1].reverse and -node.dilation or node.dilation
  for tap = 1, node.taps do
    list[tap] = value_at(self, x, t - (node.taps - tap) * back) or core.zeros(x.width)
  end
  return core.concatenate(list, 1)
end

function rules.attention(self, node, t)
  local heads, w, q, k, v = node.heads, node.window, self:value(node.inputs[1], t), {}, {}
  local d, distance = q:count() // heads, node.inputs[4].tensor:reshape(heads, w)
  for back = math.min(t, w) - 1, 0, -1 do
    k[#k + 1] = self:value(node.inputs[2], t - back):reshape(heads, d)
    v[#v + 1] = self:value(node.inputs[3], t - back):reshape(heads, d)
  end
  k, v = core.stack(k, 2), core.stack(v, 2)
  local scores = (q:reshape(heads, 1, d) * k):sum(3) / math.sqrt(d) + distance:slice(2, w - k:size(2) + 1, w)
  return (core.softmax(scores, 2):reshape(heads, -1, 1) * v):sum(2):reshape(-1)
end

--- The matrices of a delta node after step t, (heads, K, V).
local function matrices(self, node, t)
  local known, n, heads = self.matrices[node] or {}, node.reflections, node.heads
  self.matrices[node] = known
  if t < 1 or t > self.T then
    local state = node.owns[1]
    return (state.first or core.zeros(state.width)):reshape(heads, -1, node.width // heads)
  elseif not known[t] then
    local m = matrices(self, node, t + (node.owns[1].reverse and 1 or -1))
    local k, v = self:value(node.inputs[2], t):reshape(n, heads, -1, 1), self:value(node.inputs[3], t)
    local gates = core.zeros(n, heads, 1, 1)
    local write = (self:value(node.inputs[4], t) + core.zeros(n * heads)):reshape(n, heads, 1, 1) + gates
    local erase = (self:value(node.inputs[5], t) + core.zeros(n * heads)):reshape(n, heads, 1, 1) + gates
    v = v:reshape(n, heads, 1, -1)
    m = node.inputs[6] and core.exp(self:value(node.inputs[6], t)):reshape(heads, -1, 1) * m or m
    for r = 1, n do
      local u = write[r] * v[r] - erase[r] * (k[r] * m):sum(2, true)
      m = m + k[r] * u
    end
    known[t] = m
  end
  return known[t]
end

function rules.delta(self, node, t)
  local q = self:value(node.inputs[1], t):reshape(node.heads, -1, 1)
  return (q * matrices(self, node, t)):sum(2):reshape(-1)
end

function rules.rotate(self, node, t)
  local h, decay, y = self:value(node.inputs[1], t), node.inputs[2].tensor, {}
  for k = 1, node.width, 2 do
    y[k] = decay[k] * h[k] - decay[k + 1] * h[k + 1]
    y[k + 1] = decay[k] * h[k + 1] + decay[k + 1] * h[k]
  end
  return core.tensor(y) + self:value(node.inputs[3], t)
end

function rules.scale(self, node, t)
  return (self:value(node.inputs[1], t) - core.tensor(node.scale.shift)) / core.tensor(node.scale.factor)
end

function rules.ahead(self, node, t)
  local scale = node.scale
  local x = self:value(node.inputs[1], t):reshape(scale.horizon, -1)
  if scale.places then
    local now = core.embedding(self:value(node.inputs[2], t):reshape(-1, 1), scale.places)
    x = x + now:reshape(1, -1)
  end
  return (x * core.tensor(scale.factor) + core.tensor(scale.shift)):reshape(-1)
end

--- The value of a node at step t.
function Walk:value(node, t)
  local known = self.known[node] or {}
  self.known[node] = known
  if known[t] then
    return known[t]
  end
  local made = node.tensor
  if made == nil and (node.op == "input" or node.op == "ids") then
    made = self.inputs[node]:select(1, t)
  elseif made == nil and rules[node.op] then
    made = rules[node.op](self, node, t)
  elseif made == nil then
    local operands = {}
    for position, input in ipairs(node.inputs) do
      operands[position] = { tensor = self:value(input, t) }
    end
    made = fold(setmetatable({ inputs = operands }, { __index = node }))
  end
  known[t] = made
  return made
end

--- What the states are at the end is what their nodes are at a step behind it.
local function know_states(self, graph)
  local states = {}
  for _, state in ipairs(graph.states) do
    states[#states + 1] = state.next and state
  end
  for _, state in ipairs(states) do
    self:value(state.next, state.reverse and 1 or self.T)
  end
  for _, state in ipairs(states) do
    self.known[state.next][self.T + 1] = self.known[state.next][state.reverse and 1 or self.T]
  end
end

--- What the outputs are, with matrices in 8 bits: (T, width) each.
---@param graph saros.export.Graph
---@param inputs saros.Tensor[]  (T, width) or ids (T), in the order of graph.inputs
---@param T integer
---@return saros.Tensor[]
---@return table<saros.export.State, saros.Tensor> last  what the states are at the end
return function(graph, inputs, T)
  local self = setmetatable({ T = T, inputs = {}, known = {}, small = {}, matrices = {} }, Walk)
  for position, node in ipairs(graph.inputs) do
    self.inputs[node] = inputs[position]
  end
  local outputs = {}
  if graph.final then
    know_states(self, graph)
  end
  for position, output in ipairs(graph.outputs) do
    local rows = {}
    for t = graph.final and T + 1 or 1, graph.final and T + 1 or T do
      rows[#rows + 1] = self:value(output.node, t):reshape(-1)
    end
    outputs[position] = core.stack(rows)
  end
  local last = {}
  for _, state in ipairs(graph.states) do
    last[state] = state.next and self:value(state.next, state.reverse and 1 or T)
  end
  return outputs, last
end
