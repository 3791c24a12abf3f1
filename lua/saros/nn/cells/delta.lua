--- Delta layers: in each of H heads a matrix M (K x V) that associates keys with values
--- and is written by the delta rule. Of a step's query q, keys k and values v
---
---     M <- diag(a) M                                    what is kept
---     M <- M + k (write v - erase (k^T M))^T            for each of n reflections
---     y = W_o (norm(q^T M) silu(W_g x))
---
--- so what a key stood for is replaced, not added to (Schlag et al. 2021; Yang et al.
--- 2024, "Parallelizing Linear Transformers with the Delta Rule over Sequence Length").
--- q, k and v are silu(convolution(W x)) of a short causal convolution of each feature;
--- keys and queries have unit length in each head, and queries are scaled by K^-1/2.
---
--- To follow a state over thousands of steps, reflect with `qkv_activation = "none"` and
--- `output_norm = false` and without a convolution: silu leaves keys few directions to
--- reflect by, and the norm hides from the loss that the length of what is read drifts.
---
--- Options choose the member of the family:
---
---     gate = "head"                 Gated DeltaNet (Yang et al. 2025): one a for each head
---     gate = "channel"              Kimi Delta Attention (2025): one for each feature of the keys
---     gate = "none"                 DeltaNet: nothing is forgotten but what is replaced
---     reflect = true                erase gates in (0, 2): a step may reflect, which counts and permutes
---                                   (Grazzi et al. 2024, "Unlocking State-Tracking in Linear RNNs")
---     reflections = n               DeltaProduct (Siems et al. 2025): n keys and values a step
---     erase = "none", gate = ...    gated linear attention, the scalar form of Mamba-2
---     exact = true or a number      all heads, or the last ones, step by integers and do not drift at any length:
---                                   see saros.nn.exact. They have no decay, and q, k and v are linear
---
--- The walk over time is core.delta; what is around it is in saros.nn.delta_layer.

local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local gated = require "saros.nn.cells.gated"
local matrix = require "saros.nn.cells.matrix"
local lazy = require "saros.lazy"

local late = lazy({}, { layer = { "saros.nn.delta_layer", "new" } })

---@class saros.nn.DeltaOptions: saros.nn.MatrixOptions  convolutions of q, k and v; the output gate is silu(W_g x)
---@field gate? "none"|"head"|"channel"  a: 1, a number for each head, or for each feature of the keys ("head")
---@field erase? "write"|"separate"|"none"  the erase gate: the write gate, one of its own, or 0 ("write")
---@field reflect? boolean  is the erase gate 2 sigmoid in place of sigmoid? With erase = "write" both are (false)
---@field reflections? integer  n: keys and values of a step (1)
---@field qkv_activation? "silu"|"none"  of q, k and v, behind the convolutions ("silu")
---@field exact? boolean|integer  heads that step by integers: true: all; a number: the last ones (false). A layer with
---  no others has 8 heads of key_size = value_size = 4, no convolution, output_norm or output_gate, if nothing else is
---  given; two reflections take it through all permutations of three rows, n - 1 of n rows
---@field remember? integer  a starts as if heads or channels kept values for 1 to `remember` steps, each for its own
---  time (none: as in Mamba-2, most of them for tens to thousands of steps)

---@class saros.nn.RecurrentConstructors
---@field delta fun(given: saros.nn.DeltaOptions): saros.nn.Recurrent  `nn.delta { 64, 128, heads = 4 }`; its state is
---  { matrix (B, H K V) } and, with convolutions, what these have read: queries (B, (k - 1) H K), keys
---  (B, (k - 1) n H K) and values (B, (k - 1) n H V)

-- `true` stands for all heads.
local exact_kind = options.kind("true, false or a number of heads", function(value)
  return type(value) == "boolean" and (value or 0) or options.count.accept(value)
end)

-- --- Options ------------------------------------------------------------------------------

-- Of layers with nothing but exact heads: few rows are found best.
local EXACT_HEADS, EXACT_SIZE = 8, 4

