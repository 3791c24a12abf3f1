-- What a program means, written as plainly as can be: a value is asked for at a step,
-- and asks for its operands at that step and for states at the step before. Values are
-- (B, width), invariant ones (1, width); nothing is fast.
--
--     local outputs, last = twin.run(program, tensors, { x = x }, { state = list, mask = mask, reset = reset })
--
-- tensors are the parameters by name, x is (T, B, width) or ids (T, B), states are
-- (B, width) in the order of the program. Masked steps hold the states and give 0. Weights
-- of products are what rounded(node, name, w, x) makes of w (rows, k), if that is given.

local core = require "saros.core"
local saros = require "saros"

local twin = {}

local function rows(x)
  return x:size(1)
end

--- (B, w) as (B, outer, n, inner).
local function blocks(x, node)
  return x:contiguous():reshape(rows(x), node.outer, node.n, node.inner)
end

local function flat(x)
  return x:contiguous():reshape(rows(x), -1)
end

local ops = {}

function ops.linear(_, x, weight, bias)
  local w = weight:reshape(-1, x:size(2))
  local y = x:matmul(w:transpose())
  return bias and y + bias or y
end

function ops.lookup(node, ids, table)
  return core.embedding(table:reshape(node.count, -1), ids)
end

function ops.where(_, c, a, b)
  return saros.where(c, a, b)
end

function ops.expand(node, x)
  local y = x:contiguous():reshape(rows(x), node.outer, 1, node.inner)
  return flat(y + saros.zeros(1, 1, node.times, 1))
end

function ops.slice(node, x)
  local parts = {}
  for n = 1, node.count do
    parts[n] = blocks(x, node):select(3, node.from + (n - 1) * (node.step or 1) + 1)
  end
  return flat(saros.stack(parts, 3))
end

function ops.concatenate(node, ...)
  local parts, B = { ... }, 1
  for _, x in ipairs(parts) do
    B = math.max(B, rows(x))
  end
  for n, x in ipairs(parts) do
    parts[n] = (x + saros.zeros(B, 1)):reshape(B, node.outer or 1, -1)
  end
  return flat(saros.concatenate(parts, 3))
end

function ops.transpose(node, x)
  return flat(x:contiguous():reshape(rows(x), node.outer, node.a, node.b, node.inner):transpose(3, 4))
end

for _, name in ipairs { "sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax", "cumsum" } do
  ops[name] = function(node, x)
    return flat(core[name](blocks(x, node), 3))
  end
end

--- Mean 0 unless `is_rms`, mean square 1, of each run of n features.
local function normed(node, x, is_rms)
  local runs = x:contiguous():reshape(rows(x), -1, node.n)
  local centred = is_rms and runs or runs - runs:mean(3, true)
  return centred / ((centred * centred):mean(3, true) + node.epsilon):sqrt()
end

function ops.layer_norm(node, x, gain, bias)
  local y = normed(node, x, false)
  y = gain and y * gain:reshape(1, 1, node.n) or y
  return flat(bias and y + bias:reshape(1, 1, node.n) or y)
end

function ops.rms_norm(node, x, gain)
  local y = normed(node, x, true)
  return flat(gain and y * gain:reshape(1, 1, node.n) or y)
end

function ops.matvec(node, m, v)
  local matrix = m:contiguous():reshape(rows(m), node.heads, node.rows, node.columns)
  matrix = node.transposed and matrix:transpose(3, 4) or matrix
  return flat(matrix:matmul(v:contiguous():reshape(rows(v), node.heads, -1, 1)))
end

function ops.outer(node, u, v)
  return flat(u:contiguous():reshape(rows(u), node.heads, -1, 1)
    * v:contiguous():reshape(rows(v), node.heads, 1, -1))
end

function ops.dropout(_, x)
  return x -- as outside training
end

-- --- Nodes that have states of their own ---------------------------------------------------

--- Outside training a unit keeps its value in part, as it does on average.
local function zoneout(node, before)
  local steps = {}
  for n, name in ipairs { "zoneout_h", "zoneout_c" } do
    local p = node.zoneout and node.zoneout[n] or 0
    if p > 0 then
      local B, H = table.unpack(before[n]:shape())
      steps[name] = saros.full({ 1, B, H }, 1 - p)
    end
  end
  return steps
end

--- h and the states after one step of a fused layer.
local function cell_step(node, operands, before)
  local parameters = {}
  for n, name in ipairs(node.with) do
    parameters[name] = operands[n + 1]
  end
  local x = operands[1]
  local y, last = core.recurrent(node.cell, x:reshape(1, rows(x), -1), before, parameters,
    zoneout(node, before))
  return y:select(1, 1), last
