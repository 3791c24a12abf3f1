--- The value of an expression, modulo m.

local core = require "saros.core"
local options = require "saros.options"
local automaton = require "saros.data.tasks.automaton"
local rows = require "saros.data.tasks.rows"
local task = require "saros.data.tasks.task"

local OWNER = "data.tasks.arithmetic"

-- Behind the tokens 1..m of the numbers, in this order.
local SIGNS = "+-*=()"

local check = options.declare(OWNER, {
  { "modulus", options.at_least(2), 5 },
  { "brackets", options.boolean, false },
  { "operators", options.optional(options.kind('some of "+-*"', function(value)
    return type(value) == "string" and value:find "^[-+*]+$" and value or nil
  end)) },
  { "length", options.optional(options.kind("an integer or a range { least, most }", function(value)
    return value
  end)) },
  { "every", options.boolean, false },
})

-- --- Without brackets -------------------------------------------------------------------

--- The automaton of expressions with + - and * before them. It keeps the sum s of the
--- finished terms, and a factor f: before a number what to multiply it by (1 behind +, -1
--- behind -), behind it the product that it ends. States: s m + f before a number, that
--- plus m^2 behind one, and 2 m^2 behind "=".
local function calculator(m, every)
  local END, numbers, signs = 2 * m * m, {}, { m + 1, m + 2, m + 3, m + 4 }
  for n = 1, m do
    numbers[n] = n
  end
  return {
    tokens = m + 4,
    answers = m,
    start = 1,
    step = function(state, token)
      local s, f = state // m % m, state % m
      if token <= m then
        f = f * (token - 1) % m
        return (m + s) * m + f, every and (s + f) % m + 1 or nil
      elseif token == m + 3 then
        return s * m + f
      end
      s = (s + f) % m
      if token == m + 4 then
        return END, s + 1
      end
      return s * m + (token == m + 1 and 1 or m - 1)
    end,
    allowed = function(state)
      return state == END and {} or state < m * m and numbers or signs
    end,
  }
end

local function without_brackets(o)
  local m, signs = o.modulus, {}
  for sign in o.operators:gmatch "." do
    signs[#signs + 1] = m + SIGNS:find(sign, 1, true)
  end
  return automaton.task("arithmetic", calculator(m, o.every), o.length, o.every and "some" or "last",
    function(generator, state, left)
      if state < m * m then
        return generator:integer(m)
      end
      return left == 0 and m + 4 or signs[generator:integer(#signs)]
    end)
end

-- --- With brackets ----------------------------------------------------------------------

--- Append an expression of so many tokens to a list: up to 4 a number, with a minus or
--- brackets around it, else (left op right), the split drawn evenly.
---@return integer value  in 0..m - 1
local function write(list, generator, length, o)
  local function add(sign)
    list[#list + 1] = o.modulus + SIGNS:find(sign, 1, true)
  end
  local value
  if length >= 3 then
    add "("
  end
  if length <= 4 then
    value = generator:integer(o.modulus) - 1
    if length % 2 == 0 then
      add "-"
    end
    list[#list + 1] = value + 1
    value = length % 2 == 0 and -value or value
  else
    local left, pick = generator:integer(length - 4), generator:integer(#o.operators)
    local operator = o.operators:sub(pick, pick)
    local a = write(list, generator, left, o)
    add(operator)
    local b = write(list, generator, length - 3 - left, o)
    value = operator == "+" and a + b or operator == "-" and a - b or a * b
  end
  if length >= 3 then
    add ")"
  end
  return value % o.modulus
end

local function draw_expressions(generator, lengths, T, o)
  local inputs, targets = {}, {}
  for t = 1, T do
    inputs[t], targets[t] = {}, {}
  end
  for row, length in ipairs(lengths) do
    local list = {}
    local value = write(list, generator, length - 1, o)
    list[length] = o.modulus + 4
    for t = 1, T do
      inputs[t][row], targets[t][row] = list[t] or 1, t == length and value + 1 or 1
    end
  end
  return core.ids(inputs), core.ids(targets)
end

local function with_brackets(o)
  local m, length = o.modulus, o.length
  local fields = rows.fields(length, "last")
  fields.tokens, fields.outputs, fields.chance = m + #SIGNS, m, 1 / m
  fields.draw = function(generator, B)
    local lengths, T = rows.draw(length, generator, B)
    local inputs, targets = draw_expressions(generator, lengths, T, o)
    return rows.present(length, "last", { inputs = inputs, targets = targets, lengths = lengths })
  end
  return task.new("arithmetic", fields)
end

-- --- Options ----------------------------------------------------------------------------

--- The option length, of which those without brackets are even.
local function length_of(o)
  local kind = rows.kind(2, o.brackets and 1 or 2)
  local length = kind.accept(o.length == nil and 40 or o.length)
  return length or options.fail(("%s: expected option 'length' to be %s, got %s"):format(
    OWNER, kind.expected, options.describe(o.length)))
end

--- Modular arithmetic (Deletang et al. 2023, "Neural Networks and the Chomsky Hierarchy"):
--- what is the value of an expression modulo m? Without brackets numbers and operators take
--- turns, * before + and -. With brackets an expression is a number, perhaps with a minus
--- and in brackets, or two expressions with an operator in brackets, nested at random.
---
---     2 + 4 * 3 =                  tokens: 0 .. m-1 are 1..m, then + - * = ( )
---               5                  the answer is class 1 + value, at "="
---     ( ( - 1 ) + ( 2 - 4 ) ) =
---
--- T counts the "=", behind which an answer is asked as in Beck et al. (2024, "xLSTM") and
--- Grazzi et al. (2024); the latter train with lengths in 3..40 and test with 40..256. The
--- paper's modulus is 5, its operators are + - * without brackets and + - with them.
--- `chance` is 1 / m, by which papers scale accuracies; products make 0 somewhat likelier.
---@param given? { modulus?: integer, brackets?: boolean, operators?: string, length?: integer|integer[],
---  every?: boolean }  modulus: m (5); brackets (false); operators ("+-*", with brackets "+-"); length: T
---  (40), even without brackets, or { least, most }; every: ask for the value so far at every number, too
---  (false), without brackets alone
---@return saros.data.Task
return function(given)
  local o = check(given)
  if o.brackets and o.every then
    options.fail(OWNER .. ": expected every = false with brackets, where parts of an expression have no value")
  end
  o.length, o.operators = length_of(o), o.operators or (o.brackets and "+-" or "+-*")
  return o.brackets and with_brackets(o) or without_brackets(o)
end
