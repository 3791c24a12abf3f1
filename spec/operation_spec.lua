-- What operations compute. Their gradients are in gradient_spec.lua.

require "spec.support.values"
local saros = require "saros"
local core = require "saros.core"

-- The real numbers here are small integers or a few roundings away from them.
local tolerance = 1e-5

local function is(expected, tensor)
  assert.same_values(saros.tensor(expected), tensor, tolerance)
end

local function grid()
  return saros.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
end

local function random(...)
  return saros.generator(7):normal { ... }
end

describe("the gradient of a cross-entropy", function()
  local LOGITS = 100 * 5000 * (saros.info().real == "double" and 8 or 4)

  -- The gradient of the parameters, and the bytes that backward asked for.
  local function run(is_held)
    local w = saros.generator(1):normal({ 3, 5000 }, 0, 1):trainable(true) -- too few rows for a packed copy of logits
    local tape <close> = saros.tape()
    local logits = saros.generator(2):normal({ 100, 3 }, 0, 1):matmul(w)
    local mask = saros.maximum(saros.arange(100) - 3, 0)
    local loss = saros.cross_entropy(logits, saros.generator(3):permutation(100), { mask = mask })
    if not is_held then
      local _ <close> = logits
    end
    collectgarbage "stop"
    core.trim()
    local before = saros.memory().in_use
    tape:backward(loss)
    local after = saros.memory()
    collectgarbage "restart"
    return w:gradient():totable(), after.in_use + after.pooled - before
  end

  it("takes the place of logits that nobody else holds, with the same bits", function()
    local expected, with_copy = run(true)
    local gradient, without = run(false)
    assert.same(expected, gradient)
    assert.is_true(with_copy > LOGITS)
    assert.is_true(without < LOGITS / 2, ("%d bytes"):format(without))
  end)
end)

describe("functions of each element", function()
  local xs = { -2, -0.5, 0.25, 1, 3 }
  local expected = {
    abs = math.abs,
    exp = math.exp,
    tanh = function(x) return (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1) end,
    sigmoid = function(x) return 1 / (1 + math.exp(-x)) end,
    relu = function(x) return math.max(x, 0) end,
    sin = math.sin,
    cos = math.cos,
    softplus = function(x) return math.log(1 + math.exp(x)) end,
    silu = function(x) return x / (1 + math.exp(-x)) end,
    gelu_tanh = function(x)
      local e = math.exp(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x ^ 3))
      return x * (1 - 1 / (e + 1))
    end,
    elu = function(x) return x > 0 and x or math.exp(x) - 1 end,
    leaky_relu = function(x) return x > 0 and x or 0.01 * x end,
    hard_sigmoid = function(x) return math.min(math.max(x / 6 + 0.5, 0), 1) end,
    hard_tanh = function(x) return math.min(math.max(x, -1), 1) end,
  }

  local function map(f, list)
    local result = {}
    for i, x in ipairs(list) do result[i] = f(x) end
    return result
  end

  for name, f in pairs(expected) do
    it(name .. " agrees with its definition", function()
      is(map(f, xs), saros[name](saros.tensor(xs)))
      is(map(f, xs), saros.tensor(xs)[name](saros.tensor(xs)))
    end)
  end

  it("gelu is PyTorch's default, which uses erf", function()
    local known = { -0.00404951, -0.04550026, -0.15426877, 0, 0.34573123, 1.95449974, 2.99595049 }
    local y = saros.tensor { -3, -2, -0.5, 0, 0.5, 2, 3 }:gelu()
    for n, value in ipairs(known) do
      assert.near(value, y[n], 5e-7)
    end
  end)

  it("elu and leaky_relu take a slope below 0", function()
    local x = saros.tensor { -2, -0.5, 0, 3 }
    is({ 0.3 * (math.exp(-2) - 1), 0.3 * (math.exp(-0.5) - 1), 0, 3 }, x:elu(0.3))
    is({ -0.5, -0.125, 0, 3 }, saros.leaky_relu(x, 0.25))
    assert.is_true(saros.isnan(saros.elu(0 / 0, 2)):item() == 1)
    assert.error_matches(function() return x:elu "much" end, "elu: expected a number")
  end)

  it("log and sqrt agree with their definitions", function()
    local positive = { 0.5, 1, 2, 9 }
    is(map(math.log, positive), saros.tensor(positive):log())
    is(map(math.sqrt, positive), saros.tensor(positive):sqrt())
  end)

  it("take a number for a tensor without axes", function()
    assert.near(math.exp(2), saros.exp(2):item(), tolerance)
    assert.same({}, saros.tanh(0.5):shape())
  end)

  it("work on views of any strides", function()
    is({ { 1, 16 }, { 4, 25 }, { 9, 36 } }, grid():transpose() ^ 2)
    is({ -2, -5 }, -grid():select(2, 2))
  end)
