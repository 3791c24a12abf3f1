--- Members side by side: each reads x, and what they give is combined:
---
---     nn.branch { nn.conv1d { 8, 16, kernel = 3 }, nn.conv1d { 8, 16, kernel = 9 } }              -- (T, B, 32)
---     nn.branch { nn.linear { H, H }, nn.chain { nn.linear { H, H }, saros.sigmoid }, combine = "multiply" }
---     nn.branch { a, b, combine = function(a, b) return a * saros.tanh(b) end }
---
--- Members are named by position, from 0; plain functions may stand among them.

local core = require "saros.core"
local options = require "saros.options"
local batch_first = require "saros.nn.batch_first"
local member = require "saros.nn.member"
local module = require "saros.nn.module"
local states = require "saros.nn.state"
local walk = require "saros.nn.steps"

---@class saros.nn.Branch: saros.nn.Module
---@field steps saros.nn.Member[]
---@field combine fun(...: saros.Tensor): saros.Tensor
---@field rule string
local Branch = module.class "branch"
Branch.hides_padding = true

local function shapes_of(outputs)
  local shapes = {}
  for position, y in ipairs(outputs) do
    shapes[position] = options.describe(y)
  end
  return table.concat(shapes, ", ")
end

--- All outputs have the same shape, but for their features if `any_features`.
local function check_alike(outputs, any_features)
  local first = outputs[1]
  for _, y in ipairs(outputs) do
    local fits = options.tensor.accept(y) and y:rank() == first:rank()
    for axis = 1, fits and y:rank() - (any_features and 1 or 0) or 0 do
      fits = fits and y:size(axis) == first:size(axis)
    end
    if not fits then
      options.fail(("branch: expected members whose outputs have the same shape%s, got %s"):format(
        any_features and " but for the last axis" or "", shapes_of(outputs)))
    end
  end
end

--- Each one after the other, by an operator of the core.
local function folded(operator)
  return function(...)
    local outputs = { ... }
    check_alike(outputs, false)
    local y = outputs[1]
    for position = 2, #outputs do
      y = operator(y, outputs[position])
    end
    return y
  end
end

local COMBINE = {
  concatenate = function(...)
    local outputs = { ... }
    check_alike(outputs, true)
    return core.concatenate(outputs, -1)
  end,
  add = folded(core.add),
  multiply = folded(core.multiply),
}

---@param x saros.Tensor  what every member takes
---@param state? table<integer, saros.nn.State>  by position
---@param given? saros.nn.StepOptions
---@return saros.Tensor y  0 behind the ends of rows
---@return table<integer, saros.nn.State>? state  nil if no member is stateful
function Branch:forward(x, state, given)
  if state ~= nil then
    options.argument(self.kind, 2, options.table, state)
  end
  local last, outputs = self.stateful and states.new {} or nil, {}
  local steps = given and options.about(self.kind, walk.of, given, x)
  for position, step in ipairs(self.steps) do
    local after
    outputs[position], after = member.call(step, x, state and state[position], given, steps and steps.mask,
      member.ANYTHING)
    if last then
      last[position] = after
    end
  end
  local y = self.combine(table.unpack(outputs))
  if not options.tensor.accept(y) then
    options.fail("branch: expected combine to return a tensor, got " .. options.describe(y))
  end
  local after = self:steps_after(given)
  steps = after ~= given and options.about(self.kind, walk.of, after, y) or steps
  return member.hidden(y, steps and steps.mask), last
end

--- Those of the first member; outputs that go together have as many steps.
function Branch:steps_after(given)
  local first = self.steps[1]
  return type(first) == "table" and first:steps_after(given) or given
end

function Branch:describe()
  return ("branch, %s (%s)"):format(self.rule, member.describe_all(self.steps))
end

local function rule_of(combine)
  if type(combine) == "function" then
    return combine, "function"
  elseif combine ~= nil and not COMBINE[combine] then
    options.fail(('nn.branch: expected combine = "concatenate", "add", "multiply" or a function, got %s'):format(
      options.describe(combine)))
  end
  local rule = combine or "concatenate"
  return COMBINE[rule], rule
end

local branch = {}

---@param members saros.nn.Member[]|{ combine?: "concatenate"|"add"|"multiply"|fun(...: saros.Tensor): saros.Tensor }
---  how outputs become one ("concatenate", along the last axis)
---@return saros.nn.Branch
function branch.branch(members)
  if type(members) ~= "table" or module.is(members) or next(members) == nil then
    options.fail("nn.branch: expected a list of layers and functions, such as nn.branch { a, b }, got "
      .. options.describe_list(members))
  end
  for key in pairs(members) do
    if math.type(key) ~= "integer" and key ~= "combine" and key ~= "batch_first" then
      options.fail(("nn.branch: expected members by position and combine, got the key %s%s"):format(
        options.describe(key), core.hint(key, { "combine" })))
    end
  end
  local self = Branch.new()
  self.combine, self.rule = rule_of(members.combine)
  self.runs_script = self.rule == "function"
  self.steps, self.batch_first = {}, batch_first.option("nn.branch", members)
  for position, step in options.each(members) do
    member.add(self, "nn.branch", tostring(position - 1), step, "member " .. position)
    self.steps[position] = step
  end
  if #self.steps == 0 then
    options.fail("nn.branch: expected at least one member, got none")
  end
  return self
end

--- The same with the outputs side by side.
---@param members saros.nn.Member[]
---@return saros.nn.Branch
function branch.concatenate(members)
  if type(members) == "table" and members.combine ~= nil then
    options.fail("nn.concatenate: expected members by position alone, got combine; nn.branch takes it")
  end
  return branch.branch(members)
end

return branch
