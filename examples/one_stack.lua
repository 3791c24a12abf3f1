-- One stack for many tasks of long memory. A cell that is linear in its state recalls and
-- copies, but without reflections does not follow a state that every step may turn over; a
-- gated cell follows it, but recalls little. Here the sLSTM below counts, adds and can say
-- how many symbols came so far; the delta layer above can write by that, or by what came
-- before, and find it again; finite heads beside both follow what must be right at every
-- length. Widths, heads, options and training are the same for every task; only the sizes
-- of input and output differ.
--
-- Each net learns at growing lengths, then with a rate that falls to 0, and is tested
-- at lengths up to 10,000 as far as its state has to last. At one long length alone a net
-- learns to undo what its gates let through over so many steps, and is wrong at all others;
-- so the updates of the falling rate draw from all lengths.
--
--   build/saros examples/one_stack.lua --task words copy
--   build/saros examples/one_stack.lua --seeds 2          -- all tasks: about half an hour

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim, tasks = saros.nn, saros.optim, saros.data.tasks

-- Over 10,000 steps, what is kept for 1,000,000 loses a hundredth.
local HIDDEN, REMEMBER, PIECE = 128, 1000000, 500
local HEADS, STATES = 8, 4 -- of the finite layer
local RATE, SMALL, EVERY, MOST = 5e-3, 0.1, 25, 2000
local STEPS, ROWS = 8192, { 4, 32 } -- of an update, at least and at most as many rows

-- --- Tasks --------------------------------------------------------------------------

-- Its name; the task of a length (or of so many pairs), the lengths at which it is
-- learned, how right it has to be before the next, updates with a falling rate and the
-- `longer` lengths at which they are made, too, label smoothing, and the lengths at which
-- it is tested in the end.
local TASKS = {
  { name = "parity", lengths = { 10, 20, 40, 64 }, solved = 0.99, polish = 1000, smooth = 0.1, tests = { 1000, 10000 },
    make = function(n) return tasks.parity { length = n, tokens = true } end },
  { name = "words", lengths = { 5, 15, 40, 64 }, solved = 0.99, polish = 1000, smooth = 0.1, tests = { 1000, 10000 },
    make = function(n) return tasks.group_words { group = "S3", length = n } end },
  { name = "copy", lengths = { 10, 30, 100, 300, 1000 }, longer = { 3000 }, solved = 0.99, polish = 200,
    tests = { 1000, 10000 },
    make = function(n) return tasks.copy { lag = n } end },
  { name = "adding", lengths = { 50, 100, 300, 1000 }, longer = { 3000, 10000 }, solved = 0.98, polish = 500,
    tests = { 100, 1000, 10000 },
    make = function(n) return tasks.adding { length = n } end },
  { name = "selective", lengths = { 32, 64, 128, 256, 1024 }, longer = { 4096 }, solved = 0.99, polish = 300,
    tests = { 256, 4096 },
    make = function(n) return tasks.selective_copy { length = n } end },
  { name = "recall", lengths = { 4, 16, 64, 128, 256 }, solved = 0.95, polish = 300, tests = { 64, 128, 256 },
    make = function(n) return tasks.multi_query_recall { length = math.max(64, 4 * n), pairs = n } end },
}

local names = {}
for n, row in ipairs(TASKS) do
  names[n] = row.name
end

local parser = argparse("one_stack.lua", "One stack that counts, adds, copies and recalls.")
parser:option("--task", "What it learns, one net each."):args "+":choices(names):default(names)
numbers.whole(parser, "--seeds", "Nets of each task, with seeds that follow each other."):default "1"
numbers.whole(parser, "--first", "The first of these seeds."):default "1"
numbers.whole(parser, "--lengths", "In place of the lengths at which it learns."):args "+"
numbers.whole(parser, "--tests", "In place of the lengths of the tests."):args "+"
numbers.whole(parser, "--updates", "At each length, at most."):default(tostring(MOST))
numbers.whole(parser, "--polish", "Updates with a falling rate, in place of the task's own.", 0)
parser:flag("--log", "Say how far it is at each length.")
local args = parser:parse()

local chosen = {}
for _, name in ipairs(args.task) do
  chosen[name] = true
end

-- --- The net ------------------------------------------------------------------------

-- x small, so that what the layers add to it counts from the first update on.
local function small(x)
  return x * SMALL
end

