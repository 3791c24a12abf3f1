-- Pieces that are packed into the rows of a batch are read as they are alone: in
-- both directions, by all layers of a stack, from the learned state if there is one.

local gradients = require "spec.support.gradients"
local kinds = require "spec.support.recurrent_kinds"
local values = require "spec.support.values"
local saros = require "saros"
local fused = require "saros.nn.cells.list"
local nn = saros.nn

local ROUNDING = gradients.is_double and 1e-12 or 1e-5
local T, B, I, H = 9, 4, 3, 4

-- The pieces of each row: first and last step. Rows 2 and 4 are padded.
local PIECES = {
  { { 1, 4 }, { 5, 9 } }, { { 1, 2 }, { 3, 5 }, { 6, 6 } }, { { 1, 9 } }, { { 1, 1 }, { 2, 2 }, { 3, 7 } },
}
local LENGTHS, RESET = {}, saros.zeros(T, B)
for row, pieces in ipairs(PIECES) do
  for _, piece in ipairs(pieces) do
    RESET[piece[1]][row] = 1
    LENGTHS[row] = piece[2]
  end
end
local MASK = require("saros.nn.steps").mask(LENGTHS, T)
RESET[8][2], RESET[9][4] = 1, 1 -- where nothing is read

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local nets = {}
for name, kind in pairs(kinds.rows) do
  for layers = 1, 3 do
    nets[("%s, %d layers"):format(name, layers)] = kinds.build(kind, I, H, layers)
  end
end
for _, cell in ipairs(fused) do
  for _, learn_state in ipairs { false, true } do
    nets[("%s, both ways%s"):format(cell, learn_state and ", from a learned state" or "")] =
      kinds.build({ new = nn[cell], options = { bidirectional = true, learn_state = learn_state } }, I, H, 2)
  end
end
nets["windowed attention"] = nn.chain { nn.linear { I, H }, nn.windowed_attention { H, 3 } }:init { seed = 1 }
nets["a chain"] = nn.chain { nn.residual { nn.gru { I, I, learn_state = true } }, saros.tanh,
  nn.lstm { I, H, bidirectional = true }, nn.linear { 2 * H, 2 } }:init { seed = 1 }

-- The states of a net by the direction that left them: "1.2" is that of the
-- reverse direction of the first layer.
local function is_reverse(net, name)
  for position, direction in ipairs(net.directions or {}) do
    if direction.reverse and name:find(("^%d%%."):format(position)) then
      return true
    end
  end
  return net.steps ~= nil and name:find "^3%.2%." ~= nil
end

local function gradients_of(net)
  local found = {}
  for name, tensor in pairs(net:tensors()) do
    found[name] = tensor:gradient() and tensor:gradient():clone() or saros.zeros(tensor:shape())
    tensor:clear_gradient()
  end
  return found
end

