-- Products in bf16: what is rounded, what is not, and when.

local files = require "spec.support.files"
local folders = require "spec.support.folders"
local gradients = require "spec.support.gradients"
local recurrent_kinds = require "spec.support.recurrent_kinds"
require "spec.support.values"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local T, B, INPUTS, HIDDEN = 6, 80, 48, 32

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

--- x rounded to bf16, to nearest even, by the bits of a float.
local function rounded(x)
  local numbers = x:reshape(-1):totable()
  for n, number in ipairs(numbers) do
    local bits = string.unpack("<I4", string.pack("<f", number))
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000
    numbers[n] = string.unpack("<f", string.pack("<I4", bits))
  end
  return saros.tensor(numbers):reshape(x:shape())
end

--- The weights of products become what bf16 makes of them.
local function round_weights(net)
  for name, tensor in pairs(net:tensors()) do
    if tensor:rank() == 2 and not name:find "peephole" and not name:find "taps" and not name:find "weight_gates" then
      tensor:assign(rounded(tensor))
    end
  end
  return net
end

--- |a - b| / |b|, over all elements.
local function distance(a, b)
  local off = a - b
  return ((off * off):sum():item() / (b * b):sum():item()) ^ 0.5
end

local function leaves(y, state)
  local list = recurrent_kinds.leaves(state or {})
  table.insert(list, 1, y)
  return list
end

--- What a net gives for a sequence, its gradients, and those of x, by name.
local function results(net, x, kind)
  net:clear_gradients()
  local found = {}
  local tape <close> = saros.tape()
  tape:watch(x)
  local outputs = leaves(net:precision(kind)(x))
  local loss = 0
  for n, output in ipairs(outputs) do
    found["output " .. n] = output:detach():clone()
    loss = loss + (output * random(n, table.unpack(output:shape()))):sum()
  end
  tape:backward(loss)
  for name, tensor in pairs(net:tensors()) do
    found[name] = tensor:gradient() and tensor:gradient():clone()
  end
  found.x = x:gradient():clone()
  return found
end

local function assert_same(expected, actual)
  for what, tensor in pairs(expected) do
    assert.same_values(tensor, actual[what], 0)
  end
end

local kinds = {
  ["lstm with peepholes"] = { new = "lstm", peepholes = true },
  ["lstm with a projection, both ways"] = { new = "lstm", projection = 24, bidirectional = true },
  ["lstm with layer norm"] = { new = "lstm", layer_norm = true },
  ["gru, reset before the product"] = { new = "gru", reset = "before" },
  ["gru with layer norm, both ways"] = { new = "gru", layer_norm = true, bidirectional = true },
  ["rnn with residual connections"] = { new = "rnn", residual = true, learn_state = true },
  ["a cell of nn.cell"] = { new = "recurrent", cell = recurrent_kinds.rows["a cell of nn.cell"].options.cell },
  ["an LSTM of nn.cell, both ways"] = {
    new = "recurrent", cell = recurrent_kinds.rows["an LSTM of nn.cell"].options.cell, bidirectional = true },
  ["a cell of one's own"] = { new = "recurrent", cell = recurrent_kinds.rows["a cell of one's own"].options.cell },
}
for _, cell in ipairs(require "saros.nn.cells.list") do
  kinds[cell] = { new = cell }
end

local function build(kind)
  local given = { input = INPUTS, hidden = HIDDEN, layers = 2 }
  for name, value in pairs(kind) do
    given[name] = value
  end
  given.new = nil
  return nn[kind.new](given):init { seed = 3 }
end

for name, kind in pairs(kinds) do
  describe(("a recurrent net in bf16 (%s)"):format(name), function()
    it("is near the real one, and so are its gradients", function()
      local net, x = build(kind), random(1, T, B, INPUTS)
      local real, narrow = results(net, x, "real"), results(net, x, "bf16")
      for what, expected in pairs(real) do
        local off = distance(narrow[what], expected)
        assert.is_true(off < 5e-2, what .. " is off by " .. off)
        local is_plain = name == "mlstm" and what == "output 3" -- m, of gates too few to be rounded
        assert.is_true(off > 1e-5 or is_plain, what .. " is rounded")
      end
    end)

    if name ~= "lru" then -- whose weights are made of its parameters
      it("rounds its weights, and no more than once", function()
        local net, x = build(kind), random(1, T, B, INPUTS)
        local narrow = results(net, x, "bf16")
        assert_same(narrow, results(round_weights(net), x, "bf16"))
      end)
    end

    it("has the same bits for any number of threads", function()
      local threads, net, x = core.threads(), build(kind), random(1, T, B, INPUTS)
      local seen = {}
      for count = 1, 3 do
        core.threads(count)
        seen[count] = results(net, x, "bf16")
      end
      core.threads(threads)
      assert_same(seen[1], seen[2])
      assert_same(seen[1], seen[3])
    end)

    it("rounds in steps alone, too", function()
      local net, x = build(kind), random(1, T, B, INPUTS)
      for steps = 1, 2 do
        local part = x:slice(1, 1, steps):clone()
        local whole, real = net:precision "bf16"(part), net:precision "real"(part)
        local off = distance(whole, real)
        local most = (name == "delta" or name == "mlstm") and 2e-2 or 1e-2 -- they norm what they read
        assert.is_true(off > 1e-5 and off < most, ("%d steps are off by %g"):format(steps, off))
      end
    end)
  end)
