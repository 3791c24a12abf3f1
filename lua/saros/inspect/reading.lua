--- What a language model goes through when it reads a text: its states after
--- each symbol, the inputs and the gates of its layers.

local core = require "saros.core"
local options = require "saros.options"
local having = require "saros.nn.cells.having"

local reading = {}

---@class saros.inspect.Reading
---@field model saros.nn.LanguageModel
---@field ids saros.Tensor  (T)
---@field symbols string[]  T; the text is their concatenation
---@field layers table<string, saros.Tensor>[]  by state name: h (T, P) and c (T, H), after each symbol
---@field logits saros.Tensor  (T, V): of the symbol after each one

--- Refuse what is not a language model that reads in one direction.
---@param owner string  for messages
---@param model any
function reading.check_model(owner, model)
  if type(model) ~= "table" or model.kind ~= "language_model" then
    options.fail(("%s: expected a language model, got %s"):format(owner, options.describe(model)))
  end
end

--- The ids of a text. Error if it is not one that the model can read.
---@param owner string
---@param model saros.nn.LanguageModel
---@param text any
---@param least integer  symbols
---@return integer[]
function reading.encode(owner, model, text, least)
  if type(text) ~= "string" then
    options.fail(("%s: expected a string to read, got %s"):format(owner, options.describe(text)))
  end
  local ids = options.about(owner, model.vocabulary.encode, model.vocabulary, text)
  if #ids < least then
    options.fail(("%s: expected a text of %d or more symbols, got %d"):format(owner, least, #ids))
  end
  return ids
end

--- The states of one step, appended to the lists of all layers.
local function keep(lists, state, names)
  for layer, entry in ipairs(state) do
    lists[layer] = lists[layer] or {}
    for position, tensor in ipairs(entry) do
      local name = names[position] or tostring(position)
      lists[layer][name] = lists[layer][name] or {}
      table.insert(lists[layer][name], tensor)
    end
  end
end

--- Let a model read a text, symbol by symbol, from the beginning.
---@param owner string  for messages
---@param model saros.nn.LanguageModel
---@param text string
---@return saros.inspect.Reading
function reading.of(owner, model, text)
  reading.check_model(owner, model)
  local ids = reading.encode(owner, model, text, 2)
  local lists, logits, symbols, state = {}, {}, {}, nil
  for t, id in ipairs(ids) do
    local y
    y, state = model(core.ids { { id } }, state)
    logits[t], symbols[t] = y:reshape(-1), model.vocabulary:text_of(id, ids[t - 1])
    keep(lists, state, model.recurrent.state_names)
  end
  for _, layer in ipairs(lists) do
    for name, tensors in pairs(layer) do
      layer[name] = core.concatenate(tensors, 1)
    end
  end
  return { model = model, ids = core.ids(ids), symbols = symbols, layers = lists, logits = core.stack(logits) }
end

--- A state before each symbol: the first one, then those after all but the last.
local function before(states, first)
  local begin = first and first:reshape(1, -1) or core.zeros(1, states:size(2))
  return core.concatenate({ begin, states:slice(1, 1, states:size(1) - 1) }, 1)
end

--- W x + U h + biases of a layer, (T, G H); without U in a cell that has none.
local function activations(direction, x, h_before)
  local p = direction.parameters
  local from_x
  if direction.norm_ih then
    from_x = core.layer_norm(core.linear(x, direction.weight_ih), table.unpack(direction.norm_ih))
  else
    from_x = core.linear(x, p.weight_ih, p.bias_ih)
  end
  if not p.weight_hh then
    return from_x
  end
  local from_h = core.linear(h_before, p.weight_hh, p.bias_hh)
  return from_x + (p.norm_gain and core.layer_norm(from_h, p.norm_gain, p.norm_bias) or from_h)
end

--- The gates of every layer while the text was read, computed again from the
--- weights and the states.
---@param owner string
---@param read saros.inspect.Reading
---@return { name: string, values: saros.Tensor }[][]  for each layer its gates, values (T, H) in (0, 1)
function reading.gates(owner, read)
  local recurrent = read.model.recurrent
  local compute = rawget(recurrent, "gates_of")
  if not compute then
    options.fail(("%s: expected a model with gates (%s), got %s"):format(
      owner, table.concat(having "gates_of", ", "), recurrent:describe()))
  end
  local x, layers = read.model.embedding(read.ids), {}
  for layer, direction in ipairs(recurrent.directions) do
    local states, first = read.layers[layer], direction.initial or {}
    local earlier = { h = before(states.h, first[1]), c = states.c and before(states.c, first[2]) }
    layers[layer] = compute(activations(direction, x, earlier.h), states, earlier, direction)
    local is_sum = recurrent.o.residual and states.h:size(2) == x:size(2)
    x = is_sum and states.h + x or states.h
  end
  return layers
end

return reading
