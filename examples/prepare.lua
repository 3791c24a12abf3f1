-- A text of any size to a token file: the ids of its symbols, and the vocabulary.
-- It takes little memory, and so does learning from it.
--
--   build/saros examples/prepare.lua --text input.txt --out input.tokens --unit bpe
--   build/saros examples/char_rnn.lua --text input.tokens

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0), message
end

local parser = argparse("prepare.lua", "Turn a text into a token file.")
parser:option("--text", "Text to read."):count(1)
parser:option("--out", "Token file to write."):count(1)
parser:option("--unit", "What a symbol is."):choices { "char", "byte", "word", "bpe" }:default "char"
numbers.whole(parser, "--size", "Symbols of words or BPE.")
numbers.whole(parser, "--min-count", "How often a word has to occur.")
numbers.fraction(parser, "--valid", "Fraction held out from the end."):default "0.1"
local args = parser:parse()

local began = saros.clock()
local count, vocabulary = need(saros.data.prepare(args.text, args.out, {
  unit = args.unit,
  size = args.size,
  min_count = args.min_count,
  valid = args.valid,
}))
print(saros.data.text(args.out))
print(("%d symbols, %d different, in %.1f s"):format(count, #vocabulary, saros.clock() - began))
