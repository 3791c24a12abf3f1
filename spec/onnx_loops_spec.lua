-- Scan and Loop of ONNX files: bodies of one step, in the forms in which exporters write them.

local saros = require "saros"
local models = require "spec.support.onnx_models"

local PATH = os.tmpname()
local random = saros.generator(9)
local I, H, T, B = 3, 4, 5, 2

local function near(a, b, tolerance)
  assert.same(b:shape(), a:shape())
  assert.is_true((a - b):abs():max():item() < (tolerance or 2e-6))
end

local function read(given, o)
  models.write(PATH, given)
  return saros.onnx.read(PATH, o)
end

local w = { U = random:normal { I, H }, V = random:normal { H, H }, O = random:normal { H, 2 } }

--- h' = tanh(x U + h V), y = h' O, for each step, forwards or backwards; x (T, B, I).
local function twin(x, h, is_back)
  local ys = {}
  for k = 1, x:size(1) do
    local t = is_back and x:size(1) - k + 1 or k
    h = (x[t]:matmul(w.U) + h:matmul(w.V)):tanh()
    ys[t] = h:matmul(w.O)
  end
  return saros.stack(ys), h
end

local STEP = { { "MatMul", "x_t U", "a" }, { "MatMul", "h V", "b" }, { "Add", "a b", "c" }, { "Tanh", "c", "h_next" },
  { "MatMul", "h_next O", "y_t" } }

local function body(nodes, inputs, outputs)
  local list = {}
  for n, name in ipairs(inputs) do
    list[n] = { name, {} }
  end
  return models.graph { nodes = nodes, inputs = list, outputs = outputs }
end

local function scan(o)
  local node = { "Scan", "h0 x", "hn y", num_scan_inputs = 1, body = body(STEP, { "h", "x_t" }, { "h_next", "y_t" }) }
  for name, value in pairs(o or {}) do
    node[name] = value
  end
  return node
end

local OUTPUTS = { "y", "hn" }

local function state_inputs(x_dims)
  return { { "x", x_dims or { "T", "N", I } }, { "h0", { "N", H } } }
end

local function check_session(model, x, y)
  local session = model:session { streams = B }
  for t = 1, T do
    near(session:step(x[t]), y[t])
  end
end

describe("a Scan of an ONNX file", function()
  teardown(function() os.remove(PATH) end)

  it("walks over its steps, with the graph's state", function()
    local model = assert(read { nodes = { scan() }, tensors = w, inputs = state_inputs(), outputs = OUTPUTS })
    local x, h = random:normal { T, B, I }, random:normal { B, H }
    local y, state = model(x, { h0 = h })
    local wanted, last = twin(x, h)
    near(y, wanted)
    near(state.h0, last)
    check_session(model, x, (model(x)))
  end)

  it("walks back, and over other axes", function()
    local x, h = random:normal { T, B, I }, random:normal { B, H }
    local back = assert(read { nodes = { scan { scan_input_directions = { 1 }, scan_output_directions = { 1 } } },
      tensors = w, inputs = state_inputs(), outputs = OUTPUTS })
    near(back(x, { h0 = h }), (twin(x, h, true)))
    local turned = assert(read { nodes = { scan { scan_input_axes = { 1 }, scan_output_axes = { -1 } } }, tensors = w,
      inputs = state_inputs { "N", "T", I }, outputs = OUTPUTS })
    near(turned(x, { h0 = h }), (twin(x, h)))
  end)

  it("keeps states that begin at zeros by itself, and trains", function()
    local model = assert(read {
      nodes = { { "Shape", "x", "s" }, { "Slice", "s one two", "n" }, { "Concat", "n H", "shape", axis = 0 },
        { "ConstantOfShape", "shape", "h0" }, scan { name = "steps" } },
      tensors = { U = w.U, V = w.V, O = w.O, one = { 1 }, two = { 2 }, H = { H } },
      inputs = { { "x", { "T", "N", I } } }, outputs = { "y" },
    })
    local x = random:normal { T, B, I }
    local y, state = model(x:slice(1, 1, 2))
    near(y, (twin(x:slice(1, 1, 2), saros.zeros(B, H))))
    near(model(x:slice(1, 3, T), state), twin(x, saros.zeros(B, H)):slice(1, 3, T))
    check_session(model, x, (twin(x, saros.zeros(B, H))))
    local tape <close> = saros.tape()
    tape:backward(model(x):sum())
    assert.is_true(model:tensors().V:gradient():abs():max():item() > 0)
  end)

  it("has several states and inputs, and reads what stands outside", function()
    local nodes = {
      { "Exp", "scale", "factor" },
      { "Scan", "h0 n0 x z", "hn nn y", num_scan_inputs = 2, body = body({
        { "Add", "x_t z_t", "both" }, { "Mul", "both factor", "more" }, { "Add", "h more", "h_next" },
        { "Add", "n one", "n_next" }, { "Mul", "h_next n_next", "y_t" } }, { "h", "n", "x_t", "z_t" },
        { "h_next", "n_next", "y_t" }) },
    }
    local model = assert(read { nodes = nodes, tensors = { scale = saros.tensor { 0.5 }, one = saros.tensor { 1 } },
      inputs = { { "x", { "T", "N", H } }, { "z", { "T", "N", H } }, { "h0", { "N", H } }, { "n0", { "N", 1 } } },
      outputs = { "y", "hn", "nn" } })
    local x, z = random:normal { T, B, H }, random:normal { T, B, H }
    local y, state = model { x = x, z = z }
    local sums = saros.cumsum((x + z) * math.exp(0.5), 1)
    for t = 1, T do
      near(y[t], sums[t] * t, 1e-5)
    end
    near(state.n0, saros.full({ B, 1 }, T))
  end)
end)

