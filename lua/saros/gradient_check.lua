--- Finite differences: is the gradient of a function what the function says?
---
--- For every element x of every input, the gradient that the tape gives is
--- compared with (f(x + e) - f(x - e)) / 2e. The error is relative to
--- max(1, |gradient|, |difference|), so tiny gradients are judged absolutely.

local core = require "saros.core"
local options = require "saros.options"
local kept_gradients = require "saros.kept_gradients"
local sorted = require "saros.sorted"

local format = core.format

local IS_DOUBLE = core.info().real == "double"

local check_options = options.declare("gradient_check", {
  { "epsilon", options.positive, IS_DOUBLE and 1e-5 or 1e-2 },
  { "samples", options.optional(options.size) },
  { "seed", options.integer, 1 },
})

local each_a_tensor = options.kind("a table of tensors", options.tensor.accept)

--- The keys of the inputs in a fixed order. A tensor under several keys, as tied
--- weights are, is one input: the first.
local function keys_of(inputs)
  local once, seen = {}, {}
  for _, key in ipairs(sorted.keys(inputs)) do
    if not seen[inputs[key]] then
      seen[inputs[key]] = true
      once[#once + 1] = key
    end
  end
  return once
end

--- The place of the n-th element in row-major order, counted from 1.
local function place_of(n, shape)
  local place = {}
  n = n - 1
  for axis = #shape, 1, -1 do
    place[axis] = n % shape[axis] + 1
    n = n // shape[axis]
  end
  return place
end

--- The vector that holds an element, whatever the strides of the tensor.
local function row_of(tensor, place)
  for axis = 1, #place - 1 do
    tensor = tensor[place[axis]]
  end
  return tensor
end

local function read(tensor, place)
  if #place == 0 then
    return tensor:item()
  end
  return row_of(tensor, place)[place[#place]]
end

local function write(tensor, place, value)
  if #place == 0 then
    tensor:fill(value)
  else
    row_of(tensor, place)[place[#place]] = value
  end
end

--- The loss under a tape of its own: dropout acts as it does in training.
local function evaluate(fn, inputs)
  local _ <close> = core.tape()
  return fn(inputs):item()
end

local function gradients_of(fn, inputs, keys)
  local tape <close> = core.tape()
  for _, key in ipairs(keys) do
    inputs[key]:clear_gradient()
    tape:watch(inputs[key])
  end
  tape:backward(fn(inputs))
  local gradients = {}
  for _, key in ipairs(keys) do
    local gradient = inputs[key]:gradient()
    gradients[key] = gradient and gradient:clone()
  end
  return gradients
end

local function difference(fn, inputs, tensor, place, epsilon)
  local value = read(tensor, place)
  write(tensor, place, value + epsilon)
  local high, above = read(tensor, place), evaluate(fn, inputs)
  write(tensor, place, value - epsilon)
  local low, below = read(tensor, place), evaluate(fn, inputs)
  write(tensor, place, value)
  return (above - below) / (high - low) -- the step that was really taken
end

--- The positions to check: all of them, or a random choice of some.
local function positions(count, samples, generator)
  local chosen = {}
  if not samples or samples >= count then
    for n = 1, count do
      chosen[n] = n
    end
    return chosen
  end
  local order = generator:permutation(count)
  for n = 1, samples do
    chosen[n] = order[n]
  end
  return chosen
end

--- Compare the gradients of a function with finite differences.
---
--- `fn` gets the table of inputs and returns a loss of one element; it must
--- give the same loss each time it is called (a function with dropout restores
--- its generator first). Inputs are changed in place and put back; gradients are
--- as before, and a tape that is open records nothing of it. A tensor that comes
--- under two names is checked once.
---@param fn fun(inputs: table<any, saros.Tensor>): saros.Tensor
---@param inputs table<any, saros.Tensor>  real tensors, by number or by name
---@param given? { epsilon?: number, samples?: integer, seed?: integer }
---@return number worst  the largest relative error; NaN counts as infinite
---@return string description  where it was found
local function gradient_check(fn, inputs, given)
  local _ <close> = core.no_gradient()
  local o = check_options(given)
  options.argument("gradient_check", 1, options.callable, fn)
  options.argument("gradient_check", 2, options.table, inputs)
  options.argument("gradient_check", 2, options.list, inputs)
  for _, tensor in pairs(inputs) do
    options.argument("gradient_check", 2, each_a_tensor, tensor)
  end
  local keys = keys_of(inputs)
  local _ <close> = kept_gradients(inputs)
  local gradients = gradients_of(fn, inputs, keys)
  local generator = core.generator(o.seed)
  local worst, description = 0, "nothing to compare"
  for _, key in ipairs(keys) do
    local tensor, gradient = inputs[key], gradients[key]
    for _, n in ipairs(positions(tensor:count(), o.samples, generator)) do
      local place = place_of(n, tensor:shape())
      local analytic = gradient and read(gradient, place) or 0
      local numeric = difference(fn, inputs, tensor, place, o.epsilon)
      local scale = math.max(1, math.abs(analytic), math.abs(numeric))
      local relative = math.abs(analytic - numeric) / scale
      if relative > worst or relative ~= relative then
        worst = relative == relative and relative or math.huge
        description = format("input %s at [%s]: gradient %.10g, finite difference %.10g",
          key, table.concat(place, ", "), analytic, numeric)
      end
    end
  end
  return worst, description
end

return gradient_check
