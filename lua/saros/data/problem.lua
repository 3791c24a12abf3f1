--- What is wrong with a file. It is raised where it is found, however deep, and
--- becomes nil and a message at the function that was called for the file; every
--- other error passes.

local problem = {}

local Problem = {}

--- Raise what is wrong with a file.
---@param form string  and what it formats
function problem.raise(form, ...)
  error(setmetatable({ message = form:format(...) }, Problem), 0)
end

--- Call a function: its first result, or nil and the message of a problem.
---@return any? result, string? message
function problem.try(fn, ...)
  local ok, result = pcall(fn, ...)
  if ok then
    return result
  elseif getmetatable(result) == Problem then
    return nil, result.message
  end
  error(result, 0)
end

return problem
