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

-- A step with a gradient of 1 for each of the tensors.
local function push(optimizer, ...)
  local tape <close> = saros.tape()
  local sum = 0
  for _, x in ipairs { ... } do
    sum = sum + x:sum()
  end
  tape:backward(sum)
  optimizer:step()
end

for _, rule in ipairs { "adam", "adamw" } do
  describe(("a parameter whose first gradient comes late (%s)"):format(rule), function()
    local function late_pair()
      local early, late = saros.zeros(1):trainable(true), saros.zeros(1):trainable(true)
      local optimizer = optim[rule]({ early, late }, { lr = 0.01, weight_decay = 0 })
      for _ = 1, 1000 do
        push(optimizer, early)
      end
      return optimizer, early, late
    end

    it("is corrected by its own count of updates", function()
      local optimizer, early, late = late_pair()
      push(optimizer, early, late)
      assert.near(-0.01, late:item(), 1e-6)
      assert.same({ 1001, 1 }, optimizer.counts)
    end)

    it("goes on from a state with the same bits", function()
      local optimizer, early, late = late_pair()
      push(optimizer, early, late)
      local tensors, numbers = optimizer:state()
      assert.same({ rule = rule, steps = 1001, scale = 1, counts = { ["2"] = 1 } }, numbers)
      local copies = { early:detach():clone():trainable(true), late:detach():clone():trainable(true) }
      local other = optim[rule](copies, { lr = 0.01, weight_decay = 0 })
      other:restore(tensors, saros.json_decode(saros.json_encode(numbers)))
      push(optimizer, early, late)
      push(other, copies[1], copies[2])
      assert.same_values(late, copies[2], 0)
      assert.same({ 1002, 2 }, other.counts)
    end)

    it("has had all updates in a state that does not tell", function()
      local optimizer, early, late = late_pair()
      push(optimizer, early, late)
      local tensors = optimizer:state()
      optimizer:restore(tensors, { rule = rule, steps = 1001 })
      assert.same({ 1001, 1001 }, optimizer.counts)
    end)
  end)
end

it("refuses a state with more updates of a parameter than steps", function()
  local x = saros.zeros(1):trainable(true)
  local adam = optim.adam { x }
  assert.error_matches(function() adam:restore(adam:state(), { rule = "adam", steps = 1, counts = { ["1"] = 2 } }) end,
    "restore: expected a number of updates of '1' in 0..1, got 2", 1, true)
end)

describe("groups of parameters", function()
  local function ones(...)
    return saros.ones(...):trainable(true)
  end

  it("have rates and decays of their own, which a schedule multiplies", function()
    local a, b, c = ones(1), ones(1), ones(1)
    local sgd = optim.sgd({ { { a } }, { { b }, lr = 0.01 }, { { c }, weight_decay = 0 } },
      { lr = 0.1, weight_decay = 1, schedule = function(step) return 1 / step end })
    assert.equal("sgd (3 parameters in 3 groups, lr 0.1, 0 steps)", tostring(sgd))
    push(sgd, a, b, c)
    assert.near(1 - 0.1 * 2, a:item(), 1e-6)
    assert.near(1 - 0.01 * 2, b:item(), 1e-6)
    assert.near(1 - 0.1, c:item(), 1e-6)
    push(sgd, c)
    assert.near(0.9 - 0.05, c:item(), 1e-6)
  end)

  it("are described by the names, the rate and the decay of each", function()
    local net = nn.linear { 2, 1 }
    local named = { net.weight, names = { "weight" } }
    local adam = optim.adam({ { named, lr = 0.1 }, { { net.bias } } }, { weight_decay = 1 })
    assert.same({
      { parameters = "weight", lr = 0.1, weight_decay = 1 }, { parameters = "2", lr = 1e-3, weight_decay = 1 },
    }, adam:describe_groups())
  end)

  it("of one decay and rate are a list without groups", function()
    local finals = {}
    for n, grouped in ipairs { false, true } do
      local x, y = ones(3), ones(2)
      local adam = optim.adamw(grouped and { { { x } }, { { y } } } or { x, y }, { lr = 0.1 })
      push(adam, x, y)
      push(adam, x)
      finals[n] = x .. y
    end
    assert.same_values(finals[1], finals[2], 0)
  end)

  it("keep the names of their parameters, behind their numbers where two are alike", function()
    local one, two = nn.linear { 2, 1 }, nn.linear { 2, 1 }
    local list = two:parameters()
    assert.same({ "weight", "bias" }, optim.adam({ { one:parameters(), lr = 0.1 } }).names)
    assert.same({ "1.weight", "1.bias", "2.weight", "2.bias" },
      optim.adam({ { one:parameters() }, { list, lr = 0.1 } }).names)
  end)

  it("of a net spare biases, norms and first states the decay", function()
    local net = nn.chain { nn.linear { 2, 3 }, nn.layer_norm { 3 }, nn.linear { 3, 1, bias = false } }
    local groups = optim.groups(net, { weight_decay = 0.01 })
    assert.same({ "0.weight", "2.weight" }, groups[1][1].names)
    assert.same({ 0.01, 0 }, { groups[1].weight_decay, groups[2].weight_decay })
    assert.equal(3, #groups[2][1])
    local adamw = optim.adamw(groups, { lr = 0.1 })
    assert.equal(#net:parameters(), #adamw.parameters)
    assert.equal(1, #optim.groups({ ones(2) }, { weight_decay = 0.1 }))
  end)

  it("decay the matrices of a net alone", function()
    local net = nn.linear({ 2, 1 }):init { seed = 1 }
    local weight, bias = net.weight:detach():clone(), net.bias:item()
    local sgd = optim.sgd(optim.groups(net, { weight_decay = 0.5 }), { lr = 0.1 })
    do
      local tape <close> = saros.tape()
      tape:backward((net.weight:sum() + net.bias:sum()) * 0)
    end
    sgd:step()
    assert.same_values(weight * 0.95, net.weight, 1e-6)
    assert.equal(bias, net.bias:item())
  end)

  it("are refused where they make no sense", function()
    local x, net = ones(1), nn.linear { 1, 1 }
    for given, message in pairs {
      [{ { { x }, rate = 1 } }] = 'optim.adam: group 1: unknown option "rate"',
      [{ { { x } }, { {} } }] = "optim.adam: group 2: expected a list of parameters, got an empty list",
      [{ { net } }] = "optim.adam: group 1: expected a list of parameters, got a saros.nn.linear; model:parameters()",
      [{ { { x } }, { { x } } }] = "optim.adam: expected each parameter once, got the same one at positions 1 and 2",
      [{ x, x }] = "optim.adam: expected each parameter once, got the same one at positions 1 and 2",
      [{ { { x }, lr = -1 } }] = "optim.adam: group 1: expected option 'lr'",
    } do
      assert.error_matches(function() optim.adam(given) end, message, 1, true)
    end
    assert.error_matches(function() optim.groups(net) end, "optim.groups: expected option 'weight_decay'", 1, true)
    assert.error_matches(function() optim.groups(3, { weight_decay = 1 }) end,
      "optim.groups: expected a list of parameters, got 3", 1, true)
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
