--- The scale of columns: what is taken off each, and what it is divided by, so
--- that a network sees numbers near 1. It is fitted once, on what is learned
--- from, and goes into model files, as a model makes no sense without it.

local core = require "saros.core"
local flatten = require "saros.flatten"
local not_finite = require "saros.data.not_finite"
local options = require "saros.options"
local problem = require "saros.data.problem"
local spelling = require "saros.spelling"

---@class saros.Scale
---@field names string[]  of the columns, F of them
---@field shift number[]  taken off each column
---@field factor number[]  that it is then divided by, not 0
---@field near saros.Tensor  (F): the shift, rounded
---@field rest saros.Tensor  (F): the shift without that
---@field divisor saros.Tensor  (F): the factor
local Scale = {}
spelling.methods(Scale, "saros.Scale")

-- The shift as numbers of the build, which are taken off exactly from numbers near them,
-- and what they lack.
local function new(names, shift, factor)
  local near, rest = core.tensor(shift), {}
  for n, rounded in ipairs(near:totable()) do
    rest[n] = shift[n] - rounded
  end
  return setmetatable({ names = names, shift = shift, factor = factor, near = near, rest = core.tensor(rest),
    divisor = core.tensor(factor) }, Scale)
end

-- --- Fitting -------------------------------------------------------------------------------

--- The mean and the deviation of numbers, in double. The first value is taken off
--- before anything is summed, so that large numbers keep their differences.
local function moments(values, first, last)
  local from, sum, squares, n = values[first] + 0.0, 0, 0, last - first + 1 -- no integer, which could overflow
  for row = first, last do
    sum = sum + (values[row] - from)
  end
  local mean = sum / n
  local rest = 0
  for row = first, last do
    local apart = values[row] - from - mean
    rest, squares = rest + apart, squares + apart * apart
  end
  return from + mean, math.sqrt(math.max(squares / n - (rest / n) ^ 2, 0))
end

local function bounds(values, first, last)
  local low, high = values[first], values[first]
  for row = first + 1, last do
    low, high = math.min(low, values[row]), math.max(high, values[row])
  end
  return low + 0.0, high + 0.0 -- no integers, whose difference could overflow
end

--- What each kind takes off numbers, and divides them by. Numbers that are all the same are not divided.
local FIT = {
  standard = moments,
  minmax = function(values, first, last)
    local low, high = bounds(values, first, last)
    return low, high - low
  end,
  none = function()
    return 0, 1
  end,
}

--- The same from the columns of a tensor, (n, F). Its mean is near each value, so
--- that their differences from it are exact; these have a mean and a deviation again.
local FIT_TENSOR = {
  standard = function(x)
    local middle = x:mean(1)
    local apart = x - middle
    local size = apart:abs():max(1)
    apart = apart / (size + size:eq(0))
    local rest = apart:mean(1)
    local deviation = ((apart - rest) ^ 2):mean(1):sqrt()
    return middle:totable(), (rest * size):totable(), (deviation * size):totable()
  end,
  minmax = function(x)
    local low = x:min(1)
    return low:totable(), {}, (x:max(1) - low):totable()
  end,
  none = function()
    return {}, {}, {}
  end,
}

local scale = {}

scale.kinds = { "standard", "minmax", "none" }

--- A factor by which numbers of the build can be divided.
local function usable(factor, name)
  local rounded = core.tensor(factor)
  if not rounded:all_finite() or rounded:item() == 0 then
    problem.raise("expected numbers in column %q whose spread a number of this build can be, got %g; "
      .. "scale = \"none\" takes them as they are", name, factor)
  end
  return factor
end

--- The scale of some rows of columns in double.
---@param columns number[][]  F of them
---@param first integer
---@param last integer
---@param names string[]  F of them
---@param kind "standard"|"minmax"|"none"
---@return saros.Scale
function scale.fit_columns(columns, first, last, names, kind)
  local shift, factor = {}, {}
  for n, values in ipairs(columns) do
    local low, high = bounds(values, first, last)
    shift[n], factor[n] = FIT[kind](values, first, last)
    if low == high then
      shift[n], factor[n] = kind == "none" and 0 or low, 1
    end
    usable(factor[n], names[n])
  end
  return new(names, shift, factor)
end

--- The scale of some rows. A column that is always the same is not divided.
---@param x saros.Tensor  (n, F)
---@param names string[]  F of them
---@param kind "standard"|"minmax"|"none"
---@return saros.Scale
function scale.fit(x, names, kind)
  local middle, rest, factor = FIT_TENSOR[kind](x)
  local low, high, shift = x:min(1):totable(), x:max(1):totable(), {}
  for n, name in ipairs(names) do
    shift[n], factor[n] = (middle[n] or 0) + (rest[n] or 0), factor[n] or 1
    if low[n] == high[n] then
      shift[n], factor[n] = kind == "none" and 0 or low[n], 1
    end
    usable(factor[n], name)
  end
  return new(names, shift, factor)
end

