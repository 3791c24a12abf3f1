--- Files and folders of a spec, which are gone afterwards.

local folders = require "spec.support.folders"
local saros = require "saros"

local files = {}

---@param path string
---@param text string
function files.write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(text))
end

---@param path string
---@return string
function files.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

--- Calls a function; then calls another one, whatever happened.
local function finally(finish, act, ...)
  local ok, message = pcall(act, ...)
  finish()
  if not ok then
    error(message, 0) -- also a case that is pending
  end
end

--- Calls act(path) with the path of a file that is removed afterwards.
---@param act fun(path: string)
function files.with_path(act)
  local path = os.tmpname()
  finally(function()
    os.remove(path)
  end, act, path)
end

--- What saros.load makes of the file that a model saves.
---@param model saros.nn.Module
---@return saros.nn.Module
function files.reloaded(model)
  local loaded
  files.with_path(function(path)
    assert(model:save(path))
    loaded = assert(saros.load(path))
  end)
  return loaded
end

--- Calls act(folder) with an empty folder that is removed afterwards.
---@param act fun(folder: string)
function files.with_folder(act)
  local folder = folders.unused()
  assert(require("lfs").mkdir(folder))
  finally(function()
    folders.remove(folder)
  end, act, folder)
end

return files
