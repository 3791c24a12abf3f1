-- Branches of ONNX files on ranks, sizes and settings, in a detector of the form in which such nets are published:
-- a piece of sound and states in, one probability out.

local saros = require "saros"
local models = require "spec.support.onnx_models"

local PATH = os.tmpname()
local random = saros.generator(5)
local H, WINDOW, HOP = 6, 8, 4

local function near(a, b, tolerance)
  assert.same(b:shape(), a:shape())
  assert.is_true((a - b):abs():max():item() < (tolerance or 2e-6))
end

local function weights_of(bins)
  return {
    basis = random:normal { 2 * bins, 1, WINDOW } * 0.5, enc = random:normal { H, bins, 3 } * 0.5,
    enc_bias = random:normal { H }, W = random:normal { 1, 4 * H, H }, R = random:normal { 1, 4 * H, H },
    B = random:normal { 1, 8 * H }, out = random:normal { 1, H, 1 }, out_bias = random:normal { 1 },
  }
end

local INTEGERS = { zero = 0, one = 1, two = 2, axis0 = { 0 }, axis1 = { 1 }, axis2 = { 2 }, last = { -1 },
  far = { 1 << 62 }, pads = { 0, 0, 0, HOP }, all = { 0 } }

local function identity(name)
  return models.graph { nodes = { { "Identity", name, "same" } }, outputs = { "same" } }
end

--- One branch: the whole net for one rate. `bins` frequencies.
local function net_of(bins, w)
  local function squeeze(name, axes)
    return models.graph { nodes = { { "Squeeze", name .. " " .. axes, "less" } }, outputs = { "less" } }
  end
  local tensors = { bins = { bins }, bins2 = { 2 * bins } }
  for name, value in pairs(w) do
    tensors[name] = value
  end
  return models.graph {
    nodes = {
      { "Pad", "input pads", "padded", mode = "reflect" }, { "Unsqueeze", "padded axis1", "wave" },
      { "Conv", "wave basis", "waves", strides = { HOP } },
      { "Slice", "waves axis0 bins axis1", "re" }, { "Slice", "waves bins bins2 axis1", "im" },
      { "Mul", "re re", "re2" }, { "Mul", "im im", "im2" }, { "Add", "re2 im2", "power" }, { "Sqrt", "power", "mag" },
      { "Conv", "mag enc enc_bias", "e", pads = { 1, 1 }, strides = { 3 } }, { "Relu", "e", "r" },
      { "Shape", "r", "sizes" }, { "Gather", "sizes last", "places" }, { "Equal", "places axis1", "is_one" },
      { "If", "is_one", "x", then_branch = squeeze("r", "last"), else_branch = identity "r" },
      { "Shape", "x", "xs" }, { "Size", "xs", "rank" }, { "Equal", "rank two", "is_flat" },
      { "Not", "is_flat", "is_deep" },
      { "If", "is_deep", "x3", then_branch = identity "x",
        else_branch = models.graph { nodes = { { "Unsqueeze", "x axis0", "more" } }, outputs = { "more" } } },
      { "Gather", "state zero", "h" }, { "Gather", "state one", "c" }, { "Unsqueeze", "h axis0", "h1" },
      { "Unsqueeze", "c axis0", "c1" },
      { "LSTM", "x3 W R B - h1 c1", "Y hn cn", hidden_size = H }, { "Concat", "hn cn", "both", axis = 0 },
      { "Squeeze", "hn axis0", "hs" }, { "Unsqueeze", "hs last", "hl" }, { "Conv", "hl out out_bias", "o" },
      { "Sigmoid", "o", "p" }, { "ReduceMean", "p", "prob", axes = { 2 }, keepdims = 0 },
    },
    tensors = tensors, outputs = { "prob", "both" },
  }
end

local function detector(a, b)
  return {
    opset = 13, nodes = {
      { "Equal", "rate high", "is_high" },
      { "If", "is_high", "prob state_mid", then_branch = net_of(5, a), else_branch = net_of(3, b) },
      { "Mul", "rate zero", "nothing" }, { "Cast", "nothing", "nil", to = 1 }, { "Add", "state_mid nil", "state_out" },
    },
    tensors = { high = 16000 }, outputs = { "prob", "state_out" },
    inputs = { { "input", { "?", "samples" } }, { "state", { 2, "rows", H } }, { "rate", {}, 7 } },
  }