end

--- Queries of a step over the keys and values of the last W - 1 ones and its own.
local function attention_step(node, operands, before)
  local q, k, v, distance = table.unpack(operands)
  local B, F, H, W = rows(q), q:size(2), node.heads, node.window
  local memory, exists = before[1] .. k .. v, before[2] .. saros.ones(B, 1)
  local pairs_of = memory:reshape(B, W, 2, H, F // H)
  local keys, values = pairs_of:select(3, 1):transpose(2, 3), pairs_of:select(3, 2):transpose(2, 3)
  local scores = (q:reshape(B, H, 1, F // H) * (F // H) ^ -0.5):matmul(keys:transpose()):reshape(B, H, W)
  scores = scores + distance:reshape(1, H, W) + (1 - exists:reshape(B, 1, W)) * -1e9
  local y = saros.softmax(scores):reshape(B, H, 1, W):matmul(values):contiguous():reshape(B, F)
  return y, { memory:slice(2, 2 * F + 1), exists:slice(2, 2) }
end

--- Matrices (B, H, K, V) of all heads, changed once for each reflection.
local function delta_step(node, operands, before)
  local q, k, v, write, erase, decay = table.unpack(operands)
  local H, n = node.heads, node.reflections or 1
  local B, K, V = rows(before[1]), q:size(2) // H, v:size(2) // H // n
  local function each(x, ...) -- (B or 1, n, H, ...)
    return x:contiguous():reshape(rows(x), n, H, ...)
  end
  local m = before[1]:contiguous():reshape(B, H, K, V)
  m = decay and m * decay:exp():contiguous():reshape(rows(decay), H, -1, 1) or m
  for r = 1, n do
    local key, value = each(k, K, 1):select(2, r), each(v, 1, V):select(2, r)
    local w = each(write + saros.zeros(1, n * H), 1, 1):select(2, r)
    local e = each(erase + saros.zeros(1, n * H), 1, 1):select(2, r)
    m = m + key * (w * value - e * (key * m):sum(3, true))
  end
  local y = (q:contiguous():reshape(rows(q), H, K, 1) * m):sum(3)
  return y:contiguous():reshape(B, H * V), { m:contiguous():reshape(B, H * K * V) }
end

--- The last inputs, one of every `dilation`.
local function window_step(node, operands, before)
  local x, ring = operands[1], before[1] .. operands[1]
  local w, parts = x:size(2), {}
  for at = 1, ring:size(2), node.dilation * w do
    parts[#parts + 1] = ring:slice(2, at, at + w - 1)
  end
  return saros.concatenate(parts, 2), { ring:slice(2, w + 1) }
end

local steppers = { cell = cell_step, attention = attention_step, delta = delta_step, window = window_step }

-- --- A run -------------------------------------------------------------------------------------

local Run = {}
Run.__index = Run

local SHAPED = { weight_ih = true, weight_hh = true, weight_hr = true, peephole = true, table = true }

--- An operand of a cell as core.recurrent wants it: by rows if it is a matrix.
local function cell_operand(node, name, value, H)
  local hidden = name == "weight_hh" and H or name == "peephole" and value:size(2) // 3
  if not SHAPED[name] then
    return value:reshape(-1)
  elseif name == "weight_ih" then
    return value:reshape(-1, node.inputs)
  elseif name == "weight_hr" then
    return value:reshape(H, -1)
  end
  return value:reshape(-1, hidden)
end

--- The operands of a cell; what its products take as weights may be rounded.
function Run:cell_operands(number, node, list, before)
  node = setmetatable({ inputs = list[1]:size(2) }, { __index = node })
  local H = self.program.states[node.states[1] + 1].width
  local multiplied = { weight_ih = list[1], weight_hh = before, weight_hr = saros.ones(1) }
  for n, name in ipairs(node.with) do
    local operand = cell_operand(node, name, list[n + 1], H)
    list[n + 1] = self.rounded and (multiplied[name] or name == "table")
      and self.rounded(number, name, operand, multiplied[name]) or operand
  end
end

function Run:operands(number, node, t)
  local list = {}
  for n, operand in ipairs(node["in"] or {}) do
    list[n] = self:value(operand, t)
  end
  if node.op == "cell" then
    self:cell_operands(number, node, list, self:before(node.states[1], t))
  elseif node.op == "linear" and self.rounded then
    list[2] = self.rounded(number, "weight", list[2]:reshape(-1, list[1]:size(2)), list[1])
  elseif node.op == "lookup" and self.rounded then
    list[2] = self.rounded(number, "rows", list[2]:reshape(self.program.nodes[node["in"][1] + 1].count, -1))
  end
  return list
end

--- A state before step t.
function Run:before(s, t)
  local state = self.program.states[s + 1]
  local earlier = state.reverse and t + 1 or t - 1
  if earlier < 1 or earlier > self.T then
    return self:beginning(s)
  end
  local before = self:after(s, earlier)
  if self.reset then
    local again = self.reset:select(1, t):reshape(self.B, 1)
    return saros.where(again + saros.zeros(1, state.width), self:first(s), before)
  end
  return before
end

--- What rows begin with.
function Run:first(s)
  local state = self.program.states[s + 1]
  return (state.first and self:value(state.first, 1) or 0) + saros.zeros(self.B, state.width)
end

function Run:beginning(s)
  local given = self.state[s + 1]
  if given and self.reset and not self.program.states[s + 1].reverse then
    return saros.where(self.reset:select(1, 1):reshape(self.B, 1) + saros.zeros(1, given:size(2)), self:first(s), given)
  end
  return given or self:first(s)
end

--- A state after step t.
function Run:after(s, t)
  local key = s * (self.T + 1) + t
  if not self.afters[key] then
    local state = self.program.states[s + 1]
    local new = self:value(state.next, t)
    local own = self.own[state.next * (self.T + 1) + t]
    local node = self.program.nodes[state.next + 1]
    if steppers[node.op] then
      for n, number in ipairs(node.states or { node.state }) do
        new = number == s and own[n] or new
      end
    end
    new = new + saros.zeros(self.B, state.width)
    if self.mask then
      new = saros.where(self.mask:select(1, t):reshape(self.B, 1) + saros.zeros(1, state.width), new, self:before(s, t))
    end
    self.afters[key] = new
  end
  return self.afters[key]
end

function Run:compute(n, node, t)
  local kind = node.op
  if kind == "input" or kind == "ids" then
    return self.inputs[node.name]:select(1, t)
  elseif kind == "parameter" then
    return self.tensors[self.program.parameters[node.parameter + 1].name]:reshape(1, -1)
  elseif kind == "constant" then
    return saros.tensor { node.values or { node.value } }
  elseif kind == "state" then
    return self:before(node.state, t)
  end
  local operands = self:operands(n, node, t)
  if steppers[kind] then
    local before = {}
    for i, s in ipairs(node.states or { node.state }) do
      before[i] = self:before(s, t)
    end
    local y, own = steppers[kind](node, operands, before)
    self.own[n * (self.T + 1) + t] = own
    return y
  elseif kind == "lookup" then
    local ids = self.program.nodes[node["in"][1] + 1]
    return ops.lookup({ count = ids.count }, table.unpack(operands))
  elseif ops[kind] then
    return ops[kind](node, table.unpack(operands))
  end
  return core[kind](table.unpack(operands)) -- of each element, and operators
end

--- A node at step t.
function Run:value(n, t)
  local key = n * (self.T + 1) + t
  if not self.values[key] then
    self.values[key] = self:compute(n, self.program.nodes[n + 1], t)
  end
  return self.values[key]
end

local function size_of(inputs)
  local _, x = next(inputs)
  return x:size(1), x:size(2)
end

--- Outputs (T, B, width) by name, and the states after the last step.
---@param program saros.Program
---@param tensors table<string, saros.Tensor>
---@param inputs table<string, saros.Tensor>
---@param how? { state?: saros.Tensor[], mask?: saros.Tensor, reset?: saros.Tensor, rounded?: function }
---@return table<string, saros.Tensor>, saros.Tensor[]
function twin.run(program, tensors, inputs, how)
  how = how or {}
  local T, B = size_of(inputs)
  local run = setmetatable({
    program = program, tensors = tensors, inputs = inputs, T = T, B = B, state = how.state or {},
    mask = how.mask, reset = how.reset, rounded = how.rounded, values = {}, afters = {}, own = {},
  }, Run)
  local outputs, last = {}, {}
  for _, output in ipairs(program.outputs) do
    local steps = {}
    for t = 1, T do
      local y = run:value(output.node, t) + saros.zeros(B, 1)
      steps[t] = how.mask and saros.where(how.mask:select(1, t):reshape(B, 1) + y * 0, y, 0) or y
    end
    outputs[output.name] = saros.stack(steps)
  end
  for s, state in ipairs(program.states) do
    last[s] = run:after(s - 1, state.reverse and 1 or T)
  end
  return outputs, last
end

return twin
