--- Learning on a stream: a session that learns from what comes, for ever and in
--- constant memory.
---
---     local s = model:learner { window = 64, every = 16, lr = 1e-3 }
---     for x, target in stream do
---       local y, loss = s:learn(x, target)
---     end
---
--- Each step is told before its target is looked at. Where a target is known only
--- some steps later, such as the value that a series has next, `delay` says how
--- many: `s:learn(value, value)` with delay = 1 forecasts what follows, and learns
--- what should have been said a step ago.
---
--- How gradients are made is the business of saros.train.rolling or, where they
--- reach back to the beginning of the stream, saros.train.exact, and whether
--- learning does good that of saros.train.guard.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local optim = require "saros.optim"
local inputs_of = require("saros.program.program").inputs
local checkpoint = require "saros.train.checkpoint"
local exact = require "saros.train.exact"
local finite = require "saros.train.finite"
local form = require "saros.train.form"
local guard = require "saros.train.guard"
local rolling = require "saros.train.rolling"
local saved = require "saros.train.saved"
local undisturbed = require "saros.train.undisturbed"

---@class saros.train.LearnerOptions
---@field streams? integer  rows that are stepped together, B (1)
---@field method? "window"|"exact"|"traces"  how far gradients reach back: over the window; or, for one stream and
---  layers of diagonal cells (see saros.nn.Cell), to its beginning. "exact" runs a window once for each number of a
---  layer's state if weights below the layer learn, too, such as those of a lower layer or an embedding; else once or
---  twice more. "traces" always takes the latter, and leaves out what weights below a layer did to it before the
---  window ("window")
---@field window? integer  steps that a gradient reaches back (32)
---@field every? integer  steps from one update to the next, a divisor of `window` (window)
---@field delay? integer  steps after which a target is known (0)
---@field loss? "cross_entropy"|"mse"|"l1"|"huber"  (cross-entropy where ids come in, else the mean square)
---@field lr? number  of Adam (1e-3)
---@field optimizer? saros.optim.Optimizer  instead of Adam with lr
---@field clip? number  limit of the gradients' norm (5)
---@field guard? number  above 1: go back to the last good weights where learning makes the loss so
---  many times as large as theirs, or not finite (none: what is not finite is an error)
---@field on_rollback? fun(record: saros.train.Rollback)  after that

---@class saros.train.Rollback
---@field step integer
---@field loss number  mean of the learner, over the targets since the last comparison
---@field reference number  mean of the good weights

---@class saros.train.Learner
---@field model saros.nn.Module
---@field options table
---@field parameters saros.nn.Parameters
---@field optimizer saros.optim.Optimizer
---@field session saros.Session  with the weights that the model has: ask it, but do not step it
---@field output saros.Tensor  (B, O), of the session
---@field forms { input: saros.train.Form, target: saros.train.Form }
---@field loss fun(y: saros.Tensor, target: saros.Tensor, options?: table): saros.Tensor
---@field rolling saros.train.Rolling|saros.train.Exact
---@field guard saros.train.Guard?
---@field pending saros.train.Told[]  steps whose targets are not known yet, oldest first
---@field resets saros.Tensor|false  (B): rows that start again with the next step
---@field steps integer  so far
---@field rollbacks integer  so far
local Learner = { resets = false }
spelling.methods(Learner, "saros.train.Learner")

--- A step that waits for its target.
---@class saros.train.Told
---@field x saros.Tensor
---@field y saros.Tensor  (B, O)
---@field reference saros.Tensor?  what the guard's session said
---@field reset saros.Tensor?

local METHODS = { window = rolling.new, exact = exact.new, traces = exact.traces }
local RATE = 1e-3 -- of Adam
local LOSSES = { cross_entropy = core.cross_entropy, mse = core.mse, l1 = core.l1, huber = core.huber }

local check = options.declare("learner", {
  { "streams", options.size, 1 },
  { "method", options.one_of { "window", "exact", "traces" }, "window" },
  { "window", options.size, 32 },
  { "every", options.optional(options.size) },
  { "delay", options.count, 0 },
  { "loss", options.optional(options.one_of { "cross_entropy", "mse", "l1", "huber" }) },
  { "lr", options.optional(options.positive) },
  { "optimizer", options.optional(options.having("an optimizer", { "step", "state", "restore" })) },
  { "clip", options.positive, 5 },
  { "guard", options.optional(options.kind("a number above 1", function(value)
    return options.positive.accept(value) and value > 1 and value or nil
  end)) },
  { "on_rollback", options.optional(options.callback) },
})

