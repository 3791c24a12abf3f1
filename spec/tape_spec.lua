require "spec.support.values"
local saros = require "saros"

local function parameter(values)
  return saros.tensor(values):trainable(true)
end

describe("a tape", function()
  it("gives the gradient of a loss to trainable tensors", function()
    local a, b = parameter { 1, 2 }, parameter { 3, 4 }
    local tape <close> = saros.tape()
    tape:backward((a * b):sum())
    assert.same({ 3, 4 }, a:gradient():totable())
    assert.same({ 1, 2 }, b:gradient():totable())
  end)

  it("gives it to tensors that are watched, before use or after", function()
    local x = saros.tensor { 1, 2 }
    local tape <close> = saros.tape()
    assert.equal(x, tape:watch(x))
    local y = x * 3
    tape:watch(y)
    tape:backward((y * y):sum() / 2)
    assert.same({ 3, 6 }, y:gradient():totable())
    assert.same({ 9, 18 }, x:gradient():totable())
  end)

  it("takes the gradient of a result that is no single number", function()
    local a = parameter { 1, 2 }
    local tape <close> = saros.tape()
    tape:backward(a * 2, saros.tensor { 10, 100 })
    assert.same({ 20, 200 }, a:gradient():totable())
  end)

  it("adds to gradients until they are cleared", function()
    local a = parameter { 5 }
    for _ = 1, 2 do
      local tape <close> = saros.tape()
      tape:backward(a * 3)
    end
    assert.equal(6, a:gradient():item())
    a:clear_gradient()
    assert.is_nil(a:gradient())
  end)

  it("records nothing while none is open", function()
    local a = parameter { 1 }
    local before = a * 2
    local tape <close> = saros.tape()
    assert.matches("0 operations", tostring(tape))
    assert.error_matches(function()
      tape:backward(before)
    end, "backward: expected")
  end)

  it("lets a state go on as a plain value in the next window", function()
    local w, state = parameter { 2 }, saros.tensor { 1 }
    for window = 1, 3 do
      local tape <close> = saros.tape()
      w:clear_gradient()
      local before = state:item()
      state = state * w
      tape:backward(state)
      assert.equal(before, w:gradient():item(), "window " .. window)
    end
    assert.equal(8, state:item())
  end)

  it("sends gradients through states inside one tape", function()
    local w, state = parameter { 2 }, saros.tensor { 1 }
    local tape <close> = saros.tape()
    for _ = 1, 3 do
      state = state * w
    end
    tape:backward(state)
    assert.equal(12, w:gradient():item()) -- 3 w^2
  end)

  it("stops at a detached tensor", function()
    local a = parameter { 3 }
    local tape <close> = saros.tape()
    tape:backward(a * a:detach())
    assert.equal(3, a:gradient():item())
  end)

  it("refuses to let go what it still needs", function()
    local a, x = parameter { 1, 2 }, saros.tensor { 3, 4 }
    local tape <close> = saros.tape()
    local y = (a * x):sum()
    for _, write in ipairs {
      function() x:fill(0) end,
      function() x[1] = 0 end,
      function() x:slice(1, 1, 1):assign(5) end,
      function() x:add_scaled(1, a:detach()) end,
    } do
      assert.error_matches(write, "multiply")
    end
    tape:backward(y)
    assert.same({ 3, 4 }, a:gradient():totable())
  end)

  it("says so when one is open already", function()
    local tape <close> = saros.tape()
    assert.matches("open", tostring(tape))
    assert.error_matches(function()
      saros.tape()
    end, "tape: expected")
  end)

  it("and losses and operations say that a net returns its state, too", function()
    local net, x = saros.nn.gru { 3, 4 }:init { seed = 1 }, saros.ones(2, 1, 3)
    local tape <close> = saros.tape()
    for expected, call in pairs {
      ["backward: expected a tensor as argument 2"] = function() tape:backward(net(x)) end,
      ["mse: expected a table of options as argument 3"] = function() saros.nn.mse(x, net(x)) end,
      ["sum: expected an axis (1 is the first, -1 the last) as argument 2"] = function() saros.sum(net(x)) end,
    } do
      local ok, message = pcall(call)
      assert.is_false(ok)
      assert.equal(("spec/tape_spec.lua:%d: %s, got a saros.nn.State; a net returns y and its state, (net(x)) is y "
        .. "alone"):format(debug.getinfo(call, "S").linedefined, expected), message)
    end
    tape:backward((net(x)), saros.ones(2, 1, 4))
  end)

  it("can only be used while it is open", function()
    local a = parameter { 1 }
    local tape = saros.tape()
    local y = a * 2
    tape:close()
    tape:close()
    assert.equal("tape (closed)", tostring(tape))
    assert.error_matches(function()
      tape:backward(y)
    end, "backward: .*this tape is closed")
    assert.error_matches(function()
      tape:watch(a)
    end, "watch: .*this tape is closed")
    assert.equal(2, y:item())
  end)

  it("can run backward once", function()
    local a = parameter { 1 }
    local tape <close> = saros.tape()
    local y = a * 2
    tape:backward(y)
    assert.error(function()
      tape:backward(y)
    end)
  end)

  it("is closed by leaving its block, by an error too", function()
    pcall(function()
      local tape <close> = saros.tape()
      error("no " .. tostring(tape))
    end)
    local tape <close> = saros.tape()
    assert.matches("open", tostring(tape))
  end)
end)

describe("the memory of a tape #binding", function()
  local function window(w, size)
    local x = saros.ones(size, size)
    local tape <close> = saros.tape()
    for _ = 1, 10 do
      x = (x * w):tanh()
    end
    tape:backward(x:mean())
    return x
  end

  it("is given back when it closes, without the collector", function()
    local w = saros.ones(100, 100):trainable(true)
    window(w, 100)
    collectgarbage()
    collectgarbage "stop"
    local before = saros.memory().in_use
    local tape = saros.tape()
    local y = (w * 2):tanh():exp()
    local during = saros.memory().in_use
    tape:close()
    assert.equal(100, #y)
    y = nil
    collectgarbage()
    local after = saros.memory().in_use
    collectgarbage "restart"
    assert.is_nil(y)
    assert.is_true(during > before)
    assert.is_true(after <= before + 1000)
  end)

  it("stays flat over many windows with the collector as it is", function()
    local w = saros.ones(64, 64):trainable(true)
    local most = 0
    for i = 1, 600 do
      window(w, 64)
      w:clear_gradient()
      if i == 200 then
        most = saros.memory().peak
      end
    end
    assert.is_true(saros.memory().peak <= most * 1.05)
  end)
end)
