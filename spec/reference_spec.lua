-- What docs/reference.md says is what the toolkit has.

local files = require "spec.support.files"
local saros = require "saros"

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

--- The options of a function: those that its message about an unknown one lists.
local function known(fn)
  local list = {}
  local message = select(2, pcall(fn, { nothing_like_it = 1 }))
  for name in message:match "; known: ([^;]*)":gmatch "[%w_]+" do
    list[#list + 1] = name
  end
  return list
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

  it("has the tasks with their options and defaults", function()
    local reference = files.read "docs/reference.md"
    local rows = reference:match "| task | options |[^\n]*\n[^\n]*\n(.-\n)\n"
    for name, task in pairs(saros.data.tasks) do
      local row = type(task) == "function" and assert(rows:match("| `" .. name .. "` | ([^|]*) |"), name)
      for _, option in ipairs(row and known(task) or {}) do
        assert.matches("`" .. option .. "[` ]", row, 1, name .. ": " .. option)
      end
      for option, default in (row or ""):gmatch "`([%w_]+) = ([^`]+)`" do
        local of_default, of_row = task(), task { [option] = load("return " .. default)() }
        assert.same({ of_default.length, of_default.outputs, of_default.tokens },
          { of_row.length, of_row.outputs, of_row.tokens }, name .. ": " .. option)
      end
    end
  end)

  it("has the options of the parts of automata, and the defaults of learn", function()
    local reference = files.read "docs/reference.md"
    local rows, given = rows_below "| option of `saros%.automata%.learn` |", { states = 2 }
    local function learn(o)
      return saros.automata.learn({ tokens = 2, answers = 2, start = 1, step = function(_, t) return t, t end }, o)
    end
    local wanted = known(learn)
    assert.equal(#wanted, #rows)
    for n, name in ipairs(wanted) do
      assert.equal(name, rows[n][1])
      given[name] = name ~= "states" and load("return " .. (rows[n][2]:match "`(.+)`" or "nil"))() or given[name]
    end
    local by_default, of_rows = learn { states = 2 }, learn(given)
    assert.equal(by_default.finite.weight:digest(), of_rows.finite.weight:digest())
    for name, fn in pairs {
      model = saros.automata.model, extract = function(o) saros.automata.extract(1, o) end,
      curriculum = function(o) saros.automata.curriculum(1, 1, o) end,
      polish = function(o) saros.automata.polish(1, 1, o) end,
      prune = function(o) saros.automata.prune(1, 1, o) end,
      prove = function(o) saros.automata.prove(1, 1, o) end,
    } do
      local row = assert(reference:match("\n| `" .. name .. "[%( ][^\n]*"), name)
      for _, option in ipairs(known(fn)) do
        assert.matches("%f[%w]" .. option .. "%f[^%w_]", row)
      end
    end
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
