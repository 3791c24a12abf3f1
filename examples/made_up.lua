-- Names of made-up languages, for examples that have no data at hand. A name is
-- made of syllables and an ending. Each language has a twin that writes from
-- right to left: the same letters, so who only counts letters cannot tell them
-- apart.

local GRAMMARS = {
  { name = "Kelish", twin = "Hsilek", onsets = "k t r l v", vowels = "a e i", endings = "sh n rik" },
  { name = "Monari", twin = "Iranom", onsets = "m n r b l", vowels = "o a u", endings = "ri ma no" },
  { name = "Zethan", twin = "Nahtez", onsets = "z th s d k", vowels = "e a y", endings = "n th x" },
}

local function choose(generator, words)
  local list = {}
  for word in words:gmatch "%S+" do
    list[#list + 1] = word
  end
  return list[generator:integer(#list)]
end

local function name_from(grammar, generator)
  local parts = {}
  for syllable = 1, 1 + generator:integer(3) do
    parts[syllable] = choose(generator, grammar.onsets) .. choose(generator, grammar.vowels)
  end
  return table.concat(parts) .. choose(generator, grammar.endings)
end

-- Lists of `count` names by language.
return function(generator, count)
  local names = {}
  for _, grammar in ipairs(GRAMMARS) do
    local own, twin = {}, {}
    for position = 1, count do
      own[position] = name_from(grammar, generator)
      twin[position] = name_from(grammar, generator):reverse()
    end
    names[grammar.name], names[grammar.twin] = own, twin
  end
  return names
end
