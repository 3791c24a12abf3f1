--- Refusals of files: a reader raises one wherever it is, and what called it returns
--- nil and the message. Any other error passes.

local refusal = {}

local Refusal = {}

--- Raise a refusal.
---@param text string  a format
function refusal.raise(text, ...)
  error(setmetatable({ message = text:format(...) }, Refusal), 0)
end

--- The first argument; raises a refusal with the second, if it is nil or false.
---@generic V
---@param value V?
---@param message any
---@return V
function refusal.check(value, message, ...)
  if not value then
    refusal.raise("%s", message)
  end
  return value, message, ...
end

--- f(...), or nil and a message if it refuses.
---@param f function
function refusal.guard(f, ...)
  local function finish(ok, first, ...)
    if ok then
      return first, ...
    elseif getmetatable(first) == Refusal then
      return nil, first.message
    end
    error(first, 0)
  end
  return finish(pcall(f, ...))
end

return refusal
