--- One update of a training.
---
--- A training is always in one of two conditions: between two updates, when its
--- cursor, state, weights and generators belong together and may be written to a
--- checkpoint, or inside one. What may fail or be interrupted inside one changes
--- nothing but gradients and generators, which can be taken back; the rest is
--- done undisturbed.

local core = require "saros.core"
local loss = require "saros.nn.loss"
local precision = require "saros.nn.precision"
local optim = require "saros.optim"
local checkpoint = require "saros.train.checkpoint"
local finite = require "saros.train.finite"
local pass = require "saros.train.pass"
local segments = require "saros.train.segments"
local shards = require "saros.train.shards"
local undisturbed = require "saros.train.undisturbed"

local SMOOTHING = 0.95

local step = {}

-- --- What is not finite -----------------------------------------------------------------------

--- End the training because a number is not finite.
---@param self saros.train.Fit
---@param what string  "loss"
---@param value number|string
---@param place string
---@param culprit? string  where it comes from
function step.fail(self, what, value, place, culprit)
  value = value ~= value and "nan" or value
  self.broken = core.format("expected a finite %s, got %s %s%s",
    what, value, place, culprit and (", first in %s"):format(culprit) or "")
  error(("fit: %s; a smaller lr or clip may help"):format(self.broken), 0)
end

--- Fail unless all parameters are finite: those of a checkpoint must be.
---@param self saros.train.Fit
function step.require_good(self)
  local culprit = finite.parameter(self.model)
  if culprit then
    step.fail(self, "model", "one that is not", ("after step %d"):format(self.optimizer.steps), culprit)
  end
end

local function place_of(self, window)
  return ("in window %d of epoch %d"):format(window.index, self.cursor.epoch)
end

-- --- An update ----------------------------------------------------------------------------------

--- Find the operation that made a loss non-finite by running the window again, with
--- the same dropout if the window is the first of the update.
local function culprit_of(self, window, state)
  local parameter = finite.parameter(self.model)
  if parameter then
    return parameter
  end
  checkpoint.restore_generators(self.model, self.before)
  if self.options.segment then
    return finite.operation(segments.backward, self.model, window, state, { segment = self.options.segment })
  end
  local _ <close> = core.tape()
  return finite.operation(loss.to_learn, self.model, window, state)
end

local function require_finite(self, value, window, before)
  if not finite.is(value) then
    step.fail(self, "loss", value, place_of(self, window), culprit_of(self, window, before))
  end
end

--- The same as `add_gradients` for a window that is cut into segments.
local function add_in_segments(self, window, state, share)
  local value, last, plain = segments.backward(self.model, window, state,
    { segment = self.options.segment, scale = share })
  require_finite(self, value, window, state)
  return value, last, nil, plain
end

--- Add the gradients of a window, which has a share of the update, in (0, 1]. Returns
--- its objective, the next state, how many labels are right, and its loss, where that
--- is something else.
local function add_gradients(self, window, state, share)
  local _ <close> = precision.enter(self.options.precision)
  if self.options.segment then
    return add_in_segments(self, window, state, share)
  end
  local before = state
  local tape <close> = core.tape()
  local cost, right, plain
  cost, state, right, plain = loss.to_learn(self.model, window, state)
  local value = cost:item()
  if not finite.is(value) then
    tape:close()
  end
  require_finite(self, value, window, before)
  tape:backward(share < 1 and cost * share or cost)
  return value, state, right, plain
end

--- Clip the gradients. Returns their norm before.
local function clip(self, window)
  local parameters, limit = self.optimizer.parameters, self.options.clip
  local ok, norm = pcall(optim.clip_norm, parameters, limit)
  if not ok then
    local culprit = finite.gradient(self.model)
    if not culprit then
      error(norm, 0)
    end
    step.fail(self, "gradient", "one that is not", place_of(self, window), culprit)
  end
  return norm
end

--- What cannot be taken back: weights, cursor and state change together.
local function update(self, record, window, sums, state)
  record.lr = self.optimizer:step()
  if self.average then
    self.average:update()
  end
  local last = self.smoothed or record.loss
  self.smoothed = SMOOTHING * last + (1 - SMOOTHING) * record.loss
  local cursor = self.cursor
  cursor.index, cursor.total, cursor.answers = window.index, cursor.total + sums.total, cursor.answers + sums.answers
  self.state, self.before = state, nil
end

