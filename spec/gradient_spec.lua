-- Every differentiable operation against finite differences. The loss is a
-- fixed random weighing of the result, so each element of the gradient counts.

local saros = require "saros"
require "spec.support.gradients"

-- Normal numbers, moved away from 0, where abs, relu and their like have a
-- corner that finite differences straddle.
local function random(shape, seed)
  local x = saros.generator(seed):normal(shape)
  return x + (x:ge(0) * 2 - 1) * 0.1
end

local function positive(shape, seed)
  return random(shape, seed):abs() + 0.5
end

-- A function of inputs -> tensor as a function of inputs -> loss.
local function weighed(fn)
  return function(inputs)
    local y = fn(inputs)
    return (y * saros.generator(99):normal(y:shape())):sum()
  end
end

local x, y = random({ 3, 4 }, 1), random({ 3, 4 }, 2)
local cube, table_ids = random({ 2, 3, 4 }, 3), saros.ids { { 2, 5, 2 }, { 1, 4, 4 } }

-- name, inputs, function. Inputs are copied for each case.
local cases = {
  { "exp", { x }, function(t) return t[1]:exp() end },
  { "log", { positive({ 3, 4 }, 4) }, function(t) return t[1]:log() end },
  { "sqrt", { positive({ 3, 4 }, 5) }, function(t) return t[1]:sqrt() end },
  { "tanh", { x }, function(t) return t[1]:tanh() end },
  { "sigmoid", { x }, function(t) return t[1]:sigmoid() end },
  { "relu", { x }, function(t) return t[1]:relu() end },
  { "abs", { x }, function(t) return t[1]:abs() end },
  { "unary minus", { x }, function(t) return -t[1] end },
  { "a function of a view", { x }, function(t) return t[1]:transpose():tanh() end },

  { "add", { x, y }, function(t) return t[1] + t[2] end },
  { "subtract", { x, y }, function(t) return t[1] - t[2] end },
  { "multiply", { x, y }, function(t) return t[1] * t[2] end },
  { "divide", { x, positive({ 3, 4 }, 6) }, function(t) return t[1] / t[2] end },
  { "power", { positive({ 3, 4 }, 7), y }, function(t) return t[1] ^ t[2] end },
  { "power of a negative number", { x }, function(t) return t[1] ^ 3 end },
  { "maximum", { x, y }, function(t) return t[1]:maximum(t[2]) end },
  { "minimum", { x, y }, function(t) return t[1]:minimum(t[2]) end },
  { "a tensor with itself", { x }, function(t) return t[1] * t[1] - t[1] / (t[1] * t[1] + 1) end },
  { "a tensor and numbers", { x }, function(t) return 2 * t[1] + 1 - t[1] / 3 end },
  { "a broadcast row", { x, random({ 4 }, 8) }, function(t) return t[1] * t[2] end },
  { "a broadcast column", { x, random({ 3, 1 }, 9) }, function(t) return t[1] / (t[2] * t[2] + 1) end },
  { "a broadcast number", { x, random({}, 10) }, function(t) return t[1] * t[2] end },
  { "two broadcast operands", { random({ 3, 1 }, 11), random({ 1, 4 }, 12) }, function(t) return t[1] * t[2] end },

  { "sum of all", { cube }, function(t) return t[1]:sum() end },
  { "sum over an axis", { cube }, function(t) return t[1]:sum(2) end },
  { "mean of all", { cube }, function(t) return t[1]:mean() end },
  { "mean over an axis, kept", { cube }, function(t) return t[1] - t[1]:mean(3, true) end },
  { "max over an axis", { cube }, function(t) return t[1]:max(2) end },
  { "min of all", { cube }, function(t) return t[1]:min() end },

  { "slice", { cube }, function(t) return t[1]:slice(3, 2, 3) end },
  { "select", { cube }, function(t) return t[1][2] * t[1]:select(-2, 1):sum() end },
  { "transpose", { cube, random({ 4, 3, 2 }, 13) }, function(t) return t[1]:transpose(1, 3) * t[2] end },
  { "reshape of a transpose", { cube }, function(t) return t[1]:transpose(1, 2):reshape { 6, 4 } end },
  { "clone", { x }, function(t) return t[1]:clone() * t[1] end },
  { "concatenate", { x, y }, function(t) return saros.concatenate({ t[1], t[2], t[1] }, 1) end },
  { "..", { x, random({ 3, 2 }, 14) }, function(t) return t[1] .. t[2] end },
  { "stack", { x, y }, function(t) return saros.stack({ t[1], t[2], t[1] }, 2) end },

  { "matmul", { x, random({ 4, 2 }, 15) }, function(t) return t[1]:matmul(t[2]) end },
  { "matmul of transposes", { x, random({ 2, 3 }, 16) },
    function(t) return t[1]:transpose():matmul(t[2]:transpose()) end },
  { "matmul of many rows", { cube, random({ 4, 2 }, 17) }, function(t) return t[1]:matmul(t[2]) end },
  { "matmul in batches", { cube, random({ 2, 4, 5 }, 18) }, function(t) return t[1]:matmul(t[2]) end },
  { "matmul with a broadcast batch", { random({ 2, 1, 3, 4 }, 19), random({ 3, 4, 2 }, 20) },
    function(t) return t[1]:matmul(t[2]) end },
  { "matmul of a vector and a matrix", { random({ 3 }, 21), x }, function(t) return t[1]:matmul(t[2]) end },
  { "matmul of a matrix and a vector", { x, random({ 4 }, 22) }, function(t) return t[1]:matmul(t[2]) end },
  { "linear", { cube, random({ 5, 4 }, 23), random({ 5 }, 24) },
    function(t) return saros.linear(t[1], t[2], t[3]) end },
  { "linear without bias", { cube, random({ 5, 4 }, 25) }, function(t) return saros.linear(t[1], t[2]) end },

  { "embedding", { random({ 5, 3 }, 26) }, function(t) return saros.embedding(t[1], table_ids) end },
  { "pick", { random({ 2, 3, 5 }, 27) }, function(t) return t[1]:pick(table_ids) end },
  { "softmax", { cube }, function(t) return t[1]:softmax() end },
  { "softmax over the first axis", { cube }, function(t) return t[1]:softmax(1) end },
  { "log_softmax", { cube }, function(t) return t[1]:log_softmax() end },
  { "cross_entropy", { random({ 2, 3, 5 }, 28) }, function(t) return saros.cross_entropy(t[1], table_ids) end },
  { "cross_entropy with a mask", { random({ 2, 3, 5 }, 29) },
    function(t)
      local mask = saros.tensor { { 1, 0, 1 }, { 0.5, 1, 0 } }
      return saros.cross_entropy(t[1], table_ids, { mask = mask })
    end },
  { "mse", { x, y }, function(t) return saros.mse(t[1], t[2]) end },
  { "mse with a mask", { x, y }, function(t) return saros.mse(t[1], t[2], { mask = y:gt(0) }) end },
  { "dropout", { x }, function(t) return saros.dropout(t[1], 0.4, saros.generator(7)) end },
  { "layer_norm", { cube, positive({ 4 }, 30), random({ 4 }, 31) },
    function(t) return saros.layer_norm(t[1], t[2], t[3]) end },
}