--- True if another scale makes the same of numbers.
---@param other saros.Scale
---@return boolean
function Scale:equals(other)
  options.argument("equals", 1, scale.kind, other)
  for n = 1, math.max(#self, #other) do
    if self.shift[n] ~= other.shift[n] or self.factor[n] ~= other.factor[n] then
      return false
    end
  end
  return true
end

--- True if columns of these names can be its own: as many, and none of its names in
--- another place.
---@param columns string[]
---@return boolean
function Scale:fits(columns)
  for n, name in ipairs(columns) do
    for place, own in ipairs(self.names) do
      if name == own and n ~= place then
        return false
      end
    end
  end
  return #columns == #self.names
end

--- The scale of some of its columns.
---@param places integer[]  in 1..F
---@return saros.Scale
function Scale:columns(places)
  local columns, shift, factor = {}, {}, {}
  for n, place in ipairs(places) do
    columns[n], shift[n], factor[n] = self.names[place], self.shift[place], self.factor[place]
  end
  return new(columns, shift, factor)
end

-- --- Applying ---------------------------------------------------------------------------------

--- Columns to the scale of the network.
---@param x saros.Tensor  (..., F)
---@return saros.Tensor  (..., F)
function Scale:apply(x)
  return (x - self.near - self.rest) / self.divisor
end

--- And back to the units of the columns.
---@param x saros.Tensor  (..., F)
---@return saros.Tensor  (..., F)
function Scale:invert(x)
  return (x * self.divisor + self.rest) + self.near
end

--- Column n, as a list, to the scale of the network, in double.
---@param n integer  1..F
---@param values number[]
---@return saros.Tensor  (#values)
function Scale:apply_column(n, values)
  local shift, factor, scaled = self.shift[n], self.factor[n], {}
  for row, value in ipairs(values) do
    scaled[row] = (value - shift) / factor
  end
  return core.tensor(scaled)
end

--- Column n back to its units, as numbers in double.
---@param n integer  1..F
---@param x saros.Tensor  (N)
---@return number[]
function Scale:invert_column(n, x)
  local shift, factor, values = self.shift[n], self.factor[n], {}
  for row, value in ipairs(x:totable()) do
    values[row] = value * factor + shift
  end
  return values
end

--- Values from a script to the scale of the network: numbers in double, before they
--- are rounded to those of the build.
---@param values saros.Tensor|number|table  as the script gave them
---@param x saros.Tensor  (..., F): the same
---@return saros.Tensor  of the shape of x
function Scale:apply_values(values, x)
  if options.tensor.accept(values) then
    return self:apply(x)
  end
  local list, F = flatten(values), #self
  for n, value in ipairs(list) do
    local column = (n - 1) % F + 1
    list[n] = (value - self.shift[column]) / self.factor[column]
  end
  return core.tensor(list):reshape(x:shape())
end

--- Values from a script as (T, F), not checked yet.
local function as_rows(self, owner, values)
  if type(values) == "table" and options.tensor.accept(values.inputs) then
    options.fail(("%s: expected values, got %s; pass series.inputs"):format(owner, options.describe(values)))
  end
  local x = options.tensor.accept(values)
    or type(values) == "table" and #values > 0 and options.about(owner, core.tensor, values)
    or options.fail(("%s: expected values, got %s"):format(owner, options.describe(values)))
  local shape, F = x:shape(), #self
  if #shape == 1 and F == 1 and x:dtype() ~= "ids" then
    return x:reshape(-1, 1)
  elseif #shape ~= 2 or shape[2] ~= F or x:dtype() == "ids" then
    options.fail(("%s: expected values of shape (T, %d), for %s, got %s"):format(
      owner, F, table.concat(self.names, ", "), options.describe(x)))
  end
  return x
end

--- Values from a script, in the units of the columns, as (T, F).
---@param owner string  for errors
---@param values saros.Tensor|number[]|number[][]  (T, F), or (T) if F is 1; all finite
---@return saros.Tensor
function Scale:rows(owner, values)
  local x = as_rows(self, owner, values)
  local row, column = not_finite(x)
  if row then
    options.fail(("%s: expected finite values, got %s for %s in row %d"):format(owner, options.describe(x[row][column]),
      self.names[column], row))
  end
  return x
end

--- Values from a script, scaled.
---@param owner string  for errors
---@param values saros.Tensor|number[]|number[][]  (T, F), or (T) if F is 1; all finite
---@param original? table  the lists that became a tensor, as their numbers are more exact
---@return saros.Tensor  (T, F)
function Scale:read(owner, values, original)
  local scaled = self:apply_values(original or values, self:rows(owner, values))
  local row, column = not_finite(scaled)
  if row then
    options.fail(("%s: expected values near those that the scale is of, got one for %s in row %d that is too far away")
      :format(owner, self.names[column], row))
  end
  return scaled
end

--- The number of columns, F.
function Scale:__len()
  return #self.names
end

--- Plain data for a model file.
---@return { names: string[], shift: number[], factor: number[] }
function Scale:to_table()
  return { names = self.names, shift = self.shift, factor = self.factor }
end

--- For functions that take a scale as an option.
---@type saros.options.Kind
scale.kind = options.kind("a scale", function(value)
  return getmetatable(value) == Scale and value or nil
end)

local names = options.list_of(options.string)
local numbers = options.list_of(options.number)

--- What `to_table` described.
---@param given table
---@return saros.Scale
function scale.from_table(given)
  if type(given) ~= "table" or not (names.accept(given.names) and numbers.accept(given.shift)
      and numbers.accept(given.factor)) then
    options.fail("scale: expected names, shifts and factors of columns, got " .. options.describe(given))
  elseif #given.names == 0 or #given.names ~= #given.shift or #given.names ~= #given.factor then
    options.fail(("scale: expected as many names as shifts and factors, got %d, %d and %d"):format(
      #given.names, #given.shift, #given.factor))
  end
  for position, factor in ipairs(given.factor) do
    if factor == 0 then
      options.fail(("scale: expected factors other than 0, got 0 for %q"):format(given.names[position]))
    end
    for _, value in ipairs { factor, given.shift[position] } do
      local rounded = core.tensor(value)
      if not rounded:all_finite() or value == factor and rounded:item() == 0 then
        options.fail(("scale: expected numbers that this build can have, got %s for %q"):format(
          options.describe(value), given.names[position]))
      end
    end
  end
  return new(given.names, given.shift, given.factor)
end

return scale
