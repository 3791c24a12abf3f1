-- Labelled sequences: read, split, and put into batches.

local saros = require "saros"

local function numbered(prefix, count)
  local texts = {}
  for position = 1, count do
    texts[position] = prefix .. ("x"):rep(position % 7) .. position
  end
  return texts
end

local function texts_of(list)
  local texts = {}
  for position, sequence in ipairs(list) do
    texts[position] = sequence.text
  end
  return texts
end

local function sorted(list)
  table.sort(list)
  return list
end

-- Calls act(folder) with these files in a new folder; all is gone afterwards.
local function with_folder(files, act)
  local folder = os.tmpname()
  os.remove(folder)
  assert(saros.make_folder(folder))
  for name, content in pairs(files) do
    local file <close> = assert(io.open(folder .. "/" .. name, "wb"))
    file:write(content)
  end
  local ok, message = pcall(act, folder)
  for name in pairs(files) do
    os.remove(folder .. "/" .. name)
  end
  os.remove(folder)
  assert(ok, message)
end

describe("labelled sequences", function()
  it("come from a folder of files, a label each", function()
    with_folder({
      ["Welsh.txt"] = "Rhys\r\n\n  ap Owen \nRhys\n",
      ["Czech.txt"] = "\u{FEFF}Dvořák", -- with a byte order mark
      ["Empty.txt"] = "\n",
      ["notes.md"] = "not a label",
    }, function(folder)
      local set = assert(saros.data.labelled(folder, { valid = 0 }))
      assert.same({ "Czech", "Welsh" }, set.labels)
      assert.same({ "Dvořák", "Rhys", "ap Owen" }, sorted(texts_of(set.train)))
      assert.equal(6, #set.train[1].ids)
      assert.equal("Dvořák", set.vocabulary:decode(set.train[1].ids))
      assert.equal("labelled sequences (3, 0 of them held out; 2 labels, 17 different symbols)\n"
        .. "  dropped: 1 repeated text, 2 blank lines", tostring(set))
    end)
  end)

  it("hold out the same share of each label, chosen by the seed", function()
    local source = { a = numbered("a", 50), b = numbered("b", 20) }
    local set = saros.data.labelled(source, { valid = 0.2, seed = 3 })
    local count = { 0, 0 }
    for _, sequence in ipairs(set.valid) do
      count[sequence.label] = count[sequence.label] + 1
    end
    assert.same({ 10, 4 }, count)
    local again = saros.data.labelled(source, { valid = 0.2, seed = 3 })
    assert.same(texts_of(set.valid), texts_of(again.valid))
    local other = saros.data.labelled(source, { valid = 0.2, seed = 4 })
    assert.not_same(texts_of(set.valid), texts_of(other.valid))
  end)

  it("never learn under a label what they hold out under it", function()
    local texts = {}
    for position = 1, 40 do
      texts[position] = "text" .. position % 8
    end
    local set = saros.data.labelled({ only = texts }, { valid = 0.5 })
    local all = texts_of(set.train)
    table.move(texts_of(set.valid), 1, #set.valid, #all + 1, all)
    assert.same({ "text0", "text1", "text2", "text3", "text4", "text5", "text6", "text7" }, sorted(all))
  end)

  it("come in batches of similar length, each once in a pass", function()
    local set = saros.data.labelled({ a = numbered("a", 50), b = numbered("b", 23) }, { valid = 0 })
    for _, seed in ipairs { 1, 2 } do
      local texts, padding, steps = {}, 0, 0
      for batch in set:batches { batch = 10, seed = seed } do
        local ids, labels = batch.inputs:transpose():totable(), batch.labels:totable()
        for row, sequence in ipairs(batch.sequences) do
          texts[#texts + 1] = sequence.text
          assert.equal(#sequence.ids, batch.lengths[row])
          assert.same(sequence.ids, table.move(ids[row], 1, batch.lengths[row], 1, {}))
          assert.equal(sequence.label, labels[row])
          steps, padding = steps + #ids[row], padding + #ids[row] - #sequence.ids
        end
      end
      assert.same(sorted(texts_of(set.train)), sorted(texts))
      assert.is_true(padding < 0.15 * steps)
    end
  end)

  it("have an order that depends on the seed alone", function()
    local set = saros.data.labelled({ a = numbered("a", 60) }, { valid = 0.1 })
    local function order(given)
      local texts = {}
      for batch in set:batches(given) do
        table.move(texts_of(batch.sequences), 1, #batch.sequences, #texts + 1, texts)
      end
      return texts
    end
    assert.same(order { batch = 8, seed = 1 }, order { batch = 8, seed = 1 })
    assert.not_same(order { batch = 8, seed = 1 }, order { batch = 8, seed = 2 })
    local previous = 0
    for _, text in ipairs(order { batch = 8 }) do
      assert.is_true(#text >= previous)
      previous = #text
    end
    assert.equal(6, #order { part = "valid" })
  end)

  it("go on with a batch in the middle of a pass", function()
    local set = saros.data.labelled({ a = numbered("a", 50), b = numbered("b", 23) }, { valid = 0 })
    local all = {}
    for batch in set:batches { batch = 10, seed = 3 } do
      all[#all + 1] = batch
      assert.same({ #all, 8, true }, { batch.index, batch.count, batch.reset })
      assert.equal(#batch.sequences, batch.answers)
    end
    local rest = set:batches { batch = 10, seed = 3, first = 5 }
    for index = 5, 8 do
      assert.same(texts_of(all[index].sequences), texts_of(rest().sequences))
    end
    assert.is_nil(rest())
  end)

  it("have a digest that tells any change", function()
    local function digest(source)
      return saros.data.labelled(source, { valid = 0, vocabulary = saros.data.vocabulary.bytes() }).train:digest()
    end
    local list = { a = { "xy", "z" }, b = { "x" } }
    assert.equal(digest(list), digest { a = { "xy", "z" }, b = { "x" } })
    assert.not_equal(digest(list), digest { a = { "x", "yz" }, b = { "x" } })
    assert.not_equal(digest(list), digest { a = { "xy" }, b = { "z", "x" } })
  end)

  it("are characters, bytes, words or pieces of BPE", function()
    local list = { greeting = { "good day", "good evening to all" }, farewell = { "good night", "so long" } }
    local function symbols(given)
      given.valid = 0
      local set = saros.data.labelled(list, given)
      local text = set.train[1]
      local found = {}
      for position, id in ipairs(text.ids) do
        found[position] = set.vocabulary:text_of(id, text.ids[position - 1])
      end
      assert.equal(text.text, table.concat(found))
      return set.vocabulary
    end
    assert.equal("char", symbols({}).unit)
    assert.equal(256, #symbols { unit = "byte" })
    local words = symbols { unit = "word" }
    assert.is_not_nil(words.ids.good)
    assert.is_not_nil(words.ids.day)
    assert.is_nil(words.ids[" day"])
    assert.is_nil(words.unknown)
    assert.is_number(symbols({ unit = "word", unknown = "symbol" }).unknown)
    assert.is_not_nil(symbols({ unit = "bpe", size = 270 }).ids.good)
    assert.error_matches(function() symbols { size = 9 } end,
      'data.labelled: expected unit = "word" or "bpe" with size')
  end)

  it("come from a table", function()
    with_folder({
      ["names.csv"] = 'name,"country of\norigin",number\nRhys,Wales,1\n"Dvo, r",Bohemia,2\r\nap Owen,Wales,3\n',
      ["plain.tsv"] = "one\todd\ntwo\teven\n",
      ["gap.csv"] = "text,label\na,x\n\nb,\n",
      ["short.csv"] = "text,label\na\n",
      ["names.txt"] = "Rhys\nap Owen\n",
    }, function(folder)
      local function read(name, given)
        given = given or {}
        given.valid = 0
        return saros.data.labelled(folder .. "/" .. name, given)
      end
      local set = assert(read("names.csv", { text = "name", label = 2 }))
      assert.same({ "Bohemia", "Wales" }, set.labels)
      assert.same({ "Dvo, r", "Rhys", "ap Owen" }, sorted(texts_of(set.train)))
      set = assert(read("plain.tsv", { header = false }))
      assert.same({ "even", "odd" }, set.labels)
      for expected, got in pairs {
        ["gap.csv, line 4, column 2 (label): expected some text, got none"] = { read "gap.csv" },
        ["short.csv, line 2: expected 2 fields, as in the first line, got 1"] = { read "short.csv" },
        ["expected a column among text, label (or 1..2), got \"name\"; option 'text' says which, and the first line "
          .. "is read as the header unless header = false"] = { read("gap.csv", { text = "name" }) },
        ["names.txt: expected options that say which columns are the text and the label, as several could be: Rhys"] =
          { read "names.txt" },
      } do
        assert.is_nil(got[1])
        assert.matches("data.labelled: ", got[2], 1, true)
        assert.matches(expected, got[2], 1, true)
      end
    end)
  end)

  it("have no batches where there is nothing", function()
    local set = saros.data.labelled({ a = { "x" } })
    assert.is_nil(set:batches { part = "valid" }())
    assert.is_nil(set:batches { part = "valid", seed = 1 }())
  end)

  it("say what they cannot use", function()
    for _, case in ipairs {
      { 3, "expected a folder, a file or a table, got 3" },
      { {}, "expected lists of sequences by label, got an empty table" },
      { { a = {} }, 'expected lists of sequences by label, got a table for "a"' },
      { { "x" }, 'expected lists of sequences by label, got "x" for 1' },
      { { a = { "x", "" } }, 'expected sequence 2 of "a" to be text with symbols, got ""' },
      { { a = { "\xFF" } }, 'data.labelled: text 1 of "a": expected UTF-8 text' },
    } do
      local ok, message = pcall(saros.data.labelled, case[1])
      assert.is_false(ok)
      assert.matches(case[2], message, 1, true)
    end
    local ok, blamed = pcall(function()
      saros.data.labelled({ a = { "x" } }, { vocabulary = saros.data.vocabulary.characters "y" })
    end)
    assert.is_false(ok)
    assert.matches('labelled_spec.lua:%d+: data.labelled: encode: expected one of the 1 characters', blamed)
    local set, message = saros.data.labelled "no/such/folder"
    assert.is_nil(set)
    assert.equal("data.labelled: no/such/folder: No such file or directory", message)
    with_folder({ ["notes.md"] = "" }, function(folder)
      set, message = saros.data.labelled(folder)
      assert.is_nil(set)
      assert.matches("expected files LABEL.txt with lines", message, 1, true)
    end)
  end)
end)
