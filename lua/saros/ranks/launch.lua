--- Whether mpirun or another launcher has started this process, and the module that
--- speaks MPI, which is loaded only then.

local options = require "saros.options"

local require = require -- which scripts cannot take away

local launch = {}

-- What launchers set: the number of processes, where they tell it, and the MPI.
local SIGNS = {
  { "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "Open MPI" },
  { "PMI_RANK", "PMI_SIZE", "MPICH" },
  { "PMIX_RANK", "SLURM_STEP_NUM_TASKS", "PMIx" },
}

--- What the launcher says; nil if there is none, as in `saros train.lua`.
---@return { size: integer?, mpi: string }?
function launch.found()
  local read = os and os.getenv
  for _, sign in ipairs(read and SIGNS or {}) do
    if read(sign[1]) then
      return { size = math.tointeger(tonumber(read(sign[2]) or "")), mpi = sign[3] }
    end
  end
end

--- The folder of the program that runs, whose name comes first on its command line.
local function folder_of_program()
  local words, first = rawget(_G, "arg"), 0
  if type(words) ~= "table" then
    return nil
  end
  while words[first - 1] do
    first = first - 1
  end
  return type(words[first]) == "string" and words[first]:match "^(.*)/"
end

local function from_folder(folder)
  local path = folder and folder .. "/saros_mpi.so"
  local open = path and package.loadlib(path, "luaopen_saros_mpi")
  return open and open "saros_mpi"
end

--- The module in C: where Lua finds its modules, or beside the program.
---@return table? module, string? message
function launch.load()
  if not package then
    return nil, "expected a host that loads modules"
  end
  local ok, module = pcall(require, "saros_mpi")
  if ok then
    return module
  end
  local beside = from_folder(folder_of_program())
  return beside, not beside and module or nil
end

--- The same, where there has to be one, since a launcher has started several processes. One alone, as a
--- scheduler may start it, does without.
---@param found { size: integer?, mpi: string }
---@return table? module
function launch.require(found)
  local module, message = launch.load()
  if not module and found.size == 1 then
    return nil
  end
  return module or options.fail(("ranks: expected saros_mpi.so, since %s has started this process%s; `make mpi` "
    .. "builds it:\n%s"):format(found.mpi, found.size and (" as one of %d"):format(found.size) or "", message))
end

return launch
