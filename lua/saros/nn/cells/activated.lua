--- Cells with other functions than tanh and the sigmoid, which the fused ones have: the
--- definition of the fused cell as a cell of nn.cell, compiled. Its parameters have the
--- shapes and gate orders of the fused layers.

local core = require "saros.core"
local options = require "saros.options"
local activation = require "saros.nn.cells.activation"
local cell_of = require("saros.nn.cell").cell
local define = require "saros.nn.cells.definition"
local initialize = require "saros.nn.initialize"
local tensors = require "saros.nn.cells.tensors"

local activated = {}

--- The parameters of a fused layer, from the p of nn.cell, as nodes.
local function parameters_of(p, gates, has_bias)
  local nodes, rows = {}, gates * p.hidden
  for _, which in ipairs { "ih", "hh" } do
    local weight, bias = "weight_" .. which, "bias_" .. which
    nodes[weight] = tensors.node(p[weight]:tensor { rows, which == "ih" and p.inputs or p.hidden }:reshape(-1))
    nodes[bias] = has_bias and tensors.node(p[bias]:tensor { rows }) or nil
  end
  return nodes
end

--- One step of nn.cell by the definition of a cell.
local function step_of(cell, o)
  local operation = cell.operation(setmetatable({ activation = "tanh" }, { __index = o }))
  return function(p, x, h, c)
    local build = tensors.builder {
      tanh = activation.functions[o.activation],
      sigmoid = activation.functions[o.gate_activation],
      linear = function(...) return p.weight_hh:mapped(core.linear, ...) end, -- which may read dropped states
    }
    local new_h, new_c, named = define(build, operation, { p = parameters_of(p, cell.gates, o.bias), H = p.hidden,
      x = tensors.node(x), h = tensors.node(h), c = c and tensors.node(c) })
    for _, name in ipairs(cell.named or {}) do
      p:named(name[2], named[name[1]].tensor)
    end
    if new_c then
      return new_h.tensor, new_c.tensor
    end
    return new_h.tensor
  end
end

-- Options of layers that mean nothing special at these values.
local PLAIN = { bias = true, activation = true, gate_activation = true, reset = true }

--- What makes the cells of such a layer. Errors at options that its definition lacks.
---@param name string  "rnn", "lstm" or "gru"
---@param cell saros.nn.Cell
---@param o table  the checked options of the layer
---@param shared table  whose keys are the options that nn.recurrent has
---@return saros.nn.CellMaker
function activated.maker(name, cell, o, shared)
  for key, value in pairs(o) do
    if shared[key] == nil and not PLAIN[key] and value and value ~= 0 then
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
  return cell_of(name, { states = cell.states, parameters = parameters }, step_of(cell, o))
end

return activated
