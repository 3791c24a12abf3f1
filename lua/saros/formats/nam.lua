--- The LSTM files of Neural Amp Modeler (Atkinson 2021), .nam: an LSTM that reads a sample
--- and a linear head. All numbers are in one list: for each layer the weights of both
--- products beside each other (4 H, I + H) by rows, gates i f g o, one bias, the first h
--- and the first c; then the head's weights and bias.

local core = require "saros.core"
local options = require "saros.options"
local json_file = require "saros.formats.json_file"
local lazy = require "saros.lazy"
local refusal = require "saros.formats.refusal"

local nn = lazy({}, {
  chain = { "saros.nn.chain" }, linear = { "saros.nn.linear" }, recurrent = { "saros.nn.recurrent" },
})

local nam = {}

local VERSION, RATE = "0.5.4", 48000
local MOST = 1 << 20 -- of a size

--- The net that an object describes.
---@param object table
---@return saros.nn.Chain
function nam.build(object)
  if object.architecture ~= "LSTM" then
    refusal.raise('expected the architecture "LSTM", got %s', options.describe(object.architecture))
  end
  local config = json_file.table(object, "config")
  local input, hidden = json_file.integer(config, "input_size", MOST), json_file.integer(config, "hidden_size", MOST)
  local layers = json_file.integer(config, "num_layers", MOST)
  local weights = json_file.tensor(object.weights, 1, "weights")
  local first, later = 4 * hidden * (input + hidden) + 6 * hidden, 4 * hidden * 2 * hidden + 6 * hidden
  local count = first + (layers - 1) * later + hidden + 1
  if weights:size(1) ~= count then
    refusal.raise("expected %d weights, got %d", count, weights:size(1))
  end
  local at, tensors = 0, {}
  local function take(...)
    local size = 1
    for _, n in ipairs { ... } do
      size = size * n
    end
    at = at + size
    return weights:slice(1, at - size + 1, at):reshape(...)
  end
  for layer = 0, layers - 1 do
    local width = layer == 0 and input or hidden
    local both, suffix = take(4 * hidden, width + hidden), "_l" .. layer
    tensors["0.weight_ih" .. suffix] = both:slice(2, 1, width)
    tensors["0.weight_hh" .. suffix] = both:slice(2, width + 1, width + hidden)
    tensors["0.bias_ih" .. suffix], tensors["0.bias_hh" .. suffix] = take(4 * hidden), core.zeros(4 * hidden)
    tensors["0.initial_h" .. suffix], tensors["0.initial_c" .. suffix] = take(hidden), take(hidden)
  end
  tensors["1.weight"], tensors["1.bias"] = take(1, hidden), take(1)
  return nn.chain({ nn.recurrent.lstm { input, hidden, layers = layers, learn_state = true },
    nn.linear { hidden, 1 } }):load(tensors)
end

local function append(list, tensor)
  local values = tensor:reshape(-1):totable()
  table.move(values, 1, #values, #list + 1, list)
end

local function check_plain(net)
  local lstm, head = table.unpack(net.steps or {})
  if #(net.steps or {}) ~= 2 or type(lstm) ~= "table" or lstm.kind ~= "lstm" or type(head) ~= "table"
    or head.kind ~= "linear" or head.weight:size(1) ~= 1 then
    refusal.raise "expected a chain of an lstm and a linear layer with one output, got another net"
  end
  local o = lstm.o
  if o.bidirectional or o.residual or o.layer_norm or o.projection or o.peepholes or o.activation ~= "tanh"
    or o.gate_activation ~= "sigmoid" then
    refusal.raise "expected a plain lstm, got one with other options"
  end
  return lstm, head
end

--- The object that describes a chain; a refusal says what the format lacks.
---@param net saros.nn.Chain
---@param given { sample_rate?: number, metadata?: table }
---@return table
function nam.describe(net, given)
  local lstm, head = check_plain(net)
  local o, tensors, list = lstm.o, lstm:tensors(), {}
  for layer = 0, o.layers - 1 do
    local function get(name, size)
      return tensors[("%s_l%d"):format(name, layer)] or core.zeros(size)
    end
    append(list, core.concatenate({ get "weight_ih", get "weight_hh" }, 2))
    append(list, get("bias_ih", 4 * o.hidden) + get("bias_hh", 4 * o.hidden))
    append(list, get("initial_h", o.hidden))
    append(list, get("initial_c", o.hidden))
  end
  append(list, head.weight)
  append(list, head.bias or core.zeros(1))
  return { version = VERSION, architecture = "LSTM", sample_rate = given.sample_rate or RATE, weights = list,
    metadata = given.metadata or {},
    config = { input_size = o.input, hidden_size = o.hidden, num_layers = o.layers } }
end

return nam
