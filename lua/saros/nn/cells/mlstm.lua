--- The mLSTM (Beck et al. 2024, "xLSTM: Extended Long Short-Term Memory"): in each of H heads
--- a matrix C (K x V) to which keys and values are added with an exponential input gate, and a
--- normaliser n, the sum of the keys with the same weights. Gates read x alone. In each head
---
---     i = exp(a_i)   f = sigmoid(a_f)   a = W_gates x + b
---     C <- f C + i k v^T     n <- f n + i k     with k scaled by K^-1/2
---     h = C^T q / max(|n . q|, 1)
---     y = W_o (norm(h) sigmoid(W_g x))
---
--- q and k are silu(convolution(W x)) of a short causal convolution of each feature, v is W x.
--- With `convolution = 0` q and k are W x; with `output_norm = false`, too, y is W_o of the
--- paper's h.
---
--- exp may overflow, so C and n are kept in units of e^m. The paper takes m = max(log f + m, a_i).
--- Here m is the logarithm of the sum of all weights, as in the sLSTM, and C and n are means:
---
---     s = sigmoid(a_i - log f - m)      the share of this step in all weights
---     m <- log (e^(log f + m) + e^a_i)
---     C <- (1 - s) C + s k v^T     n <- (1 - s) n + s k     h = C^T q / max(|n . q|, e^-m)
---
--- n is the last column of C, made of values that are 1, so the walk over time is that of
--- core.delta without an erase gate. All is finite for any pre-activation. e^-m counts as at
--- least e^-14 there (the released code adds 1e-6) and at most e^80, which changes h only where
--- a_i is beyond that.
---
--- It is no option of nn.delta: keys and queries without unit length, gates, decay, norm, biases
--- and states are others, and of nn.delta's own options none makes sense here. What both share is
--- in saros.nn.matrix_layer.

local initialize = require "saros.nn.initialize"
local gated = require "saros.nn.cells.gated"
local matrix = require "saros.nn.cells.matrix"
local lazy = require "saros.lazy"

local late = lazy({}, { layer = { "saros.nn.mlstm_layer", "new" } })

---@class saros.nn.MlstmOptions: saros.nn.MatrixOptions  convolutions of q and k; the output gate is sigmoid(W_g x)
---@field remember? integer  f starts as if heads kept values for 1 to `remember` steps, each for its own time (none:
---  a_f from 3 in the first head to 6 in the last one, as in the released code)

---@class saros.nn.RecurrentConstructors
---@field mlstm fun(given: saros.nn.MlstmOptions): saros.nn.Recurrent  `nn.mlstm { 64, 128, heads = 4 }`; its state is
---  { matrix (B, H K (V + 1)), m (B, H) } and, with convolutions, what these have read: queries and keys
---  (B, (k - 1) H K) each

--- Of a_f where nothing else is said.
local FIRST, LAST = 3, 6

--- a_i starts at 0, and a_f so that heads keep values.
local function fill_bias(o)
  return function(tensor, generator)
    local H = o.heads
    tensor:fill(0)
    local forget = tensor:slice(1, H + 1, 2 * H)
    for head = 1, o.remember and 0 or H do
      forget[head] = FIRST + (LAST - FIRST) * (head - 1) / math.max(H - 1, 1)
    end
    if o.remember then
      forget:assign(generator:uniform({ H }, 1, o.remember - 1):log())
    end
  end
end

--- The parameters of one layer in one direction.
local function add_mlstm(_, o, inputs, add)
  local H = o.heads
  local widths = { q = H * o.key_size, k = H * o.key_size, v = H * o.value_size }
  local p = matrix.add_inputs(o, inputs, add, widths, { "q", "k" })
  p.weight_gates = add("weight_gates", { 2 * H, inputs }, initialize.matrix(inputs ^ -0.5))
  p.bias_gates = add("bias_gates", { 2 * H }, fill_bias(o))
  matrix.add_outputs(o, inputs, add, p)
  return matrix.made(o, p, late.layer(o, inputs, p, widths))
end

---@type saros.nn.Cell
return {
  gates = 4, -- queries, keys, values and the output gate
  linear = true,
  states = { "matrix", "m", "queries", "keys" },
  lacks = matrix.lacks,
  options = matrix.options_with {
    gated.remember_option,
  },
  operation = function()
    return "mlstm"
  end,
  check = matrix.check,
  add = add_mlstm,
  definitions = {},
}
