--- The options that give a cell other functions than tanh and the sigmoid. The fused
--- kernels have these two, and ReLU in Elman's network; a layer with others is made in
--- saros.nn.cells.activated.

local core = require "saros.core"
local options = require "saros.options"
local sorted = require "saros.sorted"

local activation = {}

--- What may stand in place of tanh and the sigmoid, beside the core's functions.
---@type table<string, fun(x: saros.Tensor): saros.Tensor>
activation.functions = {
  identity = function(x) return x end,
  softsign = function(x) return x / (x:abs() + 1) end,
  hard_sigmoid_keras = function(x) return (x * 0.2 + 0.5):minimum(1):maximum(0) end, -- Keras before version 3
}
for _, name in ipairs { "tanh", "sigmoid", "relu", "hard_sigmoid", "hard_tanh", "softplus", "silu", "gelu",
  "gelu_tanh", "elu", "leaky_relu", "sin", "cos" } do
  activation.functions[name] = core[name]
end

local names = sorted.keys(activation.functions)

activation.option = { "activation", options.one_of(names), "tanh" }
activation.gate_option = { "gate_activation", options.one_of(names), "sigmoid" }

--- True if the fused kernels have these functions.
---@param name string
---@param o table  options of the layer
---@return boolean
function activation.is_fused(name, o)
  return (o.activation == nil or o.activation == "tanh" or name == "rnn" and o.activation == "relu")
    and (o.gate_activation == nil or o.gate_activation == "sigmoid")
end

return activation
