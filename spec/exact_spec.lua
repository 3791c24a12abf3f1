-- Exact gradients on a stream: windows by themselves give, together, what
-- back-propagation through the whole stream gives. How far those of traces are off.

local saros = require "saros"
require "spec.support.values"
local nn = saros.nn
local exact = require "saros.train.exact"
local form = require "saros.train.form"

local is_double = saros.info().real == "double"
local TOLERANCE = is_double and 1e-10 or 1e-4

local T, I, H = 60, 3, 5

local function sums_of(model)
  local sums = {}
  for position, parameter in ipairs(model:parameters()) do
    sums[position] = saros.zeros(parameter:shape())
  end
  return sums
end

-- The gradients of all windows, each of the mean loss in it, summed.
local function online(new, model, x, targets, window, reset)
  local forms = { input = form.numbers(1, I), target = form.numbers(1, 2) }
  local self = new(model, forms, { window = window, every = window, streams = 1 }, saros.mse)
  local sums = sums_of(model)
  self:clear()
  for t = 1, T do
    self:add(x[t], targets[t], reset[t])
    if self:is_due() then
      self:gradients()
      for position, parameter in ipairs(model:parameters()) do
        if parameter:gradient() then
          sums[position]:add_scaled(1, parameter:gradient())
        end
      end
      self:learned()
    end
  end
  model:clear_gradients()
  return sums
end

local function whole(model, x, targets, window, reset)
  local tape <close> = saros.tape()
  local loss = saros.mse((model(x, nil, { reset = reset })), targets) * (T / window)
  tape:backward(loss)
  local gradients = {}
  for position, parameter in ipairs(model:parameters()) do
    gradients[position] = parameter:gradient():clone()
  end
  model:clear_gradients()
  return gradients
end

-- The largest difference of the parameters whose names fit, relative to the largest gradient of each.
-- Resets are steps at which the stream starts again; `new` makes the gradients.
local function difference(model, window, pattern, resets, new)
  local generator = saros.generator(2)
  local x, targets = generator:normal { T, 1, I }, generator:normal { T, 1, 2 }
  local reset = saros.zeros(T, 1)
  for _, t in ipairs(resets or {}) do
    reset[t]:fill(1)
  end
  local expected = whole(model, x, targets, window, reset)
  local got = online(new or exact.new, model, x, targets, window, reset)
  local worst = 0
  for position, name in ipairs(model:parameters().names) do
    if name:find(pattern) then
      local scale = expected[position]:abs():max():item()
      worst = math.max(worst, (expected[position] - got[position]):abs():max():item() / scale)
    end
  end
  return worst
end

