-- Finite-state cells: the operation against a loop of tensor operations, and the layer.

require "spec.support.gradients"
require "spec.support.values"
local c = require "spec.support.c_files"
local files = require "spec.support.files"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local ROUNDING = c.is_double and 1e-12 or 1e-5
local T, B, V, HEADS, N = 7, 2, 4, 2, 3

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- A mask with a hole and padding, a reset at a masked step, which counts at the next one.
local MASK = { { 1, 1 }, { 1, 1 }, { 0, 1 }, { 1, 1 }, { 1, 1 }, { 1, 0 }, { 0, 0 } }
local RESET = { { 0, 0 }, { 0, 0 }, { 1, 0 }, { 0, 1 }, { 0, 0 }, { 0, 1 }, { 0, 0 } }
local WALKS = { {}, { mask = MASK }, { reset = RESET }, { mask = MASK, reset = RESET } }

local IDS = saros.ids { { 1, 4 }, { 2, 2 }, { 3, 1 }, { 1, 1 }, { 4, 2 }, { 2, 3 }, { 1, 4 } }

local function tensors(o)
  return { heads = HEADS, states = N, pointers = o.pointers, soft = o.soft, mask = o.mask and saros.tensor(o.mask),
    reset = o.reset and saros.tensor(o.reset) }
end

-- Pointers at the states that they begin with, (B, HEADS, P, N).
local function start(P)
  local places = {}
  for p = 1, P do
    places[p] = P == N and p or 1
  end
  return core.one_hot(saros.ids(places), N) + saros.zeros(B, HEADS, 1, 1)
end

local function column(list, t)
  return saros.tensor(list)[t]:reshape(B, 1, 1, 1)
end

-- Step by step, from operations that the library has anyway.
local function naive(logits, ids, state, o)
  local P, list = o.pointers, {}
  local s = state and state:reshape(B, HEADS, P, N) or start(P)
  local keep = o.reset and core.keep(saros.tensor(o.reset), o.mask and saros.tensor(o.mask)):totable()
  for t = 1, T do
    local z = (ids and core.embedding(logits, ids[t]) or logits[t]):reshape(B, HEADS, N, N)
    local m = z:softmax()
    if not o.soft then
      m = m + (core.one_hot(z:argmax(-1), N) - m):detach()
    end
    if keep then
      s = core.where(column(keep, t), s, start(P))
    end
    local after = s:matmul(m)
    list[t] = after
    if o.mask then
      local counts = column(o.mask, t)
      s, list[t] = core.where(counts, after, s), after * counts
    else
      s = after
    end
  end
  return core.stack(list):reshape(T, B, HEADS * P * N), s:reshape(B, -1)
end

-- One-hots of given states, (B, HEADS P N).
local function one_hots(seed, P)
  local generator, list = saros.generator(seed), {}
  for i = 1, B * HEADS * P do
    list[i] = generator:integer(N)
  end
  return core.one_hot(saros.ids(list), N):reshape(B, -1)
end

-- Values and gradients of both, with a loss that weighs every result.
local function compare(logits, ids, state, o)
  local P = o.pointers
  local weigh, weigh_last = random(5, T, B, HEADS * P * N), random(6, B, HEADS * P * N)
  local function gradients(fn, given)
    local z, s = logits:clone():trainable(true), state:clone():trainable(true)
    local tape <close> = saros.tape()
    local y, last = fn(z, ids, s, given)
    tape:backward((y * weigh):sum() + (last * weigh_last):sum())
    return y, last, z:gradient(), s:gradient()
  end
  local expected, got = { gradients(naive, o) }, { gradients(core.finite, tensors(o)) }
  for i = 1, 4 do
    assert.same_values(expected[i], got[i], ROUNDING)
  end
  assert.same_values((naive(logits, ids, nil, o)), (core.finite(logits, ids, nil, tensors(o))), ROUNDING)
end

local function each_case(fn)
  for _, pointers in ipairs { 1, N } do
    for _, walk in ipairs(WALKS) do
      fn { pointers = pointers, mask = walk.mask, reset = walk.reset }
    end
  end
