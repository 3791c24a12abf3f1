-- What training and looking hold on to, with the stock collector settings and
-- without a word to the collector.
--
-- SAROS_STEPS=172800000 build/saros spec/busted.lua spec/memory_spec.lua   an hour of sound, not of a sensor

local saros = require "saros"
local core = require "saros.core"

local STEPS = math.tointeger(tonumber(os.getenv "SAROS_STEPS")) or 360000 -- an hour of 100 events a second
local BYTES = saros.info().real == "double" and 8 or 4 -- of a number

-- Pages that the process really has in memory, or nil where there is no /proc.
local function resident_pages()
  local file <close> = io.open("/proc/self/statm")
  return file and file:read("n", "n") and tonumber(file:read("n")) or nil
end

-- As a script would train; calls `after` with the number of windows done.
local function train(windows, sizes, after)
  local text = saros.data.text { string = ("hello recurrent world. "):rep(2000) }
  local lm = saros.nn.language_model {
    vocabulary = text.vocabulary, hidden = sizes.hidden, layers = 2, seed = 1,
  }
  local adam = saros.optim.adam(lm:parameters(), { lr = 1e-3 })
  local done, state = 0, nil
  while done < windows do
    for window in text:windows { batch = sizes.batch, length = sizes.length } do
      local tape <close> = saros.tape()
      local logits
      logits, state = lm(window.inputs, state)
      tape:backward(saros.cross_entropy(logits, window.targets))
      saros.optim.clip_norm(lm:parameters(), 5)
      adam:step()
      done = done + 1
      after(done)
      if done == windows then
        break
      end
    end
  end
end

describe("memory", function()
  it("stays flat over 10,000 windows", function()
    local early, late
    train(10000, { hidden = 16, batch = 4, length = 8 }, function(done)
      if done == 2 then
        early = resident_pages()
      elseif done == 10000 then
        late = resident_pages()
      end
    end)
    if early then
      assert.is_true(late <= early * 1.05, ("%d pages, then %d"):format(early, late))
    end
  end)

  it("stays flat over an hour of a stream that a session steps", function()
    local nn = saros.nn
    local model = nn.chain { nn.lstm { 1, 32 }, nn.linear { 32, 1 } }:init { seed = 1 }
    local session, early, used = model:session(), nil, nil
    for t = 1, STEPS do
      session:step(math.sin(0.01 * t))
      if t == 1000 then
        early, used = resident_pages(), saros.memory().in_use
      end
    end
    assert.equal(used, saros.memory().in_use)
    if early then
      local late = resident_pages()
      assert.is_true(late <= early * 1.05, ("%d pages, then %d"):format(early, late))
    end
  end)

  it("of large windows is reused, not asked for again", function()
    local early, late
    train(40, { hidden = 128, batch = 64, length = 64 }, function(done)
      if done == 10 then
        early = saros.memory()
      elseif done == 40 then
        late = saros.memory()
      end
    end)
    -- a tensor more or less may wait for the collector, whose pace depends on
    -- what other specs left
    assert.is_true(late.in_use + late.pooled <= 1.01 * (early.in_use + early.pooled))
    assert.is_true(late.peak <= 1.01 * early.peak)
  end)

  it("of rounded weights is told to the collector", function()
    local w = saros.ones(500, 500)
    collectgarbage()
    local before, most = saros.memory().in_use, 0
    for _ = 1, 200 do
      local rows <const> = core.round_weights(w, "int8")
      assert.equal(500, rows:size(1))
      most = math.max(most, saros.memory().in_use)
    end
    assert.is_true(most - before <= 100 * 500 * 500 * BYTES, most)
  end)

  it("of a tape is given back when it is closed, before any collection", function()
    local w = saros.ones(100, 100):trainable(true)
    local tape = saros.tape()
    local y = saros.ones(1000, 100)
    for _ = 1, 10 do
      y = y:matmul(w):tanh()
    end
    collectgarbage()
    collectgarbage() -- now only the tape keeps the activations
    local recorded = saros.memory().in_use
    tape:close()
    assert.is_true(recorded - saros.memory().in_use >= 9 * 1000 * 100 * 4)
  end)

  it("of a window's garbage is given back before the next window is large", function()
    collectgarbage()
    collectgarbage()
    local w, bytes = saros.ones(1):trainable(true), 1e6 * BYTES
    local before, first = saros.memory().in_use, nil
    for index = 1, 6 do
      local tape <close> = saros.tape()
      local x = saros.ones(1000, 1000) * w
      for _ = 1, 10 do
        local read <close> = x
        x = read:tanh()
      end
      local most = saros.memory().in_use - before
      first = first or most
      assert.is_true(most < first + bytes / 2, ("window %d: %d bytes, not %d"):format(index, most, first))
      tape:backward(x:sum())
      w:clear_gradient()
    end
  end)

  it("of a forward pass without a tape is that of its results alone", function()
    local text = saros.data.text { string = ("hello recurrent world. "):rep(200) }
    local ids = saros.generator(1):categorical(saros.ones(100, 1, #text.vocabulary))
    for _, options in ipairs { { layers = 3 }, { layers = 2, dropout = 0.5 } } do
      options.vocabulary, options.hidden = text.vocabulary, 64
      local lm = saros.nn.language_model(options)
      collectgarbage "stop"
      local before = saros.memory().in_use
      local logits, state = lm(ids)
      local grown = saros.memory().in_use - before
      collectgarbage "restart"
      assert.equal(options.layers, #state)
      local bytes = logits:count() * BYTES
      assert.is_true(grown < bytes + 100 * 64 * BYTES / 2, ("%d bytes for %d"):format(grown, bytes))
    end
  end)

  it("of garbage tensors is bounded in both modes of the collector", function()
    local mode = collectgarbage "incremental"
    for _, name in ipairs { "incremental", "generational" } do
      collectgarbage(name)
      local most = 0
      for _ = 1, 500 do
        local x = saros.zeros(100, 1000)
        most = math.max(most, saros.memory().in_use)
        assert.equal(100, #x)
      end
      collectgarbage(mode)
      assert.is_true(most < 64e6, ("%s: %d bytes in use"):format(name, most))
    end
  end)

  it("that a tape holds makes no work for the collector, and is counted", function()
    local cycles, counting = 0, true
    local function sentinel() -- tells when a cycle ends, and is replaced
      setmetatable({}, { __gc = function()
        cycles = cycles + 1
        if counting then
          sentinel()
        end
      end })
    end
    collectgarbage()
    collectgarbage()
    local before = saros.memory()
    local x = saros.zeros(250, 1000)
    sentinel()
    do
      local tape <close> = saros.tape()
      local y = tape:watch(x)
      for _ = 1, 60 do
        y = y:tanh()
      end
      local during = saros.memory()
      assert.is_true(during.taped - before.taped >= 60 * 250e3 * BYTES)
      assert.is_true(during.in_use >= during.taped)
    end
    counting = false
    assert.is_true(cycles <= 1, cycles .. " cycles")
    assert.equal(before.taped, saros.memory().taped)
  end)

  it("counts what is in use, its peak and what is pooled", function()
    collectgarbage()
    collectgarbage()
    core.trim()
    local before = saros.memory()
    do
      local x <close> = saros.zeros(1000, 1000)
      local during = saros.memory()
      assert.is_true(during.in_use - before.in_use >= x:count() * 4)
      assert.is_true(during.peak >= during.in_use)
    end
    assert.is_true(saros.memory().pooled - before.pooled >= 4e6)
    core.trim()
    assert.equal(0, saros.memory().pooled)
  end)
end)
