-- Programs whose states lead back into themselves: what a recurrent layer promises.

local saros = require "saros"
local core = require "saros.core"
local programs = require "spec.support.programs"

local T, B, MASK = programs.T, programs.B, programs.MASK
local RESET, ROUNDING = programs.RESET, programs.ROUNDING
local random, normal, program_of = programs.random, programs.normal, programs.program_of
local tensors_for, check_gradients = programs.tensors_for, programs.check_gradients
local check_values, input, node = programs.check_values, programs.input, programs.node
local recurrent = programs.recurrent

local function each_way(title, check)
  for _, reverse in ipairs { false, true } do
    it(title .. (reverse and " from the end" or ""), function()
      local program = recurrent { reverse = reverse or nil }
      check(program, tensors_for(program))
    end)
  end
end

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

  it("goes back through a logsumexp of nothing as its steps do", function()
    local never = -math.huge
    local program = { -- a'[j] = x[j] + logsumexp over i of a[i] + m[i][j], from left to right
      parameters = { { name = "first", shape = { 3 } }, { name = "m", shape = { 3, 3 } } },
      states = { { name = "a", width = 3, next = 7, first = 1 } },
      nodes = { input("x", 3), { op = "parameter", parameter = 0 }, { op = "parameter", parameter = 1 },
        { op = "state", state = 0 }, node("expand", { 3 }, { outer = 3, times = 3, inner = 1 }), node("add", { 4, 2 }),
        node("logsumexp", { 5 }, { outer = 1, n = 3, inner = 3 }), node("add", { 6, 0 }),
        node("logsumexp", { 7 }, { outer = 1, n = 3, inner = 1 }) },
      outputs = { { name = "y", node = 8 } },
    }
    local x = normal(1, T, B, 3)
    local function gradients(plain)
      local run = { inputs = { x = x:clone() }, plain = plain, parameters = { first = core.tensor { 0, never, never },
        m = core.tensor { { 0, 0, never }, { never, 0, 0 }, { never, never, 0 } } } }
      local tape <close> = core.tape()
      tape:watch(run.inputs.x)
      tape:watch(run.parameters.m)
      tape:backward(program_of(program):run(run).y:sum())
      return run.inputs.x:gradient(), run.parameters.m:gradient()
    end
    local of_x, of_m = gradients()
    local wanted_of_x, wanted_of_m = gradients(true)
    assert.equal(1, of_m:isfinite():min():item())
    assert.same_values(wanted_of_x, of_x, ROUNDING)
    assert.same_values(wanted_of_m, of_m, ROUNDING)
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

-- h = tanh(W drop(h) + drop(x + h)), with one mask for all steps and one for each.
local function dropping()
  return {
    parameters = { { name = "W", shape = { 4, 4 } } }, states = { { name = "h", width = 4, next = 8 } },
    nodes = { input("x", 4), { op = "parameter", parameter = 0 }, { op = "state", state = 0 },
      node("dropout", { 2 }, { p = 0.4, shared = true }), node("linear", { 3, 1 }), node("add", { 0, 2 }),
      node("dropout", { 5 }, { p = 0.3 }), node("add", { 4, 6 }), node("tanh", { 7 }) },
    outputs = { { name = "y", node = 8 }, { name = "shared", node = 3 }, { name = "each", node = 6 } },
  }
end

describe("dropout in a loop", function()
  local program, run = dropping(), nil

  before_each(function()
    run = tensors_for(program)
    run.inputs.x, run.state = run.inputs.x + 1, { h = normal(9, B, 4) + 1 }
  end)

  -- Outputs, last states and the gradient of W, in training from the same seed.
  local function trained(plain)
    run.generator, run.plain = core.generator(3), plain
    local W = run.parameters.W
    W:clear_gradient()
    local tape <close> = core.tape()
    tape:watch(W)
    local outputs, last = program_of(program):run(run)
    tape:backward((outputs.y * normal(8, T, B, 4)):sum() + last.h:sum())
    return outputs, last, W:gradient():clone()
  end

  it("is that of its steps, padded and reset, in both directions", function()
    for _, reverse in ipairs { false, true } do
      program.states[1].reverse = reverse or nil
      for _, steps in ipairs { {}, { mask = MASK }, { reset = RESET }, { mask = MASK, reset = RESET } } do
        run.mask, run.reset = steps.mask, steps.reset
        local fast, fast_last, fast_gradient = trained(false)
        local slow, slow_last, slow_gradient = trained(true)
        for name, y in pairs(slow) do
          assert.same_values(y, fast[name], ROUNDING)
        end
        assert.same_values(slow_last.h, fast_last.h, ROUNDING)
        assert.same_values(slow_gradient, fast_gradient, ROUNDING * 10)
      end
    end
    program.states[1].reverse = nil
  end)

  it("has one mask for all steps, or one for each step and row", function()
    local outputs = trained(false)
    local shared, each = outputs.shared:eq(0), outputs.each:eq(0)
    assert.equal(0, (shared - shared[1]):abs():max():item())
    assert.equal(1, (each - each[1]):abs():max():item())
    assert.equal(1, (each - each:slice(2, 1, 1)):abs():max():item())
  end)

  it("draws what dropout of step after step would draw, from the first on", function()
    local each = trained(false).each:ne(0)
    local generator = core.generator(3)
    local _ <close> = core.tape()
    core.dropout(core.ones(B, 4), 0.4, generator)
    for t = 1, T do
      assert.same_values(core.dropout(core.ones(B, 4), 0.3, generator):ne(0), each[t], 0)
    end
  end)

  it("has the gradients of finite differences", function()
    assert.gradients_match(function()
      run.generator = core.generator(3)
      local outputs, last = program_of(program):run(run)
      return (outputs.y * normal(8, T, B, 4)):sum() + last.h:sum()
    end, { W = run.parameters.W, x = run.inputs.x, h = run.state.h })
  end)

  it("lets all through in evaluation, and wants a generator in training", function()
    local outputs = program_of(program):run(run)
    assert.equal(0, outputs.each:eq(0):sum():item() + outputs.shared:eq(0):sum():item())
    local _ <close> = core.tape()
    assert.error_matches(function() program_of(program):run(run) end,
      "program: expected a generator for dropout and zoneout in training, got none")
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

-- h - softplus(-a) h + s (tanh(b) - h) with s = sigmoid(a) and [a, b] = x + U h: a product
-- that is added to what no state reaches, products that are subtracted, and a slope of
-- softplus that is 1 - s. The gates are long enough to be saved in place of the sums. Then
-- runs of 8 features change places.
local function added()
  local W = 72
  local function half(from)
    return node("slice", { 4 }, { outer = 1, n = 2 * W, inner = 1, from = from, count = W })
  end
  return {
    parameters = { { name = "U", shape = { 2 * W, W } } },
    states = { { name = "h", width = W, next = 16 } },
    nodes = { input("x", 2 * W), { op = "parameter", parameter = 0 }, { op = "state", state = 0 },
      node("linear", { 2, 1 }), node("add", { 0, 3 }), half(0), half(W), node("negate", { 5 }), node("softplus", { 7 }),
      node("sigmoid", { 5 }), node("tanh", { 6 }), node("subtract", { 10, 2 }), node("multiply", { 9, 11 }),
      node("multiply", { 8, 2 }), node("subtract", { 12, 13 }), node("add", { 2, 14 }),
      node("transpose", { 15 }, { outer = 1, a = 3, b = 3, inner = 8 }) },
    outputs = { { name = "y", node = 16 } },
  }
end

describe("a product in a loop that is added to a value of all steps", function()
  it("has the values and gradients of its steps", function()
    local program = added()
    local run = tensors_for(program)
    check_values(program, run)
    check_gradients(program, run)
    run.mask, run.reset = MASK, RESET
    check_values(program, run)
    check_gradients(program, run)
  end)

  it("may be read elsewhere, too", function()
    local program = added()
    program.outputs[2], program.outputs[3] = { name = "u", node = 3 }, { name = "sum", node = 4 }
    local run = tensors_for(program)
    check_values(program, run)
    check_gradients(program, run)
  end)
end)

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

-- A random program in the making: values of width 4 (rows) and weights that products read.
local Draft = {}
Draft.__index = Draft

function Draft:pick(list)
  return list[self.generator:integer(#list)]
end

function Draft:row()
  return self:pick(self.rows)
end

function Draft:pair()
  return { self:row(), self:row() }
end

-- A node; its number.
function Draft:add(new)
  local nodes = self.program.nodes
  nodes[#nodes + 1] = new
  return #nodes - 1
end

function Draft:concatenated()
  return self:add(node("concatenate", self:pair()))
end

local function add_states(self)
  for number = 1, self.generator:integer(4) do
    local first = self.generator:integer(3) == 1 and 4 or nil
    self.program.states[number] = { name = "s" .. number, width = 4, first = first }
    for _ = 1, self.generator:integer(2) do
      self.rows[#self.rows + 1] = self:add { op = "state", state = number - 1 }
    end
  end
end

-- A node of each kind, of which one is to be chosen.
local function one_of_each(self, choice)
  local function middle(of)
    return self:add(node("slice", { of }, { outer = 1, n = 4, inner = 1, from = 1, count = 2 }))
  end
  return {
    node("linear", { self:row(), self:pick(self.matrices) }),
    node("linear", { self:row(), self:pick(self.matrices), 4 }),
    node("linear", { self:concatenated(), 3, 4 }), node("tanh", { self:row() }),
    node("sigmoid", { self:row() }), node("sin", { self:row() }), node("multiply", self:pair()),
    node("add", self:pair()), node("subtract", self:pair()), node("where", { choice, self:row(), self:row() }),
    node("softmax", { self:row() }, { outer = 1, n = 2, inner = 2 }),
    node("layer_norm", { self:row() }, { n = 4, epsilon = 0.1 }),
    node("transpose", { self:row() }, { outer = 1, a = 2, b = 2, inner = 1 }),
    node("slice", { self:concatenated() }, { outer = 2, n = 4, inner = 1, from = 3, count = 2, step = -2 }),
    node("matvec", { self:row(), middle(self:row()) }, { heads = 1, rows = 2, columns = 2 }),
  }
end

local function add_operation(self, choice)
  local new = self:pick(one_of_each(self, choice))
  local number = self:add(new)
  if new.op == "matvec" then
    number = self:add(node("expand", { number }, { outer = 1, times = 2, inner = 2 }))
  end
  self.rows[#self.rows + 1] = self:add(node("tanh", { number })) -- values stay small
end

-- Some inputs, parameters and states, then nodes of all kinds that read any of them, each
-- state's next being any node behind them.
local function random_program(seed)
  local program = {
    parameters = { { name = "W", shape = { 4, 4 } }, { name = "V", shape = { 4, 8 } }, { name = "b", shape = { 4 } } },
    states = {}, outputs = {},
    nodes = { input("x", 4), input("u", 4), { op = "parameter", parameter = 0 }, { op = "parameter", parameter = 1 },
      { op = "parameter", parameter = 2 }, node("tanh", { 2 }) },
  }
  local self = setmetatable({ generator = saros.generator(seed), program = program, rows = { 0, 1, 4 },
    matrices = { 2, 5 } }, Draft)
  add_states(self)
  local choice = self:add { op = "constant", values = { 1, 0, 0, 1 } }
  local made = #program.nodes
  for _ = 1, 4 + self.generator:integer(10) do
    add_operation(self, choice)
  end
  for number, state in ipairs(program.states) do
    repeat
      state.next = self:row()
    until state.next >= made or state.next < 2 or number > 2
  end
  for number = 1, 3 do
    program.outputs[number] = { name = "y" .. number, node = self:row() }
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
