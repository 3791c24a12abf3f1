require "spec.support.values"
local files = require "spec.support.files"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local function read(text, given)
  return assert(data.pieces({ string = text }, given))
end

local function sorted(list)
  local copy = table.move(list, 1, #list, 1, {})
  table.sort(copy)
  return copy
end

-- Fifty pieces, no two alike.
local function many()
  local list = {}
  for n = 1, 50 do
    list[n] = ("a"):rep(n) .. "b\n" .. n
  end
  return list
end

-- A whole part as windows show it: inputs, targets and begins of a single row.
local function row_of(pieces, given)
  local text = { inputs = "", targets = "", begins = "" }
  given.batch, given.partial = 1, true
  for window in pieces:windows(given) do
    text.inputs = text.inputs .. pieces.vocabulary:decode(window.inputs:reshape(-1))
    text.targets = text.targets .. pieces.vocabulary:decode(window.targets:reshape(-1))
    text.begins = text.begins .. table.concat(window.begins:reshape(-1):totable()):gsub("%.0", "")
  end
  return text
end

describe("a text of pieces", function()
  it("is cut at empty lines only", function()
    for _, text in ipairs { "ab\nc\n\nde", "\n\n\nab\nc\n \t\n\n\nde\n\n", "ab\r\nc\r\n\r\nde\r\n" } do
      assert.same({ "ab\nc", "de" }, sorted(read(text, { valid = 0 }).train.texts))
    end
    assert.same({ "x" }, read("x", { valid = 0 }).train.texts)
  end)

  it("holds out whole pieces, none of which is learned", function()
    local list = many()
    list[51], list[52] = list[1], list[2] -- again
    local pieces = assert(data.pieces(list, { valid = 0.2 }))
    assert.equal(40, #pieces.train.texts)
    assert.equal(10, #pieces.valid.texts)
    assert.equal(50, #pieces)
    local all = table.move(pieces.valid.texts, 1, 10, 41, table.move(pieces.train.texts, 1, 40, 1, {}))
    assert.same(sorted(many()), sorted(all))
    assert.same(pieces.valid.texts, assert(data.pieces(list, { valid = 0.2 })).valid.texts)
    assert.not_same(pieces.valid.texts, assert(data.pieces(list, { valid = 0.2, seed = 2 })).valid.texts)
    assert.equal("pieces (list: 50, 10 of them held out; 1566 characters, 13 different)\n"
      .. "  dropped: 2 repeated pieces", tostring(pieces))
  end)

  it("may be edited on the way", function()
    local pieces = read("one\n\ntwo\n\nthree", { valid = 0, edit = function(piece)
      return piece ~= "two" and piece:upper() or nil
    end })
    assert.same({ "ONE", "THREE" }, sorted(pieces.train.texts))
    assert.same({ 1, 0 }, { pieces.dropped, pieces.repeated })
    assert.matches("\n  dropped: 1 piece by edit$", tostring(pieces))
    assert.error_matches(function()
      read("one", { edit = function() return 1 end })
    end, "data.pieces: expected edit to give text or nil, got 1 for piece 1")
  end)

  it("may have a piece in each line", function()
    local pieces = read("emma\r\n \n\nava\nzoe ", { valid = 0, lines = true })
    assert.same({ "ava", "emma", "zoe " }, sorted(pieces.train.texts))
  end)

  it("begins behind a byte order mark", function()
    files.with_path(function(path)
      files.write(path, "\u{FEFF}ab\n\nc")
      assert.same({ "ab", "c" }, sorted(assert(data.pieces(path, { valid = 0 })).train.texts))
      assert.same({ "c", "\u{FEFF}ab" }, sorted(assert(data.pieces(path, { valid = 0, unit = "byte" })).train.texts))
    end)
  end)

  it("has characters, bytes, words or pieces of BPE", function()
    for unit, symbol in pairs { byte = "a", word = "cats", bpe = " cats" } do
      local pieces = read("we saw cats\n\ntwo cats", { valid = 0, unit = unit })
      assert.is_not_nil(pieces.vocabulary.ids[symbol])
      local row = row_of(pieces, { length = 4 })
      assert.matches("^%a+.* cats\n\n%a+.* cats\n\n$", row.targets)
    end
    for given, message in pairs {
      [{ "fine", "all\nis", "\xFFx" }] = 'data.pieces: list: piece "\xFFx": expected UTF-8 text, got an '
        .. "invalid byte 0xFF at line 1, column 1",
      [{ "ab", "a\nxay" }] = 'data.pieces: list: piece "a\\nxay": encode: expected one of the 3 characters of the '
        .. 'vocabulary, got "x" (U+0078) at line 2, column 1, "y" (U+0079) at line 2, column 3;',
    } do
      local known = #given == 2 and data.vocabulary.characters "ab\n" or nil
      local ok, got = pcall(data.pieces, given, { vocabulary = known })
      assert.is_false(ok)
      assert.is_truthy(got:find(message, 1, true), got)
    end
    assert.error_matches(function() read("a", { size = 9 }) end, 'data.pieces: string: expected unit = "word"')
  end)

  it("is laid out with a beginning and an end for each", function()
    local pieces = read("ab\n\ncde", { valid = 0 })
    local row = row_of(pieces, { length = 4 })
    local first_is_ab = row.inputs:sub(2, 2) == "a"
    assert.equal(first_is_ab and "\nab\n\ncde\n" or "\ncde\n\nab\n", row.inputs)
    assert.equal(first_is_ab and "ab\n\ncde\n\n" or "cde\n\nab\n\n", row.targets)
    assert.equal(first_is_ab and "100010000" or "100001000", row.begins)
    assert.equal(9, #pieces.train)
  end)

  it("comes in the order of a seed", function()
    local pieces = assert(data.pieces(many(), { valid = 0 }))
    local first = row_of(pieces, { length = 100, seed = 1 })
    assert.same(first, row_of(pieces, { length = 100, seed = 1 }))
    assert.not_same(first, row_of(pieces, { length = 100, seed = 2 }))
    assert.equal(#pieces.train, #first.inputs)
    local rest = row_of(pieces, { length = 100, seed = 1, first = 3 })
    assert.equal(first.inputs:sub(201), rest.inputs)
  end)

  it("has rows that lie one behind the other", function()
    local pieces = assert(data.pieces(many(), { valid = 0 }))
    local row, rows = row_of(pieces, { length = 10 }), { "", "", "" }
    local count = 0
    for window in pieces:windows { batch = 3, length = 50 } do
      count = count + 1
      assert.same({ count, #pieces.train // 150, count == 1 }, { window.index, window.count, window.reset })
      assert.same({ 50, 3 }, window.begins:shape())
      for b = 1, 3 do
        rows[b] = rows[b] .. pieces.vocabulary:decode(window.inputs:select(2, b):contiguous())
      end
    end
    local steps = #pieces.train // 3
    for b = 1, 3 do
      assert.equal(row.inputs:sub((b - 1) * steps + 1, (b - 1) * steps + count * 50), rows[b])
    end
  end)

  it("says what is wrong", function()
    local none, message = data.pieces "no/such/file.abc"
    assert.is_nil(none)
    assert.equal("data.pieces: no/such/file.abc: No such file or directory", message)
    for expected, act in pairs {
      ["expected a path, { string = ... } or a list of texts, got 3"] = function() data.pieces(3) end,
      ["or a list of texts, got a list of 2 elements"] = function() data.pieces { 1, 2 } end,
      ["expected some pieces in string, got none"] = function() read " \n\n\n" end,
      ["data.pieces: string: piece \"\xFF\": expected UTF-8"] = function() read "\xFF" end,
      ["data.pieces: string: piece \"b\": encode: expected one of the 2 characters"] = function()
        read("b", { vocabulary = data.vocabulary.characters "a\n" })
      end,
      ["expected at least 100 symbols for batch = 10 and length = 10, got 3 in part 'train' of string"] = function()
        read("a", { valid = 0 }):windows { batch = 10, length = 10 }
      end,
      ["with a part 'valid', got some without; data.pieces(..., { valid = 0.1 }) holds some out"] = function()
        read("a", { valid = 0 }):windows { part = "valid" }
      end,
    } do
      assert.error_matches(act, expected, 1, true)
    end
  end)
end)

describe("a language model of pieces", function()
  it("begins each of them with a fresh state", function()
    local pieces = assert(data.pieces(many(), { valid = 0.9 }))
    local lm = nn.language_model { vocabulary = pieces.vocabulary, cell = "lstm", hidden = 6, seed = 2 }
    local total, steps, state = 0, 0, nil
    for window in pieces:windows { batch = 1, length = 7, partial = true } do
      local loss
      loss, state = lm:window_loss(window, state)
      total, steps = total + loss:item() * #window.inputs, steps + #window.inputs
    end
    local alone = 0
    for _, ids in ipairs(pieces.train.ids) do
      local inputs, targets = ids:slice(1, 1, #ids - 1), ids:slice(1, 2)
      alone = alone + nn.cross_entropy(lm(inputs:reshape(-1, 1)):reshape(#inputs, -1), targets):item() * #inputs
    end
    assert.equal(#pieces.train, steps)
    assert.is_true(math.abs(total - alone) < 1e-4 * alone)
  end)

  it("learns them with fit, writes one, and ends it", function()
    local pieces = assert(data.pieces({ "abc", "abd", "abe", "abf", "abg" }, { valid = 0.4 }))
    local lm = nn.language_model { vocabulary = pieces.vocabulary, cell = "gru", hidden = 16, seed = 1 }
    local history = saros.fit(lm, pieces, { epochs = 80, batch = 1, length = 8, lr = 1e-2 })
    assert.is_true(history[80].train < history[1].train / 3)
    local piece = ""
    for part in lm:generate { stop = "\n\n", length = 50, temperature = 0.3 } do
      piece = piece .. part
    end
    assert.matches("^ab.$", piece)
  end)
end)
