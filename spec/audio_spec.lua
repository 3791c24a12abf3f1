-- Nets of audio plug-ins in JSON: RTNeural's and Neural Amp Modeler's.

local core = require "saros.core"
local files = require "spec.support.files"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = core.info().real == "double" and 1e-9 or 2e-6

local function written(write, ...)
  local given, text = table.pack(...), nil
  files.with_path(function(path)
    assert(write(given[1], path, table.unpack(given, 2)))
    text = files.read(path)
  end)
  return text
end

local function read(format, text)
  local net, metadata
  files.with_path(function(path)
    files.write(path, text)
    net, metadata = saros[format].read(path)
  end)
  return net, metadata
end

local function random(...)
  return saros.generator(1):normal { ... }
end

-- --- What RTNeural computes, written as its sources have it: sample by sample, in Lua numbers -----------

local function sigmoid(x) return 1 / (1 + math.exp(-x)) end
local function tanh(x) return 1 - 2 / (math.exp(2 * x) + 1) end

-- sum over i of kernel[i][at] x[i]
local function product(kernel, x, at)
  local sum = 0
  for i, value in ipairs(x) do
    sum = sum + kernel[i][at] * value
  end
  return sum
end

local STEPS = {}

function STEPS.dense(layer, x)
  local y = {}
  for n = 1, #layer.weights[2] do
    y[n] = product(layer.weights[1], x, n) + layer.weights[2][n]
  end
  return y
end

function STEPS.lstm(layer, x)
  local W, U, b = table.unpack(layer.weights)
  local H = #U
  layer.h, layer.c = layer.h or {}, layer.c or {}
  local h = {}
  for n = 1, H do
    h[n] = layer.h[n] or 0
  end
  for n = 1, H do
    local function gate(k)
      return product(W, x, k * H + n) + product(U, h, k * H + n) + b[k * H + n]
    end
    layer.c[n] = sigmoid(gate(1)) * (layer.c[n] or 0) + sigmoid(gate(0)) * tanh(gate(2))
    layer.h[n] = sigmoid(gate(3)) * tanh(layer.c[n])
  end
  return { table.unpack(layer.h) }
end

function STEPS.gru(layer, x)
  local W, U, b = table.unpack(layer.weights)
  local H, h = #U, {}
  layer.h = layer.h or {}
  for n = 1, H do
    h[n] = layer.h[n] or 0
  end
  for n = 1, H do
    local function of_x(k) return product(W, x, k * H + n) + b[1][k * H + n] end
    local function of_h(k) return product(U, h, k * H + n) + b[2][k * H + n] end
    local z, r = sigmoid(of_x(0) + of_h(0)), sigmoid(of_x(1) + of_h(1))
    layer.h[n] = (1 - z) * tanh(of_x(2) + r * of_h(2)) + z * h[n]
  end
  return { table.unpack(layer.h) }
end

