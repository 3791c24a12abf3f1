--- A file to read or to add to. A host may have taken away the library for it.

---@param path string
---@param mode? string  ("rb")
---@return file*? file
---@return string? message  that names the path
local function open_file(path, mode)
  if not io then
    return nil, path .. ": expected a way to files from the host, got none"
  end
  return io.open(path, mode or "rb")
end

return open_file
