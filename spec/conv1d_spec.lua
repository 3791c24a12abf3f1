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