end)

describe("operators on two tensors", function()
  it("work element by element", function()
    local a, b = saros.tensor { 6, -4 }, saros.tensor { 3, 2 }
    is({ 9, -2 }, a + b)
    is({ 3, -6 }, a - b)
    is({ 18, -8 }, a * b)
    is({ 2, -2 }, a / b)
    is({ 216, 16 }, a ^ b)
    is({ -6, 4 }, -a)
    is({ 6, 2 }, a:maximum(b))
    is({ 3, -4 }, saros.minimum(a, b))
  end)

  it("take numbers on either side", function()
    local a = saros.tensor { 1, 2 }
    is({ 3, 4 }, a + 2)
    is({ 1, 0 }, 2 - a)
    is({ 2, 1 }, 2 / a)
    is({ 2, 4 }, 2 ^ a)
    is({ 1, 1 }, saros.minimum(a, 1))
  end)

  it("repeat axes of size 1, and missing ones", function()
    local column = saros.tensor { { 10 }, { 20 } }
    is({ { 11, 12, 13 }, { 24, 25, 26 } }, grid() + column)
    is({ { 2, 4, 6 }, { 5, 7, 9 } }, grid() + saros.tensor { 1, 2, 3 })
    is({ { 11, 21 }, { 12, 22 } }, saros.tensor { { 1 }, { 2 } } + saros.tensor { 10, 20 })
    assert.same({ 4, 2, 3 }, (saros.zeros(4, 1, 3) + saros.zeros(2, 1)):shape())
    assert.same({ 0, 3 }, (saros.zeros(0, 3) + saros.zeros(1, 3)):shape())
  end)

  it("compare with 1 for true and 0 for false", function()
    local a, b = saros.tensor { 1, 2, 3 }, saros.tensor { 2, 2, 2 }
    is({ 1, 0, 0 }, a:lt(b))
    is({ 1, 1, 0 }, a:le(b))
    is({ 0, 0, 1 }, a:gt(b))
    is({ 0, 1, 1 }, a:ge(b))
    is({ 0, 1, 0 }, a:eq(b))
    is({ 1, 0, 1 }, a:ne(b))
    is({ 0, 1, 0 }, a:eq(2))
  end)

  it("say which shapes do not go together", function()
    assert.error_matches(function()
      return grid() + saros.zeros(2)
    end, "add: expected .*%(2, 3%).*%(2,?%)")
  end)
end)

describe("the matrix product", function()
  it("agrees with its definition", function()
    is({ { 14, 32 }, { 32, 77 } }, grid():matmul(grid():transpose()))
  end)

  it("takes vectors as a row on the left and a column on the right", function()
    is({ 9, 12, 15 }, saros.tensor { 1, 2 }:matmul(grid()))
    is({ 8, 20 }, grid():matmul(saros.tensor { 1, 2, 1 }))
    assert.near(11, saros.tensor { 1, 2 }:matmul(saros.tensor { 3, 4 }):item(), tolerance)
  end)

  it("repeats leading axes", function()
    local a, b = random(2, 3, 4), random(4, 5)
    local product = a:matmul(b)
    assert.same({ 2, 3, 5 }, product:shape())
    assert.same_values(a[2]:matmul(b), product[2], tolerance)
    local c = random(6, 1, 4, 5)
    local batched = a:matmul(c)
    assert.same({ 6, 2, 3, 5 }, batched:shape())
    assert.same_values(a[1]:matmul(c[4][1]), batched[4][1], tolerance)
  end)

  it("gives zeros where the inner size is 0", function()
    is({ { 0, 0 }, { 0, 0 } }, saros.zeros(2, 0):matmul(saros.zeros(0, 2)))
  end)
end)

