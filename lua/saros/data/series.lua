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
local csv = require "saros.data.csv"
local order = require "saros.data.order"
local reading = require "saros.data.reading"
local fitting = require("saros.data.rows").fitting
local scale = require "saros.data.scale"

---@class saros.Series
---@field name string  the path, "string" or "tensor"
---@field horizon integer  h
---@field inputs saros.Tensor  (N, F): all rows, in their own units
---@field targets saros.Tensor  (N, K): all rows, in their own units
---@field names { inputs: string[], targets: string[] }  of the columns
---@field scale { inputs: saros.Scale, targets: saros.Scale }  fitted on the training part
---@field train saros.data.SeriesPart
---@field valid saros.data.SeriesPart?
---@field test saros.data.SeriesPart?  the last rows
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

---@class saros.data.SeriesOptions
---@field inputs? string|integer|(string|integer)[]  columns, by name or number (all that hold numbers)
---@field targets? string|integer|(string|integer)[]  (the inputs)
---@field horizon? integer  steps ahead, h (1)
---@field valid? number  fraction of the rows held out behind the training part (0.1)
---@field test? number  fraction of the rows held out at the end (0)
---@field scale? "standard"|"minmax"|"none"  to mean 0 and deviation 1, or to 0..1 ("standard")
---@field missing? "error"|"previous"|"interpolate"|"skip"  where a number is missing (nothing, NA,
---  NaN, null or ?): an error, the one before, a line to the one behind (which looks ahead), or the
---  row left out ("error")
---@field parse? table<string|integer, fun(text: string): number?>  for columns that hold something else
---@field separator? string  (the commonest of , ; tab | in the first line)
---@field header? boolean  does the first line name the columns? (if there is no number in it)
---@field seed? integer  of the order of the windows (1)

local column = columns.kind
local list_of_columns = options.list_of(column)
local some_columns = options.optional(options.kind("columns, by name or number", function(value)
  local list = column.accept(value) and { value } or list_of_columns.accept(value)
  return list and #list > 0 and list or nil
end))

