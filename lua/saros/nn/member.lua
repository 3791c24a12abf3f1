--- What modules made of others do with a member: a module or a function of a tensor.
--- Padding is hidden from members that could be harmed by it.

local core = require "saros.core"
local batch_first = require "saros.nn.batch_first"
local module = require "saros.nn.module"
local options = require "saros.options"
local walk = require "saros.nn.steps"

local member = {}

---@alias saros.nn.Member saros.nn.Module|fun(x: saros.Tensor): saros.Tensor

-- What the padding of a tensor may hold, from the least to the most strict.
member.ANYTHING, member.FINITE, member.ZEROS = 1, 2, 3

-- Functions whose values and derivatives are finite for finite numbers. Modules
-- like that have `keeps_finite`.
local FINITE_FUNCTIONS = {}
for _, name in ipairs {
  "tanh", "sigmoid", "relu", "abs", "negate", "sin", "cos", "softplus", "silu", "gelu", "gelu_tanh", "elu",
  "leaky_relu", "hard_sigmoid", "hard_tanh",
} do
  FINITE_FUNCTIONS[core[name]] = true
end

-- The functions that do the same each time.
local of_core = {}
for _, value in pairs(core) do
  of_core[value] = true
end

--- What a member needs as padding, so that neither its output nor a gradient becomes
--- NaN, and what its output has as padding.
local function padding_of(step)
  local is_module = type(step) == "table"
  if is_module and step.hides_padding then
    return member.ANYTHING, member.ZEROS
  elseif is_module and step.keeps_finite or FINITE_FUNCTIONS[step] then
    return member.FINITE, member.FINITE
  end
  return member.ZEROS, member.ANYTHING
end

--- x with the padding hidden. A tensor without steps (T, B, ...), such as the output
--- of a member that takes the last step, has no padding.
---@param x saros.Tensor
---@param mask saros.Tensor?  (T, B)
---@return saros.Tensor
function member.hidden(x, mask)
  local has_steps = mask and (x:rank() > 2 or x:rank() == 2 and x:dtype() == "ids")
    and x:size(1) == mask:size(1) and x:size(2) == mask:size(2)
  return has_steps and walk.hide(x, mask) or x
end

--- Call a member with an input whose padding holds what `there` says. Returns its
--- output, its state if it is stateful, and what the output has as padding.
---@param step saros.nn.Member
---@param x saros.Tensor
---@param state saros.nn.State
---@param given saros.nn.StepOptions?
---@param mask saros.Tensor?  of `given`
---@param there integer
---@param embedding? saros.nn.Embedding  x is ids of its rows, for a step with `reads_rows`
---@return saros.Tensor y
---@return saros.nn.State? state
---@return integer there
function member.call(step, x, state, given, mask, there, embedding)
  local needed, left = padding_of(step)
  if there < needed then
    x = member.hidden(x, mask)
  end
  if type(step) == "table" and (step.stateful or step.hides_padding) then
    local y, after = step(x, state, given, embedding)
    if after == nil and step.stateful then
      error(("%s%s: expected a stateful module to return its state after y, got nil"):format(
        core.defined_at(step.forward) or core.caller(), step.kind), 0)
    end
    return y, after, left
  end
  return step(x), nil, left
end

--- Add a member under a name, or complain about what is none.
---@param self saros.nn.Module
---@param owner string  "nn.chain", for the message
---@param name string
---@param step any
---@param place string  "member 2"
function member.add(self, owner, name, step, place)
  batch_first.refuse(owner, step, "give it to what you call yourself, which holds for all members")
  if module.is(step) then
    self:add_member(name, step)
    self.stateful = self.stateful or step.stateful
  elseif type(step) == "function" then
    self.runs_script = self.runs_script or not of_core[step]
  else
    options.fail(("%s: expected %s to be a module or a function, got %s"):format(
      owner, place, options.describe(step)))
  end
end

--- What a member is, as print(net) says it.
---@param step saros.nn.Member
---@return string
function member.describe(step)
  return module.is(step) and step:describe() or "function"
end

--- The members of a list, one after the other.
---@param steps saros.nn.Member[]
---@return string
function member.describe_all(steps)
  local parts = {}
  for position, step in ipairs(steps) do
    parts[position] = member.describe(step)
  end
  return table.concat(parts, "; ")
end

return member
