-- examples/convert.lua, as a user runs it.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local KERAS, FOLDER = "spec/references/formats/net.keras", "spec/references/formats/"
local CONVERT = "examples/convert.lua"

-- Calls act(path) with the path of a file that is not there yet; path .. anything is removed.
local function with_output(act, ...)
  local endings = { ... }
  local base = os.tmpname()
  local ok, message = pcall(act, base)
  for _, ending in ipairs(endings) do
    os.remove(base .. ending)
  end
  os.remove(base)
  assert(ok, message)
end

local function fails(expected, ...)
  local output, status = commands.run(CONVERT, ...)
  assert.not_equal(0, status)
  assert.matches(expected, output, 1, true)
  assert.is_nil(output:find("traceback", 1, true))
end

describe("convert.lua", function()
  it("makes a C file and a model of a net of Keras", function()
    with_output(function(base)
      local output = commands.succeed(CONVERT, KERAS, base .. ".safetensors")
      assert.matches("^[^\n]+%.safetensors: chain %(embedding 7 %-> 3; .*, 5%d%d weights\n$", output)
      local x = assert(saros.read_tensors(FOLDER .. "net_keras.npz")).x:transpose()
      assert.same_values(assert(saros.keras.read(KERAS))(x), assert(saros.load(base .. ".safetensors"))(x), 1e-6)
      local plain = nn.chain { nn.gru { 2, 3 }, nn.linear { 3, 1 } }:init { seed = 1 }
      assert(plain:save(base .. ".safetensors"))
      commands.succeed(CONVERT, base .. ".safetensors", base .. ".onnx")
      commands.succeed(CONVERT, base .. ".onnx", base .. ".safetensors")
      x = saros.generator(2):normal { 6, 1, 2 }
      assert.same_values((plain(x)), (assert(saros.load(base .. ".safetensors"))(x)), 1e-6)
      assert.matches(": onnx, .*\nONNX model of saros.*\noperators .*  F32 ",
        commands.succeed(CONVERT, base .. ".onnx"))
      fails("--constant: expected NAME=NUMBER, got 'sr'", base .. ".onnx", base .. ".c", "--constant", "sr")
      fails("expected sizes of inputs with open ones", base .. ".onnx", base .. ".c", "--size", "none=3")
      commands.succeed(CONVERT, KERAS, base .. ".onnx.c", "--name", "keras_net", "--weights", "int8")
      assert.matches("keras_net_run", files.read(base .. ".onnx.c"), 1, true)
    end, ".safetensors", ".onnx", ".onnx.c")
  end)

  it("takes nets of audio plug-ins from one format to the others", function()
    with_output(function(base)
      local net = nn.chain { nn.lstm { 1, 3 }, nn.linear { 3, 1 } }:init { seed = 1 }
      assert(saros.rtneural.write(net, base .. ".json"))
      commands.succeed(CONVERT, base .. ".json", base .. ".nam", "--rate", 44100)
      local read, metadata = assert(saros.nam.read(base .. ".nam"))
      assert.equal("44100", metadata.sample_rate)
      local x = saros.generator(2):normal { 6, 1, 1 }
      assert.same_values(net(x), read(x), 1e-6)
      commands.succeed(CONVERT, base .. ".nam", base .. ".safetensors")
      fails("has a program and no layers, which .json needs; say them: --net", base .. ".safetensors", base .. ".json")
      fails("no json of this model: rtneural.write: expected a plain lstm", base .. ".nam", base .. ".json")
    end, ".json", ".nam", ".safetensors")
  end)

  it("makes a model of tensors where the net is said", function()
    with_output(function(base)
      fails("checkpoint.pt has tensors and no net, so only .safetensors can be made of it; say what net they belong "
        .. "to: --net", FOLDER .. "checkpoint.pt", base .. ".c")
      commands.succeed(CONVERT, FOLDER .. "checkpoint.pt", base .. ".json", "--prefix", "net.", "--net",
        "nn.chain { nn.linear { 2, 1 } }")
      assert.equal(0.25 - 1 + 0.125, assert(saros.rtneural.read(base .. ".json"))(saros.tensor { { { 1, 2 } } }):item())
      local output = commands.succeed(CONVERT, FOLDER .. "keras.weights.h5", base .. ".c", "--net",
        "nn.chain { nn.gru { 2, 3 }, nn.linear { 3, 1 } }")
      assert.matches("1.weight <- layers/dense/vars/0: transposed\n", output, 1, true)
      output = commands.succeed(CONVERT, FOLDER .. "state.pt", base .. ".safetensors")
      assert.matches("%.safetensors: safetensors, [^\n]+ 15 tensors\n  bf16", output)
      assert.same({ 1, 2, 3, 4, 5 }, assert(saros.read_tensors(base .. ".safetensors")).i64:totable())
      fails("--net: nn: expected one of its names, got \"chian\"", KERAS, base .. ".c", "--net", "nn.chian {}")
      fails("unexpected", FOLDER .. "checkpoint.pt", base .. ".c", "--net", "nn.linear { 2, 1 }")
    end, ".json", ".c", ".safetensors")
  end)

  it("says what is in a file, and what can be made of it", function()
    assert.matches("net.keras: hdf5, .* tensors\n  layers/", commands.succeed(CONVERT, KERAS))
    fails('expected to read "spec/none.pt", got "No such file or directory"', "spec/none.pt", "x.c")
    fails("expected an output that ends in .safetensors, .onnx, .json, .nam or .c, or --to FORMAT, got x.h5", KERAS,
      "x.h5")
    fails("no nam of this model: nam.write: expected a chain of an lstm and a linear layer", KERAS, "x.nam")
  end)
end)
