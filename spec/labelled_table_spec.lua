-- Labelled texts and sequences of numbers from tables: which columns are read, and
-- what is asked for instead of being guessed.

local saros = require "saros"
local data = saros.data

local path = os.tmpname()

local function read(text, given)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  local o = { valid = 0 }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  return data.labelled(path, o)
end

local function refuses(expected, text, given)
  local set, message = read(text, given)
  assert.is_nil(set, "read: " .. tostring(set))
  assert.matches(expected, message, 1, true)
end

-- The texts by label, sorted.
local function texts(text, given)
  local set, found = assert(read(text, given)), {}
  for _, sequence in ipairs(set.train) do
    local label = set.labels[sequence.label]
    found[label] = found[label] or {}
    table.insert(found[label], sequence.text)
  end
  for _, list in pairs(found) do
    table.sort(list)
  end
  return found
end

-- The sequences of numbers by label; of one label in any order.
local function sequences(text, given)
  local set, found = assert(read(text, given)), {}
  for _, sequence in ipairs(set.train) do
    local label = set.labels[sequence.label]
    found[label] = found[label] or {}
    table.insert(found[label], sequence.values:totable())
  end
  return found, set
end

describe("labelled texts from a table", function()
  teardown(function()
    os.remove(path)
  end)

  local EXPECTED = { good = { "fine day", "well done" }, bad = { "oh no" } }

  it("are in the columns that are called so, or the first and second of two", function()
    assert.same(EXPECTED, texts "text,label\nfine day,good\noh no,bad\nwell done,good\n")
    assert.same(EXPECTED, texts "label,text\ngood,fine day\nbad,oh no\ngood,well done\n")
    assert.same(EXPECTED, texts "n;Label;x;Text\n1;good;7;fine day\n2;bad;8;oh no\n3;good;9;well done\n")
    assert.same(EXPECTED, texts "what,how\nfine day,good\noh no,bad\nwell done,good\n")
    assert.same(EXPECTED, texts("what,how\nfine day,good\noh no,bad\nwell done,good\n", { label = "how" }))
    assert.same(EXPECTED, texts("how,what\ngood,fine day\nbad,oh no\ngood,well done\n", { label = "how" }))
    assert.same(EXPECTED, texts("how,what\ngood,fine day\nbad,oh no\ngood,well done\n", { text = 2 }))
  end)

  it("are asked for where several columns could be the text or the label", function()
    local wanted = "expected options that say which columns are the text and the label, as several could be: "
    refuses(wanted .. "mood, review", "mood,review\n1,a fine film\n2,no film at all\n")
    refuses(wanted .. "v1, v2", "v1,v2\ngood,fine day\nbad,oh no\ngood,well done\n") -- the labels stand first
    refuses(wanted .. "a, b, c", "a,b,c\nfine day,good,1\noh no,bad,2\n")
    refuses(wanted .. "a, b, c", "a,b,c\nfine day,good,1\noh no,bad,2\n", { label = "b" })
    refuses(wanted .. "only", "only\nfine day\noh no\n")
    assert.same(EXPECTED, texts("v1,v2\ngood,fine day\nbad,oh no\ngood,well done\n", { text = "v2", label = "v1" }))
  end)

  it("have trimmed labels, and texts as they stand", function()
    assert.same({ good = { " a ", "b" }, bad = { "c" } }, texts 'text,label\n a , good\nb,"good "\nc,\u{A0}bad\n')
    assert.same({ ["1"] = { "b" }, ["01"] = { "a" } }, texts "text,label\na,01\nb,1\n")
  end)

  it("are refused or dropped where the text or the label is missing", function()
    local text = "text,label\nfine day,good\n,good\noh no, \nwell done,good\n\nfine day,good\n"
    refuses('line 3, column 1 (text): expected some text, got none; missing = "skip" leaves such rows out', text)
    local set = assert(read(text, { missing = "skip" }))
    assert.same({ 2, 2, 1, 1 }, { #set.train, set.dropped, set.repeated, set.ignored.blank })
    assert.matches("dropped: 2 rows with gaps, 1 repeated text, 1 blank line", tostring(set), 1, true)
    assert.same({ good = { "x" }, NA = { "y" } }, texts "text,label\nx,good\ny,NA\n") -- a country
    refuses("line 3, column 2 (label): expected some text, got none", "text,label\nx,good\ny,?\n", { na = "?" })
  end)

  it("come in the tables that series come in", function()
    local utf16 = "\xFF\xFE" .. ("text;label\nfine day;good\noh no;bad\nwell done;good\n"):gsub(".", "%0\0")
    assert.same(EXPECTED, texts(utf16))
    assert.same(EXPECTED, texts "sep=|\ntext|label\nfine day|good\noh no|bad\nwell done|good\n")
    assert.same(EXPECTED, texts "\u{FEFF}text\tlabel\rfine day\tgood\roh no\tbad\rwell done\tgood\r")
    assert.same(EXPECTED, texts("# mine\nfine day,good\noh no,bad\nwell done,good\n",
      { header = false, comment = "#" }))
    refuses("expected UTF-8, got byte 0xFC", "text,label\nf\xFCr,good\n")
    assert.same({ good = { "f\xFCr" } }, texts("text,label\nf\xFCr,good\n", { unit = "byte" }))
  end)

  it("may have quotes in them", function()
    assert.same({ good = { ' "so" it is', 'he said "so"', 'so, "so"' } },
      texts 'text,label\nhe said "so",good\n "so" it is,good\n"so, ""so""" ,good\n')
    refuses('line 2, column 1: expected "," or a new line behind the closing quote, got "i"',
      'text,label\n"so" it is,good\nso,bad\n')
  end)

  it("have a first line of names, unless one of them comes again as a label", function()
    assert.same({ good = { "fine day", "well done" }, bad = { "oh no" } },
      texts "fine day,good\noh no,bad\nwell done,good\n")
    assert.same({ Wales = { "Rhys", "ap Owen" }, Bohemia = { "Dvorak" } },
      texts "Rhys,Wales\nDvorak,Bohemia\nap Owen,Wales\n")
    local set = assert(read "Rhys,Wales\nDvorak,Bohemia\nNovak,Moravia\n") -- nothing tells
    assert.matches("read: Rhys (text), Wales (label)", tostring(set), 1, true)
  end)

  it("say which columns are left out, and which labels cannot be held out", function()
    local set = assert(read("id,text,label\n1,a,x\n2,b,x\n3,c,y\n", { valid = 0.1 }))
    assert.same({ "id" }, { set.left_out[1].name })
    assert.matches("columns left out: id (not asked for)", tostring(set), 1, true)
    assert.matches("labels of one sequence, not held out: y", tostring(set), 1, true)
    assert.equal(1, #set.valid)
  end)
end)

describe("labelled sequences of numbers from a table", function()
  teardown(function()
    os.remove(path)
  end)

  local TEXT = "walk,t,x,y,kind\na,1,1,10,slow\na,2,2,20,slow\nb,1,3,30,fast\nb,2,4,40,fast\nb,3,5,50,fast\n"
    .. "c,1,6,60,slow\n"
  local COLUMNS = { id = "walk", label = "kind", features = { "x", "y" } }

  local function with(given)
    for name, value in pairs(COLUMNS) do
      given[name] = given[name] or value
    end
    return given
  end

  it("are the rows with one id, in the columns that are asked for", function()
    local found, set = sequences(TEXT, COLUMNS)
    assert.same({ { { 3, 30 }, { 4, 40 }, { 5, 50 } } }, found.fast)
    table.sort(found.slow, function(a, b) return a[1][1] < b[1][1] end)
    assert.same({ { { 1, 10 }, { 2, 20 } }, { { 6, 60 } } }, found.slow)
    assert.same({ "x", "y" }, set.features.names)
    assert.same({ { name = "t", why = "not asked for" } }, set.left_out)
    assert.matches("read: walk (id), x, y (features), kind (label)", tostring(set), 1, true)
    local batch = set:batches { batch = 3 } ()
    assert.same({ 3, 3, 2 }, batch.inputs:shape())
  end)

  it("are asked for where an option is of no use for texts", function()
    for _, given in ipairs { { time = "t" }, { format = "%Y" }, { parse = { x = tonumber } } } do
      refuses("expected options that say which columns are the id of a sequence", TEXT, given)
    end
    for name, value in pairs { missing = "skip", na = "x", id = 1, label = 1, text = 1, decimal = ",", skip = 1 } do
      assert.error_matches(function()
        data.labelled({ a = { "x" } }, { [name] = value })
      end, ("data.labelled: expected no option '%s', which is one of tables, for sequences from a script"):format(name),
        1, true)
    end
  end)

  it("are not guessed", function()
    for _, given in ipairs { { id = "walk" }, { id = "walk", label = "kind" }, { features = { "x" } },
      { id = "walk", features = { "x" } } } do
      refuses("expected options that say which columns are the id of a sequence, its label and the features "
        .. "(id, label, features), as several could be: walk, t, x, y, kind", TEXT, given)
    end
    refuses("expected a column among walk, t, x, y, kind (or 1..5), got \"z\"; option 'features' says which", TEXT,
      with { features = { "z" } })
    refuses('line 2, column 5 (kind): expected a number, got "slow"', TEXT, with { features = { "kind" } })
  end)

  it("have one label each", function()
    refuses('line 5, column 5 (kind): expected one label for id "b", got "fast" and "slow"',
      (TEXT:gsub("40,fast", "40,slow")), COLUMNS)
    refuses("line 4, column 5 (kind): expected a label, got none", (TEXT:gsub("30,fast", "30,")), COLUMNS)
    refuses("line 4, column 1 (walk): expected an id, got none", (TEXT:gsub("b,1", ",1")), COLUMNS)
    assert.same({ { { 3 }, { 4 }, { 5 } } }, sequences(TEXT:gsub("fast", " fast "), with { features = "x" }).fast)
  end)

  it("are in the order of the file, or of a time", function()
    local mixed = "walk,t,x,kind\na,2,2,slow\nb,7,1,fast\na,1,1,slow\nb,8,2,fast\n"
    refuses('line 4, column 1 (walk): expected the rows of id "a" one behind the other, got some behind others; option '
      .. "'time' says in which order they are", mixed, with { features = "x" })
    assert.same({ slow = { { { 1 }, { 2 } } }, fast = { { { 1 }, { 2 } } } },
      (sequences(mixed, with { features = "x", time = "t" })))
    local dated = mixed:gsub(",(%d),(%d),", ",2020-01-0%1,%2,")
    assert.same({ slow = { { { 1 }, { 2 } } }, fast = { { { 1 }, { 2 } } } },
      (sequences(dated, with { features = "x", time = "t" })))
    refuses('line 6, column 2 (t): expected the times of a sequence in order, each once, got "1" behind line 4',
      "walk,t,x,kind\na,1,2,slow\na,3,3,slow\na,4,1,slow\nb,2,2,fast\na,1,1,slow\n",
      with { features = "x", time = "t" })
  end)

  it("are filled within a sequence, or lose rows", function()
    local gaps = "walk,x,kind\na,1,slow\na,,slow\nb,,fast\nb,4,fast\nb,NA,fast\nb,8,fast\nc,,slow\n"
    local o = with { features = "x" }
    refuses("line 3, column 2 (x): expected a number, got nothing", gaps, o)
    o.missing = "interpolate"
    refuses("column 2 (x): expected some numbers in lines 8 to 8, got none", gaps, o)
    assert.same({ slow = { { { 1 }, { 1 } } }, fast = { { { 4 }, { 4 }, { 6 }, { 8 } } } },
      (sequences(gaps:gsub("c,,slow\n", ""), o)))
    o.missing = "previous"
    refuses("line 4, column 2 (x): expected a number, got nothing, and nothing before it", gaps, o)
    o.missing = "skip"
    local found, set = sequences(gaps, o)
    assert.same({ slow = { { { 1 } } }, fast = { { { 4 }, { 8 } } } }, found)
    assert.equal(4, set.dropped)
  end)

  it("take the scale of a model, whose names say the columns", function()
    local _, set = sequences(TEXT, COLUMNS)
    local o = with { features = set.features }
    local again = assert(read(TEXT, o))
    assert.equal(set.features, again.features)
    assert.same(set.train[1].rows:totable(), again.train[1].rows:totable())
    assert.error_matches(function()
      data.labelled({ a = { { 1, 2 } } }, { features = { "x" } })
    end, "expected option 'features' to be a scale for sequences from a script, got a list", 1, true)
  end)

  it("are scaled in double", function()
    local lines = { "walk,x,kind" }
    for n = 1, 40 do
      lines[n + 1] = ("%d,%d,%s"):format(n // 4, 1700000000 + n, n // 4 % 2 == 0 and "even" or "odd")
    end
    local set = assert(read(table.concat(lines, "\n"), with { features = "x" }))
    for _, sequence in ipairs(set.train) do
      local rows = sequence.rows:reshape(-1):totable()
      for k = 2, #rows do
        assert.is_true(math.abs(rows[k] - rows[k - 1] - 1 / math.sqrt((1600 - 1) / 12)) < 1e-6)
      end
    end
  end)

  it("train a classifier, which reads them as they stand in the file", function()
    local lines = { "walk,x,kind" }
    for n = 1, 60 do
      for k = 1, 3 do
        lines[#lines + 1] = ("%d,%d,%s"):format(n, n % 2 * 100 + k, n % 2 == 0 and "low" or "high")
      end
    end
    local set = assert(read(table.concat(lines, "\n"), with { features = "x", valid = 0.1 }))
    assert.equal(6, #set.valid)
    local classifier = saros.nn.classifier { features = set.features, labels = set.labels, hidden = 4 }
    saros.fit(classifier, set, { epochs = 10, batch = 8, lr = 3e-2 })
    assert.equal("low", (classifier:classify { 1, 2, 3 }))
    assert.equal("high", (classifier:classify { 101, 102, 103 }))
  end)
end)
