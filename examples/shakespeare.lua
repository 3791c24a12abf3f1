-- A recipe for a text of about a megabyte, such as the Shakespeare of char-rnn.
-- The rate warms up, then falls along a cosine to zero; dropout keeps the net
-- from learning the text by heart; what is kept is best on the held-out tenth.
--
--   build/saros examples/shakespeare.lua TEXT

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim, data = saros.nn, saros.optim, saros.data

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("shakespeare.lua", "Learn a text of about a megabyte well.")
parser:argument("text", "Text to learn from.")
numbers.whole(parser, "--epochs", "Passes through the text."):default "20"
numbers.whole(parser, "--seed", "Same seed, same model.", 0):default "1"
numbers.whole(parser, "--threads", "Threads to compute with.")
parser:option("--run", "Folder to keep the model in."):default "runs/shakespeare"
local args = parser:parse()
saros.threads(args.threads or saros.threads())

local BATCH, LENGTH = 32, 64
local text = need(data.text(args.text, { valid = 0.1 }))
need(text:enough { batch = BATCH, length = LENGTH })
local lm = nn.language_model {
  vocabulary = text.vocabulary,
  cell = "lstm",
  embedding = 64,
  hidden = 256,
  layers = 2,
  residual = true,
  dropout = 0.5,
  seed = args.seed,
}
local updates = args.epochs * ((#text.train - 1) // BATCH // LENGTH)
local schedule = optim.schedule.cosine { steps = updates, warmup = updates // 50 }
print(saros.info())
print(text)
print(lm:summary())
saros.fit(lm, text, {
  epochs = args.epochs,
  batch = BATCH,
  length = LENGTH,
  optimizer = optim.adamw(lm:parameters(), { lr = 4e-3, schedule = schedule }),
  run = args.run,
  progress = saros.progress(),
})
print("\n" .. need(saros.load(args.run)):write { length = 400, temperature = 0.8, seed = args.seed })
