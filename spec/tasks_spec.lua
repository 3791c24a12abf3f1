-- Made-up tasks: are their answers right?

local saros = require "saros"
local nn, optim, tasks = saros.nn, saros.optim, saros.data.tasks
local fingerprint = require("spec.support.values").fingerprint

local all = {
  tasks.copy { lag = 3, length = 4, symbols = 5 },
  tasks.copy { lag = 0, length = 1, symbols = 2 },
  tasks.adding { length = 7 },
  tasks.adding { length = 2 },
  tasks.recall { pairs = 3, keys = 4, values = 5, lag = 2 },
  tasks.parity { length = 11 },
  tasks.parity { length = 11, tokens = true, every = false },
  tasks.parity { length = { 2, 9 } },
  tasks.shapes { size = 9 },
  tasks.selective_copy { length = 12, count = 3, tokens = 5 },
  tasks.multi_query_recall { length = 16, pairs = 3, tokens = 14 },
  tasks.multi_query_recall { length = 16, pairs = 3, tokens = 14, noise = true },
  tasks.counter { modulus = 5, length = { 3, 8 } },
  tasks.group_words { group = "A4", length = 9 },
  tasks.flip_flop { length = { 4, 15 } },
  tasks.brackets { depth = 3, length = 10 },
  tasks.brackets { kinds = 3, length = { 5, 10 } },
  tasks.arithmetic { length = 12 },
  tasks.arithmetic { length = { 3, 13 }, modulus = 7, every = true },
  tasks.arithmetic { length = { 3, 13 }, brackets = true },
}

-- Rows of a batch as lists of steps.
local function rows_of(tensor)
  return tensor:transpose(1, 2):contiguous():totable()
end

-- The position of the only 1 in part of a list, nil if all is 0.
local function position_of_one(list, first, last)
  local found
  for n = first, last do
    assert.is_true(list[n] == 0 or list[n] == 1 and not found)
    found = list[n] == 1 and n - first + 1 or found
  end
  return found
end

describe("every task", function()
  for _, task in ipairs(all) do
    it("has the shapes that it says (" .. tostring(task) .. ")", function()
      local batch = task:batch(saros.generator(1), 3)
      local T = batch.lengths and math.max(table.unpack(batch.lengths)) or task.length
      assert.same({ T, 3, task.inputs }, batch.inputs:shape())
      assert.equal(task.tokens and "ids" or "real", batch.inputs:dtype())
      local is_class = batch.targets:dtype() == "ids"
      local A = task.answers == task.length and T or task.answers
      assert.same({ A, 3, not is_class and task.outputs or nil }, batch.targets:shape())
      assert.equal(task.masked, batch.mask ~= nil)
      assert.same(task.masked and { T, 3 } or nil, batch.mask and batch.mask:shape())
      assert.equal(task.lengths ~= nil, batch.lengths ~= nil)
      if is_class then
        assert.has_no.errors(function() batch.targets:one_hot(task.outputs) end)
      end
      if task.tokens then
        assert.has_no.errors(function() batch.inputs:one_hot(task.tokens) end)
      end
    end)

    it("gives the same batches for the same seed, and goes on (" .. tostring(task) .. ")", function()
      local first, second, other = task:batches { seed = 7, batch = 8 }, task:batches { seed = 7, batch = 8 },
        task:batches { seed = 8, batch = 8 }
      local one, another = first(), first()
      assert.equal(fingerprint(one), fingerprint(second()))
      assert.equal(fingerprint(another), fingerprint(second()))
      assert.not_equal(fingerprint(one.inputs), fingerprint(another.inputs))
      assert.not_equal(fingerprint(one.inputs), fingerprint(other().inputs))
    end)

    it("scores right answers 1, wrong ones 0 (" .. tostring(task) .. ")", function()
      local batch = task:batch(saros.generator(2), 5)
      local targets = batch.targets
      local is_class = targets:dtype() == "ids"
      local right = is_class and targets:one_hot(task.outputs) or targets + 0.07
      local wrong = is_class and 1 - right or targets - 0.09
      local answers = batch.mask and math.tointeger(batch.mask:sum():item()) or right:count() // task.outputs
      local score, count = task:score(right, batch)
      assert.same({ 1, answers }, { score, count })
      assert.same({ 0, answers }, { task:score(wrong, batch) })
      assert.is_true(task:loss(right, batch):item() < task:loss(wrong, batch):item())
      if not task.masked then
        assert.equal(task:loss(right, batch):item(), task:loss(right, targets):item())
        assert.equal(1, task:score(right, targets))
      end
    end)

    it("takes the outputs of all steps or of those with answers alone (" .. tostring(task) .. ")", function()
      local generator = saros.generator(4)
      local batch = task:batch(generator, 4)
      local y = generator:normal { batch.inputs:size(1), 4, task.outputs }
      local answered = task:answered(y, batch)
      assert.same({ task:score(y, batch) }, { task:score(answered, batch) })
      assert.near(task:loss(y, batch):item(), task:loss(answered, batch):item(), 1e-6)
      if task.masked then
        assert.same({ batch.mask:sum():item(), task.outputs }, answered:shape())
      end
    end)

    it("has the same score in pieces (" .. tostring(task) .. ")", function()
      local generator = saros.generator(5)
      local batch = task:batch(generator, 4)
      local y = generator:normal { batch.inputs:size(1), 4, task.outputs }
      local right, answers, from = 0, 0, 1
      for piece in task:pieces(batch, 4) do
        local steps = piece.inputs:size(1)
        local outputs = y:slice(1, from, from + steps - 1)
        local score, count = task:score(outputs, piece)
        assert.same({ score, count }, { task:score(task:answered(outputs, piece), piece) })
        right, answers, from = right + score * count, answers + count, from + steps
        for row, length in ipairs(piece.lengths or {}) do
          assert.equal(math.min(steps, math.max(0, batch.lengths[row] - from + 1 + steps)), length)
        end
      end
      local score, count = task:score(y, batch)
      assert.equal(batch.inputs:size(1) + 1, from)
      assert.equal(count, answers)
      assert.near(score, right / answers, 1e-9)
    end)
  end
end)

