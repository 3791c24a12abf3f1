require "spec.support.values"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local TEXT = ('"We know the United States of America," he said.\nThe Congress of the United States (1787) met; '
  .. 'the United States of America grew.\n'):rep(12)

-- An untrained model: what is asked is told by what it answers.
local function model_of(unit, text)
  local size = unit == "bpe" and 400 or nil
  local known = data.text({ string = text or TEXT }, { unit = unit, valid = 0, size = size }).vocabulary
  return nn.language_model { vocabulary = known, cell = "gru", hidden = 12, layers = 1, seed = 3 }
end

local function generated(lm, prime)
  return lm:write { prime = prime, length = 12, temperature = 0.7, seed = 2 }
end

local SPACED = { "the United States of", " the United States of", "the United States of ", " the United States of " }

describe("a prompt of words or BPE", function()
  for _, unit in ipairs { "word", "bpe" } do
    it("asks the same with or without spaces around it, of " .. unit, function()
      local lm = model_of(unit)
      local function same(ask)
        local first = ask(SPACED[1])
        for n = 2, #SPACED do
          assert.same(first, ask(SPACED[n]))
        end
      end
      same(function(prime) return lm:next { prime = prime, top = 9 } end)
      same(function(prime) return lm:next_words { prime = prime, top = 9 } end)
      same(function(prime) return lm:read(prime):totable() end)
      same(function(prime)
        local found = lm:beam { prime = prime, best = 3, length = 4 }
        return { found[1].ids, found[2].ids, found[1].log_probability }
      end)
      assert.equal(generated(lm, SPACED[1]), generated(lm, SPACED[2]))
      assert.equal(generated(lm, SPACED[3]), generated(lm, SPACED[4]))
    end)

    it("is what the text has inside, of " .. unit, function()
      local lm = model_of(unit)
      local inside = lm.vocabulary:encode ") the United States"
      local session = lm:session()
      for position = 2, #inside do
        session:step(inside[position])
      end
      local logits = session:logits():totable()
      assert.same_values(saros.tensor(logits), lm:read "the United States", 1e-5)
    end)

    it("is gone on from as it was written, of " .. unit, function()
      local lm = model_of(unit)
      local known = lm.vocabulary
      for seed = 1, 20 do
        local bare = lm:write { prime = "the United", length = 1, seed = seed }
        local spaced = lm:write { prime = "the United ", length = 1, seed = seed }
        assert.equal((bare:gsub("^ ", "")), spaced)
        local ids, session, generator = known:encode "We the United", lm:session(), saros.generator(seed)
        table.remove(ids, 1)
        local prime = #ids
        for position = 1, prime + 19 do
          session:step(ids[position])
          ids[position + 1] = ids[position + 1] or session:sample(generator)
        end
        assert.equal(known:decode(ids):gsub("^ ", ""),
          "the United" .. lm:write { prime = "the United", length = 20, seed = seed, raw = true })
      end
      local best = lm:beam { prime = "the United", length = 3 }[1]
      local ids = known:encode "the United"
      assert.equal("the United" .. best.text, known:decode(table.move(best.ids, 1, #best.ids, #ids + 1, ids)))
    end)
  end

  it("is not given a space that the text never has before it", function()
    local lm = model_of("bpe", ("name,value\nbeta,gamma\n"):rep(20))
    for _, prime in ipairs { "name", " name" } do
      assert.same_values(lm(saros.ids(lm.vocabulary:encode "name"):reshape(-1, 1)):select(1, -1):select(1, 1),
        lm:read(prime), 0)
    end
  end)

  it("keeps blanks that are more than one space", function()
    for _, unit in ipairs { "word", "bpe" } do
      local lm = model_of(unit, TEXT .. "  a  b\n\n")
      local one = lm:next { prime = "the", top = 3 }
      for _, prime in ipairs { "  the", "the  ", "\nthe", "the\n", "\n the" } do
        assert.is_false(pcall(assert.same, one, lm:next { prime = prime, top = 3 }), unit .. prime)
      end
    end
  end)
end)

describe("a prompt of characters or bytes", function()
  it("is taken as it is", function()
    for _, unit in ipairs { "char", "byte" } do
      local lm = model_of(unit)
      for _, prime in ipairs(SPACED) do
        local logits = lm(saros.ids(lm.vocabulary:encode(prime)):reshape(-1, 1)):select(1, -1):select(1, 1)
        assert.same_values(logits, lm:read(prime), 0)
      end
    end
  end)
end)

describe("a prompt", function()
  it("names all that is unknown in it, whoever is asked", function()
    local lm = model_of "word"
    local prime = "the King of, France"
    for owner, ask in pairs {
      next = lm.next, next_words = lm.next_words, beam = lm.beam, generate = lm.generate,
    } do
      local ok, message = pcall(ask, lm, { prime = prime })
      assert.is_false(ok)
      assert.is_truthy(message:find(owner .. ": expected one of the ", 1, true), message)
      assert.is_truthy(message:find('got "King" at line 1, column 5, "France" at line 1, column 14;', 1, true), message)
    end
    assert.is_nil(lm.vocabulary:check(prime))
  end)

  it("has some text, but for what generates from nothing", function()
    local lm = model_of "word"
    for _, ask in ipairs { lm.next, lm.next_words, lm.beam } do
      assert.error_matches(function() ask(lm, { prime = "" }) end, "expected some text as prime, got an empty string")
    end
    assert.equal("string", type(lm:write { prime = "", length = 3 }))
    assert.equal(lm:write { length = 5 }, lm:write { prime = "", length = 5 })
  end)

  it("may have unknown words where there is a symbol for them", function()
    local known = data.vocabulary.words("the cat sat on the mat", { unknown = "symbol" })
    local lm = nn.language_model { vocabulary = known, hidden = 8, layers = 1, seed = 1 }
    assert.same(lm:next { prime = "the dog sat" }, lm:next { prime = " the cow sat " })
  end)
end)

describe("a text to translate or to classify", function()
  local FORMS = { "one day", " one day", "one day ", " one day " }

  it("is the same with a space at either end, of words and BPE", function()
    for _, unit in ipairs { "word", "bpe" } do
      local set = data.pairs({ { " one day", "ein Tag" }, { "two days ", "zwei Tage" } }, { unit = unit })
      local model = nn.encoder_decoder { source = set.source, target = set.target, hidden = 8, seed = 1 }
      local first = model:translate("one day", { max_length = 5 })[1]
      assert.same(set.source:encode "one day", set.train[1].source)
      assert.same(set.source:encode "two days", set.train[2].source)
      for _, form in ipairs(FORMS) do
        assert.equal(first.log_probability, model:translate(form, { max_length = 5 })[1].log_probability)
        assert.same(set.source:encode "one day", set.source:whole(form):totable())
      end
      local labelled = data.labelled({ a = { "one day" }, b = { " two days" } }, { unit = unit, valid = 0 })
      local classifier = nn.classifier { vocabulary = labelled.vocabulary, labels = labelled.labels, hidden = 8 }
      local _, wanted = classifier:classify "one day"
      for _, form in ipairs(FORMS) do
        local _, ranking = classifier:classify(form)
        assert.same(wanted, ranking)
      end
      for _, sequence in ipairs(labelled.train) do
        assert.same(labelled.vocabulary:encode((sequence.text:gsub("^ ", ""))), sequence.ids)
      end
    end
  end)

  it("keeps all other blanks, and those of characters", function()
    local known = data.vocabulary.words " a  b\n\n"
    for _, text in ipairs { "  a", "a  ", " ", "  ", "\n a", "a\n ", " \n" } do
      assert.equal(text, known:decode(known:whole(text)))
    end
    local characters = data.vocabulary.characters " ab"
    assert.equal(" a b ", characters:decode(characters:whole " a b "))
  end)

  it("names what is unknown where it is in the text as given", function()
    local known = data.vocabulary.words "a b"
    assert.error_matches(function() known:whole " x b y " end, 'got "x" at line 1, column 2, "y" at line 1, column 6;')
  end)
end)

describe("the words that come next", function()
  it("are those after a blank, be it in the prompt or not", function()
    for _, unit in ipairs { "char", "word", "bpe" } do
      local lm = model_of(unit)
      saros.fit(lm, data.text({ string = TEXT }, { vocabulary = lm.vocabulary, valid = 0 }),
        { epochs = 30, batch = 4, length = 20, lr = 1e-2 })
      for prime, word in pairs {
        ["know the United States of"] = "America", ["know the United States of "] = "America",
        [" know the United States of"] = "America", ["The Congress of the United"] = "States",
      } do
        assert.equal(word, lm:next_words({ prime = prime, top = 1 })[1].word, unit .. ": " .. prime)
      end
      assert.equal("he", lm:next_words({ prime = 'States of America,"', top = 1 })[1].word, unit)
      assert.equal("The", lm:next_words({ prime = 'of America," he said.\n', top = 1 })[1].word, unit)
    end
  end)
end)
