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
      ["Czech.txt"] = "Dvořák",
      ["Empty.txt"] = "\n",
      ["notes.md"] = "not a label",
    }, function(folder)
      local set = assert(saros.data.labelled(folder, { valid = 0 }))
      assert.same({ "Czech", "Welsh" }, set.labels)
      assert.same({ "Dvořák", "Rhys", "ap Owen" }, sorted(texts_of(set.train)))
      assert.equal(6, #set.train[1].ids)
      assert.equal("Dvořák", set.vocabulary:decode(set.train[1].ids))
      assert.equal("labelled sequences (3, 0 of them held out; 2 labels, 17 different symbols)", tostring(set))
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

  it("have no batches where there is nothing", function()
    local set = saros.data.labelled({ a = { "x" } })
    assert.is_nil(set:batches { part = "valid" }())
    assert.is_nil(set:batches { part = "valid", seed = 1 }())
  end)

  it("say what they cannot use", function()
    for _, case in ipairs {
      { 3, "expected a folder or a table, got 3" },
      { {}, "expected lists of texts by label, got an empty table" },
      { { a = {} }, 'expected lists of texts by label, got a table for "a"' },
      { { "x" }, 'expected lists of texts by label, got "x" for 1' },
      { { a = { "x", "" } }, 'expected text 2 of "a" to be a string with symbols, got ""' },
      { { a = { "\xFF" } }, "data.labelled: vocabulary.characters: expected UTF-8 text" },
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
    assert.equal('data.labelled: expected a folder, got "no/such/folder"', message)
    with_folder({ ["notes.md"] = "" }, function(folder)
      set, message = saros.data.labelled(folder)
      assert.is_nil(set)
      assert.matches("expected files LABEL.txt with lines", message, 1, true)
    end)
  end)
end)
