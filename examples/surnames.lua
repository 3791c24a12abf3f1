-- Many to one: of which language is a surname? A GRU reads the letters from
-- both ends, and its last states decide. Beside it, logistic regression on the
-- counts of letters: what can be known without their order.
--
--   build/saros examples/surnames.lua --data FOLDER --run runs/surnames    -- of files LANGUAGE.txt, a name a line
--   build/saros examples/classify.lua --model runs/surnames Rossi Nakamura
--
-- Without a folder it makes up some languages.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local made_up = require "made_up"
local saros = require "saros"
local nn = saros.nn

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("surnames.lua", "Tell languages by names.")
parser:option("--data", "Folder of files LANGUAGE.txt, or a table with names and languages.")
numbers.whole(parser, "--epochs", "Passes through the names."):default "12"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
parser:option("--run", "Folder to keep the model in.")
local args = parser:parse()

local source = args.data or made_up(saros.generator(args.seed), 300)
local set = need(saros.data.labelled(source, { valid = 0.2, seed = args.seed }))
print(set)

local classifier = nn.classifier { vocabulary = set.vocabulary, labels = set.labels, hidden = 96, embedding = 48,
  dropout = 0.3, seed = args.seed }

-- A model of one's own says what the loss of a batch is, and how many are right.
local Counts = nn.module "counts"
function Counts:window_loss(batch)
  local inside = saros.arange(#batch.inputs):reshape(-1, 1):le(saros.tensor(batch.lengths)) -- (T, B)
  local letters = saros.one_hot(batch.inputs, #set.vocabulary) * inside:reshape(#batch.inputs, -1, 1)
  local logits = self.head(letters:sum(1))
  return nn.cross_entropy(logits, batch.labels), nil, logits:argmax(-1):eq(batch.labels):sum():item()
end
local counts = Counts.new()
counts.head = counts:add_member("head", nn.linear { #set.vocabulary, #set.labels })
counts:init { seed = args.seed }

-- The counts need more passes.
for _, entry in ipairs { { "counts of letters", counts, 5 }, { "GRU, both ways", classifier, 1, args.run } } do
  local name, model, times, run = table.unpack(entry)
  local start, epochs = saros.clock(), times * args.epochs
  local history = saros.fit(model, set, { epochs = epochs, batch = 64, lr = 4e-3, run = run,
    schedule = saros.optim.schedule.cosine { steps = epochs * math.ceil(#set.train / 64), floor = 0.02 },
    progress = run and saros.progress() })
  print(("%-18s %5.1f %% of the held-out names are right, after %.0f s"):format(
    name, 100 * history[#history].accuracy, saros.clock() - start))
end
