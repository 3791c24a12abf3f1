--- Finite automata as tables: states from 1, where they begin; for each state and token the
--- next state, and for each state its answer.

local classified = require "saros.automata.classes"
local core = require "saros.core"
local lazy = require "saros.lazy"
local options = require "saros.options"
local spelling = require "saros.spelling"

local late = lazy({}, {
  plot = { "saros.look.automaton" },
  text = { "saros.automata.c_table" },
})

---@class saros.automata.Automaton
---@field tokens integer
---@field answers integer
---@field next table<integer, integer>[]  by state and token; nil where a token is not allowed
---@field told (integer|false)[]  by state: the answer there, false if none is asked
local Automaton = {}
spelling.methods(Automaton, "saros.Automaton")

local automaton = {}

-- --- Fewer states -------------------------------------------------------------------------------

--- The classes of the states that follow a state, as text.
local function after(a, class, state)
  local parts, row = {}, a.next[state]
  for token = 1, a.tokens do
    parts[token] = row[token] and class[row[token]] or 0
  end
  return table.concat(parts, " ")
end

--- The classes of states that agree in their class so far and in those of their next states.
local function refined(a, class)
  local keys = {}
  for state in ipairs(a.next) do
    keys[state] = class[state] .. ":" .. after(a, class, state)
  end
  return classified(keys)
end

--- Where no word ends at the start, its answer may be any: that of a state that goes on in the
--- same way, or none.
local function with_start(a, class)
  if a.told[1] ~= nil then
    return a
  end
  local told, goes_on = table.move(a.told, 2, #a.next, 2, {}), after(a, class, 1)
  for state = 2, #a.next do
    if after(a, class, state) == goes_on then
      told[1] = a.told[state]
      break
    end
  end
  told[1] = told[1] or false
  return { tokens = a.tokens, answers = a.answers, next = a.next, told = told }
end

--- Classes of states that no word tells apart.
local function classes_of(a)
  local class, count = {}, 0
  for state in ipairs(a.next) do
    class[state] = (a.told[state] or 0) + 1
  end
  while true do
    local finer, now = refined(a, class)
    if now == count then
      return finer
    end
    class, count = finer, now
  end
end

--- The same with one state for each class, in the order in which words reach them.
local function joined(a, class)
  local number, states, next, told, at = { [class[1]] = 1 }, { 1 }, {}, {}, 1
  while states[at] do
    local state = states[at]
    next[at], told[at] = {}, a.told[state]
    for token = 1, a.tokens do
      local to = a.next[state][token]
      if to and not number[class[to]] then
        states[#states + 1] = to
        number[class[to]] = #states
      end
      next[at][token] = to and number[class[to]] or nil
    end
    at = at + 1
  end
  return { tokens = a.tokens, answers = a.answers, next = next, told = told }
end

--- The automaton that has as few states as possible (Moore 1956, "Gedanken-Experiments on
--- Sequential Machines").
---@param a table  fields as of saros.automata.Automaton; each state is reached; told[1] may be nil,
---  where no word ends at the start
---@return saros.automata.Automaton
function automaton.minimal(a)
  a = with_start(a, classes_of(a))
  return setmetatable(joined(a, classes_of(a)), Automaton)
end

-- --- Use ------------------------------------------------------------------------------------------

--- The answers after each token of a word; false where none is asked.
---@param word integer[]
---@return (integer|false)[]
function Automaton:run(word)
  options.argument("run", 1, options.table, word)
  local state, list = 1, {}
  for t, token in options.each(word) do
    state = self.next[state][token]
      or options.fail(("run: expected a token that is allowed, got %s at %d"):format(options.describe(token), t))
    list[t] = self.told[state]
  end
  return list
end

-- So many states and tokens are shown as text.
local ROWS, COLUMNS = 40, 16

local function line_of(self, state)
  local cells = { ("%5d %7s |"):format(state, self.told[state] or "-") }
  for token = 1, math.min(self.tokens, COLUMNS) do
    cells[token + 1] = ("%5s"):format(self.next[state][token] or "-")
  end
  return table.concat(cells) .. (self.tokens > COLUMNS and "  ..." or "")
end

function Automaton:__tostring()
  local lines = {
    ("automaton of %d state%s, %d tokens, %d answers"):format(
      #self.next, #self.next == 1 and "" or "s", self.tokens, self.answers),
    "state  answer | next state by token",
  }
  for state = 1, math.min(#self.next, ROWS) do
    lines[#lines + 1] = line_of(self, state)
  end
  lines[#lines + 1] = #self.next > ROWS and "  ..." or nil
  return table.concat(lines, "\n")
end

--- A picture: states on a circle, with their answers, and arrows with their tokens; of more than 100 arrows a table of
--- the next states, by colour.
---@param given? { title?: string, width?: integer, height?: integer }
---@return saros.Plot
function Automaton:plot(given)
  return late.plot(self, given)
end

--- Write it as a C file: one table, and a function that takes a step.
---@param path string
---@param name? string  with which its names begin ("automaton")
---@return true? ok, string? message
function Automaton:write_c(path, name)
  options.argument("write_c", 1, options.string, path)
  return core.write_file(path, late.text(self, name or "automaton"))
end

return automaton
