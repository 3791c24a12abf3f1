-- What stands behind a row's end is never read: whatever it is, outputs, states
-- and gradients are those of the rows alone, and outputs are 0 there.

local gradients = require "spec.support.gradients"
local kinds = require "spec.support.recurrent_kinds"
require "spec.support.values"
local saros = require "saros"
local cells = require "saros.nn.cells.list"
local nn = saros.nn

local ROUNDING = gradients.is_double and 1e-12 or 1e-5
local T, B, I, H = 5, 4, 4, 4
local LENGTHS = { 5, 2, 0, 4 }
local MASK = require("saros.nn.steps").mask(LENGTHS, T)
local GARBAGE = { 0 / 0, math.huge, -1e30, -1 }

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- A copy of x (T, B, ...) that has other values behind the rows' ends.
local function dirty(x, value)
  local copy = x:clone()
  for row, length in ipairs(LENGTHS) do
    if length < T then
      copy:slice(2, row, row):slice(1, length + 1, T):fill(value)
    end
  end
  return copy
end

local function behind(x, row)
  return x:slice(2, row, row):slice(1, LENGTHS[row] + 1, T)
end

-- Modules that take lengths, by name: those of the other specs, and what is made of them.
local nets = {}
for name, kind in pairs(kinds.rows) do
  for layers = 1, 2 do
    nets[("%s, %d layers"):format(name, layers)] = kinds.build(kind, I, H, layers)
  end
end
for _, cell in ipairs(cells) do
  nets["residual stack of " .. cell] = nn[cell] { I, H, layers = 2, residual = true }
  nets["residual block of " .. cell] = nn.residual { nn.layer_norm { I }, nn[cell] { I, H } }
end
nets["dropout and zoneout"] = nn.lstm { I, H, layers = 2, dropout = 0.3, recurrent_dropout = 0.3, zoneout = 0.2,
  zoneout_cell = 0.2, residual = true }
nets["variational dropout"] = nn.gru { I, H, layers = 2, dropout = 0.3, variational = true, bidirectional = true }
nets["a head with biases"] = nn.chain { nn.gru { I, H }, nn.linear { H, 3 } }
nets["pointwise members alone"] = nn.chain { nn.linear { I, H }, saros.sigmoid, nn.layer_norm { H } }
nets["functions that 0 is bad for"] = nn.chain {
  nn.linear { I, H, bias = false }, saros.abs, saros.log, nn.linear { H, H }, nn.mingru { H, H }, saros.abs,
  saros.sqrt }
nets["blocks in a chain"] = nn.chain {
  nn.linear { I, H }, nn.dropout { 0.2 },
  nn.residual { nn.layer_norm { H }, nn.mingru { H, H } },
  nn.residual { nn.layer_norm { H }, nn.linear { H, 8 }, saros.relu, nn.linear { 8, H } },
  nn.layer_norm { H }, nn.linear { H, 3 } }
nets["windowed attention"] = nn.windowed_attention { I, 3, heads = 2 }
nets["windowed attention with residual, in a chain"] = nn.chain {
  nn.windowed_attention { I, 2, residual = true }, nn.lru { I, H } }
local Unaware = nn.module "unaware" -- it knows of no padding
Unaware.stateful = true
function Unaware:forward(x, state, given)
  local y, last = self.inner(x, state, given)
  return saros.exp(y), last
end
local unaware = Unaware.new()
unaware.inner = unaware:add_member("inner", nn.gru { I, H })
nets["a stateful module of one's own in a chain"] = nn.chain { unaware, nn.linear { H, 2 } }
for name, net in pairs(nets) do
  if not name:find "layers$" then
    net:init { seed = 5 }
  end
end

