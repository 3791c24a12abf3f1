--- A trained model as one C99 file that needs nothing but the C library: the
--- weights as constants, a state that the caller owns, and a step. Whatever has a
--- program can be exported, as the file is written from that.

local core = require "saros.core"
local options = require "saros.options"
local evaluate = require "saros.export.evaluate"
local pairs_of = require "saros.export.pairs"
local parts_of = require "saros.export.parts"
local sequence_of = require "saros.export.sequence"
local write = require "saros.export.write"
local batch_first = require "saros.nn.batch_first"
local module = require "saros.nn.module"
local inputs_of = require("saros.program.program").inputs

local identifier = options.kind("a C identifier of at most 40 characters that begins with a letter", function(value)
  return type(value) == "string" and #value <= 40 and value:find "^[A-Za-z][A-Za-z0-9_]*$" and value or nil
end)

local check = options.declare("export_c", {
  { "name", identifier, "model" },
  { "weights", options.one_of { "real", "int8" }, "real" },
  { "test", options.optional(options.kind("a sequence that the model reads", function(value)
    return value
  end)) },
})

-- What the test of a file steps through, unless it is given.
local TEST_STEPS = 8

-- --- What the file is checked with ---------------------------------------------------------

--- Some input, a row for each step: ids (T) or features (T, width).
local function draw(node, generator, scale)
  if node.op == "input" then
    local x = generator:normal { TEST_STEPS, node.width }
    return scale and x * core.tensor(scale.factor) + core.tensor(scale.shift) or x
  end
  local ids = {}
  for step = 1, TEST_STEPS do
    ids[step] = generator:integer(node.count)
  end
  return core.ids(ids)
end

--- What was given for one input of the test.
local function given_input(value, parts, node)
  return sequence_of(value, parts.input, node)
    or options.fail(("export_c: expected option 'test' to be a sequence that the model reads, %s, got %s"):format(
      node.op == "ids" and "ids (T)" or ("numbers (T, %d)"):format(node.width), options.describe(value)))
end

--- What the test of the file steps through: as given, or drawn.
local function test_inputs(o, parts, nodes)
  local generator, list = core.generator(1), {}
  for position, node in ipairs(nodes) do
    if o.test == nil then
      list[position] = draw(node, generator, parts.before)
    else
      local given = o.test
      if #nodes > 1 then
        given = type(given) == "table" and given[node.name] or nil
      end
      list[position] = given_input(given, parts, node)
    end
  end
  return list
end

--- What a model without more says when it is called: each output by name, (T, width).
local function called(net, nodes, inputs)
  local by_name = {}
  for position, node in ipairs(nodes) do
    by_name[node.name] = node.op == "ids" and inputs[position]:reshape(-1, 1)
      or inputs[position]:reshape(-1, 1, node.width)
  end
  local _ <close> = net.batch_first and batch_first.steps_first(net) or nil
  local y = net(#nodes == 1 and by_name[nodes[1].name] or by_name)
  return type(y) == "table" and y or { y = y }
end

--- What a session in 8 bits says: each output, (T, width).
local function stepped(model, program, nodes, inputs, T)
  local session, told = model:session { weights = "int8" }, {}
  for t = 1, T do
    local given = {}
    for position, node in ipairs(nodes) do
      given[node.name] = inputs[position][t]
    end
    local y = session:step(#nodes == 1 and given[nodes[1].name] or given)
    for position, output in ipairs(program.outputs) do
      told[position] = told[position] or {}
      told[position][t] = (position == 1 and y or session:output(output.name)):reshape(-1):clone()
    end
  end
  for position, rows in ipairs(told) do
    told[position] = core.stack(rows)
  end
  return told
end

local function is_stepped(program)
  for _, state in ipairs(program.states or {}) do
    if state.reverse then
      return false
    end
  end
  return true
end

--- What the file has to say, for each output.
local function expected(o, model, parts, program, inputs, graph)
  local list, T = {}, inputs[1] and #inputs[1] or TEST_STEPS
  if o.weights == "int8" and is_stepped(program) then
    return stepped(model, program, inputs_of(program), inputs, T)
  elseif o.weights == "int8" then
    return evaluate(graph, inputs, T)
  elseif parts.ask then
    return { parts.ask(inputs[1]) }
  end
  local told = called(parts.net, inputs_of(program), inputs)
  for position, output in ipairs(program.outputs) do
    list[position] = told[output.name]:reshape(T, -1)
  end
  return list
end

--- Write a trained model as one C99 file without dependencies: `NAME_state`,
--- `NAME_reset(state)`, `NAME_step(state, input, output)` and, over several steps at
--- once, `NAME_run(state, input, steps, output)`, with its weights as constants. A
--- model that reads sequences to and fro has no step, and its run needs room in the
--- caller's `memory`. Several inputs and outputs are arguments in their order. Ids
--- count from 0 there. The file has a test, too: compiled with -DNAME_TEST (in
--- capitals) it steps through some input and returns 0 if the outputs are what the
--- model says here: a classifier's `classify`, a forecaster's `forecasts`, other
--- models when they are called. `test` is a sequence for it, as the model takes it
--- from scripts: a text, or rows of numbers in their own units; for several inputs a
--- table of them by name.
---
--- An encoder-decoder has `NAME_translate(state, source, length, target, limit,
--- memory)`, which writes the likeliest symbol at each step, and its parts
--- `NAME_encode` and `NAME_next`.
---
--- A forecaster takes and tells numbers in the units of its series, a classifier
--- takes them in the units of its features and has `NAME_labels`. A model without a
--- program is refused with the reason. In 8 bits matrices are whole numbers and a
--- scale for each row, and so a quarter of the size; products of at most four outputs
--- stay as they are. The file then says what a session with weights in "int8" says,
--- and the test compares with that; with the same sums in Lua, where no session
--- steps.
---@param model saros.nn.Module
---@param path string
---@param given? { name?: string, weights?: "real"|"int8", test?: any }  "model"; "real": exactly as they are
---@return true? ok  nil if the file could not be written
---@return string? message
local function export_c(model, path, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  if not module.is(model) then
    options.fail("export_c: expected a model, got " .. options.describe(model))
  elseif type(path) ~= "string" then
    options.fail("export_c: expected a path, got " .. options.describe(path))
  end
  if model.kind == "encoder_decoder" then
    return core.write_source(path, pairs_of(model, o))
  end
  local parts = parts_of(model)
  local program = parts.net:program()
  local inputs = test_inputs(o, parts, inputs_of(program))
  local facts = { name = o.name, title = model:describe(), weights = o.weights, vocabulary = model.vocabulary,
    labels = parts.labels, before = parts.before, behind = parts.behind, final = parts.final,
    parameters = model:count() }
  return core.write_source(path, write(program, parts.net:tensors(), facts, function(graph)
    return { inputs = inputs, outputs = expected(o, model, parts, program, inputs, graph) }
  end))
end

return export_c
