-- Where recurrence ends, and what goes on from there. Each net learns a task
-- over short sequences first, then over longer and longer ones, as far as it
-- gets: at a length that it does not learn it stays, and is only tested beyond.
-- An answer is right or wrong; for a sum, right is within 0.08.
--
-- The cells carry something through time in one state: in "adding" two numbers,
-- which the tanh cell cannot over a hundred steps, gated cells can over a thousand
-- and those that are linear in their state over ten thousand; in "copy" ten symbols,
-- which of them the LRU alone can. But "parity", a state that every step may turn
-- over, needs a cell that is not linear, and "recall" of values by their keys is
-- what attention is for, as far as its window reaches. The encoders and decoders
-- repeat n symbols; who must squeeze them all into one state fails where attention
-- does not.
--
--   build/saros examples/limits.lua                        -- about a minute
--   build/saros examples/limits.lua --task recall
--   build/saros examples/limits.lua --full --save limits.svg

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim, tasks = saros.nn, saros.optim, saros.data.tasks

local NETS = { "tanh", "LSTM", "GRU", "minGRU", "LRU", "attention", "encoder-decoder", "with attention" }

local parser = argparse("limits.lua", "Which nets remember for how long?")
parser:option("--task", "What cells learn."):choices { "adding", "copy", "parity", "recall" }:default "adding"
numbers.whole(parser, "--lengths", "Steps of the cells' sequences, or pairs to recall.", 2):args "+"
numbers.whole(parser, "--symbols", "To be repeated by encoders and decoders."):args "+"
numbers.whole(parser, "--updates", "At each length, at most."):default "2000"
parser:option("--only", "These nets, by name."):args "+":choices(NETS)
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
parser:option("--save", "Picture to draw.")
parser:flag("--full", "Up to 10,000 steps and 100 symbols: about an hour.")
local args = parser:parse()

-- By name: the task of a length, the usual and the full lengths, and by how much the
-- units of an LRU may turn at each of T steps. What comes symbol by symbol they tell
-- apart by its angle; what is to be summed up should stay in place.
local TASKS = {
  adding = {
    heading = "adding over steps", usual = { 100, 300, 1000 }, full = { 100, 300, 1000, 3000, 10000 },
    make = function(n) return tasks.adding { length = n } end,
    turn = function(T) return 1 / T end,
  },
  copy = {
    heading = "copy over steps", usual = { 100, 300, 1000 }, full = { 100, 300, 1000, 3000, 10000 },
    make = function(n) return tasks.copy { lag = n } end,
    turn = function() return math.pi end,
  },
  parity = {
    heading = "parity of steps", usual = { 10, 30, 100 }, full = { 10, 30, 100, 300, 1000 },
    make = function(n) return tasks.parity { length = n } end,
    turn = function() return math.pi end,
  },
  recall = {
    heading = "recall of pairs", usual = { 3, 10, 30 }, full = { 3, 10, 30, 50 },
    make = function(n, most) return tasks.recall { pairs = n, keys = 2 * most } end,
    turn = function() return math.pi end,
  },
}
local chosen = TASKS[args.task]
local lengths = args.lengths or (args.full and chosen.full or chosen.usual)
local symbols = args.symbols or args.full and { 10, 20, 50, 100 } or { 10, 20, 50 }

local HIDDEN, UNITS, WINDOW = 64, 128, 32
local BATCH, TESTED, EVERY, SOLVED, RATE = 16, 128, 20, 0.95, 1e-2

-- --- Who competes -------------------------------------------------------------------

