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
local checkpoint = require "saros.train.checkpoint"
local rolling = require "saros.train.rolling"

--- A layer whose units are diagonal.
---@class saros.train.DiagonalLayer
---@field state fun(state: saros.nn.State): saros.Tensor  (1, H), in the state of the model
---@field parameters saros.Tensor[]  (G H, ...)

---@class saros.train.Exact
---@field model saros.nn.Module
---@field rolling saros.train.Rolling  of windows that do not overlap
---@field layers saros.train.DiagonalLayer[]
---@field traces saros.Tensor[][]  for each layer and parameter, at the beginning of the window
---@field next saros.Tensor[][]  and at its end
local Exact = {}
Exact.__index = Exact

-- --- Layers ----------------------------------------------------------------------------

--- Append the layers of a module; `branch` finds its state in that of the model.
local function collect(module, branch, layers)
  if module.diagonal then
    for position, direction in ipairs(module.directions) do
      local parameters = {}
      for _, parameter in pairs(direction.norm_ih and {} or direction.parameters) do
        parameters[#parameters + 1] = parameter
      end
      layers[#layers + 1] = #parameters > 0 and {
        parameters = parameters,
        state = function(state) return branch(state)[position][1] end,
      } or nil
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

--- A trace (G H, ...), or a gradient, times what each unit has in (1, H).
local function times(trace, units)
  local H = units:size(2)
  return (trace:reshape(-1, H, trace:count() // trace:size(1)) * units:reshape(1, H, 1)):reshape(trace:shape())
end

--- Run the window for the trace of a layer at its end.
local function trace(self, number)
  local layer, old = self.layers[number], self.traces[number]
  local tape <close> = core.tape()
  local before = self.rolling.state and layer.state(self.rolling.state):clear_gradient()
  if before then
    tape:watch(before)
  end
  self.model:clear_gradients()
  self.rolling:forward()
  tape:backward(layer.state(self.rolling.border):sum())
  local new = {}
  for n, parameter in ipairs(layer.parameters) do
    new[n] = parameter:gradient():clone()
    if old then
      new[n]:add_scaled(1, times(old[n], before:gradient()))
    end
  end
  return new
end

--- Add what the past has to do with the loss, by the state before the window.
local function add_past(self)
  for number, old in ipairs(self.traces) do
    local layer = self.layers[number]
    local blame = layer.state(self.rolling.state):gradient()
    for n, parameter in ipairs(blame and layer.parameters or {}) do
      parameter:gradient():add_scaled(1, times(old[n], blame))
    end
  end
end

--- The gradients of the mean loss of the window, in place of those there are.
---@return number? loss  nil if no target in the window is known
function Exact:gradients()
  local generators, watched = checkpoint.generator_states(self.model:generators()), {}
  for number in ipairs(self.layers) do
    self.next[number] = trace(self, number)
    checkpoint.restore_generators(self.model, generators)
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
    options.fail("learner: expected layers nn.mingru or nn.minlstm, without layer norm, with method \"exact\", got "
      .. model:describe())
  end
  return setmetatable({ model = model, rolling = rolling.new(model, forms, o, loss), layers = layers,
    traces = {}, next = {} }, Exact)
end

return exact
