--- Checkpoints: all that training needs to go on with the same bits. One file
--- for each: the tensors of model, optimizer, averaged weights and carried state
--- as safetensors, the rest as JSON in the metadata.
---
---     checkpoints/step-000000350.safetensors

local core = require "saros.core"
local options = require "saros.options"
local state_of = require "saros.nn.state"

local FORMAT = 2 -- 1 had means over windows, and losses that depended on their size
local KEY = "saros_checkpoint" -- in the metadata
local NAME, PATTERN = "step-%09d.safetensors", "^step%-(%d+)%.safetensors$"

local checkpoint = {}

---@class saros.train.Snapshot  what a checkpoint holds beside its tensors, plain data
---@field format integer
---@field cursor saros.train.Cursor
---@field optimizer saros.optim.Numbers
---@field generators table<string, string>  name -> state
---@field state "none"|"tensor"|"tree"  what is carried into the next window
---@field average { count: integer, before: number }?  see saros.train.average
---@field history saros.train.EpochRecord[]  epochs that are complete
---@field best saros.train.EpochRecord?
---@field smoothed number?
---@field digests table<string, string>  tensor name -> digest

-- --- From and to a training ----------------------------------------------------------

local function put(tensors, prefix, given)
  for name, tensor in pairs(given) do
    tensors[prefix .. name] = tensor
  end
end

--- The tensors whose names begin with a prefix, without it.
local function take(tensors, prefix)
  local taken = {}
  for name, tensor in pairs(tensors) do
    if name:sub(1, #prefix) == prefix then
      taken[name:sub(#prefix + 1)] = tensor
    end
  end
  return taken
end

local function generator_states(generators)
  local states = {}
  for name, generator in pairs(generators) do
    states[name] = generator:state()
  end
  return states
end

checkpoint.generator_states = generator_states

--- What a training is like now. The tensors are its own.
---@param training saros.train.Fit
---@return table<string, saros.Tensor> tensors, saros.train.Snapshot snapshot
function checkpoint.capture(training)
  local tensors = training.model:tensors "model."
  local moments, numbers = training.optimizer:state()
  put(tensors, "optimizer.", moments)
  if training.average then
    put(tensors, "average.", training.average.tensors)
  end
  local state, kind = training.state, "none"
  if type(state) == "table" then
    put(tensors, "state.", state_of.tensors(state))
    kind = "tree"
  elseif state then
    tensors.state, kind = state, "tensor"
  end
  return tensors, {
    format = FORMAT,
    cursor = training.cursor,
    optimizer = numbers,
    generators = generator_states(training.model:generators()),
    state = kind,
    average = training.average and training.average.progress,
    history = table.move(training.history, 1, #training.history, 1, {}),
    best = training.best,
    smoothed = training.smoothed,
  }
end

--- Give the generators of a model the states they had.
---@param model saros.nn.Module
---@param states table<string, string>
function checkpoint.restore_generators(model, states)
  for name, generator in pairs(model:generators()) do
    if not states[name] then
      options.fail(("expected the state of the generator '%s', got none"):format(name))
    end
    generator:restore(states[name])
  end
end

--- Make a training what it was.
---@param training saros.train.Fit
---@param tensors table<string, saros.Tensor>
---@param snapshot saros.train.Snapshot
function checkpoint.restore(training, tensors, snapshot)
  training.model:load(tensors, "model.")
  training.optimizer:restore(take(tensors, "optimizer."), snapshot.optimizer)
  checkpoint.restore_generators(training.model, snapshot.generators)
  if training.average then
    training.average:restore(take(tensors, "average."), snapshot.average)
  end
  training.state = nil
  if snapshot.state == "tree" then
    training.state = state_of.from(tensors, "state.")
  elseif snapshot.state == "tensor" then
    training.state = tensors.state
  end
  training.cursor = snapshot.cursor
  training.history, training.best = snapshot.history, snapshot.best
  training.smoothed = snapshot.smoothed
end

-- --- Files ---------------------------------------------------------------------------

---@param folder string
---@param step integer
---@return string
function checkpoint.path(folder, step)
  return folder .. "/" .. NAME:format(step)
end

--- Write a checkpoint; a crash leaves the old file of that name or the new one.
---@param path string
---@param tensors table<string, saros.Tensor>
---@param snapshot saros.train.Snapshot
---@return true? ok, string? message
function checkpoint.write(path, tensors, snapshot)
  snapshot.digests = {}
  for name, tensor in pairs(tensors) do
    snapshot.digests[name] = tensor:digest()
  end
  return core.write_tensors(path, tensors, { [KEY] = core.json_encode(snapshot) })
end

--- What is wrong with a description; nil if nothing is.
local function flaw_of(snapshot, tensors)
  for name, kind in pairs { cursor = "table", optimizer = "table", generators = "table",
    history = "table", digests = "table", state = "string" } do
    if type(snapshot[name]) ~= kind then
      return ("expected its %s, got %s"):format(name, options.describe(snapshot[name]))
    end
  end
  for name, digest in pairs(snapshot.digests) do
    if not tensors[name] or tensors[name]:digest() ~= digest then
      return ("expected '%s' as it was written, got other bits"):format(name)
    end
  end
end

--- Read a checkpoint. One of another format is an error: going back to an older one
--- would lose what a newer version has learned, and the losses that an older version
--- measured cannot be compared with those of this one.
---@param path string
---@return table<string, saros.Tensor>? tensors  nil if the file is damaged
---@return saros.train.Snapshot|string snapshot  or what is wrong
function checkpoint.read(path)
  local tensors, metadata = core.read_tensors(path)
  if not tensors then
    return nil, metadata
  end
  local snapshot, message = core.json_decode(metadata[KEY] or "")
  if type(snapshot) ~= "table" or math.type(snapshot.format) ~= "integer" then
    return nil, ("checkpoint: expected a description in %q, got %s"):format(path, message or "something else")
  elseif snapshot.format ~= FORMAT then
    options.fail(("fit: expected a checkpoint of format %d in %q, got %d; written by %s"):format(FORMAT, path,
      snapshot.format, snapshot.format > FORMAT and "a newer version"
        or "an older version, which had other losses; resume = false starts over"))
  end
  local flaw = flaw_of(snapshot, tensors)
  if flaw then
    return nil, ("checkpoint: %s in %q"):format(flaw, path)
  end
  return tensors, snapshot
end

--- The steps of the checkpoints in a folder, latest first.
---@param names string[]  of the files there
---@return integer[]
function checkpoint.steps(names)
  local steps = {}
  for _, name in ipairs(names) do
    steps[#steps + 1] = math.tointeger(tonumber(name:match(PATTERN)))
  end
  table.sort(steps, function(a, b)
    return a > b
  end)
  return steps
end

return checkpoint