end

describe("a linear layer in bf16", function()
  local rows, inputs, outputs = 50, 40, 70

  local function run(layer, x, dy)
    layer:clear_gradients()
    local tape <close> = saros.tape()
    tape:watch(x)
    local y = layer(x)
    tape:backward(y, dy)
    return { y = y:detach(), x = x:gradient():clone(), weight = layer.weight:gradient():clone(),
      bias = layer.bias:gradient():clone() }
  end

  it("is the product of rounded operands, forward and back, with a bias that is not", function()
    local layer = nn.linear { inputs, outputs }:init { seed = 1 }
    layer.bias:assign(random(4, outputs))
    local x, dy = random(2, rows, inputs), random(3, rows, outputs)
    local real = run(layer, x, dy)
    local narrow = run(layer:precision "bf16", x, dy)
    round_weights(layer):precision "real"
    local twin = run(layer, rounded(x), rounded(dy))
    local tolerance = gradients.is_double and 1e-12 or 1e-5
    for _, what in ipairs { "y", "x", "weight" } do
      assert.same_values(twin[what], narrow[what], tolerance)
      assert.is_true(distance(real[what], narrow[what]) > 1e-4, what)
    end
    assert.same_values(real.bias, narrow.bias, 0)
  end)

  it("is real where the product is small", function()
    local layer, x = nn.linear { 20, 20 }:init { seed = 1 }, random(2, 40, 20)
    local y = layer(x)
    assert.same_values(y, layer:precision "bf16"(x), 0)
  end)

  it("learns steps that bf16 could not hold", function()
    local layer = nn.linear { inputs, outputs }:init { seed = 1 }:precision "bf16"
    layer.weight:assign(saros.zeros(outputs, inputs) + 1)
    local rate = 1e-4
    local optimizer = saros.optim.sgd(layer:parameters(), { lr = rate })
    run(layer, saros.zeros(rows, inputs) + 1, saros.zeros(rows, outputs) + 1 / rows)
    optimizer:step()
    assert.same_values(saros.zeros(outputs, inputs) + (1 - rate), layer.weight, 1e-6)
  end)
end)

describe("matmul in bf16", function()
  it("rounds either operand however it lies", function()
    local a, b = random(1, 60, 50), random(2, 50, 40)
    local tolerance = gradients.is_double and 1e-12 or 1e-5
    local expected = rounded(a):matmul(rounded(b))
    local turned_a, turned_b = a:transpose(1, 2):clone():transpose(1, 2), b:transpose(1, 2):clone():transpose(1, 2)
    for _, left in ipairs { a, turned_a } do
      for _, right in ipairs { b, turned_b } do
        local before = core.precision "bf16"
        local y = left:matmul(right)
        core.precision(before)
        assert.same_values(expected, y, tolerance)
      end
    end
  end)
end)

