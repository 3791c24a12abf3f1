--- An mLSTM layer in one direction, made of operations of the core: what it computes, see
--- saros.nn.cells.mlstm.

local core = require "saros.core"
local matrix_layer = require "saros.nn.matrix_layer"
local nn_cell = require "saros.nn.cell"
local own_layer = require "saros.nn.own_layer"

--- The logarithm of a weight that is nothing beside all others, in float, too.
local EMPTY = -1e30

--- e^-100 is nothing beside 1; sums of decays keep their precision above it.
local LEAST_DECAY = -100

--- Of -m in e^-m, so that neither it nor a quotient by it overflows in float.
local LEAST, MOST = -14, 80

--- log (e^a + e^b), exact where one of them is far below the other.
local function log_of_sum(a, b)
  return core.maximum(a, b) + core.softplus(-(a - b):abs())
end

--- A cell of a_i and log f side by side, (B, 2 H), with the state m: y is log f + m, the logarithm of
--- the weight that is left of the steps before.
local function stabiliser(first)
  return nn_cell.cell("stabiliser", { states = { { "m", first = first } }, output = true }, function(p, x, m)
    local kept = x:slice(2, p.hidden + 1, 2 * p.hidden) + m
    return kept, log_of_sum(x:slice(2, 1, p.hidden), kept)
  end)
end

--- q or k: silu(convolution(W x)), or W x without convolutions.
local function mixed(self, input, name, walk, last)
  return matrix_layer.projected(self, input, name, walk, last, "silu")
end

--- The values with a 1 behind those of each head, whose sum is the normaliser: (T, B, H (V + 1)).
local function with_ones(self, v)
  local T, B, H, V = v:size(1), v:size(2), self.o.heads, self.o.value_size
  return (v:reshape(T, B, H, V) .. core.ones(T, B, H, 1)):reshape(T, B, H * (V + 1))
end

--- s, the share of this step; log (1 - s), that of the steps before; m; and log f, (T, B, H) each.
local function weights_of(self, input, walk, last)
  local H = self.o.heads
  local sums <close> = matrix_layer.product(input, self.p.weight_gates)
  local gates <close> = sums + self.p.bias_gates
  local i, log_f = gates:slice(3, 1, H), -core.softplus(-gates:slice(3, H + 1, 2 * H))
  local steps, before = walk.steps, walk.state and { walk.state[2] }
  local kept, after = self.stabiliser:run(i .. log_f, before, steps, steps.reverse)
  last[2] = after[1]
  local d = i - kept
  return core.sigmoid(d), core.maximum(-core.softplus(d), LEAST_DECAY), log_of_sum(i, kept), log_f
end

--- C q / max(|n q|, e^-m), of what was read (T, B, H (V + 1)).
local function quotient(self, read, m)
  local T, B, H, V = read:size(1), read:size(2), self.o.heads, self.o.value_size
  local heads = read:reshape(T, B, H, V + 1)
  local least = core.exp(core.minimum(core.maximum(-m, LEAST), MOST)):reshape(T, B, H, 1)
  local divisor = core.maximum(heads:slice(4, V + 1, V + 1):abs(), least)
  return (heads:slice(4, 1, V) / divisor):reshape(T, B, H * V)
end

--- y and, when asked, its gates: input (s) and forget (f).
local function walk_over(self, input, walk, last)
  local o, steps = self.o, walk.steps
  local q <close> = mixed(self, input, "q", walk, last)
  local k <close> = mixed(self, input, "k", walk, last)
  local v <close> = matrix_layer.projected(self, input, "v", walk, last)
  local share, decay, m, log_f = weights_of(self, input, walk, last)
  local read <close>, matrix = core.delta(q, k, with_ones(self, v), {
    heads = o.heads, write = share * o.key_size ^ -0.5, decay = decay,
    mask = steps.mask, reset = steps.reset, reverse = steps.reverse, first = self.initial,
  }, walk.state and walk.state[1])
  last[1] = matrix
  local h <close> = quotient(self, read, m)
  return matrix_layer.output(self, input, h, "sigmoid"), function()
    return { input = share, forget = log_f:exp() }
  end
end

local layer = {}

---@param o table  the checked options of nn.mlstm
---@param inputs integer
---@param p table<string, saros.Tensor>
---@param widths { q: integer, k: integer, v: integer }
---@return saros.nn.MatrixLayer
function layer.new(o, inputs, p, widths)
  local H = o.heads
  local self = matrix_layer.new("mlstm", o, inputs, p, {
    states = { { "matrix", H * o.key_size * (o.value_size + 1) }, { "m", H } },
    memories = { { "q", "queries", widths.q }, { "k", "keys", widths.k } },
    named = { "input", "forget" },
    walk = walk_over,
  })
  local cell = stabiliser(o.learn_state and 0 or EMPTY)(2 * H, H)
  self.stabiliser = own_layer.of(cell, 2 * H, { hidden = H, zoneout = 0, recurrent_dropout = 0, compiled = true }, {})
  return self
end

return layer
