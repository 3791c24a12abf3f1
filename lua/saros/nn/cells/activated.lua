--- Cells with other functions than tanh and the sigmoid, which the fused ones have:
--- the same equations as cells of nn.cell, compiled from their definition. Their
--- parameters have the shapes and gate orders of the fused layers.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local lazy = require "saros.lazy"
local sorted = require "saros.sorted"

local late = lazy({}, { cell = { "saros.nn.cell", "cell" } }) -- which needs modules

local activated = {}

--- What may stand in place of tanh and the sigmoid, beside the core's functions.
local FUNCTIONS = {
  identity = function(x) return x end,
  softsign = function(x) return x / (x:abs() + 1) end,
  hard_sigmoid_keras = function(x) return (x * 0.2 + 0.5):minimum(1):maximum(0) end, -- Keras before version 3
}
for _, name in ipairs { "tanh", "sigmoid", "relu", "hard_sigmoid", "hard_tanh", "softplus", "silu", "gelu",
  "gelu_tanh", "elu", "leaky_relu", "sin", "cos" } do
  FUNCTIONS[name] = core[name]
end

local names = sorted.keys(FUNCTIONS)

activated.activation = { "activation", options.one_of(names), "tanh" }
activated.gate_activation = { "gate_activation", options.one_of(names), "sigmoid" }

-- --- Definitions -----------------------------------------------------------------------------

--- Parts of (B, G H), one for each gate.
local function gates(a, H, count)
  local parts = {}
  for n = 1, count do
    parts[n] = a:slice(2, (n - 1) * H + 1, n * H)
  end
  return table.unpack(parts)
end

--- W x + b of all gates, from x or from a state.
local function product(p, which, v, count, o, first, last)
  local weight = p["weight_" .. which]:tensor { count * p.hidden, which == "ih" and p.inputs or p.hidden }
  local bias = o.bias and p["bias_" .. which]:tensor { count * p.hidden } or nil
  if first then
    weight, bias = weight:slice(1, first, last), bias and bias:slice(1, first, last)
  end
  return core.linear(v, weight, bias)
end

local function rnn(o)
  local f = FUNCTIONS[o.activation]
  return function(p, x, h)
    return f(product(p, "ih", x, 1, o) + product(p, "hh", h, 1, o))
  end
end

local function lstm(o)
  local f, gate = FUNCTIONS[o.activation], FUNCTIONS[o.gate_activation]
  return function(p, x, h, c)
    local i, forget, g, out = gates(product(p, "ih", x, 4, o) + product(p, "hh", h, 4, o), p.hidden, 4)
    i, forget = p:named("input", gate(i)), p:named("forget", gate(forget))
    local new = forget * c + i * p:named("candidate", f(g))
    return p:named("output", gate(out)) * f(new), new
  end
end

local function gru(o)
  local f, gate = FUNCTIONS[o.activation], FUNCTIONS[o.gate_activation]
  return function(p, x, h)
    local H = p.hidden
    local xr, xz, xn = gates(product(p, "ih", x, 3, o), H, 3)
    local hr, hz = gates(product(p, "hh", h, 3, o, 1, 2 * H), H, 2)
    local r, z = p:named("reset", gate(xr + hr)), p:named("update", gate(xz + hz))
    local n
    if o.reset == "before" then
      n = f(xn + product(p, "hh", r * h, 3, o, 2 * H + 1, 3 * H))
    else
      n = f(xn + r * product(p, "hh", h, 3, o, 2 * H + 1, 3 * H))
    end
    return (1 - z) * p:named("candidate", n) + z * h
  end
end

local KINDS = {
  rnn = { step = rnn, gates = 1, states = { "h" } },
  lstm = { step = lstm, gates = 4, states = { "h", "c" } },
  gru = { step = gru, gates = 3, states = { "h" } },
}

-- Options of layers that these definitions have, too.
local SHARED = { "input", "hidden", "layers", "bidirectional", "dropout", "variational", "residual", "learn_state",
  "batch_first", "recurrent_dropout", "zoneout" }

-- Options of layers that mean nothing special at these values.
local PLAIN = { bias = true, activation = true, gate_activation = true, reset = true }

--- True if the fused kernels have these functions.
---@param name string
---@param o table
---@return boolean
function activated.is_fused(name, o)
  return (o.activation == nil or o.activation == "tanh" or name == "rnn" and o.activation == "relu")
    and (o.gate_activation == nil or o.gate_activation == "sigmoid")
end

--- What nn.recurrent is given for such a layer. Errors at options that its
--- definition lacks.
---@param name string  "rnn", "lstm" or "gru"
---@param o table  the checked options of the layer
---@return table
function activated.given(name, o)
  local kind, given, known = KINDS[name], {}, {}
  for _, key in ipairs(SHARED) do
    given[key], known[key] = o[key], true
  end
  for key, value in pairs(o) do
    if not known[key] and not PLAIN[key] and value and value ~= 0 then
      options.fail(("nn.%s: expected no %s with activations other than tanh and sigmoid, got %s"):format(
        name, key, options.describe(value)))
    end
  end
  local bound = 1 / math.sqrt(o.hidden)
  local parameters = {
    weight_ih = { value = initialize.gates(bound, kind.gates, false) },
    weight_hh = { value = initialize.gates(bound, kind.gates, true) },
  }
  if o.bias then
    parameters.bias_ih = { value = initialize.bias(bound) }
    parameters.bias_hh = { value = initialize.bias(bound) }
  end
  given.cell = late.cell(name, { states = kind.states, parameters = parameters }, kind.step(o))
  return given
end

return activated
