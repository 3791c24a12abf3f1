-- Programs over whole sequences: the values of a plain twin, the gradients that
-- finite differences predict, and what a recurrent layer promises.

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

local cases = {
  { "linear", { 3 }, { { 4, 3 }, { 4 } } },
  { "add", { 3, 1 } }, { "subtract", { 3 }, { { 3 } } }, { "multiply", { 3, 3 } }, { "divide", { 3, 3 } },
  { "power", { 3, 3 } }, { "maximum", { 3, 3 } }, { "minimum", { 3, 1 } }, { "le", { 3, 3 } }, { "where", { 3, 3, 3 } },
  { "expand", { 6 }, nil, { outer = 2, times = 3, inner = 3 } },
  { "slice", { 12 }, nil, { outer = 2, n = 3, inner = 2, from = 1, count = 2 } },
  { "slice", { 10 }, nil, { outer = 1, n = 5, inner = 2, from = 4, count = 3, step = -2 } },
  { "concatenate", { 2, 3 }, { { 4 } } },
  { "concatenate", { 4, 6 }, nil, { outer = 2 } },
  { "transpose", { 24 }, nil, { outer = 2, a = 3, b = 2, inner = 2 } },
  { "layer_norm", { 6 }, { { 3 }, { 3 } }, { n = 3, epsilon = 1e-5 } },
  { "layer_norm", { 6 }, nil, { n = 6, epsilon = 1e-5 } },
  { "rms_norm", { 6 }, { { 3 } }, { n = 3, epsilon = 1e-5 } }, { "rms_norm", { 6 }, nil, { n = 6, epsilon = 1e-5 } },
  { "matvec", { 12, 4 }, nil, { heads = 2, rows = 3, columns = 2 } },
  { "matvec", { 12, 6 }, nil, { heads = 2, rows = 3, columns = 2, transposed = true } },
  { "outer", { 6, 4 }, nil, { heads = 2 } },
}
for _, op in ipairs { "negate", "abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "sin", "cos", "isfinite" } do
  cases[#cases + 1] = { op, { 4 } }
end
for _, op in ipairs { "sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax", "cumsum" } do
  cases[#cases + 1] = { op, { 12 }, nil, { outer = 2, n = 3, inner = 2 } }
  cases[#cases + 1] = { op, { 3 }, nil, { outer = 1, n = 3, inner = 1 } }
end

local flat = { le = true, isfinite = true } -- without a gradient

describe("a node of a program", function()
  for _, case in ipairs(cases) do
    local op, widths, shapes, fields = table.unpack(case, 1, 4)
    it(("%s of %s has its value and gradient"):format(op, table.concat(widths, ", ")), function()
      local program = one(op, widths, shapes, fields)
      local run = tensors_for(program)
      if op == "max" or op == "min" then -- finite differences must not change which one it is
        local order = saros.generator(1):permutation(T * B * widths[1]):totable()
        run.inputs.x1 = core.tensor(order):reshape(T, B, widths[1]) * 0.03
      end
      check_values(program, run)
      if not flat[op] then
        check_gradients(program, run)
      end
    end)
  end

  it("of parameters alone is the same in every row, and has a gradient", function()
    local program = {
      parameters = {
        { name = "W", shape = { 4, 3 } }, { name = "gain", shape = { 4, 1 } }, { name = "b", shape = { 4 } },
      },
      nodes = { input("x", 3), { op = "parameter", parameter = 0 }, { op = "parameter", parameter = 1 },
        { op = "parameter", parameter = 2 }, node("expand", { 2 }, { outer = 4, times = 3, inner = 1 }),
        node("multiply", { 1, 4 }), node("linear", { 0, 5, 3 }), node("exp", { 3 }),
        { op = "constant", values = { 1, 2, 3, 4 } }, node("multiply", { 7, 8 }), node("tanh", { 6 }) },
      outputs = { { name = "y", node = 10 }, { name = "e", node = 9 } },
    }
    local run = tensors_for(program)
    check_values(program, run)
    check_gradients(program, run)
  end)

  it("reads rows of a table", function()
    local program = {
      parameters = { { name = "table", shape = { 5, 2 } } },
      nodes = { { op = "ids", name = "i", count = 5 }, { op = "parameter", parameter = 0 }, node("lookup", { 0, 1 }) },
      outputs = { { name = "y", node = 2 } },
    }
    local run = tensors_for(program)
    check_values(program, run)
    run.mask, run.reset = MASK, RESET
    check_values(program, run)
    check_gradients(program, run)
  end)

  for _, reverse in ipairs { false, true } do
    it("sees a window of past values" .. (reverse and " from the end" or ""), function()
      local program = one("window", { 2 }, nil, { state = 0, dilation = 2 })
      program.states = { { name = "ring", width = 8, next = 1, reverse = reverse or nil } }
      local run = tensors_for(program)
      check_values(program, run)
      run.state, run.mask, run.reset = { ring = normal(3, B, 8) }, MASK, RESET
      check_values(program, run)
      check_gradients(program, run)
    end)
  end

  it("drops in training alone, the same all the time if it is shared", function()
    for _, shared in ipairs { false, true } do
      local program = program_of(one("dropout", { 40 }, nil, { p = 0.5, shared = shared }))
      local x = core.ones(T, B, 40)
      local y = program:run { parameters = {}, inputs = { x1 = x } }.y
      assert.same_values(x, y, 0)
      local _ <close> = saros.tape()
      y = program:run { parameters = {}, inputs = { x1 = x }, generator = saros.generator(1) }.y
      assert.equal(0, (y:eq(0) + y:eq(2) - 1):abs():sum():item())
      assert.is_true(y:sum():item() > 400 and y:sum():item() < 800)
      assert.equal(shared, y[1]:eq(y[2]):min():item() == 1)
      assert.has_error(function()
        program:run { parameters = {}, inputs = { x1 = x } }
      end, "program: expected a generator for dropout and zoneout in training, got none")
    end
  end)
end)

local function each_way(title, check)
  for _, reverse in ipairs { false, true } do
    it(title .. (reverse and " from the end" or ""), function()
      local program = recurrent { reverse = reverse or nil }
      check(program, tensors_for(program))
    end)
  end
end

describe("attention in a program", function()
  local W, heads, F = 3, 2, 4
  local function attention(reverse)
    local program = one("attention", { F, F, F }, { { heads, W } }, { heads = heads, window = W, states = { 0, 1 } })
    program.states = { { name = "memory", width = (W - 1) * 2 * F, next = 4, reverse = reverse },
      { name = "exists", width = W - 1, next = 4, reverse = reverse } }
    return program
  end

  -- y of a row at a step, from the steps that it sees: lists of { k, v, distance }.
  local function attended(q, seen)
    local y = {}
    for head = 0, heads - 1 do
      local scores, d = {}, F // heads
      for n, step in ipairs(seen) do
        scores[n] = step.distance[head + 1]
        for k = head * d + 1, (head + 1) * d do
          scores[n] = scores[n] + q[k] * step.k[k] / math.sqrt(d)
        end
      end
      local total = 0
      for _, score in ipairs(scores) do
        total = total + math.exp(score)
      end
      for k = head * d + 1, (head + 1) * d do
        y[k] = 0
        for n, step in ipairs(seen) do
          y[k] = y[k] + math.exp(scores[n]) / total * step.v[k]
        end
      end
    end
    return y
  end

  it("looks back W steps, at steps of its piece that count", function()
    local program = attention()
    local run = tensors_for(program)
    for _, steps in ipairs { {}, { mask = MASK }, { mask = MASK, reset = RESET } } do
      run.mask, run.reset = steps.mask, steps.reset
      local y = program_of(program):run(run).y
      local keep = steps.reset and core.keep(RESET, MASK)
      for b = 1, B do
        local seen = {}
        for t = 1, T do
          if keep and keep[t][b] == 0 then
            seen = {}
          end
          if not steps.mask or MASK[t][b] == 1 then
            table.insert(seen, 1, { k = run.inputs.x2[t][b]:totable(), v = run.inputs.x3[t][b]:totable() })
            seen[W + 1] = nil
            for n, step in ipairs(seen) do
              step.distance = run.parameters.p1:slice(2, W + 1 - n, W + 1 - n):reshape(heads):totable()
            end
            local wanted = attended(run.inputs.x1[t][b]:totable(), seen)
            assert.same_values(core.tensor(wanted), y[t][b], ROUNDING)
          else
            assert.equal(0, y[t][b]:abs():sum():item())
          end
        end
      end
      check_gradients(program, run)
    end
  end)

  it("goes on where it stopped, in the state of the layer", function()
    local layer = saros.nn.windowed_attention { F, W, heads = heads }:init { seed = 4 }
    local program = attention()
    local run = tensors_for(program)
    run.parameters.p1 = layer.distance
    local qkv = core.linear(normal(31, T, B, F), layer.in_proj_weight, layer.in_proj_bias)
    run.inputs = { x1 = qkv:slice(3, 1, F), x2 = qkv:slice(3, F + 1, 2 * F), x3 = qkv:slice(3, 2 * F + 1, 3 * F) }
    local object = program_of(program)
    local outputs, last = object:run(run)
    local y, state = layer(normal(31, T, B, F))
    assert.same_values(y, layer.out_proj(outputs.y), ROUNDING)
    assert.same_values(state[1], last.memory, ROUNDING)
    assert.same_values(state[2], last.exists, 0)
    local halves = {}
    for n, range in ipairs { { 1, 2 }, { 3, T } } do
      local inputs = {}
      for name, x in pairs(run.inputs) do
        inputs[name] = x:slice(1, range[1], range[2])
      end
      local half, after = object:run { parameters = run.parameters, inputs = inputs, state = halves.state }
      halves[n], halves.state = half.y, after
    end
    assert.same_values(outputs.y, core.concatenate(halves, 1), ROUNDING)
  end)
end)

describe("a loop of a program", function()
  each_way("gives what its steps give one by one", function(program, run)
    run.state, run.mask, run.reset = { h = normal(9, B, 4) }, MASK, RESET
    local fast, fast_last = program_of(program):run(run)
    run.plain = true
    local slow, slow_last = program_of(program):run(run)
    assert.same_values(slow.y, fast.y, ROUNDING)
    assert.same_values(slow_last.h, fast_last.h, ROUNDING)
    check_gradients(program, run)
  end)

  it("may begin with what comes after it in the table", function()
    local program = recurrent()
    program.nodes[22] = node("tanh", { 4 })
    program.states[1].first = 21
    local run = tensors_for(program)
    check_values(program, run)
    run.reset = RESET
    check_values(program, run)
    check_gradients(program, run)
  end)

  each_way("has the values and gradients of its steps", function(program, run)
    check_values(program, run)
    check_gradients(program, run)
    run.state = { h = normal(9, B, 4) }
    check_values(program, run)
    check_gradients(program, run)
  end)

  each_way("holds its state at masked steps", function(program, run)
    run.mask, run.state = MASK, { h = normal(9, B, 4) }
    check_values(program, run)
    check_gradients(program, run)
    run.inputs.x:select(2, 2):slice(1, 3, 3):fill(0 / 0)
    local outputs, last = program_of(program):run(run)
    assert.equal(1, outputs.y:isfinite():min():item() * last.h:isfinite():min():item())
    assert.equal(0, outputs.h[3][2]:abs():sum():item())
  end)

  each_way("starts again at resets, from where it begins", function(program, run)
    run.reset, run.state = RESET, { h = normal(9, B, 4) }
    check_values(program, run)
    check_gradients(program, run)
    run.mask = MASK
    check_values(program, run)
    check_gradients(program, run)
  end)

  each_way("has dropout of what products read, and zoneout", function(program, run)
    run.dropout, run.zoneout = { h = normal(21, B, 4) }, { h = random(22, T, B, 4) * 0.5 }
    program.nodes[14], program.nodes[15] = node("linear", { 6, 8, 3 }), node("add", { 13, 9 }) -- no concatenation
    check_values(program, run)
    check_gradients(program, run)
    run.mask, run.reset = MASK, RESET
    check_values(program, run)
    check_gradients(program, run)
  end)

  it("goes on where it stopped", function()
    local program = recurrent()
    local run = tensors_for(program)
    local object = program_of(program)
    local all, last = object:run(run)
    local x = run.inputs.x
    local first, state = object:run { parameters = run.parameters, inputs = { x = x:slice(1, 1, 2) } }
    local second, after = object:run { parameters = run.parameters, inputs = { x = x:slice(1, 3, T) }, state = state }
    assert.same_values(all.y, core.concatenate({ first.y, second.y }, 1), ROUNDING)
    assert.same_values(last.h, after.h, ROUNDING)
  end)

  it("is what its rows are alone", function()
    local program = recurrent()
    local run = tensors_for(program)
    run.mask, run.reset = MASK, RESET
    local object = program_of(program)
    local all, last = object:run(run)
    for b = 1, B do
      local row, after = object:run {
        parameters = run.parameters, inputs = { x = run.inputs.x:slice(2, b, b) },
        mask = MASK:slice(2, b, b), reset = RESET:slice(2, b, b),
      }
      assert.same_values(all.y:slice(2, b, b), row.y, ROUNDING)
      assert.same_values(last.h:slice(1, b, b), after.h, ROUNDING)
    end
  end)

  it("may have states that only delay, that nobody reads, and that several nodes read", function()
    local program = {
      parameters = { { name = "first", shape = { 2 } } },
      states = { { name = "before", width = 2, next = 0, first = 1 }, { name = "sum", width = 2, next = 4 },
        { name = "square", width = 2, next = 6 }, { name = "constant", width = 2, next = 1 } },
      nodes = { input("x", 2), { op = "parameter", parameter = 0 }, { op = "state", state = 0 },
        { op = "state", state = 1 }, node("add", { 0, 3 }), { op = "state", state = 1 },
        node("multiply", { 0, 0 }), { op = "state", state = 3 },
        node("concatenate", { 2, 3, 5, 7 }) },
      outputs = { { name = "y", node = 8 }, { name = "sum", node = 4 } },
    }
    local run = tensors_for(program)
    for _, steps in ipairs { {}, { mask = MASK }, { reset = RESET }, { mask = MASK, reset = RESET } } do
      run.mask, run.reset = steps.mask, steps.reset
      for _, state in ipairs { {}, { before = normal(5, B, 2), sum = normal(6, B, 2), square = normal(7, B, 2) } } do
        run.state = state
        check_values(program, run)
        check_gradients(program, run)
      end
    end
    for _, s in ipairs(program.states) do
      s.reverse = true
    end
    check_values(program, run)
    check_gradients(program, run)
  end)
end)

-- h = tanh(W [x, u, h, c] + b) with c = sin(V [[h, x], u]): columns of what no state
-- reaches on both sides of the states.
local function concatenated()
  return {
    parameters = { { name = "W", shape = { 3, 10 } }, { name = "b", shape = { 3 } }, { name = "V", shape = { 3, 7 } } },
    states = { { name = "h", width = 3, next = 9 }, { name = "c", width = 3, next = 13 } },
    nodes = { input("x", 2), input("u", 2), { op = "parameter", parameter = 0 }, { op = "parameter", parameter = 1 },
      { op = "parameter", parameter = 2 }, { op = "state", state = 0 }, { op = "state", state = 1 },
      node("concatenate", { 0, 1, 5, 6 }), node("linear", { 7, 2, 3 }), node("tanh", { 8 }),
      node("concatenate", { 5, 0 }), node("concatenate", { 10, 1 }), node("linear", { 11, 4 }), node("sin", { 12 }) },
    outputs = { { name = "y", node = 9 }, { name = "z", node = 13 } },
  }
end

describe("a product of a concatenation in a loop", function()
  it("has the values and gradients of the whole", function()
    local program = concatenated()
    local run = tensors_for(program)
    check_values(program, run)
    check_gradients(program, run)
    run.mask, run.reset = MASK, RESET
    check_values(program, run)
    check_gradients(program, run)
  end)

  it("reads a state through its dropout", function()
    local program = concatenated()
    local run = tensors_for(program)
    run.dropout = { h = normal(41, B, 3), c = normal(42, B, 3) }
    local y = program_of(program):run(run).y
    program.nodes[15], program.nodes[16] = input("factor_h", 3), input("factor_c", 3)
    local function moved(number) -- two inputs come first
      return number + 2
    end
    local nodes = { table.remove(program.nodes), table.remove(program.nodes) }
    for _, old in ipairs(program.nodes) do
      for n, operand in ipairs(old["in"] or {}) do
        old["in"][n] = moved(operand)
      end
      nodes[#nodes + 1] = old
    end
    -- the states times their factors stand behind the states, in the place of them
    table.insert(nodes, 10, node("multiply", { 7, 1 }))
    table.insert(nodes, 11, node("multiply", { 8, 0 }))
    for at = 12, #nodes do
      for n, operand in ipairs(nodes[at]["in"]) do
        nodes[at]["in"][n] = operand == 7 and 9 or operand == 8 and 10 or operand > 8 and operand + 2 or operand
      end
    end
    program.nodes = nodes
    program.states[1].next, program.states[2].next = 13, 17
    program.outputs = { { name = "y", node = 13 } }
    local factors = { x = run.inputs.x, u = run.inputs.u }
    for name, factor in pairs(run.dropout) do
      factors["factor_" .. name] = factor:reshape(1, B, 3) + core.zeros(T, B, 3)
    end
    local wanted = program_of(program):run { parameters = run.parameters, inputs = factors }
    assert.same_values(wanted.y, y, ROUNDING)
  end)
end)

-- A random program of width-4 values: some inputs, parameters and states, then nodes of
-- all kinds that read any of them, each state's next being any node behind them.
local function random_program(seed)
  local generator = saros.generator(seed)
  local function pick(list)
    return list[generator:integer(#list)]
  end
  local program = {
    parameters = { { name = "W", shape = { 4, 4 } }, { name = "V", shape = { 4, 8 } }, { name = "b", shape = { 4 } } },
    states = {}, outputs = {},
    nodes = { input("x", 4), input("u", 4), { op = "parameter", parameter = 0 }, { op = "parameter", parameter = 1 },
      { op = "parameter", parameter = 2 }, node("tanh", { 2 }) },
  }
  local nodes, rows, matrices = program.nodes, { 0, 1, 4 }, { 2, 5 }
  local function add(new)
    nodes[#nodes + 1] = new
    return #nodes - 1
  end
  for number = 1, generator:integer(4) do
    program.states[number] = { name = "s" .. number, width = 4, first = generator:integer(3) == 1 and 4 or nil }
    for _ = 1, generator:integer(2) do
      rows[#rows + 1] = add { op = "state", state = number - 1 }
    end
  end
  local function middle(of)
    return add(node("slice", { of }, { outer = 1, n = 4, inner = 1, from = 1, count = 2 }))
  end
  local function pair()
    return { pick(rows), pick(rows) }
  end
  local choice = add { op = "constant", values = { 1, 0, 0, 1 } }
  local made = #nodes
  for _ = 1, 4 + generator:integer(10) do
    local new = pick {
      node("linear", { pick(rows), pick(matrices) }), node("linear", { pick(rows), pick(matrices), 4 }),
      node("linear", { add(node("concatenate", pair())), 3, 4 }), node("tanh", { pick(rows) }),
      node("sigmoid", { pick(rows) }), node("sin", { pick(rows) }), node("multiply", pair()), node("add", pair()),
      node("subtract", pair()), node("where", { choice, pick(rows), pick(rows) }),
      node("softmax", { pick(rows) }, { outer = 1, n = 2, inner = 2 }),
      node("layer_norm", { pick(rows) }, { n = 4, epsilon = 0.1 }),
      node("transpose", { pick(rows) }, { outer = 1, a = 2, b = 2, inner = 1 }),
      node("slice", { add(node("concatenate", pair())) },
        { outer = 2, n = 4, inner = 1, from = 3, count = 2, step = -2 }),
      node("matvec", { pick(rows), middle(pick(rows)) }, { heads = 1, rows = 2, columns = 2 }),
    }
    local number = add(new)
    if new.op == "matvec" then
      number = add(node("expand", { number }, { outer = 1, times = 2, inner = 2 }))
    end
    rows[#rows + 1] = add(node("tanh", { number })) -- values stay small
  end
  for number, state in ipairs(program.states) do
    repeat
      state.next = pick(rows)
    until state.next >= made or state.next < 2 or number > 2
  end
  for number = 1, 3 do
    program.outputs[number] = { name = "y" .. number, node = pick(rows) }
  end
  return program
end

describe("random programs", function()
  it("are what their nodes say, row by row and step by step", function()
    for seed = 1, 150 do
      local program, generator = random_program(seed), saros.generator(seed)
      local run, reverse = tensors_for(program), generator:integer(3) == 1 or nil
      for _, state in ipairs(program.states) do
        state.reverse = reverse
      end
      run.mask, run.reset = generator:integer(2) == 1 and MASK or nil, generator:integer(2) == 1 and RESET or nil
      run.state = generator:integer(2) == 1 and { s1 = normal(seed, B, 4) } or nil
      check_values(program, run)
      run.plain = true
      check_values(program, run)
      run.plain = nil
      if seed % 3 == 0 then
        check_gradients(program, run)
      end
    end
  end)
end)

-- A cell as a program, and its parameters by name.
local function cell_program(cell, with, shapes, states, fields)
  local program = {
    parameters = {}, states = {}, nodes = { input("x", 3) }, outputs = { { name = "y", node = #with + 1 } },
  }
  local operands = { 0 }
  for n, name in ipairs(with) do
    program.parameters[n] = { name = name, shape = shapes[n] }
    program.nodes[n + 1] = { op = "parameter", parameter = n - 1 }
    operands[n + 1] = n
  end
  local numbers = {}
  for n, name in ipairs(states) do
    program.states[n] = { name = name, width = 4, next = #with + 1, reverse = fields and fields.reverse }
    numbers[n] = n - 1
  end
  local cell_node = node("cell", operands, { cell = cell, with = with, states = numbers })
  cell_node.zoneout, cell_node.dropout = fields and fields.zoneout, fields and fields.dropout
  program.nodes[#with + 2] = cell_node
  return program
end

local function lstm(fields)
  return cell_program("lstm", { "weight_ih", "weight_hh", "bias_ih", "peephole" },
    { { 16, 3 }, { 16, 4 }, { 16 }, { 3, 4 } }, { "h", "c" }, fields)
end

describe("a cell of a program", function()
  for _, reverse in ipairs { false, true } do
    it("is the fused layer" .. (reverse and " from the end" or ""), function()
      local program = lstm { reverse = reverse or nil }
      local run = tensors_for(program)
      for _, steps in ipairs { {}, { mask = MASK }, { reset = RESET }, { mask = MASK, reset = RESET } } do
        run.mask, run.reset, run.state = steps.mask, steps.reset, { h = normal(7, B, 4), c = normal(8, B, 4) }
        local outputs, last = program_of(program):run(run)
        local y, state = core.recurrent("lstm", steps.mask and core.mask_rows(run.inputs.x, MASK) or run.inputs.x,
          { run.state.h, run.state.c }, run.parameters, { mask = steps.mask, reset = steps.reset, reverse = reverse })
        assert.same_values(y, outputs.y, 0)
        assert.same_values(state[1], last.h, 0)
        assert.same_values(state[2], last.c, 0)
      end
    end)
  end

  it("begins with its first states, also at a reset", function()
    local program = cell_program("elman_tanh", { "weight_ih", "weight_hh" }, { { 4, 3 }, { 4, 4 } }, { "h" })
    program.parameters[3] = { name = "first", shape = { 4 } }
    table.insert(program.nodes, 2, { op = "parameter", parameter = 2 })
    program.nodes[5]["in"] = { 0, 2, 3 }
    program.states[1].first, program.states[1].next, program.outputs[1].node = 1, 4, 4
    local run = tensors_for(program)
    run.reset = RESET
    local outputs = program_of(program):run(run)
    local p = run.parameters
    local y = core.recurrent("elman_tanh", run.inputs.x, nil,
      { weight_ih = p.weight_ih, weight_hh = p.weight_hh, first_h = p.first }, { reset = RESET })
    assert.same_values(y, outputs.y, 0)
    check_gradients(program, run)
  end)

  it("has zoneout and dropout in training, and the mean of zoneout otherwise", function()
    local program = lstm { zoneout = { 0.25, 0.5 }, dropout = 0.5 }
    local run, object = tensors_for(program), program_of(program)
    local zone = core.ones(T, B, 4)
    local y = core.recurrent("lstm", run.inputs.x, nil, run.parameters,
      { zoneout_h = zone * 0.75, zoneout_c = zone * 0.5 })
    assert.same_values(y, object:run(run).y, 0)
    local _ <close> = saros.tape()
    run.generator = saros.generator(3)
    local first = object:run(run).y
    assert.is_true((first - y):abs():max():item() > 1e-3)
    run.generator = saros.generator(3)
    assert.same_values(first, object:run(run).y, 0)
  end)

  it("may be part of a loop, which feeds its output back", function()
    -- an elman cell that reads x and the tanh of its own last output
    local program = {
      parameters = { { name = "W", shape = { 4, 7 } }, { name = "U", shape = { 4, 4 } } },
      states = { { name = "y", width = 4, next = 6 }, { name = "h", width = 4, next = 5 } },
      nodes = { input("x", 3), { op = "parameter", parameter = 0 }, { op = "parameter", parameter = 1 },
        { op = "state", state = 0 }, node("concatenate", { 0, 3 }),
        node("cell", { 4, 1, 2 }, { cell = "elman_tanh", with = { "weight_ih", "weight_hh" }, states = { 1 } }),
        node("sin", { 5 }) },
      outputs = { { name = "y", node = 6 } },
    }
    local plain = {
      parameters = program.parameters,
      states = { { name = "y", width = 4, next = 10 }, { name = "h", width = 4, next = 9 } },
      nodes = { input("x", 3), { op = "parameter", parameter = 0 }, { op = "parameter", parameter = 1 },
        { op = "state", state = 0 }, { op = "state", state = 1 }, node("concatenate", { 0, 3 }),
        node("linear", { 5, 1 }), node("linear", { 4, 2 }), node("add", { 6, 7 }), node("tanh", { 8 }),
        node("sin", { 9 }) },
      outputs = { { name = "y", node = 10 } },
    }
    local run = tensors_for(program)
    for _, steps in ipairs { {}, { mask = MASK, reset = RESET } } do
      run.mask, run.reset = steps.mask, steps.reset
      local outputs, last = program_of(program):run(run)
      local wanted, wanted_last = program_of(plain):run(run)
      assert.same_values(wanted.y, outputs.y, ROUNDING)
      assert.same_values(wanted_last.h, last.h, ROUNDING)
      check_gradients(program, run)
    end
  end)
end)

describe("running a program", function()
  local function refuses(words, change)
    local program = recurrent()
    local run = tensors_for(program)
    change(run)
    local ok, message = pcall(program_of(program).run, program_of(program), run)
    assert.is_false(ok)
    assert.matches(words, message, 1, true)
  end

  it("refuses what does not fit", function()
    refuses('expected input "x" of shape (5, 3, 3), got (5, 3, 4)', function(run) run.inputs.x = core.ones(T, B, 4) end)
    refuses('expected input "x" of shape (T, B, F)', function(run) run.inputs.x = core.ones(T, 3) end)
    refuses('expected input "x" of shape (T, B, F)', function(run) run.inputs.x = nil end)
    refuses('expected parameter "W" of shape (4, 7), got none', function(run) run.parameters.W = nil end)
    refuses('expected parameter "W" of shape (4, 7), got (7, 4)', function(run) run.parameters.W = core.ones(7, 4) end)
    refuses('expected the names of the program', function(run) run.parameters.w = core.ones(7, 4) end)
    refuses('expected state "h" of shape (3, 4)', function(run) run.state = { h = core.ones(4) } end)
    refuses('expected a mask of shape (5, 3)', function(run) run.mask = core.ones(3, 5) end)
    refuses('expected zoneout of "h" of shape (5, 3, 4)', function(run) run.zoneout = { h = core.ones(3, 4) } end)
    refuses("run: ", function(run) run.more = 1 end)
  end)
end)