function STEPS.conv1d(layer, x)
  local kernel, bias, y = layer.weights[1], layer.weights[2], {}
  local k, d = layer.kernel_size[1], layer.dilation[1]
  layer.past = layer.past or {}
  table.insert(layer.past, x)
  for n = 1, #bias do
    y[n] = bias[n]
    for tap = 1, k do
      local past = layer.past[#layer.past - (k - tap) * d]
      y[n] = y[n] + (past and product(kernel[tap], past, n) or 0)
    end
  end
  return y
end

function STEPS.prelu(layer, x)
  local y = {}
  for n, value in ipairs(x) do
    y[n] = value > 0 and value or layer.weights[1][1][n] * value
  end
  return y
end

function STEPS.batchnorm(layer, x)
  local gamma, beta, mean, variance = table.unpack(layer.weights)
  local y = {}
  for n, value in ipairs(x) do
    y[n] = gamma[n] * (value - mean[n]) / math.sqrt(variance[n] + layer.epsilon) + beta[n]
  end
  return y
end

function STEPS.activation(_, x)
  return x
end

local FUNCTIONS = { tanh = tanh, relu = function(x) return math.max(x, 0) end, sigmoid = sigmoid,
  elu = function(x) return x > 0 and x or math.exp(x) - 1 end }

local function rtneural(object, x)
  for t, step in ipairs(x) do
    for _, layer in ipairs(object.layers) do
      step = STEPS[layer.type](layer, step)
      for n, value in ipairs(FUNCTIONS[layer.activation] and step or {}) do
        step[n] = FUNCTIONS[layer.activation](value)
      end
    end
    x[t] = step
  end
  return x
end

local function net_of_all()
  local net = nn.chain {
    nn.conv1d { 2, 4, kernel = 3, dilation = 2 }, saros.tanh, nn.prelu { 4 }, nn.batch_norm { 4 }, nn.gru { 4, 5 },
    nn.lstm { 5, 3, layers = 2 }, saros.elu, nn.linear { 3, 4 }, saros.relu, nn.linear { 4, 2 }, saros.sigmoid,
  }
  net:init { seed = 1 }
  local tensors = net:tensors()
  tensors["2.weight"]:assign(saros.tensor { 0.1, 0.2, -0.3, 0.5 })
  tensors["3.running_mean"]:assign(saros.tensor { 0.1, -0.2, 0.3, 0 })
  tensors["3.running_var"]:assign(saros.tensor { 0.5, 1.2, 2, 0.8 })
  return net
end

describe("RTNeural's JSON", function()
  it("of a net computes what the net does, and comes back as it", function()
    local net, x = net_of_all(), random(9, 1, 2)
    local y = net(x)
    local text = written(saros.rtneural.write, net)
    local object = assert(saros.json_decode(text))
    assert.same_values(saros.tensor(rtneural(object, x:select(2, 1):totable())), y:select(2, 1), ROUNDING)
    local loaded = assert(read("rtneural", text))
    assert.same_values(y, (loaded(x)), ROUNDING)
    assert.equal(text, written(saros.rtneural.write, read("rtneural", written(saros.rtneural.write, loaded))))
    local session = loaded:session()
    for t = 1, 9 do
      session:step(x[t])
      assert.same_values(y[t], session:output():reshape(1, 2), ROUNDING)
    end
  end)

  it("is read as Keras' exporters write it", function()
    local text = [=[{ "in_shape": [null, null, 1], "layers": [
      { "type": "time-distributed-dense", "activation": "", "shape": [null, null, 2],
        "weights": [[[1.5, -2.0]], [0.25, 0.5]] },
      { "type": "prelu", "shape": [null, null, 2], "weights": [[[0.5]]] },
      { "type": "batchnorm", "shape": [null, null, 2], "epsilon": 0.001, "weights": [[0.0, 0.0], [1.0, 3.999]] },
      { "type": "dense", "activation": "", "shape": [null, null, 1], "weights": [[[1.0], [2.0]], [0.0]] } ] }]=]
    local net = assert(read("rtneural", text))
    assert.near(3.25 / math.sqrt(1.001) - 3.5 / 2, net(saros.tensor { { { 2 } } }):item(), 1e-5)
  end)

  it("refuses by name what it does not know, and sizes that do not fit", function()
    local function refusal(layers)
      local net, message = read("rtneural", ('{"in_shape":[null,null,2],"layers":[%s]}'):format(layers))
      assert.is_nil(net)
      return message
    end
    assert.matches('type dense, .* got "conv2d"', refusal '{"type":"conv2d"}')
    assert.matches("expected 2 inputs of a dense layer, got 1",
      refusal '{"type":"dense","shape":[1],"weights":[[[1.0]],[0.0]]}')
    assert.matches('expected 1 outputs in the shape of "dense", got 3',
      refusal '{"type":"dense","shape":[3],"weights":[[[1.0],[1.0]],[0.0]]}')
    assert.matches('expected weights 1 of "dense" as lists of numbers, 2 deep',
      refusal '{"type":"dense","shape":[1],"weights":[[[1.0],["x"]],[0.0]]}')
    assert.matches('activation tanh, .* got "mish"',
      refusal '{"type":"dense","activation":"mish","shape":[1],"weights":[[[1.0],[1.0]],[0.0]]}')
    assert.matches("expected layers, got none", refusal "")
    assert.matches('expected a list or object as "layers", got 3', select(2, read("rtneural",
      '{"in_shape":[1],"layers":3}')))
  end)

  it("says which nets it cannot hold", function()
    for message, net in pairs {
      ["rtneural.write: expected layers linear, conv1d, lstm, gru, prelu and batch_norm, got layer_norm"] =
        nn.chain { nn.layer_norm { 2 } },
      ["expected a plain gru from its beginning"] = nn.chain { nn.gru { 2, 2, reset = "before" } },
      ["expected a plain lstm from its beginning"] = nn.chain { nn.lstm { 2, 2, bidirectional = true } },
      ["expected causal convolutions"] = nn.chain { nn.conv1d { 2, 2, kernel = 3, causal = false } },
      ["expected the functions saros.tanh"] = nn.chain { nn.linear { 2, 2 }, saros.gelu },
    } do
      assert.error_matches(function() saros.rtneural.write(net:init { seed = 1 }, "/dev/null/x") end, message, 1, true)
    end
    local done, message = saros.rtneural.write(nn.chain { nn.linear { 1, 1 } }:init { seed = 1 }, "/no/such/file")
    assert.is_nil(done)
    assert.matches("No such file", message)
  end)
end)

-- --- Neural Amp Modeler ----------------------------------------------------------------------------------

-- A list of weights and what its LSTM gives for a signal, as NeuralAmpModelerCore computes it.
local function amp(H, layers, signal)
  local generator, weights = saros.generator(3), {}
  local function draw(rows, columns)
    local matrix = {}
    for r = 1, rows do
      matrix[r] = {}
      for c = 1, columns do
        matrix[r][c] = (generator:number() - 0.5) * 2
        weights[#weights + 1] = matrix[r][c]
      end
    end
    return matrix
  end
  local cells = {}
  for layer = 1, layers do
    local input = layer == 1 and 1 or H
    cells[layer] = { input = input, w = draw(4 * H, input + H), b = draw(1, 4 * H)[1], h = draw(1, H)[1],
      c = draw(1, H)[1] }
  end
  local head, bias, out = draw(1, H)[1], draw(1, 1)[1][1], {}
  for t, sample in ipairs(signal) do
    local x = { sample }
    for _, cell in ipairs(cells) do
      local xh, gates = table.move(cell.h, 1, H, cell.input + 1, { table.unpack(x) }), {}
      for r = 1, 4 * H do
        gates[r] = cell.b[r]
        for c, value in ipairs(xh) do
          gates[r] = gates[r] + cell.w[r][c] * value
        end
      end
      for n = 1, H do
        cell.c[n] = sigmoid(gates[H + n]) * cell.c[n] + sigmoid(gates[n]) * tanh(gates[2 * H + n])
        cell.h[n] = sigmoid(gates[3 * H + n]) * tanh(cell.c[n])
      end
      x = cell.h
    end
    out[t] = bias
    for n = 1, H do
      out[t] = out[t] + head[n] * x[n]
    end
  end
  return saros.json_encode { version = "0.5.4", architecture = "LSTM", sample_rate = 48000, weights = weights,
    metadata = { name = "small" }, config = { input_size = 1, hidden_size = H, num_layers = layers } }, out
end

describe("an LSTM of Neural Amp Modeler", function()
  local signal = { 0.5, -0.25, 1, 0, -1, 0.125 }

  for layers = 1, 2 do
    it("gives its samples, comes back as it was written, and steps: layers " .. layers, function()
      local text, expected = amp(3, layers, signal)
      local net, metadata = assert(read("nam", text))
      assert.equal("48000", metadata.sample_rate)
      assert.equal('{"name":"small"}', (metadata.metadata:gsub("%s", "")))
      local y = net(saros.tensor(signal):reshape(-1, 1, 1))
      assert.same_values(saros.tensor(expected), y:reshape(-1), ROUNDING)
      local again = written(saros.nam.write, net, { sample_rate = 48000, metadata = { name = "small" } })
      local function weights(json) return saros.tensor(saros.json_decode(json).weights) end
      assert.same_values(weights(text), weights(again), 0)
      local session = net:session()
      for t, sample in ipairs(signal) do
        session:step(saros.tensor { { sample } })
        assert.near(expected[t], session:output():item(), 1e-5)
      end
    end)
  end

  it("is written from a net that learned here, and refused with other sizes", function()
    local net = nn.chain { nn.lstm { 1, 4 }, nn.linear { 4, 1 } }:init { seed = 1 }
    local loaded, x = assert(read("nam", written(saros.nam.write, net))), random(5, 1, 1)
    assert.same_values((net(x)), (loaded(x)), ROUNDING)
    local object = saros.json_decode((amp(3, 1, {})))
    object.config.hidden_size = 2
    assert.matches("expected %d+ weights, got 70", select(2, read("nam", saros.json_encode(object))))
    object.config.hidden_size = 1 << 20
    assert.matches("expected %d+ weights, got 70", select(2, read("nam", saros.json_encode(object))))
    object.architecture = "WaveNet"
    assert.matches('expected the architecture "LSTM", got "WaveNet"', select(2, read("nam", saros.json_encode(object))))
    assert.error_matches(function() saros.nam.write(nn.chain { nn.gru { 1, 2 }, nn.linear { 2, 1 } }, "x") end,
      "nam.write: expected a chain of an lstm and a linear layer with one output", 1, true)
  end)
end)

describe("nets in JSON", function()
  it("are inspected, and their tensors read, as other files", function()
    files.with_path(function(path)
      files.write(path, (amp(3, 1, {})))
      local found = assert(saros.inspect_file(path))
      assert.equal("nam", found.format)
      assert.equal(8, #found.tensors)
      assert.matches("read by saros.nam.read", tostring(found), 1, true)
      assert.same({ 12, 1 }, assert(saros.read_tensors(path))["0.weight_ih_l0"]:shape())
      assert.matches("expected a net in JSON with layers, got none", select(2, saros.rtneural.read(path)))
      assert(saros.rtneural.write(net_of_all(), path))
      assert.equal("rtneural", assert(saros.inspect_file(path)).format)
    end)
  end)

  it("are read or refused wherever they end and whatever has changed", function()
    local small = nn.chain { nn.prelu { 2 }, nn.gru { 2, 1 }, saros.tanh }:init { seed = 1 }
    local texts = { (amp(1, 1, {})), (amp(4, 1, {})), written(saros.rtneural.write, small) }
    local generator = saros.generator(1)
    files.with_path(function(path)
      local function try(text)
        os.remove(path)
        files.write(path, text)
        local found, message = saros.read_tensors(path)
        assert(found or message:find "^read_tensors: ", message)
      end
      for _, text in ipairs(texts) do
        for last = 0, #text - 1 do
          try(text:sub(1, last))
        end
        for _ = 1, 1000 do
          local at = generator:integer(#text)
          local byte = generator:integer(3) == 1 and string.char(generator:integer(256) - 1)
            or ("0123456789.-[]{},\"e"):sub(generator:integer(19))
          try(text:sub(1, at - 1) .. byte:sub(1, 1) .. text:sub(at + generator:integer(2)))
        end
      end
    end)
  end)

  it("have large lists of any depth, however they are laid out", function()
    local net = nn.chain { nn.conv1d { 3, 40, kernel = 3 }, nn.gru { 40, 30 }, nn.linear { 30, 3 } }:init { seed = 1 }
    local text, x = written(saros.rtneural.write, net), random(9, 1, 3)
    local spaced = text:gsub("([%[,])", "%1\n \t"):gsub("(%])", " %1")
    for _, each in ipairs { text, spaced } do
      assert.same_values((net(x)), (assert(read("rtneural", each))(x)), ROUNDING)
    end
    local zeros = "[" .. ("0,"):rep(199) .. "0]"
    local object = '{"in_shape":[200],"layers":[{"type":"dense","shape":[200],"name":"a [0,\\"0] b",'
      .. '"weights":[[%s],%s]}]}'
    local rows = (zeros .. ","):rep(199)
    local plain = assert(read("rtneural", object:format(rows .. zeros, zeros))) -- 2 bytes a number
    assert.same({ 200, 200 }, plain:tensors()["0.weight"]:shape())
    assert.matches("expected weights 1 of \"dense\" as lists of numbers, 2 deep, got others",
      select(2, read("rtneural", object:format(rows .. "[0,1]", zeros))), 1, true)
    for _, wrong in ipairs { "[0,]", "[0 1]", "[0,,1]", "[-]", "[0x1]", "[1e999]", "[01]" } do
      assert.matches("json_decode: ", select(2, read("rtneural", object:format(rows .. wrong, zeros))), 1, true)
    end
    local long = ("1.5,"):rep(40000) -- a row in pieces
    local object_of_amp = '{"architecture":"LSTM","config":{"input_size":1,"hidden_size":9,"num_layers":1},'
      .. '"weights":[%s1]}'
    assert.matches("expected %d+ weights, got 40001", select(2, read("nam", object_of_amp:format(long))))
  end)

  it("have other values only as far as they take little memory", function()
    files.with_path(function(path)
      files.write(path, '{"layers":[' .. ("[0],[null],"):rep(100000) .. "0]}")
      assert.matches("expected numbers in lists of one length, for the memory of others, got 200000 values and 200002 "
        .. "lists in 1100014 bytes", select(2, saros.read_tensors(path)), 1, true)
    end)
  end)
end)
