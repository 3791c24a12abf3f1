--- Programs step by step and row by row in plain Lua numbers: an obvious twin of
--- what the toolkit does with them. Nodes, states and parameters count from 0, as
--- in the program; values are lists of numbers.

local rules = require "spec.support.node_rules"

local program_rows = {}

local function map(list, f)
  local y = {}
  for n, v in ipairs(list) do
    y[n] = f(v, n)
  end
  return y
end

local function at(list, n) -- from 1; lists of one number are as long as needed
  return #list == 1 and list[1] or list[n]
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
      value = { given.inputs[node.name] - 1 }
    elseif node.op == "lookup" then
      value = rules.lookup(program.nodes[node["in"][1] + 1], x[1], x[2])
    elseif node.op == "parameter" then
      value = given.parameters[program.parameters[node.parameter + 1].name]
    elseif node.op == "constant" then
      value = node.values or { node.value }
    elseif node.op == "state" then
      value = state[node.state]
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
      value = rules[node.op](node, table.unpack(x))
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
