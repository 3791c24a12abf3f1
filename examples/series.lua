-- Regression on a series: a GRU reads it and says, after each value, the next N.
-- Beside it, the last value again (persistence), and the one a season before.
--
--   build/saros examples/series.lua --csv temperatures.csv --column 2 --season 365 --run runs/temperatures
--   build/saros examples/forecast.lua --model runs/temperatures --csv temperatures.csv
--
-- Without a file it makes up a noisy wave. It learns from the first seven tenths,
-- keeps what was best on the next one, and compares on the rest.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("series.lua", "Forecast a series, and compare.")
parser:option("--csv", "File with a row for each step.")
numbers.whole(parser, "--column", "Of the values, counted from 1 (the first with numbers).")
numbers.whole(parser, "--season", "Steps of a season."):default "50"
numbers.whole(parser, "--ahead", "Steps to predict."):default "7"
numbers.whole(parser, "--epochs", "Passes through the training part."):default "15"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
parser:option("--run", "Folder to keep the forecaster in.")
local args = parser:parse()

local wave = saros.generator(args.seed):normal({ 2000 }, 0, 0.8):totable()
for t, shock in ipairs(wave) do
  wave[t] = 10 + 4 * math.sin(2 * math.pi * t / args.season) + shock
end
local series = need(saros.data.series(args.csv or saros.tensor(wave), {
  inputs = args.column, horizon = args.ahead, valid = 0.1, test = 0.2, seed = args.seed }))
local model = saros.nn.forecaster { series = series, cell = "gru", hidden = 32, seed = args.seed }
local length = math.min(100, #series.train // 3)
local updates = math.max(1, args.epochs * ((#series.train - length) // 32))
saros.fit(model, series, { epochs = args.epochs, batch = 32, length = length, lr = 3e-3, clip = 1, run = args.run,
  schedule = saros.optim.schedule.cosine { steps = updates, floor = 0.02 }, progress = saros.progress() })
model = args.run and need(saros.load(args.run)) or model
print(("%s\nin the last fifth, the root of the mean square error:"):format(series))

-- Of guess(t, k) for values[t + k], t being now; the model reads everything once.
local values, predicted = series.targets:select(2, 1):totable(), model:forecasts(series.inputs):totable()
local function root_mean_square(k, guess)
  local sum, first, last = 0, math.max(series.test.first, args.season), #values - args.ahead
  for t = first, last do
    sum = sum + (guess(t, k) - values[t + k]) ^ 2
  end
  return (sum / (last - first + 1)) ^ 0.5
end
print "steps ahead       GRU   persistence   one season before"
for k = 1, args.ahead do
  local seasons = math.ceil(k / args.season) * args.season -- to a value known now
  print(("%11d  %8.3f      %8.3f            %8.3f"):format(k,
    root_mean_square(k, function(t) return predicted[t][k][1] end),
    root_mean_square(k, function(t) return values[t] end),
    root_mean_square(k, function(t) return values[t + k - seasons] end)))
end
