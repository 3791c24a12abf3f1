local saros = require "saros"
local nn, data = saros.nn, saros.data

local V, STOP = 3, 3

-- A step function whose distribution depends on all that was written: a small
-- random recurrent network.
local function random_step(seed, sharpness)
  local embed = nn.embedding { V + 1, 6 }:init { seed = seed }
  local net = nn.rnn { 6, 8 }:init { seed = seed + 1 }
  local head = nn.linear { 8, V }:init { seed = seed + 2 }
  return function(ids, state)
    local y, after = net(embed(ids:reshape(1, -1)), state)
    return saros.log_softmax(head(y[1]) * (sharpness or 4)), after
  end
end

local FIRST = V + 1

local function text_of(ids)
  return table.concat(ids, " ")
end

-- Every sequence of at most max_length symbols, with its log-probability,
-- ranked by score.
local function exhaustive(step, max_length, length_penalty, stop)
  local all = {}
  local function add(ids, log_probability, length)
    all[#all + 1] = {
      ids = ids,
      log_probability = log_probability,
      score = log_probability / ((5 + length) / 6) ^ length_penalty,
    }
  end
  local function grow(ids, state, log_probability)
    local logs, after = step(saros.ids { ids[#ids] or FIRST }, state)
    for id = 1, V do
      local total = log_probability + logs[1][id]
      local longer = table.move(ids, 1, #ids, 1, {})
      longer[#longer + 1] = id
      if id == stop then
        add(ids, total, #longer)
      elseif #longer == max_length and not stop then
        add(longer, total, #longer)
      elseif #ids < max_length then
        grow(longer, after, total)
      end
    end
  end
  grow({}, nil, 0)
  table.sort(all, function(a, b)
    return a.score > b.score
  end)
  return all
end

local function greedy(step, max_length)
  local ids, state, total = {}, nil, 0
  while true do
    local logs
    logs, state = step(saros.ids { ids[#ids] or FIRST }, state)
    local id = #ids < max_length and logs[1]:argmax():item() or STOP
    total = total + logs[1][id]
    if id == STOP then
      return ids, total
    end
    ids[#ids + 1] = id
  end
end

describe("a beam search", function()
  for _, stop in ipairs { STOP, false } do
    it(("finds what a search of all sequences finds (%s)"):format(stop and "with a stop" or "without"), function()
      for seed = 1, 10 do
        for _, length_penalty in ipairs { 0, 0.6, 2 } do
          local step = random_step(seed)
          local expected = exhaustive(step, 4, length_penalty, stop or nil)
          local found = saros.beam_search(step, nil, {
            first = FIRST, stop = stop or nil, beam = 200, best = 8,
            length_penalty = length_penalty, max_length = 4,
          })
          assert.equal(8, #found)
          for rank, sequence in ipairs(found) do
            assert.equal(text_of(expected[rank].ids), text_of(sequence.ids))
            assert.near(expected[rank].log_probability, sequence.log_probability, 1e-4)
            assert.near(expected[rank].score, sequence.score, 1e-4)
          end
        end
      end
    end)
  end

  it("with a beam of 1 is greedy, whatever the length penalty", function()
    for seed = 1, 20 do
      local step = random_step(seed, 1)
      local ids, log_probability = greedy(step, 6)
      for _, length_penalty in ipairs { 0, 0.6, 5 } do
        local found = saros.beam_search(step, nil, {
          first = FIRST, stop = STOP, beam = 1, length_penalty = length_penalty, max_length = 6,
        })
        assert.equal(text_of(ids), text_of(found[1].ids))
        assert.near(log_probability, found[1].log_probability, 1e-4)
      end
    end
  end)

  it("gives the rows of a state to the beginnings that they belong to", function()
    -- The state is the number of ids so far and their sum, one row for each.
    local function step(ids, state)
      local rows = #ids
      state = state or { saros.zeros(rows, 2) }
      local values = saros.one_hot(ids, FIRST):matmul(saros.tensor { { 1 }, { 5 }, { 0 }, { 0 } })
      local after = { state[1] + (saros.ones(rows, 1) .. values) }
      -- An odd sum makes 2 likelier, an even one 1; ends after four steps.
      local logs = {}
      for row = 1, rows do
        local count, sum = after[1][row][1], after[1][row][2]
        local odd = sum % 2 == 1
        logs[row] = count > 4 and { -50, -50, 0 } or { odd and -2 or -0.2, odd and -0.2 or -2, -50 }
      end
      return saros.tensor(logs), after
    end
    local found = saros.beam_search(step, nil, { first = FIRST, stop = STOP, beam = 8, best = 3 })
    assert.equal("1 2 1 2", text_of(found[1].ids))
    assert.near(-0.8, found[1].log_probability, 1e-4)
    assert.near(-2.6, found[2].log_probability, 1e-4)
    assert.near(-2.6, found[3].log_probability, 1e-4)
  end)

  it("ends as soon as nothing better can come, and not before", function()
    local steps
    local function counted(ends)
      steps = 0
      return function(ids)
        steps = steps + 1
        local rows = {}
        for row = 1, #ids do
          rows[row] = { math.log(0.01), math.log(0.99 - ends), math.log(ends + 1e-9) }
        end
        return saros.tensor(rows), {}
      end
    end
    saros.beam_search(counted(0.9), {}, { first = 1, stop = STOP, beam = 4, max_length = 50 })
    assert.equal(1, steps)
    -- What goes on is much longer than what ended: the penalty may still favour it.
    local found = saros.beam_search(counted(0.45), {}, {
      first = 1, stop = STOP, beam = 4, max_length = 20, length_penalty = 1,
    })
    assert.is_true(steps > 1)
    assert.equal("", text_of(found[1].ids))
  end)

  it("never takes what is impossible, and may find nothing", function()
    local function step(ids)
      return saros.full({ #ids, 2 }, 0):add(saros.tensor { -math.huge, -1 }), nil
    end
    local found = saros.beam_search(step, nil, { first = 1, beam = 3, best = 3, max_length = 4 })
    assert.equal(1, #found)
    assert.equal("2 2 2 2", text_of(found[1].ids))
    assert.same({}, saros.beam_search(step, nil, { first = 1, stop = 1, beam = 3, max_length = 4 }))
  end)

  it("refuses what makes no sense", function()
    local step = random_step(1)
    local function search(given)
      return function() saros.beam_search(step, nil, given) end
    end
    assert.error_matches(search {}, "expected option 'first'")
    assert.error_matches(search { first = FIRST, beam = 2, best = 3 }, "at most beam = 2, got 3")
    assert.error_matches(search { first = FIRST, length_penalty = -1 }, "0 or more, got %-1")
    assert.error_matches(search { first = FIRST, width = 3 }, 'unknown option "width"')
    assert.error_matches(function()
      saros.beam_search(function() return saros.zeros(2, 3) end, nil, { first = 1 })
    end, "expected step to return log-probabilities of shape (1, V), got a tensor (2, 3)", 1, true)
  end)
end)

describe("the likeliest text", function()
  local text = data.text({ string = ("the quick brown fox.\n"):rep(20) }, { valid = 0 })
  local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 32, layers = 1, seed = 1 }
  saros.fit(lm, text, { epochs = 40, batch = 4, length = 15, lr = 1e-2 })

  it("goes on from a prime until a symbol that ends it", function()
    local found = lm:beam({ prime = "the q", stop = "\n", beam = 4, best = 2 })
    assert.equal("uick brown fox.", found[1].text)
    assert.is_true(found[1].log_probability > found[2].log_probability)
    assert.equal("he qu", lm:beam({ prime = "t", length = 5 })[1].text)
  end)

  it("has the probability that the model gives it", function()
    local found = lm:beam({ prime = "the", length = 3 })[1]
    local ids = lm.vocabulary:encode("the" .. found.text)
    local logs = saros.log_softmax((lm(saros.ids(ids):reshape(-1, 1))))
    local total = 0
    for position = 3, 5 do
      total = total + logs[position][1][ids[position + 1]]
    end
    assert.near(total, found.log_probability, 1e-4)
  end)

  it("refuses what makes no sense", function()
    assert.error_matches(function() lm:beam({ prime = "" }) end, "some text as prime")
    assert.error_matches(function() lm:beam({ prime = "the", stop = "fox" }) end,
      'one symbol of the vocabulary, got "fox"')
    assert.error_matches(function() lm:beam({ prime = "the", beams = 2 }) end, 'unknown option "beams"')
  end)
end)
