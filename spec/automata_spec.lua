-- Nets of finite states: learned from a reference, proved, pruned, and written as tables.

require "spec.support.values"
local c = require "spec.support.c_files"
local files = require "spec.support.files"
local saros = require "saros"
local automata, nn, tasks = saros.automata, saros.nn, saros.data.tasks

-- Sums of bits, modulo m. The answer is the sum, modulo the number of answers, or what `change` says.
local function counter(m, answers, change)
  return { tokens = 2, answers = answers or m, start = 0, step = function(sum, token)
    sum = (sum + token - 1) % m
    return sum, change and change(sum) or sum % (answers or m) + 1
  end }
end

-- The last of tokens 1 and 2, asked for by token 3; token 4 does nothing.
local MEMORY = { tokens = 4, answers = 2, start = "1", step = function(bit, token)
  return token <= 2 and tostring(token) or bit, token == 3 and tonumber(bit) or nil
end }

local CASES = {
  ["parity"] = { counter(2), { heads = 4, states = 4 }, states = 2 },
  ["sums modulo 3"] = { tasks.counter { modulus = 3 }, {}, states = 3 },
  ["S3, all pointers"] = { tasks.group_words { group = "S3" }, { heads = 6, states = 4, pointers = "all" },
    states = 6 },
  ["a bit, asked for at times"] = { MEMORY, { heads = 4, states = 4 } },
  ["brackets to depth 3"] = { tasks.brackets { depth = 3 }, { heads = 4, states = 8 }, states = 4 },
  ["two kinds of bracket, by two layers"] = { tasks.brackets { kinds = 2, depth = 2 },
    { heads = 1, second = { heads = 8, states = 4 } }, states = 7 },
  ["parity, from a soft start"] = { counter(2), { heads = 4, states = 4, start = "soft", length = 20 }, states = 2 },
}

local parity = automata.learn(counter(2), { heads = 4, states = 4 })
local s3 = automata.learn(tasks.group_words { group = "S3" }, { heads = 6, states = 4, pointers = "all" })

