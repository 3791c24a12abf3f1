--- Clipping: keep one steep place from throwing the parameters far away.

local core = require "saros.core"

local clip = {}

--- Scale all gradients by one factor so that their joint norm is at most
--- `limit` (Pascanu, Mikolov and Bengio 2013).
---@param parameters saros.Tensor[]
---@param limit number  > 0
---@return number norm  before clipping
function clip.norm(parameters, limit)
  return core.clip_norm(parameters, limit)
end

--- Clamp each element of the gradients into [-limit, limit].
---@param parameters saros.Tensor[]
---@param limit number  > 0
function clip.value(parameters, limit)
  core.clip_value(parameters, limit)
end

return clip
