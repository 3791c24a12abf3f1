--- A guard of a learner: the last good weights, and a session that goes on with
--- them beside the learner's own. A stream that becomes harder is harder for both;
--- where the learner does worse than that session, learning has done harm.
---
--- Both losses are summed over as many targets as a window has steps, and enough
--- that chance does not decide. The learner has run away if its loss is not finite,
--- or `factor` times as large as the other. If it was no worse, the weights that it
--- had when the sums began become the good ones: of later ones the effect may not be
--- seen yet.

local finite = require "saros.train.finite"
local saved = require "saros.train.saved"

local ENOUGH = 64 -- targets

--- Weights, and a session that has them.
---@class saros.train.GuardedWeights
---@field saved saros.train.Saved
---@field session saros.Session

---@class saros.train.Guard
---@field learner saros.train.Learner
---@field factor number
---@field good saros.train.GuardedWeights
---@field next saros.train.GuardedWeights  those when the sums began
---@field count integer  of the targets in the sums
---@field loss number  sum of the learner's losses
---@field reference number  sum of those of the good weights
local Guard = {}
Guard.__index = Guard

local function close(session)
  local _ <close> = session
end

local function begin(self)
  close(self.next.session)
  self.next.session = self.learner.session:fork()
  self.next.saved:take()
  self.count, self.loss, self.reference = 0, 0, 0
end

--- The weights with which the sums began are good.
local function accept(self)
  self.good, self.next = self.next, self.good
  self.good.session:restore(self.learner.session:dump())
  begin(self)
end

--- The learner is good as it is.
function Guard:trust()
  begin(self)
  accept(self)
end

--- What the good weights say at a step.
---@param x saros.Tensor
---@return saros.Tensor y
function Guard:step(x)
  return self.good.session:step(x)
end

---@param row? integer
function Guard:reset(row)
  self.good.session:reset(row)
end

--- Compare two losses of one target.
---@param loss number  of the learner
---@param reference number  of the good weights
---@return boolean runs_away
function Guard:judge(loss, reference)
  self.count, self.loss, self.reference = self.count + 1, self.loss + loss, self.reference + reference
  if not finite.is(loss) then
    return true
  elseif self.count < math.max(self.learner.options.window, ENOUGH) then
    return false
  elseif self.loss > self.factor * self.reference then
    return true
  end
  local advance = self.loss <= self.reference and accept or begin
  advance(self)
  return false
end

--- Bring the learner back to the good weights.
function Guard:roll_back()
  local learner = self.learner
  self.good.saved:give()
  learner.session:repack(learner.model)
  learner.session:restore(self.good.session:dump())
  begin(self)
end

local guard = {}

---@param learner saros.train.Learner
---@param factor number
---@return saros.train.Guard
function guard.new(learner, factor)
  local function weights()
    return { saved = saved.new(learner.parameters, learner.optimizer), session = learner.session:fork() }
  end
  local self = setmetatable({ learner = learner, factor = factor, good = weights(), next = weights() }, Guard)
  begin(self)
  return self
end

return guard
