--- Training a model on some data: truncated BPTT over windows of a text with the
--- state carried from one to the next, or BPTT over whole sequences; clipping, an
--- optimizer, validation.
---
--- The pieces: saros.train.arguments has the options, pass goes through the data,
--- step makes an update, run keeps a folder, checkpoint says what goes into one,
--- config what decides the result, finite looks for what is not a number.

local core = require "saros.core"
local lazy = require "saros.lazy"
local options = require "saros.options"
local optim = require "saros.optim"
local arguments = require "saros.train.arguments"
local average = require "saros.train.average"
local checkpoint = require "saros.train.checkpoint"
local config = require "saros.train.config"
local evaluate = require "saros.train.evaluate"
local finite = require "saros.train.finite"
local frozen = require "saros.train.frozen"
local pace = require "saros.train.pace"
local pass = require "saros.train.pass"
local run_folder = require "saros.train.run"
local step = require "saros.train.step"
local together = require "saros.train.together"
local undisturbed = require "saros.train.undisturbed"

local format = core.format

local late = lazy({}, { report = { "saros.report" } })

---@alias saros.train.Data saros.Text|saros.Pieces|saros.Series|saros.Labelled|saros.Pairs

---@class saros.train.WindowRecord
---@field epoch integer
---@field epochs integer
---@field index integer  of the window in this pass, the last one of the update
---@field count integer  of windows in a pass
---@field step integer  of the optimizer
---@field loss number  in nats per symbol, or as the model's own loss has it
---@field objective number?  what was minimised, where it is not the loss: with class weights, weights of
---  sequences or label smoothing
---@field accuracy number?  of models that choose a label: the share that is right
---@field bits number?  the same in bits per symbol, where there are symbols and the loss is in nats: a model with
---  a window_loss of its own has a vocabulary then
---@field perplexity number?  e to the loss
---@field smoothed number  the loss over about the last 20 updates
---@field norm number  of the gradients, before clipping
---@field lr number
---@field symbols_per_second number  over the last 20 updates, without what stood between them
---@field seconds_left number
---@field memory integer  bytes of tensors, the most in this call so far

---@class saros.train.EpochRecord
---@field epoch integer
---@field epochs integer
---@field step integer
---@field train number  mean loss of the pass over all answers, in nats per symbol
---@field valid number?  loss on the held-out part afterwards, if there is one
---@field accuracy number?  of labels, on the held-out part
---@field bits number?  `valid`, or `train` where nothing is held out, in bits per symbol
---@field perplexity number?  e to the same
---@field best integer?  the epoch with the lowest `valid` so far: this one, or an earlier one
---@field stopped boolean  true if it is the last because `patience` ran out
---@field symbols_per_second number?  in updates; nil if an earlier call had made all of them
---@field seconds number  of the training part
---@field memory integer  bytes of tensors, the most in this call so far
---@field ranks saros.train.RankSeconds[]?  of several ranks: where the seconds of each went, rank 0 first

---@class saros.train.History  a record for each epoch
---@field [integer] saros.train.EpochRecord
---@field resumed { step: integer, epoch: integer, damaged: string[] }?  where this call went on, and
---  what is wrong with later checkpoints; nil if it started from the beginning

local RATE = 2e-3 -- of Adam
local REPORT_SECONDS = 60 -- from one report to the next while a training runs
local LEAST_SCALE = 1e-4 -- of the rate: below this, a smaller one does not help

---@class saros.train.Cursor
---@field epoch integer
---@field index integer  windows done in it
---@field answers number  of these windows
---@field total number  sum of the losses of the answers
---@field batch integer  of these windows
---@field length integer?

---@class saros.train.Fit
---@field model saros.nn.Module
---@field text saros.train.Data
---@field options table
---@field optimizer saros.optim.Optimizer
---@field average saros.train.Average?
---@field run saros.train.Run?
---@field cursor saros.train.Cursor  the epoch under way
---@field state saros.nn.State  before the next window
---@field history saros.train.History
---@field smoothed number?
---@field best saros.train.EpochRecord?  of the lowest held-out loss so far
---@field before table<string, string>?  the generators' states, inside an update
---@field broken string?  what is not finite, of loss, weights or gradients
---@field started number  when this call began with the epoch
---@field first integer  windows of the epoch that were done before
---@field pace saros.train.Pace
---@field weights table<string, saros.Tensor>?  of the best epoch, for `patience` without a run folder
---@field kept integer?  the epoch whose model is in the run folder
---@field saved integer?  the step of the last checkpoint
---@field reported number  when the last report was written
---@field stopping boolean?  true once a signal has come to one of several ranks
---@field most integer?  bytes of tensors, since this call began

