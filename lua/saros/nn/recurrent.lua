--- Stacks of recurrent layers over whole sequences, with PyTorch's parameter
--- names: layer k, counted from 0, has weight_ih_lk (G H, I), weight_hh_lk
--- (G H, H), bias_ih_lk and bias_hh_lk (G H). Elman's cell, the textbook's:
---
---     h(t) = tanh(W_ih x(t) + b_ih + W_hh h(t-1) + b_hh)

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"

---@class saros.nn.Cell
---@field gates integer  G: blocks of H rows in the weights
---@field states string[]  what is carried from step to step
---@field operation table<string, string>  the core's name, by activation

--- Cells are data: a new one joins with a row.
---@type table<string, saros.nn.Cell>
local CELLS = {
  rnn = {
    gates = 1,
    states = { "h" },
    operation = { tanh = "elman_tanh", relu = "elman_relu" },
  },
}

---@class saros.nn.Recurrent: saros.nn.Module
---@field cell saros.nn.Cell
---@field operation string
---@field input integer
---@field hidden integer
---@field layers saros.Layer[]
---@field initial saros.Tensor[][]?  for each layer its learned first states, each (H)
---@field dropout number
---@field generator saros.Generator?
local Recurrent = module.class "recurrent"
Recurrent.stateful = true

local function check_state(self, state)
  if state == nil then
    return
  end
  local layers, names = #self.layers, self.cell.states
  local function complain(got)
    error(("%s: expected a state of %d layers with (%s) each, got %s"):format(
      self.kind, layers, table.concat(names, ", "), got), 4)
  end
  if type(state) ~= "table" then
    complain(options.describe(state))
  elseif #state ~= layers then
    complain(#state .. " layers")
  end
  for _, layer in ipairs(state) do
    if type(layer) ~= "table" or #layer ~= #names then
      complain "something else"
    end
  end
end

--- Where a layer begins: at the given state, else at the learned one, else
--- (nil) at zeros.
local function begin(self, state, layer, x)
  if state or not self.initial then
    return state and state[layer]
  end
  local rows, states = core.zeros(x:size(2), self.hidden), {}
  for position, first in ipairs(self.initial[layer]) do
    states[position] = rows + first
  end
  return states
end

---@param x saros.Tensor  (T, B, I)
---@param state? saros.Tensor[][]  state[layer][which], each (B, H)
---@return saros.Tensor y  (T, B, H): h(t) of the last layer
---@return saros.Tensor[][] state  after the last step
function Recurrent:forward(x, state)
  check_state(self, state)
  local last = {}
  for layer, parameters in ipairs(self.layers) do
    if layer > 1 and self.generator then
      x = core.dropout(x, self.dropout, self.generator)
    end
    x, last[layer] = core.recurrent(self.operation, x, begin(self, state, layer, x), parameters)
  end
  return x, last
end

function Recurrent:describe()
  return ("%s %d -> %d, %d layer%s"):format(
    self.operation, self.input, self.hidden, #self.layers, #self.layers == 1 and "" or "s")
end

local function add_layer(self, layer, o)
  local cell, bound = self.cell, 1 / math.sqrt(o.hidden)
  local height = cell.gates * o.hidden
  local parameters, suffix = {}, "_l" .. layer - 1
  local function add(name, shape, fill)
    parameters[name] = self:add_parameter(name .. suffix, shape, fill)
  end
  add("weight_ih", { height, layer == 1 and o.input or o.hidden },
    initialize.gates(bound, cell.gates, false))
  add("weight_hh", { height, o.hidden }, initialize.gates(bound, cell.gates, true))
  if o.bias then
    add("bias_ih", { height }, initialize.bias(bound))
    add("bias_hh", { height }, initialize.bias(bound))
  end
  self.layers[layer] = parameters
end

local function add_initial(self, layer)
  self.initial[layer] = {}
  for position, name in ipairs(self.cell.states) do
    self.initial[layer][position] = self:add_parameter(
      ("initial_%s_l%d"):format(name, layer - 1), { self.hidden }, initialize.constant(0))
  end
end

local function activations_of(cell)
  local names = {}
  for name in pairs(cell.operation) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function constructor(name)
  local cell = CELLS[name]
  local check = options.declare("nn." .. name, {
    { "input", options.size },
    { "hidden", options.size },
    { "layers", options.size, 1 },
    { "activation", options.one_of(activations_of(cell)), "tanh" },
    { "bias", options.boolean, true },
    { "dropout", options.fraction, 0 },
    { "learn_state", options.boolean, false },
  }, 2)

  return function(given)
    local o = check(given)
    local self = Recurrent.new()
    self.kind, self.cell, self.operation = name, cell, cell.operation[o.activation]
    self.input, self.hidden, self.dropout = o.input, o.hidden, o.dropout
    self.layers = {}
    self.initial = o.learn_state and {} or nil
    for layer = 1, o.layers do
      add_layer(self, layer, o)
      if self.initial then
        add_initial(self, layer)
      end
    end
    if o.dropout > 0 then
      self.generator = self:add_generator "dropout"
    end
    return self
  end
end

local recurrent = { names = {} }

---@class saros.nn.RecurrentOptions
---@field input integer  I
---@field hidden integer  H
---@field layers? integer  (1)
---@field activation? "tanh"|"relu"  ("tanh")
---@field bias? boolean  (true)
---@field dropout? number  between layers, in training (0)
---@field learn_state? boolean  is the first state a parameter? (false)

--- `nn.rnn { 64, 128, layers = 2 }`: Elman's network, 64 features to 128 units.
---@type fun(given: saros.nn.RecurrentOptions): saros.nn.Recurrent
recurrent.rnn = constructor "rnn"

for name in pairs(CELLS) do
  recurrent.names[#recurrent.names + 1] = name
end
table.sort(recurrent.names)

return recurrent
