--- Whether data means to a model what it means to itself: symbols, numbers, labels and
--- columns.

local options = require "saros.options"

local match = {}

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

--- Refuse data whose vocabulary, scale of features or labels are not those of the model.
---@param owner string  for the message
---@param model saros.nn.Module
---@param data saros.train.Data
function match.meanings(owner, model, data)
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

--- Refuse a series with more or fewer columns than the model, or in another order.
---@param owner string
---@param model saros.nn.Forecaster
---@param series saros.Series
function match.columns(owner, model, series)
  for _, which in ipairs { "inputs", "targets" } do
    local wanted, got = model.scale[which].names, series.scale[which].names
    if not model.scale[which]:fits(got) then
      options.fail(("%s: expected a series with the %s of the model, %d of them (%s), got %d (%s)"):format(
        owner, which, #wanted, table.concat(wanted, ", "), #got, table.concat(got, ", ")))
    end
  end
end

--- Refuse a series with another horizon than the model, with other columns, or on another
--- scale. Other models and data pass.
---@param owner string
---@param model saros.nn.Module
---@param data saros.train.Data
function match.series(owner, model, data)
  if not (model.horizon and data.horizon and model.scale and data.scale) then
    return
  elseif model.horizon ~= data.horizon then
    options.fail(("%s: expected a series with horizon = %d, as the model has, got %d"):format(
      owner, model.horizon, data.horizon))
  end
  match.columns(owner, model, data)
  for _, which in ipairs { "inputs", "targets" } do
    if not model.scale[which]:equals(data.scale[which]) then
      options.fail(("%s: expected a series on the scale of the model, got one on a scale of its own; "
        .. "data.series(..., { scale = model.scale }) puts it on the model's"):format(owner))
    end
  end
end

return match
