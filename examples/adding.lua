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

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim = saros.nn, saros.optim

local parser = argparse("adding.lua", "Add two numbers that lie far apart.")
parser:option("--cell", "Only this cell."):choices(require("saros.nn.recurrent").names)
numbers.whole(parser, "--length", "Steps of a sequence.", 3):default "200"
numbers.whole(parser, "--steps", "Updates of each net, at most."):default "2000"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
local args = parser:parse()

local HIDDEN, BATCH, SOLVED = 64, 50, 0.01

local task = saros.data.tasks.adding { length = args.length }
local test = task:batch(saros.generator(args.seed + 1), 1000)

-- The loss of a batch: the answer is what the head says after the last step.
local function loss_of(cell, head, batch)
  local y = cell(batch.inputs)
  return task:loss(head(y:slice(1, -1)), batch.targets)
end

-- Trains until a test shows that it is solved; the test error and the updates.
local function train(kind)
  local remember = kind ~= "rnn" and kind ~= "lru" and args.length or nil
  local cell = nn[kind] { task.inputs, HIDDEN, remember = remember }
  local head = nn.linear { HIDDEN, task.outputs }
  local net = nn.chain { cell, head }
  net:init { seed = args.seed }
  local adam = optim.adam(net:parameters(), { lr = 5e-3 })
  for batch in task:batches { batch = BATCH, seed = args.seed } do
    do
      local tape <close> = saros.tape()
      tape:backward(loss_of(cell, head, batch))
    end
    optim.clip_norm(net:parameters(), 1)
    adam:step()
    if adam.steps % 100 == 0 or adam.steps == args.steps then
      local mse = loss_of(cell, head, test):item()
      if mse < SOLVED or adam.steps == args.steps then
        return mse, adam.steps
      end
    end
  end
end

print(("sequences of %d steps; always answering 1 has an error of %.4f"):format(
  args.length, task:loss(saros.ones(1, 1000, 1), test.targets):item()))
print "cell     error    updates  seconds"
for _, kind in ipairs(args.cell and { args.cell } or { "rnn", "lstm", "gru" }) do
  local start = saros.clock()
  local mse, steps = train(kind)
  print(("%-7s  %.4f   %7d  %7.0f   %s"):format(kind, mse, steps, saros.clock() - start,
    mse < SOLVED and "solved" or "not solved"))
end
