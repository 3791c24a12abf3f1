-- What a traced function reads from outside: a program that has it is made again when it
-- is something else.

local saros = require "saros"
local nn = saros.nn

describe("what a cell's function reads from outside", function()
  local T, B = 4, 2
  local x = saros.generator(1):normal { T, B, 3 }

  --- Layers of a cell, compiled and not, which must agree whatever is changed.
  local function both(step)
    local Cell = nn.cell("own", {}, step)
    local fast = nn.recurrent { 3, 4, cell = Cell }:init { seed = 1 }
    local slow = nn.recurrent { 3, 4, cell = Cell, compiled = false }:init { seed = 1 }
    return function()
      local y, wanted = fast(x), slow(x)
      assert.is_true(fast:compiled())
      assert.near(0, (y - wanted):abs():max():item(), 1e-5)
      local session = fast:session()
      for t = 1, T do
        assert.near(0, (session:step(x[t]:slice(1, 1, 1)) - wanted[t]:slice(1, 1, 1)):abs():max():item(), 1e-5)
      end
      return wanted:clone()
    end
  end

  --- Changes something by each function in turn; every one must change the values.
  local function follows(step, ...)
    local run = both(step)
    local before = run()
    for _, change in ipairs { ... } do
      change()
      local after = run()
      assert.is_true((after - before):abs():max():item() > 1e-3)
      before = after
    end
  end

  it("may be a number, a choice or another tensor", function()
    local scale, is_bent, offset = 1, false, saros.ones(4)
    follows(function(p, v, h)
      local y = p.gate(v .. h) * scale + offset
      return is_bent and saros.tanh(y) or y
    end, function() scale = 0.5 end, function() is_bent = true end, function() offset = saros.zeros(4) end,
      function() scale, is_bent = 2, nil end)
  end)

  it("may be in tables, and in functions that it calls", function()
    local settings = { list = { 1, 2 }, scale = 1 }
    local function bend(y) return y * settings.scale end
    follows(function(p, v, h)
      return saros.tanh(bend(p.gate(v .. h)) + settings.list[2])
    end, function() settings.scale = 0.5 end, function() settings.list[2] = 0.1 end,
      function() settings = { list = { 1, 0 }, scale = 1 } end, function() bend = saros.negate end)
  end)

  it("may be a function in a table, or an entry that was not there", function()
    local settings = { act = saros.tanh }
    follows(function(p, v, h)
      local y = settings.act(p.gate(v .. h))
      return settings.scale and y * settings.scale or y
    end, function() settings.act = saros.sigmoid end, function() settings.scale = 0.5 end,
      function() settings.scale = nil end)
  end)

  it("may be in the class of an object, and what its methods read", function()
    local scale, defaults = 1, { offset = 0 }
    local Base = { gain = 1 }
    Base.__index = Base
    local Bend = setmetatable({}, Base)
    Bend.__index = Bend
    function Bend.run(self, y) return saros.tanh(y * scale * self.gain + self.offset) end
    local bend = setmetatable({ offset = 0.1 }, Bend)
    local settings = setmetatable({}, { __index = defaults })
    follows(function(p, v, h) return bend:run(p.gate(v .. h)) + settings.offset end,
      function() scale = 0.5 end, function() bend.offset = 0 end, function() Base.gain = 2 end,
      function() defaults.offset = 1 end, function() function Bend.run(_, y) return saros.sigmoid(y) end end)
  end)

  it("may be a global", function()
    local environment = setmetatable({ scale = 1, bend = { by = 1 } }, { __index = _G })
    local step = load([[return function(p, x, h) return (p.gate(x .. h) * scale + bend.by):tanh() end]], "step", "t",
      environment)()
    follows(step, function() environment.scale = 0.5 end, function() environment.bend.by = 0 end,
      function() environment.bend = { by = 2 } end)
  end)

  it("may be a global with a long name", function()
    local name = ("scale_"):rep(20)
    local environment = setmetatable({ [name] = 1 }, { __index = _G })
    local step = load(("return function(p, x, h) return (p.gate(x .. h) * %s):tanh() end"):format(name), "step", "t",
      environment)()
    follows(step, function() environment[name] = 0.5 end)
  end)

  it("may be a global that was not there, or one that an environment inherits", function()
    local outer = setmetatable({ scale = 1 }, { __index = _G })
    local environment = setmetatable({}, { __index = outer })
    local step = load([[return function(p, x, h)
      local y = (p.gate(x .. h) * scale):tanh()
      return offset and y + offset or y
    end]], "step", "t", environment)()
    follows(step, function() outer.scale = 0.5 end, function() environment.offset = 0.1 end,
      function() environment.scale = 2 end, function() environment.offset = nil end)
  end)

  it("may be a field of a module that nn.unroll runs, or of its class", function()
    local Cell = nn.module "own"
    Cell.bend = 1
    function Cell:forward(v, h) return saros.tanh(self.gate(v .. h) * self.scale + self.bend) end
    local cell = Cell.new()
    cell.scale, cell.gate = 1, cell:add_member("gate", nn.linear { 7, 4 })
    cell:init { seed = 1 }
    local h = saros.zeros(B, 4)
    local function run()
      local y = nn.unroll(cell, x, h)
      local wanted = nn.unroll(function(v, state) return cell(v, state) end, x, h)
      assert.near(0, (y - wanted):abs():max():item(), 1e-5)
      return wanted
    end
    local before = run()
    for _, change in ipairs { function() cell.scale = 0.5 end, function() Cell.bend = 0 end } do
      change()
      local after = run()
      assert.is_true((after - before):abs():max():item() > 1e-3)
      before = after
    end
  end)

  it("makes no new program where it stays the same", function()
    local calls, scale, unused = 0, 1, 0 / 0
    local net = nn.recurrent { 3, 4, cell = nn.cell("own", {}, function(p, v, h)
      return saros.tanh(p.gate(v .. h)) * (unused and scale)
    end) }:init { seed = 1 }
    local program = net:program()
    assert.equal(program, net:program())
    scale = 2
    assert.not_equal(program, net:program())
    local counted = nn.recurrent { 3, 4, cell = nn.cell("own", {}, function(p, v, h)
      calls = calls + 1
      return saros.tanh(p.gate(v .. h))
    end) }:init { seed = 1 }
    counted(x)
    local traced = calls
    counted(x)
    assert.equal(traced, calls)
  end)

  it("makes no new program for what the function changes itself", function()
    local calls, memory = 0, {}
    local net = nn.recurrent { 3, 4, layers = 2, bidirectional = true, cell = nn.cell("own", {}, function(p, v, h)
      calls = calls + 1
      memory[#memory + 1], memory.ones = calls, memory.ones or saros.ones(4)
      return saros.tanh(p.gate(v .. h)) * memory.ones
    end) }:init { seed = 1 }
    local before = net(x)
    local traced = calls
    assert.equal(0, (net(x) - before):abs():max():item())
    assert.equal(traced, calls)
    memory.ones = saros.zeros(4) -- which it fills once, and does not change
    assert.equal(0, net(x):abs():max():item())
  end)

  it("is no global of another name in its bytecode", function()
    local environment = setmetatable({}, { __index = _G })
    local step = load([[return function(p, x, h) return (p.gate(x .. h) * scale):tanh() end]], "step", "t",
      environment)()
    environment.scale = 1
    for code = 65, 122 do -- single letters occur in instructions
      environment[string.char(code)] = 1
    end
    local net = nn.recurrent { 3, 4, cell = nn.cell("own", {}, step) }:init { seed = 1 }
    local program = net:program()
    for code = 65, 122 do
      environment[string.char(code)] = 2
    end
    assert.equal(program, net:program())
  end)

  it("is compared as a whole where it is large, and named", function()
    local words, scale = {}, 1
    for n = 1, 300 do
      words[n] = n
    end
    local net = nn.recurrent { 3, 4, cell = nn.cell("own", {}, function(p, v, h)
      return saros.tanh(p.gate(v .. h)) * words[1] * scale
    end) }:init { seed = 1 }
    local before = net(x)
    local ok, note = net:compiled()
    assert.is_true(ok)
    assert.equal("program: changes in 'words' are not noticed: only tables of at most 256 entries, and 1000 values in "
      .. "all, are compared at each call", note)
    words[1] = 2
    assert.equal(0, (net(x) - before):abs():max():item())
    scale = 0.5
    local slow = nn.recurrent { 3, 4, cell = net.directions[1].own.cell.maker, compiled = false }:adopt(net:tensors())
    words[1] = 1
    assert.near(0, (net(x) - slow(x)):abs():max():item(), 1e-5)
    words = { 1 }
    assert.is_true((net(x) - before):abs():max():item() > 1e-3)
    local _, none = net:compiled()
    assert.is_nil(none)
  end)

  it("is named where the function changes it", function()
    local count = 0
    local function step(p, v, h)
      count = count + 1
      return saros.tanh(p.gate(v .. h)) * count
    end
    local net = nn.recurrent { 3, 4, cell = nn.cell("own", {}, step) }:init { seed = 1 }
    local _, reason = net:compiled()
    assert.matches(("because the function at spec/captured_spec.lua:%d changes 'count'; what changes from step to "
      .. "step is a state"):format(debug.getinfo(step, "S").linedefined), reason, 1, true)
  end)
end)

describe("a function in a step that varies from call to call", function()
  --- A session of a cell that calls a function of one line is refused, at that line; the net trains step by step.
  local function refuses(step, message)
    local net = nn.recurrent { 3, 4, cell = nn.cell("own", {}, function(p, v, h)
      return saros.tanh(p.gate(v .. h)) * step()
    end) }:init { seed = 1 }
    local ok, problem = pcall(function() net:session() end)
    assert.is_false(ok)
    assert.equal(("spec/captured_spec.lua:%d: program: expected a step made of operations on features, got %s; "
      .. "recurrent trains as it is, but has no session, no C file and no model file"):format(
      debug.getinfo(step, "S").linedefined, message), problem)
    assert.same({ 5, 2, 4 }, net(saros.zeros(5, 2, 3)):shape())
  end

  it("is math.random, refused with what takes its place", function()
    local random, chosen, kept = math.random, math.random, { random = math.random }
    local message = "math.random, a random number (in training there are p:dropout and nn.dropout; other noise is "
      .. "drawn by a saros.generator outside and passed in with x)"
    refuses(function() return math.random(2) + 0 end, message)
    refuses(function() return chosen(2) + 0 end, message)
    refuses(function() return kept.random(2) + 0 end, message)
    assert.equal(random, math.random)
    assert.equal(random, chosen)
    assert.equal(random, kept.random)
  end)

  it("is the time", function()
    local message = "%s, which a program would read only once (the time is passed in with x)"
    local library, clock = {}, os.clock
    for name, f in pairs { ["os.time"] = os.time, ["os.clock"] = os.clock, ["saros.clock"] = saros.clock } do
      library.now = f
      refuses(function() return library.now() * 1e-9 end, message:format(name))
      assert.equal(f, library.now)
    end
    refuses(function() return os.time() * 1e-9 end, message:format "os.time")
    refuses(function() return clock() * 1 end, message:format "os.clock")
    refuses(function() return saros.clock() * 1 end, message:format "saros.clock")
    refuses(function() return os.date "%S" * 1 end, message:format "os.date")
    assert.equal(clock, os.clock)
  end)
end)