describe("copying", function()
  it("asks for the symbols in their order, after a sign", function()
    local batch = tasks.copy({ lag = 3, length = 2, symbols = 4 }):batch(saros.generator(1), 20)
    local targets = rows_of(batch.targets)
    for row, steps in ipairs(rows_of(batch.inputs)) do
      assert.same(targets[row], { position_of_one(steps[1], 1, 4), position_of_one(steps[2], 1, 4) })
      for t = 3, 7 do
        assert.equal(t == 6 and 5 or nil, position_of_one(steps[t], 1, 5))
      end
    end
  end)

  it("has every symbol as often", function()
    local targets = tasks.copy({ lag = 0, symbols = 4 }):batch(saros.generator(1), 1000).targets
    for id = 1, 4 do
      assert.near(1 / 4, targets:eq(id):mean():item(), 0.02) -- 10000 draws: 4.6 deviations
    end
  end)
end)

describe("adding", function()
  it("asks for the sum of the two marked numbers, one in each half", function()
    local batch = tasks.adding({ length = 7 }):batch(saros.generator(1), 50)
    local sums = rows_of(batch.targets)
    for row, steps in ipairs(rows_of(batch.inputs)) do
      local marked, sum = {}, 0
      for t, step in ipairs(steps) do
        assert.is_true(step[1] >= 0 and step[1] < 1)
        if step[2] == 1 then
          marked[#marked + 1] = t <= 3 and "first half" or "second half"
          sum = sum + step[1]
        end
      end
      assert.same({ "first half", "second half" }, marked)
      assert.near(sum, sums[row][1][1], 1e-6)
    end
  end)

  it("marks every step as often, and is guessed as often as it says", function()
    local task = tasks.adding { length = 6 }
    local batch = task:batch(saros.generator(1), 10000)
    for _, share in ipairs(batch.inputs:select(3, 2):mean(2):totable()) do
      assert.near(1 / 3, share, 0.02)
    end
    assert.near(task.chance, task:score(saros.ones(1, 10000, 1), batch.targets), 0.015)
    assert.near(1 / 6, task:loss(saros.ones(1, 10000, 1), batch.targets):item(), 0.01)
  end)
end)

describe("recall", function()
  it("asks for the value that came with a key, and no key comes twice", function()
    local batch = tasks.recall({ pairs = 3, keys = 4, values = 5, lag = 2 }):batch(saros.generator(1), 50)
    local targets, asked = rows_of(batch.targets), {} -- by place
    for row, steps in ipairs(rows_of(batch.inputs)) do
      local value_of, place_of = {}, {}
      for t = 1, 3 do
        local key = position_of_one(steps[t], 1, 4)
        assert.is_nil(value_of[key])
        value_of[key], place_of[key] = position_of_one(steps[t], 5, 9), t
      end
      for t = 4, 5 do
        assert.is_nil(position_of_one(steps[t], 1, 9))
      end
      local key = position_of_one(steps[6], 1, 4)
      assert.is_nil(position_of_one(steps[6], 5, 9))
      assert.equal(value_of[key], targets[row][1])
      asked[place_of[key]] = true
    end
    assert.same({ true, true, true }, asked)
  end)
end)

describe("parity", function()
  it("counts the ones up to each step", function()
    for length = 1, 9 do
      local batch = tasks.parity({ length = length }):batch(saros.generator(length), 9)
      local targets = rows_of(batch.targets)
      for row, steps in ipairs(rows_of(batch.inputs)) do
        local odd, expected = 0, {}
        for t, step in ipairs(steps) do
          odd = step[1] == 1 and 1 - odd or odd
          expected[t] = odd + 1
        end
        assert.same(expected, targets[row])
      end
    end
  end)
end)

describe("shapes", function()
  -- The dark pixels of an image, as seen from the middle of the smallest box around them.
  local function dark_pixels(image)
    local list, left, right, top, bottom = {}, math.huge, 0, math.huge, 0
    for y, line in ipairs(image) do
      for x, value in ipairs(line) do
        if value ~= 0 then
          list[#list + 1] = { x, y }
          left, right, top, bottom = math.min(left, x), math.max(right, x), math.min(top, y), math.max(bottom, y)
        end
      end
    end
    for _, pixel in ipairs(list) do
      pixel[1], pixel[2] = math.abs(pixel[1] - (left + right) / 2), math.abs(pixel[2] - (top + bottom) / 2)
    end
    return list
  end

  local function spread(list, fn)
    local values, sum = {}, 0
    for n, pixel in ipairs(list) do
      values[n] = fn(pixel[1], pixel[2])
      sum = sum + values[n]
    end
    local squares = 0
    for _, value in ipairs(values) do
      squares = squares + (value - sum / #values) ^ 2
    end
    return math.sqrt(squares / #values)
  end

  -- The shape all of whose points are as far from its middle, in its own measure.
  local function geometry(image)
    local list = dark_pixels(image)
    local spreads = {
      circle = spread(list, function(x, y) return math.sqrt(x * x + y * y) end),
      square = spread(list, math.max),
      diamond = spread(list, function(x, y) return x + y end),
      cross = spread(list, math.min),
    }
    local best = "circle"
    for name, value in pairs(spreads) do
      best = value < spreads[best] and name or best
    end
    return best
  end

  it("are what their class says, each as often", function()
    local S, B = 24, 400
    local batch = tasks.shapes({ size = S, noise = 0 }):batch(saros.generator(3), B)
    local right, counts = 0, {}
    local images = batch.inputs:reshape(S * S, B):transpose():contiguous():reshape(B, S, S):totable()
    for row, class in ipairs(batch.targets[1]:totable()) do
      local name = tasks.shape_names[class]
      counts[name] = (counts[name] or 0) + 1
      right = right + (geometry(images[row]) == name and 1 or 0)
    end
    assert.is_true(right > 0.97 * B, right) -- a few coarse ones may look like another
    for _, name in ipairs(tasks.shape_names) do
      assert.near(B / 4, counts[name], 40) -- 4.6 deviations
    end
  end)

  it("have noise of the given size", function()
    local inputs = tasks.shapes({ noise = 0.3 }):batch(saros.generator(3), 50).inputs
    local light = inputs - inputs:gt(0.5) -- nearly
    assert.near(0.3, (light * light):mean():sqrt():item(), 0.06)
  end)
end)

describe("tasks", function()
  it("can be learned by what remembers", function()
    local task = tasks.copy { lag = 2, length = 2, symbols = 3 }
    local cell, head = nn.gru { task.inputs, 24 }, nn.linear { 24, task.outputs }
    local adam = optim.adam(nn.chain({ cell, head }):init({ seed = 1 }):parameters(), { lr = 2e-2 })
    local score
    for batch in task:batches { batch = 32 } do
      local tape <close> = saros.tape()
      local outputs = head(cell(batch.inputs):slice(1, -task.answers))
      tape:backward(task:loss(outputs, batch.targets))
      adam:step()
      score = task:score(outputs, batch.targets)
      if adam.steps == 200 then
        break
      end
    end
    assert.equal(1, score)
  end)

  it("smooth the labels of classes, where one counts, if told to", function()
    for _, task in ipairs { tasks.parity { length = 5 }, tasks.flip_flop { length = 10 } } do
      local generator = saros.generator(3)
      local batch = task:batch(generator, 4)
      local y = generator:normal { batch.inputs:size(1), 4, 2 }
      local smooth = saros.cross_entropy(y, batch.targets, { mask = batch.mask, label_smoothing = 0.2 }):item()
      assert.equal(smooth, task:loss(y, batch, { label_smoothing = 0.2 }):item())
      assert.not_equal(smooth, task:loss(y, batch):item())
      assert.near(smooth, task:loss(task:answered(y, batch), batch, { label_smoothing = 0.2 }):item(), 1e-6)
    end
  end)

  it("refuse what cannot be", function()
    for message, act in pairs {
      ["data.tasks.adding: expected option 'length' to be an integer, 2 or more, got 1"] = function()
        tasks.adding { length = 1 }
      end,
      ["data.tasks.recall: expected at least as many keys as pairs (9), got 4"] = function()
        tasks.recall { pairs = 9, keys = 4 }
      end,
      ["data.tasks.copy: expected option 'lag' to be a whole number, 0 or more, got -1"] = function()
        tasks.copy { lag = -1 }
      end,
      ["data.tasks.parity: expected option 'length' to be a positive integer, or a range { least, most } of "
        .. "them, got 0"] = function()
        tasks.parity { length = 0 }
      end,
      ["data.tasks.shapes: expected option 'size' to be an integer, 8 or more, got 7"] = function()
        tasks.shapes { size = 7 }
      end,
      ["task:batch: expected a generator and a positive integer, got 1 and 5"] = function()
        tasks.copy():batch(1, 5)
      end,
      ["task:batches: unknown option \"size\"; known: batch, seed"] = function()
        tasks.copy():batches { size = 3 }
      end,
    } do
      assert.error_matches(act, message, 1, true)
    end
  end)

  it("refuse batches, outputs and options that do not fit", function()
    for message, act in pairs {
      ["flip_flop: expected a batch with a mask, because only some of its targets count, got ids (4, 2)"] = function()
        local task = tasks.flip_flop { length = 4 }
        local batch = task:batch(saros.generator(1), 2)
        task:loss(saros.zeros(4, 2, 2), batch.targets)
      end,
      ["parity: expected a batch with a mask, because only some of its targets count, got one without"] = function()
        local task = tasks.parity { length = { 3, 4 } }
        local batch = task:batch(saros.generator(1), 2)
        task:score(saros.zeros(batch.targets:size(1), 2, 2), { targets = batch.targets })
      end,
      ["parity: expected a mask of shape (3, 2), got a tensor (2, 2)"] = function()
        local task = tasks.parity { length = 3 }
        local batch = task:batch(saros.generator(1), 2)
        batch.mask = saros.ones(2, 2)
        task:score(saros.zeros(3, 2, 2), batch)
      end,
      ["copy: expected a batch of the task, got \"targets\""] = function()
        tasks.copy():loss(saros.zeros(1, 1, 8), "targets")
      end,
      ["parity: expected features of shape (3, 2, H), got a tensor (2, 2, 5)"] = function()
        local task = tasks.parity { length = 3 }
        task:answered(saros.zeros(2, 2, 5), task:batch(saros.generator(1), 2))
      end,
      ["task:pieces: expected a positive integer as argument 2, got 0"] = function()
        local task = tasks.parity { length = 3 }
        task:pieces(task:batch(saros.generator(1), 2), 0)
      end,
      ["task:loss: expected option 'label_smoothing' to be a number in [0, 1), got 1"] = function()
        local task = tasks.parity { length = 3 }
        task:loss(saros.zeros(3, 2, 2), task:batch(saros.generator(1), 2), { label_smoothing = 1 })
      end,
      ["copy: expected outputs of shape (2, 1, 8), got a tensor (1, 1, 8)"] = function()
        tasks.copy():score(saros.zeros(1, 1, 8), saros.ids { { 1 }, { 1 } })
      end,
    } do
      assert.error_matches(act, message, 1, true)
    end
  end)
end)