describe("the gradient of", function()
  for _, case in ipairs(cases) do
    local name, inputs, fn = table.unpack(case)
    it(name .. " is what finite differences predict", function()
      local copies = {}
      for i, input in ipairs(inputs) do
        copies[i] = input:clone()
      end
      assert.gradients_match(weighed(fn), copies)
    end)
  end
end)

describe("the gradient of a fused recurrent layer", function()
  local T, B, I, H = 5, 3, 4, 3

  local function inputs()
    return {
      x = random({ T, B, I }, 40), h = random({ B, H }, 41),
      weight_ih = random({ H, I }, 42) * 0.5, weight_hh = random({ H, H }, 43) * 0.5,
      bias_ih = random({ H }, 44), bias_hh = random({ H }, 45),
    }
  end

  local function layer(t)
    return { weight_ih = t.weight_ih, weight_hh = t.weight_hh, bias_ih = t.bias_ih, bias_hh = t.bias_hh }
  end

  for _, cell in ipairs { "elman_tanh", "elman_relu" } do
    it("with cell " .. cell .. " is what finite differences predict", function()
      assert.gradients_match(weighed(function(t)
        local h, last = saros.recurrent(cell, t.x, { t.h }, layer(t))
        return h:reshape { T * B, H } .. saros.concatenate({ last[1], last[1], last[1], last[1], last[1] }, 1)
      end), inputs())
    end)
  end

  it("is right when only the last state is used, without a state or biases", function()
    assert.gradients_match(weighed(function(t)
      local _, last = saros.recurrent("elman_tanh", t.x, nil,
        { weight_ih = t.weight_ih, weight_hh = t.weight_hh })
      return last[1]
    end), { x = random({ T, B, I }, 46), weight_ih = random({ H, I }, 47), weight_hh = random({ H, H }, 48) })
  end)

  it("is right over a single step", function()
    assert.gradients_match(weighed(function(t)
      return (saros.recurrent("elman_tanh", t.x, { t.h }, layer(t)))
    end), {
      x = random({ 1, B, I }, 49), h = random({ B, H }, 50), weight_ih = random({ H, I }, 51),
      weight_hh = random({ H, H }, 52), bias_ih = random({ H }, 53), bias_hh = random({ H }, 54),
    })
  end)
end)
