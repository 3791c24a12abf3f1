-- A character model from any text file (many-to-many, aligned): after each
-- character the network predicts the next one.
--
--   build/saros examples/char_rnn.lua --text input.txt --run runs/first
--   build/saros examples/generate.lua --model runs/first --prime "The "
--
-- The run folder has the best model and a report; the same command goes on.
--
-- With --blocks the layers above the first are residual blocks that begin with a norm.
-- sLSTM layers learn the better so:
--
--   build/saros examples/char_rnn.lua --text input.txt --cell slstm --heads 1 --blocks

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn = saros.nn

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
numbers.whole(parser, "--heads", "Heads of a cell that has them.")
parser:mutex(
  parser:flag("--residual", "Add what a layer reads to what it hands on."):default(false),
  parser:flag("--blocks", "Layers above the first as x + layer(norm(x)), and a norm at the end."))
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

-- A language model's own sizes, in blocks.
local function net_of_blocks(V)
  local H, E = args.hidden, args.embedding or args.hidden
  local function with_dropout(members)
    members[#members + 1] = args.dropout > 0 and nn.dropout { args.dropout } or nil
    return members
  end
  local members = { nn.embedding { V, E }, nn[args.cell] { E, H, heads = args.heads } }
  for _ = 2, args.layers do
    members[#members + 1] = nn.residual(with_dropout {
      nn.layer_norm { H }, nn[args.cell] { H, H, heads = args.heads },
    })
  end
  members[#members + 1] = nn.layer_norm { H }
  members = with_dropout(members)
  members[#members + 1] = nn.linear { H, V }
  return nn.chain(members)
end

local lm
if args.blocks then
  lm = nn.language_model { vocabulary = text.vocabulary, net = net_of_blocks(#text.vocabulary), seed = args.seed }
else
  lm = nn.language_model { vocabulary = text.vocabulary, cell = args.cell, hidden = args.hidden, heads = args.heads,
    layers = args.layers, embedding = args.embedding, residual = args.residual, dropout = args.dropout,
    seed = args.seed }
end
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
