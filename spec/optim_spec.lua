require "spec.support.values"
local saros = require "saros"
local nn, optim = saros.nn, saros.optim

local rules = {
  sgd = { lr = 0.1 },
  ["sgd with momentum"] = { rule = "sgd", lr = 0.05, momentum = 0.9 },
  ["sgd with Nesterov's momentum"] = { rule = "sgd", lr = 0.05, momentum = 0.9, nesterov = true },
  rmsprop = { lr = 0.02 },
  adam = { lr = 0.05 },
  adamw = { lr = 0.05 },
}

local function build(name, parameters)
  local given, rule = {}, name
  for option, value in pairs(rules[name]) do
    if option == "rule" then
      rule = value
    else
      given[option] = value
    end
  end
  return optim[rule](parameters, given)
end

-- A step down a bowl whose bottom is at 3.
local function descend(optimizer, x)
  local tape <close> = saros.tape()
  local loss = ((x - 3) ^ 2):sum()
  tape:backward(loss)
  optimizer:step()
  return loss:item()
end

for name in pairs(rules) do
  describe(("an optimizer (%s)"):format(name), function()
    it("finds the bottom of a bowl", function()
      local x = saros.zeros(2, 3):trainable(true)
      local optimizer = build(name, { x })
      for _ = 1, 300 do
        descend(optimizer, x)
      end
      assert.near(3, x:min():item(), 0.1)
      assert.near(3, x:max():item(), 0.1)
    end)

    it("goes on from its state with the same bits", function()
      local x = saros.zeros(3):trainable(true)
      local optimizer = build(name, { x })
      for _ = 1, 5 do
        descend(optimizer, x)
      end
      local tensors, numbers = optimizer:state()
      local copy, copies = x:clone():detach():clone():trainable(true), {}
      for key, tensor in pairs(tensors) do
        copies[key] = tensor:clone()
      end
      local plain = { rule = numbers.rule, steps = numbers.steps }
      for _ = 1, 5 do
        descend(optimizer, x)
      end
      local other = build(name, { copy })
      other:restore(copies, plain)
      for _ = 1, 5 do
        descend(other, copy)
      end
      assert.same_values(x, copy, 0)
    end)

    it("clears the gradients, and leaves what has none alone", function()
      local x, y = saros.zeros(3):trainable(true), saros.ones(3):trainable(true)
      local optimizer = build(name, { x, y })
      descend(optimizer, x)
      assert.is_nil(x:gradient())
      assert.same({ 1, 1, 1 }, y:totable())
    end)
  end)
end

describe("an optimizer", function()
  it("names its moments after the parameters", function()
    local net = nn.linear({ 2, 1 }):init { seed = 1 }
    local tensors = optim.adam(net:parameters()):state()
    local names = {}
    for name in pairs(tensors) do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.same({ "bias.first", "bias.second", "weight.first", "weight.second" }, names)
  end)

  it("takes its rate from a schedule", function()
    local x = saros.zeros(1):trainable(true)
    local optimizer = optim.sgd({ x }, { lr = 0.1, schedule = function(step) return 1 / step end })
    assert.equal(0.1, optimizer:rate())
    descend(optimizer, x)
    assert.near(0.6, x:item(), 1e-6)
    assert.equal(0.05, optimizer:rate())
  end)

  it("refuses a state that is not its own, and changes nothing", function()
    local x = saros.zeros(1):trainable(true)
    local adam = optim.adam { x }
    assert.error_matches(function() adam:restore({}, { rule = "sgd", steps = 1 }) end,
      "expected the state of adam, got that of \"sgd\"", 1, true)
    assert.error_matches(function() adam:restore({}, { rule = "adam", steps = 1 }) end,
      "expected '1.%a+' of shape %(1%), got none")
    assert.error_matches(function()
      adam:restore({ ["1.first"] = saros.zeros(2), ["1.second"] = saros.zeros(2) }, { rule = "adam", steps = 1 })
    end, "of shape %(1%), got %(2%)")
    assert.error_matches(function() adam:restore() end, "the two tables that state() gave, got nil", 1, true)
    assert.equal(0, adam.steps)
  end)

  it("refuses parameters and options that make no sense", function()
    local x = saros.zeros(1):trainable(true)
    assert.error_matches(function() optim.adam() end, "optim.adam: expected a list of parameters, got nil")
    assert.error_matches(function() optim.adam {} end, "expected a list of parameters")
    assert.error_matches(function() optim.adam { 3 } end, "expected tensors, got 3 at position 1")
    assert.error_matches(function() optim.sgd({ x }, {}) end, "expected option 'lr'")
    assert.error_matches(function() optim.sgd({ x }, { lr = -1 }) end, "a number, 0 or more, got %-1")
    assert.error_matches(function() optim.adam({ x }, { momentum = 1 }) end, 'unknown option "momentum"')
    assert.error_matches(function() optim.adam({ x }, { lr = 0 / 0 }) end, "expected option 'lr'")
    assert.error_matches(function() optim.adam({ x }, { schedule = 3 }) end, "a function of the step, .*, got 3")
  end)
end)

