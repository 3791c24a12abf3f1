--- What the cells with gates share: their parameters, which have PyTorch's names and
--- layout, and how their biases begin.

local options = require "saros.options"
local initialize = require "saros.nn.initialize"

local gated = {}

-- --- Biases ------------------------------------------------------------------------

--- A bias in which some gates, blocks of H, start at given values: in one of the
--- two biases, and at 0 in the other. `values(generator)` gives for gates by
--- position a number or a tensor (H).
function gated.bias_with(which, o, bound, values)
  local fill = initialize.bias(bound)
  return function(tensor, generator, weights)
    fill(tensor, generator, weights)
    for gate, value in pairs(values(generator)) do
      local block = tensor:slice(1, (gate - 1) * o.hidden + 1, gate * o.hidden)
      block:assign(which == "bias_ih" and block * 0 + value or block * 0)
    end
  end
end

--- The values by which units start to keep their states for 1 to o.remember steps,
--- each for its own time: sigmoid(log n) lets go of about 1 / n in a step (Tallec
--- and Ollivier 2018). `signs` has 1 for a gate that keeps, -1 for one that lets in.
local function keeping(o, signs)
  return function(generator)
    local values, spans = {}, generator:uniform({ o.hidden }, 1, o.remember - 1)
    for gate, sign in pairs(signs) do
      values[gate] = sign * spans:log()
    end
    return values
  end
end

gated.remember_option = { "remember", options.optional(options.at_least(3)) }

--- What fills the biases of a cell with the option "remember".
function gated.remembering(signs)
  return function(which, o, bound)
    return o.remember and gated.bias_with(which, o, bound, keeping(o, signs)) or initialize.bias(bound)
  end
end

--- What is wrong with "remember" beside other options, if anything.
function gated.remember_problem(o)
  if o.remember and o.forget_bias then
    return "expected forget_bias or remember, which both say where the forget gates start, got both"
  elseif o.remember and (o.layer_norm or not o.bias) then
    return ("expected no remember with %s, which leaves no biases to start"):format(
      o.layer_norm and "layer_norm" or "bias = false")
  end
end

--- How many heads share the units where the caller does not say: the largest divisor up to 4.
---@param hidden integer
---@return integer
function gated.usual_heads(hidden)
  local heads = math.min(4, hidden)
  while hidden % heads ~= 0 do
    heads = heads - 1
  end
  return heads
end

-- --- Parameters -----------------------------------------------------------------------

--- Gain and bias of the layer norms: of U h, of c, and of W x, which is computed
--- before the core walks over the steps.
local function add_norms(cell, o, p, add)
  local one, zero = initialize.constant(1), initialize.constant(0)
  local H, GH = o.hidden, cell.gates * o.hidden
  if not cell.linear then
    p.norm_gain = add("norm_hh_weight", { GH }, one)
    p.norm_bias = add("norm_hh_bias", { GH }, zero)
  end
  if #cell.states == 2 then
    p.norm_c_gain = add("norm_c_weight", { H }, one)
    p.norm_c_bias = add("norm_c_bias", { H }, zero)
  end
  return { add("norm_ih_weight", { GH }, one), add("norm_ih_bias", { GH }, zero) }
end

--- The parameters of one layer in one direction; see saros.nn.Cell.
---@param cell saros.nn.Cell
---@param o table  the layer's options
---@param inputs integer
---@param add saros.nn.AddParameter
---@return saros.nn.Made
function gated.add(cell, o, inputs, add)
  local bound = 1 / math.sqrt(o.hidden)
  local H, GH, P = o.hidden, cell.gates * o.hidden, o.projection or o.hidden
  local p = { weight_ih = add("weight_ih", { GH, inputs }, initialize.gates(bound, cell.gates, false)) }
  local made = { parameters = p, output = P, sizes = { P, #cell.states == 2 and H or nil } }
  if not cell.linear then
    p.weight_hh = add("weight_hh", { GH, P }, initialize.gates(bound, cell.gates, true))
  end
  if o.layer_norm then
    made.norm_ih = add_norms(cell, o, p, add)
    made.weight_ih, p.weight_ih = p.weight_ih, nil -- applied before the norm
  elseif o.bias then
    for _, name in ipairs { "bias_ih", not cell.linear and "bias_hh" or nil } do
      p[name] = add(name, { GH }, cell.bias and cell.bias(name, o, bound) or initialize.bias(bound))
    end
  end
  if o.projection then
    p.weight_hr = add("weight_hr", { P, H }, initialize.matrix(bound))
  end
  if o.peepholes then
    p.peephole = add("peephole", { 3, H }, initialize.matrix(bound))
  end
  return made
end

return gated
