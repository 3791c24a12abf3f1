--- Cells of one's own, written as a textbook writes them:
---
---     local Highway = nn.cell("highway", { states = { "h" } }, function(p, x, h)
---       local z = saros.sigmoid(p.gate(x .. h))
---       return z * saros.tanh(p.candidate(x .. h)) + (1 - z) * h
---     end)
---     local net = nn.recurrent { 64, 128, cell = Highway }
---
--- The function is one step: x (B, I) and the states as the step before left them, to
--- the new states, in the order of `states`. `p` makes parameters as they are first
--- asked for:
---
---     p.gate(v)            a linear map of v to H features, with weight and bias
---     p.gate(v, n)         to n features
---     p.decay:vector()     a vector of H numbers; :vector(n) of n
---     p.mix:tensor { 4, 8 }   any other shape
---     p.norm:layer_norm(v)    over the last axis, with gain and bias
---     p:dropout(v, 0.1)    in training, from a generator that the net seeds
---     p:named("update", v) v itself, which `layers = "all"` of a stack returns under this name
---     p.inputs, p.hidden   I and H
---
--- They are made by a first call with zeros, so a function must ask for the same ones
--- each time. Tensors from outside the function are not trained with the net.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"
local unread = require "saros.program.unread"

---@class saros.nn.CellState
---@field name string
---@field shape integer[]  of one row
---@field first number  all its elements before the first step

---@class saros.nn.CellOptions
---@field states? (string|table)[]|fun(inputs: integer, hidden: integer): (string|table)[]  names of the states, in
---  order; { "m", 4, 16, 16 } is one of other sizes than H, { "m", first = 1 } one that begins with ones ({ "h" })
---@field output? boolean  the function returns an output before the states; else the first state is the output (false)
---@field parameters? table<string, { weight?: number|saros.nn.Filler, bias?: number|false|saros.nn.Filler,
---  value?: number|saros.nn.Filler }>  how parameters begin, by name: of maps weight and bias (false: none), of vectors
---  and tensors value

---@class saros.nn.OwnCell: saros.nn.Module
---@field maker saros.nn.CellMaker
---@field input integer
---@field hidden integer
---@field states integer[][]  shapes of a row
---@field state_names string[]
---@field firsts number[]  what the elements of each state are before the first step
---@field output integer  features of y
---@field maps table<string, saros.nn.CellMap>
---@field making boolean  in the first call
---@field kept saros.Tensor[]|false  what maps gave in this step, in order
---@field replayed saros.Tensor[]|false  what they give in this step
---@field generator saros.Generator|false
---@field named { name: string, shape: integer[] }[]  what p:named names, in order, with the shape of a row
---@field told table<string, saros.Tensor>|false  takes these values in this step

-- --- Parameters -----------------------------------------------------------------------------

---@class saros.nn.CellMap
---@field cell saros.nn.OwnCell
---@field name string
---@field use string?  "map", "tensor", "norm"
---@field tensors table<string, saros.Tensor>  its parameters
local Map = {}
Map.__index = Map
Map.__name = "name of p, of which p.name(v), p.name:vector() and p.name:tensor { ... } are tensors" -- in messages

local KNOWN = { weight = true, bias = true, value = true }

--- What fills a parameter: what the caller says, or else.
local function filler(self, name, otherwise)
  local given = (self.cell.maker.o.parameters[self.name] or {})[name]
  if given == nil then
    return otherwise
  end
  return type(given) == "number" and initialize.constant(given) or given
end

local function complain(self, ...)
  options.fail(("%s: "):format(self.cell.kind) .. (...):format(select(2, ...)))
end

--- Refuses one name for two things, and new ones behind the first call.
local function claim(self, use)
  if self.use == nil and self.cell.making then
    self.use = use
  elseif self.use == nil then
    complain(self, "expected parameters that the first call asked for, got p.%s; a function asks for the same ones "
      .. "each time", self.name)
  elseif self.use ~= use then
    complain(self, "expected p.%s to stay a %s, got a %s", self.name, self.use, use)
  end
