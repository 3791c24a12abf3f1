-- One to one, no recurrence: two bits in, their exclusive or out. No single
-- layer can do it; one hidden layer can.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim = saros.nn, saros.optim

local parser = argparse("xor.lua", "Learn the exclusive or.")
numbers.whole(parser, "--steps", "Updates."):default "500"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
local args = parser:parse()

local inputs = saros.tensor { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } }
local targets = saros.tensor { { 0 }, { 1 }, { 1 }, { 0 } }

local net = nn.chain { nn.linear { 2, 4 }, saros.tanh, nn.linear { 4, 1 }, saros.sigmoid }
net:init { seed = args.seed }
local adam = optim.adam(net:parameters(), { lr = 0.05 })

for step = 1, args.steps do
  local tape <close> = saros.tape()
  local loss = nn.mse(net(inputs), targets)
  tape:backward(loss)
  adam:step()
  if step % 100 == 0 then
    print(("step %d  loss %.6f"):format(step, loss:item()))
  end
end

local outputs = net(inputs)
for row = 1, #inputs do
  print(("%d xor %d = %.3f"):format(inputs[row][1], inputs[row][2], outputs[row][1]))
end
