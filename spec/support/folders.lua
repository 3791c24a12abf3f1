--- Folders that specs may fill.

local folders = {}

--- A path at which there is nothing yet.
---@return string
function folders.unused()
  local path = os.tmpname()
  os.remove(path)
  return path
end

--- Remove a folder that `unused` named, with all that is in it.
---@param path string
function folders.remove(path)
  assert(path:find "^/[%w_./-]+$" and not path:find("..", 1, true), path)
  os.execute("rm -rf " .. path)
end

return folders
