--- Modules that are given (B, T, ...) where all others are given (T, B, ...): those
--- made with `batch_first = true`, as in PyTorch. The axes are exchanged when such a
--- module is called, and what it gives is exchanged back; inside, steps come first.
--- States are (B, H) either way. Programs, and so sessions, read steps first; a model
--- file says beside its program that the module is called with rows first.

local options = require "saros.options"

local batch_first = {}

--- A result (T, B, ...), or several by name or position, as (B, T, ...). What has no
--- steps, such as a state (B, H), stays as it is.
local function turned(value)
  if options.tensor.accept(value) then
    local has_steps = value:rank() > 2 or value:rank() == 2 and value:dtype() == "ids"
    return has_steps and value:transpose(1, 2) or value
  elseif type(value) ~= "table" then
    return value
  end
  local result = {}
  for key, branch in pairs(value) do
    result[key] = turned(branch)
  end
  return result
end

--- Step options with masks (T, B).
local function turned_steps(given)
  if type(given) ~= "table" then
    return given
  end
  local result = {}
  for name, value in pairs(given) do
    local is_table = options.tensor.accept(value) and value:rank() == 2
    result[name] = is_table and value:transpose(1, 2) or value
  end
  return result
end

local function back(y, state, ...)
  return turned(y), state, turned(...)
end

--- Call forward with steps first.
---@param self saros.nn.Module
---@param forward fun(self: saros.nn.Module, x: saros.Tensor, ...): any
---@param x saros.Tensor  (B, T, F), or ids (B, T)
---@param state? saros.nn.State
---@param given? saros.nn.StepOptions  mask and reset are (B, T)
function batch_first.call(self, forward, x, state, given, ...)
  local has_steps = options.tensor.accept(x) and (x:rank() > 2 or x:rank() == 2 and x:dtype() == "ids")
  if not has_steps then
    options.fail(("%s: expected x of shape (B, T, F), or ids (B, T), got %s"):format(
      self.kind, options.describe(x)))
  end
  return back(forward(self, x:transpose(1, 2), state, turned_steps(given), ...))
end

--- The option in a list of members, or in the description of a file.
---@param owner string
---@param list table
---@return boolean
function batch_first.option(owner, list)
  local value = list.batch_first
  if value ~= nil and type(value) ~= "boolean" then
    options.fail(("%s: expected batch_first to be true or false, got %s"):format(owner, options.describe(value)))
  end
  return value or false
end

--- Refuse a module with rows first where steps come first.
---@param owner string  for the message
---@param module any
---@param cure string  what to do
function batch_first.refuse(owner, module, cure)
  if type(module) == "table" and rawget(module, "batch_first") then
    options.fail(("%s: expected a module that reads (T, B, F), got one with batch_first = true; %s"):format(
      owner, cure))
  end
end

--- A module reads steps first until the end of the block.
---@param module saros.nn.Module
function batch_first.steps_first(module)
  local before = rawget(module, "batch_first")
  module.batch_first = false
  return setmetatable({}, { __close = function()
    module.batch_first = before
  end })
end

return batch_first
