-- Windows over time, and the convolution that is made of them.

require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local ROUNDING = saros.info().real == "double" and 1e-12 or 1e-5

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- Steps of rows that count, and pieces: a mask with a hole and padding, a reset at
-- a masked step, which counts at the next one.
local MASK = { { 1, 1 }, { 1, 1 }, { 0, 1 }, { 1, 1 }, { 1, 1 }, { 1, 0 }, { 0, 0 } }
local RESET = { { 0, 0 }, { 0, 0 }, { 1, 0 }, { 0, 1 }, { 0, 0 }, { 0, 1 }, { 0, 0 } }

local function zeros_of(n)
  local list = {}
  for k = 1, n do
    list[k] = 0
  end
  return list
end

-- The windows by a loop over steps, rows and parts: a list of places for each row.
local function naive_window(x, state, o)
  local T, B, F, past = x:size(1), x:size(2), x:size(3), (o.kernel - 1) * o.dilation
  local values, memory, zeros, windows = x:totable(), {}, zeros_of(F), {}
  for t = 1, T do
    windows[t] = {}
  end
  for row = 1, B do
    local places, piece, begins = {}, 1, false
    for p = 1, past do
      places[p] = { value = state and state[row]:slice(1, (p - 1) * F + 1, p * F):totable() or zeros, piece = 1 }
    end
    for t = 1, T do
      begins = begins or o.reset and o.reset[t][row] == 1
      if not o.mask or o.mask[t][row] == 1 then
        piece = begins and piece + 1 or piece
        begins = false
        places[#places + 1] = { value = values[t][row], piece = piece, t = t }
      end
    end
    local function seen(from, place)
      local there = places[place]
      return there and there.piece == places[from].piece and there.value or zeros
    end
    for p, place in ipairs(places) do
      local window = {}
      for j = 1, place.t and o.kernel or 0 do
        table.move(seen(p, p + (o.ahead or 0) - (o.kernel - j) * o.dilation), 1, F, #window + 1, window)
      end
      if place.t then
        windows[place.t][row] = window
      end
    end
    local left = {}
    for p = #places - past + 1, #places do
      table.move(seen(#places, p), 1, F, #left + 1, left)
    end
    memory[row] = left
    for t = 1, T do
      windows[t][row] = windows[t][row] or zeros_of(o.kernel * F)
    end
  end
  return saros.tensor(windows), past > 0 and saros.tensor(memory) or saros.zeros(B, 0)
end

local function same_windows(x, state, o)
  local tensors = {}
  for name, value in pairs(o) do
    tensors[name] = type(value) == "table" and saros.tensor(value) or value
  end
  local windows, last = core.window(x, state, tensors)
  local expected, memory = naive_window(x, state, o)
  assert.same_values(expected, windows, 0)
  assert.same_values(memory, last, 0)
end

describe("windows over time", function()
  it("are what a loop over steps, rows and parts finds", function()
    for _, sizes in ipairs { { 1, 1 }, { 2, 1 }, { 3, 1 }, { 2, 3 }, { 4, 2 }, { 3, 5 } } do
      local k, d = table.unpack(sizes)
      for _, T in ipairs { 1, 2, 7 } do
        local x, state = random(T, T, 2, 3), random(9, 2, (k - 1) * d * 3)
        same_windows(x, nil, { kernel = k, dilation = d })
        same_windows(x, state, { kernel = k, dilation = d })
        if T == 7 then
          same_windows(x, state, { kernel = k, dilation = d, mask = MASK })
          same_windows(x, state, { kernel = k, dilation = d, reset = RESET })
          same_windows(x, state, { kernel = k, dilation = d, mask = MASK, reset = RESET })
          for ahead = 0, (k - 1) * d do
            same_windows(x, nil, { kernel = k, dilation = d, ahead = ahead, mask = MASK, reset = RESET })
          end
        end
      end
    end
  end)

  it("have the gradients that finite differences predict", function()
    local inputs = { x = random(1, 7, 2, 3), state = random(2, 2, 12) }
    local weigh, weigh_last = random(3, 7, 2, 9), random(4, 2, 12)
    for _, o in ipairs { {}, { mask = MASK }, { reset = RESET }, { mask = MASK, reset = RESET } } do
      assert.gradients_match(function()
        local y, last = core.window(inputs.x, inputs.state, { kernel = 3, dilation = 2,
          mask = o.mask and saros.tensor(o.mask), reset = o.reset and saros.tensor(o.reset) })
        return (y * y * weigh):sum() + (last * weigh_last):sum()
      end, inputs)
    end
    assert.gradients_match(function()
      return (core.window(inputs.x:transpose(1, 2), nil, { kernel = 4, ahead = 2 }) * random(5, 2, 7, 12)):sum()
    end, { x = inputs.x })
  end)

  it("refuse what does not fit", function()
    local x = random(1, 4, 2, 3)
    local function fails(message, ...)
      local arguments = table.pack(...)
      assert.error_matches(function() core.window(table.unpack(arguments, 1, arguments.n)) end, message)
    end
    fails("window: expected x of shape %(T, B, F%), got %(4, 2%)", saros.zeros(4, 2), nil, { kernel = 2 })
    fails("window: expected a state of shape %(2, 6%), got %(2, 5%)", x, saros.zeros(2, 5), { kernel = 3 })
    fails("window: expected a mask of shape %(4, 2%)", x, nil, { kernel = 3, mask = saros.zeros(4, 3) })
    fails("window: expected reset of shape %(4, 2%)", x, nil, { kernel = 3, reset = saros.zeros(2, 4) })
    fails("window: expected to look 0 to 2 steps ahead, got 3", x, nil, { kernel = 3, ahead = 3 })
    fails("window: expected no state", x, saros.zeros(2, 6), { kernel = 3, ahead = 1 })
    fails("kernel", x, nil, { kernel = 0 })
    fails("kernel and a dilation", x, nil, { kernel = 1 << 20, dilation = 1 << 20 })
  end)
end)

-- The same with rows turned round: each piece begins where it ended.
local function turned(x, o)
  local reset = o.reset and 1 - core.keep(saros.tensor(o.reset), o.mask and saros.tensor(o.mask), true)
  return x:flip(1):contiguous(), {
    mask = o.mask and saros.tensor(o.mask):flip(1):contiguous(), reset = reset and reset:flip(1):contiguous(),
  }
end

local STEPS = { {}, { mask = MASK }, { reset = RESET }, { mask = MASK, reset = RESET } }

describe("windows from the last step to the first", function()
  it("are those of rows turned round", function()
    local x, state = random(1, 7, 2, 3), random(2, 2, 12)
    for _, o in ipairs(STEPS) do
      local given = { kernel = 3, dilation = 2, reverse = true,
        mask = o.mask and saros.tensor(o.mask), reset = o.reset and saros.tensor(o.reset) }
      local y, last = core.window(x, state, given)
      local flipped, steps = turned(x, o)
      steps.kernel, steps.dilation = 3, 2
      local expected, memory = core.window(flipped, state, steps)
      assert.same_values(expected:flip(1), y, 0)
      assert.same_values(memory, last, 0)
    end
  end)
end)

describe("a depthwise convolution", function()
  -- By core.window, a product and a sum.
  local function by_windows(x, weight, bias, state, o)
    local T, B, F, k = x:size(1), x:size(2), x:size(3), weight:size(2)
    local given = { kernel = k }
    for name, value in pairs(o) do
      given[name] = value
    end
    local windows, last = core.window(x, state, given)
    local y = (windows:reshape(T, B, k, F) * weight:transpose()):sum(3)
    y = bias and y + bias or y
    return o.mask and core.mask_rows(y, o.mask) or y, last
  end

  local function tensors_of(o)
    local result = {}
    for name, value in pairs(o) do
      result[name] = type(value) == "table" and saros.tensor(value) or value
    end
    return result
  end

  -- Every option, and sizes around those of vectors, units and lists of parts.
  local function each_case(fn)
    for _, sizes in ipairs { { 1, 1, 3 }, { 2, 1, 1 }, { 3, 2, 70 }, { 4, 1, 300 }, { 18, 1, 5 } } do
      local k, d, F = table.unpack(sizes)
      for _, steps in ipairs(STEPS) do
        for _, more in ipairs { {}, { reverse = true }, { ahead = math.min((k - 1) * d, 2) } } do
          local o = tensors_of(steps)
          o.dilation, o.reverse, o.ahead = d, more.reverse, more.ahead
          local has_state = more.ahead == nil or more.ahead == 0
          fn(random(1, 7, 2, F), random(2, F, k), random(3, F), has_state and random(4, 2, (k - 1) * d * F) or nil, o)
        end
      end
    end
  end

  it("ends with an activation as if that followed", function()
    local function gradients(way, x, weight, bias, state, o)
      local list = { x, weight, bias, state }
      for n, tensor in ipairs(list) do
        list[n] = tensor:clone():trainable(true)
      end
      local tape <close> = core.tape()
      local y, last = way(list[1], list[2], list[3], list[4], o)
      tape:backward((y * y * random(5, table.unpack(y:shape()))):sum()
        + (last * random(6, table.unpack(last:shape()))):sum())
      for n, tensor in ipairs(list) do
        list[n] = tensor:gradient()
      end
      list[#list + 1], list[#list + 2] = y:detach(), last:detach()
      return list
    end
    local function in_parts(x, weight, bias, state, o)
      o.activation = nil
      local y, last = core.depthwise(x, weight, bias, state, o)
      return core.silu(y), last
    end
    each_case(function(x, weight, bias, state, o)
      local expected = gradients(in_parts, x, weight, bias, state, o)
      o.activation = "silu"
      local got = gradients(core.depthwise, x, weight, bias, state, o)
      assert.equal(#expected, #got)
      for n, tensor in ipairs(expected) do
        assert.same_values(tensor, got[n], 100 * ROUNDING)
      end
      o.activation = nil
      local plain = core.silu((core.depthwise(x, weight, nil, nil, o)))
      o.activation = "silu"
      assert.same_values(plain, (core.depthwise(x, weight, nil, nil, o)), 0)
    end)
  end)

  it("adds to the gradient that x has from elsewhere", function()
    for _, activation in ipairs { false, "silu" } do
      for _, ahead in ipairs { 0, 1 } do
        local inputs = { x = random(1, 5, 2, 3), weight = random(2, 3, 3) }
        assert.gradients_match(function()
          local o = { activation = activation or nil, ahead = ahead }
          local once = core.depthwise(inputs.x, inputs.weight, nil, nil, o)
          local twice = core.depthwise(inputs.x, inputs.weight, nil, nil, o)
          return (once * random(3, 5, 2, 3)):sum() + (twice * inputs.x * random(4, 5, 2, 3)):sum()
        end, inputs)
      end
    end
  end)

  it("is the product with windows and its sum", function()
    each_case(function(x, weight, bias, state, o)
      for _, shift in ipairs { bias, false } do
        local expected, memory = by_windows(x, weight, shift or nil, state, o)
        local y, last = core.depthwise(x, weight, shift or nil, state, o)
        assert.same_values(expected, y, 20 * ROUNDING)
        assert.same_values(memory, last, 0)
      end
      assert.same_values(by_windows(x, weight, bias, nil, o), (core.depthwise(x, weight, bias, nil, o)), 20 * ROUNDING)
    end)
  end)

  it("has the gradients of these", function()
    local function gradients(way, x, weight, bias, state, o)
      local list = { x, weight, bias, state }
      for n, tensor in ipairs(list) do
        list[n] = tensor:clone():trainable(true)
      end
      local tape <close> = core.tape()
      local y, last = way(list[1], list[2], list[3], list[4], o)
      tape:backward((y * y * random(5, table.unpack(y:shape()))):sum()
        + (last * random(6, table.unpack(last:shape()))):sum())
      for n, tensor in ipairs(list) do
        list[n] = tensor:gradient()
      end
      return list
    end
    each_case(function(x, weight, bias, state, o)
      local expected = gradients(by_windows, x, weight, bias, state, o)
      local got = gradients(core.depthwise, x, weight, bias, state, o)
      assert.equal(#expected, #got)
      for n, tensor in ipairs(expected) do
        assert.same_values(tensor, got[n], 100 * ROUNDING)
      end
    end)
  end)

  it("has the gradients that finite differences predict", function()
    local inputs = { x = random(1, 7, 2, 3), weight = random(2, 3, 3), bias = random(3, 3), state = random(4, 2, 12) }
    local weigh, weigh_last = random(5, 7, 2, 3), random(6, 2, 12)
    for _, steps in ipairs(STEPS) do
      for n, reverse in ipairs { false, true, false, true } do
        local o = tensors_of(steps)
        o.dilation, o.reverse, o.activation = 2, reverse, n > 2 and "silu" or nil
        assert.gradients_match(function()
          local y, last = core.depthwise(inputs.x, inputs.weight, inputs.bias, inputs.state, o)
          return (y * y * weigh):sum() + (last * weigh_last):sum()
        end, inputs)
      end
    end
  end)

  it("reads nothing at hidden steps, nor the gradient there", function()
    local mask, nothing = saros.tensor(MASK), 0 / 0
    for _, activation in ipairs { false, "silu" } do
      local x = saros.where(mask:reshape(7, 2, 1), random(1, 7, 2, 3), nothing):trainable(true)
      local weight = random(2, 3, 2):trainable(true)
      local tape <close> = core.tape()
      local y = core.depthwise(x, weight, random(3, 3), nil, { mask = mask, activation = activation or nil })
      assert.same_values(y * 0, saros.zeros(7, 2, 3), 0)
      assert.same_values(core.mask_rows(y, mask), y, 0)
      tape:backward((y * saros.where(mask:reshape(7, 2, 1), 1, nothing)):sum())
      assert.is_true(x:gradient():all_finite() and weight:gradient():all_finite())
      assert.same_values(core.mask_rows(x:gradient(), mask), x:gradient(), 0)
    end
  end)

  it("has the same bits for any number of threads", function()
    local function run(threads, activation)
      saros.threads(threads)
      local x, weight = random(1, 40, 70, 300):trainable(true), random(2, 300, 4):trainable(true)
      local bias = random(3, 300):trainable(true)
      local tape <close> = core.tape()
      local y = core.depthwise(x, weight, bias, nil, { activation = activation })
      tape:backward((y * y):sum())
      return { y:detach(), x:gradient(), weight:gradient(), bias:gradient() }
    end
    local before = saros.threads()
    for n = 1, 2 do
      local activation = n == 2 and "silu" or nil
      local one, many = run(1, activation), run(3, activation)
      saros.threads(before)
      for m, tensor in ipairs(one) do
        assert.same_values(tensor, many[m], 0)
      end
    end
  end)

  it("refuses other activations", function()
    for _, activation in ipairs { "tanh", 1, true } do
      assert.error_matches(function()
        core.depthwise(random(1, 4, 2, 3), random(2, 3, 2), nil, nil, { activation = activation })
      end, 'depthwise: .*"silu" or nil.*activation')
    end
  end)

  it("is in a program a window, a product, a sum and its activation", function()
    local Filter = nn.module "filter"
    Filter.stateful = true
    function Filter:forward(x, state)
      local y, last = core.depthwise(x, self.weight, self.bias, state and state[1],
        { dilation = self.dilation, activation = self.activation })
      return y, self.weight:size(2) > 1 and { last } or nil
    end
    for _, k in ipairs { 1, 3 } do
      local net = Filter.new()
      net.input, net.dilation = 4, 2
      net.weight = net:add_parameter("weight", { 4, k }, nn.initialize.normal(1))
      net.bias = net:add_parameter("bias", { 4 }, nn.initialize.normal(1))
      net:init { seed = 1 }
      local conv = nn.conv1d { 4, 4, kernel = k, dilation = 2, groups = 4 }:init { seed = 2 }
      conv:load { weight = net.weight:reshape(4, 1, k), bias = net.bias }
      local x = random(3, 6, 2, 4)
      net.stateful = k > 1
      for n = 1, 2 do
        net.activation = n == 2 and "silu" or nil
        local session, expected = net:session { streams = 2 }, net(x)
        assert.same_values(net.activation and core.silu((conv(x))) or conv(x), expected, 0)
        for t = 1, 6 do
          assert.same_values(expected[t], session:step(x[t]), ROUNDING)
        end
      end
    end
  end)
end)

-- y by a loop over steps and the parts of the kernel.
local function naive_conv(net, x)
  local o, T, B = net.o, x:size(1), x:size(2)
  local left = o.causal and net.past or net.past // 2
  local size, share = o.input // o.groups, o.output // o.groups
  local steps = {}
  for t = 1, T, o.stride do
    local groups = {}
    for g = 1, o.groups do
      local y = saros.zeros(B, share)
      for j = 1, o.kernel do
        local s = t - left + (j - 1) * o.dilation
        if s >= 1 and s <= T then
          local w = net.weight:slice(1, (g - 1) * share + 1, g * share):select(3, j)
          y = y + x[s]:slice(2, (g - 1) * size + 1, g * size):matmul(w:transpose())
        end
      end
      groups[g] = y
    end
    local y = saros.concatenate(groups, 2)
    steps[#steps + 1] = net.bias and y + net.bias or y
  end
  return saros.stack(steps)
end

local KINDS = {
  { 6, 4, 3 }, { 6, 4, 1 }, { 6, 4, 2, bias = false }, { 6, 4, kernel = 3, dilation = 2 },
  { 6, 4, kernel = 3, groups = 2 }, { 6, 6, kernel = 3, groups = 6 }, { 6, 12, kernel = 2, groups = 6 },
  { 6, 4, kernel = 3, stride = 2 }, { 6, 4, kernel = 3, causal = false }, { 6, 4, kernel = 4, causal = false },
  { 6, 4, kernel = 4, dilation = 3, causal = false, stride = 3, groups = 2 },
}
for _, kind in ipairs(KINDS) do
  kind.kernel, kind[3] = kind.kernel or kind[3], nil
end

describe("nn.conv1d", function()
  it("is what a loop over the steps of its kernel computes", function()
    for seed, kind in ipairs(KINDS) do
      local net = nn.conv1d(kind):init { seed = seed }
      for _, T in ipairs { 1, 2, 5, 9 } do
        local x = random(T, T, 3, 6)
        assert.same_values(naive_conv(net, x), (net(x)), ROUNDING)
      end
    end
  end)

  it("agrees with PyTorch's Conv1d", function()
    local net = nn.conv1d { 1, 1, kernel = 3, causal = false }:init { seed = 1 }
    net:load { weight = saros.tensor { { { 1, 10, 100 } } }, bias = saros.tensor { 0.5 } }
    assert.same_values(saros.tensor { 210.5, 321.5, 432.5, 43.5 },
      net(saros.tensor { 1, 2, 3, 4 }:reshape(4, 1, 1)):reshape(4), 1e-4) -- padding = "same"
  end)

  it("gives the same in windows of any size as at once", function()
    for _, kind in ipairs { { 6, 4, kernel = 3, dilation = 2 }, { 6, 6, kernel = 4, groups = 6 } } do
      local net, x = nn.conv1d(kind):init { seed = 1 }, random(4, 11, 3, 6)
      local whole, last = net(x)
      for _, length in ipairs { 1, 2, 3, 5 } do
        local parts, state = {}, nil
        for first = 1, 11, length do
          parts[#parts + 1], state = net(x:slice(1, first, math.min(first + length - 1, 11)), state)
        end
        assert.same_values(whole, saros.concatenate(parts, 1), ROUNDING)
        assert.same_values(last[1], state[1], 0)
      end
    end
  end)

  it("reads padded rows and pieces as if each stood alone", function()
    for _, kind in ipairs(KINDS) do
      local net = nn.conv1d(kind):init { seed = 1 }
      local x, stride = random(4, 9, 2, 6), net.o.stride
      x:slice(2, 2, 2):slice(1, 6, 9):fill(0 / 0)
      local y = net(x, nil, { lengths = { 9, 5 } })
      assert.same_values(net(x:slice(2, 1, 1)), y:slice(2, 1, 1), ROUNDING)
      local alone = net(x:slice(2, 2, 2):slice(1, 1, 5))
      assert.same_values(alone, y:slice(2, 2, 2):slice(1, 1, #alone), ROUNDING)
      assert.equal(0, y:slice(2, 2, 2):slice(1, #alone + 1):abs():sum():item())
      assert.same({ lengths = { 1 + 8 // stride, 1 + 4 // stride } }, net:steps_after { lengths = { 9, 5 } })
      if stride == 1 then
        x = random(5, 9, 1, 6)
        local reset = saros.zeros(9, 1)
        reset[4][1] = 1
        assert.same_values(saros.concatenate({ net(x:slice(1, 1, 3)), (net(x:slice(1, 4, 9))) }, 1),
          (net(x, nil, { reset = reset })), ROUNDING)
      else
        assert.error_matches(function() net(x, nil, { reset = saros.zeros(9, 2) }) end,
          "conv1d: expected rows of one piece each with a stride")
      end
    end
  end)

  it("goes into chains, whose members behind a stride read the lengths that are left", function()
    local net = nn.chain { nn.conv1d { 3, 4, kernel = 3, stride = 2 }, saros.relu, nn.gru { 4, 5 } }:init { seed = 1 }
    local x = random(4, 9, 2, 3)
    x:slice(2, 2, 2):slice(1, 6, 9):fill(0 / 0)
    local given = { lengths = { 9, 5 } }
    local y = net(x, nil, given)
    assert.same({ lengths = { 5, 3 } }, net:steps_after(given))
    assert.same_values(net(x:slice(2, 2, 2):slice(1, 1, 5)), y:slice(2, 2, 2):slice(1, 1, 3), ROUNDING)
    assert.equal(0, y:slice(2, 2, 2):slice(1, 4):abs():sum():item())
  end)

  it("takes whole sequences alone if it reads ahead or drops steps", function()
    local x, state = random(1, 4, 2, 3), saros.zeros(2, 6)
    local ahead = nn.conv1d { 3, 3, kernel = 3, causal = false }:init { seed = 1 }
    local strided = nn.conv1d { 3, 3, kernel = 3, stride = 2 }:init { seed = 1 }
    assert.error_matches(function() ahead(x, { state }) end, "conv1d: expected no state, as .* reads ahead")
    assert.error_matches(function() strided(x, { state }) end, "conv1d: expected no state, as a stride of 2")
    assert.is_true(ahead.reads_ahead)
    assert.is_false(ahead.stateful or strided.stateful)
    assert.error_matches(function() strided(x, nil, { lengths = { 5, 1 } }) end, "conv1d: expected lengths in 0..4")
  end)

  it("says what is wrong with what it is given", function()
    local net = nn.conv1d { 3, 4, kernel = 2 }:init { seed = 1 }
    assert.error_matches(function() net(saros.zeros(4, 2, 2)) end, "conv1d: expected x of shape %(T, B, 3%)")
    assert.error_matches(function() net(saros.zeros(4, 2, 3), { saros.zeros(2, 4) }) end,
      "conv1d: expected a state { memory }, of shape %(2, 3%), got a tensor %(2, 4%)")
    assert.error_matches(function() nn.conv1d { 3, 4, kernel = 2, groups = 2 } end,
      "nn.conv1d: expected groups that divide")
    assert.error_matches(function() nn.conv1d { 3, 4 } end, "nn.conv1d: .*kernel")
    assert.equal("conv1d 6 -> 4, 3 steps, 2 apart", tostring(nn.conv1d { 6, 4, kernel = 3, dilation = 2 }))
  end)
end)
