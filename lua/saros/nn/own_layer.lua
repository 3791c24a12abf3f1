--- One layer of cells of one's own in one direction: the cell's step with what a
--- layer does around it. The state begins at the learned one, or as the cell says, at
--- zeros if it says nothing; zoneout lets units keep their values; dropout hides units of a state from the cell's maps.
---
--- All that is random comes in as an input of the step, so a step is a function:
---
---     x(t), zone factors, dropout factors, states -> y(t), states

local core = require "saros.core"
local options = require "saros.options"
local cells = require "saros.nn.cell"
local compiled = require "saros.nn.compiled"
local module = require "saros.nn.module"
local scope = require "saros.nn.scope"
local given_steps = require "saros.nn.steps"
local unroll = require "saros.nn.unroll"

---@class saros.nn.OwnLayer: saros.nn.Module
---@field cell saros.nn.Module
---@field shapes integer[][]  of a row of each state
---@field names string[]  of the states
---@field zoneout number[]  by state
---@field dropout number[]  by state, of what maps read
---@field generator saros.Generator?  of both
---@field initial saros.Tensor[]|false  learned first states
---@field firsts number[]  by state: where it begins if that is not learned
---@field compiles boolean  unless the net is told to unroll
---@field made table<boolean|"ahead", { handle: saros.nn.Compiled|false, reason: string? }>  the compiled step, that
---  which tells all, and that which reads W x in place of x
---@field tells boolean  a program that is traced now gives all that a step computes and that has a name
---@field input integer
local OwnLayer = module.class "own_layer"
OwnLayer.stateful = true

local function size_of(shape)
  local size = 1
  for _, n in ipairs(shape) do
    size = size * n
  end
  return size
end

--- Where rows begin: at the learned state, else where the cell says. The second result
--- is true if that is not zeros.
---@param B integer
---@return saros.Tensor[]
---@return boolean
function OwnLayer:first(B)
  local first, differs = {}, false
  for position, shape in ipairs(self.shapes) do
    local zeros, begins = core.zeros(B, table.unpack(shape)), self.firsts[position]
    if self.initial then
      begins = self.initial[position]
    end
    first[position] = begins ~= 0 and zeros + begins or zeros
    differs = differs or begins ~= 0
  end
  return first, differs
end

-- --- A step -----------------------------------------------------------------------------

--- A factor (B, n) in the shape of a state.
local function in_shape_of(factor, h)
  return factor:rank() == h:rank() and factor or factor:reshape(h:shape())
end

--- The states as maps read them.
local function hidden_from_maps(states, factors)
  local read = {}
  for position, h in ipairs(states) do
    local factor = factors["drop_" .. position]
    read[position] = factor and h * in_shape_of(factor, h) or h
  end
  return read
end

--- What one's own says, or what it means where it returns y alone.
local function call_cell(self, x, states, factors)
  local y, new
  if self.is_program and factors.drop_1 then
    options.fail "nn.recurrent: expected compiled = true with recurrent_dropout and a cell from a file"
  elseif next(factors) and cells.is(self.cell) and math.max(table.unpack(self.dropout)) > 0 then
    y, new = self.cell:forward_dropped(x, states, hidden_from_maps(states, factors))
  else
    y, new = self.cell(x, states)
  end
  if options.tensor.accept(y) == nil or new ~= nil and type(new) ~= "table" then
    local got = options.tensor.accept(y) and "a state that is " .. options.describe(new) or options.describe(y)
    error(("%snn.recurrent: expected %s to return y and a list of its states (or just the state, if that is y), got %s")
      :format(core.defined_at(self.cell.forward) or core.caller(), self.kind, got), 0)
  end
  return y, new or { y }
end

--- One step.
---@param x saros.Tensor  (B, I)
---@param states saros.Tensor[]?
---@param factors table<string, saros.Tensor|number>  zone_N, drop_N: of state N, (B, n)
---@return saros.Tensor y
---@return saros.Tensor[] states
function OwnLayer:step(x, states, factors)
  states = states or self:first(x:size(1))
  local y, new = call_cell(self, x, states, factors)
  for position, before in ipairs(states) do
    local zone, h = factors["zone_" .. position], new[position]
    if zone then
      zone = type(zone) == "number" and zone or in_shape_of(zone, h)
      new[position] = before + (h - before) * zone
      y = y == h and new[position] or y
    end
  end
  return y, new
end

--- Stops a cell of nn.cell from telling what it names, however a step ends.
local Silence = {}
function Silence:__close()
  self.cell.told = false
end

--- One step, and its new states and what the cell names, by names for programs.
local function step_told(self, x, states, factors)
  local named = {}
  local _ <close> = cells.is(self.cell) and setmetatable({ cell = self.cell }, Silence) or nil
  if cells.is(self.cell) then
    self.cell.told = named
  end
  local y, new = self:step(x, states, factors)
  local all = { y = y }
  for position, name in ipairs(self.names) do
    all["state." .. name] = new[position]
  end
  for name, value in pairs(named) do
    all["gate." .. name] = value
  end
  return all, new
end

