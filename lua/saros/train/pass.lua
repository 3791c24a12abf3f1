--- A pass through some data: windows of a text or series, which are cut to
--- `length`, or batches of sequences that stay whole.

local options = require "saros.options"

local pass = {}

--- Can this be trained on?
---@param data any
---@return boolean
function pass.is_data(data)
  return type(data) == "table" and data.train ~= nil and (data.windows or data.batches) ~= nil
end

--- Is there anything in a part to evaluate?
---@param data saros.train.Data
---@param part? "train"|"valid"|"test"
---@return boolean
function pass.holds_out(data, part)
  local held_out = data[part or "valid"]
  return held_out ~= nil and #held_out > (data.batches and 0 or 1)
end

--- What is learned in an epoch: in an order of its own, where the data has no order.
---@param data saros.train.Data
---@param o { batch: integer, length?: integer }
---@param epoch? integer
---@param first? integer  window to begin with
---@return fun(): saros.Window|saros.data.Batch|nil
function pass.training(data, o, epoch, first)
  local given = { batch = o.batch, first = first, seed = data.shuffled and epoch or nil }
  if data.batches then
    return data:batches(given)
  end
  given.length = o.length
  return data:windows(given)
end

--- The updates of all epochs.
---@param data saros.train.Data
---@param o { batch: integer, length?: integer, accumulate: integer, epochs: integer }
---@return integer
function pass.updates(data, o)
  local window = pass.training(data, o, 1)()
  return window and o.epochs * math.ceil(window.count / o.accumulate) or 0
end

--- Everything in a part once, in the same way whatever `batch` and `length` are: whole
--- sequences, or what data:reading gives. Data of one's own without that method is
--- read in the windows that it has.
---@param data saros.train.Data
---@param o { batch: integer, length?: integer, part: "train"|"valid"|"test" }  read at once, at most
---@return fun(): saros.Window|saros.data.Batch|nil
function pass.evaluation(data, o)
  if data.batches then
    return data:batches { batch = o.batch, part = o.part }
  elseif data.reading then
    return data:reading { batch = o.batch, length = o.length, part = o.part }
  end
  return data:windows { batch = math.min(o.batch, #data[o.part] - 1), length = o.length, part = o.part, partial = true }
end

--- The symbols or rows in a window, for the speed.
---@param window saros.Window|saros.data.Batch
---@return integer
function pass.symbols(window)
  return window.symbols or window.inputs:size(1) * window.inputs:size(2)
end

--- How many answers the loss of a window is the mean of: its `answers`, the sum of its
--- `mask`, or the number of all inputs.
---@param window saros.Window|saros.data.Batch
---@return number
function pass.answers(window)
  return window.answers or window.mask and window.mask:sum():item() or window.inputs:count()
end

--- What a vocabulary, a scale or a list of labels consists of, as lists.
local function lists_of(known)
  return known.symbols and { known.symbols } or known.shift and { known.shift, known.factor } or { known }
end

local function shown(value)
  return value == nil and "nothing" or options.describe(value)
end

local function require_list(owner, name, known, other)
  for id = 1, math.max(#known, #other) do
    if known[id] ~= other[id] then
      options.fail(("%s: expected data with the %s of the model, got %s as %d, which to the model is %s%s"):format(
        owner, name, shown(other[id]), id, shown(known[id]),
        name ~= "labels" and ("; option '%s' of the data takes the model's"):format(name) or ""))
    end
  end
end

--- Refuse a series with another horizon than the model, with more or fewer columns, or on
--- another scale.
local function require_series(owner, model, data)
  if not (model.horizon and data.horizon and model.scale and data.scale) then
    return
  elseif model.horizon ~= data.horizon then
    options.fail(("%s: expected a series with horizon = %d, as the model has, got %d"):format(
      owner, model.horizon, data.horizon))
  end
  for _, which in ipairs { "inputs", "targets" } do
    local wanted, got = model.scale[which].names, data.scale[which].names
    if #wanted ~= #got then
      options.fail(("%s: expected a series with the %s of the model, %d of them (%s), got %d (%s)"):format(
        owner, which, #wanted, table.concat(wanted, ", "), #got, table.concat(got, ", ")))
    elseif not model.scale[which]:equals(data.scale[which]) then
      options.fail(("%s: expected a series on the scale of the model, got one on a scale of its own; "
        .. "data.series(..., { scale = model.scale }) puts it on the model's"):format(owner))
    end
  end
end

--- Refuse a model that is shown what it is to tell: the targets of a stream are its
--- own next elements. A model with a loss of its own may tell something else.
local function require_one_way(owner, model, data)
  if not data.reading or model.window_loss then
    return
  end
  model:visit(function(module)
    if module.reads_ahead then
      options.fail(("%s: expected layers of one direction, as each element of this data is told from those before "
        .. "it, got %s"):format(owner, module:describe()))
    end
  end)
end

--- Refuse data whose symbols, numbers or labels mean something else to the model, and
--- a model that reads ahead in a stream.
---@param owner string  for the message
---@param model saros.nn.Module
---@param data saros.train.Data
function pass.require_match(owner, model, data)
  if type(model) ~= "table" or not getmetatable(model) then
    options.fail(("%s: expected a model, got %s"):format(owner, options.describe(model)))
  elseif not pass.is_data(data) then
    options.fail(("%s: expected a text or other data, got %s"):format(owner, options.describe(data)))
  end
  require_series(owner, model, data)
  require_one_way(owner, model, data)
  for _, name in ipairs { "vocabulary", "source", "target", "features", "labels" } do
    local known, other = model[name], data[name]
    if type(known) == "table" and type(other) == "table" and known ~= other then
      local lists = lists_of(other)
      for n, list in ipairs(lists_of(known)) do
        require_list(owner, name, list, lists[n])
      end
    end
  end
end

return pass
