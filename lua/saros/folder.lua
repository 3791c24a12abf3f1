--- Folders: whether one is there, and what is in it.

local open_file = require "saros.open_file"
local options = require "saros.options"

local folder = {}

---@param path any
---@return boolean
function folder.is_there(path)
  local file <close> = open_file(path .. "/.")
  return file ~= nil
end

--- The names of what is in a folder, but for hidden ones, in order.
---@param path string
---@return string[]? names
---@return string? message
function folder.names(path)
  local found, files = pcall(require, "lfs")
  if not found then
    return nil, "expected LuaFileSystem to be there (Debian: lua-filesystem), as folders need it"
  end
  local ok, next_name, state = pcall(files.dir, path)
  if not ok then
    return nil, options.without_place(next_name)
  end
  local names = {}
  for name in next_name, state do
    if name:find "^[^.]" then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

return folder
