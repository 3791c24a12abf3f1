-- What Saros does, in about a minute: a network of two recurrent layers learns
-- to write like a text, one character after the other. On the way it shows
-- samples, at the end which words it expects next.
--
--   build/saros examples/demo.lua TEXT      (or: make demo TEXT=file)

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("demo.lua", "Learn a text in about a minute.")
parser:argument("text", "Text to learn from.")
numbers.whole(parser, "--epochs", "Passes through the text; as many as take a minute.")
parser:option("--run", "Folder to keep the model in."):default "runs/demo"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
local args = parser:parse()

local SYMBOLS_PER_MINUTE = 1e7 -- on two cores, with room to spare
local MOST_EPOCHS = 300 -- a small text is known by heart long before
local BATCH, LENGTH = 32, 50

local text = need(saros.data.text(args.text, { valid = 0 }))
need(text:enough { batch = BATCH, length = LENGTH })
local lm = saros.nn.language_model { vocabulary = text.vocabulary, cell = "rnn", layers = 2, hidden = 128,
  seed = args.seed }
print(saros.info())
print(text)
print(lm:summary())
local before <close> = io.open(args.run .. "/config.json")
print(("losses are in nats per character%s\n"):format(
  before and ("; this takes the place of the training in %s"):format(args.run) or ""))

-- What the model writes behind an opening of the text, as lines of a picture: without empty lines, and
-- with wide gaps made narrower.
local VISIBLE, MOST = 130, 1000
local function sample_lines(seed)
  local opening = text:opening { seed = seed }
  local pieces, visible = { opening }, 0
  for piece in lm:generate { prime = opening, length = MOST, temperature = 0.6, seed = seed } do
    pieces[#pieces + 1] = piece
    visible = visible + (piece:find "%S" and 1 or 0)
    if visible == VISIBLE then
      break
    end
  end
  local sample = table.concat(pieces):gsub("%s*\n", "\n"):gsub("\n+", "\n  | ")
  return "  | " .. sample:gsub("[ \t]+", function(gap)
    return #gap > 8 and (" "):rep(8) or gap
  end)
end

local in_a_minute = math.floor(SYMBOLS_PER_MINUTE / #text)
local epochs = args.epochs or math.max(1, math.min(in_a_minute, MOST_EPOCHS))
local a_tenth, next_sample = math.max(1, epochs // 10), 1
local progress = saros.progress { every = a_tenth }
saros.fit(lm, text, { epochs = epochs, batch = BATCH, length = LENGTH, lr = 3e-3,
  schedule = saros.optim.schedule.cosine { steps = epochs * (#text // (BATCH * LENGTH)), floor = 0.05 },
  run = args.run, resume = false, checkpoint = { epochs = a_tenth }, progress = progress,
  on_epoch = function(record)
    if record.epoch == next_sample or record.epoch == epochs then
      progress:write(("\nafter epoch %d it writes:\n%s\n"):format(record.epoch, sample_lines(args.seed + record.epoch)))
      next_sample = next_sample * 4
    end
  end })

-- Prefixes that grow word by word: the textbook's where they fit the text, else
-- the three words in a row that it has most often. None if it has no such words.
local function find_prefixes(content)
  local longest, counts = content:match "the United States of", {}
  for start in content:gmatch(longest and "^$" or "()%f[^%s%p\0]") do
    local words = content:match("^[^%s%p]+ [^%s%p]+ [^%s%p]+", start)
    if words then
      counts[words] = (counts[words] or 0) + 1
      longest = (not longest or counts[words] > counts[longest]) and words or longest
    end
  end
  local prefixes = {}
  for last in (longest or ""):gmatch "%S+()" do
    prefixes[#prefixes + 1] = longest:sub(1, last - 1)
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

local prime = content:match "We the People" or prefixes[#prefixes]
print(("\nthe model is in %s; to let it go on:"):format(args.run))
print(("  build/saros examples/generate.lua --model %s --temperature 0.5%s"):format(
  args.run, prime and (' --prime "%s "'):format(prime) or ""))
