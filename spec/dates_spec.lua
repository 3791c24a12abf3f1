-- The times of a series: which column has them, by which format, and whether the
-- rows are in their order.

local saros = require "saros"
local data = saros.data

local function series_of(times, given)
  local text = { "when,x\n" }
  for n, time in ipairs(times) do
    text[n + 1] = ("%s,%d\n"):format(time:find "," and '"' .. time .. '"' or time, n)
  end
  local o = { valid = 0 }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  return data.series({ string = table.concat(text) }, o)
end

local function read(times, given)
  return assert(series_of(times, given))
end

local function refuses(expected, times, given)
  local series, message = series_of(times, given)
  assert.is_nil(series, "read: " .. tostring(series))
  assert.matches(expected, message, 1, true)
end

-- What the times of a series are called when it is printed.
local function told(times, given)
  local series = read(times, given)
  assert.same({ "x" }, series.names.inputs)
  return tostring(series):match "time: when, ([^\n]*)"
end

local HOUR, DAY = 3600, 86400

describe("a time", function()
  -- Seconds since 1970 of the first of two times.
  local function first(text, second, given)
    return read({ text, second }, given).time.seconds[1]
  end

  it("has one of the common forms", function()
    local noon = 1615723200
    for text, second in pairs {
      ["2021-03-14 12:00"] = "2021-03-14 13:00", ["2021-03-14T12:00:00"] = "2021-03-14T13:00:00",
      ["2021-03-14 12:00:00.000"] = "2021-03-14 12:00:00.500", ["2021-03-14T12:00:00Z"] = "2021-03-14T13:00:00Z",
      ["2021-03-14T14:30:00+02:30"] = "2021-03-14T13:30:00+01:00",
      ["2021-03-14 07:00:00 -0500"] = "2021-03-14 08:00:00 -0500",
      ["14.03.2021 12:00"] = "14.03.2021 13:00", ["14/03/2021 12:00"] = "14/03/2021 13:00",
      ["3/14/2021 12:00 PM"] = "3/14/2021 1:00 pm", ["14-Mar-2021 12:00"] = "14-Mar-2021 13:00",
      ["2021/03/14 12:00:00"] = "2021/03/14 13:00:00", ["20210314T120000"] = "20210314T130000",
      ["Mar 14, 2021 12:00"] = "Mar 14, 2021 13:00", ["14 March 2021 12:00"] = "14 March 2021 13:00",
      ["2021-03-14 12:00:00 UTC"] = "2021-03-14 13:00:00 UTC", ["2021-03-14 12"] = "2021-03-14 13",
    } do
      assert.equal(noon, first(text, second), text)
    end
    for text, second in pairs { ["2021-03-14"] = "2021-03-15", ["14.03.2021"] = "15.03.2021",
      ["3/14/2021"] = "3/15/2021", ["2021/3/14"] = "2021/3/15", ["14-03-2021"] = "15-03-2021" } do
      assert.equal(noon - 12 * HOUR, first(text, second), text)
    end
    assert.equal(-662688000, first("1949-01", "1949-02"))
    assert.equal(-662688000, first("1949/01", "1949/02"))
    assert.equal(-662688000, first("Jan 1949", "Feb 1949"))
    assert.equal(-662688000, first("1949Q1", "1949Q2"))
  end)

  it("may have years of two digits, which are those of 1930..2029", function()
    assert.equal("every month from 1949-01-01 to 1949-03-01", told { "Jan-49", "Feb-49", "Mar-49" })
    assert.equal("every day from 1999-12-30 to 2000-01-01", told { "30.12.99", "31.12.99", "01.01.00" })
    assert.equal("every day from 1999-12-30 to 2000-01-01", told { "12/30/99", "12/31/99", "1/1/00" })
    assert.equal("every day from 2029-12-30 to 2029-12-31", told { "30-Dec-29", "31-Dec-29" })
    refuses("got some that are %d/%m/%y as well as %m/%d/%y; option 'format'", { "01/02/20", "02/02/20" })
    refuses("in one order", { "30.12.29", "31.12.29", "01.01.30" })
  end)

  it("may have the name of the day", function()
    for _, times in ipairs { { "Wednesday, March 10, 1999", "Thursday, March 11, 1999" },
      { "Wed 10 Mar 1999", "Thu 11 Mar 1999" }, { "10. 3. 1999", "11. 3. 1999" },
      { "10. Mar 1999", "11. Mar 1999" } } do
      assert.equal("every day from 1999-03-10 to 1999-03-11", told(times))
    end
  end)

  it("is not in a column of which more than a third is something else", function()
    local series = read { "2020-03-01", "2020-01-01", "none yet", "soon", "2020-02-01" }
    assert.same({ { name = "when", why = 'text such as "2020-03-01"; option \'format\' reads times' } },
      series.left_out)
    assert.is_nil(series.time)
  end)

  it("may be written in digits alone", function()
    assert.equal("every day from 1999-12-30 to 2000-01-01", told { "19991230", "19991231", "20000101" })
    local months = {}
    for n = 0, 23 do
      months[n + 1] = ("%d%02d"):format(1990 + n // 12, n % 12 + 1)
    end
    assert.equal("every month from 1990-01-01 to 1991-12-01", told(months))
    local series = read { "199001", "199005", "199002" } -- numbers in no order
    assert.same({ "when", "x" }, series.names.inputs)
  end)

  it("has a form of its own by an option", function()
    assert.equal(7200, first("1.1.70 2h", "1.1.70 3h", { format = "%d.%m.%y %Hh" }))
    assert.equal(5 * HOUR, first("5 o'clock", "6 o'clock", { format = "%H o'clock", time = 1 }))
    assert.equal(1615723200, first("1615723200", "1615723260", { time = "when", format = "%s" }))
    assert.equal(31 * DAY, first("1970/032", "1970/033", { format = "%Y/%j" }))
    refuses("expected times of the form %H:%M, got \"1\"", { "1", "2" }, { time = "when", format = "%H:%M" })
    refuses("expected a column of times of the form %H:%M, got none", { "1", "2" }, { format = "%H:%M" })
    assert.error_matches(function()
      read({ "1", "2" }, { format = "%K" })
    end, "expected option 'format' to be a format of dates such as \"%d.%m.%Y\", got \"%K\"", 1, true)
  end)

  it("that does not exist is none", function()
    refuses('line 4, column 1 (when): expected a time of the form %Y-%m-%d, as in most rows, got "2021-02-29"',
      { "2021-02-27", "2021-02-28", "2021-02-29", "2021-03-01", "2021-03-02" })
    refuses("got \"soon\"", { "2021-02-27", "2021-02-28", "soon", "2021-03-01", "2021-03-02" })
    refuses("got nothing", { "2021-02-27", "2021-02-28", "", "2021-03-01", "2021-03-02" })
    assert.equal("every day from 2020-02-28 to 2020-03-01", told { "2020-02-28", "2020-02-29", "2020-03-01" })
    refuses("as in most rows", { "1900-02-28", "1900-02-29", "1900-03-01" })
  end)
end)

describe("the day and the month", function()
  it("are told apart by all rows", function()
    local days = {}
    for n = 1, 25 do
      days[n] = ("%d/1/2020"):format(n)
    end
    assert.equal("every day from 2020-01-01 to 2020-01-25", told(days))
    for n = 1, 25 do
      days[n] = ("1/%d/2020"):format(n)
    end
    assert.equal("every day from 2020-01-01 to 2020-01-25", told(days))
  end)

  it("are told apart by the order of the rows, too", function()
    assert.matches("from 2020-11-05 to 2021-01-03", told { "5/11/2020", "4/12/2020", "3/1/2021" }, 1, true)
  end)

  it("are asked for where both readings are in order", function()
    local times = { "01/02/2020", "02/02/2020", "03/02/2020" }
    refuses("expected dates of one form, got some that are %d/%m/%Y as well as %m/%d/%Y; option 'format' says which",
      times)
    assert.equal("every day from 2020-02-01 to 2020-02-03", told(times, { format = "%d/%m/%Y" }))
    assert.equal("every month from 2020-01-02 to 2020-03-02", told(times, { format = "%m/%d/%Y" }))
  end)
end)

describe("the rows of a series", function()
  it("are put in ascending order if they descend, which is said", function()
    local series = read({ "2020-01-03", "2020-01-02", "2020-01-01" }, { scale = "none" })
    assert.same({ { 3 }, { 2 }, { 1 } }, series.inputs:totable())
    assert.is_true(series.time.descending)
    assert.matches("every day from 2020-01-01 to 2020-01-03; put in ascending order", tostring(series), 1, true)
    local _, message = series_of({ "2020-01-03", "2020-01-02", "" }, { scale = "none" })
    assert.matches("line 4, column 1 (when)", message, 1, true)
  end)

  it("are refused in no order, or with one time twice", function()
    refuses('line 4, column 1 (when): expected times in one order, got "2020-01-02" behind line 3; '
      .. "option 'time' says which column is the time, or which are together; time = false reads the rows as they "
      .. "stand",
      { "2020-01-01", "2020-01-03", "2020-01-02", "2020-01-04" })
    refuses('line 3, column 1 (when): expected each time once, got "2020-01-01" in line 2 as well',
      { "2020-01-01", "2020-01-01", "2020-01-02" })
    local series = read({ "2020-01-01", "2020-01-01", "2020-01-02" }, { time = false })
    assert.is_nil(series.time)
    assert.same({ { name = "when", why = "times" } }, series.left_out)
  end)

  it("have gaps, which are counted", function()
    local series = read { "2020-01-01", "2020-01-02", "2020-01-05", "2020-01-06", "2020-01-08" }
    assert.same({ "day", 2, 3 }, { series.time.step, series.time.gaps, series.time.absent })
    assert.matches("2 gaps (3 rows missing)", tostring(series), 1, true)
    assert.matches("1 gap (1 row missing)", tostring(read { "2020-01-01", "2020-01-02", "2020-01-04" }), 1, true)
  end)

  it("have a step in the unit that people use", function()
    for step, times in pairs {
      ["15 minutes"] = { "2020-01-01 00:00", "2020-01-01 00:15", "2020-01-01 00:30" },
      hour = { "2020-01-01 23:00", "2020-01-02 00:00", "2020-01-02 01:00" },
      ["6 hours"] = { "2020-01-01 18:00", "2020-01-02 00:00", "2020-01-02 06:00" },
      week = { "2020-01-01", "2020-01-08", "2020-01-15" },
      month = { "2019-12-31", "2020-01-31", "2020-02-29" },
      quarter = { "2019-12-01", "2020-03-01", "2020-06-01" },
      year = { "2019-06-01", "2020-06-01", "2021-06-01" },
      second = { "2020-01-01 00:00:01", "2020-01-01 00:00:02", "2020-01-01 00:00:03" },
    } do
      assert.equal(step, read(times).time.step)
    end
    assert.equal("every 0.5 seconds from 2020-01-01 00:00:59.250 to 2020-01-01 00:01:00.250",
      told { "2020-01-01 00:00:59.25", "2020-01-01 00:00:59.75", "2020-01-01 00:01:00.25" })
    assert.matches("irregular, mostly every day",
      told { "2020-01-01 00:00", "2020-01-02 00:00", "2020-01-03 00:00", "2020-01-03 12:00" }, 1, true)
  end)

  it("take their times from the column that has them in order", function()
    local text = "day,hour,x\n2020-01-01,2020-01-01 00:00,1\n2020-01-01,2020-01-01 01:00,2\n"
      .. "2020-01-01,2020-01-01 02:00,3\n"
    local series = assert(data.series({ string = text }, { valid = 0 }))
    assert.equal("hour", series.time.name)
    assert.same({ { name = "day", why = "times" } }, series.left_out)
    local _, message = data.series({ string = text }, { valid = 0, time = "day" })
    assert.matches("expected each time once", message, 1, true)
  end)

  it("take their times from several columns together", function()
    local text = "day;hour;x\n31/12/2006;22:30;1\n31/12/2006;23:30;2\n01/01/2007;00:30;3\n"
    local _, message = data.series({ string = text }, { valid = 0 })
    assert.matches('expected each time once, got "31/12/2006" in line 2 as well; option \'time\'', message, 1, true)
    local series = assert(data.series({ string = text }, { valid = 0, time = { "day", "hour" } }))
    assert.matches("time: day hour, every hour from 2006-12-31 22:30 to 2007-01-01 00:30\n", tostring(series), 1, true)
    assert.same({ "x" }, series.names.inputs)
    assert.same({}, series.left_out)
    text = "no,year,month,day,hour,x\n1,2010,1,1,23,5\n2,2010,1,2,0,6\n3,2010,1,2,1,7\n4,2010,1,2,2,8\n"
    series = assert(data.series({ string = text }, { valid = 0, time = { "year", "month", "day", "hour" },
      format = "%Y %m %d %H" }))
    assert.equal("hour", series.time.step)
    assert.same({ "no", "x" }, series.names.inputs)
    series = assert(data.series({ string = text }, { valid = 0, time = { 2, 3, 4, 5 }, format = "%Y %m %d %H",
      inputs = { "hour", "x" } }))
    assert.same({ { 23, 5 }, { 0, 6 }, { 1, 7 }, { 2, 8 } }, series.inputs:totable())
    _, message = data.series({ string = (text:gsub("2,0,6", ",0,6")) }, { valid = 0, time = { 2, 3, 4, 5 },
      format = "%Y %m %d %H" })
    assert.matches("line 3, column 7 (year month day hour): expected a time of the form %Y %m %d %H, as in most rows, "
      .. "got nothing", message, 1, true)
  end)

  it("may be ordered by years or other numbers, if asked for", function()
    local series = read({ "1990", "1991", "1993" }, { time = "when" })
    assert.same({ "x" }, series.names.inputs)
    assert.same({ "year", 1 }, { series.time.step, series.time.gaps })
    assert.equal("every 0.5 from 0.5 to 1.5", told({ "0.5", "1", "1.5" }, { time = "when" }))
    refuses("expected times in one order", { "1", "3", "2", "4" }, { time = "when" })
    refuses('expected a time, got "x"', { "1", "x", "3" }, { time = "when" })
    assert.same({ "when", "x" }, read({ "1990", "1991", "1993" }).names.inputs)
  end)

  it("may have their time among the inputs as well", function()
    local series = read({ "5", "6", "7" }, { time = "when", inputs = { "when", "x" } })
    assert.same({ { 5, 1 }, { 6, 2 }, { 7, 3 } }, series.inputs:totable())
    assert.equal("when", series.time.name)
  end)

  it("lose their times together with gaps", function()
    local text = "when,x\n2020-01-01,1\n2020-01-02,\n2020-01-03,3\n2020-01-04,4\n"
    local series = assert(data.series({ string = text }, { valid = 0, missing = "skip" }))
    assert.equal(3, #series.time.seconds)
    assert.equal(1, series.time.gaps)
  end)
end)