describe("reductions", function()
  it("go over all elements", function()
    assert.equal(21, grid():sum():item())
    assert.equal(3.5, grid():mean():item())
    assert.equal(6, grid():max():item())
    assert.equal(1, grid():min():item())
  end)

  it("go over one axis, which may be kept", function()
    is({ 5, 7, 9 }, grid():sum(1))
    is({ 6, 15 }, grid():sum(2))
    is({ 6, 15 }, grid():sum(-1))
    is({ { 2 }, { 5 } }, grid():mean(2, true))
    is({ { 4, 5, 6 } }, grid():max(1, true))
    is({ 1, 4 }, saros.min(grid(), 2))
    is({ { 21 } }, grid():sum(nil, true))
  end)

  it("work on the middle axis", function()
    local x = random(2, 3, 4)
    assert.same_values(x:select(2, 1) + x:select(2, 2) + x:select(2, 3), x:sum(2), tolerance)
  end)

  it("name the first of the largest by its position", function()
    assert.same({ 2, 1 }, saros.tensor { { 1, 9, 9 }, { 5, 5, 5 } }:argmax():totable())
    assert.same({ 2, 1, 1 }, saros.tensor { { 1, 9, 9 }, { 5, 5, 5 } }:argmax(1):totable())
  end)

  it("over nothing are zeros, or an error where there is no answer", function()
    assert.equal(0, saros.zeros(0):sum():item())
    is({ 0, 0 }, saros.zeros(2, 0):sum(2))
    assert.error_matches(function()
      saros.zeros(0):max()
    end, "max: expected")
  end)
end)

describe("running over an axis", function()
  it("cumsum adds up what is there and before", function()
    is({ { 1, 3, 6 }, { 4, 9, 15 } }, grid():cumsum())
    is({ { 1, 2, 3 }, { 5, 7, 9 } }, grid():cumsum(1))
    assert.same({ 2, 0 }, saros.zeros(2, 0):cumsum():shape())
  end)

  it("logsumexp agrees with its definition and does not overflow", function()
    local x = random(3, 4, 5)
    for axis = 1, 3 do
      assert.same_values(x:exp():sum(axis):log(), x:logsumexp(axis), tolerance)
      assert.same_values(x:exp():sum(axis, true):log(), x:logsumexp(axis, true), tolerance)
    end
    assert.same_values(x:exp():sum():log(), x:logsumexp(), tolerance)
    assert.same({ 1, 1, 1 }, x:logsumexp(nil, true):shape())
    is({ 1e30, 1000 + math.log(2) }, saros.tensor { { 1e30, 0 }, { 1000, 1000 } }:logsumexp(2))
    local far = saros.tensor { { -math.huge, -math.huge }, { math.huge, 0 } }:trainable(true)
    local tape <close> = saros.tape()
    local y = far:logsumexp(2)
    assert.same({ -math.huge, math.huge }, y:totable())
    tape:backward(y:slice(1, 1, 1):sum())
    is({ { 0, 0 }, { 0, 0 } }, far:gradient())
    assert.equal(-math.huge, saros.zeros(0):logsumexp():item())
  end)
end)

