-- Models from ONNX files: what operators do, axes, states, what is refused.

local saros = require "saros"
local files = require "spec.support.files"
local models = require "spec.support.onnx_models"

local PATH = os.tmpname()
local random = saros.generator(11)

local function near(a, b, tolerance)
  assert.same(b:shape(), a:shape())
  assert.is_true((a - b):abs():max():item() < (tolerance or 2e-6))
end

local function read(given, o)
  models.write(PATH, given)
  return saros.onnx.read(PATH, o)
end

local function refused(given, message, o)
  local model, said = read(given, o)
  assert.is_nil(model)
  assert.matches(message, said, 1, true)
  assert.matches("onnx.read: " .. PATH, said, 1, true)
end

--- y of a graph from x (B, F), for x (1, B, F).
local function apply(nodes, x, tensors, o)
  local model = assert(read({ nodes = nodes, tensors = tensors, inputs = { { "x", { "N", x:size(2) } } },
    outputs = { "y" }, opset = o and o.opset }, nil))
  return model(x:reshape(1, x:size(1), x:size(2)))[1], model
end

local UNARY = {
  Abs = saros.abs, Neg = saros.negate, Exp = saros.exp, Sigmoid = saros.sigmoid, Tanh = saros.tanh, Relu = saros.relu,
  Sin = saros.sin, Cos = saros.cos, Softplus = saros.softplus, Identity = function(x) return x end,
  Softsign = function(x) return x / (1 + x:abs()) end, Reciprocal = function(x) return 1 / x end,
  Sign = function(x) return x / x:abs() end, Mish = function(x) return x * (1 + x:exp()):log():tanh() end,
  LeakyRelu = function(x) return x:maximum(0) + 0.01 * x:minimum(0) end,
  Elu = function(x) return x:maximum(0) + (x:minimum(0):exp() - 1) end,
  Celu = function(x) return x:maximum(0) + (x:minimum(0):exp() - 1) end,
  Selu = function(x) return 1.0507009873554805 * (x:maximum(0) + 1.6732632423543772 * (x:minimum(0):exp() - 1)) end,
  ThresholdedRelu = function(x) return x * x:gt(1) end,
  HardSigmoid = function(x) return (0.2 * x + 0.5):maximum(0):minimum(1) end,
  HardSwish = function(x) return x * (x / 6 + 0.5):maximum(0):minimum(1) end,
  Gelu = function(x) return saros.gelu(x) end, Dropout = function(x) return x end,
  Erf = function(x) return 2 * saros.gelu(x * 2 ^ 0.5) / (x * 2 ^ 0.5) - 1 end,
  Softmax = function(x) return x:exp() / x:exp():sum(2, true) end,
  LogSoftmax = function(x) return x - x:exp():sum(2, true):log() end,
  ReduceSum = function(x) return x:sum(2, true) end, ReduceMean = function(x) return x:mean(2, true) end,
  ReduceMax = function(x) return x:max(2, true) end, ReduceMin = function(x) return x:min(2, true) end,
  ReduceL1 = function(x) return x:abs():sum(2, true) end, ReduceL2 = function(x) return (x * x):sum(2, true):sqrt() end,
  ReduceSumSquare = function(x) return (x * x):sum(2, true) end,
  ReduceLogSumExp = function(x) return x:exp():sum(2, true):log() end,
}

local BINARY = {
  Add = function(a, b) return a + b end, Sub = function(a, b) return a - b end, Mul = function(a, b) return a * b end,
  Div = function(a, b) return a / b end, Max = saros.maximum, Min = saros.minimum, Greater = saros.gt, Less = saros.lt,
  PRelu = function(a, b) return a:maximum(0) + b * a:minimum(0) end, Sum = function(a, b) return a + b end,
  Mean = function(a, b) return (a + b) / 2 end,
}

