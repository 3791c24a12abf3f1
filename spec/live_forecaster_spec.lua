-- A forecaster that is stepped says what it says about a whole series, and learns
-- from what comes.

local saros = require "saros"
require "spec.support.values"
local nn, data, optim = saros.nn, saros.data, saros.optim

local TOLERANCE = saros.info().real == "double" and 1e-10 or 2e-4

-- A wave, and a column that runs a step ahead of it.
local function rows_of(count, speed)
  local rows = {}
  for t = 1, count do
    rows[t] = { 50 + 7 * math.sin(t * speed), -3 + 0.1 * math.sin((t + 1) * speed) }
  end
  return rows
end

local function forecaster_of(given)
  given.horizon = given.horizon or 2
  local series = assert(data.series(saros.tensor(rows_of(300, 0.3)), given))
  return nn.forecaster { series = series, hidden = 8, layers = 2, cell = "lstm" }, series
end

-- Targets that are inputs, some of them, and others.
local KINDS = { {}, { inputs = { 1, 2 }, targets = 2 }, { inputs = 1, targets = 2, horizon = 1 } }

describe("a forecaster that is stepped", function()
  it("says what it says about the whole series", function()
    for _, given in ipairs(KINDS) do
      local forecaster, series = forecaster_of(given)
      local all, s = forecaster:forecasts(series.inputs), forecaster:session()
      local pair = forecaster:session { streams = 2 }
      local F = series.inputs:size(2)
      for t = 1, 20 do
        local row = series.inputs[t]
        assert.same_values(all[t], s:step(row), TOLERANCE)
        local both = pair:step { row:totable(), saros.zeros(F):totable() }
        assert.same_values(all[t], both[1], TOLERANCE)
      end
      s:reset()
      assert.same_values(all[1], s:step(series.inputs[1]:totable()), TOLERANCE)
    end
  end)

  it("learns what it should have said", function()
    for _, given in ipairs(KINDS) do
      local forecaster, series = forecaster_of(given)
      local twin, h, window = forecaster_of(given), series.horizon, 8
      local s = forecaster:learner { window = window, lr = 1e-2 }
      local all, scale = forecaster:forecasts(series.inputs), forecaster.scale.targets
      for t = 1, window + h do
        local _, loss = s:learn(series.inputs[t], series.targets[t])
        assert.equal(t > h, loss ~= nil)
        if loss then
          local truth = series.targets:slice(1, t - h + 1, t)
          local expected = saros.mse(scale:apply(all[t - h]), scale:apply(truth)):item()
          assert.is_true(math.abs(loss - expected) < 1e-4, loss)
        end
      end
      local one = series:windows { batch = 1, length = window }()
      local tape <close> = saros.tape()
      tape:backward((twin:window_loss(one)))
      optim.clip_norm(twin:parameters(), 5)
      optim.adam(twin:parameters(), { lr = 1e-2 }):step()
      for position, parameter in ipairs(twin:parameters()) do
        assert.same_values(parameter, forecaster:parameters()[position], 1e-3)
      end
    end
  end)

  it("finds its targets among the values, and follows a change", function()
    local forecaster = forecaster_of { inputs = { 2, 1 }, targets = 1, horizon = 3 }
    local s, frozen = forecaster:learner { window = 24, every = 8, lr = 1e-2, guard = 3 }, forecaster:session()
    local own, other, told, said = 0, 0, {}, {}
    for t, row in ipairs(rows_of(1200, 0.5)) do
      told[t], said[t] = s:learn({ row[2], row[1] })[3][1], frozen:step({ row[2], row[1] })[3][1]
      if t > 1000 then
        own, other = own + (told[t - 3] - row[1]) ^ 2, other + (said[t - 3] - row[1]) ^ 2
      end
    end
    assert.is_true(own < other / 20, ("%g, frozen %g"):format(own, other))
  end)

  it("learns only from values that it was given to learn from", function()
    local forecaster = forecaster_of { inputs = 1 }
    local s = forecaster:learner { window = 4 }
    local values = rows_of(10, 0.3)
    local known = {}
    for t, row in ipairs(values) do
      if t == 5 then
        s:step(row[1])
      else
        known[t] = select(2, s:learn(row[1])) ~= nil
      end
    end
    assert.same({ false, false, true, true, nil, false, true, true, true, true }, known)
  end)

  it("goes back to a snapshot, and starts again", function()
    local forecaster = forecaster_of { inputs = 1 }
    local s = forecaster:learner { window = 4, every = 2 }
    local function run(from)
      local list = {}
      for t = from, from + 9 do
        local y, loss = s:learn(50 + t)
        list[#list + 1] = y:totable()
        list[#list + 1] = loss
      end
      return list
    end
    run(1)
    local snapshot = s:snapshot()
    local first = run(11)
    assert.equal(s, s:restore(snapshot))
    assert.same(first, run(11))
    s:reset()
    assert.is_nil(select(2, s:learn(50)))
    assert.is_nil(select(2, s:learn(50)))
    assert.is_number(select(2, s:learn(50)))
  end)

  it("comes from a file", function()
    local forecaster = forecaster_of {}
    require("spec.support.files").with_path(function(path)
      assert(forecaster:save(path))
      local expected = forecaster:session():step { 50, -3 }
      assert.same_values(expected, saros.load(path):learner():learn { 50, -3 }, 0)
    end)
  end)

  it("says what it takes", function()
    local forecaster = forecaster_of {}
    local s = forecaster:learner { window = 4 }
    assert.error_matches(function() s:learn(3) end, "learn: expected 2 finite numbers, got 3")
    assert.error_matches(function() s:step { 1, 0 / 0 } end, "step: expected 2 finite numbers, got %-?nan at %[2%]")
    assert.error_matches(function() s:learn({ 1, 2 }, 3) end, "learn: expected 2 finite numbers, got 3")
    assert.error_matches(function() forecaster:session():learn { 1, 2 } end, "learn: expected a learner, got a session")
    assert.error_matches(function() forecaster:learner { delay = 1 } end, "learner: expected no delay")
    assert.error_matches(function() forecaster:learner(3) end, "learner: expected a table of options, got 3")
    assert.error_matches(function() s:restore(3) end, "restore: expected a snapshot")
    assert.matches("^learner %(session %(2 features %-> 4, 1 stream%), .* of forecaster %(", tostring(s))
  end)
end)
