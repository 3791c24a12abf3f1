-- core.delta with convolutions of q, k and v, against core.depthwise and core.delta.

local saros = require "saros"
local core = require "saros.core"
require "spec.support.gradients"
require "spec.support.values"

local TOLERANCE = saros.info().real == "double" and 1e-12 or 1e-5

local STREAMS = { "q", "k", "v" }

local function normal(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- Which are convolved, by how many taps, and what else is given.
local CASES = {
  { taps = 4, activation = "silu", decay = "head" },
  { taps = 2, decay = "channel", n = 2, state = true, memory = true },
  { taps = 4, activation = "silu", memory = true, reset = true, erase = true },
  { taps = 3, activation = "silu", mask = true, reverse = true, n = 3 },
  { taps = 5, reset = true, mask = true, memory = true, first = true, only = "k" },
  { taps = 4, activation = "silu", memory = true, state = true, reverse = true, reset = true, only = "qk" },
}

-- The tensors of a case by name; T, B, H, K and V.
local function inputs_of(s, o, seed)
  local n, H = o.n or 1, s.H
  local widths = { q = H * s.K, k = n * H * s.K, v = n * H * s.V }
  local x = { write = normal(seed, s.T, s.B, n * H):sigmoid() }
  for i, name in ipairs(STREAMS) do
    x[name] = normal(seed + i, s.T, s.B, widths[name])
    if (o.only or "qkv"):find(name) then
      x["taps_" .. name] = normal(seed + 3 + i, widths[name], o.taps)
      x["memory_" .. name] = o.memory and normal(seed + 6 + i, s.B, (o.taps - 1) * widths[name]) or nil
    end
  end
  x.erase = o.erase and normal(seed + 10, s.T, s.B, n * H):sigmoid() * 2 or nil
  x.decay = o.decay and normal(seed + 11, s.T, s.B, o.decay == "head" and H or H * s.K):exp() * -0.3 or nil
  x.state = o.state and normal(seed + 12, s.B, H * s.K * s.V) or nil
  x.first = o.first and normal(seed + 13, H * s.K * s.V) or nil
  return x
end

local function steps_of(s, o)
  local function where(flag, of_step)
    local steps = flag and saros.zeros(s.T, s.B)
    for t = 1, flag and s.T or 0 do
      for b = 1, s.B do
        steps[t][b] = of_step(t, b) and 1 or 0
      end
    end
    return steps or nil
  end
  return where(o.mask, function(t, b) return (t * 7 + b * 3) % 5 ~= 0 end),
    where(o.reset, function(t, b) return (t + b * 3) % 6 == 0 end)
end

-- y, the state and the memories after the last step, by name.
local function convolved(s, o, x)
  local mask, reset = steps_of(s, o)
  local given = { heads = s.H, reflections = o.n, chunk = o.chunk, reverse = o.reverse, mask = mask, reset = reset,
    activation = o.activation, key_length = 1, query_length = 0.5, epsilon = 1e-6 }
  for name, tensor in pairs(x) do
    given[name] = tensor
  end
  given.q, given.k, given.v, given.state, given.ids = nil, nil, nil, nil, o.ids
  local out = {}
  out.y, out.last, out.q, out.k, out.v = core.delta(x.q, x.k, x.v, given, x.state)
  return out
end

-- The same, one operation after the other.
local function apart(s, o, x)
  local mask, reset = steps_of(s, o)
  local out, read = {}, {}
  for _, name in ipairs(STREAMS) do
    read[name] = x[name]
    if x["taps_" .. name] then
      read[name], out[name] = core.depthwise(x[name], x["taps_" .. name], nil, x["memory_" .. name],
        { mask = mask, reset = reset, reverse = o.reverse, activation = o.activation })
    end
  end
  out.y, out.last = core.delta(read.q, read.k, read.v, {
    heads = s.H, reflections = o.n, reverse = o.reverse, mask = mask, reset = reset, write = x.write, erase = x.erase,
    decay = x.decay, first = x.first, key_length = 1, query_length = 0.5, epsilon = 1e-6,
  }, x.state)
  return out
end

local function loss_of(out)
  local loss = (out.y * normal(90, table.unpack(out.y:shape()))):sum()
  for i, name in ipairs { "last", "q", "k", "v" } do
    local weights = out[name] and normal(90 + i, table.unpack(out[name]:shape()))
    loss = weights and loss + (out[name] * weights):sum() or loss
  end
  return loss
end

-- What a function gives, and the gradients of the inputs.
local function results(run, s, o, x)
  local tape <close> = saros.tape()
  for _, tensor in pairs(x) do
    tape:watch(tensor)
  end
  local found = run(s, o, x)
  tape:backward(loss_of(found))
  for name, tensor in pairs(x) do
    found["d" .. name] = tensor:gradient()
  end
  return found
end

local function assert_close(expected, got, what)
  for name, tensor in pairs(expected) do
    local scale = math.max(1, tensor:abs():max():item())
    local difference = (tensor - got[name]):abs():max():item()
    assert.is_true(difference <= TOLERANCE * scale, ("%s: %s is off by %g of %g"):format(what, name, difference, scale))
  end
end

describe("the delta rule of convolutions", function()
  it("is that of depthwise convolutions, both ways, in chunks of any size", function()
    for i, o in ipairs(CASES) do
      for _, sizes in ipairs { { T = 75, B = 3, H = 2, K = 18, V = 21 }, { T = 2, B = 2, H = 3, K = 16, V = 32 } } do
        local x = inputs_of(sizes, o, 20 * i)
        local expected = results(apart, sizes, o, x)
        for _, chunk in ipairs { 1, 16, 50 } do
          local got = results(convolved, sizes, setmetatable({ chunk = chunk }, { __index = o }), x)
          assert_close(expected, got, ("case %d, T = %d, chunk = %d"):format(i, sizes.T, chunk))
        end
      end
    end
  end)

  it("has the gradients that finite differences predict", function()
    for i, o in ipairs(CASES) do
      local s = { T = 7, B = 2, H = 2, K = 3, V = 2 }
      local x = inputs_of(s, o, 20 * i)
      assert.gradients_match(function()
        return loss_of(convolved(s, o, x))
      end, x)
    end
  end)

  it("gives the same bits for any number of threads", function()
    local before = saros.threads()
    local s = { T = 40, B = 5, H = 4, K = 32, V = 32 }
    local o = { taps = 4, activation = "silu", memory = true, reset = true }
    local x, one = inputs_of(s, o, 1), nil
    for threads = 1, 3 do
      saros.threads(threads)
      local got = results(convolved, s, o, x)
      one = one or got
      for name, tensor in pairs(one) do
        assert.equal(0, (tensor - got[name]):abs():max():item(), name)
      end
    end
    saros.threads(before)
  end)

  it("goes on from its memories as if it had not stopped", function()
    local s, o = { T = 40, B = 2, H = 2, K = 16, V = 16 }, { taps = 4, activation = "silu" }
    local x = inputs_of(s, o, 3)
    local whole, ys, before = convolved(s, o, x), {}, nil
    for i, bounds in ipairs { { 1, 17 }, { 18, 18 }, { 19, 40 } } do
      local part = {}
      if before then
        part = { state = before.last, memory_q = before.q, memory_k = before.k, memory_v = before.v }
      end
      for name, tensor in pairs(x) do
        part[name] = #tensor:shape() == 3 and tensor:slice(1, bounds[1], bounds[2]) or tensor
      end
      before = convolved(s, o, part)
      ys[i], before.y = before.y, nil
    end
    assert.same_values(whole.y, saros.concatenate(ys, 1), TOLERANCE)
    assert_close(before, whole, "after the last part")
  end)

  it("reads nothing of hidden steps, and keeps what is not finite to its row", function()
    local s, o = { T = 20, B = 3, H = 2, K = 8, V = 8 }, { taps = 4, activation = "silu", mask = true }
    local x = inputs_of(s, o, 5)
    local expected = results(convolved, s, o, x)
    local hidden = core.eq((steps_of(s, o)), 0)
    for t = 1, s.T do
      for b = 1, s.B do
        if hidden[t][b] == 1 then
          for _, name in ipairs(STREAMS) do
            x[name][t][b]:fill(0 / 0)
          end
        end
      end
    end
    assert_close(expected, results(convolved, s, o, x), "with NaN at hidden steps")
    x.q[2][2]:fill(0 / 0)
    local got = convolved(s, o, x)
    for _, row in ipairs { 1, 3 } do
      assert.same_values(expected.y:slice(2, row, row), got.y:slice(2, row, row), 0)
    end
  end)

  it("reads rows of tables as the vectors there", function()
    local V = 5
    for i, o in ipairs { CASES[1], CASES[2], CASES[4], CASES[5], { taps = 2, only = "none", reset = true } } do
      local s = { T = 21, B = 2, H = 2, K = 3, V = 4 }
      local x = inputs_of(s, o, 20 * i)
      local list = {}
      for t = 1, s.T do
        list[t] = { (t * 3) % V + 1, (t * t) % V + 1 }
      end
      local ids = saros.ids(list)
      for _, name in ipairs(STREAMS) do
        x[name] = normal(7, V, x[name]:size(3))
      end
      local expected = results(function(_, _, given)
        local vectors = {}
        for _, name in ipairs(STREAMS) do
          vectors[name] = core.embedding(given[name], ids)
        end
        return apart(s, o, setmetatable(vectors, { __index = given }))
      end, s, o, x)
      local by_ids = setmetatable({ ids = ids }, { __index = o })
      assert_close(expected, results(convolved, s, by_ids, x), "case " .. i)
      assert.gradients_match(function()
        return loss_of(convolved(s, by_ids, x))
      end, x)
    end
  end)

  it("refuses what does not fit", function()
    local q = saros.ones(4, 2, 6)
    local function fails(message, given)
      given.heads = 2
      assert.error_matches(function() core.delta(q, q, q, given) end, message)
    end
    fails("delta: expected taps of q of shape %(6, k%), with k of 2 to 16, the same for all, got %(4, 6%)",
      { taps_q = saros.ones(4, 6) })
    fails("the same for all, got %(6, 3%)", { taps_q = saros.ones(6, 2), taps_v = saros.ones(6, 3) })
    fails("k of 2 to 16, the same for all, got %(6, 17%)", { taps_v = saros.ones(6, 17) })
    fails("delta: expected a memory of shape %(2, 18%), got %(2, 6%)",
      { taps_k = saros.ones(6, 4), memory_k = saros.ones(2, 6) })
    fails("delta: expected q of shape %(V, heads K%)", { ids = saros.ids { { 1, 1 } } })
    fails("activation", { taps_k = saros.ones(6, 4), activation = "tanh" })
  end)
end)
