--- A learning rate to begin with: train for a while with a rate that grows, and
--- see where the loss is lowest (Smith 2017, "Cyclical learning rates").

local core = require "saros.core"
local options = require "saros.options"
local loss = require "saros.nn.loss"
local optim = require "saros.optim"
local checkpoint = require "saros.train.checkpoint"
local finite = require "saros.train.finite"
local pass = require "saros.train.pass"

local format = core.format

local SMOOTHING = 0.9
local TOO_HIGH = 2 -- times the lowest loss: larger rates only diverge
local MARGIN = 10 -- where the loss is lowest, the rate is about to be too large

local check = options.declare("find_rate", {
  { "low", options.positive, 1e-5 },
  { "high", options.positive, 1 },
  { "steps", options.size, 100 },
  { "rule", options.one_of { "sgd", "rmsprop", "adam", "adamw" }, "adam" },
  { "batch", options.size, 50 },
  { "length", options.size, 50 },
  { "clip", options.positive, 5 },
})

--- Windows without an end, pass after pass; the state is nil where one begins.
local function endless(data, o)
  local windows
  return function()
    local window = windows and windows()
    if not window then
      windows = pass.training(data, o, 1)
      window = windows()
    end
    return window
  end
end

local function learn(model, window, state, optimizer, limit)
  local tape <close> = core.tape()
  local cost
  cost, state = loss.to_learn(model, window, state)
  tape:backward(cost)
  if not pcall(optim.clip_norm, optimizer.parameters, limit) then
    model:clear_gradients()
    return 0 / 0
  end
  local value = cost:item()
  optimizer:step()
  return value, state
end

--- A model without gradients, which is as it was at the end of the block, whatever
--- happens.
local function borrow(model)
  local kept, generators = {}, checkpoint.generator_states(model:generators())
  for name, tensor in pairs(model:tensors()) do
    kept[name] = tensor:detach():clone()
  end
  model:clear_gradients()
  return setmetatable({}, {
    __close = function()
      model:clear_gradients()
      model:load(kept)
      checkpoint.restore_generators(model, generators)
    end,
  })
end

---@class saros.train.RateOptions
---@field low? number  the first rate (1e-5)
---@field high? number  the last rate (1)
---@field steps? integer  from one to the other (100)
---@field rule? "sgd"|"rmsprop"|"adam"|"adamw"  ("adam")
---@field batch? integer  (50)
---@field length? integer  (50)
---@field clip? number  limit of the gradients' norm (5)

--- What to begin with, and how it was found; tostring lays it out.
---@class saros.train.Rates
---@field rate number  to begin with: a tenth of the one at which the loss was lowest
---@field rates number[]  that were tried
---@field losses number[]  smoothed, at each of them

local Rates = {}
Rates.__name = "saros.train.Rates"

local ROWS = 12 -- that are printed

function Rates:__tostring()
  local lines = { "rate       loss" }
  local every = math.max(1, math.ceil(#self.rates / ROWS))
  for position = 1, #self.rates, every do
    lines[#lines + 1] = format("%.1e  %7.4f", self.rates[position], self.losses[position])
  end
  lines[#lines + 1] = format("begin with %.1e", self.rate)
  return table.concat(lines, "\n")
end

--- Try growing rates. The model ends as it was.
---@param model saros.nn.Module  as `saros.fit` takes it
---@param data saros.train.Data
---@param given? saros.train.RateOptions
---@return saros.train.Rates
local function find_rate(model, data, given)
  local o = check(given)
  if o.low >= o.high then
    options.fail(format("find_rate: expected low < high, got %g and %g", o.low, o.high))
  end
  pass.require_match("find_rate", model, data)
  options.about("find_rate", pass.training, data, o)
  local _ <close> = borrow(model)
  local ratio = (o.high / o.low) ^ (1 / math.max(1, o.steps - 1))
  local optimizer = optim[o.rule](model:parameters(), { lr = o.low, schedule = function(step)
    return ratio ^ (step - 1)
  end })
  local found, lowest = setmetatable({ rates = {}, losses = {}, rate = o.low }, Rates), math.huge
  local smoothed, state, next_window = 0, nil, endless(data, o)
  for step = 1, o.steps do
    local window, rate = next_window(), optimizer:rate()
    local value
    value, state = learn(model, window, not window.reset and state or nil, optimizer, o.clip)
    smoothed = SMOOTHING * smoothed + (1 - SMOOTHING) * value
    local corrected = smoothed / (1 - SMOOTHING ^ step)
    if not finite.is(corrected) or corrected > TOO_HIGH * lowest then
      break
    end
    found.rates[step], found.losses[step] = rate, corrected
    if corrected < lowest then
      lowest, found.rate = corrected, rate / MARGIN
    end
  end
  return found
end

return find_rate
