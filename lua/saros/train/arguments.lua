--- What `fit` is given: its options, and whether they fit model and data.

local options = require "saros.options"
local module = require "saros.nn.module"
local precision = require "saros.nn.precision"
local world = require "saros.ranks.world"
local pass = require "saros.train.pass"

local arguments = {}

---@class saros.train.FitOptions
---@field epochs? integer  passes through the training part, those of earlier calls included (1)
---@field batch? integer  rows that are read side by side, B (50)
---@field length? integer  symbols in a window, T (50; sequences with labels and pairs stay whole)
---@field segment? integer  steps of the parts in which windows too long for the memory are learned from,
---  best about the root of `length`, see saros.train.segments; twice the forward passes (whole)
---@field accumulate? integer  windows between updates, which are learned from as if they were one, each
---  by its answers; fewer at the end of a pass (1)
---@field shards? integer  row blocks of which the gradients are a sum: see saros.ranks. Bits depend on this number,
---  and on no number of ranks (8 under mpirun, else all rows at once)
---@field wire? "real"|"bf16"  how gradients travel between ranks: "bf16" takes half the bytes, but rounds what each
---  rank sends, so that bits are those of this number of ranks ("real")
---@field lr? number  of Adam (2e-3)
---@field schedule? fun(step: integer): number  factor of the rate
---@field optimizer? saros.optim.Optimizer  instead of Adam with lr and schedule, which are then its own
---@field precision? "real"|"bf16"  of large products while it learns, see saros.nn.Module.precision: modules
---  that have one of their own keep it. Weights, and the held-out loss, are real in any case ("real")
---@field clip? number  limit of the gradients' norm (5)
---@field average? number  decay of a moving average of the weights, such as 0.999, which is what is
---  evaluated, kept and left in the model; corrected for its beginning (none)
---@field patience? integer  passes without a lower held-out loss before it stops; the model ends with the
---  weights of the lowest (no limit)
---@field run? string  folder to keep the training in, see saros.train.run; a training that is there
---  continues, with the same bits as if it had never stopped
---@field resume? boolean  false: start over in a folder that has a training (true)
---@field rollback? number  in (0, 1): where loss or gradients are not finite, go back to the last
---  checkpoint and multiply the rate by this (none: an error)
---@field force? boolean  continue although the configuration differs (false)
---@field checkpoint? { steps?: integer, epochs?: integer }  from one to the next ({ epochs = 1 })
---@field keep? integer  number of the last checkpoints that stay, beside that of the best epoch (2)
---@field sample? integer  symbols that the model writes after each epoch, 0 for none (200)
---@field progress? saros.Progress  shows what happens; nothing is printed without
---@field on_window? fun(record: saros.train.WindowRecord)  after every update
---@field on_epoch? fun(record: saros.train.EpochRecord)  after every pass

local LENGTH = 50 -- of windows
local SHARDS = 8

local interval = options.kind("{ steps = N } or { epochs = N }", function(value)
  if type(value) ~= "table" then
    return nil
  end
  local steps, epochs = options.size.accept(value.steps), options.size.accept(value.epochs)
  return (steps or epochs) and { steps = steps, epochs = epochs } or nil
end)

local progress_kind = options.having("a progress display, such as saros.progress()", { "window", "epoch" })

local check = options.declare("fit", {
  { "epochs", options.size, 1 },
  { "batch", options.size, 50 },
  { "length", options.optional(options.size) },
  { "segment", options.optional(options.size) },
  { "accumulate", options.size, 1 },
  { "shards", options.optional(options.size) },
  { "wire", options.one_of { "real", "bf16" }, "real" },
  { "lr", options.optional(options.positive) },
  { "schedule", options.optional(options.schedule) },
  { "optimizer", options.optional(options.having("an optimizer", { "step", "parameters" })) },
  { "precision", precision.trained, "real" },
  { "clip", options.positive, 5 },
  { "average", options.optional(options.fraction) },
  { "patience", options.optional(options.size) },
  { "run", options.optional(options.string) },
  { "resume", options.boolean, true },
  { "rollback", options.optional(options.fraction) },
  { "force", options.boolean, false },
  { "checkpoint", interval, { epochs = 1 } },
  { "keep", options.size, 2 },
  { "sample", options.count, 200 },
  { "progress", options.optional(progress_kind) },
  { "on_window", options.optional(options.callback) },
  { "on_epoch", options.optional(options.callback) },
})

