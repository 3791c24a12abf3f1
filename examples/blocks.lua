-- A recipe for a megabyte of text whose cells learn all steps of a window at once:
-- blocks around minimal GRUs, each of which adds to what it reads,
--
--     y = x + W_o (g * sigmoid(g) * mingru(r)),  g = W_g r,  r(t) = n(t) .. n(t-1),  n = norm(x)
--
-- A minimal GRU decides what to keep by what it reads alone, so it reads the step
-- before as well, and the gate g, which multiplies, chooses what of the state is of use.
--
--   build/saros examples/blocks.lua TEXT

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path

local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim, data = saros.nn, saros.optim, saros.data

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("blocks.lua", "Learn a text of about a megabyte with minimal GRUs.")
parser:argument("text", "Text to learn from.")
numbers.whole(parser, "--epochs", "Passes through the text."):default "7"
numbers.whole(parser, "--size", "Features between the blocks."):default "192"
numbers.whole(parser, "--hidden", "Units of a block."):default "224"
numbers.whole(parser, "--blocks", "How many."):default "3"
numbers.fraction(parser, "--dropout", "In training."):default "0.1"
numbers.whole(parser, "--seed", "Same seed, same model.", 0):default "1"
numbers.whole(parser, "--threads", "Threads to compute with.")
parser:option("--save", "File for the model; examples/generate.lua reads it.")
local args = parser:parse()
saros.threads(args.threads or saros.threads())

local BATCH, LENGTH = 32, 64

-- --- The model ----------------------------------------------------------------------

-- What was read a step before: a cell that gives its state, and keeps what it reads.
local Shift = nn.cell("shift", {
  states = function(inputs) return { { "before", inputs } } end,
  output = true,
}, function(_, x, before) return before, x end)

local Block = nn.module "block"
Block.stateful = true

-- The state is that of the cell, and the last step that was read.
function Block:forward(x, state)
  local normal = self.norm(x)
  local before, step = self.shift(normal, state and state[2])
  local read = normal .. before
  local h, last = self.cell(read, state and state[1])
  local gate = self.gate(read)
  return x + self.dropout(self.out(h * gate * gate:sigmoid())), nn.state.new { last, step }
end

-- The same features are dropped at all steps of a window.
local function dropout()
  return nn.dropout { args.dropout, variational = true }
end

local function block()
  local self = Block.new()
  self.norm = self:add_member("norm", nn.layer_norm { args.size })
  self.shift = self:add_member("shift", nn.recurrent { args.size, args.size, cell = Shift })
  self.cell = self:add_member("cell", nn.mingru { 2 * args.size, args.hidden })
  self.gate = self:add_member("gate", nn.linear { 2 * args.size, args.hidden })
  self.out = self:add_member("out", nn.linear { args.hidden, args.size })
  self.dropout = self:add_member("dropout", dropout())
  return self
end

local function model(vocabulary)
  local layers = { nn.embedding { #vocabulary, args.size } }
  for _ = 1, args.blocks do
    layers[#layers + 1] = block()
  end
  layers[#layers + 1] = nn.layer_norm { args.size }
  layers[#layers + 1] = dropout()
  layers[#layers + 1] = nn.linear { args.size, #vocabulary }
  return nn.language_model { vocabulary = vocabulary, net = nn.chain(layers), seed = args.seed }
end

-- --- Training and writing --------------------------------------------------------------

local text = need(data.text(args.text, { valid = 0.1 }))
need(text:enough { batch = BATCH, length = LENGTH })
local lm = model(text.vocabulary)
local updates = args.epochs * ((#text.train - 1) // BATCH // LENGTH)
local schedule = optim.schedule.cosine { steps = updates, warmup = updates // 20 }
print(saros.info())
print(text)
print(("%d parameters"):format(lm:count()))
saros.fit(lm, text, {
  epochs = args.epochs,
  batch = BATCH,
  length = LENGTH,
  optimizer = optim.adamw(lm:parameters(), { lr = 4e-3, schedule = schedule }),
  progress = saros.progress(),
})
if args.save then
  need(lm:save(args.save))
end

for piece in lm:generate { temperature = 0.8, length = 400, seed = args.seed } do
  io.write(piece)
end
print()
