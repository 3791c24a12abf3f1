-- Frozen copies of nets whose products are made in int8 or bf16: what they compute, how
-- little that loses, and what they refuse.

require "spec.support.values"
local kinds = require "spec.support.recurrent_kinds"
local core = require "saros.core"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local IS_DOUBLE = saros.info().real == "double"
local ROUNDING = IS_DOUBLE and 1e-12 or 1e-5

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

local function largest_difference(a, b)
  return (a - b):abs():max():item()
end

-- --- The twin -------------------------------------------------------------------------

local round = {}

-- To the nearest whole number, to the even one of two.
local function nearest(x)
  return x + 0x1.8p52 - 0x1.8p52
end

-- Whole numbers of a scale, of which the largest element has 127.
function round.int8(row)
  local largest, rounded = 0, {}
  for _, x in ipairs(row) do
    largest = math.max(largest, math.abs(x))
  end
  for k, x in ipairs(row) do
    rounded[k] = largest == 0 and 0 or nearest(x * 127 / largest) * largest / 127
  end
  return rounded
end

function round.bf16(row)
  local rounded = {}
  for k, x in ipairs(row) do
    local bits = string.unpack("I4", string.pack("f", x))
    bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16 << 16
    rounded[k] = string.unpack("f", string.pack("I4", bits))
  end
  return rounded
end

-- x w^T + b for rows x and w, each rounded.
local function product(kind, x, w, b)
  local rows, columns, y = {}, {}, {}
  for n, row in ipairs(x) do
    rows[n] = round[kind](row)
  end
  for n, row in ipairs(w) do
    columns[n] = round[kind](row)
  end
  for i, row in ipairs(rows) do
    y[i] = {}
    for j, column in ipairs(columns) do
      local sum = b[j]
      for k, value in ipairs(row) do
        sum = sum + value * column[k]
      end
      y[i][j] = sum
    end
  end
  return y
end

local function sigmoid(x)
  return 1 / (1 + math.exp(-x))
end

local function tanh(x)
  return 2 * sigmoid(2 * x) - 1
end

-- An LSTM of one layer: x[t] are rows.
local function lstm(kind, net, x)
  local p = {}
  for name, tensor in pairs(net:tensors()) do
    p[name:gsub("_l0$", "")] = tensor:totable()
  end
  local H, y, h, c = net.hidden, {}, {}, {}
  for row = 1, #x[1] do
    h[row], c[row] = {}, {}
    for k = 1, H do
      h[row][k], c[row][k] = 0, 0
    end
  end
  for t, input in ipairs(x) do
    local of_x, of_h = product(kind, input, p.weight_ih, p.bias_ih), product(kind, h, p.weight_hh, p.bias_hh)
    y[t] = {}
    for row, a in ipairs(of_x) do
      y[t][row] = {}
      for k = 1, H do
        local function gate(n)
          return a[n * H + k] + of_h[row][n * H + k]
        end
        c[row][k] = sigmoid(gate(1)) * c[row][k] + sigmoid(gate(0)) * tanh(gate(2))
        y[t][row][k] = sigmoid(gate(3)) * tanh(c[row][k])
      end
    end
    h = y[t]
  end
  return saros.tensor(y)
end