end

--- A parameter of this name, made in the first call.
local function parameter(self, suffix, shape, fill)
  local cell, name = self.cell, self.name .. suffix
  local tensor = self.tensors[name]
  if not tensor then
    tensor = cell:add_parameter(name, shape, fill)
    self.tensors[name] = tensor
  elseif not options.has_shape(tensor, table.unpack(shape)) then
    complain(self, "expected p.%s of shape (%s), as in the first call, got (%s)", self.name,
      table.concat(tensor:shape(), ", "), table.concat(shape, ", "))
  end
  return tensor
end

local function check_size(self, n)
  if n ~= nil and (math.type(n) ~= "integer" or n < 1) then
    complain(self, "expected a positive integer as the size of p.%s, got %s", self.name, options.describe(n))
  end
  return n or self.cell.hidden
end

local function check_value(self, v)
  if not options.tensor.accept(v) or v:rank() < 1 or v:dtype() ~= "real" then
    complain(self, "expected p.%s to be given a tensor (B, ...), got %s", self.name, options.describe(v))
  end
end

--- f(...) as maps do it in this step: it reads dropped states where there are any, see
--- forward_dropped.
function Map:mapped(f, ...)
  local cell = self.cell
  if cell.replayed then
    cell.replayed.at = cell.replayed.at + 1
    return cell.replayed[cell.replayed.at]
  end
  local y = f(...)
  if cell.kept then
    cell.kept[#cell.kept + 1] = y
  end
  return y
end

--- The linear map of v, over its last axis.
function Map:__call(v, n)
  return self:mapped(self.apply, self, v, n)
end

function Map:apply(v, n)
  claim(self, "map")
  check_value(self, v)
  local outputs, width = check_size(self, n), v:size(-1)
  local bound = 1 / math.sqrt(self.cell.hidden)
  local weight = parameter(self, ".weight", { outputs, width }, filler(self, "weight", initialize.matrix(bound)))
  local fill = filler(self, "bias", initialize.bias(bound))
  local bias = fill and parameter(self, ".bias", { outputs }, fill) or nil
  if not self.cell.making then
    return core.linear(v, weight, bias)
  end
  local shape = v:shape()
  shape[#shape] = outputs
  return core.zeros(shape)
end

--- A parameter of this shape, which begins uniform in +-1/sqrt(H).
---@param shape integer[]
---@return saros.Tensor
function Map:tensor(shape)
  claim(self, "tensor")
  options.argument(self.cell.kind, 1, options.list_of(options.size), shape)
  local tensor = parameter(self, "", shape, filler(self, "value", initialize.bias(1 / math.sqrt(self.cell.hidden))))
  return self.cell.making and core.zeros(shape) or tensor
end

--- A parameter of n numbers (H).
---@param n? integer
---@return saros.Tensor
function Map:vector(n)
  return self:tensor { check_size(self, n) }
end

--- v normalised over its last axis, with gain and bias (Ba et al. 2016).
---@param v saros.Tensor
---@return saros.Tensor
function Map:layer_norm(v)
  claim(self, "norm")
  check_value(self, v)
  local shape = { v:size(-1) }
  local gain = parameter(self, ".weight", shape, filler(self, "weight", initialize.constant(1)))
  local bias = parameter(self, ".bias", shape, filler(self, "bias", initialize.constant(0)))
  return self.cell.making and v or core.layer_norm(v, gain, bias)
end

--- A name of p:named, in the first call.
local function add_name(cell, name, v)
  if not (type(name) == "string" and name:find "^[%a_][%w_]*$") then
    options.fail(("%s: expected a name such as \"update\" as argument 1 of p:named, got %s"):format(cell.kind,
      options.describe(name)))
  elseif not options.tensor.accept(v) or v:rank() < 2 or v:dtype() ~= "real" then
    options.fail(("%s: expected a tensor (B, ...) as argument 2 of p:named(%q), got %s"):format(cell.kind, name,
      options.describe(v)))
  end
  for _, known in ipairs(cell.named) do
    if known.name == name then
      options.fail(("%s: expected p:named with different names, got %q twice"):format(cell.kind, name))
    end
  end
  cell.named[#cell.named + 1] = { name = name, shape = table.move(v:shape(), 2, v:rank(), 1, {}) }
end

--- What a function gets as p.
local function new_parameters(cell)
  local fixed = { inputs = cell.input, hidden = cell.hidden }

  local function check_colon(self, call)
    if self ~= fixed then
      options.fail(("%s: expected p:%s, with a colon, got %s before v"):format(cell.kind, call, options.describe(self)))
    end
  end

  --- Dropout of v in training.
  function fixed.dropout(self, v, probability)
    check_colon(self, "dropout(v, probability)")
    if cell.making and not cell.generator then
      cell.generator = cell:add_generator "dropout"
    end
    return core.dropout(v, probability, cell.generator)
  end

  --- v, by a name for those who ask what a layer did; see saros.nn.Recurrent.
  function fixed.named(self, name, v)
    check_colon(self, "named(name, v)")
    if cell.making then
      add_name(cell, name, v)
    elseif cell.told then
      cell.told[name] = v
    end
    return v
  end

  return setmetatable(fixed, { __index = function(_, name)
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then
      options.fail(("%s: expected a name such as p.gate, got %s"):format(cell.kind, options.describe(name)))
    end
    cell.maps[name] = cell.maps[name] or setmetatable({ cell = cell, name = name, tensors = {} }, Map)
    return cell.maps[name]
  end })
end

-- --- A step ---------------------------------------------------------------------------------

--- Refuses what the function returned, at the line where it begins.
local function fail_at_step(self, ...)
  local place = core.defined_at(self.maker.step) or core.caller()
  error(place .. self.kind .. ": expected the function to return " .. (...):format(select(2, ...)), 0)
end

--- Sorts what the function returned: y, the new states.
local function sort(self, count, ...)
  local wanted = #self.states + (self.maker.o.output and 1 or 0)
  if count ~= wanted then
    local cure = count == wanted + 1 and not self.maker.o.output
      and "; with the option output = true it returns an output before them" or ""
    fail_at_step(self, "%s, got %d value%s%s", (self.maker.o.output and "an output and " or "")
      .. table.concat(self.state_names, ", "), count, count == 1 and "" or "s", cure)
  end
  if self.maker.o.output then
    return (...), { select(2, ...) }
  end
  return (...), { ... }
end

local function counted(self, ...)
  return sort(self, select("#", ...), ...)
end

--- One step.
---@param x saros.Tensor  (B, I)
---@param states saros.Tensor[]  (B, ...) each
---@return saros.Tensor y
---@return saros.Tensor[] states
local function forward(self, x, states)
  return counted(self, self.maker.step(self.p, x, table.unpack(states, 1, #self.states)))
end

--- Stops what maps do beside their work, however a step ends.
local Plain = {}
function Plain:__close()
  self.cell.kept, self.cell.replayed = false, false
end

--- One step in which maps read other states than the rest does: dropout of what
--- products read of a state, which itself is carried on whole. So the function runs
--- twice, and the second time maps give what they gave the first time.
---@param x saros.Tensor
---@param states saros.Tensor[]
---@param dropped saros.Tensor[]  what maps read
local function forward_dropped(self, x, states, dropped)
  local _ <close> = setmetatable({ cell = self }, Plain)
  self.kept = {}
  self.maker.step(self.p, x, table.unpack(dropped, 1, #self.states))
  self.replayed, self.kept = self.kept, false
  self.replayed.at = 0
  return self:forward(x, states)
end

-- --- Making ---------------------------------------------------------------------------------

--- True if a state has no other field than `first`, a finite number.
local function is_begun(entry)
  for key, value in pairs(entry) do
    if math.type(key) ~= "integer" and (key ~= "first" or not options.number.accept(value)) then
      return false
    end
  end
  return true
end

--- A state from "h", { "m", 4, 16 } or { "m", first = 1 }.
local function state_of(name, given, hidden)
  local entry = type(given) == "table" and given or { given }
  local shape = { table.unpack(entry, 2) }
  local is_fit = type(entry[1]) == "string" and entry[1]:find "^[%a_][%w_]*$" and is_begun(entry)
  for _, size in ipairs(shape) do
    is_fit = is_fit and math.type(size) == "integer" and size > 0
  end
  if not is_fit or #shape > 6 then
    options.fail(('nn.cell: expected states of %s as a list such as { "h", { "m", 4, 16, 16, first = 1 } }, got %s in '
      .. 'it'):format(name, options.describe_list(given)))
  end
  return { name = entry[1], shape = #shape > 0 and shape or { hidden }, first = entry.first or 0 }
end

local function states_of(maker, inputs, hidden)
  local given, list, seen = maker.o.states, {}, {}
  if type(given) == "function" then
    given = given(inputs, hidden)
  end
  if type(given) ~= "table" or #given == 0 then
    options.fail(('nn.cell: expected states of %s as a list such as { "h", { "m", 4, 16, 16 } }, got %s'):format(
      maker.name, options.describe_list(given)))
  end
  for position, entry in options.each(given) do
    list[position] = state_of(maker.name, entry, hidden)
    if seen[list[position].name] then
      options.fail(("nn.cell: expected states of %s with different names, got %q twice"):format(
        maker.name, list[position].name))
    end
    seen[list[position].name] = true
  end
  return list
end

-- Rows of the first call.
local B = 2

--- What an error of the first call has to do with names of p that are numbers.
local function cure_of(self, message)
  local name = message:match "attempt to call a number value %(%a+ '(%a+)'%)"
  local is_number = name and math.type(rawget(self.p, name)) ~= nil
  return is_number and ("; p.%s is a number, a size of the layer, so a map needs another name"):format(name) or ""
end

--- An error of the first call, with where its number of rows is from. A function that
--- ends with a call, as in `return p.gate(x)`, is gone when that call fails, so the line
--- outside is blamed: the function's own first line is better.
local function in_step(self, message)
  local outside, place = core.caller(), core.defined_at(self.maker.step)
  if place and outside ~= "" and message:sub(1, #outside) == outside then
    message = place .. message:sub(#outside + 1)
  end
  message = message .. cure_of(self, message)
  return message:find(("expected .*%%(%d[,)]"):format(B))
    and ("%s; the first call, which makes the parameters of %s, has %d rows"):format(message, self.kind, B) or message
end

--- The first call, told of comparisons that serve as conditions.
local function call_first(self, x, states)
  local comparisons = unread.new()
  local _ <close> = core.record(function(...) comparisons:told(...) end)
  local ok, y, new = pcall(self.forward, self, x, states)
  local problem, place = comparisons:problem(y, new)
  if ok and problem then
    error(("%s%s: expected a step made of operations on features, got %s"):format(place, self.kind, problem), 0)
  end
  if not ok and type(y) == "string" then
    y = in_step(self, y)
  end
  if not ok then
    error(y, 0)
  end
  return y, new
end

--- The first call: makes the parameters, and sees what comes out.
local function make_parameters(self, list)
  local _ <close> = core.no_gradient()
  local states = {}
  for position, state in ipairs(list) do
    states[position] = core.zeros(B, table.unpack(state.shape))
  end
  self.making = true
  local y, new = core.with_room(call_first, self, core.zeros(B, self.input), states)
  self.making = false
  if not options.tensor.accept(y) or y:rank() ~= 2 or y:size(1) ~= B then
    fail_at_step(self, "%s of shape (B, features), got %s", self.maker.o.output and "an output" or "a first state",
      options.describe(y))
  end
  for position, state in ipairs(list) do
    if not options.has_shape(new[position], B, table.unpack(state.shape)) then
      fail_at_step(self, "%s of shape (B, %s), got %s", state.name, table.concat(state.shape, ", "),
        options.describe(new[position]))
    end
  end
  self.output = y:size(2)
end

local function check_names(self)
  for name in pairs(self.maker.o.parameters) do
    if not self.maps[name] then
      local names = {}
      for known in pairs(self.maps) do
        names[#names + 1] = known
      end
      options.fail(("nn.cell: expected parameters that %s has, got %s%s"):format(self.kind, options.describe(name),
        core.hint(name, names)))
    end
  end
end

--- A cell that takes `inputs` features.
local function new_cell(maker, inputs, hidden)
  local self = maker.class.new()
  self.maker, self.input, self.hidden, self.maps = maker, inputs, hidden, {}
  self.generator, self.kept, self.replayed = false, false, false
  self.named, self.told = {}, false
  self.p = new_parameters(self)
  self.states, self.state_names, self.firsts = {}, {}, {}
  local list = states_of(maker, inputs, hidden)
  for n, state in ipairs(list) do
    self.states[n], self.state_names[n], self.firsts[n] = state.shape, state.name, state.first
  end
  make_parameters(self, list)
  check_names(self)
  return self
end

---@class saros.nn.CellMaker
---@field name string
---@field o saros.nn.CellOptions
---@field step fun(p: table, x: saros.Tensor, ...: saros.Tensor): saros.Tensor
---@field class table
local Maker = {}
Maker.__index = Maker
Maker.__name = "cell of nn.cell (nn.recurrent { inputs, hidden, cell = it } makes layers of it)" -- in messages

--- A cell, as nn.recurrent asks for one.
---@param inputs integer
---@param hidden integer
---@return saros.nn.OwnCell
function Maker:__call(inputs, hidden)
  options.argument(self.name, 1, options.size, inputs)
  options.argument(self.name, 2, options.size, hidden)
  return new_cell(self, inputs, hidden)
end

function Maker:__tostring()
  return ("cell %q"):format(self.name)
end

local function is_start(value)
  return type(value) == "number" or type(value) == "function"
end

--- True if a table says how a parameter begins.
local function is_beginning(given)
  if type(given) ~= "table" then
    return false
  end
  for key, value in pairs(given) do
    if not KNOWN[key] or not (is_start(value) or key == "bias" and value == false) then
      return false
    end
  end
  return true
end

local beginnings = options.kind("tables of weight, bias and value (numbers or fillers; bias may be false) by name",
  function(value)
    for name, given in pairs(type(value) == "table" and value or { false }) do
      if type(name) ~= "string" or not is_beginning(given) then
        return nil
      end
    end
    return value
  end)

local check = options.declare("nn.cell", {
  { "states", options.kind("a list of states, or a function that gives one", function(value)
    return (type(value) == "table" or type(value) == "function") and value or nil
  end), { "h" } },
  { "output", options.boolean, false },
  { "parameters", beginnings, {} },
})

local cell = {}

--- A cell of one's own: see the top of this file. What it returns goes to
--- `nn.recurrent { inputs, hidden, cell = it }`.
---@param name string
---@param given saros.nn.CellOptions
---@param step fun(p: table, x: saros.Tensor, ...: saros.Tensor): saros.Tensor
---@return saros.nn.CellMaker
function cell.cell(name, given, step)
  if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then
    options.fail("nn.cell: expected a name of letters, digits and _ as argument 1, got " .. options.describe(name))
  end
  local o = check(given)
  options.argument("nn.cell", 3, options.callback, step)
  local class = module.class(name)
  class.forward, class.forward_dropped = forward, forward_dropped
  class.after_copy = function(self) -- p reaches the cell that it was made for
    self.p = new_parameters(self)
  end
  class.describe = function(self)
    return ("%s %d -> %d"):format(self.kind, self.input, self.output)
  end
  return setmetatable({ name = name, o = o, step = step, class = class }, Maker)
end

--- True if a value is a cell that nn.cell has made.
function cell.is(value)
  return module.is(value) and value.maker ~= nil and getmetatable(value.maker) == Maker
end

--- What p:named names in a cell, in order; nothing in another module.
---@param value saros.nn.Module
---@return { name: string, shape: integer[] }[]
function cell.named(value)
  return cell.is(value) and value.named or {}
end

return cell
