--- Programs as tables for specs: how they are made, run and compared with their twin
--- in plain Lua numbers.

local assert = require "luassert"
require "spec.support.values"
local gradients = require "spec.support.gradients"
local program_rows = require "spec.support.program_rows"
local saros = require "saros"
local core = require "saros.core"

local ROUNDING = gradients.is_double and 1e-12 or 1e-4
local T, B = 5, 3

local function random(seed, ...)
  return saros.generator(seed):uniform({ ... }, 0.3, 1.4)
end

local function normal(seed, ...)
  return saros.generator(seed):normal { ... } * 0.5
end

local function sorted(list)
  table.sort(list)
  return list
end

local function program_of(program)
  local parts = {}
  for _, section in ipairs { "parameters", "states", "nodes", "outputs" } do
    program[section] = program[section] or {}
    local text = #program[section] > 0 and core.json_encode(program[section]) or "[]"
    parts[#parts + 1] = ('"%s": %s'):format(section, text)
  end
  return core.program(('{ "format": 1, %s }'):format(table.concat(parts, ", ")))
end

-- Tensors for a program by name: parameters, inputs (T, B, width).
local function tensors_for(program)
  local run = { parameters = {}, inputs = {} }
  for n, parameter in ipairs(program.parameters or {}) do
    run.parameters[parameter.name] = normal(n, table.unpack(parameter.shape))
  end
  for n, node in ipairs(program.nodes) do
    if node.op == "input" then
      run.inputs[node.name] = random(10 + n, T, B, node.width)
    elseif node.op == "ids" then
      local list = {}
      for k = 1, T * B do
        list[k] = k * 7 % node.count + 1
      end
      run.inputs[node.name] = core.ids(list):reshape(T, B)
    end
  end
  return run
end

-- All trainable tensors of a run in one table; what the run makes of them is a sum
-- of outputs and last states with random factors.
local function check_gradients(program, run)
  local object, inputs = program_of(program), {}
  for _, place in ipairs { "parameters", "inputs", "state" } do
    for name, tensor in pairs(run[place] or {}) do
      if tensor:dtype() == "real" then
        inputs[place .. "." .. name] = tensor
      end
    end
  end
  assert.gradients_match(function()
    local outputs, last = object:run(run)
    local sum, n = 0, 0
    for _, results in ipairs { outputs, last } do
      local names = {}
      for name in pairs(results) do
        names[#names + 1] = name
      end
      for _, name in ipairs(sorted(names)) do
        n = n + 1
        sum = sum + (results[name] * normal(50 + n, table.unpack(results[name]:shape()))):sum()
      end
    end
    return sum
  end, inputs, { samples = 12 })
end

local function check_values(program, run)
  local outputs, last = program_of(program):run(run)
  local wanted, wanted_last = program_rows.run(program, run)
  for name, tensor in pairs(wanted) do
    assert.same_values(tensor, outputs[name], ROUNDING)
  end
  for name, tensor in pairs(wanted_last) do
    assert.same_values(tensor, last[name], ROUNDING)
  end
end

local function input(name, width)
  return { op = "input", name = name, width = width }
end

local function node(op, operands, fields)
  fields = fields or {}
  fields.op, fields["in"] = op, operands
  return fields
end

-- Inputs of some widths and parameters of some shapes, then one node of them all.
local function one(op, widths, shapes, fields)
  local program = { parameters = {}, nodes = {}, outputs = {} }
  for n, width in ipairs(widths) do
    program.nodes[n] = input("x" .. n, width)
  end
  for n, shape in ipairs(shapes or {}) do
    program.parameters[n] = { name = "p" .. n, shape = shape }
    program.nodes[#program.nodes + 1] = { op = "parameter", parameter = n - 1 }
  end
  local operands = {}
  for n = 1, #program.nodes do
    operands[n] = n - 1
  end
  program.nodes[#program.nodes + 1] = node(op, operands, fields)
  program.outputs[1] = { name = "y", node = #program.nodes - 1 }
  return program
end

-- h = (1 - z) h + z tanh(V [x, h] + c), z = sigmoid(W_x x + W_h h) from a learned
-- state, and a head that reads h, the gate and the state before. W is [W_x, W_h].
local function recurrent(fields)
  local I, H = 3, 4
  local n = {
    input("x", I), { op = "parameter", parameter = 0 }, { op = "parameter", parameter = 1 },
    { op = "parameter", parameter = 2 }, { op = "parameter", parameter = 3 }, { op = "parameter", parameter = 4 },
    { op = "state", state = 0 },
  }
  n[8] = node("slice", { 1 }, { outer = H, n = I + H, inner = 1, from = 0, count = I }) -- 7: W_x
  n[9] = node("slice", { 1 }, { outer = H, n = I + H, inner = 1, from = I, count = H }) -- 8: W_h
  n[10] = node("linear", { 0, 7 }) -- 9
  n[11] = node("linear", { 6, 8 }) -- 10
  n[12] = node("add", { 9, 10 })
  n[13] = node("sigmoid", { 11 }) -- 12: z
  n[14] = node("concatenate", { 0, 6 }) -- 13
  n[15] = node("linear", { 13, 2, 3 }) -- 14
  n[16] = node("tanh", { 14 }) -- 15
  n[17] = node("subtract", { 15, 6 })
  n[18] = node("multiply", { 12, 16 })
  n[19] = node("add", { 6, 17 }) -- 18: h
  n[20] = node("concatenate", { 18, 12, 6 }) -- 19
  n[21] = node("linear", { 19, 5 }) -- 20
  local state = { name = "h", width = H, first = 4, next = 18 }
  for name, value in pairs(fields or {}) do
    state[name] = value
  end
  return {
    parameters = {
      { name = "W", shape = { H, I + H } }, { name = "V", shape = { H, I + H } }, { name = "c", shape = { H } },
      { name = "h0", shape = { H } }, { name = "out", shape = { 2, 3 * H } },
    },
    states = { state },
    nodes = n,
    outputs = { { name = "y", node = 20 }, { name = "h", node = 18 } },
  }
end

local MASK = core.tensor { { 1, 0, 1 }, { 1, 1, 1 }, { 1, 0, 1 }, { 0, 1, 1 }, { 0, 1, 1 } }
local RESET = core.tensor { { 0, 1, 0 }, { 0, 0, 1 }, { 1, 1, 0 }, { 1, 0, 0 }, { 0, 0, 1 } }

return {
  ROUNDING = ROUNDING, T = T, B = B, MASK = MASK, RESET = RESET, random = random, normal = normal,
  program_of = program_of, tensors_for = tensors_for, check_gradients = check_gradients, check_values = check_values,
  input = input, node = node, one = one, recurrent = recurrent,
}
