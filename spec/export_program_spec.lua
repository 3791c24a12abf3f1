-- A program as C computes what the program says, whatever its operations are.

local commands = require "spec.support.commands"
local delta = require "spec.support.delta_program"
local evaluate = require "saros.export.evaluate"
local files = require "spec.support.files"
local naive = require "spec.support.naive_program"
local quantise = require "saros.export.quantise"
local random = require "spec.support.random_program"
local read = require "saros.export.graph"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn
local write = require "saros.export.write"

local T = 7
local FLAGS = "-std=c99 -O1 -Wall -Wextra -Wshadow -Wconversion -Werror -pedantic"
local COMPILERS = { { "gcc", FLAGS }, { "clang", FLAGS }, { "g++", "-x c++ " .. FLAGS:gsub("%-std=c99 ", "") } }

-- What a program is given and says, as tensors for the test of its file.
local function test_of(program, parameters, inputs)
  local told, test = naive.run(program, parameters, inputs, T), { inputs = {}, outputs = {} }
  for _, node in ipairs(program.nodes) do
    if node.op == "input" then
      table.insert(test.inputs, saros.tensor(inputs[node.name]))
    elseif node.op == "ids" then
      local ids = {}
      for t, id in ipairs(inputs[node.name]) do
        ids[t] = id + 1
      end
      table.insert(test.inputs, saros.ids(ids))
    end
  end
  for position, output in ipairs(program.outputs) do
    test.outputs[position] = saros.tensor(told[output.name])
  end
  return test
end

local function export(path, name, program, parameters, inputs, given)
  local facts = { name = name, title = "a program", weights = "real", parameters = 0,
    test = given and given.test or test_of(program, parameters, inputs) }
  for field, value in pairs(given or {}) do
    facts[field] = value
  end
  assert(core.write_source(path, write(program, parameters, facts)))
end

-- One program that runs the tests of m1.c, m2.c, ...
local function write_all(folder, count)
  local lines, calls = {}, {}
  for n = 1, count do
    lines[n] = ("#define M%d_TEST\n#define main m%d_main\n#include \"m%d.c\"\n#undef main\n"):format(n, n, n)
    calls[n] = ("  wrong |= m%d_main();\n"):format(n)
  end
  files.write(folder .. "/all.c", ("%sint main(void) {\n  int wrong = 0;\n%s  return wrong;\n}\n"):format(
    table.concat(lines), table.concat(calls)))
end

local function assert_well(folder, count)
  for _, compiler in ipairs(COMPILERS) do
    local output, status = commands.shell(("cd '%s' && %s %s all.c -o all -lm && ./all"):format(folder, compiler[1],
      compiler[2]))
    assert(status == 0, compiler[1] .. ": " .. output)
    assert.equal(count, select(2, output:gsub(": well\n", "")))
  end
end

