--- Frozen copies of modules for inference, whose products are made in low precision.
---
---     local fast = net:quantised "int8"
---     local y = fast(x)
---
--- A copy (saros.nn.copy) has a frozen copy of each tensor. The weights of the copy are
--- those of the module, in full precision: it is the products that round them. As nothing
--- can write to them, the core keeps the rounded form with them, from call to call.

local core = require "saros.core"
local copy = require "saros.nn.copy"
local options = require "saros.options"
local precision = require "saros.nn.precision"

local kinds = options.one_of { "int8", "bf16" }

-- --- What a copy refuses -----------------------------------------------------------------

local function refuse(method, self)
  options.fail(("%s: expected a net that can change, got a quantised %s, which is a frozen copy for inference; "
    .. "change the net that it was made of and call quantised again"):format(method, self.kind))
end

-- Takes the place of methods that change a module.
local FROZEN = {}
for _, method in ipairs { "init", "load", "adopt", "learner", "add_parameter", "add_buffer", "add_member", "tie" } do
  FROZEN[method] = function(self)
    refuse(method, self)
  end
end

function FROZEN.precision(self, kind)
  return kind == nil and self.frozen_as or refuse("precision", self)
end

--- Freezes a module of a copy.
local function freeze(module, kind)
  rawset(module, "frozen_as", kind)
  for name, method in next, FROZEN do
    rawset(module, name, method)
  end
end

---@param self saros.nn.Module
---@param kind "int8"|"bf16"
---@return saros.nn.Module
return function(self, kind)
  options.argument("quantised", 1, kinds, kind)
  if not self.initialized then
    options.fail(("quantised: expected a %s with initialized parameters; call init { seed = ... } or load(tensors) "
      .. "first"):format(self.kind))
  end
  local _ <close> = core.no_gradient()
  local made = copy(self, core.frozen)
  made.own_precision, precision.is_used = kind, true
  made:visit(function(module)
    freeze(module, kind)
  end)
  return made
end