for _, kind in ipairs { "int8", "bf16" } do
  describe("a net quantised to " .. kind, function()
    it("rounds both sides of the product with a weight", function()
      local net = nn.linear { 37, 21 }:init { seed = 1 }
      local quantised, w, b = net:quantised(kind), net.weight:totable(), net.bias:totable()
      for _, rows in ipairs { 1, 2, 50 } do
        local x = random(2, rows, 37)
        local expected = saros.tensor(product(kind, x:totable(), w, b))
        assert.same_values(expected, quantised(x), 2e-6)
        assert.is_true(largest_difference(expected, net(x)) > 1e-4)
      end
    end)

    it("rounds what an LSTM multiplies at each step", function()
      local net = nn.lstm { input = 18, hidden = 20 }:init { seed = 1 }
      for _, B in ipairs { 1, 3 } do
        local x = random(3, 6, B, 18)
        local expected, y = lstm(kind, net, x:totable()), net:quantised(kind)(x)
        -- h may be at a border of two whole numbers
        assert.is_true(largest_difference(expected, y) < 2e-4, largest_difference(expected, y))
        assert.is_true(largest_difference(expected, net(x)) > 3e-4, largest_difference(expected, net(x)))
      end
    end)

    for name, row in pairs(kinds.rows) do
      it(("computes nearly what %s computes, for one row and several"):format(name), function()
        local net = kinds.build(row, 20, 24, 2)
        local quantised = net:quantised(kind)
        local x, given = random(4, 7, 3, 20), { lengths = { 7, 2, 5 } }
        local expected, last = net(x, nil, given)
        local y, after = quantised(x, nil, given)
        assert.is_true(largest_difference(expected, y) < 0.15, largest_difference(expected, y))
        assert.is_true(row.options.units ~= nil or largest_difference(expected, y) > 0) -- so few units stay real
        local a, b = kinds.leaves(last), kinds.leaves(after)
        for n = 1, #a do
          assert.is_true(largest_difference(a[n], b[n]) < 0.2, largest_difference(a[n], b[n]))
        end
        assert.same_values(y:slice(2, 1, 1), (quantised(x:slice(2, 1, 1))), 100 * ROUNDING)
      end)
    end

    it("goes on from the state that it returned", function()
      local quantised = nn.gru { input = 20, hidden = 24, layers = 2 }:init { seed = 1 }:quantised(kind)
      local x = random(5, 9, 2, 20)
      local whole = quantised(x)
      local first, state = quantised(x:slice(1, 1, 4))
      local second, last = quantised(x:slice(1, 5, 5), state)
      local rest = quantised(x:slice(1, 6, 9), last)
      assert.same_values(whole, core.concatenate({ first, second, rest }, 1), 100 * ROUNDING)
    end)

    it("keeps its weights packed from call to call, and gives the memory back", function()
      local own_lstm = kinds.rows["an LSTM of nn.cell"].options.cell
      for _, net in ipairs {
        nn.lstm { input = 64, hidden = 64, layers = 2, bidirectional = true },
        nn.recurrent { input = 64, hidden = 64, cell = own_lstm },
      } do
        net:init { seed = 1 }
        local x = random(6, 5, 1, 64)
        net(x) -- compiles what is one's own
        collectgarbage()
        collectgarbage()
        local before = saros.memory().in_use
        do
          local quantised = net:quantised(kind)
          local frozen = saros.memory().in_use
          local y <close> = quantised(x)
          collectgarbage()
          local packed = saros.memory().in_use
          assert.is_true(packed > frozen + net:count() // 2)
          for _ = 1, 3 do
            local again <close> = quantised(x)
            assert.same_values(y, again, 0)
          end
          collectgarbage()
          assert.is_true(saros.memory().in_use <= packed + 4096)
        end
        collectgarbage()
        collectgarbage()
        assert.is_true(saros.memory().in_use <= before + 4096)
      end
    end)

    it("packs nothing in a second call", function()
      local own_lstm = kinds.rows["an LSTM of nn.cell"].options.cell
      local enough = 12000 * (saros.info().real == "double" and 8 or 4) -- for the arrays of a call, in bytes
      local nets = {
        nn.lstm { input = 128, hidden = 128 }, nn.gru { input = 128, hidden = 128, reset = "before" },
        nn.recurrent { input = 128, hidden = 128, cell = own_lstm }, nn.conv1d { 128, 128, kernel = 3 },
      }
      for _, net in ipairs(nets) do
        local quantised, x = net:init { seed = 1 }:quantised(kind), random(8, 3, 1, 128)
        quantised(x)
        collectgarbage()
        collectgarbage()
        core.mark_memory()
        local before = saros.memory().in_use
        quantised(x)
        local taken = saros.memory().recent - before
        assert.is_true(taken < enough, ("%s: %d bytes"):format(net.kind, taken))
        assert.is_true(largest_difference((net(x)), (quantised(x))) > 0)
      end
    end)

    it("gives the same bits on any number of threads", function()
      local quantised = nn.lstm { input = 64, hidden = 96, bidirectional = true }:init { seed = 1 }:quantised(kind)
      local x = random(7, 20, 40, 64)
      local threads, expected = saros.threads(), quantised(x)
      for n = 1, 3 do
        saros.threads(n)
        local y = quantised(x)
        saros.threads(threads)
        assert.same_values(expected, y, 0)
      end
    end)
  end)
end

-- --- Models -----------------------------------------------------------------------------

-- How much the held-out loss, in nats, and the accuracy of a trained model may change.
local LIMITS = { int8 = { loss = 0.02, accuracy = 0.01 }, bf16 = { loss = 0.003, accuracy = 0.01 } }

-- Names of three languages that differ in their syllables, one of ten in the wrong list.
local function names()
  local generator, lists = saros.generator(1), { north = {}, south = {}, west = {} }
  local syllables = {
    north = { "sen", "berg", "ulf", "dal", "rik" }, south = { "ini", "ella", "oro", "dal", "ano" },
    west = { "ez", "ella", "rig", "ano", "berg" },
  }
  for language, parts in pairs(syllables) do
    for n = 1, 200 do
      local name = {}
      for place = 1, 1 + generator:integer(3) do
        name[place] = parts[generator:integer(#parts)]
      end
      local list = generator:integer(10) == 1 and lists.west or lists[language]
      list[#list + 1] = table.concat(name) .. (n % 7 == 0 and "a" or "")
    end
  end
  return data.labelled(lists, { valid = 0.3 })
end

describe("a trained model", function()
  for _, cell in ipairs { "lstm", "gru" } do
    it(("that classifies from both ends, of an %s, loses next to nothing"):format(cell), function()
      local set = names()
      local classifier = nn.classifier { vocabulary = set.vocabulary, labels = set.labels, cell = cell, hidden = 48,
        bidirectional = true, layers = 2, seed = 1 }
      saros.fit(classifier, set, { epochs = 4, batch = 16, lr = 5e-3 })
      local loss, accuracy = saros.evaluate(classifier, set)
      assert.is_true(accuracy > 0.6, accuracy)
      for kind, limit in pairs(LIMITS) do
        local quantised = classifier:quantised(kind)
        local other, right = saros.evaluate(quantised, set)
        assert.is_true(math.abs(other - loss) <= limit.loss, ("%s: %g, not %g"):format(kind, other, loss))
        assert.is_true(math.abs(right - accuracy) <= limit.accuracy, ("%s: %g, not %g"):format(kind, right, accuracy))
        assert.is_true(other ~= loss)
        assert.equal(classifier:classify "rikulf", (quantised:classify "rikulf"))
      end
    end)

    it(("that continues a text, of an %s, loses next to nothing"):format(cell), function()
      local text = data.text("README.md", { valid = 0.1 })
      local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 64, layers = 2, cell = cell, seed = 1 }
      saros.fit(lm, text, { epochs = 3, batch = 16, length = 25, lr = 5e-3 })
      local loss = saros.evaluate(lm, text)
      assert.is_true(loss < 3.2, loss)
      for kind, limit in pairs(LIMITS) do
        local quantised = lm:quantised(kind)
        local other = saros.evaluate(quantised, text)
        assert.is_true(math.abs(other - loss) <= limit.loss, ("%s: %g, not %g"):format(kind, other, loss))
        assert.is_true(other ~= loss)
        assert.is_string(quantised:write { length = 20, prime = "The ", seed = 1 })
      end
    end)
  end

  it("that translates does so when it is quantised", function()
    local pairs_of = { { "a b c", "c b a" }, { "b c", "c b" }, { "c a", "a c" } }
    local set = data.pairs(pairs_of, { valid = 0 })
    local model = nn.encoder_decoder { source = set.source, target = set.target, hidden = 32, bidirectional = true,
      attention = "general", cell = "gru", seed = 1 }
    saros.fit(model, set, { epochs = 60, batch = 3, lr = 1e-2 })
    for _, kind in ipairs { "int8", "bf16" } do
      for _, pair in ipairs(pairs_of) do
        assert.equal(pair[2], model:quantised(kind):translate(pair[1])[1].text)
      end
    end
  end)
end)

-- --- Modules of all sorts -----------------------------------------------------------------

local own = nn.module "own"
function own:forward(x)
  return saros.relu(self.inner(x)) * self.gain
end

local function own_module()
  local self = own.new()
  self.inner = self:add_member("inner", nn.linear { 32, 32 })
  self.gain = self:add_parameter("gain", { 32 }, nn.initialize.constant(2))
  return self
end

local NETS = {
  ["a chain with a convolution, attention and a module of a script"] = function()
    return nn.chain { nn.conv1d { 20, 32, kernel = 3 }, nn.windowed_attention { 32, window = 4, heads = 2 }, saros.tanh,
      own_module(), nn.layer_norm { 32 }, nn.linear { 32, 20 } }
  end,
  ["branches"] = function()
    return nn.branch { nn.linear { 20, 24 }, nn.gru { input = 20, hidden = 24 } }
  end,
}

describe("any net", function()
  for name, build in pairs(NETS) do
    it(("such as %s can be quantised"):format(name), function()
      local net = build():init { seed = 1 }
      for _, B in ipairs { 1, 4 } do
        local x = random(8, 6, B, 20)
        local y, z = net(x), net:quantised "int8"(x)
        assert.is_true(largest_difference(y, z) < 0.1 and largest_difference(y, z) > 0, largest_difference(y, z))
      end
    end)
  end

  it("that saros.load made of a program can be quantised", function()
    local path = os.tmpname()
    local net = nn.chain { nn.gru { input = 20, hidden = 24 }, nn.linear { 24, 20 } }:init { seed = 1 }
    net:save(path)
    local loaded, x = assert(saros.load(path)), random(9, 6, 2, 20)
    os.remove(path)
    assert.same_values(net:quantised "int8"(x), (loaded:quantised "int8"(x)), 1e-2)
  end)
end)

-- --- What it is -----------------------------------------------------------------------------

local function net()
  return nn.chain { nn.lstm { input = 20, hidden = 24 }, nn.linear { 24, 20 } }:init { seed = 1 }
end

local function fails(pattern, f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  assert.is_truthy(message:find(pattern), message)
end

describe("a quantised copy", function()
  it("does not change with the net, nor the net with it", function()
    local original = net()
    local copy, x = original:quantised "int8", random(10, 4, 2, 20)
    local before, expected = copy(x), original(x)
    assert.same_values(expected, original(x), 0)
    for _, parameter in ipairs(original:parameters()) do
      parameter:fill(0)
    end
    assert.same_values(before, copy(x), 0)
  end)

  it("has weights of full precision that nothing can write to", function()
    local original = net()
    local copy = original:quantised "int8"
    assert.equal(original:count(), copy:count())
    for name, tensor in pairs(copy:tensors()) do
      assert.same_values(original:tensors()[name], tensor, 0)
      fails("fill: tensor .* is read%-only", tensor.fill, tensor, 0)
      assert.is_false(tensor:trainable())
    end
  end)

  it("tells its precision, which is that of no other net", function()
    local original = net()
    local copy = original:quantised "bf16"
    assert.equal("bf16", copy:precision())
    assert.equal("real", original:precision())
    copy(random(11, 3, 1, 20))
    assert.equal("real", core.precision())
    assert.is_false(pcall(copy, random(11, 3, 1, 21)))
    assert.equal("real", core.precision())
  end)

  it("keeps parameters that are tied one tensor", function()
    local text = data.text("README.md", { valid = 0.1 })
    local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 32, tie = true, seed = 1 }
    local copy = lm:quantised "int8"
    assert.equal(#lm:parameters(), #copy:parameters())
    assert.equal(lm.vocabulary, copy.vocabulary)
  end)

  it("is made of a member without the net around it", function()
    local original = net()
    local copy = original.members[1].module:quantised "int8"
    assert.equal(0, #copy(random(12, 3, 2, 20)):shape() - 3)
    assert.is_false(copy.place)
  end)

  it("saves what the net would save", function()
    local path, other, original = os.tmpname(), os.tmpname(), net()
    original:save(path)
    original:quantised "int8":save(other)
    local expected, loaded, x = assert(saros.load(path)), assert(saros.load(other)), random(13, 4, 2, 20)
    os.remove(path)
    os.remove(other)
    assert.same_values(expected(x), (loaded(x)), 0)
    assert.is_false(loaded.frozen_as)
  end)

  it("steps in sessions with weights of its kind", function()
    local original, x = net(), random(14, 20):totable()
    local copy = original:quantised "int8"
    assert.same_values(original:session { weights = "int8" }:step(x), copy:session():step(x), 0)
    assert.same_values(original:session():step(x), copy:session { weights = "real" }:step(x), 0)
  end)

  it("refuses a tape, training and all that would change it", function()
    local copy, x = net():quantised "int8", random(15, 4, 2, 20)
    do
      local _ <close> = saros.tape()
      fails("chain: expected no open tape for a quantised net", copy, x)
      local _ <close> = saros.no_gradient()
      copy(x)
    end
    fails("init: expected a net that can change, got a quantised chain", copy.init, copy, { seed = 1 })
    fails("load: expected a net that can change", copy.load, copy, {})
    fails("precision: expected a net that can change", copy.precision, copy, "real")
    fails("learner: expected a net that can change", copy.learner, copy)
    fails("quantised lstm", copy.members[1].module.init, copy.members[1].module, { seed = 1 })
  end)

  it("is refused with another kind, and before there are weights", function()
    fails('quantised: expected "int8" or "bf16" as argument 1, got "int4"', net().quantised,
      net(), "int4")
    local empty = nn.linear { 2, 3 }
    fails("quantised: expected a linear with initialized parameters", empty.quantised, empty, "int8")
  end)
end)
