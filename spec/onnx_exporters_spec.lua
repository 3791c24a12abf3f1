-- ONNX files in the forms in which exporters of Keras and PyTorch write recurrent nets.

local saros = require "saros"
local models = require "spec.support.onnx_models"

local PATH = os.tmpname()
local random = saros.generator(21)
local I, H, V, T, B = 3, 4, 7, 5, 2

local function near(a, b, tolerance)
  assert.same(b:shape(), a:shape())
  assert.is_true((a - b):abs():max():item() < (tolerance or 2e-6))
end

local function read(given, o)
  models.write(PATH, given)
  return assert(saros.onnx.read(PATH, o))
end

local function check_session(model, x, y)
  local session = model:session { streams = B }
  for t = 1, T do
    near(session:step(x[t]), y[t])
  end
end

local function body(nodes, inputs, outputs, tensors)
  local list = {}
  for n, name in ipairs(inputs) do
    list[n] = { name, {} }
  end
  return models.graph { nodes = nodes, inputs = list, outputs = outputs, tensors = tensors }
end

local function scalar(kind, bytes)
  return { dims = {}, data_type = kind, raw_data = bytes }
end

local U, R, O = random:normal { I, H }, random:normal { H, H }, random:normal { H, 2 }

local function twin(x, is_back)
  local h, ys = saros.zeros(x:size(2), H), {}
  for k = 1, x:size(1) do
    local t = is_back and x:size(1) - k + 1 or k
    h = (x[t]:matmul(U) + h:matmul(R)):tanh()
    ys[t] = h
  end
  return saros.stack(ys)
end

--- A while loop as tf2onnx writes it: conditions on reals, a counter and weights among what is carried. `x` is the
--- name of a sequence (T, B, I); y (T, B, H) comes out under the name `y`.
local function while_loop(x, y)
  local inner = {
    { "Gather", x .. " at", "x_t" }, { "MatMul", "x_t w", "a" }, { "MatMul", "h r", "b" }, { "Add", "a b", "c" },
    { "Tanh", "c", "next" }, { "Add", "at one", "later" }, { "Cast", "later", "later_f", to = 1 },
    { "Cast", "steps", "steps_f", to = 1 }, { "Less", "later_f steps_f", "more" }, { "Cast", "t", "t_f", to = 1 },
    { "Less", "t_f steps_f", "early" }, { "And", "early more", "go" }, { "Identity", "w", "w_same" },
    { "Identity", "r", "r_same" },
  }
  return {
    { "Shape", x, "s" }, { "Cast", "s", "s6", to = 6 }, { "Slice", "s6 c0 c1 c0", "n" }, { "Squeeze", "n c0", "steps" },
    { "Cast", "steps", "n_f", to = 1 }, { "Less", "zero n_f", "less" }, { "And", "less less", "begin" },
    { "Cast", "steps", "most", to = 7 }, { "Slice", "s6 c1 c2 c0", "rows" }, { "Concat", "rows units", "hs", axis = 0 },
    { "Cast", "hs", "h7", to = 7 }, { "Expand", "zero h7", "h_first" },
    { "Loop", "most begin i0 h_first U R", "i_last h_last w_last r_last " .. y,
      body = body(inner, { "t", "cond", "at", "h", "w", "r" }, { "go", "later", "next", "w_same", "r_same", "next" },
        { one = scalar(6, "\1\0\0\0") }) },
  }
end

local CONSTANTS = {
  c0 = { 0 }, c1 = { 1 }, c2 = { 2 }, units = { dims = { 1 }, data_type = 6, raw_data = string.pack("<i4", H) },
  zero = scalar(1, "\0\0\0\0"), i0 = scalar(6, "\0\0\0\0"), U = U, R = R, O = O, open = { -1, H }, two = { 2 },
}

--- A dense layer as it is written behind a sequence (B, T, H): rows of all steps.
local DENSE = {
  { "Shape", "seq", "d1" }, { "Slice", "d1 c0 c2 c0", "d2" }, { "Concat", "d2 two", "d3", axis = 0 },
  { "Reshape", "seq open", "flat" }, { "MatMul", "flat O", "product" }, { "Reshape", "product d3", "y" },
}

