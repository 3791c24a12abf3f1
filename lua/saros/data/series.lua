--- Series: rows of numbers in the order of time, from a table in a text file.
--- From some columns, the inputs, the next values of some columns, the targets,
--- are to be told, one to `horizon` steps ahead.
---
---     local series = data.series("weather.csv", { targets = "Temp", horizon = 7, valid = 0.1, test = 0.1 })
---     for window in series:windows { batch = 32, length = 100, seed = epoch } do ... end
---
--- Parts follow each other in time: train, valid, test. The scale is that of the
--- training part, and windows never reach from one part into another. At step t
--- of a window, inputs t is known, and targets t + 1 ... t + horizon are asked:
---
---     values   a b c d e f      T = 3, horizon = 2
---     inputs   a b c
---     targets  bc cd de

local core = require "saros.core"
local from = require "saros.data.source"
local options = require "saros.options"
local spelling = require "saros.spelling"
local batches = require "saros.data.batches"
local columns = require "saros.data.columns"
local dates = require "saros.data.dates"
local gaps = require "saros.data.gaps"
local not_finite = require "saros.data.not_finite"
local order = require "saros.data.order"
local problem = require "saros.data.problem"
local reading = require "saros.data.reading"
local remarks = require "saros.data.remarks"
local fitting = require("saros.data.rows").fitting
local scale = require "saros.data.scale"
local series_table = require "saros.data.series_table"
local share = require "saros.data.share"
local tables = require "saros.data.table"
local timeline = require "saros.data.timeline"

---@class saros.Series
---@field name string  the path, "string" or "tensor"
---@field horizon integer  h
---@field inputs saros.Tensor  (N, F): all rows, in their own units
---@field targets saros.Tensor  (N, K): all rows, in their own units
---@field names { inputs: string[], targets: string[] }  of the columns
---@field scale { inputs: saros.Scale, targets: saros.Scale }  fitted on the training part
---@field scaled { inputs: saros.Tensor, targets: saros.Tensor }  all rows by their scales, rounded only then
---@field train saros.data.SeriesPart
---@field valid saros.data.SeriesPart?
---@field test saros.data.SeriesPart?  the last rows
---@field time saros.data.Timeline?  when the rows were, if a column of a table says so
---@field left_out saros.data.LeftOut[]  columns of a table that are neither input nor target nor time
---@field filled table<string, integer>  numbers that `missing` put in, by column
---@field dropped integer  rows that `missing = "skip"` left out
---@field ignored { blank: integer, comments: integer }  lines
---@field notes string[]  what was made of columns of a table that are not plain numbers
---@field seed integer  of the order of windows, together with theirs
---@field shuffled boolean  true: for training, windows are to come in a random order
local Series = { shuffled = true }
spelling.methods(Series, "saros.Series")

--- Rows first..first + n - 1 of a series, scaled; # gives n.
---@class saros.data.SeriesPart
---@field first integer
---@field inputs saros.Tensor  (n, F)
---@field targets saros.Tensor  (n, K)
local Part = {}

spelling.methods(Part, "saros.SeriesPart")

function Part:__len()
  return #self.inputs
end

--- A number that tells these values from others.
---@return integer
function Part:digest()
  return core.concatenate({ self.inputs, self.targets }, 2):digest()
end

---@class saros.data.SeriesWindow
---@field inputs saros.Tensor  (T, B, F), scaled
---@field targets saros.Tensor  (T, B, h, K), scaled: what follows each step
---@field index integer  1..count
---@field count integer  the number of windows in the pass
---@field reset boolean  true: the rows of a window have nothing to do with those of the last
---@field counts boolean?  false: only read for the sake of what follows, see saros.data.reading

