--- Scripts as several processes of mpirun, for specs.

local commands = require "spec.support.commands"
local files = require "spec.support.files"

local ranks = {}

local folder = commands.interpreter:match "^(.*)/" or "."

--- Why no ranks can be started here; nil if they can.
---@return string?
function ranks.missing()
  if not package.searchpath("saros_mpi", package.cpath .. ";" .. folder .. "/?.so") then
    return "left out: there is no saros_mpi.so; `make mpi` builds it"
  elseif select(2, commands.shell "command -v ${MPIRUN:-mpirun}") ~= 0 then
    return "left out: there is no mpirun"
  end
end

--- What some code prints as so many ranks, and the exit status.
---@param count integer|string  "--network 3": in two network namespaces
---@param code string
---@return string output, integer status
function ranks.run(count, code, ...)
  local path = os.tmpname()
  files.write(path, code)
  local words = {}
  for position, word in ipairs { ... } do
    words[position] = ("'%s'"):format(word)
  end
  local output, status = commands.shell(("OPENBLAS_NUM_THREADS=1 timeout 60 spec/mpirun.sh %s '%s' %s %s"):format(
    count, commands.interpreter, path, table.concat(words, " ")))
  os.remove(path)
  return output, status
end

--- The output of a command of so many ranks that must end well.
---@param count integer|string
---@return string
function ranks.succeed(count, code, ...)
  local output, status = ranks.run(count, code, ...)
  assert(status == 0, output)
  return output
end

return ranks