for name, net in pairs(nets) do
  local holds_more = name:find "attention" -- its state has what is before a reset, and does not look at it

  describe(("pieces in a row (%s)"):format(name), function()
    it("have the outputs, the states and the gradients that they have alone", function()
      local x = random(1, T, B, I)
      local packed, y, last, weights
      do
        local tape <close> = saros.tape()
        tape:watch(x)
        y, last = net(x, nil, { lengths = LENGTHS, reset = RESET })
        weights = random(2, table.unpack(y:shape()))
        local loss = (y * weights):sum()
        for _, tensor in pairs(holds_more and {} or nn.state.tensors(last)) do -- of the last piece, or the first
          loss = loss + tensor:sum()
        end
        tape:backward(loss)
        packed = gradients_of(net)
        y, last = y:detach(), nn.state.tensors(nn.state.detach(last))
      end
      for row, pieces in ipairs(PIECES) do
        for position, piece in ipairs(pieces) do
          local function part(a)
            return a:slice(2, row, row):slice(1, piece[1], piece[2]):clone()
          end
          local alone = part(x)
          local tape <close> = saros.tape()
          local z, after = net(tape:watch(alone))
          local loss = (z * part(weights)):sum()
          assert.same_values(z:detach(), part(y), ROUNDING)
          for key, own in pairs(nn.state.tensors(after)) do
            if not holds_more and position == (is_reverse(net, key) and 1 or #pieces) then
              loss = loss + own:sum()
              assert.same_values(own:detach(), last[key]:slice(1, row, row), ROUNDING)
            end
          end
          tape:backward(loss)
          assert.same_values(alone:gradient(), part(x:gradient()), 20 * ROUNDING)
        end
      end
      for key, gradient in pairs(gradients_of(net)) do
        local size = math.max(1, gradient:abs():max():item())
        assert.same_values(gradient, packed[key], 100 * ROUNDING * size)
      end
    end)

    if not name:find "both ways" and not (net.steps and name ~= "windowed attention") then
      it("are cut off from a state that is given, by masks as by lengths", function()
        local x = random(1, T, B, I)
        local y, last = net(x, nil, { lengths = LENGTHS, reset = RESET })
        local state = nn.state.map(last, function(h) return h * 0 + 1 end)
        assert.same_values(y, (net(x, state, { mask = MASK, reset = RESET })), ROUNDING)
      end)
    end
  end)
end

describe("a reset", function()
  it("is where a piece begins, for either walk", function()
    local reset = saros.tensor { 0, 1, 0, 0, 1, 0, 0, 1 }:reshape(8, 1)
    local mask = saros.tensor { 1, 1, 1, 0, 0, 1, 1, 0 }:reshape(8, 1)
    local function keeps(...)
      return require("saros.core").keep(...):reshape(-1):totable()
    end
    assert.same({ 1, 0, 1, 1, 0, 1, 1, 0 }, keeps(reset))
    assert.same({ 0, 1, 1, 0, 1, 1, 0, 1 }, keeps(reset, nil, true))
    assert.same({ 1, 0, 1, 1, 1, 0, 1, 1 }, keeps(reset, mask))
    assert.same({ 0, 1, 0, 1, 1, 1, 1, 1 }, keeps(reset, mask, true))
  end)

  it("goes to the learned state in sessions, as in whole sequences", function()
    for _, cell in ipairs(fused) do
      local net = kinds.build({ new = nn[cell], options = { learn_state = true } }, I, H, 2)
      local x, reset = random(1, 6, 2, I), saros.zeros(6, 2)
      reset[4][2] = 1
      local y = net(x, nil, { reset = reset })
      local session = net:session { streams = 2 }
      for t = 1, 6 do
        if t == 4 then
          session:reset(2)
        end
        assert.same_values(y[t], session:step(x[t]), 10 * ROUNDING)
      end
    end
  end)

  it("goes to the learned state in learners, as in whole sequences", function()
    local function build()
      local model = nn.chain { nn.gru { I, H, learn_state = true }, nn.linear { H, 1 } }:init { seed = 1 }
      saros.generator(3):fill_normal(model:tensors()["0.initial_h_l0"], 0, 1)
      return model
    end
    local x, targets, reset = random(1, 8, 2, I), random(2, 8, 2, 1), saros.zeros(8, 2)
    reset[5][2] = 1
    local model, twin = build(), build()
    local y = twin(x, nil, { reset = reset })
    local learner = model:learner { streams = 2, window = 8, clip = 1e9,
      optimizer = saros.optim.sgd(model:parameters(), { lr = 1e-2 }) }
    for t = 1, 8 do
      if t == 5 then
        learner:reset(2)
      end
      assert.same_values(y[t], (learner:learn(x[t], targets[t])), 10 * ROUNDING)
    end
    local tape <close> = saros.tape()
    tape:backward(saros.mse((twin(x, nil, { reset = reset })), targets))
    for name, tensor in pairs(twin:tensors()) do
      local moved = tensor:detach() - tensor:gradient() * 1e-2
      assert.same_values(moved, model:tensors()[name], 10 * ROUNDING)
    end
  end)

  it("goes to the learned state with the same gradients in segments", function()
    local model = kinds.build({ new = nn.lstm, options = { learn_state = true } }, I, H, 2)
    local window = { inputs = random(1, T, B, I), reset = RESET }
    local function loss(part, state, share)
      local y, last = model(part.inputs, state, { reset = part.reset })
      return (y * y):mean() * share, last
    end
    local tape <close> = saros.tape()
    tape:backward((loss(window, nil, 1)))
    tape:close()
    local expected = gradients_of(model)
    for _, segment in ipairs { 1, 4 } do
      saros.backward_in_segments(model, window, nil, { segment = segment, loss = loss })
      for key, gradient in pairs(gradients_of(model)) do
        assert.same_values(expected[key], gradient, 10 * ROUNDING)
      end
    end
  end)

  it("costs no gradient where the first state is not read", function()
    local net = kinds.build({ new = nn.gru, options = { learn_state = true } }, I, H, 1)
    local x = random(1, T, B, I)
    local _, state = net(x)
    local tape <close> = saros.tape()
    tape:backward((net(x, state, { reset = saros.zeros(T, B) })):sum())
    assert.is_nil(net:tensors().initial_h_l0:gradient())
  end)

  it("has the same bits with any number of threads", function()
    local threads = saros.threads()
    for _, cell in ipairs { "lstm", "gru", "mingru", "lru" } do
      local net = kinds.build({ new = nn[cell], options = { learn_state = true, bidirectional = true } }, 32, 64, 2)
      local x, reset = random(1, 40, 40, 32), saros.generator(4):uniform({ 40, 40 }):gt(0.9)
      local prints = {}
      for _, n in ipairs { 1, 2, 5 } do
        saros.threads(n)
        local tape <close> = saros.tape()
        local y, last = net(x, nil, { reset = reset })
        tape:backward(kinds.weighed(y, last))
        prints[#prints + 1] = values.fingerprint { y, gradients_of(net) }
      end
      saros.threads(threads)
      assert.equal(prints[1], prints[2])
      assert.equal(prints[1], prints[3])
    end
  end)
end)

-- Every cell with every option around it, and every way to tell of rows and pieces.
if gradients.is_double then
  describe("the gradients of rows and pieces", function()
    local lengths, reset = { 5, 0, 3 }, saros.tensor { { 0, 0, 1 }, { 0, 1, 0 }, { 1, 0, 1 }, { 0, 0, 0 }, { 1, 0, 1 } }
    local mask = saros.tensor { { 1, 0, 1 }, { 1, 0, 0 }, { 1, 1, 1 }, { 0, 1, 1 }, { 1, 0, 0 } }
    local ways = {
      lengths = { lengths = lengths }, mask = { mask = mask }, reset = { reset = reset },
      ["lengths and reset"] = { lengths = lengths, reset = reset },
      ["mask and reset"] = { mask = mask, reset = reset },
    }
    local cells = {
      tanh = { new = nn.rnn }, relu = { new = nn.rnn, activation = "relu" }, lstm = { new = nn.lstm, peepholes = true },
      ["lstm with a projection"] = { new = nn.lstm, projection = 4 }, ["gru"] = { new = nn.gru },
      ["gru, reset before"] = { new = nn.gru, reset = "before" }, mingru = { new = nn.mingru },
      minlstm = { new = nn.minlstm }, lru = { new = nn.lru, max_phase = 1 },
      ["lstm with layer norm"] = { new = nn.lstm, layer_norm = true },
      ["a cell of one's own"] = { new = nn.recurrent, cell = kinds.rows["a cell of one's own"].options.cell },
    }
    for name, cell in pairs(cells) do
      for number = 0, 7 do
        local options = { bidirectional = number & 1 > 0, residual = number & 2 > 0, learn_state = number & 4 > 0 }
        for key, value in pairs(cell) do
          options[key] = key ~= "new" and value or nil
        end
        local input = options.bidirectional and 8 or 4
        it(("are what finite differences predict (%s, %d)"):format(name, number), function()
          local net = kinds.build({ new = cell.new, options = options }, input, 4, 2)
          local inputs = net:tensors()
          inputs.x = random(1, 5, 3, input)
          for _, given in pairs(ways) do
            assert.gradients_match(function()
              return kinds.weighed(net(inputs.x, nil, given))
            end, inputs, { samples = 2, epsilon = options.layer_norm and 5e-7 or nil })
          end
        end)
      end
    end
  end)
end
