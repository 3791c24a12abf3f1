-- net:load of tensors under the names of other libraries.

local files = require "spec.support.files"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local FOLDER = "spec/references/formats/"

local function keras_net()
  return nn.chain {
    nn.embedding { 7, 3 }, nn.lstm { 3, 4 }, nn.gru { 4, 5 }, nn.gru { 5, 3, reset = "before", bidirectional = true },
    nn.lstm { 6, 4 }, nn.batch_norm { 4 }, nn.layer_norm { 4 }, nn.conv1d { 4, 4, kernel = 3 }, nn.linear { 4, 2 },
  }
end

local function lines(mapped)
  local found = {}
  for line in tostring(mapped):gmatch "[^\n]+" do
    found[line] = true
  end
  return found
end

describe("net:load with Keras' names", function()
  local given = assert(saros.read_tensors(FOLDER .. "keras.npz"))

  it("gives the outputs of Keras, and says what it did", function()
    local net, mapped = keras_net():load(FOLDER .. "keras.npz", { prefix = "net/", names = "keras" })
    assert.same_values(given.y, net(given.x:transpose()):transpose(1, 2), 2e-6)
    local said = lines(mapped)
    for _, line in ipairs {
      "1.weight_ih_l0 <- layers/lstm/cell/vars/0: transposed",
      "1.bias_hh_l0 <- zeros: none in the file",
      "2.weight_hh_l0 <- layers/gru/cell/vars/1: transposed, gates z r h to r z n",
      "2.bias_hh_l0 <- layers/gru/cell/vars/2: part 2, gates z r h to r z n",
      "3.weight_ih_l0_reverse <- layers/bidirectional/backward_layer/cell/vars/0: transposed, gates z r h to r z n",
      "4.weight_ih_l0 <- layers/lstm_1/cell/vars/0: transposed",
      "5.running_var <- layers/batch_normalization/vars/3",
      "7.weight <- layers/conv1d/vars/0: transposed",
      "8.weight <- layers/dense/vars/0: transposed",
    } do
      assert.is_true(said[line], line)
    end
    assert.same({}, mapped.unused)
  end)

  it("reads .weights.h5 as Keras writes it", function()
    local of = assert(saros.read_tensors(FOLDER .. "keras_h5.npz"))
    local net, mapped = nn.chain { nn.gru { 2, 3 }, nn.linear { 3, 1 } }:load(FOLDER .. "keras.weights.h5",
      { names = "keras" })
    assert.same_values(of.y, (net(of.x:transpose(1, 2))):transpose(1, 2), 2e-6)
    assert.is_true(lines(mapped)["1.weight <- layers/dense/vars/0: transposed"])
    local found = assert(saros.inspect_file(FOLDER .. "keras.weights.h5"))
    assert.equal("hdf5", found.format)
    assert.same({ name = "layers/gru/cell/vars/2", type = "F32", shape = { 2, 9 }, bytes = 72 }, found.tensors[5])
  end)

  it("orders layers by a number that comes twice in their names, and leaves out what optimizers keep", function()
    local all = {}
    for n, name in ipairs { "lstm", "lstm_2", "lstm_10" } do
      local place = ("model_weights/%s/sequential/%s/lstm_cell/"):format(name, name)
      all[place .. "kernel"], all[place .. "recurrent_kernel"] = saros.full({ 1, 4 }, n), saros.full({ 1, 4 }, n)
      all[place .. "bias"] = saros.full({ 4 }, n)
    end
    all["optimizer_weights/adam/lstm_kernel_momentum"] = saros.ones(1, 4)
    local net, mapped = nn.lstm({ 1, 1, layers = 3 }):load(all, { names = "keras" })
    for n = 1, 3 do
      assert.equal(n, net:tensors()["weight_hh_l" .. n - 1][1][1])
    end
    assert.same({}, mapped.unused)
  end)

  -- keras.layers.CuDNNLSTM of Keras 2: of each gate the kernel has the elements of the transposed matrix.
  it("takes an LSTM as cuDNN has it", function()
    local plain = nn.lstm({ 3, 2 }):init { seed = 1 }
    local t, kernels, inner = plain:tensors(), {}, {}
    for gate = 1, 4 do
      kernels[gate] = t.weight_ih_l0:slice(1, 2 * gate - 1, 2 * gate):reshape(3, 2)
      inner[gate] = t.weight_hh_l0:slice(1, 2 * gate - 1, 2 * gate)
    end
    local file = { ["rnn_1/rnn_1/kernel:0"] = saros.concatenate(kernels, 2),
      ["rnn_1/rnn_1/recurrent_kernel:0"] = saros.concatenate(inner, 2),
      ["rnn_1/rnn_1/bias:0"] = saros.concatenate({ t.bias_ih_l0, t.bias_hh_l0 }, 1) }
    local net, mapped = nn.lstm({ 3, 2 }):load(file, { names = "keras" })
    for name, x in pairs(net:tensors()) do
      assert.same_values(t[name], x, 0)
    end
    assert.is_true(lines(mapped)["weight_ih_l0 <- rnn_1/rnn_1/kernel:0: gates by rows, as cuDNN has them"])
    assert.is_true(lines(mapped)["bias_hh_l0 <- rnn_1/rnn_1/bias:0: half 2"])
  end)

  it("takes the names of variables, too", function()
    local kernel = saros.tensor { { 1, 2 }, { 3, 4 }, { 5, 6 } }
    local net = nn.chain { nn.linear { 3, 2 } }
    for _, name in ipairs { "dense/kernel:0", "model/dense/kernel", "dense.kernel" } do
      net:load({ [name] = kernel, [name:gsub("kernel", "bias")] = saros.tensor { 7, 8 } }, { names = "keras" })
      assert.same({ 1 + 6 + 15 + 7, 2 + 8 + 18 + 8 }, net(saros.tensor { { 1, 2, 3 } })[1]:totable())
    end
  end)

  it("refuses a GRU of the other kind", function()
    local net = keras_net()
    assert.error_matches(function()
      nn.chain { net.steps[1], net.steps[2], nn.gru { 4, 5, reset = "before" } }:load(FOLDER .. "keras.npz",
        { prefix = "net/", names = "keras" })
    end, "missing 2.weight_ih_l0")
  end)
end)

