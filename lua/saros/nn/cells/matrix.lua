--- What the cells of matrix states (delta, mLSTM) share: their options, and the parameters
--- around the walk over time.

local options = require "saros.options"
local gated = require "saros.nn.cells.gated"
local initialize = require "saros.nn.initialize"

local matrix = {}

---@class saros.nn.MatrixOptions: saros.nn.RecurrentOptions  without biases, layer_norm, recurrent_dropout and zoneout
---@field heads? integer  H (the largest divisor of hidden up to 4)
---@field key_size? integer  K: features of a key in each head (hidden / heads)
---@field value_size? integer  V: of a value (hidden / heads)
---@field convolution? integer  steps that the convolutions read, 2 or more; 0: none (4)
---@field output_gate? boolean  (true)
---@field output_norm? boolean  an RMS norm of what each head reads (true)
---@field pre_norm? boolean  an RMS norm of the layer's input, as in the residual blocks of transformers (as `residual`)

matrix.options = {
  { "heads", options.optional(options.size) },
  { "key_size", options.optional(options.size) },
  { "value_size", options.optional(options.size) },
  { "convolution", options.optional(options.at_least(0)) },
  { "output_gate", options.optional(options.boolean) },
  { "output_norm", options.optional(options.boolean) },
  { "pre_norm", options.optional(options.boolean) },
}

-- Options of other cells that these have no use for.
matrix.lacks = { "bias", "recurrent_dropout", "zoneout", "layer_norm" }

--- What is wrong with the options, if anything; fills in those that follow from others.
---@param o table
---@return string?
function matrix.check(o)
  o.convolution = o.convolution or 4
  o.output_gate, o.output_norm = o.output_gate ~= false, o.output_norm ~= false
  o.heads = o.heads or gated.usual_heads(o.hidden)
  if o.hidden % o.heads ~= 0 and not (o.key_size and o.value_size) then
    return ("expected heads that divide hidden = %d, or key_size and value_size, got %d"):format(o.hidden, o.heads)
  elseif o.convolution == 1 then
    return "expected convolution = 0 or at least 2 steps, got 1"
  end
  o.key_size, o.value_size = o.key_size or o.hidden // o.heads, o.value_size or o.hidden // o.heads
  if o.pre_norm == nil then
    o.pre_norm = o.residual
  end
end

--- Uniform as PyTorch's convolutions, under every scheme: a filter is no matrix.
local function fill_taps(steps)
  local bound = steps ^ -0.5
  return function(tensor, generator)
    generator:fill_uniform(tensor, -bound, bound)
  end
end

--- The norm of the input, and the projections q, k and v with their convolutions.
---@param o table
---@param inputs integer
---@param add saros.nn.AddParameter
---@param widths { q: integer, k: integer, v: integer }
---@param convolved string[]  the projections with a convolution
---@return table<string, saros.Tensor>
function matrix.add_inputs(o, inputs, add, widths, convolved)
  local p = {}
  if o.pre_norm then
    p.norm_in = add("norm_in_weight", { inputs }, initialize.constant(1))
  end
  for _, name in ipairs { "q", "k", "v" } do
    p["weight_" .. name] = add("weight_" .. name, { widths[name], inputs }, initialize.matrix(inputs ^ -0.5))
  end
  for _, name in ipairs(o.convolution > 0 and convolved or {}) do
    p["taps_" .. name] = add("taps_" .. name, { widths[name], o.convolution }, fill_taps(o.convolution))
  end
  return p
end

--- The output gate, the norm of what is read and W_o.
---@param o table
---@param inputs integer
---@param add saros.nn.AddParameter
---@param p table<string, saros.Tensor>  gets them
function matrix.add_outputs(o, inputs, add, p)
  local width = o.heads * o.value_size
  if o.output_gate then
    p.weight_g = add("weight_g", { width, inputs }, initialize.matrix(inputs ^ -0.5))
  end
  if o.output_norm then
    p.norm_out = add("norm_out_weight", { o.value_size }, initialize.constant(1))
  end
  p.weight_o = add("weight_o", { o.hidden, width }, initialize.matrix(width ^ -0.5))
end

--- What a cell adds to the stack of layers.
---@param o table
---@param p table<string, saros.Tensor>
---@param own saros.nn.MatrixLayer
---@return saros.nn.Made
function matrix.made(o, p, own)
  return { parameters = p, own = own, output = o.hidden, sizes = own.sizes, named = own.named, learned = 1,
    ends_in_output = true }
end

--- The options of all such cells, then those of one.
---@param own table[]
---@return table[]
function matrix.options_with(own)
  return table.move(own, 1, #own, #matrix.options + 1, { table.unpack(matrix.options) })
end

return matrix
