--- A delta layer in one direction, made of operations of the core: what it computes, see
--- saros.nn.cells.delta.

local core = require "saros.core"
local exact = require "saros.nn.exact"
local matrix_layer = require "saros.nn.matrix_layer"

-- Within the root of the length of keys, as in the authors' code.
local LENGTH_EPSILON = 1e-6

-- Of longer convolutions core.delta has none.
local MOST_TAPS = 16

--- What core.delta reads: W x, of every symbol of a table if there is one, or its silu; where core.delta
--- does not convolve it, activation(convolution(W x)).
local function mixed(self, input, name, walk, last)
  local activation = self.o.qkv_activation == "silu" and "silu" or nil
  if self.o.convolution > MOST_TAPS then
    return matrix_layer.projected(self, input, name, walk, last, activation)
  end
  local x = core.linear(input.table or input.x, self.p["weight_" .. name])
  if self.o.convolution > 0 or not activation then
    return x
  end
  local _ <close> = x
  return core.silu(x)
end

--- The logarithm of a: -exp(A) softplus(sums + bias), (T, B, H) or (T, B, H K).
local function decay_of(self, sums)
  local o, p = self.o, self.p
  local factor = -p.rate_log:exp()
  if o.gate == "head" then
    return core.softplus(sums + p.bias_decay) * factor
  end
  local wide <close> = core.linear(sums, p.weight_decay, p.bias_decay)
  local rates <close> = core.softplus(wide)
  return rates * (factor:reshape(-1, 1) * core.ones(1, o.key_size)):reshape(-1)
end

--- Of logits, the gate: sigmoid, or 2 sigmoid if it reflects.
local function gate(logits, reflects)
  local share = core.sigmoid(logits)
  return reflects and share * 2 or share
end

--- Write, erase and decay, the last two of which may be nil.
---@param sums saros.Tensor  the merged gates
---@param at integer  how many of them come before the erase gates
---@param logits saros.Tensor  of write
local function gates_of(self, sums, at, logits)
  local o, count = self.o, logits:size(3)
  local write, erase = gate(logits, o.reflect and o.erase == "write"), nil
  if o.erase == "separate" then
    erase, at = gate(sums:slice(3, at + 1, at + count), o.reflect), at + count
  elseif o.erase == "write" then
    erase = write
  end
  return write, erase, o.gate ~= "none" and decay_of(self, sums:slice(3, at + 1, sums:size(3))) or nil
end

--- The convolutions in core.delta, as its options; none where `mixed` made them.
local function convolutions_of(self, walk)
  local o, p, state = self.o, self.p, walk.state
  if o.exact > 0 or o.convolution == 0 or o.convolution > MOST_TAPS then
    return {}
  end
  local at = self.convolved
  return { taps_q = p.taps_q, taps_k = p.taps_k, taps_v = p.taps_v,
    memory_q = state and state[at.q], memory_k = state and state[at.k], memory_v = state and state[at.v],
    activation = o.qkv_activation == "silu" and "silu" or nil }
end

--- What core.delta reads.
---@class saros.nn.DeltaInputs
---@field q saros.Tensor
---@field k saros.Tensor
---@field v saros.Tensor
---@field ids saros.Tensor?
---@field write saros.Tensor
---@field erase saros.Tensor?
---@field decay saros.Tensor?
---@field query_length number?
---@field key_length number?

---@return saros.nn.DeltaInputs
local function inputs_of(self, input, walk, last)
  local o = self.o
  local count = o.reflections * o.heads
  local sums <close> = matrix_layer.product(input, self.p.weight_gates)
  local write, erase, decay = gates_of(self, sums, count, sums:slice(3, 1, count))
  return {
    q = mixed(self, input, "q", walk, last),
    k = mixed(self, input, "k", walk, last),
    v = mixed(self, input, "v", walk, last),
    ids = input.table and o.convolution <= MOST_TAPS and input.x or nil,
    write = write, erase = erase, decay = decay, query_length = o.key_size ^ -0.5, key_length = 1,
  }
end

-- --- Exact heads --------------------------------------------------------------------------

-- Layers with exact heads compute what all heads share, then each kind of head from its own part; soft heads come
-- first. Features of n reflections are (T, B, n H W), and of some of the heads (T, B, n h, W).

--- Vectors of that length along the last axis.
local function with_length(x, length)
  local K = x:size(-1)
  return core.rms_norm(x, core.full({ K }, length * K ^ -0.5), LENGTH_EPSILON / K)
end

--- The part of heads from one on.
local function part_of(self, x, W, from, to)
  local T, B, H, count = x:size(1), x:size(2), self.o.heads, to - from + 1
  local n = x:size(3) // (H * W)
  local part = count == H and x or x:reshape(T, B, n, H, W):slice(4, from, to)
  return part:reshape(T, B, n * count, W)
end

