--- Files and folders: opening, reading, listing.

local options = require "saros.options"

local files = {}

--- A file to read or to add to. A host may have taken away the library for it.
---@param path string
---@param mode? string  ("rb")
---@return file*? file
---@return string? message  that names the path
function files.open(path, mode)
  if not io then
    return nil, path .. ": expected a way to files from the host, got none"
  end
  return io.open(path, mode or "rb")
end

--- The whole of a file.
---@param path string
---@return string? content
---@return string? message  that names the path
function files.read(path)
  local file <close>, message = files.open(path)
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

local MARK = "\xEF\xBB\xBF"

--- The content of a file without the byte order mark that some programs, above all
--- on Windows, put before UTF-8. It is no part of the text.
---@param content string
---@return string
function files.without_mark(content)
  return content:sub(1, #MARK) == MARK and content:sub(#MARK + 1) or content
end

--- True if there is a folder at this path.
---@param path any
---@return boolean
function files.is_folder(path)
  local file <close> = files.open(path .. "/.")
  return file ~= nil
end

--- The names of what is in a folder, but for hidden ones, in order.
---@param path string
---@return string[]? names
---@return string? message
function files.names(path)
  local found, lfs = pcall(require, "lfs")
  if not found then
    return nil, "expected LuaFileSystem to be there (Debian: lua-filesystem), as folders need it"
  end
  local ok, next_name, state = pcall(lfs.dir, path)
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

--- True if there is a symbolic link at this path; nil if that is not known, as without
--- LuaFileSystem or where there is nothing.
---@param path string
---@return boolean?
function files.is_link(path)
  local has_library, lfs = pcall(require, "lfs")
  local mode = has_library and lfs.symlinkattributes(path, "mode")
  if mode then
    return mode == "link"
  end
end

return files