-- Outputs, states and all gradients by name. `weights` of the outputs may be
-- anything where padding is: that is the gradient that arrives there.
local function run(net, x, state, given, weights)
  local seeds = {}
  for name, generator in pairs(net:generators()) do
    seeds[name] = generator:state()
  end
  local tape <close> = saros.tape()
  local found = { x = x }
  for position, tensor in ipairs(state and kinds.leaves(state) or {}) do
    found["state " .. position] = tensor
  end
  for _, tensor in pairs(found) do
    tape:watch(tensor)
  end
  local y, last = net(x, state, given)
  local loss = (y * (weights or random(2, table.unpack(y:shape())))):sum()
  for position, tensor in ipairs(last and kinds.leaves(last) or {}) do
    loss = loss + (tensor * random(position + 2, table.unpack(tensor:shape()))):sum()
  end
  tape:backward(loss)
  for name, tensor in pairs(net:tensors()) do
    found[name] = tensor
  end
  for name, tensor in pairs(found) do
    found[name] = tensor:gradient() and tensor:gradient():clone() or nil
    tensor:clear_gradient()
  end
  for name, generator in pairs(net:generators()) do
    generator:restore(seeds[name])
  end
  return y:detach(), last and nn.state.detach(last), found
end

local function is_random(net)
  return next(net:generators()) ~= nil
end

for name, net in pairs(nets) do
  describe(("padding (%s)"):format(name), function()
    for what, given in pairs { lengths = { lengths = LENGTHS }, ["a mask"] = { mask = MASK } } do
      it(("is not read, nor is the gradient that arrives there (%s)"):format(what), function()
        local x = random(1, T, B, I)
        local y, last, expected = run(net, x, nil, given)
        assert.is_true(expected.x:abs():max():item() > 0)
        for _, value in ipairs(GARBAGE) do
          local weights = dirty(random(2, table.unpack(y:shape())), value)
          local again, state, found = run(net, dirty(x, value), nil, given, weights)
          assert.same_values(y, again, 0)
          for position, tensor in ipairs(last and kinds.leaves(last) or {}) do
            assert.same_values(tensor, kinds.leaves(state)[position], 0)
          end
          for key, gradient in pairs(expected) do
            assert.same_values(gradient, found[key], 0)
          end
          for row = 1, B do
            if LENGTHS[row] < T then
              assert.equal(0, behind(again, row):abs():max():item())
              assert.equal(0, behind(found.x, row):abs():max():item())
            end
          end
        end
      end)
    end

    if not is_random(net) then
      it("leaves rows what they are alone: outputs, states, gradients", function()
        local x, sums = random(1, T, B, I), {}
        local _, some = net(x)
        local state = some and nn.state.map(some, function(h) return h:detach() * 0.5 + 0.25 end)
        if name:find "attention" then -- a step is there or not
          state = nil
        end
        local y, last, expected = run(net, x, state, { lengths = LENGTHS })
        local weights = random(2, table.unpack(y:shape()))
        for row, length in ipairs(LENGTHS) do
          local function of_row(h)
            return h:slice(1, row, row)
          end
          if length > 0 then
            local function part(a)
              return a:slice(2, row, row):slice(1, 1, length):clone()
            end
            local tape <close> = saros.tape()
            local alone = tape:watch(part(x))
            local z, after = net(alone, state and nn.state.map(state, of_row))
            local loss = (z * part(weights)):sum()
            for position, tensor in ipairs(last and kinds.leaves(last) or {}) do
              local own = kinds.leaves(after)[position]
              assert.same_values(own:detach(), of_row(tensor), ROUNDING)
              loss = loss + (own * of_row(random(position + 2, table.unpack(tensor:shape())))):sum()
            end
            tape:backward(loss)
            assert.same_values(z:detach(), part(y), ROUNDING)
            assert.same_values(alone:gradient(), part(expected.x), 10 * ROUNDING)
          elseif state then
            for position, tensor in ipairs(kinds.leaves(last)) do
              assert.same_values(of_row(kinds.leaves(state)[position]), of_row(tensor), 0)
            end
          end
        end
        for key, tensor in pairs(net:tensors()) do
          sums[key] = tensor:gradient()
          tensor:clear_gradient()
          if not (key:find "initial" and not state) then -- of a row of no steps it is that of its state
            assert.same_values(sums[key] or saros.zeros(tensor:shape()),
              expected[key] or saros.zeros(tensor:shape()),
              100 * ROUNDING * math.max(1, expected[key] and expected[key]:abs():max():item() or 1))
          end
        end
      end)
    end

    if gradients.is_double and not is_random(net) and not name:find "bad for" then
      it("has the gradients that finite differences predict", function()
        local inputs = net:tensors()
        inputs.x = random(1, T, B, I)
        assert.gradients_match(function()
          local y, last = net(inputs.x, nil, { mask = MASK })
          return kinds.weighed(y, last or {})
        end, inputs, { samples = 6, epsilon = 5e-7 })
      end)
    end
  end)
