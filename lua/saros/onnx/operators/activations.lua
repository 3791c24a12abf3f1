--- The functions of gates that the operators RNN, GRU and LSTM name, with alpha and beta.

local core = require "saros.core"

-- name -> alpha, beta, f(x, alpha, beta)
local FUNCTIONS = {
  sigmoid = { 0, 0, core.sigmoid },
  tanh = { 0, 0, core.tanh },
  relu = { 0, 0, core.relu },
  affine = { 1, 0, function(x, a, b) return x * a + b end },
  leakyrelu = { 0.01, 0, function(x, a) return core.leaky_relu(x, a) end },
  thresholdedrelu = { 1, 0, function(x, a) return x * x:gt(a) end },
  scaledtanh = { 1, 1, function(x, a, b) return core.tanh(x * b) * a end },
  hardsigmoid = { 0.2, 0.5, function(x, a, b) return (x * a + b):maximum(0):minimum(1) end },
  elu = { 1, 0, function(x, a) return core.elu(x, a) end },
  softsign = { 0, 0, function(x) return x / (x:abs() + 1) end },
  softplus = { 0, 0, core.softplus },
}

local TAKES = { affine = 2, leakyrelu = 1, thresholdedrelu = 1, scaledtanh = 2, hardsigmoid = 2, elu = 1 }

local activations = {}

---@class saros.onnx.Activation
---@field name string  in small letters
---@field apply fun(x: saros.Tensor): saros.Tensor

--- The functions of a node, in the order of its attribute; nil and the name of one that is not
--- known.
---@param node saros.onnx.Node
---@param usual string[]  of one direction, if the node names none
---@param directions integer
---@return saros.onnx.Activation[]? list
---@return string? name
function activations.of(node, usual, directions)
  local names = node.attributes.activations or {}
  local alphas, betas = node.attributes.activation_alpha or {}, node.attributes.activation_beta or {}
  local list, at_alpha, at_beta = {}, 0, 0
  for n = 1, #usual * directions do
    local name = (names[n] or usual[(n - 1) % #usual + 1]):lower()
    local entry, takes = FUNCTIONS[name], TAKES[name] or 0
    if not entry then
      return nil, name
    end
    local alpha, beta = entry[1], entry[2]
    if takes >= 1 then
      at_alpha = at_alpha + 1
      alpha = alphas[at_alpha] or alpha
    end
    if takes >= 2 then
      at_beta = at_beta + 1
      beta = betas[at_beta] or beta
    end
    list[n] = { name = name, apply = function(x) return entry[3](x, alpha, beta) end }
  end
  return list
end

return activations