--- Before the first window of an epoch.
local function cursor_at(epoch, o)
  return { epoch = epoch, index = 0, answers = 0, total = 0, batch = o.batch, length = o.length }
end

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

local function say(self, text)
  local progress = self.options.progress
  if progress and progress.write then
    progress:write(text .. "\n")
  end
end

local function log(self, event, record)
  if self.run then
    local line = { event = event }
    for name, value in pairs(record) do
      line[name] = value
    end
    self.run:log(line)
  end
end

-- --- Checkpoints ----------------------------------------------------------------------------

local function save(self)
  step.require_good(self)
  together.complete(self)
  self.run:checkpoint(self, self.options.keep)
  self.saved = self.optimizer.steps
end

--- True if a checkpoint is due after this number of steps or epochs.
local function is_due(self, unit, count)
  local every = self.options.checkpoint[unit]
  return self.run and every and count % every == 0
end

local function is_out_of_patience(self, record)
  local patience = self.options.patience
  return patience ~= nil and record.epoch - record.best >= patience
end

--- True if an earlier call has run out of patience.
local function is_stopped(self)
  local last = self.history[#self.history]
  return last ~= nil and is_out_of_patience(self, last)
end

local function tell_resumed(self)
  local resumed = self.history.resumed
  for _, damaged in ipairs(resumed.damaged) do
    say(self, "left out a damaged checkpoint: " .. damaged)
  end
  local o = self.options
  if resumed.epoch > o.epochs then
    say(self, ("nothing is left to do in %s: all %d epochs are done; more of them would go on"):format(
      o.run, o.epochs))
  elseif is_stopped(self) then
    say(self, ("nothing is left to do in %s: no lower held-out loss in %d epochs"):format(o.run, o.patience))
  else
    say(self, ("going on in %s after step %d, in epoch %d"):format(o.run, resumed.step, resumed.epoch))
  end
end

local function tell_precision(self)
  local kind = self.options.precision
  if kind ~= "real" and self.cursor.epoch <= self.options.epochs then
    say(self, ("products in %s; weights, sums and the held-out loss are real"):format(kind))
  end
end

--- A pass cannot continue in windows of another size: it starts over.
local function restart_pass(self)
  local o, cursor = self.options, self.cursor
  if cursor.batch ~= o.batch or cursor.length ~= o.length then
    self.cursor, self.state = cursor_at(cursor.epoch, o), nil
    if cursor.index > 0 then
      say(self, ("epoch %d starts over, because batch or length has changed"):format(cursor.epoch))
    end
  end
end

--- Go on from the last checkpoint of the run folder, if there is one.
local function resume(self)
  local now = config.of(self)
  if not self.options.resume or #self.run:steps() == 0 then
    self.run:begin(now)
    if self.options.rollback then
      save(self)
    end
    return
  end
  self.run:require_same(now, self.options.force, function()
    return pass.updates(self.text, self.options)
  end)
  local tensors, snapshot, damaged = self.run:latest()
  options.about("fit", checkpoint.restore, self, tensors, snapshot)
  restart_pass(self)
  self.run:continue(self.optimizer.steps, self.cursor.epoch, now)
  self.saved, self.kept = self.optimizer.steps, self.best and self.best.epoch or self.cursor.epoch - 1
  self.history.resumed = { step = self.optimizer.steps, epoch = self.cursor.epoch, damaged = damaged }
  tell_resumed(self)
end

-- --- An epoch --------------------------------------------------------------------------------

--- The loss on the held-out part, if there is one, and the accuracy.
local function validate(self)
  local text, o = self.text, self.options
  if pass.holds_out(text) then
    local _ <close> = self.average and self.average:in_model()
    local value, accuracy = evaluate(self.model, text, { batch = o.batch, length = o.length })
    if not finite.is(value) then
      step.fail(self, "loss", value, ("on the held-out part after epoch %d"):format(self.cursor.epoch),
        finite.parameter(self.model))
    end
    return value, accuracy
  end
end

--- Windows in groups of `accumulate`; fewer at the end of the pass.
local function groups(self)
  local o, cursor = self.options, self.cursor
  local windows = pass.training(self.text, o, cursor.epoch, cursor.index > 0 and cursor.index + 1 or nil)
  return function()
    local group = {}
    repeat
      local window = windows()
      group[#group + 1] = window
    until not window or #group == o.accumulate
    return group[1] and group or nil
  end
end

--- Ctrl-C, or a signal of the launcher, ends the training on all ranks behind the same update.
local function stop_together(self)
  if self.run then
    save(self)
  end
  error("fit: interrupted by a signal after step " .. self.optimizer.steps, 0)
end

--- The updates that are left of a pass, then its record.
local function run_epoch(self)
  local o, cursor = self.options, self.cursor
  self.started, self.first = core.clock(), cursor.index
  local began = together.clock()
  self.pace:begin()
  for windows in groups(self) do
    local record = step.learn(self, windows)
    log(self, "window", record)
    report(self, "window", record)
    if record.index < record.count and is_due(self, "steps", record.step) then
      save(self)
    end
    if self.stopping then
      stop_together(self)
    end
    self.pace:resume()
  end
  if cursor.index == 0 then
    error(("fit: expected at least one window in epoch %d, got none"):format(cursor.epoch), 0)
  end
  local seconds = core.clock() - self.started
  local of_ranks = together.seconds(began, seconds)
  local train, valid, accuracy = cursor.total / cursor.answers, validate(self)
  local record = {
    epoch = cursor.epoch,
    epochs = o.epochs,
    step = self.optimizer.steps,
    train = train,
    valid = valid,
    accuracy = accuracy,
    symbols_per_second = self.pace:mean(),
    seconds = seconds,
    memory = step.memory(self),
    ranks = of_ranks,
  }
  step.add_units(self, record, valid or train)
  return record
end

--- Complete what `run_epoch` began: how this epoch compares with those before.
local function judge(self, record)
  if record.valid then
    if not self.best or record.valid < self.best.valid then
      self.best = record
    end
    record.best = self.best.epoch
  end
  record.stopped = is_out_of_patience(self, record)
end

--- True if no earlier epoch had a better model.
local function is_best(record)
  return (record.best or record.epoch) == record.epoch
end

local function writes_samples(self)
  return self.options.sample > 0 and self.model.write ~= nil
end

--- Keep the model of the best epoch so far: in the run folder or, for `patience`, here.
local function keep_best(self, record)
  if self.run then
    self.run:keep_model(self.model)
    self.run:examine(self.model, self.text)
    self.kept = record.epoch
  elseif self.options.patience then
    self.weights = {}
    for name, tensor in pairs(self.model:tensors()) do
      self.weights[name] = tensor:detach():clone()
    end
  end
end

--- What is left of an epoch: its model, if it is the best so far, and a sample.
local function keep(self, record)
  local _ <close> = self.average and self.average:in_model()
  if is_best(record) then
    keep_best(self, record)
  end
  if self.run and writes_samples(self) then
    self.run:sample(self.model, self.text, record.epoch, self.options.sample)
  end
end

--- The epoch is done, and the next one may begin.
local function finish_epoch(self, record)
  judge(self, record)
  keep(self, record)
  if self.run then
    log(self, "epoch", record)
    self.run:flush()
  end
  self.history[record.epoch] = record
  self.cursor, self.state = cursor_at(record.epoch + 1, self.options), nil
end

--- The page about the run folder as it is now. Returns its path, or nil and a message.
local function write_report(self)
  self.reported = core.clock()
  pcall(self.run.flush, self.run) -- a full disk has been told
  return late.report(self.options.run)
end

-- --- The end -----------------------------------------------------------------------------------

--- What the run folder has when a training ends before its time.
local function left_text(self, goes_on)
  local o = self.options
  if not o.run then
    return nil
  end
  local model = self.kept and self.kept > 0 and ("the model after epoch %d is in %s"):format(self.kept, o.run)
    or ("no epoch was finished, so there is no model of this training in %s"):format(o.run)
  if goes_on and self.saved then
    model = ("%s; the same call goes on after step %d"):format(model, self.saved)
  end
  return model
end

--- Tell the display that the training ends before its time, and what is left.
local function stop_display(self, reason)
  local progress, left = self.options.progress, left_text(self, reason == nil)
  if progress and progress.stop then
    progress:stop(reason and left and reason .. "; " .. left or reason or left)
  end
end

--- The last complete update, before an error or Ctrl-C, goes to a checkpoint. If
--- that fails, too, the one before is what is left.
local function save_rest(self)
  step.undo(self)
  if self.run and not self.broken and self.saved ~= self.optimizer.steps and self.optimizer.steps > 0 then
    pcall(save, self)
  end
end

--- An error, or Ctrl-C, ends the training.
local function close(self, problem)
  if problem ~= nil then
    together.give_up(problem)
  end
  if problem ~= nil and self.ready then
    save_rest(self)
    stop_display(self)
  end
  if self.run and self.ready and together.is_first() then
    local path, message = write_report(self)
    say(self, path and "report: " .. path or "no " .. message)
  end
  if self.run then
    self.run:close()
  end
  if problem ~= nil then
    together.fail(problem)
  end
end

local Training = { __close = close }

--- All epochs that are left.
local function run_epochs(self)
  local o = self.options
  while self.cursor.epoch <= o.epochs do
    local record = run_epoch(self)
    undisturbed(finish_epoch, self, record)
    if self.run and (is_due(self, "epochs", record.epoch) or is_due(self, "steps", record.step)
        or record.best == record.epoch or record.stopped or record.epoch == o.epochs) then
      save(self)
    end
    report(self, "epoch", record)
    if self.run and together.is_first() and core.clock() - self.reported > REPORT_SECONDS then
      write_report(self)
    end
    if record.stopped then
      stop_display(self, ("no lower held-out loss in %d epochs"):format(o.patience))
      break
    end
  end
end

--- Go back to the last checkpoint with a smaller rate, which stays in it.
local function roll_back(self)
  local scale, resumed, problem = self.optimizer.scale * self.options.rollback, self.history.resumed, self.broken
  step.undo(self)
  checkpoint.restore(self, together.latest(self))
  self.optimizer.scale, self.history.resumed, self.broken = scale, resumed, nil
  self.run:continue(self.optimizer.steps, self.cursor.epoch)
  self.run:log { event = "rollback", step = self.optimizer.steps, problem = problem, scale = scale }
  save(self)
  say(self, format("%s; going back to step %d, with %g times the rate", problem, self.saved, scale))
end

--- All epochs that are left, from the last checkpoint again where that helps.
local function train(self)
  if not self.options.rollback then
    return run_epochs(self)
  end
  repeat
    local ok, problem = pcall(run_epochs, self)
    if not ok and (not self.broken or self.optimizer.scale < LEAST_SCALE) then
      error(problem, 0)
    elseif not ok then
      roll_back(self)
    end
  until ok
end

--- The weights that the model ends with.
local function finish(self)
  if self.options.patience and self.run and self.best then
    self.run:give_model(self.model)
    together.share(self.model)
  elseif self.weights then
    self.model:load(self.weights)
  elseif self.average then
    self.average:finish()
  end
end

--- Forget what earlier passes back have left.
local function clear_gradients(self)
  self.model:clear_gradients()
  for _, parameter in ipairs(self.optimizer.parameters) do -- of other models, too
    parameter:clear_gradient()
  end
end

--- Train a model on a text or other data. The model is changed in place and ends as the last
--- pass left it, or with its averaged weights; with `patience` it ends as it was after the pass of
--- the lowest held-out loss, whether patience or the epochs ran out. The run folder keeps that one.
--- A training that the run folder has continues where it was. It begins without gradients; what the
--- optimizer does not own is not trainable until it ends.
---@param model saros.nn.Module  ids (T, B), state -> logits (T, B, V), state; or with a window_loss, and maybe
---  a training_loss and a training_weight where it minimises something else: see saros.nn.loss
---@param text saros.train.Data
---@param given? saros.train.FitOptions
---@return saros.train.History history  one record for each epoch that was run
local function fit(model, text, given)
  local o = arguments.check(model, text, given)
  o.progress = together.is_first() and o.progress or nil
  core.mark_memory()
  local others <close> = frozen.new()
  local self <close> = setmetatable({
    model = model,
    text = text,
    options = o,
    optimizer = o.optimizer
      or optim.adam(model:parameters(), { lr = o.lr or RATE, schedule = o.schedule }),
    generators = model:generators(),
    average = o.average and average(model, o.average),
    cursor = cursor_at(1, o),
    history = {},
    pace = pace(),
    reported = core.clock(),
  }, Training)
  clear_gradients(self)
  others:freeze(model, self.optimizer.parameters)
  if o.run and together.is_first() then
    self.run = run_folder.open(o.run, writes_samples(self))
    resume(self)
  elseif o.run then
    self.run = together.follower()
  end
  together.begin(self)
  self.ready = true
  if not is_stopped(self) then
    local _ <close> = together.watch_signals()
    tell_precision(self)
    train(self)
  end
  undisturbed(finish, self)
  return self.history
end

return fit
