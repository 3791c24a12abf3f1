--- What layers of matrix states (delta, mLSTM) share around core.delta, in one direction:
--- the projections of the input with their short convolutions, the norm and gate of what is
--- read, and the interface of saros.nn.DirectionLayer.
---
--- Features are heads side by side, and of n reflections blocks of all heads, so no
--- product or norm needs a copy. Each of q, k, v, the merged gates and the output gate is
--- a product of its own, because parts of one product would have to be copied out of it.

local core = require "saros.core"
local options = require "saros.options"
local given_steps = require "saros.nn.steps"

-- Of PyTorch's norms.
local NORM_EPSILON = 1e-5

---@class saros.nn.MatrixLayer: saros.nn.DirectionLayer
---@field kind string  "delta", for messages
---@field o table  the options of the cell
---@field input integer
---@field p table<string, saros.Tensor>
---@field sizes integer[]  of its states
---@field convolved table<string, integer>  by name of a projection, which state is the memory of its convolution
---@field named string[]  the gates that it tells
---@field walk fun(self: saros.nn.MatrixLayer, input: saros.nn.MatrixInput, walk: saros.nn.MatrixWalk,
---  last: saros.Tensor[]): saros.Tensor, fun(): table<string, saros.Tensor?>  gives y (T, B, O) and a function that
---  gives the gates, each (T, B, n), by name; puts the states after the last step into `last`
---@field initial saros.Tensor?  the learned first matrix
local MatrixLayer = {}
MatrixLayer.__index = MatrixLayer

--- The states before the first step, and its steps.
---@class saros.nn.MatrixWalk
---@field state saros.Tensor[]?
---@field steps saros.nn.Steps

-- --- Parts of a layer ---------------------------------------------------------------------

local matrix_layer = {}

--- What the products read, x (T, B, I), or a table (V, I) of which x is ids.
---@class saros.nn.MatrixInput
---@field x saros.Tensor
---@field table saros.Tensor?

--- W x (T, B, n), made for every symbol of a table if there is one.
---@param input saros.nn.MatrixInput
---@param weight saros.Tensor  (n, I)
---@return saros.Tensor
function matrix_layer.product(input, weight)
  if not input.table then
    return core.linear(input.x, weight)
  end
  local of_symbols <close> = core.linear(input.table, weight)
  return core.embedding(of_symbols, input.x)
end

--- activation(convolution(W x)), or W x alone without convolutions; `last` gets the convolution's
--- memory.
---@param name string  of the projection: "q" has weight_q and taps_q
---@param activation? "silu"  of core.depthwise (none)
---@return saros.Tensor
function matrix_layer.projected(self, input, name, walk, last, activation)
  local plain = matrix_layer.product(input, self.p["weight_" .. name])
  local taps, position = self.p["taps_" .. name], self.convolved[name]
  if not taps then
    return plain
  end
  local _ <close> = plain
  local steps = walk.steps
  local y, memory = core.depthwise(plain, taps, nil, walk.state and walk.state[position],
    { mask = steps.mask, reset = steps.reset, reverse = steps.reverse, activation = activation })
  last[position] = memory
  return y
end

--- norm(read) activation(sums), of which the sums or the gain of the norm may be missing.
local function pass(read, sums, gain, V, activation)
  if sums and gain then
    return core.gated_rms_norm(read, sums, gain, NORM_EPSILON, activation)
  elseif sums then
    local gate <close> = core[activation](sums)
    return read * gate
  elseif not gain then
    return read:reshape(table.unpack(read:shape()))
  end
  local T, B, n = read:size(1), read:size(2), read:size(3)
  local heads <close> = read:reshape(T, B, n // V, V)
  local normed <close> = core.rms_norm(heads, gain, NORM_EPSILON)
  return normed:reshape(T, B, n)
end

--- W_o (norm(read) activation(W_g x)) of what was read (T, B, H V); without the norm or
--- the gate where the layer has no parameters of them.
---@param activation "silu"|"sigmoid"
---@return saros.Tensor
function matrix_layer.output(self, input, read, activation)
  local p = self.p
  local sums <close> = p.weight_g and matrix_layer.product(input, p.weight_g) or nil
  local passed <close> = pass(read, sums, p.norm_out, self.o.value_size, activation)
  return core.linear(passed, p.weight_o)
end

-- --- A sequence ---------------------------------------------------------------------------

--- What the caller wants to see of the gates, 0 at padded steps.
local function told(gates, mask)
  local hidden = {}
  for name, tensor in pairs(gates) do
    hidden[name] = given_steps.hide(tensor, mask)
  end
  return hidden
end

---@param x saros.Tensor  (T, B, I), or ids (T, B) of a table
---@param state saros.Tensor[]?
---@param given saros.nn.Steps?
---@param reverse boolean
---@param tells? boolean
---@param table? saros.Tensor  (V, I): x is ids of its rows
---@return saros.Tensor y  (T, B, O)
---@return saros.Tensor[] state
---@return saros.nn.LayerValues?
function MatrixLayer:run(x, state, given, reverse, tells, table)
  local source = table or x
  if source:size(-1) ~= self.input then
    options.fail(("%s: expected x of shape (T, B, %d), got %s"):format(self.kind, self.input, options.describe(x)))
  end
  local mask = given and given.mask
  local hidden <close> = mask and given_steps.hide(x, mask) or nil
  x = hidden or x
  local gain, last = self.p.norm_in, {}
  local normed <close> = gain and core.rms_norm(table or x, gain, NORM_EPSILON) or nil
  local input = table and { x = x, table = normed or table } or { x = normed or x }
  local steps = { mask = mask, reset = given and given.reset, reverse = reverse }
  local y, gates = self:walk(input, { state = state, steps = steps }, last)
  if mask then
    local _ <close> = y
    y = given_steps.hide(y, mask)
  end
  return y, last, tells and { y = y, states = {}, gates = told(gates(), mask) } or nil
end

--- What is wrong with a value as the states of B rows; nil if nothing is.
---@param state any
---@param B integer
---@return string?
function MatrixLayer:state_problem(state, B)
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
function MatrixLayer:begin_at(tensors)
  self.initial = tensors[1]
end

--- It runs in the core already.
function MatrixLayer.compile(_)
  return {}
end

--- A layer. Its states are those of `states`, then the memories of its convolutions.
---@param kind string
---@param o table  the checked options of the cell
---@param inputs integer
---@param p table<string, saros.Tensor>
---@param fields { states: { [1]: string, [2]: integer }[], memories: { [1]: string, [2]: string, [3]: integer }[],
---  named: string[], walk: function }  states by name and size; memories by projection, name and width
---@return saros.nn.MatrixLayer
function matrix_layer.new(kind, o, inputs, p, fields)
  local self = setmetatable({ kind = kind, o = o, input = inputs, p = p, sizes = {}, names = {}, convolved = {},
    named = fields.named, walk = fields.walk, firsts = { 0 } }, MatrixLayer)
  for position, state in ipairs(fields.states) do
    self.names[position], self.sizes[position] = state[1], state[2]
  end
  for _, memory in ipairs(o.convolution > 0 and fields.memories or {}) do
    local position = #self.names + 1
    self.names[position], self.sizes[position] = memory[2], (o.convolution - 1) * memory[3]
    self.convolved[memory[1]] = position
  end
  return self
end

return matrix_layer
