-- A task that needs memory: add two binary numbers, one pair of bits per step,
-- lowest first. The sum bit depends on the carry, which is not in the input.
-- A feed-forward net can only guess it; a recurrent one learns to carry, from
-- numbers of 8 bits, and then adds numbers of 24.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim = saros.nn, saros.optim

local parser = argparse("binary_addition.lua", "Learn to add, with and without memory.")
numbers.whole(parser, "--steps", "Updates of each net."):default "400"
numbers.whole(parser, "--batch", "Sums in each update."):default "64"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
local args = parser:parse()

local generator = saros.generator(args.seed)

-- Bit t of a number, lowest first, counted from 1.
local function bit(number, t)
  return number >> (t - 1) & 1
end

-- Random sums: inputs (T, B, 2) of bits, targets (T, B) of classes 1 and 2 for
-- the bits 0 and 1.
local function random_sums(bits, batch)
  local inputs, targets = {}, {}
  for t = 1, bits do
    inputs[t], targets[t] = {}, {}
  end
  for row = 1, batch do
    local a, b = generator:integer(1 << bits) - 1, generator:integer(1 << bits) - 1
    for t = 1, bits do
      inputs[t][row] = { bit(a, t), bit(b, t) }
      targets[t][row] = bit(a + b, t) + 1
    end
  end
  return saros.tensor(inputs), saros.ids(targets)
end

local function train(net)
  net:init { seed = args.seed }
  local adam = optim.adam(net:parameters(), { lr = 1e-2 })
  for _ = 1, args.steps do
    local inputs, targets = random_sums(8, args.batch)
    local tape <close> = saros.tape()
    tape:backward(nn.cross_entropy(net(inputs), targets))
    optim.clip_norm(net:parameters(), 1)
    adam:step()
  end
end

-- The percentage of sum bits that are right, on longer numbers.
local function accuracy(net)
  local inputs, targets = random_sums(24, 200)
  local answers = saros.argmax(net(inputs), -1):totable()
  local right, count = 0, 0
  for t, row in ipairs(targets:totable()) do
    for position, class in ipairs(row) do
      right = right + (answers[t][position] == class and 1 or 0)
      count = count + 1
    end
  end
  return 100 * right / count
end

local nets = {
  { "feed-forward", nn.chain { nn.linear { 2, 16 }, saros.tanh, nn.linear { 16, 2 } } },
  { "recurrent", nn.chain { nn.rnn { 2, 16 }, nn.linear { 16, 2 } } },
}
for _, entry in ipairs(nets) do
  local name, net = table.unpack(entry)
  train(net)
  print(("%-12s  %5.1f %% of the bits of 24-bit sums are right"):format(name, accuracy(net)))
end