-- --- What goes wrong ------------------------------------------------------------------------

--- Go back to the good weights; they also take over what was told and waits.
local function roll_back(self)
  local own = self.guard
  local count = math.max(own.count, 1)
  local record = { step = self.steps, loss = own.loss / count, reference = own.reference / count }
  own:roll_back()
  for _, told in ipairs(self.pending) do
    told.y = told.reference
  end
  self.rolling:clear()
  self.rollbacks = self.rollbacks + 1
  if self.options.on_rollback then
    self.options.on_rollback(record)
  end
end

--- Loss or gradients are not finite.
local function run_away(self, culprit)
  if not self.guard then
    options.fail(("learn: expected %s to be finite, got one that is not; a smaller lr or clip may help, "
      .. "and a guard goes back to good weights"):format(culprit))
  end
  self.model:clear_gradients()
  roll_back(self)
end

-- --- Learning ---------------------------------------------------------------------------------

local function commit(self, learned)
  self.rolling:learned()
  if learned then
    self.optimizer:step()
    self.session:repack(self.model)
  end
end

local function update(self)
  local value = self.rolling:gradients()
  local culprit = value and (not finite.is(value) and "the loss" or finite.gradient(self.model))
  if culprit then
    run_away(self, culprit)
    return
  elseif value then
    optim.clip_norm(self.parameters, self.options.clip)
  end
  undisturbed(commit, self, value ~= nil)
end

--- An update, or, after an error, none: then the window starts again.
local function learn_window(self)
  local ok, problem = pcall(update, self)
  if not ok then
    self.model:clear_gradients()
    self.rolling:clear()
    error(problem, 0)
  end
end

--- Does the loss of a step show that learning has gone wrong?
local function runs_away(self, told, target, loss)
  return self.guard and self.guard:judge(loss, self.loss(told.reference, target):item())
end

--- The target of a step is known, or never will be. Returns the loss.
local function settle(self, told, target)
  local loss
  self.rolling:add(told.x, target, told.reset)
  if target then
    loss = self.loss(told.y, target):item()
    if runs_away(self, told, target, loss) then
      roll_back(self)
    end
  end
  if self.rolling:is_due() then
    learn_window(self)
  end
  return loss
end