local function task_of(length)
  return chosen.make(length, lengths[#lengths])
end

-- A net of layers, made for inputs and a number of steps, with a head on the steps
-- that are to be answered.
local function answering(layers)
  local longest = task_of(lengths[#lengths])
  local head = nn.linear { HIDDEN, longest.outputs }
  local body = nn.chain(layers(longest.inputs, longest.length))
  local function outputs(batch)
    local y <close> = body(batch.inputs)
    return head(y:slice(1, -#batch.targets))
  end
  return {
    net = nn.chain { body, head },
    lengths = lengths,
    task = task_of,
    loss = function(task, batch)
      return task:loss(outputs(batch), batch.targets)
    end,
    score = function(task, batch)
      return task:score(outputs(batch), batch.targets)
    end,
  }
end

local SYMBOLS = 8

-- An encoder that reads some symbols, and a decoder that repeats them.
local function repeating(attention)
  local net = nn.encoder_decoder {
    source = SYMBOLS, target = SYMBOLS, cell = "gru", hidden = HIDDEN, attention = attention,
  }
  return {
    net = net,
    lengths = symbols,
    task = function(length)
      return { length = 2 * length, batch = function(_, generator, B)
        local ids = generator:categorical(saros.ones(length, B, SYMBOLS))
        return { sources = ids, targets = ids }
      end }
    end,
    loss = function(_, batch)
      return net:loss(batch)
    end,
    score = function(_, batch) -- of each symbol, those before it being right
      local logits = net(batch)
      local right = logits:slice(1, 1, #batch.targets):argmax(-1):eq(batch.targets)
      return right:sum():item() / right:count()
    end,
  }
end

-- All begin as if to keep values for as long as the longest sequence is.
local nets = {
  tanh = function()
    return answering(function(I) return { nn.rnn { I, HIDDEN } } end)
  end,
  LSTM = function()
    return answering(function(I, T) return { nn.lstm { I, HIDDEN, remember = T } } end)
  end,
  GRU = function()
    return answering(function(I, T) return { nn.gru { I, HIDDEN, remember = T } } end)
  end,
  minGRU = function()
    return answering(function(I, T)
      return { nn.mingru { I, HIDDEN, layers = 2, remember = T } }
    end)
  end,
  LRU = function()
    return answering(function(I, T)
      local lru = nn.lru {
        HIDDEN, HIDDEN, units = UNITS, r_min = 1 - 0.5 / T, r_max = 1 - 0.05 / T, max_phase = chosen.turn(T),
      }
      return { nn.linear { I, HIDDEN }, saros.relu, lru }
    end)
  end,
  attention = function()
    return answering(function(I)
      local look = nn.windowed_attention { HIDDEN, WINDOW, heads = 4, residual = true }
      return { nn.linear { I, HIDDEN }, look, nn.linear { HIDDEN, HIDDEN }, saros.relu }
    end)
  end,
  ["encoder-decoder"] = function()
    return repeating(false)
  end,
  ["with attention"] = function()
    return repeating "dot"
  end,
}

-- --- Learning -----------------------------------------------------------------------

-- Adam; for what an LRU's units turn and decay by in a step, with a rate that is
-- as much smaller as they do so often.
local function optimizers(net, T)
  local parameters, usual, repeated = net:parameters(), {}, {}
  for n, parameter in ipairs(parameters) do
    local name = parameters.names[n]
    local is_repeated = name:find "nu_log" or name:find "theta_log"
    table.insert(is_repeated and repeated or usual, parameter)
  end
  return {
    optim.adam(usual, { lr = RATE }),
    #repeated > 0 and optim.adam(repeated, { lr = RATE / T }) or nil,
  }
end

-- Learns at one length until a test says that it is solved. The score, and the
-- updates that it took.
local function learn(entrant, task, test)
  local score, updates = entrant.score(task, test), 0
  local both, generator = optimizers(entrant.net, task.length), saros.generator(args.seed)
  while score < SOLVED and updates < args.updates do
    do
      local batch = task:batch(generator, BATCH)
      local tape <close> = saros.tape()
      tape:backward(entrant.loss(task, batch))
    end
    optim.clip_norm(entrant.net:parameters(), 1)
    for _, adam in ipairs(both) do
      adam:step()
    end
    updates = updates + 1
    if updates % EVERY == 0 then
      score = entrant.score(task, test)
    end
  end
  return score, updates
end

-- Seconds and bytes for each symbol of an update over sequences of this length:
-- the fastest of three.
local function cost(entrant, task)
  local function loss_of(_, B)
    return entrant.loss(task, task:batch(saros.generator(1), B))
  end
  local seconds = math.huge
  for _ = 1, 3 do
    local start, tape <close> = saros.clock(), saros.tape()
    tape:backward(loss_of(nil, BATCH))
    seconds = math.min(seconds, saros.clock() - start)
  end
  entrant.net:clear_gradients()
  local memory = entrant.net:memory { length = task.length, batch = BATCH, loss = loss_of }
  local count = BATCH * task.length
  return seconds / count, (memory.activations + memory.backward) / count
end

-- Scores by length, updates in all, and what it costs.
local function compete(make)
  local entrant = make()
  entrant.net:init { seed = args.seed }
  local result = { lengths = entrant.lengths, scores = {}, updates = 0 }
  local solved = true
  for n, length in ipairs(entrant.lengths) do
    local task = entrant.task(length)
    local test, steps = task:batch(saros.generator(args.seed + 1), TESTED), 0
    if solved then
      result.scores[n], steps = learn(entrant, task, test)
    else
      result.scores[n] = entrant.score(task, test)
    end
    solved = result.scores[n] >= SOLVED
    result.updates = result.updates + steps
  end
  result.seconds, result.bytes = cost(entrant, entrant.task(entrant.lengths[#entrant.lengths]))
  return result
end

-- --- Showing ------------------------------------------------------------------------

local function print_head(name, list)
  local columns = {}
  for n, length in ipairs(list) do
    columns[n] = ("%7d"):format(length)
  end
  print(("\n%-18s%s   updates  us/symbol  bytes/symbol"):format(name, table.concat(columns)))
end

local function print_result(name, result)
  local columns = {}
  for n, score in ipairs(result.scores) do
    columns[n] = ("%5.0f %%"):format(100 * score)
  end
  print(("%-18s%s   %7d  %9.2f  %12.0f"):format(
    name, table.concat(columns), result.updates, 1e6 * result.seconds, result.bytes))
end

local series, shown = {}, nil
for n, name in ipairs(args.only or NETS) do
  local result = compete(nets[name])
  if result.lengths ~= shown then
    shown = result.lengths
    print_head(shown == symbols and "repeating symbols" or chosen.heading, shown)
  end
  print_result(name, result)
  series[n] = { name = name, x = result.lengths, y = result.scores }
end
if args.save then
  local plot = saros.plot.lines { series = series, log_x = true, x = "length", y = "right answers", title = "Limits" }
  assert(plot:save(args.save))
end