--- The same, as programs see it: x, or a table of x and the factors by name.
function OwnLayer:forward(given, states)
  local x, factors = given, {}
  if not options.tensor.accept(given) then
    x, factors = given.x, given
  end
  if self.tells then
    return step_told(self, x, states, factors)
  end
  return self:step(x, states, factors)
end

-- --- A sequence ---------------------------------------------------------------------------

--- Factors that are 1 or 0 in training and their mean otherwise: (T, B, n). A program
--- has the mean.
local function zone(self, p, ...)
  return scope.tracer and 1 - p or core.dropout(core.ones(...), p, self.generator) * (1 - p)
end

--- What is random in this pass: for each factor (T, B, n), (B, n) or a number. A program
--- has none of it.
local function factors_of(self, T, B)
  local factors = {}
  if scope.tracer and math.max(table.unpack(self.dropout)) + math.max(table.unpack(self.zoneout)) > 0 then
    scope.tracer.asks_training = true
  end
  for position, shape in ipairs(self.shapes) do
    local n = size_of(shape)
    if self.dropout[position] > 0 and not scope.tracer then
      factors["drop_" .. position] = core.dropout(core.ones(B, n), self.dropout[position], self.generator)
    end
    if self.zoneout[position] > 0 then
      factors["zone_" .. position] = zone(self, self.zoneout[position], T, B, n)
    end
  end
  return factors
end

--- The factors of step t.
local function factors_at(factors, t)
  local at = {}
  for name, factor in pairs(factors) do
    at[name] = type(factor) == "userdata" and factor:rank() == 3 and factor[t] or factor
  end
  return at
end

--- What a step told, for all steps: to the lists by name.
local function remember(lists, told, t)
  for name, value in pairs(told) do
    lists[name] = lists[name] or {}
    lists[name][t] = value
  end
end

local function unrolled(self, x, state, steps, factors, tells)
  local lists, first, differs = {}, self:first(x:size(2))
  x = steps.mask and core.mask_rows(x, steps.mask) or x
  local y, last = unroll.walk(function(input, states)
    if not tells then
      return self:step(input.x, states, input.factors)
    end
    local told, new = step_told(self, input.x, states, input.factors)
    local given = told.y
    told.y = nil
    remember(lists, told, input.t)
    return given, new
  end, #x, function(t)
    return { t = t, x = x[t], factors = factors_at(factors, t) }
  end, state or first, steps, differs and first)
  for name, values in pairs(lists) do
    lists[name] = given_steps.hide(core.stack(values), steps.mask)
  end
  return y, last, lists
end

-- --- Compiled -----------------------------------------------------------------------------

