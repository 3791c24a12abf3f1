--- A delta layer in one direction, made of operations of the core: what it computes, see
--- saros.nn.cells.delta.

local core = require "saros.core"
local matrix_layer = require "saros.nn.matrix_layer"

-- Within the root of the length of keys, as in the authors' code.
local LENGTH_EPSILON = 1e-6

--- activation(convolution(W x)).
local function mixed(self, input, name, walk, last)
  local activation = self.o.qkv_activation == "silu" and "silu" or nil
  local x = matrix_layer.projected(self, input, name, walk, last, activation)
  if self.convolved[name] or not activation then
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

--- Write, erase and decay, the last two of which may be nil.
local function gates_of(self, input)
  local o = self.o
  local count, at = o.reflections * o.heads, 0
  local sums <close> = matrix_layer.product(input, self.p.weight_gates)
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

--- y and, when asked, its gates: write, erase and decay (a itself).
local function walk_over(self, input, walk, last)
  local o, steps = self.o, walk.steps
  local q <close> = mixed(self, input, "q", walk, last)
  local k <close> = mixed(self, input, "k", walk, last)
  local v <close> = mixed(self, input, "v", walk, last)
  local write, erase, decay = gates_of(self, input)
  local read <close>, matrix = core.delta(q, k, v, {
    heads = o.heads, reflections = o.reflections, write = write, erase = erase, decay = decay,
    query_length = o.key_size ^ -0.5, key_length = 1, epsilon = LENGTH_EPSILON,
    mask = steps.mask, reset = steps.reset, reverse = steps.reverse, first = self.initial,
  }, walk.state and walk.state[1])
  last[1] = matrix
  return matrix_layer.output(self, input, read, core.silu), function()
    return { write = write, erase = erase, decay = decay and decay:exp() }
  end
end

local layer = {}

---@param o table  the checked options of nn.delta
---@param inputs integer
---@param p table<string, saros.Tensor>
---@param widths { q: integer, k: integer, v: integer }
---@return saros.nn.MatrixLayer
function layer.new(o, inputs, p, widths)
  local named = { "write", o.erase == "separate" and "erase" or nil }
  named[#named + 1] = o.gate ~= "none" and "decay" or nil
  return matrix_layer.new("delta", o, inputs, p, {
    states = { { "matrix", o.heads * o.key_size * o.value_size } },
    memories = { { "q", "queries", widths.q }, { "k", "keys", widths.k }, { "v", "values", widths.v } },
    named = named,
    walk = walk_over,
  })
end

return layer
