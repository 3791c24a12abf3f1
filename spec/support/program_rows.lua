--- Programs step by step and row by row in plain Lua numbers: an obvious twin of
--- what the toolkit does with them. Nodes, states and parameters count from 0, as
--- in the program; values are lists of numbers.

local program_rows = {}

local unary = {
  tanh = function(x) local e = math.exp(-2 * math.abs(x)) return (x < 0 and -1 or 1) * (1 - e) / (1 + e) end,
  sigmoid = function(x) return 1 / (1 + math.exp(-x)) end,
  exp = math.exp, log = math.log, sqrt = math.sqrt, abs = math.abs, sin = math.sin, cos = math.cos,
  relu = function(x) return math.max(x, 0) end,
  negate = function(x) return -x end,
  isfinite = function(x) return x - x == 0 and 1 or 0 end,
}

local binary = {
  add = function(a, b) return a + b end, subtract = function(a, b) return a - b end,
  multiply = function(a, b) return a * b end, divide = function(a, b) return a / b end,
  power = function(a, b) return a ^ b end, maximum = math.max, minimum = math.min,
  lt = function(a, b) return a < b and 1 or 0 end, le = function(a, b) return a <= b and 1 or 0 end,
  eq = function(a, b) return a == b and 1 or 0 end,
}

local function at(list, n) -- from 1; lists of one number are as long as needed
  return #list == 1 and list[1] or list[n]
end

