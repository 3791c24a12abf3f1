--- A linear-chain conditional random field (Lafferty, McCallum and Pereira 2001): tags
--- of a sequence are chosen together, by scores of each tag at each step, which a
--- network gives, and of each tag behind each other one, which are learned here:
---
---     score(y) = start[y(1)] + sum of emissions[t][y(t)] + sum of transitions[y(t-1)][y(t)] + end[y(T)]
---     P(y) = e^score(y) / sum over all tags z of e^score(z)
---
---     local net = nn.chain { nn.embedding { V, 64 }, nn.lstm { 64, 64, bidirectional = true }, nn.linear { 128, L } }
---     local crf = nn.crf { L }
---     local loss = crf:loss(net(x, nil, { lengths = lengths }), tags, { lengths = lengths })
---     local best = crf(net(x, nil, { lengths = lengths }), nil, { lengths = lengths })
---
--- Parameters have pytorch-crf's names.

local core = require "saros.core"
local options = require "saros.options"
local module = require "saros.nn.module"
local steps = require "saros.nn.steps"

---@class saros.nn.Crf: saros.nn.Module
---@field transitions saros.Tensor  (L, L): from a tag to the next
---@field start_transitions saros.Tensor  (L)
---@field end_transitions saros.Tensor  (L)
local Crf = module.class "crf"
Crf.hides_padding = true

local function check_emissions(self, emissions)
  local L = self.transitions:size(1)
  if not options.tensor.accept(emissions) or emissions:rank() ~= 3 or emissions:size(3) ~= L then
    options.fail(("crf: expected emissions of shape (T, B, %d), got %s"):format(L, options.describe(emissions)))
  end
end

--- What the core takes.
local function field_of(self, emissions, given)
  check_emissions(self, emissions)
  local walk = given and options.about(self.kind, steps.of, given, emissions) or {}
  if walk.reset then
    options.fail("crf: expected rows of one sequence each, got reset")
  end
  return {
    transitions = self.transitions,
    start = self.start_transitions,
    stop = self.end_transitions,
    lengths = walk.mask and options.about(self.kind, steps.lengths, walk.mask) or nil,
  }
end

--- -log P(tags) in nats per step, the mean over all steps that count.
---@param emissions saros.Tensor  (T, B, L)
---@param tags saros.Tensor  ids (T, B); anything behind the ends of rows
---@param given? saros.nn.StepOptions  lengths or a mask; each row has a step at least
---@return saros.Tensor loss
---@return saros.Tensor rows  (B): -log P of each row, in nats
function Crf:loss(emissions, tags, given)
  local field = field_of(self, emissions, given)
  local rows, count = core.crf_loss(emissions, tags, field), 0
  for row = 1, emissions:size(2) do
    count = count + (field.lengths and field.lengths[row] or emissions:size(1))
  end
  return rows:sum() / count, rows
end

--- The likeliest tags of each row.
---@param emissions saros.Tensor  (T, B, L)
---@param _ nil  no state
---@param given? saros.nn.StepOptions  lengths or a mask
---@return saros.Tensor tags  ids (T, B), 1 behind the ends of rows
---@return saros.Tensor scores  (B)
function Crf:forward(emissions, _, given)
  return core.crf_best(emissions, field_of(self, emissions, given))
end

function Crf:describe()
  return ("crf of %d tags"):format(self.transitions:size(1))
end

local check = options.declare("nn.crf", { { "tags", options.size } }, 1)

local function small(tensor, generator)
  generator:fill_uniform(tensor, -0.1, 0.1)
end

--- `nn.crf { 9 }`
---@param given { tags: integer }
---@return saros.nn.Crf
local function crf(given)
  local L = check(given).tags
  local self = Crf.new()
  self.input = L
  self.start_transitions = self:add_parameter("start_transitions", { L }, small)
  self.end_transitions = self:add_parameter("end_transitions", { L }, small)
  self.transitions = self:add_parameter("transitions", { L, L }, small)
  return self
end

return crf
