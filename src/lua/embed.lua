-- Prints the C table of the Lua modules (see modules.h) whose files are named
-- on the command line: lua embed.lua lua/saros/init.lua lua/saros/nn/linear.lua

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

--- lua/saros/nn/linear.lua -> saros.nn.linear; lua/saros/init.lua -> saros
local function module_name(path)
  return (path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", "."))
end

--- A C string literal, one line of it for each line of text. Escapes have
--- three octal digits, so that a digit behind one cannot join it.
local function literal(text)
  local lines = {}
  for line in text:gmatch "[^\n]*\n?" do
    lines[#lines + 1] = '"' .. line:gsub('[%c"\\\128-\255]', function(byte)
      return ("\\%03o"):format(byte:byte())
    end) .. '"'
  end
  return table.concat(lines, "\n     ")
end

print '#include "lua/modules.h"\n\nconst saros_lua_module saros_lua_modules[] = {'
for _, path in ipairs(arg) do
  local source = read(path)
  print(('    {"%s", "@%s",\n     %s,\n     %d},'):format(
    module_name(path), path:gsub("^lua/", ""), literal(source), #source))
end
print '    {NULL, NULL, NULL, 0}};'
