--- Schedules: the factor of the learning rate as a function of the step, which
--- counts from 1. Any function of that kind will do.

local options = require "saros.options"
local spelling = require "saros.spelling"

local schedule = spelling.space("optim.schedule", {})

--- Always the same rate.
---@return fun(step: integer): number
function schedule.constant()
  return function()
    return 1
  end
end

local check_step = options.declare("schedule.step", {
  { "every", options.size },
  { "factor", options.positive, 0.1 },
})

--- Multiplied by `factor` after each `every` steps.
---@param given { every: integer, factor?: number }
---@return fun(step: integer): number
function schedule.step(given)
  local o = check_step(given)
  return function(step)
    return o.factor ^ ((step - 1) // o.every)
  end
end

local check_exponential = options.declare("schedule.exponential", {
  { "every", options.size, 1 },
  { "factor", options.positive },
})

--- Falling smoothly, by `factor` over each `every` steps.
---@param given { every?: integer, factor: number }
---@return fun(step: integer): number
function schedule.exponential(given)
  local o = check_exponential(given)
  return function(step)
    return o.factor ^ ((step - 1) / o.every)
  end
end

local check_cosine = options.declare("schedule.cosine", {
  { "steps", options.size },
  { "warmup", options.count, 0 },
  { "floor", options.fraction, 0 },
})

--- Half a cosine from 1 down to `floor` over `steps` steps (Loshchilov and
--- Hutter 2017), after a linear rise over the first `warmup` of them.
---@param given { steps: integer, warmup?: integer, floor?: number }
---@return fun(step: integer): number
function schedule.cosine(given)
  local o = check_cosine(given)
  if o.warmup >= o.steps then
    error(("schedule.cosine: expected warmup below steps = %d, got %d"):format(
      o.steps, o.warmup), 2)
  end
  return function(step)
    if step <= o.warmup then
      return step / o.warmup
    end
    local progress = math.min(1, (step - 1 - o.warmup) / math.max(1, o.steps - 1 - o.warmup))
    return o.floor + (1 - o.floor) * (1 + math.cos(math.pi * progress)) / 2
  end
end

return schedule
