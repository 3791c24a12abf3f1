local files = require "spec.support.files"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

describe("nn.prelu", function()
  it("multiplies what is below 0 by the slope of its feature, or by one for all", function()
    local x = saros.tensor { { { -2, 3, -4 } } }
    local each = nn.prelu { 3 }:load { weight = saros.tensor { 0.5, 0.5, -1 } }
    assert.same({ -1, 3, 4 }, each(x)[1][1]:totable())
    assert.same({ -0.5, 3, -1 }, nn.prelu {}:init({ seed = 1 })(x)[1][1]:totable())
    assert.same({ -0.25, 0.5 }, nn.prelu({ slope = 0.5 }):init({ seed = 1 })(saros.tensor { -0.5, 0.5 }):totable())
  end)

  it("has the gradients that finite differences predict", function()
    local net = nn.prelu { 3 }:init { seed = 1 }
    local x = saros.tensor { { -0.5, 0.75, -1.5 }, { 1, -0.25, 0.5 } } -- not near 0, where the slope changes
    local worst = saros.gradient_check(function(inputs) return (net(inputs[1]) * net(inputs[1])):sum() end,
      { x, net.weight })
    assert.is_true(worst < 1e-3, worst)
  end)

  it("steps, and comes back from a file", function()
    local net = nn.chain { nn.gru { 2, 3 }, nn.prelu { 3 } }:init { seed = 1 }
    local x, loaded = saros.generator(1):normal { 4, 1, 2 }, files.reloaded(net)
    local y, session = net(x), loaded:session()
    assert.same_values(y, (loaded(x)), 1e-6)
    for t = 1, 4 do
      session:step(x[t])
      assert.same_values(y[t], session:output():reshape(1, 3), 1e-6)
    end
  end)
end)
