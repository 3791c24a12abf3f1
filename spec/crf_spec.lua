-- Conditional random fields against the enumeration of all tags.

require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local ROUNDING = saros.info().real == "double" and 1e-11 or 1e-4

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local function build(L, seed)
  local net = nn.crf { L }:init { seed = 1 }
  for n, tensor in ipairs(net:parameters()) do
    saros.generator(10 * seed + n):fill_normal(tensor)
  end
  return net
end

local function score(net, emissions, row, tags)
  local sum = net.start_transitions[tags[1]] + net.end_transitions[tags[#tags]]
  for t, tag in ipairs(tags) do
    sum = sum + emissions[t][row][tag] + (t > 1 and net.transitions[tags[t - 1]][tag] or 0)
  end
  return sum
end

-- All sequences of T tags, in the order of their ids: a function for each.
local function each_sequence(T, L, fn)
  local tags = {}
  local function extend(t)
    if t > T then
      return fn(tags)
    end
    for tag = 1, L do
      tags[t] = tag
      extend(t + 1)
    end
  end
  extend(1)
end

-- The log of the sum over all sequences, and the best one with its score.
local function enumerated(net, emissions, row, T, L)
  local scores, best, highest = {}, nil, -math.huge
  each_sequence(T, L, function(tags)
    local here = score(net, emissions, row, tags)
    scores[#scores + 1] = here
    if here > highest then
      best, highest = table.move(tags, 1, T, 1, {}), here
    end
  end)
  return saros.tensor(scores):logsumexp():item(), best, highest
end

describe("a conditional random field", function()
  it("has the loss and the best tags that enumeration finds", function()
    for seed, sizes in ipairs { { 1, 3 }, { 2, 2 }, { 4, 3 }, { 5, 1 }, { 3, 5 } } do
      local T, L = table.unpack(sizes)
      local net, emissions = build(L, seed), random(seed, T, 2, L) * 2
      local lists = {}
      for t = 1, T do
        lists[t] = { (t * seed) % L + 1, (t + seed) % L + 1 }
      end
      local tags = saros.ids(lists)
      for _, lengths in ipairs { false, { T, math.max(1, T - 1) } } do
        local given = lengths and { lengths = lengths } or nil
        local loss, rows = net:loss(emissions, tags, given)
        local best, scores = net(emissions, nil, given)
        local total, count = 0, 0
        for row = 1, 2 do
          local length = lengths and lengths[row] or T
          local all, first, highest = enumerated(net, emissions, row, length, L)
          local own = {}
          for t = 1, length do
            own[t] = lists[t][row]
          end
          assert.near(all - score(net, emissions, row, own), rows[row], ROUNDING)
          assert.near(highest, scores[row], ROUNDING)
          local found = best:select(2, row):slice(1, 1, length):totable()
          assert.same(first, found)
          total, count = total + rows[row], count + length
        end
        assert.near(total / count, loss:item(), ROUNDING)
      end
    end
  end)

  it("has the gradients that finite differences predict", function()
    local net, T, L = build(3, 1), 5, 3
    local inputs = net:tensors()
    inputs.x = random(2, T, 3, L)
    local tags = saros.ids { { 1, 2, 3 }, { 3, 3, 1 }, { 1, 2, 2 }, { 2, 1, 1 }, { 3, 1, 2 } }
    local weights = saros.tensor { 1, -0.5, 2 }
    for _, given in ipairs { {}, { lengths = { 5, 1, 3 } } } do
      assert.gradients_match(function() return (net:loss(inputs.x, tags, given)) end, inputs)
      assert.gradients_match(function()
        local _, rows = net:loss(inputs.x, tags, given)
        return (rows * weights):sum()
      end, inputs)
    end
  end)

  it("keeps its accuracy over long rows and large scores", function()
    local net, T, L = build(4, 2), 3000, 4
    local emissions = random(3, T, 1, L) * 50
    local ids = {}
    for t = 1, T do
      ids[t] = { t % L + 1 }
    end
    -- the log of the sum over all tags by the plain forward algorithm
    local alpha = net.start_transitions + emissions[1][1]
    for t = 2, T do
      alpha = (alpha:reshape(L, 1) + net.transitions):logsumexp(1) + emissions[t][1]
    end
    local all = (alpha + net.end_transitions):logsumexp():item()
    local own = {}
    for t = 1, T do
      own[t] = ids[t][1]
    end
    local _, rows = net:loss(emissions, saros.ids(ids))
    local expected = all - score(net, emissions, 1, own)
    assert.near(1, rows[1] / expected, saros.info().real == "double" and 1e-12 or 1e-4)
  end)

  it("reads nothing behind the ends of rows, and no tags there", function()
    local net, emissions = build(3, 1), random(1, 4, 2, 3)
    emissions:slice(2, 2, 2):slice(1, 3, 4):fill(0 / 0)
    local tags = saros.ids { { 1, 2 }, { 2, 3 }, { 3, 1 }, { 1, 1 } }
    emissions:trainable(true)
    local tape <close> = saros.tape()
    local loss, rows = net:loss(emissions, tags, { lengths = { 4, 2 } })
    local _, alone = net:loss(emissions:slice(2, 2, 2):slice(1, 1, 2), tags:slice(2, 2, 2):slice(1, 1, 2))
    assert.same_values(alone, rows:slice(1, 2, 2), 0)
    tape:backward(loss)
    assert.equal(0, emissions:gradient():slice(2, 2, 2):slice(1, 3, 4):abs():sum():item())
    assert.is_true(emissions:gradient():isfinite():min():item() == 1)
    assert.same({ 1, 1 }, net(emissions, nil, { lengths = { 4, 2 } }):select(2, 2):slice(1, 3, 4):totable())
  end)

  it("gives a forbidden pair an infinite loss without a gradient, and never chooses it", function()
    local net = build(2, 1)
    net.transitions:select(1, 1):slice(1, 2, 2):fill(-math.huge)
    local emissions = saros.tensor { { { 9, 0 } }, { { 0, 9 } } }
    local _, rows = net:loss(emissions, saros.ids { { 1 }, { 2 } })
    assert.equal(math.huge, rows[1])
    assert.not_same({ { 1 }, { 2 } }, net(emissions):totable())
    net.transitions:trainable(true)
    local tape <close> = saros.tape()
    tape:backward((net:loss(emissions, saros.ids { { 1 }, { 2 } })))
    assert.equal(0, net.transitions:gradient():abs():sum():item())
  end)

  it("learns what a classifier of single steps cannot", function()
    -- tags alternate, and the input tells nothing but the first one
    local crf, linear = nn.crf { 2 }:init { seed = 1 }, nn.linear { 2, 2 }:init { seed = 2 }
    local list = { linear:parameters()[1], linear:parameters()[2], table.unpack(crf:parameters()) }
    local adam = saros.optim.adam(list, { lr = 0.1 })
    local x, tags = saros.zeros(6, 2, 2), {}
    for t = 1, 6 do
      tags[t] = { t % 2 + 1, (t + 1) % 2 + 1 }
    end
    x:slice(1, 1, 1):slice(2, 1, 1):slice(3, 1, 1):fill(1)
    x:slice(1, 1, 1):slice(2, 2, 2):slice(3, 2, 2):fill(1)
    tags = saros.ids(tags)
    for _ = 1, 60 do
      local tape <close> = saros.tape()
      tape:backward((crf:loss(linear(x), tags)))
      adam:step()
    end
    assert.same(tags:totable(), crf(linear(x)):totable())
    assert.is_true((crf:loss(linear(x), tags)):item() < 0.05)
  end)

  it("says what does not fit", function()
    local net, x = build(3, 1), random(1, 4, 2, 3)
    local function fails(message, ...)
      local arguments = table.pack(...)
      assert.error_matches(function() net:loss(table.unpack(arguments, 1, arguments.n)) end, message)
    end
    local tags = saros.ids { { 1, 2 }, { 2, 3 }, { 3, 1 }, { 1, 1 } }
    fails("crf: expected emissions of shape %(T, B, 3%), got a tensor %(4, 2, 2%)", random(1, 4, 2, 2), tags)
    fails("crf_loss: expected tags of shape %(4, 2%), got %(3, 2%)", x, tags:slice(1, 1, 3))
    fails("crf_loss: expected tags in 1%.%.3, got 4 at %[2, 1%]", x,
      saros.ids { { 1, 1 }, { 4, 1 }, { 1, 1 }, { 1, 1 } })
    fails("crf_loss: expected lengths in 1%.%.4, got 0 for row 2", x, tags, { lengths = { 4, 0 } })
    fails("crf: expected rows of one sequence each, got reset", x, tags, { reset = saros.zeros(4, 2) })
    assert.error_matches(function()
      core.crf_loss(x, tags, { transitions = saros.zeros(3, 2), start = saros.zeros(3), stop = saros.zeros(3) })
    end, "crf_loss: expected transitions of shape %(3, 3%), got %(3, 2%)")
    assert.error_matches(function()
      core.crf_best(x, { transitions = saros.zeros(3, 3), start = saros.zeros(2), stop = saros.zeros(3) })
    end, "crf_best: expected start of shape %(3%), got %(2%)")
    assert.equal("crf of 3 tags", tostring(net))
  end)
end)

describe("a session of a conditional random field", function()
  it("is refused, as its tags are those of whole sequences", function()
    for _, net in ipairs { nn.crf { 3 }, nn.chain { nn.linear { 2, 3 }, nn.crf { 3 } } } do
      net:init { seed = 1 }
      for _, use in ipairs { "session", "program", "learner" } do
        assert.error_matches(function() net[use](net) end, "program: expected a step made of operations on features, "
          .. "got nn.crf, which chooses the tags of a whole sequence at once; "
          .. net.kind .. " trains as it is", 1, true)
      end
    end
  end)
end)
