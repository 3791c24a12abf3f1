--- What decides the result of a training, as plain data: a run folder keeps it,
--- so that going on with something else is noticed.

local core = require "saros.core"
local factors = require "saros.train.factors"
local pass = require "saros.train.pass"

local config = {}

local SCHEDULE = "training.optimizer.schedule"

-- Fields that folders of earlier versions lack, and what they had.
local UNNAMED = { ["training.precision"] = "real" }

--- Nothing for a list of parameters without groups.
local function groups_of(optimizer)
  local groups = optimizer.describe_groups and optimizer:describe_groups() or {}
  return #groups > 1 and groups or nil
end

local function model_of(model)
  local modules, parameters, precisions = {}, {}, {}
  model:visit(function(module, path)
    local name = path == "" and "all" or path:sub(1, -2)
    modules[name] = module:describe()
    precisions[name] = module.own_precision or nil
  end)
  for name, tensor in pairs(model:tensors()) do
    parameters[name] = table.concat(tensor:shape(), " x ")
  end
  return { options = model.configuration, modules = modules, parameters = parameters,
    precision = next(precisions) and precisions }
end

local function part_of(part)
  return part and { symbols = #part, digest = part.digest and part:digest() }
end

local function vocabulary_of(known)
  return known and { unit = known.unit, symbols = #known }
end

local function text_of(text)
  return {
    train = part_of(text.train),
    valid = part_of(text.valid),
    vocabulary = vocabulary_of(text.vocabulary),
    source = vocabulary_of(text.source),
    target = vocabulary_of(text.target),
    labels = text.labels and table.concat(text.labels, ", "),
  }
end

--- Plain data as it is after a file.
local function plain(value)
  return core.json_decode(core.json_encode(value))
end

---@param training saros.train.Fit
---@return table
function config.of(training)
  local o, optimizer = training.options, training.optimizer
  return plain {
    saros = core.info().version,
    model = model_of(training.model),
    text = text_of(training.text),
    training = {
      real = core.info().real,
      batch = o.batch,
      length = o.length,
      segment = o.segment,
      precision = o.precision,
      clip = o.clip,
      accumulate = o.accumulate,
      shards = o.shards,
      wire = o.wire ~= "real" and o.wire or nil,
      average = o.average,
      optimizer = { rule = optimizer.rule, options = optimizer.options, groups = groups_of(optimizer),
        schedule = optimizer.schedule and factors.digest(optimizer.schedule, pass.updates(training.text, o)) },
    },
  }
end

local function flatten(tree, prefix, flat)
  for key, value in pairs(tree) do
    if type(value) == "table" then
      flatten(value, prefix .. key .. ".", flat)
    else
      flat[prefix .. key] = value
    end
  end
  return flat
end

local function shown(value)
  return value == nil and "none" or core.format("%s", value)
end

--- The names of the fields in which two flat configurations differ.
local function differing(old, new)
  local names = {}
  for _, flat in ipairs { old, new } do
    for name in pairs(flat) do
      if old[name] ~= new[name] and (flat == old or old[name] == nil) then
        names[#names + 1] = name
      end
    end
  end
  return names
end

local function is_option(name)
  return name:find "^model%.options%." ~= nil
end

--- True if a field of a model follows from its options.
local function follows(name)
  return name:find "^model%.modules%." ~= nil or name:find "^model%.parameters%." ~= nil
end

--- The options of the model, then the rest, by name.
local function is_before(a, b)
  if is_option(a) ~= is_option(b) then
    return is_option(a)
  end
  return a < b
end

--- True if a checkpoint needs this field to be the same.
local function is_fixed(name)
  return name:find "^model%.parameters%." ~= nil or name == "training.optimizer.rule"
end

local function any(names, fits)
  for _, name in ipairs(names) do
    if fits(name) then
      return true
    end
  end
  return false
end

--- Take the schedules out of two flat configurations. Returns the line that says where
--- they differ.
local function take_schedules(old, new, coming)
  local before, now = old[SCHEDULE], new[SCHEDULE]
  old[SCHEDULE], new[SCHEDULE] = nil, nil
  local step = before ~= now and factors.difference(before, now, coming.first, coming.last())
  return step and ("%s: another one from step %d on"):format(SCHEDULE, step) or nil
end

--- The fields in which two configurations differ, one line for each: the options
--- of the model first, and none that merely follows from them. Schedules are compared
--- over the steps to come.
---@param before table
---@param now table
---@param coming { first: integer, last: fun(): integer }  steps
---@return string[] lines
---@return boolean fits  true if one can continue from checkpoints of the other
function config.differences(before, now, coming)
  local old, new = flatten(before, "", {}), flatten(now, "", {})
  for name, value in pairs(UNNAMED) do
    old[name] = old[name] == nil and value or old[name]
  end
  local schedules = take_schedules(old, new, coming)
  local names, lines = differing(old, new), {}
  local has_options = any(names, is_option)
  table.sort(names, is_before)
  for _, name in ipairs(names) do
    if not (has_options and follows(name)) then
      lines[#lines + 1] = ("%s: %s then, %s now"):format(name, shown(old[name]), shown(new[name]))
    end
  end
  lines[#lines + 1] = schedules
  return lines, not any(names, is_fixed)
end

--- The fields in which two configurations of one training differ, one line for each. Seeds may,
--- since all begin with the weights of one.
---@param first table  of rank 0
---@param other table
---@return string[]
function config.unlike(first, other)
  local one, two, lines = flatten(first, "", {}), flatten(other, "", {}), {}
  one["model.options.seed"], two["model.options.seed"] = nil, nil
  local names = differing(one, two)
  table.sort(names)
  for position, name in ipairs(names) do
    lines[position] = ("%s: %s there, %s here"):format(name, shown(one[name]), shown(two[name]))
  end
  return lines
end

return config
