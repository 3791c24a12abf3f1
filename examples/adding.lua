-- The limits of plain recurrence (many-to-one): the adding problem of
-- Hochreiter and Schmidhuber (1997). Each step brings a random number in 0..1
-- and a marker; two steps are marked, one in each half, and the answer after
-- the last step is the sum of their two numbers. Who always answers 1 has a
-- mean square error of 1/6. Over 200 steps the tanh cell learns no more than
-- that, as its gradients vanish on the way; the LSTM and the GRU solve it.
-- Their gates start out as if to keep a value for 1 to 200 steps: without that
-- the LSTM may stay where the tanh cell is for thousands of updates.
--
--   build/saros examples/adding.lua                  -- all three cells
--   build/saros examples/adding.lua --length 50 --cell gru

local argparse = require "argparse"
local saros = require "saros"
local nn, optim = saros.nn, saros.optim

local parser = argparse("adding.lua", "Add two numbers that lie far apart.")
parser:option("--cell", "Only this cell.")
parser:option("--length", "Steps of a sequence."):convert(math.tointeger):default "200"
parser:option("--steps", "Updates of each net, at most."):convert(math.tointeger):default "2000"
parser:option("--seed", "Same seed, same result."):convert(math.tointeger):default "1"
local args = parser:parse()

local HIDDEN, BATCH, SOLVED = 64, 50, 0.01

-- B sequences: inputs (T, B, 2), sums (B, 1).
local function problems(generator, T, B)
  local half = T // 2
  local first, second = {}, {}
  for row = 1, B do
    first[row], second[row] = generator:integer(half), generator:integer(T - half)
  end
  local marked = saros.one_hot(saros.ids(first), half) .. saros.one_hot(saros.ids(second), T - half)
  local markers = marked:transpose():contiguous()
  local numbers = generator:uniform { T, B }
  return saros.stack({ numbers, markers }, 3), (numbers * markers):sum(1):reshape(B, 1)
end

local test_inputs, test_sums = problems(saros.generator(args.seed + 1), args.length, 1000)

-- Sets what the gates start from: a unit that lets go of 1 / n of its state at
-- each step remembers for about n (Tallec and Ollivier 2018).
local function remember(kind, cell)
  local H, bias = HIDDEN, cell.layers[1].bias_ih
  local spans = saros.log(saros.generator(args.seed):uniform({ H }, 1, args.length - 1))
  bias:slice(1, H + 1, 2 * H):assign(spans) -- the LSTM's forget gate, the GRU's update gate
  if kind == "lstm" then
    bias:slice(1, 1, H):assign(-spans) -- its input gate
  end
end

local function answers(cell, head, inputs)
  local y = cell(inputs)
  return head(y[-1])
end

-- Trains until a test shows that it is solved; the test error and the updates.
local function train(kind)
  local cell = nn[kind] { 2, HIDDEN }
  local head = nn.linear { HIDDEN, 1 }
  local net = nn.chain { cell, head }
  net:init { seed = args.seed }
  if kind ~= "rnn" then
    remember(kind, cell)
  end
  local adam = optim.adam(net:parameters(), { lr = 5e-3 })
  local generator, mse = saros.generator(args.seed), nil
  for step = 1, args.steps do
    local inputs, sums = problems(generator, args.length, BATCH)
    do
      local tape <close> = saros.tape()
      tape:backward(nn.mse(answers(cell, head, inputs), sums))
    end
    optim.clip_norm(net:parameters(), 1)
    adam:step()
    if step % 100 == 0 or step == args.steps then
      mse = nn.mse(answers(cell, head, test_inputs), test_sums):item()
      if mse < SOLVED then
        return mse, step
      end
    end
  end
  return mse, args.steps
end

print(("sequences of %d steps; always answering 1 has an error of %.4f"):format(
  args.length, ((test_sums - 1) ^ 2):mean():item()))
print "cell   error    updates  seconds"
for _, kind in ipairs(args.cell and { args.cell } or { "rnn", "lstm", "gru" }) do
  local start = saros.clock()
  local mse, steps = train(kind)
  print(("%-5s  %.4f   %7d  %7.0f   %s"):format(kind, mse, steps, saros.clock() - start,
    mse < SOLVED and "solved" or "not solved"))
end
