--- Gradients that reach back to the beginning of the stream, in constant memory:
--- real-time recurrent learning (Williams and Zipser 1989), which is cheap where
--- units are diagonal (Zucchet et al. 2023, "Online learning of long-range
--- dependencies"): as a unit's state feeds only itself, the trace
---
---     E = dh / dw   of each weight w of the unit k, of the size of the weights
---
--- is all that the past leaves behind. Over a window from h0 to h1
---
---     dL/dw = dL/dw within the window + dL/dh0 E
---     E    <- dh1/dw within the window + dh1/dh0 E
---
--- where the first is a pass back from the loss, and the second one from h1, for
--- each such layer. For the layer itself that is exact, while weights stay as they
--- are; what it does through the states of layers above it, and weights of other
--- kinds, reach back no further than the window.

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
---@field parameters saros.Tensor[]  of G U rows, or as many elements for each unit

---@class saros.train.Exact
---@field model saros.nn.Module
---@field rolling saros.train.Rolling  of windows that do not overlap
---@field layers saros.train.DiagonalLayer[]
---@field traces saros.Tensor[][][]  for each layer, part and parameter, at the beginning of the window
---@field next saros.Tensor[][][]  and at its end
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

-- --- Traces ----------------------------------------------------------------------------

--- A part of all units, (1, U, 1), of a value like the state.
local function part_of(layer, x, part)
  return x:reshape(1, -1, layer.parts):slice(3, part, part)
end

--- Add the traces at the beginning of the window, each times what its units have in
--- a value like the state there; none means zeros.
local function add_traces(layer, gradients, traces, value)
  for part, list in ipairs(value and traces or {}) do
    local units = part_of(layer, value, part)
    for n, trace in ipairs(list) do
      local U = units:size(2)
      local blocks = trace:size(1) == layer.blocks * U and layer.blocks or 1
      local product = trace:reshape(blocks, U, -1) * units
      gradients[n]:add_scaled(1, product:reshape(trace:shape()))
    end
  end
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

--- Run the window for the trace of a part of a layer at its end.
local function trace_of(self, number, part)
  local layer = self.layers[number]
  local tape <close> = core.tape()
  local before = self.rolling.state and layer.state(self.rolling.state):clear_gradient()
  if before then
    tape:watch(before)
  end
  self.model:clear_gradients()
  self.rolling:forward()
  tape:backward(part_of(layer, layer.state(self.rolling.border), part):sum())
  local new = {}
  for n, parameter in ipairs(layer.parameters) do
    local gradient = parameter:gradient()
    new[n] = gradient and gradient:clone() or core.zeros(parameter:shape())
  end
  if self.traces[number] then
    add_traces(layer, new, self.traces[number], before:gradient())
  end
  return new
end

--- Add what the past has to do with the loss, by the state before the window.
local function add_past(self)
  for number, traces in ipairs(self.traces) do
    local layer, gradients = self.layers[number], {}
    for n, parameter in ipairs(layer.parameters) do
      gradients[n] = gradient_of(parameter)
    end
    add_traces(layer, gradients, traces, layer.state(self.rolling.state):gradient())
  end
end

--- The gradients of the mean loss of the window, in place of those there are.
---@return number? loss  nil if no target in the window is known
function Exact:gradients()
  local generators, watched = checkpoint.generator_states(self.model:generators()), {}
  for number, layer in ipairs(self.layers) do
    self.next[number] = {}
    for part = 1, layer.parts do
      self.next[number][part] = trace_of(self, number, part)
      checkpoint.restore_generators(self.model, generators)
    end
  end
  self.model:clear_gradients()
  for number, layer in ipairs(self.rolling.state and self.layers or {}) do
    watched[number] = layer.state(self.rolling.state):clear_gradient()
  end
  local loss = self.rolling:gradients(watched)
  if loss then
    add_past(self)
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
  self.traces, self.next = self.next, {}
end

function Exact:clear()
  self.rolling:clear()
  self.traces, self.next = {}, {}
end

function Exact:snapshot()
  return { rolling = self.rolling:snapshot(), traces = self.traces }
end

function Exact:restore(copy)
  self.rolling:restore(copy.rolling)
  self.traces = copy.traces
end

local exact = {}

---@param model saros.nn.Module
---@param forms { input: saros.train.Form, target: saros.train.Form }
---@param o { window: integer, every: integer, streams: integer }
---@param loss fun(y: saros.Tensor, target: saros.Tensor, options?: table): saros.Tensor
---@return saros.train.Exact
function exact.new(model, forms, o, loss)
  local layers = collect(model, itself, {})
  if o.streams > 1 or o.every < o.window then
    options.fail(("learner: expected one stream and every = window with method \"exact\", got %d, %d and %d"):format(
      o.streams, o.every, o.window))
  elseif #layers == 0 then
    options.fail(("learner: expected layers of nn.%s, without layer norm, with method \"exact\", got %s"):format(
      table.concat(having "diagonal", ", nn."), model:describe()))
  end
  return setmetatable({ model = model, rolling = rolling.new(model, forms, o, loss), layers = layers,
    traces = {}, next = {} }, Exact)
end

return exact
