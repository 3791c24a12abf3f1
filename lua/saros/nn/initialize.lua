--- How parameters start. Each function here makes a filler for one kind of
--- parameter: fill(tensor, generator, weights), where `weights` names a scheme:
---
---   "default"     what PyTorch does: uniform within a bound that the layer sets
---   "glorot"      uniform(+-sqrt(6 / (fan_in + fan_out))), biases 0
---                 (Glorot and Bengio 2010)
---   "orthogonal"  recurrent matrices orthonormal gate by gate (Saxe et al.
---                 2014), the rest as "glorot"

local spelling = require "saros.spelling"

local initialize = spelling.space("nn.initialize", {})

---@alias saros.nn.Filler fun(tensor: saros.Tensor, generator: saros.Generator, weights: string)

initialize.schemes = { "default", "glorot", "orthogonal" }

local function glorot(tensor, generator)
  local fan_out, fan_in = tensor:size(1), tensor:size(2)
  local bound = math.sqrt(6 / (fan_in + fan_out))
  generator:fill_uniform(tensor, -bound, bound)
end

--- A matrix (O, I).
---@param bound number
---@return saros.nn.Filler
function initialize.matrix(bound)
  return function(tensor, generator, weights)
    if weights == "default" then
      generator:fill_uniform(tensor, -bound, bound)
    else
      glorot(tensor, generator)
    end
  end
end

--- A matrix (G H, H) or (G H, I) of G gates.
---@param bound number
---@param gates integer
---@param recurrent boolean  from the state: orthogonal under that scheme
---@return saros.nn.Filler
function initialize.gates(bound, gates, recurrent)
  return function(tensor, generator, weights)
    if weights == "default" then
      generator:fill_uniform(tensor, -bound, bound)
      return
    end
    local fill = weights == "orthogonal" and recurrent and generator.fill_orthogonal
    local height = tensor:size(1) // gates
    for gate = 1, gates do
      local rows = tensor:slice(1, (gate - 1) * height + 1, gate * height)
      if fill then
        fill(generator, rows)
      else
        glorot(rows, generator)
      end
    end
  end
end

--- A bias.
---@param bound number
---@return saros.nn.Filler
function initialize.bias(bound)
  return function(tensor, generator, weights)
    if weights == "default" then
      generator:fill_uniform(tensor, -bound, bound)
    else
      tensor:fill(0)
    end
  end
end

--- The same normal distribution under every scheme.
---@param deviation number
---@return saros.nn.Filler
function initialize.normal(deviation)
  return function(tensor, generator)
    generator:fill_normal(tensor, 0, deviation)
  end
end

--- The same constant under every scheme.
---@param value number
---@return saros.nn.Filler
function initialize.constant(value)
  return function(tensor)
    tensor:fill(value)
  end
end

return initialize
