-- Scales are computed and applied in double, so that large numbers keep their
-- differences, and what is not finite is refused where it comes in.

local saros = require "saros"
local data, nn = saros.data, saros.nn
local is_float = not saros.tensor(1e39):all_finite()

-- Numbers as a table of one column.
local function text_of(list)
  local lines = { "x" }
  for n, value in ipairs(list) do
    lines[n + 1] = ("%.17g"):format(value)
  end
  return { string = table.concat(lines, "\n") }
end

local function column(x)
  return x:reshape(-1):totable()
end

local function assert_near(expected, got, tolerance)
  for n, value in ipairs(expected) do
    assert.is_true(math.abs(value - got[n]) <= tolerance, ("%d: expected %.9g, got %.9g"):format(n, value, got[n]))
  end
end

-- The numbers 0 to n - 1 on the scale of mean 0 and deviation 1.
local function standard(n)
  local list, deviation = {}, math.sqrt((n * n - 1) / 12)
  for k = 1, n do
    list[k] = (k - 1 - (n - 1) / 2) / deviation
  end
  return list
end

describe("the scale of a table", function()
  it("keeps the differences of large numbers", function()
    for _, from in ipairs { 0, 1.7e9, -1.7e9, 1e12, 2 ^ 50 } do -- seconds, orders
      local list = {}
      for n = 1, 100 do
        list[n] = from + n - 1
      end
      local series = assert(data.series(text_of(list), { valid = 0 }))
      assert_near(standard(100), column(series.train.inputs), 1e-6)
      assert.equal(from + 49.5, series.scale.inputs.shift[1])
      series = assert(data.series(text_of(list), { valid = 0, scale = "minmax" }))
      assert_near({ 0, 1 / 99 }, column(series.train.inputs), 1e-7)
      assert.equal(99, series.scale.inputs.factor[1])
    end
  end)

  it("leaves a constant column alone exactly", function()
    local generator = saros.generator(7)
    for _ = 1, 20 do
      local value = (generator:number() - 0.5) * 10 ^ math.floor(generator:number() * 30 - 12)
      for _, kind in ipairs { "standard", "minmax", "none" } do
        local list = {}
        for n = 1, 197 do
          list[n] = value
        end
        for _, source in ipairs { text_of(list), saros.tensor(list) } do
          local series = assert(data.series(source, { scale = kind }))
          assert.equal(1, series.scale.inputs.factor[1])
          if kind ~= "none" then
            assert.equal(0, series.train.inputs:abs():max():item())
            assert.equal(0, series.valid.inputs:abs():max():item())
          end
        end
      end
    end
  end)

  it("is that of the numbers, however large or small they are", function()
    for _, size in ipairs { 1e-20, 1, 1e20, 1e30 } do
      local list = {}
      for n = 1, 100 do
        list[n] = (n - 1) * size
      end
      for _, source in ipairs { text_of(list), saros.tensor(list) } do
        local series = assert(data.series(source, { valid = 0 }))
        assert_near(standard(100), column(series.train.inputs), 1e-5)
      end
    end
  end)

  it("is refused where its numbers are none of the build", function()
    if is_float then
      local wide = { -3e38, 3e38, -3e38, 3e38 }
      assert.matches('expected numbers in column "x" whose spread a number of this build can be, got 6e+38',
        select(2, data.series(text_of(wide), { valid = 0, scale = "minmax" })), 1, true)
      local _, message = data.series(saros.tensor(wide), { valid = 0, scale = "minmax" })
      assert.matches("whose spread", message, 1, true)
    end
    local far = { 0, 1e-30, 0, 1e-30, 0, 1e-30, 0, 1e-30, 0, 1e30, 1e30 }
    local series, message = data.series(text_of(far), { valid = 0.2 })
    if is_float then
      assert.matches('expected all numbers of column "x" near those of the training part, got one in row 10', message,
        1, true)
    else
      assert.is_not_nil(series)
    end
  end)
end)

describe("the scale of a tensor", function()
  it("is computed in double", function()
    local list, from = {}, is_float and 1e6 or 1e12
    for n = 1, 4096 do
      list[n] = from + n % 2
    end
    local series = assert(data.series(saros.tensor(list), { valid = 0 }))
    assert.equal(from + 0.5, series.scale.inputs.shift[1])
    assert.is_true(math.abs(series.scale.inputs.factor[1] - 0.5) < 1e-6)
    assert_near({ 1, -1, 1, -1 }, column(series.train.inputs), 1e-6)
  end)

  it("comes back to the units of the columns", function()
    local x = saros.generator(3):normal { 50, 3 } * 1e3 + 1e6
    local scale = assert(data.series(x, { valid = 0 })).scale.inputs
    local difference = (scale:invert(scale:apply(x)) - x):abs():max():item()
    assert.is_true(difference <= (is_float and 0.125 or 1e-9), difference)
  end)
end)

describe("the scale of a model file", function()
  it("has numbers that the build can have", function()
    local scale = require "saros.data.scale"
    local function read(shift, factor)
      return scale.from_table { names = { "x" }, shift = { shift }, factor = { factor } }
    end
    assert.same({ 3, 2 }, { read(3, 2).shift[1], read(3, 2).factor[1] })
    assert.error_matches(function() read(0, 0) end, "expected factors other than 0", 1, true)
    for _, wrong in ipairs { { 1e39, 1 }, { 0, 1e39 }, { 0, 1e-60 } } do
      if is_float then
        assert.error_matches(function()
          read(table.unpack(wrong))
        end, 'scale: expected numbers that this build can have, got [^ ]+ for "x"')
      else
        assert.equal(wrong[2], read(table.unpack(wrong)).factor[1])
      end
    end
  end)
end)