local function check_data(model, text, o)
  if not pass.is_data(text) then
    options.fail("fit: expected a text or other data with a training part, got " .. options.describe(text))
  elseif o.length and text.batches then
    options.fail(("fit: expected no option 'length', since these sequences stay whole, got %d"):format(o.length))
  end
  o.length = o.length or not text.batches and LENGTH or nil
  pass.require_match("fit", model, text)
  options.about("fit", pass.training, text, o, 1)
end

--- True if some parameters of a model are among others.
local function has_some_of(model, others)
  local is_other = {}
  for _, parameter in ipairs(others) do
    is_other[parameter] = true
  end
  for _, parameter in ipairs(model:parameters()) do
    if is_other[parameter] then
      return true
    end
  end
  return false
end

--- An optimizer has a rate of its own, and parameters of the model.
local function check_optimizer(model, o)
  for _, name in ipairs { "lr", "schedule" } do
    if o.optimizer and o[name] ~= nil then
      options.fail(("fit: expected no option '%s', since optimizer is given; make the optimizer with it, "
        .. "as in optim.adam(model:parameters(), { %s = ... })"):format(name, name))
    end
  end
  if o.run and o.optimizer and not (o.optimizer.state and o.optimizer.restore) then
    options.fail "fit: expected an optimizer with state and restore, since run is given"
  elseif o.optimizer and not has_some_of(model, o.optimizer.parameters) then
    options.fail "fit: expected an optimizer of the model's parameters, got one of others"
  end
end

--- Under mpirun there are always shards, and some for each rank.
local function check_shards(model, o)
  local all = world()
  o.shards = o.shards or all.mpi and SHARDS or nil
  if not o.shards then
    return
  elseif o.shards < all.size then
    options.fail(("fit: expected shards for all %d ranks, got shards = %d"):format(all.size, o.shards))
  elseif #model:buffers() > 0 then
    options.fail("fit: expected a model that keeps no statistics of what it reads, since each shard has its own rows, "
      .. "got one with nn.batch_norm")
  elseif all.size > 1 and o.optimizer and not (o.optimizer.state and o.optimizer.restore) then
    options.fail "fit: expected an optimizer with state and restore, since there are several ranks"
  end
end

--- The options with their defaults. Everything that does not fit model and data is
--- an error.
---@param model any
---@param text any
---@param given? saros.train.FitOptions
---@return table o
function arguments.check(model, text, given)
  local o = check(given)
  if not (module.is(model) and (model.stateful or model.window_loss)) then
    options.fail("fit: expected a stateful module, or one with a window_loss, got " .. options.describe(model))
  elseif model.frozen_as then
    options.fail(("fit: expected a net that can change, got a quantised %s; train the net that it was made of and "
      .. "call quantised again"):format(model.kind))
  end
  check_data(model, text, o)
  check_optimizer(model, o)
  check_shards(model, o)
  if o.patience and not pass.holds_out(text) then
    options.fail("fit: expected data with a held-out part, since patience is given; "
      .. "data.text(..., { valid = 0.1 }) holds one out")
  elseif o.segment and text.batches then
    options.fail "fit: expected no segment, as these sequences stay whole"
  elseif o.rollback and (o.rollback == 0 or not o.run) then
    options.fail "fit: expected rollback in (0, 1) and a run folder to go back to"
  end
  return o
end

return arguments
