--- A classifier that is stepped: after each symbol, or row of numbers in their own
--- units, what it says of the sequence so far. As a learner it is also told:
---
---     local s = classifier:session()
---     for row in sensor do
---       s:step(row)
---       print(s:label())          -- the likeliest label, and its probability
---     end

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local live = require "saros.nn.live"
local form = require "saros.train.form"

---@class saros.nn.LiveClassifier: saros.nn.Live
---@field model saros.nn.Classifier
---@field form saros.train.Form|false  of the numbers that come in; of texts it is the inner session's
local Live = live.class "LiveClassifier"

--- What comes in, as the net reads it.
local function read(self, name, x)
  return self.form and live.scaled(self.model.features, self.form, name, x) or x
end

--- Step: the logits of each label, for the sequence so far.
---@param x integer|number|table|saros.Tensor  an id for each stream; or F numbers for each, in their own units
---@return saros.Tensor logits  (L), or (streams, L): the session's own, written over by the next step
function Live:step(x)
  local _ <close> = core.no_gradient()
  return self.inner:step(read(self, "step", x))
end

--- The id of a label that a script names.
local function id_of(self, label)
  local id = type(label) == "string" and self.model:label_id(label)
  if type(label) == "string" and not id then
    options.fail(("learn: expected a label that the classifier has, got %s"):format(options.describe(label)))
  end
  return id or label
end

--- Step, and learn the label of the sequence so far. Without one nothing is
--- learned from this step.
---@param x integer|number|table|saros.Tensor  as of `step`
---@param label? string|integer|(string|integer)[]|saros.Tensor  its name or id; a list for several streams
---@return saros.Tensor logits  (L), or (streams, L), before that
---@return number? loss  in nats
function Live:learn(x, label)
  local learner = live.learner_of(self, "learn")
  local _ <close> = core.no_gradient()
  local ids = id_of(self, label)
  if type(label) == "table" then
    ids = {}
    for row, name in ipairs(label) do
      ids[row] = id_of(self, name)
    end
  end
  return learner:learn(read(self, "learn", x), ids)
end

--- The session with what was said last.
local function session_of(self)
  return self:learns() and self.inner.session or self.inner
end

--- What `step` returned last; zeros before the first step.
---@return saros.Tensor logits  (L), or (streams, L)
function Live:logits()
  return session_of(self):logits()
end

--- How likely each label is, after the last step.
---@return saros.Tensor  (L), or (streams, L)
function Live:probabilities()
  return session_of(self):probabilities()
end

--- How likely every label is, likeliest first, after the last step.
---@param row? integer  of the streams (1)
---@return { label: string, probability: number }[]
function Live:ranking(row)
  local streams = self:streams()
  if row ~= nil and (math.type(row) ~= "integer" or row < 1 or row > streams) then
    options.fail(("ranking: expected a row in 1..%d, got %s"):format(streams, options.describe(row)))
  end
  return self.model:rank(self:probabilities():reshape(streams, -1)[row or 1])
end

--- The likeliest label after the last step.
---@param row? integer  of the streams (1)
---@return string label
---@return number probability
function Live:label(row)
  local best = self:ranking(row)[1]
  return best.label, best.probability
end

--- A classifier around a session or a learner of its net.
---@param classifier saros.nn.Classifier
---@param inner saros.Session|saros.train.Learner
---@return saros.nn.LiveClassifier
function Live.new(classifier, inner)
  local features = classifier.features
  return setmetatable({
    model = classifier,
    inner = inner,
    form = features and form.numbers(inner:streams(), #features) or false,
  }, Live)
end

spelling.guard(Live) -- methods that replaced others, too

return Live.new