local check_series = options.declare("data.series", {
  { "inputs", some_columns },
  { "targets", some_columns },
  { "horizon", options.size, 1 },
  { "valid", options.fraction, 0.1 },
  { "test", options.fraction, 0 },
  { "scale", options.one_of(scale.kinds), "standard" },
  { "missing", options.one_of(columns.policies), "error" },
  { "parse", options.table, {} },
  { "separator", options.optional(csv.separator_kind) },
  { "header", options.optional(options.boolean) },
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

--- Columns as a tensor (N, #positions), and their names.
local function table_of(by_position, names, positions)
  local list, chosen = {}, {}
  for n, position in ipairs(positions) do
    list[n], chosen[n] = by_position[position], names[position]
  end
  return core.stack(list, 2), chosen
end

--- The positions of the given columns, or the default.
local function positions_of(place, given, default)
  if not given then
    return default or columns.numeric(place, place.parse)
  end
  local positions = {}
  for n, wanted in ipairs(given) do
    positions[n] = columns.find(place, wanted)
  end
  return positions
end

--- Read inputs and targets from a text. Returns them and their names.
local function read_text(place, o)
  columns.survey(place)
  place.parse = {}
  for wanted, parse in pairs(o.parse) do
    place.parse[columns.find(place, wanted)] = parse
  end
  local inputs = positions_of(place, o.inputs)
  local targets = positions_of(place, o.targets, inputs)
  local list, by_position = {}, {}
  for _, positions in ipairs { inputs, targets } do
    for _, position in ipairs(positions) do
      if not by_position[position] then
        by_position[position] = true
        list[#list + 1] = { name = place.names[position], position = position,
          parse = place.parse[position], values = {}, gaps = {} }
      end
    end
  end
  if columns.read(place, list, o.missing) == 0 then
    csv.problem("%s: expected rows of numbers, got none", place.name)
  end
  for _, entry in ipairs(list) do
    by_position[entry.position], entry.values = core.tensor(entry.values), nil
  end
  return { by_position = by_position, names = place.names, inputs = inputs, targets = targets }
end

--- The same from a tensor (N) or (N, C), whose columns have numbers only.
local function read_tensor(tensor, o)
  local shape = tensor:shape()
  if #shape < 1 or #shape > 2 or tensor:dtype() == "ids" or tensor:count() == 0 then
    options.fail("data.series: expected numbers of shape (N) or (N, C), got " .. options.describe(tensor))
  end
  tensor = tensor:reshape(shape[1], -1)
  local place, by_position, all = { name = "tensor", names = {} }, {}, {}
  for position = 1, tensor:shape()[2] do
    place.names[position], all[position] = tostring(position), position
    by_position[position] = tensor:select(2, position)
  end
  local inputs = positions_of(place, o.inputs, all)
  return { by_position = by_position, names = place.names, inputs = inputs,
    targets = positions_of(place, o.targets, inputs) }
end

local function read(source, name, o)
  if name == "tensor" then
    return read_tensor(source, o)
  end
  local content = name == "string" and source.string or csv.read(source)
  return read_text({ name = name, content = content, header = o.header,
    separator = o.separator or csv.separator(content) }, o)
end

-- --- Parts ---------------------------------------------------------------------------------

local function part_of(self, first, last)
  local function rows(which)
    return self.scale[which]:apply(self[which]:slice(1, first, last))
  end
  return setmetatable({ first = first, inputs = rows "inputs", targets = rows "targets" }, Part)
end

local function split(self, o)
  local count = #self.inputs
  local test, valid = math.floor(count * o.test), math.floor(count * o.valid)
  local train = count - test - valid
  for part, rows in pairs { train = train, valid = valid, test = test } do
    if rows <= o.horizon and (rows > 0 or part == "train") then
      csv.problem("%s: expected more than %d rows in part '%s', as horizon = %d, got %d of %d rows",
        self.name, o.horizon, part, o.horizon, math.max(rows, 0), count)
    end
  end
  self.scale = {
    inputs = scale.fit(self.inputs:slice(1, 1, train), self.names.inputs, o.scale),
    targets = scale.fit(self.targets:slice(1, 1, train), self.names.targets, o.scale),
  }
  self.train = part_of(self, 1, train)
  self.valid = valid > 0 and part_of(self, train + 1, train + valid) or nil
  self.test = test > 0 and part_of(self, train + valid + 1, count) or nil
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

local function build(self, source, o)
  local found = read(source, self.name, o)
  self.names = {}
  for _, which in ipairs { "inputs", "targets" } do
    self[which], self.names[which] = table_of(found.by_position, found.names, found[which])
  end
  split(self, o)
  return self
end

--- Read a series. A file that cannot be read, or that makes no sense, gives nil
--- and a message with its line and column.
---@param source string|{ string: string }|saros.Tensor  a path, the text itself, or numbers (N) or (N, C)
---@param given? saros.data.SeriesOptions
---@return saros.Series? series, string? message
local function series(source, given)
  local o = check_series(given)
  for wanted, parse in pairs(o.parse) do
    if not column.accept(wanted) or type(parse) ~= "function" then
      options.fail(("data.series: expected option 'parse' to have functions by column, got %s for %s"):format(
        options.describe(parse), options.describe(wanted)))
    end
  end
  local self = setmetatable({
    name = name_of(source),
    horizon = o.horizon,
    seed = o.seed,
  }, Series)
  local result, message = csv.try(build, self, source, o)
  return result, message and "data.series: " .. message
end

--- The number of rows, in all parts.
function Series:__len()
  return #self.inputs
end

function Series:__tostring()
  return ("series (%s: %d rows, %d for training; %s -> %s, %d step%s ahead)"):format(self.name, #self,
    #self.train, table.concat(self.names.inputs, ", "), table.concat(self.names.targets, ", "),
    self.horizon, self.horizon == 1 and "" or "s")
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
