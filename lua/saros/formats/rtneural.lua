--- RTNeural's JSON of audio plug-ins (Chowdhury 2021): layers one after the other, with the
--- weights of Keras. Recurrent layers and convolutions begin with zeros, and a step is a
--- sample, so a session of the net does what a plug-in does.
---
---     { "in_shape": [null, null, 1], "layers": [
---         { "type": "lstm", "shape": [null, null, 20], "weights": [kernel, recurrent, bias] },
---         { "type": "dense", "activation": "", "shape": [null, null, 1], "weights": [kernel, bias] }] }

local core = require "saros.core"
local options = require "saros.options"
local json_file = require "saros.formats.json_file"
local lazy = require "saros.lazy"
local refusal = require "saros.formats.refusal"

local nn = lazy({}, {
  chain = { "saros.nn.chain" }, linear = { "saros.nn.linear" }, conv1d = { "saros.nn.conv1d" },
  prelu = { "saros.nn.prelu" }, batch_norm = { "saros.nn.batch_norm" }, recurrent = { "saros.nn.recurrent" },
})

local rtneural = {}

local MOST_DILATION = 1 << 16
local GRU_ORDER = { 2, 1, 3 } -- z r h to r z n, and back

local ACTIVATIONS = {
  tanh = core.tanh, relu = core.relu, sigmoid = core.sigmoid, softmax = core.softmax, elu = core.elu,
}

local function reordered(x, order)
  local size, blocks = x:size(1) // #order, {}
  for n, from in ipairs(order) do
    blocks[n] = x:slice(1, (from - 1) * size + 1, from * size)
  end
  return core.concatenate(blocks, 1)
end

-- --- Reading: each makes a member from a layer, its weights and the features that it reads --------------

local function weight(entry, n, rank)
  return json_file.tensor(json_file.table(entry, "weights")[n], rank, ("weights %d of %s"):format(n,
    options.describe(entry.type)))
end

local function expect_size(what, expected, got)
  if expected ~= got then
    refusal.raise("expected %d %s, got %d", expected, what, got)
  end
end

local function dense(entry, input)
  local kernel, bias = weight(entry, 1, 2), weight(entry, 2, 1)
  expect_size("inputs of a dense layer", input, kernel:size(1))
  expect_size("biases", kernel:size(2), bias:size(1))
  return nn.linear({ input, kernel:size(2) }):load { weight = kernel:transpose(), bias = bias }, kernel:size(2)
end

