-- Tables as programs and people write them: what is read, and what is refused
-- and by which option it becomes clear.

local saros = require "saros"
local data = saros.data

local function options_of(given)
  local o = { valid = 0 }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  return o
end

local function read(text, given)
  return assert(data.series({ string = text }, options_of(given)))
end

local function rows(text, given)
  return read(text, given).inputs:totable()
end

-- What is wrong with a text. Lines that a message names are those of the text.
local function problem(text, given)
  local series, message = data.series({ string = text }, options_of(given))
  assert.is_nil(series, "read: " .. tostring(series))
  return message
end

local function refuses(expected, text, given)
  assert.matches(expected, problem(text, given), 1, true)
end

local EXPECTED = { { 1, 2.5 }, { 3, 4 }, { 5, 6 } }

-- The same text in UTF-16; all characters are in the first plane.
local function utf16(text, form)
  local units = {}
  for _, code in utf8.codes(text) do
    units[#units + 1] = string.pack(form, code)
  end
  return table.concat(units)
end

describe("the bytes of a table", function()
  local text = "a,b\n1,2.5\n3,4\n5,6\n"

  it("may have any line ends", function()
    for _, ending in ipairs { "\n", "\r\n", "\r", "\r\r\n" } do
      assert.same(EXPECTED, rows((text:gsub("\n", ending))), ("%q"):format(ending))
    end
    assert.same(EXPECTED, rows "a,b\r1,2.5\n3,4\r\n5,6")
  end)

  it("may have a byte order mark, in UTF-8 and UTF-16, or be UTF-16 without one", function()
    assert.same(EXPECTED, rows("\u{FEFF}" .. text))
    for _, form in ipairs { "<I2", ">I2" } do
      assert.same(EXPECTED, rows(utf16("\u{FEFF}" .. text, form)))
      assert.same(EXPECTED, rows(utf16(text, form)))
      local series = read(utf16("\u{FEFF}Größe;\u{20AC}\r\n1;2,5\r\n3;4\r\n5;6\r\n", form))
      assert.same({ "Größe", "\u{20AC}" }, series.names.inputs)
      assert.same(EXPECTED, series.inputs:totable())
    end
    local long = { "x\n" }
    for n = 1, 1000 do
      long[n + 1] = n .. "\n"
    end
    assert.equal(1000, #read(utf16(table.concat(long), "<I2")))
  end)

  it("may have characters of two units of UTF-16", function()
    assert.same({ "\u{1F600}" }, read("\xFF\xFE\x3D\xD8\x00\xDE\n\0001\0\n\0002\0\n\0").names.inputs)
    refuses("expected UTF-16, got half a surrogate pair at byte 5", "\xFF\xFE\x3D\xD8\n\0001\0")
    refuses("got half a unit at the end", "\xFF\xFE1\0\n")
  end)

  it("are text, of an encoding that is read", function()
    refuses("string, line 2: expected text, got a byte 0", "a,b\n1,\0\n")
    refuses("expected UTF-8 or UTF-16, got UTF-32", "\xFF\xFE\0\0a\0\0\0")
    refuses("string, line 2: expected UTF-8, got byte 0xE9; if it is Windows-1252 or Latin-1, iconv",
      "a,b\n1,t\xE9\n")
  end)
end)

describe("the separator", function()
  it("is what gives all rows the same number of fields", function()
    for _, separator in ipairs { ",", ";", "\t", "|" } do
      assert.same(EXPECTED, rows((("a,b\n1,2.5\n3,4\n5,6\n"):gsub(",", separator))))
    end
    assert.same({ { 1 }, { 2 }, { 3 } }, rows "name;x\na, b, c;1\nd, e, f;2\ng, h, i;3\n")
    assert.same({ { 1 }, { 2 } }, rows 'name,x\n"a;b;c",1\n"d;e;f",2\n')
    assert.same({ { 1.5, 2 }, { 3, 4 }, { 5.5, 6 } }, rows "x, in m;y, in m\n1,5;2\n3;4\n5,5;6\n")
    assert.same({ "x, in m", "y, in m" }, read("x, in m;y, in m\n1,5;2\n3;4\n").names.inputs)
    assert.same({ { 1 }, { 2 } }, rows "date;x|y\n2020-01-01;1\n2020-01-02;2\n")
  end)

  it("is no decimal comma that all rows have", function()
    assert.same({ { 12.5 }, { 1.25 }, { 8.75 } }, rows "12.09.2023;12,500\n19.09.2023;1,25\n26.09.2023;8,750\n")
    assert.same({ { 48.5 }, { 147.375 } }, rows "flow, m3/s\tx\na\t48,5\nx;y\t147,375\n")
    assert.same({ { 1079.5 }, { 1644.25 } }, rows "13-May-1999;\u{20AC}1079,50\n14-May-1999;\u{20AC}1644,25\n")
    assert.same({ { -29.875 }, { 189.25 } }, rows "02/15/1975 12:00 AM\t-29,875\n02/16/1975 12:00 AM\t189,25\n")
    refuses('line 2: expected two columns or numbers with decimal commas, got 12,05; decimal = "," or separator = "," '
      .. "says which", "3,50\n12,05\n4,10\n")
    assert.same({ { 3.5 }, { 12.0625 } }, rows("3,5\n12,0625\n", { decimal = "," }))
    assert.same({ { 3, 50 }, { 12, 5 } }, rows("3,50\n12,05\n", { separator = "," }))
  end)

  it("is told by a line sep= as Excel has it", function()
    assert.same(EXPECTED, rows "sep=;\na;b\n1;2.5\n3;4\n5;6\n")
    assert.same(EXPECTED, rows "\u{FEFF}SEP=|\r\na|b\r\n1|2.5\r\n3|4\r\n5|6\r\n")
    refuses("string, line 4: expected 2 fields", "sep=;\na;b\n1;2.5\n3;4;5\n5;6\n")
  end)

  it("is blanks where an option says so", function()
    local text = "  a    b\n  1  2.5\n 3\t4\n5 6  \n"
    assert.same(EXPECTED, rows(text, { separator = " " }))
    refuses('got fields apart by blanks; separator = " " reads them', text)
    assert.same({ { 1234 }, { 12345678 } }, rows("x\n1 234\n12 345 678\n", { thousands = " " }))
  end)

  it("may be any character, letters and magic ones too", function()
    for _, separator in ipairs { "^", "%", "x", ".", "-" } do
      assert.same({ { 1, 2 }, { 3, 4 } }, rows((('"1"_2\n3_4\n'):gsub("_", (separator:gsub("%%", "%%%%")))),
        { separator = separator }))
    end
  end)

  it("is not guessed where a header and its rows disagree", function()
    refuses("string, line 1: expected 2 fields, as in line 2 and most others, got 1; skip = 1 leaves out the lines "
      .. "before line 2; if a comma in 1,5 is a decimal one and no separator, decimal = \",\" says so",
      "x\n1,5\n2,5\n3,5\n")
    assert.same({ { 1.5 }, { 2.5 }, { 3.5 } }, rows("x\n1,5\n2,5\n3,5\n", { decimal = "," }))
    refuses("skip = 1 leaves out the lines before line 2; or lines end in a separator that the first one lacks",
      "a,b\n1,2,\n3,4,\n5,6,\n")
    refuses("string, line 5: expected 2 fields, as in the first line, got 3; if a comma is a decimal one",
      "a,b\n1,2\n3,4\n5,6\n7,8,5\n")
  end)
end)

describe("lines that are no rows", function()
  it("before a table are left out by an option, or refused with it", function()
    local text = "Station 17\nfrom 1990, daily\n\na;b;c\n1;2;3\n4;5;6\n7;8;9\n"
    refuses("string, line 1: expected 3 fields, as in line 4 and most others, got 1; skip = 3", text)
    assert.same({ { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 } }, rows(text, { skip = 3 }))
    refuses("string, line 6, column 1 (a): expected a number, got \"x\"", (text:gsub("4;", "x;")), { skip = 3 })
    refuses("expected a table, got nothing", text, { skip = 99 })
  end)

  it("may be comments", function()
    local text = "# made by hand\na,b\n1,2.5\n# half time, a break\n3,4\n5,6\n"
    refuses('comment = "#" leaves out lines that begin with it', text)
    local series = read(text, { comment = "#" })
    assert.same(EXPECTED, series.inputs:totable())
    assert.equal(2, series.ignored.comments)
    assert.matches("dropped: 2 comments", tostring(series), 1, true)
    assert.same(EXPECTED, rows((text:gsub("#", "//")), { comment = "//" }))
  end)

  it("such as totals are refused with the option that leaves them out", function()
    local text = "day,x\n2020-01-01,5\n2020-01-02,6\nTotal,11\n"
    refuses('got "Total"', text)
    refuses('comment = "Total" leaves out lines that begin with it', text)
    assert.same({ { 5 }, { 6 } }, rows(text, { comment = "Total" }))
    refuses('line 3: expected 2 fields, as in the first line, got 1; comment = "#" leaves out', "a,b\n1,2\n# end\n")
  end)

  it("may be blank, or have nothing but separators; they are counted", function()
    local series = read "a,b\n1,2.5\n\n3,4\n   \n5,6\n,\n,\n"
    assert.same(EXPECTED, series.inputs:totable())
    assert.equal(4, series.ignored.blank)
    assert.matches("dropped: 4 blank lines", tostring(series), 1, true)
  end)
end)

describe("the names of columns", function()
  local function names(text, given)
    return read(text, given).names.inputs
  end

  it("stand above numbers", function()
    assert.same({ "x", "y" }, names "x,y\n1,2\n3,4\n")
    assert.same({ "1", "2" }, names "1,2\n3,4\n")
    assert.same({ "1", "2" }, names(",\n1,2\n3,4\n", { header = true }))
    assert.same({ "x", "2" }, names "x,\n1,2\n3,4\n")
    assert.same({ "x", "NA" }, names "x,NA\n1,2\n3,4\n")
    assert.same({ "2" }, names("d,2\n2020-01-01,3\n2020-01-02,4\n", { header = true }))
    assert.same({ "2" }, names "2020-01-01,3\n2020-01-02,4\n")
  end)

  it("stand above times, above true and false, and above an index without a name", function()
    assert.same({ { 0 }, { 0 }, { 1 } }, rows "2019-02-01,false\n2019-02-02,false\n2019-02-03,true\n")
    assert.same({ { 0 }, { 1 } }, rows "day,is rainy\n2019-02-01,false\n2019-02-02,true\n")
    assert.same({ { 1 }, { 0 } }, rows "true\nfalse\n")
    assert.same({ { 0 }, { 1 }, { 2 } }, rows ",sky\n0,rain\n1,sun\n2,snow\n")
  end)

  it("may be years, or numbers that count up beside text", function()
    assert.same({ "1990", "1991" }, names "1990,1991\n5.5,6\n7,8\n")
    assert.same({ "1990", "2000", "2010" }, names "where,1990,2000,2010\nhere,5,6,7\nthere,8,9,10\nnowhere,1,2,3\n")
    assert.same({ "t", "1", "2" }, names "t,1,2\n5,6,7\n8,9,10\n")
    refuses("line 3: expected 2 fields, as in the first line, got 1", "1990,1991\n5.5,6\n7\n8,9\n")
    assert.same({ "1", "2" }, names "1990,112\n1991,118\n1992,132\n")
    assert.same({ "1", "2" }, names "1990,1991\n1991,1992\n1992,1993\n")
  end)

  it("are none where the first row has no text, be it missing", function()
    assert.same({ { 3, 4 }, { 5, 6 } }, rows("NA,\n3,4\n5,6\n", { missing = "skip" }))
    assert.same({ { 5, 4 }, { 5, 4 }, { 7, 8 } }, rows("5,-\n5,4\n7,8\n", { missing = "interpolate" }))
  end)

  it("are asked for where the first row has text and numbers", function()
    local text = "x,5\n1,2\n3,4\n5,7\n"
    refuses("line 1: expected names of columns or numbers in the first line, got both (x, 5); header = true or false",
      text)
    assert.same({ "x", "5" }, names(text, { header = true }))
    refuses('line 1, column 1 (1): expected a number, got "x"', text, { header = false })
    refuses("got both (x, 5)", "x,5,9\n1,2,3\n3,4,5\n") -- two numbers always rise by one step
    assert.same({ { 1, 2 }, { 3, 4 }, { 5, 7 } }, rows(text, { header = false, na = "x", missing = "skip" }))
  end)
end)

describe("a number", function()
  -- The first field of a column whose others are whole numbers.
  local function first(field, given)
    return rows("a,b\n1," .. field .. "\n2,2\n3,3\n4,4\n", given)[1][2]
  end

  it("may have blanks, quotes, a sign, an exponent", function()
    for field, value in pairs { [" 5 "] = 5, ['"5"'] = 5, [' "5" '] = 5, ["+5"] = 5, ["-5"] = -5, [".5"] = 0.5,
      ["5."] = 5, ["5e3"] = 5000, ["-2.5E+2"] = -250, ["\u{2212}5"] = -5, ["\u{A0}5"] = 5, ["5\u{202F}"] = 5,
      ["007"] = 7, ["1'234.5"] = 1234.5, ["1 234"] = 1234, ["12\u{A0}345\u{A0}678"] = 12345678,
      ["1\u{2019}234"] = 1234, ["1\u{202F}234"] = 1234 } do
      assert.equal(value, first(field), field)
    end
  end)

  it("is no hexadecimal, nor anything else that only looks like one", function()
    for _, field in ipairs { "0x10", "0X1P3", "1_000", "1 2", "1 23", "1e", "e5", "--5", "5-", "1.2.3", "12 34 567",
      "inf", "Infinity", "1.#INF", "(5)", "5 km", "1/2", "12:30", "#REF" } do
      local message = problem("a,b\n1," .. field .. "\n2,2\n3,3\n4,4\n")
      assert.matches("string, line 2, column 2 (b): expected a number, got " .. ("%q"):format(field), message, 1, true)
      assert.matches("(3 of 4 fields are numbers)", message, 1, true)
      assert.matches("na = { ", message, 1, true)
    end
  end)

  it("is finite in this build", function()
    refuses('line 2, column 1 (x): expected a number, got "1e999"', "x\n1e999\n2\n3\n")
    refuses("which is more than a number of this build can be", "x\n-1e999\n2\n3\n")
    local limit = saros.tensor(1e39):all_finite() and "1.7e308" or "3.4e38"
    assert.equal(3, #read("x\n" .. limit .. "\n2\n3\n", { scale = "none" }))
    if limit == "3.4e38" then
      for _, large in ipairs { "1e39", "3.4028236e38", "-1e300", "1" .. (" 000"):rep(13) } do
        assert.matches("line 3, column 1 (x): expected a number, got ", problem("x\n1\n" .. large .. "\n3\n"), 1, true)
      end
    end
  end)

  it("may be missing in every common spelling", function()
    for _, field in ipairs { "", "-", "--", ".", "..", "?", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan",
      "-nan", "null", "NULL", "None", "nil", "missing", "NaT", "1.#QNAN", "-1.#IND", "#VALUE!", "#DIV/0!", "\\N",
      '""', '" "', "\u{2013}", "\u{A0}", "(null)", "na ", "-nan(ind)" } do
      assert.equal(2, first(field, { missing = "interpolate" }), field)
      refuses("line 2, column 2 (b): expected a number, got nothing", "a,b\n1," .. field .. "\n2,2\n3,3\n")
    end
  end)

  it("may be missing in spellings that an option adds", function()
    for _, na in ipairs { "-9999", -9999, { "-9999" }, { "x", -9999 }, { " -9999.0 " } } do
      assert.equal(2, first("-9999", { na = na, missing = "interpolate" }))
      assert.equal(2, first('"-9,999"', { na = na, missing = "interpolate", thousands = "," }))
    end
    assert.equal(2, first("n.v.", { na = { "n.v." }, missing = "interpolate" }))
    assert.equal(-9999, first "-9999")
    refuses('got "broken"', "a,b\n1,broken\n2,2\n3,3\n", { na = { "n.v." } })
    assert.error_matches(function()
      read("a\n1\n", { na = { {} } })
    end, "expected option 'na' to be a list of texts or numbers that stand for no value", 1, true)
  end)

  it("may be what a function makes of text; nil is missing", function()
    local function parse(text)
      return text ~= "-9999" and tonumber(text) or nil
    end
    local text = "t,v\n1,1\n2,-9999\n3,3\n"
    assert.same({ { 1, 1 }, { 2, 1 }, { 3, 3 } }, rows(text, { parse = { v = parse }, missing = "previous" }))
    refuses("line 3, column 2 (v): expected a number, got nothing", text, { parse = { v = parse } })
    local count = 0
    rows("x\na\na\na\n", { parse = { x = function()
      count = count + 1
      return count
    end } })
    assert.equal(3, count) -- called for each field
    local seen = {}
    rows("x\n007\n1.50\n2\n", { parse = { x = function(field)
      seen[#seen + 1] = field
      return 1
    end } })
    assert.same({ "007", "1.50", "2" }, seen) -- as they stand in the file
  end)

  it("may have a unit, which all of a column share", function()
    assert.same({ { 5 }, { 7.5 } }, rows "x\n5%\n7.5 %\n")
    assert.matches("read: x in %", tostring(read "x\n5%\n7.5 %\n"), 1, true)
    assert.same({ { 5 }, { -7.5 }, { -8 } }, rows "x\n$5\n-$7.50\n$-8\n")
    assert.same({ { 1234.5 }, { 2 } }, rows 'x\n"€1,234.50"\n2 €\n')
    assert.matches("read: x in €", tostring(read 'x\n"€1,234.50"\n2 €\n'), 1, true)
    assert.equal(5, first "$5")
    refuses("line 2, column 2 (b): expected all numbers in % or none, got both", "a,b\n1,5%\n2,2\n3,3\n")
    refuses("line 4, column 1 (x): expected numbers in $, as in line 2, got some in €", "x\n$1\n$2\n€3\n")
  end)

  it("may be true or false, if all of a column are", function()
    local series = read "a,b\n1,TRUE\n2,false\n3,True\n"
    assert.same({ { 1, 1 }, { 2, 0 }, { 3, 1 } }, series.inputs:totable())
    assert.matches("read: b as 1 for true and 0 for false", tostring(series), 1, true)
    assert.same({ { 1 }, { 1 }, { 0 } }, rows("b\ntrue\n\"\"\nfalse\n", { missing = "previous" }))
    refuses('line 2, column 2 (b): expected a number, got "TRUE"', "a,b\n1,TRUE\n2,2\n3,3\n")
  end)
end)

describe("a comma in a number", function()
  it("is the decimal one where the table proves it", function()
    assert.same({ { 1, 2.5 }, { 3, 4 }, { 5, 6 } }, rows "a;b\n1;2,5\n3;4\n5;6\n")
    assert.same({ { 1, 2.5 }, { 3, 4 } }, rows 'a,b\n1,"2,5"\n3,4\n')
    assert.same({ { 1, 1.125 }, { 2, 0.5 } }, rows "a;b\n1;1,125\n2;0,5\n")
    assert.same({ { 1234.5 }, { 7 }, { 1234567 } }, rows "x\n\"1.234,5\"\n7\n1.234.567\n")
    assert.same({ { 1234, 0.25 }, { 2, -1.5e3 } }, rows "a;b\n1.234;0,25\n2;-1,5e3\n")
    assert.same({ { 0.5, 1 }, { 0.25, 2 } }, rows "a;b\n0,5;1\n0,25;2\n")
    assert.same({ { 5 }, { -2.5 } }, rows "x;n\n5 %;a\n-2,5 %;b\n")
  end)

  it("stands between thousands where the table proves it", function()
    assert.same({ { 1234, 0.5 }, { 2, 1.5 } }, rows 'a,b\n"1,234",0.5\n2,1.5\n')
    assert.same({ { 1234567 }, { 1234 } }, rows "x\ty\n1,234,567\ta\n1,234\tb\n")
    assert.same({ { 1234567 }, { 1234.25 } }, rows "x;y\n12,34,567;a\n1,234.25;b\n")
  end)

  it("is refused where it may be either, and an option decides", function()
    local text = 'a,b\n1,"1,234"\n2,2\n3,3\n'
    refuses('line 2, column 2 (b): expected a number, got "1,234" (2 of 3 fields are numbers); it is 1234 with '
      .. 'thousands = "," and 1.234 with decimal = ","; one of these options says which', text)
    refuses('line 2, column 1 (a): expected a number, got "1,000"; it is 1000 with', 'a;b\n1,000;2\n2,000;3\n3,500;4\n')
    refuses('got "1,5"; decimal = "," reads it', "a;b\n1,5;1.5\n2,5;2.5\nx;1.5\n1,5;1.5\n", { decimal = "." })
    assert.equal(1234, rows(text, { thousands = "," })[1][2])
    assert.equal(1234, rows(text, { decimal = "." })[1][2])
    assert.same({ { 1, 1.25 }, { 2, 2 }, { 3, 3 } }, rows('a,b\n1,"1,250"\n2,2\n3,3\n', { decimal = "," }))
    assert.equal(1.25, rows('a;b\n1;1,250\n2;2\n3;3\n', { thousands = "." })[1][2])
  end)

  it("is a point that may be either, too, where whole numbers are below a thousand", function()
    local text = "a;b\n1;1.528\n2;602\n3;1.186\n"
    refuses('line 2, column 2: expected a number, got 1.528 beside 602, so its point may stand behind thousands; it is '
      .. '1528 with thousands = "." and 1.528 with decimal = "."', text)
    assert.same({ { 1, 1528 }, { 2, 602 }, { 3, 1186 } }, rows(text, { thousands = "." }))
    assert.is_near(1.528, rows(text, { decimal = "." })[1][2], 1e-6)
    for _, proof in ipairs { "4;0.5", "4;1528", "4;2.1250" } do
      assert.is_near(1.528, rows(text .. proof .. "\n")[1][2], 1e-6)
    end
    assert.is_near(1.186, rows "a\n1.528\n1.186\n"[2][1], 1e-6)
  end)

  it("is not both at once", function()
    refuses('expected decimal and thousands to differ, got "," for both', "a;b\n1;2\n",
      { decimal = ",", thousands = "," })
  end)

  it("is refused beside decimal points", function()
    refuses('line 5, column 2 (b): expected a number, got "2,5"', 'a;b\n1;1.5\n2;2.5\n3;3.5\n4;2,5\n')
    refuses('decimal = "," reads it', 'a;b\n1;1.5\n2;2.5\n3;3.5\n4;2,5\n')
    refuses('line 5, column 2 (b): expected a number, got "2.5"', 'a;b\n1;1,5\n2;2,5\n3;3,5\n4;2.5\n')
  end)

  it("far behind the beginning is found as well", function()
    local text = { "a;b\n" }
    for n = 1, 3000 do
      text[n + 1] = n .. ";" .. n .. "\n"
    end
    text[2900] = "7;7,5\n"
    refuses('line 2900, column 2 (b): expected a number, got "7,5" (2999 of 3000 fields are numbers); decimal = ","',
      table.concat(text))
    assert.equal(7.5, rows(table.concat(text), { decimal = "," })[2899][2])
  end)
end)

describe("the fields of a line", function()
  local core = require "saros.core"

  -- What core.fields does, as slowly as it can be said.
  local function fields(line, separator, marks)
    local list = {}
    for field in (line .. separator):gmatch("(.-)%" .. separator) do
      local value = not (marks ~= "" and field:find("[" .. marks .. "]")) and tonumber(field)
      list[#list + 1] = value and saros.tensor(value):all_finite() and value or field
    end
    return list
  end

  it("are numbers or text, as plain searches find them", function()
    local generator, atoms = saros.generator(5), { "1", "23", ".5", "-7", "1e3", "1e39", "1e999", "0x1F", " 8 ", "9.",
      "", " ", "x", "nan", "inf", "1,5", "2020-01-01", ("1"):rep(80), "9223372036854775808", "-9223372036854775808" }
    for _ = 1, 300 do
      local parts = {}
      for n = 1, generator:integer(12) do
        parts[n] = atoms[generator:integer(#atoms)]
      end
      for _, separator in ipairs { ",", ";", "\t" } do
        for _, marks in ipairs { "", "xX", ".xX" } do
          local line, list = table.concat(parts, separator), {}
          local expected = fields(line, separator, marks)
          assert.equal(#expected, core.fields(line, separator, list, marks))
          for n, value in ipairs(expected) do
            assert.equal(value, list[n])
            assert.equal(math.type(value), math.type(list[n]))
          end
        end
      end
    end
  end)

  it("are one if nothing separates them, and none is quoted", function()
    local list = { 7, 8, 9 }
    assert.equal(1, core.fields("", ",", list, ""))
    assert.same({ "", 8, 9 }, list)
    assert.equal(2, core.fields('"1",2', ",", list, ""))
    assert.same({ '"1"', 2, 9 }, list)
    for _, wrong in ipairs { "", ",,", 1 } do
      assert.error_matches(function() core.fields("1", wrong, {}, "") end, "fields: expected ")
    end
  end)
end)

describe("a column", function()
  it("of text, of nothing, or that is not asked for is left out, and said to be", function()
    local series = read "id,a,b,c\nx7,1,,p\nx8,2,,q\nx9,3,,7\n"
    assert.same({ "a" }, series.names.inputs)
    assert.same({ { name = "id", why = 'text such as "x7"' }, { name = "b", why = "no values" },
      { name = "c", why = 'text such as "p", beside 1 numbers' } }, series.left_out)
    assert.matches('columns left out: id (text such as "x7"), b (no values), c (text such as "p", beside 1 numbers)',
      tostring(series), 1, true)
    series = read("a,b,c\n1,2,x\n3,4,x\n5,6,x\n", { inputs = "b", targets = 1 })
    assert.same({ { name = "c", why = "not among the inputs or targets" } }, series.left_out)
  end)

  it("of times or units that are not read says which option reads them", function()
    local series = read "when,x,y\n90/01/02,5 km,1\n90/01/03,7 m,2\n"
    assert.same({ { name = "when", why = 'text such as "90/01/02"; option \'format\' reads times' },
      { name = "x", why = 'text such as "5 km"; option \'parse\' reads numbers with units' } }, series.left_out)
  end)

  it("of numbers that all have one unit is one of numbers", function()
    local series = read("x;t\n1.005,5 km/h;5\u{B0}C\n;-7,5 \u{B0}C\n0,25 km/h;8 \u{B0}C\n", { missing = "skip" })
    assert.same({ { 1005.5, 5 }, { 0.25, 8 } }, series.inputs:totable())
    assert.matches("read: x in km/h, t in \u{B0}C", tostring(series), 1, true)
    assert.same({ { 5 }, { 6 } }, rows "speed\n5 km\n6 km\n")
    assert.same({ { 5 }, { 6 } }, rows "5km\n6km\n")
    assert.same({ { 1769.5 }, { 0.25 } }, rows "way\n1 769.5 km\n0.25 km\n")
    refuses('line 2, column 1 (x): expected a number, got "5 km"', "x\n5 km\n6 m\n", { inputs = "x" })
    refuses('(2 of 3 fields are numbers)', "x\n5\n6\n7 km\n")
  end)

  it("of a tensor has no options of tables", function()
    for name, value in pairs { missing = "skip", parse = {}, time = 1, format = "%Y", na = "x", decimal = ",",
      header = true, separator = ";", comment = "#", skip = 1, thousands = "." } do
      assert.error_matches(function()
        data.series(saros.arange(5), { [name] = value })
      end, ("data.series: expected no option '%s', which is one of tables, for a tensor"):format(name), 1, true)
    end
  end)

  it("of numbers but for a few fields is a mistake, wherever these are", function()
    local text = { "a,b\n" }
    for n = 1, 5000 do
      text[n + 1] = n .. "," .. n .. "\n"
    end
    text[4000] = "3999,broken\n"
    refuses('line 4000, column 2 (b): expected a number, got "broken" (4999 of 5000 fields are numbers); '
      .. 'na = { "broken" } says that it is missing, parse = { ["b"] = function(text) ... end } reads it',
      table.concat(text))
    assert.equal(5000, #read(table.concat(text), { inputs = "a" })) -- b is not read
    assert.equal(3998, rows(table.concat(text), { na = "broken", missing = "previous" })[3999][2])
  end)

  it("that is asked for must hold numbers", function()
    refuses('line 2, column 1 (a): expected a number, got "x"', "a,b\nx,1\ny,2\n", { inputs = { "a", "b" } })
    refuses("column 1 (a): expected some numbers, got none", "a,b\n,1\n,2\n", { inputs = { "a", "b" } })
  end)

  it("is told from others of its name by its number", function()
    local series = read "a,b,a\n1,2,3\n4,5,6\n"
    assert.same({ "a (1)", "b", "a (3)" }, series.names.inputs)
    assert.same({ 1, 2, 3 }, saros.nn.forecaster({ series = series }).places)
    assert.same({ "a (3)" }, read("a,b,a\n1,2,3\n4,5,6\n", { inputs = "a (3)" }).names.inputs)
    refuses('expected one column "a", got columns 1 and 3; choose by number', "a,b,a\n1,2,3\n4,5,6\n",
      { inputs = "a" })
  end)

  it("may have whole numbers as far apart as there are", function()
    local series = read("x\n-9223372036854775808\n9223372036854775807\n-9223372036854775808\n9223372036854775807\n")
    assert.same({ { -1 }, { 1 }, { -1 }, { 1 } }, series.train.inputs:totable())
  end)

  it("of numbers is one, be most of them missing in a spelling of their own", function()
    local text = "a;b\nn.v.;1\nn.v.;2\n5,5;3\n"
    assert.same({ { 5.5, 1 }, { 5.5, 2 }, { 5.5, 3 } }, rows(text, { na = "n.v.", missing = "interpolate" }))
  end)

  it("may be wide, long and odd", function()
    local fields = {}
    for n = 1, 3000 do
      fields[n] = tostring(n)
    end
    local line = table.concat(fields, ",")
    assert.equal(3000, #read(line .. "\n" .. line .. "\n").names.inputs)
    assert.same({ { 1 }, { 2 } }, rows("x,note\n1," .. ("z"):rep(1e6) .. "\n2,\"" .. ("\n"):rep(1e5) .. "\"\n"))
    refuses("expected a number, got", "x\n1\n2\n" .. ("9"):rep(1e5) .. "\n")
    refuses("expected a closing quote, got the end of the file", 'x,y\n1,"2\n' .. ("3,4\n"):rep(1000))
  end)
end)

describe("a gap", function()
  it("takes nothing from another part", function()
    local text = { "x\n" }
    for n = 1, 20 do
      text[n + 1] = ((n == 1 or n >= 10 and n <= 12 or n == 20) and "NA" or n * n) .. "\n"
    end
    text = table.concat(text)
    local series = read(text, { missing = "interpolate", valid = 0.5, scale = "none" })
    local train, valid = series.train.inputs:reshape(-1):totable(), series.valid.inputs:reshape(-1):totable()
    assert.same({ 4, 4, 9, 16, 25, 36, 49, 64, 81, 81 }, train)
    assert.same({ 169, 169, 169, 196, 225, 256, 289, 324, 361, 361 }, valid)
    assert.same({ x = 5 }, series.filled)
    assert.matches("filled: x (5 numbers)", tostring(series), 1, true)
    -- "previous" looks back only, so it may.
    series = read(text:gsub("NA", "7", 1), { missing = "previous", valid = 0.5, scale = "none" })
    assert.equal(81, series.valid.inputs:totable()[1][1])
    refuses("column 1 (x): expected some numbers in lines 12 to 21, got none",
      "x\n" .. ("1\n"):rep(10) .. ("NA\n"):rep(10), { missing = "interpolate", valid = 0.5 })
  end)

  it("drops its row where an option says so, which is counted", function()
    local series = read("a,b,c\n1,NA,\n2,3,\n4,5,x\n6,-,y\n7,8,y\n", { missing = "skip" })
    assert.same({ { 2, 3 }, { 4, 5 }, { 7, 8 } }, series.inputs:totable())
    assert.equal(2, series.dropped)
    assert.matches("dropped: 2 rows with gaps", tostring(series), 1, true)
  end)
end)

describe("the held-out rows", function()
  it("are about the share that was asked for, or it is said that they cannot", function()
    local function parts(n, given)
      local series = read("x\n" .. ("1\n2\n"):rep(n // 2), given)
      return { #series.train, series.valid and #series.valid or 0, series.test and #series.test or 0 }
    end
    assert.same({ 71, 29, 0 }, parts(100, { valid = 0.29 }))
    assert.same({ 12, 4, 4 }, parts(20, { valid = 0.2, test = 0.2 }))
    refuses("expected more than 1 rows in part 'valid', as horizon = 1, got 1 of 6 rows; valid = 0 holds none out",
      "x\n1\n2\n3\n4\n5\n6\n", { valid = 0.1 })
    local few = assert(data.series { string = "x\n1\n2\n3\n4\n" }) -- the default share
    assert.is_nil(few.valid)
    assert.matches("held out: none", tostring(few), 1, true)
  end)
end)
