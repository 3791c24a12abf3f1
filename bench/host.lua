--- What the parts of the benchmark share: the program that runs them, other
--- runs of it, and lines of JSON.

local saros = require "saros"

local host = {}

-- The interpreter comes first on its command line.
local first = 0
while arg[first - 1] do
  first = first - 1
end

--- The program that runs this script.
host.program = arg[first]

-- What bench/*.c became lies beside the program, as in build/bench.
host.folder = (host.program:match "^(.*/)" or "./") .. "bench/"
package.cpath = host.folder .. "?.so;" .. package.cpath

--- A command line of these words.
---@param words (string|number)[]
---@return string
function host.command(words)
  local parts = {}
  for position, word in ipairs(words) do
    parts[position] = "'" .. tostring(word):gsub("'", "'\\''") .. "'"
  end
  return table.concat(parts, " ")
end

--- The lines that a command prints; an error if it fails.
---@param words (string|number)[]
---@return fun(): string?
function host.lines(words)
  local command = host.command(words)
  local pipe = assert(io.popen(command))
  return function()
    local line = pipe:read "l"
    if not line and not pipe:close() then
      error("bench: expected success, got a failure of " .. command, 0)
    end
    return line
  end
end

--- Two functions: the first returns true once it is too late to start a new
--- measurement, and counts what was left out; the second says how many on the
--- standard error.
---@param time? integer  as os.time has it; without it, it is never too late
---@return fun(): boolean is_late, fun() tell
function host.deadline(time)
  local left_out = 0
  local function is_late()
    local late = time ~= nil and os.time() >= time
    left_out = left_out + (late and 1 or 0)
    return late
  end
  return is_late, function()
    if left_out > 0 then
      io.stderr:write(("the time is up: %d measurements were left out\n"):format(left_out))
    end
  end
end

--- Four digits are more than a measurement has.
local function rounded(value)
  return math.type(value) == "float" and tonumber(("%.4g"):format(value)) or value
end

--- Print one row of the output.
---@param row table<string, string|number>
function host.emit(row)
  local shown = {}
  for name, value in pairs(row) do
    shown[name] = rounded(value)
  end
  print(saros.json_encode(shown))
  io.stdout:flush()
end

return host
