local values = require "spec.support.values"
local folders = require "spec.support.folders"
local files = require "spec.support.files"
local saros = require "saros"
local nn, data = saros.nn, saros.data

-- A wave, and a column that runs a step ahead of it.
local function wave(given)
  local rows = {}
  for t = 1, 300 do
    rows[t] = { 50 + 7 * math.sin(t / 3), -3 + 0.1 * math.sin((t + 1) / 3) }
  end
  given = given or {}
  given.horizon = given.horizon or 2
  return assert(data.series(saros.tensor(rows), given))
end

local with_file = files.with_path

describe("a forecaster", function()
  it("learns what comes next, and tells it in the units of the series", function()
    local series = wave { inputs = 1, horizon = 3, valid = 0.2 }
    local forecaster = nn.forecaster { series = series, hidden = 16 }
    local history = saros.fit(forecaster, series, { epochs = 12, batch = 16, length = 30, lr = 1e-2 })
    assert.is_true(history[12].valid < 0.01, "held-out loss " .. history[12].valid)
    assert.is_true(history[12].train < history[1].train / 5)
    local seen = {}
    for t = 1, 100 do
      seen[t] = 50 + 7 * math.sin(t / 3)
    end
    local ahead = forecaster:forecast(seen)
    assert.same({ 3, 1 }, ahead:shape())
    for k, row in ipairs(ahead:totable()) do
      assert.is_true(math.abs(row[1] - (50 + 7 * math.sin((100 + k) / 3))) < 1)
    end
  end)

  it("looks only at what came before", function()
    local forecaster = nn.forecaster { series = wave() }
    local x = saros.generator(1):normal { 9, 2 }
    local all = forecaster:forecasts(x)
    assert.same({ 9, 2, 2 }, all:shape())
    for t = 1, 9 do
      assert.same_values(forecaster:forecast(x:slice(1, 1, t)), all:select(1, t), 1e-4)
    end
  end)

  it("begins with the last value where targets are inputs", function()
    local series = wave { targets = { 2 }, inputs = { 1, 2 } }
    local forecaster = nn.forecaster { series = series }
    for _, tensor in ipairs(forecaster:parameters()) do
      tensor:assign(saros.zeros(tensor:shape()))
    end
    local ahead = forecaster:forecast { { 50, -3 }, { 51, -2.9 } }:totable()
    for k = 1, 2 do
      assert.is_true(math.abs(ahead[k][1] + 2.9) < 1e-5)
    end
    assert.is_false(nn.forecaster { series = wave { inputs = 1, targets = 2 } }.configuration.difference)
    assert.error_matches(function()
      nn.forecaster { series = wave { inputs = 1, targets = 2 }, difference = true }
    end, "nn.forecaster: expected each target among the inputs, since difference = true")
  end)

  it("has the loss of its windows", function()
    local series = wave()
    local forecaster = nn.forecaster { series = series, cell = "lstm", layers = 2 }
    local window = series:windows { batch = 3, length = 5 } ()
    local error = (forecaster(window.inputs) - window.targets):reshape(-1)
    assert.is_true(math.abs(forecaster:window_loss(window):item() - (error * error):mean():item()) < 1e-5)
    assert.is_true(forecaster:memory { length = 5, batch = 3 }.total > 0)
    local valid = saros.evaluate(forecaster, series, { length = 28 })
    assert.is_true(math.abs(valid - forecaster:window_loss(
      series:windows { batch = 1, length = 28, part = "valid" } ()):item()) < 1e-5)
    assert.error_matches(function()
      saros.evaluate(forecaster, series, { part = "test" })
    end, "evaluate: expected data with a part 'test'")
  end)

  it("comes back from its file, with columns and scale", function()
    local text = { "Temp,Wind" }
    for t = 1, 20 do
      text[t + 1] = ("%d,%g"):format(t * t, t / 7)
    end
    for name, given in pairs {
      plain = {}, stacked = { cell = "lstm", layers = 2, dropout = 0.2, hidden = 5 }, apart = { targets = "Wind" },
      unscaled = { scale = "none" },
    } do
      with_file(function(path)
        given.series = assert(data.series({ string = table.concat(text, "\n") },
          { inputs = "Temp", targets = given.targets, scale = given.scale, horizon = 4, valid = 0 }))
        given.targets, given.scale = nil, nil
        local forecaster = nn.forecaster(given)
        assert(forecaster:save(path))
        local loaded = assert(saros.load(path), name)
        assert.equal(tostring(forecaster), tostring(loaded))
        assert.same(forecaster.configuration, loaded.configuration)
        assert.same(forecaster.scale.inputs:to_table(), loaded.scale.inputs:to_table())
        local x = { 1, 4, 9 }
        assert.equal(values.fingerprint(forecaster:forecast(x)), values.fingerprint(loaded:forecast(x)))
      end)
    end
  end)

  it("is kept in the run folder of its training, which goes on with the same bits", function()
    local series = wave { test = 0.1 }
    local function train(run, given)
      local forecaster = nn.forecaster { series = series, hidden = 8, layers = 2, dropout = 0.3 }
      given.batch, given.length, given.epochs, given.run = 16, 20, 3, run
      local done = pcall(saros.fit, forecaster, series, given)
      return values.fingerprint(forecaster:tensors()), done
    end
    local whole, parts = folders.unused(), folders.unused()
    local expected = train(whole, {})
    local _, done = train(parts, { on_window = function(record)
      assert(record.step < 17) -- within the second epoch
    end })
    local actual = train(parts, {})
    local loaded = saros.load(whole)
    folders.remove(whole)
    folders.remove(parts)
    assert.is_false(done)
    assert.equal(expected, actual)
    assert.same({ 2, 2 }, loaded:forecast({ { 1, 2 }, { 3, 4 } }):shape())
  end)

  it("is not built from a description that makes no sense", function()
    local function message_for(change)
      local message
      with_file(function(path)
        assert(nn.forecaster({ series = wave { inputs = 1 } }):save(path))
        local tensors, metadata = assert(saros.safetensors.read(path))
        local file = saros.json_decode(metadata.saros)
        change(file.description)
        assert(saros.safetensors.write(path, tensors, { saros = saros.json_encode(file) }))
        local model
        model, message = saros.load(path)
        assert.is_nil(model)
      end)
      return message
    end
    for expected, change in pairs {
      ["expected the options of a model, got nil"] = function(d) d.options = nil end,
      ["expected a horizon, a positive integer, got 0"] = function(d) d.horizon = 0 end,
      ["misshapen"] = function(d) d.horizon = 3 end,
      ["expected option 'hidden'"] = function(d) d.options.hidden = "x" end,
      ["unknown option"] = function(d) d.options.command = "x" end,
      ["expected names, shifts and factors of columns, got nil"] = function(d) d.inputs = nil end,
      ["as many names as shifts and factors, got 1, 0 and 1"] = function(d) d.inputs.shift = {} end,
      ["expected factors other than 0, got 0 for \"1\""] = function(d) d.targets.factor = { 0 } end,
      ["expected names, shifts and factors of columns"] = function(d) d.targets.factor = { "x" } end,
      ["each target among the inputs"] = function(d) d.targets.names = { "other" } end,
    } do
      assert.matches(expected, message_for(change), 1, true)
    end
  end)

  it("says what values it expects", function()
    local forecaster = nn.forecaster { series = wave() }
    for expected, wrong in pairs {
      ["forecast: expected values of shape (T, 2), for 1, 2, got a tensor (3)"] = { 1, 2, 3 },
      ["forecast: expected values of shape (T, 2), for 1, 2, got ids (1, 2)"] = saros.ids { { 1, 2 } },
      ["forecast: expected values, got a table"] = {},
      ["forecast: expected values, got 3"] = 3,
      ["forecast: expected values, got a saros.Series; pass series.inputs"] = wave(),
      ["forecast: tensor: "] = { { 1, 2 }, { 3 } },
    } do
      assert.error_matches(function()
        forecaster:forecast(wrong)
      end, expected, 1, true)
    end
  end)

  it("refuses a series of another horizon or of other columns", function()
    local forecaster = nn.forecaster { series = wave { horizon = 7, targets = 1 } }
    for expected, series in pairs {
      ["expected a series with horizon = 7, as the model has, got 3"] = wave { horizon = 3 },
      ["expected a series with the inputs of the model, 2 of them (1, 2), got 1 (2)"] =
        wave { horizon = 7, inputs = 2, targets = 1 },
      ["expected a series with the targets of the model, 1 of them (1), got 2 (1, 2)"] = wave { horizon = 7 },
    } do
      for _, name in ipairs { "fit", "evaluate", "find_rate" } do
        assert.error_matches(function() saros[name](forecaster, series) end, name .. ": " .. expected, 1, true)
      end
    end
  end)

  it("reads another series on its own scale, and refuses one on another", function()
    local function table_of(low, high, header)
      local lines = { header or "warm,cold" }
      for n = 1, 100 do
        lines[n + 1] = ("%.6f,%.6f"):format(low + high * math.sin(n), high + low * math.cos(n))
      end
      return { string = table.concat(lines, "\n") }
    end
    local first = assert(data.series(table_of(1, 2), { targets = "cold", valid = 0.2 }))
    local model = nn.forecaster { series = first, hidden = 4 }
    local path = os.tmpname()
    assert(model:save(path))
    local loaded = saros.load(path)
    os.remove(path)
    local other = assert(data.series(table_of(30, 5), { targets = "cold", valid = 0.2 }))
    for name, ask in pairs { evaluate = saros.evaluate, fit = saros.fit, find_rate = saros.find_rate } do
      assert.error_matches(function() ask(loaded, other, { batch = 2, length = 4 }) end,
        name .. ": expected a series on the scale of the model, got one on a scale of its own", 1, true)
    end
    local numbers = saros.concatenate({ other.inputs, other.targets }, 2)
    for source, targets in pairs { [table_of(30, 5)] = "cold", [numbers] = 3 } do
      local inputs = targets == 3 and { 1, 2 } or nil
      local series = assert(data.series(source, { inputs = inputs, targets = targets, valid = 0.2,
        scale = loaded.scale }))
      local valid = series.valid
      for _, column in ipairs { "inputs", "targets" } do
        local scale = model.scale[column]
        local expected = (other[column]:slice(1, 81):select(2, 1) - scale.shift[1]) / scale.factor[1]
        assert.same_values(expected, valid[column]:select(2, 1), 1e-4)
      end
      local y = loaded(valid.inputs:slice(1, 1, 19):reshape(19, 1, 2)):reshape(-1)
      local expected = saros.mse(y, valid.targets:slice(1, 2):reshape(-1)):item()
      assert.near(expected, saros.evaluate(loaded, series), 1e-4 * expected)
      assert.equal(1, #saros.fit(loaded, series, { batch = 2, length = 4 }))
    end
    for header, got in pairs { ["cold,warm"] = "inputs that option 'scale' has (warm, cold), got (cold, warm)",
      ["cold"] = "inputs that option 'scale' has (warm, cold), got (cold)" } do
      local source = table_of(1, 2, header)
      source.string = header == "cold" and source.string:gsub(",[^\n]*", "") or source.string
      local series, message = data.series(source, { targets = "cold", scale = model.scale })
      assert.is_nil(series)
      assert.matches(got, message, 1, true)
    end
  end)
end)