end

describe("padding", function()
  local ids = saros.generator(3):categorical(saros.ones(T, B, 7))

  -- Ids that no table has, where padding is.
  local function strange(id)
    local copy = ids:clone()
    for row, length in ipairs(LENGTHS) do
      for t = length + 1, T do
        copy[t][row] = id
      end
    end
    return copy
  end

  it("may be any ids: embeddings, stacks that look up, language models", function()
    local embedding = nn.embedding { 7, H }:init { seed = 1 }
    local text = saros.data.text { string = "abcdefg" }
    for name, model in pairs {
      embedding = embedding,
      chain = nn.chain { nn.embedding { 7, H }, nn.gru { H, H }, nn.linear { H, 2 } }:init { seed = 1 },
      ["language model"] = nn.language_model { vocabulary = text.vocabulary, hidden = H, dropout = 0.2 },
      ["an lru that looks up"] = nn.language_model { vocabulary = text.vocabulary, hidden = H, cell = "lru",
        embedding = H + 1, layers = 1 },
      ["one that looks up"] = nn.language_model { vocabulary = text.vocabulary, hidden = H, cell = "lstm" },
      ["a residual one"] = nn.language_model { vocabulary = text.vocabulary, hidden = H, residual = true,
        cell = "mingru" },
    } do
      local results = {}
      for n, id in ipairs { 1, 7, 8, 1000000 } do
        local tape <close> = saros.tape { training = false }
        local y = model(strange(id), nil, { lengths = LENGTHS })
        local weights = dirty(random(2, table.unpack(y:shape())), n == 1 and 1 or 0 / 0)
        tape:backward((y * weights):sum())
        results[n] = { y = y:detach() }
        for key, tensor in pairs(model:tensors()) do
          results[n][key] = tensor:gradient():clone()
          tensor:clear_gradient()
        end
        for key, value in pairs(results[1]) do
          assert.same_values(value, results[n][key], 0)
        end
        assert.equal(0, behind(results[n].y, 2):abs():max():item(), name)
      end
    end
  end)

  it("of sequences and their memory changes no label and no translation", function()
    local letters = saros.data.text({ string = "abcdefg" }).vocabulary
    local lengths = { 5, 2, 1, 4 }
    local function padded(id)
      local copy = strange(id)
      copy[1][3] = 4
      return copy
    end
    local classifier = nn.classifier { vocabulary = letters, labels = { "a", "b" }, hidden = H, seed = 1 }
    local translator = nn.encoder_decoder { source = 7, target = 7, hidden = H, cell = "gru", seed = 1 }
    local labels, losses = classifier(padded(1), lengths), {}
    assert.same_values(labels, classifier(padded(9), lengths), 0)
    for n, id in ipairs { 1, 9 } do
      local tape <close> = saros.tape()
      local loss = translator:loss {
        sources = padded(id), source_lengths = lengths, targets = padded(id), target_lengths = lengths }
      tape:backward(loss)
      losses[n] = { loss = loss:detach() }
      for key, tensor in pairs(translator:tensors()) do
        losses[n][key] = tensor:gradient():clone()
        tensor:clear_gradient()
      end
    end
    for key, value in pairs(losses[1]) do
      assert.same_values(value, losses[2][key], 0)
    end
    local set = saros.data.labelled({ a = { saros.ones(3, I) }, b = { saros.zeros(3, I) } }, { valid = 0 })
    local numbers = nn.classifier { features = set.features, labels = set.labels, hidden = H, seed = 1 }
    local x = random(1, T, B, I)
    assert.same_values(numbers(dirty(x, 1), { 5, 2, 1, 4 }):slice(1, 4, 4),
      numbers(dirty(x, 0 / 0), { 5, 2, 1, 4 }):slice(1, 4, 4), 0)
  end)

  for _, kind in ipairs { "dot", "scaled_dot", "general", "additive" } do
    it(("of keys and values is not looked at (%s)"):format(kind), function()
      local attention = nn.attention { I, kind = kind }:init { seed = 1 }
      local lengths = { 5, 2, 1, 4 }
      local mask = require("saros.nn.steps").mask(lengths, T)
      local query, keys, values = random(1, 2, B, I), random(2, T, B, I), random(3, T, B, 3)
      local function look(garbage, given)
        local k, v = dirty(keys, garbage), given.values and dirty(values, garbage)
        for _, x in ipairs { k, v } do
          x:slice(2, 3, 3):slice(1, 1, 1):fill(1)
        end
        local tape <close> = saros.tape()
        tape:watch(k)
        given.values = v and tape:watch(v)
        local context, weights = attention(query, k, given)
        tape:backward((context * random(4, table.unpack(context:shape()))):sum())
        local found = { context:detach(), weights:detach(), k:gradient(), v and v:gradient() or nil }
        for _, tensor in pairs(attention:tensors()) do
          found[#found + 1] = tensor:gradient():clone()
          tensor:clear_gradient()
        end
        return found
      end
      for _, of_values in ipairs { false, true } do
        local clean = look(1, { lengths = lengths, values = of_values or nil })
        for _, garbage in ipairs { 0 / 0, math.huge } do
          for n, value in ipairs(look(garbage, { mask = mask, values = of_values or nil })) do
            assert.same_values(clean[n], value, 0)
          end
        end
      end
    end)
  end

  it("is hidden in a step with a state that is not finite", function()
    local net = nn.gru({ I, H }):init { seed = 1 }
    local y = net(random(1, 2, 1, I), { { saros.full({ 1, H }, 0 / 0) } }, { reset = saros.tensor { { 1 }, { 0 } } })
    assert.same_values((net(random(1, 2, 1, I))), y, 0)
  end)

  it("is hidden in sequences of a step function, whose state is as it is", function()
    local W = random(1, I, H)
    local function cell(x, h)
      return saros.tanh(x:matmul(W) + h):log() -- of 0 and less
    end
    local x, h = dirty(random(2, T, B, I):abs(), 0 / 0), random(3, B, H):abs()
    local tape <close> = saros.tape()
    tape:watch(x)
    tape:watch(h)
    local y, last = nn.unroll(function(v, state) return cell(v:abs(), state:abs() + 1) end, x, h, { mask = MASK })
    tape:backward(y:sum() + last:sum())
    assert.same_values(h:slice(1, 3, 3), last:slice(1, 3, 3):detach(), 0)
    for row = 2, B do
      assert.equal(0, behind(y, row):abs():max():item())
      assert.equal(0, behind(x:gradient(), row):abs():max():item())
    end
  end)

  it("is told by masks of the right shape, of 1 and 0", function()
    local x = random(1, T, B, I)
    for _, net in ipairs { nn.gru { I, H }, nn.windowed_attention { I, 2 }, nn.chain { nn.gru { I, H } } } do
      net:init { seed = 1 }
      for what, given in pairs { ["a mask"] = { mask = saros.ones(T, 3) }, reset = { reset = saros.zeros(B, T) } } do
        assert.error_matches(function() net(x, nil, given) end,
          ("expected %s of shape (5, 4), got"):format(what), 1, true)
      end
      for what, given in pairs { ["a mask"] = { mask = MASK * 0.5 }, reset = { reset = MASK * (0 / 0) } } do
        assert.error_matches(function() net(x, nil, given) end, ("expected %s of 1 and 0, got"):format(what), 1, true)
      end
    end
  end)
end)