--- The number of exact heads; of a layer that has no others, the sizes.
local function check_exact(o)
  if o.exact == true then
    o.heads = o.heads or EXACT_HEADS
    o.key_size, o.value_size, o.convolution = o.key_size or EXACT_SIZE, o.value_size or EXACT_SIZE, o.convolution or 0
    o.exact = o.heads
    o.output_norm, o.output_gate = o.output_norm or false, o.output_gate or false
  end
  o.exact = o.exact or 0
  if o.exact > 0 and o.learn_state then
    return "expected no learn_state with exact heads, whose first matrix is the identity"
  end
end

--- What is wrong with the options, if anything; fills in those that follow from others.
local function check(o)
  local problem = check_exact(o) or matrix.check(o)
  if problem then
    return problem
  elseif o.exact > o.heads then
    return ("expected at most %d exact heads, got %d"):format(o.heads, o.exact)
  end
  o.gate = o.exact < o.heads and o.gate or "none" -- nothing decays in exact heads
  if o.reflect and o.erase == "none" then
    return 'expected reflect = false with erase = "none", got true'
  elseif o.remember and o.gate == "none" then
    return 'expected gate = "head" or "channel" with remember, got "none"'
  end
end

-- --- Parameters ---------------------------------------------------------------------------

--- exp(A) softplus(bias) is the logarithm of what is forgotten in a step: exp(A) in 1..16
--- and softplus(bias) in 0.001..0.1, as in Mamba-2 (Dao and Gu 2024); or 1 / n together,
--- for n steps that each head or channel has for itself.
local LEAST, MOST, FASTEST = 1e-3, 0.1, 16

local function fill_rate(o)
  return function(tensor, generator)
    tensor:assign(o.remember and tensor * 0 or generator:uniform(tensor:shape(), 1, FASTEST):log())
  end
end

local function fill_decay_bias(o)
  return function(tensor, generator)
    local shape = tensor:shape()
    local rate = o.remember and 1 / generator:uniform(shape, 1, o.remember - 1)
      or generator:uniform(shape, math.log(LEAST), math.log(MOST)):exp()
    tensor:assign((rate:exp() - 1):log()) -- the inverse of softplus
  end
end

--- Of the decay: the rows of the merged gates that it takes, and what makes a of them.
local function add_decay(o, p, add)
  local H, K = o.heads - o.exact, o.key_size
  if o.gate == "none" then
    return 0
  end
  local is_channel = o.gate == "channel"
  if is_channel then
    p.weight_decay = add("weight_decay", { H * K, K }, initialize.matrix(K ^ -0.5))
  end
  p.bias_decay = add("bias_decay", { is_channel and H * K or H }, fill_decay_bias(o))
  p.rate_log = add("rate_log", { H }, fill_rate(o))
  return is_channel and K or H
end

--- The parameters of one layer in one direction.
local function add_delta(_, o, inputs, add)
  local H, n = o.heads, o.reflections
  local widths = { q = H * o.key_size, k = n * H * o.key_size, v = n * H * o.value_size }
  local p = matrix.add_inputs(o, inputs, add, widths, { "q", "k", "v" })
  local of_decay = add_decay(o, p, add)
  local gates = n * H + n * (o.erase == "separate" and H - o.exact or 0) + of_decay
  p.weight_gates = add("weight_gates", { gates, inputs }, initialize.matrix(inputs ^ -0.5))
  matrix.add_outputs(o, inputs, add, p)
  return matrix.made(o, p, late.layer(o, inputs, p, widths))
end

---@type saros.nn.Cell
return {
  gates = 4, -- queries, keys, values and the output gate
  linear = true,
  states = { "matrix", "queries", "keys", "values" },
  lacks = matrix.lacks,
  options = matrix.options_with {
    { "gate", options.one_of { "none", "head", "channel" }, "head" },
    { "erase", options.one_of { "write", "separate", "none" }, "write" },
    { "reflect", options.boolean, false },
    { "reflections", options.size, 1 },
    { "qkv_activation", options.one_of { "silu", "none" }, "silu" },
    { "exact", options.optional(exact_kind) },
    gated.remember_option,
  },
  operation = function()
    return "delta"
  end,
  check = check,
  add = add_delta,
  definitions = {},
}
