-- Nets of finite states: learned on words of at most 40 tokens, then proved right at every
-- length by a search through all that they can do. For each task and seed one line: the
-- processor time, the states that the search saw, the longest word that first reached one,
-- and the smallest distance of a right output to the next one.
--
--   build/saros examples/automata.lua --seeds 3
--   build/saros examples/automata.lua --task A5 --progress
--   build/saros examples/automata.lua --task S3 --show --save s3.svg --table s3.c

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local argparse = require "argparse"
local numbers = require "numbers"
local saros = require "saros"
local tasks, learn = saros.data.tasks, saros.automata.learn

-- Name, task, and options of the learner: heads and states a little above what is needed.
local CASES = {
  { "parity", tasks.counter { modulus = 2 }, {} },
  { "mod3", tasks.counter { modulus = 3 }, {} },
  { "mod5", tasks.counter { modulus = 5 }, {} },
  { "mod7", tasks.counter { modulus = 7 }, {} },
  { "flip-flop", tasks.flip_flop {}, {} },
  { "brackets", tasks.brackets { depth = 8 }, { heads = 4, states = 16 } },
  { "brackets2", tasks.brackets { kinds = 2, depth = 4 },
    { heads = 1, second = { heads = 16, states = 4 }, rounds = 12 } },
  { "S3", tasks.group_words { group = "S3" }, {} },
  { "A5", tasks.group_words { group = "A5" }, { states = 6, pointers = "all" } },
}

local parser = argparse("automata.lua", "Nets of finite states that are proved right at every length.")
parser:option("--task", "One of parity, mod3, mod5, mod7, flip-flop, brackets, brackets2, S3, A5; all without it.")
numbers.whole(parser, "--seeds", "Seeds from 1 to this."):default "1"
parser:flag("--progress", "Print what happens while a net learns.")
parser:flag("--show", "Print the automaton.")
parser:option("--save", "Picture of the automaton, as SVG."):convert(function(path)
  return path:match "%.svg$" and path, ("--save: expected a name that ends in .svg, got '%s'"):format(path)
end)
parser:option("--table", "The automaton as a C file.")
numbers.whole(parser, "--steps", "Steps of a random word that a session answers, as a test.", 0):default "0"
local args = parser:parse()

-- The share of right answers to a random word, step by step in a session.
local function share_of_right(model, reference, steps)
  local session, generator = model:session { weights = "int8" }, saros.generator(1)
  local state, right, asked = reference.start, 0, 0
  for _ = 1, steps do
    local list = reference.allowed and reference.allowed(state)
    local token = list and list[generator:integer(#list)] or generator:integer(reference.tokens)
    local after, answer = reference.step(state, token)
    local got = session:step(token):argmax(-1):item()
    state, asked, right = after, asked + (answer and 1 or 0), right + (answer and got == answer and 1 or 0)
  end
  return right / asked
end

-- By event of the learner: what is said of it.
local EVENTS = {
  update = function(r) return ("length %d: loss %.3f, %.0f %% right"):format(r.length, r.loss, 100 * r.accuracy) end,
  length = function(r) return ("words of %d tokens are learned"):format(r.length) end,
  hard = function() return "states are hard from now on" end,
  polish = function(r) return ("the step size goes to zero, at %d tokens"):format(r.length) end,
  word = function(r) return ("round %d: wrong after %s"):format(r.round, table.concat(r.word, " ")) end,
  heads = function(r) return ("%d head%s %s every answer"):format(r.heads, r.heads == 1 and "" or "s",
    r.heads == 1 and "determines" or "determine") end,
  proof = function(r) return tostring(r.proof) end,
}

local function print_progress(record)
  print(("  %7.2f s  update %4d  %s"):format(record.seconds, record.updates, EVENTS[record.event](record)))
end

local function run(case, seed)
  local o = { seed = seed, on_progress = args.progress and print_progress or nil }
  for name, value in pairs(case[3]) do
    o[name] = value
  end
  local model, proof, facts = learn(case[2], o)
  print(("%-9s seed %d  %6.2f s  %4d updates  %d head%s  %s"):format(case[1], seed, facts.seconds, facts.updates,
    model.o.heads, model.o.heads == 1 and " " or "s", tostring(proof)))
  if args.steps > 0 then
    print(("          %.4f %% right in %d steps of a session in 8 bits"):format(
      100 * share_of_right(model, case[2].reference, args.steps), args.steps))
  end
  return model, proof.proved
end

local function show(model, task)
  local automaton = model:automaton { reference = task }
  if args.show then
    print(automaton)
  end
  if args.save then
    assert(automaton:plot():save(args.save))
  end
  if args.table then
    assert(automaton:write_c(args.table))
  end
end

local found = false
for _, case in ipairs(CASES) do
  for seed = 1, (not args.task or args.task == case[1]) and args.seeds or 0 do
    local model, is_proved = run(case, seed)
    if is_proved then
      show(model, case[2])
    end
    found = true
  end
end
if not found then
  parser:error("expected a task of the list, got " .. args.task)
end
