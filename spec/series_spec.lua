require "spec.support.values"
local saros = require "saros"
local data = saros.data

local function read(text, given)
  return data.series({ string = text }, given)
end

-- What is wrong with a text, which is no error but a message.
local function problem(text, given)
  local series, message = read(text, given)
  assert.is_nil(series)
  return message
end

-- The inputs of a text, not scaled, as nested lists; most texts here are short.
local function rows(text, given)
  given = given or {}
  given.valid = 0
  return assert(read(text, given)).inputs:totable()
end

local function list(x)
  return x:reshape(-1):totable()
end

-- The whole numbers 1 to n as a series.
local function count_to(n, given)
  given.scale = given.scale or "none"
  return assert(data.series(saros.arange(n), given))
end

describe("a series from a table", function()
  it("takes the columns that hold numbers", function()
    local series = assert(read("Date,Temp,Note,Wind\n1981-01-01,1.5,,7\n1981-01-02,2.5,x,8\n1981-01-03,-3e1,x,9\n",
      { valid = 0 }))
    assert.same({ "Temp", "Wind" }, series.names.inputs)
    assert.same({ "Temp", "Wind" }, series.names.targets)
    assert.same({ { 1.5, 7 }, { 2.5, 8 }, { -30, 9 } }, series.inputs:totable())
    assert.equal(3, #series)
    assert.equal("series (string: 3 rows, 3 for training; Temp, Wind -> Temp, Wind, 1 step ahead)\n"
      .. "  time: Date, every day from 1981-01-01 to 1981-01-03\n"
      .. "  columns left out: Note (text such as \"x\")\n"
      .. "  held out: none", tostring(series))
  end)

  it("takes those one asks for, by name or number", function()
    local text = "a,b,c\n1,2,x\n3,4,x\n5,6,x\n"
    local series = assert(read(text, { inputs = { "b", 1 }, targets = "a", valid = 0 }))
    assert.same({ { 2, 1 }, { 4, 3 }, { 6, 5 } }, series.inputs:totable())
    assert.same({ { 1 }, { 3 }, { 5 } }, series.targets:totable())
    assert.matches('expected a column among a, b, c (or 1..3), got "d"', problem(text, { inputs = "d" }), 1, true)
    assert.matches("(or 1..3), got 4", problem(text, { targets = 4 }), 1, true)
    assert.matches('string, line 2, column 3 (c): expected a number, got "x"', problem(text, { inputs = 3 }), 1, true)
    assert.matches('expected one column "a", got columns 1 and 2; choose by number',
      problem("a,a\n1,2\n", { inputs = "a" }), 1, true)
  end)

  it("has a heading, or none", function()
    assert.same({ { 1, 2 }, { 3, 4 } }, rows "1,2\n3,4\n")
    assert.same({ { 1, 2 }, { 3, 4 } }, rows "x,y\n1,2\n3,4\n")
    assert.same({ { 3, 4 }, { 5, 6 } }, rows("1,2\n3,4\n5,6\n", { header = true }))
  end)

  it("may have other separators, line ends and a byte order mark", function()
    local expected = { { 1, 2.5 }, { 3, 4 }, { 5, 6 } }
    assert.same(expected, rows "1,2.5\n3,4\n5,6")
    assert.same(expected, rows "1;2.5\r\n3;4\r\n5;6\r\n")
    assert.same(expected, rows "a\tb\n1\t2.5\n\n3\t4\n5\t6\n")
    assert.same(expected, rows(" 1 | 2.5 \n3|4\n5|6\n"))
    assert.same(expected, rows("1%2.5\n3%4\n5%6\n", { separator = "%" }))
    local path = os.tmpname()
    local file = assert(io.open(path, "wb"))
    file:write "\xEF\xBB\xBF\"Temp\"\r\n\"1\"\r\n2\r\n3\r\n"
    file:close()
    local series = assert(data.series(path, { inputs = "Temp", valid = 0 }))
    os.remove(path)
    assert.same({ { 1 }, { 2 }, { 3 } }, series.inputs:totable())
    assert.equal(path, series.name)
  end)

  it("may have quoted fields, with separators, quotes and new lines in them", function()
    local series = assert(read('"a, ""b""\nc",d\r\n"1","x\r\n,"\r\n"2",y\r\n3,"""z"\r\n', { valid = 0 }))
    assert.same({ 'a, "b"\nc' }, series.names.inputs)
    assert.same({ { 1 }, { 2 }, { 3 } }, series.inputs:totable())
    assert.same({ { 5, 6 }, { 7, 8 } }, rows('a,b\n5,"6"\n7,"8"'))
    assert.same({ { 5, 6 }, { 7, 8 } }, rows('a,b\n5,"6"\n7,"8"\r\n'))
  end)

  it("says where it is broken", function()
    for expected, text in pairs {
      ["string, line 3: expected 2 fields, as in the first line, got 3"] = "a,b\n1,2\n3,4,5\n6,7\n",
      ["string, line 3: expected 2 fields, as in the first line, got 1"] = "a,b\n1,2\n3\n6,7\n",
      ["string, line 4, column 2: expected a closing quote, got the end of the file"] =
        '"a",b\n"1\n","2"\n3,"4\n5,6\n',
      ['string, line 2, column 1: expected "," or a new line behind the closing quote, got "x"'] = 'a,b\n"1"x,2\n',
      ['string, line 4, column 2 (b): expected a number, got "two"'] = 'a,b\n"1",2\n\n1,two\n',
      ['string, line 2, column 1 (1): expected a number, got "1e999"'] = "1\n1e999\n",
      ["string: expected a table, got nothing"] = "\n\n",
      ["string: expected a column of numbers, got none: a (text such as \"x\"), b (text such as \"y\")"] = "a,b\nx,y\n",
      ["expected more than 1 rows in part 'train', as horizon = 1, got 1 of 1 rows"] = "1,2\n",
    } do
      local message = problem(text)
      assert.equal("data.series: ", message:sub(1, 13))
      assert.matches(expected, message, 1, true)
    end
    assert.matches("line 2: expected 1 field,", problem "1\n1,2\n", 1, true)
    assert.matches("expected rows of numbers, got none", problem "a,b\n", 1, true)
    local series, message = data.series "no/such/file.csv"
    assert.is_nil(series)
    assert.equal("data.series: no/such/file.csv: No such file or directory", message)
    assert.matches("data.series: ", select(2, data.series "spec"), 1, true) -- a folder
  end)

  it("goes on where a number is missing, if it may", function()
    local text = "a,b\n1,5\n,NA\n?,nan\n4,8\n5, null \n"
    assert.matches('line 3, column 1 (a): expected a number, got nothing; missing = "previous", "interpolate" or '
      .. '"skip" reads on without', problem(text), 1, true)
    local function with(policy)
      return rows(text, { missing = policy })
    end
    assert.same({ { 1, 5 }, { 1, 5 }, { 1, 5 }, { 4, 8 }, { 5, 8 } }, with "previous")
    assert.same({ { 1, 5 }, { 2, 6 }, { 3, 7 }, { 4, 8 }, { 5, 8 } }, with "interpolate")
    assert.same({ { 1, 5 }, { 4, 8 } }, with "skip")
    text = "a,b\n,1\n2,2\n3,3\n"
    assert.matches("line 2, column 1 (a): expected a number, got nothing, and nothing before it",
      problem(text, { missing = "previous" }), 1, true)
    assert.same({ { 2, 1 }, { 2, 2 }, { 3, 3 } }, rows(text, { missing = "interpolate" }))
    for _, policy in ipairs { "interpolate", "skip", "previous" } do
      assert.matches("expected", problem("a,b\n,1\n,2\n", { missing = policy, inputs = "a" }), 1, true)
    end
  end)

  it("makes numbers of other columns by a function", function()
    local text = "Date,Value\n1981-02,1\n1981-03,2\n1981-04,3\n"
    local function month(date)
      return tonumber(date:match "%-(%d+)$")
    end
    assert.same({ { 2, 1 }, { 3, 2 }, { 4, 3 } }, rows(text, { parse = { Date = month } }))
    assert.same({ { 2 }, { 3 }, { 4 } }, rows(text, { parse = { month }, inputs = "Date" }))
    assert.matches('line 3, column 1 (Date): expected parse to make a finite number of "1981-03", or nil where one is '
      .. "missing, got inf", problem(text, { parse = { Date = function(date)
      return date == "1981-03" and math.huge or 1
    end } }), 1, true)
    for _, parse in ipairs { { Date = 3 }, { [1.5] = month }, 3 } do
      assert.error_matches(function()
        read(text, { parse = parse })
      end, "expected option 'parse' to be functions by column", 1, true)
    end
    assert.error_matches(function()
      read(text, { parse = { Date = function() error "mine" end } })
    end, "mine")
  end)

  it("comes from a tensor as well", function()
    assert.same({ { 1 }, { 2 }, { 3 } }, count_to(3, { valid = 0 }).inputs:totable())
    local two = saros.tensor { { 1, 2 }, { 3, 4 }, { 5, 6 } }
    assert.same({ { 2 }, { 4 }, { 6 } }, assert(data.series(two, { inputs = 2, valid = 0 })).inputs:totable())
    assert.same({ { 2 }, { 4 }, { 6 } }, assert(data.series(two, { inputs = "2", valid = 0 })).inputs:totable())
    for _, wrong in ipairs { 0, 3, "3", "x", 1.5 } do
      local series, message = select(2, pcall(data.series, two, { inputs = wrong }))
      assert.matches(wrong == 1.5 and "option 'inputs'" or "tensor: expected a column in 1..2, got",
        message or series, 1, true)
    end
    for _, wrong in ipairs { 3, {}, saros.ids { 1, 2 }, saros.zeros(2, 2, 2), saros.zeros(0) } do
      assert.error_matches(function() data.series(wrong) end, "data.series: expected ")
    end
  end)

  it("refuses options that make no sense", function()
    for _, given in ipairs { { separator = ", " }, { separator = '"' }, { missing = "zero" }, { scale = "log" },
      { inputs = {} }, { targets = { {} } }, { horizon = 0 }, { valid = 1 }, { column = 2 } } do
      assert.error_matches(function()
        local _ = data.series({ string = "1\n2\n3\n" }, given)
      end, "data.series: ")
    end
  end)
end)

describe("the parts of a series", function()
  it("follow each other in time", function()
    local series = count_to(10, { valid = 0.2, test = 0.3 })
    assert.same({ 1, 2, 3, 4, 5 }, list(series.train.inputs))
    assert.same({ 6, 7 }, list(series.valid.inputs))
    assert.same({ 8, 9, 10 }, list(series.test.inputs))
    assert.equal(8, series.test.first)
    assert.equal(3, #series.test)
    assert.is_nil(count_to(10, { valid = 0 }).valid)
    local none, message = data.series(saros.arange(10), { horizon = 2, valid = 0.2 })
    assert.is_nil(none)
    assert.matches("expected more than 2 rows in part 'valid', as horizon = 2, got 2 of 10 rows", message, 1, true)
    assert.is_nil((data.series(saros.arange(10), { valid = 0.6, test = 0.6 })))
  end)

  it("have the scale of the training part", function()
    local text = "a,b\n1,7\n3,7\n1,7\n3,7\n100,7\n-100,9\n"
    local series = assert(read(text, { valid = 1 / 3 }))
    assert.same({ { -1, 0 }, { 1, 0 }, { -1, 0 }, { 1, 0 } }, series.train.inputs:totable())
    assert.same({ { 98, 0 }, { -102, 2 } }, series.valid.inputs:totable())
    assert.same_values(series.inputs, series.scale.inputs:invert(series.scale.inputs:apply(series.inputs)), 1e-5)
    series = assert(read(text, { valid = 1 / 3, scale = "minmax", inputs = "a" }))
    assert.same({ 0, 1, 0, 1 }, list(series.train.inputs))
    assert.same({ 49.5, -50.5 }, list(series.valid.targets))
    series = assert(read(text, { valid = 1 / 3, scale = "none", targets = "b" }))
    assert.same({ 7, 9 }, list(series.valid.targets))
  end)
end)

describe("the windows of a series", function()
  it("have inputs and what follows each of them", function()
    local pairs_of = saros.stack({ saros.arange(7), saros.arange(7) * 10 }, 2)
    local series = assert(data.series(pairs_of, { targets = { 2, 1 }, horizon = 2, scale = "none", valid = 0 }))
    local window = series:windows { batch = 1, length = 3, stride = 4, seed = 3 } ()
    assert.same({ 3, 1, 2 }, window.inputs:shape())
    assert.same({ 3, 1, 2, 2 }, window.targets:shape())
    local first = window.inputs:totable()[1][1][1]
    for t = 1, 3 do
      local now = first + t - 1
      assert.same({ { now, now * 10 } }, window.inputs:totable()[t])
      assert.same({ { { (now + 1) * 10, now + 1 }, { (now + 2) * 10, now + 2 } } }, window.targets:totable()[t])
    end
    assert.is_true(window.reset)
  end)

  -- Where the rows of all windows begin.
  local function starts(series, given)
    local found = {}
    for window in series:windows(given) do
      for _, start in ipairs(list(window.inputs:select(1, 1))) do
        found[#found + 1] = math.tointeger(start)
      end
    end
    return found
  end

  it("come in the order of a seed, or of time", function()
    local function order(seed, first, of)
      return starts(count_to(19, { valid = 0, seed = of }), { batch = 3, length = 4, seed = seed, first = first })
    end
    local in_time = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }
    assert.same(in_time, order())
    local shuffled = order(1)
    assert.same(shuffled, order(1))
    assert.not_same(shuffled, order(2))
    assert.not_same(shuffled, order(1, 1, 2))
    assert.same({ table.unpack(shuffled, 10) }, order(1, 4))
    table.sort(shuffled)
    assert.same(in_time, shuffled)
  end)

  it("of the other parts come in the order of time and end with the part", function()
    local series = count_to(40, { valid = 0.25, test = 0.25 })
    assert.same({ 21, 24, 27 }, starts(series, { batch = 1, length = 3, part = "valid" }))
    assert.same({ 21, 24, 27 }, starts(series, { batch = 4, length = 3, part = "valid", partial = true }))
    assert.same({ 31 }, starts(series, { batch = 4, length = 50, part = "test", partial = true }))
    assert.same({ 21, 23, 25, 27 }, starts(series, { batch = 1, length = 3, stride = 2, part = "valid" }))
    local window = series:windows { batch = 4, length = 50, part = "test", partial = true } ()
    assert.same({ 9, 1, 1 }, window.inputs:shape())
  end)

  it("need enough rows", function()
    assert.error_matches(function()
      count_to(10, { valid = 0 }):windows { batch = 2, length = 9 }
    end, "expected at least 11 rows for batch = 2, length = 9 and horizon = 1, got 10 in part 'train' of tensor; "
      .. "use a smaller batch or length: length = 8 fits this batch, batch = 1 fits this length", 1, true)
    assert.error_matches(function() -- those of a held-out part do not overlap
      count_to(100, { valid = 0.4 }):windows { part = "valid", batch = 5, length = 10 }
    end, "expected at least 51 rows for batch = 5, length = 10 and horizon = 1, got 40 in part 'valid' of tensor; "
      .. "use a smaller batch or length: length = 7 fits this batch, batch = 3 fits this length", 1, true)
    local series = count_to(100, { valid = 0.4 })
    for _, fits in ipairs { { batch = 5, length = 7 }, { batch = 3, length = 10 } } do
      fits.part = "valid"
      assert.is_table(series:windows(fits) ())
    end
    assert.error_matches(function()
      count_to(10, { valid = 0 }):windows { part = "test" }
    end, "expected a series with a part 'test', got one without; "
      .. "data.series(..., { test = 0.1 }) holds one out", 1, true)
  end)
end)
