--- What must happen wholly or not at all, although Ctrl-C may come: the program
--- turns it into an error wherever the script's thread is, but a coroutine is a
--- thread of its own, and the error waits until that is done.

--- Call a function without an interruption. It must leave its results where they
--- belong: the interruption may come before it could return them.
---@param fn fun(...)
local function undisturbed(fn, ...)
  if not coroutine then -- a host without it
    return fn(...)
  end
  local thread = coroutine.create(fn)
  local ok, message = coroutine.resume(thread, ...)
  if not ok then
    coroutine.close(thread)
    error(message, 0)
  end
end

return undisturbed
