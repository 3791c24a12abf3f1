--- Training a model on a text: truncated BPTT over windows with the state
--- carried from one to the next, clipping, an optimizer, validation.

local core = require "saros.core"
local options = require "saros.options"
local model_file = require "saros.model_file"
local module = require "saros.nn.module"
local loss = require "saros.nn.loss"
local optim = require "saros.optim"
local evaluate = require "saros.train.evaluate"

---@class saros.train.FitOptions
---@field epochs? integer  passes through the training part (1)
---@field batch? integer  rows that are read side by side, B (50)
---@field length? integer  symbols between updates, T (50)
---@field lr? number  of Adam (2e-3)
---@field schedule? fun(step: integer): number  factor of the rate
---@field optimizer? saros.optim.Optimizer  instead of Adam with lr and schedule
---@field clip? number  limit of the gradients' norm (5)
---@field patience? integer  passes without a lower held-out loss before it stops (no limit)
---@field run? string  folder to keep the model in: the one with the lowest held-out loss, or the
---  last one where nothing is held out
---@field progress? saros.Progress  shows what happens; nothing is printed without
---@field on_window? fun(record: saros.train.WindowRecord)  after every update
---@field on_epoch? fun(record: saros.train.EpochRecord)  after every pass

---@class saros.train.WindowRecord
---@field epoch integer
---@field epochs integer
---@field index integer  of the window in this pass
---@field count integer  of windows in a pass
---@field step integer  of the optimizer
---@field loss number  in nats per symbol
---@field smoothed number  the same over about the last 20 windows
---@field norm number  of the gradients, before clipping
---@field lr number
---@field symbols_per_second number
---@field seconds_left number

---@class saros.train.EpochRecord
---@field epoch integer
---@field epochs integer
---@field step integer
---@field train number  mean loss of the pass, in nats per symbol
---@field valid number?  loss on the held-out part afterwards, if there is one
---@field best integer?  the epoch with the lowest `valid` so far: this one, or an earlier one
---@field stopped boolean  is it the last because `patience` ran out?
---@field symbols_per_second number
---@field seconds number

local SMOOTHING = 0.95

local check = options.declare("fit", {
  { "epochs", options.size, 1 },
  { "batch", options.size, 50 },
  { "length", options.size, 50 },
  { "lr", options.positive, 2e-3 },
  { "schedule", options.optional(options.callback) },
  { "optimizer", options.optional(options.having("an optimizer", { "step", "parameters" })) },
  { "clip", options.positive, 5 },
  { "patience", options.optional(options.size) },
  { "run", options.optional(options.string) },
  { "progress", options.optional(options.having("a progress display", { "window", "epoch" })) },
  { "on_window", options.optional(options.callback) },
  { "on_epoch", options.optional(options.callback) },
})

---@class saros.train.Fit
---@field model saros.nn.Module
---@field text saros.Text
---@field options table
---@field optimizer saros.optim.Optimizer
---@field started number  when the epoch began
---@field smoothed number?
---@field best saros.train.EpochRecord?  of the lowest held-out loss so far
---@field kept integer?  the epoch whose model is in the run folder

--- Hand a record to the progress display and to the caller's function.
local function report(self, event, record)
  local o = self.options
  if o.progress then
    o.progress[event](o.progress, record)
  end
  local callback = o["on_" .. event]
  if callback then
    callback(record)
  end
end

local function require_finite(value, place, ...)
  if value ~= value or value == math.huge then
    error(("fit: expected a finite loss, got %s %s; a smaller lr or clip may help"):format(
      value, place:format(...)), 0)
  end
end

--- Models that have a loss of their own spare the memory of the logits.
local function window_loss(model, window, state)
  if model.window_loss then
    return model:window_loss(window, state)
  end
  local logits
  logits, state = model(window.inputs, state)
  return loss.cross_entropy(logits, window.targets), state
end

--- One update. Returns what it was like, and the next state.
local function learn(self, window, state, epoch)
  local tape <close> = core.tape()
  local cost
  cost, state = window_loss(self.model, window, state)
  local value = cost:item()
  require_finite(value, "in window %d of epoch %d", window.index, epoch)
  tape:backward(cost)
  local norm = optim.clip_norm(self.optimizer.parameters, self.options.clip)
  local rate = self.optimizer:step()
  return { loss = value, norm = norm, lr = rate }, state
end