local function joined(...)
  local all = {}
  for _, list in ipairs { ... } do
    table.move(list, 1, #list, #all + 1, all)
  end
  return all
end

describe("an export of Keras", function()
  teardown(function() os.remove(PATH) end)

  it("has a layer as a loop while a step is less than the number of steps", function()
    local model = read { opset = 15, tensors = CONSTANTS, inputs = { { "x", { "a", "b", I } } }, outputs = { "y" },
      nodes = joined({ { "Transpose", "x", "xt", perm = { 1, 0, 2 } } }, while_loop("xt", "hs_all"),
        { { "Transpose", "hs_all", "seq", perm = { 1, 0, 2 } } }, DENSE) }
    local x = random:normal { T, B, I }
    local y, state = model(x:slice(1, 1, 2))
    local wanted = twin(x):matmul(O)
    near(y, wanted:slice(1, 1, 2))
    near(model(x:slice(1, 3, T), state), wanted:slice(1, 3, T))
    check_session(model, x, wanted)
  end)

  it("has a layer that reads backwards as a loop over a turned sequence", function()
    local nodes = joined({ { "Transpose", "x", "xt", perm = { 1, 0, 2 } }, { "Shape", "xt", "sr" },
      { "Gather", "sr c1", "rows_r" }, { "Gather", "sr c0", "steps_r" }, { "Expand", "steps_r rows_r", "lens" },
      { "ReverseSequence", "xt lens", "back", batch_axis = 1, time_axis = 0 } }, while_loop("back", "hs_back"),
      { { "ReverseSequence", "hs_back lens", "hs_all", batch_axis = 1, time_axis = 0 },
        { "Transpose", "hs_all", "y", perm = { 1, 0, 2 } } })
    local model = read { opset = 15, nodes = nodes, tensors = CONSTANTS, inputs = { { "x", { "N", "S", I } } },
      outputs = { "y" } }
    local x = random:normal { T, B, I }
    near(model(x), twin(x, true))
    assert.error_matches(function() model:session {} end, "program: expected", 1, true)
  end)

  it("has an embedding that would look up negative places from the end", function()
    local W = { W = random:normal { 1, 3 * H, 6 }, R = random:normal { 1, 3 * H, H }, E = random:normal { V, 6 },
      count = scalar(6, string.pack("<i4", V)), zero = CONSTANTS.zero, one = { 1 } }
    local model = read { opset = 15, tensors = W, inputs = { { "ids", { "a", "b" }, 6 } }, outputs = { "y" }, nodes = {
      { "Add", "ids count", "up" }, { "Cast", "ids", "ids_f", to = 1 }, { "Less", "ids_f zero", "is_low" },
      { "Not", "is_low", "is_high" }, { "Cast", "is_high", "keep", to = 6 }, { "Mul", "ids keep", "kept" },
      { "Cast", "is_low", "turn", to = 6 }, { "Mul", "turn up", "turned" }, { "Add", "turned kept", "places" },
      { "Gather", "E places", "e" }, { "Transpose", "e", "et", perm = { 1, 0, 2 } },
      { "GRU", "et W R", "Y", hidden_size = H, name = "gru" }, { "Squeeze", "Y one", "ys" },
      { "Transpose", "ys", "y", perm = { 1, 0, 2 } } } }
    assert.equal(V, model.inputs[1].count)
    local ids = saros.ids { { 1, 7 }, { 3, 2 }, { 4, 4 }, { 2, 2 }, { 6, 1 } }
    local e, zeros = saros.nn.embedding { V, 6 }:load { weight = W.E }(ids), saros.zeros(B, H)
    local wanted = models.walk("GRU", {}, { W = W.W[1], R = W.R[1] }, e, zeros, zeros)
    near(model(ids), wanted)
    check_session(model, ids, wanted)
  end)

  it("has convolutions over two axes, of which one is of size 1, and norms by pooling", function()
    local w = random:normal { H, I, 1, 2 }
    local model = read { opset = 15, inputs = { { "x", { "N", "S", I } } }, outputs = { "y" },
      tensors = { w = w, pads = { 0, 2, 0, 0, 0, 0 }, axis = { 1 }, axis2 = { 2 }, tiny = scalar(1,
        string.pack("<f", 1e-3)) },
      nodes = { { "Pad", "x pads", "p" }, { "Unsqueeze", "p axis", "p4" },
        { "Transpose", "p4", "pt", perm = { 0, 3, 1, 2 } }, { "Conv", "pt w", "c4", dilations = { 1, 2 } },
        { "Squeeze", "c4 axis2", "c" }, { "Transpose", "c", "s", perm = { 0, 2, 1 } },
        { "GlobalAveragePool", "s", "m" }, { "Sub", "s m", "d" }, { "Mul", "d d", "d2" },
        { "GlobalAveragePool", "d2", "v" }, { "Add", "v tiny", "v1" }, { "Sqrt", "v1", "sd" },
        { "Div", "d sd", "y" } } }
    local x, ys = random:normal { T, B, I }, {}
    for t = 1, T do
      local now = x[t]:matmul(w:select(3, 1):select(3, 2):transpose())
      now = t > 2 and now + x[t - 2]:matmul(w:select(3, 1):select(3, 1):transpose()) or now
      local centred = now - now:mean(2, true)
      ys[t] = centred / ((centred * centred):mean(2, true) + 1e-3):sqrt()
    end
    near(model(x), saros.stack(ys), 1e-5)
  end)
end)

describe("an export of PyTorch", function()
  teardown(function() os.remove(PATH) end)

  it("says a thing of the last step only, and steps in sessions", function()
    local W = { W = random:normal { 1, 4 * H, I }, R = random:normal { 1, 4 * H, H }, last = -1, one = { 1 }, O = O }
    local model = read { tensors = W, inputs = { { "x", { "batch", "time", I } } }, outputs = { "y" }, nodes = {
      { "Transpose", "x", "xt", perm = { 1, 0, 2 } }, { "LSTM", "xt W R", "Y", hidden_size = H, name = "/r/LSTM" },
      { "Squeeze", "Y one", "ys" }, { "Transpose", "ys", "seq", perm = { 1, 0, 2 } },
      { "Gather", "seq last", "h", axis = 1 }, { "MatMul", "h O", "y" } } }
    local x, zeros = random:normal { T, B, I }, saros.zeros(B, H)
    local wanted = models.walk("LSTM", {}, { W = W.W[1], R = W.R[1] }, x, zeros, zeros):matmul(O)
    near(model(x), wanted[T])
    check_session(model, x, wanted)
  end)

  it("multiplies sizes", function()
    local model = read({ inputs = { { "x", { "N", 2, 6 } } }, outputs = { "y" }, tensors = { from = { 1 }, to = { 3 },
      all = { -1 } }, nodes = { { "Shape", "x", "s" }, { "Slice", "s from to", "two" }, { "ReduceProd", "two", "n" },
      { "Concat", "all n", "shape", axis = 0 }, { "Reshape", "x shape", "y" } } }, { axes = { x = "BFF" } })
    local x = random:normal { 1, B, 12 }
    near(model(x), x)
  end)
end)
