local files = require "spec.support.files"
local saros = require "saros"
local data = saros.data

local function text_of(string, options)
  return data.text({ string = string }, options)
end

-- All symbols of the inputs and targets of row b, window after window.
local function row_of(text, options, b)
  local inputs, targets = {}, {}
  for window in text:windows(options) do
    for t = 1, #window.inputs do
      inputs[#inputs + 1] = window.inputs[t][b]
      targets[#targets + 1] = window.targets[t][b]
    end
  end
  return text.vocabulary:decode(inputs), text.vocabulary:decode(targets)
end

describe("a vocabulary", function()
  it("decodes what it encoded", function()
    local content = "Grüße, 世界!\n\0"
    local vocabulary = data.vocabulary.characters(content)
    assert.equal(content, vocabulary:decode(vocabulary:encode(content)))
    assert.equal(12, #vocabulary)
  end)

  it("orders symbols by code point, whatever their order in the text", function()
    assert.same({ "a", "b", "c", "é" }, data.vocabulary.characters("écabac").symbols)
  end)

  it("has all 256 bytes as a vocabulary of bytes", function()
    local vocabulary = data.vocabulary.bytes()
    assert.equal(256, #vocabulary)
    assert.same({ 1, 256, 66 }, vocabulary:encode "\0\xFFA")
    assert.equal("\0\xFFA", vocabulary:decode { 1, 256, 66 })
  end)

  it("survives the way through a plain table and JSON", function()
    for _, vocabulary in ipairs { data.vocabulary.characters "añ\0b\n", data.vocabulary.bytes() } do
      local plain = saros.json_decode(saros.json_encode(vocabulary:to_table()))
      assert.same(vocabulary.symbols, require("saros.data.vocabulary").from_table(plain).symbols)
    end
  end)

  it("names an unknown symbol and its place", function()
    local vocabulary = data.vocabulary.characters "abc"
    assert.error_matches(function() vocabulary:encode "abéc" end,
      'encode: expected one of the 3 characters of the vocabulary, got "é" (U+00E9) at line 1, column 3; '
      .. 'a vocabulary made from this text, or unit = "byte" or "bpe", accepts it',
      1, true)
  end)

  it("refuses ids that it does not have", function()
    local vocabulary = data.vocabulary.characters "abc"
    assert.error_matches(function() vocabulary:decode { 1, 4 } end, "expected ids in 1..3, got 4 at position 2")
    assert.error_matches(function() vocabulary:decode { 0 } end, "got 0 at position 1")
    for id, got in pairs { [2 ^ 31] = "2147483648", [2 ^ 53] = "9007199254740992", [-1] = "%-1", [1.5] = "1.5" } do
      assert.error_matches(function() vocabulary:decode { id } end, "got " .. got .. " at position 1")
    end
    assert.error_matches(function() vocabulary:decode "ab" end, 'decode: expected a list of ids, got "ab"')
    assert.error_matches(function() vocabulary:decode() end, "decode: expected a list of ids, got nil")
  end)

  it("refuses a description that makes no sense", function()
    local wrong = { { unit = "line" }, { unit = "char" }, { unit = "char", symbols = "\xFF" }, {}, 3 }
    for _, plain in ipairs(wrong) do
      assert.has_error(function() require("saros.data.vocabulary").from_table(plain) end)
    end
  end)
end)

describe("a text", function()
  it("holds out its end", function()
    local text = text_of("abcdefghij", { valid = 0.2 })
    assert.equal("abcdefgh", text.vocabulary:decode(text.train))
    assert.equal("ij", text.vocabulary:decode(text.valid))
    assert.equal(10, #text)
    assert.is_nil(text_of("abc", { valid = 0 }).valid)
  end)

  it("holds out at least two symbols, which one can tell from the other, and leaves two", function()
    local cases = { { 5, 0.1, 2 }, { 4, 0.1, 2 }, { 6, 0.9, 4 }, { 10, 0.5, 5 }, { 24, 0.1, 2 }, { 29, 0.1, 3 },
      { 39, 0.1, 4 } }
    for _, case in ipairs(cases) do
      local content = ("abcde"):rep(10):sub(1, case[1])
      local text = text_of(content, { valid = case[2] })
      assert.equal(case[3], #text.valid)
      assert.equal(case[1], #text)
      assert.equal(content, text.vocabulary:decode(text.train) .. text.vocabulary:decode(text.valid))
    end
  end)

  it("says where it cannot hold out any", function()
    assert.equal("text (string: 3 characters, none held out, as they are too few, 3 different)",
      tostring(text_of "abc"))
    assert.equal("text (string: 3 characters, 0 of them held out, 3 different)",
      tostring(text_of("abc", { valid = 0 })))
    assert.equal("text (string: 5 characters, 2 of them held out, 5 different)", tostring(text_of "abcde"))
    assert.equal("pieces (list: 1, none held out, as they are too few; 3 characters, 2 different)",
      tostring(data.pieces { "a" }))
    assert.matches("^pairs %(1, none held out, as they are too few; ",
      tostring(data.pairs({ { "a", "b" } }, { valid = 0.1 })))
  end)

  it("can use the vocabulary of another text", function()
    local vocabulary = text_of("abcd").vocabulary
    assert.same({ 4, 1 }, text_of("da", { vocabulary = vocabulary, valid = 0 }).train:totable())
  end)

  it("reads a file, and gives nil and a message where there is none", function()
    local path = os.tmpname()
    local file <close> = assert(io.open(path, "wb"))
    file:write "hello"
    file:flush()
    assert.equal(5, #data.text(path))
    os.remove(path)
    local text, message = data.text(path)
    assert.is_nil(text)
    assert.matches("data.text: .*" .. path:gsub("%p", "%%%0"), message)
  end)

  it("leaves out the byte order mark of a file, unless it is read as bytes", function()
    local function read(content, given)
      local text
      files.with_path(function(path)
        files.write(path, content)
        text = assert(data.text(path, given))
      end)
      return text
    end
    for _, unit in ipairs { "char", "word", "bpe" } do
      local text = read("\u{FEFF}ab ab \u{FEFF}ab", { unit = unit, valid = 0 })
      assert.equal("ab ab \u{FEFF}ab", text.vocabulary:decode(text.train))
    end
    local text = read("\u{FEFF}ab", { unit = "byte", valid = 0 })
    assert.equal("\u{FEFF}ab", text.vocabulary:decode(text.train))
    assert.equal(2, #read("\u{FEFF}ab", { vocabulary = text_of("ab").vocabulary }))
    assert.equal(3, #text_of "\u{FEFF}ab") -- no file
    assert.error_matches(function() read "\u{FEFF}" end, "expected some text in .*, got none")
  end)

  it("names the position of bytes that are no UTF-8, and the way out", function()
    assert.error_matches(function() text_of "abc\xFFdef" end,
      "expected UTF-8 text, got an invalid byte 0xFF at line 1, column 4; unit = \"byte\"", 1, true)
    assert.equal(7, #text_of("abc\xFFdef", { unit = "byte" }))
  end)

  it("refuses what is no text and options that it does not know", function()
    assert.error_matches(function() data.text() end, "expected a path or { string = ... }", 1, true)
    assert.error_matches(function() data.text(3) end, "got 3")
    assert.error_matches(function() text_of "" end, "expected some text")
    assert.error_matches(function() text_of("abc", { unt = "char" }) end,
      "unknown option \"unt\"; did you mean 'unit'? known: valid, vocabulary, unit, size", 1, true)
    assert.error_matches(function() text_of("abc", { unit = "line" }) end, '"char" or "byte"')
    assert.error_matches(function() text_of("abc", { valid = 1 }) end, "a number in [0, 1)", 1, true)
    assert.error_matches(function() text_of("abc", { valid = 0 / 0 }) end, "a number in [0, 1)", 1, true)
  end)
end)

describe("a text that is given as it is", function()
  local function refused(message, fn, ...)
    local ok, got = pcall(fn, ...)
    assert.is_false(ok)
    assert.is_truthy(got:find(message, 1, true), got)
  end

  it("has a name that is checked, in every kind of data", function()
    for name, read in pairs { text = data.text, pieces = data.pieces, series = data.series } do
      refused(("data.%s: expected a path"):format(name), read, { strin = "abc" })
      refused("got a table with 'strin'", read, { strin = "abc" })
      refused("got an empty list", read, {})
      refused("got string = 3", read, { string = 3 })
    end
    refused("got a list of 600 elements", data.series, table.pack(string.byte(("a"):rep(600), 1, -1)))
  end)

  it("has no options beside it, nor has a list", function()
    for name, read in pairs { text = data.text, pieces = data.pieces, series = data.series } do
      refused(("data.%s: expected { string = ... } alone, got 'seed' and 'valid' in it; options are another table: "
        .. "data.%s({ string = ... }, { ... })"):format(name, name), read, { string = "1\n2\n", valid = 0.5, seed = 2 })
    end
    refused("data.pieces: expected a list alone, got 'lines' in it", data.pieces, { "ab", "cd", lines = true })
    refused("data.pairs: expected a list alone, got 'valid' in it; options are another table: "
      .. "data.pairs({ ... }, { ... })", data.pairs, { { "a", "b" }, { "c", "d" }, valid = 0.5 })
  end)

  it("is no data set", function()
    refused("got a saros.Text", data.text, text_of "abc")
  end)
end)

describe("the windows of a text", function()
  local letters = "abcdefghijklmnopqrstuvwxyz"

  it("go on along each row, with targets one symbol further", function()
    local text = text_of(letters, { valid = 0 })
    local inputs, targets = row_of(text, { batch = 2, length = 3 }, 1)
    assert.equal("abcdefghijkl", inputs)
    assert.equal("bcdefghijklm", targets)
    inputs, targets = row_of(text, { batch = 2, length = 3 }, 2)
    assert.equal("mnopqrstuvwx", inputs)
    assert.equal("nopqrstuvwxy", targets)
  end)

  it("have shape (T, B), and say where they are", function()
    local seen = {}
    for window in text_of(letters, { valid = 0 }):windows { batch = 2, length = 5 } do
      assert.same({ 5, 2 }, window.inputs:shape())
      assert.same({ 5, 2 }, window.targets:shape())
      assert.equal(2, window.count)
      seen[window.index] = window.reset
    end
    assert.same({ true, false }, seen)
  end)

  it("end with a shorter one where that is wanted", function()
    local text = text_of(letters, { valid = 0 })
    assert.equal("abcdefghijkl", (row_of(text, { batch = 2, length = 5, partial = true }, 1)))
    assert.equal("abcdefghij", (row_of(text, { batch = 2, length = 5 }, 1)))
  end)

  it("can start later", function()
    local text = text_of(letters, { valid = 0 })
    for window in text:windows { batch = 2, length = 4, first = 3 } do
      assert.equal(3, window.index)
      assert.equal(text.vocabulary.ids.i, window.inputs[1][1])
    end
  end)

  it("never cross into the held-out part", function()
    local text = text_of(letters, { valid = 0.5 })
    assert.equal("abcdefghijkl", (row_of(text, { batch = 1, length = 4 }, 1)))
    assert.equal("nopqrstuvwxy", (row_of(text, { batch = 1, length = 4, part = "valid" }, 1)))
  end)

  it("say how many symbols they need", function()
    local text = text_of(letters, { valid = 0 })
    assert.error_matches(function() text:windows { batch = 5, length = 10 } end,
      "expected at least 51 characters for batch = 5 and length = 10, got 26 in part 'train'", 1, true)
    assert.error_matches(function() text:windows { part = "valid" } end, "without; data.text", 1, true)
    assert.has_no_error(function() text:windows { batch = 5, length = 5 } end)
    assert.has_error(function() text:windows { batch = 1, length = 26 } end)
    assert.has_no_error(function() text:windows { batch = 1, length = 25 } end)
  end)

  it("refuse sizes that are none", function()
    local text = text_of(letters)
    for _, size in ipairs { 0, -1, 1.5, 0 / 0, math.huge, "3", true } do
      assert.error_matches(function() text:windows { batch = size } end,
        "expected option 'batch' to be a positive integer")
    end
  end)
end)
