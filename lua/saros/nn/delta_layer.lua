--- A delta layer in one direction, made of operations of the core: what it computes, see
--- saros.nn.cells.delta.
---
--- Features are heads side by side, and of n reflections blocks of all heads, so no
--- product or norm needs a copy. Each of q, k, v, the merged gates and the output gate is
--- a product of its own, because parts of one product would have to be copied out of it.

local core = require "saros.core"
local options = require "saros.options"
local given_steps = require "saros.nn.steps"

-- Within the root of the length of keys, as in the authors' code; of PyTorch's norms.
local LENGTH_EPSILON, NORM_EPSILON = 1e-6, 1e-5

-- Of the memories among the states.
local POSITIONS = { q = 2, k = 3, v = 4 }

---@class saros.nn.DeltaLayer: saros.nn.DirectionLayer
---@field o table  the options
---@field input integer
---@field p table<string, saros.Tensor>
---@field named string[]  the gates that it tells
---@field initial saros.Tensor?  the learned first matrix (H K V)
local DeltaLayer = {}
DeltaLayer.__index = DeltaLayer

-- --- Parts of a layer ---------------------------------------------------------------------

--- What the products read, x (T, B, I), or a table (V, I) of which x is ids.
---@class saros.nn.DeltaInput
---@field x saros.Tensor
---@field table saros.Tensor?

--- W x (T, B, n), made for every symbol of a table if there is one.
local function product(input, weight)
  if not input.table then
    return core.linear(input.x, weight)
  end
  local of_symbols <close> = core.linear(input.table, weight)
  return core.embedding(of_symbols, input.x)
end

--- silu(convolution(W x)); `last` gets the memory of the convolution.
local function mixed(self, input, name, walk, last)
  local plain <close> = product(input, self.p["weight_" .. name])
  local taps, position = self.p["taps_" .. name], POSITIONS[name]
  if not taps then
    return core.silu(plain)
  end
  local y <close>, memory = core.depthwise(plain, taps, nil, walk.state and walk.state[position], walk.steps)
  last[position] = memory
  return core.silu(y)
end

