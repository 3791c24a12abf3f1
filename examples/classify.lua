-- What a trained classifier makes of some texts.
--
--   build/saros examples/classify.lua --model runs/surnames Rossi Nakamura

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("classify.lua", "Let a trained model choose labels.")
parser:argument("texts", "Texts to classify."):args "+"
parser:option("--model", "Run folder or model file."):count(1)
numbers.whole(parser, "--top", "Labels to show, if they have 1 % or more."):default "3"
local args = parser:parse()

local classifier = need(saros.load(args.model))
need(classifier.classify, ("expected a classifier in %s, got a %s"):format(args.model, classifier.kind))
need(classifier.vocabulary, "expected a classifier of texts, got one of numbers")
for _, text in ipairs(args.texts) do
  need(classifier.vocabulary:check(text))
  local _, ranking = classifier:classify(text)
  local labels = {}
  for rank = 1, math.min(args.top, #ranking) do
    local entry = ranking[rank]
    labels[rank] = entry.probability >= 0.01 and ("%s %.0f %%"):format(entry.label, 100 * entry.probability) or nil
  end
  print(("%-20s -> %s"):format(text, table.concat(labels, ", ")))
end