end

describe("a finite-state cell", function()
  it("walks and has the straight-through gradient of a loop of tensor operations", function()
    each_case(function(o)
      compare(random(1, V, HEADS * N * N), IDS, one_hots(3, o.pointers), o)
      compare(random(2, T, B, HEADS * N * N), nil, one_hots(4, o.pointers), o)
    end)
  end)

  it("is the same loop in its soft form", function()
    each_case(function(o)
      o.soft = true
      compare(random(1, V, HEADS * N * N), IDS, random(3, B, HEADS * o.pointers * N), o)
      compare(random(2, T, B, HEADS * N * N), nil, random(4, B, HEADS * o.pointers * N), o)
    end)
  end)

  it("has the gradients that finite differences predict in its soft form", function()
    each_case(function(o)
      o.soft = true
      local given = tensors(o)
      local inputs = { table = random(1, V, HEADS * N * N), steps = random(2, T, B, HEADS * N * N),
        state = random(3, B, HEADS * o.pointers * N) }
      assert.gradients_match(function()
        local y, last = core.finite(inputs.table, IDS, inputs.state, given)
        local z = core.finite(inputs.steps, nil, last, given)
        return (y * y * random(4, T, B, 1)):sum() + (z * random(5, T, B, HEADS * o.pointers * N)):sum()
      end, inputs)
    end)
  end)

  it("takes the first of equal logits, and the first NaN before any number", function()
    local function after(...)
      local y = core.finite(saros.tensor { ... }:reshape(1, 1, 9), nil, nil, { states = 3 })
      return y:reshape(3):argmax():item()
    end
    assert.equal(1, after(2, 2, 2, 0, 0, 0, 0, 0, 0))
    assert.equal(2, after(1, 2, 2, 0, 0, 0, 0, 0, 0))
    assert.equal(2, after(1, 0 / 0, math.huge, 0, 0, 0, 0, 0, 0))
    assert.equal(3, after(1, 0, math.huge, 0, 0, 0, 0, 0, 0))
  end)

  it("computes the same bits with any number of threads", function()
    local threads, found = saros.info().threads, nil
    local ids = {}
    for i = 1, 60 * 64 do
      ids[i] = saros.generator(i):integer(9)
    end
    ids = saros.ids(ids):reshape(60, 64)
    for _, count in ipairs { 1, 2, 3 } do
      saros.threads(count)
      for _, soft in ipairs { false, true } do
        local z = random(1, 9, 8 * 8 * 8):trainable(true)
        local tape <close> = saros.tape()
        local y, last = core.finite(z, ids, nil, { heads = 8, states = 8, pointers = 8, soft = soft })
        tape:backward((y * random(2, 1, 1, 8 * 8 * 8)):sum())
        local bits = { y:digest(), last:digest(), z:gradient():digest() }
        found = found or {}
        found[soft] = found[soft] or bits
        assert.same(found[soft], bits)
      end
    end
    saros.threads(threads)
  end)

  it("refuses what does not fit", function()
    local function fails(message, ...)
      local arguments = table.pack(...)
      assert.error_matches(function() core.finite(table.unpack(arguments, 1, arguments.n)) end, message)
    end
    local z, o = random(1, V, 18), { heads = 2, states = 3 }
    fails("finite: expected logits of shape %(V, 18%), got %(4, 9%)", random(1, V, 9), IDS, nil, o)
    fails("finite: expected logits of shape %(T, B, 18%), got %(4, 18%)", z, nil, nil, o)
    fails("finite: expected ids of shape %(T, B%), got %(3%)", z, saros.ids { 1, 2, 3 }, nil, o)
    fails("finite: expected ids to be ids", z, random(1, 2, 2), nil, o)
    fails("finite: expected ids in 1..4, got 5", z, saros.ids { { 1, 5 } }, nil, o)
    fails("finite: expected a state of shape %(2, 6%), got %(2, 18%)", z, IDS, saros.zeros(2, 18), o)
    fails("finite: expected a mask of shape %(7, 2%)", z, IDS, nil, { heads = 2, states = 3, mask = saros.ones(2, 7) })
    fails("finite: expected reset of shape %(7, 2%)", z, IDS, nil, { heads = 2, states = 3, reset = saros.ones(7) })
    fails("one pointer or one for each state, got 2 of 3 states with 2", z, IDS, nil,
      { heads = 2, states = 3, pointers = 2 })
    fails("1 to 1024 states", z, IDS, nil, { states = 1025 })
    fails("states", z, IDS, nil, { states = 0 })
    fails("pointer", z, IDS, nil, { states = 3, pointer = 3 })
  end)
end)