describe("net:precision", function()
  local function layer(seed)
    return nn.linear { 48, 48 }:init { seed = seed }
  end

  local x = random(5, 64, 48)

  it("tells the present one, and is real at first", function()
    local net = layer(1)
    assert.equal("real", net:precision())
    assert.equal(net, net:precision "bf16")
    assert.equal("bf16", net:precision())
  end)

  it("refuses what is no precision, and int8", function()
    assert.has_error(function()
      layer(1):precision "bf15"
    end, 'precision: expected "real" or "bf16" as argument 1, got "bf15"; did you mean \'bf16\'?')
    assert.has_error(function()
      layer(1):precision "int8"
    end, 'precision: expected "real" or "bf16" as argument 1, got "int8", which has no gradients; '
      .. 'net:quantised "int8" returns a copy for inference in it')
  end)

  it("holds for what is below, but for what has one of its own", function()
    local inner, other = layer(1), layer(2)
    local net = nn.chain { inner, saros.tanh, other }
    local real = net(x)
    net:precision "bf16"
    assert.equal("bf16", inner:precision())
    local both = net(x)
    other:precision "real"
    local first = net(x)
    inner:precision "real"
    assert.same_values(real, net(x), 0)
    assert.is_true(distance(first, real) > 1e-5 and distance(first, both) > 1e-5)
  end)

  it("holds for a part that is called by itself", function()
    local inner = layer(1)
    local real = inner(x)
    nn.chain { inner }:precision "bf16"
    assert.is_true(distance(inner(x), real) > 1e-5)
  end)

  it("ends with the call, also when that raises", function()
    local Failing = nn.module "failing"
    local seen
    function Failing:forward(input) -- luacheck: ignore 212
      seen = core.precision()
      error("no " .. input)
    end
    local net = Failing.new():precision "bf16"
    assert.has_error(function() net "luck" end)
    assert.equal("bf16", seen)
    assert.equal("real", core.precision())
  end)

  it("of the call is that of the way back", function()
    local net, dy = layer(1), random(6, 64, 48)
    local function weights_after(change)
      net:clear_gradients()
      local tape <close> = saros.tape()
      local y = net(x)
      change()
      tape:backward(y, dy)
      return net.weight:gradient():clone()
    end
    local real = weights_after(function() net:precision "bf16" end)
    local narrow = weights_after(function() net:precision "real" end)
    assert.same_values(rounded(dy):transpose(1, 2):matmul(rounded(x)), narrow, gradients.is_double and 1e-12 or 1e-5)
    assert.same_values(dy:transpose(1, 2):matmul(x), real, gradients.is_double and 1e-12 or 1e-5)
    assert.equal("real", core.precision())
  end)

  it("of the call is that of an operation's own way back", function()
    local seen
    local twice = saros.operation { name = "twice", forward = function(a) return a * 2 end, backward = function(dy)
      seen = core.precision()
      return dy * 2
    end }
    local Twice = nn.module "twice"
    function Twice:forward(a) return twice(a) end -- luacheck: ignore 212
    local net = Twice.new():precision "bf16"
    local a = random(1, 3)
    local tape <close> = saros.tape()
    tape:watch(a)
    tape:backward(net(a):sum())
    assert.equal("bf16", seen)
    assert.equal("real", core.precision())
  end)

  it("is no part of a model file, whose model takes one", function()
    local path = os.tmpname()
    local net = nn.chain { nn.gru { 48, 64 }, nn.linear { 64, 48 } }:init { seed = 2 }:precision "bf16"
    net.input = 48
    assert(net:save(path))
    local loaded = assert(saros.load(path))
    os.remove(path)
    assert.equal("real", loaded:precision())
    local sequence = random(1, 10, 64, 48)
    assert.is_true(distance(loaded(sequence), (net(sequence))) > 1e-4)
    assert.same_values((net(sequence)), (loaded:precision "bf16"(sequence)), 1e-6)
  end)

  it("reaches the products of attention", function()
    local net = nn.windowed_attention { 48, heads = 2, window = 8 }:init { seed = 1 }
    local sequence = random(1, 40, 20, 48)
    local real, narrow = net(sequence), net:precision "bf16"(sequence)
    assert.is_true(distance(narrow, real) > 1e-4 and distance(narrow, real) < 2e-2)
  end)
end)

describe("a cell of nn.cell in bf16", function()
  local cell = recurrent_kinds.rows["an LSTM of nn.cell"].options.cell

  it("is the same compiled and step by step", function()
    local net = build { new = "recurrent", cell = cell }
    local x = random(1, T, B, INPUTS)
    local whole = net:precision "bf16"(x)
    assert.is_true(net:compiled())
    local real = net:precision "real"(x)
    net:precision "bf16"
    local state
    local off = 0
    for t = 1, T do
      local y
      y, state = net(x:slice(1, t, t):clone(), state)
      off = off + (y - whole:slice(1, t, t)):abs():mean():item() / T
    end
    -- h before is another one in its last digit here and there, so bf16 may round it differently
    assert.is_true(off < 1e-6, off)
    assert.is_true((whole - real):abs():mean():item() > 1e-5)
  end)

  it("does not keep the precision of the call that compiled it", function()
    local x = random(1, T, B, INPUTS)
    local first, second = build { new = "recurrent", cell = cell }, build { new = "recurrent", cell = cell }
    first:precision "bf16"
    local narrow = first(x)
    local real = second(x)
    first:precision "real"
    second:precision "bf16"
    assert.same_values(real, first(x), 0)
    assert.same_values(narrow, second(x), 0)
  end)
end)

