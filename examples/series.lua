-- Regression on a series: a GRU reads it and says, after each value, the next N.
-- Beside it, the last value again (persistence), and the one a season before.
--
--   build/saros examples/series.lua --csv temperatures.csv --column 2 --season 365 --run runs/temperatures
--   build/saros examples/forecast.lua --model runs/temperatures/values --csv temperatures.csv
--
-- Without a file it makes up a noisy wave. It learns from the first seven tenths, in
-- two ways: from the values, and from what each makes of the one a season before,
-- which suits a series that grows. The better way on the next tenth is compared with
-- the others on the rest.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local seasonal = require "seasonal"

local UPDATES = 800 -- that a short series needs, too

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("series.lua", "Forecast a series, and compare.")
parser:option("--csv", "File with a row for each step.")
numbers.whole(parser, "--column", "Of the values, counted from 1 (the first with numbers).")
numbers.whole(parser, "--season", "Steps of a season (what the values show; 50 of the wave).")
numbers.whole(parser, "--ahead", "Steps to predict."):default "7"
numbers.whole(parser, "--epochs", ("Passes through the training part (15, or what %d updates need)."):format(UPDATES))
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
parser:option("--run", "Folder to keep the forecasters in.")
local args = parser:parse()

-- --- The series and its season --------------------------------------------------------------

local wave = saros.generator(args.seed):normal({ 2000 }, 0, 0.8):totable()
for t, shock in ipairs(wave) do
  wave[t] = 10 + 4 * math.sin(2 * math.pi * t / (args.season or 50)) + shock
end
local series = need(saros.data.series(args.csv or saros.tensor(wave), {
  inputs = args.column, horizon = args.ahead, valid = 0.1, test = 0.2, seed = args.seed }))
local values = series.targets:select(2, 1):totable()
local known = table.move(values, 1, #series.train, 1, {})
local season = args.season or not args.csv and 50 or seasonal.find(known)
need(not season or season < #known, ("expected a season below the %d rows for training, got %d"):format(
  #known, season or 0))
local log = season and #series.inputs:min(1) == 1 and seasonal.grows(known, season)
print(series)
print(season and ("a season has %d steps%s"):format(season, log and ", and its swings grow with the values" or "")
  or "no season")

-- --- Two ways to learn it ----------------------------------------------------------------------

-- A forecaster, trained on a series, with the weights that were best on the held-out part.
local function learn(data, name)
  local model = saros.nn.forecaster { series = data, cell = "gru", hidden = 32, seed = args.seed }
  local length = math.min(100, #data.train // 3)
  local windows = #data.train - length - args.ahead + 1
  local batch = math.max(1, math.min(32, windows // 4))
  local epochs = args.epochs or math.max(15, math.ceil(UPDATES / (windows // batch)))
  saros.fit(model, data, { epochs = epochs, batch = batch, length = length, lr = 3e-3, clip = 1, patience = epochs,
    schedule = saros.optim.schedule.cosine { steps = epochs * (windows // batch), floor = 0.02 },
    progress = saros.progress { every = math.ceil(epochs / 5) }, run = args.run and args.run .. "/" .. name })
  return model
end

-- Both return predicted[t][k]: the value at t + k, told at t.
local function by_values()
  local predicted = learn(series, "values"):forecasts(series.inputs):totable()
  for _, ahead in ipairs(predicted) do
    for k, columns in ipairs(ahead) do
      ahead[k] = columns[1]
    end
  end
  return predicted
end

local function by_seasons()
  local x = seasonal.compare(series.inputs, season, log)
  local data = need(saros.data.series(x, { horizon = args.ahead, valid = #series.valid / #x, test = #series.test / #x,
    seed = args.seed }))
  local predicted = {}
  for at, ahead in ipairs(learn(data, "seasons"):forecasts(x):totable()) do
    for k, columns in ipairs(ahead) do
      ahead[k] = columns[1]
    end
    predicted[at + season] = seasonal.restore(ahead, values, at + season, season, log)
  end
  return predicted
end

-- --- The comparison ------------------------------------------------------------------------------

-- The root of the mean square error of guess(t, k) for values[t + k], t being now and
-- both among the rows first..last, and the mean absolute error.
local function errors(first, last, k, guess)
  local squares, sizes = 0, 0
  first = math.max(first, season or 1)
  for t = first, last - args.ahead do
    local off = guess(t, k) - values[t + k]
    squares, sizes = squares + off ^ 2, sizes + math.abs(off)
  end
  local count = last - args.ahead - first + 1
  return (squares / count) ^ 0.5, sizes / count
end

-- The mean absolute error, over all steps ahead.
local function mean_error(first, last, guess)
  local sum = 0
  for k = 1, args.ahead do
    sum = sum + select(2, errors(first, last, k, guess))
  end
  return sum / args.ahead
end

local function persistence(t)
  return values[t]
end

local function season_before(t, k)
  return values[t + k - math.ceil(k / season) * season] -- known at t
end

local function gru_of(predicted)
  return function(t, k)
    return predicted[t][k]
  end
end

-- The better of two ways, on the held-out tenth. Less than two seasons say too little:
-- then that whose simple form, persistence or the season before, was better so far.
local function suits_seasons(by_value, by_season)
  local before = series.valid.first - 1
  if #series.valid < 2 * season + args.ahead then
    return mean_error(1, before, season_before) < mean_error(1, before, persistence)
  end
  local last = before + #series.valid
  return mean_error(before + 1, last, by_season) < mean_error(before + 1, last, by_value)
end

local gru, way = gru_of(by_values()), "values"
if season and #series.train > 3 * season then
  local other = gru_of(by_seasons())
  if suits_seasons(gru, other) then
    gru, way = other, "seasons"
  end
end

if args.run then
  print(("kept in %s/%s%s"):format(args.run, way, way == "seasons" and (", for forecast.lua with --season %d%s"):format(
    season, log and " --quotients" or "") or ""))
end
print(("the better GRU reads %s; in the last fifth, the root of the mean square error:"):format(
  way == "values" and way or "what each value makes of the one a season before"))
local first, last = series.test.first, #values
print("steps ahead       GRU   persistence" .. (season and "   one season before" or ""))
for k = 1, args.ahead do
  print(("%11d  %8.3f      %8.3f"):format(k, errors(first, last, k, gru), (errors(first, last, k, persistence)))
    .. (season and ("            %8.3f"):format((errors(first, last, k, season_before))) or ""))
end
local own, last_value = mean_error(first, last, gru), mean_error(first, last, persistence)
local last_season = season and mean_error(first, last, season_before)
print(("        MAE  %8.3f      %8.3f"):format(own, last_value)
  .. (season and ("            %8.3f"):format(last_season) or ""))
if own >= math.min(last_value, last_season or math.huge) then
  print(("the GRU is no better than that: it has learned from %d rows alone, and the rest may be unlike them"):format(
    #series.train))
end
