local gradients = require "spec.support.gradients"
local recurrent_kinds = require "spec.support.recurrent_kinds"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = gradients.is_double and 1e-12 or 1e-5

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local build, leaves, weighed = recurrent_kinds.build, recurrent_kinds.leaves, recurrent_kinds.weighed

local function assert_same_states(expected, actual)
  for position, tensor in ipairs(leaves(expected)) do
    assert.same_values(tensor, leaves(actual)[position], ROUNDING)
  end
end

for name, kind in pairs(recurrent_kinds.rows) do
  for layers = 1, 3 do
    describe(("a recurrent net (%s, %d layers)"):format(name, layers), function()
      local LENGTHS = { 5, 2, 0, 4 }
      local RESET = saros.tensor {
        { 1, 0, 0, 0 }, { 0, 1, 0, 0 }, { 0, 0, 0, 1 }, { 0, 0, 0, 1 }, { 0, 0, 0, 0 },
      }

      if gradients.is_double or not kind.corner then
        it("has the gradients that finite differences predict, padded and reset", function()
          local net = build(kind, 3, 4, layers)
          local inputs = net:tensors()
          inputs.x = random(1, 5, 4, 3)
          local state = not kind.options.learn_state and nn.state.map(select(2, net(inputs.x)), function(h)
            return h + 0.1
          end) or nil
          for position, tensor in ipairs(state and leaves(state) or {}) do
            inputs["state" .. position] = tensor
          end
          local bends = kind.options.layer_norm or kind.new == nn.delta or kind.new == nn.mlstm -- by norms of few units
          assert.gradients_match(function()
            return weighed(net(inputs.x, state, { lengths = LENGTHS, reset = RESET }))
          end, inputs, { samples = 12, epsilon = bends and 5e-7 or nil })
        end)
      end

      if not kind.options.bidirectional then
        it("runs T steps twice as it runs 2T steps", function()
          local net, x = build(kind, 3, 4, layers), random(1, 10, 2, 3)
          local whole, last = net(x)
          local first, state = net(x:slice(1, 1, 5))
          local second
          second, state = net(x:slice(1, 6, 10), state)
          assert.same_values(whole, saros.concatenate({ first, second }, 1), ROUNDING)
          assert_same_states(last, state)
        end)
      end

      it("runs a batch as it runs its rows alone", function()
        local net, x = build(kind, 3, 4, layers), random(1, 6, 5, 3)
        local whole = net(x)
        for row = 1, 5 do
          assert.same_values(whole:slice(2, row, row), (net(x:slice(2, row, row))), ROUNDING)
        end
      end)

      it("has the gradients of the rows alone in a batch that is large enough to be packed", function()
        local T, B, I, H = 6, 40, 20, 24
        local net, x = build(kind, I, H, layers), random(1, T, B, I)
        local weight = random(2, table.unpack((net(x)):shape()))
        local function gradients_of(first, last)
          local tape <close> = saros.tape()
          tape:backward((net(x:slice(2, first, last)) * weight:slice(2, first, last)):sum())
        end
        gradients_of(1, B)
        local whole = {}
        for key, parameter in pairs(net:tensors()) do
          whole[key] = parameter:gradient():clone()
          parameter:clear_gradient()
        end
        for row = 1, B do
          gradients_of(row, row)
        end
        for key, parameter in pairs(net:tensors()) do
          local size = math.max(1, whole[key]:abs():max():item()) -- sums of B T terms
          assert.same_values(parameter:gradient(), whole[key], 30 * ROUNDING * size)
        end
      end)

      for _, I in ipairs { 5, 4 } do -- 4 may be added to the first output
        it(("reads ids with their embedding of %d as it reads what they embed"):format(I), function()
          local V = 6
          local net, embedding = build(kind, I, 4, layers), nn.embedding { V, I }
          embedding:init { seed = 4 }
          local ids = saros.generator(9):categorical(saros.ones(5, 4, V))
          local function values_and_gradients(...)
            local tape <close> = saros.tape()
            local y, state = net(...)
            tape:backward(weighed(y, state))
            local found = { embedding = embedding.weight:gradient() }
            for key, parameter in pairs(net:tensors()) do
              found[key] = parameter:gradient()
              parameter:clear_gradient()
            end
            embedding.weight:clear_gradient()
            return y:detach(), found
          end
          local given = { lengths = LENGTHS, reset = RESET }
          local y, found = values_and_gradients(ids, nil, given, embedding)
          local expected_y, expected
          do
            local tape <close> = saros.tape()
            expected_y = net(embedding(ids), nil, given):detach()
            tape:backward(weighed(net(embedding(ids), nil, given)))
            expected = { embedding = embedding.weight:gradient() }
            for key, parameter in pairs(net:tensors()) do
              expected[key] = parameter:gradient()
            end
          end
          assert.same_values(expected_y, y, ROUNDING)
          for key, gradient in pairs(expected) do
            assert.same_values(gradient, found[key], 10 * ROUNDING)
          end
        end)
      end

      it("learns a small batch by heart", function()
        local net = build(kind, 3, 16, layers, kind.learns_with)
        local model = nn.chain { net, nn.linear { net.output, 4 } }
        model:init { seed = 3 }
        local x = random(1, 6, 3, 3)
        local targets = saros.generator(2):categorical(saros.ones(6, 3, 4))
        local adam = saros.optim.adam(model:parameters(), { lr = 2e-2 })
        local loss
        for _ = 1, 300 do
          local tape <close> = saros.tape()
          loss = nn.cross_entropy(model(x), targets)
          if loss:item() < 0.02 then
            break
          end
          tape:backward(loss)
          saros.optim.clip_norm(model:parameters(), 1)
          adam:step()
        end
        assert.is_true(loss:item() < 0.02, "loss " .. loss:item())
      end)
    end)
  end