--- Complete what `learn` began: where this update stands in the training.
local function complete(self, record, epoch, window)
  local last = self.smoothed or record.loss
  self.smoothed = SMOOTHING * last + (1 - SMOOTHING) * record.loss
  local o = self.options
  local seconds = core.clock() - self.started
  local windows_left = (o.epochs - epoch + 1) * window.count - window.index
  record.epoch, record.epochs = epoch, o.epochs
  record.index, record.count = window.index, window.count
  record.step, record.smoothed = self.optimizer.steps, self.smoothed
  record.symbols_per_second = window.index * o.batch * o.length / seconds
  record.seconds_left = windows_left * seconds / window.index
end

local function holds_out(text)
  return text.valid and #text.valid > 1
end

--- The loss on the held-out part, if there is one.
local function validate(self, epoch)
  local text, o = self.text, self.options
  if holds_out(text) then
    local value = evaluate(self.model, text, { batch = o.batch, length = o.length })
    require_finite(value, "on the held-out part after epoch %d", epoch)
    return value
  end
end

--- One pass through the training part. Returns its record.
local function run_epoch(self, epoch)
  local o = self.options
  local total, count, state = 0, 0, nil
  self.started = core.clock()
  for window in self.text:windows { batch = o.batch, length = o.length } do
    local record
    record, state = learn(self, window, state, epoch)
    total, count = total + record.loss, window.index
    complete(self, record, epoch, window)
    report(self, "window", record)
  end
  local seconds = core.clock() - self.started
  return {
    epoch = epoch,
    epochs = o.epochs,
    step = self.optimizer.steps,
    train = total / count,
    valid = validate(self, epoch),
    symbols_per_second = count * o.batch * o.length / seconds,
    seconds = seconds,
  }
end

--- Complete what `run_epoch` began: how this epoch compares with those before.
local function judge(self, record)
  local patience = self.options.patience
  if record.valid then
    if not self.best or record.valid < self.best.valid then
      self.best = record
    end
    record.best = self.best.epoch
  end
  record.stopped = patience ~= nil and record.epoch - record.best >= patience
end

--- Write the model into the run folder, unless an earlier one was better.
local function keep(self, record)
  local run = self.options.run
  if run and (record.best or record.epoch) == record.epoch then
    local ok, message = self.model:save(model_file.path_in(run))
    if not ok then
      error("fit: " .. message, 0)
    end
    self.kept = record.epoch
  end
end

--- Tell the display that the training ends before its time, and what is left.
local function stop_display(self, reason)
  local progress, run = self.options.progress, self.options.run
  if not (progress and progress.stop) then
    return
  end
  local left = self.kept and ("the model after epoch %d is in %s"):format(self.kept, run)
    or run and ("no epoch was finished, so there is no model of this training in %s"):format(run)
  progress:stop(reason and left and reason .. "; " .. left or reason or left)
end

--- An error, or Ctrl-C, ends the training.
local function close(self, problem)
  if problem ~= nil then
    stop_display(self)
  end
end

local Training = { __close = close }

local function check_arguments(model, text, o)
  if not (module.is(model) and model.stateful) then
    options.fail("fit: expected a stateful module, got " .. options.describe(model))
  elseif type(text) ~= "table" or not text.windows then
    options.fail("fit: expected a text, got " .. options.describe(text))
  end
  options.about("fit", text.windows, text, { batch = o.batch, length = o.length })
  if o.patience and not holds_out(text) then
    options.fail("fit: expected a text with a held-out part, since patience is given; "
      .. "data.text(..., { valid = 0.1 }) holds one out")
  end
  if o.run then
    local ok, message = core.make_folder(o.run)
    if not ok then
      local reason = message:match 'got "(.*)"$' or message
      options.fail(("fit: expected to make the run folder %q: %s"):format(o.run, reason))
    end
  end
end

--- Train a model on a text. The model is changed in place and ends as the last
--- pass left it; the run folder keeps the best one.
---@param model saros.nn.Module  ids (T, B), state -> logits (T, B, V), state
---@param text saros.Text
---@param given? saros.train.FitOptions
---@return saros.train.EpochRecord[] history  one record for each epoch that was run
local function fit(model, text, given)
  local o = check(given)
  check_arguments(model, text, o)
  local self <close> = setmetatable({
    model = model,
    text = text,
    options = o,
    optimizer = o.optimizer
      or optim.adam(model:parameters(), { lr = o.lr, schedule = o.schedule }),
  }, Training)
  local history = {}
  for epoch = 1, o.epochs do
    local record = run_epoch(self, epoch)
    history[epoch] = record
    judge(self, record)
    keep(self, record)
    report(self, "epoch", record)
    if record.stopped then
      stop_display(self, ("no lower held-out loss in %d epochs"):format(o.patience))
      break
    end
  end
  return history
end

return fit
