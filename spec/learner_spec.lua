-- A learner tells, then learns: the same as the loop over windows would, for as
-- long as the stream goes on.

local saros = require "saros"
require "spec.support.values"
local nn, optim = saros.nn, saros.optim

-- Sums of a session are taken in another order than those of the model.
local TOLERANCE = saros.info().real == "double" and 1e-12 or 1e-5

local function regressor(make, given)
  local o = { 2, 6, dropout = given and given.dropout, layers = given and given.layers }
  return nn.chain { make(o), nn.linear { 6, 3 } }:init { seed = 1 }
end

local function attention(sizes)
  return nn.chain { nn.linear { sizes[1], sizes[2] }, nn.windowed_attention { sizes[2], 4, heads = 2 } }
end

local function speaker()
  return nn.chain { nn.embedding { 7, 4 }, nn.lstm { 4, 10 }, nn.linear { 10, 7 } }:init { seed = 2 }
end

local function assert_same_weights(expected, actual, tolerance)
  for position, parameter in ipairs(expected:parameters()) do
    assert.same_values(parameter, actual:parameters()[position], tolerance)
  end
end

-- What a learner should do with x (T, B, F) and targets (T, B, O), in plain words.
local function learn_by_hand(model, x, targets, window, every, clip)
  local adam, T, state, first = optim.adam(model:parameters(), { lr = 1e-2 }), x:size(1), nil, 1
  for last = every, T, every do
    local tape <close> = saros.tape()
    local y, border
    if last - first + 1 == window then
      y, border = model(x:slice(1, first, first + every - 1), state)
      if window > every then
        y = model(x:slice(1, first + every, last), border)
      end
    else
      y = model(x:slice(1, first, last), state)
    end
    local n = y:size(1)
    tape:backward(saros.mse(y:slice(1, n - every + 1, n), targets:slice(1, last - every + 1, last)))
    optim.clip_norm(model:parameters(), clip)
    adam:step()
    if border then
      state, first = border, first + every
    end
  end
end

-- A learner of two streams of the model, the twin of which tells what to expect.
local function begins_anew(model, twin)
  local x, targets = saros.generator(1):normal { 8, 2, 2 }, saros.generator(2):normal { 8, 2, 3 }
  local s = model:learner { streams = 2, window = 8, lr = 1e-2 }
  local reset = saros.zeros(8, 2)
  reset[4][2] = 1
  local expected = twin(x, nil, { reset = reset })
  for t = 1, 8 do
    if t == 4 then
      assert.equal(s, s:reset(2))
    end
    assert.same_values(expected[t], s:learn(x[t], targets[t]), TOLERANCE)
  end
  local tape <close> = saros.tape()
  tape:backward(saros.mse(twin(x, nil, { reset = reset }), targets))
  optim.clip_norm(twin:parameters(), 5)
  optim.adam(twin:parameters(), { lr = 1e-2 }):step()
  assert_same_weights(twin, model, 0)
  s:step(x[1])
  s:reset()
  assert.same_values(model(x:slice(1, 1, 1))[1], s:step(x[1]), TOLERANCE)
  assert.error_matches(function() s:reset(3) end, "reset: expected a row in 1..2")
  assert.error_matches(function() regressor(nn.gru):learner({ delay = 1 }):reset(1) end,
    "reset: expected no row, since delay = 1, got 1")
end

-- From a snapshot of a learner of the model the same follows each time.
local function goes_back(model)
  local s = model:learner { window = 8, every = 2, delay = 1, lr = 1e-2, guard = 2 }
  local function run(seed, steps)
    local generator, told = saros.generator(seed), {}
    for t = 1, steps do
      local y, loss = s:learn(generator:normal { 2 }, generator:normal { 3 })
      told[t] = { y:clone(), loss }
    end
    return require("spec.support.values").fingerprint { told, model:tensors() }
  end
  run(1, 13)
  local snapshot = s:snapshot()
  local first = run(2, 21)
  for _ = 1, 2 do
    run(3, 5)
    assert.equal(s, s:restore(snapshot))
    assert.equal(first, run(2, 21))
  end
  assert.error_matches(function() s:restore {} end, "restore: expected a snapshot of this learner, got a table")
  assert.error_matches(function() s:restore(nil) end, "restore: expected a snapshot of this learner, got nil")
