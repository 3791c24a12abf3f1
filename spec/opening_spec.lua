-- Where in a text a sample begins.

local files = require "spec.support.files"
local folders = require "spec.support.folders"
local saros = require "saros"
local data = saros.data

local function openings(content, given)
  given = given or {}
  given.valid = given.valid or 0
  local text = data.text({ string = content }, given)
  local list = {}
  for seed = 1, 20 do
    list[seed] = text:opening { seed = seed }
    assert.is_true(text.vocabulary:check(list[seed]))
  end
  return list, text
end

local function matches_all(pattern, list)
  for _, opening in ipairs(list) do
    assert.matches(pattern, opening)
  end
end

describe("an opening of a text", function()
  it("is the beginning of a line, where something is to be seen", function()
    matches_all("^one two three$", (openings(("one two three four\n"):rep(100))))
    matches_all("^if %(x", (openings((" "):rep(40) .. ("\n\n  \n" .. (" "):rep(30) .. "if (x > 0) {\n"):rep(100))))
    matches_all("^2020%-01%-0%d,%d$", (openings(("2020-01-01,7\n2020-01-02,8\n"):rep(100))))
    matches_all("^a%u$", (openings(("aB\r\n\r\naC\r\n"):rep(100))))
  end)

  it("has no wide gap in it", function()
    matches_all("^int x;$", (openings(("int x;" .. (" "):rep(160) .. "/* x */\n"):rep(50))))
  end)

  it("is a few characters where there are no blanks, whole ones in a text of bytes", function()
    for _, unit in ipairs { "char", "byte" } do
      for _, opening in ipairs((openings(("世界，你好。我们在这里写一个很长的句子；"):rep(50), { unit = unit }))) do
        assert.equal(8, utf8.len(opening))
      end
    end
    for _, opening in ipairs((openings(("acgttgca"):rep(100)))) do
      assert.equal(24, #opening)
    end
  end)

  it("is the beginning of a word in one long line", function()
    local words = { wonder = true, under = true, thunder = true }
    for _, opening in ipairs((openings(("wonder, under thunder "):rep(100)))) do
      local first, second, rest = opening:match "^(%a+),? (%a+)(,?)$"
      assert.is_true(words[first] and words[second])
      assert.equal(second == "wonder" and "," or "", rest)
    end
  end)

  it("is of words and pieces of BPE", function()
    matches_all("^one two three$", (openings(("one two three four\n"):rep(100), { unit = "word" })))
    for _, opening in ipairs((openings(("one two three four\n"):rep(100), { unit = "bpe", size = 280 }))) do
      assert.equal(opening, ("one two three four"):sub(1, #opening))
    end
  end)

  it("is another one of another seed, and the same of the same", function()
    local content = {}
    for n = 1, 200 do
      content[n] = ("%d is a number\n"):format(n)
    end
    local list, text = openings(table.concat(content))
    local seen, count = {}, 0
    for seed, opening in ipairs(list) do
      assert.equal(opening, text:opening { seed = seed })
      count = count + (seen[opening] and 0 or 1)
      seen[opening] = true
    end
    assert.is_true(count > 5)
  end)

  it("is the longest there is of a text with little to see, and empty in one with nothing", function()
    matches_all("^ab?$", (openings(("a\nab\n"):rep(50))))
    matches_all("^$", (openings((" \n"):rep(50))))
    assert.equal("", data.text({ string = "a" }, { valid = 0 }):opening())
    assert.error_matches(function() data.text({ string = "ab" }):opening { sed = 1 } end,
      'text:opening: unknown option "sed"')
  end)

  it("comes from the training part, in memory and in a token file", function()
    local content = ("train on this\n"):rep(90) .. ("hold out that\n"):rep(10)
    matches_all("^train on this$", (openings(content, { valid = 0.1 })))
    files.with_path(function(path)
      files.write(path, content)
      files.with_path(function(tokens)
        assert(data.prepare(path, tokens, { unit = "char" }))
        assert.equal("train on this", data.text(tokens):opening())
      end)
    end)
  end)

  it("is where the samples of fit begin", function()
    local folder = os.tmpname()
    os.remove(folder)
    local text = data.text({ string = ("\n" .. (" "):rep(60) .. "call(me, now);\n"):rep(40) }, { valid = 0 })
    local lm = saros.nn.language_model { vocabulary = text.vocabulary, hidden = 4, layers = 1 }
    saros.fit(lm, text, { epochs = 2, batch = 2, length = 20, run = folder, sample = 5 })
    local prime = text:opening { seed = 2 }
    assert.equal("call(me,", prime)
    assert.equal(prime .. lm:write { prime = prime, length = 5, temperature = 0.8, seed = 2 } .. "\n",
      files.read(folder .. "/samples/epoch-0002.txt"))
    local pieces = data.pieces({ "abc", "abd", "cde" }, { valid = 0 })
    lm = saros.nn.language_model { vocabulary = pieces.vocabulary, hidden = 4, layers = 1 }
    saros.fit(lm, pieces, { epochs = 1, batch = 1, length = 4, run = folder, sample = 5, resume = false })
    assert.equal(lm:write { length = 5, temperature = 0.8, seed = 1 } .. "\n",
      files.read(folder .. "/samples/epoch-0001.txt"))
    folders.remove(folder)
  end)
end)
