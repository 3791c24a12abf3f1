-- Members side by side: nn.branch, nn.concatenate, nn.heads.

require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = saros.info().real == "double" and 1e-12 or 1e-6

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local function parts()
  return nn.linear { 3, 4 }, nn.gru { 3, 4 }, nn.chain { nn.conv1d { 3, 4, kernel = 2 }, saros.sigmoid }
end

-- What behind-the-end inputs must not reach, and a state for each row.
local function padded()
  local x = random(1, 6, 2, 3)
  x:slice(2, 2, 2):slice(1, 4, 6):fill(0 / 0)
  return x, { lengths = { 6, 3 } }
end

describe("nn.branch", function()
  it("joins what its members give by features, or combines it otherwise", function()
    local x = random(1, 6, 2, 3)
    for rule, combine in pairs {
      concatenate = function(a, b, c) return a .. b .. c end,
      add = function(a, b, c) return a + b + c end,
      multiply = function(a, b, c) return a * b * c end,
    } do
      local a, b, c = parts()
      local net = nn.branch { a, b, c, combine = rule }:init { seed = 1 }
      assert.same_values(combine(a(x), (b(x)), (c(x))), (net(x)), ROUNDING)
      local own = nn.branch { a, b, c, combine = combine }
      assert.same_values(net(x), (own(x)), ROUNDING)
    end
    local a, b, c = parts()
    local net = nn.concatenate { a, b, c }:init { seed = 1 }
    assert.same({ 6, 2, 12 }, net(x):shape())
    assert.same({ 6, 2, 12 }, nn.branch { a, b, c }(x):shape())
    assert.is_truthy(net:tensors()["0.weight"] and net:tensors()["1.weight_hh_l0"] and net:tensors()["2.0.weight"])
  end)

  it("takes functions, has gradients and carries the states of its members", function()
    local _, b, c = parts()
    local net = nn.branch { saros.tanh, nn.chain { b, nn.linear { 4, 3 } }, nn.chain { c, nn.linear { 4, 3 } },
      combine = "multiply" }:init { seed = 1 }
    local inputs = net:tensors()
    inputs.x = random(1, 5, 2, 3)
    local weights = random(2, 5, 2, 3)
    assert.gradients_match(function() return ((net(inputs.x)) * weights):sum() end, inputs)
    local whole, last = net(inputs.x)
    local first, state = net(inputs.x:slice(1, 1, 2))
    local second, final = net(inputs.x:slice(1, 3, 5), state)
    assert.same_values(whole, saros.concatenate({ first, second }, 1), ROUNDING)
    assert.same_values(last[2][1][1][1], final[2][1][1][1], ROUNDING)
    assert.is_nil(last[1])
  end)

  it("hides padding from its members", function()
    local a, b, c = parts()
    local net = nn.branch { a, b, c, combine = function(p, q, r) return p / q .. r:exp() end }:init { seed = 1 }
    local x, given = padded()
    local y = net(x, nil, given)
    local alone = net(x:slice(2, 2, 2):slice(1, 1, 3))
    assert.same_values(alone, y:slice(2, 2, 2):slice(1, 1, 3), 1e-5)
    assert.equal(0, y:slice(2, 2, 2):slice(1, 4):abs():sum():item())
  end)

  it("thins out lengths as its members do", function()
    local net = nn.chain { nn.branch { nn.conv1d { 3, 2, kernel = 3, stride = 2 },
      nn.conv1d { 3, 2, kernel = 5, stride = 2 } }, nn.gru { 4, 3 } }:init { seed = 1 }
    local x, given = padded()
    local y = net(x, nil, given)
    assert.same({ lengths = { 3, 2 } }, net:steps_after(given))
    assert.same_values(net(x:slice(2, 2, 2):slice(1, 1, 3)), y:slice(2, 2, 2):slice(1, 1, 2), 1e-5)
    assert.equal(0, y:slice(2, 2, 2):slice(1, 3):abs():sum():item())
  end)

  it("says what is wrong with its members", function()
    local function fails(message, fn)
      assert.error_matches(fn, message, 1, true)
    end
    local a, b = parts()
    fails("nn.branch: expected a list of layers and functions", function() nn.branch {} end)
    fails("nn.branch: expected at least one member, got none", function() nn.branch { combine = "add" } end)
    fails("nn.branch: expected member 2 to be a module or a function, got 3", function() nn.branch { a, 3 } end)
    fails("got the key \"combin\"; did you mean 'combine'?", function() nn.branch { a, combin = "add" } end)
    fails('expected combine = "concatenate", "add", "multiply" or a function, got "sum"',
      function() nn.branch { a, combine = "sum" } end)
    fails("nn.concatenate: expected members by position alone", function() nn.concatenate { a, combine = "add" } end)
    local uneven = nn.branch { nn.linear { 3, 4 }, nn.linear { 3, 5 }, combine = "add" }:init { seed = 1 }
    fails("branch: expected members whose outputs have the same shape, got a tensor (1, 1, 4), a tensor (1, 1, 5)",
      function() uneven(saros.zeros(1, 1, 3)) end)
    local none = nn.branch { a, b, combine = function() end }:init { seed = 1 }
    fails("branch: expected combine to return a tensor, got nil", function() none(saros.zeros(1, 1, 3)) end)
  end)
end)

describe("nn.heads", function()
  it("gives a table of outputs by name, each from its member", function()
    local a, b, c = parts()
    local net = nn.chain { nn.linear { 3, 3 }, nn.heads { value = a, policy = b, gate = c } }:init { seed = 1 }
    local x = random(1, 6, 2, 3)
    local h = net.steps[1](x)
    local outputs, last = net(x)
    assert.same_values(a(h), outputs.value, ROUNDING)
    assert.same_values(b(h), outputs.policy, ROUNDING)
    assert.same_values(c(h), outputs.gate, ROUNDING)
    assert.is_truthy(net:tensors()["1.policy.weight_hh_l0"])
    local first, state = net(x:slice(1, 1, 2))
    local second, final = net(x:slice(1, 3, 6), state)
    for name, y in pairs(outputs) do
      assert.same_values(y, saros.concatenate({ first[name], second[name] }, 1), ROUNDING)
    end
    assert.same_values(last[2].policy[1][1], final[2].policy[1][1], ROUNDING)
    assert.equal("heads (gate: chain (conv1d 3 -> 4, 2 steps; function); policy: gru 3 -> 4, 1 layer; "
      .. "value: linear 3 -> 4)", tostring(net.steps[2]))
  end)

  it("hides padding, in each output", function()
    local a, b = parts()
    local net = nn.chain { nn.heads { value = a, policy = b } }:init { seed = 1 }
    local x, given = padded()
    local outputs = net(x, nil, given)
    local alone = net(x:slice(2, 2, 2):slice(1, 1, 3))
    for name, y in pairs(outputs) do
      assert.same_values(alone[name], y:slice(2, 2, 2):slice(1, 1, 3), 1e-5)
      assert.equal(0, y:slice(2, 2, 2):slice(1, 4):abs():sum():item())
    end
  end)

  it("says what is wrong with its members", function()
    assert.error_matches(function() nn.heads {} end, "nn.heads: expected layers and functions by name")
    assert.error_matches(function() nn.heads { nn.linear { 1, 1 } } end, "nn.heads: expected names of letters")
    assert.error_matches(function() nn.heads { ["a.b"] = saros.tanh } end, "nn.heads: expected names of letters")
    assert.error_matches(function() nn.heads { a = 3 } end,
      'nn.heads: expected "a" to be a module or a function, got 3')
  end)
end)
