-- What docs/reference.md says is what the toolkit has.

local files = require "spec.support.files"

--- Names and defaults in the order in which a module declares its options; a
--- default is false where there is none.
local function declared(path, owner)
  local list = {}
  local block = files.read(path):match(('options%%.declare%%("%s", {\n(.-)\n}%%)'):format(owner))
  for name, rest in block:gmatch '{ "([%w_]+)", ([^\n]+) },' do
    local is_optional = rest:find "^options%.optional"
    list[#list + 1] = { name, not is_optional and rest:match "^[%w_.]+, (.+)$" }
  end
  return list
end

--- Names and defaults in the table whose heading begins with a pattern.
local function rows_below(heading)
  local reference, list = files.read "docs/reference.md", {}
  local _, last = reference:find(heading .. "[^\n]*\n|[-|]+|\n")
  local rows = reference:sub(last + 1):match "^(.-\n)%f[^|\n]"
  for name, default in rows:gmatch "| `([%w_]+)` | ([^|]+) | [^\n]+ |\n" do
    list[#list + 1] = { name, default }
  end
  return list
end

--- What a script prints, line by line.
local function printed(code, name)
  local lines = {}
  local environment = setmetatable({ print = function(...)
    local parts = table.pack(...)
    for n = 1, parts.n do
      parts[n] = tostring(parts[n])
    end
    lines[#lines + 1] = table.concat(parts, "\t")
  end }, { __index = _G })
  assert(load(code, "=" .. name, "t", environment))()
  return table.concat(lines, "\n") .. "\n"
end

describe("the reference", function()
  it("has examples that print what stands below them", function()
    local count = 0
    for code, shown in files.read("docs/reference.md"):gmatch "\n```lua\n(.-)```\n```\n(.-)```\n" do
      count = count + 1
      assert.equal(shown, printed(code, "reference.md"))
    end
    assert.equal(1, count)
  end)

  it("has the options of fit with their defaults", function()
    local rows = rows_below "| option of `saros%.fit` |"
    local wanted = declared("lua/saros/train/arguments.lua", "fit")
    assert.is_true(#wanted > 20)
    assert.equal(#wanted, #rows)
    for n, option in ipairs(wanted) do
      local name, default = table.unpack(option)
      assert.equal(name, rows[n][1])
      if default then
        assert.equal("`" .. default .. "`", rows[n][2])
      end
    end
  end)
end)
