require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = saros.info().real == "double" and 1e-12 or 2e-6

local T, B, S, Q, K = 3, 2, 5, 4, 6

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- How a query fits a key, as the papers write it, on lists of numbers.
local function dot(a, b)
  local sum = 0
  for n, x in ipairs(a) do
    sum = sum + x * b[n]
  end
  return sum
end

local function times(weight, x, bias)
  local y = {}
  for row, w in ipairs(weight:totable()) do
    y[row] = dot(w, x) + (bias and bias[row] or 0)
  end
  return y
end

local naive = {
  dot = function(_, q, k) return dot(q, k) end,
  scaled_dot = function(_, q, k) return dot(q, k) / math.sqrt(#k) end,
  general = function(net, q, k) return dot(times(net.query.weight, q), k) end,
  additive = function(net, q, k)
    local sum = saros.tensor(times(net.query.weight, q)) + saros.tensor(times(net.key.weight, k, net.key.bias))
    return dot(net.score:totable()[1], saros.tanh(sum):totable())
  end,
}

local function build(kind, seed)
  local sizes = { general = { Q, K }, additive = { Q, K, size = 7 } }
  local given = sizes[kind] or { K }
  given.kind = kind
  local net = nn.attention(given):init { seed = seed or 1 }
  return net, random(2, T, B, net.queries), random(3, S, B, K)
end

for kind, fit in pairs(naive) do
  describe(("attention (%s)"):format(kind), function()
    local lengths = { 3, 5 }

    it("gives weights that sum to one", function()
      local net, query, keys = build(kind)
      local context, weights = net(query, keys)
      assert.same({ T, B, K }, context:shape())
      assert.same({ T, B, S }, weights:shape())
      assert.same_values(saros.ones(T, B), weights:sum(-1), ROUNDING)
      assert.is_true(weights:min():item() > 0)
    end)

    it("is what a loop over queries and keys computes", function()
      local net, query, keys = build(kind)
      local values = random(4, S, B, 2)
      local context, weights = net(query, keys, { lengths = lengths, values = values })
      for t = 1, T do
        for row, length in ipairs(lengths) do
          local scores = {}
          for s = 1, length do
            scores[s] = fit(net, query[t][row]:totable(), keys[s][row]:totable())
          end
          local expected = saros.softmax(saros.tensor(scores))
          assert.same_values(expected, weights[t][row]:slice(1, 1, length), 10 * ROUNDING)
          assert.same_values(expected:matmul(values:slice(1, 1, length):select(2, row)),
            context[t][row], 10 * ROUNDING)
        end
      end
    end)

    it("gives padding a weight of exactly zero, and no part in anything", function()
      local net, query, keys = build(kind)
      local function run(given)
        net:clear_gradients()
        local tape <close> = saros.tape()
        local context, weights = net(tape:watch(query), tape:watch(keys:clear_gradient()), given)
        tape:backward((context * random(5, T, B, K)):sum())
        return context, weights, keys:gradient(), saros.concatenate({
          query:gradient():flatten(),
          table.unpack(kind == "additive" and { net.score:gradient():flatten() } or {}),
        }, 1)
      end
      local context, weights, dkeys, rest = run { lengths = lengths }
      query:clear_gradient()
      assert.same_values(saros.zeros(T, 2), weights:select(2, 1):slice(2, 4, 5), 0)
      assert.same_values(saros.zeros(2, K), dkeys:slice(1, 4, 5):select(2, 1), 0)
      local mask = saros.tensor { { 1, 1 }, { 1, 1 }, { 1, 1 }, { 0, 1 }, { 0, 1 } }
      keys:slice(1, 4, 5):select(2, 1):fill(1000)
      local context2, weights2, dkeys2, rest2 = run { mask = mask }
      assert.same_values(context, context2, 0)
      assert.same_values(weights, weights2, 0)
      assert.same_values(dkeys, dkeys2, 0)
      assert.same_values(rest, rest2, 0)
    end)

    it("has the gradients that finite differences predict", function()
      local net, query, keys = build(kind)
      local inputs = net:tensors()
      inputs.the_query, inputs.the_keys, inputs.the_values = query, keys, random(4, S, B, 3)
      local weigh, look = random(5, T, B, 3), random(6, T, B, S)
      assert.gradients_match(function(given)
        local context, weights = net(given.the_query, given.the_keys,
          { lengths = lengths, values = given.the_values })
        return (context * weigh):sum() + (weights * look):sum()
      end, inputs)
    end)

    it("treats a single step as it treats many", function()
      local net, query, keys = build(kind)
      local context, weights = net(query, keys, { lengths = lengths })
      local context2, weights2 = net(query[2], keys, { lengths = lengths })
      assert.same_values(context[2], context2, ROUNDING)
      assert.same_values(weights[2], weights2, ROUNDING)
    end)

    it("is as good for rows alone as for a batch", function()
      local net, query, keys = build(kind)
      local context = net(query, keys, { lengths = lengths })
      for row, length in ipairs(lengths) do
        local alone = net(query:slice(2, row, row), keys:slice(1, 1, length):slice(2, row, row))
        assert.same_values(context:slice(2, row, row), alone, ROUNDING)
      end
    end)
  end)
end

describe("attention", function()
  it("stays exact where scores are huge", function()
    local net = nn.attention { 1 }
    local keys = saros.tensor { { { 3e4 } }, { { -3e4 } }, { { 1e6 } } }
    local _, weights = net(saros.tensor { { { 100 } }, { { -100 } } }, keys, { lengths = { 2 } })
    assert.same({ { { 1, 0, 0 } }, { { 0, 1, 0 } } }, weights:totable())
  end)

  it("names its parameters", function()
    assert.same({ "score", "query.weight", "key.weight", "key.bias" },
      nn.attention({ 4, kind = "additive" }):parameters().names)
    assert.same({ "query.weight" }, nn.attention({ 4, 6, kind = "general" }):parameters().names)
    assert.same({}, nn.attention({ 4 }):parameters().names)
  end)

  it("refuses sizes and options that do not fit", function()
    assert.error_matches(function() nn.attention { 4, 6 } end, "expected keys = 4, the size of the query, got 6")
    assert.error_matches(function() nn.attention { 4, size = 3 } end, "expected size only with kind")
    assert.error_matches(function() nn.attention { 4, kind = "product" } end, 'got "product"')
    local net = nn.attention { 4 }
    local q, k = saros.zeros(3, 2, 4), saros.zeros(5, 2, 4)
    assert.error_matches(function() net(saros.zeros(3, 2, 5), k) end,
      "expected a query of shape (T, B, 4) or (B, 4), got a tensor (3, 2, 5)", 1, true)
    assert.error_matches(function() net(q, saros.zeros(5, 3, 4)) end,
      "expected keys of shape (S, 2, 4), got a tensor (5, 3, 4)", 1, true)
    assert.error_matches(function() net(q) end, "expected keys of shape (S, 2, 4), got nil", 1, true)
    assert.error_matches(function() net(q, k, { values = saros.zeros(4, 2, 3) }) end,
      "expected values of shape (5, 2, F), got a tensor (4, 2, 3)", 1, true)
    assert.error_matches(function() net(q, k, { length = { 1, 1 } }) end, 'unknown option "length"')
    assert.error_matches(function() net(q, k, { lengths = { 1 } }) end, "a list of 2 lengths")
    assert.error_matches(function() net(q, k, { lengths = { 0, 5 } }) end, "lengths in 1..5, got 0 in row 1", 1, true)
    assert.error_matches(function() net(q, k, { lengths = { 6, 5 } }) end, "lengths in 1..5, got 6 in row 1", 1, true)
    assert.error_matches(function() net(q, k, { mask = saros.ones(2, 5) }) end,
      "a mask of shape (5, 2), got a tensor (2, 5)", 1, true)
    assert.error_matches(function() net(q, k, { mask = saros.ones(5, 2), lengths = { 5, 5 } }) end,
      "lengths or a mask, got both")
    assert.error_matches(function() net(q, k, { mask = saros.zeros(5, 2) }) end, "a mask with a 1 in every row")
  end)
end)
