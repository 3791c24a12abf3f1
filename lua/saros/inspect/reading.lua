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
---@field layers table<string, saros.Tensor>[]  by state name: h (T, P) and c (T, H), after each symbol;
---  empty if the model has a net of its own
---@field logits saros.Tensor  (T, V): of the symbol after each one

--- Refuse what is not a language model that reads in one direction.
---@param owner string  for messages
---@param model any
function reading.check_model(owner, model)
  if type(model) ~= "table" or model.kind ~= "language_model" then
    options.fail(("%s: expected a language model, got %s"):format(owner, options.describe(model)))
  end
end

--- Refuse what is not a language model whose layers are known: a recurrent stack
--- between embedding and head.
---@param owner string  for messages
---@param model any
function reading.check_stack(owner, model)
  reading.check_model(owner, model)
  if rawget(model, "net") then
    options.fail(("%s: expected a language model made of a recurrent stack, got one with a net of its own"):format(
      owner))
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
    if not rawget(model, "net") then
      keep(lists, state, model.recurrent.state_names)
    end
  end
  for _, layer in ipairs(lists) do
    for name, tensors in pairs(layer) do
      layer[name] = core.concatenate(tensors, 1)
    end
  end
  return { model = model, ids = core.ids(ids), symbols = symbols, layers = lists, logits = core.stack(logits) }
end

--- The gates of every layer while the text was read, in order. A candidate is none.
---@param owner string
---@param read saros.inspect.Reading
---@return { name: string, values: saros.Tensor }[][]  for each layer its gates, values (T, H)
function reading.gates(owner, read)
  local net, lists, T = read.model.recurrent, {}, #read.symbols
  local _, _, layers = net(read.ids:reshape(T, 1), nil, { layers = "all" }, read.model.embedding)
  for layer, values in ipairs(layers) do
    lists[layer] = {}
    for _, name in ipairs(net.directions[layer].named) do
      if name ~= "candidate" then
        table.insert(lists[layer], { name = name, values = values.gates[name]:reshape(T, -1) })
      end
    end
  end
  if #lists[1] == 0 then
    options.fail(("%s: expected a model with gates (%s), got %s"):format(
      owner, table.concat(having "named", ", "), net:describe()))
  end
  return lists
end

return reading
