-- Models written as ONNX files: read back they say the same, and the files have the form that other
-- programs expect. `make interchange` runs such files in ONNX Runtime.

local core = require "saros.core"
local definitions = require "spec.support.definitions"
local file = require "saros.onnx.file"
local nets = require "spec.support.random_nets"
local said = require "spec.support.said"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local PATH = os.tmpname()
local random = saros.generator(5)

local function made(model, seed)
  model:init { seed = seed or 1 }
  for _, tensor in ipairs(model:parameters()) do
    tensor:assign(tensor + random:normal(tensor:shape(), 0, 0.2))
  end
  return model
end

--- The message of a model's file.
local function written(model, o)
  assert(saros.onnx.write(model, PATH, o))
  return (file.open(PATH, false))
end

local function read(model, o)
  assert(saros.onnx.write(model, PATH, o))
  return assert(saros.onnx.read(PATH))
end

-- Files have weights of 32 bits. In single precision norms of matrix layers magnify roundings, too.
local CLOSE = saros.info().real == "double" and 1e-6 or 1e-5

--- The same, relative to the size of the values.
local function near(wanted, got, what)
  assert.same(wanted:shape(), got:shape(), what)
  local off = ((wanted - got):abs():max() / wanted:abs():max():maximum(1)):item()
  assert(off <= CLOSE, ("%s: %g off"):format(what or "values", off))
end

