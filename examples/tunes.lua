-- Tunes: a model reads tunes in ABC notation, character by character, and writes
-- new ones. No tune is cut between training and held-out part, and the state of
-- the network starts again at the beginning of each.
--
--   build/saros examples/tunes.lua --text tunes.abc --run runs/tunes
--   build/saros examples/generate.lua --model runs/tunes --prime '\nX:1\n' --stop '\n\n' --length 2000
--
-- Without a file it makes up some simple ones.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local abc = require "abc"
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("tunes.lua", "Learn tunes, and write some.")
parser:option("--text", "File of tunes, with empty lines between them.")
numbers.whole(parser, "--epochs", "Passes through the tunes."):default "12"
numbers.whole(parser, "--hidden", "Units in each of two layers."):default "128"
numbers.whole(parser, "--count", "Tunes to write.", 0):default "5"
numbers.real(parser, "--temperature", "Below 1 bolder, above 1 wilder."):default "0.7"
numbers.whole(parser, "--seed", "Same seed, same tunes.", 0):default "1"
parser:option("--run", "Folder to keep the model in.")
local args = parser:parse()

-- Every tune has the number 1, and no fields but title, meter, length and key.
local function edit(tune)
  tune = tune:gsub("X:[^\n]*", "X:1"):gsub("%f[^\n\0][A-JN-SU-WYZ]:[^\n]*\n", ""):gsub("!%f[\n\0]", "")
  return abc.bars(tune) and tune or nil
end

local source = args.text or abc.made_up(saros.generator(args.seed), 300)
local tunes = need(saros.data.pieces(source, { edit = edit, valid = 0.1, seed = args.seed }))
print(tunes)
local lm = saros.nn.language_model { vocabulary = tunes.vocabulary, cell = "gru", hidden = args.hidden,
  dropout = 0.1, seed = args.seed }
saros.fit(lm, tunes, { epochs = args.epochs, batch = 16, length = 64, lr = 4e-3, run = args.run,
  progress = saros.progress() })

lm = args.run and need(saros.load(args.run)) or lm
local written, bars, full = 0, 0, 0
for n = 1, args.count do
  local tune = lm:write { length = 2000, stop = "\n\n", temperature = args.temperature, seed = args.seed + n }
  local count, found = abc.bars(tune) -- and how many are full, or what is wrong
  print(("\n%s\n%% %s"):format(tune, count and ("well-formed: %d bars, %d of them full"):format(count, found) or found))
  written, bars, full = written + (count and 1 or 0), bars + (count or 0), full + (count and found or 0)
end
print(("\n%d of %d tunes are well-formed; %d of their %d bars are full"):format(written, args.count, full, bars))