---@class saros.data.SeriesOptions: saros.data.TableOptions
---@field inputs? string|integer|(string|integer)[]  columns, by name or number (all that hold numbers)
---@field targets? string|integer|(string|integer)[]  (the inputs)
---@field horizon? integer  steps ahead, h (1)
---@field valid? number  fraction of the rows held out behind the training part (0.1)
---@field test? number  fraction of the rows held out at the end (0)
---@field scale? "standard"|"minmax"|"none"|{ inputs: saros.Scale, targets: saros.Scale }  to mean 0 and deviation 1,
---  or to 0..1, of the training part; or the scale of a forecaster, which is to read this series ("standard")
---@field missing? "error"|"previous"|"interpolate"|"skip"  where a number is missing (nothing, NA, NaN, null, -, ? and
---  the like, or what `na` says): an error, the one before, a line to the one behind (which looks ahead, but never
---  into another part), or the row left out ("error")
---@field parse? table<string|integer, fun(text: string): number?>  for columns that hold something else; nil: missing
---@field time? string|integer|(string|integer)[]|false  the column that says when each row was, or several whose fields
---  do so together, with blanks between them: { "day", "hour" }; the times must be in order. false: rows are read as
---  they stand (the first column of dates, if there is one)
---@field format? string  of these times, as strftime has it: "%d.%m.%Y %H:%M" (a common one that fits all of them)
---@field seed? integer  of the order of the windows (1)

local kinds = options.one_of(scale.kinds)

local check_series = options.declare("data.series", tables.with_options {
  { "inputs", options.optional(columns.list) },
  { "targets", options.optional(columns.list) },
  { "horizon", options.size, 1 },
  { "valid", options.fraction, 0.1 },
  { "test", options.fraction, 0 },
  { "scale", options.kind('"standard", "minmax", "none" or the scale of a forecaster', function(value)
    local is_pair = type(value) == "table" and scale.kind.accept(rawget(value, "inputs"))
      and scale.kind.accept(rawget(value, "targets"))
    return (is_pair or kinds.accept(value)) and value or nil
  end), "standard" },
  { "missing", options.one_of(gaps.policies), "error" },
  { "parse", columns.parsers, {} },
  { "time", options.optional(options.kind("columns, by name or number, or false", function(value)
    if value == false then
      return false
    end
    return columns.list.accept(value)
  end)) },
  { "format", options.optional(dates.kind) },
  { "seed", options.integer, 1 },
})

local check_windows = options.declare("series:windows", {
  { "batch", options.size, 50 },
  { "length", options.size, 50 },
  { "part", options.one_of { "train", "valid", "test" }, "train" },
  { "stride", options.optional(options.size) },
  { "first", options.size, 1 },
  { "partial", options.boolean, false },
  { "seed", options.optional(options.integer) },
})

local check_reading = options.declare("series:reading", reading.fields { "train", "valid", "test" })

-- --- Reading -----------------------------------------------------------------------------

--- Positions of the given columns of a tensor, or the default. Their names are their numbers.
local function positions_in(count, given, default)
  local positions = {}
  for n, wanted in ipairs(given or {}) do
    local position = math.tointeger(wanted) or type(wanted) == "string" and math.tointeger(tonumber(wanted))
    positions[n] = position and position >= 1 and position <= count and position
      or problem.raise("tensor: expected a column in 1..%d, got %s", count, options.describe(wanted))
  end
  return given and positions or default
end

