-- What a trained forecaster expects to follow a series.
--
--   build/saros examples/forecast.lua --model runs/temperatures --csv temperatures.csv

local argparse = require "argparse"
local saros = require "saros"

-- What a user can mend is said in one line, without a traceback.
local function need(value, message)
  return value or error(message, 0)
end

local parser = argparse("forecast.lua", "Let a trained forecaster tell what comes next.")
parser:option("--model", "Run folder or model file."):count(1)
parser:option("--csv", "File with a row for each step so far."):count(1)
local args = parser:parse()

local forecaster = need(saros.load(args.model))
need(forecaster.forecast, ("expected a forecaster in %s, got a %s"):format(args.model, forecaster.kind))
local series = need(saros.data.series(args.csv, { inputs = forecaster.scale.inputs.names, valid = 0 }))
print("steps ahead  " .. table.concat(forecaster.scale.targets.names, "  "))
for ahead, values in ipairs(forecaster:forecast(series.inputs):totable()) do
  for n, value in ipairs(values) do
    values[n] = ("%8.3f"):format(value)
  end
  print(("%11d %s"):format(ahead, table.concat(values, " ")))
end
