local saros = require "saros"
local core = require "saros.core"
local commands = require "spec.support.commands"
local files = require "spec.support.files"
local data = saros.data

local TEXT = ("abc def, ghi.\njkl — mno é pqr\n"):rep(20)
local HEADER, COUNT_AT = 64, 17

local write, content_of = files.write, files.read

-- Calls fn with the paths of a text and of a token file, which are removed then.
local function with_files(content, fn)
  local text, tokens = os.tmpname(), os.tmpname()
  write(text, content)
  local ok, message = xpcall(fn, debug.traceback, text, tokens)
  os.remove(text)
  os.remove(tokens)
  if not ok then
    error(message, 0)
  end
end

local function same_windows(expected, got, given)
  local next_window = got:windows(given)
  for window in expected:windows(given) do
    local other = next_window()
    assert.same(window.inputs:totable(), other.inputs:totable())
    assert.same(window.targets:totable(), other.targets:totable())
    assert.same({ window.index, window.count, window.reset }, { other.index, other.count, other.reset })
  end
  assert.is_nil(next_window())
end

describe("a prepared text", function()
  it("has the windows of the text itself, in every unit", function()
    with_files(TEXT, function(path, tokens)
      for _, given in ipairs {
        { unit = "byte" }, { unit = "char" }, { unit = "word" }, { unit = "word", min_count = 21 },
        { unit = "bpe", size = 300 },
      } do
        given.valid = 0.25
        local expected = data.text(path, given)
        local count, known = data.prepare(path, tokens, given)
        assert.equal(#expected, count)
        assert.same(expected.vocabulary.symbols, known.symbols)
        local text = assert(data.text(tokens))
        assert.equal(#expected, #text)
        assert.equal(#expected.train, #text.train)
        assert.equal(#expected.valid, #text.valid)
        assert.same(known.symbols, text.vocabulary.symbols)
        same_windows(expected, text, { batch = 3, length = 7 })
        same_windows(expected, text, { batch = 2, length = 5, part = "valid", partial = true })
        same_windows(expected, text, { batch = 2, length = 5, first = 3 })
        assert.equal((tostring(expected):gsub(path, tokens, 1)), tostring(text))
      end
    end)
  end)

  it("leaves out a byte order mark, unless it is read as bytes", function()
    local long = TEXT:rep(600) -- more than is read at once
    for _, content in ipairs { TEXT, long, "ab" } do
      with_files("\u{FEFF}" .. content, function(path, tokens)
        for _, unit in ipairs { "char", "word", "bpe" } do
          assert(data.prepare(path, tokens, { unit = unit, size = unit == "bpe" and 300 or nil, valid = 0 }))
          local text = assert(data.text(tokens))
          assert.equal(#text.vocabulary:tensor(content), #text)
          assert.is_nil(text.vocabulary.ids["\u{FEFF}"])
        end
        assert.equal(#content + 3, (data.prepare(path, tokens, { unit = "byte" })))
      end)
    end
    with_files("\u{FEFF}", function(path, tokens)
      assert.error_matches(function() data.prepare(path, tokens) end, "expected some text, got none")
    end)
  end)

  it("needs 32 bits for many symbols", function()
    local characters = {}
    for code = 1, 0x12000 do
      if code < 0xD800 or code > 0xDFFF then
        characters[#characters + 1] = utf8.char(code)
      end
    end
    local content = table.concat(characters)
    with_files(content, function(path, tokens)
      assert.equal(#characters, data.prepare(path, tokens, { valid = 0 }))
      local window = data.text(tokens):windows { batch = 1, length = #characters - 1 } ()
      assert.equal(1, window.inputs[1][1])
      assert.equal(#characters, window.targets[-1][1])
    end)
  end)

  it("holds out as much as a text in memory", function()
    for _, case in ipairs { { 3, 0.1 }, { 4, 0.1 }, { 5, 0.1 }, { 6, 0.9 }, { 34, 0.1 }, { 39, 0.1 }, { 40, 0 },
      { 40, 0.5 } } do
      local count, valid = table.unpack(case)
      local content = ("abcde"):rep(8):sub(1, count)
      with_files(content, function(path, tokens)
        data.prepare(path, tokens, { valid = valid })
        local text = data.text({ string = content }, { valid = valid })
        for _, prepared in ipairs { data.text(tokens), data.text(tokens, { valid = valid }) } do
          assert.equal(#text.train, #prepared.train)
          assert.equal(text.valid and #text.valid, prepared.valid and #prepared.valid)
        end
      end)
    end
  end)

  it("can hold out another part, and takes the vocabulary of another text", function()
    with_files(TEXT, function(path, tokens)
      local known = data.vocabulary.characters(TEXT .. "xyz")
      data.prepare(path, tokens, { vocabulary = known })
      local text = data.text(tokens, { valid = 0.5 })
      assert.equal(#text.train, #text.valid)
      assert.equal(#known, #text.vocabulary)
      assert.is_nil(data.text(tokens, { valid = 0 }).valid)
      assert.has_no_error(function() data.text(tokens, { unit = "char" }) end)
      assert.error_matches(function() data.text(tokens, { unit = "byte" }) end, 'prepared with unit = "char"', 1, true)
      assert.error_matches(function() data.text(tokens, { vocabulary = known }) end, "expected no option 'vocabulary'")
    end)
  end)

  it("trains a model just as the text does", function()
    with_files(TEXT, function(path, tokens)
      data.prepare(path, tokens)
      local losses = {}
      for _, source in ipairs { path, tokens } do
        local text = data.text(source)
        local lm = saros.nn.language_model { vocabulary = text.vocabulary, hidden = 8, seed = 1 }
        local history = saros.fit(lm, text, { epochs = 2, batch = 4, length = 10 })
        losses[#losses + 1] = { history[2].train, history[2].valid }
      end
      assert.same(losses[1], losses[2])
    end)
  end)

  it("is told from another by a run folder", function()
    with_files(TEXT, function(path, tokens)
      local other = os.tmpname()
      data.prepare(path, tokens)
      write(path, (TEXT:gsub("abc", "cba")))
      data.prepare(path, other)
      local digests = { data.text(tokens).train:digest(), data.text(other).train:digest() }
      assert.not_equal(digests[1], digests[2])
      assert.equal(digests[1], data.text(tokens).train:digest())
      os.remove(other)
    end)
  end)

  it("may be larger than the memory there is", function()
    local line = "This line of text has the size of 40 é.\n"
    assert.equal(40, utf8.len(line))
    with_files(line:rep(1600000), function(path, tokens) -- 66 MB, and 128 MB of ids
      local script = [[
        local data = require("saros").data
        assert(data.prepare(arg[1], arg[2], { unit = "char" }))
        local text, steps = assert(data.text(arg[2])), 0
        for window in text:windows { batch = 100, length = 20000 } do
          steps = steps + #window.inputs
        end
        print(#text, steps)]]
      local script_path = os.tmpname()
      write(script_path, script)
      local output, status
      if os.getenv "ASAN_OPTIONS" then -- the sanitizer itself needs terabytes
        output, status = commands.run(script_path, path, tokens)
      else
        output, status = commands.run_within(100000, script_path, path, tokens)
      end
      os.remove(script_path)
      assert.equal("64000000\t560000\n", output)
      assert.equal(0, status)
    end)
  end)
end)

describe("preparing a text", function()
  it("names what it cannot read or write", function()
    with_files(TEXT, function(path, tokens)
      local count, message = data.prepare("no/such/text", tokens)
      assert.is_nil(count)
      assert.matches('data.prepare: expected to read "no/such/text", got "No such file', message, 1, true)
      count, message = data.prepare(path, "no/such/folder/tokens")
      assert.is_nil(count)
      assert.matches('data.prepare: expected to write "no/such/folder/tokens"', message, 1, true)
      count, message = data.prepare("/", tokens)
      assert.is_nil(count)
      assert.matches("regular file", message)
    end)
  end)

  it("never replaces a file by half of one, or a text by its ids", function()
    with_files("abc\ndef", function(path, tokens)
      write(tokens, "old")
      local known = data.vocabulary.characters "abc\n"
      assert.error_matches(function() data.prepare(path, tokens, { vocabulary = known }) end,
        'data.prepare: expected one of the 4 characters of the vocabulary, got "d" (U+0064) at line 2, column 1, '
        .. '"e" (U+0065) at line 2, column 2, "f" (U+0066) at line 2, column 3 of ',
        1, true)
      assert.equal("old", content_of(tokens))
      assert.error_matches(function() data.prepare(path, path) end, "expected another file than the text")
      assert.equal("abc\ndef", content_of(path))
    end)
    with_files("", function(path, tokens)
      assert.error_matches(function() data.prepare(path, tokens, { unit = "byte" }) end, "expected some text, got none")
      assert.error_matches(function() data.prepare(path, tokens) end, "expected some text, got none")
    end)
  end)

  it("refuses what is no path and options that it does not know", function()
    assert.error_matches(function() data.prepare(nil, "x") end, "expected the path of a text, got nil")
    assert.error_matches(function() data.prepare("x", {}) end, "expected the path of the file to write")
    assert.error_matches(function() data.prepare("x", "y", { batch = 1 }) end, 'unknown option "batch"')
  end)
end)

describe("a token file", function()
  -- Calls fn with the bytes of a good file and a function that opens others.
  local function with_bytes(fn)
    with_files(TEXT, function(path, tokens)
      data.prepare(path, tokens)
      fn(content_of(tokens), function(content)
        write(tokens, content)
        return data.text(tokens)
      end)
    end)
  end

  it("is refused, cut anywhere", function()
    with_bytes(function(good, open)
      assert.is_table(open(good))
      for length = 8, #good - 1, 7 do
        local text, message = open(good:sub(1, length))
        assert.is_nil(text)
        assert.matches("^data.text: tokens: expected ", message)
      end
      assert.is_nil(open(good .. "\0\0"))
    end)
  end)

  it("is refused with any byte of its header or vocabulary changed", function()
    with_bytes(function(good, open)
      local ids_at = #good - 2 * string.unpack("<I8", good, COUNT_AT) + 1
      for at = 9, ids_at - 1 do
        local changed = good:sub(1, at - 1) .. string.char(good:byte(at) ~ 0x10) .. good:sub(at + 1)
        assert.is_nil(open(changed))
      end
    end)
  end)

  it("of another format is said to be newer", function()
    with_bytes(function(good, open)
      local _, message = open(good:sub(1, 8) .. "\2" .. good:sub(10))
      assert.matches("expected format 1, got another, perhaps of a newer version", message)
    end)
  end)

  it("says so when an id is no symbol", function()
    with_bytes(function(good, open)
      local text = open(good:sub(1, -3) .. "\xFF\xFF")
      assert.error_matches(function()
        for _ in text:windows { batch = 1, length = #text.valid - 1, part = "valid" } do end
      end, "tokens: expected ids below %d+, got 65535 in .*the file was changed")
    end)
  end)

  it("that loses its end while it is open is an error, no crash", function()
    with_bytes(function(good, open)
      local text = open(good)
      open(good:sub(1, HEADER + 300))
      assert.error_matches(function() for _ in text:windows { batch = 2, length = 100 } do end end,
        "tokens: expected the file to keep its size, got its end in ")
    end)
  end)

  it("gives windows from its ids only", function()
    with_bytes(function(good, open)
      local tokens = open(good).train.tokens
      local count = #tokens
      for _, wrong in ipairs {
        { 1, 1, count, 1 }, { count, 1, 1, 1 }, { 1, count, 1, 2 }, { 2, count // 2, 1, 3 },
        { math.maxinteger, 1, 1, 1 }, { 1, math.maxinteger, 1, 3 }, { 1, 1, 2 ^ 31 - 1, 2 ^ 31 - 1 },
      } do
        assert.error_matches(function() tokens:window(table.unpack(wrong)) end, "expected a window inside", 1, true)
      end
      assert.has_error(function() tokens:window(0, 1, 1, 1) end)
      assert.same({ count - 1, 1 }, (tokens:window(1, 1, count - 1, 1)):shape())
      local path = os.tmpname()
      local none, message = core.open_tokens(path)
      os.remove(path)
      assert.is_nil(none)
      assert.matches("expected a token file as data.prepare writes it", message)
    end)
  end)
end)
