-- The folders of the C source: what each may include, and how its names begin.

local commands = require "spec.support.commands"

-- The folders of the core, each on top of those before it in its list.
local BELOW = {
  base = {},
  tensor = { "base" },
  tape = { "base", "tensor" },
  math = { "base" },
  op = { "base", "tensor", "tape", "math" },
  recurrent = { "base", "tensor", "tape", "math", "op" },
  program = { "base", "tensor", "tape", "math", "op", "recurrent" },
  session = { "base", "tensor", "tape", "math", "op", "recurrent", "program", "file" },
  file = { "base", "tensor" },
  text = { "base", "tensor", "file" },
  cells = { "base", "tensor", "tape", "math", "op", "recurrent", "program", "session", "file" },
}

-- How the symbols of a folder begin that other files see, beside saros_.
local PREFIXES = {
  base = { "base", "pool", "team", "array", "profile" },
  math = { "product" },
  kernel = { "kernel" },
  lua = { "bind", "luaopen" },
  cells = { "recurrent", "cell" },
  program = { "program", "loop" },
}

local function lines_of(command)
  local output, status = commands.shell(command)
  assert.equal(0, status, output)
  return output:gmatch "[^\n]+"
end

-- The folder of each file below src, by its base name, which only it has.
local function folders()
  local folder = {}
  for path in lines_of "find src -name '*.[ch]'" do
    local place, name = path:match "([^/]+)/([^/]+)$"
    assert.is_nil(folder[name], name .. " is there twice")
    folder[name] = place
  end
  return folder
end

describe("the folders of the C source", function()
  it("include what lies below them, and hold each name of a file once", function()
    local folder, wrong = folders(), {}
    for line in lines_of "grep -rn '#include \"' src/core" do
      local place, name, included = line:match '(%w+)/([^/:]+):%d+:.*"(.-)"'
      local from = assert(folder[included], included)
      local allowed = " kernel src " .. place .. " " .. table.concat(BELOW[place], " ") .. " "
      if not allowed:find(" " .. from .. " ", 1, true) then
        wrong[#wrong + 1] = ("%s/%s includes %s"):format(place, name, included)
      end
    end
    assert.same({}, wrong)
  end)

  it("give their prefix to whatever other files see", function()
    local build, folder, wrong, seen = commands.interpreter:match "^(.*)/[^/]*$", folders(), {}, 0
    local objects = ("find '%s/core' '%s/kernel' '%s/lua' -name '*.o'"):format(build, build, build)
    for line in lines_of(objects .. " | xargs nm -A") do
      local place, file, kind, name = line:match "(%w+)/([%w_]+)%.o:%x+ (%u) _?([%w_]+)$"
      place = line:find "/kernel/" and "kernel" or place
      local is_seen = kind and ("TDRBSC"):find(kind, 1, true) and not name:find "^saros_"
      if is_seen and folder[file .. ".c"] == place then -- no object of a file that has moved
        local known = PREFIXES[place] or { place }
        seen = seen + 1
        if not (" " .. table.concat(known, " ") .. " "):find(" " .. (name:match "^(%a%w*)_" or "") .. " ", 1, true) then
          wrong[#wrong + 1] = line
        end
      end
    end
    assert.same({}, wrong)
    assert.is_true(seen > 100)
  end)
end)
