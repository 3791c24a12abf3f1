-- Many to one: of which language is a surname? A GRU reads the letters from
-- both ends, and its last states decide. Beside it, logistic regression on the
-- counts of letters: what can be known without their order.
--
--   build/saros examples/surnames.lua --data FOLDER    -- of files LANGUAGE.txt, a name a line
--
-- Without a folder it makes up some languages.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local made_up = require "made_up"
local saros = require "saros"
local nn, optim, data = saros.nn, saros.optim, saros.data

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("surnames.lua", "Tell languages by names.")
parser:option("--data", "Folder of files LANGUAGE.txt.")
parser:option("--epochs", "Passes through the names."):convert(math.tointeger):default "12"
parser:option("--seed", "Same seed, same result."):convert(math.tointeger):default "1"
local args = parser:parse()

local LETTER, HIDDEN, BATCH = 48, 96, 64
local source = args.data or made_up(saros.generator(args.seed), 300)
local set = need(data.labelled(source, { valid = 0.2, seed = args.seed }))
local V, LANGUAGES = #set.vocabulary, #set.labels
print(set)

-- Both models take a batch and give logits (B, LANGUAGES).
local letters, head = nn.embedding { V, LETTER }, nn.linear { 2 * HIDDEN, LANGUAGES }
local reader = nn.gru { LETTER, HIDDEN, bidirectional = true }
local generator = saros.generator(args.seed) -- of the dropout

local function read(batch)
  local x = saros.dropout(letters(batch.inputs), 0.2, generator)
  local _, state = reader(x, nil, { lengths = batch.lengths })
  local both = state[1][1] .. state[2][1] -- after the last letter, after the first
  return head(saros.dropout(both, 0.4, generator))
end

local bag = nn.linear { V, LANGUAGES }

local function count(batch)
  local inside = saros.arange(#batch.inputs):reshape(-1, 1):le(saros.tensor(batch.lengths)) -- (T, B)
  return bag((saros.one_hot(batch.inputs, V) * inside:reshape(#batch.inputs, -1, 1)):sum(1))
end

local function train(net, model, epochs)
  net:init { seed = args.seed }
  local updates = epochs * math.ceil(#set.train / BATCH)
  local schedule = optim.schedule.cosine { steps = updates, floor = 0.02 }
  local adam = optim.adam(net:parameters(), { lr = 4e-3, schedule = schedule })
  for epoch = 1, epochs do
    for batch in set:batches { batch = BATCH, seed = args.seed + epoch } do
      local tape <close> = saros.tape()
      tape:backward(nn.cross_entropy(model(batch), batch.labels))
      optim.clip_norm(net:parameters(), 5)
      adam:step()
    end
  end
end

-- The percentage of held-out names that are right, and all errors, the commonest first.
local function test(model)
  local errors, times, wrong = {}, {}, 0
  for batch in set:batches { batch = 500, part = "valid" } do
    for row, answer in ipairs(saros.argmax(model(batch)):totable()) do
      local label = batch.sequences[row].label
      if answer ~= label then
        local name = ("%s taken for %s"):format(set.labels[label], set.labels[answer])
        errors[#errors + 1] = not times[name] and name or nil
        times[name], wrong = (times[name] or 0) + 1, wrong + 1
      end
    end
  end
  table.sort(errors, function(a, b)
    return times[a] > times[b] or times[a] == times[b] and a < b
  end)
  return 100 * (1 - wrong / #set.valid), errors, times
end

for _, entry in ipairs {
  { "counts of letters", bag, count, 5 * args.epochs }, -- it needs more passes
  { "GRU, both ways", nn.chain { letters, reader, head }, read, args.epochs },
} do
  local name, net, model, epochs = table.unpack(entry)
  local start = saros.clock()
  train(net, model, epochs)
  local accuracy, errors, times = test(model)
  print(("%-18s %5.1f %% of the held-out names are right, after %.0f s; most often wrong:"):format(
    name, accuracy, saros.clock() - start))
  for rank = 1, math.min(4, #errors) do
    print(("  %3d x %s"):format(times[errors[rank]], errors[rank]))
  end
end
