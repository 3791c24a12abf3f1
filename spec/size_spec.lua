-- The size of the sources: a function is read without scrolling, a file in one sitting.

local commands = require "spec.support.commands"
local files = require "spec.support.files"
local sources = require "spec.support.sources"

local LONGEST_FUNCTION, LONGEST_FILE = 50, 600

local function paths(pattern)
  local output, status = commands.shell("find src lua spec bench examples -type f -name '" .. pattern .. "' | sort")
  assert.equal(0, status, output)
  return output:gmatch "[^\n]+"
end

-- Adds the functions of the files that are too long to a list; returns how many there are.
local function long_functions(pattern, functions_of, wrong)
  local seen = 0
  for path in paths(pattern) do
    for _, found in ipairs(functions_of(files.read(path))) do
      seen = seen + 1
      -- a describe holds functions as a file does
      if found.lines > LONGEST_FUNCTION and not found.head:find "^%s*describe%(" then
        wrong[#wrong + 1] = ("%s:%d: %d lines: %s"):format(path, found.line, found.lines, found.head)
      end
    end
  end
  return seen
end

describe("the sources", function()
  it("have functions of at most 50 lines", function()
    local wrong = {}
    local seen_c = long_functions("*.[ch]", sources.c_functions, wrong)
    local seen_lua = long_functions("*.lua", sources.lua_functions, wrong)
    assert.same({}, wrong)
    assert.is_true(seen_c > 2000 and seen_lua > 4000, seen_c .. " and " .. seen_lua)
  end)

  it("have files of at most 600 lines", function()
    local wrong = {}
    for _, pattern in ipairs { "*.[ch]", "*.lua" } do
      for path in paths(pattern) do
        local _, lines = files.read(path):gsub("\n", "")
        if lines > LONGEST_FILE then
          wrong[#wrong + 1] = ("%s: %d lines"):format(path, lines)
        end
      end
    end
    assert.same({}, wrong)
  end)
end)

describe("functions of a source", function()
  it("are found in C, but for what is in comments and strings", function()
    local found = sources.c_functions [[
/* A type
} of */
struct s {
  int x;
};
static const struct s
    table[] = {{1}};

int first(int x) {
  return x;  // }
}

static void
second(const char *text,
       int n) {
  if (n)
    puts("}\n}");
}
enum { A };
]]
    assert.same({
      { head = "int first(int x) {", line = 9, lines = 3 },
      { head = "static void", line = 13, lines = 6 },
    }, found)
  end)

  it("are found in Lua, the inner one first", function()
    local found = sources.lua_functions [==[
local text = "function" .. [[ if do ]] -- function
--[[ function
]]
local function outer(x)
  for k = 1, x do
    repeat k = 'end\'' until k
  end
  local short = function() return x end
  while x do if x then break elseif x then x = nil else x = 1 end end
end]==]
    assert.same({
      { head = "  local short = function() return x end", line = 8, lines = 1 },
      { head = "local function outer(x)", line = 4, lines = 7 },
    }, found)
  end)
end)
