-- The gradients of a window in segments are those of the window as a whole, and
-- take the memory of a segment.

local saros = require "saros"
require "spec.support.values"
local commands = require "spec.support.commands"
local nn, data = saros.nn, saros.data

local is_double = saros.info().real == "double"
local TOLERANCE = is_double and 1e-12 or 1e-5
-- Layer norm of a few units, whose sums are often near 0, magnifies what rounding leaves.
local MAGNIFIED = 10 * TOLERANCE

local function gradients_of(model)
  local gradients = {}
  for position, parameter in ipairs(model:parameters()) do
    local gradient = parameter:gradient() -- none of a first state that is not used
    gradients[position] = gradient and gradient:clone() or saros.zeros(parameter:shape())
  end
  model:clear_gradients()
  return gradients
end

local function assert_same_gradients(expected, actual, tolerance)
  assert.equal(#expected, #actual)
  for position, gradient in ipairs(expected) do
    assert.same_values(gradient, actual[position], tolerance or TOLERANCE)
  end
end

-- The parts of a window on one tape, one after the other.
local function on_one_tape(window, state, segment, loss)
  local tape <close> = saros.tape()
  local T, total = window.inputs:size(1), nil
  for first = 1, T, segment do
    local part, last = {}, math.min(first + segment - 1, T)
    for name, tensor in pairs(window) do
      part[name] = tensor:slice(1, first, last)
    end
    local value
    value, state = loss(part, state, (last - first + 1) / T)
    total = total and total + value or value
  end
  tape:backward(total)
  return total:item(), state
end

local T, B, I, H = 23, 3, 2, 5

local function window_of(seed)
  local generator = saros.generator(seed)
  return { inputs = generator:normal { T, B, I }, targets = generator:normal { T, B, H } }
end

-- A state like that of a model, which is not zeros.
local function some_state(model)
  local _, state = model(saros.generator(8):normal { 2, B, I })
  return state
end

local function mean_square(model)
  return function(part, state, share)
    local y, last = model(part.inputs, state, part.begins and { reset = part.begins, mask = part.mask })
    return saros.mse(y, part.targets) * share, last
  end
end

describe("a window in segments", function()
  local models = {}
  for _, name in ipairs(require("saros.nn.recurrent").names) do
    models[name] = nn[name] { I, H, layers = 2, learn_state = true }
  end
  models["lstm with a projection, peepholes and layer norm"] = nn.lstm { I, 7, projection = H, peepholes = true,
    layer_norm = true, layers = 2 }
  models["gru that resets before the product"] = nn.gru { I, H, reset = "before", residual = true, layers = 2 }
  models["attention over past steps"] = nn.chain { nn.linear { I, 8 }, nn.windowed_attention { 8, 6, heads = 2 },
    nn.gru { 8, H } }
  models["a chain"] = nn.chain { nn.linear { I, 4 }, saros.tanh, nn.lstm { 4, 6 }, nn.gru { 6, H }, nn.linear { H, H } }

  for name, model in pairs(models) do
    it("has the gradients of the whole: " .. name, function()
      model:init { seed = 1 }
      local tolerance = name:find("layer norm", 1, true) and MAGNIFIED or TOLERANCE
      for _, begin in ipairs { function() end, some_state } do
        local window, state = window_of(2), begin(model)
        local tape <close> = saros.tape()
        local y, last = model(window.inputs, state)
        local loss = saros.mse(y, window.targets)
        tape:backward(loss)
        tape:close()
        local expected = gradients_of(model)
        for _, segment in ipairs { 1, 5, T - 1, T, 100 } do
          local value, reached = saros.backward_in_segments(model, window, state,
            { segment = segment, loss = mean_square(model) })
          assert_same_gradients(expected, gradients_of(model), tolerance)
          assert.is_true(math.abs(value - loss:item()) < tolerance)
          local ends = nn.state.tensors(reached)
          for leaf, tensor in pairs(nn.state.tensors(last)) do
            assert.same_values(tensor, ends[leaf], tolerance)
          end
        end
      end
    end)
  end

  it("has them with dropout of every kind, masks and rows that start again", function()
    local model = nn.chain {
      nn.lstm { I, H, layers = 2, dropout = 0.3, recurrent_dropout = 0.2, zoneout = 0.1, zoneout_cell = 0.2 },
      nn.dropout { 0.2 }, nn.gru { H, H, layers = 2, dropout = 0.3, variational = true },
    }:init { seed = 1 }
    local window, generator = window_of(3), saros.generator(4)
    window.mask, window.begins = saros.zeros(T, B), generator:uniform({ T, B }):lt(0.1)
    for row, length in ipairs { T, 11, 4 } do
      window.mask:slice(1, 1, length):select(2, row):fill(1)
    end
    local loss = mean_square(model)
    local function state_of(name)
      return model:generators()[name]:state()
    end
    local names = {}
    for name, own in pairs(model:generators()) do
      own:seed(7)
      names[#names + 1] = name
    end
    local value, reached = on_one_tape(window, some_state(model), 6, loss)
    local expected, after = gradients_of(model), {}
    for _, name in ipairs(names) do
      after[name] = state_of(name)
      model:generators()[name]:seed(7)
    end
    local again, ends = saros.backward_in_segments(model, window, some_state(model), { segment = 6, loss = loss })
    assert_same_gradients(expected, gradients_of(model))
    assert.is_true(math.abs(value - again) < TOLERANCE)
    for leaf, tensor in pairs(nn.state.tensors(reached)) do
      assert.same_values(tensor, nn.state.tensors(ends)[leaf], TOLERANCE)
    end
    for _, name in ipairs(names) do
      assert.equal(after[name], state_of(name))
    end
  end)

  it("adds to the gradients that there are, by a factor", function()
    local model = nn.gru { I, H }:init { seed = 1 }
    local given = { segment = 4, loss = mean_square(model) }
    saros.backward_in_segments(model, window_of(2), nil, given)
    local expected = gradients_of(model)
    given.scale = 0.25
    for _ = 1, 4 do
      saros.backward_in_segments(model, window_of(2), nil, given)
    end
    assert_same_gradients(expected, gradients_of(model))
  end)

  it("takes the memory of a segment and of the states between them", function()
    local function peak(segment) -- it never falls in a process
      return tonumber(commands.succeed("-e", ([=[
        local model = saros.nn.lstm { 1, 64 }:init { seed = 1 }
        local window = { inputs = saros.ones(10000, 1, 1) }
        local before = saros.memory().in_use
        saros.backward_in_segments(model, window, nil, { segment = %d, loss = function(part, state, share)
          local y, last = model(part.inputs, state)
          return (y * y):mean() * share, last
        end })
        print(saros.memory().peak - before)]=]):format(segment)))
    end
    local short, whole = peak(100), peak(10000)
    assert.is_true(short < whole / 4, ("%d bytes, in one piece %d"):format(short, whole))
  end)

  it("is what fit learns from", function()
    local text = data.text({ string = ("the quick brown fox "):rep(60) }, { valid = 0 })
    local function fitted(given)
      local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 8, layers = 1, cell = "gru", seed = 3 }
      given.epochs, given.batch, given.length, given.accumulate = 2, 2, 100, 2
      local history = saros.fit(lm, text, given)
      return lm, history
    end
    local whole, history = fitted {}
    local parts, other = fitted { segment = 17 }
    assert.is_true(math.abs(history[2].train - other[2].train) < 1e-4)
    for position, parameter in ipairs(whole:parameters()) do
      assert.same_values(parameter, parts:parameters()[position], is_double and 1e-9 or 1e-3)
    end
    local series = data.series(saros.generator(1):normal { 200, 2 }, { horizon = 2 })
    local forecasters = {}
    for n, segment in ipairs { 40, 7 } do
      forecasters[n] = nn.forecaster { series = series, hidden = 6 }
      saros.fit(forecasters[n], series, { batch = 8, length = 40, segment = segment })
    end
    for position, parameter in ipairs(forecasters[1]:parameters()) do
      assert.same_values(parameter, forecasters[2]:parameters()[position], is_double and 1e-9 or 1e-3)
    end
  end)

  it("names what is not finite, and refuses what makes no sense", function()
    local text = data.text({ string = ("the quick brown fox "):rep(60) }, { valid = 0 })
    local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 8, layers = 1 }
    lm.embedding.weight:fill(1 / 0)
    assert.error_matches(function() saros.fit(lm, text, { batch = 2, length = 60, segment = 9 }) end,
      "fit: expected a finite loss, got nan in window 1 of epoch 1, first in parameter 'embedding.weight'")
    local labelled = data.labelled { a = { "x", "xx" }, b = { "y", "yy" } }
    local classifier = nn.classifier { vocabulary = labelled.vocabulary, labels = labelled.labels }
    assert.error_matches(function() saros.fit(classifier, labelled, { segment = 2 }) end,
      "fit: expected no segment, as these sequences stay whole")
    local model = nn.gru { I, H }:init { seed = 1 }
    local function refuses(window, given, message)
      assert.error_matches(function() saros.backward_in_segments(model, window, nil, given) end,
        "backward_in_segments: expected " .. message)
    end
    refuses(window_of(1), {}, "option 'segment'")
    refuses({}, { segment = 3 }, "a window with tensors %(T, ...%), got a table")
    refuses({ inputs = saros.ones(3, 1, I), targets = saros.ones(4) }, { segment = 3 }, "all tensors of a window")
    refuses(3, { segment = 3 }, "a window with tensors %(T, ...%), got 3")
  end)
end)