end

describe("the fused layer and the textbook's cell by hand", function()
  local T, B, I, H = 7, 3, 2, 5

  -- Output and gradients with respect to x, W_ih, W_hh and both biases.
  local function run(forward, x, tensors)
    local tape <close> = saros.tape()
    tape:watch(x)
    local y = forward(x)
    tape:backward((y * random(5, T, B, H)):sum())
    local found = { x:gradient():clone() }
    x:clear_gradient()
    for position, tensor in ipairs(tensors) do
      found[position + 1] = tensor:gradient():clone()
      tensor:clear_gradient()
    end
    return y, found
  end

  for _, activation in ipairs { "tanh", "relu" } do
    it(("agree in values and gradients (%s)"):format(activation), function()
      local net = nn.rnn { I, H, activation = activation }:init { seed = 1 }
      local layer, x = net.layers[1], random(2, T, B, I)
      local tensors = { layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh }
      local f = saros[activation]
      local function by_hand(sequence)
        return (nn.unroll(function(x_t, h)
          local W = saros.concatenate({ layer.weight_ih, layer.weight_hh }, 2):transpose()
          return f((x_t .. h):matmul(W) + layer.bias_ih + layer.bias_hh)
        end, sequence, saros.zeros(B, H)))
      end
      local fused, fused_gradients = run(function(s) return (net(s)) end, x, tensors)
      local manual, manual_gradients = run(by_hand, x, tensors)
      assert.same_values(manual, fused, ROUNDING)
      for position, gradient in ipairs(manual_gradients) do
        assert.same_values(gradient, fused_gradients[position], ROUNDING)
      end
    end)
  end
end)

