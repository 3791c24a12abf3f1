--- Samplers choose an id from a row of logits.

local core = require "saros.core"
local options = require "saros.options"
local limits = require "saros.generate.limits"

---@class saros.generate.SamplerOptions
---@field temperature? number  below 1 bolder, above 1 wilder; 0, and anything below 1.2e-38, always
---  takes the likeliest (1)
---@field top_k? integer  choose among the k likeliest
---@field top_p? number  choose among the likeliest that together reach p (Holtzman et al. 2020)
---@field bias? saros.Tensor  (V), added to the logits; -inf forbids an id
---@field repetition_penalty? number  divides the logits of ids of the history where they are positive, and multiplies
---  them where they are not, before the bias (Keskar et al. 2019) (1)
---@field generator? saros.Generator
---@field seed? integer  of the generator, if none is given (1)

local check = options.declare("sampler", {
  { "temperature", options.nonnegative, 1 },
  { "top_k", options.optional(options.size) },
  { "top_p", options.optional(options.share) },
  { "bias", options.optional(options.tensor) },
  { "repetition_penalty", options.positive, 1 },
  { "generator", options.optional(options.generator) },
  { "seed", options.integer, 1 },
})

--- As in sessions: between these, differences of logits over the temperature are numbers.
local LEAST_TEMPERATURE, MOST_TEMPERATURE = 2.0 ^ -126, 2.0 ^ 127

local row = options.kind("a row of logits (V)", function(value)
  return options.tensor.accept(value) and value:rank() == 1 and value:dtype() == "real" and #value > 0 and value or nil
end)

--- The largest logit. Others may be -inf: they are never chosen.
local function largest(logits)
  local value = logits:max():item()
  if value ~= value or value == math.huge or value == -math.huge then
    options.fail(("sampler: expected finite logits, got %s"):format(value))
  end
  return value
end

local function greedy(logits)
  largest(logits)
  return core.argmax(logits, 1):item()
end

--- Ids by falling probability, equal ones by rising id.
local function ranked(probabilities)
  local ids = {}
  for id = 1, #probabilities do
    ids[id] = id
  end
  table.sort(ids, function(a, b)
    if probabilities[a] ~= probabilities[b] then
      return probabilities[a] > probabilities[b]
    end
    return a < b
  end)
  return ids
end

--- How many of the ranked ids stay, and their joint probability. Impossible ones do not.
local function cut(ids, probabilities, top_k, top_p)
  local total = 0
  for rank, id in ipairs(ids) do
    if probabilities[id] == 0 then
      return rank - 1, total
    end
    total = total + probabilities[id]
    if rank == top_k or total >= top_p then
      return rank, total
    end
  end
  return #ids, total
end

local function choose_among_top(probabilities, top_k, top_p, generator)
  local ids = ranked(probabilities)
  local count, total = cut(ids, probabilities, top_k or #ids, top_p or 1)
  local target = generator:number() * total
  for rank = 1, count - 1 do
    target = target - probabilities[ids[rank]]
    if target < 0 then
      return ids[rank]
    end
  end
  return ids[count]
end

local ids_list = options.list_of(options.size)

--- The ids of a history, each once.
local function distinct(history, V)
  local ids, seen = {}, {}
  options.argument("sampler", 2, ids_list, history)
  for _, id in ipairs(history) do
    if id > V then
      options.fail(("sampler: expected a history of ids in 1..%d, got %d"):format(V, id))
    end
    ids[#ids + 1] = not seen[id] and id or nil
    seen[id] = true
  end
  return ids
end

--- The logits as the options change them; themselves if there is nothing to change.
local function adjusted(o, logits, history)
  if o.bias and not options.has_shape(o.bias, #logits) then
    options.fail(("sampler: expected a bias of shape (%d), got %s"):format(#logits, options.describe(o.bias)))
  end
  if history and o.repetition_penalty ~= 1 then
    logits = logits:clone()
    limits.penalize(logits, distinct(history, #logits), o.repetition_penalty)
  end
  return o.bias and logits + o.bias or logits
end

local function chooser(o)
  if o.temperature < LEAST_TEMPERATURE or o.top_k == 1 then
    return greedy
  end
  local temperature = math.min(o.temperature, MOST_TEMPERATURE)
  local generator = o.generator or core.generator(o.seed)
  return function(logits)
    local probabilities = core.softmax((logits - largest(logits)) / temperature)
    if o.top_k or o.top_p then
      return choose_among_top(probabilities:totable(), o.top_k, o.top_p, generator)
    end
    return generator:categorical(probabilities):item()
  end
end

--- Make a sampler.
---@param given? saros.generate.SamplerOptions
---@return fun(logits: saros.Tensor, history?: integer[]): integer  logits (V), the ids that came before for
---  repetition_penalty -> id in 1..V
local function sampler(given)
  local o = check(given)
  local choose = chooser(o)
  return function(logits, history)
    local _ <close> = core.no_gradient()
    options.argument("sampler", 1, row, logits)
    return choose(adjusted(o, logits, history))
  end
end

return sampler