--- True if the loss is in nats per symbol. One of the model's own may be anything, unless the
--- model knows the symbols.
local function is_of_symbols(self)
  local model, data = self.model, self.text
  local has_symbols = data.vocabulary or data.target
  return has_symbols and not data.labels and (not model.window_loss or model.vocabulary or model.target)
end

--- Where the loss is in nats per symbol, say it in other units as well.
---@param self saros.train.Fit
---@param record table
---@param nats number
function step.add_units(self, record, nats)
  local perplexity = loss.perplexity(nats)
  if is_of_symbols(self) and finite.is(perplexity) then
    record.bits, record.perplexity = loss.bits(nats), perplexity
  end
end

--- The most bytes of tensors since the call began. (A training inside this one, in a
--- function of the caller's, sets the mark again.)
---@param self saros.train.Fit
---@return integer
function step.memory(self)
  self.most = math.max(self.most or 0, core.memory().recent)
  return self.most
end

--- Complete what `learn` began: where this update stands in the training.
local function complete(self, record, window, symbols)
  local o, epoch = self.options, self.cursor.epoch
  local seconds = core.clock() - self.started
  local windows, windows_left = window.index - self.first, (o.epochs - epoch + 1) * window.count - window.index
  record.epoch, record.epochs = epoch, o.epochs
  record.index, record.count = window.index, window.count
  record.step, record.smoothed = self.optimizer.steps, self.smoothed
  step.add_units(self, record, record.loss)
  record.symbols_per_second = self.pace:update(symbols)
  record.seconds_left = windows_left * seconds / windows
  record.memory = step.memory(self)
end

local function require_answers(self, answers, window)
  if answers == 0 then
    error(("fit: expected a target that counts %s, got a mask of zeros"):format(place_of(self, window)), 0)
  end
end

--- Add the gradients of some windows, false where there are no rows of one. Returns
--- what is added up over them, and the state behind them.
---@return saros.train.Sums, saros.nn.State
local function learn_windows(self, windows, answers, shares, weights, state)
  local sums = { total = 0, objective = 0, differs = false }
  for n, window in ipairs(windows) do
    if window then
      local value, hits, plain
      value, state, hits, plain = add_gradients(self, window, state, shares[n])
      sums.total, sums.right = sums.total + (plain or value) * answers[n], hits and (sums.right or 0) + hits
      sums.objective, sums.differs = sums.objective + value * weights[n], sums.differs or plain ~= nil
    end
  end
  return sums, state
end

--- What each window of each part has of something, and all of them together.
local function amounts_of(parts, amount)
  local each, all = {}, 0
  for number, windows in ipairs(parts) do
    each[number] = {}
    for n, window in ipairs(windows) do
      each[number][n] = window and amount(window, number, n) or 0
      all = all + each[number][n]
    end
  end
  return each, all
end

--- One update from some windows, as if they were one. In the loss, each counts by its
--- answers; in the gradient, by what its objective is the mean over.
---@param self saros.train.Fit
---@param windows saros.Window[]
---@return saros.train.WindowRecord
function step.learn(self, windows)
  self.before = checkpoint.generator_states(self.generators)
  local parts = self.options.shards and shards.cut(windows, self.options.shards) or { windows }
  local answers, all = amounts_of(parts, pass.answers)
  require_answers(self, all, windows[#windows])
  local weights, weight = amounts_of(parts, function(window, number, n)
    return loss.weight(self.model, window, answers[number][n])
  end)
  local function learn(number, state)
    local shares = {}
    for n, own in ipairs(weights[number]) do
      shares[n] = own / weight
    end
    return learn_windows(self, parts[number], answers[number], shares, weights[number], state)
  end
  local sums, state
  if self.options.shards then
    sums, state = shards.learn(self, learn)
  else
    sums, state = learn(1, self.state)
  end
  local last = windows[#windows]
  local record = { loss = sums.total / all, accuracy = sums.right and sums.right / all }
  record.objective = sums.differs and sums.objective / weight or nil
  record.norm = clip(self, last)
  undisturbed(update, self, record, last, { total = sums.total, answers = all }, state)
  complete(self, record, last, select(2, amounts_of({ windows }, pass.symbols)))
  return record
end

--- Take back what an unfinished update has done.
---@param self saros.train.Fit
function step.undo(self)
  if self.before then
    checkpoint.restore_generators(self.model, self.before)
    self.model:clear_gradients()
    self.before = nil
  end
end

return step
