--- Programs step by step and row by row in plain Lua numbers: an obvious twin of
--- what the toolkit does with them. Nodes, states and parameters count from 0, as
--- in the program; values are lists of numbers.

local core = require "saros.core"
local rules = require "spec.support.node_rules"

local program_rows = {}

local function map(list, f)
  local y = {}
  for n, v in ipairs(list) do
    y[n] = f(v, n)
  end
  return y
end

local function map_fields(fields, f)
  local y = {}
  for name, v in pairs(fields) do
    y[name] = f(v)
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
      values.kept = values.kept or {}
      values.kept[node.state] = table.move(x[1], 1, w, #ring - w + 1, table.move(ring, w + 1, #ring, 1, {}))
    elseif node.op == "delta" then
      values.kept = values.kept or {}
      value, values.kept[node.states[1]] = rules.delta(node, state[node.states[1]], table.unpack(x))
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

-- What a state's rows are multiplied or mixed with, or begin with; nil: nothing.
local function given_of(run, field, name)
  return run[field] and run[field][name]
end

-- What the states of row b are before the first step, what they are after a reset, and
-- their factors in products; all by number.
local function begin_row(program, run, given, b)
  local state, factor, blank = {}, {}, {}
  for number, s in ipairs(program.states) do
    blank[number - 1] = zeros(s.width)
  end
  local first = first_states(program, step(program, given, blank, {}))
  for number, s in ipairs(program.states) do
    local from, dropout = given_of(run, "state", s.name), given_of(run, "dropout", s.name)
    state[number - 1] = from and flat(from[b]) or first[number - 1]
    factor[number - 1] = dropout and flat(dropout[b])
  end
  return state, first, factor
end

-- The states of row b after step t, from the values of the step.
local function states_after(program, run, t, b, values, state)
  local after = {}
  for number, s in ipairs(program.states) do
    local kept = values.kept and values.kept[number - 1]
    local zoneout = given_of(run, "zoneout", s.name)
    local z = zoneout and flat(zoneout[t][b])
    local next_value = values[s.next]
    after[number - 1] = kept or map(state[number - 1], function(old, k)
      local new = at(next_value, k)
      return z and z[k] * new + (1 - z[k]) * old or new
    end)
  end
  return after
end

-- Under zoneout, what is outside the loop reads the states as they were left.
local function values_outside(program, run, given, state, factor, after)
  local known = {}
  for number, s in ipairs(program.states) do
    known[s.next] = run.zoneout[s.name] and after[number - 1]
  end
  return step(program, given, state, factor, known)
end

-- All steps of row b, in order, each handed to `visit` with its number, its values and
-- whether it is masked; the states after the last one.
local function run_row(program, run, parameters, b, visit)
  local state, first, factor
  for _, t in ipairs(run.order) do
    local is_masked = run.mask ~= nil and run.mask[t][b] == 0
    local given = { parameters = parameters, inputs = inputs_at(program, run, t, b, is_masked) }
    if not first then
      state, first, factor = begin_row(program, run, given, b)
    end
    if run.keep and run.keep[t][b] == 0 then
      state = first
    end
    local values = step(program, given, state, factor)
    local after = is_masked and state or states_after(program, run, t, b, values, state)
    if run.zoneout then
      values = values_outside(program, run, given, state, factor, after)
    end
    visit(t, values, is_masked)
    state = after
  end
  return state
end

-- The steps in the order of the walk.
local function steps_of(T, reverse)
  local order = {}
  for n = 1, T do
    order[n] = reverse and T + 1 - n or n
  end
  return order
end

--- As program:run { ... }, for programs whose states all walk in one direction and
--- that have no cells: outputs and states by name, as tensors.
function program_rows.run(program, run)
  local some = select(2, next(run.inputs))
  local reverse = program.states[1] and program.states[1].reverse
  run = setmetatable({ order = steps_of(some:size(1), reverse),
    keep = run.reset and core.keep(run.reset, run.mask, reverse) }, { __index = run })
  local parameters, outputs, last = map_fields(run.parameters, flat), {}, {}
  for _, output in ipairs(program.outputs) do
    outputs[output.name] = map(run.order, function() return {} end)
  end
  for b = 1, some:size(2) do
    local state = run_row(program, run, parameters, b, function(t, values, is_masked)
      for _, output in ipairs(program.outputs) do
        local value = values[output.node]
        outputs[output.name][t][b] = is_masked and zeros(#value) or value
      end
    end)
    for number, s in ipairs(program.states) do
      last[s.name] = last[s.name] or {}
      last[s.name][b] = state[number - 1]
    end
  end
  return map_fields(outputs, core.tensor), map_fields(last, core.tensor)
end

return program_rows
