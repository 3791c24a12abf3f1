--- Matrices in 8 bits, as sessions have them: rows of integers in -127..127, and a
--- scale for each row, which is a float in every build.

local core = require "saros.core"

local quantise = {}

--- The rows of an embedding, or of the weights of a product.
---@param weight saros.Tensor  (n, k)
---@return { integers: saros.Tensor, scale: saros.Tensor, values: saros.Tensor }  (n, k), (n), (n, k)
function quantise.rows(weight)
  local rows, scale = core.round_weights(weight, "int8")
  local integers = rows + 0 -- not -0, which is no integer in C
  return { integers = integers, scale = scale, values = integers * scale:reshape(-1, 1) }
end

--- True if the weights of a product are too few to be rounded.
---@param outputs integer
---@return boolean
function quantise.is_exact(outputs)
  return outputs <= core.info().exact_outputs
end

return quantise
