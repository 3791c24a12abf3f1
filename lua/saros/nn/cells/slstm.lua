--- The sLSTM (Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory"): an LSTM whose
--- input gate is an exponential and whose cell state is divided by a normaliser n, in
--- heads: the units of a head read the state of their own head alone.
---
---     i = exp(a_i)   f = sigmoid(a_f) or exp(a_f)   z = tanh(a_z)   o = sigmoid(a_o)
---     c(t) = f c(t-1) + i z     n(t) = f n(t-1) + i     h(t) = o c(t) / n(t)
---     a = W x(t) + b + U h(t-1), U block-diagonal
---
--- exp may overflow, so c and n are kept in units of e^m, a stabiliser that h does not
--- depend on. The paper takes m(t) = max(log f + m(t-1), a_i). Here m is the logarithm of
--- n itself, so that n in these units is 1 and c in these units is c / n:
---
---     d = a_i - log f - m(t-1)          how much more i weighs than all before it
---     s = sigmoid(d)                    its share, i / n(t)
---     m(t) = a_i + softplus(-d)         log n(t)
---     c(t) = c(t-1) + s (z - c(t-1))    h(t) = o c(t)
---
--- That is finite for any pre-activations, and |c| < 1. At first n = 0: m = EMPTY, where
--- s = 1 and m(1) = a_i, as in the released code, which asks for n = 0 instead.

local core = require "saros.core"
local options = require "saros.options"
local gated = require "saros.nn.cells.gated"
local initialize = require "saros.nn.initialize"
local lazy = require "saros.lazy"

local late = lazy({}, { cell = { "saros.nn.cell", "cell" } })

---@class saros.nn.SlstmOptions: saros.nn.RecurrentOptions  without layer_norm
---@field heads? integer  a divisor of H (the largest up to 4)
---@field forget? "sigmoid"|"exponential"  what f is of its pre-activation ("sigmoid", as in the released code)
---@field forget_bias? number  where the forget gates' bias starts (as the others)
---@field remember? integer  as of the LSTM

---@class saros.nn.RecurrentConstructors
---@field slstm fun(given: saros.nn.SlstmOptions): saros.nn.Recurrent  `nn.slstm { 64, 128, heads = 4 }`

local GATES = 4 -- rows of the weights: i f z o

--- The logarithm of a weight that is nothing beside all others, in float, too.
local EMPTY = -1e30

local function heads_of(o)
  return o.heads or gated.usual_heads(o.hidden)
end

--- The name of the weights of a head's product, (4 D, D) for D units.
local function weights_of(head)
  return "weight_hh_" .. head
end

--- U h: the products of all heads, gate by gate.
local function from_state(p, h, heads)
  local D, sums = p.hidden // heads, {}
  for head = 1, heads do
    local U = p[weights_of(head)]
    local own = heads > 1 and h:slice(2, (head - 1) * D + 1, head * D) or h
    sums[head] = U:mapped(core.linear, own, U:tensor { GATES * D, D })
  end
  if heads == 1 then
    return sums[1]
  end
  return core.concatenate(sums, 2):reshape(-1, heads, GATES, D):transpose(2, 3):reshape(-1, GATES * p.hidden)
end

local function step_of(o)
  local heads = heads_of(o)
  return function(p, x, h, c, m)
    local bias = o.bias and p.bias:tensor { GATES * p.hidden } or nil
    local a = core.linear(x, p.weight_ih:tensor { GATES * p.hidden, p.inputs }, bias) + from_state(p, h, heads)
    local function gate(n)
      return a:slice(2, (n - 1) * p.hidden + 1, n * p.hidden)
    end
    local input, forget = gate(1), gate(2)
    local kept = o.forget == "sigmoid" and m - core.softplus(-forget) or m + forget
    local weight = input - kept
    local share = p:named("input", core.sigmoid(weight))
    m = input + core.softplus(-weight) -- whose slope is 1 - share
    c = c + share * (p:named("candidate", core.tanh(gate(3))) - c)
    return p:named("output", core.sigmoid(gate(4))) * c, c, m
  end
end

-- --- How parameters begin --------------------------------------------------------------

--- Forget gates as if units kept values for 1 to o.remember steps, or at forget_bias.
local function bias(o, bound)
  if o.forget_bias then
    return gated.bias_with("bias_ih", o, bound, function() return { [2] = o.forget_bias } end)
  elseif o.remember and o.forget == "exponential" then -- log f, of the same f
    return gated.bias_with("bias_ih", o, bound, function(generator)
      return { [2] = -(1 / generator:uniform({ o.hidden }, 1, o.remember - 1) + 1):log() }
    end)
  end
  return gated.remembering { [2] = 1 }("bias_ih", o, bound)
end

--- A learned first state is a value c of weight e^m, 1 at first; else there is none.
local function maker(o)
  local bound = 1 / math.sqrt(o.hidden)
  local parameters = {
    weight_ih = { value = initialize.gates(bound, GATES, false) },
    bias = o.bias and { value = bias(o, bound) } or nil,
  }
  for head = 1, heads_of(o) do
    parameters[weights_of(head)] = { value = initialize.gates(bound, GATES, true) }
  end
  local states = { "h", "c", { "m", first = o.learn_state and 0 or EMPTY } }
  return late.cell("slstm", { states = states, parameters = parameters }, step_of(o))
end

local function check(o)
  if o.hidden % heads_of(o) > 0 then
    return ("expected heads to be a divisor of hidden, got %d heads of %d units"):format(o.heads, o.hidden)
  end
  return gated.remember_problem(o)
end

---@type saros.nn.Cell
return {
  gates = GATES,
  states = { "h", "c", "m" },
  lacks = { "layer_norm" },
  options = {
    { "heads", options.optional(options.size) },
    { "forget", options.one_of { "sigmoid", "exponential" }, "sigmoid" },
    { "forget_bias", options.optional(options.number) },
    gated.remember_option,
  },
  check = check,
  maker = maker,
  named = { { "input", "input" }, { "candidate", "candidate" }, { "output", "output" } },
}
