--- What the ranks of a training do together beside its updates: they begin with what rank
--- 0 has, which may come from its run folder; they agree on configuration and data; and
--- rank 0, which alone writes, gets the states of all rows.

local core = require "saros.core"
local options = require "saros.options"
local states = require "saros.nn.state"
local world = require "saros.ranks.world"
local checkpoint = require "saros.train.checkpoint"
local config = require "saros.train.config"

local together = {}

--- The names of some tensors, in order, with shapes and types.
local function describe(tensors)
  local list = {}
  for name, tensor in pairs(tensors) do
    list[#list + 1] = { name = name, shape = tensor:shape(), type = tensor:dtype() }
  end
  table.sort(list, function(a, b)
    return a.name < b.name
  end)
  return list
end

--- A tensor to be overwritten.
local function blank(entry)
  local zeros = core.zeros(entry.shape)
  if entry.type == "ids" then
    local count = zeros:count()
    return core.zeros(count, 1):argmax(-1):reshape(entry.shape)
  end
  return zeros
end

--- The tensors of a rank, on all of them.
local function broadcast(list, tensors, root)
  local all, received = world(), {}
  for _, entry in ipairs(list) do
    local tensor = all.rank == root and tensors[entry.name]:detach():contiguous() or blank(entry)
    all:broadcast(tensor, root)
    received[entry.name] = tensor
  end
  return received
end

--- What rank 0 makes: tensors by name, and plain data.
---@param what string  for messages
---@param make fun(): table<string, saros.Tensor>, table
---@return table<string, saros.Tensor>, table
local function from_first(what, make)
  local all, tensors, plain, text = world(), nil, nil, nil
  if all.rank == 0 then
    tensors, plain = make()
    text = core.json_encode { plain = plain, list = describe(tensors) }
  end
  local sent = core.json_decode(all:gather(what, text)[1])
  local received = broadcast(sent.list, tensors, 0)
  return all.rank == 0 and tensors or received, all.rank == 0 and plain or sent.plain
end

--- Errors with all that differs between rank 0 and this rank.
local function require_agreement(self)
  local all = world()
  local mine = config.of(self)
  local texts = all:gather("the configuration of fit", core.json_encode(mine))
  for rank, text in ipairs(texts) do
    local lines = config.unlike(core.json_decode(texts[1]), core.json_decode(text))
    if #lines > 0 then
      options.fail(("fit: expected the same configuration and data on all ranks, got on rank 0 and on rank %d on %s:"
        .. "\n  %s"):format(rank - 1, all.hosts[rank], table.concat(lines, "\n  ")))
    end
  end
end

--- All ranks begin as rank 0 does.
---@param self saros.train.Fit
function together.begin(self)
  if world().size == 1 then
    return
  end
  require_agreement(self)
  local tensors, sent = from_first("the start of fit", function()
    local captured, snapshot = checkpoint.capture(self)
    return captured, { snapshot = snapshot, saved = self.saved, kept = self.kept, resumed = self.history.resumed }
  end)
  if world().rank > 0 then
    checkpoint.restore(self, tensors, sent.snapshot)
    self.saved, self.kept, self.history.resumed = sent.saved, sent.kept, sent.resumed
  end
end

--- Where the time of a pass has gone, by rank.
---@class saros.train.RankSeconds
---@field computing number
---@field waiting number  until the other ranks were there
---@field communicating number

--- Begin to measure a pass.
---@return { waiting: number, communicating: number }
function together.clock()
  local seconds = world().seconds
  return { waiting = seconds.waiting, communicating = seconds.communicating }
end

--- What each rank has done in a pass, in the order of the ranks; nil if there is one.
---@param began { waiting: number, communicating: number }
---@param seconds number  that the pass took here
---@return saros.train.RankSeconds[]?
function together.seconds(began, seconds)
  local all = world()
  if all.size == 1 then
    return nil
  end
  local waiting = all.seconds.waiting - began.waiting
  local communicating = all.seconds.communicating - began.communicating
  local list = {}
  for position, text in ipairs(all:gather("the end of a pass of fit", core.json_encode {
    computing = seconds - waiting - communicating, waiting = waiting, communicating = communicating,
  })) do
    list[position] = core.json_decode(text)
  end
  return list
end

--- The last checkpoint that rank 0 can read, on all ranks.
---@param self saros.train.Fit
---@return table<string, saros.Tensor>, saros.train.Snapshot
function together.latest(self)
  if world().size == 1 then
    return self.run:latest()
  end
  return from_first("the last checkpoint of fit", function()
    return self.run:latest()
  end)
end

--- Before a checkpoint: the states of the shards of all ranks come together.
---@param self saros.train.Fit
function together.complete(self)
  local all = world()
  if all.size == 1 or self.state == nil then
    return
  end
  local own = states.tensors(self.state)
  local whole = {}
  for rank, text in ipairs(all:gather("a checkpoint of fit", core.json_encode { list = describe(own) })) do
    for name, tensor in pairs(broadcast(core.json_decode(text).list, own, rank - 1)) do
      whole[name] = tensor
    end
  end
  self.state = states.from(whole)
end

--- After the end: all ranks have the weights of rank 0, which may have read them.
---@param model saros.nn.Module
function together.share(model)
  if world().size > 1 then
    local tensors = model:tensors()
    local received = from_first("the end of fit", function()
      return tensors, {}
    end)
    if world().rank > 0 then
      model:load(received)
    end
  end
end

--- Until the result is closed, Ctrl-C and signals of the launcher end an update first.
---@return table
function together.watch_signals()
  return world():watch_signals()
end

--- The training has failed on this rank, which still has a run folder to complete.
---@param problem any
function together.give_up(problem)
  world():give_up(problem)
end

--- That is done, and the other ranks are told.
---@param problem any
function together.fail(problem)
  world():fail(problem)
end

--- In place of a run folder on all ranks but 0.
---@class saros.train.Follower
local Follower = {}
Follower.__index = Follower
for _, name in ipairs { "checkpoint", "log", "flush", "keep_model", "give_model", "examine", "sample", "close",
  "continue" } do
  Follower[name] = function() end
end

--- True on the rank that writes.
---@return boolean
function together.is_first()
  return world().rank == 0
end

---@return saros.train.Follower
function together.follower()
  return setmetatable({}, Follower)
end

return together
