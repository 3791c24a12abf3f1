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
parser:option("--save", "File for the parameters.")
local args = parser:parse()
saros.threads(args.threads or saros.threads())

local BATCH, LENGTH = 32, 64

-- --- The model ----------------------------------------------------------------------

local Block = nn.module "block"
Block.stateful = true

-- The state is that of the cell, and the last step that was read.
function Block:forward(x, state)
  local B, F = x:size(2), x:size(3)
  local normal, last = self.norm(x), nn.state.new {}
  local before = state and state[2] or saros.zeros(B, F)
  local read = normal .. saros.concatenate({ before:reshape(1, B, F), normal:slice(1, 1, #normal - 1) }, 1)
  local h
  h, last[1] = self.cell(read, state and state[1])
  last[2] = normal:select(1, -1)
  local gate = self.gate(read)
  return x + self.dropout(self.out(h * gate * gate:sigmoid())), last
end

-- The same features are dropped at all steps of a window.
local function dropout()
  return nn.dropout { args.dropout, variational = true }
end

local function block()
  local self = Block.new()
  self.norm = self:add_member("norm", nn.layer_norm { args.size })
  self.cell = self:add_member("cell", nn.mingru { 2 * args.size, args.hidden })
  self.gate = self:add_member("gate", nn.linear { 2 * args.size, args.hidden })
  self.out = self:add_member("out", nn.linear { args.hidden, args.size })
  self.dropout = self:add_member("dropout", dropout())
  return self
end

local function model(V)
  local layers = { nn.embedding { V, args.size } }
  for _ = 1, args.blocks do
    layers[#layers + 1] = block()
  end
  layers[#layers + 1] = nn.layer_norm { args.size }
  layers[#layers + 1] = dropout()
  layers[#layers + 1] = nn.linear { args.size, V }
  return nn.chain(layers):init { seed = args.seed }
end

-- --- Training and writing --------------------------------------------------------------

local text = need(data.text(args.text, { valid = 0.1 }))
need(text:enough { batch = BATCH, length = LENGTH })
local net = model(#text.vocabulary)
local updates = args.epochs * ((#text.train - 1) // BATCH // LENGTH)
local schedule = optim.schedule.cosine { steps = updates, warmup = updates // 20 }
print(saros.info())
print(text)
print(("%d parameters"):format(net:count()))
saros.fit(net, text, {
  epochs = args.epochs,
  batch = BATCH,
  length = LENGTH,
  optimizer = optim.adamw(net:parameters(), { lr = 4e-3, schedule = schedule }),
  progress = saros.progress(),
})
if args.save then
  need(net:save(args.save))
end

local choose = saros.sampler { temperature = 0.8, seed = args.seed }
local id, state = text.train[1], nil
for _ = 1, 400 do
  local logits
  logits, state = net(saros.ids { { id } }, state)
  id = choose(logits:flatten())
  io.write(text.vocabulary:decode { id })
end
print()
