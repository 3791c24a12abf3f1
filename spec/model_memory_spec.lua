-- What training takes, told before it is taken.

require "spec.support.values"
local commands = require "spec.support.commands"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local BYTES = saros.info().real == "double" and 8 or 4 -- of a number

-- Trains in a process of its own, whose peak is its own: the model's answer
-- beforehand, and the peak.
local TRAIN = [[
  local cell, hidden, layers, B, T = %q, %d, %d, %d, %d
  local text = saros.data.text({ string = ("hello recurrent world. "):rep(B * T // 4) }, { valid = 0 })
  local before = saros.memory().in_use
  local lm = saros.nn.language_model {
    vocabulary = text.vocabulary, cell = cell, hidden = hidden, layers = layers, seed = 1,
  }
  local memory = lm:memory { length = T, batch = B }
  require("saros.core").trim()
  local asked = saros.memory().peak - before
  saros.fit(lm, text, { batch = B, length = T, epochs = 1 })
  print(memory.total, asked, saros.memory().peak - before)
]]

-- Likewise with a cell of one's own: one window's peak, then the answer.
local OWN = [[
  local nn = saros.nn
  local function own_cell(inputs, hidden)
    local Own = nn.module "own"
    function Own:forward(x, state)
      local h = saros.tanh((x .. state[1]):matmul(self.W))
      return h, { h }
    end
    local self = Own.new()
    self.W = self:add_parameter("W", { inputs + hidden, hidden }, nn.initialize.matrix(0.1))
    return self
  end
  local net = nn.recurrent { 20, 50, cell = own_cell, layers = 2 }:init { seed = 1 }
  local function loss(T, B)
    local y = net(saros.zeros(T, B, 20))
    return (y * y):mean()
  end
  collectgarbage "stop"
  local before = saros.memory().in_use
  do
    local tape <close> = saros.tape()
    tape:backward(loss(20, 40))
  end
  local peak = saros.memory().peak - before
  net:clear_gradients()
  local memory = net:memory { length = 20, batch = 40, loss = loss, optimizer = "sgd" }
  print(memory.activations + memory.backward, peak, memory.total - memory.parameters - memory.moments)
]]

-- The most that one window of a model takes beside what is there.
local function measured(net, loss, T, B)
  collectgarbage()
  collectgarbage()
  core.trim()
  collectgarbage "stop"
  local before = saros.memory().in_use
  do
    local tape <close> = saros.tape()
    tape:backward(loss(T, B))
  end
  local after = saros.memory() -- every block that was needed is in use or pooled
  collectgarbage "restart"
  net:clear_gradients()
  return after.in_use + after.pooled - before
end

describe("the memory that a model foretells", function()
  for _, case in ipairs {
    { "rnn", 128, 2, 50, 50 }, { "lstm", 96, 1, 33, 35 }, { "lstm", 64, 2, 20, 100 }, { "gru", 128, 3, 24, 30 },
    { "gru", 200, 1, 64, 20 }, { "mingru", 128, 2, 24, 60 }, { "lru", 64, 2, 50, 100 },
  } do
    it(("is what training takes, within 5 %%: %s %d, %d layers, %d rows of %d steps"):format(
      table.unpack(case)), function()
      local output = commands.succeed("-e", TRAIN:format(table.unpack(case)))
      local foretold, asked, peak = output:match "^(%d+)%s+(%d+)%s+(%d+)"
      assert.near(1, foretold / peak, 0.05, output)
      assert.is_true(asked / peak < 0.5, output) -- it does not take what it foretells
    end)
  end

  it("holds for cells of one's own and for any loss", function()
    local output = commands.succeed("-e", OWN)
    local window, peak, rest = output:match "^(%d+)%s+(%d+)%s+(%d+)"
    -- Products of many rows work on packed copies, which few rows do not show.
    assert.is_true(window / peak < 1.05 and peak - window < 2 << 20, output)
    assert.equal(window, rest)
  end)

  it("goes along a line where the number of blocks depends on the rows", function()
    local linear = nn.linear { 100, 100 }:init { seed = 1 }
    local function loss(_, B)
      local sum = 0
      for _ = 1, B do
        sum = sum + linear(saros.ones(10, 100)):tanh():sum()
      end
      return sum
    end
    local memory = linear:memory { length = 1, batch = 80, loss = loss }
    assert.near(1, (memory.activations + memory.backward) / measured(linear, loss, 1, 80), 0.05)
  end)

  it("counts parameters, gradients and what the optimizer remembers", function()
    local net = nn.lstm { 32, 64 }:init { seed = 1 }
    for optimizer, moments in pairs { sgd = 1, rmsprop = 1, adam = 2, adamw = 2 } do
      local memory = net:memory { length = 3, batch = 2, optimizer = optimizer }
      assert.is_true(memory.parameters >= net:count() * BYTES and memory.parameters < net:count() * BYTES * 1.125)
      assert.equal(memory.parameters, memory.gradients)
      assert.equal(moments * memory.parameters, memory.moments)
      assert.is_true(memory.backward >= memory.gradients)
    end
  end)

  it("leaves the model, its gradients, its generators and the collector as they were", function()
    local net = nn.lstm { 3, 4, layers = 2, dropout = 0.5 }:init { seed = 1 }
    local first = net:parameters()[1]
    do
      local tape <close> = saros.tape()
      tape:backward((first * first):sum())
    end
    local parameters, gradient = {}, first:gradient():totable()
    for name, tensor in pairs(net:tensors()) do
      parameters[name] = tensor:totable()
    end
    local generator = net.generator:state()
    net:memory { length = 5, batch = 3 }
    for name, tensor in pairs(net:tensors()) do
      assert.same(parameters[name], tensor:totable())
    end
    assert.same(gradient, first:gradient():totable())
    assert.is_nil(net:parameters()[2]:gradient())
    assert.equal(generator, net.generator:state())
    assert.is_true(collectgarbage "isrunning")
  end)

  it("does so, too, when the loss raises an error", function()
    local net = nn.linear { 3, 4 }:init { seed = 1 }
    do
      local tape <close> = saros.tape()
      tape:backward(net.bias:sum())
    end
    assert.error_matches(function()
      net:memory { length = 5, batch = 3, loss = function() error("from within", 0) end }
    end, "^from within$")
    assert.same({ 1, 1, 1, 1 }, net.bias:gradient():totable())
    assert.is_true(collectgarbage "isrunning")
    assert.is_true(nn.rnn { 2, 2 }:init({ seed = 1 }):memory({ length = 2, batch = 2 }).total > 0)
  end)

  it("is told of encoder-decoders", function()
    local vocabulary = saros.data.text({ string = "abcabc" }, { valid = 0 }).vocabulary
    local net = nn.encoder_decoder { source = vocabulary, target = vocabulary, hidden = 8, attention = "dot", seed = 1 }
    local memory = net:memory { length = 6, batch = 16 }
    assert.is_true(memory.activations > 2 * 6 * 16 * 8 * BYTES)
  end)

  it("is enough for padded batches", function()
    local letters = saros.data.text({ string = "abcabc" }, { valid = 0 }).vocabulary
    local classifier = nn.classifier { vocabulary = letters, labels = { "a", "b" }, hidden = 32, layers = 2 }
    local translator = nn.encoder_decoder { source = letters, target = letters, hidden = 32, cell = "gru", layers = 2 }
    for model, batch_of in pairs {
      [classifier] = function(ids, lengths) return { inputs = ids, labels = ids:select(1, 1), lengths = lengths } end,
      [translator] = function(ids, lengths)
        return { sources = ids, targets = ids, source_lengths = lengths, target_lengths = lengths }
      end,
    } do
      local told = model:memory { length = 40, batch = 32 }
      local needed = model:memory { length = 40, batch = 32, loss = function(T, B)
        local lengths = {}
        for row = 1, B do
          lengths[row] = T - row % 7
        end
        return (model:window_loss(batch_of(saros.zeros(T, B, 1):argmax(-1), lengths)))
      end }
      assert.is_true(told.total >= 0.998 * needed.total, ("%d of %d"):format(told.total, needed.total))
    end
  end)

  it("reads as a table", function()
    local text = tostring(nn.gru({ 8, 8 }):init({ seed = 1 }):memory { length = 3, batch = 2 })
    assert.matches("^training on 3 steps of 2 rows\nparameters +%d+%.%d MiB\nmoments of the optimizer +", text)
    assert.matches("\nin all +%d+%.%d MiB$", text)
  end)

  it("is refused without a loss, and of one that is none", function()
    local linear = nn.linear { 2, 2 }:init { seed = 1 }
    assert.error_matches(function()
      linear:memory { length = 2, batch = 2 }
    end, "memory: expected option 'loss', a function .*, for a linear$")
    assert.error_matches(function()
      linear:memory { length = 2, batch = 2, loss = function() return 1 end }
    end, "memory: expected option 'loss' to return a tensor, got 1$")
    assert.error_matches(function()
      linear:memory { length = 2 }
    end, "memory: expected option 'batch', a positive integer")
  end)

  it("is told while a tape is open, and changes no gradient", function()
    local linear = nn.linear { 2, 2 }:init { seed = 1 }
    local function loss(T, B)
      return linear(saros.ones(T, B, 2)):sum()
    end
    local alone = linear:memory { length = 2, batch = 2, loss = loss }
    local tape <close> = saros.tape()
    local y = linear.bias:sum()
    assert.equal(alone.activations, linear:memory({ length = 2, batch = 2, loss = loss }).activations)
    tape:backward(y)
    assert.same({ 1, 1 }, linear.bias:gradient():totable())
  end)
end)
