--- What a stream brings at a step: for each stream an id, or some numbers. A
--- script may give them as a number, as lists or as a tensor.

local core = require "saros.core"
local options = require "saros.options"

---@class saros.train.Form
---@field shape integer[]  (B) ids, or (B, F) numbers
---@field symbols integer?  V: ids are in 1..V; nil: numbers
---@field expected string  what messages call it
local Form = {}
Form.__index = Form

local form = {}

---@param streams integer  B
---@param symbols integer  V
---@return saros.train.Form
function form.ids(streams, symbols)
  local ids = streams == 1 and "an id" or streams .. " ids"
  return setmetatable({ shape = { streams }, symbols = symbols,
    expected = ("%s in 1..%d"):format(ids, symbols) }, Form)
end

---@param streams integer  B
---@param features integer  F
---@return saros.train.Form
function form.numbers(streams, features)
  local expected = streams > 1 and ("finite numbers of shape (%d, %d)"):format(streams, features)
    or features == 1 and "a finite number" or features .. " finite numbers"
  return setmetatable({ shape = { streams, features }, expected = expected }, Form)
end

local function are_in_range(ids, symbols)
  for _, id in ipairs(ids:totable()) do
    if id < 1 or id > symbols then
      return false
    end
  end
  return true
end

--- True if a tensor of this shape may stand for one of `wanted`. One of a single axis may, for
--- one stream, or one number of each.
local function shape_fits(shape, wanted)
  local rows, columns = wanted[1], wanted[2] or 1
  if #shape == 2 and wanted[2] then
    return shape[1] == rows and shape[2] == columns
  end
  return #shape < 2 and (shape[1] or 1) == rows * columns and (rows == 1 or columns == 1)
end

--- A value as a tensor of its own, of any shape; nil if it is none.
local function tensor_of(self, value)
  if options.tensor.accept(value) then
    return value:clone()
  elseif type(value) == "number" or type(value) == "table" then
    local ok, x = pcall(self.symbols and core.ids or core.tensor, value)
    return ok and x or nil
  end
end

--- True if an element of a list is what a step takes.
local function is_element(self, element)
  if self.symbols then
    local id = type(element) == "number" and math.tointeger(element)
    return id and id >= 1 and id <= self.symbols
  end
  return type(element) == "number" and element - element == 0
end

--- "nil at [2]": the first element of a list, which may hold lists, that no step takes.
local function describe_element(self, list, place)
  for position, element in options.each(list) do
    local here = ("%s[%d]"):format(place, position)
    if type(element) == "table" and place == "" and not self.symbols then
      local inside = describe_element(self, element, here)
      if inside then
        return inside
      end
    elseif not is_element(self, element) then
      return options.describe(element) .. " at " .. here
    end
  end
end

--- A value from a script, as a tensor that is nobody else's.
---@param name string  of the function, for messages
---@param value any
---@return saros.Tensor  of this form
function Form:read(name, value)
  local x = tensor_of(self, value)
  local dtype = self.symbols and "ids" or "real"
  if x and x:dtype() == dtype and shape_fits(x:shape(), self.shape) then
    x = x:reshape(self.shape)
    if self.symbols and are_in_range(x, self.symbols) or not self.symbols and x:all_finite() then
      return x
    end
  end
  options.fail(("%s: expected %s, got %s"):format(name, self.expected,
    type(value) == "table" and describe_element(self, value, "") or options.describe(value)))
end

--- Room for so many steps, (T, B) or (T, B, F).
---@param T integer
---@return saros.Tensor
function Form:room(T)
  local zeros = core.zeros(T, self.shape[1], self.shape[2] or 1)
  return self.symbols and zeros:argmax(-1) or zeros
end

return form
