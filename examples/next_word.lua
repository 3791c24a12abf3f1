-- The textbook's example: which word comes next? The model of characters reads
-- a prefix that grows, and its most likely words are found letter by letter.
--
--   build/saros examples/next_word.lua --model runs/demo
--   build/saros examples/next_word.lua --model runs/demo --prefix "We the"

local argparse = require "argparse"
local saros = require "saros"

local function integer(text)
  return math.tointeger(tonumber(text))
end

local parser = argparse("next_word.lua", "Show the most likely next words.")
parser:option("--model", "Run folder or model file."):count(1)
parser:option("--prefix", "Text before the word; may be given several times."):count "*"
parser:option("--top", "Words to show."):convert(integer):default "3"
local args = parser:parse()

local prefixes = args.prefix
if #prefixes == 0 then
  prefixes = { "the", "the United", "the United States", "the United States of" }
end

local lm = assert(saros.load(args.model))
for _, prefix in ipairs(prefixes) do
  local words = {}
  for rank, entry in ipairs(lm:next_words { prime = prefix, top = args.top }) do
    words[rank] = ("%s %.0f %%"):format(entry.word, 100 * entry.probability)
  end
  print(("%-22s -> %s"):format(prefix, table.concat(words, ", ")))
end
