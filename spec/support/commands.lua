--- Commands for specs: the interpreter that runs them, as a user would run it.

local commands = {}

-- It comes first on its command line.
local first = 0
while arg[first - 1] do
  first = first - 1
end
local interpreter = arg[first]

--- The interpreter, as a word of a shell's command.
commands.interpreter = interpreter

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- What a line for the shell printed, and its exit status.
---@param line string
---@return string output, integer status
function commands.shell(line)
  local pipe = assert(io.popen(line .. " 2>&1"))
  local output = pipe:read "a"
  local _, _, status = pipe:close()
  return output, status
end

local function run_after(words, ...)
  words[#words + 1] = quoted(interpreter)
  for _, word in ipairs { ... } do
    words[#words + 1] = quoted(tostring(word))
  end
  return commands.shell(table.concat(words, " "))
end

--- What a command printed, and its exit status, with something set in its
--- environment: "NAME=value".
---@return string output, integer status
function commands.run_with(setting, ...)
  return run_after({ "env", quoted(setting) }, ...)
end

--- The same, with so many kilobytes of address space.
---@return string output, integer status
function commands.run_within(kilobytes, ...)
  local limited = ('ulimit -v %d; exec "$@"'):format(kilobytes)
  return run_after({ "env", "OPENBLAS_NUM_THREADS=1", "sh", "-c", quoted(limited), "sh" }, ...)
end

--- What a command printed, and its exit status.
---@return string output, integer status
function commands.run(...)
  return commands.run_with("SAROS_PROFILE=", ...)
end

--- The output of a command that must end well.
---@return string
function commands.succeed(...)
  local output, status = commands.run(...)
  assert(status == 0, output)
  return output
end

return commands
