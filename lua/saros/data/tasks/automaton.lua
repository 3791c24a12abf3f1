--- Tasks whose answers a finite automaton gives: random words, and its answers to them.

local core = require "saros.core"
local rows = require "saros.data.tasks.rows"
local task = require "saros.data.tasks.task"

local automaton = {}

--- A finite automaton that reads tokens 1..V. A net that gives the same answer as it after
--- every word that it allows is right at every length.
---@class saros.data.Automaton
---@field tokens integer  V
---@field answers integer  classes, from 1
---@field start number|string  the state before the first token
---@field step fun(state: number|string, token: integer): number|string, integer?  the next state, and
---  the answer at this token, nil if none is asked
---@field allowed? fun(state: number|string): integer[]  the tokens that may come next, where not all may;
---  an empty list where the word has ended

---@alias saros.data.Choose fun(generator: saros.Generator, state: number|string, left: integer): integer

--- A random word of some length, its answers and where they are, all appended to lists.
local function append(reference, generator, length, choose, inputs, targets, mask)
  local state, step = reference.start, reference.step
  for t = 1, length do
    local token = choose(generator, state, length - t)
    local after, answer = step(state, token)
    inputs[t], targets[t] = token, answer or 1
    if mask then
      mask[t] = answer and 1 or 0
    end
    state = after
  end
end

--- Lists of rows, filled up with a value to T steps, as a tensor (T, B).
local function by_step(lists, T, filling, make)
  for _, list in ipairs(lists) do
    for t = #list + 1, T do
      list[t] = filling
    end
  end
  return make(lists):transpose():contiguous()
end

--- Words of these lengths and the automaton's answers to them.
---@param reference saros.data.Automaton
---@param generator saros.Generator
---@param lengths integer[]
---@param choose saros.data.Choose
---@param some boolean  not every step has an answer
---@return saros.Tensor inputs  ids (T, B), 1 behind a row's end
---@return saros.Tensor targets  ids (T, B), 1 where there is no answer
---@return saros.Tensor? mask  (T, B), 1 where there is one, if only some have
local function words(reference, generator, lengths, choose, some)
  local inputs, targets, mask, T = {}, {}, {}, 0
  for row, length in ipairs(lengths) do
    inputs[row], targets[row], mask[row] = {}, {}, some and {} or nil
    append(reference, generator, length, choose, inputs[row], targets[row], mask[row])
    T = math.max(T, length)
  end
  return by_step(inputs, T, 1, core.ids), by_step(targets, T, 1, core.ids),
    some and by_step(mask, T, 0, core.tensor) or nil
end

--- Any of the V tokens, equally likely.
local function any_of(V)
  return function(generator)
    return generator:integer(V)
  end
end

--- A task of random words of an automaton.
---@param name string
---@param reference saros.data.Automaton
---@param length saros.data.RowLengths
---@param asked saros.data.Asked
---@param choose? saros.data.Choose  the next token, given the state and how many steps are left
---  behind it (any token, equally likely)
---@return saros.data.Task
function automaton.task(name, reference, length, asked, choose)
  choose = choose or any_of(reference.tokens)
  local fields = rows.fields(length, asked)
  fields.tokens, fields.outputs, fields.reference = reference.tokens, reference.answers, reference
  fields.chance = 1 / reference.answers
  fields.draw = function(generator, B)
    local lengths = rows.draw(length, generator, B)
    local inputs, targets, mask = words(reference, generator, lengths, choose, asked == "some")
    return rows.present(length, asked, { inputs = inputs, targets = targets, lengths = lengths, mask = mask })
  end
  return task.new(name, fields)
end

return automaton