--- Step, and keep what was told for when its target comes.
local function tell(self, x)
  local waits = self.options.delay > 0
  self.session:step(x)
  local told = { x = x, y = waits and self.output:clone() or self.output, reset = self.resets }
  if self.guard then
    local reference = self.guard:step(x):reshape(self.output:shape())
    told.reference = waits and reference:clone() or reference
  end
  self.resets, self.steps = nil, self.steps + 1
  self.pending[#self.pending + 1] = told
end

-- --- Public -------------------------------------------------------------------------------------

--- Step, and learn. The target is that of this step, or of the one `delay` steps
--- ago; without one, nothing is learned from that step, but it belongs to the
--- history of those after it.
---@param x integer|number|table|saros.Tensor  as a session takes it; finite
---@param target? integer|number|table|saros.Tensor  an id, or as many numbers as come out, for each stream
---@return saros.Tensor y  (O), or (streams, O): the session's own, written over by the next step
---@return number? loss  of what was told about the target, before it was known
function Learner:learn(x, target)
  local _ <close> = core.no_gradient()
  local wanted = target ~= nil and self.forms.target:read("learn", target) or nil
  tell(self, self.forms.input:read("learn", x))
  local y, loss = self.session:logits(), nil
  if #self.pending > self.options.delay then
    loss = settle(self, table.remove(self.pending, 1), wanted)
  end
  return y, loss
end

--- Step without a target.
---@param x integer|number|table|saros.Tensor
---@return saros.Tensor y
function Learner:step(x)
  return (self:learn(x))
end

--- Back to the first state: all streams, or one of them, which is possible
--- without a delay. What waits for a target is forgotten; weights stay.
---@param row? integer
---@return saros.train.Learner self
function Learner:reset(row)
  local delay = self.options.delay
  if row and delay > 0 then
    options.fail(("reset: expected no row, since delay = %d, got %s"):format(delay, options.describe(row)))
  end
  self.session:reset(row)
  if self.guard then
    self.guard:reset(row)
  end
  if row then
    self.resets = self.resets or core.zeros(self.options.streams)
    self.resets[row] = 1
  else
    self.pending, self.resets = {}, nil
    self.rolling:clear()
  end
  return self
end

---@class saros.train.LearnerSnapshot

--- Everything that learning changes: weights, optimizer, generators, states and
--- window. `restore` goes on from there bit for bit; a guard starts again.
---@return saros.train.LearnerSnapshot
function Learner:snapshot()
  local pending = {}
  for position, told in ipairs(self.pending) do
    pending[position] = { x = told.x, y = told.y, reference = told.y, reset = told.reset }
  end
  return {
    learner = self,
    saved = saved.new(self.parameters, self.optimizer),
    generators = checkpoint.generator_states(self.model:generators()),
    session = self.session:dump(),
    rolling = self.rolling:snapshot(),
    pending = pending,
    resets = self.resets and self.resets:clone(),
    steps = self.steps,
  }
end

local function restore(self, snapshot)
  snapshot.saved:give()
  checkpoint.restore_generators(self.model, snapshot.generators)
  self.session:repack(self.model)
  self.session:restore(snapshot.session)
  self.rolling:restore(snapshot.rolling)
  self.pending = table.move(snapshot.pending, 1, #snapshot.pending, 1, {})
  self.resets, self.steps = snapshot.resets and snapshot.resets:clone(), snapshot.steps
  if self.guard then
    self.guard:trust()
  end
end

---@param snapshot saros.train.LearnerSnapshot  of this learner; it may be used again
---@return saros.train.Learner self
function Learner:restore(snapshot)
  local _ <close> = core.no_gradient()
  if type(snapshot) ~= "table" or snapshot.learner ~= self then
    options.fail("restore: expected a snapshot of this learner, got " .. options.describe(snapshot))
  end
  undisturbed(restore, self, snapshot)
  return self
end

---@return integer
function Learner:streams()
  return self.options.streams
end

function Learner:__tostring()
  local o = self.options
  return ("learner (%s, %swindow %d, every %d, %d steps)"):format(
    tostring(self.session), o.method == "window" and "" or o.method .. ", ", o.window, o.every, self.steps)
end

-- --- Making one -------------------------------------------------------------------------------------

local function check_options(given)
  local o = check(given)
  o.every = o.every or o.window
  if o.window % o.every ~= 0 then
    options.fail(("learner: expected every to divide window = %d, got %d"):format(o.window, o.every))
  elseif o.optimizer and o.lr then
    options.fail "learner: expected no option 'lr', since optimizer is given; make the optimizer with it"
  end
  return o
end

--- The one input of a program of one output, a node of it.
local function input_of(program)
  local inputs = inputs_of(program)
  if #inputs ~= 1 then
    options.fail(("learner: expected a model of one input, got one of %d"):format(#inputs))
  elseif #program.outputs ~= 1 then
    options.fail(("learner: expected a model of one output, got one of %d"):format(#program.outputs))
  end
  return inputs[1]
end

--- What goes in and what should come out.
local function forms_of(input, outputs, o)
  return {
    input = input.op == "ids" and form.ids(o.streams, input.count) or form.numbers(o.streams, input.width),
    target = o.loss == "cross_entropy" and form.ids(o.streams, outputs) or form.numbers(o.streams, outputs),
  }
end

---@param model saros.nn.Module  that can be a session
---@param given? saros.train.LearnerOptions
---@return saros.train.Learner
local function learner(model, given)
  local _ <close> = core.no_gradient()
  local o = check_options(given)
  local session = model:session { streams = o.streams }
  local input, output = input_of(model:program()), session:logits():reshape(o.streams, -1)
  o.loss = o.loss or input.op == "ids" and "cross_entropy" or "mse"
  local self = setmetatable({
    model = model,
    options = o,
    parameters = model:parameters(),
    session = session,
    output = output,
    forms = forms_of(input, output:size(2), o),
    loss = LOSSES[o.loss],
    pending = {},
    steps = 0,
    rollbacks = 0,
  }, Learner)
  self.optimizer = o.optimizer or optim.adam(self.parameters, { lr = o.lr or RATE })
  self.rolling = METHODS[o.method](model, self.forms, o, self.loss)
  self.guard = o.guard and guard.new(self, o.guard)
  return self
end

return learner
