-- Programs of random operations, whose values stay near 1: for what reads programs.

local saros = require "saros"

local Build = {}
Build.__index = Build

function Build:number(n)
  return self.generator:integer(n)
end

function Build:pick(list)
  return list[self:number(#list)]
end

-- A node; its number.
function Build:add(op, inputs, width, fields)
  local node = { op = op, ["in"] = inputs }
  for name, value in pairs(fields or {}) do
    node[name] = value
  end
  self.nodes[#self.nodes + 1] = node
  self.widths[#self.nodes - 1] = width
  return #self.nodes - 1
end

function Build:parameter(...)
  local shape, count = { ... }, 1
  for _, size in ipairs(shape) do
    count = count * size
  end
  local name = ("p.%d"):format(#self.parameters)
  self.parameters[#self.parameters + 1] = { name = name, shape = shape }
  self.tensors[name] = self.generator:normal(shape) * 0.4
  return self:add("parameter", nil, count, { parameter = #self.parameters - 1 })
end

function Build:state(width, fields)
  local state = { name = ("s%d"):format(#self.states), width = width }
  for name, value in pairs(fields or {}) do
    state[name] = value
  end
  self.states[#self.states + 1] = state
  return #self.states - 1
end

-- Any value that changes from step to step.
function Build:value()
  return self:pick(self.values)
end

function Build:linear(x, width)
  local bias = self:number(2) == 1 and self:parameter(width) or nil
  return self:add("linear", { x, self:parameter(width, self.widths[x]), bias }, width)
end

-- A value of that width: one that there is, or a product.
function Build:of_width(width)
  local fitting = {}
  for _, value in ipairs(self.values) do
    if self.widths[value] == width then
      fitting[#fitting + 1] = value
    end
  end
  if #fitting > 0 and self:number(3) > 1 then
    return self:pick(fitting)
  end
  return self:add("tanh", { self:linear(self:value(), width) }, width)
end

-- (outer, n, inner) of a width.
function Build:shape(width)
  local divisors = {}
  for n = 1, width do
    divisors[#divisors + 1] = width % n == 0 and n or nil
  end
  local outer = self:pick(divisors)
  local rest = {}
  for n = 1, width // outer do
    rest[#rest + 1] = (width // outer) % n == 0 and n or nil
  end
  local n = self:pick(rest)
  return outer, n, width // outer // n
end

local function unary(op, safe)
  return function(self)
    local x = self:value()
    local width = self.widths[x]
    if safe == "positive" then
      x = self:add("add", { self:add("abs", { x }, width), self:add("constant", nil, 1, { value = 0.5 }) }, width)
    end
    return self:add(op, { x }, width, (op == "elu" or op == "leaky_relu") and { slope = 0.3 } or nil), width
  end
end

local makers = {}

for _, op in ipairs { "negate", "abs", "exp", "tanh", "sigmoid", "relu", "sin", "cos", "softplus", "silu", "gelu",
  "gelu_tanh", "elu", "leaky_relu", "hard_sigmoid", "hard_tanh", "isfinite", "isnan" } do
  makers[#makers + 1] = unary(op)
end
makers[#makers + 1] = unary("log", "positive")
makers[#makers + 1] = unary("sqrt", "positive")

for _, op in ipairs { "add", "subtract", "multiply", "maximum", "minimum", "lt", "le" } do
  makers[#makers + 1] = function(self)
    local a = self:value()
    local width = self.widths[a]
    local b = self:of_width(self:number(4) == 1 and 1 or width)
    if self:number(2) == 1 then
      a, b = b, a
    end
    return self:add(op, { a, b }, width), width
  end
end

for _, op in ipairs { "divide", "power" } do
  makers[#makers + 1] = function(self)
    local base, width = unary("sqrt", "positive")(self)
    local other = self:of_width(width)
    return self:add(op, op == "divide" and { other, base } or { base, other }, width), width
  end
end

for _, op in ipairs { "sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax", "cumsum" } do
  makers[#makers + 1] = function(self)
    local x = self:value()
    local outer, n, inner = self:shape(self.widths[x])
    local keeps = op:find "softmax" or op == "cumsum"
    local width = outer * inner * (keeps and n or 1)
    return self:add(op, { x }, width, { outer = outer, n = n, inner = inner }), width
  end
end

local others = {
  function(self)
    local width = self:number(12)
    return self:linear(self:value(), width), width
  end,
  function(self)
    local width = self:number(5)
    return self:add("lookup", { self.id, self:parameter(self.symbols, width) }, width), width
  end,
  function(self)
    local a = self:value()
    local width = self.widths[a]
    return self:add("where", { self:of_width(1), a, self:of_width(width) }, width), width
  end,
  function(self)
    local x, times = self:value(), self:number(3)
    local outer, n, inner = self:shape(self.widths[x])
    local width = self.widths[x] * times
    return self:add("expand", { x }, width, { outer = outer, times = times, inner = n * inner }), width
  end,
  function(self)
    local x = self:value()
    local outer, n, inner = self:shape(self.widths[x])
    local count = self:number(n)
    local fields = { outer = outer, n = n, inner = inner, from = n - count, count = count }
    if self:number(2) == 1 then
      fields.from, fields.step = n - 1, -1
    end
    return self:add("slice", { x }, outer * count * inner, fields), outer * count * inner
  end,
  function(self)
    local a, b = self:value(), self:value()
    local width = self.widths[a] + self.widths[b]
    return self:add("concatenate", { a, b, a }, width + self.widths[a]), width + self.widths[a]
  end,
  function(self)
    local x = self:value()
    local outer = self:shape(self.widths[x])
    local b = self:of_width(outer)
    return self:add("concatenate", { x, b }, self.widths[x] + outer, { outer = outer }), self.widths[x] + outer
  end,
  function(self)
    local x = self:value()
    local outer, a, rest = self:shape(self.widths[x])
    return self:add("transpose", { x }, self.widths[x], { outer = outer, a = a, b = rest, inner = 1 }), self.widths[x]
  end,
  function(self)
    local x = self:of_width(8)
    return self:add("layer_norm", { x, self:parameter(4), self:parameter(4) }, 8, { n = 4, epsilon = 0.1 }), 8
  end,
  function(self)
    local x = self:of_width(6)
    local gain = self:number(2) == 1 and self:parameter(6) or nil
    return self:add("rms_norm", { x, gain }, 6, { n = 6, epsilon = 0.1 }), 6
  end,
  function(self)
    local m, transposed = self:of_width(12), self:number(2) == 1
    local width = transposed and 6 or 4
    return self:add("matvec", { m, self:of_width(transposed and 4 or 6) }, width,
      { heads = 2, rows = 2, columns = 3, transposed = transposed or nil }), width
  end,
  function(self)
    return self:add("outer", { self:of_width(4), self:of_width(6) }, 12, { heads = 2 }), 12
  end,
  function(self)
    return self:add("dropout", { self:of_width(3) }, 3, { p = 0.3 }), 3
  end,
  function(self)
    local taps, dilation, width = 1 + self:number(3), self:number(3), self:number(4)
    if self.reverse then
      return self:linear(self:value(), width), width
    end
    local x = self:of_width(width)
    local state = self:state((taps - 1) * dilation * width)
    local node = self:add("window", { x }, taps * width, { state = state, dilation = dilation })
    self.states[state + 1].next = node
    return node, taps * width
  end,
  function(self)
    local F, W = 4, 1 + self:number(4)
    if self.reverse then
      return self:linear(self:value(), F), F
    end
    local states = { self:state((W - 1) * 2 * F), self:state(W - 1) }
    local inputs = { self:of_width(F), self:of_width(F), self:of_width(F), self:parameter(2, W) }
    local node = self:add("attention", inputs, F, { heads = 2, window = W, states = states })
    for _, state in ipairs(states) do
      self.states[state + 1].next = node
    end
    return node, F
  end,
  function(self)
    local heads, n, K, V = 2, self:number(2), self:number(2), self:number(3)
    local function made(op, width) -- what keeps the matrices small: keys in -1..1, gates in 0..1
      return self:add(op, { self:linear(self:value(), width) }, width)
    end
    local write, one = made("sigmoid", n * heads), self:add("constant", nil, 1, { value = 1 })
    local erase = self:pick { write, made("sigmoid", n * heads), self:add("constant", nil, 1, { value = 0 }) }
    local decay = self:pick { false, heads, heads * K }
    local state = self:state(heads * K * V, { reverse = self.reverse,
      first = self:number(2) == 1 and self:parameter(heads * K * V) or nil })
    local inputs = { made("tanh", heads * K), made("tanh", n * heads * K), made("tanh", n * heads * V),
      self:pick { write, one }, erase, decay and self:add("log", { made("sigmoid", decay) }, decay) or nil }
    local node = self:add("delta", inputs, heads * V, { heads = heads, states = { state },
      reflections = n > 1 and n or nil })
    self.states[state + 1].next = node
    return node, heads * V
  end,
  function(self) -- an invariant beside what changes
    local a, b = self:parameter(5), self:parameter(5)
    local gain = self:add("exp", { self:add("multiply", { a, b }, 5) }, 5)
    local part = self:add("slice", { gain }, 3, { outer = 1, n = 5, inner = 1, from = 1, count = 3 })
    return self:add("multiply", { self:of_width(3), part }, 3), 3
  end,
}
for _ = 1, 2 do -- twice as often as functions of elements
  table.move(others, 1, #others, #makers + 1, makers)
end

local function add_operation(self)
  local node, width = self:pick(makers)(self)
  if self:number(2) == 1 or width > 40 then
    if width > 40 then
      node, width = self:linear(node, 5), 5
    end
    node = self:add("tanh", { node }, width)
  end
  self.values[#self.values + 1] = node
end

-- States of which the values are known, and whose next ones follow.
local function add_states(self)
  self.plain = {}
  for n = 1, 2 + self:number(2) do
    local width = self:number(6)
    local first
    if n % 2 == 0 then
      first = self:add("tanh", { self:parameter(width) }, width)
    end
    local state = self:state(width, { first = first, reverse = self.reverse })
    self.plain[#self.plain + 1] = state
    self.values[#self.values + 1] = self:add("state", nil, width, { state = state })
  end
end

-- What states become: any value, and sometimes what another state was.
local function close_states(self)
  for _, state in ipairs(self.plain) do
    local width = self.states[state + 1].width
    local node = self:of_width(width)
    if self:number(2) == 1 then
      node = self:add("tanh", { node }, width)
    end
    self.states[state + 1].next = node
  end
end

local random = {}

-- Layers of `count` operations each. A state is made of values of its own layer and of
-- those before, so no loop has both directions in it.
local function add_layers(self, count, directions)
  for _, direction in ipairs(directions) do
    self.reverse = direction == "back" or nil
    add_states(self)
    for _ = 1, count do
      add_operation(self)
    end
    close_states(self)
  end
end

--- A program of layers of `count` operations: two inputs, "x" of 5 features and "id", two
--- outputs; its parameters, and what it reads in T steps.
---@param directions? string[]  of each layer, "on" or "back" ({ "on" })
function random.program(seed, count, T, directions)
  local self = setmetatable({ generator = saros.generator(seed), nodes = {}, widths = {}, parameters = {}, states = {},
    tensors = {}, values = {}, symbols = 4 }, Build)
  self.values[1] = self:add("input", nil, 5, { name = "x", width = 5 })
  self.id = self:add("ids", nil, 1, { name = "id", count = self.symbols })
  add_layers(self, count, directions or { "on" })
  local last = self.values[#self.values]
  local program = { format = 1, parameters = self.parameters, states = self.states, nodes = self.nodes,
    outputs = { { name = "y", node = last }, { name = "side", node = self:value() } } }
  local x, ids = self.generator:normal { T, 5 }, {}
  for t = 1, T do
    ids[t] = self.generator:integer(self.symbols) - 1
  end
  return program, self.tensors, { x = x:totable(), id = ids }
end

return random
