-- Inside a trained model: which neuron follows which property of a text?
--
--   build/saros examples/neurons.lua --model runs/demo --text build/demo.txt
--   build/saros examples/neurons.lua --model runs/demo --text build/demo.txt --save pictures

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("neurons.lua", "Look inside a model of characters while it reads.")
parser:option("--model", "Run folder or model file."):count(1)
parser:option("--text", "File to read from."):count(1)
numbers.whole(parser, "--symbols", "How many bytes of it, from its middle.", 8):default "2000"
parser:option("--save", "Folder for the pictures.")
local args = parser:parse()

local lm = need(saros.load(args.model))
need(lm.generate, ("expected a language model in %s, got a %s"):format(args.model, lm.kind))
local file <close> = need(io.open(args.text, "rb"))
local all = file:read "a"
local first = math.max(1, (#all - args.symbols) // 2)
first = utf8.offset(all, 0, math.min(first, #all + 1)) -- not within a character
local text = all:sub(first, (utf8.offset(all, 0, math.min(first + args.symbols, #all + 1)) or 0) - 1)
need(lm.vocabulary:check(text))

local seen = saros.inspect.neurons(lm, text)
local guesses = saros.inspect.guesses(lm, text:match "^[^\n]+\n[^\n]+" or text)
local reach = saros.inspect.reach(lm, text, { length = math.min(100, #text // 8), recall = true })
print(seen)
if saros.is_terminal(io.stdout) then
  print "\nThe text, coloured by the first of them, and what was expected under each symbol:\n"
  print(seen:ansi())
  print(guesses:ansi())
else -- colours would be signs among the letters
  print "\nWhat was expected under each symbol (in colours on a terminal, or with --save):\n"
  print((guesses:ansi():gsub("\27%[[%d;]*m", "")))
end
print(reach)

local cell = lm.configuration.cell
local has_gates, gates = cell ~= "rnn" and cell ~= "lru", nil
if has_gates then
  gates = saros.inspect.gates(lm, text)
  print("\n" .. tostring(gates))
end

if args.save then
  need(saros.make_folder(args.save))
  need(seen:save(args.save .. "/neurons.html"))
  need(guesses:save(args.save .. "/guesses.html"))
  need(reach:save(args.save .. "/reach.svg"))
  need(not has_gates or gates:save(args.save .. "/gates.svg"))
end