end

describe("a learner", function()
  it("learns what the loop over windows learns, to the last bits", function()
    for _, make in ipairs { nn.rnn, nn.lstm, nn.gru, attention } do
      for _, size in ipairs { { 5, 5 }, { 12, 3 }, { 6, 1 } } do
        local window, every = table.unpack(size)
        local given = { dropout = 0.2, layers = 2 }
        local model, twin = regressor(make, given), regressor(make, given)
        local x, targets = saros.generator(1):normal { 60, 2, 2 }, saros.generator(2):normal { 60, 2, 3 }
        local s = model:learner { streams = 2, window = window, every = every, lr = 1e-2, clip = 0.3 }
        for t = 1, 60 do
          s:learn(x[t], targets[t])
        end
        learn_by_hand(twin, x, targets, window, every, 0.3)
        assert_same_weights(twin, model, 0)
      end
    end
  end)

  it("learns symbols by their cross-entropy", function()
    local model, twin = speaker(), speaker()
    local s = model:learner { window = 4, lr = 1e-2 }
    local adam, state = optim.adam(twin:parameters(), { lr = 1e-2 }), nil
    local ids = {}
    for t = 1, 41 do
      ids[t] = (t * t) % 7 + 1
    end
    for first = 1, 40, 4 do
      local total = 0
      for t = first, first + 3 do
        local _, loss = s:learn(ids[t], ids[t + 1])
        total = total + loss
      end
      local tape <close> = saros.tape()
      local x = saros.ids { table.unpack(ids, first, first + 3) }:reshape(4, 1)
      local y; y, state = twin(x, state)
      local loss = nn.cross_entropy(y, saros.ids { table.unpack(ids, first + 1, first + 4) }:reshape(4, 1))
      assert.is_true(math.abs(loss:item() - total / 4) < 1e-5)
      tape:backward(loss)
      optim.clip_norm(twin:parameters(), 5)
      adam:step()
    end
    assert_same_weights(twin, model, 0)
  end)

  it("tells before it learns, and goes on with what it learned", function()
    local model = regressor(nn.gru)
    local s, before = model:learner { window = 4, lr = 1e-2 }, model:session()
    local generator = saros.generator(5)
    for round = 1, 3 do
      for _ = 1, 4 do
        local x, target = generator:normal { 2 }, generator:normal { 3 }
        local expected = before:step(x):clone()
        local y, loss = s:learn(x, target)
        assert.same_values(expected, y, 0)
        assert.is_true(math.abs(saros.mse(expected, target):item() - loss) < 1e-6, round)
      end
      local state = before:dump() -- an update came; a new session has its weights
      before = model:session():restore(state)
    end
  end)

  it("takes targets that come later", function()
    local model, twin = regressor(nn.lstm), regressor(nn.lstm)
    local x, targets = saros.generator(1):normal { 40, 2 }, saros.generator(2):normal { 40, 3 }
    local late, early = model:learner { window = 5, delay = 3, lr = 1e-2 }, twin:learner { window = 5, lr = 1e-2 }
    local losses = {}
    for t = 1, 40 do
      local _, loss = late:learn(x[t], t > 3 and targets[t - 3] or nil)
      assert.equal(t > 3, loss ~= nil)
      losses[t - 3] = loss
    end
    for t = 1, 37 do
      local _, loss = early:learn(x[t], targets[t])
      if t <= 5 then -- from then on it learned three steps later
        assert.equal(loss, losses[t])
      end
    end
    assert.is_true(late.optimizer.steps == 7 and early.optimizer.steps == 7)
    assert_same_weights(twin, model, 0)
  end)

  it("learns nothing from steps without a target, but remembers them", function()
    local model, twin = regressor(nn.gru), regressor(nn.gru)
    local x, targets = saros.generator(1):normal { 12, 1, 2 }, saros.generator(2):normal { 12, 1, 3 }
    local s, state = model:learner { window = 4, lr = 1e-2 }, nil
    local adam = optim.adam(twin:parameters(), { lr = 1e-2 })
    for t = 1, 12 do
      local known = t > 4 and t % 2 == 0 -- the first window has none at all
      local _, loss = s:learn(x[t], known and targets[t] or nil)
      assert.equal(known, loss ~= nil)
    end
    local mask = saros.zeros(4, 1, 3)
    mask[2]:fill(1)
    mask[4]:fill(1)
    for first = 1, 12, 4 do
      local tape <close> = saros.tape()
      local y; y, state = twin(x:slice(1, first, first + 3), state)
      if first > 1 then
        tape:backward(saros.mse(y, targets:slice(1, first, first + 3), { mask = mask }))
        optim.clip_norm(twin:parameters(), 5)
        adam:step()
      end
    end
    assert_same_weights(twin, model, 0)
    assert.equal(2, s.optimizer.steps)
  end)

  it("starts streams again, one or all", function()
    for _, make in ipairs { nn.lstm, attention } do
      begins_anew(regressor(make), regressor(make))
    end
  end)

  it("goes back to a snapshot, bit for bit and more than once", function()
    goes_back(regressor(nn.lstm, { dropout = 0.3, layers = 2 }))
    goes_back(regressor(attention))
  end)

  it("takes the same memory over 20,000 steps", function()
    local s = speaker():learner { window = 12, every = 3, delay = 2, guard = 2 }
    local function run(steps)
      for t = 1, steps do
        s:learn(t % 7 + 1, (t + 5) % 7 + 1)
      end
      collectgarbage()
      collectgarbage()
      local memory = saros.memory()
      return memory.in_use, memory.in_use + memory.pooled, collectgarbage "count"
    end
    local in_use, held, kilobytes = run(3000)
    local in_use_after, held_after, kilobytes_after = run(20000)
    assert.equal(in_use, in_use_after)
    assert.is_true(held_after - held < 4 << 20, held_after - held)
    -- Lua's stack may be at another size, a few kilobytes; a step that keeps anything keeps more
    assert.is_true(kilobytes_after - kilobytes < 16, kilobytes_after - kilobytes)
  end)

  it("follows a stream that changes, where frozen weights do not", function()
    local model = nn.chain { nn.gru { 1, 12 }, nn.linear { 12, 1 } }:init { seed = 1 }
    local s = model:learner { window = 20, every = 5, delay = 1, lr = 1e-2, guard = 3 }
    local function run(from, to, speed, frozen)
      local own, other, last = 0, 0, nil
      for t = from, to do
        local x = math.sin(t * speed)
        local _, loss = s:learn(x, x)
        own = own + (loss or 0)
        if frozen then
          other = other + (last and (last - x) ^ 2 or 0)
          last = frozen:step(x)[1]
        end
      end
      return own / (to - from + 1), other / (to - from + 1)
    end
    run(1, 1500, 0.4)
    local settled = run(1501, 1600, 0.4)
    assert.is_true(settled < 0.01, settled)
    local frozen = model:session()
    run(1601, 2600, 0.9, frozen)
    local own, other = run(2601, 2800, 0.9, frozen)
    assert.is_true(own < 0.02 and own < other / 5, ("%g, frozen %g"):format(own, other))
    assert.equal(0, s.rollbacks)
  end)
end)

