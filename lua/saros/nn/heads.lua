--- Several outputs of one input, by name:
---
---     nn.heads { policy = nn.linear { H, 4 }, value = nn.chain { nn.linear { H, 1 }, saros.tanh } }
---
--- gives a table of tensors, { policy = ..., value = ... }. It is the last member of a
--- chain. Its state, if members are stateful, is by name, too.

local core = require "saros.core"
local options = require "saros.options"
local member = require "saros.nn.member"
local module = require "saros.nn.module"
local states = require "saros.nn.state"
local walk = require "saros.nn.steps"

---@class saros.nn.Heads: saros.nn.Module
---@field steps table<string, saros.nn.Member>
---@field names string[]  sorted
local Heads = module.class "heads"
Heads.hides_padding = true

---@param x saros.Tensor  what every member takes
---@param state? table<string, saros.nn.State>  by name
---@param given? saros.nn.StepOptions
---@return table<string, saros.Tensor> outputs  each 0 behind the ends of rows
---@return table<string, saros.nn.State>? state  nil if no member is stateful
function Heads:forward(x, state, given)
  if state ~= nil then
    options.argument(self.kind, 2, options.table, state)
  end
  local last, outputs = self.stateful and states.new {} or nil, {}
  local steps = given and options.about(self.kind, walk.of, given, x)
  local mask = steps and steps.mask
  for _, name in ipairs(self.names) do
    local y, after, there = member.call(self.steps[name], x, state and state[name], given, mask, member.ANYTHING)
    outputs[name] = there < member.ZEROS and member.hidden(y, mask) or y
    if last then
      last[name] = after
    end
  end
  return outputs, last
end

function Heads:describe()
  local parts = {}
  for position, name in ipairs(self.names) do
    local step = self.steps[name]
    parts[position] = name .. ": " .. member.describe(step)
  end
  return "heads (" .. table.concat(parts, "; ") .. ")"
end

---@param members table<string, saros.nn.Member>
---@return saros.nn.Heads
local function heads(members)
  if type(members) ~= "table" or module.is(members) or next(members) == nil then
    options.fail("nn.heads: expected layers and functions by name, such as nn.heads { value = layer }, got "
      .. options.describe_list(members))
  end
  local self = Heads.new()
  self.steps, self.names = {}, {}
  for name in pairs(members) do
    if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then
      options.fail(("nn.heads: expected names of letters, digits and _, got %s"):format(options.describe(name)))
    end
    self.names[#self.names + 1] = name
  end
  table.sort(self.names)
  for _, name in ipairs(self.names) do
    member.add(self, "nn.heads", name, members[name], core.format("%q", name))
    self.steps[name] = members[name]
  end
  return self
end

return heads