describe("net:load with ONNX' names", function()
  local given = assert(saros.read_tensors(FOLDER .. "onnx.npz"))
  for name, net in pairs {
    lstm = nn.lstm { 3, 4, bidirectional = true }, gru = nn.gru { 3, 4 }, rnn = nn.rnn { 3, 4 },
    gru_before = nn.gru { 3, 4, reset = "before" },
  } do
    it("gives the outputs of ONNX Runtime: " .. name, function()
      local loaded, mapped = net:load(FOLDER .. "onnx.npz", { prefix = name .. "/", names = "onnx", strict = false })
      assert.same_values(given[name .. "/y"], (loaded(given[name .. "/x"])), 2e-6)
      assert.same({ "x", "y" }, mapped.unused)
    end)
  end
end)

describe("net:load with PyTorch's names", function()
  local function tensors(names)
    local all = {}
    for name, shape in pairs(names) do
      all[name] = saros.generator(1):normal(shape)
    end
    return all
  end
  local RNN = { weight_ih_l0 = { 12, 2 }, weight_hh_l0 = { 12, 3 }, bias_ih_l0 = { 12 }, bias_hh_l0 = { 12 } }

  local function given(...)
    local names = { ["head.weight"] = { 1, 3 }, ["head.bias"] = { 1 }, ["norm.num_batches_tracked"] = {} }
    for _, group in ipairs { ... } do
      for name, shape in pairs(RNN) do
        names[group .. "." .. name] = shape
      end
    end
    return tensors(names)
  end

  it("matches layers of other names by kind and shape", function()
    local all = given "module.encoder"
    local net, mapped = nn.chain { nn.lstm { 2, 3 }, nn.linear { 3, 1 } }:load(all, { names = "pytorch" })
    assert.same_values(all["module.encoder.weight_hh_l0"], net:tensors()["0.weight_hh_l0"], 0)
    assert.same_values(all["head.weight"], net:tensors()["1.weight"], 0)
    assert.is_true(lines(mapped)["0.bias_ih_l0 <- module.encoder.bias_ih_l0"])
  end)

  it("asks where several fit, and takes the caller's word", function()
    local all = given("decoder", "encoder")
    local function net()
      return nn.chain { nn.lstm { 2, 3 }, nn.linear { 3, 2 }, nn.lstm { 2, 3 }, nn.linear { 3, 1 } }
    end
    all["mid.weight"], all["mid.bias"] = saros.ones(2, 3), saros.ones(2)
    assert.error_matches(function() net():load(all, { names = "pytorch" }) end,
      'expected one layer for 0 (lstm), got decoder, encoder; say which: names = { "pytorch", '
        .. '["0"] = "decoder" }', 1, true)
    local loaded = net():load(all, { names = { "pytorch", ["0"] = "encoder" } })
    assert.same_values(all["encoder.weight_ih_l0"], loaded:tensors()["0.weight_ih_l0"], 0)
    assert.same_values(all["decoder.weight_ih_l0"], loaded:tensors()["2.weight_ih_l0"], 0)
  end)

  it("takes parameters one by one", function()
    local net, mapped = nn.chain { nn.linear { 3, 2 } }:load({ a = saros.ones(2, 3), b = saros.zeros(2) },
      { names = { ["0.weight"] = "a", ["0.bias"] = "b" } })
    assert.equal(3, net(saros.ones(1, 3))[1][1])
    assert.equal("0.bias <- b\n0.weight <- a", tostring(mapped))
    assert.error_matches(function()
      nn.chain { nn.linear { 3, 2 } }:load({ aa = saros.ones(2, 3) }, { names = { ["0.weight"] = "ab" } })
    end, 'expected the name of a tensor for "0.weight", got "ab"; did you mean', 1, true)
    assert.error_matches(function() nn.linear { 3, 2 }:load({}, { names = { wieght = "a" } }) end,
      'expected layers or parameters of the net and their names in the file, got "wieght"', 1, true)
    assert.error_matches(function() nn.linear { 3, 2 }:load({}, { names = "caffe" }) end,
      'load: expected names = "pytorch", "keras" or "onnx", got "caffe"', 1, true)
  end)
end)

