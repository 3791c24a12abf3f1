-- Dates as people write them to dates as machines do: "the 3rd of March 1987"
-- and "Tue 03 Mar 87" are both 1987-03-03. The answer has another length and
-- another order than the question: an encoder reads, a decoder writes, and
-- attention lets the decoder look back at what it needs.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local nn, optim, data = saros.nn, saros.optim, saros.data

local parser = argparse("dates.lua", "Learn to read dates, with and without attention.")
parser:option("--cell", "Kind of recurrent cell."):choices(require("saros.nn.recurrent").names):default "gru"
numbers.whole(parser, "--hidden", "Units."):default "128"
parser:option("--attention", "How likeness is measured.")
  :choices { "dot", "scaled_dot", "general", "additive" }:default "dot"
numbers.whole(parser, "--dates", "How many to use; one in twenty is held out.", 20):default "36525"
numbers.whole(parser, "--epochs", "Passes through the others."):default "1"
numbers.whole(parser, "--batch", "Dates in each update."):default "64"
numbers.positive(parser, "--lr", "Learning rate at the beginning."):default "3e-3"
numbers.whole(parser, "--beam", "Translations to follow at a time."):default "5"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
local args = parser:parse()

local generator = saros.generator(args.seed)

-- --- Dates -------------------------------------------------------------------

local MONTHS = {
  "January", "February", "March", "April", "May", "June", "July", "August", "September",
  "October", "November", "December",
}
local WEEKDAYS = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" }
local ORDINALS = {
  "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
  "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth",
  "eighteenth", "nineteenth", "twentieth", [30] = "thirtieth", [31] = "thirty-first",
}
for unit = 1, 9 do
  ORDINALS[20 + unit] = "twenty-" .. ORDINALS[unit]
end

local function days_in(year, month)
  if month == 2 then
    return year % 4 == 0 and 29 or 28 -- right from 1901 to 2099
  end
  return (month == 4 or month == 6 or month == 9 or month == 11) and 30 or 31
end

-- All days of a hundred years, so that two digits are enough to name a year.
local function all_dates()
  local dates = {}
  for year = 1930, 2029 do
    for month = 1, 12 do
      for day = 1, days_in(year, month) do
        -- 1 January 1930 was a Wednesday.
        local weekday = WEEKDAYS[(#dates + 3) % 7 + 1]
        dates[#dates + 1] = { year = year, month = month, day = day, weekday = weekday }
      end
    end
  end
  return dates
end

local function ordinal(day)
  local is_teen = day >= 11 and day <= 13
  return day .. (not is_teen and ({ "st", "nd", "rd" })[day % 10] or "th")
end

-- In these styles, with $month and so on replaced.
local STYLES = {
  "the $nth of $month $year",
  "the $ordinal of $month, $year",
  "$MONTH $day, $year",
  "$month $nth, $year",
  "$wed $0day $mon $yy",
  "$weekday, $day $month $year",
  "$day.$number.$year",
  "$0day/$MON/$year",
  "$day $mon '$yy",
  "$year, the $nth day of $month",
}

local function written(date, style)
  local month, words = MONTHS[date.month], {
    year = date.year, yy = ("%02d"):format(date.year % 100),
    number = date.month, month = MONTHS[date.month], mon = MONTHS[date.month]:sub(1, 3),
    day = date.day, ["0day"] = ("%02d"):format(date.day),
    nth = ordinal(date.day), ordinal = ORDINALS[date.day],
    weekday = date.weekday, wed = date.weekday:sub(1, 3),
  }
  words.MONTH, words.MON = month:upper(), words.mon:upper()
  return (style:gsub("%$(%w+)", words))
end

-- The first dates of a shuffled calendar: every one of them comes once, so what
-- is held out was never seen in any style.
local function make_pairs(count)
  local dates, list = all_dates(), {}
  for position, at in ipairs(generator:permutation(#dates):totable()) do
    if position > count then
      break
    end
    local date = dates[at]
    list[position] = {
      written(date, STYLES[generator:integer(#STYLES)]),
      ("%04d-%02d-%02d"):format(date.year, date.month, date.day),
    }
  end
  return list
end

-- --- Training and testing --------------------------------------------------------

local function train(model, set)
  local adam = optim.adam(model:parameters(), {
    lr = args.lr,
    schedule = optim.schedule.cosine { steps = args.epochs * (#set.train // args.batch + 1) },
  })
  for epoch = 1, args.epochs do
    local smoothed
    for batch in set:batches { batch = args.batch, seed = args.seed + epoch } do
      local tape <close> = saros.tape()
      local loss = model:loss(batch)
      tape:backward(loss)
      optim.clip_norm(model:parameters(), 1)
      adam:step()
      smoothed = 0.98 * (smoothed or loss:item()) + 0.02 * loss:item()
      if adam.steps % 100 == 0 then
        print(("  update %4d  loss %.4f"):format(adam.steps, smoothed))
      end
    end
  end
end

-- The percentage of held-out dates that come out right in every character.
local function exact_matches(model, set)
  local right = 0
  for _, pair in ipairs(set.valid) do
    local best = model:translate(pair.source, { beam = args.beam })[1]
    right = right + (best.text == set.target:decode(pair.target) and 1 or 0)
  end
  return 100 * right / #set.valid
end

-- --- Looking ---------------------------------------------------------------------

local SHADES = { " ", ".", ":", "-", "=", "+", "*", "#", "@" }

-- One line for each symbol that was written: the darker, the more it looked there.
local function print_attention(source, translation)
  print("\n      " .. source)
  if translation.text == "" then
    return
  end
  for t, weights in ipairs(translation.weights:totable()) do
    local line = {}
    for s, weight in ipairs(weights) do
      line[s] = SHADES[1 + math.floor(weight * (#SHADES - 1) + 0.5)]
    end
    print(("    %s %s"):format(translation.text:sub(t, t), table.concat(line)))
  end
end

local function print_translations(model, set)
  for n = 1, math.min(5, #set.valid) do
    local source = set.source:decode(set.valid[n].source)
    local best = model:translate(source, { beam = args.beam })[1]
    print(("  %-34s -> %s  (%.1f %%)"):format(source, best.text, 100 * math.exp(best.log_probability)))
  end
end

local set = data.pairs(make_pairs(args.dates), { valid = 0.05 })
for _, attention in ipairs { false, args.attention } do
  print(attention and ("with %s attention"):format(attention) or "without attention")
  local model = nn.encoder_decoder {
    source = set.source,
    target = set.target,
    cell = args.cell,
    hidden = args.hidden,
    bidirectional = true,
    attention = attention,
    seed = args.seed,
  }
  local began = saros.clock()
  train(model, set)
  print(("  %.1f %% of %d held-out dates are right, after %.0f seconds\n"):format(
    exact_matches(model, set), #set.valid, saros.clock() - began))
  if attention then
    print_translations(model, set)
    local source = set.source:decode(set.valid[1].source)
    print_attention(source, model:translate(source, { beam = args.beam })[1])
  end
end