describe("slices by steps, and reversed", function()
  it("keep every step-th position", function()
    local x = saros.arange(10)
    is({ 1, 4, 7, 10 }, x:slice(1, 1, 10, 3))
    is({ 2, 4, 6, 8 }, x:slice(1, 2, -2, 2))
    is({ { 1, 3 }, { 4, 6 } }, grid():slice(2, 1, nil, 2))
    is({ { 1, 3 }, { 4, 6 } }, grid():slice(2, 1, nil, 2):clone())
    assert.same({ 3, 1 }, saros.ids { 1, 2, 3 }:slice(1, 3, 1, -2):totable())
  end)

  it("read backwards with a step below 0", function()
    local x = saros.arange(10)
    is({ 9, 7, 5 }, x:slice(1, 9, 4, -2))
    is({ 3, 2, 1 }, x:slice(1, 3, nil, -1))
    is({ { 3, 2, 1 }, { 6, 5, 4 } }, grid():flip(2))
    is({ { 4, 5, 6 }, { 1, 2, 3 } }, saros.flip(grid(), 1))
    is({ { 4, 1 }, { 5, 2 }, { 6, 3 } }, grid():transpose():flip(-1))
    assert.same({ 0, 3 }, saros.zeros(0, 3):flip(1):shape())
    assert.same({ 2, 1 }, saros.ids { 1, 2 }:flip(1):totable())
  end)

  it("may be empty, but not the wrong way round or outside", function()
    assert.same({ 0 }, saros.arange(5):slice(1, 3, 2, 2):shape())
    local x = saros.arange(5)
    assert.error_matches(function() return x:slice(1, 4, 1, 2) end, "slice: expected last not before first")
    assert.error_matches(function() return x:slice(1, 1, 9, 4) end, "slice: expected positions within 1..5")
    assert.error_matches(function() return x:slice(1, 1, 5, 0) end, "a step other than 0")
  end)
end)

describe("the k largest", function()
  it("come largest first, with their positions", function()
    local values, ids = grid():topk(2)
    is({ { 3, 2 }, { 6, 5 } }, values)
    assert.same({ { 3, 2 }, { 3, 2 } }, ids:totable())
    values, ids = saros.topk(grid(), 1, 1)
    is({ { 4, 5, 6 } }, values)
    assert.same({ { 2, 2, 2 } }, ids:totable())
  end)

  it("are what sorting gives, the first of equal ones first, NaN before all", function()
    local x = (saros.generator(3):normal { 40 } * 2):totable()
    for n, value in ipairs(x) do
      x[n] = value // 1
    end
    x[17] = 0 / 0
    local order = {}
    for n = 1, 40 do
      order[n] = n
    end
    local function key(n) return x[n] ~= x[n] and math.huge or x[n] end
    table.sort(order, function(a, b)
      if key(a) ~= key(b) then return key(a) > key(b) end
      return a < b
    end)
    for k = 1, 40 do
      local _, ids = saros.tensor(x):topk(k)
      assert.same(table.move(order, 1, k, 1, {}), ids:totable())
    end
  end)

  it("are at least one and at most all", function()
    assert.error_matches(function() return grid():topk(4) end, "topk: expected k in 1..3, the size of axis 2, got 4")
    assert.error_matches(function() return grid():topk(0) end, "topk: expected k in 1..3")
  end)
end)

describe("joining tensors", function()
  it("concatenates along an axis that exists", function()
    local a = saros.tensor { { 1, 2 } }
    is({ { 1, 2 }, { 1, 2 } }, saros.concatenate({ a, a }, 1))
    is({ { 1, 2, 1, 2, 1, 2 } }, saros.concatenate({ a, a, a }, -1))
    assert.same({ 1, 2, 3, 4 },
      saros.concatenate({ saros.ids { 1, 2 }, saros.ids { 3, 4 } }, 1):totable())
  end)

  it("stacks along a new axis", function()
    local a, b = saros.tensor { 1, 2 }, saros.tensor { 3, 4 }
    is({ { 1, 2 }, { 3, 4 } }, saros.stack { a, b })
    is({ { 1, 3 }, { 2, 4 } }, saros.stack({ a, b }, 2))
    is({ { 1, 3 }, { 2, 4 } }, saros.stack({ a, b }, -1))
  end)

  it("is written '..' for the features", function()
    is({ { 1, 2, 9 }, { 3, 4, 8 } },
      saros.tensor { { 1, 2 }, { 3, 4 } } .. saros.tensor { { 9 }, { 8 } })
  end)
end)

