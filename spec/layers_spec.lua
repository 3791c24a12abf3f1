-- What every layer of a stack gives, on request.

require "spec.support.gradients"
require "spec.support.values"
local files = require "spec.support.files"
local saros = require "saros"
local nn = saros.nn

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

describe("a stack that is asked for its layers", function()
  it("gives what each layer and direction gives, and the same y and state", function()
    for _, given in ipairs { {}, { residual = true }, { bidirectional = true }, { layer_norm = true } } do
      given.input, given.hidden, given.layers = 3, 3, 2
      local net, x = nn.gru(given):init { seed = 1 }, random(2, 5, 2, 3)
      for _, steps in ipairs { {}, { lengths = { 5, 2 } } } do
        local y, state = net(x, nil, steps)
        local again, last, layers = net(x, nil, { layers = true, lengths = steps.lengths })
        assert.same_values(y, again, 0)
        assert.same_values(state[1][1], last[1][1], 0)
        assert.equal(given.bidirectional and 4 or 2, #layers)
        local top = given.bidirectional and layers[3] .. layers[4] or layers[2]
        if given.residual then
          assert.same_values(y, layers[2] + layers[1] + x * (steps.lengths and saros.tensor {
            { 1, 1 }, { 1, 1 }, { 1, 0 }, { 1, 0 }, { 1, 0 } }:reshape(5, 2, 1) or 1), 1e-5)
        else
          assert.same_values(y, top, 0)
        end
      end
    end
  end)

  it("gives them with an embedding, whether the first layer looks its products up or not", function()
    for _, symbols in ipairs { 2, 50 } do
      local embedding = nn.embedding { symbols, 3 }:init { seed = 1 }
      local net = nn.gru { 3, 4, layers = 2 }:init { seed = 2 }
      local ids = saros.ids { { 1, 2 }, { 2, 2 }, { 1, 1 }, { 2, 1 }, { 1, 2 } }
      local _, _, expected = net(embedding(ids), nil, { layers = true, lengths = { 5, 3 } })
      local _, _, layers = net(ids, nil, { layers = true, lengths = { 5, 3 } }, embedding)
      assert.same_values(expected[1], layers[1], 1e-6)
      assert.same_values(expected[2], layers[2], 1e-6)
    end
  end)

  it("lets gradients through them, and gives none unasked", function()
    local net = nn.lstm { 3, 4, layers = 2 }:init { seed = 1 }
    local inputs, weights = net:tensors(), random(3, 5, 2, 4)
    inputs.x = random(2, 5, 2, 3)
    assert.gradients_match(function()
      local y, _, layers = net(inputs.x, nil, { layers = true })
      return (y * weights):sum() + (layers[1] * layers[1]):sum()
    end, inputs)
    assert.is_nil((select(3, net(inputs.x))))
    assert.is_nil((select(3, net(inputs.x, nil, { layers = false }))))
    assert.error_matches(function() net(inputs.x, nil, { layers = 1 }) end, "layers: expected true or false")
  end)

  it("is asked of the layer itself, which other modules say", function()
    local I, H = 3, 4
    local x, options = random(2, 2, 2, I), { layers = "all" }
    local function fails(message, net, input)
      for _, value in ipairs { "all", true, false } do
        assert.error_matches(function() net(input or x, nil, { layers = value }) end, message, 1, true)
      end
    end
    local cure = ': expected no option "layers", which recurrent layers alone take; call the layer itself, such as '
      .. 'net.steps[1] of a chain or lm.recurrent, with { layers = "all" }'
    local net = nn.chain { nn.lstm { I, H }, nn.linear { H, 2 } }:init { seed = 1 }
    fails("chain: steps" .. cure, net)
    fails("chain: steps" .. cure, nn.residual { nn.gru { I, I } }:init { seed = 1 })
    fails("branch: steps" .. cure, nn.branch { nn.gru { I, I } }:init { seed = 1 })
    fails("heads: steps" .. cure, nn.heads { a = nn.gru { I, I } }:init { seed = 1 })
    fails("conv1d: steps" .. cure, nn.conv1d { I, I, kernel = 2 }:init { seed = 1 })
    local lm = nn.language_model { vocabulary = saros.data.vocabulary.characters "abc", hidden = H, seed = 1 }
    local ids = saros.ids { { 1, 2 }, { 3, 1 } }
    assert.error_matches(function() lm(ids, nil, options) end, "steps" .. cure, 1, true)
    assert.equal(2, #select(3, lm.recurrent(ids, nil, options, lm.embedding)))
    local _, _, expected = net.steps[1](x, nil, options)
    files.with_path(function(path)
      assert(net:save(path))
      fails('program: expected no option "layers" for a net from a file, whose program has no layers; make the net as '
        .. "it was made, call net:load(path), and then its layer itself", assert(saros.load(path)))
      local again = nn.chain { nn.lstm { I, H }, nn.linear { H, 2 } }
      local _, _, layers = assert(again:load(path)).steps[1](x, nil, options)
      assert.same_values(expected[1].gates.forget, layers[1].gates.forget, 0)
    end)
  end)
end)