describe("an operator of an ONNX file", function()
  teardown(function() os.remove(PATH) end)

  for name, f in pairs(UNARY) do
    it("does what its documentation says: " .. name, function()
      local x, is_reduction = random:normal { 3, 5 }, name:find "^Reduce"
      near(apply({ { name, "x", "y", axes = is_reduction and { -1 } or nil } }, x), f(x))
    end)
  end

  for name, f in pairs(BINARY) do
    it("does what its documentation says: " .. name, function()
      local x, w = random:normal { 3, 5 }, random:normal { 5 }
      near(apply({ { name, "x w", "y" } }, x, { w = w }), f(x, w))
    end)
  end

  it("multiplies matrices", function()
    local x, w, b = random:normal { 3, 5 }, random:normal { 5, 2 }, random:normal { 2 }
    near(apply({ { "MatMul", "x w", "y" } }, x, { w = w }), x:matmul(w))
    near(apply({ { "Gemm", "x w b", "y" } }, x, { w = w, b = b }), x:matmul(w) + b)
    local turned = w:transpose():contiguous()
    near(apply({ { "Gemm", "x w b", "y", transB = 1 } }, x, { w = turned, b = b }), x:matmul(w) + b)
    near(apply({ { "Gemm", "x w b", "y", transB = 1, alpha = 0.5, beta = 2.0 } }, x, { w = turned, b = b }),
      x:matmul(w) * 0.5 + b * 2)
  end)

  it("normalises", function()
    local x, g, b = random:normal { 3, 5 }, random:normal { 5 }, random:normal { 5 }
    local centred = x - x:mean(2, true)
    near(apply({ { "LayerNormalization", "x g b", "y" } }, x, { g = g, b = b }),
      centred / ((centred * centred):mean(2, true) + 1e-5):sqrt() * g + b, 1e-5)
    local mean, variance = random:normal { 5 }, random:normal { 5 }:abs() + 0.1
    near(apply({ { "BatchNormalization", "x g b m v", "y", epsilon = 0.01 } }, x,
      { g = g, b = b, m = mean, v = variance }), (x - mean) / (variance + 0.01):sqrt() * g + b, 1e-5)
  end)

  it("has constants, limits and choices", function()
    local x = random:normal { 3, 4 }
    near(apply({ { "Clip", "x low high", "y" } }, x, { low = saros.tensor(-0.5), high = saros.tensor(0.25) }),
      x:maximum(-0.5):minimum(0.25))
    near(apply({ { "Clip", "x", "y", min = -0.5 } }, x), x:maximum(-0.5))
    near(apply({ { "Constant", "", "zero", value_float = 0.0 }, { "Less", "x zero", "c" },
      { "Where", "c zero x", "y" } }, x), x:maximum(0))
    near(apply({ { "Greater", "x zero", "c" }, { "Not", "c", "n" }, { "Cast", "n", "f", to = 1 },
      { "Mul", "f x", "y" } }, x, { zero = saros.zeros(1) }), x:minimum(0))
    near(apply({ { "Pow", "x two", "y" } }, x, { two = saros.tensor(2) }), x * x)
  end)

  it("cuts and joins", function()
    local x = random:normal { 3, 6 }
    near(apply({ { "Slice", "x from stop axes", "y" } }, x, { from = { 1 }, stop = { -1 }, axes = { 1 } }),
      x:slice(2, 2, 5))
    near(apply({ { "Slice", "x from stop axes steps", "y" } }, x,
      { from = { -1 }, stop = { -100 }, axes = { 1 }, steps = { -2 } }), x:slice(2, 6, 2, -2))
    near(apply({ { "Split", "x sizes", "a b", axis = 1 }, { "Concat", "b a", "y", axis = -1 } }, x,
      { sizes = { 2, 4 } }), x:slice(2, 3, 6) .. x:slice(2, 1, 2))
    near(apply({ { "Gather", "x at", "y", axis = 1 } }, x, { at = { 5, 0 } }), x:slice(2, 6, 6) .. x:slice(2, 1, 1))
    near(apply({ { "Gather", "x at", "a", axis = 1 }, { "Unsqueeze", "a one", "y" } }, x, { at = 3, one = { 1 } }),
      x:slice(2, 4, 4))
  end)

  it("pads by a constant and by reflection", function()
    local x = random:normal { 3, 5 }
    near(apply({ { "Pad", "x p", "y" } }, x, { p = { 0, 1, 0, 2 } }), saros.zeros(3, 1) .. x .. saros.zeros(3, 2))
    near(apply({ { "Pad", "x p", "y", mode = "reflect" } }, x, { p = { 0, 2, 0, 1 } }),
      x:slice(2, 3, 2, -1) .. x .. x:slice(2, 4, 4))
    near(apply({ { "Reshape", "q pair", "r" }, { "Slice", "r from stop axes steps", "s" }, { "Transpose", "s", "t" },
      { "Reshape", "t flat", "p" }, { "Pad", "x p", "y", mode = "reflect" } }, x, { q = { 2, 1, 0, 0 },
      pair = { -1, 2 }, from = { -1 }, stop = { -100 }, axes = { 0 },
      steps = { -1 }, flat = { -1 } }), x:slice(2, 3, 2, -1) .. x
      .. x:slice(2, 4, 4))
  end)

  it("follows shapes through integers", function()
    local x = random:normal { 3, 6 }
    local y = apply({
      { "Shape", "x", "s" }, { "Gather", "s zero", "n" }, { "Concat", "n rest", "wanted", axis = 0 },
      { "Reshape", "x wanted", "cube" }, { "Transpose", "cube", "turned", perm = { 0, 2, 1 } },
      { "Flatten", "turned", "flat" }, { "Shape", "flat", "s2" }, { "Slice", "s2 one two", "width" },
      { "Mul", "width width", "w2" }, { "Div", "w2 width", "w3" }, { "Concat", "minus w3", "last", axis = 0 },
      { "Reshape", "flat last", "y" },
    }, x, { zero = { 0 }, rest = { 2, -1 }, one = { 1 }, two = { 2 }, minus = { -1 } })
    near(y, x:reshape(3, 2, 3):transpose(2, 3):reshape(3, 6))
  end)

  it("takes the branch of a condition that is known", function()
    local function branch(op)
      return models.graph { nodes = { { op, "x", op } }, outputs = { op } }
    end
    local x = random:normal { 3, 4 }
    local nodes = { { "Equal", "n eight", "c" },
      { "If", "c", "y", then_branch = branch "Tanh", else_branch = branch "Exp" } }
    near(apply(nodes, x, { n = { 8 }, eight = { 8 } }), x:tanh())
    near(apply(nodes, x, { n = { 9 }, eight = { 8 } }), x:exp())
  end)

  it("has weights of 8 bits as the numbers that they stand for", function()
    local x = random:normal { 3, 4 }
    local bytes = { dims = { 4, 2 }, data_type = 2, raw_data = "\x00\x10\x80\xff\x81\x7f\x01\x40" }
    local zero = { dims = {}, data_type = 2, raw_data = "\x80" }
    local w = saros.tensor { { -128, -112 }, { 0, 127 }, { 1, -1 }, { -127, -64 } }
    near(apply({ { "DynamicQuantizeLinear", "x", "q s z" }, { "MatMulInteger", "q w z zero", "i" },
      { "Cast", "i", "f", to = 1 }, { "Mul", "s scale", "both" }, { "Mul", "f both", "y" } }, x,
      { w = bytes, zero = zero, scale = saros.tensor(0.01) }), x:matmul(w) * 0.01, 1e-5)
    bytes.name, zero.name = nil, nil
    near(apply({ { "DequantizeLinear", "w scale zero", "d" }, { "MatMul", "x d", "y" } }, x,
      { w = bytes, zero = zero, scale = saros.tensor(0.01) }), x:matmul(w) * 0.01, 1e-5)
  end)

  it("convolves over an axis", function()
    local B, L, C, M, K = 2, 9, 4, 6, 3
    local x, w, b = random:normal { B, C, L }, random:normal { M, C // 2, K }, random:normal { M }
    local model = assert(read({ nodes = { { "Conv", "x w b", "y", pads = { 2, 1 }, dilations = { 2 }, strides = { 2 },
      group = 2 } }, tensors = { w = w, b = b }, inputs = { { "x", { "N", C, "L" } } }, outputs = { "y" } }))
    local y, padded = model(x:transpose(2, 3):transpose(1, 2)), saros.zeros(B, C, L + 3)
    padded:slice(3, 3, L + 2):assign(x)
    for t = 1, y:size(1) do
      for m = 1, M do
        local group, sum = (m - 1) // 3, b[m] + saros.zeros(B)
        for c = 1, 2 do
          for k = 1, K do
            sum = sum + padded:select(3, (t - 1) * 2 + (k - 1) * 2 + 1):select(2, group * 2 + c) * w[m][c][k]
          end
        end
        near(y[t]:select(2, m), sum, 1e-5)
      end
    end
  end)
end)

-- --- Whole models --------------------------------------------------------------------------------------

local V, E, H, L = 7, 4, 5, 2

--- A language model, rows first: an embedding, two layers with states (2, B, H), an output.
local function stacked()
  local tensors = { table_ = random:normal { V, E }, V = random:normal { H, V }, zero = { 0 }, one = { 1 } }
  for n = 1, L do
    tensors["W" .. n] = random:normal { 1, 3 * H, n == 1 and E or H } * 0.5
    tensors["R" .. n] = random:normal { 1, 3 * H, H } * 0.5
    tensors["B" .. n] = random:normal { 1, 6 * H }
  end
  return {
    nodes = {
      { "Gather", "table_ ids", "e" }, { "Transpose", "e", "et", perm = { 1, 0, 2 } },
      { "Split", "h0", "a b", axis = 0 },
      { "GRU", "et W1 R1 B1 - a", "Y1 hn1", name = "/rnn/GRU", hidden_size = H, linear_before_reset = 1 },
      { "Squeeze", "Y1 one", "y1" },
      { "GRU", "y1 W2 R2 B2 - b", "Y2 hn2", name = "/rnn/GRU_1", hidden_size = H, linear_before_reset = 1 },
      { "Squeeze", "Y2 one", "y2" }, { "Concat", "hn1 hn2", "hn", axis = 0 },
      { "Transpose", "y2", "yt", perm = { 1, 0, 2 } }, { "MatMul", "yt V", "logits" },
    },
    tensors = tensors, inputs = { { "ids", { "N", "S" }, 7 }, { "h0", { L, "N", H } } }, outputs = { "logits", "hn" },
  }
end

describe("a model from an ONNX file", function()
  teardown(function() os.remove(PATH) end)

  it("reads ids from 1, time first, and has its states by name", function()
    local given = stacked()
    local model = assert(read(given))
    local ids = saros.ids { { 1, 7 }, { 3, 2 }, { 4, 4 } }
    local y, state = model(ids)
    assert.same({ 3, 2, V }, y:shape())
    local net = saros.nn.gru { E, H, layers = 2 }:init { seed = 1 }
    for name, tensor in pairs(model:tensors()) do
      local layer, own = name:match "^rnn_GRU(_?1?)%.(.*)_l0$"
      if layer then
        net:tensors()[own .. (layer == "" and "_l0" or "_l1")]:assign(tensor)
      end
    end
    local h, last = net(saros.nn.embedding { V, E }:load { weight = given.tensors.table_ }(ids))
    near(y, h:matmul(given.tensors.V), 1e-5)
    near(state.h0[1], last[1][1])
    near(state.h0[2], last[2][1])
    local second = model(ids, state)
    near(second, net(saros.nn.embedding { V, E }:load { weight = given.tensors.table_ }(ids), last)
      :matmul(given.tensors.V), 1e-5)
  end)

  it("has sessions, comes back from its own file, and trains", function()
    local model = assert(read(stacked()))
    local ids = saros.ids { { 1, 7 }, { 3, 2 }, { 4, 4 } }
    local y = model(ids)
    local session = model:session { streams = 2 }
    for t = 1, 3 do
      near(session:step(ids[t]), y[t], 1e-5)
    end
    assert.is_true(model:save(PATH))
    near(assert(saros.load(PATH))(ids), y, 1e-5)
    local tape <close> = saros.tape()
    tape:backward(model(ids):sum())
    assert.is_true(model:tensors()["rnn_GRU_1.weight_hh_l0"]:gradient():abs():max():item() > 0)
    assert.is_true(model:tensors().table_:gradient():abs():max():item() > 0)
  end)

  it("keeps the states of layers that begin at zeros", function()
    local w = { W = random:normal { 1, 4 * H, E }, R = random:normal { 1, 4 * H, H }, one = { 1 }, H = { H },
      two = { 2 } }
    local nodes = {
      { "Shape", "x", "s" }, { "Slice", "s one two", "n" }, { "Concat", "one n H", "shape", axis = 0 },
      { "ConstantOfShape", "shape", "h0" }, { "LSTM", "x W R - - h0 h0", "Y hn", name = "cells", hidden_size = H },
      { "Squeeze", "hn zero", "last" }, { "Gemm", "last out", "y" },
    }
    w.zero, w.out = { 0 }, random:normal { H, 2 }
    local model = assert(read { nodes = nodes, tensors = w, inputs = { { "x", { "S", "N", E } } }, outputs = { "y" } })
    local x = random:normal { 6, 3, E }
    local y = model(x)
    assert.same({ 3, 2 }, y:shape()) -- of the last step alone
    local _, state = model(x:slice(1, 1, 4))
    near(model(x:slice(1, 5, 6), state), y, 1e-5)
    local session = model:session { streams = 3 }
    for t = 1, 6 do
      session:step(x[t])
    end
    near(session:step(x[6]), (model(x:slice(1, 6, 6), select(2, model(x)))), 1e-5)
  end)

  it("calls a graph of one step once for each", function()
    local w = { W = random:normal { E, H }, R = random:normal { H, H } }
    local nodes = { { "MatMul", "x W", "a" }, { "MatMul", "h R", "b" }, { "Add", "a b", "c" }, { "Tanh", "c", "h_out" },
      { "Exp", "h_out", "y" } }
    local given = { nodes = nodes, tensors = w, inputs = { { "x", { "N", E } }, { "h", { "N", H } } },
      outputs = { "y", "h_out" } }
    local model = assert(read(given))
    local x, h, expected = random:normal { 4, 2, E }, saros.zeros(2, H), {}
    for t = 1, 4 do
      h = (x[t]:matmul(w.W) + h:matmul(w.R)):tanh()
      expected[t] = h:exp()
    end
    local y, state = model(x)
    near(y, saros.stack(expected), 1e-5)
    near(state.h, h)
    given.outputs[2], given.nodes[4][3], given.nodes[5][2] = "other", "other", "other"
    local both = assert(read(given, { states = { h = "other" } }))
    near(both(x), y)
    refused(given, 'expected the name of an input as a state, got "g"', { states = { g = "other" } })
  end)

  it("has inputs with other axes and with values that do not change", function()
    local given = { nodes = { { "Mul", "x rate", "y" } }, inputs = { { "x", { 2, "N", "S" } }, { "rate", {}, 1 } },
      outputs = { "y" } }
    local model = assert(read(given, { axes = { x = "FBT" }, constants = { rate = 2.5 } }))
    local x = random:normal { 5, 3, 2 }
    near(model(x), x * 2.5)
    refused(given, 'expected axes of input "x" as 3 letters', { axes = { x = "BT" }, constants = { rate = 1 } })
    assert.error_matches(function() model(x:transpose(2, 3)) end, 'expected input "x" as a tensor (T, B, 2)', 1, true)
  end)

  it("takes no input for a state because of the name of an output", function()
    local model = assert(read { nodes = { { "Exp", "input", "output" } }, inputs = { { "input", { "N", E } } },
      outputs = { "output" } })
    assert.is_false(model.stateful)
  end)

  it("is summed up without its weights", function()
    local given = stacked()
    given.nodes[#given.nodes + 1] = { "Det", "logits", "d" }
    models.write(PATH, given)
    local summary = assert(saros.onnx.inspect(PATH))
    assert.same({ "Det" }, summary.unknown)
    assert.equal(2, summary.operators.GRU)
    assert.matches("ids %(N, S%), h0 %(2, N, 5%)", tostring(summary))
  end)
end)

-- --- What is refused -----------------------------------------------------------------------------------

describe("an ONNX file that is refused", function()
  teardown(function() os.remove(PATH) end)

  local function graph(nodes, tensors)
    return { nodes = nodes, tensors = tensors, inputs = { { "x", { "N", 4 } } }, outputs = { "y" } }
  end

  it("says all that is not supported, at once", function()
    refused(graph { { "Det", "x", "a", name = "first" }, { "Foo", "a", "b", domain = "my.own" },
      { "Bar", "x", "unread" }, { "Loop", "- - b", "y", body = models.graph { nodes = { { "Baz", "b", "inner" } },
      outputs = { "inner" } } } }, 'got "first" (Det), "b" (my.own.Foo), "inner" (Baz)')
    refused(graph { { "Loop", "x", "y" } }, '"y" (Loop with 1 inputs)')
    refused(graph { { "Exp", "x", "R" }, { "GRU", "x R R", "y", name = "g" } }, '"g" (GRU with weights that depend on')
  end)

  it("has nodes that need each other, or what nothing gives", function()
    refused(graph { { "Add", "x b", "a" }, { "Exp", "a", "b" }, { "Exp", "b", "y" } },
      'got "b", of a later one or of none')
    refused(graph { { "Exp", "x", "a" } }, "")
    refused(graph({ { "MatMul", "x w", "y" } }, { w = saros.ones(3, 2) }), 'node "y" (MatMul): ')
  end)

  it("asks for more than it is worth", function()
    refused(graph({ { "ConstantOfShape", "s", "c" }, { "Add", "x c", "y" } }, { s = { 1 << 20, 1 << 20 } }),
      "expected a shape of at most")
    local nodes = {}
    for n = 1, 40 do -- a list that doubles
      nodes[n] = { "Concat", ("c%d c%d"):format(n - 1, n - 1), "c" .. n, axis = 0 }
    end
    nodes[41] = { "Add", "x c40", "y" }
    refused(graph(nodes, { c0 = saros.ones(64) }), "makes too many elements")
    refused(graph({ { "MatMul", "a b", "c" }, { "Add", "x c", "y" } },
      { a = saros.ones(9000, 1), b = saros.ones(1, 9000) }), "makes too many elements")
  end)

  it("has tensors in other files, unless that is allowed, and then only in its folder", function()
    files.with_folder(function(folder)
      local path = folder .. "/model.onnx"
      files.write(folder .. "/w.bin", ("\0"):rep(8) .. string.pack("<ffff", 1, 2, 3, 4))
      local function outside(location, offset)
        models.write(path, graph({ { "Add", "x w", "y" } }, { w = { dims = { 4 }, data_type = 1, data_location = 1,
          external_data = { { key = "location", value = location },
            { key = "offset", value = tostring(offset or 8) } } } }))
      end
      outside "w.bin"
      assert.matches("read it with { external = true }", select(2, saros.onnx.read(path)), 1, true)
      local model = assert(saros.onnx.read(path, { external = true }))
      near(model(saros.zeros(1, 2, 4))[1][2], saros.tensor { 1, 2, 3, 4 })
      os.execute(("ln -s /etc/passwd %s/link; ln -s / %s/root"):format(folder, folder))
      for _, name in ipairs { "/etc/passwd", "../w.bin", "a/../../w.bin", "link", "root/etc/passwd", "" } do
        outside(name)
        assert.matches("inside the model's folder", select(2, saros.onnx.read(path, { external = true })), 1, true)
      end
      outside("w.bin", 1 << 40)
      assert.matches("inside its file of 24 bytes", select(2, saros.onnx.read(path, { external = true })), 1, true)
    end)
  end)

  it("was cut, or a byte of it changed: it is read or refused", function()
    models.write(PATH, stacked())
    local text = files.read(PATH)
    local function try(bytes)
      files.write(PATH, bytes)
      local model, message = saros.onnx.read(PATH)
      assert.is_true(model ~= nil or type(message) == "string")
    end
    for size = 0, #text - 1, 7 do
      try(text:sub(1, size))
    end
    for _ = 1, 400 do
      local at, byte = random:integer(#text), random:integer(256) - 1
      try(text:sub(1, at - 1) .. string.char(byte) .. text:sub(at + 1))
    end
  end)
end)
