--- The whole of a file.

local open_file = require "saros.open_file"

---@param path string
---@return string? content
---@return string? message  that names the path
local function read_file(path)
  local file <close>, message = open_file(path)
  if not file then
    return nil, message
  end
  local content
  content, message = file:read "a"
  if not content then
    return nil, path .. ": " .. message
  end
  return content
end

return read_file
