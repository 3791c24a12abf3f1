--- Gradients that reach back to the beginning of the stream, in constant memory:
--- real-time recurrent learning (Williams and Zipser 1989), for layers whose units are
--- diagonal (Zucchet et al. 2023, "Online learning of long-range dependencies").
---
--- Over a window from the states h0 to h1, for a weight w and what is wanted of it, a loss
--- or an element of h1,
---
---     dL/dw = dL/dw within the window + sum over states of dL/dh0 E,   E = dh0/dw
---
--- A unit's state feeds only itself, so for the weights of its own layer E is a trace of
--- the size of the weights, and one pass back from h1 makes the next one for all units.
---
--- Weights below a layer, those of other layers and embeddings that it reads, reach all its
--- units: E has a row for each number of the state, and each row takes a pass. That is the
--- method "exact", which runs a window once for each state of a layer that learns something
--- below it. The method "traces" leaves these rows out, as Zucchet et al. do: gradients of
--- a layer lack what it does through the states of layers above it, and those of weights of
--- other kinds reach back no further than the window. Weights are taken to stay as they are.

local core = require "saros.core"
local options = require "saros.options"
local having = require "saros.nn.cells.having"
local checkpoint = require "saros.train.checkpoint"
local rolling = require "saros.train.rolling"

--- A layer whose units are diagonal, U of them. The state of a unit has one part,
--- or, if it is complex, two, and each of them a trace of its own.
---@class saros.train.DiagonalLayer
---@field parts integer
---@field blocks integer  G of rows for the units
---@field state fun(state: saros.nn.State): saros.Tensor  (1, U parts), in the state of the model
---@field parameters saros.Tensor[]  of G U rows, or as many elements for each unit; no other layer's
---@field own table<saros.Tensor, integer>  their positions in that list
---@field below table<saros.Tensor, boolean>  parameters of other kinds that its state was seen to depend on

--- What the past has left of a layer at a border of windows.
---@class saros.train.Past
---@field traces saros.Tensor[][]  for each part and parameter of its own
---@field rows table<saros.Tensor, saros.Tensor>  (U parts, elements) of each parameter below it; empty without them

---@class saros.train.Exact
---@field model saros.nn.Module
---@field parameters saros.Tensor[]  of the model
---@field rolling saros.train.Rolling  of windows that do not overlap
---@field layers saros.train.DiagonalLayer[]
---@field is_whole boolean  with the rows of parameters below layers
---@field past saros.train.Past[]  for each layer, at the beginning of the window; empty where the stream begins
---@field next saros.train.Past[]  and at its end
local Exact = {}
Exact.__index = Exact

-- --- Layers ----------------------------------------------------------------------------

