-- Exact heads of nn.delta: matrices of integers, which do not drift.

require "spec.support.gradients"
require "spec.support.values"
local commands = require "spec.support.commands"
local files = require "spec.support.files"
local saros = require "saros"
local core = require "saros.core"
local exact = require "saros.nn.exact"
local nn = saros.nn

local is_double = saros.info().real == "double"
local ROUNDING = is_double and 1e-11 or 2e-4
local I = 5

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local function build(given, seed)
  local o = { input = I, hidden = 6, gate = "none" }
  for name, value in pairs(given) do
    o[name] = value
  end
  return nn.delta(o):init { seed = seed or 3 }
end

-- --- What heads do, in integers of Lua --------------------------------------------------------

-- All roots of n elements.
local function roots(n)
  local list = {}
  for i = 1, n do
    for j = i, n do
      for _, sign in ipairs(j > i and { 1, -1 } or { 1 }) do
        local root = {}
        for at = 1, n do
          root[at] = at == i and 1 or at == j and sign or 0
        end
        list[#list + 1] = root
      end
    end
  end
  return list
end

local function inner(a, b)
  local sum = 0
  for i, x in ipairs(a) do
    sum = sum + x * b[i]
  end
  return sum
end

-- The root of the largest |cosine|, and the square of its length. Of those of length 1 alone if it replaces.
local function nearest(key, replaces)
  local best, found, length = -1, nil, nil
  for _, root in ipairs(roots(#key)) do
    local square = inner(root, root)
    local cosine = math.abs(inner(root, key)) / square ^ 0.5
    if cosine > best and (square == 1 or not replaces) then
      best, found, length = cosine, root, square
    end
  end
  return found, length
end

local function product(net, name, x)
  return net.layers[1]["weight_" .. name]:matmul(x):totable()
end

local function part(list, block, size)
  return table.move(list, (block - 1) * size + 1, block * size, 1, {})
end

-- One step of one head's rows, a table of K tables of V.
local function step(net, head, x, rows)
  local o = net.o
  local gates, keys, values = product(net, "gates", x), product(net, "k", x), product(net, "v", x)
  for j = 1, o.reflections do
    local block = (j - 1) * o.heads + head
    local b = math.floor(2 / (1 + math.exp(-4 * gates[block])) + 0.5)
    local key, value = part(keys, block, o.key_size), part(values, block, o.value_size)
    local root, square = nearest(key, b == 1)
    local sign = inner(root, key) < 0 and -1 or 1
    for column = 1, o.value_size do
      local read = 0
      for p, k in ipairs(root) do
        read = read + k * rows[p][column]
      end
      local tanh = 1 - 2 / (1 + math.exp(8 * value[column]))
      local written = b == 1 and sign * (tanh > 0.5 and 1 or tanh < -0.5 and -1 or 0) or 0
      for p, k in ipairs(root) do
        rows[p][column] = rows[p][column] + k * (written - b / square * read)
      end
    end
  end
end

-- The matrices of a row's steps, from the first one on: (H' K V) of the exact heads.
local function walk(net, x)
  local o, flat = net.o, {}
  for head = o.heads - o.exact + 1, o.heads do
    local rows = {}
    for p = 1, o.key_size do
      rows[p] = {}
      for column = 1, o.value_size do
        rows[p][column] = p == column and 1 or 0
      end
    end
    for t = 1, #x do
      step(net, head, x[t], rows)
    end
    for p = 1, o.key_size do
      table.move(rows[p], 1, o.value_size, #flat + 1, flat)
    end
  end
  return saros.tensor(flat)
end

-- The part of a state that belongs to exact heads.
local function exact_part(net, state)
  local o = net.o
  local size = o.key_size * o.value_size
  return state:slice(2, (o.heads - o.exact) * size + 1, o.heads * size)
end

-- --- Gradients, of a layer of 2 heads with K = 3 and V = 4 and 2 reflections ---------------------

local T, B, GATES = 6, 2, 4

-- The hard numbers of a layer, as tensors that get gradients.
local function leaves_of(net, x)
  local p = net.layers[1]
  local b, write = exact.gates(core.linear(x, p.weight_gates):detach())
  local k, squares = exact.roots(core.linear(x, p.weight_k):detach():reshape(T, B, GATES, 3), b)
  local leaves = { k = k, b = b, write = write, v = exact.values(core.linear(x, p.weight_v):detach()) }
  for name, tensor in pairs(leaves) do
    leaves[name] = tensor:clone()
    leaves[name]:trainable(true)
  end
  leaves.squares = squares
  return leaves
end

local function with_epsilon(squares)
  return squares + 1e-6 -- as in the layer
end

-- What the layer says with them.
local function walked(net, x, leaves)
  local p = net.layers[1]
  local q = core.linear(x, p.weight_q):reshape(T, B, 2, 3)
  q = (q / with_epsilon((q * q):sum(-1, true)):sqrt() * 3 ^ 0.5):reshape(T, B, 6)
  local y = core.delta(q, leaves.k:reshape(T, B, GATES * 3), leaves.v, {
    heads = 2, reflections = 2, write = leaves.write, erase = leaves.b / leaves.squares,
    first = exact.first { heads = 2, exact = 2, key_size = 3, value_size = 4 },
  })
  return core.linear(y, p.weight_o)
end

-- The soft numbers times the gradients of the hard ones.
local function surrogate(net, x, leaves)
  local p = net.layers[1]
  local keys = core.linear(x, p.weight_k):reshape(T, B, GATES, 3)
  keys = keys / with_epsilon((keys * keys):sum(-1, true)):sqrt() * leaves.squares:sqrt():reshape(T, B, GATES, 1)
  local b = core.sigmoid(core.linear(x, p.weight_gates) * 4) * 2
  local v = core.tanh(core.linear(x, p.weight_v) * 4)
  return (keys * leaves.k:gradient()):sum() + (b * leaves.b:gradient()):sum()
    + (b * (2 - b) * leaves.write:gradient()):sum() + (v * leaves.v:gradient()):sum()
end

-- Of the parameters that the loss reads, by name.
local function gradients_of(net, loss)
  local found = {}
  net:clear_gradients()
  local tape <close> = core.tape()
  tape:backward(loss())
  for name, tensor in pairs(net:tensors()) do
    found[name] = tensor:gradient() and tensor:gradient():clone()
  end
  return found
end

local KINDS = {
  { exact = true }, { exact = true, reflections = 2 }, { exact = true, heads = 2, key_size = 6, value_size = 3 },
  { exact = 1, heads = 3, key_size = 5, value_size = 5, convolution = 0, reflections = 2 },
  { exact = 2, heads = 3, key_size = 3, value_size = 4, convolution = 0, reflections = 3 },
}

describe("exact heads of a delta layer", function()
  it("do in integers what the nearest root and gate say", function()
    for n, kind in ipairs(KINDS) do
      local net, x = build(kind, n), random(n, 40, 2, I)
      local _, state = net(x)
      local matrices = exact_part(net, state[1][1])
      for row = 1, 2 do
        assert.same_values(walk(net, x:select(2, row)), matrices[row], 0)
      end
      assert.is_true(matrices:abs():max():item() == 1)
    end
  end)

  it("leave the heads beside them as they are", function()
    local kinds = { {}, { qkv_activation = "none" }, { reflect = true, reflections = 2 }, { erase = "none" } }
    for _, more in ipairs(kinds) do
      more.heads, more.key_size, more.value_size, more.convolution, more.exact = 3, 4, 5, 3, 1
      local net = build(more)
      more.exact = nil
      local soft, x = build(more), random(2, 9, 2, I)
      local _, state = net(x)
      local _, expected = soft(x)
      assert.same_values(expected[1][1]:slice(2, 1, 40), state[1][1]:slice(2, 1, 40), ROUNDING)
      for position = 2, 4 do
        assert.same_values(expected[1][position], state[1][position], ROUNDING)
      end
    end
  end)

  it("have the same bits in windows of any length, behind resets, and whole", function()
    for n, kind in ipairs(KINDS) do
      local net, x = build(kind, n), random(n, 150, 2, I)
      local whole, last = net(x)
      for _, length in ipairs { 1, 7, 16, 64 } do
        local state, parts = nil, {}
        for first = 1, 150, length do
          parts[#parts + 1], state = net(x:slice(1, first, math.min(first + length - 1, 150)), state)
        end
        assert.same_values(exact_part(net, last[1][1]), exact_part(net, state[1][1]), 0)
        assert.same_values(whole, saros.concatenate(parts, 1), ROUNDING)
      end
      local reset = saros.zeros(150, 2)
      reset[100]:fill(1)
      local _, after = net(x, nil, { reset = reset })
      local _, alone = net(x:slice(1, 100, 150))
      assert.same_values(exact_part(net, alone[1][1]), exact_part(net, after[1][1]), 0)
    end
  end)

  it("have the same bits in chunks of any size", function()
    local H, K, steps, rows = 2, 4, 150, 3
    local b, write = exact.gates(random(2, steps, rows, 2 * H))
    local k, squares = exact.roots(random(1, steps, rows, 2 * H, K), b)
    local given = { heads = H, reflections = 2, write = write, erase = b / squares,
      first = exact.first { heads = H, exact = H, key_size = K, value_size = K } }
    local q, v = random(3, steps, rows, H * K), exact.values(random(4, steps, rows, 2 * H * K))
    local expected
    for _, chunk in ipairs { 1, 2, 16, 31, 64 } do
      given.chunk = chunk
      local _, state = core.delta(q, k:reshape(steps, rows, -1), v, given)
      expected = expected or state
      assert.same_values(expected, state, 0)
    end
  end)

  it("are right after 100,000 steps, where those of the same numbers that are not exact are not", function()
    -- Of one head of three rows: the first token exchanges rows 1 and 2, the second one rows 2 and 3.
    local function permuter(given)
      given.input, given.hidden, given.heads, given.key_size, given.value_size = 2, 3, 1, 3, 3
      given.output_norm, given.output_gate, given.convolution = false, false, 0
      local net = nn.delta(given):init { seed = 1 }
      net.layers[1].weight_k:assign(saros.tensor { { 1, 0.1 }, { -1, 1 }, { 0.1, -1 } })
      net.layers[1].weight_gates:assign(saros.tensor { { 2, 2 } })
      net.layers[1].weight_v:fill(0)
      return net
    end
    local x = saros.generator(1):uniform({ 100000, 1, 1 }, 0, 1):lt(0.5)
    x = x .. 1 - x
    local _, state = permuter { exact = true }(x)
    local rows = state[1][1]:reshape(3, 3)
    assert.same({ 1, 1, 1 }, rows:sum(1):totable())
    assert.same({ 1, 1, 1 }, rows:sum(2):totable())
    assert.equal(3, rows:eq(1):sum():item())
    local first = { saros.tensor { { 1, 0, 0, 0, 1, 0, 0, 0, 1 } } }
    local _, drifted = permuter { reflect = true, qkv_activation = "none", gate = "none" }(x, { first })
    assert.is_true(drifted[1][1]:abs():max():item() < 0.5)
  end)

  it("pass gradients on as if they were the soft numbers that they are nearest to", function()
    local net = build { exact = true, heads = 2, key_size = 3, value_size = 4, reflections = 2 }
    local x = random(1, T, B, I)
    local weights = random(2, T, B, 6)
    local leaves = leaves_of(net, x)
    local expected = gradients_of(net, function() return (walked(net, x, leaves) * weights):sum() end)
    local of_soft = gradients_of(net, function() return surrogate(net, x, leaves) end)
    local found = gradients_of(net, function() return (net(x) * weights):sum() end)
    for name, gradient in pairs(found) do
      assert.same_values((expected[name] or 0) + (of_soft[name] or 0), gradient, 10 * ROUNDING, name)
    end
  end)

  it("refuse what they have no use for", function()
    local function fails(o, message)
      o.input, o.hidden = 4, 6
      assert.error_matches(function() nn.delta(o) end, message, 1, true)
    end
    fails({ exact = true, learn_state = true }, "expected no learn_state with exact heads")
    fails({ exact = 3, heads = 2 }, "expected at most 2 exact heads, got 3")
    fails({ exact = "all" }, "expected option 'exact' to be true, false or a number of heads")
    assert.equal(0, nn.delta({ 4, 6, exact = false }).o.exact)
  end)
end)

-- Tokens 1 and 2 set a switch, 3 turns it, 4 leaves it: the answer is where it stands.
local switch = { tokens = 4, answers = 2, start = 1, step = function(state, token)
  state = token < 3 and token or token == 3 and 3 - state or state
  return state, state
end }

local function switch_net(seed)
  local delta = nn.delta { 16, 16, exact = true }
  return nn.chain { nn.embedding { 4, 16 }, delta, nn.linear { 16, 2 } }:init { seed = seed }
end

local references = require "saros.automata.reference"

describe("a net with exact heads", function()
  local net
  lazy_setup(function()
    net = switch_net(1)
    local reference, generator = references.of("spec", switch), saros.generator(1)
    local adam = saros.optim.adam(net:parameters(), { lr = 0.01 })
    for update = 1, 150 do
      local ids, answers = reference:words(generator, 32, 3 + update // 6)
      local tape <close> = core.tape()
      tape:backward(core.cross_entropy(net(ids), answers))
      saros.optim.clip_norm(net:parameters(), 1)
      adam:step()
    end
  end)

  it("learns from short words what it does at 100,000 tokens", function()
    local ids, answers = references.of("spec", switch):words(saros.generator(2), 1, 100000)
    assert.equal(1, net(ids):argmax(-1):eq(answers):min():item())
  end)

  it("is the same in sessions, from a file and in C", function()
    local ids, answers = references.of("spec", switch):words(saros.generator(3), 1, 2000)
    local logits = net(ids)
    for _, weights in ipairs { "real", "bf16", "int8" } do
      local session = net:session { weights = weights }
      for t = 1, 2000 do
        local y = session:step(ids[t])
        assert.equal(answers[t][1], y:argmax():item())
        if weights == "real" then
          assert.same_values(logits[t][1], y, ROUNDING)
        end
      end
    end
    files.with_folder(function(folder)
      local copy = switch_net(2)
      assert(net:save(folder .. "/net.safetensors"))
      assert(copy:load(folder .. "/net.safetensors"))
      assert.same_values(logits, (copy(ids)), 0)
      assert(saros.export_c(net, folder .. "/net.c", { name = "net", test = ids:slice(1, 1, 200):reshape(200) }))
      local output, status = commands.shell(("cd '%s' && cc -std=c99 -O1 -Wall -Wextra -Werror -DNET_TEST net.c -o net "
        .. "-lm && ./net"):format(folder))
      assert(status == 0, output)
      assert.matches(": well", output)
    end)
  end)
end)
