--- The recorder of a trace: core.record reports each operation to it, and it adds nodes
--- to a program.
---
--- For each tensor that depends on inputs, states or parameters it keeps a value: the
--- node, and the layout of its elements. Each operation has a rule that computes the
--- value of the result from those of the operands; see saros.program.rules. Any other
--- tensor becomes a constant when an operation combines it with one of these.

local core = require "saros.core"
local options = require "saros.options"
local layout = require "saros.program.layout"
local rules = require "saros.program.rules"
local scope = require "saros.nn.scope"

---@class saros.program.Value
---@field node integer  counted from 0
---@field axes saros.program.Layout
---@field mask number?  no value yet: a mask of dropout with this probability
---@field part_of integer?  no value: a state that the cell of this node keeps to itself

---@class saros.program.Recorder
---@field nodes table[]  as in the program's JSON
---@field is_step boolean  what runs now is called once a step, not once for all steps
---@field widths integer[]  of the nodes, by number
---@field invariant boolean[]  by number
---@field parameters { name: string, tensor: saros.Tensor }[]
---@field states table[]  as in the program's JSON
---@field bound table<saros.Tensor, saros.program.Value>
local Recorder = {}
Recorder.__index = Recorder

-- A constant of more elements is a matter for a parameter.
local LONGEST_CONSTANT = 65536

--- Nodes that are added even where there is one with the same operands.
local UNIQUE = { input = true, ids = true, state = true, cell = true, window = true, attention = true, delta = true,
  dropout = true }

--- Nodes that keep states to themselves.
local KEEPERS = { cell = true, window = true, attention = true, delta = true }

--- Nodes without operands; true if they are the same in every row and step.
local SOURCES = { input = false, ids = false, state = false, parameter = true, constant = true }

--- Refuse what cannot be part of a step, by name and with the line of the script.
---@param what string
---@param place? string  the line, where it is another one than that of the call
function Recorder:refuse(what, place)
  error(("%sprogram: expected a step made of operations on features, got %s; "
    .. "%s trains as it is, but has no session, no C file and no model file"):format(place or core.caller(), what,
    self.kind), 0)
end

--- Refuse a random number.
---@param what string
function Recorder:refuse_chance(what)
  self:refuse(what .. ", a random number (in training there are p:dropout and nn.dropout; other noise is drawn by "
    .. "a saros.generator outside and passed in with x)")
end

-- --- Nodes -------------------------------------------------------------------------------

local function key_of(op, operands, attributes)
  local parts = {}
  for name, given in pairs(attributes) do
    parts[#parts + 1] = name .. "=" .. (type(given) == "table" and table.concat(given, ",")
      or core.format(math.type(given) == "float" and "%.17g" or "%s", given))
  end
  table.sort(parts)
  return op .. " " .. table.concat(operands, ",") .. " " .. table.concat(parts, " ")
end

local function is_invariant(self, op, operands)
  if SOURCES[op] ~= nil then
    return SOURCES[op]
  end
  for _, n in ipairs(operands) do
    if not self.invariant[n] then
      return false
    end
  end
  return not KEEPERS[op]
end

