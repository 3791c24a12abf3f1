-- Every differentiable operation against finite differences. The loss is a
-- fixed random weighing of the result, so each element of the gradient counts.

local saros = require "saros"
local core = require "saros.core"
local gradients = require "spec.support.gradients"

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
  { "sin", { x }, function(t) return t[1]:sin() end },
  { "cos", { x }, function(t) return t[1]:cos() end },
  { "softplus", { x }, function(t) return t[1]:softplus() end },
  { "silu", { x }, function(t) return t[1]:silu() end },
  { "gelu", { x }, function(t) return t[1]:gelu() end },
  { "gelu_tanh", { x }, function(t) return t[1]:gelu_tanh() end },
  { "elu", { x }, function(t) return t[1]:elu() end },
  { "elu with a slope", { x }, function(t) return t[1]:elu(0.3) end },
  { "leaky_relu", { x }, function(t) return t[1]:leaky_relu() end },
  { "leaky_relu with a slope", { x }, function(t) return t[1]:leaky_relu(0.3) end },
  { "hard_sigmoid", { x * 2.5 }, function(t) return t[1]:hard_sigmoid() end },
  { "hard_tanh", { x }, function(t) return t[1]:hard_tanh() end },
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
  { "where", { x, y }, function(t) return saros.where(x:gt(y), t[1], t[2]) end },
  { "where of a row and a column", { random({ 4 }, 82), random({ 3, 1 }, 83) },
    function(t) return saros.where(x:gt(0), t[1], t[2] * t[2]) end },
  { "where by a row, of a view and a number", { x, random({}, 84) },
    function(t) return saros.where(saros.tensor { 1, 0, 1 }, t[1]:transpose(), t[2]) end },
  { "a tensor with itself", { x }, function(t) return t[1] * t[1] - t[1] / (t[1] * t[1] + 1) end },
  { "a tensor and numbers", { x }, function(t) return 2 * t[1] + 1 - t[1] / 3 end },
  { "a broadcast row", { x, random({ 4 }, 8) }, function(t) return t[1] * t[2] end },
  { "a row before a cube", { random({ 1, 1, 4 }, 80), cube }, function(t) return t[1] * t[2] end },
  { "a row and a view", { x, random({ 3 }, 81) }, function(t) return t[1]:transpose() * t[2] * t[2] end },
  { "a broadcast column", { x, random({ 3, 1 }, 9) }, function(t) return t[1] / (t[2] * t[2] + 1) end },
  { "a broadcast number", { x, random({}, 10) }, function(t) return t[1] * t[2] end },
  { "two broadcast operands", { random({ 3, 1 }, 11), random({ 1, 4 }, 12) }, function(t) return t[1] * t[2] end },

  { "sum of all", { cube }, function(t) return t[1]:sum() end },
  { "sum over an axis", { cube }, function(t) return t[1]:sum(2) end },
  { "mean of all", { cube }, function(t) return t[1]:mean() end },
  { "mean over an axis, kept", { cube }, function(t) return t[1] - t[1]:mean(3, true) end },
  { "max over an axis", { cube }, function(t) return t[1]:max(2) end },
  { "min of all", { cube }, function(t) return t[1]:min() end },

  { "a slice by steps", { cube }, function(t) return t[1]:slice(3, 2, 4, 2) end },
  { "a slice backwards", { cube }, function(t) return t[1]:slice(3, 4, 1, -3) * t[1]:slice(3, 1, 2) end },
  { "flip", { cube }, function(t) return t[1]:flip(2) * t[1] end },
  { "logsumexp", { cube }, function(t) return t[1]:logsumexp(-1) end },
  { "logsumexp over the first axis, kept", { cube }, function(t) return t[1]:logsumexp(1, true) * t[1] end },
  { "logsumexp of all", { cube }, function(t) return t[1]:logsumexp() end },
  { "cumsum", { cube }, function(t) return t[1]:cumsum() end },
  { "cumsum over the middle axis", { cube }, function(t) return t[1]:cumsum(2) * t[1] end },
  { "cumsum of a view", { cube }, function(t) return t[1]:transpose(1, 3):cumsum(1) end },
  { "topk", { cube }, function(t) return (t[1]:topk(2)) end },
  { "topk over the middle axis", { cube }, function(t) return (t[1]:topk(2, 2)) end },
  { "gather", { cube }, function(t)
    return t[1]:gather(2, saros.ids { { { 3, 1, 1, 2 } }, { { 2, 2, 3, 1 } } })
  end },
  { "gather of the same element twice", { x }, function(t)
    return t[1]:gather(2, saros.ids { { 1, 1, 4, 3, 1 }, { 2, 2, 2, 2, 2 }, { 4, 3, 2, 1, 1 } })
  end },
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
    function(t) return core.linear(t[1], t[2], t[3]) end },
  { "linear without bias", { cube, random({ 5, 4 }, 25) }, function(t) return core.linear(t[1], t[2]) end },

  { "embedding", { random({ 5, 3 }, 26) }, function(t) return core.embedding(t[1], table_ids) end },
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
  { "dropout", { x }, function(t) return core.dropout(t[1], 0.4, saros.generator(7)) end },
  { "mask_rows", { cube }, function(t)
    return core.mask_rows(t[1], saros.tensor { { 1, 0, 1 }, { 0, 2, 0 } }) end },
  { "mse of both operands, of views", { x, y }, function(t) return saros.mse(t[1]:transpose(), t[2]:transpose()) end },
  { "l1", { x, y }, function(t) return saros.nn.l1(t[1], t[2], { mask = y:gt(0) }) end },
  { "huber", { x, y }, function(t) return saros.nn.huber(t[1], t[2], { delta = 0.7 }) end },
  { "bce", { x, positive({ 3, 4 }, 85) * 0.3 }, function(t) return saros.nn.bce(t[1], t[2], { mask = y:abs() }) end },
  { "kl", { cube, positive({ 2, 3, 4 }, 86) * 0.2 }, function(t)
    return saros.nn.kl(t[1]:log_softmax(), t[2], { mask = saros.tensor { { 1, 0, 2 }, { 1, 1, 0 } } })
  end },
  { "cross_entropy with class weights", { random({ 2, 3, 5 }, 87) }, function(t)
    return saros.cross_entropy(t[1], table_ids, { weights = saros.tensor { 1, 2, 0, 0.5, 3 } })
  end },
  { "cross_entropy with all options", { random({ 2, 3, 5 }, 88) }, function(t)
    local mask = saros.tensor { { 1, 0, 1 }, { 0.5, 1, 0 } }
    return saros.cross_entropy(t[1], table_ids,
      { mask = mask, weights = saros.tensor { 1, 2, 0, 0.5, 3 }, label_smoothing = 0.2 }) * 3
  end },
  { "smoothed cross_entropy beside another use", { random({ 2, 3, 5 }, 89) }, function(t)
    return saros.cross_entropy(t[1] * 1, table_ids, { label_smoothing = 0.1 }) + t[1]:sum()
  end },
  { "rms_norm", { cube, positive({ 4 }, 30) }, function(t) return core.rms_norm(t[1], t[2]) end },
  { "gated_rms_norm", { random({ 3, 2, 8 }, 31), random({ 3, 2, 8 }, 32), positive({ 4 }, 33) },
    function(t) return core.gated_rms_norm(t[1], t[2], t[3], 0.1) end },
  { "gated_rms_norm by a sigmoid, where x has a gradient already",
    { random({ 5, 6 }, 34), random({ 5, 6 }, 35), positive({ 3 }, 36) },
    function(t) return core.gated_rms_norm(t[1], t[2], t[3], 0.1, "sigmoid") + t[1] * t[2] end },
  { "rms_norm without gain, of a view", { cube },
    function(t) return core.rms_norm(t[1]:transpose(1, 3), nil, 0.1) end },
  { "layer_norm", { cube, positive({ 4 }, 30), random({ 4 }, 31) },
    function(t) return core.layer_norm(t[1], t[2], t[3]) end },
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
  local T, B, I, H, P = 5, 3, 3, 4, 2

  -- At a corner, differences as wide as float needs them say nothing.
  local cells = {
    elman_tanh = { gates = 1, states = 1 },
    elman_relu = { gates = 1, states = 1, corner = true },
    lstm = { gates = 4, states = 2 },
    gru = { gates = 3, states = 1 },
    gru_before = { gates = 3, states = 1 },
    ugrnn = { gates = 2, states = 1 },
    mingru = { gates = 2, states = 1, linear = true },
    mingru_positive = { gates = 2, states = 1, linear = true, corner = true },
    minlstm = { gates = 3, states = 1, linear = true },
    minlstm_positive = { gates = 3, states = 1, linear = true, corner = true },
    lru = { gates = 1, states = 1, linear = true, rates = true },
  }

  -- Masks of rows of lengths 5, 2 and 4, and rows that start again here and there.
  local mask = saros.tensor { { 1, 1, 1 }, { 1, 1, 1 }, { 1, 0, 1 }, { 1, 0, 1 }, { 1, 0, 0 } }
  local reset = saros.tensor { { 0, 0, 1 }, { 0, 1, 0 }, { 0, 0, 0 }, { 1, 0, 0 }, { 0, 0, 0 } }

  local dropout = saros.tensor { { 2, 0, 2, 0 }, { 0, 2, 0, 2 }, { 2, 0, 0, 2 } }

  -- name, what it adds to the parameters, steps, the cells it is for (nil: all);
  -- not those that are linear if it is about the product of h
  local options = {
    { "plain" },
    { "reversed", steps = { reverse = true } },
    { "masked", steps = { mask = mask } },
    { "masked and reversed", steps = { mask = mask, reverse = true } },
    { "starting again", steps = { reset = reset } },
    { "starting again at a learned state", first = true, steps = { reset = reset } },
    { "masked, starting again, with zoneout", steps = {
      mask = mask, reset = reset, zoneout_h = saros.generator(66):uniform { T, B, H } } },
    { "with recurrent dropout", of_product = true, steps = { dropout = dropout } },
    { "with zoneout", steps = { zoneout_h = saros.generator(60):uniform { T, B, H } } },
    { "with layer norm", of_product = true, norm = true, not_for = "gru_before" },
    { "with zoneout of both states", only = "lstm",
      steps = { zoneout_h = saros.generator(61):uniform { T, B, H },
        zoneout_c = saros.generator(62):uniform { T, B, H } } },
    { "with peepholes", only = "lstm", peephole = true },
    { "with layer norm of the cell, too", only = "lstm", norm = true, norm_c = true },
    { "with a projection", only = "lstm", projection = true },
    { "with everything", only = "lstm", norm = true, norm_c = true, peephole = true, projection = true,
      first = true, steps = { mask = mask, reset = reset, reverse = true,
      dropout = saros.tensor { { 2, 0 }, { 0, 2 }, { 2, 2 } },
      zoneout_h = saros.generator(63):uniform { T, B, P }, zoneout_c = saros.generator(64):uniform { T, B, H } } },
    { "with nearly everything", of_product = true, not_for = "gru_before", norm = true, first = true, steps = {
      mask = mask, reset = reset, dropout = dropout,
      zoneout_h = saros.generator(65):uniform { T, B, H } } },
    { "masked, starting again, with dropout", only = "gru_before", steps = {
      mask = mask, reset = reset, dropout = dropout } },
  }

  local parameter_names = { "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "peephole",
    "norm_gain", "norm_bias", "norm_c_gain", "norm_c_bias", "nu", "theta", "first_h", "first_c" }

  local function inputs_of(cell, option)
    local GH, out = cell.gates * H, option.projection and P or H
    local t = {
      x = random({ T, B, I }, 40), h = random({ B, out }, 41) * 0.5,
      weight_ih = random({ GH, I }, 42) * 0.5, bias_ih = random({ GH }, 44),
    }
    if not cell.linear then
      t.weight_hh, t.bias_hh = random({ GH, out }, 43) * 0.5, random({ GH }, 45)
    end
    if cell.rates then
      t.nu, t.theta = random({ H // 2 }, 53), random({ H // 2 }, 54)
    end
    t.c = cell.states == 2 and random({ B, H }, 46) or nil
    t.weight_hr = option.projection and random({ P, H }, 47) or nil
    t.peephole = option.peephole and random({ 3, H }, 48) or nil
    if option.norm then
      t.norm_gain, t.norm_bias = positive({ GH }, 49), random({ GH }, 50)
    end
    if option.norm_c then
      t.norm_c_gain, t.norm_c_bias = positive({ H }, 51), random({ H }, 52)
    end
    if option.first then
      t.first_h, t.first_c = random({ out }, 55), cell.states == 2 and random({ H }, 56) or nil
    end
    return t
  end

  local function layer_of(t)
    local layer = {}
    for _, name in ipairs(parameter_names) do
      layer[name] = t[name]
    end
    return layer
  end

  -- The norm of few units bends so much that differences must be taken close.
  local function epsilon_for(option)
    if saros.info().real == "float" then
      return 1e-3
    end
    return option.norm and 2e-6 or 1e-5
  end

  local function check_cell(name, cell)
    for _, option in ipairs(options) do
      if (option.only or name) == name and option.not_for ~= name and not (option.of_product and cell.linear) then
        it(("(%s, %s) is what finite differences predict"):format(name, option[1]), function()
          assert.gradients_match(weighed(function(t)
            local h, last = core.recurrent(name, t.x, { t.h, t.c }, layer_of(t), option.steps)
            local all = { h:flatten(), last[1]:flatten(), last[2] and last[2]:flatten() }
            return saros.concatenate(all, 1)
          end), inputs_of(cell, option), { epsilon = epsilon_for(option) })
        end)
      end
    end

    it(("(%s) is right over one step, without states and biases, from the last state alone"):format(name), function()
      local t = inputs_of(cell, {})
      assert.gradients_match(weighed(function(u)
        local _, last = core.recurrent(name, u.x:slice(1, 1, 1), nil,
          { weight_ih = u.weight_ih, weight_hh = u.weight_hh, nu = u.nu, theta = u.theta })
        return last[#last]
      end), { x = t.x, weight_ih = t.weight_ih, weight_hh = t.weight_hh, nu = t.nu, theta = t.theta })
    end)

    it(("(%s) is right from an input that is projected already"):format(name), function()
      local t = inputs_of(cell, {})
      local projected = core.linear(t.x, t.weight_ih, t.bias_ih)
      assert.gradients_match(weighed(function(u)
        return (core.recurrent(name, u.projected, nil,
          { weight_hh = u.weight_hh, bias_hh = u.bias_hh, nu = u.nu, theta = u.theta }))
      end), { projected = projected, weight_hh = t.weight_hh, bias_hh = t.bias_hh, nu = t.nu, theta = t.theta })
    end)
  end

  for name, cell in pairs(cells) do
    if gradients.is_double or not cell.corner then
      check_cell(name, cell)
    end
  end
end)
