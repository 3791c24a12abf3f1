--- Where numbers end: which parameter, gradient or operation is the first to hold
--- an infinity or no number at all.

local core = require "saros.core"
local scope = require "saros.nn.scope"

local finite = {}

---@param value number
---@return boolean
function finite.is(value)
  return value - value == 0
end

--- The first parameter that is not finite.
---@param model saros.nn.Module
---@return string?  "parameter 'head.bias'"
function finite.parameter(model)
  local parameters = model:parameters()
  for position, parameter in ipairs(parameters) do
    if not parameter:all_finite() then
      return ("parameter '%s'"):format(parameters.names[position])
    end
  end
end

--- The parameter nearest the loss whose gradient is not finite.
---@param model saros.nn.Module
---@return string?  "the gradient of 'head.bias'"
function finite.gradient(model)
  local parameters = model:parameters()
  for position = #parameters, 1, -1 do
    local gradient = parameters[position]:gradient()
    if gradient and not gradient:all_finite() then
      return ("the gradient of '%s'"):format(parameters.names[position])
    end
  end
end

local Watching = {
  __close = function()
    core.watch_finite(false)
    core.profiling(false)
    scope.profiles = scope.profiles - 1
  end,
}

local function watched(fn, ...)
  local _ <close> = setmetatable({}, Watching)
  core.profiling(true) -- so that operations know their layers
  scope.profiles = scope.profiles + 1
  core.watch_finite(true)
  fn(...)
end

--- The first operation of a function whose result is not finite.
---@param fn fun(...)
---@return string?  "the result of lstm in recurrent"
function finite.operation(fn, ...)
  local ok, name = pcall(watched, fn, ...)
  return not ok and "the result of " .. tostring(name) or nil
end

return finite
