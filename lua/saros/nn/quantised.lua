--- Frozen copies of modules for inference, whose products are made in low precision.
---
---     local fast = net:quantised "int8"
---     local y = fast(x)
---
--- A copy has the tables of the module from which a parameter or a module can be
--- reached, and a frozen copy of each tensor in them; all else, such as a vocabulary or
--- a function, it shares. The weights of the copy are those of the module, in full
--- precision: it is the products that round them. As nothing can write to them, the core
--- keeps the rounded form with them, from call to call.

local core = require "saros.core"
local options = require "saros.options"
local precision = require "saros.nn.precision"

local kinds = options.one_of { "int8", "bf16" }

-- --- Copying ---------------------------------------------------------------------------

local function is_module(value)
  return rawget(value, "members") ~= nil and rawget(value, "own_generators") ~= nil
end

--- Is a value a part of a net, or a table from which one can be reached?
local function has_parts(value, seen)
  if type(value) ~= "table" then
    return options.tensor.accept(value) ~= nil or options.generator.accept(value) ~= nil
  elseif is_module(value) then
    return true
  elseif not seen[value] then
    seen[value] = true
    for _, inner in next, value do
      if has_parts(inner, seen) then
        return true
      end
    end
  end
  return false
end

--- A copy of a value, or the value itself if there is nothing in it to copy. `copies`
--- holds what was copied: a tensor that occurs twice stays one.
local function copy(value, copies)
  local known = copies[value]
  if known ~= nil then
    return known
  elseif not has_parts(value, {}) then
    return value
  elseif type(value) ~= "table" then
    copies[value] = options.tensor.accept(value) and core.frozen(value) or core.generator(0)
    return copies[value]
  end
  local made = {}
  copies[value] = made
  for key, inner in next, value do
    rawset(made, copy(key, copies), copy(inner, copies))
  end
  setmetatable(made, getmetatable(value))
  if is_module(made) and made.after_copy then
    made:after_copy()
  end
  return made
end

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
  local made = copy(self, { [self.place or {}] = false }) -- no member of what the module is part of
  made.own_precision, precision.is_used = kind, true
  made:visit(function(module)
    freeze(module, kind)
  end)
  return made
end