describe("exact gradients on a stream", function()
  for _, name in ipairs { "mingru", "minlstm" } do
    for _, candidate in ipairs { "plain", "positive" } do
      it(("are those of the whole stream: %s, %s"):format(name, candidate), function()
        local model = nn.chain { nn[name] { I, H, candidate = candidate, remember = 50 }, nn.linear { H, 2 } }
          :init { seed = 1 }
        for _, window in ipairs { 1, 4, 15 } do
          local off = difference(model, window, ".")
          assert.is_true(off <= TOLERANCE, off)
        end
      end)
    end
  end

  it("are those of the whole stream: lru", function()
    for _, size in ipairs { H, I } do -- without and with a skip
      local model = nn.chain { nn.lru { I, size, units = 4, r_min = 0.9, r_max = 0.99 }, nn.linear { size, 2 } }
        :init { seed = 1 }
      for _, window in ipairs { 1, 4, 15 } do
        local off = difference(model, window, ".")
        assert.is_true(off <= TOLERANCE, off)
      end
    end
  end)

  it("are those of the whole stream from a learned first state, also behind resets", function()
    for _, name in ipairs { "mingru", "minlstm", "lru" } do
      local model = nn.chain { nn[name] { I, H, learn_state = true }, nn.linear { H, 2 } }:init { seed = 1 }
      for key, tensor in pairs(model:tensors()) do
        if key:find "initial" then
          saros.generator(3):fill_normal(tensor, 0, 1)
        end
      end
      for _, resets in ipairs { {}, { 8, 30 } } do
        for _, window in ipairs { 1, 4, 15 } do
          local off = difference(model, window, ".", resets)
          assert.is_true(off <= TOLERANCE, name .. " " .. off)
        end
      end
    end
  end)

  it("are those of the whole stream in stacks, and of what stands below", function()
    local models = {
      nn.chain { nn.mingru { I, H, layers = 2, remember = 50 }, nn.linear { H, 2 } },
      nn.chain { nn.linear { I, 4 }, nn.minlstm { 4, H, remember = 50 }, saros.tanh, nn.linear { H, 2 } },
      nn.chain { nn.linear { I, 4 }, nn.lru { 4, 4, r_min = 0.9, r_max = 0.99 }, nn.linear { 4, 3 },
        nn.minlstm { 3, H, layers = 2, learn_state = true, remember = 50 }, nn.linear { H, 2 } },
    }
    for n, model in ipairs(models) do
      model:init { seed = 1 }
      for _, window in ipairs { 4, 15 } do
        local off = difference(model, window, ".", n == 3 and { 8, 30 } or {})
        assert.is_true(off <= TOLERANCE, n .. " " .. off)
      end
    end
    assert.is_true(difference(models[1], 1, ".") <= TOLERANCE)
  end)

  it("are those of the whole stream where two layers have weights in common", function()
    local layer = nn.mingru { H, H, remember = 50 }
    local model = nn.chain { nn.linear { I, H }, layer, saros.tanh, layer, nn.linear { H, 2 } }:init { seed = 1 }
    local off = difference(model, 4, ".")
    assert.is_true(off <= TOLERANCE, off)
  end)

  it("are those of traces in the last recurrent layer and above it, and near them below", function()
    local model = nn.chain { nn.mingru { I, H, layers = 2, remember = 50 }, nn.linear { H, 2 } }:init { seed = 1 }
    for window, most in pairs { [4] = 0.8, [15] = 0.45, [60] = TOLERANCE } do -- of 60 steps
      assert.is_true(difference(model, window, "_l1$", {}, exact.traces) <= TOLERANCE)
      assert.is_true(difference(model, window, "^1%.", {}, exact.traces) <= TOLERANCE)
      local off = difference(model, window, "_l0$", {}, exact.traces)
      assert.is_true(off <= most and off >= most / 2 - TOLERANCE, window .. " " .. off)
    end
  end)

  it("are the same with dropout and missing targets as without a past", function()
    local function told(method)
      local model = nn.chain { nn.mingru { I, H, layers = 2, dropout = 0.4 }, nn.dropout { 0.3 }, nn.linear { H, 2 } }
        :init { seed = 1 }
      local s = model:learner { method = method, window = 6, lr = 1e-2 }
      for t = 1, 6 do
        s:learn({ t, -t, 1 }, t % 2 == 0 and { 1, t / 6 } or nil)
      end
      return require("spec.support.values").fingerprint(model:tensors())
    end
    assert.equal(told "window", told "exact")
    assert.equal(told "window", told "traces")
  end)

  it("go on bit for bit from a snapshot, and start again with the stream", function()
    local model = nn.chain { nn.mingru { I, H }, nn.linear { H, 2 } }:init { seed = 1 }
    local s = model:learner { method = "exact", window = 3, guard = 2, delay = 1 }
    local function run(from)
      local losses = {}
      for t = from, from + 10 do
        losses[#losses + 1] = select(2, s:learn({ math.sin(t), 1, 0 }, { 1, math.cos(t) }))
      end
      return losses
    end
    run(1)
    assert.matches(", exact, window 3, every 3, 11 steps", tostring(s), 1, true)
    local snapshot = s:snapshot()
    local first = run(12)
    s:restore(snapshot)
    assert.same(first, run(12))
    s:reset()
    run(1)
  end)

  it("find what lies further back than a window", function()
    -- Now and then a sign comes, which is asked for 40 steps later.
    local function accuracy(method)
      local model = nn.chain { nn.mingru { 2, 8, remember = 60 }, nn.linear { 8, 1 } }:init { seed = 1 }
      local s = model:learner { method = method, window = 5, lr = 1e-2 }
      local generator, right, sign = saros.generator(1), 0, nil
      for t = 0, 20000 - 1 do
        local at = t % 50
        sign = at == 0 and generator:integer(2) * 2 - 3 or sign
        local asked = at == 40
        local y = s:learn({ at == 0 and sign or 0, asked and 1 or 0 }, asked and sign or nil)
        right = right + (asked and t >= 15000 and y[1] * sign > 0 and 1 or 0)
      end
      return right / 100
    end
    assert.is_true(accuracy "exact" > 0.95)
    assert.is_true(accuracy "window" < 0.7)
  end)

  it("say what they need", function()
    local function refuses(model, given, message)
      given.method = given.method or "exact"
      assert.error_matches(function() model:init({ seed = 1 }):learner(given) end, "learner: expected " .. message)
    end
    refuses(nn.mingru { 2, 3 }, { streams = 2 },
      "one stream and every = window with method \"exact\", got 2, 32 and 32")
    refuses(nn.mingru { 2, 3 }, { window = 4, every = 2 }, "one stream and every = window")
    refuses(nn.gru { 2, 3 }, { method = "traces" }, "layers of nn.mingru, nn.minlstm, nn.lru, without layer norm, with "
      .. "method \"traces\", got gru 2")
    refuses(nn.gru { 2, 3 }, {},
      "layers of nn.mingru, nn.minlstm, nn.lru, without layer norm, with method \"exact\", got gru 2")
    refuses(nn.chain { nn.mingru { 2, 3 }, nn.lstm { 3, 3 } }, {}, "no states but those of nn.mingru, nn.minlstm, "
      .. "nn.lru, without layer norm, with method \"exact\", got others %(2%); method \"traces\" takes them")
    refuses(nn.mingru { 2, 3, layer_norm = true }, {}, "layers of nn.mingru, nn.minlstm, nn.lru, without layer norm")
  end)
end)
