--- Modules one after the other. Plain functions may stand between them:
---
---     nn.chain { nn.linear { 2, 8 }, saros.tanh, nn.linear { 8, 1 } }
---
--- Members are named by position, from 0 as in PyTorch's Sequential. A chain
--- with a stateful member is stateful: it carries the states of its members.
---
--- A chain that is told where rows end hides the padding from its members: they read
--- zeros there (the first id in place of ids), and the chain's output is 0 there.
--- Hiding is left out where a member does no harm with padding. A module with
--- `hides_padding` handles padding itself; it is called as f(x, state, given).
---
--- A recurrent stack right behind an embedding is called with the ids and the embedding, so it
--- can make its products once for each symbol.

local options = require "saros.options"
local batch_first = require "saros.nn.batch_first"
local member = require "saros.nn.member"
local module = require "saros.nn.module"
local states = require "saros.nn.state"
local walk = require "saros.nn.steps"

---@class saros.nn.Chain: saros.nn.Module
---@field steps (saros.nn.Module|fun(x: saros.Tensor): saros.Tensor)[]
local Chain = module.class "chain"
Chain.hides_padding = true

--- The steps of a member's output x, and their mask.
local function steps_after(self, step, given, mask, x)
  local after = step:steps_after(given)
  if after == given then
    return given, mask
  end
  local steps = options.about(self.kind, walk.of, after, x)
  return after, steps and steps.mask
end

--- True if a member is an embedding and the one behind it reads ids with it.
local function is_read_by_next(self, position)
  local step, after = self.steps[position], self.steps[position + 1]
  return type(step) == "table" and step.gives_rows and type(after) == "table" and after.reads_rows
end

---@param x saros.Tensor  what the first member takes
---@param state? table<integer, saros.nn.State>  by position
---@param given? saros.nn.StepOptions  lengths and the like
---@return saros.Tensor y  0 behind the ends of rows
---@return table<integer, saros.nn.State>? state  nil if no member is stateful
function Chain:forward(x, state, given)
  if state ~= nil then
    options.argument(self.kind, 2, options.table, state)
  end
  local last = self.stateful and states.new {} or nil
  local steps = given and options.about(self.kind, walk.of, given, x)
  local mask = steps and steps.mask
  local there, embedding = member.ANYTHING, nil
  for position, step in ipairs(self.steps) do
    if is_read_by_next(self, position) then
      embedding = step
    else
      local after
      x, after, there = member.call(step, x, state and state[position], given, mask, there, embedding)
      embedding = nil
      if last then
        last[position] = after
      end
      if given and type(step) == "table" then
        given, mask = steps_after(self, step, given, mask, x)
      end
    end
  end
  return there < member.ZEROS and member.hidden(x, mask) or x, last
end

function Chain:steps_after(given)
  for _, step in ipairs(self.steps) do
    if type(step) == "table" then
      given = step:steps_after(given)
    end
  end
  return given
end

function Chain:describe()
  return "chain (" .. member.describe_all(self.steps) .. ")"
end

local function check_keys(owner, steps)
  for key in pairs(steps) do
    if math.type(key) ~= "integer" and key ~= "batch_first" then
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
  self.steps, self.batch_first = {}, batch_first.option(owner, steps)
  for position, step in options.each(steps) do
    member.add(self, owner, tostring(position - 1), step, "member " .. position)
    self.steps[position] = step
  end
  return self
end

return chain
