-- C files, compiled and run: for specs of what is exported.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local saros = require "saros"

local c = {
  is_double = saros.info().real == "double",
  FLAGS = "-std=c99 -O1 -Wall -Wextra -Wshadow -Wconversion -Werror -pedantic",
  -- A machine of this kind has these; src/setup.sh installs them.
  COMPILERS = { "gcc", "clang" },
}
c.PACK = c.is_double and "d" or "f"
c.REAL = c.is_double and "double" or "float"

function c.has(command)
  return os.execute("command -v " .. command .. " > /dev/null 2>&1") == true
end

-- What a command printed, and whether it ended well.
function c.run(command, ...)
  local output, status = commands.shell(command:format(...))
  return output, status == 0
end

function c.succeed(...)
  local output, ok = c.run(...)
  assert(ok, output)
  return output
end

-- The text of the file that a model becomes.
function c.source_of(model, given)
  local text
  files.with_folder(function(folder)
    assert(saros.export_c(model, folder .. "/a.c", given))
    text = files.read(folder .. "/a.c")
  end)
  return text
end

-- Compiles a.c of the folder and runs its test.
function c.test_alone(folder, compiler, name)
  local flags = compiler:find "++" and c.FLAGS:gsub("%-std=c99 ", "") or c.FLAGS
  c.succeed("cd '%s' && %s %s -D%s_TEST a.c -o a -lm", folder, compiler, flags, name)
  return c.run("cd '%s' && ./a", folder)
end

-- The test of a model's file passes under every compiler.
function c.assert_well(model, given)
  files.with_folder(function(folder)
    assert(saros.export_c(model, folder .. "/a.c", given))
    for _, compiler in ipairs(c.COMPILERS) do
      local output, ok = c.test_alone(folder, compiler, (given and given.name or "model"):upper())
      assert(ok, compiler .. ": " .. output)
    end
  end)
end

return c