--- Columns of a tensor (N) or (N, C), which has finite numbers only.
local function read_tensor(tensor, o)
  local shape = tensor:shape()
  if #shape < 1 or #shape > 2 or tensor:dtype() == "ids" or tensor:count() == 0 then
    options.fail("data.series: expected numbers of shape (N) or (N, C), got " .. options.describe(tensor))
  end
  tensor = tensor:reshape(shape[1], -1)
  local row, column = not_finite(tensor)
  if row then
    options.fail(("data.series: expected finite numbers, got %s in row %d, column %d"):format(
      options.describe(tensor[row][column]), row, column))
  end
  local names, by_position = {}, {}
  for position = 1, tensor:size(2) do
    names[position], by_position[position] = tostring(position), position
  end
  local inputs = positions_in(#names, o.inputs, by_position)
  return { tensor = tensor, names = names, inputs = inputs, targets = positions_in(#names, o.targets, inputs),
    count = shape[1] }
end

--- The columns that are inputs or targets, each once, and where each position is among them.
local function used(rows)
  local list, place = {}, {}
  for _, positions in ipairs { rows.inputs, rows.targets } do
    for _, position in ipairs(positions) do
      if not place[position] then
        list[#list + 1], place[position] = position, #list + 1
      end
    end
  end
  return list, place
end

--- The scale of a forecaster, for the used columns.
local function known_scale(self, rows, place, names, given)
  local shift, factor = {}, {}
  for _, which in ipairs { "inputs", "targets" } do
    local own, list = given[which], {}
    for n, position in ipairs(rows[which]) do
      list[n] = names[place[position]]
    end
    if not own:fits(list) then
      problem.raise("%s: expected the %s that option 'scale' has (%s), got (%s)", self.name, which,
        table.concat(own.names, ", "), table.concat(list, ", "))
    end
    for n, position in ipairs(rows[which]) do
      shift[place[position]], factor[place[position]] = own.shift[n], own.factor[n]
    end
  end
  return scale.from_table { names = names, shift = shift, factor = factor }
end

--- The used columns as lists of tensors (N): in their own units, and by a scale, which
--- comes with them.
---@param kind string|saros.Scale  what is fitted on the training part, or the scale
local function columns_of(rows, list, names, last, kind)
  local raw, scaled = {}, {}
  if rows.tensor then
    for n, position in ipairs(list) do
      raw[n] = rows.tensor:select(2, position)
    end
    local x = core.stack(raw, 2)
    local fitted = scale.kind.accept(kind) or scale.fit(x:slice(1, 1, last), names, kind)
    x = fitted:apply(x)
    for n in ipairs(list) do
      scaled[n] = x:select(2, n)
    end
    return raw, scaled, fitted
  end
  local values = {}
  for n, position in ipairs(list) do
    values[n] = rows.by_position[position].values
  end
  local fitted = scale.kind.accept(kind) or scale.fit_columns(values, 1, last, names, kind)
  for n in ipairs(list) do
    raw[n], scaled[n] = core.tensor(values[n]), fitted:apply_column(n, values[n])
  end
  return raw, scaled, fitted
end

local function pick(list, positions, place)
  local picked = {}
  for n, position in ipairs(positions) do
    picked[n] = list[place[position]]
  end
  return picked
end

local function require_near(self, x, names)
  local row, column = not_finite(x)
  if row then
    problem.raise("%s: expected all numbers of column %q near those of the training part, got one in row %d that "
      .. "is too far away", self.name, names[column], row)
  end
end

--- Inputs and targets of all rows, their names and scales. Returns them on that scale.
local function take_in(self, rows, last, kind)
  local list, place = used(rows)
  local names, by_scale = {}, {}
  for n, position in ipairs(list) do
    names[n] = rows.table and rows.table:unique_name(position) or rows.names[position]
  end
  local raw, scaled, fitted = columns_of(rows, list, names, last,
    type(kind) == "table" and known_scale(self, rows, place, names, kind) or kind)
  require_near(self, core.stack(scaled, 2), names)
  self.names, self.scale = {}, {}
  for _, which in ipairs { "inputs", "targets" } do
    local positions, places = rows[which], {}
    for n, position in ipairs(positions) do
      places[n] = place[position]
    end
    self.scale[which] = fitted:columns(places)
    self.names[which] = self.scale[which].names
    self[which] = core.stack(pick(raw, positions, place), 2)
    by_scale[which] = core.stack(pick(scaled, positions, place), 2)
  end
  return by_scale
end

-- --- Parts ---------------------------------------------------------------------------------

local PARTS = { "train", "valid", "test" }

--- How many rows each part has. A part is longer than the horizon; where rows are
--- too few for the default share, none is held out.
local function sizes(self, count, o, given)
  local rows = { test = share.held_out(count, o.test), valid = share.held_out(count, o.valid) }
  if (given or {}).valid == nil and rows.valid <= o.horizon then
    rows.valid = 0
  end
  rows.train = count - rows.test - rows.valid
  for _, part in ipairs(PARTS) do
    local wanted = part == "train" or o[part] > 0 and (rows[part] > 0 or (given or {})[part] ~= nil)
    if wanted and rows[part] <= o.horizon then
      problem.raise("%s: expected more than %d rows in part '%s', as horizon = %d, got %d of %d rows%s", self.name,
        o.horizon, part, o.horizon, math.max(rows[part], 0), count,
        part == "train" and "" or ("; %s = 0 holds none out"):format(part))
    end
  end
  return rows
end

--- The first and last row of each part.
local function ranges(rows)
  local list, first = {}, 1
  for n, part in ipairs(PARTS) do
    list[n], first = { first, first + rows[part] - 1 }, first + rows[part]
  end
  return list
end

--- What a table tells of itself beside its numbers.
local function describe_table(self, rows)
  self.time, self.left_out, self.ignored, self.dropped = rows.time, rows.left_out, rows.ignored, rows.dropped
  self.notes = {}
  for _, column in ipairs(rows.columns) do
    self.notes[#self.notes + 1] = column.unit and ("%s in %s"):format(column.name, column.unit)
      or column.kind == "truth" and ("%s as 1 for true and 0 for false"):format(column.name) or nil
  end
end

local EXPECTED = "a path, { string = ... } or a tensor"

local function name_of(source)
  if options.tensor.accept(source) then
    return "tensor"
  elseif type(source) == "table" then
    return from.string("data.series", source, EXPECTED) and "string"
  end
  return type(source) == "string" and source
    or options.fail(("data.series: expected %s, got %s"):format(EXPECTED, options.describe(source)))
end

local function build(self, source, o, given)
  if self.name == "tensor" then
    tables.refuse_options("data.series", given, { "missing", "parse", "time", "format" }, "a tensor")
  end
  local rows = self.name == "tensor" and read_tensor(source, o)
    or series_table.read(self.name, type(source) == "table" and source.string or nil, o)
  local parts = ranges(sizes(self, rows.count, o, given))
  if rows.table then
    -- "previous" only looks back, so it may take a value from the part before.
    self.filled = gaps.fill(rows, o.missing, o.missing == "previous" and { { 1, rows.count } } or parts)
    describe_table(self, rows)
  end
  local scaled = take_in(self, rows, parts[1][2], o.scale)
  self.scaled = scaled
  for n, part in ipairs(PARTS) do
    local first, last = parts[n][1], parts[n][2]
    self[part] = last >= first and setmetatable({ first = first, inputs = scaled.inputs:slice(1, first, last),
      targets = scaled.targets:slice(1, first, last) }, Part) or nil
  end
  return self
end

--- Read a series. A file that cannot be read, or that makes no sense, gives nil
--- and a message with its line and column.
---@param source string|{ string: string }|saros.Tensor  a path, the text itself, or numbers (N) or (N, C)
---@param given? saros.data.SeriesOptions
---@return saros.Series? series, string? message
local function series(source, given)
  local o = check_series(given)
  local self = setmetatable({
    name = name_of(source),
    horizon = o.horizon,
    seed = o.seed,
    left_out = {},
    filled = {},
    dropped = 0,
    ignored = { blank = 0, comments = 0 },
    notes = {},
  }, Series)
  local result, message = problem.try(build, self, source, o, given)
  return result, message and "data.series: " .. message
end

--- The number of rows, in all parts.
function Series:__len()
  return #self.inputs
end

--- The inputs or targets of the first rows on the scale of a model. On the series' own they are as
--- exact as those that a model learns from.
---@param which "inputs"|"targets"
---@param of saros.Scale
---@param last integer
---@return saros.Tensor  (last, F) or (last, K)
function Series:on_scale(which, of, last)
  if of:equals(self.scale[which]) then
    return self.scaled[which]:slice(1, 1, last)
  end
  return of:apply(self[which]:slice(1, 1, last))
end

--- What was made of a table.
local function remarks_of(self)
  return remarks.lines {
    { "time", { self.time and timeline.summary(self.time) } },
    { "read", self.notes },
    { "filled", remarks.filled(self.filled) },
    { "columns left out", remarks.by_reason(self.left_out) },
    { "dropped", remarks.counts { { self.dropped, "row with a gap", "rows with gaps" },
      { self.ignored.blank, "blank line", "blank lines" }, { self.ignored.comments, "comment", "comments" } } },
    { "held out", { not (self.valid or self.test) and "none" or nil } },
  }
end

function Series:__tostring()
  return ("series (%s: %d rows, %d for training; %s -> %s, %d step%s ahead)%s"):format(self.name, #self,
    #self.train, table.concat(self.names.inputs, ", "), table.concat(self.names.targets, ", "),
    self.horizon, self.horizon == 1 and "" or "s", remarks_of(self))
end

-- --- Windows -----------------------------------------------------------------------------------

--- Rows first..last of x, (T, n), for each of the starts, side by side: (T, B, n).
local function side_by_side(x, starts, length)
  local rows = {}
  for b, start in ipairs(starts) do
    rows[b] = x:slice(1, start, start + length - 1)
  end
  return core.stack(rows, 2)
end

local function window_at(part, starts, length, horizon)
  local following, ahead = side_by_side(part.targets, starts, length + horizon), {}
  for k = 1, horizon do
    ahead[k] = following:slice(1, k + 1, k + length)
  end
  return side_by_side(part.inputs, starts, length), core.stack(ahead, 3)
end

--- Where windows begin: the last one ends with the part.
local function starts_of(count, length, stride, generator)
  local last = count - length + 1
  local starts = {}
  for start = (last - 1) % stride + 1, last, stride do
    starts[#starts + 1] = start
  end
  return generator and order.shuffled(starts, generator) or starts
end

local function named_part(self, method, name)
  return self[name] or options.fail(("series:%s: expected a series with a part '%s', got one "
    .. "without; data.series(..., { %s = 0.1 }) holds one out"):format(method, name, name))
end

--- Refuse a batch and a length for which a part has too few steps, `room` of them.
local function require_room(self, o, room, stride)
  local least = o.length + (o.batch - 1) * stride
  if room < least then
    local is_own = o.stride or o.part == "train" -- else the stride is the length
    local longest = is_own and room - (o.batch - 1) * stride or room // o.batch
    options.fail(("series:windows: expected at least %d rows for batch = %d, length = %d and horizon = %d, "
      .. "got %d in part '%s' of %s; use a smaller batch or length: %s"):format(
      least + self.horizon, o.batch, o.length, self.horizon, room + self.horizon, o.part, self.name,
      fitting(longest, (room - o.length) // stride + 1)))
  end
end

---@class saros.data.SeriesWindowOptions
---@field batch? integer  B (50)
---@field length? integer  T (50)
---@field part? "train"|"valid"|"test"  ("train")
---@field stride? integer  steps from one start to the next (1 in training, else T)
---@field first? integer  the window of the pass to begin with (1)
---@field partial? boolean  may the last have fewer rows, and all be as short as the part? (false)
---@field seed? integer  of a random order, such as the number of the epoch; in the order of time without

--- Iterate over windows, once through a part.
---@param given? saros.data.SeriesWindowOptions
---@return fun(): saros.data.SeriesWindow?
function Series:windows(given)
  local o = check_windows(given)
  local part = named_part(self, "windows", o.part)
  local room = #part - self.horizon
  local length = o.partial and math.min(o.length, room) or o.length
  local stride = o.stride or o.part == "train" and 1 or length
  if not o.partial then
    require_room(self, o, room, stride)
  end
  local generator = o.seed and core.generator((self.seed << 32) + o.seed)
  local starts = starts_of(#part, length + self.horizon, stride, generator)
  local count = o.partial and (#starts - 1) // o.batch + 1 or #starts // o.batch
  return batches.numbered(count, o.first, function(index)
    local own = table.move(starts, (index - 1) * o.batch + 1, math.min(index * o.batch, #starts), 1, {})
    local inputs, targets = window_at(part, own, length, self.horizon)
    return { inputs = inputs, targets = targets, reset = true }
  end)
end

--- Iterate over windows that have each step of a part once whose targets are in the
--- part, in the order of time, in rows that do not depend on `batch` and `length`: see
--- saros.data.reading.
---@param given? { part?: "train"|"valid"|"test", batch?: integer, length?: integer }  ("valid"); rows
---  and steps of a row that are read at once, at most (50, 50)
---@return fun(): saros.data.SeriesWindow?
function Series:reading(given)
  local o = check_reading(given)
  local part = named_part(self, "reading", o.part)
  return reading.windows(#part - self.horizon, function(rows, steps, start)
    return function(first, last)
      local starts = {}
      for row = 1, rows do
        starts[row] = start + (row - 1) * steps + first - 1
      end
      return window_at(part, starts, last - first + 1, self.horizon)
    end
  end, o)
end

return series
