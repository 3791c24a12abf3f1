-- core.record: a Lua function is told of the calls of the core.

local core = require "saros.core"
local commands = require "spec.support.commands"
local saros = require "saros"

--- The calls inside fn: { name, arguments, results } each, but for the look-up of methods.
local function recorded(fn)
  local calls = {}
  local _ <close> = core.record(function(name, arguments, results)
    if not (name == "index" and type(arguments[2]) == "string") then
      calls[#calls + 1] = { name, arguments, results }
    end
  end)
  fn()
  return calls
end

local function names_of(calls)
  local names = {}
  for n, call in ipairs(calls) do
    names[n] = call[1]
  end
  return table.concat(names, " ")
end

describe("a recorder", function()
  it("is told of functions, methods, operators and indexing, in their order", function()
    local x = saros.ones(2, 3)
    local calls = recorded(function()
      local y = saros.tanh(x) + x:sum(2, true)
      local z = (-y) .. x
      return z[1]
    end)
    assert.equal("tanh sum add negate concat index", names_of(calls))
  end)

  it("gets the arguments as they were given, and the results themselves", function()
    local x, y = saros.ones(2, 3), nil
    local calls = recorded(function() y = x * 2 end)
    local _, arguments, results = table.unpack(calls[1])
    assert.equal(x, arguments[1])
    assert.equal(2, arguments[2])
    assert.equal(2, arguments.n)
    assert.equal(y, results[1])
    assert.equal(1, results.n)
  end)

  it("gets nil where an argument is nil, and no results where there are none", function()
    local calls = recorded(function() core.threads(nil) core.trim() end)
    assert.same({ n = 1 }, calls[1][2])
    assert.same({ n = 0 }, calls[2][3])
  end)

  it("is told of generators, too", function()
    local calls = recorded(function() saros.generator(1):uniform { 2 } end)
    assert.equal("generator uniform", names_of(calls))
  end)

  it("is told of nothing once the recording is closed", function()
    local count = 0
    local recording = core.record(function() count = count + 1 end)
    saros.zeros(1)
    local before = count
    do local _ <close> = recording end
    saros.zeros(1)
    assert.equal(before, count)
    assert.equal(1, count)
  end)

  it("is told of nothing that it does itself", function()
    local count = 0
    do
      local _ <close> = core.record(function()
        count = count + 1
        saros.zeros(1)
      end)
      saros.zeros(1)
      saros.zeros(1)
    end
    assert.equal(2, count)
  end)

  it("gives way to one inside it, and goes on after that", function()
    local outer, inner = {}, {}
    do
      local _ <close> = core.record(function(name) outer[#outer + 1] = name end)
      saros.zeros(1)
      do
        local _ <close> = core.record(function(name) inner[#inner + 1] = name end)
        saros.ones(1)
      end
      saros.arange(1)
    end
    assert.same({ "zeros", "arange" }, outer)
    assert.equal("ones", inner[#inner])
  end)

  it("that raises an error ends the recording", function()
    local count = 0
    local ok, message = pcall(function()
      local _ <close> = core.record(function()
        count = count + 1
        error("enough", 0)
      end)
      saros.zeros(1)
    end)
    assert.is_false(ok)
    assert.equal("enough", message)
    saros.zeros(1)
    assert.equal(1, count)
  end)

  it("is told of what follows a call that failed", function()
    local calls = recorded(function()
      for _ = 1, 3 do
        pcall(saros.matmul, saros.ones(2, 3), saros.ones(2, 3))
      end
      saros.zeros(1)
    end)
    assert.equal("ones ones ones ones ones ones zeros", names_of(calls))
  end)

  it("is not told of finalizers", function()
    local calls = recorded(function()
      for _ = 1, 10 do saros.zeros(10) end
      collectgarbage()
    end)
    assert.equal(("zeros "):rep(10), names_of(calls) .. " ")
  end)
end)

describe("a call that is recorded", function()
  local function message_of(fn)
    return select(2, pcall(fn))
  end

  it("has the messages that it has otherwise", function()
    local x = saros.ones(2, 3)
    for _, fn in ipairs {
      function() return x:sum "first" end,
      function() return saros.sum(x, "first") end,
      function() return x.sum() end,
      function() return x + "a" end,
      function() return x:matmul(x) end,
      function() return x[3] end,
      function() return x.shap end,
      function() return saros.generator "one" end,
    } do
      local message = message_of(fn)
      recorded(function() assert.equal(message, message_of(fn)) end)
    end
  end)

  it("is the same function", function()
    local before = saros.tanh
    recorded(function() assert.equal(before, saros.tanh) end)
    assert.equal(core.tanh, saros.tanh)
  end)

  it("has the values that it has otherwise", function()
    local x, y = saros.generator(1):normal { 4, 5 }, nil
    recorded(function() y = saros.softmax(x:transpose() * 2) end)
    assert.equal(saros.softmax(x:transpose() * 2):digest(), y:digest())
  end)
end)

describe("a function with room", function()
  it("gets its arguments, returns its results and raises its errors", function()
    local function all(...) return select("#", ...), ... end
    assert.same({ 3, 1, nil, "c" }, { core.with_room(all, 1, nil, "c") })
    assert.error_matches(function() core.with_room(error, "wrong", 0) end, "^wrong$")
    assert.error_matches(function() core.with_room(1) end, "with_room: expected a function as argument 1, got 1")
  end)

  -- Lua 5.4.4 writes to a stack that has moved where `a .. b .. c` has moved it.
  it("traces x .. h .. c at any depth of the stack", function()
    local output, status = commands.run("-e", [[
      local saros = require "saros"
      local Cell = saros.nn.cell("two", { states = { "h", "c" } }, function(p, x, h, c)
        return saros.tanh(p.a(x .. h .. c)), p.b(c .. h .. x)
      end)
      local function traced(depth)
        if depth > 0 then
          return (traced(depth - 1))
        end
        local net = saros.nn.recurrent { 3, 4, cell = Cell, layers = 2 }:init { seed = 1 }
        assert(net:compiled())
        return #net:program().states
      end
      for depth = 1, 60 do
        collectgarbage() -- which also shrinks the stack
        collectgarbage("setpause", 100 + depth)
        assert(coroutine.wrap(traced)(depth) == 4)
      end
      print "well"]])
    assert.equal("well\n", output)
    assert.equal(0, status)
  end)
end)
