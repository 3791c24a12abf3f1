-- A character model from any text file (many-to-many, aligned): after each
-- character the network predicts the next one.
--
--   build/saros examples/char_rnn.lua --text input.txt --run runs/first
--   build/saros examples/generate.lua --model runs/first --prime "The "
--
-- The run folder has the best model and a report; the same command goes on.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("char_rnn.lua", "Train a recurrent network on a text.")
parser:option("--text", "Text to learn from, or what examples/prepare.lua made of one."):count(1)
parser:option("--unit", "What a symbol is (char)."):choices { "char", "byte", "word", "bpe" }
numbers.whole(parser, "--size", "Symbols of words or BPE.")
parser:option("--cell", "Kind of recurrent cell."):choices(require("saros.nn.recurrent").names):default "rnn"
numbers.whole(parser, "--layers", "Recurrent layers."):default "2"
numbers.whole(parser, "--hidden", "Units in each layer."):default "128"
numbers.whole(parser, "--embedding", "Size of the embedded symbols; else as a layer.")
parser:flag("--residual", "Add what a layer reads to what it hands on."):default(false)
numbers.whole(parser, "--batch", "Rows read side by side."):default "50"
numbers.whole(parser, "--length", "Symbols between updates."):default "50"
numbers.whole(parser, "--epochs", "Passes through the text."):default "10"
numbers.positive(parser, "--lr", "Learning rate of Adam."):default "2e-3"
parser:option("--schedule", "How the rate falls."):choices { "constant", "cosine" }:default "constant"
numbers.positive(parser, "--clip", "Limit of the gradients' norm."):default "5"
numbers.fraction(parser, "--dropout", "Dropout between layers."):default "0"
numbers.whole(parser, "--patience", "Epochs without a lower held-out loss before it stops.")
numbers.whole(parser, "--seed", "Same seed, same model.", 0):default "1"
numbers.whole(parser, "--threads", "Threads to compute with."):default(saros.threads())
parser:option("--run", "Folder to keep the model in.")
parser:flag("--force", "Go on in a run folder although options are other ones."):default(false)
parser:flag("--anew", "Begin anew in a run folder that has a training.")
numbers.whole(parser, "--sample", "Symbols of the final sample.", 0):default "400"
local args = parser:parse()

saros.threads(args.threads)
local text = need(saros.data.text(args.text, { unit = args.unit, size = args.size }))
need(text:enough { batch = args.batch, length = args.length })
local lm = saros.nn.language_model { vocabulary = text.vocabulary, cell = args.cell, hidden = args.hidden,
  layers = args.layers, embedding = args.embedding, residual = args.residual, dropout = args.dropout, seed = args.seed }
print(saros.info())
print(text)
print(lm:summary())
print(("losses are in nats per %s; %s"):format(text.vocabulary:noun(),
  args.run and "kept in " .. args.run or "not kept, --run FOLDER keeps it"))

local updates = args.epochs * ((#text.train - 1) // args.batch // args.length)
saros.fit(lm, text, { epochs = args.epochs, batch = args.batch, length = args.length, lr = args.lr, clip = args.clip,
  schedule = args.schedule == "cosine" and saros.optim.schedule.cosine { steps = updates } or nil,
  patience = args.patience, run = args.run, force = args.force, resume = not args.anew, progress = saros.progress() })

local best = args.run and need(saros.load(args.run)) or lm
local opening = text:opening { seed = args.seed }
print("\n" .. opening .. best:write { prime = opening, length = args.sample, temperature = 0.8, seed = args.seed })
