--- The exact heads of a delta layer in a net of one's own: what each of them does, as a
--- machine, and the same net with some of them alone.
---
---     token -> members below -> delta layer -> members above -> outputs
---                               M1 M2 ... MH
---
--- Where nothing else has a state, a head's next matrix depends on its own matrix and the
--- token, so each head is an automaton by itself, and any of them together are one.

local copy = require "saros.nn.copy"
local core = require "saros.core"
local nn = require "saros.nn"
local options = require "saros.options"
local stray = require "saros.nn.stray"

local exact_heads = {}

-- --- The layer ------------------------------------------------------------------------------

local function is_exact(layer)
  local o = layer.kind == "delta" and layer.o
  return o and o.exact == o.heads and o.convolution == 0 and o.layers == 1 and not o.bidirectional
end

--- Where the layer is in a chain; refuses a net that is no chain with such a layer, and no
--- other member with a state.
---@param owner string  for messages
---@param net any
---@return integer
function exact_heads.position(owner, net)
  local found, others = nil, false
  for position, step in ipairs(type(net) == "table" and net.kind == "chain" and net.steps or {}) do
    if type(step) == "table" and step.stateful then
      found, others = found or is_exact(step) and position or nil, others or found ~= nil or not is_exact(step)
    end
  end
  if not found or others then
    options.fail(("%s: expected a net of saros.automata, or a chain whose only member with a state is one layer of "
      .. "nn.delta with exact = true and no convolution, got %s"):format(owner,
      type(net) == "table" and net.describe and net:describe() or options.describe(net)))
  end
  return found
end

--- What the layer reads of each token, (1, V, I).
local function inputs_of(net, position, tokens)
  local list = {}
  for token = 1, tokens do
    list[token] = token
  end
  local x = core.ids(list):reshape(1, tokens)
  for n = 1, position - 1 do
    x = net.steps[n](x)
  end
  return x
end

-- --- Machines -------------------------------------------------------------------------------

---@class saros.automata.ExactHead
---@field layer saros.nn.Recurrent
---@field x saros.Tensor  (1, V, I)
---@field at integer  numbers of a matrix before this head's
---@field size integer  K V, numbers of this head's
---@field matrices saros.Tensor[]  by state: (1, K V)
---@field numbers table<string, integer>  by their values: the state
---@field rows integer[][]  by state and token: the state after it
---@field n integer  as of other machines
local Head = {}
Head.__index = Head

local function number_of(self, matrix)
  local key = table.concat((matrix + 0):reshape(-1):totable(), " ") -- no -0
  if not self.numbers[key] then
    self.numbers[key] = #self.matrices + 1
    self.matrices[#self.matrices + 1] = matrix
  end
  return self.numbers[key]
end

--- What all tokens do in a state, at once. The other heads step from zeros.
local function explore(self, state)
  local _ <close> = core.no_gradient()
  local V, o, list = self.x:size(2), self.layer.o, {}
  local all = core.zeros(V, o.heads * self.size)
  all:slice(2, self.at + 1, self.at + self.size):assign(core.ones(V, 1) * self.matrices[state])
  local _, after = self.layer(self.x, { { all } })
  for token = 1, V do
    local own = after[1][1]:slice(1, token, token):slice(2, self.at + 1, self.at + self.size)
    list[token] = number_of(self, own:clone())
  end
  return list
end

---@param state integer
---@param token integer
---@return integer
function Head:step(state, token)
  local row = self.rows[state] or explore(self, state)
  self.rows[state] = row
  return row[token]
end

--- The state itself stands for a pointer.
function Head.places(_, state, list)
  list[#list + 1] = state
end

--- The machine of each head of a net's layer.
---@param net saros.nn.Chain
---@param position integer  of the layer
---@param tokens integer
---@return saros.automata.ExactHead[]
function exact_heads.machines(net, position, tokens)
  local _ <close> = core.no_gradient()
  local layer, x, list = net.steps[position], inputs_of(net, position, tokens), {}
  local K, V = layer.o.key_size, layer.o.value_size
  local first = layer.directions[1].own.initial:reshape(1, -1)
  for h = 1, layer.o.heads do
    local at = (h - 1) * K * V
    list[h] = setmetatable({ layer = layer, x = x, at = at, size = K * V, n = 1, matrices = {}, numbers = {},
      rows = {} }, Head)
    number_of(list[h], first:slice(2, at + 1, at + K * V):clone())
  end
  return list
end

-- --- Some of the heads --------------------------------------------------------------------------

--- Of rows (n H W, I), heads within each of n blocks, those of some heads.
local function rows_of(weight, H, W, which)
  local I = weight:size(2)
  local blocks, parts = weight:reshape(-1, H, W * I), {}
  for n, h in ipairs(which) do
    parts[n] = blocks:slice(2, h, h)
  end
  return core.concatenate(parts, 2):reshape(-1, I)
end

--- The parameters of the layer with some heads, by name.
local function parameters_of(layer, which)
  local o, made = layer.o, {}
  local widths = { weight_q = o.key_size, weight_k = o.key_size, weight_v = o.value_size, weight_gates = 1,
    weight_g = o.value_size }
  for name, tensor in pairs(layer.directions[1].own.p) do
    local known = tensor:detach()
    if widths[name] then
      made[name] = rows_of(known, o.heads, widths[name], which)
    elseif name == "weight_o" then
      made[name] = rows_of(known:transpose():contiguous(), o.heads, o.value_size, which):transpose()
    else
      made[name] = known
    end
  end
  return made
end

local SAME = { "input", "hidden", "key_size", "value_size", "reflections", "convolution", "output_gate", "output_norm",
  "pre_norm", "residual", "batch_first" }

local function smaller_layer(layer, which)
  local given = { heads = #which, exact = #which }
  for _, name in ipairs(SAME) do
    given[name] = layer.o[name]
  end
  local new = nn.delta(given):init { seed = 1 }
  for name, tensor in pairs(parameters_of(layer, which)) do
    new.directions[1].own.p[name]:assign(tensor)
  end
  return new
end

local function copied(tensor)
  local new = tensor:detach():clone():trainable(tensor:trainable())
  stray.know(new)
  return new
end

--- A net with some of the heads alone, and copies of the other members.
---@param net saros.nn.Chain
---@param position integer  of the layer
---@param which integer[]
---@return saros.nn.Chain
function exact_heads.smaller(net, position, which)
  local _ <close> = core.no_gradient()
  local steps = { batch_first = net.batch_first }
  for n, step in ipairs(net.steps) do
    if n == position then
      steps[n] = smaller_layer(step, which)
    else
      steps[n] = type(step) == "table" and copy(step, copied) or step
    end
  end
  return nn.chain(steps)
end

return exact_heads
