-- Cells of one's own. The textbook's cell written as the textbook writes it,
-- beside the fused layer: same values, same gradients. Then a deep cell, with
-- two layers inside the step: gradient-checked, and trained for a moment.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim = saros.nn, saros.optim

local parser = argparse("own_cell.lua", "Write a recurrent cell by hand.")
numbers.whole(parser, "--steps", "Updates of the deep cell."):default "200"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
local args = parser:parse()

local T, B, I, H = 12, 4, 3, 8
local generator = saros.generator(args.seed)
local x = generator:normal { T, B, I }

-- 1. The fused layer, and the same cell by hand: W is both of its matrices one
-- above the other, b the sum of both biases.
local fused = nn.rnn { I, H }
fused:init { seed = args.seed }
local layer = fused.layers[1]
local W = saros.concatenate({ layer.weight_ih, layer.weight_hh }, 2):transpose():clone()
local b = (layer.bias_ih + layer.bias_hh):clone()

local function textbook(x_t, h)
  return saros.tanh((x_t .. h):matmul(W) + b)
end

-- The output, and the gradients of its mean square in the given tensors.
local function run(forward, tensors)
  local tape <close> = saros.tape()
  for _, tensor in ipairs(tensors) do
    tape:watch(tensor)
  end
  local y = forward()
  tape:backward((y * y):mean())
  local gradients = {}
  for position, tensor in ipairs(tensors) do
    gradients[position] = tensor:gradient():clone()
    tensor:clear_gradient()
  end
  return y, table.unpack(gradients)
end

local y1, dx1, dWih, db1 = run(function()
  return (fused(x))
end, { x, layer.weight_ih, layer.bias_ih })
local y2, dx2, dW, db2 = run(function()
  return (nn.unroll(textbook, x, saros.zeros(B, H)))
end, { x, W, b })

local function largest_difference(p, q)
  return saros.abs(p - q):max():item()
end
print "the fused layer and the cell by hand, largest differences:"
print(("  output          %.1e"):format(largest_difference(y1, y2)))
print(("  gradient of x   %.1e"):format(largest_difference(dx1, dx2)))
print(("  gradient of W   %.1e"):format(largest_difference(dWih, dW:transpose():slice(2, 1, I))))
print(("  gradient of b   %.1e"):format(largest_difference(db1, db2)))

-- 2. A deep cell for layers: p.inner and p.outer are linear maps, made as they are
-- asked for. Its parameters have names, start from a seed and go into files, and it
-- runs in the core as the fused layers do.
local Deep = nn.cell("deep", { states = { "h" } }, function(p, x_t, h)
  return saros.tanh(p.outer(saros.tanh(p.inner(x_t .. h))))
end)

local net = nn.chain { nn.recurrent { I, H, cell = Deep }, nn.linear { H, 1 } }
net:init { seed = args.seed }
local inputs = net:tensors()
inputs.x = x
local worst, where = saros.gradient_check(function()
  local y = net(x)
  return (y * y):mean()
end, inputs)
print(("\na deep cell: gradients within %.1e of finite differences\n  worst: %s"):format(worst, where))

-- 3. Its task: the running mean of the first feature, step by step.
local adam = optim.adam(net:parameters(), { lr = 5e-3 })
local steps = saros.arange(T):reshape(T, 1, 1)
local sum, sums = saros.zeros(B, 1), {}
for t = 1, T do
  sum = sum + x[t]:slice(2, 1, 1)
  sums[t] = sum
end
local target = saros.stack(sums) / steps

print "\ntraining it on the running mean of a feature:"
for step = 1, args.steps do
  local tape <close> = saros.tape()
  local loss = nn.mse(net(x), target)
  tape:backward(loss)
  optim.clip_norm(net:parameters(), 1)
  adam:step()
  if step == 1 or step % 50 == 0 then
    print(("  step %3d  loss %.5f"):format(step, loss:item()))
  end
end
