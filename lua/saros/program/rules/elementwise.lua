--- Rules for element-wise functions, operators with broadcasting, and where().

local layout = require "saros.program.layout"

local rules = { always = {} }

local FUNCTIONS = {
  "negate", "abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "isfinite", "isnan", "sin", "cos", "softplus",
  "silu", "gelu", "gelu_tanh", "hard_sigmoid", "hard_tanh",
}

local OPERATORS = {
  "add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "lt", "le", "eq",
}

--- The value of a function of each element.
local function apply(t, name, value)
  return t:as(t:node(name, { value.node }, {}, t.widths[value.node]), value.axes)
end

--- The value of an operator.
local function combine(t, name, a, b)
  local axes = t:join(name, a.axes, b.axes)
  local first, second = t:fit(a, axes, "a"), t:fit(b, axes, "b")
  local width = math.max(t.widths[first], t.widths[second])
  return t:as(t:node(name, { first, second }, {}, width), axes)
end

--- Values that an operator with a number leaves as they are: zeros + a learned state.
--- Only where no row is concerned, so that all else is as it was written.
local NEUTRAL = { add = 0, subtract = 0, multiply = 1, divide = 1 }

local function unchanged(t, name, a, b)
  local neutral = NEUTRAL[name]
  if not (neutral and t.invariant[a.node] and t.invariant[b.node]) then
    return nil
  elseif t:number_of(b.node) == neutral then
    return a
  elseif t:number_of(a.node) == neutral and (name == "add" or name == "multiply") then
    return b
  end
end

--- x times a mask of dropout: the same features at all steps, unless it was made inside a step.
local function masked(t, a, b)
  local mask = t.bound[a] and t.bound[a].mask and a or b
  local x = mask == a and b or a
  local value = t:value(x)
  local p = t.bound[mask].mask
  local fields = { p = p, shared = not t.is_step or nil }
  return t:as(t:node("dropout", { value.node }, fields, t.widths[value.node]), value.axes)
end

local function is_mask(t, x)
  return type(x) == "userdata" and t.bound[x] ~= nil and t.bound[x].mask ~= nil
end

for _, name in ipairs(FUNCTIONS) do
  rules[name] = function(t, arguments, results)
    t:bind(results[1], apply(t, name, t:value(arguments[1])))
  end
end

local function operator(t, name, a, b, result)
  local first, second = t:value(a), t:value(b)
  local same = unchanged(t, name, first, second)
  if same then -- in the layout of both
    t:bind(result, t:as(same.node, t:join(name, first.axes, second.axes)))
  else
    t:bind(result, combine(t, name, first, second))
  end
end

for _, name in ipairs(OPERATORS) do
  rules[name] = function(t, arguments, results)
    operator(t, name, arguments[1], arguments[2], results[1])
  end
end

function rules.multiply(t, arguments, results)
  local a, b = arguments[1], arguments[2]
  if not (is_mask(t, a) or is_mask(t, b)) then
    operator(t, "multiply", a, b, results[1])
  elseif type(a) == "number" or type(b) == "number" then -- as zoneout scales its masks
    t.bound[results[1]] = { mask = t.bound[is_mask(t, a) and a or b].mask }
  else
    t:bind(results[1], masked(t, a, b))
  end
end

function rules.gt(t, arguments, results)
  operator(t, "lt", arguments[2], arguments[1], results[1])
end

function rules.ge(t, arguments, results)
  operator(t, "le", arguments[2], arguments[1], results[1])
end

function rules.ne(t, arguments, results)
  local equal = combine(t, "eq", t:value(arguments[1]), t:value(arguments[2]))
  t:bind(results[1], combine(t, "subtract", t:value(1), equal))
end

--- Where c is not 0, a, else b; all of the same width.
local function choose(t, c, a, b)
  local axes = t:common("where", { c, a, b })
  local nodes = { t:spread("where", c, axes), t:spread("where", a, axes), t:spread("where", b, axes) }
  return t:as(t:node("where", nodes, {}, layout.features(axes)), axes)
end

function rules.where(t, arguments, results)
  t:bind(results[1], choose(t, t:value(arguments[1]), t:value(arguments[2]), t:value(arguments[3])))
end

--- elu and leaky_relu; another slope is composed.
for _, name in ipairs { "elu", "leaky_relu" } do
  rules[name] = function(t, arguments, results)
    local x, slope = t:value(arguments[1]), arguments[2]
    if not slope then
      t:bind(results[1], apply(t, name, x))
      return
    end
    local below = name == "elu" and combine(t, "subtract", apply(t, "exp", x), t:value(1)) or x
    local is_above = combine(t, "lt", t:value(0), x)
    t:bind(results[1], choose(t, is_above, x, combine(t, "multiply", t:value(slope), below)))
  end
end

-- --- The same values -------------------------------------------------------------------

for _, name in ipairs { "clone", "detach", "contiguous" } do
  rules[name] = function(t, arguments, results)
    local x, y = arguments[1], results[1]
    t.kept_by[y] = t.kept_by[x]
    t.bound[y] = t.bound[x] or t:value(x)
  end
end

return rules
