-- Charts, as a reader of the file sees them.

local saros = require "saros"
local plot = saros.plot

local function count(text, pattern)
  return select(2, text:gsub(pattern, ""))
end

-- The places of a polyline's points.
local function points_of(text)
  local points = {}
  for x, y in text:match('points="([^"]*)"'):gmatch "([%d.]+),([%d.]+)" do
    points[#points + 1] = { tonumber(x), tonumber(y) }
  end
  return points
end

-- Every element that opens closes, in order; no bare special characters.
local function assert_well_formed(text)
  local open = {}
  for closing, name, rest in text:gmatch "<(/?)(%a+)([^<>]*)>" do
    if closing == "/" then
      assert.equal(name, table.remove(open))
    elseif rest:sub(-1) ~= "/" then
      open[#open + 1] = name
    end
  end
  assert.same({}, open)
  assert.is_nil(text:gsub("<[^<>]*>", ""):find "[<>]")
  assert.is_nil(text:gsub("&%a+;", ""):gsub("&#%d+;", ""):find "&")
  assert.is_truthy(utf8.len(text))
  assert.is_nil(text:find "[%z\1-\8\11\12\14-\31]")
end

local ALL = {
  lines = { series = { { y = { 3, 1, 2 } }, { y = { 2, 2, 5 } } } },
  bars = { values = { 1, -2, 3 }, labels = { "a", "b", "c" } },
  histogram = { values = { 1, 2, 2, 3 } },
  heat = { values = { { 1, -1 }, { 0, 0.5 } }, rows = { "a", "b" } },
  confusion = { counts = { { 5, 1 }, { 0, 4 } }, labels = { "a", "b" } },
}

describe("a plot", function()
  it("is one picture that needs nothing else, on light and on dark pages", function()
    for kind, given in pairs(ALL) do
      local text = plot[kind](given):svg()
      assert_well_formed(text)
      assert.matches('^<svg class="saros%-plot" height="360" role="img" viewBox="0 0 720 360" width="720"', text)
      assert.matches("@media %(prefers%-color%-scheme:dark%)", text)
      assert.equal(1, count(text, "https?:"), "only the name of the format")
      assert.is_nil(text:find "<script")
      assert.is_nil(text:find "nan" or text:find "inf", kind)
    end
  end)

  it("shows any text as text", function()
    local hostile = '</title><script>alert("1")</script>&\0\27\xFF\xEF\xBF\xBF'
    for kind, given in pairs {
      lines = { series = { { y = { 1, 2 }, name = hostile } } },
      bars = { values = { 1 }, labels = { hostile } },
      heat = { values = { { 1 } }, rows = { hostile }, columns = { hostile } },
      confusion = { counts = { { 1 } }, labels = { hostile } },
    } do
      given.title, given.x, given.y = hostile, hostile, hostile
      local text = plot[kind](given):svg()
      assert_well_formed(text)
      assert.is_nil(text:find "<script")
      assert.matches("&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;\u{FFFD}", text, 1, true)
    end
  end)

  it("is of the size, the title and the names that it was given", function()
    local text = plot.lines { series = {}, width = 300, height = 200, title = "T1", x = "X1", y = "Y1" }:svg()
    assert.matches('viewBox="0 0 300 200"', text, 1, true)
    for _, name in ipairs { "<title>T1</title>", ">T1</text>", ">X1</text>", ">Y1</text>" } do
      assert.matches(name, text, 1, true)
    end
  end)

  it("goes to a file, or says why not", function()
    local path, chart = os.tmpname(), plot.bars { values = { 1 } }
    assert.is_true(chart:save(path))
    local file <close> = assert(io.open(path))
    assert.equal(chart:svg(), file:read "a")
    os.remove(path)
    local ok, message = chart:save "no/such/folder/x.svg"
    assert.is_nil(ok)
    assert.matches("no/such/folder/x.svg", message, 1, true)
    assert.error_matches(function() chart:save(3) end, "save: expected a path, got 3$")
  end)

  it("refuses a name that promises another format", function()
    local chart = plot.bars { values = { 1 } }
    for _, path in ipairs { "no/such/x.png", "no/such/x.PDF", "no/such/x.html" } do
      assert.error_matches(function() chart:save(path) end,
        ("save: expected a name that ends in .svg, as pictures are SVG, got %q"):format(path), 1, true)
    end
    for _, path in ipairs { "no/such/x", "no/such/x.SVG", "no/such.png/x", "no/such/run.2" } do
      assert.is_nil((chart:save(path)))
    end
  end)

  it("says what it is", function()
    assert.equal("plot (heat, 720 x 360)", tostring(plot.heat(ALL.heat)))
  end)
end)

describe("lines", function()
  it("lie where the values are: high values above, later ones to the right", function()
    local points = points_of(plot.lines { series = { { y = { 0, 10, 5 } } } }:svg())
    assert.equal(3, #points)
    assert.is_true(points[1][1] < points[2][1] and points[2][1] < points[3][1])
    assert.is_true(points[2][2] < points[3][2] and points[3][2] < points[1][2])
    assert.near((points[1][2] + points[2][2]) / 2, points[3][2], 0.02)
  end)

  it("put equal factors equally far apart with log", function()
    local points = points_of(plot.lines { log = true, series = { { y = { 1, 10, 100, 1000 } } } }:svg())
    for n = 2, 3 do
      assert.near(points[n - 1][2] - points[n][2], points[n][2] - points[n + 1][2], 0.03)
    end
  end)

  it("do so across with log_x, where x is positive", function()
    local text = plot.lines({ log_x = true, series = { { x = { 0, 1, 10, 100 }, y = { 9, 1, 2, 5 } } } }):svg()
    local points = points_of(text)
    assert.equal(3, #points)
    assert.near(points[2][1] - points[1][1], points[3][1] - points[2][1], 0.03)
    assert.matches(">10</text>", text, 1, true)
  end)

  it("have marks that are short enough for their place on the left", function()
    for value, mark in pairs {
      [1.5e4] = "15k", [2.5e8] = "250M", [1.5e9] = "1.5G", [2e12] = "2000G", [3e15] = "3e15", [-2e-5] = "-2e-5",
    } do
      local text = plot.lines({ series = { { y = { 0, value } } } }):svg()
      assert.matches(">" .. mark .. "</text>", text, 1, true)
    end
  end)

  it("take tensors and their own x", function()
    local points = points_of(plot.lines { series = { { x = { 0, 1, 10 }, y = saros.arange(3) } } }:svg())
    assert.near(9 * (points[2][1] - points[1][1]), points[3][1] - points[2][1], 0.15)
  end)

  it("leave gaps where a value cannot be shown, and a dot where it is alone", function()
    local text = plot.lines { series = { { y = { 1, 2, 0 / 0, 3, math.huge, 1, 2 } } } }:svg()
    assert.equal(2, count(text, "<polyline"))
    assert.equal(1, count(text, "<circle"))
    text = plot.lines { log = true, series = { { y = { 1, 2, 0, 3, 4, -1 } } } }:svg()
    assert.equal(2, count(text, "<polyline"))
  end)

  it("name several series in a legend, each in its colour", function()
    local series = {}
    for n = 1, 10 do
      series[n] = { y = { n, n + 1 }, name = "run " .. n }
    end
    local text = plot.lines { series = series }:svg()
    assert.equal(10, count(text, "<polyline"))
    assert.matches(">run 10</text>", text, 1, true)
    assert.equal(2, count(text, '<polyline class="l1"'))
  end)

  it("stay small where there are many points, and keep the extremes", function()
    local y = {}
    for n = 1, 1e5 do
      y[n] = 0
    end
    y[500], y[70000] = 1, -1
    local text = plot.lines { series = { { y = y } } }:svg()
    assert.is_true(#text < 50000)
    local low, high = math.huge, -math.huge
    for _, point in ipairs(points_of(text)) do
      low, high = math.min(low, point[2]), math.max(high, point[2])
    end
    local whole = points_of(plot.lines { series = { { y = { -1, 1 } } } }:svg())
    assert.same({ whole[2][2], whole[1][2] }, { low, high })
  end)

  it("survive nothing, one value, and the largest and smallest numbers", function()
    for _, log in ipairs { false, true } do
      for _, y in ipairs {
        {}, { 0 / 0 }, { 7 }, { 0, 0 }, { -1, -1 }, { -1.7e308, 1.7e308 }, { 0, 5e-324 },
        { 1e-300, 1e300 }, { 1, 1 + 1e-15 },
      } do
        local text = plot.lines { log = log, series = { { y = y } } }:svg()
        assert_well_formed(text)
        assert.is_nil(text:find '[" ]%-?nan' or text:find '[" ]%-?inf')
      end
    end
  end)

  it("refuse what is no series", function()
    for _, case in ipairs {
      { 5, "expected series%[1%] to be a table with y, got 5" },
      { {}, "expected series%[1%].y to be a list of numbers or a tensor of rank 1, got nil" },
      { { y = { "a" } }, "expected series%[1%].y to be a list of numbers" },
      { { y = saros.zeros(2, 2) }, "expected series%[1%].y .* got a tensor %(2, 2%)" },
      { { y = { 1, 2 }, x = { 1 } }, "expected series%[1%] to be as many x as y %(2%), got 1" },
      { { y = { 1 }, name = 3 }, "expected series%[1%].name to be a string, got 3" },
    } do
      assert.error_matches(function()
        plot.lines { series = { case[1] } }
      end, "^plot.lines: " .. case[2])
    end
    assert.error_matches(function() plot.lines { serie = {} } end, "plot.lines: unknown option")
  end)
end)

describe("bars and histograms", function()
  it("have a bar for each value, which tells it", function()
    local text = plot.bars(ALL.bars):svg()
    assert.equal(3, count(text, '<rect class="f1"'))
    assert.matches("<title>b: -2</title>", text, 1, true)
    assert.matches(">b</text>", text, 1, true)
  end)

  it("label as many bars as there is room for", function()
    local values, labels = {}, {}
    for n = 1, 60 do
      values[n], labels[n] = n, tostring(1960 + n)
    end
    local text, last = plot.bars({ values = values, labels = labels }):svg(), -math.huge
    local shown = 0
    for x, _ in text:gmatch '<text[^>]* x="([%d.]+)"[^>]*>(%d%d%d%d)</text>' do
      assert.is_true(tonumber(x) - last >= 34)
      last, shown = tonumber(x), shown + 1
    end
    assert.equal(15, shown)
  end)

  it("count every value once, the largest in the last bin", function()
    local text = plot.histogram { values = { 0, 0.1, 0.5, 0.99, 1, 0 / 0, 7 }, bins = 4, low = 0, high = 1 }:svg()
    local counts = {}
    for number in text:gmatch "<title>[%d.]+ to [%d.]+: (%d+)</title>" do
      counts[#counts + 1] = tonumber(number)
    end
    assert.same({ 2, 0, 1, 2 }, counts)
  end)

  it("survive nothing and one value", function()
    for _, values in ipairs { {}, { 3 }, { 0 / 0 }, { math.huge, -math.huge } } do
      assert_well_formed(plot.histogram { values = values }:svg())
      assert_well_formed(plot.bars { values = values }:svg())
    end
  end)
end)

describe("heat maps and confusion matrices", function()
  it("lay colour on by size, another below 0", function()
    local text = plot.heat { values = saros.tensor { { 1, -1 }, { 0, 0.5 } } }:svg()
    assert.equal(3, count(text, '<rect class="f1" fill%-opacity[^>]*><title>'))
    assert.equal(1, count(text, '<rect class="f2" fill%-opacity="0.85"[^>]*><title>'))
    assert.equal(1, count(text, 'fill%-opacity="0"[^>]*><title>'))
  end)

  -- The bar of a picture: its colours from above, and its labels.
  local function bar_of(text)
    local colours, labels, x = {}, {}, nil
    local cell = '<rect class="f(%d)" fill%-opacity="([%d.]+)"[^>]- x="([%d.]+)" y="[%d.]+"/>'
    for class, opacity, at in text:gmatch(cell) do
      colours[#colours + 1], x = { tonumber(class), tonumber(opacity) }, tonumber(at)
    end
    for at, label in text:gmatch '<text class="soft" x="([%d.]+)"[^>]*>([^<]*)</text>' do
      labels[#labels + 1] = x and tonumber(at) > x and label or nil
    end
    return colours, labels
  end

  it("tell which colour is which number", function()
    local colours, labels = bar_of(plot.heat { values = { { 4, -2 }, { 0, 0.5 } } }:svg())
    assert.same({ 1, 2 }, { colours[1][1], colours[#colours][1] })
    assert.is_true(colours[1][2] > 0.8 and colours[#colours][2] < 0.45, "as thick as the cells of 4 and -2")
    assert.same({ "-2", "-1", "0", "1", "2", "3", "4" }, labels)
    colours, labels = bar_of(plot.heat { values = { { -3000, -12500 } }, height = 60 }:svg())
    assert.same({ 2, 2 }, { colours[1][1], colours[#colours][1] })
    assert.is_true(colours[1][2] < 0.05 and labels[1] == "-10k" and #labels < 4)
    labels = select(2, bar_of(plot.confusion(ALL.confusion):svg()))
    assert.same({ "0 %", "20 %", "40 %", "60 %", "80 %", "100 %" }, labels)
    assert.same({}, bar_of(plot.heat { values = { { 0, 0 / 0 } } }:svg()), "there is no colour")
  end)

  it("show counts and shares of each true class", function()
    local text = plot.confusion(ALL.confusion):svg()
    assert.matches("<title>a as a: 5 (83.3 %)</title>", text, 1, true)
    assert.matches("<title>b as a: 0 (0.0 %)</title>", text, 1, true)
    assert.equal(1, count(text, ">5</text>"))
    assert.matches(">predicted</text>", text, 1, true)
  end)

  it("refuse ragged rows and survive none", function()
    assert.error_matches(function() plot.heat { values = { { 1, 2 }, { 3 } } } end,
      "plot.heat: expected option 'values' to be rows of numbers, all of one length, or a tensor of rank 2, got")
    assert_well_formed(plot.heat { values = {} }:svg())
    assert_well_formed(plot.heat { values = { { 0 / 0 } } }:svg())
    assert_well_formed(plot.confusion { counts = { { 0, 0 }, { 0, 0 } } }:svg())
  end)
end)