-- The net of a task, and a function that gives its outputs at the steps with an answer, and
-- its state. Where answers are tokens of the input, the head reads with their embedding.
local function make_net(task, seed)
  local V, head = task.tokens, nn.linear { HIDDEN, task.outputs }
  local input = V and nn.embedding { V, HIDDEN } or nn.linear { task.inputs, HIDDEN }
  local finite = nn.finite { input = HIDDEN, heads = HEADS, states = STATES, pointers = "all" }
  local body = nn.chain {
    input,
    small,
    nn.branch {
      nn.chain {
        nn.residual { nn.rms_norm { HIDDEN }, nn.slstm { HIDDEN, HIDDEN, heads = 4, remember = REMEMBER } },
        nn.delta { HIDDEN, HIDDEN, heads = 2, key_size = 128, value_size = 64, gate = "none", residual = true },
      },
      nn.chain { nn.rms_norm { HIDDEN }, finite, nn.linear { finite.output, HIDDEN }, small },
      combine = "add",
    },
    nn.rms_norm { HIDDEN },
  }
  local net = nn.chain({ body, head }):init { seed = seed }
  if V == task.outputs then
    head:tie("weight", input.weight)
  end
  return net, function(of, batch, state)
    local y <close>, last = body(batch.inputs, state)
    return head(of:answered(y, batch)), last
  end
end

-- --- Learning -----------------------------------------------------------------------

-- Rows of T steps each, so that an update reads about as many at every length.
local function rows_of(T)
  return math.max(ROWS[1], math.min(ROWS[2], STEPS // T))
end

local function update(entrant, task, adam)
  do
    local batch = task:batch(entrant.generator, rows_of(task.length))
    local tape <close> = saros.tape()
    tape:backward(task:loss(entrant.outputs(task, batch), batch, { label_smoothing = entrant.smooth }))
  end
  optim.clip_norm(entrant.net:parameters(), 1)
  adam:step()
end

-- The share of right answers in rows that are drawn with a seed, in pieces through which the
-- state is carried.
local function score(entrant, task, seed, rows)
  local right, count, generator = 0, 0, saros.generator(seed)
  local state
  for piece in task:pieces(task:batch(generator, rows), PIECE) do
    local y
    y, state = entrant.outputs(task, piece, state)
    local share, answers = task:score(y, piece)
    right, count = right + share * answers, count + answers
  end
  return right / count
end

-- At one length, until a test says that it is solved. How right the net is, after how many updates.
local function learn(entrant, task)
  local adam, share, updates = optim.adam(entrant.net:parameters(), { lr = RATE, beta2 = 0.98 }), 0, 0
  local rows = task.answers == 1 and 128 or 32
  while share < entrant.solved and updates < args.updates do
    update(entrant, task, adam)
    updates = updates + 1
    share = updates % EVERY == 0 and score(entrant, task, 99, math.min(rows, 4 * rows_of(task.length))) or share
  end
  return share, updates
end

-- More updates with a falling rate, at any of the lengths, so that what is learned at one of
-- them holds at the others.
local function polish(entrant, each, updates)
  local schedule = optim.schedule.cosine { steps = updates + 1, warmup = math.max(1, updates // 10) }
  local adam = optim.adam(entrant.net:parameters(), { lr = RATE, beta2 = 0.98, schedule = schedule })
  for _ = 1, updates do
    update(entrant, each[entrant.generator:integer(#each)], adam)
  end
end

local function show(row, n, share, updates, start)
  if args.log then
    print(("  %s %d: %.2f %% after %d updates, %.0f s"):format(row.name, n, 100 * share, updates, os.clock() - start))
  end
end

-- The processor's minutes that learning took, and the scores of the tests.
local function compete(row, seed)
  local lengths, start = args.lengths or row.lengths, os.clock()
  local entrant = { generator = saros.generator(seed), smooth = row.smooth, solved = row.solved }
  entrant.net, entrant.outputs = make_net(row.make(lengths[1]), seed)
  local each = {}
  for position, n in ipairs(lengths) do
    each[position] = row.make(n)
    local share, updates = learn(entrant, each[position])
    show(row, n, share, updates, start)
  end
  for _, n in ipairs(args.lengths and {} or row.longer or {}) do
    each[#each + 1] = row.make(n)
  end
  polish(entrant, each, args.polish or row.polish)
  local minutes, scores = (os.clock() - start) / 60, {}
  for n, length in ipairs(args.tests or row.tests) do
    scores[n] = ("%6.2f %% at %d"):format(100 * score(entrant, row.make(length), 7, 32), length)
  end
  return minutes, scores, entrant.net:count()
end

io.stdout:setvbuf "line"
print "task       seed  parameters  minutes  right"
for _, row in ipairs(TASKS) do
  for seed = args.first, chosen[row.name] and args.first + args.seeds - 1 or 0 do
    local minutes, scores, parameters = compete(row, seed)
    print(("%-9s  %4d  %10d  %7.2f  %s"):format(row.name, seed, parameters, minutes, table.concat(scores, ", ")))
  end
end