describe("lookup by ids", function()
  it("takes rows of a table", function()
    is({ { 4, 5, 6 }, { 1, 2, 3 }, { 4, 5, 6 } }, grid():embedding(saros.ids { 2, 1, 2 }))
    assert.same({ 2, 2, 3 }, grid():embedding(saros.ids { { 1, 2 }, { 2, 1 } }):shape())
  end)

  it("picks one element of each row", function()
    is({ 3, 4 }, grid():pick(saros.ids { 3, 1 }))
  end)

  it("gathers elements along an axis", function()
    is({ { 3, 3, 1, 2 }, { 4, 5, 6, 6 } }, grid():gather(2, saros.ids { { 3, 3, 1, 2 }, { 1, 2, 3, 3 } }))
    is({ { 4, 2, 6 } }, grid():gather(1, saros.ids { { 2, 1, 2 } }))
    assert.error_matches(function() return grid():gather(2, saros.ids { { 1, 4 }, { 1, 1 } }) end,
      "gather: expected .* in 1..3, got 4")
    assert.error_matches(function() return grid():gather(2, saros.ids { { 1 } }) end,
      "gather: expected ids with the shape of x but for axis 2")
  end)

  it("writes ids as rows with a single 1", function()
    is({ { 0, 1, 0 }, { 1, 0, 0 } }, saros.one_hot(saros.ids { 2, 1 }, 3))
  end)

  it("names an id out of range and its place, from 1", function()
    assert.error_matches(function()
      grid():embedding(saros.ids { 1, 2, 3 })
    end, "embedding: expected .*1%.%.2.* 3")
    assert.error_matches(function()
      grid():pick(saros.ids { 1, 4 })
    end, "pick: expected .* 4")
    assert.error_matches(function()
      saros.one_hot(saros.ids { 1, 4 }, 3)
    end, "one_hot: expected .* 4")
  end)
end)

describe("softmax and its kin", function()
  it("sums to 1 and agrees with its definition", function()
    local x = random(3, 5)
    local p = x:softmax()
    is({ 1, 1, 1 }, p:sum(-1))
    assert.same_values(x:exp() / x:exp():sum(-1, true), p, tolerance)
    assert.same_values(p:log(), x:log_softmax(), tolerance)
    is({ 1, 1, 1, 1, 1 }, x:softmax(1):sum(1))
  end)

  it("does not overflow", function()
    is({ 0.5, 0.5, 0 }, saros.tensor { 1e30, 1e30, 0 }:softmax())
    is({ 0, -2000 }, saros.tensor { 1000, -1000 }:log_softmax())
  end)
end)

describe("losses", function()
  local logits, targets = random(4, 3, 5), saros.ids { { 1, 2, 3 }, { 4, 5, 1 }, { 2, 3, 4 }, { 5, 1, 2 } }

  it("cross-entropy is the mean of -log p of the targets", function()
    local losses = -logits:log_softmax():pick(targets)
    assert.same_values(losses:mean(), saros.cross_entropy(logits, targets), tolerance)
  end)

  it("cross-entropy weighs by a mask", function()
    local losses = -logits:log_softmax():pick(targets)
    local mask = saros.tensor { { 1, 1, 1 }, { 1, 0, 0 }, { 0, 0, 0 }, { 2, 0.5, 0 } }
    assert.same_values((losses * mask):sum() / mask:sum(),
      logits:cross_entropy(targets, { mask = mask }), tolerance)
  end)

  it("squared error is a mean, by a mask if there is one", function()
    local x, y = saros.tensor { 1, 2, 3 }, saros.tensor { 1, 0, 0 }
    assert.near(13 / 3, saros.mse(x, y):item(), tolerance)
    assert.near(2, x:mse(y, { mask = saros.tensor { 1, 1, 0 } }):item(), tolerance)
  end)

  it("refuse a mask that weighs nothing", function()
    assert.error_matches(function()
      logits:cross_entropy(targets, { mask = saros.zeros(4, 3) })
    end, "cross_entropy: expected")
  end)
end)

