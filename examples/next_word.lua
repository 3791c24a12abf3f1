-- The textbook's example: which word comes next? The model of characters reads
-- a prefix that grows, and its most likely words are found letter by letter.
--
--   build/saros examples/next_word.lua --model runs/demo
--   build/saros examples/next_word.lua --model runs/demo --prefix "We the"

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("next_word.lua", "Show the most likely next words.")
parser:option("--model", "Run folder or model file."):count(1)
parser:option("--prefix", "Text before the word; may be given several times."):count "*"
numbers.whole(parser, "--top", "Words to show, if they have 1 % or more."):default "3"
local args = parser:parse()

local lm = need(saros.load(args.model))
need(lm.generate, ("expected a language model in %s, got a %s"):format(args.model, lm.kind))
local prefixes = args.prefix
if #prefixes == 0 then
  prefixes = { "the", "the United", "the United States", "the United States of" }
end

-- The word after a prefix comes after a space.
for _, prefix in ipairs(prefixes) do
  local known, problem = lm.vocabulary:check(prefix .. " ")
  need(known, ('no words after "%s": %s (--prefix TEXT asks for others)'):format(prefix, problem))
end

for _, prefix in ipairs(prefixes) do
  local words = {}
  for _, entry in ipairs(lm:next_words { prime = prefix, top = args.top }) do
    if entry.probability >= 0.01 then
      words[#words + 1] = ("%s %.0f %%"):format(entry.word, 100 * entry.probability)
    end
  end
  print(("%-22s -> %s"):format(prefix, table.concat(words, ", ")))
end
