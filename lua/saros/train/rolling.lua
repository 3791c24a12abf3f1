--- A window that rolls over a stream: truncated BPTT for a model that goes on
--- and on. The window holds the last steps, at most so many, and the state before
--- the first of them. After every so many new steps the loss of these is sent
--- back through the whole window, so each target is learned from once; then as
--- many of the oldest steps leave, and the state before the rest is kept.
---
---     state |......|......|......|:new::|     window = 4 * every
---
--- With every = window this is the loop over windows that carries the state.

local core = require "saros.core"
local batch_first = require "saros.nn.batch_first"

---@class saros.train.Rolling
---@field model saros.nn.Module
---@field loss fun(y: saros.Tensor, target: saros.Tensor, options?: table): saros.Tensor
---@field window integer  steps at most
---@field every integer  new steps for an update, a divisor of `window`
---@field rows { inputs: saros.Tensor, targets: saros.Tensor, resets: saros.Tensor }  (window, B, ...)
---@field known boolean[]  for each step: is there a target?
---@field resets boolean  did any row ever start again?
---@field filled integer  steps that the window holds
---@field fresh integer  those that nothing was learned from
---@field state saros.nn.State  before the first of them
---@field border saros.nn.State  before the first that stays
local Rolling = {}
Rolling.__index = Rolling

--- The same steps of all rows.
local function steps(self, which, first, last)
  return self.rows[which]:slice(1, first, last)
end

--- Append a step, for which there must be room: see `learned`.
---@param x saros.Tensor  (B) ids or (B, F)
---@param target saros.Tensor?  (B) ids or (B, O); without, nothing is learned from this step
---@param reset saros.Tensor?  (B) of 1 and 0: rows that start again here
function Rolling:add(x, target, reset)
  local t = self.filled + 1
  steps(self, "inputs", t, t):assign(x)
  if target then
    steps(self, "targets", t, t):assign(target)
  end
  if reset or self.resets then
    steps(self, "resets", t, t):assign(reset or 0)
    self.resets = true
  end
  self.known[t], self.filled, self.fresh = target ~= nil, t, self.fresh + 1
end

--- Is it time to learn?
---@return boolean
function Rolling:is_due()
  return self.fresh == self.every
end

local function run(self, first, last, state)
  local model, given = self.model, self.resets and { reset = steps(self, "resets", first, last) } or nil
  local _ <close> = model.batch_first and batch_first.steps_first(model) or nil
  return model(steps(self, "inputs", first, last), state, given)
end

--- Run the window. Where the oldest steps leave, the state behind them is kept.
---@return saros.Tensor y  of all steps, or of all but the oldest, of which nothing is to be learned
function Rolling:forward()
  local leaving = self.every
  if self.filled < self.window then
    return (run(self, 1, self.filled, self.state))
  end
  local y, border = run(self, 1, leaving, self.state)
  self.border = border
  return leaving == self.filled and y or (run(self, leaving + 1, self.filled, border))
end

--- Which of the new targets are known: nil if all are, else a mask of their
--- shape; false if none is.
local function mask_of(self, targets, first)
  local mask, count = core.ones(targets:shape()), 0
  for t = first, self.filled do
    if self.known[t] then
      count = count + 1
    else
      mask[t - first + 1]:fill(0)
    end
  end
  if count == 0 then
    return false
  end
  return count < self.every and mask or nil
end

--- Add the gradients of the mean loss of the new steps.
---@param watched? saros.Tensor[]  of the state: they get gradients, too
---@return number? loss  nil if no target of them is known
function Rolling:gradients(watched)
  local tape <close> = core.tape()
  for _, tensor in ipairs(watched or {}) do
    tape:watch(tensor)
  end
  local y, first = self:forward(), self.filled - self.every + 1
  local targets = steps(self, "targets", first, self.filled)
  local mask = mask_of(self, targets, first)
  if mask == false then
    return nil
  end
  local last = y:size(1)
  local loss = self.loss(y:slice(1, last - self.every + 1, last), targets, mask and { mask = mask })
  tape:backward(loss)
  return loss:item()
end

--- The new steps have been learned from: make room for as many others.
function Rolling:learned()
  self.fresh = 0
  if self.filled < self.window then
    return
  end
  local leaving, left = self.every, self.window - self.every
  if left > 0 then
    for _, rows in pairs(self.rows) do
      rows:slice(1, 1, left):assign(rows:slice(1, leaving + 1, self.window))
    end
    table.move(self.known, leaving + 1, self.window, 1)
  end
  self.filled, self.state, self.border = left, self.border, nil
end

--- Forget all steps; the next one comes from the first state.
function Rolling:clear()
  self.filled, self.fresh, self.state, self.border = 0, 0, nil, nil
end

--- Everything that changes, for `restore`.
---@return table
function Rolling:snapshot()
  local copy = { known = table.move(self.known, 1, self.filled, 1, {}), rows = {},
    filled = self.filled, fresh = self.fresh, resets = self.resets, state = self.state }
  for name, rows in pairs(self.rows) do
    copy.rows[name] = rows:clone()
  end
  return copy
end

---@param copy table  what `snapshot` gave
function Rolling:restore(copy)
  for name, rows in pairs(copy.rows) do
    self.rows[name]:assign(rows)
  end
  table.move(copy.known, 1, copy.filled, 1, self.known)
  self.filled, self.fresh, self.resets, self.state = copy.filled, copy.fresh, copy.resets, copy.state
end

local rolling = {}

---@param model saros.nn.Module
---@param forms { input: saros.train.Form, target: saros.train.Form }
---@param o { window: integer, every: integer, streams: integer }
---@param loss fun(y: saros.Tensor, target: saros.Tensor, options?: table): saros.Tensor
---@return saros.train.Rolling
function rolling.new(model, forms, o, loss)
  local self = setmetatable({
    model = model,
    loss = loss,
    window = o.window,
    every = o.every,
    rows = {
      inputs = forms.input:room(o.window),
      targets = forms.target:room(o.window),
      resets = core.zeros(o.window, o.streams),
    },
    known = {},
    resets = false,
  }, Rolling)
  self:clear()
  return self
end

return rolling