describe("layers", function()
  it("linear is x W^T + b", function()
    local x, W, b = random(2, 3, 4), random(5, 4), random(5)
    assert.same_values(x:matmul(W:transpose()) + b, x:linear(W, b), tolerance)
    assert.same_values(x:matmul(W:transpose()), core.linear(x, W), tolerance)
  end)

  it("layer norm gives rows of mean 0 and variance 1, then gain and bias", function()
    local x = random(3, 6) * 5 + 2
    local y = x:layer_norm(saros.ones(6), saros.zeros(6))
    is({ 0, 0, 0 }, y:mean(-1))
    assert.same_values(saros.ones(3), (y * y):mean(-1), 1e-4) -- epsilon is in it
    assert.same_values(y * 2 + 1, x:layer_norm(saros.full({ 6 }, 2), saros.ones(6)), tolerance)
    assert.same_values(saros.zeros(1, 2),
      saros.full({ 1, 2 }, 3):layer_norm(saros.ones(2), saros.zeros(2), 1e-3), 0)
  end)

  it("rms norm gives rows of mean square 1, then a gain", function()
    local x, gain = random(3, 6) * 5 + 2, random(6)
    local expected = x / ((x * x):mean(-1, true) + 0.5):sqrt()
    assert.same_values(expected, core.rms_norm(x, nil, 0.5), tolerance)
    assert.same_values(expected * gain, x:rms_norm(gain, 0.5), tolerance)
    assert.error_matches(function() return x:rms_norm(saros.ones(5)) end, "rms_norm: expected gain of shape %(6%)")
    assert.error_matches(function() return core.rms_norm(saros.tensor(1)) end, "rms_norm: expected x of shape")
  end)

  it("dropout acts only while a training tape is open", function()
    local x, generator = saros.ones(100, 100), saros.generator(1)
    assert.same_values(x, x:dropout(0.25, generator), 0)
    do
      local tape <close> = saros.tape { training = false }
      assert.is_true(tape ~= nil)
      assert.same_values(x, x:dropout(0.25, generator), 0)
    end
    local tape <close> = saros.tape()
    assert.is_true(tape ~= nil)
    local y = x:dropout(0.25, generator)
    local kept = y:gt(0):mean():item()
    assert.near(0.75, kept, 0.02) -- five standard deviations of 10,000 draws
    assert.near(4 / 3, y:max():item(), tolerance)
  end)

  it("dropout takes one number of its generator, whatever the shape", function()
    local one, other = saros.generator(5), saros.generator(5)
    local tape <close> = saros.tape()
    assert.is_true(tape ~= nil)
    saros.ones(3, 5000):dropout(0.5, one)
    other:number()
    assert.equal(other:state(), one:state())
  end)

  it("dropout drops the same elements, and their gradients, with any number of threads", function()
    local before = saros.info().threads
    local kept, slopes = {}, {}
    for threads = 1, 3 do
      saros.threads(threads)
      local x = saros.full({ 33, 7919 }, 3)
      local tape <close> = saros.tape()
      tape:watch(x)
      kept[threads] = x:dropout(0.25, saros.generator(2))
      tape:backward(kept[threads]:sum())
      slopes[threads] = x:gradient()
    end
    saros.threads(before)
    for threads = 1, 3 do
      assert.same_values(kept[1], kept[threads], 0)
      assert.same_values(kept[1], slopes[threads] * 3, tolerance)
    end
  end)

  it("dropout drops rows and columns of a mask independently", function()
    local tape <close> = saros.tape()
    assert.is_true(tape ~= nil)
    local n = 512
    local y = saros.ones(n, n):dropout(0.5, saros.generator(4)) - 1 -- 1 or -1
    local products = saros.matmul(y, y:transpose(1, 2))
    local others = products:lt(n) -- than a row times itself
    assert.equal(n * (n - 1), others:sum():item())
    -- six standard deviations: there are n^2 / 2 pairs
    assert.is_true((products * others):abs():max():item() < 6 * math.sqrt(n))
    assert.is_true(y:sum(1):abs():max():item() < 6 * math.sqrt(n))
  end)
end)

