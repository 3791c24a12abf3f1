-- Batch normalization: training by the batch, evaluation by running statistics.

require "spec.support.gradients"
require "spec.support.values"
local files = require "spec.support.files"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = saros.info().real == "double" and 1e-12 or 2e-5
local T, B, F = 5, 3, 4

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local function build(given)
  local o = { size = F }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  local net = nn.batch_norm(o):init { seed = 1 }
  saros.generator(2):fill_normal(net.weight)
  saros.generator(3):fill_normal(net.bias)
  return net
end

-- Mean and biased variance of a feature over the steps that count, by loops.
local function statistics(x, f, lengths)
  local values = {}
  for row = 1, x:size(2) do
    for t = 1, lengths and lengths[row] or #x do
      values[#values + 1] = x[t][row][f]
    end
  end
  local mean, variance = 0, 0
  for _, value in ipairs(values) do
    mean = mean + value / #values
  end
  for _, value in ipairs(values) do
    variance = variance + (value - mean) ^ 2 / #values
  end
  return mean, variance, #values
end

local function in_training(fn)
  local tape <close> = saros.tape()
  assert.is_truthy(tape)
  return fn()
end

describe("batch normalization", function()
  it("takes the statistics of the batch in training, padding aside", function()
    for _, lengths in ipairs { false, { 5, 2, 3 } } do
      local net, x = build(), random(4, T, B, F) * 3 + 1
      if lengths then
        x:slice(2, 2, 2):slice(1, 3, 5):fill(0 / 0)
      end
      local y = in_training(function() return (net(x, nil, lengths and { lengths = lengths })) end)
      for f = 1, F do
        local mean, variance, n = statistics(x, f, lengths)
        for row = 1, B do
          local length = lengths and lengths[row] or T
          for t = 1, T do
            local expected = t > length and 0
              or (x[t][row][f] - mean) / math.sqrt(variance + 1e-5) * net.weight[f] + net.bias[f]
            assert.near(expected, y[t][row][f], ROUNDING)
          end
        end
        assert.near(0.1 * mean, net.running_mean[f], ROUNDING)
        assert.near(0.9 + 0.1 * variance * n / (n - 1), net.running_var[f], ROUNDING)
      end
    end
  end)

  it("uses the running statistics otherwise, and leaves them alone", function()
    local net, x = build { momentum = 0.5, epsilon = 0.25 }, random(4, T, B, F) * 3 + 1
    in_training(function() return net(x) end)
    local mean, variance = net.running_mean:clone(), net.running_var:clone()
    local expected = (x - mean) / (variance + 0.25):sqrt() * net.weight + net.bias
    assert.same_values(expected, (net(x)), ROUNDING)
    local tape <close> = saros.tape { training = false }
    assert.same_values(expected, (net(x)), ROUNDING)
    tape:close()
    assert.same_values(mean, net.running_mean, 0)
    assert.same_values(variance, net.running_var, 0)
    assert.same_values(expected:slice(1, 1, 1):select(1, 1), (net(x[1])), ROUNDING)
  end)

  it("has the gradients that finite differences predict, in training and otherwise", function()
    local net, x = build(), random(4, T, B, F)
    local weights = random(5, T, B, F)
    local inputs = { x = x, weight = net.weight, bias = net.bias }
    assert.gradients_match(function() return ((net(x)) * weights):sum() end, inputs)
    assert.gradients_match(function()
      return ((net(x, nil, { lengths = { 5, 2, 3 } })) * weights):sum()
    end, inputs)
  end)

  it("has statistics that are saved, but not trained", function()
    local net, x = build(), random(4, T, B, F)
    in_training(function() return net(x) end)
    assert.same({ "weight", "bias" }, net:parameters().names)
    assert.equal(2 * F, net:count())
    local other = nn.batch_norm { F }:init { seed = 7 }
    files.with_path(function(path)
      assert.is_true(net:save(path))
      assert.is_truthy(other:load(path))
    end)
    assert.same_values(net(x), (other(x)), 0)
    net:init { seed = 1 }
    assert.same_values(saros.ones(F), net.running_var, 0)
  end)

  it("stands in chains, which memory looks at without a trace", function()
    local net = nn.chain { nn.linear { 2, F }, nn.batch_norm { F }, saros.relu, nn.linear { F, 1 } }:init { seed = 1 }
    local before = net:tensors()["1.running_var"]:clone()
    net:memory { length = 8, batch = 300, loss = function(t, b) return (net(saros.ones(t, b, 2))):mean() end }
    assert.same_values(before, net:tensors()["1.running_var"], 0)
    local sgd = saros.optim.sgd(net:parameters(), { lr = 0.1 })
    local x, first, last = random(6, 20, 4, 2) * 5 + 3, nil, nil
    for _ = 1, 30 do
      local tape <close> = saros.tape()
      local loss = saros.mse(net(x), x:sum(3, true):tanh())
      tape:backward(loss)
      sgd:step()
      first, last = first or loss:item(), loss:item()
    end
    assert.is_true(last < first / 2, ("%g, then %g"):format(first, last))
    assert.is_true(saros.mse(net(x), x:sum(3, true):tanh()):item() < first / 2)
  end)

  it("refuses what would make no sense", function()
    local net = build()
    assert.error_matches(function() in_training(function() return net(random(1, 1, 1, F)) end) end,
      "batch_norm: expected at least two steps or rows that count")
    assert.error_matches(function() return net(random(1, T, B, F + 1)) end,
      "batch_norm: expected x of shape %(T, B, 4%) or %(B, 4%)")
    local chain = nn.chain { nn.gru { 2, F }, net }:init { seed = 1 }
    assert.error_matches(function()
      saros.backward_in_segments(chain, { inputs = random(1, T, B, 2) }, nil, { segment = 2 })
    end, "backward_in_segments: expected a model that keeps no statistics")
  end)
end)

describe("a batch norm in a step", function()
  it("has the statistics of its batch in training, where its step is unrolled", function()
    local norm = nn.batch_norm { 4 }:init { seed = 1 }
    local net = nn.recurrent { 3, 4, cell = nn.cell("normed", {}, function(p, x, h)
      return saros.tanh(norm(p.gate(x .. h)))
    end) }:init { seed = 1 }
    local x = saros.generator(1):normal { 5, 6, 3 }
    local before = norm.running_mean:clone()
    net(x)
    assert.equal(0, (norm.running_mean - before):abs():max():item())
    local _ <close> = saros.tape()
    net(x)
    assert.is_true((norm.running_mean - before):abs():max():item() > 0)
    local _, reason = net:compiled()
    assert.matches("expected a step that is the same in training, got one with a batch norm", reason)
  end)
end)
