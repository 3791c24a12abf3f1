-- Programs over whole sequences: the values of a plain twin, and the gradients that
-- finite differences predict, for every kind of node.

local saros = require "saros"
local core = require "saros.core"
local delta = require "spec.support.delta_program"
local programs = require "spec.support.programs"

local T, B, MASK = programs.T, programs.B, programs.MASK
local RESET, ROUNDING = programs.RESET, programs.ROUNDING
local normal, program_of, tensors_for = programs.normal, programs.program_of, programs.tensors_for
local check_gradients, check_values = programs.check_gradients, programs.check_values
local input, node, one = programs.input, programs.node, programs.one
local recurrent = programs.recurrent

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

describe("a delta node of a program", function()
  for _, kind in ipairs(delta.kinds()) do
    it("changes the matrices of its heads: " .. delta.name(kind), function()
      for _, reverse in ipairs { false, true } do
        kind.reverse = reverse or nil
        local program = delta.program(kind)
        local run = tensors_for(program)
        check_values(program, run)
        for _, steps in ipairs { { mask = MASK }, { reset = RESET }, { mask = MASK, reset = RESET } } do
          run.mask, run.reset = steps.mask, steps.reset
          run.state = { m = normal(3, B, kind.heads * kind.K * kind.V) }
          check_values(program, run)
        end
        check_gradients(program, run)
      end
    end)
  end

  it("writes by a constant, for all heads and reflections", function()
    local program = delta.program { heads = 2, K = 2, V = 3, reflections = 2, constant = 0.5 }
    check_values(program, tensors_for(program))
  end)

  it("spreads what is the same in all steps and rows", function()
    local program = delta.program { heads = 2, K = 2, V = 1, reflections = 1, decay = "head", write = true,
      erase = "same" }
    for n, given in ipairs(program.nodes) do -- the decay and the gate are parameters
      if given.name == "decay" or given.name == "write" then
        program.parameters[#program.parameters + 1] = { name = given.name, shape = { 1, 2 } }
        program.nodes[n] = { op = "parameter", parameter = #program.parameters - 1 }
      end
    end
    local run = tensors_for(program)
    run.mask, run.reset = MASK, RESET
    check_values(program, run)
    check_gradients(program, run)
  end)

  it("goes on where it stopped", function()
    local program = delta.program { heads = 2, K = 3, V = 2, reflections = 2, decay = "channel", write = true,
      erase = "separate" }
    local run, object = tensors_for(program), program_of(program)
    local outputs, last = object:run(run)
    local halves, state = {}, nil
    for n, range in ipairs { { 1, 2 }, { 3, T } } do
      local inputs = {}
      for name, x in pairs(run.inputs) do
        inputs[name] = x:slice(1, range[1], range[2])
      end
      local half, after = object:run { parameters = run.parameters, inputs = inputs, state = state }
      halves[n], state = half.y, after
    end
    assert.same_values(outputs.y, core.concatenate(halves, 1), ROUNDING)
    assert.same_values(last.m, state.m, ROUNDING)
  end)

  it("may be part of a loop, which feeds its output back", function()
    -- the values are the inputs plus the tanh of the last output
    local program = delta.program { heads = 2, K = 3, V = 2, reflections = 1, decay = "head", write = true,
      erase = "same" }
    local at = #program.nodes - 1
    local last = program.nodes[at + 1]
    program.nodes[at + 1] = { op = "state", state = 1 }
    program.nodes[at + 2] = node("tanh", { at })
    program.nodes[at + 3] = node("add", { last["in"][3], at + 1 })
    last["in"][3] = at + 2
    program.nodes[at + 4] = last
    program.states[1].next, program.outputs[1].node = at + 3, at + 3
    program.states[2] = { name = "y", width = 4, next = at + 3 }
    local run = tensors_for(program)
    for _, steps in ipairs { {}, { mask = MASK, reset = RESET } } do
      run.mask, run.reset = steps.mask, steps.reset
      check_values(program, run)
      check_gradients(program, run)
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
