--- Gradients of row blocks, which become those of all rows.

local core = require "saros.core"
local options = require "saros.options"
local tree = require "saros.ranks.tree"
local world = require "saros.ranks.world"

---@class saros.ranks.Gradients
---@field parameters saros.Tensor[]
---@field plan saros.ranks.Plan
---@field nodes saros.Tensor[][]  sums so far, of this rank
local Gradients = {}
Gradients.__index = Gradients
Gradients.__name = "saros.ranks.Gradients"

--- Take the gradients away from some parameters: lists like them, and behind them 1 for
--- each that had one. Zeros stand for the others, as a sum of all has to add the same
--- numbers everywhere.
local function take(parameters)
  local taken, has = {}, {}
  for position, parameter in ipairs(parameters) do
    local gradient = parameter:gradient()
    has[position] = gradient and 1 or 0
    taken[position] = gradient and gradient:contiguous() or core.zeros(parameter:shape())
    parameter:clear_gradient()
  end
  taken[#taken + 1] = core.tensor(has)
  return taken
end

--- Give parameters the gradients that a list has.
local function give(parameters, sums)
  local has = sums[#sums]:totable()
  for position, parameter in ipairs(parameters) do
    parameter:clear_gradient()
    if has[position] > 0 then
      local tape <close> = core.tape()
      tape:watch(parameter)
      tape:backward(parameter, sums[position])
    end
  end
end

--- The gradients that parameters have are those of a shard; they are taken away. The
--- shards of a rank come in their order.
---@param shard integer
function Gradients:add(shard)
  local nodes = self.nodes
  nodes[#nodes + 1] = take(self.parameters)
  for _ = 1, self.plan.merges[shard] do
    local right, left = table.remove(nodes), nodes[#nodes]
    for position, tensor in ipairs(left) do
      local addend <close> = right[position]
      tensor:add_scaled(1, addend)
    end
  end
end

--- The parameters get the sum over all shards, of all ranks.
---@param what string  for messages
---@param wire "real"|"bf16"  how numbers travel
function Gradients:finish(what, wire)
  local ranks = world()
  if #self.nodes ~= self.plan.counts[ranks.rank + 1] then
    options.fail(("%s: expected the gradients of all shards of this rank, got fewer: the loop over them has ended "
      .. "early"):format(what))
  end
  local sums = self.nodes[1] or take(self.parameters)
  if #self.plan.order > 1 then
    ranks:sum(what, self.nodes, self.plan.counts, self.plan.order, sums, wire)
  elseif ranks.size > 1 then -- one rank has all shards
    ranks:sum(what, self.nodes, self.plan.counts, { 1 }, sums, wire)
  end
  self.nodes = {}
  give(self.parameters, sums)
end

--- What of an update belongs to the shards of this rank.
---@param parameters saros.Tensor[]
---@param shards integer
---@return saros.ranks.Gradients
return function(parameters, shards)
  local ranks = world()
  return setmetatable({
    parameters = parameters,
    plan = tree.plan(shards, ranks.rank + 1, ranks.size),
    nodes = {},
  }, Gradients)
end
