-- core.delta: matrix states with the delta rule, against a walk of tensor operations.

local saros = require "saros"
local core = require "saros.core"
require "spec.support.gradients"
require "spec.support.values"

local double = saros.info().real == "double"
local TOLERANCE = double and 1e-12 or 1e-5

local function normal(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- Keys of length 1, by head.
local function unit(x, width)
  local shape = x:shape()
  local parts = x:reshape(shape[1], shape[2], shape[3] // width, width)
  return (parts / ((parts * parts):sum(-1, true) + 1e-6):sqrt()):reshape(shape)
end

-- The inputs of a call: gates and decays as options say; T, B, H, K, V and n.
local function inputs_of(s, o, seed)
  local n = s.n or 1
  local x = {
    q = normal(seed, s.T, s.B, s.H * s.K),
    k = unit(normal(seed + 1, s.T, s.B, n * s.H * s.K), s.K),
    v = normal(seed + 2, s.T, s.B, n * s.H * s.V),
  }
  if o.write then
    x.write = normal(seed + 3, s.T, s.B, n * s.H):sigmoid()
  end
  if o.erase == "same" then
    x.erase = x.write
  elseif o.erase then
    x.erase = normal(seed + 4, s.T, s.B, n * s.H):sigmoid() * 2
  end
  if o.decay then
    x.decay = -(normal(seed + 5, s.T, s.B, s.H * (o.decay == "channel" and s.K or 1)):exp()) * 0.3
  end
  if o.state then
    x.state = normal(seed + 6, s.B, s.H * s.K * s.V)
  end
  if o.first then
    x.first = normal(seed + 7, s.H * s.K * s.V)
  end
  return x
end

local function steps_of(s, o)
  local mask, reset
  if o.mask then
    mask = saros.ones(s.T, s.B)
    for t = 1, s.T do
      for b = 1, s.B do
        mask[t][b] = (t * 7 + b * 3) % 5 == 0 and 0 or 1
      end
    end
  end
  if o.reset then
    reset = saros.zeros(s.T, s.B)
    for t = 1, s.T do
      for b = 1, s.B do
        reset[t][b] = (t + b * 3) % (o.reset == true and 5 or o.reset) == 0 and 1 or 0
      end
    end
  end
  return mask, reset
end

local function call(s, o, x)
  local mask, reset = steps_of(s, o)
  return core.delta(x.q, x.k, x.v, {
    heads = s.H, reflections = s.n, chunk = o.chunk, reverse = o.reverse, mask = mask, reset = reset,
    write = x.write, erase = x.erase, decay = x.decay, first = x.first,
    query_length = o.query_length, key_length = o.key_length, epsilon = o.epsilon,
  }, x.state)
end

-- A step of a row's head by the equations: m (K, V); everything is of this step.
local function naive_step(m, s, x, at, h)
  local n = s.n or 1
  local function part(tensor, place, width)
    return tensor[at.t][at.b]:slice(1, place * width + 1, (place + 1) * width)
  end
  if x.decay then
    local width = x.decay:size(3) // s.H
    m = m * part(x.decay, h, width):exp():reshape(width, 1)
  end
  for j = 0, n - 1 do
    local place = j * s.H + h
    local key, u = part(x.k, place, s.K):reshape(s.K, 1), part(x.v, place, s.V):reshape(1, s.V)
    if x.write then
      u = u * part(x.write, place, 1)
    end
    if x.erase then
      u = u - key:transpose():matmul(m) * part(x.erase, place, 1)
    end
    m = m + key:matmul(u)
  end
  return m, part(x.q, h, s.K):reshape(1, s.K):matmul(m):reshape(s.V)
end

local function naive_unit(s, o, x, b, h, mask, keep)
  local size, ys = s.K * s.V, {}
  local function first()
    return x.first and x.first:slice(1, h * size + 1, (h + 1) * size):reshape(s.K, s.V) or saros.zeros(s.K, s.V)
  end
  local m = x.state and x.state[b]:slice(1, h * size + 1, (h + 1) * size):reshape(s.K, s.V) or first()
  for i = 1, s.T do
    local t = o.reverse and s.T + 1 - i or i
    if mask and mask[t][b] == 0 then
      ys[t] = saros.zeros(s.V)
    else
      if keep and keep[t][b] == 0 then
        m = first()
      end
      m, ys[t] = naive_step(m, s, x, { t = t, b = b }, h)
    end
  end
  return saros.stack(ys, 1), m:reshape(size)
end

local function naive(s, o, x)
  local mask, reset = steps_of(s, o)
  local keep = reset and core.keep(reset, mask, o.reverse)
  local ys, lasts = {}, {}
  for b = 1, s.B do
    local y, last = {}, {}
    for h = 0, s.H - 1 do
      y[h + 1], last[h + 1] = naive_unit(s, o, x, b, h, mask, keep)
    end
    ys[b], lasts[b] = saros.concatenate(y, 2), saros.concatenate(last, 1)
  end
  return saros.stack(ys, 2), saros.stack(lasts, 1)
end

-- Every option once, and some together.
local CASES = {
  {}, { write = true }, { erase = true }, { write = true, erase = "same" }, { write = true, erase = true },
  { decay = "head" }, { decay = "channel" }, { decay = "head", write = true, erase = "same", state = true },
  { decay = "channel", write = true, erase = "same", state = true },
  { erase = true, state = true, mask = true }, { erase = true, state = true, reset = true },
  { erase = true, decay = "head", state = true, first = true, reset = true, mask = true },
  { decay = "channel", write = true, erase = true, first = true, reset = true, mask = true, reverse = true },
  { erase = true, reverse = true, state = true }, { decay = "head", first = true, reset = 1, state = true },
}

local function described(o)
  local parts = {}
  for name, value in pairs(o) do
    parts[#parts + 1] = name .. "=" .. tostring(value)
  end
  table.sort(parts)
  return table.concat(parts, " ")
end

local function each_case(run)
  for i, o in ipairs(CASES) do
    for n = 1, 2 do
      run(o, n, i)
    end
  end
end

local function weighted(s, o, x)
  local y, last = call(s, o, x)
  return (y * y * normal(90, table.unpack(y:shape()))):sum() + (last * normal(91, table.unpack(last:shape()))):sum()
end

-- y, last and the gradients of a call by name.
local function results(s, o, x)
  local tape <close> = saros.tape()
  local found = {}
  for _, tensor in pairs(x) do
    tape:watch(tensor)
  end
  found.y, found.last = call(s, o, x)
  tape:backward((found.y * normal(92, table.unpack(found.y:shape()))):sum() + (found.last * found.last):sum())
  for name, tensor in pairs(x) do
    found["d" .. name] = tensor:gradient()
  end
  return found
end

describe("the delta rule", function()
  it("is what its equations say, step by step", function()
    each_case(function(o, n, seed)
      local s = { T = 11, B = 2, H = 2, K = 3, V = 5, n = n }
      local x = inputs_of(s, o, seed)
      local y, last = call(s, o, x)
      local expected, after = naive(s, o, x)
      assert.same_values(expected, y, TOLERANCE)
      assert.same_values(after, last, TOLERANCE)
    end)
  end)

  it("has the gradients that finite differences predict", function()
    each_case(function(o, n, seed)
      local s = { T = 6, B = 2, H = 2, K = 3, V = 2, n = n }
      local x = inputs_of(s, o, seed)
      if x.erase == x.write then
        x.erase = nil
        assert.gradients_match(function()
          return weighted(s, o, setmetatable({ erase = x.write }, { __index = x }))
        end, x)
      else
        assert.gradients_match(function() return weighted(s, o, x) end, x)
      end
    end)
  end)

  it("gives queries and keys a length", function()
    local s = { T = 19, B = 2, H = 2, K = 5, V = 3, n = 2 }
    local o = { query_length = 0.5, key_length = 2, epsilon = 0.1 }
    local function scaled(x, length)
      local heads = x:reshape(s.T, s.B, -1, s.K)
      return (heads / ((heads * heads):sum(4, true) + o.epsilon):sqrt() * length):reshape(table.unpack(x:shape()))
    end
    each_case(function(given, n, seed)
      s.n = n
      local x = inputs_of(s, given, seed)
      local all = setmetatable(o, { __index = given })
      local function found(sizes, q, k)
        local tape <close> = saros.tape()
        tape:watch(x.q)
        tape:watch(x.k)
        local loss = weighted(s, sizes, setmetatable({ q = q(x.q), k = k(x.k) }, { __index = x }))
        tape:backward(loss)
        return loss, x.q:gradient(), x.k:gradient()
      end
      local function same(y) return y end
      local loss, dq, dk = found(given, function(y) return scaled(y, 0.5) end, function(y) return scaled(y, 2) end)
      local by_kernel, dq_kernel, dk_kernel = found(all, same, same)
      local function close(a, b)
        local size = math.max(1, a:abs():max():item())
        assert.same_values(a / size, b / size, TOLERANCE)
      end
      close(loss, by_kernel)
      close(dq, dq_kernel)
      close(dk, dk_kernel)
    end)
  end)

  it("gives a length to vectors whose squares are too large or too small for a number", function()
    local s, o = { T = 3, B = 1, H = 1, K = 4, V = 2 }, { query_length = 1, key_length = 1, epsilon = 0 }
    local x = inputs_of(s, {}, 7)
    local expected = call(s, o, x)
    for _, factor in ipairs { 1e-26, 1e26 } do
      assert.same_values(expected, (call(s, o, { q = x.q * factor, k = x.k * factor, v = x.v })), TOLERANCE)
    end
  end)

  it("adds to the gradients that its inputs have already, or that another input gave them", function()
    for _, mask in ipairs { false, true } do
      local s, o = { T = 9, B = 2, H = 2, K = 4, V = 4 }, { mask = mask or nil }
      local x = inputs_of(s, { write = true, erase = true }, 8)
      local apart = results(s, o, { q = x.v, k = x.v + 0, v = x.v + 0, write = x.write, erase = x.erase })
      local tape <close> = saros.tape()
      tape:watch(x.v)
      local y, last = call(s, o, { q = x.v, k = x.v, v = x.v, write = x.write, erase = x.erase })
      local loss = (y * normal(92, table.unpack(y:shape()))):sum() + (last * last):sum()
      tape:backward(loss + (x.v * 3):sum())
      local sum = apart.dq + apart.dk + apart.dv + 3
      assert.same_values(sum / sum:abs():max(), x.v:gradient() / sum:abs():max(), TOLERANCE)
    end
  end)

  it("is the same in chunks of any size", function()
    each_case(function(o, n, seed)
      local s = { T = 75, B = 2, H = 2, K = 18, V = 21, n = n }
      local x = inputs_of(s, o, seed)
      local one
      for _, chunk in ipairs { 1, 5, 16, 32, 64 } do
        local got = results(s, setmetatable({ chunk = chunk }, { __index = o }), x)
        one = one or got
        for name, tensor in pairs(one) do
          local scale = math.max(1, tensor:abs():max():item())
          local difference = (tensor - got[name]):abs():max():item()
          assert.is_true(difference <= TOLERANCE * scale,
            ("%s n=%d chunk=%d: %s is off by %g of %g"):format(described(o), n, chunk, name, difference, scale))
        end
      end
    end)
  end)

  it("gives the same bits for any number of threads", function()
    local before = saros.threads()
    local s = { T = 40, B = 5, H = 4, K = 32, V = 32 }
    local o = { decay = "head", write = true, erase = true, first = true, reset = true, mask = true }
    local x, one = inputs_of(s, o, 1), nil
    for threads = 1, 3 do
      saros.threads(threads)
      local got = results(s, o, x)
      one = one or got
      for name, tensor in pairs(one) do
        assert.equal(0, (tensor - got[name]):abs():max():item(), name)
      end
    end
    saros.threads(before)
  end)

  it("goes on from its state as if it had not stopped", function()
    local s = { T = 40, B = 2, H = 2, K = 16, V = 16 }
    local o = { decay = "channel", write = true, erase = true }
    local x = inputs_of(s, o, 3)
    local y, last = call(s, o, x)
    local state, ys = nil, {}
    for i, bounds in ipairs { { 1, 17 }, { 18, 18 }, { 19, 40 } } do
      local part = { state = state }
      for name, tensor in pairs(x) do
        part[name] = tensor:slice(1, bounds[1], bounds[2])
      end
      ys[i], state = call(s, o, part)
    end
    assert.same_values(y, saros.concatenate(ys, 1), TOLERANCE)
    assert.same_values(last, state, TOLERANCE)
  end)

  it("stays finite at the ends of its ranges", function()
    for _, decay in ipairs { "head", "channel" } do
      for _, value in ipairs { -math.huge, -1e30, -100, 0 } do
        for _, gate in ipairs { 0, 1, 2 } do
          for T = 1, 33, 16 do
            local s = { T = T, B = 2, H = 2, K = 4, V = 4 }
            local o = { decay = decay, reset = 16 }
            local x = inputs_of(s, { write = true, erase = true, decay = decay, first = true }, T)
            x.write:fill(gate)
            x.erase:fill(gate)
            for t = 1, T, 2 do
              x.decay[t]:fill(value)
              x.k[t]:fill(0)
            end
            for name, tensor in pairs(results(s, o, x)) do
              assert.is_true(tensor:all_finite(), ("%s at decay %g, gates %g, T %d"):format(name, value, gate, T))
            end
          end
        end
      end
    end
  end)

  it("forgets all at a decay of minus infinity", function()
    for _, decay in ipairs { "head", "channel" } do
      local s = { T = 20, B = 1, H = 1, K = 3, V = 3 }
      local x = inputs_of(s, { write = true, erase = true, decay = decay, state = true }, 4)
      x.decay[9]:fill(-math.huge)
      local found = results(s, {}, x)
      local tail = {}
      for name, tensor in pairs(x) do
        tail[name] = name ~= "state" and tensor:slice(1, 9, 20) or nil
      end
      assert.same_values((call({ T = 12, B = 1, H = 1, K = 3, V = 3 }, {}, tail)), found.y:slice(1, 9, 20), TOLERANCE)
      assert.equal(0, found.ddecay[9]:abs():max():item())
    end
  end)

  it("does not read masked steps, and does not walk at all where all are", function()
    local s = { T = 6, B = 2, H = 1, K = 2, V = 3 }
    local x = inputs_of(s, { erase = true, state = true }, 5)
    local mask = saros.zeros(6, 2)
    for name, tensor in pairs(x) do
      if name ~= "state" then
        tensor:fill(0 / 0)
      end
    end
    local y, last = core.delta(x.q, x.k, x.v, { heads = 1, erase = x.erase, mask = mask }, x.state)
    assert.equal(0, y:abs():max():item())
    assert.same_values(x.state, last, 0)
    y, last = core.delta(x.q:slice(1, 1, 0), x.k:slice(1, 1, 0), x.v:slice(1, 1, 0), { heads = 1 }, x.state)
    assert.same({ 0, 2, 3 }, y:shape())
    assert.same_values(x.state, last, 0)
  end)

  it("keeps what is not finite to its row", function()
    local s = { T = 20, B = 2, H = 1, K = 5, V = 3 }
    for _, decay in ipairs { "head", "channel" } do
      local x = inputs_of(s, { write = true, erase = true, decay = decay, state = true }, 6)
      for _, tensor in pairs(x) do
        tensor:select(-2, 1):fill(0 / 0)
      end
      for name, tensor in pairs(results(s, {}, x)) do
        assert.is_true(tensor:select(-2, 2):all_finite(), name)
        assert.is_false(tensor:select(-2, 1):all_finite(), name)
      end
    end
  end)

  it("refuses what does not fit", function()
    local q, v = saros.ones(4, 2, 6), saros.ones(4, 2, 8)
    local function fails(message, ...)
      local arguments = table.pack(...)
      assert.error_matches(function() core.delta(table.unpack(arguments, 1, arguments.n)) end, message)
    end
    fails("delta: expected q of shape %(T, B, heads K%), whose last size is a multiple of 4, got %(4, 2, 6%)",
      q, q, v, { heads = 4 })
    fails("delta: expected v of shape %(T, B, reflections heads V%), whose last size is a multiple of 6",
      q, q, v, { heads = 2, reflections = 3 })
    fails("delta: expected k of shape %(4, 2, 12%), got %(4, 2, 6%)", q, q, v, { heads = 2, reflections = 2 })
    fails("delta: expected write of shape %(4, 2, 2%), got %(4, 2, 6%)", q, q, v, { heads = 2, write = q })
    fails("delta: expected erase of shape %(4, 2, 2%), got %(4, 2, 6%)", q, q, v, { heads = 2, erase = q })
    fails("delta: expected decay of shape %(4, 2, 2%), got %(4, 2, 8%)", q, q, v, { heads = 2, decay = v })
    fails("delta: expected a mask of shape %(4, 2%), got %(2, 4%)", q, q, v, { heads = 2, mask = saros.ones(2, 4) })
    fails("delta: expected reset of shape %(4, 2%)", q, q, v, { heads = 2, reset = saros.ones(2, 4) })
    fails("delta: expected first of shape %(24%), got %(4%)", q, q, v, { heads = 2, first = saros.ones(4) })
    fails("delta: expected a state of shape %(2, 24%), got %(2, 12%)", q, q, v, { heads = 2 }, saros.ones(2, 12))
    fails("delta: expected 1 to 64 reflections, got 65", q, q, v, { heads = 1, reflections = 65 })
    fails("delta: expected a chunk of 1 to 64 micro%-steps, got 65", q, q, v, { heads = 1, chunk = 65 })
    fails("heads", q, q, v, { heads = 0 })
  end)
end)