describe("a recurrent net", function()
  it("names its parameters as PyTorch does", function()
    local names = nn.rnn({ 3, 4, layers = 2 }):parameters().names
    assert.same({
      "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0",
      "weight_ih_l1", "weight_hh_l1", "bias_ih_l1", "bias_hh_l1",
    }, names)
  end)

  it("is one entry on the tape for each layer", function()
    local net, x = nn.rnn({ 3, 4, layers = 2 }):init { seed = 1 }, random(1, 50, 2, 3)
    local tape <close> = saros.tape()
    net(x)
    assert.matches("2 operations", tostring(tape))
  end)

  it("starts within 1 / sqrt(H) as PyTorch does, or by another scheme", function()
    local net = nn.rnn { 3, 16 }:init { seed = 1 }
    for _, tensor in ipairs(net:parameters()) do
      assert.is_true(saros.abs(tensor):max():item() <= 0.25)
      assert.is_true(saros.abs(tensor):max():item() > 0.1)
    end
    net:init { seed = 1, weights = "orthogonal" }
    local U = net.layers[1].weight_hh
    local product = U:matmul(U:transpose())
    local identity = saros.one_hot(saros.ids { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 }, 16)
    assert.same_values(identity, product:detach(), 1e-5)
    assert.equal(0, net.layers[1].bias_ih:max():item())
    net:init { seed = 1, weights = "glorot" }
    assert.is_true(saros.abs(net.layers[1].weight_ih):max():item() <= math.sqrt(6 / 19))
  end)

  it("has dropout between its layers in training only, from its own generator", function()
    local net, x = nn.rnn { 3, 8, layers = 2, dropout = 0.5 }:init { seed = 1 }, random(1, 4, 2, 3)
    local plain = nn.rnn { 3, 8, layers = 2 }:load(net:tensors())
    assert.same_values(plain(x), (net(x)), 0)
    local function in_training()
      local _ <close> = saros.tape()
      return (net(x)):detach()
    end
    local first, second = in_training(), in_training()
    assert.is_true(saros.abs(first - second):max():item() > 0)
    net:init { seed = 1 }
    assert.same_values(first, in_training(), 0)
    assert.is_not_nil(net:generators().dropout)
  end)

  it("lets gradients flow through states inside one tape, and not beyond it", function()
    local net = nn.rnn({ 2, 3 }):init { seed = 1 }
    local x, h0 = random(1, 4, 1, 2), saros.zeros(1, 3)
    local state
    do
      local tape <close> = saros.tape()
      tape:watch(h0)
      local _
      _, state = net(x, { { h0 } })
      local y = net(x, state)
      tape:backward(y:sum())
      assert.is_true(saros.abs(h0:gradient()):max():item() > 0)
    end
    h0:clear_gradient()
    local tape <close> = saros.tape()
    local y = net(x, state)
    tape:backward(y:sum())
    assert.is_nil(h0:gradient())
  end)

  it("takes other rows of a state", function()
    local state = { { random(1, 3, 4) }, { random(2, 3, 4) } }
    local rows = nn.state.rows(state, saros.ids { 3, 3, 1, 2 })
    assert.same_values(state[2][1][3], rows[2][1][1], 0)
    assert.same_values(state[2][1][3], rows[2][1][2], 0)
    assert.same_values(state[1][1][1], rows[1][1][3], 0)
    assert.is_nil(nn.state.rows(nil, saros.ids { 1 }))
  end)

  it("refuses inputs and states that do not fit", function()
    local net = nn.rnn({ 3, 4, layers = 2 }):init { seed = 1 }
    local x = saros.zeros(5, 2, 3)
    assert.has_error(function() net(saros.zeros(5, 2, 4)) end)
    assert.has_error(function() net(saros.zeros(5, 3)) end)
    assert.has_error(function() net(saros.ids { { 1 } }) end)
    assert.has_error(function() net() end)
    local h = saros.zeros(2, 4)
    for got, state in pairs {
      ["a tensor (2, 4)"] = h,
      ["a list of 1"] = { { h } },
      ["a table at [1]"] = { {}, {} },
      ["a tensor (2, 4) at [1]"] = { h, h },
      ["a tensor (2, 5) at [2][1]"] = { { h }, { saros.zeros(2, 5) } },
      ["ids (1) at [1][1]"] = { { saros.ids { 1 } }, { h } },
      ['"h" at [2][1]'] = { { h }, { "h" } },
    } do
      assert.error_matches(function() net(x, state) end,
        "rnn: expected a state { {h}, {h} } (2 layers), each h of shape (2, 4), got " .. got, 1, true)
    end
    assert.error_matches(function() nn.lstm({ 3, 4, projection = 2 }):init({ seed = 1 })(x, h) end,
      "lstm: expected a state { {h, c} } (1 layer), each h of shape (2, 2), each c of shape (2, 4), got", 1, true)
    assert.error_matches(function() nn.gru({ 3, 4, bidirectional = true }):init({ seed = 1 })(x, h) end,
      "gru: expected a state { {h}, {h} } (1 layer, forward and reverse), each h", 1, true)
  end)

  it("says which lengths do not fit", function()
    local net, x = nn.rnn({ 3, 4 }):init { seed = 1 }, random(1, 5, 2, 3)
    for message, lengths in pairs {
      ["a list of 2 lengths, one for each row, got 1 of them"] = { 5 },
      ["lengths in 0..5, got 6 in row 2"] = { 0, 6 },
    } do
      assert.error_matches(function() net(x, nil, { lengths = lengths }) end,
        "rnn: expected " .. message, 1, true)
    end
  end)

  it("refuses options that make no sense", function()
    local function refuses(options, message)
      assert.error_matches(function() nn.rnn(options) end, message, 1, true)
    end
    refuses({ hidden = 3 }, "nn.rnn: expected option 'input', a positive integer")
    refuses({ 3, 4, layer = 2 },
      'nn.rnn: unknown option "layer"; did you mean \'layers\'? known: input, hidden, layers,')
    refuses({ 3, 4, 5 }, "unknown option 3")
    refuses({ 3, input = 3, hidden = 4 }, "given twice")
    refuses({ 3, -4 }, "expected option 'hidden' to be a positive integer, got -4")
    refuses({ 3, 4, activation = "sigmid" }, '"tanh", got "sigmid"')
    refuses({ 3, 4, dropout = 1 }, "a number in [0, 1), got 1")
    refuses({ 3, 4, bias = 1 }, "true or false, got 1")
    refuses("3, 4", "expected a table of options, got \"3, 4\"")
    assert.has_error(function() nn.rnn { 1 << 30, 1 << 30 } end)
  end)
end)

