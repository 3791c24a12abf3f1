-- Where recurrence ends, and what goes on from there. Each net learns a task
-- over short sequences first, then over longer and longer ones, as far as it
-- gets: at a length that it does not learn it stays, and is only tested beyond.
-- An answer is right or wrong; for a sum, right is within 0.08. Where a state has
-- to be kept up to date, a few more updates with a falling rate follow, and then tests
-- at lengths that no net has seen, up to 10,000 steps.
--
-- The cells carry something through time in one state: in "adding" two numbers,
-- which the tanh cell cannot over a hundred steps, gated cells can over a thousand
-- and those that are linear in their state over ten thousand; in "copy" ten symbols,
-- which of them the LRU alone can. But "parity", a state that every step may turn
-- over, needs a cell that is not linear, and "recall" of values by their keys is
-- what attention is for, as far as its window reaches. "at-end" asks for it once, "noisy"
-- gives bits as numbers with noise. "words" (of the group S3), "S5", "counter",
-- "arithmetic" and "flip-flop" are more of the first kind, "queries" (for
-- many keys in one sequence) and "selective" (copying what stands among noise) of the
-- second. A delta layer, whose state is a matrix, recalls; with reflections of its state
-- it follows words and parity as well. The states of the finite layer are integers, which
-- do not drift. The encoders and decoders of "repeat" write n symbols again; a net that
-- must squeeze them all into one state fails where attention does not.
--
--   build/saros examples/limits.lua                        -- about a minute
--   build/saros examples/limits.lua --task recall
--   build/saros examples/limits.lua --task parity words --only LSTM GRU
--   build/saros examples/limits.lua --full --save limits.svg
--   build/saros examples/limits.lua --task words --only LSTM finite --beyond 100 1000 10000 100000 --save words.svg

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim, tasks = saros.nn, saros.optim, saros.data.tasks

local HIDDEN, UNITS, WINDOW = 64, 128, 32
local BATCH, TESTED, EVERY, SOLVED, RATE = 16, 128, 20, 0.95, 1e-2
local FEW, PIECE = 32, 500 -- rows of a test beyond, and steps of its pieces
local SYMBOLS, NOISE = 8, 0.4

-- --- Tasks --------------------------------------------------------------------------

-- How far the units of an LRU may turn at each of T steps. What comes symbol by symbol
-- they tell apart by its angle; what is to be summed up should stay in place.
local function turn_freely()
  return math.pi
end

local function turn_once(T)
  return 1 / T
end

-- Encoders and decoders repeat n symbols.
local function repeat_symbols(n)
  return { length = 2 * n, batch = function(_, generator, B)
    local ids = generator:categorical(saros.ones(n, B, SYMBOLS))
    return { sources = ids, targets = ids }
  end }
end

-- Parity of bits that come as numbers with noise, which a net has to round for itself.
local function noisy_parity(n)
  local task = tasks.parity { length = n }
  local draw = task.draw
  function task.draw(generator, B)
    local bits, odd = draw(generator, B)
    return bits + generator:uniform(bits:shape(), -NOISE, NOISE), odd
  end
  return task
end

