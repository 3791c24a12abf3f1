-- Text from a trained model, as it is made.
--
--   build/saros examples/generate.lua --model runs/first --prime "The " --length 500
--   build/saros examples/generate.lua --model runs/tunes --prime '\n' --stop '\n\n' --length 2000

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

-- "\n" on the command line is a new line.
local function with_new_lines(words)
  return (words:gsub("\\n", "\n"))
end

local parser = argparse("generate.lua", "Let a trained model write.")
parser:option("--model", "Run folder or model file."):count(1)
parser:option("--prime", "Text to begin with; \\n is a new line."):convert(with_new_lines):default ""
parser:option("--stop", "Text to end before."):convert(with_new_lines)
numbers.whole(parser, "--length", "Symbols to write.", 0):default "400"
numbers.real(parser, "--temperature", "Below 1 bolder, above 1 wilder, 0: always the likeliest."):default "0.8"
numbers.whole(parser, "--top-k", "Choose among the N likeliest.")
numbers.share(parser, "--top-p", "Choose among the likeliest that reach X together.")
numbers.whole(parser, "--seed", "Same seed, same text.", 0):default "1"
local args = parser:parse()

local lm = need(saros.load(args.model))
need(lm.generate, ("expected a language model in %s, got a %s"):format(args.model, lm.kind))
need(lm.vocabulary:check(args.prime))
io.write(args.prime)
for piece in lm:generate {
  prime = args.prime,
  length = args.length,
  stop = args.stop,
  temperature = args.temperature,
  top_k = args.top_k,
  top_p = args.top_p,
  seed = args.seed,
} do
  io.write(piece)
  io.flush()
end
print()
