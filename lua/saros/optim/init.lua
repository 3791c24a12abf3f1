--- saros.optim: from gradients to better parameters.

local clip = require "saros.optim.clip"
local optimizer = require "saros.optim.optimizer"
local parameters = require "saros.optim.parameters"
local spelling = require "saros.spelling"

return spelling.space("optim", {
  sgd = optimizer.sgd,
  rmsprop = optimizer.rmsprop,
  adam = optimizer.adam,
  adamw = optimizer.adamw,
  groups = parameters.groups,
  schedule = require "saros.optim.schedule",
  clip_norm = clip.norm,
  clip_value = clip.value,
})
