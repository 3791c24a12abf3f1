--- How far numbers are from what they should be.

local core = require "saros.core"
local flatten = require "saros.flatten"
local options = require "saros.options"
local in_columns = require "saros.metrics.columns"

local format = core.format

---@class saros.metrics.Regression
---@field count integer
---@field mae number  mean of |predicted - truth|, in their unit
---@field rmse number  root of the mean of (predicted - truth)^2, in their unit
local Regression = {}
Regression.__index = Regression
Regression.__name = "saros.metrics.Regression"

function Regression:__tostring()
  return format("MAE %.6g, RMSE %.6g, of %d", self.mae, self.rmse, self.count)
end

local numbers = options.kind("finite numbers, at least one, as a tensor or a list", function(value)
  local ok, x = pcall(core.tensor, value)
  x = options.tensor.accept(value) or type(value) == "table" and ok and x
  return x and x:dtype() == "real" and x:count() > 0 and x:all_finite() and x or nil
end)

--- y - x, (N). Numbers in lists are subtracted in double, so that those far from 0 keep
--- their differences.
local function differences(x, y)
  if options.tensor.accept(x) and options.tensor.accept(y) then
    return (y - x):reshape(-1)
  end
  local from, list = flatten(options.tensor.accept(x) and x:totable() or x), {}
  for n, value in ipairs(flatten(options.tensor.accept(y) and y:totable() or y)) do
    list[n] = value - from[n]
  end
  return core.tensor(list)
end

local regression = {}

--- How far numbers are from what they should be.
---@param truth saros.Tensor|number[]  finite, at least one
---@param predicted saros.Tensor|number[]  of the same shape
---@return saros.metrics.Regression
function regression.of_numbers(truth, predicted)
  local _ <close> = core.no_gradient()
  options.argument("metrics.regression", 1, numbers, truth)
  options.argument("metrics.regression", 2, numbers, predicted)
  local x, y = numbers.accept(truth), numbers.accept(predicted)
  if table.concat(x:shape(), " ") ~= table.concat(y:shape(), " ") then
    options.fail(("metrics.regression: expected predictions of the shape of the truth, %s, got %s"):format(
      options.describe_tensor(x), options.describe_tensor(y)))
  end
  local errors = differences(truth, predicted)
  local zeros = core.zeros(#errors)
  return setmetatable({
    count = #errors,
    mae = core.l1(errors, zeros):item(),
    rmse = math.sqrt(core.mse(errors, zeros):item()),
  }, Regression)
end

--- Rows of such figures, for each target of a forecaster and number of steps ahead.
local Errors = { __name = "saros.metrics.Errors" }

function Errors:__tostring()
  local rows = { { "target", "ahead", "MAE", "RMSE", "count" } }
  for n, entry in ipairs(self) do
    rows[n + 1] = { entry.name, tostring(entry.ahead), format("%.5g", entry.mae), format("%.5g", entry.rmse),
      tostring(entry.count) }
  end
  return in_columns(rows)
end

--- A list of { name, ahead, mae, rmse, count } that prints as a table.
---@param list table[]
---@return table[]
function regression.errors(list)
  return setmetatable(list, Errors)
end

return regression
