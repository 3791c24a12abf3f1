--- Nets of Keras 3 from .keras files: a zip of config.json, which has the layers, and the
--- weights in HDF5. Layers that stand one behind the other become a chain; it reads (T, B, F)
--- or ids, and what Keras would do at the end of a sequence it does at each step.

local core = require "saros.core"
local options = require "saros.options"
local activation = require "saros.nn.cells.activation"
local hdf5 = require "saros.formats.hdf5"
local json_file = require "saros.formats.json_file"
local lazy = require "saros.lazy"
local refusal = require "saros.formats.refusal"
local spelling = require "saros.spelling"
local stored = require "saros.formats.stored"

local nn = lazy({}, {
  chain = { "saros.nn.chain" }, linear = { "saros.nn.linear" }, conv1d = { "saros.nn.conv1d" },
  embedding = { "saros.nn.embedding" }, layer_norm = { "saros.nn.layer_norm" },
  batch_norm = { "saros.nn.batch_norm" }, prelu = { "saros.nn.prelu" }, recurrent = { "saros.nn.recurrent" },
})

local CONFIG, ABOUT = "config.json", "metadata.json"
local MOST = 1 << 24 -- of a size
local MOST_CONFIG = 1 << 22 -- bytes

local FUNCTIONS = { softmax = core.softmax }
for name, f in pairs(activation.functions) do
  FUNCTIONS[name] = f
end
local KERAS_FUNCTIONS = { swish = "silu", linear = "identity", leaky_relu = "none", hard_tanh = "hard_tanh" }

-- Other slopes of leaky_relu, and GELU as Keras has it by default, which is exact.
local function function_name(name, owner)
  name = KERAS_FUNCTIONS[name] or name
  if type(name) ~= "string" or not FUNCTIONS[name] then
    refusal.raise("expected activations linear, tanh, sigmoid, relu, softmax, elu, gelu, silu, softplus, softsign, "
      .. "hard_sigmoid or hard_tanh, got %s in %s", options.describe(name), owner)
  end
  return name
end

-- --- Layers: each gives a module, the width of its outputs, and what stands behind it -------------------

local function expect(config, name, value)
  local given = config[name]
  if given ~= nil and given ~= core.null and given ~= value then
    refusal.raise("expected %s = %s, got %s", name, tostring(value), options.describe(given))
  end
end

-- What a file says has a size must have tensors of it, so that no layer is larger than the file.
local function expect_tensor(layer, place, ...)
  local name = ("%s/%svars/0"):format(layer.place, place)
  local x, shape = layer.tensors[name], table.concat({ ... }, ", ")
  if not x or table.concat(x:shape(), ", ") ~= shape then
    refusal.raise("expected %s of shape (%s), got %s", name, shape,
      x and ("(%s)"):format(table.concat(x:shape(), ", ")) or "none")
  end
end

local function single(config, name)
  local list = json_file.table(config, name)
  return json_file.integer(list, 1, MOST)
end

local function behind(config, owner)
  local name = function_name(config.activation or "linear", owner)
  return name ~= "identity" and FUNCTIONS[name] or nil
end

local function dense(config, layer, place)
  local units = json_file.integer(config, "units", MOST)
  expect_tensor(layer, place or "", layer.width, units)
  return nn.linear { layer.width, units, bias = config.use_bias ~= false }, units, behind(config, "Dense")
end

local function embedding(config, layer)
  local symbols, size = json_file.integer(config, "input_dim", MOST), json_file.integer(config, "output_dim", MOST)
  expect(config, "mask_zero", false)
  expect_tensor(layer, "", symbols, size)
  return nn.embedding { symbols, size }, size
end