describe("a schedule", function()
  local schedule = optim.schedule

  it("may be constant, in steps, or exponential", function()
    assert.equal(1, schedule.constant()(1000))
    local steps = schedule.step { every = 10, factor = 0.5 }
    assert.same({ 1, 1, 0.5, 0.25 }, { steps(1), steps(10), steps(11), steps(21) })
    local falling = schedule.exponential { every = 10, factor = 0.5 }
    assert.near(1, falling(1), 1e-12)
    assert.near(0.5, falling(11), 1e-12)
  end)

  it("may rise and then fall along a cosine", function()
    local cosine = schedule.cosine { steps = 101, warmup = 10, floor = 0.2 }
    assert.near(0.1, cosine(1), 1e-12)
    assert.near(1, cosine(10), 1e-12)
    assert.near(1, cosine(11), 1e-12)
    assert.near(0.6, cosine(56), 1e-12)
    assert.near(0.2, cosine(101), 1e-12)
    assert.near(0.2, cosine(10000), 1e-12)
  end)

  it("refuses what makes no sense", function()
    assert.error_matches(function() schedule.cosine { steps = 10, warmup = 10 } end, "expected warmup below steps")
    assert.error_matches(function() schedule.cosine {} end, "expected option 'steps'")
    assert.error_matches(function() schedule.step { every = 0 } end, "a positive integer, got 0")
    assert.error_matches(function() schedule.exponential { factor = 0 } end, "a positive number, got 0")
  end)
end)

describe("clipping", function()
  local function with_gradient(...)
    local x = saros.zeros(select("#", ...)):trainable(true)
    local tape <close> = saros.tape()
    tape:backward((x * saros.tensor { ... }):sum())
    return x
  end

  it("scales the joint norm down to the limit, and tells what it was", function()
    local x, y = with_gradient(3, 0), with_gradient(0, 4)
    assert.near(5, optim.clip_norm({ x, y }, 1), 1e-6)
    assert.near(0.6, x:gradient()[1], 1e-6)
    assert.near(0.8, y:gradient()[2], 1e-6)
  end)

  it("leaves small gradients as they are", function()
    local x = with_gradient(3, 4)
    assert.near(5, optim.clip_norm({ x }, 6), 1e-6)
    assert.same({ 3, 4 }, x:gradient():totable())
  end)

  it("clamps values", function()
    local x = with_gradient(-3, 0.5)
    optim.clip_value({ x }, 1)
    assert.same({ -1, 0.5 }, x:gradient():totable())
  end)

  it("refuses limits that are none", function()
    local x = with_gradient(1)
    for _, limit in ipairs { 0, -1, 0 / 0 } do
      assert.has_error(function() optim.clip_norm({ x }, limit) end)
      assert.has_error(function() optim.clip_value({ x }, limit) end)
    end
    assert.has_error(function() optim.clip_norm(3, 1) end)
    assert.has_error(function() optim.clip_norm({ 3 }, 1) end)
  end)

  it("refuses what is no list of parameters, as it would clip nothing", function()
    local net = nn.linear { 2, 1 }
    for name, call in pairs {
      ["optim.clip_norm"] = function(list) optim.clip_norm(list, 1) end,
      ["optim.clip_value"] = function(list) optim.clip_value(list, 1) end,
      ["optim.adam"] = function(list) optim.adam(list) end,
    } do
      local expected = name .. ": expected a list of parameters, got "
      local hint = "a saros.nn.linear; model:parameters() is one"
      assert.error_matches(function() call(net) end, expected .. hint, 1, true)
      assert.error_matches(function() call {} end, expected .. "an empty list", 1, true)
      assert.error_matches(function() call(net:tensors()) end, expected .. "a table without a first element", 1, true)
      assert.error_matches(function() call(3) end, expected .. "3", 1, true)
      local second = name .. ": expected tensors, got 3 at position 2"
      assert.error_matches(function() call { net.weight, 3 } end, second, 1, true)
    end
  end)

  it("refuses a step for which there is no gradient", function()
    local w = saros.ones(2):trainable(true)
    local adam = optim.adam { w }
    assert.error_matches(function() adam:step() end,
      "step: expected a gradient of at least one parameter; call tape:backward(loss) first", 1, true)
    assert.equal(0, adam.steps)
  end)
end)