describe("a Loop of an ONNX file", function()
  teardown(function() os.remove(PATH) end)

  local COUNT = { { "Shape", "x", "s" }, { "Gather", "s zero", "T" } }

  local function loop(extra_inputs, extra_body, outputs, o)
    local nodes = { { "Gather", "x t", "x_t", axis = o and o.axis or 0 }, { "Identity", "yes", "go" } }
    table.move(STEP, 1, #STEP, #nodes + 1, nodes)
    table.move(extra_body, 1, #extra_body, #nodes + 1, nodes)
    return { "Loop", "T yes h0 " .. extra_inputs, outputs.names, body = body(nodes, outputs.inputs, outputs.list) }
  end

  local tensors = { U = w.U, V = w.V, O = w.O, zero = 0, yes = { dims = {}, data_type = 9, raw_data = "\1" } }

  it("runs for each step of a sequence, of which the body takes one", function()
    local nodes = { COUNT[1], COUNT[2], loop("", {}, { names = "hn y", inputs = { "t", "go_on", "h" },
      list = { "go", "h_next", "y_t" } }) }
    local model = assert(read { nodes = nodes, tensors = tensors, inputs = state_inputs(), outputs = OUTPUTS })
    local x, h = random:normal { T, B, I }, random:normal { B, H }
    local y, state = model(x, { h0 = h })
    local wanted, last = twin(x, h)
    near(y, wanted)
    near(state.h0, last)
    check_session(model, x, (model(x)))
  end)

  it("appends to a sequence of tensors", function()
    local nodes = { COUNT[1], COUNT[2], { "SequenceEmpty", "", "none" },
      loop("none", { { "SequenceInsert", "list y_t", "longer" } },
        { names = "hn all", inputs = { "t", "go_on", "h", "list" }, list = { "go", "h_next", "longer" } }),
      { "ConcatFromSequence", "all", "y", axis = 0, new_axis = 1 } }
    local model = assert(read { nodes = nodes, tensors = tensors, inputs = state_inputs(), outputs = OUTPUTS })
    local x, h = random:normal { T, B, I }, random:normal { B, H }
    near(model(x, { h0 = h }), (twin(x, h)))
    check_session(model, x, (model(x)))
  end)

  it("has layers of one step inside, and names that others have, too", function()
    local L = { W = random:normal { 1, 4 * H, I }, R = random:normal { 1, 4 * H, H }, axis = { 0 } }
    local inner = { { "Gather", "x t", "x_t" }, { "Identity", "yes", "s" }, { "Unsqueeze", "x_t axis", "x1" },
      { "Unsqueeze", "h axis", "h1" }, { "Unsqueeze", "c axis", "c1" },
      { "LSTM", "x1 W R - - h1 c1", "Y T n", hidden_size = H }, { "Squeeze", "T axis", "h_next" },
      { "Squeeze", "n axis", "c_next" } }
    local nodes = { COUNT[1], COUNT[2], { "Loop", "T yes h0 c0", "hn cn y",
      body = body(inner, { "t", "go_on", "h", "c" }, { "s", "h_next", "c_next", "h_next" }) } }
    for name, value in pairs(tensors) do
      L[name] = L[name] or value
    end
    local model = assert(read { nodes = nodes, tensors = L, inputs = { { "x", { "T", "N", I } }, { "h0", { "N", H } },
      { "c0", { "N", H } } }, outputs = { "y", "hn", "cn" } })
    local x, zeros = random:normal { T, B, I }, saros.zeros(B, H)
    local y = models.walk("LSTM", {}, { W = L.W[1], R = L.R[1] }, x, zeros, zeros)
    near(model(x), y)
    check_session(model, x, y)
  end)

  it("is refused where it never ends, or ends by what it reads", function()
    local function counted(nodes, list, given)
      return select(2, read { nodes = { { "Exp", "x", "e" }, { "Loop", given or "- yes e", "y",
        body = body(nodes, { "t", "go_on", "h" }, list) } }, tensors = { yes = tensors.yes, n = 1 << 40 },
        inputs = { { "x", { "N", 2 } } }, outputs = { "y" } })
    end
    local same = { { "Identity", "yes", "go" }, { "Tanh", "h", "next" } }
    assert.matches("makes too many elements", counted(same, { "go", "next" }), 1, true)
    assert.matches("makes too many elements", counted(same, { "go", "next" }, "n yes e"), 1, true)
    assert.matches("a condition that is known without the input",
      counted({ { "ReduceMax", "h", "m", keepdims = 0 }, { "Greater", "m m", "go" } }, { "go", "h" }), 1, true)
    assert.matches("a body of 3 inputs and 1 outputs", counted(same, { "go" }), 1, true)
  end)
end)