--- Both kinds side by side again, (T, B, n H W).
local function joined(n, W, soft, of_exact)
  local T, B = of_exact:size(1), of_exact:size(2)
  if not soft then
    return of_exact:reshape(T, B, -1)
  end
  return core.concatenate({ soft:reshape(T, B, n, -1, W), of_exact:reshape(T, B, n, -1, W) }, 4):reshape(T, B, -1)
end

--- What core.delta reads of exact heads. Their queries are as long as those of soft heads are behind a norm.
local function exact_inputs(self, part)
  local K, V = self.o.key_size, self.o.value_size
  local logits = part("write", 1)
  local b, write = exact.gates(logits:reshape(logits:size(1), logits:size(2), -1))
  local k, squares = exact.roots(part("k", K), b)
  return { q = with_length(part("q", K), K ^ 0.5), k = k, v = exact.values(part("v", V)), write = write,
    erase = b / squares }
end

--- The same of soft heads; the decay is that of all heads.
local function soft_inputs(self, part, sums)
  local o = self.o
  local K, V, count = o.key_size, o.value_size, o.reflections * o.heads
  local function activated(name, W)
    local x = part(name, W)
    return o.qkv_activation == "silu" and core.silu(x) or x
  end
  local logits = part("write", 1)
  local write, erase, decay = gates_of(self, sums, count, logits:reshape(logits:size(1), logits:size(2), -1))
  return {
    q = with_length(activated("q", K), K ^ -0.5), k = with_length(activated("k", K), 1), v = activated("v", V),
    write = write, erase = erase or write * 0,
    decay = decay and decay .. core.zeros(sums:size(1), sums:size(2), o.exact * (o.gate == "channel" and K or 1)),
  }
end

--- As inputs_of, of a layer with exact heads.
---@return saros.nn.DeltaInputs
local function mixed_inputs(self, input, walk, last)
  local o, plain = self.o, {}
  local n, K, V, S = o.reflections, o.key_size, o.value_size, o.heads - o.exact
  local sums <close> = matrix_layer.product(input, self.p.weight_gates)
  for _, name in ipairs { "q", "k", "v" } do
    plain[name] = matrix_layer.projected(self, input, name, walk, last)
  end
  plain.write = sums:slice(3, 1, n * o.heads)
  local made = exact_inputs(self, function(name, W)
    return part_of(self, plain[name], W, S + 1, o.heads)
  end)
  local soft = S == 0 and {} or soft_inputs(self, function(name, W)
    return part_of(self, plain[name], W, 1, S)
  end, sums)
  return {
    q = joined(1, K, soft.q, made.q), k = joined(n, K, soft.k, made.k), v = joined(n, V, soft.v, made.v),
    write = joined(n, 1, soft.write, made.write), erase = joined(n, 1, soft.erase, made.erase), decay = soft.decay,
  }
end

-- --- The walk -----------------------------------------------------------------------------

--- y and, when asked, its gates: write, erase and decay (a itself).
local function walk_over(self, input, walk, last)
  local o, steps = self.o, walk.steps
  local x = (o.exact > 0 and mixed_inputs or inputs_of)(self, input, walk, last)
  local q <close> = x.q
  local k <close> = x.k
  local v <close> = x.v
  local c, at = convolutions_of(self, walk), self.convolved
  local read <close>, matrix, queries, keys, values = core.delta(q, k, v, {
    taps_q = c.taps_q, taps_k = c.taps_k, taps_v = c.taps_v, activation = c.activation,
    memory_q = c.memory_q, memory_k = c.memory_k, memory_v = c.memory_v,
    heads = o.heads, reflections = o.reflections, ids = x.ids, write = x.write, erase = x.erase,
    decay = x.decay, query_length = x.query_length, key_length = x.key_length, epsilon = LENGTH_EPSILON,
    mask = steps.mask, reset = steps.reset, reverse = steps.reverse, first = self.initial,
  }, walk.state and walk.state[1])
  last[1] = matrix
  if c.taps_q then
    last[at.q], last[at.k], last[at.v] = queries, keys, values
  end
  return matrix_layer.output(self, input, read, "silu"), function()
    return { write = x.write, erase = x.erase, decay = x.decay and x.decay:exp() }
  end
end

local layer = {}

---@param o table  the checked options of nn.delta
---@param inputs integer
---@param p table<string, saros.Tensor>
---@param widths { q: integer, k: integer, v: integer }
---@return saros.nn.MatrixLayer
function layer.new(o, inputs, p, widths)
  local named = { "write", (o.erase == "separate" or o.exact > 0) and "erase" or nil }
  named[#named + 1] = o.gate ~= "none" and "decay" or nil
  local self = matrix_layer.new("delta", o, inputs, p, {
    states = { { "matrix", o.heads * o.key_size * o.value_size } },
    memories = { { "q", "queries", widths.q }, { "k", "keys", widths.k }, { "v", "values", widths.v } },
    named = named,
    walk = walk_over,
  })
  if o.exact > 0 then
    self:begin_at { exact.first(o) }
  end
  return self
end

return layer
