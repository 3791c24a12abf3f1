-- saros.operation: operations that a script writes, forward and back.

require "spec.support.values"
require "spec.support.gradients"
local saros = require "saros"
local nn = saros.nn

local function parameter(values)
  return saros.tensor(values):trainable(true)
end

local function normal(shape, seed)
  return saros.generator(seed):normal(shape)
end

-- y = x^2, dx = 2 x dy
local square = saros.operation {
  name = "square",
  forward = function(x) return x * x end,
  backward = function(dy, x) return 2 * x * dy end,
}

-- p = x w, q = tanh(x) + k; k is a number
local two = saros.operation {
  name = "two",
  forward = function(x, k, w) return x * w, x:tanh() + k end,
  backward = function(dp, dq, x, k, w, _, q)
    local t = q - k
    return dp * w + dq * (1 - t * t), nil, dp * x
  end,
}

local function line_of(fn)
  return "own_operation_spec.lua:" .. debug.getinfo(fn, "S").linedefined .. ": "
end

local function fails(fn, message, ...)
  local ok, got = pcall(fn)
  assert.is_false(ok)
  assert.is_truthy(got:find(message:format(...), 1, true), got)
end

-- Runs an operation of one input forward and back.
local function run(operation, x)
  local tape <close> = saros.tape()
  tape:watch(x)
  tape:backward(operation(x):sum())
  return x:gradient()
end

