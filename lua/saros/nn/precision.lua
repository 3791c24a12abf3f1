--- The precision in which the large products of a module are made. A module that has one
--- of its own, see Module:precision, is called in it, and so is all below it; the
--- precision before comes back after the call, however it ends. What a tape records it
--- runs backwards in the precision of the call.

local core = require "saros.core"
local options = require "saros.options"

local precision = {
  is_used = false, -- true once a module has one of its own: until then calls need not look
}

---@class saros.nn.PrecisionScope
---@field before "real"|"bf16"|"int8"
---@field was_used boolean
local Scope = { was_used = false }

--- The precision before comes back.
function Scope:__close()
  core.precision(self.before)
  precision.is_used = precision.is_used or self.was_used
end

Scope.__index = Scope

--- From here to the end of the block large products are made in a precision:
---
---     local _ <close> = precision.enter "bf16"
---@param kind "real"|"bf16"|"int8"
---@return saros.nn.PrecisionScope
function precision.enter(kind)
  local self = setmetatable({ before = core.precision() }, Scope)
  core.precision(kind)
  return self
end

--- From here to the end of the block all modules are real, whatever they have of their
--- own: where a module is run to see what it computes.
---@return saros.nn.PrecisionScope
function precision.set_aside()
  local self = setmetatable({ before = core.precision(), was_used = precision.is_used }, Scope)
  core.precision "real"
  precision.is_used = false
  return self
end

--- The precision of a module: its own, or that of the nearest module that it is part of.
---@param module saros.nn.Module
---@return "real"|"bf16"|nil
function precision.of(module)
  local at = module
  while not at.own_precision do
    if not at.place then
      return nil
    end
    at = at.place.owner
  end
  return at.own_precision
end

--- Precisions in which a module can be trained.
precision.trained = options.one_of { "real", "bf16" }

local explain = precision.trained.explain
function precision.trained.explain(kind)
  return kind == "int8" and ', which has no gradients; net:quantised "int8" returns a copy for inference in it'
    or explain(kind)
end

--- Give a module a precision.
---@param module saros.nn.Module
---@param kind "real"|"bf16"
function precision.set(module, kind)
  options.argument("precision", 1, precision.trained, kind)
  module.own_precision, precision.is_used = kind, true
end

return precision
