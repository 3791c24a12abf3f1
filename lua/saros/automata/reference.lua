--- References as tables of integers, which are filled as they are asked for: states by
--- number, from 1, the first one being the start.

local core = require "saros.core"
local options = require "saros.options"

---@class saros.automata.Reference
---@field tokens integer
---@field answers integer
---@field values (number|string)[]  the states by number
---@field numbers table<number|string, integer>
---@field given saros.data.Automaton
---@field every integer[]?  all tokens, where all are allowed
local Reference = {}
Reference.__index = Reference

local reference = {}

-- NaN is no state, as no table can have it as a key.
local state_kind = options.kind("a number or a string", function(value)
  local fits = type(value) == "string" or type(value) == "number" and value == value
  return fits and value or nil
end)

--- Is a value an integer in 1..most?
local function is_within(value, most)
  local integer = options.size.accept(value)
  return integer ~= nil and integer <= most
end

local FIELDS = {
  { "tokens", options.size },
  { "answers", options.size },
  { "start", state_kind },
  { "step", options.callback },
  { "allowed", options.optional(options.callback) },
}

--- Is a table meant as a reference? Tasks without one, for example, are not.
local function is_meant(given)
  return type(given) == "table" and (rawget(given, "step") ~= nil or rawget(given, "start") ~= nil)
end

--- The tables of a reference, or of the reference of a task; those that were made before
--- as they are.
---@param owner string  for messages
---@param given saros.data.Automaton|saros.data.Task|saros.automata.Reference
---@return saros.automata.Reference
function reference.of(owner, given)
  if getmetatable(given) == Reference then
    return given
  end
  if type(given) == "table" and type(given.reference) == "table" then
    given = given.reference
  end
  if not is_meant(given) then
    options.fail(("%s: expected a reference { tokens, answers, start, step }, or a task that has one, got %s"):format(
      owner, options.describe(given)))
  end
  given = options.declare(owner .. ": reference", FIELDS)(given)
  local self = setmetatable({ tokens = given.tokens, answers = given.answers, given = given, values = {}, numbers = {},
    next = {}, told = {}, lists = {}, owner = owner }, Reference)
  self:number(given.start)
  return self
end

--- The number of a state.
---@return integer
function Reference:number(state)
  local number = self.numbers[state]
  if not number then
    number = #self.values + 1
    self.numbers[state], self.values[number], self.next[number], self.told[number] = number, state, {}, {}
  end
  return number
end

--- Ask the reference itself for one step.
local function ask(self, state, token)
  local from = self.values[state]
  local after, answer = self.given.step(from, token)
  if state_kind.accept(after) == nil then
    options.fail(("%s: expected states of the reference that are numbers or strings, got %s after token %d in state %s")
      :format(self.owner, options.describe(after), token, options.describe(from)))
  elseif answer ~= nil and not is_within(answer, self.answers) then
    options.fail(("%s: expected answers of the reference in 1..%d, got %s after token %d in state %s"):format(
      self.owner, self.answers, options.describe(answer), token, options.describe(from)))
  end
  self.next[state][token], self.told[state][token] = self:number(after), answer and math.tointeger(answer) or false
end

---@param state integer
---@param token integer
---@return integer after
---@return integer|false answer  false if none is asked
function Reference:step(state, token)
  local row = self.next[state]
  if not row[token] then
    ask(self, state, token)
  end
  return row[token], self.told[state][token]
end

--- The list of tokens that the reference allows in a state, checked.
local function allowed_in(self, state)
  local value, list = self.values[state], {}
  local given = self.given.allowed(value)
  if options.list.accept(given) == nil then
    options.fail(("%s: expected a list of tokens of allowed, got %s in state %s"):format(
      self.owner, options.describe_misfit(options.list, given), options.describe(value)))
  end
  for n, token in ipairs(given) do
    if not is_within(token, self.tokens) then
      options.fail(("%s: expected tokens of allowed in 1..%d, got %s in state %s"):format(
        self.owner, self.tokens, options.describe(token), options.describe(value)))
    end
    list[n] = math.tointeger(token)
  end
  return list
end

--- The tokens that may follow a state.
---@param state integer
---@return integer[]
function Reference:choices(state)
  local list = self.lists[state]
  if not list then
    if self.given.allowed then
      list = allowed_in(self, state)
    else
      list = self.every or {}
      for token = #list + 1, self.tokens do
        list[token] = token
      end
      self.every = list
    end
    self.lists[state] = list
  end
  return list
end

--- Random words of one length, of equally likely tokens that are allowed; rows may begin
--- with given words, cut to the length.
---@param generator saros.Generator
---@param rows integer
---@param length integer
---@param heads? integer[][]  by row
---@return saros.Tensor ids  (length, rows)
---@return saros.Tensor answers  ids (length, rows), 1 where none is asked
---@return saros.Tensor? mask  (length, rows), 1 where one is asked; nil if all are
function Reference:words(generator, rows, length, heads)
  local ids, answers, mask, is_partial = {}, {}, {}, false
  for row = 1, rows do
    local state, head = 1, heads and heads[row] or {}
    for t = 1, length do
      local list, at = self:choices(state), (t - 1) * rows + row
      if #list == 0 then
        options.fail(self.owner .. ": expected a reference whose words go on, got one that ends some")
      end
      local token = head[t] or list[generator:integer(#list)]
      local after, answer = self:step(state, token)
      state, ids[at], answers[at], mask[at] = after, token, answer or 1, answer and 1 or 0
      is_partial = is_partial or not answer
    end
  end
  local function shaped(list, make)
    return make(list):reshape(length, rows)
  end
  return shaped(ids, core.ids), shaped(answers, core.ids), is_partial and shaped(mask, core.tensor) or nil
end

return reference
