--- Fields of a script's module that should be parts of it. A layer or a trainable tensor
--- that was assigned without add_member or add_parameter would neither be trained nor
--- saved, without a word, so it is refused where the parameters are asked for.
---
--- Left alone are parts of other modules, modules that this one is part of, and modules
--- whose parameters are all frozen by trainable(false), such as a teacher.

local options = require "saros.options"

local stray = {}

-- Fields that all modules have.
local OWN = { own = true, members = true, own_generators = true, place = true }

-- Entries of a table in a field that are looked at, and how deep such tables are.
local MOST, DEPTH = 64, 2

--- Tensors that are parameters or buffers of some module.
local parts = setmetatable({}, { __mode = "k" })

--- Say that a tensor belongs to a module.
---@param tensor saros.Tensor
function stray.know(tensor)
  parts[tensor] = true
end

local function is_module(value)
  return rawget(value, "members") ~= nil and rawget(value, "own_generators") ~= nil
end

local function is_trainable(tensor)
  local is_open, trainable = pcall(tensor.trainable, tensor)
  return is_open and trainable
end

local function has_trainable(module)
  local found = false
  module:visit(function(member)
    for _, entry in ipairs(member.own) do
      found = found or is_trainable(entry.tensor)
    end
  end)
  return found
end

--- True if a module is `other` or part of it.
local function is_within(module, other)
  while module ~= other and module.place do
    module = module.place.owner
  end
  return module == other
end

local function refuse(owner, name, what, remedy)
  options.fail(("%s: expected %s in self.%s to be %s"):format(owner.kind, what, name, remedy))
end

local function check(owner, name, value, depth)
  if options.tensor.accept(value) and not parts[value] and is_trainable(value) then
    refuse(owner, name, "the trainable tensor", "made by self:add_parameter(name, shape, fill), got one that is "
      .. "neither trained nor saved with it")
  elseif type(value) ~= "table" then
    return
  elseif is_module(value) then
    if not (value.place or is_within(owner, value)) and has_trainable(value) then
      refuse(owner, name, "the module", "a member, as self:add_member(name, module) makes it, got one that is neither "
        .. "trained nor saved with it; trainable(false) of its parameters says that it is not meant to be")
    end
  elseif getmetatable(value) == nil and depth < DEPTH then
    local count = 0
    for key, inner in next, value do
      count = count + 1
      if count > MOST then
        return
      end
      check(owner, ("%s[%s]"):format(name, tostring(key)), inner, depth + 1)
    end
  end
end

--- Refuses such fields of a module.
---@param module saros.nn.Module
function stray.check(module)
  for name, value in next, module do
    if not OWN[name] then
      check(module, tostring(name), value, 0)
    end
  end
end

return stray
