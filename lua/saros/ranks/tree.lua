--- A fixed binary tree of additions over row blocks, and what of it a rank does.
---
---     shards   1   2   3   4   5   6   7   8
---               \ /     \ /     \ /     \ /
---                o       o       o       o
---                 \     /         \     /
---                    o               o
---                       \         /
---                            sum
---
--- Each rank owns shards that lie side by side. It adds what it can; its nodes are the
--- subtrees that are wholly its own. The rest is added where the nodes of all ranks
--- meet, in the same tree, so the sum has the same bits for any number of ranks.

local tree = {}

---@class saros.ranks.Plan
---@field first integer  shard of this rank
---@field last integer  less than first if it has none
---@field merges integer[]  shard -> additions of two nodes after it
---@field counts integer[]  nodes by rank
---@field order integer[]  of all nodes: a number > 0 is a node, 0 adds the last two

--- The part of 1..count that a share has, one of `shares`: from 1. Shares differ by
--- one at most.
---@return integer first, integer last
function tree.part(count, share, shares)
  return count * (share - 1) // shares + 1, count * share // shares
end

--- Go through the subtree of some shards.
local function walk(self, first, last, owners, rank)
  local middle = (first + last) // 2
  if owners[first] == owners[last] then
    self.counts[owners[first]] = self.counts[owners[first]] + 1
    self.nodes = self.nodes + 1
    self.order[#self.order + 1] = self.nodes
    if owners[first] == rank then
      local function add(from, to)
        if from < to then
          local between = (from + to) // 2
          add(from, between)
          add(between + 1, to)
          self.merges[to] = self.merges[to] + 1
        end
      end
      add(first, last)
    end
    return
  end
  walk(self, first, middle, owners, rank)
  walk(self, middle + 1, last, owners, rank)
  self.order[#self.order + 1] = 0
end

--- What a rank does of the tree.
---@param shards integer
---@param rank integer  from 1
---@param size integer
---@return saros.ranks.Plan
function tree.plan(shards, rank, size)
  local self = { counts = {}, order = {}, merges = {}, nodes = 0 }
  local owners = {}
  for owner = 1, size do
    self.counts[owner] = 0
    local first, last = tree.part(shards, owner, size)
    for shard = first, last do
      owners[shard], self.merges[shard] = owner, 0
    end
  end
  self.first, self.last = tree.part(shards, rank, size)
  walk(self, 1, shards, owners, rank)
  return self
end

return tree
