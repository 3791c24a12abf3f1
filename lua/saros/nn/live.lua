--- Live models: a session or a learner of a model's net, between the model's own
--- terms. What goes in is in the units of the data, and what comes out is what the
--- model says of it: a forecaster's values, a classifier's labels.
---
---     values -> form, scale -> inner session or learner -> what the model tells
---
--- Each model has a class of these; here is what they share.

local options = require "saros.options"
local spelling = require "saros.spelling"

---@class saros.nn.Live
---@field model saros.nn.Module
---@field inner saros.Session|saros.train.Learner  of the model's net
local Live = {}

--- Numbers from a script, for each stream a row, as the net reads them.
---@param scale saros.Scale
---@param form saros.train.Form
---@param name string  of the function, for messages
---@param values number|number[]|number[][]|saros.Tensor  finite, in the units of the columns
---@return saros.Tensor  (streams, F), scaled
local function scaled(scale, form, name, values)
  local x = scale:apply_values(values, form:read(name, values))
  return x:all_finite() and x or options.fail(("%s: expected values near those that the scale is of, got %s"):format(
    name, options.describe(values)))
end

--- True if it is a learner.
---@return boolean
function Live:learns()
  return type(self.inner) == "table"
end

--- The inner session, or an error that names what only sessions do.
local function session_of(self, name)
  if self:learns() then
    options.fail(("%s: expected a session, got a learner, which has snapshots"):format(name))
  end
  return self.inner
end

--- The inner learner, or an error that names what only learners do.
local function learner_of(self, name)
  if not self:learns() then
    options.fail(("%s: expected a learner, got a session; model:learner { ... } makes one"):format(name))
  end
  return self.inner
end

--- Back to the first state: all streams, or one of them.
---@param row? integer
---@return saros.nn.Live self
function Live:reset(row)
  self.inner:reset(row)
  return self
end

---@return integer
function Live:streams()
  return self.inner:streams()
end

--- A session's state as bytes; see saros.Session.
---@return string
function Live:dump()
  return session_of(self, "dump"):dump()
end

--- Another live model in the same state, which goes its own way; of a session.
---@return saros.nn.Live
function Live:fork()
  return getmetatable(self).new(self.model, session_of(self, "fork"):fork())
end

--- A learner's: see saros.train.learner.
function Live:snapshot()
  return learner_of(self, "snapshot"):snapshot()
end

--- What `dump` gave to a session, or `snapshot` to a learner.
---@return saros.nn.Live self
function Live:restore(state)
  self.inner:restore(state)
  return self
end

function Live:__tostring()
  return ("%s of %s"):format(tostring(self.inner), tostring(self.model))
end

--- A class of live models; it adds `new(model, inner)`.
---@param name string
---@return table class
local function class(name)
  local made = {}
  for field, method in pairs(Live) do
    made[field] = method
  end
  return spelling.methods(made, "saros.nn." .. name)
end

return { class = class, scaled = scaled, learner_of = learner_of }