describe("fit in bf16", function()
  local text = saros.data.text({ string = ("the quick brown fox jumps over the lazy dog. "):rep(40) }, { valid = 0.2 })

  local function new_model()
    return nn.language_model { vocabulary = text.vocabulary, cell = "gru", hidden = 48, dropout = 0.2, seed = 1 }
  end

  local function train(model, given)
    for name, value in pairs { epochs = 2, batch = 32, length = 10, sample = 0 } do
      given[name] = given[name] or value
    end
    return saros.fit(model, text, given)
  end

  local function digests(model)
    local list = {}
    for name, tensor in pairs(model:tensors()) do
      list[name] = tensor:digest()
    end
    return list
  end

  it("learns as much as in real products, from other gradients", function()
    local real, narrow = new_model(), new_model()
    local expected, history = train(real, {}), train(narrow, { precision = "bf16" })
    assert.is_true(math.abs(expected[2].valid - history[2].valid) < 0.02)
    assert.is_true(expected[1].train ~= history[1].train)
    assert.equal("real", core.precision())
    assert.equal("real", narrow:precision())
    assert.is_true(math.abs(saros.evaluate(narrow, text) - history[2].valid) < 1e-6)
  end)

  it("is refused in what is no precision", function()
    assert.has_error(function()
      train(new_model(), { precision = "int8" })
    end, 'fit: expected option \'precision\' to be "real" or "bf16", got "int8", which has no gradients; '
      .. 'net:quantised "int8" returns a copy for inference in it')
  end)

  it("is told where there is something to train", function()
    local run, told = folders.unused(), {}
    for call = 1, 2 do
      local file = assert(io.tmpfile())
      train(new_model(), { epochs = 1, precision = "bf16", run = run, progress = saros.progress { file = file } })
      file:seek "set"
      told[call] = file:read "a"
      file:close()
    end
    folders.remove(run)
    local line = "products in bf16; weights, sums and the held-out loss are real\n"
    assert.matches(line, told[1], 1, true)
    assert.is_nil(told[2]:find(line, 1, true), told[2])
  end)

  it("goes on in a folder of a version without it", function()
    local run = folders.unused()
    train(new_model(), { run = run, epochs = 1 })
    local written = assert(core.json_decode(files.read(run .. "/config.json")))
    assert.equal("real", written.training.precision)
    written.training.precision = nil
    files.write(run .. "/config.json", core.json_encode(written))
    assert.equal(2, #train(new_model(), { run = run }))
    folders.remove(run)
  end)

  it("goes on with the same bits where it was stopped, and in no other precision", function()
    local run = folders.unused()
    local whole, model = new_model(), new_model()
    train(whole, { precision = "bf16" })
    local updates = 0
    local function stop()
      updates = updates + 1
      if updates == 3 then
        error "enough"
      end
    end
    local given = { precision = "bf16", run = run, checkpoint = { steps = 1 } }
    given.on_window = stop
    assert.is_false((pcall(train, model, given)))
    given.on_window = nil
    train(new_model(), given)
    assert.same(digests(whole), digests(assert(saros.load(run .. "/model.safetensors")))) -- of the best epoch
    local again = new_model()
    train(again, given)
    assert.same(digests(whole), digests(again))
    local ok, message = pcall(train, new_model(), { run = run })
    folders.remove(run)
    assert.is_false(ok)
    assert.matches("training.precision: bf16 then, real now", message, 1, true)
  end)

  it("goes on with no other mark of net:precision", function()
    local run, marked = folders.unused(), new_model():precision "bf16"
    train(marked, { run = run, epochs = 1 })
    train(new_model():precision "bf16", { run = run, epochs = 2 })
    local problems = {}
    for n, model in ipairs { new_model(), new_model():precision "real" } do
      problems[n] = select(2, pcall(train, model, { run = run, epochs = 3 }))
    end
    folders.remove(run)
    assert.matches("model.precision.all: bf16 then, none now", problems[1], 1, true)
    assert.matches("model.precision.all: bf16 then, real now", problems[2], 1, true)
  end)

  it("writes checkpoints like those of real products", function()
    local sizes = {}
    for _, kind in ipairs { "real", "bf16" } do
      local run = folders.unused()
      train(new_model(), { precision = kind, run = run, epochs = 1 })
      local names = {}
      for name, tensor in pairs(assert(core.read_tensors(run .. "/model.safetensors"))) do
        names[name] = tensor:shape()
      end
      sizes[kind] = names
      folders.remove(run)
    end
    assert.same(sizes.real, sizes.bf16)
  end)
end)