describe("randomness inside recurrent nets", function()
  local random_options = {
    { name = "dropout", dropout = 0.4 },
    { name = "variational dropout", dropout = 0.4, variational = true },
    { name = "recurrent dropout", recurrent_dropout = 0.4 },
    { name = "zoneout", zoneout = 0.4 },
    { name = "all of it, both ways, normed, with residuals", dropout = 0.3, variational = true,
      recurrent_dropout = 0.3, zoneout = 0.3, bidirectional = true, layer_norm = true, residual = true },
  }

  for _, cell in ipairs { "rnn", "lstm", "gru" } do
    for _, row in ipairs(random_options) do
      local options = { input = 3, hidden = 4, layers = 2 }
      for name, value in pairs(row) do
        options[name] = name ~= "name" and value or nil
      end
      if cell == "lstm" and options.zoneout then
        options.zoneout_cell = 0.2
      end

      -- The loss under masks that are the same each time.
      local function fixed(net)
        local seed = net.generator:state()
        return function(inputs)
          net.generator:restore(seed)
          return weighed(net(inputs.x, nil, { lengths = { 5, 3 } }))
        end
      end

      if gradients.is_double or not options.layer_norm then
        it(("(%s, %s) has the gradients of its fixed masks"):format(cell, row.name), function()
          local net = nn[cell](options):init { seed = 5 }
          local inputs = net:tensors()
          inputs.x = random(1, 5, 2, 3)
          assert.gradients_match(fixed(net), inputs,
            { samples = 10, epsilon = gradients.is_double and 5e-7 or 1e-3 })
        end)
      end

      it(("(%s, %s) acts in training only"):format(cell, row.name), function()
        local net, x = nn[cell](options):init { seed = 5 }, random(1, 5, 2, 3)
        local first, again = net(x), net(x)
        assert.same_values(first, again, 0)
        local tape <close> = saros.tape()
        tape:watch(x)
        local one, two = net(x):detach(), net(x):detach()
        assert.is_true((one - two):abs():max():item() > 0)
        tape:close()
        local _ <close> = saros.tape { training = false }
        assert.same_values(first, net(x):detach(), 0)
      end)
    end
  end

  it("zoneout keeps as many units as it says, and their mean outside training", function()
    local net = nn.rnn({ 1, 2000, zoneout = 0.25 }):init { seed = 1 }
    net:load((function(tensors)
      for _, tensor in pairs(tensors) do
        tensor:fill(0)
      end
      tensors.bias_ih_l0:fill(100) -- every new value is 1
      return tensors
    end)(net:tensors()))
    local x = saros.zeros(1, 1, 1)
    assert.same_values(saros.full({ 1, 1, 2000 }, 0.75), (net(x)), 1e-6)
    local _ <close> = saros.tape()
    local share = net(x):mean():item()
    assert.is_true(math.abs(share - 0.75) < 0.04, "share " .. share)
  end)
end)

