-- A character model from any text file (many-to-many, aligned): after each
-- character the network predicts the next one.
--
--   build/saros examples/char_rnn.lua --text input.txt --run runs/first
--   build/saros examples/generate.lua --model runs/first --prime "The "
--
-- The run folder has the best model and a report; the same command goes on.

local argparse = require "argparse"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("char_rnn.lua", "Train a recurrent network on a text.")
parser:option("--text", "Text to learn from, or what examples/prepare.lua made of one."):count(1)
parser:option("--unit", "What a symbol is (char)."):choices { "char", "byte", "word", "bpe" }
parser:option("--size", "Symbols of words or BPE."):convert(math.tointeger)
parser:option("--cell", "Kind of recurrent cell."):choices(require("saros.nn.recurrent").names):default "rnn"
parser:option("--layers", "Recurrent layers."):convert(math.tointeger):default "2"
parser:option("--hidden", "Units in each layer."):convert(math.tointeger):default "128"
parser:option("--embedding", "Size of the embedded symbols; else as a layer."):convert(math.tointeger)
parser:flag("--residual", "Add what a layer reads to what it hands on."):default(false)
parser:option("--batch", "Rows read side by side."):convert(math.tointeger):default "50"
parser:option("--length", "Symbols between updates."):convert(math.tointeger):default "50"
parser:option("--epochs", "Passes through the text."):convert(math.tointeger):default "10"
parser:option("--lr", "Learning rate of Adam."):convert(tonumber):default "2e-3"
parser:option("--schedule", "How the rate falls."):choices { "constant", "cosine" }:default "constant"
parser:option("--clip", "Limit of the gradients' norm."):convert(tonumber):default "5"
parser:option("--dropout", "Dropout between layers."):convert(tonumber):default "0"
parser:option("--patience", "Epochs without a lower held-out loss before it stops."):convert(math.tointeger)
parser:option("--seed", "Same seed, same model."):convert(math.tointeger):default "1"
parser:option("--threads", "Threads to compute with."):convert(math.tointeger):default(saros.threads())
parser:option("--run", "Folder to keep the model in.")
parser:flag("--force", "Go on in a run folder although options are other ones."):default(false)
parser:flag("--anew", "Begin anew in a run folder that has a training.")
parser:option("--sample", "Symbols of the final sample."):convert(math.tointeger):default "400"
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
print("\n" .. best:write { length = args.sample, temperature = 0.8, seed = args.seed })