local function conv1d(config, layer)
  local filters, kernel = json_file.integer(config, "filters", MOST), single(config, "kernel_size")
  local stride, groups = single(config, "strides"), config.groups and json_file.integer(config, "groups", MOST) or 1
  if config.padding ~= "causal" then
    refusal.raise('expected padding = "causal", got %s', options.describe(config.padding))
  end
  expect(config, "data_format", "channels_last")
  if layer.width % groups ~= 0 or filters % groups ~= 0 then
    refusal.raise("expected groups that divide %d and %d, got %d", layer.width, filters, groups)
  end
  expect_tensor(layer, "", kernel, layer.width // groups, filters)
  return nn.conv1d { layer.width, filters, kernel = kernel, stride = stride, groups = groups,
    dilation = single(config, "dilation_rate"), bias = config.use_bias ~= false }, filters, behind(config, "Conv1D")
end

-- Both parameters, along the features.
local function norm(config, layer)
  local axis = config.axis
  axis = type(axis) == "table" and #axis == 1 and axis[1] or axis
  if axis ~= -1 and axis ~= 2 then
    refusal.raise("expected a norm over axis -1, got another")
  end
  expect(config, "center", true)
  expect(config, "scale", true)
  expect_tensor(layer, "", layer.width)
  local epsilon = tonumber(config.epsilon) or 1e-3
  if not (epsilon > 0 and epsilon < 1) then
    refusal.raise("expected an epsilon in (0, 1), got %s", options.describe(config.epsilon))
  end
  return { layer.width, epsilon = epsilon }
end

local CELLS = { LSTM = { "lstm", 4 }, GRU = { "gru", 3 }, SimpleRNN = { "rnn", 1 } }

local function recurrent(class, both)
  return function(config, layer)
    local kind, gates = table.unpack(CELLS[class])
    local units = json_file.integer(config, "units", MOST)
    expect(config, "go_backwards", false)
    expect_tensor(layer, both and "forward_layer/cell/" or "cell/", layer.width, gates * units)
    local given = { layer.width, units, bidirectional = both, bias = config.use_bias ~= false,
      activation = function_name(config.activation or "tanh", class) }
    if kind ~= "rnn" then
      given.gate_activation = function_name(config.recurrent_activation or "sigmoid", class)
    end
    if kind == "gru" then
      given.reset = config.reset_after == false and "before" or "after"
    end
    if config.return_sequences ~= true then
      layer.net.at_end = true
    end
    return nn.recurrent[kind](given), (both and 2 or 1) * units
  end
end

local function inner(config)
  local layer = json_file.table(config, "layer")
  return layer.class_name, json_file.table(layer, "config")
end

local function bidirectional(config, layer)
  local class, given = inner(config)
  expect(config, "merge_mode", "concat")
  if not CELLS[class] or given.return_sequences ~= true then
    refusal.raise "expected LSTM, GRU or SimpleRNN with return_sequences in both directions, got another layer"
  end
  return recurrent(class, true)(given, layer)
end

local function distributed(config, layer)
  local class, given = inner(config)
  if class ~= "Dense" then
    refusal.raise("expected Dense in TimeDistributed, got %s", options.describe(class))
  end
  return dense(given, layer, "layer/")
end

-- Does nothing once the net is trained.
local function nothing(_, layer)
  return nil, layer.width
end

-- The kind of layer, as its folder is called, and what makes it.
local LAYERS = {
  Dense = { "dense", dense }, Embedding = { "embedding", embedding }, Conv1D = { "conv1d", conv1d },
  LSTM = { "lstm", recurrent "LSTM" }, GRU = { "gru", recurrent "GRU" },
  SimpleRNN = { "simple_rnn", recurrent "SimpleRNN" }, Bidirectional = { "bidirectional", bidirectional },
  TimeDistributed = { "time_distributed", distributed },
  LayerNormalization = { "layer_normalization", function(config, layer)
    expect(config, "rms_scaling", false)
    return nn.layer_norm(norm(config, layer)), layer.width
  end },
  BatchNormalization = { "batch_normalization", function(config, layer)
    return nn.batch_norm(norm(config, layer)), layer.width
  end },
  Activation = { "activation", function(config, layer) return nil, layer.width, behind(config, "Activation") end },
  ReLU = { "re_lu", function(config, layer)
    expect(config, "max_value", nil)
    expect(config, "negative_slope", 0)
    expect(config, "threshold", 0)
    return core.relu, layer.width
  end },
  Softmax = { "softmax", function(_, layer) return core.softmax, layer.width end },
  Dropout = { "dropout", nothing }, SpatialDropout1D = { "spatial_dropout1d", nothing },
  GaussianNoise = { "gaussian_noise", nothing }, GaussianDropout = { "gaussian_dropout", nothing },
  ActivityRegularization = { "activity_regularization", nothing },
}

-- --- The net ---------------------------------------------------------------------------------------------

-- Calls visit on every object in nested lists that has a "keras_history".
local function histories(value, visit)
  if type(value) == "table" then
    if value.keras_history then
      visit(value.keras_history)
    end
    for _, element in pairs(value) do
      histories(element, visit)
    end
  end
end

-- In a functional net each layer must read the one before it, and it alone.
local function check_chained(entry, before)
  histories(entry.inbound_nodes, function(history)
    if type(history) ~= "table" or history[1] ~= before then
      refusal.raise("expected layers one behind the other, got %s, which reads another", options.describe(entry.name))
    end
  end)
end

-- The layers of a net, but for the input, and the features that it reads (0: ids).
local function layers_of(object)
  local list, width, before = {}, 0, nil
  if object.class_name ~= "Sequential" and object.class_name ~= "Functional" then
    refusal.raise("expected a net of the class Sequential or Functional, got %s", options.describe(object.class_name))
  end
  for _, entry in ipairs(json_file.table(json_file.table(object, "config"), "layers")) do
    if type(entry) ~= "table" then
      refusal.raise("expected layers, got %s", options.describe(entry))
    end
    local config = json_file.table(entry, "config")
    check_chained(entry, before)
    before = entry.name
    if entry.class_name == "InputLayer" and #list == 0 then
      local shape = json_file.table(config, "batch_shape")
      width = #shape == 3 and json_file.integer(shape, 3, MOST) or 0
    else
      list[#list + 1] = { class = entry.class_name, config = config }
    end
  end
  return list, width
end

local function expect_known(list)
  local unknown = {}
  for _, entry in ipairs(list) do
    if not LAYERS[entry.class] then
      unknown[#unknown + 1] = type(entry.class) == "string" and entry.class or options.describe(entry.class)
    end
  end
  if #list == 0 or #unknown > 0 then
    refusal.raise("expected layers that are known, got %s; build the net and load its weights: "
      .. 'net:load(path, { names = "keras" })', #list == 0 and "none" or table.concat(unknown, ", "))
  end
end

-- Layers of one kind are numbered: lstm, lstm_1.
local function place_of(kind, counts)
  local n = counts[kind] or 0
  counts[kind] = n + 1
  return n == 0 and "layers/" .. kind or ("layers/%s_%d"):format(kind, n)
end

local function add(steps, names, layer, entry)
  local member, width, function_behind = LAYERS[entry.class][2](entry.config, layer)
  steps[#steps + 1] = member
  if type(member) == "table" then
    names[tostring(#steps - 1)] = layer.place
  end
  steps[#steps + 1] = function_behind
  layer.width = width
end

local function build(object, tensors)
  local list, width = layers_of(object)
  local steps, names, counts, net = {}, { "keras" }, {}, { at_end = false }
  expect_known(list)
  local layer = { width = width, tensors = tensors, net = net }
  for _, entry in ipairs(list) do
    layer.place = place_of(LAYERS[entry.class][1], counts)
    if net.at_end and (CELLS[entry.class] or entry.class == "Bidirectional" or entry.class == "Conv1D") then
      refusal.raise("expected no layer over time behind one without return_sequences, got %s", entry.class)
    end
    add(steps, names, layer, entry)
  end
  if #steps == 0 then
    refusal.raise "expected layers that compute something, got none"
  end
  return nn.chain(steps), names, net
end

local function text_of(container, places, name)
  local size = select(2, container:member(places[name]))
  if size > MOST_CONFIG then
    refusal.raise("expected %s of at most %d bytes, got %d", name, MOST_CONFIG, size)
  end
  return stored.bytes(container, places[name])
end

local function read(path)
  local container <close> = refusal.check(core.open_container(path))
  local places = stored.members(container)
  if not places[CONFIG] or not hdf5.fits_zip(places) then
    refusal.raise "expected a .keras file of Keras 3, with config.json and model.weights.h5, got another"
  end
  local object = json_file.decode(text_of(container, places, CONFIG))
  local tensors, metadata = hdf5.read_container(container, places), {}
  local net, names, told = build(object, tensors)
  local loaded, message = pcall(net.load, net, tensors, { names = names })
  if not loaded then
    refusal.raise("%s", options.without_place(message))
  end
  local about = places[ABOUT] and json_file.decode(text_of(container, places, ABOUT)) or {}
  metadata.keras_version = type(about.keras_version) == "string" and about.keras_version or nil
  metadata.output = told.at_end and "of the last step" or "of every step"
  return net, metadata
end

return spelling.space("saros.keras", {
  --- A net from a .keras file of Keras 3: layers one behind the other of the classes Embedding, LSTM, GRU,
  --- SimpleRNN, Bidirectional, Conv1D (causal), Dense, TimeDistributed, LayerNormalization,
  --- BatchNormalization and activations; those that only training has, such as Dropout, are left out.
  ---@param path string
  ---@return saros.nn.Chain? net  reads (T, B, F), or ids (T, B) from 1
  ---@return table<string, string>|string metadata  keras_version, output; or the message
  read = function(path)
    options.argument("keras.read", 1, options.string, path)
    local net, message = refusal.guard(read, path)
    if not net then
      return nil, ("keras.read: %s%s"):format(message:find(path, 1, true) and "" or path .. ": ", message)
    end
    return net, message
  end,
})
