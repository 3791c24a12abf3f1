--- Which layer of a model is at work: what a profile puts operations under.
--- Modules say so when they are called, but only while a profile runs.

local core = require "saros.core"

---@class saros.nn.Scope
---@field before string
local Scope = {}
Scope.__index = Scope

--- Operations belong to the layer before again.
function Scope:__close()
  core.layer(self.before)
end

local scope = {
  profiles = 0, -- that run; set by saros.profile
  tracer = nil, ---@type saros.program.Recorder?  that listens; set by saros.program.trace
}

--- From here to the end of the block operations belong to a layer:
---
---     local _ <close> = scope.enter "head"
---@param name string
---@return saros.nn.Scope
function scope.enter(name)
  return setmetatable({ before = core.layer(name) }, Scope)
end

--- What a module is called in profiles: its path in the model, as in the names
--- of its parameters ("head", "encoder.recurrent"), or its kind if it is no
--- member of another one.
---@param module saros.nn.Module
---@return string
function scope.name_of(module)
  local place = module.place
  if not place then
    return module.kind
  end
  return (place.owner.place and scope.name_of(place.owner) .. "." or "") .. place.name
end

return scope
