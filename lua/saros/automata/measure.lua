--- How large a reference is, before a net is trained on it: whether it is finite, whether
--- its words go on, and how many states a net needs at least.

local classified = require "saros.automata.classes"
local options = require "saros.options"

local measure = {}

--- Go to all states; `fn` is told each step: state, token, state after it, answer.
local function each_step(reference, fn)
  local state = 1
  while reference.values[state] do
    for _, token in ipairs(reference:choices(state)) do
      fn(state, token, reference:step(state, token))
    end
    state = state + 1
  end
end

--- Refuse a reference that cannot be learned: one of too many states, one whose words end,
--- one that never answers.
---@param reference saros.automata.Reference
---@param limit integer  of states
function measure.check(reference, limit)
  local owner, answers = reference.owner, false
  local function fail(message, ...)
    options.fail(owner .. ": " .. message:format(...))
  end
  each_step(reference, function(_, _, _, answer)
    answers = answers or answer ~= false
    if #reference.values > limit then
      fail("expected a finite reference, got one of more than %d states (option limit)", limit)
    end
  end)
  for state, value in ipairs(reference.values) do
    if #reference:choices(state) == 0 then
      fail("expected a reference whose words go on, got one that ends some, in state %s", options.describe(value))
    end
  end
  if not answers then
    fail("expected a reference that answers somewhere, got none in %d states", #reference.values)
  end
end

--- True if each step from each state is allowed and has an answer.
local function is_complete(reference)
  local steps = 0
  each_step(reference, function(_, _, _, answer)
    steps = steps + (answer and 1 or 0)
  end)
  return steps == #reference.values * reference.tokens
end

--- How many pairs there are of an answer and the class of the state at which it is given: a
--- net whose output depends on its state alone has one state for each, or more.
local function pairs_of(reference, class)
  local seen, count = {}, 0
  each_step(reference, function(_, _, after, answer)
    local key = answer and (answer << 32 | class[after])
    if key and not seen[key] then
      seen[key], count = true, count + 1
    end
  end)
  return count
end

--- The classes of states that agree in their class so far, in their answers and in the
--- classes of the next states.
local function refined(reference, class)
  local keys = {}
  each_step(reference, function(state, _, after, answer)
    keys[state] = keys[state] or { class[state] }
    table.insert(keys[state], answer .. ":" .. class[after])
  end)
  for state, parts in ipairs(keys) do
    keys[state] = table.concat(parts, " ")
  end
  return classified(keys)
end

--- A bound from below of the states that a net needs: exact where each step is allowed and
--- has an answer, else the number of different answers. Not counted on beyond `room`.
---@param reference saros.automata.Reference  as measure.check has seen it
---@param room integer
---@return integer
function measure.least(reference, room)
  local class, classes = {}, 1
  for state in ipairs(reference.values) do
    class[state] = 1
  end
  local least, is_whole = pairs_of(reference, class), is_complete(reference)
  while is_whole and least <= room do
    local finer, now = refined(reference, class)
    if now == classes then
      break
    end
    class, classes, least = finer, now, pairs_of(reference, finer)
  end
  return least
end

--- The states that a net can have, or `most` if they are as many or more.
---@param o { heads: integer, states: integer, pointers: "one"|"all", second?: table }
---@param most integer
---@return integer
function measure.room(o, most)
  local room = 1
  local function times(states, count)
    for _ = 1, count do
      room = room < most and room * states or room
    end
  end
  times(math.min(o.states, most), o.heads * (o.pointers == "all" and o.states or 1))
  if o.second then
    times(math.min(o.second.states, most), o.second.heads)
  end
  return math.min(room, most)
end

--- Refuse a net that has fewer states than the reference needs.
---@param reference saros.automata.Reference  as measure.check has seen it
---@param o { heads: integer, states: integer, pointers: "one"|"all", second?: table }
function measure.fit(reference, o)
  local most = #reference.values * math.min(reference.tokens, reference.answers) + 1
  local room = measure.room(o, most)
  local least = room < most and measure.least(reference, room) or 0
  if least > room then
    options.fail(("%s: expected %d states or more of all heads together, as the reference needs, got %d of heads = %d "
      .. "and states = %d; give larger options 'heads' or 'states', or 'second'"):format(reference.owner, least, room,
      o.heads, o.states))
  end
end

return measure
