--- Modules one after the other. Plain functions may stand between them:
---
---     nn.chain { nn.linear { 2, 8 }, saros.tanh, nn.linear { 8, 1 } }
---
--- Members are named by position, from 0 as in PyTorch's Sequential. A chain
--- with a stateful member is stateful: it carries the states of its members.

local core = require "saros.core"
local options = require "saros.options"
local module = require "saros.nn.module"
local states = require "saros.nn.state"

---@class saros.nn.Chain: saros.nn.Module
---@field steps (saros.nn.Module|fun(x: saros.Tensor): saros.Tensor)[]
local Chain = module.class "chain"

---@param x saros.Tensor  what the first member takes
---@param state? table<integer, saros.nn.State>  by position
---@param given? saros.nn.StepOptions  lengths and the like, for its stateful members
---@return saros.Tensor y
---@return table<integer, saros.nn.State>? state  nil if no member is stateful
function Chain:forward(x, state, given)
  local last = self.stateful and states.new {} or nil
  for position, step in ipairs(self.steps) do
    if last and type(step) == "table" and step.stateful then
      x, last[position] = step(x, state and state[position], given)
    else
      x = step(x)
    end
  end
  return x, last
end

--- The stage that a function of each element is; nil for any other function.
local function function_stage(fn)
  for _, name in ipairs { "tanh", "sigmoid", "relu", "exp", "log", "sqrt", "abs", "negate" } do
    if fn == core[name] then
      return { kind = "function", ["function"] = name }
    end
  end
end

function Chain:stages()
  local stages = {}
  for position, step in ipairs(self.steps) do
    local own = module.is(step) and step:stages() or { function_stage(step) }
    if #own == 0 and not module.is(step) then
      options.fail(("session: expected member %d of the chain to be a layer or a function of each "
        .. "element, such as saros.tanh, got another function"):format(position))
    end
    table.move(own, 1, #own, #stages + 1, stages)
  end
  return stages
end

function Chain:describe()
  local parts = {}
  for position, step in ipairs(self.steps) do
    parts[position] = module.is(step) and step:describe() or "function"
  end
  return "chain (" .. table.concat(parts, "; ") .. ")"
end

local function check_keys(owner, steps)
  for key in pairs(steps) do
    if math.type(key) ~= "integer" then
      options.fail(("%s: expected members by position alone, got one under the key %s"):format(
        owner, options.describe(key)))
    end
  end
end

---@param steps (saros.nn.Module|fun(x: saros.Tensor): saros.Tensor)[]
---@param owner? string  the function, for messages ("nn.chain")
---@return saros.nn.Chain
local function chain(steps, owner)
  owner = owner or "nn.chain"
  if type(steps) ~= "table" or module.is(steps) or next(steps) == nil then
    options.fail(("%s: expected a list of layers and functions, such as %s { layer, ... }, got %s"):format(
      owner, owner, options.describe_list(steps)))
  end
  check_keys(owner, steps)
  local self = Chain.new()
  self.steps = {}
  for position, step in options.each(steps) do
    if module.is(step) then
      self:add_member(tostring(position - 1), step)
      self.stateful = self.stateful or step.stateful
    elseif type(step) ~= "function" then
      options.fail(("%s: expected member %d to be a module or a function, got %s"):format(
        owner, position, options.describe(step)))
    end
    self.steps[position] = step
  end
  return self
end

return chain