--- What a step reads.
local function inputs_of(self)
  local inputs = { { name = "x", width = self.input } }
  for position, shape in ipairs(self.shapes) do
    for _, kind in ipairs { "drop", "zone" } do
      local share = self[kind == "drop" and "dropout" or "zoneout"][position]
      if share > 0 and not (kind == "drop" and self.is_program) then
        inputs[#inputs + 1] = { name = kind .. "_" .. position, width = size_of(shape) }
      end
    end
  end
  return inputs
end

--- The compiled step, or false and why there is none.
---@param reverse boolean
---@param form? boolean|"ahead"  true: its outputs are all that a step computes and that has a name; "ahead": it reads
---  W x + b in place of x, see Compiled.product
---@return saros.nn.Compiled|false
---@return string? reason
function OwnLayer:compile(reverse, form)
  form = form or false
  local made = self.made[form]
  if not self.compiles then
    return false, "compiled = false"
  elseif made and (not made.handle or made.handle:fits(self)) then
    return made.handle, made.reason
  end
  self.own = table.move(self.own, 1, self.initial and #self.initial or 0, 1, {})
  self.tells = form == true
  local handle, reason = compiled.of(self, inputs_of(self), reverse, form == "ahead")
  self.tells = false
  self.made[form] = { handle = handle or false, reason = reason }
  return self.made[form].handle, reason
end

--- True if the product of the step with x can be made for each row of a table.
---@param reverse boolean
---@return boolean
function OwnLayer:looks_up(reverse)
  return self:compile(reverse, "ahead") and true or false
end

--- A factor of all steps, as an input of a program.
local function for_all_steps(factor, T)
  return factor:rank() == 3 and factor or core.ones(T, 1, 1) * factor
end

local function run_compiled(self, handle, x, state, steps, factors)
  local inputs, dropout = { x = x }, {}
  for name, factor in pairs(factors) do
    if self.is_program and name:find "^drop" then
      dropout[name:match "%d+"] = factor -- states are named by their positions
    else
      inputs[name] = for_all_steps(factor, #x)
    end
  end
  return handle:run(inputs, state or self:first(x:size(2)), not state, steps, dropout)
end

--- What the outputs of all steps are, with the shapes that states have.
local function values_of(self, y, last, told)
  local T, B, values = y:size(1), y:size(2), { y = y, states = {}, gates = {} }
  for position, name in ipairs(self.names) do
    local shape = last[position]:shape()
    values.states[name] = told["state." .. name]:reshape(T, B, table.unpack(shape, 2))
  end
  for _, entry in ipairs(cells.named(self.cell)) do
    values.gates[entry.name] = told["gate." .. entry.name]:reshape(T, B, table.unpack(entry.shape))
  end
  return values
end

--- The same over ids: W x + b is made for each row of the table.
local function run_table(self, x, state, steps, table)
  local handle = assert(self:compile(steps.reverse, "ahead"))
  local of_rows <close> = core.linear(table, handle.product.weight, handle.product.bias)
  local sums <close> = core.embedding(of_rows, given_steps.hide(x, steps.mask))
  return run_compiled(self, handle, sums, state, steps, factors_of(self, x:size(1), x:size(2)))
end

--- The layer over a sequence.
---@param x saros.Tensor  (T, B, I), or ids (T, B) of a table
---@param state saros.Tensor[]?
---@param given saros.nn.Steps?  mask, reset
---@param reverse boolean
---@param tells? boolean  also return what every step did
---@param table? saros.Tensor  (V, I): x is ids of its rows; only where `looks_up`
---@return saros.Tensor y  (T, B, P)
---@return saros.Tensor[] state
---@return saros.nn.LayerValues?
function OwnLayer:run(x, state, given, reverse, tells, table)
  if scope.tracer and reverse then
    scope.tracer:walks_back(state)
  end
  local steps = { mask = given and given.mask, reset = given and given.reset, reverse = reverse }
  if table and not tells then
    return run_table(self, x, state, steps, table)
  end
  x = table and given_steps.embed(table, x, steps.mask) or x
  if x:size(3) ~= self.input then
    options.fail(("%s: expected x of shape (T, B, %d), got %s"):format(self.kind, self.input, options.describe(x)))
  end
  local factors = factors_of(self, x:size(1), x:size(2))
  local handle = not scope.tracer and self:compile(reverse, tells)
  local y, last, told
  if handle then
    y, last, told = run_compiled(self, handle, x, state, steps, factors)
  else
    y, last, told = unrolled(self, x, state, steps, factors, tells)
  end
  return y, last, tells and values_of(self, y, last, told) or nil
end

--- What is wrong with a value as the states of B rows; nil if nothing is, or if only
--- the cell knows.
---@param state any
---@param B integer
---@return string?
function OwnLayer:state_problem(state, B)
  if not (cells.is(self.cell) or self.is_program) then
    return nil
  elseif type(state) ~= "table" or #state ~= #self.shapes then
    return options.describe(state)
  end
  for position, shape in ipairs(self.shapes) do
    if not options.has_shape(state[position], B, table.unpack(shape)) then
      return ("%s as %s"):format(options.describe(state[position]), self.names[position])
    end
  end
end

-- --- Making -----------------------------------------------------------------------------

--- A number for the first state, or numbers by name of a state, as a list.
local function by_state(self, name, given)
  local list, known = {}, {}
  for position, state in ipairs(self.names) do
    known[state] = true
    list[position] = type(given) == "table" and given[state] or type(given) == "number" and position == 1 and given or 0
  end
  for state in pairs(type(given) == "table" and given or {}) do
    if not known[state] then
      options.fail(("nn.recurrent: expected option '%s' by names of states (%s), got %s%s"):format(name,
        table.concat(self.names, ", "), options.describe(state), core.hint(state, self.names)))
    end
  end
  return list
end

local own_layer = {}

--- The layer around a cell.
---@param cell saros.nn.Module
---@param inputs integer
---@param o { hidden: integer, zoneout: any, recurrent_dropout: any, compiled: boolean }
---@param names string[]  of states, where the cell does not name them
---@param generator saros.Generator?
---@return saros.nn.OwnLayer
function own_layer.of(cell, inputs, o, names, generator)
  local self = OwnLayer.new()
  self.cell, self.generator, self.initial = cell, generator or false, false
  self.kind = cell.kind -- for messages
  self.input, self.compiles, self.made, self.tells = inputs, o.compiled, {}, false
  self.members[1] = { name = "cell", module = cell } -- whose place is in the net
  self.shapes, self.firsts, self.names = {}, {}, rawget(cell, "state_names") or {}
  for position, size in ipairs(cell.states or { o.hidden }) do
    self.shapes[position] = type(size) == "table" and size or { size }
    self.names[position] = self.names[position] or names[position] or tostring(position)
    self.firsts[position] = (rawget(cell, "firsts") or {})[position] or 0
  end
  self.zoneout = by_state(self, "zoneout", o.zoneout)
  self.dropout = by_state(self, "recurrent_dropout", o.recurrent_dropout)
  self.is_program = rawget(cell, "text") ~= nil
  if math.max(table.unpack(self.dropout)) > 0 and not (cells.is(cell) or self.is_program) then
    options.fail "nn.recurrent: expected a cell of nn.cell with recurrent_dropout, whose maps can read other states"
  end
  return self
end

--- Learned first states.
---@param tensors saros.Tensor[]  of the layer's net, by state
function OwnLayer:begin_at(tensors)
  self.initial = tensors
  for position, tensor in ipairs(tensors) do
    self.own[position] = { name = "initial_" .. self.names[position], tensor = tensor }
  end
end

return own_layer