describe("net:load with strict = false", function()
  local tensors = { ["0.weight"] = saros.ones(2, 3), other = saros.ones(1) }

  it("leaves out what does not belong, and says so", function()
    local net = nn.chain { nn.linear { 3, 2 } }:init { seed = 1 }
    local bias = net:tensors()["0.bias"]:clone()
    local loaded, mapped = net:load(tensors, { strict = false })
    assert.equal(net, loaded)
    assert.same_values(bias, net:tensors()["0.bias"], 0)
    assert.same({ "0.bias" }, mapped.missing)
    assert.same({ "other" }, mapped.unused)
    assert.equal("0.bias: missing, as it was\nnot used: other", tostring(mapped))
  end)

  it("wants values for what is missing, and shapes that fit", function()
    assert.error_matches(function() nn.chain { nn.linear { 3, 2 } }:load(tensors, { strict = false }) end,
      "expected a net with initialized parameters, as 0.bias is missing in the file; call init first", 1, true)
    assert.error_matches(function()
      nn.chain { nn.linear { 3, 3 } }:init({ seed = 1 }):load(tensors, { strict = false })
    end, "misshapen 0.weight: expected (3, 3), got (2, 3)", 1, true)
    assert.error_matches(function() nn.chain { nn.linear { 3, 2 } }:load(tensors, {}) end, "unexpected other")
  end)
end)

describe("net:load of files", function()
  it("takes those of PyTorch and NumPy as they are", function()
    local net = nn.chain { nn.linear { 2, 1 } }
    local _, mapped = net:load(FOLDER .. "checkpoint.pt", { prefix = "net." })
    assert.equal(0.25 - 1 + 0.125, net(saros.tensor { { { 1, 2 } } }):item())
    assert.same({}, mapped.unused)
    local none, message = net:load(FOLDER .. "whole.pt")
    assert.is_nil(none)
    assert.matches("^load: spec/references/formats/whole.pt: expected tensors", message)
    none, message = net:load(FOLDER .. "bomb.npz", { limit = 5 })
    assert.is_nil(none)
    assert.matches("expected at most 5 bytes", message)
    assert.error_matches(function() net:load(FOLDER .. "bomb.npz", { limt = 5 }) end, "unknown option \"limt\"")
  end)

  it("changes nothing where a tensor does not fit", function()
    files.with_path(function(path)
      local net = nn.chain { nn.linear { 2, 1 } }:init { seed = 1 }
      local weight = net:tensors()["0.weight"]:clone()
      assert(saros.safetensors.write(path, { ["0.weight"] = saros.ones(1, 2), ["0.bias"] = saros.ones(2) }, {}))
      assert.has_error(function() net:load(path, { names = "pytorch" }) end)
      assert.same_values(weight, net:tensors()["0.weight"], 0)
    end)
  end)
end)