describe("a program of random operations in C", function()
  it("computes what its definition says, under every compiler", function()
    files.with_folder(function(folder)
      for seed = 1, 24 do
        local program, parameters, inputs = random.program(seed, 5 + seed, T)
        export(("%s/m%d.c"):format(folder, seed), "m" .. seed, program, parameters, inputs)
      end
      write_all(folder, 24)
      assert_well(folder, 24)
    end)
  end)

  it("computes it to and fro, where states walk back", function()
    files.with_folder(function(folder)
      local ways = { { "back" }, { "on", "back" }, { "back", "on" }, { "on", "back", "back", "on" } }
      for seed = 1, 12 do
        local program, parameters, inputs = random.program(100 + seed, 4 + seed // 2, T, ways[seed % 4 + 1])
        export(("%s/m%d.c"):format(folder, seed), "m" .. seed, program, parameters, inputs)
      end
      write_all(folder, 12)
      assert_well(folder, 12)
    end)
  end)
end)

-- Layers to and fro, whose outputs are no states: a delta rule, behind which there is a
-- gate of what it read, twice.
local ToAndFro = nn.module "to_and_fro"
ToAndFro.stateful = true

local KIND = { heads = 2, K = 3, V = 2, reflections = 1, decay = "head", write = true, erase = "same" }

local function to_and_fro(size)
  local self = ToAndFro.new()
  self.input = size
  for layer = 1, 2 do
    for n, reverse in ipairs { false, true } do
      local kind = setmetatable({ reverse = reverse or nil }, { __index = KIND })
      self[layer * 2 + n] = self:add_member(("walk_%d_%d"):format(layer, n), delta.module(size, kind))
      self[-layer * 2 - n] = self:add_member(("gate_%d_%d"):format(layer, n), nn.linear { size, 4 })
    end
    size = 8
  end
  self.head = self:add_member("head", nn.linear { 8, 3 })
  return self
end

--- The outputs on and back, (T, B, 4) each.
function ToAndFro:walk(x, state)
  local on, back, last = nil, nil, {}
  for layer = 1, 2 do
    x = on and on .. back or x
    local a, b
    a, last[layer * 2 - 1] = self[layer * 2 + 1](x, state and state[layer * 2 - 1])
    b, last[layer * 2] = self[layer * 2 + 2](x, state and state[layer * 2])
    on, back = a * saros.sigmoid(self[-layer * 2 - 1](x)), b * saros.sigmoid(self[-layer * 2 - 2](x))
  end
  return on, back, last
end

function ToAndFro:forward(x, state)
  local on, back, last = self:walk(x, state)
  return self.head(on .. back), last
end

describe("a program to and fro in C", function()
  it("says at the end what the walk on left there, and the walk back at the beginning", function()
    files.with_folder(function(folder)
      local net = to_and_fro(3):init { seed = 1 }
      local x = saros.generator(1):normal { T, 3 }
      local on, back = net:walk(x:reshape(T, 1, 3))
      local expected = net.head(on:slice(1, T) .. back:slice(1, 1, 1)):reshape(1, 3)
      local program, tensors = net:program(), net:tensors()
      local rounded = evaluate(read(program, tensors, { final = true }), { x }, T)[1]
      assert.is_true((rounded - expected):abs():max():item() < 0.05)
      for n, weights in ipairs { "real", "int8" } do
        export(("%s/m%d.c"):format(folder, n), "m" .. n, program, tensors, nil, { weights = weights, final = true,
          test = { inputs = { x }, outputs = { n == 1 and expected or rounded } } })
      end
      write_all(folder, 2)
      assert_well(folder, 2)
    end)
  end)
end)

-- The parameters with the values that weights in 8 bits have.
local function rounded(program, tensors)
  local list = {}
  for name, tensor in pairs(tensors) do
    list[name] = tensor
  end
  local function round(number, rows, is_product)
    if is_product and rows <= 4 then
      return
    end
    local name = program.parameters[program.nodes[number + 1].parameter + 1].name
    list[name] = quantise.rows(tensors[name]:reshape(rows, -1)).values
  end
  for _, node in ipairs(program.nodes) do
    if node.op == "linear" or node.op == "lookup" then
      local weight = node["in"][2]
      round(weight, program.parameters[program.nodes[weight + 1].parameter + 1].shape[1], node.op == "linear")
    end
  end
  return list
end

describe("a program with weights in 8 bits", function()
  it("computes what it does with weights that are rounded so", function()
    files.with_folder(function(folder)
      for seed = 1, 20 do
        local ways = seed > 15 and { "on", "back" } or nil
        local program, parameters, inputs = random.program(200 + seed, 5 + seed, T, ways)
        export(("%s/m%d.c"):format(folder, seed), "m" .. seed, program, parameters, inputs,
          { weights = "int8", test = test_of(program, rounded(program, parameters), inputs) })
      end
      write_all(folder, 20)
      assert_well(folder, 20)
    end)
  end)

  it("lets a row that is not finite be NaN, and no other", function()
    files.with_folder(function(folder)
      local program = { format = 1, parameters = { { name = "w", shape = { 5, 2 } } }, nodes = {
        { op = "input", name = "x", width = 2 }, { op = "parameter", parameter = 0 },
        { op = "linear", ["in"] = { 0, 1 } },
      }, outputs = { { name = "y", node = 2 } } }
      local w = saros.tensor { { 1 / 0, 1 }, { 0, 0 }, { 0, 127 }, { 0, 127 }, { 0, 127 } }
      local inputs, n = { x = { { 1, 2 }, { 1 / 0, 1 }, { 0 / 0, 1 } } }, 0 / 0
      local test = { inputs = { saros.tensor(inputs.x) },
        outputs = { saros.tensor { { 0 / 0, 0, 254, 254, 254 }, { n, n, n, n, n }, { n, n, n, n, n } } } }
      export(folder .. "/m1.c", "m1", program, { w = w }, inputs, { weights = "int8", test = test })
      assert.matches("{\n    0, 0, 0, 0, 0, 127, 0, 127, 0, 127,\n}", files.read(folder .. "/m1.c"), 1, true)
      write_all(folder, 1)
      assert_well(folder, 1)
    end)
  end)
end)

-- --- Cells ---------------------------------------------------------------------------------

local I, H = 5, 6

-- A cell's node by its options, with the shapes of its parameters.
local function cell_of(cell, gates, options)
  local P = options.projection or H
  local with, shapes = {}, {}
  local function parameter(wanted, name, ...)
    if wanted then
      with[#with + 1], shapes[#shapes + 1] = name, { ... }
    end
  end
  parameter(not options.made, "weight_ih", gates * H, I)
  parameter(not options.linear, "weight_hh", gates * H, P)
  parameter(options.bias, "bias_ih", gates * H)
  parameter(options.bias and not options.linear, "bias_hh", gates * H)
  parameter(options.norm, "norm_gain", gates * H)
  parameter(options.norm, "norm_bias", gates * H)
  parameter(options.norm_c, "norm_c_gain", H)
  parameter(options.norm_c, "norm_c_bias", H)
  parameter(options.peepholes, "peephole", 3, H)
  parameter(options.projection, "weight_hr", P, H)
  parameter(cell == "lru", "nu", H // 2)
  parameter(cell == "lru", "theta", H // 2)
  return { cell = cell, with = with, shapes = shapes, zoneout = options.zoneout, first = options.first, width = P,
    inputs = options.made and gates * H or I, c = cell == "lstm" }
end

-- Every cell with its options.
local function cells()
  local list = {}
  local function add(...)
    list[#list + 1] = cell_of(...)
  end
  for _, cell in ipairs { "elman_tanh", "elman_relu", "lstm", "gru", "gru_before", "ugrnn" } do
    local gates = ({ elman_tanh = 1, elman_relu = 1, lstm = 4, ugrnn = 2 })[cell] or 3
    add(cell, gates, {})
    add(cell, gates, { bias = true, zoneout = cell == "lstm" and { 0.2, 0.3 } or { 0.2 } })
    add(cell, gates, { made = true, first = true })
    if cell ~= "gru_before" then
      add(cell, gates, { bias = true, norm = true })
    end
  end
  add("lstm", 4, { peepholes = true, projection = 4, bias = true, first = true })
  add("lstm", 4, { norm = true, norm_c = true, peepholes = true, projection = 3, zoneout = { 0.1, 0 } })
  for cell, gates in pairs { mingru = 2, mingru_positive = 2, minlstm = 3, minlstm_positive = 3, lru = 1 } do
    add(cell, gates, { linear = true })
    add(cell, gates, { linear = true, bias = cell ~= "lru", zoneout = { 0.2 }, first = true })
    add(cell, gates, { linear = true, made = true })
  end
  return list
end

-- A program of two such layers, of which the second reads the first and the input.
local function cell_program(entry, generator)
  local program = { format = 1, parameters = {}, states = {}, nodes = { { op = "input", name = "x", width = I } },
    outputs = {} }
  local tensors = {}
  local function add(node)
    program.nodes[#program.nodes + 1] = node
    return #program.nodes - 1
  end
  local function parameter(name, shape)
    program.parameters[#program.parameters + 1] = { name = name, shape = shape }
    tensors[name] = generator:normal(shape) * 0.7
    return add { op = "parameter", parameter = #program.parameters - 1 }
  end
  local x = 0
  for layer = 1, 2 do
    if layer == 2 or entry.inputs ~= I then
      local width = layer == 1 and I or I + entry.width
      local given = layer == 1 and 0 or add { op = "concatenate", ["in"] = { x, 0 } }
      x = add { op = "linear", ["in"] = { given, parameter("between." .. layer, { entry.inputs, width }) } }
    end
    local inputs, states = { x }, {}
    for position, name in ipairs(entry.with) do
      inputs[position + 1] = parameter(("layer_%d.%s"):format(layer, name), entry.shapes[position])
    end
    for position = 1, entry.c and 2 or 1 do
      local width = position == 1 and entry.width or H
      states[position] = #program.states
      program.states[#program.states + 1] = { name = ("%d.%s"):format(layer, position == 1 and "h" or "c"),
        width = width, first = entry.first and parameter(("first.%d.%d"):format(layer, position), { width }) or nil }
    end
    x = add { op = "cell", cell = entry.cell, ["in"] = inputs, with = entry.with, states = states,
      zoneout = entry.zoneout }
    for _, state in ipairs(states) do
      program.states[state + 1].next = x
    end
  end
  program.outputs[1] = { name = "y", node = x }
  return program, tensors
end

describe("a program of cells in C", function()
  it("computes what the layers do, with all their options", function()
    files.with_folder(function(folder)
      local list = cells()
      for n, entry in ipairs(list) do
        local generator = saros.generator(n)
        local program, tensors = cell_program(entry, generator)
        export(("%s/m%d.c"):format(folder, n), "m" .. n, program, tensors, { x = generator:normal({ T, I }):totable() })
      end
      write_all(folder, #list)
      assert_well(folder, #list)
    end)
  end)
end)

-- --- Its functions ----------------------------------------------------------------------------

-- The largest error of each function in ulp, for x in steps of 1 / 1024.
local ERRORS = [[
#include "a.c"
#include <stdio.h>
static double ulp(float got, double expected) {
  const double size = fabs(expected) < 1e-38 ? 1e-38 : fabs(expected);
  return fabs(got - expected) / ldexp(1, ilogb(size) - 23);
}
int main(void) {
  double worst[3] = {0, 0, 0};
  for (int i = -87 * 1024; i <= 87 * 1024; i++) {
    const float x = (float)i / 1024;
    const double errors[3] = {ulp(a_exp(x), exp(x)), ulp(a_tanh(x), tanh(x)), ulp(a_sigmoid(x), 1 / (1 + exp(-x)))};
    for (int f = 0; f < 3; f++)
      worst[f] = errors[f] > worst[f] ? errors[f] : worst[f];
  }
  for (float x = 1e-30f; x < 1; x *= 1.01f) {
    const double error = ulp(a_tanh(x), tanh(x));
    worst[1] = error > worst[1] ? error : worst[1];
  }
  printf("%.3f %.3f %.3f %d %d %d", worst[0], worst[1], worst[2],
    a_tanh(NAN) != a_tanh(NAN), a_sigmoid(NAN) != a_sigmoid(NAN),
    a_exp(INFINITY) == INFINITY && a_exp(-INFINITY) == 0 && a_tanh(-INFINITY) == -1 && a_sigmoid(INFINITY) == 1);
  return 0;
}
]]

if core.info().real == "float" then
  describe("the functions of a C file", function()
    it("are as near to the truth as it says", function()
      files.with_folder(function(folder)
        local nodes = { { op = "input", name = "x", width = 1 }, { op = "exp", ["in"] = { 0 } },
          { op = "tanh", ["in"] = { 1 } }, { op = "sigmoid", ["in"] = { 2 } } }
        local program = { parameters = {}, nodes = nodes, outputs = { { name = "y", node = 3 } } }
        assert(core.write_source(folder .. "/a.c",
          write(program, {}, { name = "a", title = "", weights = "real", parameters = 0 })))
        assert.matches("exp(x) within 2 ulp", files.read(folder .. "/a.c"), 1, true)
        files.write(folder .. "/errors.c", ERRORS)
        for _, compiler in ipairs { "gcc -O2", "clang -O2", "gcc -O0" } do
          local output = commands.shell(("cd '%s' && %s -std=c99 errors.c -o errors -lm && ./errors"):format(folder,
            compiler))
          local exp, tanh, sigmoid, ends = output:match "^(%S+) (%S+) (%S+) (.*)$"
          assert(tonumber(exp), output)
          assert.is_true(tonumber(exp) <= 2 and tonumber(tanh) <= 3 and tonumber(sigmoid) <= 3, output)
          assert.equal("1 1 1", ends)
        end
      end)
    end)
  end)
end
