--- Gradients that a look at a model must not change.

local core = require "saros.core"

local Kept = {}

--- Give every tensor the gradient back that it had.
function Kept:__close()
  for tensor, gradient in pairs(self) do
    tensor:clear_gradient()
    if gradient then
      local tape <close> = core.tape()
      tape:watch(tensor)
      tape:backward(tensor, gradient)
    end
  end
end

--- Keep the gradients of some tensors until the result is closed. No tape may be
--- open then: the caller is inside `no_gradient`.
---@param tensors table<any, saros.Tensor>
---@return table  to be closed
local function keep(tensors)
  local kept = {}
  for _, tensor in pairs(tensors) do
    local gradient = tensor:gradient()
    kept[tensor] = gradient and gradient:clone() or false
  end
  return setmetatable(kept, Kept)
end

return keep