-- --- The layer ------------------------------------------------------------------------------

local FORMS = {
  ["tokens, one pointer"] = { tokens = V, heads = 3, states = 4 },
  ["tokens, all pointers"] = { tokens = V, heads = 2, states = 3, pointers = "all" },
  ["features, one pointer"] = { input = 3, heads = 2, states = 4 },
  ["features, all pointers"] = { input = 3, heads = 2, states = 3, pointers = "all" },
}

local function input_of(o)
  return o.tokens and IDS or random(9, T, B, 3)
end

describe("a finite-state layer", function()
  for title, o in pairs(FORMS) do
    it("of " .. title .. " says the same in pieces, as rows alone, beside padding and in a session", function()
      local layer, x = nn.finite(o):init { seed = 1 }, input_of(o)
      local y, last = layer(x)
      local first, state = layer(x:slice(1, 1, 3))
      local second, after = layer(x:slice(1, 4), state)
      assert.same_values(y, core.concatenate({ first, second }, 1), 0)
      assert.same_values(last[1], after[1], 0)
      for row = 1, B do
        assert.same_values(y:slice(2, row, row), (layer(x:slice(2, row, row))), 0)
      end
      local padded = layer(x, nil, { lengths = { 4, T } })
      assert.same_values(y:slice(1, 1, 4), padded:slice(1, 1, 4), 0)
      assert.equal(0, padded:slice(1, 5):slice(2, 1, 1):abs():max():item())
      local session = layer:session { streams = B }
      for t = 1, T do
        assert.same_values(y[t], session:step(x[t]), 0)
      end
    end)
  end

  it("is traced in its soft form, too, and hardened by a call", function()
    local layer = nn.finite { tokens = V, heads = 2, states = 3, start = "soft" }:init { seed = 1 }
    local y, session = layer(IDS), layer:session { streams = B }
    for t = 1, T do
      assert.same_values(y[t], session:step(IDS[t]), ROUNDING)
    end
    assert.is_truthy(tostring(layer):find("soft", 1, true))
    local hard = layer:harden()(IDS)
    assert.equal(0, (hard * (1 - hard)):abs():max():item())
    assert.equal("finite 4 tokens -> 6, 2 heads of 3 states, one pointer", tostring(layer))
  end)

  it("is hardened from a file, too, as part of any net", function()
    local function net_of(o)
      return nn.chain { nn.finite(o), nn.linear { o.pointers == "all" and 18 or 6, 3 }, saros.tanh }
    end
    for _, tokens in ipairs { V, false } do
      for _, pointers in ipairs { "one", "all" } do
        local o = { tokens = tokens or nil, input = not tokens and 3 or nil, heads = 2, states = 3, pointers = pointers,
          start = "soft" }
        local net, x = net_of(o):init { seed = 1 }, input_of(o)
        local loaded = files.reloaded(net)
        assert.same_values(net(x), loaded(x), ROUNDING)
        assert.equal(loaded, loaded:harden())
        assert.equal(net, net:harden())
        assert.same_values(net(x), loaded(x), ROUNDING)
        assert.same_values(net(x), files.reloaded(loaded)(x), ROUNDING)
        assert.same_values(net(x), files.reloaded(net)(x), ROUNDING)
        local _, state = loaded(x)
        assert.equal(0, (state[1][1] * (1 - state[1][1])):abs():max():item())
        assert.same_values(net(x)[1], loaded:session { streams = B }:step(x[1]), ROUNDING)
        assert.error_matches(function()
          local _ <close> = saros.tape()
          loaded(x)
        end, "program: expected no training tape", 1, true)
        c.assert_well(loaded)
      end
    end
  end)

  it("is hardened in a net around one from a file", function()
    local inner = files.reloaded(nn.chain { nn.finite { tokens = V, heads = 2, states = 3, start = "soft" } }
      :init { seed = 1 })
    local net = nn.chain { inner, saros.tanh }
    net.inputs = { { name = "x", count = V } }
    assert.matches("softmax", tostring(net:program()))
    assert.not_matches("softmax", tostring(net:harden():program()))
    assert.same_values(net(IDS), files.reloaded(net)(IDS), ROUNDING)
  end)

  it("is not mistaken for another softmax of a file", function()
    local mix = nn.cell("mix", { states = { "h" } }, function(p, x, h)
      return p.gate(x .. h):softmax() * h + x
    end)
    local net = nn.chain { nn.recurrent { 3, 3, cell = mix }, function(x) return x:softmax() end }:init { seed = 1 }
    local loaded, x = files.reloaded(net), random(9, T, B, 3)
    assert.same_values(net(x), loaded:harden()(x), ROUNDING)
    local tape <close> = saros.tape()
    assert.is_true(tape:backward(loaded(x):sum()) == nil)
  end)

  it("learns parity to the last answer, and is right far beyond what it saw", function()
    local net = nn.chain { nn.finite { tokens = 2, heads = 4, states = 4 }, nn.linear { 16, 2 } }:init { seed = 1 }
    local adam, generator = saros.optim.adamw(net:parameters(), { lr = 2e-2 }), saros.generator(1)
    local function batch(length)
      local x, y = {}, {}
      for i = 1, length * 16 do
        x[i] = generator:integer(2)
        local before = y[i - 16] or 1
        y[i] = x[i] == 2 and 3 - before or before
      end
      return saros.ids(x):reshape(length, 16), saros.ids(y):reshape(length, 16)
    end
    for update = 1, 120 do
      local x, y = batch(update < 60 and 4 or 12)
      local tape <close> = saros.tape()
      tape:backward(saros.cross_entropy(net(x), y))
      adam:step()
    end
    local x, y = batch(1000)
    assert.equal(1, net(x):argmax(-1):eq(y):min():item())
  end)

  it("refuses what does not fit", function()
    for message, fn in pairs {
      ["nn.finite: expected either tokens, whose number is given, or input, of features"] = function()
        nn.finite { heads = 2 }
      end,
      ["nn.finite: expected option 'states' to be an integer from 2 to 1024, got 1"] = function()
        nn.finite { tokens = 2, states = 1 }
      end,
      ["nn.finite: expected option 'states' to be an integer from 2 to 1024, got 1025"] = function()
        nn.finite { tokens = 2, states = 1025 }
      end,
      ["finite: expected a state { s }, s of shape (1, 64), the states of all heads as one-hots, got a"] = function()
        nn.finite { tokens = 2 }:init { seed = 1 } (saros.ids { { 1 } }, {})
      end,
      ["states of all heads as one-hots, got a tensor (2, 64)"] = function()
        nn.finite { tokens = 2 }:init { seed = 1 } (saros.ids { { 1 } }, { saros.zeros(2, 64) })
      end,
      ["states of all heads as one-hots, got 7"] = function()
        nn.finite { tokens = 2 }:init { seed = 1 } (saros.ids { { 1 } }, { 7 })
      end,
      ["finite: expected ids of shape (T, B), got a tensor (2, 2)"] = function()
        nn.finite { tokens = 2 }:init { seed = 1 } (saros.zeros(2, 2))
      end,
      ["finite: expected x of shape (T, B, 3), got a tensor (2, 2, 4)"] = function()
        nn.finite { input = 3 }:init { seed = 1 } (saros.zeros(2, 2, 4))
      end,
    } do
      assert.error_matches(fn, message, 1, true)
    end
  end)
end)
