-- Programs as text: what is read, and what is refused.

local saros = require "saros"
local core = require "saros.core"

local function input(name, width)
  return { op = "input", name = name, width = width }
end

local function parameter(number)
  return { op = "parameter", parameter = number }
end

local function slice(node)
  node.op, node["in"] = "slice", { 0 }
  return node
end

-- A program as text; absent lists are empty.
local function text(program)
  local parts = {}
  for _, section in ipairs { "parameters", "states", "nodes", "outputs" } do
    local list = program[section] or {}
    parts[#parts + 1] = ('"%s": %s'):format(section, #list > 0 and core.json_encode(list) or "[]")
  end
  return ('{ "format": %d, %s }'):format(program.format or 1, table.concat(parts, ", "))
end

local function read(program)
  return core.program(text(program))
end

local function refuses(program, ...)
  local ok, message = pcall(core.program, type(program) == "string" and program or text(program))
  assert.is_false(ok)
  for _, words in ipairs { ... } do
    assert.matches(words, message, 1, true)
  end
end

-- h = tanh(W x + b + U h)
local function elman()
  return {
    parameters = {
      { name = "W", shape = { 3, 2 } }, { name = "U", shape = { 3, 3 } }, { name = "b", shape = { 3 } },
    },
    states = { { name = "h", width = 3, next = 7 } },
    nodes = {
      input("x", 2), parameter(0), parameter(1), parameter(2),
      { op = "linear", ["in"] = { 0, 1, 3 } },
      { op = "state", state = 0 },
      { op = "linear", ["in"] = { 5, 2 } },
      { op = "add", ["in"] = { 4, 6 } },
      { op = "tanh", ["in"] = { 7 } },
    },
    outputs = { { name = "y", node = 8 } },
  }
end

-- An lstm of 4 units that reads 3 features.
local function lstm(change)
  local cell = {
    op = "cell", cell = "lstm", with = { "weight_ih", "weight_hh", "bias_ih" }, states = { 0, 1 },
    ["in"] = { 0, 1, 2, 3 },
  }
  local program = {
    parameters = {
      { name = "W", shape = { 16, 3 } }, { name = "U", shape = { 16, 4 } }, { name = "b", shape = { 16 } },
    },
    states = { { name = "h", width = 4, next = 4 }, { name = "c", width = 4, next = 4 } },
    nodes = { input("x", 3), parameter(0), parameter(1), parameter(2), cell },
    outputs = { { name = "y", node = 4 } },
  }
  if change then
    change(program, cell)
  end
  return program
end

-- One node behind an input x of that width and more inputs.
local function one(width, node, ...)
  local nodes = { input("x", width) }
  for n, other in ipairs { ... } do
    nodes[#nodes + 1] = input("x" .. n, other)
  end
  nodes[#nodes + 1] = node
  return { nodes = nodes, outputs = { { name = "y", node = #nodes - 1 } } }
end

local function width(...)
  return read(one(...)):outputs()[1].width
end

describe("the text of a program", function()
  it("tells inputs, outputs, states and parameters", function()
    local program = read(elman())
    assert.same({ { name = "x", width = 2 } }, program:inputs())
    assert.same({ { name = "y", width = 3 } }, program:outputs())
    assert.same({ { name = "h", width = 3 } }, program:states())
    assert.same({ { name = "W", shape = { 3, 2 } }, { name = "U", shape = { 3, 3 } }, { name = "b", shape = { 3 } } },
      program:parameters())
    assert.equal("program (9 nodes, 1 inputs, 1 outputs, 1 states)", tostring(program))
  end)

  it("stays as it was", function()
    local given = text(elman())
    assert.equal(given, core.program(given):text())
    assert.equal(given, core.program(core.program(given):text()):text())
  end)

  it("has its sections in any order", function()
    local nodes = '"nodes" : [ {"op":"ids","name":"a \\"]","count":5} ]'
    local program = core.program(('{ "outputs":[],%s , "states":[] ,"parameters":[],"format":1}  '):format(nodes))
    assert.same({ { name = 'a "]', width = 1, count = 5 } }, program:inputs())
  end)

  it("gives widths", function()
    assert.equal(6, width(6, { op = "exp", ["in"] = { 0 } }))
    assert.equal(4, width(1, { op = "add", ["in"] = { 0, 1 } }, 4))
    assert.equal(24, width(6, { op = "expand", ["in"] = { 0 }, outer = 2, times = 4, inner = 3 }))
    assert.equal(8, width(20, slice { outer = 2, n = 5, inner = 2, from = 4, count = 2, step = -3 }))
    assert.equal(10, width(6, { op = "concatenate", ["in"] = { 0, 1 }, outer = 2 }, 4))
    assert.equal(12, width(12, { op = "transpose", ["in"] = { 0 }, outer = 1, a = 4, b = 3, inner = 1 }))
    assert.equal(4, width(12, { op = "sum", ["in"] = { 0 }, outer = 2, n = 3, inner = 2 }))
    assert.equal(6, width(12, { op = "matvec", ["in"] = { 0, 1 }, heads = 2, rows = 3, columns = 2 }, 4))
    assert.equal(12, width(6, { op = "outer", ["in"] = { 0, 1 }, heads = 2 }, 4))
    assert.equal(4, read(lstm()):outputs()[1].width)
  end)

  it("gives a window the taps that its state has room for", function()
    local program = one(3, { op = "window", ["in"] = { 0 }, state = 0, dilation = 2 })
    program.states = { { name = "ring", width = 18, next = 1 } }
    assert.equal(12, read(program):outputs()[1].width)
    program.states[1].width = 17
    refuses(program, "in node 1 (window)", "a multiple of 6 features", "got 17")
  end)
end)

local function attention()
  local program = one(6, { op = "attention", heads = 2, window = 4, states = { 0, 1 }, ["in"] = { 0, 0, 0, 1 } })
  program.parameters = { { name = "distance", shape = { 2, 4 } } }
  program.states = { { name = "memory", width = 36, next = 2 }, { name = "exists", width = 3, next = 2 } }
  table.insert(program.nodes, 2, parameter(0))
  program.outputs[1].node = 2
  return program
end

-- 2 heads of matrices (3, 4), of 2 reflections, with channels' decays.
local function delta(change)
  local program = { states = { { name = "m", width = 24, next = 6 } }, nodes = {},
    outputs = { { name = "y", node = 6 } } }
  for n, features in ipairs { 6, 12, 16, 4, 4, 6 } do
    program.nodes[n] = input("x" .. n, features)
  end
  program.nodes[7] = { op = "delta", ["in"] = { 0, 1, 2, 3, 4, 5 }, heads = 2, reflections = 2, states = { 0 } }
  if change then
    change(program.nodes, program, program.nodes[7])
  end
  return program
end

-- h = tanh(W [x, h]), with a state that only delays and one that begins somewhere.
local function concatenated()
  return {
    parameters = { { name = "W", shape = { 3, 5 } }, { name = "first", shape = { 2 } } },
    states = { { name = "h", width = 3, next = 6 }, { name = "before", width = 2, next = 0, first = 2 } },
    nodes = { input("x", 2), parameter(0), parameter(1), { op = "state", state = 0 }, { op = "state", state = 1 },
      { op = "concatenate", ["in"] = { 4, 3 } }, { op = "linear", ["in"] = { 5, 1 } },
      { op = "tanh", ["in"] = { 6 } },
      { op = "slice", ["in"] = { 7 }, outer = 1, n = 3, inner = 1, from = 1, count = 2 } },
    outputs = { { name = "y", node = 7 }, { name = "z", node = 8 } },
  }
end

describe("a program is refused", function()
  it("with an attention whose states do not fit", function()
    local program = attention()
    assert.equal(6, read(program):outputs()[1].width)
    program.states[1].width = 35
    refuses(program, "states of width 36 and 3 in node 2 (attention), got 35 and 3")
  end)

  it("with a delta node whose operands or state do not fit", function()
    local function changed(words, got, change)
      refuses(delta(change), "expected " .. words, " in node 6 (delta), got " .. got)
    end
    local function of_width(n, features)
      return function(nodes) nodes[n].width = features end
    end
    assert.equal(8, read(delta()):outputs()[1].width)
    assert.equal(8, read(delta(of_width(6, 2))):outputs()[1].width)
    assert.equal(8, read(delta(function(_, _, node) table.remove(node["in"]) end)):outputs()[1].width)
    assert.equal(8, read(delta(function(nodes) nodes[4] = { op = "constant", value = 1 } end)):outputs()[1].width)
    changed("a q for 2 heads", "a width of 7", of_width(1, 7))
    changed("k of width 12", "6", of_width(2, 6))
    changed("a v for 2 heads and 2 reflections", "a width of 14", of_width(3, 14))
    changed("write of width 4, or one constant", "1", of_width(4, 1))
    changed("write of width 4, or one constant", "2", of_width(4, 2))
    changed("erase of width 4, or one constant", "8", of_width(5, 8))
    changed("a decay of width 2 or 6", "1", of_width(6, 1))
    changed("a decay of width 2 or 6", "12", of_width(6, 12))
    changed("a state of width 24", "25", function(_, program) program.states[1].width = 25 end)
    changed("heads from 1 on", "0", function(_, _, node) node.heads = 0 end)
    changed("reflections from 1 on", "0", function(_, _, node) node.reflections = 0 end)
    changed("a q for 2147483647 heads", "a width of 6", function(_, _, node) node.heads = 2147483647 end)
    changed("1 to 64 reflections", "65", function(_, _, node) node.reflections = 65 end)
    changed("a q for 4 heads", "a width of 6", function(_, _, node) node.heads = 4 end)
    changed("k of width 18", "12", function(_, _, node) node.reflections = 3 end)
    changed("1 state", "2", function(_, program, node)
      program.states[2], node.states = { name = "more", width = 24, next = 6 }, { 0, 1 }
    end)
    changed("5 to 6 operands", "4", function(_, _, node) node["in"] = { 0, 1, 2, 3 } end)
    changed("the field heads", "none", function(_, _, node) node.heads = nil end)
    changed("no other fields", '"window"', function(_, _, node) node.window = 2 end)
  end)

  it("that is no such text", function()
    refuses("", "expected '{' at byte 0", "got its end")
    refuses("[]", "expected '{'")
    refuses('{"format": 1}', "expected parameters, got none")
    refuses('{"format": 1, "format": 1}', "expected format once")
    refuses('{"more": 1}', "expected format, parameters", '"more"')
    refuses(text(elman()) .. "x", "the end of the text")
    refuses(text(elman()):gsub("%]", "", 1), "in the text" and "program: expected")
    refuses({ format = 2 }, "expected format 1, got 2; written by a newer version")
    refuses(text(elman()):gsub('"op"', '"op": "add", "op"', 1), "JSON up to byte")
  end)

  it("with unknown operations and fields", function()
    refuses(one(2, { op = "tan", ["in"] = { 0 } }), "in node 1", 'got "tan"')
    refuses(one(2, { op = "tanh", ["in"] = { 0 }, n = 3 }), "in node 1 (tanh)", 'got "n"')
    refuses(one(2, { op = "softmax", ["in"] = { 0 }, outer = 1, n = 2 }), "the field inner in node 1 (softmax)")
    refuses({ nodes = { { op = "constant" } } }, "a value or values", "neither")
    refuses({ nodes = { { op = "constant", value = 1, values = { 1 } } } }, "both")
  end)

  it("with operands that are no earlier nodes", function()
    for _, wrong in ipairs { 1, 2, -1, 0.5, "0" } do
      refuses(one(2, { op = "tanh", ["in"] = { wrong } }), "numbers of earlier nodes as operands in node 1 (tanh)")
    end
    refuses(one(2, { op = "tanh", ["in"] = { 0, 0 } }), "1 to 1 operands in node 1 (tanh), got 2")
    refuses(one(2, { op = "tanh" }), "1 to 1 operands in node 1 (tanh), got 0")
    refuses({ nodes = { { op = "ids", name = "i", count = 3 }, { op = "tanh", ["in"] = { 0 } } } },
      "features as operands in node 1 (tanh), got the ids of node 0")
  end)

  it("with widths that do not fit", function()
    refuses(one(2, { op = "add", ["in"] = { 0, 1 } }, 3), "in node 2 (add), got 2 and 3")
    refuses(one(7, { op = "sum", ["in"] = { 0 }, outer = 2, n = 3, inner = 1 }), "width 6 in node 1 (sum), got 7")
    refuses(one(5, slice { outer = 1, n = 5, inner = 1, from = 3, count = 3 }), "0..4", "3 to 5")
    refuses(one(5, slice { outer = 1, n = 5, inner = 1, from = 1, count = 3, step = -1 }), "1 to -1")
    refuses(one(2, { op = "expand", ["in"] = { 0 }, outer = 1, times = 2147483647, inner = 2 }), "at most 67108863")
    refuses(one(1 << 26, { op = "tanh", ["in"] = { 0 } }), "in node 0 (input)", "at most 67108863")
  end)

  it("with weights that change from step to step", function()
    refuses(one(2, { op = "linear", ["in"] = { 0, 1 } }, 4), "the weight to depend on parameters and constants alone")
    local program = elman()
    program.parameters[1].shape = { 7 }
    refuses(program, "in node 4 (linear)", "a multiple of 2 elements", "got 7")
    program.parameters[1].shape = { 4, 2 }
    refuses(program, "in node 4 (linear)", "a bias of width 4", "got 3")
  end)

  it("with states that do not fit", function()
    local function changed(fields, node)
      local program = elman()
      for name, value in pairs(fields) do
        program.states[1][name] = value
      end
      program.nodes[#program.nodes + 1] = node
      return program
    end
    refuses(changed { next = 9 }, 'in state 0 ("h")', "0..8", "got 9")
    refuses(changed { next = 0 }, "a node of width 3 as next", "node 0 of width 2")
    refuses(changed { first = 4 }, "parameters and constants alone as first")
    refuses(changed { first = 1 }, "a node of width 3 as first")
    refuses(changed { width = 0 }, "in state 0", "width in 1..67108863", "got 0")
    refuses(changed { more = 1 }, "in state 0", "3 fields")
    refuses(changed { title = 1 }, "in state 0", "a name")
    assert.is_truthy(read(changed { title = "h" }))
    refuses(changed({}, { op = "state", state = 1 }), "in node 9 (state)", "state in 0..0", "got 1")
    refuses(changed({}, { op = "window", ["in"] = { 8 }, state = 0, dilation = 1 }), "states whose next is the node")
    assert.is_truthy(read(changed { first = 3 }))
  end)

  it("with states of a cell that others read", function()
    refuses(lstm(function(program)
      program.nodes[6] = { op = "state", state = 1 }
    end), "in node 5 (state)", "a state that no other node keeps")
    refuses(lstm(function(_, cell)
      cell.states = { 0, 0 }
    end), "in node 4 (cell)", "each of its states once")
  end)

  it("with a cell's parameters that do not fit", function()
    local function changed(words, change)
      refuses(lstm(change), "in node 4 (cell)", words)
    end
    changed("weight_hh of 64 elements", function(p) p.parameters[2].shape = { 16, 5 } end)
    changed("weight_ih of 48 elements", function(p) p.nodes[1].width, p.parameters[1].shape = 3, { 15, 3 } end)
    changed("a parameter that the cell lstm has", function(_, cell) cell.with[3] = "nu" end)
    changed("weight_ih once", function(p, cell) cell.with[2], p.parameters[2].shape = "weight_ih", { 48 } end)
    changed("weight_hh in node 4 (cell), got none", function(p, cell)
      cell.with[2], p.parameters[2].shape = "bias_hh", { 16 }
    end)
    changed("names of a layer's parameters", function(_, cell) cell.with[2] = "weight" end)
    changed("3 operands behind x", function(_, cell) cell["in"][4] = nil end)
    changed("the name of a cell", function(_, cell) cell.cell = "lstn" end)
    changed("2 states", function(_, cell) cell.states[2] = nil end)
    local function other(name, units, with)
      return function(p, cell)
        cell.cell, cell.with, cell["in"], cell.states, p.states[2] = name, with, { 0, 1 }, { 0 }, nil
        p.parameters[1].shape, p.states[1].width = { units, 3 }, units
      end
    end
    changed("nu in node 4 (cell), got none", other("lru", 4, { "weight_ih" }))
    changed("a state of a multiple of 2", other("lru", 3, { "weight_ih" }))
    changed("a parameter that the cell gru_before has", other("gru_before", 4, { "norm_gain" }))
    changed("a state h of width 5", function(p) p.states[2].width = 5 end)
    changed("dropout in [0, 1)", function(_, cell) cell.dropout = 1 end)
    changed("zoneout in [0, 1)", function(_, cell) cell.zoneout = { -1 } end)
  end)

  it("with states that depend on each other in both directions", function()
    refuses({
      states = { { name = "a", width = 2, next = 3, reverse = true }, { name = "b", width = 2, next = 2 } },
      nodes = { { op = "state", state = 0 }, { op = "state", state = 1 }, { op = "tanh", ["in"] = { 0 } },
        { op = "tanh", ["in"] = { 1 } } },
    }, "depend on each other in one direction")
  end)

  it("with a state of a shape that is not its width", function()
    local function with(shape)
      local state = { name = "m", width = 6, next = 0, shape = shape }
      return { states = { state }, nodes = { { op = "state", state = 0 } } }
    end
    refuses(with { 2, 2 }, "a shape of 6 elements in state 0, got 4")
    refuses(with { 2, 0 }, "shape")
    refuses(with "6", "a shape of at most")
    assert.is_truthy(read(with { 2, 3 }))
  end)

  it("with a name twice", function()
    refuses(one(2, input("x", 3)), 'each name of inputs once, got a second "x"')
    local program = elman()
    program.parameters[3].name = "W"
    refuses(program, 'each name of parameters once, got a second "W"')
  end)

  it("with more than it may have", function()
    local nodes = {}
    for n = 1, 65537 do
      nodes[n] = '{"op":"constant","value":1}'
    end
    local whole = '{"format":1,"parameters":[],"states":[],"outputs":[],"nodes":[%s]}'
    refuses(whole:format(table.concat(nodes, ",")), "at most 65536 nodes, got more")
    nodes[#nodes] = nil
    assert.is_truthy(core.program(whole:format(table.concat(nodes, ","))))
  end)

  it("or prepared in time, however its concatenations are nested", function()
    local program = { states = { { name = "h", width = 1, next = 0 } }, nodes = { { op = "state", state = 0 } } }
    local nodes = program.nodes
    for _ = 1, 12 do -- 4^12 times h
      local last = #nodes - 1
      nodes[#nodes + 1] = { op = "concatenate", ["in"] = { last, last, last, last } }
    end
    local all, sum = #nodes - 1, 0
    program.parameters = { { name = "W", shape = { 1, 1 << 24 } } }
    nodes[#nodes + 1] = parameter(0)
    for _ = 1, 5000 do
      nodes[#nodes + 1] = { op = "linear", ["in"] = { all, all + 1 } }
      nodes[#nodes + 1] = { op = "add", ["in"] = { sum, #nodes - 1 } }
      sum = #nodes - 1
    end
    program.states[1].next = sum
    local object, start = read(program), core.clock()
    assert.is_false(pcall(object.run, object, { parameters = {}, inputs = {} }))
    assert.is_true(core.clock() - start < 5)
  end)

  -- Runs a program on ones and zeros, if it is small.
  local function run(program)
    local given, elements = { parameters = {}, inputs = {} }, 0
    for _, wanted in ipairs(program:parameters()) do
      local count = 1
      for _, size in ipairs(wanted.shape) do
        count = count * size
      end
      elements = elements + count
      given.parameters[wanted.name] = elements < 1e5 and core.full(wanted.shape, 0.5) or nil
    end
    for _, value in ipairs(program:inputs()) do
      elements = elements + value.width
      given.inputs[value.name] = value.count and core.ids { { 1, 1 }, { 1, 1 } }
        or elements < 1e5 and core.ones(2, 2, value.width) or nil
    end
    given.mask = core.tensor { { 1, 1 }, { 1, 0 } }
    given.reset = core.tensor { { 0, 1 }, { 1, 0 } }
    return pcall(program.run, program, given)
  end

  it("or read, whatever its text is, and then runs; nothing else happens", function()
    local random = saros.generator(17)
    local signs = { "0", "1", "-1", '"', "[", "]", "{", "}", ",", ":", "e9", "9999999999", "true", "\\", "\0", "x" }
    local samples = { text(elman()), text(lstm()), text(attention()), text(one(12, {
      op = "matvec", ["in"] = { 0, 1 }, heads = 2, rows = 3, columns = 2,
    }, 4)), text(concatenated()) }
    -- Other signs anywhere, or another number for a number.
    local function change(given)
      local at = random:integer(#given)
      if random:integer(4) == 1 then
        return given:sub(1, at - 1) .. signs[random:integer(#signs)] .. given:sub(at + random:integer(3) - 1)
      end
      local first, last = given:find("%d+", at)
      return first and given:sub(1, first - 1) .. random:integer(8) - 1 .. given:sub(last + 1) or given
    end
    local read_ones, ran = 0, 0
    for _ = 1, 6000 do
      local given = samples[random:integer(#samples)]
      for _ = 1, random:integer(3) do
        given = change(given)
      end
      local ok, program = pcall(core.program, given)
      assert.is_true(ok or program:find("program: expected", 1, true) ~= nil, given)
      if ok then
        local fine, message = run(program)
        read_ones, ran = read_ones + 1, ran + (fine and 1 or 0)
        assert.is_true(fine or message:find("expected", 1, true) ~= nil, message)
      end
    end
    assert.is_true(read_ones > 300 and read_ones < 4000, read_ones)
    assert.is_true(ran > 200, ran)
  end)
end)