--- What the states of a direction follow from, row by row; a learned first state
--- is among it.
local function parameters_of(direction)
  local list = { direction.around and direction.around.gamma }
  for _, parameter in pairs(direction.parameters) do
    list[#list + 1] = parameter
  end
  return list
end

--- Append the layers of a module; `branch` finds its state in that of the model.
local function collect(module, branch, layers)
  if module.diagonal and not module.directions[1].norm_ih then
    for position, direction in ipairs(module.directions) do
      layers[#layers + 1] = {
        parts = module.diagonal,
        blocks = module.gates,
        state = function(state) return branch(state)[position][1] end,
        parameters = parameters_of(direction),
        below = {},
      }
    end
  elseif module.recurrent then
    collect(module.recurrent, branch, layers)
  end
  for position, step in ipairs(module.steps or {}) do
    if type(step) == "table" then
      collect(step, function(state) return branch(state)[position] end, layers)
    end
  end
  return layers
end

local function itself(state)
  return state
end

--- The layers, each with what is its own: not what two of them have in common.
local function layers_of(model)
  local layers, owners = collect(model, itself, {}), {}
  for _, layer in ipairs(layers) do
    for _, parameter in ipairs(layer.parameters) do
      owners[parameter] = (owners[parameter] or 0) + 1
    end
  end
  for _, layer in ipairs(layers) do
    local list = {}
    layer.own = {}
    for _, parameter in ipairs(layer.parameters) do
      if owners[parameter] == 1 then
        list[#list + 1], layer.own[parameter] = parameter, #list + 1
      end
    end
    layer.parameters = list
  end
  return layers
end

-- --- The past ---------------------------------------------------------------------------

--- A part of all units, (1, U, 1), of a value like the state.
local function part_of(layer, x, part)
  return x:reshape(1, -1, layer.parts):slice(3, part, part)
end

--- Add to the gradient of one of its own parameters what a gradient of the state of its
--- layer, (1, U parts), makes of the traces.
local function add_traces(layer, traces, at, dstate, gradient)
  for part, list in ipairs(traces) do
    local units, trace = part_of(layer, dstate, part), list[at]
    local U = units:size(2)
    local blocks = trace:size(1) == layer.blocks * U and layer.blocks or 1
    gradient:add_scaled(1, (trace:reshape(blocks, U, -1) * units):reshape(gradient:shape()))
  end
end

--- Add to the gradient of a parameter what the past has to do with it, after a pass back to
--- the states before the window.
local function add_past(self, parameter, before, gradient)
  for number, layer in ipairs(self.layers) do
    local past, dstate = self.past[number], before[number] and before[number]:gradient()
    local at, rows = layer.own[parameter], past and past.rows[parameter]
    if past and dstate and at then
      add_traces(layer, past.traces, at, dstate, gradient)
    elseif dstate and rows then
      gradient:add_scaled(1, dstate:reshape(1, -1):matmul(rows):reshape(gradient:shape()))
    end
  end
end

--- The states of the layers before the window, without gradients; none where the stream
--- begins.
local function states_before(self)
  local list = {}
  for number, layer in ipairs(self.rolling.state and self.layers or {}) do
    list[number] = layer.state(self.rolling.state):clear_gradient()
  end
  return list
end

--- Run the window, and go back from the sum of some of the states at its end.
local function pass(self, number, choose)
  local layer, before = self.layers[number], states_before(self)
  local tape <close> = core.tape()
  for _, state in ipairs(before) do
    tape:watch(state)
  end
  self.model:clear_gradients()
  checkpoint.restore_generators(self.model, self.generators)
  self.rolling:forward()
  tape:backward(choose(layer, layer.state(self.rolling.border)):sum())
  return before
end

--- What a parameter has in the number that a pass went back from.
local function gradient_in(self, parameter, before)
  local gradient = parameter:gradient()
  gradient = gradient and gradient:clone() or core.zeros(parameter:shape())
  add_past(self, parameter, before, gradient)
  return gradient
end

--- The traces of a part at the end of the window.
local function traces_of(self, number, part)
  local layer, list = self.layers[number], {}
  local before = pass(self, number, function(_, state) return part_of(layer, state, part) end)
  for n, parameter in ipairs(layer.parameters) do
    list[n] = gradient_in(self, parameter, before)
  end
  for _, parameter in ipairs(self.is_whole and self.parameters or {}) do
    if parameter:gradient() and not layer.own[parameter] then
      layer.below[parameter] = true
    end
  end
  return list
end

--- The rows of the parameters below a layer, each of one number of its state.
local function rows_of(self, number)
  local layer, rows = self.layers[number], {}
  for s = 1, next(layer.below) and layer.state(self.rolling.border):count() or 0 do
    local before = pass(self, number, function(_, state) return state:reshape(-1):slice(1, s, s) end)
    for parameter in pairs(layer.below) do
      rows[parameter] = rows[parameter] or core.zeros(layer.state(self.rolling.border):count(), parameter:count())
      rows[parameter]:slice(1, s, s):assign(gradient_in(self, parameter, before):reshape(1, -1))
    end
  end
  return rows
end

--- True if gradients of a parameter may have a past.
local function has_past(self, parameter)
  for number, layer in ipairs(self.layers) do
    local past = self.past[number]
    if past and (layer.own[parameter] or past.rows[parameter]) then
      return true
    end
  end
  return false
end

--- The gradient of a parameter, zeros if a window did not read it: a learned first
--- state is read by the first one, and at resets.
local function gradient_of(parameter)
  if not parameter:gradient() then
    local tape <close> = core.tape()
    tape:backward((parameter * 0):sum())
  end
  return parameter:gradient()
end

--- The gradients of the mean loss of the window, in place of those there are.
---@return number? loss  nil if no target in the window is known
function Exact:gradients()
  self.generators = checkpoint.generator_states(self.model:generators())
  for number, layer in ipairs(self.layers) do
    self.next[number] = { traces = {} }
    for part = 1, layer.parts do
      self.next[number].traces[part] = traces_of(self, number, part)
    end
    self.next[number].rows = rows_of(self, number)
  end
  checkpoint.restore_generators(self.model, self.generators)
  self.model:clear_gradients()
  local before = states_before(self)
  local loss = self.rolling:gradients(before)
  for _, parameter in ipairs(loss and self.rolling.state and self.parameters or {}) do
    if has_past(self, parameter) then
      add_past(self, parameter, before, gradient_of(parameter))
    end
  end
  return loss
end

-- --- As saros.train.Rolling ---------------------------------------------------------------

function Exact:add(...)
  self.rolling:add(...)
end

function Exact:is_due()
  return self.rolling:is_due()
end

function Exact:learned()
  self.rolling:learned()
  self.past, self.next = self.next, {}
end

function Exact:clear()
  self.rolling:clear()
  self.past, self.next = {}, {}
end

function Exact:snapshot()
  return { rolling = self.rolling:snapshot(), past = self.past }
end

function Exact:restore(copy)
  self.rolling:restore(copy.rolling)
  self.past = copy.past
end

local exact = {}

local function new(method, model, forms, o, loss)
  local layers, names = layers_of(model), table.concat(having "diagonal", ", nn.")
  local others = #layers > 0 and method == "exact" and #model:program().states - #layers or 0
  if o.streams > 1 or o.every < o.window then
    options.fail(("learner: expected one stream and every = window with method %q, got %d, %d and %d"):format(
      method, o.streams, o.every, o.window))
  elseif #layers == 0 then
    options.fail(("learner: expected layers of nn.%s, without layer norm, with method %q, got %s"):format(
      names, method, model:describe()))
  elseif others > 0 then
    options.fail(("learner: expected no states but those of nn.%s, without layer norm, with method \"exact\", got "
      .. "others (%d); method \"traces\" takes them, as far back as the window"):format(names, others))
  end
  return setmetatable({ model = model, parameters = model:parameters(), layers = layers, past = {}, next = {},
    rolling = rolling.new(model, forms, o, loss), is_whole = method == "exact" }, Exact)
end

--- Gradients that are those of the whole stream.
---@param model saros.nn.Module
---@param forms { input: saros.train.Form, target: saros.train.Form }
---@param o { window: integer, every: integer, streams: integer }
---@param loss fun(y: saros.Tensor, target: saros.Tensor, options?: table): saros.Tensor
---@return saros.train.Exact
function exact.new(model, forms, o, loss)
  return new("exact", model, forms, o, loss)
end

--- The same without the rows of parameters below layers.
---@param model saros.nn.Module
---@param forms { input: saros.train.Form, target: saros.train.Form }
---@param o { window: integer, every: integer, streams: integer }
---@param loss fun(y: saros.Tensor, target: saros.Tensor, options?: table): saros.Tensor
---@return saros.train.Exact
function exact.traces(model, forms, o, loss)
  return new("traces", model, forms, o, loss)
end

return exact
