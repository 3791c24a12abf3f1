--- What a training leaves alone: parameters of the model that its optimizer does not
--- own are not trainable while it runs. So they gather no gradients, which another
--- training would begin with.
---
---     local others <close> = frozen.new()
---     others:freeze(model, optimizer.parameters)

local undisturbed = require "saros.train.undisturbed"

---@class saros.train.Frozen
---@field [integer] saros.Tensor  trainable again at the end of the block
local Frozen = {}
Frozen.__index = Frozen

local function freeze(self, model, owned)
  local is_owned = {}
  for _, parameter in ipairs(owned) do
    is_owned[parameter] = true
  end
  for _, parameter in ipairs(model:parameters()) do
    if not is_owned[parameter] and parameter:trainable() then
      self[#self + 1] = parameter
      parameter:trainable(false)
    end
  end
end

local function thaw(self)
  for _, parameter in ipairs(self) do
    parameter:trainable(true)
  end
end

--- Freeze the parameters that are not owned.
---@param model saros.nn.Module
---@param owned saros.Tensor[]
function Frozen:freeze(model, owned)
  undisturbed(freeze, self, model, owned)
end

function Frozen:__close()
  undisturbed(thaw, self)
end

local frozen = {}

---@return saros.train.Frozen
function frozen.new()
  return setmetatable({}, Frozen)
end

return frozen
