-- Learning while running. A forecaster is trained on the first third of a series;
-- the rest comes as it would live. One copy keeps its weights, the other goes on
-- learning from each value that comes, in constant memory.
--
--   build/saros examples/adapt.lua --csv sensor.csv --column 2 --save adapt.svg
--
-- Without a file it makes up a wave that changes its pace and its height.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("adapt.lua", "Forecast a series whose habits change.")
parser:option("--csv", "File with a row for each step.")
numbers.whole(parser, "--column", "The values, counted from 1 (the first with numbers).")
numbers.whole(parser, "--ahead", "Steps to predict."):default "1"
numbers.positive(parser, "--rate", "Learning rate on the stream."):default "3e-3"
numbers.whole(parser, "--seed", "Same seed, same result.", 0):default "1"
parser:option("--save", "Picture of the errors, as SVG.")
local args = parser:parse()

local wave = saros.generator(args.seed):normal({ 3000 }, 0, 0.3):totable()
for t, shock in ipairs(wave) do
  wave[t] = shock + (t <= 2000 and 10 + 4 * math.sin(t * 0.15) or 13 + 3 * math.sin(t * 0.5))
end
local series = need(saros.data.series(args.csv or saros.tensor(wave), {
  inputs = args.column and { args.column }, horizon = args.ahead, valid = 0, test = 2 / 3 }))
local model = saros.nn.forecaster { series = series, cell = "gru", hidden = 24, seed = args.seed }
saros.fit(model, series, { epochs = 10, batch = 32, length = 50, lr = 3e-3, clip = 1 })

local frozen, last = model:session(), args.ahead
local learner = model:learner { window = 48, every = 12, lr = args.rate, guard = 3 }

-- How far off both are, so many steps ahead.
local first, name = #series.train + 1, series.names.targets[1]
local told, errors, truth = { {}, {} }, { {}, {} }, series.targets:select(2, 1):totable()
for t = first, #series do
  local row = series.inputs[t]
  told[1][t] = frozen:step(row)[last][1]
  told[2][t] = learner:learn(row)[last][1]
  for n = 1, 2 do
    local off = told[n][t - last] and math.abs(told[n][t - last] - truth[t])
    local before = errors[n][#errors[n]] or off
    errors[n][#errors[n] + 1] = off and before + 0.02 * (off - before) -- smoothed over about 50 steps
  end
end

print(("%s\nmean absolute error of '%s', %d ahead:\nrow        frozen   learning"):format(series, name, last))
for tenth = 1, 10 do
  local at = #errors[1] * tenth // 10
  print(("%-7d %9.3f  %9.3f"):format(first + last + at - 1, errors[1][at], errors[2][at]))
end
if args.save then
  need(saros.plot.lines { title = "Error on the stream, smoothed", x = "step", y = "error", series = {
    { name = "frozen", y = errors[1] }, { name = "learning", y = errors[2] } } }:save(args.save))
end