describe("a learner's guard", function()
  local function target_of(x)
    return { x[1], x[2], x[1] - x[2] }
  end

  it("goes back to good weights where learning does harm", function()
    local model, records = regressor(nn.gru), {}
    local s = model:learner { window = 10, lr = 5e-3, guard = 2, on_rollback = function(record)
      records[#records + 1] = record
    end }
    local generator = saros.generator(1)
    local function run(steps)
      local total = 0
      for _ = 1, steps do
        local x = generator:normal({ 2 }):totable()
        local _, loss = s:learn(x, target_of(x))
        total = total + loss
      end
      return total / steps
    end
    run(800)
    local good = run(200)
    assert.equal(0, #records)
    s.optimizer.options.lr = 3 -- far too much
    run(200)
    assert.equal(s.rollbacks, #records)
    assert.is_true(#records > 0)
    local first = records[1]
    assert.is_true(first.step > 1000 and first.loss > 2 * first.reference, first.loss)
    s.optimizer.options.lr = 1e-4
    run(100) -- the last of the harm is found and taken back
    local after = run(200)
    assert.is_true(after < 1.5 * good, ("%g, %g before"):format(after, good))
  end)

  it("survives weights that are no numbers", function()
    local model, rollbacks = regressor(nn.rnn), 0
    local s = model:learner { window = 4, delay = 2, guard = 2, on_rollback = function() rollbacks = rollbacks + 1 end }
    s:learn({ 1, 1 }, { 0, 0, 0 })
    model:parameters()[1]:fill(0 / 0)
    for _ = 1, 12 do
      s:learn({ 1, 0 }, { 0, 1, 0 })
    end
    assert.equal(1, rollbacks)
    assert.is_true(model:parameters()[1]:all_finite())
    assert.is_true(s:step({ 1, 1 }):all_finite())
  end)

  it("is missed where there is none", function()
    local model = regressor(nn.rnn)
    local s = model:learner { window = 2 }
    model:parameters()[1]:fill(0 / 0)
    s:learn({ 1, 1 }, { 0, 0, 0 })
    assert.error_matches(function() s:learn({ 1, 1 }, { 0, 0, 0 }) end,
      "learn: expected the loss to be finite, got one that is not")
    model:init { seed = 3 }
    for _ = 1, 4 do
      s:learn({ 1, 1 }, { 0, 0, 0 })
    end
    assert.equal(2, s.optimizer.steps)
  end)
end)

describe("learners in coroutines", function()
  local function told_by(model, x, targets)
    local s, ys = model:learner { window = 4, every = 2, lr = 1e-2 }, {}
    return coroutine.wrap(function()
      for t = 1, #x do
        local y, loss = s:learn(x[t], targets[t])
        ys[t] = { y:clone(), loss }
        coroutine.yield()
      end
      return ys
    end)
  end

  it("go their own ways, whatever happens between their steps", function()
    local fingerprint = require("spec.support.values").fingerprint
    local function run(interleaved)
      local x, targets = saros.generator(1):normal { 20, 2 }, saros.generator(2):normal { 20, 3 }
      local a = told_by(regressor(nn.lstm), x, targets)
      local b = told_by(regressor(nn.gru), x, targets)
      local results = {}
      if interleaved then
        for _ = 1, 21 do
          results[1], results[2] = a(), b()
        end
      else
        for n, resume in ipairs { a, b } do
          for _ = 1, 21 do
            results[n] = resume()
          end
        end
      end
      return fingerprint(results)
    end
    assert.equal(run(false), run(true))
  end)

  it("survive errors in each other", function()
    local models = { regressor(nn.lstm), regressor(nn.gru) }
    local sessions, twins = {}, {}
    for n, model in ipairs(models) do
      sessions[n], twins[n] = model:session(), model:session()
    end
    local function stepping(session)
      return coroutine.create(function()
        for t = 1, 10 do
          session:step { t, -t }
          coroutine.yield()
        end
        session:step "nonsense"
      end)
    end
    local threads = { stepping(sessions[1]), stepping(sessions[2]) }
    for _ = 1, 11 do
      for n, thread in ipairs(threads) do
        local ok, message = coroutine.resume(thread)
        if not ok then
          assert.matches("step: expected 2 numbers", message)
          threads[n] = nil
        end
      end
    end
    assert.is_nil(next(threads))
    for n, twin in ipairs(twins) do
      for t = 1, 10 do
        twin:step { t, -t }
      end
      assert.same_values(twin:step { 0, 1 }, sessions[n]:step { 0, 1 }, 0)
    end
  end)
end)

describe("a learner says what it takes:", function()
  local model = regressor(nn.gru)

  local function refuses(given, message)
    assert.error_matches(function() model:learner(given) end, "learner: " .. message)
  end

  it("options", function()
    refuses({ windows = 3 }, "unknown option \"windows\"")
    refuses({ window = 10, every = 3 }, "expected every to divide window = 10, got 3")
    refuses({ lr = 0.1, optimizer = optim.sgd(nn.rnn({ 1, 1 }):parameters(), { lr = 0.1 }) },
      "expected no option 'lr', since optimizer is given")
    refuses({ guard = 1 }, "expected option 'guard' to be a number above 1, got 1")
    refuses({ loss = "mae" }, "expected option 'loss' to be \"cross_entropy\" or \"mse\"")
    refuses({ delay = -1 }, "expected option 'delay' to be a whole number")
    assert.error_matches(function() nn.attention({ 2, 2 }):init({ seed = 1 }):learner() end, "program: expected")
    assert.equal("learner (session (2 features -> 3, 1 stream), window 32, every 32, 0 steps)",
      tostring(model:learner()))
  end)

  it("steps and targets, and is as it was after an error", function()
    local s = model:learner { window = 4 }
    local before = s.session:dump()
    local function refuses_step(x, target, message)
      assert.error_matches(function() s:learn(x, target) end, "learn: expected " .. message)
      assert.equal(before, s.session:dump())
    end
    refuses_step(1, nil, "2 finite numbers, got 1")
    refuses_step({ 1, 0 / 0 }, nil, "2 finite numbers, got %-?nan at %[2%]")
    refuses_step({ 1, "x" }, nil, '2 finite numbers, got "x" at %[2%]')
    refuses_step(nil, nil, "2 finite numbers, got nil")
    refuses_step({ 1, 2 }, { 1 }, "3 finite numbers, got a table")
    refuses_step({ 1, 2 }, { 1, nil, 3 }, "3 finite numbers, got nil at %[2%]")
    refuses_step({ 1, 2 }, { 1, 2, 1 / 0 }, "3 finite numbers, got inf at %[3%]")
    refuses_step({ 1, 2 }, saros.ids { 1, 2, 3 }, "3 finite numbers, got ids %(3%)")
    refuses_step(saros.zeros(2, 1), nil, "2 finite numbers, got a tensor %(2, 1%)")
    s = regressor(nn.gru):learner { streams = 3 }
    before = s.session:dump()
    refuses_step(saros.zeros(2, 3), nil, "finite numbers of shape %(3, 2%), got a tensor %(2, 3%)")
    refuses_step(saros.zeros(6), nil, "finite numbers of shape %(3, 2%), got a tensor %(6%)")
    refuses_step({ { 1, 2 }, { 3, 1 / 0 }, { 5, 6 } }, nil, "finite numbers of shape %(3, 2%), got inf at %[2%]%[2%]")
    s = speaker():learner { streams = 2 }
    before = s.session:dump()
    refuses_step({ 1, 8 }, nil, "2 ids in 1..7, got 8 at %[2%]")
    refuses_step(1, nil, "2 ids in 1..7, got 1")
    refuses_step({ 1, 2 }, { 0, 1 }, "2 ids in 1..7, got 0 at %[1%]")
    refuses_step({ 1, 2 }, saros.zeros(2), "2 ids in 1..7, got a tensor %(2%)")
    s = regressor(nn.gru):learner { loss = "cross_entropy" }
    before = s.session:dump()
    refuses_step({ 1, 2 }, 4, "an id in 1..3, got 4")
    assert.is_number(select(2, s:learn({ 1, 2 }, 3)))
  end)
end)