-- A random word that a reference allows, and its answers; false where none is asked.
local function word_of(given, seed, length)
  local reference, generator = given.reference or given, saros.generator(seed)
  local word, answers, state = {}, {}, reference.start
  for t = 1, length do
    local list = reference.allowed and reference.allowed(state)
    word[t] = list and list[generator:integer(#list)] or generator:integer(reference.tokens)
    local after, answer = reference.step(state, word[t])
    state, answers[t] = after, answer or false
  end
  return word, answers
end

local function column(word)
  return saros.ids(word):reshape(#word, 1)
end

-- Answers of a net to a word, as a list.
local function said(model, word)
  return model(column(word)):argmax(-1):reshape(#word):totable()
end

local function where_asked(list, answers)
  local kept = {}
  for t, answer in ipairs(answers) do
    kept[t] = answer and list[t] or false
  end
  return kept
end

describe("a net of finite states", function()
  for title, case in pairs(CASES) do
    it("learns " .. title .. " and is proved right at every length", function()
      local reference, o = case[1], case[2]
      local model, proof, facts = automata.learn(reference, o)
      assert.is_true(proof.proved, tostring(proof))
      assert.is_true(proof.closed and proof.margin > 5 and proof.states > 1 and proof.depth >= 1)
      assert.matches("^proved: %d+ states, depth %d+, smallest margin %d", tostring(proof))
      assert.is_true(facts.updates > 0 and facts.seconds > 0)
      local word, answers = word_of(reference, 1, 3000)
      assert.same(answers, where_asked(said(model, word), answers))
      local automaton = model:automaton { reference = reference }
      assert.same(answers, where_asked(automaton:run(word), answers))
      assert.equal(case.states or #automaton.next, #automaton.next)
    end)
  end

  it("learns the same bits from the same options", function()
    local function digests(seed)
      local model = automata.learn(counter(2), { heads = 4, states = 4, seed = seed })
      return { model.finite.weight:digest(), model.head.weight:digest() }
    end
    assert.same(digests(2), digests(2))
    assert.is_not.same(digests(2), digests(3))
  end)

  it("says the same in a session, in one of 8 bits, from a file and as C", function()
    local word, answers = word_of(tasks.group_words { group = "S3" }, 2, 500)
    assert.same(answers, said(s3, word))
    local loaded = files.reloaded(s3)
    assert.same(answers, said(loaded, word))
    assert.is_true(loaded:prove(tasks.group_words { group = "S3" }).proved)
    for _, weights in ipairs { "real", "bf16", "int8" } do
      local session, told = s3:session { weights = weights }, {}
      for t, token in ipairs(word) do
        told[t] = session:step(token):argmax(-1):item()
      end
      assert.same(answers, told)
    end
    c.assert_well(s3)
    c.assert_well(s3, { weights = "int8" })
  end)

  it("of two layers says the same in a session, from a file and as C", function()
    local task = tasks.brackets { kinds = 2, depth = 1 }
    local model = automata.learn(task, { heads = 1, states = 4, second = { heads = 4, states = 3 }, length = 10 })
    local loaded, word = files.reloaded(model), word_of(task, 3, 200)
    assert.is_true(model:prove(task).proved)
    assert.same(said(model, word), said(loaded, word))
    assert.equal(tostring(model:prove(task)), tostring(loaded:prove(task)))
    local session, told = loaded:session(), {}
    for t, token in ipairs(word) do
      told[t] = session:step(token):argmax(-1):item()
    end
    assert.same(said(model, word), told)
    assert.is_truthy(tostring(model):find("4 tokens -> 4, 1 head of 4 states, one pointer; finite 8 -> 12", 1, true))
    c.assert_well(model)
  end)

  it("is hard in the file after a soft start", function()
    local model = automata.model { tokens = 2, answers = 2, start = "soft" }
    assert.is_true(files.reloaded(model).finite.is_soft)
    assert.is_false(files.reloaded(model:harden()).finite.is_soft)
  end)

  it("goes on learning when it is loaded", function()
    local loaded = files.reloaded(parity)
    local before = loaded.finite.weight:digest()
    automata.polish(loaded, counter(2), { updates = 3, length = 5 })
    assert.not_equal(before, loaded.finite.weight:digest())
  end)

  it("keeps zeros behind the ends of rows, and states where it was cut", function()
    local ids = saros.ids { { 1, 2 }, { 2, 2 }, { 2, 1 } }
    local y = parity(ids, nil, { lengths = { 2, 3 } })
    assert.equal(0, y[3][1]:abs():max():item())
    local _, state = parity(ids:slice(1, 1, 2))
    assert.same_values(parity(ids)[3], parity(ids:slice(1, 3, 3), state)[1], 0)
  end)
end)

describe("a proof", function()
  it("is refuted by a shortest word", function()
    local wrong = counter(4, 2, function(sum) return sum == 3 and 1 or sum % 2 + 1 end)
    local proof = parity:prove(wrong)
    assert.is_false(proof.proved)
    assert.is_true(proof.closed)
    assert.same({ { 2, 2, 2 }, 1, 2 }, { proof.word, proof.expected, proof.got })
    assert.equal("wrong after 2 2 2: expected 1, got 2", tostring(proof))
  end)

  it("finds the state in which two answers would have to be right", function()
    -- After an even number of twos the net is where it was, but the reference asks otherwise.
    local proof = parity:prove(counter(4, 2, function(sum) return sum == 2 and 2 or sum % 2 + 1 end))
    assert.same({ 2, 2 }, proof.word)
    assert.equal(2, proof.expected)
    assert.equal(1, proof.got)
  end)

  it("stays open where there are more states than it may see", function()
    local proof = parity:prove(counter(64, 2), { limit = 10 })
    assert.same({ false, false }, { proof.proved, proof.closed })
    assert.equal("not decided: more than 10 pairs of states (option limit)", tostring(proof))
    assert.is_true(parity:prove(counter(64, 2)).proved)
  end)

  it("refuses what does not fit", function()
    local soft = automata.model { tokens = 2, answers = 2, start = "soft" }
    for message, fn in pairs {
      ["prove: expected a net of hard states, got one that is soft"] = function() soft:prove(counter(2)) end,
      ["automaton: expected a net of hard states, got one that is soft"] = function() soft:automaton() end,
      ["prove: expected a reference of 2 tokens and 2 answers, got one of 2 and 3"] = function()
        parity:prove(counter(3))
      end,
      ["learn: expected a reference { tokens, answers, start, step }, or a task that has one"] = function()
        automata.learn(tasks.copy { lag = 3 })
      end,
      ["prove: expected answers of the reference in 1..2, got 7"] = function()
        parity:prove { tokens = 2, answers = 2, start = 1, step = function() return 1, 7 end }
      end,
      ["prove: expected states of the reference that are numbers or strings, got a table"] = function()
        parity:prove { tokens = 2, answers = 2, start = 1, step = function() return {}, 1 end }
      end,
      ["learn: expected a reference whose words go on, got one that ends some"] = function()
        automata.learn { tokens = 2, answers = 2, start = 1, step = function() return 2, 1 end,
          allowed = function(state) return state == 1 and { 1 } or {} end }
      end,
      ["expected option 'states' to be an integer, 2 or more"] = function()
        automata.learn(counter(2), { states = 1 })
      end,
    } do
      assert.error_matches(fn, message, 1, true)
    end
  end)
end)

-- Sums modulo 3 with some fields changed; false takes one away.
local function sums(change)
  local given = { tokens = 2, answers = 3, start = 0, step = function(sum, token)
    sum = (sum + token) % 3
    return sum, sum + 1
  end }
  for name, value in pairs(change) do
    given[name] = value or nil
  end
  return given
end

local function always(...)
  local values = table.pack(...)
  return function()
    return table.unpack(values, 1, values.n)
  end
end

local function infinite(state, token)
  return state + token, 1
end

-- By message: what is changed in the sums, options.
local REFUSED = {
  ['learn: reference: unknown option "allowd"; did you mean \'allowed\'?'] = { { allowd = always {} } },
  ['learn: reference: unknown option "accept"; known: tokens, answers, start, step, allowed'] = { { accept = 1 } },
  ["learn: reference: expected option 'tokens' to be a positive integer, got 0"] = { { tokens = 0 } },
  ["learn: reference: expected option 'answers' to be a positive integer, got 2.5"] = { { answers = 2.5 } },
  ["learn: reference: expected option 'start' to be a number or a string, got nan"] = { { start = 0 / 0 } },
  ["learn: reference: expected option 'start' to be a number or a string, got a table"] = { { start = {} } },
  ["learn: reference: expected option 'start', a number or a string"] = { { start = false } },
  ["learn: reference: expected option 'step' to be a function, got 1"] = { { step = 1 } },
  ["learn: reference: expected option 'allowed' to be a function, got a table"] = { { allowed = {} } },
  ["learn: expected a list of tokens of allowed, got 7 in state 0"] = { { allowed = always(7) } },
  ["learn: expected a list of tokens of allowed, got nil in state 0"] = { { allowed = always() } },
  ["learn: expected a list of tokens of allowed, got a table with nil at position 1 in state 0"] = {
    { allowed = always { nil, 1 } } },
  ["learn: expected tokens of allowed in 1..2, got 3 in state 0"] = { { allowed = always { 1, 3 } } },
  ["learn: expected tokens of allowed in 1..2, got \"1\" in state 0"] = { { allowed = always { "1" } } },
  ["that are numbers or strings, got nan after token 1 in state 0"] = { { step = always(0 / 0, 1) } },
  ["that are numbers or strings, got a table after token 1 in state 0"] = { { step = always({}, 1) } },
  ["that are numbers or strings, got true after token 1 in state 0"] = { { step = always(true, 1) } },
  ["that are numbers or strings, got nil after token 1 in state 0"] = { { step = always() } },
  ["learn: expected answers of the reference in 1..3, got 4 after token 1 in state 0"] = { { step = always(0, 4) } },
  ["learn: expected a reference that answers somewhere, got none in 2 states"] = { { step = always(1) } },
  ["learn: expected a finite reference, got one of more than 20000 states"] = { { step = infinite } },
  ["learn: expected a finite reference, got one of more than 2 states"] = { {}, { limit = 2 } },
  ["learn: expected 3 states or more of all heads together, as the reference needs, got 2 of heads = 1 and states = 2; "
    .. "give larger options 'heads' or 'states', or 'second'"] = {
    {}, { heads = 1, states = 2 } },
}

describe("a reference", function()
  it("is refused by the field that is wrong", function()
    for message, case in pairs(REFUSED) do
      assert.error_matches(function() automata.learn(sums(case[1]), case[2]) end, message, 1, true)
    end
    assert.error_matches(function() automata.learn(tasks.arithmetic { modulus = 2 }) end,
      "learn: expected a reference whose words go on, got one that ends some", 1, true)
  end)

  it("is measured before a net is trained", function()
    local measure = require "saros.automata.measure"
    local function least(given, room)
      local reference = require("saros.automata.reference").of("spec", given)
      measure.check(reference, 1000)
      return measure.least(reference, room or 1000)
    end
    assert.equal(3, least(sums {}))
    assert.equal(2, least(counter(64, 2)))
    assert.equal(64, least(counter(64, 2, function(sum) return sum == 5 and 2 or 1 end)))
    assert.is_true(least(counter(64, 2, function(sum) return sum == 5 and 2 or 1 end), 4) <= 10)
    assert.equal(2, least(MEMORY))
    for o, room in pairs {
      [{ heads = 3, states = 4, pointers = "one" }] = 64,
      [{ heads = 1, states = 3, pointers = "all" }] = 27,
      [{ heads = 1, states = 3, pointers = "one", second = { heads = 2, states = 2 } }] = 12,
      [{ heads = 100, states = 100, pointers = "all" }] = 1000,
    } do
      assert.equal(room, measure.room(o, 1000))
    end
  end)

  it("fits nets that can be what is asked for", function()
    local gru = nn.gru { 2, 3 }:init { seed = 1 }
    local proved = ", or one whose states are exact (nn.finite; nn.delta with exact = true and no convolution), got "
    for name, message in pairs {
      prove = "prove: expected a net of saros.automata" .. proved,
      prune = "prune: expected a net of saros.automata, or a chain whose only member with a state is one layer of "
        .. "nn.delta with exact = true and no convolution, got ",
      polish = "polish: expected a net that reads tokens, got ",
      curriculum = "curriculum: expected a net that reads tokens, got ",
    } do
      local trains = name == "polish" or name == "curriculum"
      for _, net in ipairs { 7, {}, not trains and gru, not trains and nn.chain { gru, nn.linear { 3, 2 } } or nil } do
        assert.error_matches(function() automata[name](net, counter(2)) end, message, 1, true)
      end
      assert.error_matches(function() automata[name](parity, sums {}) end,
        name .. ": expected a reference of 2 tokens and 2 answers, got one of 2 and 3", 1, true)
    end
    assert.error_matches(function() automata.extract(gru) end, "automaton: expected a net of saros.automata", 1, true)
    assert.error_matches(function() parity:automaton { reference = MEMORY } end,
      "automaton: expected a reference of 2 tokens and 2 answers, got one of 4 and 2", 1, true)
  end)
end)

describe("progress", function()
  -- The records of a function, and their events as text, those that follow each other once.
  local function told(fn)
    local records, events = {}, {}
    fn(function(record)
      records[#records + 1] = record
      events[#events + 1] = events[#events] ~= record.event and record.event or nil
      assert.is_true(record.updates >= 0 and record.seconds >= 0)
    end)
    return records, table.concat(events, " ")
  end

  it("is told while a net learns, and changes nothing", function()
    local model, proof
    local records, events = told(function(tell)
      model, proof = automata.learn(counter(2), { heads = 4, states = 4, on_progress = tell })
    end)
    assert.equal(parity.finite.weight:digest(), model.finite.weight:digest())
    assert.matches("length.* heads proof$", events)
    assert.equal(3, records[1].event == "length" and records[1].length or records[2].length)
    assert.equal(proof, records[#records].proof)
    assert.equal(model.o.heads, records[#records - 1].heads)
  end)

  it("has the updates, the end of a soft start, the polish and words that are wrong", function()
    local records, events = told(function(tell)
      automata.learn(tasks.group_words { group = "S3" }, { heads = 1, states = 6, start = "soft", length = 10,
        updates = 100, polish = 10, rounds = 1, limit = 500, on_progress = tell })
    end)
    assert.matches("update.* hard update.* polish word update.* polish proof$", events)
    for _, record in ipairs(records) do
      assert.is_true(record.event ~= "update"
        or record.updates % 50 == 0 and record.loss > 0 and record.accuracy <= 1 and record.length <= 10)
      assert.is_true(record.event ~= "word" or #record.word > 0 and record.round == 1)
    end
  end)

  it("is told of a curriculum and a polish alone", function()
    local model = automata.model { tokens = 2, answers = 2, heads = 2, states = 4 }
    local _, events = told(function(tell)
      automata.curriculum(model, counter(2), { updates = 60, on_progress = tell })
      automata.polish(model, counter(2), { updates = 50, length = 4, on_progress = tell })
    end)
    assert.matches("polish update$", events)
    assert.error_matches(function() automata.polish(model, counter(2), { on_progress = 1 }) end,
      "automata.polish: expected option 'on_progress' to be a function, got 1", 1, true)
  end)
end)

describe("the parts of the recipe", function()
  it("are a curriculum, a polish and pruning", function()
    local model = automata.model { tokens = 2, answers = 2, heads = 4, states = 4 }
    assert.is_nil((model:prune(tasks.counter { modulus = 2 })))
    assert.matches("prune: no 3 heads", select(2, model:prune(counter(2))))
    local learned, updates = automata.curriculum(model, counter(2), { length = 12 })
    assert.is_true(learned and updates >= 12)
    automata.polish(model, counter(2), { length = 12, updates = 50 })
    local small = assert(model:prune(counter(2)))
    assert.is_true(small.o.heads < 4 and small:prove(counter(2)).proved)
    assert.is_false((automata.curriculum(automata.model { tokens = 2, answers = 2 }, counter(2), { updates = 2 })))
  end)

  it("put wrong words at the head of rows", function()
    local reference = require("saros.automata.reference").of("spec", counter(2))
    local ids, answers = reference:words(saros.generator(1), 3, 4, { [2] = { 2, 2, 2, 1, 2 } })
    assert.same({ 2, 2, 2, 1 }, ids:select(2, 2):totable())
    assert.same({ 2, 1, 2, 2 }, answers:select(2, 2):totable())
  end)
end)

-- The automaton of a reference, as a net would have it that is right.
local function automaton_of(given)
  local reference = require("saros.automata.reference").of("spec", given)
  local next, told, state = {}, {}, 1
  while reference.values[state] do
    next[state] = {}
    for _, token in ipairs(reference:choices(state)) do
      local after, answer = reference:step(state, token)
      next[state][token], told[after] = after, answer
    end
    state = state + 1
  end
  return require("saros.automata.automaton").minimal { tokens = reference.tokens, answers = reference.answers,
    next = next, told = told }
end

describe("an automaton", function()
  it("is shown as text and as a picture", function()
    local automaton = parity:automaton()
    assert.equal("automaton of 2 states, 2 tokens, 2 answers\nstate  answer | next state by token\n"
      .. "    1       1 |    1    2\n    2       2 |    2    1", tostring(automaton))
    local picture = automaton:plot { title = "parity" }
    assert.equal("plot (automaton, 640 x 240)", tostring(picture))
    local _, circles = picture:svg():gsub("<circle", "")
    assert.equal(2, circles)
    assert.equal("plot (automaton, 300 x 200)", tostring(automaton:plot { width = 300, height = 200 }))
    assert.error_matches(function() automaton:run { 1, 3 } end, "run: expected a token that is allowed, got 3 at 2")
    assert.error_matches(function() parity:automaton { limit = 1 } end,
      "automaton: expected at most 1 states, got more; prune the model first or give a larger limit", 1, true)
  end)

  it("has a picture with states, answers and tokens, none of which covers another", function()
    for tokens, task in pairs { [5] = tasks.counter { modulus = 5 }, [6] = tasks.group_words { group = "S3" },
      [2] = tasks.brackets { depth = 8 } } do
      local picture = automaton_of(task):plot():svg()
      for token = 1, tokens do
        assert.matches(">token " .. token .. "</text>", picture)
      end
      assert.matches(">in a circle: the state / its answer (-: none is asked)", picture, 1, true)
      assert.matches('<tspan font-weight="bold">2</tspan> / 2</text>', picture, 1, true)
      local boxes = {}
      for h, w, x, y in picture:gmatch('<rect class="page" height="([%d.]+)" rx="3" width="([%d.]+)" x="([%d.]+)" '
        .. 'y="([%d.]+)"') do
        for _, box in ipairs(boxes) do
          assert.is_true(x + 0 >= box.x + box.w or box.x >= x + w or y + 0 >= box.y + box.h or box.y >= y + h)
        end
        boxes[#boxes + 1] = { x = x + 0, y = y + 0, w = w + 0, h = h + 0 }
      end
      assert.is_true(#boxes >= 16)
    end
  end)

  it("with many arrows is a table of colours, with many tokens an arrow of ranges", function()
    local picture = automaton_of(tasks.group_words { group = "A4" }):plot { title = "A4" }
    assert.equal("plot (heat, 640 x 288)", tostring(picture))
    assert.matches(">A4: the next state, by colour</text>", picture:svg())
    assert.matches(">12 / 12</text>", picture:svg())
    local picture_of_ranges = automaton_of { tokens = 12, answers = 2, start = 0, step = function(sum, token)
      sum = (sum + (token > 9 and token % 2 or token < 7 and 1 or 0)) % 2
      return sum, sum + 1
    end }:plot():svg()
    assert.matches(">1-6, 11</text>", picture_of_ranges, 1, true)
    assert.matches(">7-10, 12</text>", picture_of_ranges, 1, true)
    assert.not_matches(">token", picture_of_ranges)
  end)

  it("says beside a reference that no answer is asked, after every word", function()
    local switch = { tokens = 3, answers = 2, start = 1, step = function(state, token)
      return token < 3 and token or state, token == 3 and state or nil
    end }
    local model = automata.learn(switch, { heads = 4, states = 4 })
    local automaton = model:automaton { reference = switch }
    assert.equal(4, #automaton.next)
    assert.same({ false }, automaton:run { 1 })
    local word, answers = word_of(switch, 4, 300)
    assert.same(answers, automaton:run(word))
    for _, answer in ipairs(model:automaton():run(word)) do
      assert.is_truthy(answer)
    end
  end)

  it("has no state of its own for a start at which no word ends", function()
    local first = { tokens = 2, answers = 2, start = 0, step = function(state, token)
      state = state == 1 and token == 2 and 2 or 1
      return state, state
    end }
    local model = automata.learn(first, { heads = 4, states = 4 })
    assert.equal(2, #model:automaton { reference = first }.next)
  end)

  it("is a table in C that gives the same answers", function()
    local task = tasks.brackets { depth = 3 }
    local model = automata.learn(task, { heads = 4, states = 8 })
    local word, answers = word_of(task, 3, 200)
    for t, token in ipairs(word) do
      word[t], answers[t] = token - 1, answers[t] - 1
    end
    files.with_folder(function(folder)
      assert(model:automaton({ reference = task }):write_c(folder .. "/table.c", "depth"))
      files.write(folder .. "/main.c", ([[
#include <stdio.h>
#include "table.c"
static const int word[] = {%s};
int main(void) {
  int state = 0;
  printf("%%d", depth_step(&state, 1) + depth_step(&state, 9) + depth_step(&state, -1));
  for (unsigned t = 0; t < sizeof word / sizeof *word; t++)
    printf(" %%d", depth_step(&state, word[t]));
  return 0;
}
]]):format(table.concat(word, ", ")))
      local flags = c.FLAGS
      c.succeed("cd '%s' && gcc %s main.c -o main", folder, flags)
      assert.equal("-3 " .. table.concat(answers, " "), (c.run("'%s/main'", folder)))
    end)
    assert.error_matches(function() parity:automaton():write_c("x.c", "a b") end, "write_c: expected a name of C")
  end)
end)
