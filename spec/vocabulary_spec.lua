local saros = require "saros"
local vocabulary = require "saros.data.vocabulary"
local nn = saros.nn

local TEXT = "We don't know well-known cats, cats or dogs.\n\tThe cats, the dogs; 世界 Grüße…\n"

local function through_json(known)
  return vocabulary.from_table(saros.json_decode(saros.json_encode(known:to_table())))
end

-- Text of which nothing is known but its seed: letters, blanks, signs, and bytes
-- that are no UTF-8.
local function random_text(seed, length, bytes)
  local generator, pieces = saros.generator(seed), {}
  local alphabet = { "a", "b", "c", " ", " ", " ", "\n", "\r\n", "\t", "'", "-", ".", ",", ")", "(", '"', "\0", "é",
    "—", "世", "1", ("x"):rep(100) }
  for position = 1, length do
    pieces[position] = bytes and string.char(generator:integer(256) - 1)
      or alphabet[generator:integer(#alphabet)]
  end
  return table.concat(pieces)
end

-- Learning and encoding by the definition, on one chunk of letters.
local function naive_merges(chunk, count)
  local ids, merges = { chunk:byte(1, -1) }, {}
  for position, byte in ipairs(ids) do
    ids[position] = byte + 1
  end
  for new = 257, 256 + count do
    local counts, best = {}, nil
    for at = 1, #ids - 1 do
      local key = ids[at] * 1e6 + ids[at + 1]
      counts[key] = (counts[key] or 0) + 1
    end
    for key, times in pairs(counts) do
      if times >= 2 and (not best or times > counts[best] or times == counts[best] and key < best) then
        best = key
      end
    end
    if not best then
      break
    end
    local a, b = best // 1000000, best % 1000000
    merges[#merges + 1], merges[#merges + 2] = math.tointeger(a), math.tointeger(b)
    local merged, at = {}, 1
    while at <= #ids do
      local both = ids[at] == a and ids[at + 1] == b
      merged[#merged + 1] = both and new or ids[at]
      at = at + (both and 2 or 1)
    end
    ids = merged
  end
  return merges, ids
end

describe("a vocabulary of words", function()
  local function split(known, text)
    local symbols = {}
    for position, id in ipairs(known:encode(text)) do
      symbols[position] = known.symbols[id]
    end
    return symbols
  end

  it("has no spaces between words, and signs and other blanks alone", function()
    local known = vocabulary.words(TEXT)
    assert.same({ "We", "don't", "know", "well-known", "cats", ",", "cats", "or", "dogs", ".", "\n",
      "\t", "The", "cats", ",", "the", "dogs", ";", " ", "世", "界", " ", "Grüße", "…", "\n" }, split(known, TEXT))
  end)

  it("has one symbol for a word, wherever it stands", function()
    local text = 'cat, cat (cat) "cat"\ncat\tcat  cat.cat cat'
    local known = vocabulary.words(text)
    local count = 0
    for _, symbol in ipairs(known.symbols) do
      count = count + (symbol:find "cat" and 1 or 0)
    end
    assert.equal(1, count)
    assert.same({ "cat", ",", "cat", " ", "(", "cat", ")", " ", '"', "cat", '"', "\n", "cat", "\t", "cat", " ", " ",
      "cat", ".", "", "cat", "cat" }, split(known, text))
  end)

  it("joins again what it took apart", function()
    for seed = 1, 60 do
      local text = random_text(seed, 300)
      local known = vocabulary.words(text)
      assert.equal(text, known:decode(known:encode(text)))
    end
    for _, text in ipairs { " ", "a", " a", "a ", "  a  b  ", "a. b", "a.b", "a .b", "a\n\n b", "\r\n", ("a"):rep(400),
      ("a"):rep(400) .. " b", "1,000 2, 3", "f(x) (y)\0z" } do
      local known = vocabulary.words(text)
      assert.equal(text, known:decode(known:encode(text)))
      assert.equal(text, through_json(known):decode(known:encode(text)))
    end
  end)

  it("takes apart a text that is longer than what is read at once as one that is not", function()
    local line = 'a cat, "yes" v1.2  — ' .. ("w"):rep(120) .. "\n"
    local known = vocabulary.words(line)
    local once, often = known:encode(line), known:encode(line:rep(6000))
    assert.equal(6000 * #once, #often)
    assert.same(once, table.move(often, #often - #once + 1, #often, 1, {}))
  end)

  it("has the space and its absence first, then the most frequent, equal ones by their bytes", function()
    assert.same({ " ", "", "a", "b", "c" }, vocabulary.words("a b a c b a a").symbols)
  end)

  it("knows its words in any other text", function()
    local known = vocabulary.words "one, two"
    for _, text in ipairs { "two,one", " two one ,", "one two", ",one,two  one" } do
      assert.equal(text, known:decode(known:encode(text)))
    end
  end)

  it("names every unknown word, its place, and what would accept it", function()
    local known = vocabulary.words "one two\nthree"
    assert.error_matches(function() known:encode "one two\nthree four" end,
      'expected one of the 6 words of the vocabulary, got "four" at line 2, column 7; '
      .. 'a vocabulary with unknown = "symbol", or unit = "bpe", accepts it', 1, true)
    local ok, message = known:check "one four\n(two five four"
    assert.is_nil(ok)
    assert.equal('expected words that the model knows, got "four" at line 1, column 5, "(" at line 2, column 1, '
      .. '"five" at line 2, column 6; it knows: \\n one three two', message)
    assert.is_true(known:check "one two")
  end)

  it("names the first ones of many unknown words", function()
    local words = {}
    for n = 1, 1000 do
      words[n] = "w" .. n
    end
    local _, message = vocabulary.words("a"):check(table.concat(words, " "))
    assert.matches('got "w1" at line 1, column 1, "w2" at line 1, column 4, .* and others; it knows', message)
    _, message = vocabulary.characters("ab"):check "axbyxz"
    assert.matches('got "x" %(U%+0078%) at line 1, column 2, "y" %(U%+0079%) at line 1, column 4, "z" [^,]*, column 6;',
      message)
  end)

  it("has a symbol for unknown words where that is wanted, and keeps their spaces", function()
    local known = vocabulary.words("a b a b c", { min_count = 2 })
    assert.same({ " ", "", "a", "b", "<unk>" }, known.symbols)
    assert.equal(5, known.unknown)
    assert.equal("a b <unk> a <unk> <unk>", known:decode(known:encode "a b c a x."))
    assert.equal(5, vocabulary.words("a b", { unknown = "symbol" }).unknown)
    assert.is_nil(vocabulary.words("a b").unknown)
  end)

  it("keeps the most frequent ones of a size", function()
    local known = vocabulary.words("x x x y y z", { size = 4 })
    assert.same({ " ", "", "x", "<unk>" }, known.symbols)
  end)

  it("is refused where it was made by a version that had spaces in words", function()
    assert.error_matches(function() vocabulary.from_table { unit = "word", symbols = { "a", " b" } } end,
      "expected words without the spaces before them, got those of an older version; read the text and train again")
  end)

  it("wants UTF-8, and says so", function()
    assert.error_matches(function() vocabulary.words "ab\nc\xFFd" end,
      'vocabulary.words: expected UTF-8 text, got an invalid byte 0xFF at line 2, column 2; '
      .. 'unit = "byte" or "bpe" accepts any file', 1, true)
    assert.error_matches(function() vocabulary.words "" end, "expected some text, got none", 1, true)
  end)

  it("survives the way through a plain table and JSON", function()
    for _, given in ipairs { {}, { min_count = 2 } } do
      local known = vocabulary.words(TEXT, given)
      local again = through_json(known)
      assert.same(known.symbols, again.symbols)
      assert.equal(known.unknown, again.unknown)
      assert.same(known:encode(TEXT), again:encode(TEXT))
    end
  end)
end)

describe("byte-pair encoding", function()
  it("learns and applies merges as its definition says", function()
    for seed = 1, 30 do
      local generator, letters = saros.generator(seed), {}
      for position = 1, 100 do
        letters[position] = string.char(96 + generator:integer(2 + seed % 3))
      end
      local chunk = table.concat(letters)
      local merges, ids = naive_merges(chunk, 20)
      local known = vocabulary.bpe(chunk, { size = 276 })
      assert.same(merges, known:to_table().merges)
      assert.same(ids, known:encode(chunk))
    end
  end)

  it("weighs pairs by how often their words occur", function()
    local known = vocabulary.bpe("xy xy xy ab ab xy", { size = 258 })
    assert.same({ "xy", " xy" }, { known.symbols[257], known.symbols[258] })
  end)

  it("decodes any bytes exactly, known or not", function()
    local known = vocabulary.bpe(TEXT:rep(3), { size = 300 })
    assert.is_true(#known > 256)
    for seed = 1, 20 do
      local text = random_text(seed, 500, seed % 2 == 0)
      assert.equal(text, known:decode(known:encode(text)))
    end
    assert.is_true(#known:encode(TEXT) < #TEXT)
    assert.is_true(known:check "\0\xFF")
  end)

  it("copes with words and blanks without end", function()
    for _, text in ipairs { ("a"):rep(5000), (" "):rep(5000), ("\xE4\xB8\x96"):rep(2000), ("ab "):rep(90000) } do
      local known = vocabulary.bpe(text, { size = 270 })
      assert.equal(text, known:decode(known:encode(text)))
      for _, symbol in ipairs(known.symbols) do
        assert.is_true(#symbol <= 128)
      end
    end
  end)

  it("ends early where no pair occurs twice", function()
    assert.equal(256, #vocabulary.bpe("abcdef", { size = 1000 }))
    assert.equal(257, #vocabulary.bpe("abab cab", { size = 1000 }))
  end)

  it("survives the way through a plain table and JSON", function()
    local known = vocabulary.bpe(TEXT:rep(2), { size = 290 })
    local again = through_json(known)
    assert.same(known.symbols, again.symbols)
    assert.same(known:encode(TEXT), again:encode(TEXT))
  end)
end)

describe("units", function()
  it("refuse options that are not theirs", function()
    local wrong = {
      { { unit = "char", size = 300 }, 'expected unit = "word" or "bpe" with size, got "char"' },
      { { unit = "bpe", min_count = 2 }, 'expected unit = "word" with min_count or unknown, got "bpe"' },
      { { unit = "bpe", size = 256 }, "expected size above 256, the number of bytes, got 256" },
      { { unit = "word", size = 3 }, "expected size in 4..2^31 - 1, got 3" },
      { { unit = "word", min_count = 2, unknown = "error" }, 'expected unknown = "symbol" with size or min_count' },
      { { unit = "word", unknown = "drop" }, '"error" or "symbol"' },
    }
    for _, case in ipairs(wrong) do
      assert.error_matches(function() saros.data.text({ string = TEXT }, case[1]) end, case[2], 1, true)
    end
  end)

  it("refuse descriptions that make no sense", function()
    for _, plain in ipairs {
      { unit = "word" }, { unit = "word", words = {} }, { unit = "word", words = { "a", "a" } },
      { unit = "word", words = { 1 } }, { unit = "word", words = "ab" }, { unit = "word", words = { "" , "" } },
      { unit = "word", words = { ("a"):rep(129) } }, { unit = "char", symbols = "aa" },
      { unit = "bpe" }, { unit = "bpe", merges = { 1 } }, { unit = "bpe", merges = { 1, 257 } },
      { unit = "bpe", merges = { 0, 1 } }, { unit = "bpe", merges = { 1.5, 1 } },
      { unit = "bpe", merges = { 1, 2, 1, 2 } }, { unit = "bpe", merges = { "a", "b" } },
      { unit = "bpe", merges = { 1, 1, 257, 257, 258, 258, 259, 259, 260, 260, 261, 261, 262, 262, 263, 263 } },
    } do
      assert.has_error(function() vocabulary.from_table(plain) end)
    end
  end)

  it("tell the line of an error in a long text", function()
    local line = ("é "):rep(39) .. "\n"
    local known = vocabulary.characters(line)
    assert.error_matches(function() known:encode(line:rep(5000) .. "é é\0") end,
      'got "" (U+0000) at line 5001, column 4', 1, true)
  end)

  it("all train, save, load and write", function()
    local text = ("the cat sat on the mat, the dog sat on the log.\n"):rep(30)
    for _, given in ipairs { { unit = "word" }, { unit = "word", min_count = 31 }, { unit = "bpe", size = 280 } } do
      given.valid = 0.1
      local set = saros.data.text({ string = text }, given)
      local lm = nn.language_model { vocabulary = set.vocabulary, cell = "gru", hidden = 16, seed = 1 }
      saros.fit(lm, set, { epochs = 4, batch = 4, length = 8, lr = 1e-2 })
      local path = os.tmpname()
      assert(lm:save(path))
      local again = assert(saros.load(path))
      os.remove(path)
      local function write(model, prime)
        local pieces = {}
        for piece in model:generate { prime = prime, length = 30, temperature = 0 } do
          pieces[#pieces + 1] = piece
        end
        return table.concat(pieces)
      end
      assert.equal(write(lm, "the cat"), write(again, "the cat"))
      assert.is_true(#write(again) > 30)
      assert.equal(set.vocabulary.unit, again.vocabulary.unit)
      local words = again:next_words { prime = "the cat sat on the", top = 2 }
      assert.matches("^%a+$", words[1].word)
      assert.is_true(words[1].probability >= words[2].probability)
      assert.equal("string", type(again:beam { prime = "the cat", length = 3 }[1].text))
    end
  end)
end)
