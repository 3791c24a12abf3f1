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
--- Options choose the member of the family:
---
---     gate = "head"                 Gated DeltaNet (Yang et al. 2025): one a for each head
---     gate = "channel"              Kimi Delta Attention (2025): one for each feature of the keys
---     gate = "none"                 DeltaNet: nothing is forgotten but what is replaced
---     reflect = true                erase gates in (0, 2): a step may reflect, which counts and permutes
---                                   (Grazzi et al. 2024, "Unlocking State-Tracking in Linear RNNs")
---     reflections = n               DeltaProduct (Siems et al. 2025): n keys and values a step
---     erase = "none", gate = ...    gated linear attention, the scalar form of Mamba-2
---
--- The walk over time is core.delta; what is around it is in saros.nn.delta_layer.

local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local gated = require "saros.nn.cells.gated"
local lazy = require "saros.lazy"

local late = lazy({}, { layer = { "saros.nn.delta_layer", "new" } })

---@class saros.nn.DeltaOptions: saros.nn.RecurrentOptions  without biases, layer_norm, recurrent_dropout and zoneout
---@field heads? integer  H (the largest divisor of hidden up to 4)
---@field key_size? integer  K: features of a key in each head (hidden / heads)
---@field value_size? integer  V: of a value (hidden / heads)
---@field gate? "none"|"head"|"channel"  a: 1, a number for each head, or for each feature of the keys ("head")
---@field erase? "write"|"separate"|"none"  the erase gate: the write gate, one of its own, or 0 ("write")
---@field reflect? boolean  is the erase gate 2 sigmoid in place of sigmoid? With erase = "write" both are (false)
---@field reflections? integer  n: keys and values of a step (1)
---@field convolution? integer  steps that the convolutions of q, k and v read, 2 or more; 0: none (4)
---@field output_gate? boolean  silu(W_g x) (true)
---@field pre_norm? boolean  an RMS norm of the layer's input, as in the residual blocks of transformers (as `residual`)
---@field remember? integer  a starts as if heads or channels kept values for 1 to `remember` steps, each for its own
---  time (none: as in Mamba-2, most of them for tens to thousands of steps)

---@class saros.nn.RecurrentConstructors
---@field delta fun(given: saros.nn.DeltaOptions): saros.nn.Recurrent  `nn.delta { 64, 128, heads = 4 }`; its state is
---  { matrix (B, H K V) } and, with convolutions, what these have read: queries (B, (k - 1) H K), keys
---  (B, (k - 1) n H K) and values (B, (k - 1) n H V)

-- --- Options ------------------------------------------------------------------------------

-- Options of other cells that this one has no use for, and what they are without use.
local LACKS = { "recurrent_dropout", "zoneout", "layer_norm" }

--- What is wrong with the options, if anything; fills in those that follow from others.
local function check(o)
  for _, name in ipairs(LACKS) do
    if o[name] and o[name] ~= 0 then
      return ("expected no %s, which this cell does not have"):format(name)
    end
  end
  if not o.bias then
    return "expected no bias = false: biases that could be left out are what this cell does not have"
  end
  if not o.heads then
    o.heads = 4
    while o.hidden % o.heads ~= 0 do
      o.heads = o.heads - 1
    end
  end
  if o.hidden % o.heads ~= 0 and not (o.key_size and o.value_size) then
    return ("expected heads that divide hidden = %d, or key_size and value_size, got %d"):format(o.hidden, o.heads)
  elseif o.convolution == 1 then
    return "expected convolution = 0 or at least 2 steps, got 1"
  elseif o.reflect and o.erase == "none" then
    return 'expected reflect = false with erase = "none", got true'
  elseif o.remember and o.gate == "none" then
    return 'expected gate = "head" or "channel" with remember, got "none"'
  end
  o.key_size, o.value_size = o.key_size or o.hidden // o.heads, o.value_size or o.hidden // o.heads
  if o.pre_norm == nil then
    o.pre_norm = o.residual
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

--- Uniform as PyTorch's convolutions, under every scheme: a filter is no matrix.
local function fill_taps(steps)
  local bound = steps ^ -0.5
  return function(tensor, generator)
    generator:fill_uniform(tensor, -bound, bound)
  end
end

--- Of the decay: the rows of the merged gates that it takes, and what makes a of them.
local function add_decay(o, p, add)
  local H, K = o.heads, o.key_size
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
  local H, n, steps, bound = o.heads, o.reflections, o.convolution, inputs ^ -0.5
  local p, one = {}, initialize.constant(1)
  local widths = { q = H * o.key_size, k = n * H * o.key_size, v = n * H * o.value_size }
  if o.pre_norm then
    p.norm_in = add("norm_in_weight", { inputs }, one)
  end
  for _, name in ipairs { "q", "k", "v" } do
    p["weight_" .. name] = add("weight_" .. name, { widths[name], inputs }, initialize.matrix(bound))
  end
  for _, name in ipairs(steps > 0 and { "q", "k", "v" } or {}) do
    p["taps_" .. name] = add("taps_" .. name, { widths[name], steps }, fill_taps(steps))
  end
  local of_decay = add_decay(o, p, add)
  local gates = n * H * (o.erase == "separate" and 2 or 1) + of_decay
  p.weight_gates = add("weight_gates", { gates, inputs }, initialize.matrix(bound))
  if o.output_gate then
    p.weight_g = add("weight_g", { H * o.value_size, inputs }, initialize.matrix(bound))
  end
  p.norm_out = add("norm_out_weight", { o.value_size }, one)
  p.weight_o = add("weight_o", { o.hidden, H * o.value_size }, initialize.matrix((H * o.value_size) ^ -0.5))
  local own = late.layer(o, inputs, p, widths)
  return { parameters = p, own = own, output = o.hidden, sizes = own.sizes, named = own.named, learned = 1,
    ends_in_output = true }
end

---@type saros.nn.Cell
return {
  gates = 4, -- queries, keys, values and the output gate
  linear = true,
  states = { "matrix", "queries", "keys", "values" },
  options = {
    { "heads", options.optional(options.size) },
    { "key_size", options.optional(options.size) },
    { "value_size", options.optional(options.size) },
    { "gate", options.one_of { "none", "head", "channel" }, "head" },
    { "erase", options.one_of { "write", "separate", "none" }, "write" },
    { "reflect", options.boolean, false },
    { "reflections", options.size, 1 },
    { "convolution", options.at_least(0), 4 },
    { "output_gate", options.boolean, true },
    { "pre_norm", options.optional(options.boolean) },
    gated.remember_option,
  },
  operation = function()
    return "delta"
  end,
  check = check,
  add = add_delta,
  definitions = {},
}
