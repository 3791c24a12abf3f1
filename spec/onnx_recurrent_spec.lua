-- RNN, GRU and LSTM of ONNX files, against the equations of their documentation.

local saros = require "saros"
local models = require "spec.support.onnx_models"

local PATH = os.tmpname()
local I, H, T, B = 3, 4, 5, 2
local GATES = { LSTM = 4, GRU = 3, RNN = 1 }

local CASES = {
  { "LSTM" }, { "GRU" }, { "RNN" }, { "LSTM", peepholes = true }, { "LSTM", bias = false }, { "GRU", bias = false },
  { "RNN", activations = { "Relu" } }, { "GRU", linear_before_reset = 1 },
  -- what no fused layer has
  { "LSTM", clip = 0.3, peepholes = true }, { "LSTM", input_forget = 1 }, { "GRU", clip = 0.2 },
  { "GRU", linear_before_reset = 1, clip = 0.2, bias = false }, { "RNN", clip = 0.2 },
  { "LSTM", activations = { "HardSigmoid", "Relu", "Tanh" } }, { "GRU", activations = { "Sigmoid", "Softplus" } },
  { "RNN", activations = { "Softplus" } },
}

local function title(case)
  local words = {}
  for name, value in pairs(case) do
    words[#words + 1] = type(name) == "string"
      and ("%s %s"):format(name, type(value) == "table" and table.concat(value, " ") or tostring(value)) or nil
  end
  table.sort(words)
  return table.concat({ case[1], table.unpack(words) }, ", ")
end

local function weights_of(case, D, random)
  local op, G = case[1], GATES[case[1]]
  return {
    W = random:normal { D, G * H, I } * 0.5, R = random:normal { D, G * H, H } * 0.5,
    B = case.bias ~= false and random:normal { D, 2 * G * H } or nil,
    P = case.peepholes and op == "LSTM" and random:normal { D, 3 * H } or nil,
  }
end

--- A file of one node, which takes and gives its states.
local function write(case, direction, layout, w)
  local op, D = case[1], w.W:size(1)
  local is_lstm = op == "LSTM"
  local node = { op, ("x W R %s lens h0 %s %s"):format(w.B and "B" or "-", is_lstm and "c0" or "", w.P and "P" or ""),
    "Y hn" .. (is_lstm and " cn" or ""), hidden_size = H, direction = direction, layout = layout }
  for name, value in pairs(case) do
    if type(name) == "string" and name ~= "bias" and name ~= "peepholes" then
      node[name] = value
    end
  end
  if D == 2 and case.activations then -- of both directions
    local list = { table.unpack(case.activations) }
    node.activations = table.move(list, 1, #list, #list + 1, list)
  end
  local function dims(...)
    local a, b, c = ...
    return layout == 1 and { b, a, c } or { a, b, c }
  end
  local inputs = { { "x", dims("T", "B", I) }, { "lens", { "B" }, 6 }, { "h0", dims(D, "B", H) } }
  local outputs = { "Y", "hn" }
  if is_lstm then
    inputs[4], outputs[3] = { "c0", dims(D, "B", H) }, "cn"
  end
  models.write(PATH, { nodes = { node }, tensors = w, inputs = inputs, outputs = outputs })
end

--- What the twin says: y (T, B, D, H), and the states (B, H) of each direction.
local function twin(case, direction, w, x, first, lengths)
  local ys, last = {}, {}
  for d = 1, w.W:size(1) do
    local own = {}
    for name, value in pairs(w) do
      own[name] = value:select(1, d)
    end
    local is_reverse = d == 2 or direction == "reverse"
    local h, c
    ys[d], h, c = models.walk(case[1], case, own, x, first.h[d], first.c[d], lengths, is_reverse)
    last[d] = { h = h, c = c }
  end
  return saros.stack(ys, 3), last
end

local function near(a, b)
  assert.is_true((a - b):abs():max():item() < 2e-6)
end

--- A state as the module has it: a tensor for one layer, a list for more; whole if rows come first.
local function as_state(list, layout)
  if layout == 1 then
    return saros.stack(list, 2)
  end
  return #list == 1 and list[1] or list
end

local function check(case, direction, layout, lengths)
  local random = saros.generator(7)
  local D = direction == "bidirectional" and 2 or 1
  local w = weights_of(case, D, random)
  write(case, direction, layout, w)
  local model = assert(saros.onnx.read(PATH))
  local x, first = random:normal { T, B, I }, { h = {}, c = {} }
  for d = 1, D do
    first.h[d], first.c[d] = random:normal { B, H }, random:normal { B, H }
  end
  local y, last = twin(case, direction, w, x, first, lengths)
  local got, after = model(x, { h0 = as_state(first.h, layout), c0 = as_state(first.c, layout) }, { lengths = lengths })
  near(got:reshape(T, B, D, H), y)
  for _, name in ipairs(case[1] == "LSTM" and { "h", "c" } or { "h" }) do
    local list = {}
    for d = 1, D do
      list[d] = last[d][name]
    end
    local own, wanted = after[name .. "0"], as_state(list, layout)
    near(type(own) == "table" and saros.stack(own) or own, type(wanted) == "table" and saros.stack(wanted) or wanted)
  end
  return model, x
end

describe("a recurrent operator of an ONNX file", function()
  teardown(function() os.remove(PATH) end)

  for n, case in ipairs(CASES) do
    it("does what its documentation says: " .. title(case), function()
      check(case, "forward", 0)
      check(case, "reverse", 0, n % 2 == 0 and { 5, 3 } or nil)
      check(case, "bidirectional", 0, { 3, 5 })
      check(case, "forward", 1)
      check(case, "bidirectional", 1)
    end)

    it("steps in a session as over a sequence: " .. title(case), function()
      local model, x = check(case, "forward", 0)
      local session, y = model:session { streams = B }, model(x)
      for t = 1, T do
        near(session:step(x[t]):reshape(B, 1, H), y[t])
      end
    end)
  end

  it("is refused with an activation, weights or shapes that it cannot have", function()
    local w = weights_of({ "LSTM" }, 1, saros.generator(1))
    write({ "LSTM", activations = { "Sine", "Tanh", "Tanh" } }, "forward", 0, w)
    assert.matches('"Y" (LSTM with activation "sine")', select(2, saros.onnx.read(PATH)), 1, true)
    w.R = w.R:slice(2, 1, 8)
    write({ "LSTM" }, "forward", 0, w)
    assert.matches("R of shape (1, 8, 4) instead of (1, 16, 4)", select(2, saros.onnx.read(PATH)), 1, true)
  end)
end)
