-- Damaged ONNX files are read or refused: no error of another kind, no long search, and no more memory than four
-- times their bytes, beside what a few small runs of a graph take.

local core = require "saros.core"
local saros = require "saros"
local files = require "spec.support.files"
local models = require "spec.support.onnx_models"
local mutated = require("spec.support.mutants").mutated
local mutants = require "spec.support.onnx_mutants"

local ROOM, SECONDS = 64 << 20, 5
local random = saros.generator(3)
local I, H = 3, 4

local function body(nodes, inputs, outputs)
  local list = {}
  for n, name in ipairs(inputs) do
    list[n] = { name, {} }
  end
  return models.graph { nodes = nodes, inputs = list, outputs = outputs }
end

local FORMS = {
  ["layers with states"] = {
    nodes = { { "Gather", "E ids", "e" }, { "Transpose", "e", "et", perm = { 1, 0, 2 } },
      { "LSTM", "et W R - - h0 c0", "Y hn cn", hidden_size = H }, { "Squeeze", "Y one", "y1" },
      { "Shape", "y1", "s" }, { "Reshape", "y1 open", "flat" }, { "MatMul", "flat O", "p" },
      { "Slice", "s zero two", "rows" }, { "Concat", "rows wide", "shape", axis = 0 }, { "Reshape", "p shape", "y" } },
    tensors = { E = random:normal { 7, I }, W = random:normal { 1, 4 * H, I }, R = random:normal { 1, 4 * H, H },
      O = random:normal { H, 2 }, one = { 1 }, open = { -1, H }, zero = { 0 }, two = { 2 }, wide = { 2 } },
    inputs = { { "ids", { "N", "S" }, 7 }, { "h0", { 1, "N", H } }, { "c0", { 1, "N", H } } },
    outputs = { "y", "hn", "cn" },
  },
  ["loops, branches and convolutions"] = {
    nodes = { { "Shape", "x", "s" }, { "Gather", "s zero", "T" }, { "SequenceEmpty", "", "none" },
      { "ConstantOfShape", "hs", "h0" },
      { "Loop", "T yes h0 none", "hn all", body = body({ { "Gather", "x t", "x_t" }, { "MatMul", "x_t U", "a" },
        { "Add", "a h", "n" }, { "SequenceInsert", "list n", "longer" }, { "Identity", "yes", "go" } },
        { "t", "c", "h", "list" }, { "go", "n", "longer" }) },
      { "ConcatFromSequence", "all", "seq", axis = 0, new_axis = 1 },
      { "Scan", "h0 seq", "h2 y1", num_scan_inputs = 1, body = body({ { "Add", "k v", "w" }, { "Tanh", "w", "o" } },
        { "k", "v" }, { "w", "o" }) },
      { "Gather", "s two", "width" }, { "Equal", "width three", "is_three" },
      { "If", "is_three", "y2", then_branch = models.graph { nodes = { { "Exp", "y1", "b" } }, outputs = { "b" } },
        else_branch = models.graph { nodes = { { "Log", "y1", "b" } }, outputs = { "b" } } },
      { "Transpose", "y2", "bft", perm = { 1, 2, 0 } }, { "Conv", "bft K", "y3", pads = { 1, 1 } },
      { "Pad", "y3 pads", "y", mode = "reflect" } },
    tensors = { zero = 0, two = 2, three = 3, yes = { dims = {}, data_type = 9, raw_data = "\1" }, hs = { 1, H },
      U = random:normal { I, H }, K = random:normal { 2, H, 3 }, pads = { 0, 0, 1, 0, 0, 1 } },
    inputs = { { "x", { "S", "N", I } } }, outputs = { "y" },
  },
}

--- Reads a file; of some it tells the memory that tensors take.
local function try(path, bytes, is_measured)
  if is_measured then
    collectgarbage()
    core.mark_memory()
  end
  local before = core.memory().in_use
  local model, message = saros.onnx.read(path)
  assert(model or type(message) == "string" and message:find("^onnx%.read: "), message)
  if is_measured then
    local taken = core.memory().recent - before
    assert.is_true(taken <= 4 * bytes + ROOM, taken)
  end
end

describe("a damaged ONNX file", function()
  for name, form in pairs(FORMS) do
    it("is read or refused whatever has changed in its bytes: " .. name, function()
      files.with_path(function(path)
        models.write(path, form)
        assert(saros.onnx.read(path))
        local text, generator, start = files.read(path), saros.generator(1), os.clock()
        for n = 1, 300 do
          os.remove(path) -- a file that is written over is synced by some file systems
          files.write(path, mutated(generator, text))
          try(path, #text, n % 20 == 0)
        end
        assert.is_true(os.clock() - start < SECONDS)
      end)
    end)

    it("is read or refused whatever has changed in its graph: " .. name, function()
      files.with_path(function(path)
        models.write(path, form)
        local model, generator, start = mutants.open(path), saros.generator(2), os.clock()
        for n = 1, 500 do
          os.remove(path)
          mutants.write(generator, model, path)
          try(path, 4000, n % 20 == 0)
        end
        assert.is_true(os.clock() - start < SECONDS)
      end)
    end)
  end

  it("cannot take much memory or time by sizes, steps or lists", function()
    local huge = 0x7FFFFFFF
    local function refused(given, message)
      files.with_path(function(path)
        given.outputs = given.outputs or { "y" }
        models.write(path, given)
        local start = os.clock()
        local model, said = saros.onnx.read(path)
        assert.is_nil(model)
        assert.matches(message, said, 1, true)
        assert.is_true(os.clock() - start < SECONDS)
      end)
    end
    local one = { { "Exp", "x", "y" } }
    refused({ nodes = one, inputs = { { "x", { "N", huge } } } }, "expected a shape of at most")
    refused({ nodes = { { "Gather", "E ids", "y" } }, tensors = { E = random:normal { 7, I } },
      inputs = { { "ids", { "N", huge }, 7 } } }, "expected a shape of at most")
    refused({ nodes = { { "Add", "x h", "y" }, { "Exp", "h", "h_out" } },
      inputs = { { "x", { "N", 2 } }, { "h", { huge, "N", 2 } } }, outputs = { "y", "h_out" } },
      "expected a shape of at most")
    refused({ nodes = { { "Range", "a b c", "r" }, { "Add", "x r", "y" } }, inputs = { { "x", { "N", 2 } } },
      tensors = { a = math.mininteger, b = math.maxinteger, c = 1 } }, "expected a shape of at most")
    refused({ nodes = { { "Conv", "x K", "y", pads = { huge, huge } } }, inputs = { { "x", { "N", 2, "S" } } },
      tensors = { K = random:normal { 2, 2, 3 } } }, "expected a shape of at most")
    local nodes = { { "SequenceConstruct", "x x", "s" }, { "SequenceConstruct", "s s", "y" } }
    refused({ nodes = nodes, inputs = { { "x", { "N", 2 } } } }, "got another sequence")
    nodes = {}
    for n = 1, 40 do
      nodes[n] = { "Concat", ("c%d c%d"):format(n - 1, n - 1), "c" .. n, axis = 0 }
    end
    nodes[41] = { "Reshape", "x c40", "y" }
    refused({ nodes = nodes, inputs = { { "x", { "N", 2 } } }, tensors = { c0 = { 1, 2 } } },
      "expected at most 65536 integers")
  end)
end)
