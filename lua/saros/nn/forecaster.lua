--- A forecaster: from the values of a series so far, what comes next? A
--- recurrent stack and a linear head, together with the columns that it reads
--- and tells, their scale, and how far ahead it looks.
---
---     local forecaster = nn.forecaster { series = series, cell = "gru", hidden = 32 }
---     saros.fit(forecaster, series, { epochs = 10, batch = 32, length = 100, run = "runs/weather" })
---     print(saros.load("runs/weather"):forecast { 20.7, 17.9, 18.8 })

local core = require "saros.core"
local options = require "saros.options"
local scale = require "saros.data.scale"
local regression = require "saros.metrics.regression"
local linear = require "saros.nn.linear"
local live = require "saros.nn.live_forecaster"
local module = require "saros.nn.module"
local stack = require "saros.nn.stack"
local steps = require "saros.nn.steps"
local model_file = require "saros.model_file"
local match = require "saros.train.match"

---@class saros.nn.Forecaster: saros.nn.Module
---@field horizon integer  steps ahead, h
---@field scale { inputs: saros.Scale, targets: saros.Scale }  of F and K columns
---@field places integer[]?  where each target is among the inputs; nil if one is not
---@field difference boolean  tells it by how much a target will differ from its last value?
---@field net saros.nn.Module  what a session and a learner step: neither scale nor difference
---@field configuration table  the options it was made with, all but the series
---@field recurrent saros.nn.Recurrent
---@field head saros.nn.Linear
local Forecaster = module.class "forecaster"
Forecaster.stateful = true

local Net = module.class "forecaster.net"
Net.stateful = true

---@class saros.nn.ForecasterOptions
---@field series saros.Series  gives columns, scale and horizon
---@field cell? saros.nn.CellName|saros.nn.CellMaker  ("gru")
---@field hidden? integer  H (32)
---@field [string] any  every other option of the cell, such as remember, projection, peepholes, reset or r_max
---@field layers? integer  recurrent layers (1)
---@field dropout? number  between layers, in training (0)
---@field loss? "mse"|"l1"|"huber"  that is trained with and told: of the mean, of the median, or of what lies
---  between, squares up to one scaled unit and lines from there on ("mse")
---@field difference? boolean  tell by how much a target will differ from its last value? Possible
---  where each target is an input, too; and then the default
---@field seed? integer  of the parameters and the dropout (1)

local check = options.declare("nn.forecaster", stack.fields {
  { "series", options.having("a series", { "horizon", "scale" }) },
  { "cell", stack.cell, "gru" },
  { "hidden", options.size, 32 },
  { "layers", options.size, 1 },
  { "dropout", options.fraction, 0 },
  { "loss", options.optional(options.one_of { "mse", "l1", "huber" }) },
  { "difference", options.optional(options.boolean) },
  { "seed", options.integer, 1 },
})

local a_window = options.having("a window of a series", { "inputs", "targets" })

local check_examine = options.declare("examine", {
  { "part", options.one_of { "train", "valid", "test" }, "valid" },
  { "rows", options.size, 300 },
})

---@class saros.nn.Forecasts
---@field name string  of the target
---@field x integer[]  numbers of the rows
---@field truth number[]
---@field predictions { ahead: integer, y: number[] }[]  told so many steps before

--- Where each target is among the inputs; nil if one is not.
local function places_of(inputs, targets)
  local places = {}
  for n, target in ipairs(targets.names) do
    for position, name in ipairs(inputs.names) do
      places[n] = name == target and position or places[n]
    end
    if not places[n] then
      return nil
    end
  end
  return places
end

