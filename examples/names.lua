-- One to many: new names for a category, letter by letter. The category begins a
-- piece of text, "Irish: ", and the name is how it goes on.
--
--   build/saros examples/names.lua --data names.txt --run runs/names    -- the first letter is the category
--   build/saros examples/names.lua --data FOLDER --run runs/names       -- of files CATEGORY.txt, a name a line
--   build/saros examples/generate.lua --model runs/names --prime '\nma' --stop '\n'
--   build/saros examples/names.lua                                      -- of some made-up languages

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local made_up = require "made_up"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("names.lua", "Write names by category.")
parser:option("--data", "Folder of files CATEGORY.txt, or a file NAMES.txt.")
numbers.whole(parser, "--epochs", "Passes through the names."):default "15"
numbers.real(parser, "--temperature", "Below 1 bolder, above 1 wilder."):default "0.7"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
parser:option("--run", "Folder to keep the model in.")
local args = parser:parse()

local source, categories, known = args.data, {}, {}
if not (source and source:find "%.txt$") then
  local set = need(saros.data.labelled(source or made_up(saros.generator(args.seed), 300), { valid = 0 }))
  source = {}
  for n, name in ipairs(set.train) do
    source[n] = set.labels[name.label] .. ": " .. name.text
  end
end
local names = need(saros.data.pieces(source, { lines = true, valid = 0.1, seed = args.seed, edit = function(name)
  local category = name:match "^.-: " or name:match("^" .. utf8.charpattern)
  categories[#categories + 1] = not known[category] and category or nil
  known[category] = true
  return name
end }))
table.sort(categories)
print(names)
local lm = saros.nn.language_model { vocabulary = names.vocabulary, cell = "gru", layers = 1, embedding = 48,
  dropout = 0.2, seed = args.seed }
local batch = math.max(1, math.min(32, #names.train // 100))
saros.fit(lm, names, { epochs = args.epochs, batch = batch, length = 25, lr = 4e-3, run = args.run,
  schedule = saros.optim.schedule.cosine { steps = args.epochs * (#names.train // (batch * 25)), floor = 0.02 },
  progress = saros.progress() })
lm = args.run and need(saros.load(args.run)) or lm

for _, category in ipairs(categories) do
  local list = {}
  for n = 1, 6 do
    local rest = lm:write { prime = "\n" .. category, length = 30, stop = "\n", seed = args.seed + n,
      temperature = args.temperature }
    list[n] = category:find ": $" and rest or category .. rest -- a letter is part of the name
  end
  print(("%-12s %s"):format(category, table.concat(list, ", ")))
end