local function nodes_of(model, op)
  local list = {}
  for _, node in ipairs(model.graph.node) do
    list[#list + 1] = (not op or node.op_type == op) and node or nil
  end
  return list
end

local function attributes_of(node)
  local list = {}
  for _, a in ipairs(node.attribute or {}) do
    list[a.name] = a.s or a.i or a.f or a.ints or a.floats or a.strings or a.g
  end
  return list
end

local function texts_of(model)
  local list = {}
  for _, entry in ipairs(model.metadata_props) do
    list[entry.key] = entry.value
  end
  return list
end

local function dims_of(list)
  local found = {}
  for n, info in ipairs(list) do
    found[n] = info.name .. " " .. table.concat(file.dims(info), " ")
  end
  return found
end

--- A model that was read says what the net says, states included.
local function assert_read(net)
  local model, state = assert(saros.onnx.read(PATH)), net.first and {} or nil
  for name, value in pairs(net.first or {}) do
    state["state." .. name] = value
  end
  local y, after = model(net.x, state, net.lengths and { lengths = net.lengths })
  y = type(y) == "table" and y or { y = y }
  for name, value in pairs(net.outputs) do
    near(value, y[name], net.name .. ", " .. name)
  end
  for name, value in pairs(net.last or {}) do
    near(value, after["state." .. name], net.name .. ", state " .. name)
  end
end

--- What a model reads and says, in its own units, as files have them.
local function in_units(model, inputs, outputs)
  local features = model.kind == "forecaster" and model.scale.inputs or model.kind == "classifier" and model.features
  if features then
    inputs = { x = features:invert(inputs.x) }
  end
  if model.kind == "forecaster" then
    local targets, y = model.scale.targets, outputs.y
    outputs = { y = targets:invert(y:reshape(-1, #targets)):reshape(y:shape()) }
  end
  return inputs, outputs
end

--- A model that was read says what a model says, over a whole sequence and in two pieces.
local function assert_kind(row)
  local model, inputs = definitions.built(row), definitions.inputs_of(row, 6, 2)
  local given, wanted = in_units(model, inputs, (said.whole(model, inputs)))
  assert(saros.onnx.write(model, PATH))
  local back = assert(saros.onnx.read(PATH))
  local function run(part, state)
    local y, after = back(said.only(part), state)
    return type(y) == "table" and y or { [next(wanted)] = y }, after
  end
  local first, state = run(said.part(given, 1, 2))
  local pieces = state and said.joined { first, (run(said.part(given, 3, 6), state)) }
  local whole = run(given)
  for name, value in pairs(wanted) do
    near(value, whole[name], row.name .. ", " .. name)
    if pieces and not said.is_both_ways(model:program()) then
      near(value, pieces[name], row.name .. ", in pieces, " .. name)
    end
  end
end

describe("a model as an ONNX file", function()
  teardown(function() os.remove(PATH) end)

  it("is read back with the same values, states in and out", function()
    for seed = 1, 30 do
      local net = nets.random(seed)
      assert(saros.onnx.write(net.model, PATH, net.options))
      assert_read(net)
    end
  end)

  for first = 1, #definitions.rows, 60 do
    it("is read back whole and in pieces, of each kind from number " .. first, function()
      for n = first, math.min(first + 59, #definitions.rows) do
        if not definitions.rows[n].pairs then
          assert_kind(definitions.rows[n])
        end
      end
    end)
  end

  it("has any number of steps and rows, and states by their names", function()
    local model = written(made(nn.chain { nn.lstm { 3, 4, layers = 2 }, nn.linear { 4, 2 } }))
    assert.same({ "x time batch 3", "state.1.1.h batch 4", "state.1.1.c batch 4", "state.1.2.h batch 4",
      "state.1.2.c batch 4" }, dims_of(model.graph.input))
    assert.same({ "y time batch 2", "next_state.1.1.h batch 4", "next_state.1.1.c batch 4", "next_state.1.2.h batch 4",
      "next_state.1.2.c batch 4" }, dims_of(model.graph.output))
    model = written(made(nn.gru { 3, 4 }), { states = false, batch_first = true, lengths = true })
    assert.same({ "x batch time 3", "lengths batch" }, dims_of(model.graph.input))
    assert.same({ "y batch time 4" }, dims_of(model.graph.output))
    assert.same({ "x batch time 3", "state.1.h batch 4" },
      dims_of(written(made(nn.gru { 3, 4, batch_first = true })).graph.input))
  end)

  it("is read in pieces as in one", function()
    local net = made(nn.chain { nn.gru { 3, 4, layers = 2 }, nn.lstm { 4, 2, peepholes = true } })
    local model, x = read(net), random:normal { 7, 2, 3 }
    local first, state = model(x:slice(1, 1, 3))
    local second = model(x:slice(1, 4, 7), state)
    near((net(x)), saros.concatenate({ first, second }, 1))
  end)

  it("has layers as operators, with both directions in one", function()
    local model = written(made(nn.chain { nn.lstm { 3, 4, bidirectional = true }, nn.gru { 8, 3, reset = "before" },
      nn.gru { 3, 3 }, nn.rnn { 3, 2, activation = "relu", bias = false } }), { states = false })
    local lstm, first, second, rnn = nodes_of(model, "LSTM")[1], nodes_of(model, "GRU")[1], nodes_of(model, "GRU")[2],
      nodes_of(model, "RNN")[1]
    assert.same({ hidden_size = 4, direction = "bidirectional" }, attributes_of(lstm))
    assert.same({ hidden_size = 3 }, attributes_of(first))
    assert.same({ hidden_size = 3, linear_before_reset = 1 }, attributes_of(second))
    assert.same({ hidden_size = 2, activations = { "Relu" } }, attributes_of(rnn))
    assert.same({ "x", "0_l0.W", "0_l0.R", "0_l0.B" }, lstm.input)
    assert.equal(3, #rnn.input) -- without biases
    assert.equal(0, #nodes_of(model, "Slice")) -- the directions stay together
  end)

  it("has other cells as a Scan, in which only the step is", function()
    local scan = nodes_of(written(made(nn.mingru { 3, 4 })), "Scan")[1]
    local given = attributes_of(scan)
    assert.same({ 0, 0 }, given.scan_input_directions)
    assert.equal(2, given.num_scan_inputs)
    for _, node in ipairs(given.body.node) do
      assert.not_equal("Gemm", node.op_type) -- products of x stand before it
    end
    local back = nodes_of(written(made(nn.mingru { 3, 4, bidirectional = true }), { states = false }), "Scan")[2]
    assert.same({ 1, 1 }, attributes_of(back).scan_input_directions)
    assert.same({ 1 }, attributes_of(back).scan_output_directions)
  end)

  it("is written again when it was read", function()
    -- Of the attention as it was read a state depends on nothing but itself.
    for _, net in ipairs { nn.windowed_attention { 4, 3, heads = 2 }, nn.chain { nn.gru { 4, 4 }, nn.lru { 4, 4 } } } do
      local x = random:normal { 6, 2, 4 }
      near((made(net)(x)), (read(read(net))(x)))
    end
  end)

  it("streams, also with what it has read before in windows", function()
    for _, net in ipairs { nn.conv1d { 4, 4, kernel = 3, dilation = 2 }, nn.delta { 4, 4, heads = 2 },
      nn.windowed_attention { 4, 3, heads = 2 }, nn.chain { nn.lstm { 4, 4 }, nn.mingru { 4, 4 } } } do
      local session, x = read(made(net)):session(), random:normal { 6, 1, 4 }
      local y = net(x)
      for t = 1, 6 do
        near(y[t][1], session:step(x[t][1]))
      end
    end
  end)

  it("says what it knows beside its weights", function()
    local vocabulary = data.vocabulary.characters "abc"
    local texts = texts_of(written(made(nn.language_model { vocabulary = vocabulary, hidden = 4 }),
      { metadata = { author = "me", version = "7" } }))
    assert.same({ author = "me", version = "7", model = "language_model",
      vocabulary = core.json_encode(vocabulary:to_table()) }, texts)
    texts = texts_of(written(made(nn.slstm { 3, 4, heads = 2 })))
    local first = core.json_decode(texts.first_states)["state.1.m"]
    assert.equal(4, #first)
    assert.is_true(math.abs(first[1] / -1e30 - 1) < 1e-6)
    assert.equal(saros.info().version, texts.version)
    assert.equal("saros", written(made(nn.linear { 2, 2 })).producer_name)
  end)

  it("reads and tells the units of a series", function()
    local line = {}
    for t = 1, 60 do
      line[t] = { 500 + 20 * math.sin(t / 3), math.cos(t / 5) - 3 }
    end
    local series = assert(data.series(saros.tensor(line), { horizon = 2, targets = { 1 } }))
    for _, difference in ipairs { false, true } do
      local model = made(nn.forecaster { series = series, hidden = 4, cell = "gru", difference = difference })
      local x = saros.tensor(line):slice(1, 1, 9)
      near(model:forecasts(x):reshape(9, 1, 2), (read(model)(x:reshape(9, 1, 2))))
    end
    local texts = texts_of((file.open(PATH, false)))
    assert.equal("2", texts.horizon)
    assert.equal(2, #core.json_decode(texts.inputs))
    assert.equal(1, #core.json_decode(texts.targets))
  end)

  it("classifies a whole sequence, in the units of its table", function()
    local numbers = { low = {}, high = {} }
    for i = 1, 6 do
      numbers.low[i] = random:normal { 5, 2 } * 40 + 100
      numbers.high[i] = random:normal { 5, 2 } * 40 + 200
    end
    local labelled = data.labelled(numbers, { valid = 0 })
    local model = made(nn.classifier { features = labelled.features, labels = labelled.labels, hidden = 4, cell = "gru",
      layers = 2, bidirectional = true })
    local y = read(model)(numbers.low[1]:reshape(5, 1, 2))
    near(model(model.features:apply(numbers.low[1]):reshape(5, 1, 2)), y)
    local message = file.open(PATH, false)
    assert.same({ "x time batch 2" }, dims_of(message.graph.input)) -- it reads to and fro, so it has no pieces
    assert.same({ "y batch 2" }, dims_of(message.graph.output))
    assert.equal(core.json_encode(labelled.labels), texts_of(message).labels)
  end)

  it("is told by inspect_file", function()
    local path = PATH .. ".onnx"
    assert(saros.onnx.write(made(nn.linear { 2, 3 }), path))
    local found = assert(saros.inspect_file(path))
    os.remove(path)
    assert.same({ "onnx", 9, { { name = "x", shape = "(time, batch, 2)" } } },
      { found.format, found.graph.parameters, found.graph.inputs })
    assert.matches("onnx, .*\nONNX model of saros.*\noperators  .*\n  .*  F32   %(", tostring(found))
    local nothing, message = saros.inspect_file(path)
    assert.is_nil(nothing)
    assert.equal(("inspect_file: file: expected to read %q, got \"No such file or directory\""):format(path), message)
  end)

  it("counts ids from 0", function()
    local net = made(nn.chain { nn.embedding { 5, 3 }, nn.linear { 3, 2 } })
    local model, ids = read(net), saros.ids { { 1, 5 }, { 2, 3 } }
    near((net(ids)), (model(ids)))
    assert.equal(7, file.open(PATH, false).graph.input[1].type.tensor_type.elem_type)
  end)

  it("has names in UTF-8, each of them once", function()
    local net = nn.module "named"
    function net:forward(x)
      local y = self.a(x["x\xFF"])
      return { ["y\xFF"] = y, [""] = -y, a = y * 2 }
    end
    local one = net.new()
    one.a = one:add_member("a", nn.linear { 2, 2 })
    one.inputs = { { name = "x\xFF", width = 2 }, { name = "a", width = 1 } }
    local graph = written(made(one)).graph
    assert.same({ "x_ time batch 2", "a time batch 1" }, dims_of(graph.input))
    assert.same({ "_ time batch 2", "a_2 time batch 2", "y_ time batch 2" }, dims_of(graph.output))
  end)

  it("is of the opset that is asked for", function()
    local net = made(nn.chain { nn.linear { 3, 4 }, nn.rms_norm { 4 }, nn.layer_norm { 4 } })
    local x = random:normal { 2, 2, 3 }
    for opset, version in pairs { [13] = 7, [14] = 7, [17] = 8, [18] = 8, [20] = 9, [22] = 10, [23] = 11 } do
      near((net(x)), (read(net, { opset = opset })(x)))
      local message = file.open(PATH, false)
      assert.same({ opset, version }, { message.opset, message.ir_version })
      assert.equal(opset >= 17 and 1 or 0, #nodes_of(message, "LayerNormalization"))
    end
  end)

  it("has floats of 32 bits, also of weights that several nodes read", function()
    local vocabulary = data.vocabulary.characters "abcd"
    local model = made(nn.language_model { vocabulary = vocabulary, hidden = 4, tie = true })
    local message, seen = written(model), {}
    for _, tensor in ipairs(message.graph.initializer) do
      seen[tensor.name] = (seen[tensor.name] or 0) + 1
      assert.is_truthy(tensor.data_type == 1 or tensor.data_type == 7)
    end
    assert.equal(1, seen["embedding.weight"])
    assert.equal(1, #nodes_of(message, "Transpose"))
  end)

  it("is there whole or not at all", function()
    local model = made(nn.linear { 2, 2 })
    local ok, message = saros.onnx.write(model, PATH .. "/no/folder.onnx")
    assert.is_nil(ok)
    assert.matches("folder.onnx", message, 1, true)
    assert(saros.onnx.write(model, PATH))
    local before = said and assert(io.open(PATH, "rb")):read "a"
    assert.has_error(function() saros.onnx.write(model, PATH, { opset = 12 }) end)
    assert.equal(before, assert(io.open(PATH, "rb")):read "a")
  end)

  it("refuses what it cannot write, and says why", function()
    local model = made(nn.linear { 2, 2 })
    for message, f in pairs {
      ["onnx.write: expected a model, got nil"] = function() saros.onnx.write() end,
      ["onnx.write: expected a model, got a table"] = function() saros.onnx.write({}, PATH) end,
      ["onnx.write: expected a path, got nil"] = function() saros.onnx.write(model) end,
      ["onnx.write: expected a table of options, got 7"] = function() saros.onnx.write(model, PATH, 7) end,
      ["onnx.write: expected option 'opset' to be an integer from 13 to 23, got 12"] =
        function() saros.onnx.write(model, PATH, { opset = 12 }) end,
      ["onnx.write: expected option 'states' to be true or false, got 1"] =
        function() saros.onnx.write(model, PATH, { states = 1 }) end,
      ["onnx.write: expected option 'metadata' to be a table of texts in UTF-8 by name, got a table"] =
        function() saros.onnx.write(model, PATH, { metadata = { a = "\xFF" } }) end,
      ["onnx.write: unknown option \"opsett\"; did you mean 'opset'?"] =
        function() saros.onnx.write(model, PATH, { opsett = 13 }) end,
      ["onnx.write: expected a model that reads one sequence, got an encoder_decoder"] = function()
        saros.onnx.write(made(nn.encoder_decoder { source = 4, target = 4, hidden = 4 }), PATH)
      end,
      ["a kernel that is not causal reads ahead"] = function()
        saros.onnx.write(made(nn.conv1d { 2, 2, kernel = 3, causal = false }), PATH)
      end,
    } do
      assert.error_matches(f, message, 1, true)
    end
  end)
end)
