-- Arguments that are right one by one, but not together: errors that say which
-- function expected what.

local saros = require "saros"
local core = require "saros.core"
local refusals = require "spec.support.refusals"
local grid, refuses, sorted = refusals.grid, refusals.refuses, refusals.sorted

describe("arguments that do not fit together #binding", function()
  local t, vector = grid, saros.arange(3)
  local eight = { 1, 1, 1, 1, 1, 1, 1, 1 }
  local weights = { weight_ih = saros.ones(4, 3), weight_hh = saros.ones(4, 4) }
  local x = saros.zeros(5, 2, 3)
  local crf = { transitions = saros.ones(3, 3), start = saros.ones(3), stop = saros.ones(3) }
  local four = saros.ids { { 1, 4 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 } }
  local ones = saros.ids { { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 } }
  local wrong = {
    zeros = {
      { -1 }, { 1, -1 }, { { 2, "3" } }, { { 2, 0.5 } }, { 2 ^ 31 }, { 2 ^ 20, 2 ^ 20 },
      { { 2 ^ 30, 2 ^ 30 } }, { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { { 1, 1, 1, 1, 1, 1, 1, 1, 1 } },
      { 2, nil, 3, n = 3 }, { {}, {} },
    },
    full = { { { -1 }, 0 }, { { 2 }, "0" } },
    ids = { { { 0 } }, { { -1 } }, { { 1.5 } }, { { 2 ^ 31 + 1 } }, { { { 1 }, { 1, 2 } } } },
    tensor = { { { 1, { 2 } } }, { { 1, false } }, { { { 1 }, 2 } }, { { t() } } },
    add = { { t(), saros.zeros(2) }, { t(), saros.zeros(3, 2) }, { t(), saros.ids { 1, 2, 3 } } },
    matmul = {
      { t(), t() }, { t(), saros.zeros(2) }, { saros.zeros(), t() }, { t(), saros.ids { 1, 2, 3 } },
      { saros.zeros(2, 3, 4), saros.zeros(3, 4, 5) },
    },
    sum = { { t(), 3 }, { t(), -3 }, { saros.zeros(), 1 }, { saros.ids { 1 } } },
    max = { { saros.zeros(0) }, { saros.zeros(2, 0), 2 } },
    argmax = { { t(), 3 }, { saros.zeros() }, { saros.zeros(2, 0) } },
    logsumexp = { { t(), 3 }, { t(), -3 }, { saros.zeros(), 1 }, { saros.ids { 1 } } },
    cumsum = { { t(), 3 }, { t(), -3 }, { saros.zeros() }, { saros.ids { 1 } } },
    topk = { { t(), 4 }, { t(), 3, 1 }, { t(), 1, 3 }, { saros.zeros(), 1 }, { saros.zeros(2, 0), 1 } },
    flip = { { t(), 3 }, { t(), -3 }, { saros.zeros(), 1 } },
    gather = {
      { t(), 3, saros.ids { { 1 } } }, { t(), 1, saros.ids { 1 } }, { t(), 1, saros.ids { { 3, 1, 1 } } },
      { t(), 2, saros.ids { { 1 } } }, { t(), 2, t() }, { saros.zeros(), 1, saros.ids { 1 } },
    },
    softmax = { { t(), 3 }, { saros.zeros() }, { saros.ids { 1 } } },
    slice = {
      { t(), 3, 1 }, { t(), 1, 0 }, { t(), 1, 1, 3 }, { t(), 1, 4 }, { t(), 1, -3 }, { t(), 1, 2, -3 },
      { t(), 1, 1, 2 ^ 31 }, { saros.zeros(), 1, 1 },
    },
    select = { { t(), 1, 3 }, { t(), 1, 0 }, { t(), 1, -3 }, { t(), 4, 1 }, { saros.zeros(), 1, 1 } },
    transpose = { { vector }, { t(), 1, 3 }, { saros.zeros() } },
    reshape = {
      { t(), 4 }, { t(), -1, -1 }, { t(), 4, -1 }, { saros.zeros(0), -1, 0 }, { t(), { -2, -3 } },
      { t(), 1, 1, 1, 1, 1, 1, 1, 2, 3 },
    },
    concatenate = {
      { {}, 1 }, { { t(), vector }, 1 }, { { t(), saros.zeros(2, 2) }, 1 }, { { t(), t() }, 3 },
      { { t(), saros.ids { 1 } }, 1 }, { { t(), "t" }, 1 }, { { saros.zeros() }, 1 },
    },
    stack = {
      { {} }, { { t(), vector } }, { { t(), t() }, 4 }, { { saros.zeros(eight) } },
      { { vector, saros.ids { 1, 2, 3 } } },
    },
    embedding = {
      { t(), vector }, { vector, saros.ids { 1 } }, { t(), saros.ids { 3 } }, { saros.ids { 1 }, saros.ids { 1 } },
    },
    pick = { { t(), saros.ids { 1 } }, { t(), saros.ids { 1, 4 } }, { saros.zeros(), saros.ids(1) } },
    one_hot = { { saros.ids { 3 }, 2 }, { t(), 3 }, { saros.ids(eight):reshape(eight[1], 8), 2 ^ 31 } },
    cross_entropy = {
      { t(), saros.ids { 1 } }, { t(), saros.ids { 1, 4 } }, { t(), vector }, { saros.zeros(), saros.ids(1) },
      { t(), saros.ids { 1, 2 }, { mask = vector } }, { t(), saros.ids { 1, 2 }, { mask = saros.zeros(2) } },
      { t(), saros.ids { 1, 2 }, { masc = saros.ones(2) } }, { t(), saros.ids { 1, 2 }, { mask = 1 } },
      { t(), saros.ids { 1, 2 }, { mask = saros.tensor { 0 / 0, 1 } } },
      { t(), saros.ids { 1, 2 }, { weights = saros.ones(2) } }, { t(), saros.ids { 1, 2 }, { weights = t() } },
      { t(), saros.ids { 1, 2 }, { weights = saros.tensor { -1, 1, 1 } } },
      { t(), saros.ids { 1, 2 }, { weights = saros.tensor { 0, 0, 1 } } },
      { t(), saros.ids { 1, 2 }, { weights = saros.tensor { 1, 1, 0 / 0 } } },
      { t(), saros.ids { 1, 2 }, { label_smoothing = 1 } }, { t(), saros.ids { 1, 2 }, { label_smoothing = -0.1 } },
    },
    ctc_loss = { -- more of them in ctc_spec
      { x, saros.ids { { 2, 5 } } }, { x, saros.ids { { 2, 1 } } }, { x, saros.ids { 2, 2 } }, { t(), saros.ids { 2 } },
      { x, saros.ids { { 2, 2 } }, { input_lengths = { 5 } } }, { x, saros.ids { { 2, 2 } }, { blank = 4 } },
      { x, saros.ids { { 2, 2 } }, { target_lengths = { 1, -1 } } }, { x, x },
    },
    l1 = { { t(), vector }, { t(), t(), { delta = 1 } } },
    huber = { { t(), vector }, { t(), t(), { delta = 0 } }, { t(), t(), { delta = 0 / 0 } } },
    bce = { { t(), vector }, { t(), saros.full({ 2, 3 }, 1.5) }, { t(), -saros.ones(2, 3) } },
    kl = {
      { t(), vector }, { t(), t(), { mask = t() } }, { saros.zeros(), saros.zeros() }, { t(), -saros.ones(2, 3) },
    },
    mse = { { t(), vector }, { t(), t(), { mask = vector } }, { t(), saros.ids { 1 } } },
    dropout = { { t(), 1, saros.generator(1) }, { t(), -0.1, saros.generator(1) }, { t(), 0 / 0, saros.generator(1) } },
    layer_norm = {
      { t(), saros.ones(2), saros.ones(3) }, { t(), saros.ones(3), saros.ones(1, 3) },
      { t(), saros.ones(3), saros.ones(3), -1 }, { t(), saros.ones(3), saros.ones(3), 0 / 0 },
      { saros.zeros(), saros.ones(1), saros.ones(1) },
    },
    rms_norm = {
      { t(), saros.ones(2) }, { t(), saros.ones(1, 3) }, { t(), saros.ones(3), -1 }, { t(), nil, 0 / 0, n = 3 },
      { saros.zeros(), saros.ones(1) }, { saros.ids { 1 } },
    },
    gated_rms_norm = {
      { t(), t(), saros.ones(2) }, { t(), t(), saros.ones(1, 3) }, { t(), saros.ones(3), saros.ones(3) },
      { t(), t(), saros.ones(3), -1 }, { saros.zeros(), saros.zeros(), saros.ones(1) },
    },
    linear = { { t(), t():transpose() }, { t(), saros.ones(4, 3), vector }, { t(), vector }, { saros.zeros(), t() } },
    recurrent = {
      { "elman", x, nil, weights, n = 4 }, { "elman_tanh", t(), nil, weights, n = 4 },
      { "elman_tanh", saros.zeros(5, 2, 4), nil, weights, n = 4 },
      { "elman_tanh", saros.zeros(0, 2, 3), nil, weights, n = 4 },
      { "elman_tanh", x, { saros.zeros(2, 3) }, weights }, { "elman_tanh", x, { 1 }, weights },
      { "elman_tanh", x, { saros.zeros(2, 4), saros.zeros(2, 4) }, weights },
      { "elman_tanh", x, {}, { weight_ih = saros.ones(4, 3) } },
      { "elman_tanh", x, {}, { weight_ih = saros.ones(4, 3), weight_hh = saros.ones(4, 5) } },
      { "elman_tanh", x, {}, { weight_ih = saros.ones(4, 3), weight_hh = saros.ones(4, 4), bias = 1 } },
      { "elman_tanh", x, {}, { weight_ih = saros.ones(4, 3), weight_hh = saros.ones(4, 4), bias_ih = vector } },
    },
    keep = {
      { vector }, { t(), vector }, { t(), saros.ones(2) }, { saros.ids { { 1 } } },
      { t(), saros.ids { { 1, 1, 1 }, { 1, 1, 1 } } },
    },
    window = {
      { t(), nil, {}, n = 3 }, { x, saros.ones(2, 5), { kernel = 3 } },
      { x, saros.ones(2, 6), { kernel = 3, ahead = 1 } },
      { x, nil, { kernel = 3, ahead = 3 }, n = 3 }, { x, nil, { kernal = 3 }, n = 3 },
      { x, nil, { kernel = 0 }, n = 3 },
      { x, nil, { mask = saros.ones(2, 5) }, n = 3 }, { x, nil, { reset = vector }, n = 3 },
      { x, nil, { kernel = 2 ^ 30, dilation = 2 ^ 30 }, n = 3 }, { saros.ids { 1 }, nil, {}, n = 3 },
    },
    finite = { -- more of them in finite_spec
      { t(), nil, nil, {}, n = 4 }, { x, nil, nil, { states = 2 }, n = 4 }, { x, x, nil, { states = 2 }, n = 4 },
      { t(), saros.ids { { 1 } }, nil, { states = 2 }, n = 4 }, { x, nil, nil, { states = 0 }, n = 4 },
    },
    delta = { -- more of them in delta_spec
      { t(), x, x, { heads = 1 } }, { x, t(), x, { heads = 1 } }, { x, x, t(), { heads = 1 } },
      { x, x, x, { heads = 0 } }, { x, x, x, { heads = 1, chunk = 0 } }, { x, x, x, { heads = 1, chunks = 16 } },
      { x, x, x, { heads = 1, decay = vector } }, { x, x, x, { heads = 1, mask = saros.ones(2, 5) } },
      { x, x, x, { heads = 1 }, saros.ones(2, 3) }, { saros.ids { 1 }, x, x, { heads = 1 } },
    },
    depthwise = {
      { t(), t() }, { x, t() }, { x, vector }, { x, saros.ones(3, 2), t() }, { x, saros.ones(3, 2), saros.ones(4) },
      { x, saros.ones(3, 3), nil, saros.ones(2, 5), n = 4 }, { x, saros.zeros(3, 0) },
      { x, saros.ones(3, 3), nil, nil, { kernel = 3 }, n = 5 }, { x, saros.ones(3, 3), nil, nil, { ahead = 3 }, n = 5 },
      { x, saros.ones(3, 3), nil, saros.ones(2, 6), { ahead = 1 }, n = 5 },
      { x, saros.ones(3, 3), nil, nil, { mask = saros.ones(2, 5) }, n = 5 }, { x, saros.ids { { 1 } } },
      { x, saros.ones(3, 3), nil, nil, { activation = "gelu" }, n = 5 },
    },
    crf_loss = { -- more of them in crf_spec
      { x, saros.ids { { 1 } }, crf }, { x, four, crf }, { t(), four, crf }, { x, x, crf },
      { x, ones, { transitions = saros.ones(3, 3) } },
      { x, ones, { transitions = t(), start = vector, stop = vector } },
    },
    crf_best = { { t(), crf }, { x, {} }, { saros.zeros(5, 2, 4), crf } },
    mask_rows = { { t(), vector }, { vector, t() }, { t(), saros.ids { 1, 1 } }, { x, saros.ones(2, 5) } },
    tape = { { { train = true } }, { { training = 1 } } },
    clip_norm = { { { t() }, 0 }, { { t() }, -1 }, { { t() }, 0 / 0 }, { { t(), 1 }, 1 } },
    clip_value = { { { t() }, 0 }, { { t() }, 0 / 0 } },
    update = {
      { {}, t() }, { { rule = "newton", lr = 1 }, t() }, { { rule = "sgd" }, t() },
      { { rule = "sgd", lr = "1" }, t() }, { { rule = "sgd", lr = 1, rate = 1 }, t() },
      { { rule = "sgd", lr = 1, [1] = 2 }, t() },
    },
    threads = { { 0 }, { 257 }, { -1 } },
    write_tensors = {
      { "a\0b", {} }, { "/nowhere/x", { vector } }, { "/nowhere/x", { a = 1 } }, { "/nowhere/x", {}, { a = 1 } },
      { "/nowhere/x", { ["a\0"] = vector } }, { "/nowhere/x", {}, { a = "\0" } },
    },
    write_source = { { "a\0b", {} }, { "/nowhere/x", { 1 } }, { "/nowhere/x", { "a", {} } } },
    item = { { t() }, { saros.zeros(0) } },
    size = { { t(), 3 }, { t(), -3 }, { t(), 0 }, { saros.zeros(), 1 } },
    assign = {
      { t(), saros.zeros(2) }, { t(), saros.ids { 1, 2, 3 } }, { saros.ids { 1 }, 0 }, { saros.ids { 1 }, 1.5 },
    },
    adopt = { { t(), saros.zeros(3, 2) }, { t(), saros.ids { { 1, 2, 3 }, { 1, 2, 3 } } } },
    fill = { { saros.ids { 1 }, 0 }, { saros.ids { 1 }, 2 ^ 31 + 1 } },
    clamp = { { t(), 2, 1 }, { t(), 0 / 0, 1 } },
    add_scaled = { { t(), 1, vector:reshape(3, 1) }, { t(), 1, saros.ids { 1 } } },
    trainable = { { saros.ids { 1 }, true } },
  }

  for _, name in ipairs(sorted(wrong)) do
    it("are refused by " .. name, function()
      for number, values in ipairs(wrong[name]) do
        values.n = values.n or #values
        refuses(name, core[name] or grid()[name], values, "case " .. number)
      end
    end)
  end

  it("are refused by generators", function()
    local g = saros.generator(1)
    for name, cases in pairs {
      uniform = { { { 2 }, 1, 0 }, { { -1 } }, { { 2 }, 0 / 0, 1 } },
      normal = { { { 2 }, 0, -1 }, { { 2 }, 0, 0 / 0 } },
      fill_uniform = { { saros.ids { 1 } } },
      fill_orthogonal = { { vector } },
      categorical = { { saros.zeros(2) }, { saros.zeros() }, { saros.ids { 1 } }, { saros.zeros(2, 0) } },
      permutation = { { -1 }, { 2 ^ 31 } },
      integer = { { 0 } },
    } do
      for number, values in ipairs(cases) do
        refuses(name, function(...)
          return g[name](g, ...)
        end, values, "case " .. number)
      end
    end
  end)

  it("are refused by indexing and by operators", function()
    local a = grid()
    for name, f in pairs {
      index = function() return a[{}] end,
      newindex = function() a[3] = 1 end,
      concat = function() return a .. 1 end,
      len = function() return #saros.zeros() end,
      add = function() return a + "1" end,
      subtract = function() return {} - a end,
      multiply = function() return a * {} end,
      divide = function() return a / saros.ids { 1, 2, 3 } end,
      power = function() return a ^ io.stdout end,
    } do
      refuses(name, f, { n = 0 }, "junk")
    end
    assert.is_false(pcall(function() a.size = 1 end))
    assert.is_false(pcall(function() a[1] = "x" end))
    assert.is_false(pcall(function() return a < a end))
    assert.is_false(pcall(function() return a // 2 end))
  end)
end)

describe("an error #binding", function()
  local x = saros.zeros(4)
  local session = saros.nn.linear({ 3, 2 }):init({ seed = 1 }):session()
  local recurrent = { weight_ih = saros.ones(4, 3), weight_hh = saros.ones(4, 4) }

  it("quotes what was given", function()
    for expected, f in pairs {
      ["top_k', got 1.5"] = function() session:sample(saros.generator(1), { top_k = 1.5 }) end,
      ["top_p', got true"] = function() session:sample(saros.generator(1), { top_p = true }) end,
      ["a live tensor as 'x', got 7"] = function() core.write_tensors("/nowhere/x", { x = 7 }) end,
      ["as keys of the tensors, got 8"] = function() core.write_tensors("/nowhere/x", { [8] = x }) end,
      ["as the metadata 'a', got 9"] = function() core.write_tensors("/nowhere/x", { x = x }, { a = 9 }) end,
      ["in the field 'weight_ih', got 6"] = function()
        core.recurrent("elman_tanh", saros.zeros(1, 1, 3), nil, { weight_ih = 6 })
      end,
      ["as state 1, got 3"] = function() core.recurrent("elman_tanh", saros.zeros(1, 1, 3), { 3 }, recurrent) end,
      ["at position 2 of the list, got 4"] = function() saros.concatenate({ x, 4 }, 1) end,
      ["in the field 'target_lengths', got 2.5"] = function()
        core.ctc_loss(saros.zeros(3, 1, 4), saros.ids { { 2 } }, { target_lengths = { 2.5 } })
      end,
      ["in 1..2, got 2147483648 at position 1"] = function()
        saros.cross_entropy(saros.zeros(1, 2), saros.ids { 2 ^ 31 })
      end,
      ["the blank 1, got 2147483648 at [1, 1]"] = function()
        core.ctc_loss(saros.zeros(3, 1, 4), saros.ids { { 2 ^ 31 } })
      end,
      ["a size >= 0 as argument 1, got nan"] = function() saros.zeros(-(0 / 0)) end,
      ["option 'p' to be a number in [0, 1), got nan"] = function() saros.nn.dropout { 0 / 0 } end,
      ["finite numbers, got nan in row 2, column 1"] = function() saros.data.series(saros.tensor { 1, 0 / 0 }) end,
      ["in 1..4 of axis 1, got -5"] = function() x:select(1, -5) end,
      ["of axis 1, got -10 to 4"] = function() x:slice(1, -10) end,
      ["of axis 1, got 1 to -10"] = function() x:slice(1, 1, -10) end,
    } do
      local ok, message = pcall(f)
      assert.is_false(ok, expected)
      assert.matches(expected, message, 1, true)
      assert.matches("^[^%s]+_spec%.lua:%d+: ", message)
    end
  end)
end)