describe("a state", function()
  local function some_state()
    local net = nn.chain { nn.lstm { 2, 3, layers = 2 }, nn.linear { 3, 2 }, nn.gru { 2, 4 } }
    return select(2, net:init({ seed = 1 })(random(1, 5, 3, 2)))
  end

  it("has its functions as methods, and shows its shapes", function()
    local state = some_state()
    assert.equal("{ { { (3, 3), (3, 3) }, { (3, 3), (3, 3) } }, [3] = { { (3, 4) } } }", tostring(state))
    local rows = state:rows(saros.ids { 2, 2 })
    assert.same_values(state[1][2][1][2], rows[1][2][1][1], 0)
    assert.same({ 1, 4 }, state:select(3)[3][1][1]:shape())
    assert.same_values(state[3][1][1][3], state:select(3)[3][1][1][1], 0)
  end)

  it("goes into a file and comes back", function()
    local state, path = some_state(), os.tmpname()
    assert(saros.safetensors.write(path, state:tensors "state."))
    local tensors = assert(saros.safetensors.read(path))
    os.remove(path)
    local back = nn.state.from(tensors, "state.")
    assert.equal(tostring(state), tostring(back))
    assert.same_values(state[1][2][2], back[1][2][2], 0)
    assert.same_values(state[3][1][1], back[3][1][1], 0)
  end)

  it("has no history once it is detached", function()
    local net, x = nn.gru({ 2, 3 }):init { seed = 1 }, random(1, 4, 1, 2)
    local tape <close> = saros.tape()
    local _, state = net(x)
    assert.has_error(function() tape:backward((state:detach()[1][1]):sum()) end)
  end)
end)

describe("a language model", function()
  it("hands the options of its layers on", function()
    local text = saros.data.text { string = "abc" }
    local given = { dropout = 0.1, variational = true, recurrent_dropout = 0.2, zoneout = 0.3,
      layer_norm = true, residual = true, learn_state = true, layers = 3 }
    local options = { vocabulary = text.vocabulary, hidden = 4 }
    for name, value in pairs(given) do
      options[name] = value
    end
    local lm = nn.language_model(options)
    for name, value in pairs(given) do
      assert.equal(value, lm.recurrent.o[name], name)
    end
    assert.equal(0.1, lm.dropout.p)
    assert.is_true(lm.dropout.variational)
  end)
end)

describe("tied weights", function()
  it("are one tensor under two names, learned and saved as one", function()
    local text = saros.data.text { string = ("the cat sat on the mat. "):rep(20) }
    local lm = nn.language_model {
      vocabulary = text.vocabulary, hidden = 16, layers = 1, cell = "lstm", tie = true, seed = 1,
    }
    assert.equal(lm.embedding.weight, lm.head.weight)
    local free = nn.language_model { vocabulary = text.vocabulary, hidden = 16, layers = 1, cell = "lstm" }
    assert.equal(free:count() - lm.head.weight:count(), lm:count())
    local before = saros.evaluate(lm, text, { batch = 1, length = 10 })
    saros.fit(lm, text, { batch = 4, length = 10, epochs = 5 })
    assert.is_true(saros.evaluate(lm, text, { batch = 1, length = 10 }) < before)
    local path = os.tmpname()
    assert(lm:save(path))
    local back = assert(saros.load(path))
    os.remove(path)
    assert.equal(back.embedding.weight, back.head.weight)
    assert.same_values(lm.head.weight, back.head.weight, 0)
  end)

  it("must have the same shape", function()
    local text = saros.data.text { string = "abc" }
    assert.error_matches(function()
      nn.language_model { vocabulary = text.vocabulary, hidden = 16, embedding = 8, tie = true }
    end, "expected embedding = hidden and no head with tie", 1, true)
    assert.error_matches(function() nn.linear({ 3, 4 }):tie("weight", saros.zeros(3, 4)) end,
      "tie: expected weight of shape (4, 3), got (3, 4)", 1, true)
    assert.error_matches(function() nn.linear({ 3, 4 }):tie("wight", saros.zeros(3, 4)) end,
      'got "wight"', 1, true)
  end)
end)
