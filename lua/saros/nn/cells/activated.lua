--- Cells with other functions than tanh and the sigmoid, which the fused ones have: the
--- definition of the fused cell as a cell of nn.cell, compiled. Its parameters have the
--- shapes and gate orders of the fused layers.

local core = require "saros.core"
local options = require "saros.options"
local activation = require "saros.nn.cells.activation"
local cell_of = require("saros.nn.cell").cell
local initialize = require "saros.nn.initialize"

local activated = {}

-- --- A step by the definition ----------------------------------------------------------------

--- What a cell's definition is made of, as tensors of one step: see
--- saros.nn.cells.definition, which makes nodes of the same one.
---@class saros.nn.ActivatedStep
---@field make table  the p of nn.cell
---@field p table  parameters that only some layers have: none
---@field x saros.Tensor
---@field h saros.Tensor
---@field c saros.Tensor?
---@field o table  options of the layer
---@field gates integer
---@field names table<string, string>  of gates, by the titles of the definition
local Step = {}
Step.__index = Step

--- W v + b of `count` gates behind the first ones.
local function product(step, which, v, first, count)
  local make, H = step.make, step.make.hidden
  local rows = step.gates * H
  local weight = make["weight_" .. which]:tensor { rows, which == "ih" and make.inputs or H }
  local bias = step.o.bias and make["bias_" .. which]:tensor { rows } or nil
  if count < step.gates then
    local from, to = first * H + 1, (first + count) * H
    weight, bias = weight:slice(1, from, to), bias and bias:slice(1, from, to)
  end
  return make["weight_" .. which]:mapped(core.linear, v, weight, bias)
end

function Step:from_input()
  return product(self, "ih", self.x, 0, self.gates)
end

function Step:from_state(read, first, count)
  return product(self, "hh", read, first, count)
end

function Step:gate(a, n)
  local H = self.make.hidden
  return a:slice(2, n * H + 1, (n + 1) * H)
end

--- A function by name, or what takes the place of tanh and the sigmoid.
function Step:apply(name, a, b)
  local o = self.o
  local other = name == "tanh" and o.activation or name == "sigmoid" and o.gate_activation
  local f = other and activation.functions[other] or core[name]
  return f(a, b)
end

function Step:named(a, title)
  local name = self.names[title]
  return name and self.make:named(name, a) or a
end

function Step.norm(_, a)
  return a
end

--- One step of nn.cell by the definition of a cell.
local function step_of(cell, o)
  local define = cell.definitions[cell.operation(setmetatable({ activation = "tanh" }, { __index = o }))]
  local gates = {}
  for _, name in ipairs(cell.named or {}) do
    gates[name[1]] = name[2]
  end
  return function(make, x, h, c)
    return define(setmetatable({ make = make, p = {}, x = x, h = h, c = c, gates = cell.gates, names = gates, o = o },
      Step))
  end
end

-- Options of layers that these definitions have, too.
local SHARED = { "input", "hidden", "layers", "bidirectional", "dropout", "variational", "residual", "learn_state",
  "batch_first", "recurrent_dropout", "zoneout" }

-- Options of layers that mean nothing special at these values.
local PLAIN = { bias = true, activation = true, gate_activation = true, reset = true }

--- What nn.recurrent is given for such a layer. Errors at options that its
--- definition lacks.
---@param name string  "rnn", "lstm" or "gru"
---@param cell saros.nn.Cell
---@param o table  the checked options of the layer
---@return table
function activated.given(name, cell, o)
  local given, known = {}, {}
  for _, key in ipairs(SHARED) do
    given[key], known[key] = o[key], true
  end
  for key, value in pairs(o) do
    if not known[key] and not PLAIN[key] and value and value ~= 0 then
      options.fail(("nn.%s: expected no %s with activations other than tanh and sigmoid, got %s"):format(
        name, key, options.describe(value)))
    end
  end
  local bound = 1 / math.sqrt(o.hidden)
  local parameters = {
    weight_ih = { value = initialize.gates(bound, cell.gates, false) },
    weight_hh = { value = initialize.gates(bound, cell.gates, true) },
  }
  if o.bias then
    parameters.bias_ih = { value = initialize.bias(bound) }
    parameters.bias_hh = { value = initialize.bias(bound) }
  end
  given.cell = cell_of(name, { states = cell.states, parameters = parameters }, step_of(cell, o))
  return given
end

return activated