end

local function write(a, b)
  local given = detector(a, b)
  for name, value in pairs(INTEGERS) do
    given.tensors[name] = value
  end
  models.write(PATH, given)
end

local function linear(x, w)
  return x:matmul(w:transpose())
end

--- The same net by hand: x (B, N), h and c (B, H).
local function twin(w, bins, x, h, c)
  local B, N = x:size(1), x:size(2)
  local padded, waves = x .. x:slice(2, N - 1, N - HOP, -1), {}
  for n = 0, (N + HOP - WINDOW) // HOP do
    waves[n + 1] = linear(padded:slice(2, n * HOP + 1, n * HOP + WINDOW), w.basis:reshape(2 * bins, WINDOW))
  end
  local mags = { saros.zeros(B, bins) }
  for n, wave in ipairs(waves) do
    local re, im = wave:slice(2, 1, bins), wave:slice(2, bins + 1, 2 * bins)
    mags[n + 1] = (re * re + im * im):sqrt()
  end
  local e = w.enc_bias + linear(mags[1], w.enc:select(3, 1)) + linear(mags[2], w.enc:select(3, 2))
    + linear(mags[3], w.enc:select(3, 3))
  local own = { W = w.W[1], R = w.R[1], B = w.B[1] }
  local x2, hs, cs = e:relu(), {}, {}
  for b = 1, B do
    hs[b], cs[b] = models.step("LSTM", {}, own, x2[b], h[b], c[b])
  end
  h, c = saros.stack(hs), saros.stack(cs)
  return (h:matmul(w.out:reshape(H)) + w.out_bias):sigmoid():reshape(B, 1), h, c
end

describe("a detector with branches", function()
  local T, B, N = 4, 2, 12
  local high, low = weights_of(5), weights_of(3)

  before_each(function() write(high, low) end)
  teardown(function() os.remove(PATH) end)

  for rate, case in pairs { [16000] = { high, 5 }, [8000] = { low, 3 } } do
    it("is read for one setting, and has pieces of a stream as steps: " .. rate, function()
      local model = assert(saros.onnx.read(PATH, { constants = { rate = rate }, sizes = { samples = N } }))
      local x, h, c = random:normal { T, B, N }, saros.zeros(B, H), saros.zeros(B, H)
      local y, state = model(x)
      local session = model:session { streams = B }
      for t = 1, T do
        local wanted
        wanted, h, c = twin(case[1], case[2], x[t], h, c)
        near(y[t]:reshape(B, 1), wanted, 1e-5)
        near(session:step(x[t]):reshape(B, 1), wanted, 1e-5)
      end
      near(state.state[1], h, 1e-5)
      near(state.state[2], c, 1e-5)
    end)
  end

  it("is summed up with what is inside its branches", function()
    local summary = assert(saros.onnx.inspect(PATH))
    assert.same({}, summary.unknown)
    assert.equal(2, summary.operators.LSTM)
    assert.equal(5, summary.operators.If)
  end)

  it("takes the size of an input by the input's name, too", function()
    local model = assert(saros.onnx.read(PATH, { constants = { rate = 8000 }, sizes = { input = N } }))
    assert.equal(N, model.inputs[1].width)
  end)

  it("needs sizes where branches depend on them, and says so", function()
    local constants = { rate = 8000 }
    assert.matches('"x" (If with a condition that depends on the input or on open sizes)',
      select(2, saros.onnx.read(PATH, { constants = constants })), 1, true)
    assert.matches('"prob" (If with a condition that depends on', select(2, saros.onnx.read(PATH)), 1, true)
    assert.matches('or by the names of open sizes, got "length"', select(2, saros.onnx.read(PATH,
      { constants = constants, sizes = { length = 3 } })), 1, true)
    assert.error_matches(function() saros.onnx.read(PATH, { sizes = { samples = 0 } }) end,
      "expected sizes as { name = a positive integer }, got samples = 0", 1, true)
  end)
end)
