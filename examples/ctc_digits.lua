-- Read digits from the movements of a pen: (dx, dy, pressed) at each step in, a
-- string of digits out, and nothing that says which steps belong to which digit.
-- Every writer has another pace, no two strokes have the same length, and the
-- hand shakes. Connectionist temporal classification learns from the strings
-- alone: the net says each digit once, where it is sure, and else the blank.
--
-- About 15 seconds on two cores; then 2 to 3 % of the digits of new strings are
-- wrong.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim, ctc = saros.nn, saros.optim, saros.ctc

local parser = argparse("ctc_digits.lua", "Learn to read unaligned handwriting.")
numbers.whole(parser, "--steps", "Updates of the net."):default "2000"
numbers.whole(parser, "--batch", "Strings in each update."):default "32"
numbers.whole(parser, "--hidden", "Units in each direction."):default "64"
numbers.positive(parser, "--lr", "Learning rate."):default "1e-2"
numbers.real(parser, "--shake", "How much the hand shakes; the pen moves by 1."):default "0.3"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
local args = parser:parse()

-- The strokes of the digits, and of the pen's way to the next one, in the
-- directions of the compass.
local DIGITS = {
  [0] = "SW SE NE NW", "NE S", "NE SW E", "E SW SE W", "SW E N S",
  "W S E SW", "SW S E W", "E SW", "W SE W NE", "NW E S",
}
local DIRECTIONS = {
  N = { 0, 1 }, NE = { 0.7, 0.7 }, E = { 1, 0 }, SE = { 0.7, -0.7 },
  S = { 0, -1 }, SW = { -0.7, -0.7 }, W = { -1, 0 }, NW = { -0.7, 0.7 },
}
local BLANK = 11 -- the digit d is the id d + 1
local CLASSES = 11

-- --- Data -------------------------------------------------------------------------

local generator = saros.generator(args.seed)

-- Add a stroke of about so many steps.
local function draw(movements, direction, steps, pressed)
  local dx, dy = table.unpack(DIRECTIONS[direction])
  local varied = steps * (0.6 + 0.8 * generator:number())
  for _ = 1, math.max(1, math.floor(varied + 0.5)) do
    movements[#movements + 1] = { dx, dy, pressed }
  end
end

-- A string of 3 to 8 digits as ids, and the movements that write it.
local function random_string()
  local ids, movements, pace = {}, {}, 1.5 + 2 * generator:number()
  for position = 1, generator:integer(6) + 2 do
    local digit = generator:integer(10) - 1
    ids[position] = digit + 1
    for direction in DIGITS[digit]:gmatch "%u+" do
      draw(movements, direction, pace, 1)
    end
    draw(movements, generator:number() < 0.5 and "E" or "NE", pace, 0)
  end
  return ids, movements
end

-- Rows of unequal length as the columns of one table (T, B), and their lengths.
local function columns(rows, filler)
  local grid, lengths, longest = {}, {}, 0
  for b, row in ipairs(rows) do
    lengths[b] = #row
    longest = math.max(longest, #row)
  end
  for t = 1, longest do
    grid[t] = {}
    for b, row in ipairs(rows) do
      grid[t][b] = row[t] or filler
    end
  end
  return grid, lengths
end

local function random_batch(size)
  local strings, drawings = {}, {}
  for b = 1, size do
    strings[b], drawings[b] = random_string()
  end
  local grid, steps = columns(drawings, { 0, 0, 0 })
  local targets, lengths = columns(strings, BLANK)
  local movements = saros.tensor(grid)
  return {
    strings = strings,
    inputs = movements + generator:normal(movements:shape()) * args.shake, -- (T, B, 3)
    steps = steps, -- of each row
    targets = saros.ids(targets), -- (S, B)
    lengths = lengths, -- of each row
  }
end

-- --- Model ------------------------------------------------------------------------

-- It reads from both ends: which digit a stroke belongs to depends on what comes
-- after it, too.
local net = nn.chain {
  nn.rnn { 3, args.hidden, bidirectional = true },
  nn.linear { 2 * args.hidden, CLASSES },
}
net:init { seed = args.seed }

local adam = optim.adam(net:parameters(), {
  lr = args.lr,
  schedule = optim.schedule.cosine { steps = args.steps },
})

local function update()
  local batch = random_batch(args.batch)
  local tape <close> = saros.tape()
  local logits = net(batch.inputs, nil, { lengths = batch.steps }) -- (T, B, CLASSES)
  local loss = nn.ctc_loss(logits, batch.targets, {
    input_lengths = batch.steps,
    target_lengths = batch.lengths,
    blank = BLANK,
  })
  tape:backward(loss)
  optim.clip_norm(net:parameters(), 1)
  adam:step()
  return loss:item()
end

local every = math.max(1, args.steps // 10)
local total = 0
for step = 1, args.steps do
  total = total + update()
  if step % every == 0 then
    print(("step %5d  loss %.3f nats per digit"):format(step, total / every))
    total = 0
  end
end

-- --- What it reads in new strings -----------------------------------------------------

local function digits(ids)
  local text = {}
  for position, id in ipairs(ids) do
    text[position] = id - 1
  end
  return table.concat(text)
end

local batch = random_batch(500)
local logits = net(batch.inputs, nil, { lengths = batch.steps })
local greedy = ctc.greedy(logits, { lengths = batch.steps, blank = BLANK })
local beam = {}
for row, results in ipairs(ctc.beam(logits, { lengths = batch.steps, blank = BLANK, width = 8 })) do
  beam[row] = results[1].ids
end

print "\nwritten   greedy    beam"
for row = 1, 10 do
  print(("%-9s %-9s %s"):format(digits(batch.strings[row]), digits(greedy[row]), digits(beam[row])))
end
print(("\nwrong: greedy %.2f %%, beam %.2f %% of the digits of %d new strings"):format(
  100 * ctc.error_rate(greedy, batch.strings), 100 * ctc.error_rate(beam, batch.strings), #batch.strings))
