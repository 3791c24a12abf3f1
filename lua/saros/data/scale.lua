--- The scale of columns: what is taken off each, and what it is divided by, so
--- that a network sees numbers near 1. It is fitted once, on what is learned
--- from, and goes into model files, as a model makes no sense without it.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"

---@class saros.Scale
---@field names string[]  of the columns, F of them
---@field shift number[]  taken off each column
---@field factor number[]  that it is then divided by, not 0
local Scale = {}
spelling.methods(Scale, "saros.Scale")

local function new(names, shift, factor)
  return setmetatable({ names = names, shift = shift, factor = factor }, Scale)
end

--- What each kind takes off the columns of x (n, F), and divides them by.
local FIT = {
  standard = function(x)
    local mean = x:mean(1)
    return mean, ((x - mean) ^ 2):mean(1):sqrt()
  end,
  minmax = function(x)
    local low = x:min(1)
    return low, x:max(1) - low
  end,
  none = function(x)
    local zeros = core.zeros(x:shape()[2])
    return zeros, zeros + 1
  end,
}

local scale = {}

scale.kinds = { "standard", "minmax", "none" }

--- The scale of some rows. A column that is always the same is not divided.
---@param x saros.Tensor  (n, F)
---@param names string[]  F of them
---@param kind "standard"|"minmax"|"none"
---@return saros.Scale
function scale.fit(x, names, kind)
  local shift, factor = FIT[kind](x)
  return new(names, shift:totable(), (factor + factor:eq(0)):totable())
end

--- Columns to the scale of the network.
---@param x saros.Tensor  (..., F)
---@return saros.Tensor  (..., F)
function Scale:apply(x)
  return (x - core.tensor(self.shift)) / core.tensor(self.factor)
end

--- And back to the units of the columns.
---@param x saros.Tensor  (..., F)
---@return saros.Tensor  (..., F)
function Scale:invert(x)
  return x * core.tensor(self.factor) + core.tensor(self.shift)
end

--- Values from a script, in the units of the columns, as (T, F).
---@param owner string  for errors
---@param values saros.Tensor|number[]|number[][]  (T, F), or (T) if F is 1
---@return saros.Tensor
function Scale:rows(owner, values)
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
  end
  return new(given.names, given.shift, given.factor)
end

return scale
