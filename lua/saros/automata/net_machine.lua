--- What a net does whose states are exact, as a machine: its states are found by running it,
--- a token at a time, and told apart by their values, which no step rounds.
---
--- An answer may depend on the token, too, as queries and gates do. So a state here is one of
--- the net together with the answer that it was reached with.

local batch_first = require "saros.nn.batch_first"
local core = require "saros.core"
local options = require "saros.options"
local sorted = require "saros.sorted"
local states = require "saros.nn.state"

---@class saros.automata.NetMachine: saros.automata.Machine
---@field owner string  for messages
---@field net saros.nn.Module
---@field tokens integer
---@field classes integer  answers
---@field trees (saros.nn.State|false)[]  the states of the net, of one row each; false: before the first step
---@field numbers table<string, integer>  by values: which of them
---@field keys table<integer, integer>  by state of the net and answer: the state of the machine
---@field of integer[]  by state of the machine: that of the net
---@field told integer[]  by state of the machine: the answer
---@field margins number[]  the smallest distance of its output to the second largest
---@field after table<integer, { [1]: integer, [2]: number }[]>  by state of the net and token: the state of the
---  machine, and the margin there
local NetMachine = {}
NetMachine.__index = NetMachine

local net_machine = {}

-- --- Which nets -----------------------------------------------------------------------------

-- Stateful modules whose states are those of their members.
local CONTAINERS = { chain = true, residual = true, heads = true, branch = true }

local function is_exact(part)
  local o = part.o
  if part.kind == "delta" then
    return o.exact == o.heads and o.convolution == 0 and not o.bidirectional
  end
  return part.kind == "finite" and not part.is_soft
end

--- The first part of a net with states that a step may round; nil if there is none.
local function inexact(part)
  if not part.stateful or is_exact(part) then
    return nil
  elseif not CONTAINERS[part.kind] then
    return part
  end
  for _, member in ipairs(part.members) do
    local found = inexact(member.module)
    if found then
      return found
    end
  end
end

--- Refuse a net that has other states than exact ones, or none.
---@param owner string  for messages
---@param net any
function net_machine.expect(owner, net)
  local is_net = type(net) == "table" and getmetatable(net) ~= nil and net.stateful and net.members ~= nil
  local other = is_net and inexact(net)
  if not is_net or other then
    options.fail(("%s: expected a net of saros.automata, or one whose states are exact (nn.finite; nn.delta with "
      .. "exact = true and no convolution), got %s"):format(owner, other and other:describe() or options.describe(net)))
  end
end

-- --- Steps ------------------------------------------------------------------------------------

--- The values of each row of a state, as text.
local function values_of(tree, rows)
  local parts, tensors = {}, states.tensors(tree)
  for row = 1, rows do
    parts[row] = {}
  end
  for _, name in ipairs(sorted.keys(tensors)) do
    for row, values in ipairs((tensors[name]:reshape(rows, -1) + 0):totable()) do
      table.insert(parts[row], table.concat(values, " "))
    end
  end
  for row = 1, rows do
    parts[row] = table.concat(parts[row], ";")
  end
  return parts
end

--- The machine's state for one of the net and an answer.
local function reached(self, place, answer)
  local key = place << 32 | answer
  if not self.keys[key] then
    self.keys[key] = #self.of + 1
    self.of[#self.of + 1], self.told[#self.told + 1], self.margins[#self.margins + 1] = place, answer, math.huge
  end
  return self.keys[key]
end

local function listed(count, fn)
  local list = {}
  for n = 1, count do
    list[n] = fn(n)
  end
  return list
end

--- The outputs (V, classes) behind each token, and the states there.
local function outputs_of(self, before)
  local _ <close> = self.net.batch_first and batch_first.steps_first(self.net) or nil
  local V = self.tokens
  local y, tree = self.net(core.ids(listed(V, function(n) return n end)):reshape(1, V), before)
  if not options.has_shape(y, 1, V, self.classes) then
    options.fail(("%s: expected a net with outputs of shape (1, %d, %d), as many classes as the reference has answers, "
      .. "got %s"):format(self.owner, V, self.classes, options.describe(y)))
  end
  return y:reshape(V, self.classes), tree
end

--- What all tokens do in a state of the net, at once.
local function explore(self, place)
  local _ <close> = core.no_gradient()
  local V, before = self.tokens, self.trees[place] or nil
  if before then
    before = states.rows(before, core.ids(listed(V, function() return 1 end)))
  end
  local logits, tree = outputs_of(self, before)
  local best, two = logits:argmax(-1):totable(), logits:topk(math.min(2, self.classes)):totable()
  local list, values = {}, values_of(tree, V)
  for token = 1, V do
    local key = values[token]
    if not self.numbers[key] then
      self.numbers[key] = #self.trees + 1
      self.trees[#self.trees + 1] = states.map(states.select(tree, token), core.clone)
    end
    local margin = self.classes > 1 and two[token][1] - two[token][2] or math.huge
    list[token] = { reached(self, self.numbers[key], best[token]), margin }
  end
  return list
end

---@param state integer
---@param token integer
---@return integer
function NetMachine:step(state, token)
  local place = self.of[state]
  local list = self.after[place] or explore(self, place)
  self.after[place] = list
  local to, margin = table.unpack(list[token])
  self.margins[to] = math.min(self.margins[to], margin)
  return to
end

--- The answers in states, and the smallest margin there so far.
---@param list integer[]
---@return integer[] answers
---@return number margin
function NetMachine:answers(list)
  local answers, margin = {}, math.huge
  for n, state in ipairs(list) do
    answers[n], margin = self.told[state], math.min(margin, self.margins[state])
  end
  return answers, margin
end

---@param owner string  for messages
---@param net saros.nn.Module  with exact states; it reads ids (T, B) and gives outputs (T, B, classes)
---@param tokens integer
---@param classes integer
---@return saros.automata.NetMachine
function net_machine.new(owner, net, tokens, classes)
  local self = { owner = owner, net = net, tokens = tokens, classes = classes, trees = { false }, numbers = {},
    of = { 1 }, told = { 1 }, margins = { math.huge }, keys = {}, after = {} }
  return setmetatable(self, NetMachine)
end

return net_machine