describe("a recurrent layer", function()
  it("is its equation, step by step", function()
    local g = saros.generator(3)
    local x, h = g:normal { 4, 2, 3 }, g:normal { 2, 5 }
    local p = {
      weight_ih = g:normal { 5, 3 }, weight_hh = g:normal { 5, 5 },
      bias_ih = g:normal { 5 }, bias_hh = g:normal { 5 },
    }
    for name, f in pairs { elman_tanh = saros.tanh, elman_relu = saros.relu } do
      local y, last = core.recurrent(name, x, { h }, p)
      local state = h
      for t = 1, #x do
        state = f(x[t]:linear(p.weight_ih, p.bias_ih) + state:linear(p.weight_hh, p.bias_hh))
        assert.same_values(state, y[t], 1e-4) -- ReLU states grow to some 100
      end
      assert.equal(1, #last)
      assert.same_values(state, last[1], 1e-4)
    end
  end)

  it("starts from zeros without a state and may have no biases", function()
    local g = saros.generator(3)
    local x = g:normal { 4, 2, 3 }
    local p = { weight_ih = g:normal { 5, 3 }, weight_hh = g:normal { 5, 5 } }
    local expected = core.recurrent("elman_tanh", x, { saros.zeros(2, 5) }, p)
    assert.same_values(expected, core.recurrent("elman_tanh", x, nil, p), 0)
    assert.same_values(expected, core.recurrent("elman_tanh", x, {}, p), 0)
    assert.same_values(expected, core.recurrent("elman_tanh", x, { false }, p), 0)
  end)
end)

describe("clipping and updating", function()
  local function with_gradients()
    local a, b = saros.tensor { 3, 0 }:trainable(true), saros.tensor { 4 }:trainable(true)
    local tape <close> = saros.tape()
    tape:backward(((a * a):sum() + (b * b):sum()) / 2) -- the gradient of a is a
    return a, b
  end

  it("scales all gradients to a joint norm and tells the norm", function()
    local a, b = with_gradients()
    assert.near(5, core.clip_norm({ a, b }, 2.5), tolerance)
    is({ 1.5, 0 }, a:gradient())
    is({ 2 }, b:gradient())
    assert.near(2.5, core.clip_norm({ a, b }, 10), tolerance)
    is({ 2 }, b:gradient())
  end)

  it("clamps each element of the gradients", function()
    local a, b = with_gradients()
    core.clip_value({ a, b }, 1)
    is({ 1, 0 }, a:gradient())
    is({ 1 }, b:gradient())
  end)

  it("steps down the gradient by the rule", function()
    local a = with_gradients()
    core.update({ rule = "sgd", lr = 0.1 }, a)
    is({ 2.7, 0 }, a)
    local velocity = saros.zeros(2)
    core.update({ rule = "sgd", lr = 0.1, momentum = 0.9 }, a, velocity)
    core.update({ rule = "sgd", lr = 0.1, momentum = 0.9 }, a, velocity)
    is({ 2.7 - 0.3 - 0.57, 0 }, a)
    local b = with_gradients()
    core.update({ rule = "adam", lr = 0.5, step = 1 }, b, saros.zeros(2), saros.zeros(2))
    is({ 2.5, 0 }, b)
    local c = with_gradients()
    core.update({ rule = "adamw", lr = 0.5, weight_decay = 0.1, step = 1 }, c,
      saros.zeros(2), saros.zeros(2))
    is({ 3 * 0.95 - 0.5, 0 }, c)
  end)

  it("leaves a parameter without gradient alone", function()
    local a = saros.tensor { 1, 2 }
    core.update({ rule = "sgd", lr = 1 }, a)
    is({ 1, 2 }, a)
  end)
end)

describe("equality", function()
  it("compares ids with ids and with numbers, as a script counts them", function()
    local ids = saros.ids { { 1, 2 }, { 3, 2 } }
    assert.same({ { 1, 0 }, { 0, 0 } }, ids:eq(saros.ids { { 1, 1 }, { 1, 1 } }):totable())
    assert.same({ { 0, 1 }, { 0, 1 } }, ids:eq(2):totable())
    assert.same({ { 1, 0 }, { 1, 0 } }, ids:ne(saros.ids { 2, 2 }):totable())
    assert.error_matches(function() return ids + 1 end, "expected operands to be real numbers, got ids (2, 2)", 1, true)
  end)
end)