describe("values in lists", function()
  local list, rows = {}, {}
  for n = 1, 60 do
    list[n], rows[n] = 1.7e9 + n, { 1.7e9 + n }
  end
  local series = assert(data.series(text_of(list), { valid = 0 }))
  local forecaster = nn.forecaster { series = series, hidden = 4, difference = false }

  it("keep their differences in forecasts", function()
    -- What the network sees: the differences, which are a sixteenth of what tells numbers of
    -- the build apart.
    local y = forecaster(series.train.inputs:reshape(-1, 1, 1)):reshape(-1):totable()
    for _, values in ipairs { list, rows } do
      local told = forecaster.scale.targets:apply_values(values, saros.tensor(rows))
      assert_near(column(series.train.inputs), column(told), 1e-6)
      local x = forecaster.scale.inputs:read("forecast", values)
      assert_near(y, forecaster(x:reshape(-1, 1, 1)):reshape(-1):totable(), 1e-6)
    end
  end)

  it("are those that a report shows", function()
    local both, lines = {}, { "t,y" }
    for n = 1, 60 do
      both[n] = { 1.7e9 + n, math.sin(n) }
      lines[n + 1] = ("%d,%.17g"):format(both[n][1], both[n][2])
    end
    local long = assert(data.series({ string = table.concat(lines, "\n") }, { targets = "y", valid = 0.2 }))
    local model = nn.forecaster { series = long, hidden = 4 }
    local found, all = model:examine(long).forecasts[1].predictions[1].y, column(model:forecasts(both))
    local rounded = column(model:forecasts(long.inputs))
    assert.equal(12, #found)
    for n, value in ipairs(found) do
      assert.near(all[#all - #found + n - 1], value, 1e-6) -- a report has them in double
      assert.equal(is_float, math.abs(rounded[#all - #found + n - 1] - value) > 1e-5)
    end
  end)

  it("keep their differences in live forecasters", function()
    local live, all = forecaster:session(), forecaster:forecasts(list):reshape(-1):totable()
    for n = 1, 10 do
      local given = n % 2 == 0 and list[n] or { list[n] }
      assert_near({ all[n] }, column(live:step(given)), is_float and 128 or 1e-6)
    end
  end)
end)

describe("what is not finite", function()
  local bad = { 0 / 0, 1 / 0, -1 / 0, 1e39 }
  if not is_float then
    bad[4] = nil
  end

  it("is refused in series, with its place", function()
    for _, value in ipairs(bad) do
      local x = saros.ones(7, 3)
      x[5][2] = value
      assert.error_matches(function()
        data.series(x)
      end, "data.series: expected finite numbers, got [^ ]+ in row 5, column 2")
    end
  end)

  it("is refused in labelled sequences", function()
    for _, value in ipairs(bad) do
      assert.error_matches(function()
        data.labelled { a = { { 1, 2 }, { 1, value } } }
      end, 'expected sequence 2 of "a" to be finite numbers of shape (T, 1), or (T), got a table', 1, true)
      assert.error_matches(function()
        data.labelled { a = { saros.tensor { 1, value } } }
      end, 'expected sequence 1 of "a" to be text with symbols, or finite numbers', 1, true)
    end
  end)

  it("is refused by models that are asked something", function()
    local series = assert(data.series(saros.arange(40), { valid = 0 }))
    local forecaster = nn.forecaster { series = series, hidden = 4 }
    local set = data.labelled({ a = { { 1, 2 }, { 3, 5 } }, b = { { 4, 1 } } }, { valid = 0 })
    local classifier = nn.classifier { features = set.features, labels = set.labels, hidden = 4 }
    local live, learner = forecaster:session(), forecaster:learner { window = 2 }
    for _, value in ipairs(bad) do
      for name, call in pairs {
        forecast = function(x) forecaster:forecast(x) end,
        classify = function(x) classifier:classify(x) end,
      } do
        for _, x in ipairs { { 1, value }, { { 1 }, { value } }, saros.tensor { 1, value } } do
          assert.error_matches(function()
            call(x)
          end, name .. ": expected finite values, got " .. (value ~= value and "nan" or "%-?inf") .. " for 1 in row 2")
        end
      end
      for _, act in ipairs { function() live:step(value) end, function() live:step { value } end,
        function() learner:learn(value) end, function() learner:step(saros.tensor { value }) end,
        function() learner:learn(1, value) end } do
        assert.error_matches(act, "expected a finite number, got", 1, true)
      end
    end
  end)

  it("after scaling is refused as well", function()
    local series = assert(data.series(saros.arange(40) * 1e-6, { valid = 0 }))
    local forecaster = nn.forecaster { series = series, hidden = 4 }
    local far = is_float and 3e38 or 1e306
    assert.error_matches(function()
      forecaster:forecast { 1, far }
    end, "forecast: expected values near those that the scale is of, got one for 1 in row 2", 1, true)
    assert.error_matches(function()
      forecaster:session():step(far)
    end, "step: expected values near those that the scale is of, got", 1, true)
  end)
end)
