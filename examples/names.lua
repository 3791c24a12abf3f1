-- One to many: new names for a category, letter by letter. The category sets
-- the first state of a GRU, and that is all it learns of it. Held-out names are
-- likelier in their own category than in another one.
--
--   build/saros examples/names.lua --data FOLDER       -- of files CATEGORY.txt, a name a line
--   build/saros examples/names.lua --data NAMES.txt    -- the first letter is the category
--
-- Without either it makes up some languages.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local made_up = require "made_up"
local saros = require "saros"
local nn, optim, data = saros.nn, saros.optim, saros.data

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("names.lua", "Write names by category.")
parser:option("--data", "Folder of files CATEGORY.txt, or a file NAMES.txt.")
parser:option("--epochs", "Passes through the names."):convert(math.tointeger):default "15"
parser:option("--temperature", "Below 1 bolder, above 1 wilder."):convert(tonumber):default "0.7"
parser:option("--seed", "Same seed, same result."):convert(math.tointeger):default "1"
local args = parser:parse()

local LETTER, HIDDEN, BATCH = 48, 128, 64
local generator = saros.generator(args.seed)

-- The names of a file by their first letter.
local function by_first_letter(path)
  local file <close> = need(io.open(path))
  local names = {}
  for name in file:lines() do
    local initial = name:match("^" .. utf8.charpattern)
    if initial then
      names[initial] = names[initial] or {}
      table.insert(names[initial], name)
    end
  end
  return names
end

local source = args.data or made_up(generator, 300)
if args.data and args.data:find "%.txt$" then
  source = by_first_letter(args.data)
end
local set = need(data.labelled(source, { valid = 0.1, seed = args.seed }))
need(#set.labels > 1 and #set.valid > 0, "expected two categories, and ten names of each category")
print(set)

-- Beside the letters there is a symbol that begins and ends each name.
local EDGE = #set.vocabulary + 1
local first, letters = nn.embedding { #set.labels, HIDDEN }, nn.embedding { EDGE, LETTER }
local writer, head = nn.gru { LETTER, HIDDEN }, nn.linear { HIDDEN, EDGE }
local net = nn.chain { first, letters, writer, head }
net:init { seed = args.seed }

-- The mean loss of a letter, in nats, if these are the categories, ids (B).
local function loss_of(batch, categories)
  local inputs, targets, lengths = {}, {}, {}
  for t = 1, #batch.inputs + 1 do -- behind the end of a row it does not matter what
    inputs[t], targets[t] = {}, {}
    for row, sequence in ipairs(batch.sequences) do
      inputs[t][row] = sequence.ids[t - 1] or EDGE
      targets[t][row] = sequence.ids[t] or EDGE
      lengths[row] = #sequence.ids + 1
    end
  end
  local wanted = saros.ids(targets)
  local y = writer(letters(saros.ids(inputs)), { { first(categories) } }, { lengths = lengths })
  local inside = saros.arange(#wanted):reshape(-1, 1):le(saros.tensor(lengths)) -- (T, B)
  return nn.cross_entropy(head(saros.dropout(y, 0.3, generator)), wanted, { mask = inside })
end

local start = saros.clock()
local schedule = optim.schedule.cosine { steps = args.epochs * math.ceil(#set.train / BATCH), floor = 0.02 }
local adam = optim.adam(net:parameters(), { lr = 4e-3, schedule = schedule })
for epoch = 1, args.epochs do
  for batch in set:batches { batch = BATCH, seed = args.seed + epoch } do
    local tape <close> = saros.tape()
    tape:backward(loss_of(batch, batch.labels))
    optim.clip_norm(net:parameters(), 5)
    adam:step()
  end
end

-- Every held-out name once as what it is, once as something else.
local batch = set:batches { batch = #set.valid, part = "valid" }()
local others = batch.labels:totable()
for row, label in ipairs(others) do
  others[row] = (label + generator:integer(#set.labels - 1) - 1) % #set.labels + 1
end
print(("held-out names after %.0f s: %.3f nats per letter as what they are, %.3f as something else"):format(
  saros.clock() - start, loss_of(batch, batch.labels):item(), loss_of(batch, saros.ids(others)):item()))

-- A name of a category, of 30 letters at most.
local function write(category)
  local state, id, ids = { { first(saros.ids { category }) } }, EDGE, {}
  repeat
    local y
    y, state = writer(letters(saros.ids { { id } }), state)
    id = generator:categorical(saros.softmax(head(y):flatten() / args.temperature)):item()
    ids[#ids + 1] = id ~= EDGE and id or nil
  until id == EDGE or #ids == 30
  return set.vocabulary:decode(ids)
end

for category, label in ipairs(set.labels) do
  local names = {}
  for position = 1, 6 do
    names[position] = write(category)
  end
  print(("%-12s %s"):format(label, table.concat(names, ", ")))
end
