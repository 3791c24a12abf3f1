--- An update from row shards: each row block of the windows is learned from by itself, with
--- random numbers of its own, on the rank that owns it; the gradients are added in a fixed
--- tree, the losses in the order of the shards. So the bits depend on the number of shards
--- and on no number of ranks.

local gradients = require "saros.ranks.gradients"
local streams = require "saros.ranks.streams"
local tree = require "saros.ranks.tree"
local world = require "saros.ranks.world"
local states = require "saros.nn.state"
local row_shard = require "saros.train.row_shard"

local shards = {}

---@class saros.train.Sums  what is added up over the windows or shards of an update
---@field total number  of the losses of all answers
---@field objective number  of what was minimised, times weights
---@field right integer?  labels that are right
---@field differs boolean  true if the objective is not the loss

local FORMAT = "<dddd"

--- Windows by shard: each has its rows of every window, false where it has none.
---@param windows saros.Window[]
---@param count integer
---@return (saros.Window|false)[][]
function shards.cut(windows, count)
  local parts = {}
  for shard = 1, count do
    parts[shard] = {}
    for n, window in ipairs(windows) do
      local first, last = tree.part(row_shard.rows(window), shard, count)
      parts[shard][n] = first <= last and row_shard.of(window, first, last)
    end
  end
  return parts
end

local function pack(sums)
  return FORMAT:pack(sums.total, sums.objective, sums.right or -1, sums.differs and 1 or 0)
end

--- Add up what texts of all ranks hold, in the order of the shards.
local function add_up(texts)
  local all = { total = 0, objective = 0, differs = false }
  for _, text in ipairs(texts) do
    for at = 1, #text, FORMAT:packsize() do
      local total, objective, right, differs = FORMAT:unpack(text, at)
      all.total, all.objective = all.total + total, all.objective + objective
      all.right = right >= 0 and (all.right or 0) + math.tointeger(right) or all.right
      all.differs = all.differs or differs == 1
    end
  end
  return all
end

--- What a rank found that is not finite ends the update on all of them. A signal that came to one
--- is to end the training of all behind this update.
local function agree(self, problem, packed)
  local mark = problem and "!" or world():is_stopped() and "^" or "="
  local texts = world():gather("an update of fit", mark .. (problem or table.concat(packed)))
  for rank, text in ipairs(texts) do
    if text:sub(1, 1) == "!" then
      self.broken = text:sub(2)
      error(("fit: %s; a smaller lr or clip may help"):format(self.broken), 0)
    end
    self.stopping = self.stopping or text:sub(1, 1) == "^"
    texts[rank] = text:sub(2)
  end
  return texts
end

--- Learn from the shards of this rank. Returns their sums as text, and states.
local function learn_own(self, sums, learn)
  local drawn, packed, after = streams(self.generators), {}, states.new {}
  for shard = sums.plan.first, sums.plan.last do
    drawn:enter(shard)
    local ok, of_shard, state = pcall(learn, shard, self.state and self.state[shard])
    if not ok and not self.broken then
      error(of_shard, 0)
    elseif not ok then
      return nil, nil, self.broken
    end
    sums:add(shard)
    packed[#packed + 1], after[shard] = pack(of_shard), state
  end
  drawn:leave()
  return packed, after
end

--- Make the gradients of an update. Returns what was added up over all shards, and the
--- state of each shard of this rank.
---@param self saros.train.Fit
---@param learn fun(shard: integer, state: saros.nn.State): saros.train.Sums, saros.nn.State  adds gradients
---@return saros.train.Sums, table<integer, saros.nn.State>
function shards.learn(self, learn)
  local sums = gradients(self.optimizer.parameters, self.options.shards)
  local packed, after, problem = learn_own(self, sums, learn)
  local texts = agree(self, problem, packed)
  sums:finish("an update of fit", self.options.wire)
  return add_up(texts), after
end

return shards