--- Add a node, unless there is the same one; its number.
---@param op string
---@param operands integer[]
---@param attributes table
---@param width integer
---@return integer
function Recorder:node(op, operands, attributes, width)
  for _, n in ipairs(op ~= "lookup" and operands or {}) do
    if self.nodes[n + 1].op == "ids" then
      self:refuse(op .. " of ids")
    end
  end
  local key = not UNIQUE[op] and key_of(op, operands, attributes)
  if key and self.known[key] then
    return self.known[key]
  end
  local n = #self.nodes
  local node = { op = op, ["in"] = #operands > 0 and operands or nil }
  for name, given in pairs(attributes) do
    node[name] = given
  end
  self.nodes[n + 1] = node
  self.widths[n], self.invariant[n] = width, is_invariant(self, op, operands)
  if key then
    self.known[key] = n
  end
  return n
end

--- A value of a node and a layout.
---@return saros.program.Value
function Recorder.as(_, node, axes)
  return { node = node, axes = axes }
end

--- The number that a node is a constant of; nil if it is none.
---@return number?
function Recorder:number_of(node)
  local at = self.nodes[node + 1]
  return at.op == "constant" and at.value or nil
end

-- --- Constants and parameters ----------------------------------------------------------------

--- A node of one number. JSON has no infinities.
function Recorder:scalar(x)
  if x ~= x then
    return self:node("divide", { self:scalar(0.0), self:scalar(0.0) }, {}, 1)
  elseif math.abs(x) == math.huge then
    local one = self:scalar(x > 0 and 1.0 or -1.0)
    return self:node("divide", { one, self:scalar(0.0) }, {}, 1)
  end
  return self:node("constant", {}, { value = x + 0.0 }, 1)
end

--- A tensor without what is the same all along an axis, and the layout that says so.
local function compressed(x)
  local axes = {}
  for k, size in ipairs(x:shape()) do
    local first = x:slice(k, 1, 1)
    local is_flat = size == 1 or x:eq(first):min():item() == 1
    axes[k] = layout.axis(size, is_flat and "flat" or "feature")
    x = is_flat and first or x
  end
  return x, axes
end

--- The value of a tensor that depends on nothing.
local function constant(self, x)
  if x:count() == 0 then
    self:refuse "an empty tensor, as of no step at all"
  elseif x:dtype() == "ids" then
    self:refuse "ids that are no input"
  end
  local small, axes = compressed(x)
  local list = small:flatten():totable()
  if #list == 1 then
    return self:as(self:scalar(list[1]), axes)
  elseif #list > LONGEST_CONSTANT then
    self:refuse(("a constant of %d numbers, which should be a parameter"):format(#list))
  elseif not small:all_finite() then
    self:refuse "a constant with numbers that are not finite"
  end
  return self:as(self:node("constant", {}, { values = list }, #list), axes)
end

local function parameter(self, n, x)
  return self:as(self:node("parameter", {}, { parameter = n - 1 }, x:count()), layout.all(x:shape(), "feature"))
end

--- The value of a tensor, or of a number.
---@param x saros.Tensor|number|saros.program.Value
---@return saros.program.Value
function Recorder:value(x)
  if type(x) == "number" then
    return self:as(self:scalar(x), {})
  elseif type(x) == "table" then
    return x
  end
  local value = self.bound[x]
  if not value then
    local n = self.parameter_of[x]
    value = n and parameter(self, n, x) or constant(self, x)
    self.bound[x] = n and value or nil -- a constant may be filled again
  elseif value.part_of then
    self:refuse "a state that the layer keeps to itself, as something to compute with"
  elseif value.mask then
    self:refuse "a mask of dropout that is not the factor of something"
  end
  return value
end

--- True if a tensor depends on inputs, states or parameters.
function Recorder:is_traced(x)
  return type(x) == "userdata" and (self.bound[x] ~= nil or self.parameter_of[x] ~= nil)
end

--- Say what value a tensor has.
---@param x saros.Tensor
---@param value saros.program.Value
function Recorder:bind(x, value)
  if not value.axes then
    options.fail "program: expected a value that emit returned"
  end
  self.bound[x] = value.axes and value or nil
  if value.node and self.invariant[value.node] and self.examples then
    self.examples[value.node] = { tensor = x:clone(), axes = value.axes }
  end
end

--- A tensor with the elements of an invariant node, and its layout; nil if none is known.
---@param n integer
---@return { tensor: saros.Tensor, axes: saros.program.Layout }?
function Recorder:example(n)
  local node = self.nodes[n + 1]
  if node.op == "parameter" then
    local tensor = self.parameters[node.parameter + 1].tensor
    return { tensor = tensor, axes = layout.all(tensor:shape(), "feature") }
  elseif node.value then
    return { tensor = core.full({}, node.value), axes = {} }
  end
  return self.examples[n]
end

-- --- Layouts ---------------------------------------------------------------------------------

--- A node with the features of a joined layout, in which `key` ("a" or "b") says what
--- of it the value has. A single number stays one: operators repeat it.
---@param value saros.program.Value
---@param joined saros.program.Layout
---@param key string
---@param always? boolean  repeat single numbers, too
---@return integer
function Recorder:fit(value, joined, key, always)
  local node = value.node
  if self.widths[node] == 1 and not always then
    return node
  end
  local before, times, after = 1, 1, self.widths[node]
  local function expand()
    if times > 1 then
      node = self:node("expand", { node }, { outer = before, times = times, inner = after }, before * times * after)
    end
    before, times = before * times, 1
  end
  for _, axis in ipairs(joined) do
    for _, part in ipairs(axis) do
      if part.kind == "feature" and part[key] == "feature" then
        expand()
        before, after = before * part.size, after // part.size
      elseif part.kind == "feature" then
        times = times * part.size
      end
    end
  end
  expand()
  return node
end

--- The layout that two values broadcast to; see layout.join.
---@param name string  of the operation, for messages
---@param a saros.program.Layout
---@param b saros.program.Layout
---@return saros.program.Layout
function Recorder:join(name, a, b)
  local axes = layout.join(a, b)
  if not axes then
    self:refuse(name .. " of features with rows: a constant that differs from row to row, or rows as features")
  end
  return axes ---@type saros.program.Layout
end

--- The layout that several values broadcast to.
---@param name string
---@param values saros.program.Value[]
---@return saros.program.Layout
function Recorder:common(name, values)
  local axes = values[1].axes
  for n = 2, #values do
    axes = self:join(name, axes, values[n].axes)
  end
  return axes
end

--- The node of a value with all the features that a layout has.
function Recorder:spread(name, value, axes)
  return self:fit(value, self:join(name, value.axes, axes), "a", true)
end

--- An axis by number, from the end if negative.
function Recorder.axis_of(_, axes, k)
  return k < 0 and k + #axes + 1 or k
end

--- Refuse an axis of rows.
function Recorder:check_features(name, axes, k)
  local row = layout.row_of(axes[k])
  if row then
    self:refuse(("%s over %s"):format(name, row == "time" and "time" or "the rows of a batch"))
  end
end

--- The value with one part of features in axis k, whatever it was there.
---@return saros.program.Value
function Recorder:solid(name, value, k)
  self:check_features(name, value.axes, k)
  local axes, size = layout.copy(value.axes), layout.size(value.axes[k])
  axes[k] = layout.axis(size, "feature")
  return self:as(layout.has(value.axes[k], "flat") and self:spread(name, value, axes) or value.node, axes)
end

-- --- What modules may say themselves --------------------------------------------------------

--- Run fn(...) without recording it.
function Recorder.quietly(_, fn, ...)
  local _ <close> = core.record(function() end)
  local _ <close> = setmetatable({ tracer = scope.tracer }, { __close = function(before)
    scope.tracer = before.tracer
  end })
  scope.tracer = nil
  return fn(...)
end

local function count_of(tensor)
  local count = 1
  for k, size in ipairs(tensor:shape()) do
    count = count * (k > 1 and size or 1)
  end
  return count
end

--- A state that a node keeps, from { before, after, width, name, reverse, first }.
---@return integer
function Recorder:kept_state(node, given)
  local before, after = given[1] or nil, given[2] or nil
  if self.is_step and not before then
    self:refuse "a layer without its state, which begins again at each step"
  end
  local value = before and self.bound[before]
  local s = value and self.nodes[value.node + 1].op == "state" and self.nodes[value.node + 1].state
  if before and not s and (self.is_later or not (value == nil or self.invariant[value.node])) then
    self:refuse "a layer that does not begin where its state is, but with something computed from it"
  end
  if not s then
    s = #self.states
    self.states[s + 1] = { name = given.name or ("kept%d"):format(s), hidden = after == nil,
      width = given.width or count_of(after or before) }
    local first = given.first or value and value.node
    self.begins[s] = first or before and self:value(before).node
  end
  local state = self.states[s + 1]
  if not self.is_step then -- a step is in the direction of what walks through it
    state.reverse = given.reverse or nil
  end
  state.next, state.owner, state.is_step = node, node, self.is_step
  if after then
    self.kept_by[after] = s
    self.bound[after] = self.bound[after] or { part_of = node }
  end
  return s
end

--- Add a node that keeps states, from numbers of nodes; see `kept_state` of these.
---@return integer
function Recorder:keeping_node(op, numbers, attributes, width, states)
  local n = self:node(op, numbers, attributes, width)
  local list = {}
  for i, given in ipairs(states or {}) do
    list[i] = self:kept_state(n, given)
  end
  if op == "window" then
    self.nodes[n + 1].state = list[1]
  elseif #list > 0 then
    self.nodes[n + 1].states = list
  end
  return n
end

--- A node of one number repeated to a width; any other as it is.
---@return integer
function Recorder:widened(node, width)
  return (self.widths[node] == width or self.widths[node] > 1) and node
    or self:node("expand", { node }, { outer = 1, times = width, inner = 1 }, width)
end

--- Add a node: what a module says of itself in its method `trace`.
---@param op string
---@param operands (saros.Tensor|number|saros.program.Value)[]
---@param fields table  of the node, with its `width`, and `states` as pairs { before, after } of tensors
---@return saros.program.Value
function Recorder:emit(op, operands, fields)
  local numbers, attributes, row = {}, {}, nil
  for n, operand in ipairs(operands) do
    local value = self:value(operand)
    numbers[n] = self:spread(op, value, value.axes)
    row = row or not self.invariant[value.node] and value.axes or nil
  end
  for name, given in pairs(fields) do
    if name ~= "width" and name ~= "states" and name ~= "axes" then
      attributes[name] = given
    end
  end
  local n = self:keeping_node(op, numbers, attributes, fields.width, fields.states)
  return self:as(n, fields.axes or self:output_axes(row, fields.width))
end

--- The layout of a row of `width` features that is made from another one: its axes but
--- for the features.
function Recorder.output_axes(_, axes, width)
  local result = {}
  for k = 1, axes and #axes - 1 or 0 do
    local axis = {}
    for _, part in ipairs(axes[k]) do
      axis[#axis + 1] = part.kind ~= "feature" and part or nil
    end
    result[#result + 1] = (#axis > 0 or #axes[k] == 0) and axis or nil
  end
  result[#result + 1] = layout.axis(width, "feature")
  return result
end

--- The state of the program that a tensor is before the step, if it is one.
local function state_before(self, tensor)
  local value = tensor and self.bound[tensor]
  local node = value and value.node and self.nodes[value.node + 1]
  return node and node.op == "state" and self.states[node.state + 1] or nil
end

--- Say that states are walked from the last step to the first.
---@param tree saros.nn.State  as the module was given it
function Recorder:walks_back(tree)
  if type(tree) == "table" then
    for _, branch in pairs(tree) do
      self:walks_back(branch)
    end
    return
  end
  local state = state_before(self, tree)
  if state then
    state.reverse = true
  end
end

--- Say what a layer calls its states.
---@param list saros.Tensor[]?  as the layer was given them
---@param titles string[]
function Recorder:titles(list, titles)
  for n, title in ipairs(list and titles or {}) do
    local state = state_before(self, list[n])
    if state then
      state.title = title
    end
  end
end

--- Until the value is closed, what runs is called once a step.
function Recorder:each_step()
  local was = self.is_step
  self.is_step = true
  return setmetatable({}, { __close = function()
    self.is_step = was
  end })
end

-- --- Recording ---------------------------------------------------------------------------------

--- True if any tensor among the arguments, or in tables down to that depth, is traced.
local function any_traced(self, arguments, depth)
  for _, x in pairs(arguments) do
    local is_plain = depth > 0 and type(x) == "table" and getmetatable(x) == nil
    if self:is_traced(x) or (is_plain and any_traced(self, x, depth - 1)) then
      return true
    end
  end
  return false
end

--- Told of a call by core.record.
---@param name string
---@param arguments table
---@param results table
function Recorder:told(name, arguments, results)
  if name == "index" and type(arguments[2]) == "string" then
    return -- the look-up of a method
  end
  local rule = rules[name]
  if rule == false then
    return
  elseif rules.always[name] then
    rules.always[name](self, arguments, results)
  elseif any_traced(self, arguments, 2) then
    if not rule then
      self:refuse(name)
    end
    rule(self, arguments, results)
  end
end

--- Add an input and say which tensor it is.
function Recorder:add_input(x, given, axes)
  local node = given.count and self:node("ids", {}, { name = given.name, count = given.count }, 1)
    or self:node("input", {}, { name = given.name, width = given.width }, given.width)
  self.bound[x] = self:as(node, axes)
end

--- The sizes of a row of a state that is no vector, else nil; and which axis has the
--- rows, if it is not the first.
local function form_of(x, axes)
  local shape, rows = x:shape(), 1
  for k, axis in ipairs(axes) do
    rows = layout.row_of(axis) and k or rows
  end
  table.remove(shape, rows)
  return #shape ~= 1 and shape or nil, rows ~= 1 and rows or nil
end

--- Add a state and say which tensor is the one before the step.
function Recorder:add_state(x, name, path, axes)
  local s, width = #self.states, layout.features(axes)
  local shape, axis = form_of(x, axes)
  self.states[s + 1] = { name = name, width = width, path = path, shape = shape, axis = axis }
  self.bound[x] = self:as(self:node("state", {}, { state = s }, width), axes)
  return s
end

local recorder = {}

--- The parameters and buffers of a module, each once, in the order of module:parameters,
--- then by name.
---@param module saros.nn.Module
---@return { name: string, tensor: saros.Tensor }[]
function recorder.tensors_of(module)
  local list, seen, others = {}, {}, {}
  local parameters = module:parameters()
  for n, tensor in ipairs(parameters) do
    list[n], seen[tensor] = { name = parameters.names[n], tensor = tensor }, true
  end
  for name, tensor in pairs(module:tensors()) do
    others[#others + 1] = not seen[tensor] and { name = name, tensor = tensor } or nil
  end
  table.sort(others, function(a, b) return a.name < b.name end)
  return table.move(others, 1, #others, #list + 1, list)
end

--- A recorder for a module.
---@param module saros.nn.Module
---@param is_later boolean  begins with a state
---@param captured saros.program.Captured  what its functions read from outside
---@param is_step? boolean  (false)
---@return saros.program.Recorder
function recorder.new(module, is_later, captured, is_step)
  local self = setmetatable({
    kind = module.kind, captured = captured, is_later = is_later, is_step = is_step or false,
    examples = not is_later and {} or nil,
    nodes = {}, widths = {}, invariant = {}, known = {},
    parameters = recorder.tensors_of(module), parameter_of = {}, states = {}, begins = {}, kept_by = {}, bound = {},
  }, Recorder)
  for n, given in ipairs(self.parameters) do
    self.parameter_of[given.tensor] = n
  end
  return self
end

return recorder