-- f(run) for each run of n elements, `inner` apart, of (outer, n, inner); returns
-- the runs' results as (outer, #result, inner).
local function along(x, node, f)
  local y = {}
  for o = 0, node.outer - 1 do
    for i = 1, node.inner do
      local run = {}
      for k = 0, node.n - 1 do
        run[k + 1] = x[(o * node.n + k) * node.inner + i]
      end
      local result = f(run)
      for k = 0, #result - 1 do
        y[(o * #result + k) * node.inner + i] = result[k + 1]
      end
    end
  end
  return y
end

local function total(run)
  local sum = 0
  for _, v in ipairs(run) do
    sum = sum + v
  end
  return sum
end

local function map(run, f)
  local y = {}
  for n, v in ipairs(run) do
    y[n] = f(v, n)
  end
  return y
end

local reduce = {
  sum = function(run) return { total(run) } end,
  mean = function(run) return { total(run) / #run } end,
  max = function(run) return { math.max(table.unpack(run)) } end,
  min = function(run) return { math.min(table.unpack(run)) } end,
  logsumexp = function(run) return { math.log(total(map(run, math.exp))) } end,
  softmax = function(run)
    local e = map(run, math.exp)
    return map(e, function(v) return v / total(e) end)
  end,
  log_softmax = function(run)
    local sum = math.log(total(map(run, math.exp)))
    return map(run, function(v) return v - sum end)
  end,
  cumsum = function(run)
    local sum = 0
    return map(run, function(v) sum = sum + v return sum end)
  end,
}

local kinds = {}

function kinds.linear(_, x, weight, bias)
  local y = {}
  for o = 0, #weight // #x - 1 do
    local sum = bias and bias[o + 1] or 0
    for k = 1, #x do
      sum = sum + x[k] * weight[o * #x + k]
    end
    y[o + 1] = sum
  end
  return y
end

function kinds.where(_, c, a, b)
  local y = {}
  for n = 1, math.max(#c, #a, #b) do
    y[n] = at(c, n) ~= 0 and at(a, n) or at(b, n)
  end
  return y
end

function kinds.expand(node, x)
  local y = {}
  for o = 0, node.outer - 1 do
    for _ = 1, node.times do
      for i = 1, node.inner do
        y[#y + 1] = x[o * node.inner + i]
      end
    end
  end
  return y
end

function kinds.slice(node, x)
  return along(x, node, function(run)
    local kept = {}
    for k = 0, node.count - 1 do
      kept[k + 1] = run[node.from + k * (node.step or 1) + 1]
    end
    return kept
  end)
end

function kinds.concatenate(node, ...)
  local y, outer = {}, node.outer or 1
  for o = 0, outer - 1 do
    for _, x in ipairs { ... } do
      local w = #x // outer
      table.move(x, o * w + 1, (o + 1) * w, #y + 1, y)
    end
  end
  return y
end

function kinds.transpose(node, x)
  local y = {}
  for o = 0, node.outer - 1 do
    for b = 0, node.b - 1 do
      for a = 0, node.a - 1 do
        for i = 1, node.inner do
          y[#y + 1] = x[((o * node.a + a) * node.b + b) * node.inner + i]
        end
      end
    end
  end
  return y
end

function kinds.layer_norm(node, x, gain, bias)
  local split = { outer = #x // node.n, n = node.n, inner = 1 }
  return along(x, split, function(run)
    local mean = total(run) / #run
    local variance = total(map(run, function(v) return (v - mean) ^ 2 end)) / #run
    return map(run, function(v, k)
      return (v - mean) / math.sqrt(variance + node.epsilon) * (gain and gain[k] or 1) + (bias and bias[k] or 0)
    end)
  end)
end

function kinds.rms_norm(node, x, gain)
  local split = { outer = #x // node.n, n = node.n, inner = 1 }
  return along(x, split, function(run)
    local square = total(map(run, function(v) return v * v end)) / #run
    return map(run, function(v, k) return v / math.sqrt(square + node.epsilon) * (gain and gain[k] or 1) end)
  end)
end

function kinds.matvec(node, m, v)
  local y, R, C = {}, node.rows, node.columns
  for h = 0, node.heads - 1 do
    for o = 1, node.transposed and C or R do
      local sum = 0
      for k = 1, node.transposed and R or C do
        local r, c = table.unpack(node.transposed and { k, o } or { o, k })
        sum = sum + m[(h * R + r - 1) * C + c] * v[h * (node.transposed and R or C) + k]
      end
      y[#y + 1] = sum
    end
  end
  return y
end

function kinds.outer(node, u, v)
  local y, a, b = {}, #u // node.heads, #v // node.heads
  for h = 0, node.heads - 1 do
    for i = 1, a do
      for j = 1, b do
        y[#y + 1] = u[h * a + i] * v[h * b + j]
      end
    end
  end
  return y
end

-- The value of a node from those of its operands.
local function evaluate(node, x)
  local op = node.op
  if unary[op] then
    return map(x[1], function(v) return unary[op](v) end)
  elseif binary[op] then
    local y = {}
    for n = 1, math.max(#x[1], #x[2]) do
      y[n] = binary[op](at(x[1], n), at(x[2], n))
    end
    return y
  elseif reduce[op] then
    return along(x[1], node, reduce[op])
  end
  return kinds[op](node, table.unpack(x))
end

-- One step of one row; `state` and `factor` (of states in products) by number, and
-- values of nodes that are known.
local function step(program, given, state, factor, known)
  local values = {}
  for number, node in ipairs(program.nodes) do
    local x = {}
    for n, input in ipairs(node["in"] or {}) do
      x[n] = values[input]
      local from = program.nodes[input + 1]
      if node.op == "linear" and n == 1 and from.op == "state" and factor[from.state] then
        x[n] = map(x[n], function(v, k) return v * factor[from.state][k] end)
      end
    end
    local value
    if node.op == "input" then
      value = given.inputs[node.name]
    elseif node.op == "ids" then
      value = { given.inputs[node.name] }
    elseif node.op == "lookup" then
      local w = #x[2] // program.nodes[node["in"][1] + 1].count
      value = table.move(x[2], (x[1][1] - 1) * w + 1, x[1][1] * w, 1, {})
    elseif node.op == "parameter" then
      value = given.parameters[program.parameters[node.parameter + 1].name]
    elseif node.op == "constant" then
      value = node.values or { node.value }
    elseif node.op == "state" then
      value = state[node.state]
    elseif node.op == "dropout" then
      value = x[1]
    elseif node.op == "window" then
      local ring, d, w = state[node.state], node.dilation, #x[1]
      value = {}
      for k = 0, #ring // (d * w) - 1 do
        table.move(ring, k * d * w + 1, k * d * w + w, #value + 1, value)
      end
      table.move(x[1], 1, w, #value + 1, value)
      values.ring = values.ring or {}
      values.ring[node.state] = table.move(x[1], 1, w, #ring - w + 1, table.move(ring, w + 1, #ring, 1, {}))
    else
      value = evaluate(node, x)
    end
    values[number - 1] = known and known[number - 1] or value
  end
  return values
end

local function zeros(n)
  local list = {}
  for k = 1, n do
    list[k] = 0
  end
  return list
end

-- What each state begins with.
local function first_states(program, values)
  local first = {}
  for number, s in ipairs(program.states) do
    local from = s.first and values[s.first]
    first[number - 1] = from and map(zeros(s.width), function(_, k) return from[k] end) or zeros(s.width)
  end
  return first
end

local function flat(tensor)
  return tensor:reshape(-1):totable()
end

-- The inputs of a row at a step; zeros, and the first id, at masked ones.
local function inputs_at(program, run, t, b, is_masked)
  local inputs = {}
  for _, node in ipairs(program.nodes) do
    if node.op == "input" then
      inputs[node.name] = is_masked and zeros(node.width) or flat(run.inputs[node.name][t][b])
    elseif node.op == "ids" then
      inputs[node.name] = is_masked and 1 or run.inputs[node.name][t][b]
    end
  end
  return inputs
end

--- As program:run { ... }, for programs whose states all walk in one direction and
--- that have no cells: outputs and states by name, as nested tables.
function program_rows.run(program, run)
  local core = require "saros.core"
  local some = select(2, next(run.inputs))
  local T, B, reverse = some:size(1), some:size(2), program.states[1] and program.states[1].reverse
  local keep = run.reset and core.keep(run.reset, run.mask, reverse)
  local parameters, outputs, last = {}, {}, {}
  for name, tensor in pairs(run.parameters) do
    parameters[name] = flat(tensor)
  end
  for _, output in ipairs(program.outputs) do
    outputs[output.name] = {}
    for t = 1, T do
      outputs[output.name][t] = {}
    end
  end
  for _, s in ipairs(program.states) do
    last[s.name] = {}
  end
  for b = 1, B do
    local state, first, factor = {}, nil, {}
    for n = 1, T do
      local t = reverse and T + 1 - n or n
      local is_masked = run.mask ~= nil and run.mask[t][b] == 0
      local given = { parameters = parameters, inputs = inputs_at(program, run, t, b, is_masked) }
      if not first then
        local blank = {}
        for number, s in ipairs(program.states) do
          blank[number - 1] = zeros(s.width)
        end
        first = first_states(program, step(program, given, blank, {}))
        for number, s in ipairs(program.states) do
          state[number - 1] = run.state and run.state[s.name] and flat(run.state[s.name][b]) or first[number - 1]
          factor[number - 1] = run.dropout and run.dropout[s.name] and flat(run.dropout[s.name][b])
        end
      end
      if keep and keep[t][b] == 0 then
        state = table.move(first, 0, #first, 0, {})
      end
      local values, after = step(program, given, state, factor), {}
      for number, s in ipairs(program.states) do
        local ring = values.ring and values.ring[number - 1]
        local z = run.zoneout and run.zoneout[s.name] and flat(run.zoneout[s.name][t][b])
        local old, next_value = state[number - 1], values[s.next]
        after[number - 1] = is_masked and old or ring or map(old, function(v, k)
          local new = at(next_value, k)
          return z and z[k] * new + (1 - z[k]) * v or new
        end)
      end
      if run.zoneout then -- what is outside the loop reads the states as they were left
        local known = {}
        for number, s in ipairs(program.states) do
          known[s.next] = run.zoneout[s.name] and after[number - 1]
        end
        values = step(program, given, state, factor, known)
      end
      for _, output in ipairs(program.outputs) do
        local value = values[output.node]
        outputs[output.name][t][b] = is_masked and zeros(#value) or value
      end
      state = after
    end
    for number, s in ipairs(program.states) do
      last[s.name][b] = state[number - 1]
    end
  end
  for name, nested in pairs(outputs) do
    outputs[name] = core.tensor(nested)
  end
  for name, nested in pairs(last) do
    last[name] = core.tensor(nested)
  end
  return outputs, last
end

return program_rows