--- The same, with vectors of that length in each head.
local function of_length(self, input, name, length, walk, last)
  local x <close> = mixed(self, input, name, walk, last)
  local T, B, n, K = x:size(1), x:size(2), x:size(3), self.o.key_size
  local heads <close> = x:reshape(T, B, n // K, K)
  local y <close> = core.rms_norm(heads, core.full({ K }, length * K ^ -0.5), LENGTH_EPSILON / K)
  return y:reshape(T, B, n)
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

--- Write, erase and decay, the last two of which may be nil.
local function gates_of(self, input)
  local o = self.o
  local count, at = o.reflections * o.heads, 0
  local sums <close> = product(input, self.p.weight_gates)
  local function part(size)
    at = at + size
    return sums:slice(3, at - size + 1, at)
  end
  local function gate(reflects)
    local share = core.sigmoid(part(count))
    return reflects and share * 2 or share
  end
  local write = gate(o.reflect and o.erase == "write")
  local erase = o.erase == "write" and write or o.erase == "separate" and gate(o.reflect) or nil
  return write, erase, o.gate ~= "none" and decay_of(self, part(sums:size(3) - at)) or nil
end

--- W_o (norm(read) silu(W_g x)) of what was read (T, B, H V).
local function output_of(self, input, read)
  local p, V = self.p, self.o.value_size
  local T, B, n = read:size(1), read:size(2), read:size(3)
  local heads <close> = read:reshape(T, B, n // V, V)
  local normed <close> = core.rms_norm(heads, p.norm_out, NORM_EPSILON)
  local flat <close> = normed:reshape(T, B, n)
  if not p.weight_g then
    return core.linear(flat, p.weight_o)
  end
  local sums <close> = product(input, p.weight_g)
  local gate <close> = core.silu(sums)
  local passed <close> = flat * gate
  return core.linear(passed, p.weight_o)
end

-- --- A sequence ---------------------------------------------------------------------------

--- What the caller wants to see of the gates, 0 at padded steps.
local function told(write, erase, decay, mask)
  local gates = { write = write, erase = erase, decay = decay and decay:exp() }
  for name, tensor in pairs(gates) do
    gates[name] = given_steps.hide(tensor, mask)
  end
  return gates
end

--- y, and what is told of the gates if that is wanted.
---@param walk { state: saros.Tensor[]?, steps: table }
local function walk_over(self, input, walk, last, tells)
  local o, steps = self.o, walk.steps
  local q <close> = of_length(self, input, "q", o.key_size ^ -0.5, walk, last)
  local k <close> = of_length(self, input, "k", 1, walk, last)
  local v <close> = mixed(self, input, "v", walk, last)
  local write, erase, decay = gates_of(self, input)
  local read <close>, matrix = core.delta(q, k, v, {
    heads = o.heads, reflections = o.reflections, write = write, erase = erase, decay = decay,
    mask = steps.mask, reset = steps.reset, reverse = steps.reverse, first = self.initial,
  }, walk.state and walk.state[1])
  last[1] = matrix
  return output_of(self, input, read), tells and told(write, erase, decay, steps.mask) or nil
end

---@param x saros.Tensor  (T, B, I), or ids (T, B) of a table
---@param state saros.Tensor[]?
---@param given saros.nn.Steps?
---@param reverse boolean
---@param tells? boolean
---@param table? saros.Tensor  (V, I): x is ids of its rows
---@return saros.Tensor y  (T, B, O)
---@return saros.Tensor[] state
---@return saros.nn.LayerValues?  its gates, write, erase and decay (a itself)
function DeltaLayer:run(x, state, given, reverse, tells, table)
  local source = table or x
  if source:size(-1) ~= self.input then
    options.fail(("delta: expected x of shape (T, B, %d), got %s"):format(self.input, options.describe(x)))
  end
  local mask = given and given.mask
  local hidden <close> = mask and given_steps.hide(x, mask) or nil
  x = hidden or x
  local gain, last = self.p.norm_in, {}
  local normed <close> = gain and core.rms_norm(table or x, gain, NORM_EPSILON) or nil
  local input = table and { x = x, table = normed or table } or { x = normed or x }
  local steps = { mask = mask, reset = given and given.reset, reverse = reverse }
  local y, gates = walk_over(self, input, { state = state, steps = steps }, last, tells)
  if mask then
    local _ <close> = y
    y = given_steps.hide(y, mask)
  end
  return y, last, tells and { y = y, states = {}, gates = gates } or nil
end

--- What is wrong with a value as the states of B rows; nil if nothing is.
---@param state any
---@param B integer
---@return string?
function DeltaLayer:state_problem(state, B)
  if type(state) ~= "table" or #state ~= #self.sizes then
    return options.describe(state)
  end
  for position, size in ipairs(self.sizes) do
    if not options.has_shape(state[position], B, size) then
      return ("%s as %s"):format(options.describe(state[position]), self.names[position])
    end
  end
end

---@param tensors saros.Tensor[]
function DeltaLayer:begin_at(tensors)
  self.initial = tensors[1]
end

--- It runs in the core already.
function DeltaLayer.compile(_)
  return {}
end

local layer = {}

---@param o table  the checked options of nn.delta
---@param inputs integer
---@param p table<string, saros.Tensor>
---@param widths { q: integer, k: integer, v: integer }
---@return saros.nn.DeltaLayer
function layer.new(o, inputs, p, widths)
  local past = math.max(o.convolution - 1, 0)
  local sizes, names = { o.heads * o.key_size * o.value_size }, { "matrix" }
  if past > 0 then
    sizes = { sizes[1], past * widths.q, past * widths.k, past * widths.v }
    names = { "matrix", "queries", "keys", "values" }
  end
  local named = { "write", o.erase == "separate" and "erase" or nil }
  named[#named + 1] = o.gate ~= "none" and "decay" or nil
  return setmetatable({ o = o, input = inputs, p = p, sizes = sizes, names = names, named = named, firsts = { 0 } },
    DeltaLayer)
end

return layer
