-- Tasks of tokens: answers against plain Lua, automata against both, and how often things occur.

local saros = require "saros"
local tasks = saros.data.tasks

-- Rows of a batch: { inputs, targets, mask }, lists without padding.
local function rows_of(task, seed, B)
  local batch = task:batch(saros.generator(seed), B)
  local function lists(tensor)
    return tensor and tensor:transpose(1, 2):contiguous():totable()
  end
  local inputs, targets, mask, rows = lists(batch.inputs), lists(batch.targets), lists(batch.mask), {}
  for row = 1, B do
    local length = batch.lengths and batch.lengths[row] or #inputs[row]
    for t = length + 1, #inputs[row] do
      assert.same({ 1, 0 }, { inputs[row][t], mask[row][t] })
    end
    rows[row] = {
      inputs = table.move(inputs[row], 1, length, 1, {}),
      targets = table.move(targets[row], 1, #targets[row], 1, {}),
      mask = mask and table.move(mask[row], 1, length, 1, {}),
    }
  end
  return rows
end

-- The answers of a row by step, nil where none is asked.
local function answers_of(row)
  local answers, T, A = {}, #row.inputs, #row.targets
  for t = 1, T do
    local n = row.mask and t or t - T + A
    answers[t] = (not row.mask or row.mask[t] == 1) and row.targets[n] or nil
  end
  return answers
end

describe("parity of tokens", function()
  it("is that of features", function()
    for _, length in ipairs { 9, { 3, 12 } } do
      local ids = tasks.parity({ length = length, tokens = true }):batch(saros.generator(1), 20)
      local features = tasks.parity({ length = length }):batch(saros.generator(1), 20)
      local mask = features.mask and features.mask:reshape(features.mask:size(1), 20, 1) or 1
      assert.same(((saros.tensor(ids.inputs):reshape(features.inputs:shape()) - 1) * mask):totable(),
        (features.inputs * mask):totable())
      assert.same(ids.targets:totable(), features.targets:totable())
    end
  end)

  it("is asked for at the end alone if told so, whatever the length", function()
    for _, length in ipairs { 9, { 3, 12 } } do
      for _, row in ipairs(rows_of(tasks.parity { length = length, tokens = true, every = false }, 1, 20)) do
        local ones = 0
        for _, token in ipairs(row.inputs) do
          ones = ones + token - 1
        end
        assert.same({ [#row.inputs] = 1 + ones % 2 }, answers_of(row))
      end
    end
  end)
end)

describe("a counter", function()
  it("adds up tokens", function()
    for m = 2, 7 do
      for _, row in ipairs(rows_of(tasks.counter { modulus = m, length = { 1, 20 } }, m, 10)) do
        local sum, expected = 0, {}
        for t, token in ipairs(row.inputs) do
          sum = sum + token - 1
          expected[t] = 1 + sum % m
        end
        assert.same(expected, answers_of(row))
      end
    end
  end)
end)

describe("words of groups", function()
  -- Whether points are all different, and the parity of n - cycles.
  local function examine(points)
    local seen, cycles = {}, 0
    for _, point in ipairs(points) do
      if seen[point] then
        return false
      end
      seen[point] = true
    end
    seen = {}
    for start = 1, #points do
      cycles = cycles + (seen[start] and 0 or 1)
      local at = start
      while not seen[at] do
        seen[at], at = true, points[at]
      end
    end
    return true, (#points - cycles) % 2 == 0
  end

  -- Elements in order: of all lists of n digits, in numeric order, those that are permutations.
  local function elements(n, only_even)
    local list = {}
    for number = 0, math.tointeger(n ^ n) - 1 do
      local points, rest = {}, number
      for place = n, 1, -1 do
        points[place], rest = rest % n + 1, rest // n
      end
      local is_permutation, is_even = examine(points)
      if is_permutation and (is_even or not only_even) then
        list[#list + 1] = points
      end
    end
    return list
  end

  local SIZES = { S3 = 6, S4 = 24, S5 = 120, A4 = 12, A5 = 60 }
  for name, size in pairs(SIZES) do
    it("multiply permutations, one after the other (" .. name .. ")", function()
      local n = tonumber(name:sub(2))
      local list = elements(n, name:sub(1, 1) == "A")
      assert.equal(size, #list)
      local task = tasks.group_words { group = name, length = { 5, 12 } }
      assert.same({ size, size }, { task.tokens, task.outputs })
      for _, row in ipairs(rows_of(task, 3, 10)) do
        local answers = answers_of(row)
        for point = 1, n do
          local at = point
          for t, token in ipairs(row.inputs) do
            at = list[token][at]
            assert.equal(list[answers[t]][point], at)
          end
        end
      end
    end)
  end
end)

describe("a flip-flop", function()
  local SIGNS = { "w", "r", "i", "0", "1" }

  it("is asked at reads for the bit that was written last", function()
    for _, row in ipairs(rows_of(tasks.flip_flop { length = { 4, 60 }, ignore = 0.5 }, 2, 50)) do
      local written, expected = nil, {}
      for t = 1, #row.inputs, 2 do
        local sign, bit = SIGNS[row.inputs[t]], SIGNS[row.inputs[t + 1]]
        assert.matches("^[wri]$", sign)
        assert.matches("^[01]$", bit)
        if sign == "w" then
          written = bit
        elseif sign == "r" then
          assert.equal(written, bit)
          expected[t] = 1 + tonumber(bit)
        end
      end
      assert.equal(1, row.inputs[1])
      assert.equal(2, row.inputs[#row.inputs - 1])
      assert.same(expected, answers_of(row))
    end
  end)

  it("ignores as often as told, and else writes or reads", function()
    local inputs = tasks.flip_flop({ length = 402, ignore = 0.7 }):batch(saros.generator(1), 100).inputs
    local instructions = inputs:slice(1, 3, 400, 2)
    for id, share in ipairs { 0.15, 0.15, 0.7 } do
      assert.near(share, instructions:eq(id):mean():item(), 0.012) -- 19900 draws: 3.7 deviations or more
    end
    assert.near(1 / 2, inputs:slice(1, 2, 402, 2):eq(4):mean():item(), 0.015)
  end)
end)

describe("brackets", function()
  for kinds = 1, 3 do
    it("match, up to a depth (" .. kinds .. ")", function()
      local deepest, depth = 0, 3
      for _, row in ipairs(rows_of(tasks.brackets { kinds = kinds, depth = depth, length = { 5, 40 } }, kinds, 50)) do
        local open, expected = {}, {}
        for t, token in ipairs(row.inputs) do
          if token <= kinds then
            open[#open + 1] = token
          else
            assert.equal(open[#open], token - kinds)
            open[#open] = nil
          end
          deepest = math.max(deepest, #open)
          expected[t] = 1 + (kinds == 1 and #open or open[#open] or 0)
        end
        assert.same(expected, answers_of(row))
      end
      assert.equal(depth, deepest)
    end)
  end

  it("go 8 deep with one kind, 4 with several, unless told", function()
    assert.equal(9, tasks.brackets().outputs)
    local state, reference = "", tasks.brackets({ kinds = 2 }).reference
    for _ = 1, 4 do
      assert.is_true(reference.allowed(state)[1] <= 2)
      state = reference.step(state, 1)
    end
    assert.same({ 3 }, reference.allowed(state))
  end)
end)

describe("arithmetic", function()
  -- Tokens from..to as text for Lua.
  local function text(tokens, m, from, to)
    local words, signs = {}, "+-*=()"
    for t = from, to do
      local token = tokens[t]
      words[#words + 1] = token <= m and tostring(token - 1) or signs:sub(token - m, token - m)
    end
    return table.concat(words, " ")
  end

  local function value(expression, m)
    return assert(load("return (" .. expression .. ") % " .. m), expression)()
  end

  for _, case in ipairs {
    { length = 24 }, { length = { 3, 25 }, modulus = 3 }, { length = { 2, 12 }, operators = "-*" },
    { brackets = true, length = 41 }, { brackets = true, length = { 2, 40 } },
    { brackets = true, length = { 5, 20 }, operators = "+-*", modulus = 4 },
  } do
    it("asks for the value of the expression (" .. tostring(tasks.arithmetic(case)) .. ")", function()
      local m, seen = case.modulus or 5, {}
      for _, row in ipairs(rows_of(tasks.arithmetic(case), 1, 50)) do
        local expression = text(row.inputs, m, 1, #row.inputs - 1)
        assert.equal(m + 4, row.inputs[#row.inputs])
        assert.same({ [#row.inputs] = 1 + value(expression, m) }, answers_of(row))
        for sign in expression:gmatch "[-+*(]" do
          seen[sign] = true
        end
      end
      local operators = case.operators or (case.brackets and "+-" or "+-*")
      for sign in ("+-*("):gmatch "." do
        assert.equal(operators:find(sign, 1, true) ~= nil or sign == "(" and case.brackets or nil, seen[sign])
      end
    end)
  end

  it("asks at every number for the value so far, if told so", function()
    for _, row in ipairs(rows_of(tasks.arithmetic { length = { 4, 16 }, every = true }, 1, 30)) do
      local expected = {}
      for t = 1, #row.inputs, 2 do
        expected[t] = 1 + value(text(row.inputs, 5, 1, t), 5)
      end
      expected[#row.inputs] = expected[#row.inputs - 1]
      assert.same(expected, answers_of(row))
    end
  end)
end)

describe("recall of many queries", function()
  for _, noise in ipairs { false, true } do
    it("asks once for each key, and for the value that came with it, " .. (noise and "with noise" or ""), function()
      local P, V = 5, 30
      local task = tasks.multi_query_recall { length = 40, pairs = P, tokens = V, noise = noise }
      local others = {}
      for _, row in ipairs(rows_of(task, 1, 50)) do
        local value_of, values, asked, answers = {}, {}, {}, answers_of(row)
        for n = 1, 2 * P, 2 do
          local key, value = row.inputs[n], row.inputs[n + 1]
          assert.is_true(key > 1 and key <= V / 2 and value > V / 2 and value <= V)
          assert.is_nil(value_of[key] or values[value])
          value_of[key], values[value] = value, true
          assert.is_nil(answers[n] or answers[n + 1])
        end
        for t = 2 * P + 1, 40 do
          if answers[t] then
            local key = row.inputs[t]
            assert.equal(1, t % 2)
            assert.equal(value_of[key], answers[t])
            assert.is_nil(asked[key])
            asked[key] = t
          else
            others[row.inputs[t]] = true
          end
        end
        for key in pairs(value_of) do
          assert.is_true(asked[key] ~= nil)
        end
      end
      others[1] = nil
      assert.equal(noise, next(others) ~= nil)
    end)
  end

  it("asks at early places more often, by the power law, or evenly", function()
    local function shares(power)
      local task = tasks.multi_query_recall { length = 12, pairs = 1, tokens = 8, power = power }
      local mask = task:batch(saros.generator(1), 20000).mask
      return mask:slice(1, 3, 12, 2):mean(2):totable()
    end
    local sum, weights = 0, {}
    for n = 1, 5 do
      weights[n] = n ^ (0.5 - 1)
      sum = sum + weights[n]
    end
    for n, share in ipairs(shares(0.5)) do
      assert.near(weights[n] / sum, share, 0.015) -- 4 deviations
    end
    for _, share in ipairs(shares(1)) do
      assert.near(1 / 5, share, 0.012)
    end
  end)

  it("fills every place where there are as many keys as places", function()
    local batch = tasks.multi_query_recall({ length = 16, pairs = 4, tokens = 10 }):batch(saros.generator(1), 9)
    assert.same({ 8, 9 }, batch.mask:slice(1, 9, 16):shape())
    assert.equal(4 * 9, batch.mask:slice(1, 9, 16, 2):sum():item())
  end)
end)

describe("selective copying", function()
  it("asks for the symbols among the noise, in their order", function()
    local places = {}
    for _, row in ipairs(rows_of(tasks.selective_copy { length = 9, count = 3, tokens = 6 }, 1, 200)) do
      local symbols = {}
      for t = 1, 9 do
        local token = row.inputs[t]
        if token ~= 1 then
          assert.is_true(token > 1 and token < 6)
          symbols[#symbols + 1] = token
          places[t] = (places[t] or 0) + 1
        end
      end
      assert.same({ 6, 6, 6 }, table.move(row.inputs, 10, 12, 1, {}))
      assert.same(symbols, row.targets)
    end
    for t = 1, 9 do
      assert.near(200 / 3, places[t], 30) -- 4.5 deviations
    end
  end)
end)

local FINITE = {
  tasks.parity { length = 9, tokens = true }, tasks.counter { modulus = 4 }, tasks.group_words { group = "S5" },
  tasks.group_words { group = "A5", length = { 3, 6 } }, tasks.flip_flop { length = { 4, 40 } }, tasks.brackets(),
  tasks.brackets { kinds = 2 }, tasks.arithmetic(), tasks.arithmetic { length = { 3, 30 }, modulus = 4, every = true },
}

describe("an automaton", function()
  for _, task in ipairs(FINITE) do
    it("allows the words of its task and gives its answers (" .. tostring(task) .. ")", function()
      local reference = task.reference
      assert.same({ task.tokens, task.outputs }, { reference.tokens, reference.answers })
      for _, row in ipairs(rows_of(task, 5, 20)) do
        local state, answers = reference.start, {}
        for t, token in ipairs(row.inputs) do
          local allowed = reference.allowed and saros.ids(reference.allowed(state)):eq(token):sum():item()
          assert.equal(reference.allowed and 1 or nil, allowed)
          state, answers[t] = reference.step(state, token)
        end
        assert.same(answers_of(row), answers)
      end
    end)
  end

  -- The states that words reach, and the answers that they give.
  local function explore(reference)
    local list, known, answers, all = { reference.start }, { [reference.start] = true }, {}, {}
    for token = 1, reference.tokens do
      all[token] = token
    end
    for _, state in ipairs(list) do
      for _, token in ipairs(reference.allowed and reference.allowed(state) or all) do
        local after, answer = reference.step(state, token)
        answers[answer or 0] = true
        if not known[after] then
          known[after], list[#list + 1] = true, after
        end
      end
    end
    answers[0] = nil
    return #list, answers
  end

  it("has finitely many states, and every class occurs", function()
    for n, size in ipairs { 2, 4, 120, 60, 8, 9, 31, 51, 33 } do
      local states, answers = explore(FINITE[n].reference)
      assert.equal(size, states, tostring(FINITE[n]))
      for class = 1, FINITE[n].outputs do
        assert.is_true(answers[class])
      end
    end
  end)

  it("is none where there is no finite one", function()
    assert.is_nil(tasks.arithmetic({ brackets = true }).reference)
    assert.is_nil(tasks.multi_query_recall().reference)
  end)
end)

describe("chance", function()
  for _, task in ipairs {
    tasks.counter { modulus = 5 }, tasks.group_words { group = "S4" }, tasks.flip_flop { length = 100 },
    tasks.parity { every = false }, tasks.arithmetic { operators = "+-" }, tasks.arithmetic { brackets = true },
    tasks.multi_query_recall { tokens = 20 }, tasks.selective_copy { length = 20, tokens = 8 },
  } do
    it("is the share of each possible answer (" .. tostring(task) .. ")", function()
      local batch = task:batch(saros.generator(6), 2000)
      local mask = batch.mask or 1 + batch.targets:eq(0)
      local last = task.outputs == task.tokens and task.tokens - 1 or task.outputs -- a value, or a symbol
      local share, deviation = (batch.targets:eq(last) * mask):sum():item() / mask:sum():item(),
        math.sqrt(task.chance * (1 - task.chance) / 2000)
      assert.near(task.chance, share, 4 * deviation)
    end)
  end
end)

describe("the length of a task", function()
  it("is drawn evenly for each row, of the multiples that make sense", function()
    local counts = {}
    for _, length in ipairs(tasks.arithmetic({ length = { 3, 8 } }):batch(saros.generator(1), 3000).lengths) do
      counts[length] = (counts[length] or 0) + 1
    end
    for _, length in ipairs { 4, 6, 8 } do
      assert.near(1000, counts[length], 100)
      counts[length] = nil
    end
    assert.same({}, counts)
  end)

  it("changes nothing else, so a net of short sequences can be asked about long ones", function()
    for _, name in ipairs { "parity", "counter", "group_words", "flip_flop", "brackets", "arithmetic" } do
      local short, long = tasks[name] { length = { 4, 10 } }, tasks[name] { length = 200 }
      assert.same({ short.inputs, short.tokens, short.outputs }, { long.inputs, long.tokens, long.outputs })
      assert.equal(200, long.length)
      assert.same({ 4, 10 }, short.lengths)
    end
  end)
end)

describe("tasks of tokens", function()
  it("take outputs of all answers or of all steps, and no other number of rows", function()
    local task = tasks.flip_flop { length = 40 }
    local batch = task:batch(saros.generator(1), 1)
    local y = saros.generator(2):normal { 40, 1, 2 }
    local answers = task:answered(y, batch)
    assert.near(task:loss(y, batch):item(), task:loss(answers, batch):item(), 1e-6)
    for _, judge in ipairs { task.loss, task.score } do
      assert.error_matches(function() judge(task, y:reshape(40, 2), batch) end,
        "flip_flop: expected outputs of shape %(%d+, 2%), got a tensor %(40, 2%)", 1)
    end
  end)

  it("refuse what cannot be", function()
    for message, act in pairs {
      ["data.tasks.counter: expected option 'length' to be a positive integer, or a range { least, most } of them, "
        .. "got a table"] = function() tasks.counter { length = { 9, 3 } } end,
      ["data.tasks.flip_flop: expected option 'length' to be an integer, 4 or more and a multiple of 2, or a range "
        .. "{ least, most } with one in it, got 7"] = function() tasks.flip_flop { length = 7 } end,
      ["data.tasks.flip_flop: expected option 'ignore' to be a number in (0, 1], got 2"] = function()
        tasks.flip_flop { ignore = 2 }
      end,
      ["data.tasks.arithmetic: expected option 'length' to be an integer, 2 or more and a multiple of 2, or a range "
        .. "{ least, most } with one in it, got 5"] = function() tasks.arithmetic { length = 5 } end,
      ["data.tasks.arithmetic: expected option 'operators' to be some of \"+-*\", got \"+/\""] = function()
        tasks.arithmetic { operators = "+/" }
      end,
      ["data.tasks.arithmetic: expected every = false with brackets"] = function()
        tasks.arithmetic { brackets = true, every = true }
      end,
      ["data.tasks.brackets: expected option 'kinds' to be an integer in 1..9, got 10"] = function()
        tasks.brackets { kinds = 10 }
      end,
      ["data.tasks.group_words: expected option 'group' to be \"S3\" or \"S4\" or \"S5\" or \"A4\" or \"A5\", "
        .. "got \"S6\""] = function() tasks.group_words { group = "S6" } end,
      ["data.tasks.multi_query_recall: expected a length of 4 steps a pair at least (32), got 30"] = function()
        tasks.multi_query_recall { length = 30, pairs = 8 }
      end,
      ["data.tasks.multi_query_recall: expected an even length, got 31"] = function()
        tasks.multi_query_recall { length = 31 }
      end,
      ["data.tasks.multi_query_recall: expected more than 8 tokens, half of which are keys but for one, got 8"] =
        function() tasks.multi_query_recall { tokens = 8 } end,
      ["data.tasks.selective_copy: expected at least as many steps as symbols (16), got 10"] = function()
        tasks.selective_copy { length = 10 }
      end,
    } do
      assert.error_matches(act, message, 1, true)
    end
  end)
end)