local function conv1d(entry, input)
  local kernel, bias = weight(entry, 1, 3), weight(entry, 2, 1)
  expect_size("inputs of a convolution", input, kernel:size(2))
  expect_size("biases", kernel:size(3), bias:size(1))
  local dilation = json_file.table(entry, "dilation")
  return nn.conv1d({ input, kernel:size(3), kernel = kernel:size(1),
    dilation = json_file.integer(dilation, #dilation, MOST_DILATION) })
    :load { weight = kernel:transpose(1, 3), bias = bias }, kernel:size(3)
end

-- Kernels as ours; `gates` blocks, of a GRU in our order.
local function recurrent(entry, input, gates, biases)
  local kernel, inner = weight(entry, 1, 2):transpose(), weight(entry, 2, 2):transpose()
  local hidden = inner:size(2)
  expect_size("inputs of a recurrent layer", input, kernel:size(2))
  expect_size("gates", gates * hidden, kernel:size(1))
  expect_size("gates", gates * hidden, inner:size(1))
  local tensors = { weight_ih_l0 = kernel, weight_hh_l0 = inner, bias_ih_l0 = biases[1], bias_hh_l0 = biases[2] }
  for name, x in pairs(tensors) do
    expect_size("gates", gates * hidden, x:size(1))
    tensors[name] = gates == 3 and reordered(x, GRU_ORDER) or x
  end
  return nn.recurrent[entry.type]({ input, hidden }):load(tensors), hidden
end

local function lstm(entry, input)
  local bias = weight(entry, 3, 1)
  return recurrent(entry, input, 4, { bias, core.zeros(bias:size(1)) })
end

local function gru(entry, input)
  local biases = weight(entry, 3, 2)
  expect_size("rows of biases", 2, biases:size(1))
  return recurrent(entry, input, 3, { biases[1], biases[2] })
end

local function prelu(entry, input)
  local slopes = weight(entry, 1, 2)
  expect_size("rows of slopes", 1, slopes:size(1))
  if slopes:size(2) ~= 1 then
    expect_size("slopes", input, slopes:size(2))
  end
  return nn.prelu({ slopes:size(2) }):load { weight = slopes[1] }, input
end

local function batch_norm(entry, input)
  local count = #json_file.table(entry, "weights")
  local epsilon = tonumber(entry.epsilon) or 1e-3
  if count ~= 2 and count ~= 4 or not (epsilon > 0 and epsilon < math.huge) then
    refusal.raise "expected 2 or 4 weights and an epsilon of a batch norm, got others"
  end
  local tensors = { weight = core.ones(input), bias = core.zeros(input) }
  local names = count == 4 and { "weight", "bias", "running_mean", "running_var" } or { "running_mean", "running_var" }
  for n, name in ipairs(names) do
    tensors[name] = weight(entry, n, 1)
    expect_size("features of a batch norm", input, tensors[name]:size(1))
  end
  return nn.batch_norm({ input, epsilon = epsilon }):load(tensors), input
end

local READERS = {
  dense = dense, ["time-distributed-dense"] = dense, conv1d = conv1d, lstm = lstm, gru = gru, prelu = prelu,
  batchnorm = batch_norm,
  activation = function(_, input) return nil, input end,
}

local function activation_of(entry)
  local name = entry.activation
  if entry.type == "lstm" or entry.type == "gru" or name == nil or name == "" or name == "linear" then
    return nil
  end
  return ACTIVATIONS[name] or refusal.raise("expected an activation tanh, relu, sigmoid, softmax or elu, got %s",
    options.describe(name))
end

local function add_layer(steps, entry, input)
  if type(entry) ~= "table" or not READERS[entry.type] then
    refusal.raise("expected a layer of the type dense, conv1d, lstm, gru, prelu, batchnorm or activation, got %s",
      options.describe(type(entry) == "table" and entry.type or entry))
  end
  local member, output = READERS[entry.type](entry, input)
  local shape = json_file.table(entry, "shape")
  expect_size("outputs in the shape of " .. options.describe(entry.type), output,
    json_file.integer(shape, #shape, 1 << 30))
  steps[#steps + 1] = member
  steps[#steps + 1] = activation_of(entry)
  return output
end

--- The net that an object describes.
---@param object table
---@return saros.nn.Chain
function rtneural.build(object)
  local steps, shape = {}, json_file.table(object, "in_shape")
  local width = json_file.integer(shape, #shape, 1 << 20)
  for _, entry in ipairs(json_file.table(object, "layers")) do
    width = add_layer(steps, entry, width)
  end
  if #steps == 0 then
    refusal.raise "expected layers, got none"
  end
  return nn.chain(steps)
end

-- --- Writing ------------------------------------------------------------------------------------------

local function entry_of(kind, output, weights, fields)
  local entry = { type = kind, activation = "", shape = { core.null, core.null, output }, weights = weights }
  for name, value in pairs(fields or {}) do
    entry[name] = value
  end
  return entry
end

local function bias_of(module, size)
  return (module.bias or core.zeros(size)):totable()
end

-- One entry for each layer of a stack.
local function write_recurrent(module, list)
  local o, is_gru, tensors = module.o, module.kind == "gru", module:tensors()
  if o.bidirectional or o.residual or o.learn_state or o.layer_norm or o.projection or o.peepholes
    or o.reset == "before" or o.activation ~= "tanh" or o.gate_activation ~= "sigmoid" then
    refusal.raise("expected a plain %s from its beginning, with reset = \"after\", got one with other options",
      module.kind)
  end
  for layer = 0, o.layers - 1 do
    local function get(name)
      local x = tensors[("%s_l%d"):format(name, layer)] or core.zeros(module.gates * o.hidden)
      return is_gru and reordered(x, GRU_ORDER) or x
    end
    local biases = is_gru and { get("bias_ih"):totable(), get("bias_hh"):totable() }
      or (get "bias_ih" + get "bias_hh"):totable()
    list[#list + 1] = entry_of(module.kind, o.hidden, { get("weight_ih"):transpose():totable(),
      get("weight_hh"):transpose():totable(), biases })
  end
  return o.hidden
end

local WRITERS = {
  lstm = write_recurrent, gru = write_recurrent,
  linear = function(module, list)
    local output = module.weight:size(1)
    list[#list + 1] = entry_of("dense", output, { module.weight:transpose():totable(), bias_of(module, output) })
    return output
  end,
  conv1d = function(module, list)
    local o = module.o
    if o.groups ~= 1 or o.stride ~= 1 or not o.causal then
      refusal.raise "expected causal convolutions of one group and stride 1, got another"
    end
    list[#list + 1] = entry_of("conv1d", o.output, { module.weight:transpose(1, 3):totable(),
      bias_of(module, o.output) }, { kernel_size = { o.kernel }, dilation = { o.dilation } })
    return o.output
  end,
  prelu = function(module, list, width)
    list[#list + 1] = entry_of("prelu", width, { { module.weight:totable() } })
    return width
  end,
  batch_norm = function(module, list)
    local t = module:tensors()
    list[#list + 1] = entry_of("batchnorm", t.weight:size(1), { t.weight:totable(), t.bias:totable(),
      t.running_mean:totable(), t.running_var:totable() }, { epsilon = module.epsilon })
    return t.weight:size(1)
  end,
}

local HAS_ACTIVATION = { dense = true, conv1d = true }

local function write_function(step, list, width)
  for name, f in pairs(ACTIVATIONS) do
    if f == step then
      local last = list[#list]
      if not last or last.activation ~= "" or not HAS_ACTIVATION[last.type] then
        last = entry_of("activation", width, {})
        list[#list + 1] = last
      end
      last.activation = name
      return width
    end
  end
  refusal.raise "expected the functions saros.tanh, relu, sigmoid, softmax and elu, got another"
end

local function input_of(step)
  return step.o and step.o.input or step.input or step.weight and step.weight:size(-1)
end

--- The object that describes a chain; a refusal names what the format lacks.
---@param net saros.nn.Chain
---@return table
function rtneural.describe(net)
  local steps = net.steps or { net }
  local first = steps[1]
  local input = type(first) == "table" and (first.kind == "linear" and first.weight:size(2) or input_of(first))
    or refusal.raise "expected a chain that begins with a layer, got a function"
  local list, width = {}, input
  for _, step in ipairs(steps) do
    if type(step) == "function" then
      width = write_function(step, list, width)
    else
      local write = WRITERS[step.kind] or refusal.raise("expected layers linear, conv1d, lstm, gru, prelu and "
        .. "batch_norm, got %s", step.kind)
      width = write(step, list, width)
    end
  end
  return { in_shape = { core.null, core.null, input }, layers = list }
end

return rtneural
