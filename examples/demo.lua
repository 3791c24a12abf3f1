-- What Saros does, in about a minute: a network of two recurrent layers learns
-- to write like a text, one character after the other. On the way it shows
-- samples, at the end which words it expects next.
--
--   build/saros examples/demo.lua TEXT      (or: make demo TEXT=file)

local argparse = require "argparse"
local saros = require "saros"
local nn, data = saros.nn, saros.data

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("demo.lua", "Learn a text in about a minute.")
parser:argument("text", "Text to learn from.")
parser:option("--epochs", "Passes through the text; as many as take a minute."):convert(math.tointeger)
parser:option("--run", "Folder to keep the model in."):default "runs/demo"
parser:option("--seed", "Same seed, same result."):convert(math.tointeger):default "1"
local args = parser:parse()

local SYMBOLS_PER_MINUTE = 1e7 -- on two cores, with room to spare
local MOST_EPOCHS = 300 -- a small text is known by heart long before
local BATCH, LENGTH = 32, 50

local text = need(data.text(args.text, { valid = 0 }))
need(text:enough { batch = BATCH, length = LENGTH })
local in_a_minute = math.floor(SYMBOLS_PER_MINUTE / #text)
local epochs = args.epochs or math.max(1, math.min(in_a_minute, MOST_EPOCHS))
local lm = nn.language_model {
  vocabulary = text.vocabulary,
  cell = "rnn",
  layers = 2,
  hidden = 128,
  seed = args.seed,
}
print(saros.info())
print(text)
print(lm:summary())
print "losses are in nats per character"
print()

local progress = saros.progress { every = math.max(1, epochs // 10) }

local function show_sample(record)
  local sample = {}
  for piece in lm:generate { length = 160, temperature = 0.6, seed = args.seed } do
    sample[#sample + 1] = piece
  end
  local indented = table.concat(sample):gsub("\n+", "\n  | ")
  progress:write(("\nafter epoch %d it writes:\n  | %s\n"):format(record.epoch, indented))
end

local updates = epochs * (#text // (BATCH * LENGTH))
local next_sample = 1
saros.fit(lm, text, {
  epochs = epochs,
  batch = BATCH,
  length = LENGTH,
  lr = 3e-3,
  schedule = saros.optim.schedule.cosine { steps = updates, floor = 0.05 },
  run = args.run,
  resume = false,
  checkpoint = { epochs = math.max(1, epochs // 10) },
  progress = progress,
  on_epoch = function(record)
    if record.epoch == next_sample or record.epoch == epochs then
      show_sample(record)
      next_sample = next_sample * 4
    end
  end,
})

-- The sequence of so many words that a text has most often; nil if it has none.
local function commonest(content, count)
  local letter = "[%a\x80-\xFF]"
  local sequences = "^" .. letter .. "+" .. (" " .. letter .. "+"):rep(count - 1)
  local counts, best = {}, nil
  local function is_better(a, b)
    if counts[a] ~= counts[b] then
      return counts[a] > counts[b]
    end
    return #a > #b or #a == #b and a < b
  end
  for start in content:gmatch("()%f" .. letter) do
    local sequence = content:match(sequences, start)
    if sequence then
      counts[sequence] = (counts[sequence] or 0) + 1
      best = (not best or is_better(sequence, best)) and sequence or best
    end
  end
  return best
end

-- Prefixes that grow word by word: the textbook's where they fit the text, else
-- what the text itself says most often. None if its words are not in lines.
local function find_prefixes(content)
  local longest = content:find("the United States of", 1, true) and "the United States of"
  for count = 3, 1, -1 do
    longest = longest or content:find(" ", 1, true) and commonest(content, count)
  end
  local prefixes = {}
  for word in (longest or ""):gmatch "%S+" do
    local last = prefixes[#prefixes]
    prefixes[#prefixes + 1] = last and last .. " " .. word or word
  end
  return prefixes
end

local content = text.vocabulary:decode(text.train)
local prefixes = find_prefixes(content)
if #prefixes > 0 then
  print "\nwhich word comes next?"
end
for _, prefix in ipairs(prefixes) do
  local words = {}
  for _, entry in ipairs(lm:next_words { prime = prefix, top = 3 }) do
    if entry.probability >= 0.01 then
      words[#words + 1] = ("%s (%.0f %%)"):format(entry.word, 100 * entry.probability)
    end
  end
  print(("  %-20s -> %s"):format(prefix, table.concat(words, ", ")))
end

local prime = content:find("We the People ", 1, true) and "We the People" or prefixes[#prefixes]
print(("\nthe model is in %s; to let it go on:"):format(args.run))
print(("  build/saros examples/generate.lua --model %s --temperature 0.5%s"):format(
  args.run, prime and (' --prime "%s "'):format(prime) or ""))