describe("an operation of one's own", function()
  it("computes what its function says, with or without a tape", function()
    local x = parameter { 1, 2, 3 }
    assert.same({ 1, 4, 9 }, square(x):totable())
    local tape <close> = saros.tape()
    assert.same({ 1, 4, 9 }, square(x):totable())
    assert.matches("1 operations", tostring(tape))
    assert.same({ 16 }, { square(saros.tensor(4)):item() })
    assert.matches("1 operations", tostring(tape)) -- of a constant: nothing
  end)

  it("has the gradients that finite differences predict, amid others", function()
    assert.gradients_match(function(t)
      return (square(t.x:tanh()) * t.w):sum() + square(square(t.x)):sum()
    end, { x = normal({ 3, 4 }, 1), w = normal({ 4 }, 2) })
  end)

  it("has several outputs and inputs, some of which are no tensors", function()
    local function loss(t)
      local p, q = two(t.x, 2.5, t.w)
      return (p * p):sum() + (q * t.w):sum()
    end
    local inputs = { x = normal({ 3, 4 }, 1), w = normal({ 3, 4 }, 2) }
    assert.gradients_match(loss, inputs)
    assert.gradients_match(function(t) return (two(t.x, 0, t.w)):sum() end, inputs) -- one output unread
    assert.gradients_match(function(t) return select(2, two(t.x, 0, t.w)):sum() end, inputs)
    assert.gradients_match(function(t) return (two(t.x, 1, t.x)):sum() end, { x = inputs.x }) -- one tensor twice
  end)

  it("gives zeros as the gradient of an output that the loss does not read", function()
    local seen
    local operation = saros.operation {
      name = "pair",
      forward = function(x) return x * 2, x:reshape(-1, 1) * 3 end,
      backward = function(dp, dq) seen = { dp, dq } return dp * 2 + dq:reshape(-1) * 3 end,
    }
    assert.same({ 2, 2 }, run(operation, saros.tensor { 1, 1 }):totable())
    assert.same({ 1, 1 }, seen[1]:totable())
    assert.same({ { 0 }, { 0 } }, seen[2]:totable())
  end)

  it("has whatever gradient it says, as a straight-through estimator", function()
    local step = saros.operation {
      name = "step",
      forward = function(x) return x:gt(0) end,
      backward = function(dy) return dy end,
    }
    assert.same({ 1, 1, 1 }, run(step, saros.tensor { -1, 0, 1 }):totable())
  end)

  it("keeps for the way back what forward returns behind the outputs", function()
    local operation = saros.operation {
      name = "masked",
      outputs = 1,
      forward = function(x)
        local mask = x:gt(0)
        return x * mask, mask, "text", { 1 }
      end,
      backward = function(dy, x, y, mask, text, list)
        assert.same({ 0, 2 }, y:totable())
        assert.same({ "text", { 1 }, 2 }, { text, list, #x })
        return dy * mask
      end,
    }
    assert.equal(1, select("#", operation(saros.tensor { 1 })))
    assert.same({ 0, 1 }, run(operation, saros.tensor { -1, 2 }):totable())
  end)

  it("may return an input, a view, or a trainable tensor without a path to it", function()
    local w = parameter { 5 }
    for _, forward in ipairs {
      function(x) return x end,
      function(x) return x:reshape(-1) end,
      function() return w end,
    } do
      local x = saros.tensor { 3 }
      local tape <close> = saros.tape()
      tape:watch(x)
      local y = saros.operation { name = "same", forward = forward, backward = function(dy) return dy * 7 end }(x)
      assert.not_equal(x, y)
      tape:backward(y:sum())
      assert.same({ 7 }, x:gradient():totable())
      assert.is_nil(w:gradient())
    end
    assert.is_nil(w:gradient())
  end)

  it("runs both ways without recording", function()
    local inner = parameter { 2 }
    local operation = saros.operation {
      name = "quiet",
      forward = function(x) return x * inner end,
      backward = function(dy) return dy * inner end,
    }
    local x = saros.tensor { 3 }
    local tape <close> = saros.tape()
    tape:watch(x)
    local y = operation(x)
    assert.matches("1 operations", tostring(tape))
    tape:backward(y)
    assert.same({ 2 }, x:gradient():totable())
    assert.is_nil(inner:gradient())
  end)

  it("may use tapes and other operations inside, both ways", function()
    -- backward by a tape of its own
    local cube = saros.operation {
      name = "cube",
      forward = function(x) return x * square(x) end,
      backward = function(dy, x)
        local copy, tape <close> = x:clone(), saros.tape()
        tape:watch(copy)
        tape:backward((square(copy) * copy * dy):sum())
        return copy:gradient()
      end,
    }
    assert.gradients_match(function(t)
      return (cube(t.x) * cube(square(t.x))):sum()
    end, { x = normal({ 4 }, 3) })
  end)

  it("works in nested tapes, in modules and in chains", function()
    local net = nn.chain { nn.linear { 3, 4 }, square, nn.linear { 4, 1 } }:init { seed = 1 }
    local x = normal({ 5, 3 }, 4)
    assert.gradients_match(function() return net(x):sum() end, net:tensors())
    local outer <close> = saros.tape()
    outer:watch(x)
    local y = square(x)
    do
      local _ <close> = saros.no_gradient()
      assert.same_values(2 * x, run(square, x:clone()), 0)
    end
    outer:backward(y:sum())
    assert.same_values(2 * x, x:gradient(), 0)
  end)

  it("sends gradients through time", function()
    local w = parameter { 0.5, -0.25 }
    local function loss(t)
      local _, h = nn.unroll(function(x, h) return square(x + h * t.w) end, t.x, saros.zeros(2, 2))
      return h:sum()
    end
    assert.gradients_match(loss, { w = w, x = normal({ 4, 2, 2 }, 5) * 0.3 })
  end)

  it("saves tensors from writes until the way back is over", function()
    local x, w = saros.tensor { 1, 2 }, saros.tensor { 3, 4 }
    local tape <close> = saros.tape()
    tape:watch(x)
    local y = two(x, 1, w)
    fails(function() w:fill(0) end, "still needed by two on the open tape")
    tape:backward(y:sum())
    assert.same({ 3, 4 }, x:gradient():totable())
    w:fill(0)
  end)

  it("has copies of gradients that a script keeps and changes", function()
    local buffer, x = saros.zeros(2), saros.tensor { 1, 2 }
    local operation = saros.operation {
      name = "buffered",
      forward = function(a) return a * 2 end,
      backward = function() return buffer:fill(2) end,
    }
    local tape <close> = saros.tape()
    tape:watch(x)
    tape:backward((operation(x) + operation(x)):sum())
    buffer:fill(100)
    assert.same({ 4, 4 }, x:gradient():totable())
  end)

  it("survives a script that closes what it was given", function()
    local operation = saros.operation {
      name = "closing",
      forward = function(x)
        local y = x * 2
        local _ <close> = x
        return y
      end,
      backward = function(dy, x)
        assert.same({ 3 }, x:totable())
        local _ <close> = dy
        return x * 2
      end,
    }
    local x = saros.tensor { 3 }
    local tape <close> = saros.tape()
    tape:watch(x)
    tape:backward(operation(x:reshape(-1)))
    assert.same({ 6 }, x:gradient():totable())
    tape:close()
    local again <close> = saros.tape()
    again:watch(x)
    local z = square(x)
    do local _ <close> = x end
    again:backward(z)
  end)

  it("may close its tape on the way back, which ends it with an error", function()
    for _, close in ipairs {
      function(tape) tape:close() end,
      function(tape) local _ <close> = tape end,
    } do
      local x, tape = saros.tensor { 3 }, saros.tape()
      local operation = saros.operation {
        name = "closing",
        forward = function(a) return a * 2 end,
        backward = function(dy) close(tape) return dy end,
      }
      tape:watch(x)
      local y = operation(operation(x))
      assert.error_matches(function() tape:backward(y) end, "backward: expected .* tape")
      saros.tape():close() -- none is open
    end
  end)

  it("is one row of a profile, beside what it computes", function()
    local x = parameter { 1, 2 }
    local _, profile = saros.profile(function()
      local tape <close> = saros.tape()
      tape:backward(square(x):sum())
    end)
    local text = tostring(profile or _)
    assert.matches("square", text)
  end)
end)

describe("an operation of one's own that is wrong", function()
  local x = saros.tensor { { 1, 2 }, { 3, 4 } }

  local function made(forward, backward, outputs)
    return saros.operation { name = "bad", forward = forward, backward = backward or function(dy) return dy end,
      outputs = outputs }
  end

  it("is told where forward returns no tensors", function()
    for message, forward in pairs {
      ["bad: expected forward to return a tensor as output 1, got 3"] = function() return 3 end,
      ["bad: expected forward to return a tensor as output 2, got nil"] = function(t) return t, nil end,
      ["bad: expected forward to return 1 tensors, got 0 values"] = function() end,
      ["bad: expected forward to return a tensor as output 1, got ids (2)"] = function(t) return t:argmax() end,
    } do
      fails(function() made(forward)(x) end, "%s%s", line_of(forward), message)
    end
    local function one(t) return t end
    fails(function() made(one, nil, 2)(x) end,
      "%sbad: expected forward to return 2 tensors, got 1 values", line_of(one))
  end)

  it("is told where backward returns other gradients than one of its shape for each input", function()
    for message, backward in pairs {
      ["bad: expected backward to return 1 gradient, one for each input, got 0"] = function() end,
      ["bad: expected backward to return 1 gradient, one for each input, got 2"] = function(dy) return dy, dy end,
      ["bad: expected backward to return a gradient of shape (2, 2) for input 1, got (2)"] =
        function(dy) return dy:sum(1) end,
      ["bad: expected backward to return a gradient of shape (2, 2) for input 1, got ids (2)"] =
        function(dy) return dy:argmax() end,
      ["bad: expected backward to return a gradient or nil for input 1, got 1"] = function() return 1 end,
    } do
      fails(function() run(made(function(t) return t * 2 end, backward), x) end, "%s%s", line_of(backward), message)
    end
    local function twice(dy) return dy, dy end
    fails(function() run(function(t) return made(function(a) return a end, twice)(t, 5) end, x) end,
      "%sbad: expected backward to return nil for input 2, got a tensor (2, 2)", line_of(twice))
  end)

  it("takes nil for no gradient", function()
    assert.is_nil(run(made(function(t) return t * 2 end, function() return nil end), saros.tensor { 1 }))
  end)

  it("passes errors of its functions on, and leaves nothing behind", function()
    local function boom() error("boom") end
    collectgarbage()
    local before = saros.memory().in_use
    for _, operation in ipairs { made(boom), made(function(t) return t * 2 end, boom) } do
      for _ = 1, 3 do
        fails(function() run(function(t) return operation(operation(t * 2)) end, x:clone()) end, "boom")
        local tape <close> = saros.tape() -- no pause is left, and no tape
        tape:watch(x)
        assert.matches("0 operations", tostring(tape))
        local _ = x * 2
        assert.matches("1 operations", tostring(tape))
      end
    end
    x:clear_gradient()
    collectgarbage()
    collectgarbage()
    assert.is_true(saros.memory().in_use - before < 1000)
  end)

  it("spends the tape when backward fails, as any operation", function()
    local tape <close> = saros.tape()
    local copy = tape:watch(x:clone())
    local y = made(function(t) return t * 2 end, function() error("boom") end)(copy):sum()
    fails(function() tape:backward(y) end, "boom")
    fails(function() tape:backward(y) end, "backward: expected a recording tape, but this tape has been run")
    assert.equal(0, saros.memory().taped)
  end)

  it("has no part in a program", function()
    local _ <close> = require "saros.core".record(function() end)
    fails(function() square(x) end, "square: an operation of a script's own has no part in a program")
  end)

  it("cannot yield", function()
    local operation = made(function(t) coroutine.yield() return t end)
    assert.is_false(coroutine.resume(coroutine.create(function() operation(x) end)))
    local tape <close> = saros.tape() -- no pause is left
    tape:watch(x)
    local _ = x * 2
    assert.matches("1 operations", tostring(tape))
  end)

  -- What is left behind by an error in a coroutine ends when that is collected, all in
  -- one cycle: a fault that the sanitizers see.
  it("is collected with the coroutine that it died in #binding", function()
    for _ = 1, 20 do
      local died = coroutine.create(function() made(function() error("forward") end)(x) end)
      assert.matches("forward", select(2, coroutine.resume(died)))
      died = coroutine.create(function()
        local tape = saros.tape()
        local y = made(function(t) return t * 2 end, function() error("backward") end)(tape:watch(x:clone())):sum()
        tape:backward(y)
      end)
      assert.matches("backward", select(2, coroutine.resume(died)))
      died = nil -- luacheck: ignore
      collectgarbage()
      assert.equal(0, saros.memory().taped)
    end
    local tape <close> = saros.tape()
    local y = tape:watch(x:clone()) * 2
    assert.matches("1 operations", tostring(tape), y)
  end)

  it("is refused when it is made", function()
    local function f() end
    fails(function() saros.operation { forward = f, backward = f } end, "expected option 'name'")
    fails(function() saros.operation { name = ("x"):rep(64), forward = f, backward = f } end, "a name of 1 to 63 bytes")
    fails(function() saros.operation { name = "f", forward = f } end, "expected option 'backward'")
    fails(function() saros.operation { name = "f", forward = f, backward = f, outputs = 0 } end, "a positive integer")
  end)
end)

describe("memory of operations of one's own", function()
  it("is flat, over tapes that are run, closed or dropped", function()
    local x = normal({ 100, 100 }, 1)
    local function window(finish)
      local tape = saros.tape()
      tape:watch(x)
      local y = x
      for _ = 1, 5 do
        y = square(y * 0.5)
      end
      if finish == "run" then tape:backward(y:sum()) end
      if finish ~= "drop" then tape:close() end
      x:clear_gradient()
    end
    for _, finish in ipairs { "run", "close", "drop" } do
      window(finish)
      collectgarbage()
      collectgarbage()
      local before, objects = saros.memory().in_use, collectgarbage "count"
      for _ = 1, 20 do
        window(finish)
        if finish == "drop" then collectgarbage() collectgarbage() end
      end
      collectgarbage()
      collectgarbage()
      assert.equal(before, saros.memory().in_use, finish)
      assert.is_true(collectgarbage "count" - objects < 20, finish)
    end
  end)

  it("is given back while a tape runs backwards", function()
    local x, least = normal({ 100, 100 }, 1), math.huge
    local watching = saros.operation {
      name = "watching",
      forward = function(a) return a * 1 end,
      backward = function(dy)
        least = math.min(least, saros.memory().taped)
        return dy
      end,
    }
    local tape <close> = saros.tape()
    tape:watch(x)
    local y = watching(x)
    for _ = 1, 10 do
      y = square(y)
    end
    local taped = saros.memory().taped
    tape:backward(y:sum())
    assert.is_true(least <= taped / 4)
  end)
end)