--- Some columns of numbers: (..., F) -> (..., #places).
local function columns_of(x, places)
  local columns = {}
  for n, place in ipairs(places) do
    columns[n] = x:slice(-1, place, place)
  end
  return core.concatenate(columns, -1)
end

--- The present values of the targets, all of which are among the inputs:
--- (..., F) -> (..., K).
---@param x saros.Tensor
---@return saros.Tensor
function Forecaster:present(x)
  return columns_of(x, self.places)
end

--- The recurrent stack and the head, of a forecaster or its net.
local function run(self, x, state, given)
  local y, last = self.recurrent(x, state, given)
  local walk = given and steps.of(given, x)
  return steps.hide(self.head(y), walk and walk.mask), last
end

---@param x saros.Tensor  (T, B, F), scaled
---@param state? saros.nn.State
---@param given? saros.nn.StepOptions
---@return saros.Tensor y  (T, B, h K)
---@return saros.nn.State state
Net.forward = run

--- The same members under the same names.
local function net_of(self)
  local net = Net.new()
  net.members, net.recurrent, net.head = self.members, self.recurrent, self.head
  return net
end

local InUnits = module.class "forecaster.in_units"
InUnits.stateful = true

---@param x saros.Tensor  (T, B, F), in the units of the series
---@param state? saros.nn.State
---@return saros.Tensor y  (T, B, h K), in the units of the targets: what follows each step
---@return saros.nn.State state
function InUnits:forward(x, state)
  local scaled = self.scale.inputs:apply(x)
  local y, last = run(self, scaled, state)
  return self.scale.targets:invert(self.places and y + columns_of(scaled, self.places) or y), last
end

--- What a file has for hosts without Lua: the same members, between the two scales.
local function in_units_of(self)
  local around, columns, places = InUnits.new(), {}, self.difference and {} or nil
  local K = #self.scale.targets
  for n = 1, self.horizon * K do
    columns[n] = (n - 1) % K + 1
    if places then
      places[n] = self.places[columns[n]]
    end
  end
  around.members, around.recurrent, around.head = self.members, self.recurrent, self.head
  around.places, around.scale = places, { inputs = self.scale.inputs, targets = self.scale.targets:columns(columns) }
  return around
end

---@param x saros.Tensor  (T, B, F), scaled
---@param state? saros.nn.State
---@return saros.Tensor y  (T, B, h, K), scaled: what follows each step
---@return saros.nn.State state
function Forecaster:forward(x, state)
  local y, last = run(self, x, state)
  local T, B, K = x:size(1), x:size(2), #self.scale.targets
  local ahead = y:reshape(T, B, self.horizon, K)
  return self.difference and ahead + self:present(x):reshape(T, B, 1, K) or ahead, last
end

--- The loss in a window of a series, by default the mean square error, for training,
--- evaluation and `memory`.
---@param window saros.data.SeriesWindow  or one with a `mask` of the shape of its targets: what each of them counts
---@param state? saros.nn.State  of the steps before, unless the window starts again
---@return saros.Tensor loss  of rank 0, in the scaled unit or, of "mse" and "huber" where it is small, its square
---@return saros.nn.State state
function Forecaster:window_loss(window, state)
  options.argument("window_loss", 1, a_window, window)
  local y, last = self(window.inputs, not window.reset and state or nil)
  return core[self.configuration.loss or "mse"](y, window.targets, { mask = window.mask }), last
end

--- Any window, for `memory`.
function Forecaster:sample_window(T, B)
  return {
    inputs = core.zeros(T, B, #self.scale.inputs),
    targets = core.zeros(T, B, self.horizon, #self.scale.targets),
  }
end

--- What follows each step, in the units of the targets: (T, F), scaled -> (T, h, K).
local function tell(self, x)
  local y = self(x:reshape(#x, 1, #self.scale.inputs))
  return self.scale.targets:invert(y:select(2, 1))
end

--- What follows each step of a series, told from what comes before it.
---@param values saros.Tensor|number[]|number[][]  (T, F), or (T) if F is 1, in the units of the series;
---  all finite
---@return saros.Tensor  (T, h, K), in the units of the targets
function Forecaster:forecasts(values)
  local _ <close> = core.no_gradient()
  return tell(self, self.scale.inputs:read("forecast", values))
end

--- What follows the last step of a series.
---@param values saros.Tensor|number[]|number[][]  (T, F), or (T) if F is 1, in the units of the series
---@return saros.Tensor  (h, K), in the units of the targets
function Forecaster:forecast(values)
  local _ <close> = core.no_gradient()
  return self:forecasts(values):select(1, -1)
end

--- The rows of a series, and what was told of them.
---@class saros.nn.Told
---@field targets saros.Tensor  (rows, K), scaled
---@field y saros.Tensor  (rows, h, K), scaled: what was told at each row

local function truth_of(told, n, first, last)
  return told.targets:select(2, n):slice(1, first, last)
end

local function predictions_of(told, n, ahead, first, last)
  return told.y:select(3, n):select(2, ahead):slice(1, first - ahead, last - ahead)
end

--- The errors of the forecasts of rows first..last, for each target and number of steps
--- ahead, in the units of the series. They are measured on the scale, where numbers far
--- from 0 keep their differences.
---@param told saros.nn.Told
local function errors_of(self, told, first, last)
  local list, scaled = {}, self.scale.targets
  for n, name in ipairs(scaled.names) do
    for ahead = 1, self.horizon do
      local found = regression.of_numbers(truth_of(told, n, first, last), predictions_of(told, n, ahead, first, last))
      list[#list + 1] = { name = name, ahead = ahead, mae = found.mae * scaled.factor[n],
        rmse = found.rmse * scaled.factor[n], count = found.count }
    end
  end
  return regression.errors(list)
end

--- What came in rows first..last and was told one step and `horizon` steps before, for a report.
---@param told saros.nn.Told
---@return saros.nn.Forecasts[]
local function forecasts_of(self, told, first, last)
  local list, rows, scaled = {}, {}, self.scale.targets
  for row = first, last do
    rows[#rows + 1] = row
  end
  for n, name in ipairs(scaled.names) do
    local predictions = {}
    for k, ahead in ipairs(self.horizon > 1 and { 1, self.horizon } or { 1 }) do
      predictions[k] = { ahead = ahead, y = scaled:invert_column(n, predictions_of(told, n, ahead, first, last)) }
    end
    list[n] = { name = name, x = rows, truth = scaled:invert_column(n, truth_of(told, n, first, last)),
      predictions = predictions }
  end
  return list
end

---@class saros.nn.ForecasterExamination
---@field errors { name: string, ahead: integer, mae: number, rmse: number, count: integer }[]  over the part, by
---  target and number of steps ahead, in the units of the series; prints as a table
---@field forecasts saros.nn.Forecasts[]  of each target, over the last rows of the part
local Examination = {}

function Examination:__tostring()
  return tostring(self.errors)
end

--- What was told of a part of a series before it came: MAE and RMSE of each target and
--- number of steps ahead, and the last rows for a report. Print it, or read its fields.
---@param series saros.Series
---@param given? { part?: "train"|"valid"|"test", rows?: integer }  rows: of the report ("valid", 300)
---@return saros.nn.ForecasterExamination
function Forecaster:examine(series, given)
  local _ <close> = core.no_gradient()
  local o = check_examine(given)
  options.argument("examine", 1, options.having("a series", { "horizon", "on_scale" }), series)
  match.columns("examine", self, series)
  local part = series[o.part]
    or options.fail(("examine: expected a series with a part '%s', got one without"):format(o.part))
  local last = part.first + #part - 1
  local beginning = math.max(part.first, self.horizon + 1)
  local first = math.max(beginning, last - o.rows + 1)
  local x = series:on_scale("inputs", self.scale.inputs, last)
  local told = { targets = series:on_scale("targets", self.scale.targets, last),
    y = (self(x:reshape(last, 1, -1))):select(2, 1) }
  return setmetatable({ errors = errors_of(self, told, beginning, last),
    forecasts = forecasts_of(self, told, first, last) }, Examination)
end

--- What its net computes in a step: forecasts (h K) on the scale, of differences if it
--- forecasts these.
---@return saros.Program
function Forecaster:program()
  return self.net:program()
end

--- The forecaster as it is now, stepped with values in the units of the series.
---@param given? { streams?: integer, weights?: string }  as of any session
---@return saros.nn.LiveForecaster
function Forecaster:session(given)
  local _ <close> = core.no_gradient()
  return live(self, self.net:session(given))
end

--- For saros.export_c: what stands before and behind the net, so
--- that they take and tell the units of the series, as `session` does.
---@return saros.export.Parts
function Forecaster:export_parts()
  local inputs, targets = self.scale.inputs, self.scale.targets
  return {
    net = self.net,
    before = { shift = inputs.shift, factor = inputs.factor, names = inputs.names },
    behind = { shift = targets.shift, factor = targets.factor,
      names = targets.names, horizon = self.horizon, places = self.difference and core.ids(self.places) or nil },
    input = function(values)
      return inputs:rows("export_c", values)
    end,
    ask = function(input)
      return self:forecasts(input):reshape(#input, -1)
    end,
  }
end

--- A session that learns while it steps. Its delay is the horizon.
---@param given? saros.train.LearnerOptions
---@return saros.nn.LiveForecaster
function Forecaster:learner(given)
  local _ <close> = core.no_gradient()
  if type(given) ~= "table" and given ~= nil then
    options.fail("learner: expected a table of options, got " .. options.describe(given))
  elseif given and given.delay then
    options.fail("learner: expected no delay, as that of a forecaster is its horizon, got "
      .. options.describe(given.delay))
  end
  local o = { delay = self.horizon, loss = self.configuration.loss }
  for name, value in pairs(given or {}) do
    o[name] = value
  end
  return live(self, self.net:learner(o))
end

--- Write the whole model to one file: saros.load(path) gives it back.
---@param path string
---@return true? ok, string? message
function Forecaster:save(path)
  return model_file.write(path, self.kind, {
    options = self.configuration,
    horizon = self.horizon,
    inputs = self.scale.inputs:to_table(),
    targets = self.scale.targets:to_table(),
  }, self, in_units_of(self))
end

function Forecaster:describe()
  return ("forecaster (%s -> %s, %d step%s ahead; %s)"):format(
    table.concat(self.scale.inputs.names, ", "), table.concat(self.scale.targets.names, ", "),
    self.horizon, self.horizon == 1 and "" or "s", self.recurrent:describe())
end

---@param given saros.nn.ForecasterOptions
---@return saros.nn.Forecaster
local function forecaster(given)
  local o = check(given)
  local self = Forecaster.new()
  self.horizon, self.scale, o.series = o.series.horizon, o.series.scale, nil
  local places = places_of(self.scale.inputs, self.scale.targets)
  if o.difference and not places then
    options.fail("nn.forecaster: expected each target among the inputs, since difference = true")
  elseif o.difference == nil then
    o.difference = places ~= nil
  end
  self.places, self.difference = places, o.difference
  self.configuration = stack.plain(o)
  self.recurrent = self:add_member("recurrent", stack.build(o, {
    input = #self.scale.inputs,
    hidden = o.hidden,
    layers = o.layers,
    dropout = o.dropout,
  }))
  self.head = self:add_member("head", linear { self.recurrent.output, self.horizon * #self.scale.targets })
  self.net = net_of(self)
  return self:init { seed = o.seed }
end

model_file.register("forecaster", function(description)
  local given = description.options
  stack.read_cell(given, description)
  if not options.size.accept(description.horizon) then
    error("expected a horizon, " .. options.size.expected .. ", got " .. options.describe(description.horizon), 0)
  end
  given.series = {
    horizon = math.tointeger(description.horizon),
    scale = {
      inputs = scale.from_table(description.inputs),
      targets = scale.from_table(description.targets),
    },
  }
  return forecaster(given)
end)

return forecaster
