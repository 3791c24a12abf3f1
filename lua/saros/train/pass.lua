--- A pass through some data: windows of a text or series, which are cut to
--- `length`, or batches of sequences that stay whole.

local options = require "saros.options"
local batch_first = require "saros.nn.batch_first"
local match = require "saros.train.match"

local pass = {}

--- True if this can be trained on.
---@param data any
---@return boolean
function pass.is_data(data)
  return type(data) == "table" and data.train ~= nil and (data.windows or data.batches) ~= nil
end

--- True if a part has something to evaluate.
---@param data saros.train.Data
---@param part? "train"|"valid"|"test"
---@return boolean
function pass.holds_out(data, part)
  local held_out = data[part or "valid"]
  return held_out ~= nil and #held_out > (data.batches and 0 or 1)
end

--- The windows or batches of an epoch, shuffled by its number where the data has no order.
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
  batch_first.refuse(owner, model, "the windows of data are (T, B, ...)")
  match.series(owner, model, data)
  match.meanings(owner, model, data)
  require_one_way(owner, model, data)
end

return pass
