-- What Saros does, in about a minute: a network of two recurrent layers learns
-- to write like a text, one character after the other. On the way it shows
-- samples, at the end which words it expects next.
--
--   build/saros examples/demo.lua TEXT      (or: make demo TEXT=file)

local argparse = require "argparse"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local function integer(text)
  return math.tointeger(tonumber(text))
end

local parser = argparse("demo.lua", "Learn a text in about a minute.")
parser:argument("text", "Text to learn from.")
parser:option("--epochs", "Passes through the text; as many as take a minute."):convert(integer)
parser:option("--run", "Folder to keep the model in."):default "runs/demo"
parser:option("--seed", "Same seed, same result."):convert(integer):default "1"
local args = parser:parse()

local SYMBOLS_PER_MINUTE = 1e7 -- on two cores, with room to spare
local BATCH, LENGTH = 32, 50

local text = assert(data.text(args.text, { valid = 0 }))
local epochs = args.epochs or math.max(1, math.floor(SYMBOLS_PER_MINUTE / #text))
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
  progress = progress,
  on_epoch = function(record)
    if record.epoch == next_sample or record.epoch == epochs then
      show_sample(record)
      next_sample = next_sample * 4
    end
  end,
})

print "\nwhich word comes next?"
for _, prefix in ipairs { "the", "the United", "the United States", "the United States of" } do
  local words = {}
  for rank, entry in ipairs(lm:next_words { prime = prefix, top = 3 }) do
    words[rank] = ("%s (%.0f %%)"):format(entry.word, 100 * entry.probability)
  end
  print(("  %-20s -> %s"):format(prefix, table.concat(words, ", ")))
end

print(("\nthe model is in %s; to let it go on:"):format(args.run))
print(('  build/saros examples/generate.lua --model %s --prime "We the People "'):format(args.run))
