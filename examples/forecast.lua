-- What a trained forecaster expects to follow a series.
--
--   build/saros examples/forecast.lua --model runs/temperatures/values --csv temperatures.csv
--   build/saros examples/forecast.lua --model runs/air/seasons --csv passengers.csv --season 12 --quotients

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local seasonal = require "seasonal"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("forecast.lua", "Let a trained forecaster tell what comes next.")
parser:option("--model", "Run folder or model file."):count(1)
parser:option("--csv", "File with a row for each step so far."):count(1)
numbers.whole(parser, "--column", "Of the values, where the forecaster reads seasons (the first with numbers).")
numbers.whole(parser, "--season", "It tells the change of each value against the one this many steps before.")
parser:flag("--quotients", "And that as the logarithm of a quotient, not as a difference.")
local args = parser:parse()
need(args.season or not args.column, "--column: expected --season beside it; else the forecaster knows its columns")

local forecaster = need(saros.load(args.model))
need(forecaster.forecast, ("expected a forecaster in %s, got a %s"):format(args.model, forecaster.kind))
local known = forecaster.scale.inputs.names

-- True if it reads seasons: those are tensors, whose columns have numbers for names.
local function reads_seasons()
  for n, name in ipairs(known) do
    if name ~= tostring(n) then
      return false
    end
  end
  return true
end

need(not args.season or reads_seasons(), ("--season: expected a forecaster of seasons in %s, got one of %s"):format(
  args.model, table.concat(known, ", ")))
local columns = args.column
if not args.season then
  columns = known
end
local series, message = saros.data.series(args.csv, { inputs = columns, valid = 0 })
local hint = not args.season and reads_seasons() and "; a forecaster of seasons wants --season" or ""
need(series, message and message .. hint)

-- forecast[k][n]: the value of target n in k steps.
local forecast, names
if args.season then
  local values = series.inputs
  names, forecast = series.names.targets, forecaster:forecast(seasonal.compare(values, args.season, args.quotients))
  forecast = forecast:totable()
  for n in ipairs(names) do
    local ahead = {}
    for k, row in ipairs(forecast) do
      ahead[k] = row[n]
    end
    local column = values:select(2, n):totable()
    for k, value in ipairs(seasonal.restore(ahead, column, #column, args.season, args.quotients)) do
      forecast[k][n] = value
    end
  end
else
  names, forecast = forecaster.scale.targets.names, forecaster:forecast(series.inputs):totable()
end

print("steps ahead  " .. table.concat(names, "  "))
for ahead, row in ipairs(forecast) do
  for n, value in ipairs(row) do
    row[n] = ("%8.3f"):format(value)
  end
  print(("%11d %s"):format(ahead, table.concat(row, " ")))
end
