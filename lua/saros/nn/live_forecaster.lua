--- A forecaster that is stepped: values go in as they come, in the units of the
--- series, and what follows them comes out. As a session it steps alone; as a
--- learner it also learns, since what comes is what it should have said before:
---
---     local s = forecaster:learner { window = 64, every = 16 }
---     for value in sensor do
---       local ahead, loss = s:learn(value)
---     end

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local live = require "saros.nn.live"
local form = require "saros.train.form"

---@class saros.nn.LiveForecaster: saros.nn.Live
---@field model saros.nn.Forecaster
---@field forms { inputs: saros.train.Form, targets: saros.train.Form }
---@field recent saros.nn.LiveStep[]|false  while learning: the last horizon + 1 steps, oldest first
local Live = live.class "LiveForecaster"

---@class saros.nn.LiveStep
---@field present saros.Tensor|number  (B, 1, K) that the net's output is added to, or 0
---@field targets saros.Tensor?  (B, K) as they came, scaled

local function scaled(self, which, name, values)
  return live.scaled(self.model.scale[which], self.forms[which], name, values)
end

--- What the net's output is added to.
local function present(self, x)
  local forecaster = self.model
  return forecaster.difference and forecaster:present(x):reshape(self.inner:streams(), 1, -1) or 0
end

--- What the net says, (B, h K), in the units of the targets.
local function told(self, y, x)
  local forecaster = self.model
  local ahead = y:reshape(self.inner:streams(), forecaster.horizon, #forecaster.scale.targets) + present(self, x)
  ahead = forecaster.scale.targets:invert(ahead)
  return self.inner:streams() == 1 and ahead:select(1, 1) or ahead
end

--- What the net should have said `horizon` steps ago; nil if that is not known.
local function due(self)
  local recent, list = self.recent, {}
  for step = 2, self.model.horizon + 1 do
    if not (recent[step] and recent[step].targets) then
      return nil
    end
    list[step - 1] = recent[step].targets
  end
  return (core.stack(list, 2) - recent[1].present):reshape(self.inner:streams(), -1)
end

--- A step of the learner: x and, if they are known, the targets that came with it.
local function learn(self, x, known)
  local recent = self.recent
  recent[#recent + 1] = { present = present(self, x), targets = known }
  local y, loss = self.inner:learn(x, due(self))
  if #recent > self.model.horizon then
    table.remove(recent, 1)
  end
  return told(self, y, x), loss
end

--- What follows the values that came. A learner does not learn from them.
---@param values number|number[]|number[][]|saros.Tensor  F of them for each stream, in the units of the series
---@return saros.Tensor  (h, K), or (streams, h, K), in the units of the targets
function Live:step(values)
  local _ <close> = core.no_gradient()
  local x = scaled(self, "inputs", "step", values)
  if self.recent then
    return (learn(self, x))
  end
  return told(self, self.inner:step(x), x)
end

--- Step, and learn from the values what should have been said before.
---@param values number|number[]|number[][]|saros.Tensor  F of them for each stream, in the units of the series
---@param targets? number|number[]|number[][]|saros.Tensor  K of them that came together with the values; (those
---  columns of the values, if they are among them)
---@return saros.Tensor  (h, K), or (streams, h, K): what follows, in the units of the targets
---@return number? loss  of what was said `horizon` steps ago, in squares of the scaled unit
function Live:learn(values, targets)
  local _ <close> = core.no_gradient()
  live.learner_of(self, "learn")
  local x, known = scaled(self, "inputs", "learn", values), nil
  if targets ~= nil then
    known = scaled(self, "targets", "learn", targets)
  elseif self.model.places then
    known = self.model:present(x)
  end
  return learn(self, x, known)
end

--- Back to the first state: all streams or, of a session, one of them.
---@param row? integer
---@return saros.nn.LiveForecaster self
function Live:reset(row)
  self.inner:reset(row)
  self.recent = self.recent and {}
  return self
end

--- A learner's: see saros.train.learner.
function Live:snapshot()
  local inner = live.learner_of(self, "snapshot"):snapshot()
  return { inner = inner, recent = table.move(self.recent, 1, #self.recent, 1, {}) }
end

--- What `dump` gave to a session, or `snapshot` to a learner.
---@return saros.nn.LiveForecaster self
function Live:restore(snapshot)
  if not self.recent then
    self.inner:restore(snapshot)
    return self
  elseif type(snapshot) ~= "table" then
    options.fail("restore: expected a snapshot of this learner, got " .. options.describe(snapshot))
  end
  self.inner:restore(snapshot.inner)
  self.recent = table.move(snapshot.recent, 1, #snapshot.recent, 1, {})
  return self
end

--- A forecaster around a session or a learner of its net.
---@param forecaster saros.nn.Forecaster
---@param inner saros.Session|saros.train.Learner
---@return saros.nn.LiveForecaster
function Live.new(forecaster, inner)
  local scales, B = forecaster.scale, inner:streams()
  local self = setmetatable({
    model = forecaster,
    inner = inner,
    forms = { inputs = form.numbers(B, #scales.inputs), targets = form.numbers(B, #scales.targets) },
  }, Live)
  self.recent = self:learns() and {}
  return self
end

spelling.guard(Live) -- methods that replaced others, too

return Live.new
