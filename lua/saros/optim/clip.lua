--- Clipping: keep one steep place from throwing the parameters far away.

local core = require "saros.core"
local parameter_list = require "saros.optim.parameters"

local clip = {}

--- Scale all gradients by one factor so that their joint norm is at most
--- `limit` (Pascanu, Mikolov and Bengio 2013).
---@param parameters saros.Tensor[]
---@param limit number  > 0
---@return number norm  before clipping
function clip.norm(parameters, limit)
  parameter_list.check("optim.clip_norm", parameters)
  return core.clip_norm(parameters, limit)
end

--- Clamp each element of the gradients into [-limit, limit].
---@param parameters saros.Tensor[]
---@param limit number  > 0
function clip.value(parameters, limit)
  parameter_list.check("optim.clip_value", parameters)
  core.clip_value(parameters, limit)
end

return clip