-- A row of a task: its name; what the table calls it and its lengths; the lengths at which
-- nets learn, as usual and in full; those at which they are tested then (of a task that is
-- tested beyond what was learned, a net gets `POLISH` updates more); the task of a length,
-- given the largest one too; how far an LRU's units may turn; what a length counts (steps).
local TASKS = {
  {
    name = "adding", heading = "adding over steps", usual = { 100, 300, 1000 },
    full = { 100, 300, 1000, 3000, 10000 }, turn = turn_once,
    make = function(n) return tasks.adding { length = n } end,
  },
  {
    name = "copy", heading = "copy over steps", usual = { 100, 300, 1000 },
    full = { 100, 300, 1000, 3000, 10000 }, turn = turn_freely,
    make = function(n) return tasks.copy { lag = n } end,
  },
  {
    name = "parity", heading = "parity of steps", usual = { 10, 30, 100 },
    full = { 10, 30, 100, 300, 1000 }, beyond = { 1000, 10000 }, turn = turn_freely,
    make = function(n) return tasks.parity { length = n } end,
  },
  {
    name = "at-end", heading = "parity, at the end", usual = { 5, 15, 40 },
    full = { 5, 15, 40, 100 }, beyond = { 100, 1000, 10000 }, turn = turn_freely,
    make = function(n) return tasks.parity { length = n, every = false } end,
  },
  {
    name = "noisy", heading = "parity with noise", usual = { 5, 15, 40 },
    full = { 5, 15, 40, 100 }, beyond = { 100, 1000, 10000 }, turn = turn_freely,
    make = noisy_parity,
  },
  {
    name = "recall", heading = "recall of pairs", usual = { 3, 10, 30 },
    full = { 3, 10, 30, 50 }, unit = "pairs", turn = turn_freely,
    make = function(n, most) return tasks.recall { pairs = n, keys = 2 * most } end,
  },
  {
    name = "counter", heading = "sum modulo 5", usual = { 5, 15, 40 },
    full = { 5, 15, 40, 100 }, beyond = { 256, 1000, 10000 }, turn = turn_freely,
    make = function(n) return tasks.counter { modulus = 5, length = n } end,
  },
  {
    name = "words", heading = "words of S3", usual = { 5, 15, 40 },
    full = { 5, 15, 40, 100 }, beyond = { 256, 1000, 10000 }, turn = turn_freely,
    make = function(n) return tasks.group_words { group = "S3", length = n } end,
  },
  {
    name = "S5", heading = "words of S5", usual = { 5, 15, 40 },
    full = { 5, 15, 40, 100 }, beyond = { 256, 1000, 10000 }, turn = turn_freely,
    make = function(n) return tasks.group_words { group = "S5", length = n } end,
  },
  {
    name = "arithmetic", heading = "value modulo 5", usual = { 4, 12, 40 },
    full = { 4, 12, 40, 100 }, beyond = { 256, 1000, 10000 }, turn = turn_freely,
    make = function(n) return tasks.arithmetic { length = n, every = true } end,
  },
  {
    name = "flip-flop", heading = "flip-flop steps", usual = { 16, 64 },
    full = { 16, 64, 512 }, beyond = { 512, 1000, 10000 }, turn = turn_freely,
    make = function(n) return tasks.flip_flop { length = n } end,
  },
  {
    name = "queries", heading = "queries in steps", usual = { 16, 32, 64 },
    full = { 16, 32, 64, 128, 256 }, turn = turn_freely,
    make = function(n) return tasks.multi_query_recall { length = n, pairs = n // 16, tokens = 128 } end,
  },
  {
    name = "selective", heading = "selective copy", usual = { 30, 100, 300 },
    full = { 30, 100, 300, 1000, 4096 }, turn = turn_freely,
    make = function(n) return tasks.selective_copy { length = n, count = 10, tokens = 10 } end,
  },
  {
    name = "repeat", heading = "repeating symbols", usual = { 10, 20, 50 }, full = { 10, 20, 50, 100 },
    unit = "symbols",
    make = repeat_symbols,
  },
}

-- --- Nets ---------------------------------------------------------------------------

-- A row of a net: its name, and the layers that turn I features into HIDDEN, for sequences
-- of up to T steps and with units that turn by so much. Tokens are embedded in HIDDEN features
-- before them, except where the layers take the V tokens themselves (`reads_tokens`). `pairs`:
-- it is for the task of pairs alone. `rate`: of learning; `faster`: that of parameters with a name,
-- as a multiple; `smooth`: the label smoothing of the last updates, without which a net that is
-- right has no loss to learn from, even if its state drifts. All begin as if to keep values for as
-- long as the longest sequence is.
local NETS = {
  { name = "tanh", layers = function(I) return { nn.rnn { I, HIDDEN } } end },
  { name = "LSTM", layers = function(I, T) return { nn.lstm { I, HIDDEN, remember = T } } end },
  { name = "GRU", layers = function(I, T) return { nn.gru { I, HIDDEN, remember = T } } end },
  { name = "sLSTM", layers = function(I, T) return { nn.slstm { I, HIDDEN, remember = T } } end },
  { name = "delta", rate = 5e-3, layers = function(I)
    local delta = nn.delta { HIDDEN, HIDDEN, heads = 2, gate = "none", residual = true }
    return { nn.linear { I, HIDDEN }, delta, nn.rms_norm { HIDDEN } }
  end },
  { name = "reflections", rate = 5e-3, faster = { weight_gates = 10 }, smooth = 0.1, layers = function(I)
    local delta = nn.delta { HIDDEN, HIDDEN, heads = 4, reflect = true, reflections = 2, gate = "none",
      convolution = 0, output_gate = false }
    local mlp = nn.residual { nn.linear { HIDDEN, 2 * HIDDEN }, saros.relu, nn.linear { 2 * HIDDEN, HIDDEN } }
    return { nn.linear { I, HIDDEN }, delta, mlp }
  end },
  { name = "minGRU", layers = function(I, T) return { nn.mingru { I, HIDDEN, layers = 2, remember = T } } end },
  { name = "LRU", layers = function(I, T, turn)
    local lru = nn.lru {
      HIDDEN, HIDDEN, units = UNITS, r_min = 1 - 0.5 / T, r_max = 1 - 0.05 / T, max_phase = turn,
    }
    return { nn.linear { I, HIDDEN }, saros.relu, lru }
  end },
  { name = "attention", layers = function(I)
    local look = nn.windowed_attention { HIDDEN, WINDOW, heads = 4, residual = true }
    return { nn.linear { I, HIDDEN }, look, nn.linear { HIDDEN, HIDDEN }, saros.relu }
  end },
  { name = "finite", reads_tokens = true, layers = function(I, _, _, V)
    local states = nn.finite { tokens = V, input = not V and I or nil, heads = 8, states = 8 }
    return { states, nn.linear { states.output, HIDDEN }, saros.relu }
  end },
  { name = "encoder-decoder", pairs = true, attention = false },
  { name = "with attention", pairs = true, attention = "dot" },
}

local function names_of(list)
  local names = {}
  for n, row in ipairs(list) do
    names[n] = row.name
  end
  return names
end

local parser = argparse("limits.lua", "Which nets remember for how long?")
parser:option("--task", "What they learn, one table each."):args "+":choices(names_of(TASKS))
  :default { "adding", "repeat" }
numbers.whole(parser, "--lengths", "Steps of the cells' sequences, or pairs to recall, at which nets learn.", 2)
  :args "+"
numbers.whole(parser, "--beyond", "Steps at which they are only tested, of tasks with a state to be kept (+).", 2)
  :args "+"
numbers.whole(parser, "--symbols", "To be repeated by encoders and decoders."):args "+"
numbers.whole(parser, "--updates", "At each length, at most."):default "2000"
numbers.whole(parser, "--polish", "Updates before the tests beyond, with a rate that falls to 0.", 0):default "300"
parser:option("--only", "These nets, by name."):args "+":choices(names_of(NETS))
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
parser:option("--save", "Picture to draw, as SVG; of lengths beyond, if there are any, alone."):convert(function(path)
  return path:match "%.svg$" and path, ("--save: expected a name that ends in .svg, got '%s'"):format(path)
end)
parser:flag("--go-on", "Learn at a length even if the one before it was not learned.")
parser:flag("--full", "Up to 10,000 steps and 100 symbols: about an hour.")
local args = parser:parse()

-- --- Who competes -------------------------------------------------------------------

-- A net of layers for a task, with a head on the steps that have an answer.
local function answering(row, chosen, lengths)
  local function task_of(length)
    return chosen.make(length, lengths[#lengths])
  end
  local longest = task_of(lengths[#lengths])
  local T, O, layers = longest.length, longest.outputs, {}
  if longest.tokens and not row.reads_tokens then
    layers[1] = nn.embedding { longest.tokens, HIDDEN }
  end
  for _, layer in ipairs(row.layers(longest.inputs or HIDDEN, T, chosen.turn(T), longest.tokens)) do
    layers[#layers + 1] = layer
  end
  local body, head = nn.chain(layers), nn.linear { HIDDEN, O }
  local function outputs(task, batch, state)
    local y <close>, last = body(batch.inputs, state)
    return head(task:answered(y, batch)), last
  end
  return {
    net = nn.chain { body, head },
    lengths = lengths,
    smooth = row.smooth,
    rate = row.rate,
    faster = row.faster,
    task = task_of,
    loss = function(task, batch, given)
      return task:loss(outputs(task, batch), batch, given)
    end,
    score = function(task, batch)
      return (task:score(outputs(task, batch), batch))
    end,
    -- The score of a long batch, in pieces through which the state is carried.
    score_long = function(task, batch)
      local right, count, state = 0, 0, nil
      for piece in task:pieces(batch, PIECE) do
        local y, score, answers
        y, state = outputs(task, piece, state)
        score, answers = task:score(y, piece)
        right, count = right + score * answers, count + answers
      end
      return right / count
    end,
  }
end

-- An encoder that reads some symbols, and a decoder that repeats them.
local function repeating(row, chosen, lengths)
  local net = nn.encoder_decoder {
    source = SYMBOLS, target = SYMBOLS, cell = "gru", hidden = HIDDEN, attention = row.attention,
  }
  return {
    net = net,
    lengths = lengths,
    task = chosen.make,
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

-- --- Learning -----------------------------------------------------------------------

-- Adam, with a rate of its own for some parameters: for what an LRU's units turn and decay
-- by in a step, as much smaller as they do so often, and what a net's row says.
local function optimizer(entrant, T, schedule)
  local parameters, rate = entrant.net:parameters(), entrant.rate or RATE
  local groups, by_factor = {}, {}
  for n, parameter in ipairs(parameters) do
    local name, factor = parameters.names[n], 1
    if name:find "nu_log" or name:find "theta_log" then
      factor = 1 / T
    end
    for part, times in pairs(entrant.faster or {}) do
      factor = name:find(part, 1, true) and times or factor
    end
    if not by_factor[factor] then
      by_factor[factor] = { {}, lr = rate * factor }
      groups[#groups + 1] = by_factor[factor]
    end
    table.insert(by_factor[factor][1], parameter)
  end
  return optim.adam(groups, { lr = rate, schedule = schedule })
end

local function update(entrant, task, generator, adam, given)
  do
    local batch = task:batch(generator, BATCH)
    local tape <close> = saros.tape()
    tape:backward(entrant.loss(task, batch, given))
  end
  optim.clip_norm(entrant.net:parameters(), 1)
  adam:step()
end

-- Learns at one length until a test says that it is solved. The score, and the
-- updates that it took.
local function learn(entrant, task, test)
  local score, updates = entrant.score(task, test), 0
  local adam, generator = optimizer(entrant, task.length), saros.generator(args.seed)
  while score < SOLVED and updates < args.updates do
    update(entrant, task, generator, adam)
    updates = updates + 1
    if updates % EVERY == 0 then
      score = entrant.score(task, test)
    end
  end
  return score, updates
end

-- More updates at the last length, with a rate that falls to 0.
local function polish(entrant, task)
  local schedule = optim.schedule.cosine { steps = args.polish + 1, warmup = args.polish // 10 }
  local adam, generator = optimizer(entrant, task.length, schedule), saros.generator(args.seed + 2)
  for _ = 1, args.polish do
    update(entrant, task, generator, adam, { label_smoothing = entrant.smooth })
  end
  return args.polish
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

-- Learns at all lengths, one after the other. Scores by length, and updates in all.
local function learn_all(entrant)
  local scores, updates, solved = {}, 0, true
  for n, length in ipairs(entrant.lengths) do
    local task = entrant.task(length)
    local test, steps = task:batch(saros.generator(args.seed + 1), TESTED), 0
    if solved or args.go_on then
      scores[n], steps = learn(entrant, task, test)
    else
      scores[n] = entrant.score(task, test)
    end
    solved = scores[n] >= SOLVED
    updates = updates + steps
  end
  return scores, updates, solved
end

-- Scores by length, parameters, updates, minutes of the processor, and what it costs.
local function compete(entrant, beyond)
  entrant.net:init { seed = args.seed }
  local lengths, start = entrant.lengths, os.clock()
  local scores, updates, solved = learn_all(entrant)
  local last = entrant.task(lengths[#lengths])
  if solved and #beyond > 0 then
    updates = updates + polish(entrant, last)
  end
  local minutes, all = (os.clock() - start) / 60, table.move(lengths, 1, #lengths, 1, {})
  for _, length in ipairs(beyond) do
    local task = entrant.task(length)
    all[#all + 1] = length
    scores[#scores + 1] = entrant.score_long(task, task:batch(saros.generator(args.seed + 1), FEW))
  end
  local seconds, bytes = cost(entrant, last)
  return {
    lengths = all, scores = scores, updates = updates, minutes = minutes, seconds = seconds, bytes = bytes,
    parameters = entrant.net:count(),
  }
end

-- --- Showing ------------------------------------------------------------------------

local function print_head(heading, lengths, beyond)
  local columns = {}
  for n, length in ipairs(lengths) do
    columns[n] = ("%7d"):format(length)
  end
  for n, length in ipairs(beyond) do
    columns[#lengths + n] = ("%7s"):format("+" .. length)
  end
  print(("\n%-18s%s   updates  us/symbol  bytes/symbol  parameters  minutes"):format(heading, table.concat(columns)))
end

local function print_result(name, result)
  local columns = {}
  for n, score in ipairs(result.scores) do
    columns[n] = ("%5.0f %%"):format(100 * score)
  end
  print(("%-18s%s   %7d  %9.2f  %12.0f  %10d  %7.2f"):format(name, table.concat(columns), result.updates,
    1e6 * result.seconds, result.bytes, result.parameters, result.minutes))
end

-- The rows of a list with these names, or all of them.
local function rows_of(list, names)
  local rows, wanted = {}, {}
  for _, name in ipairs(names or names_of(list)) do
    wanted[name] = true
  end
  for _, row in ipairs(list) do
    rows[#rows + 1] = wanted[row.name] and row or nil
  end
  return rows
end

local function is_of_pairs(chosen)
  return chosen.make == repeat_symbols
end

-- The nets that learn a task: those of --only, or all of them.
local function nets_of(chosen, names)
  local rows = {}
  for _, row in ipairs(rows_of(NETS, names)) do
    rows[#rows + 1] = is_of_pairs(chosen) == (row.pairs or false) and row or nil
  end
  return rows
end

-- What is said where none of --only learns a task.
local function none_text(chosen)
  return ("--only %s: expected a net that learns %q: %s"):format(table.concat(args.only, " "), chosen.name,
    table.concat(names_of(nets_of(chosen)), ", "))
end

local chosen_tasks, last_without, some = rows_of(TASKS, args.task), nil, false
for _, chosen in ipairs(chosen_tasks) do
  local has_nets = #nets_of(chosen, args.only) > 0
  some, last_without = some or has_nets, not has_nets and chosen or last_without
end
if not some then
  parser:error(none_text(last_without))
end

-- The name of a curve; with the task, if there are several.
local function name_of(chosen, name)
  return #chosen_tasks == 1 and name or chosen.name .. ": " .. name
end

-- What a picture shows of a net: where there are lengths beyond, these alone, as it has learned more before them.
local function curve_of(chosen, row, result, beyond)
  local curve = { name = name_of(chosen, row.name), x = {}, y = {} }
  for n = #beyond > 0 and #result.lengths - #beyond + 1 or 1, #result.lengths do
    table.insert(curve.x, result.lengths[n])
    table.insert(curve.y, 100 * result.scores[n])
  end
  return curve
end

-- A guess at the same lengths.
local function guess_of(chosen, lengths, beyond)
  local chance, x, y = chosen.make(lengths[1], lengths[#lengths]).chance, #beyond > 0 and beyond or lengths, {}
  for n = 1, #x do
    y[n] = chance and 100 * chance
  end
  return chance and { name = name_of(chosen, "guess"), x = x, y = y }
end

local drawn = {}
for _, chosen in ipairs(chosen_tasks) do
  local is_pairs, nets = is_of_pairs(chosen), nets_of(chosen, args.only)
  local lengths = is_pairs and args.symbols or not is_pairs and args.lengths
    or args.full and chosen.full or chosen.usual
  local beyond = chosen.beyond and (args.beyond or chosen.beyond) or {}
  local make = is_pairs and repeating or answering
  if #nets == 0 then
    print("\n" .. none_text(chosen))
  else
    print_head(chosen.heading, lengths, beyond)
  end
  for _, row in ipairs(nets) do
    local result = compete(make(row, chosen, lengths), beyond)
    print_result(row.name, result)
    drawn[#drawn + 1] = curve_of(chosen, row, result, beyond)
  end
  drawn[#drawn + 1] = #nets > 0 and guess_of(chosen, lengths, beyond) or nil
end
if args.save then
  local one = #chosen_tasks == 1 and chosen_tasks[1]
  assert(saros.plot.lines({ series = drawn, log_x = true, x = one and one.unit or "steps", y = "right answers, %",
    title = one and one.heading or "limits" }):save(args.save))
end
