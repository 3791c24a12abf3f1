--- Many processes that run one script together, as `mpirun -n 4 saros train.lua`
--- starts them. `saros.fit` uses them by itself; a loop of one's own asks for the
--- rows that are its own, and adds up the gradients:
---
---     ranks.share(net)                              -- all begin with the weights of rank 0
---     for batch in ... do
---       for shard in ranks.shards(net, B) do        -- row blocks of this rank
---         local tape <close> = saros.tape()
---         tape:backward(loss(net, shard:of(batch, 2)) * shard.share)
---       end
---       ranks.sum_gradients(net)                    -- of all rows
---       optimizer:step()
---     end
---
--- Started without mpirun there is one rank, which does all of it: nothing of MPI is
--- needed then. All ranks call the same functions in the same order.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local gradients = require "saros.ranks.gradients"
local streams = require "saros.ranks.streams"
local tree = require "saros.ranks.tree"
local world = require "saros.ranks.world"

local ranks = {}

local SHARDS = 8

--- The number of this process, from 0, as launchers count.
---@return integer
function ranks.rank()
  return world().rank
end

--- The number of processes.
---@return integer
function ranks.size()
  return world().size
end

--- How long a rank waits for the others in one call before that is an error, on this
--- rank; 600 at first.
---@param seconds number
function ranks.timeout(seconds)
  options.argument("ranks.timeout", 1, options.positive, seconds)
  world().timeout = seconds
end

--- Wait until all ranks are here.
function ranks.barrier()
  world():gather "ranks.barrier"
end

--- What all ranks give, in their order: the value of rank 0 comes first.
---@param value any  plain data, as saros.json_encode takes it
---@return any[]
function ranks.gather(value)
  local values = {}
  for position, text in ipairs(world():gather("ranks.gather", core.json_encode { value = value })) do
    values[position] = core.json_decode(text).value
  end
  return values
end

--- The sum of the numbers of all ranks, added one after the other: those of rank 0, of
--- rank 1 and so on. With a number for each row block it has the same bits for any number
--- of ranks.
---@param numbers number[]
---@return number
function ranks.total(numbers)
  options.argument("ranks.total", 1, options.list, numbers)
  local sum = 0.0
  for _, text in ipairs(world():gather("ranks.total", ("d"):rep(#numbers):pack(table.unpack(numbers)))) do
    for at = 1, #text, 8 do
      sum = sum + ("d"):unpack(text, at)
    end
  end
  return sum
end

local function check_root(owner, root)
  local all = world()
  root = root == nil and 0 or root
  if math.type(root) ~= "integer" or root < 0 or root >= all.size then
    options.fail(("%s: expected a rank in 0..%d, got %s"):format(owner, all.size - 1, options.describe(root)))
  end
  return root
end

--- What one rank has: a tensor is overwritten on the others; of plain data all get that of
--- the root.
---@generic T
---@param value T  a tensor of the same shape and type on all ranks, or plain data
---@param root? integer  (0)
---@return T
function ranks.broadcast(value, root)
  root = check_root("ranks.broadcast", root)
  if not options.tensor.accept(value) then
    return ranks.gather(world().rank == root and value or nil)[root + 1]
  end
  local whole = value:contiguous()
  world():broadcast(whole, root)
  return value:assign(whole)
end

--- Sums of whole tensors: each rank is a leaf of the tree.
local function sum(what, tensor)
  local all = world()
  local plan = tree.plan(all.size, all.rank + 1, all.size)
  all:sum(what, { { tensor } }, plan.counts, plan.order, { tensor }, "real")
end

--- The elements of a tensor become those of all ranks together: their sum, added in the
--- same order each time, their mean, least or greatest.
---@param tensor saros.Tensor  real, of the same shape on all ranks
---@param how? "sum"|"mean"|"min"|"max"  ("sum")
---@return saros.Tensor tensor
function ranks.all_reduce(tensor, how)
  options.argument("ranks.all_reduce", 1, options.tensor, tensor)
  options.argument("ranks.all_reduce", 2, options.one_of { "sum", "mean", "min", "max" }, how or "sum")
  if tensor:dtype() ~= "real" then
    options.fail("ranks.all_reduce: expected real numbers, got " .. options.describe(tensor))
  end
  local all, whole = world(), tensor:detach():clone()
  if how == "min" or how == "max" then
    all:reduce(whole, how)
  elseif all.size > 1 then
    sum("ranks.all_reduce by sum", whole)
    whole = how == "mean" and whole / all.size or whole
  end
  return tensor:assign(whole)
end

local function check_net(owner, net)
  if type(net) ~= "table" or not net.parameters or not net.generators then
    options.fail(("%s: expected a net, got %s"):format(owner, options.describe(net)))
  end
end

--- Give all ranks the weights and the random generators that a net has on rank 0.
---@param net saros.nn.Module
function ranks.share(net)
  check_net("ranks.share", net)
  local all, names, tensors = world(), {}, net:tensors()
  for name in pairs(tensors) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    ranks.broadcast(tensors[name])
    tensors[name]:clear_gradient()
  end
  local states = {}
  for name, generator in pairs(net:generators()) do
    states[name] = generator:state()
  end
  states = all.size > 1 and ranks.broadcast(states) or states
  for name, generator in pairs(net:generators()) do
    generator:restore(states[name])
  end
end

-- --- Row shards ------------------------------------------------------------------------------

---@class saros.ranks.Shard
---@field index integer  from 1
---@field first integer  row
---@field last integer  row
---@field share number  of all rows
local Shard = {}
spelling.methods(Shard, "saros.ranks.Shard")

--- The rows of a tensor that are the shard's own.
---@param tensor saros.Tensor
---@param axis? integer  of the rows: 2 in what is (T, B, ...) (2)
---@return saros.Tensor
function Shard:of(tensor, axis)
  options.argument("shard:of", 1, options.tensor, tensor)
  return tensor:slice(axis or 2, self.first, self.last):contiguous()
end

local check_shards = options.declare("ranks.shards", {
  { "shards", options.size, SHARDS },
})

-- What `shards` has begun and `sum_gradients` ends, by net.
local begun = setmetatable({}, { __mode = "k" })

--- Iterate over the row blocks of a batch that are this rank's. Between two of them the
--- gradients of the net are taken to be those of the shard; its random generators draw
--- what belongs to the shard. `ranks.sum_gradients` is to follow, on each rank.
---@param net saros.nn.Module
---@param rows integer  B, of all ranks together
---@param given? { shards?: integer }  of all ranks together, B at most (8): the number on which bits depend
---@return fun(): saros.ranks.Shard?
function ranks.shards(net, rows, given)
  check_net("ranks.shards", net)
  options.argument("ranks.shards", 2, options.size, rows)
  local o = check_shards(given)
  net:clear_gradients()
  local sums, drawn = gradients(net:parameters(), o.shards), streams(net:generators())
  begun[net] = sums
  local index = sums.plan.first - 1
  return function()
    if index >= sums.plan.first then
      sums:add(index)
    end
    index = index + 1
    while index <= sums.plan.last do
      local first, last = tree.part(rows, index, o.shards)
      if first <= last then
        drawn:enter(index)
        return setmetatable({ index = index, first = first, last = last, share = (last - first + 1) / rows }, Shard)
      end
      sums:add(index)
      index = index + 1
    end
    drawn:leave()
  end
end

local check_sum = options.declare("ranks.sum_gradients", {
  { "wire", options.one_of { "real", "bf16" }, "real" },
})

--- The gradients of a net become sums over all ranks. After `ranks.shards` that is a sum over
--- row blocks, with the same bits for any number of ranks; otherwise each rank is one leaf
--- of the sum, so bits are those of this number of ranks. Nobody divides: multiply each
--- loss with its share of all rows.
---@param net saros.nn.Module
---@param given? { wire?: "real"|"bf16" }  how numbers travel: "bf16" takes half the bytes, but rounds what each
---  rank sends and what all get to 8 digits, so that bits are those of this number of ranks ("real")
function ranks.sum_gradients(net, given)
  check_net("ranks.sum_gradients", net)
  local o = check_sum(given)
  local sums = begun[net]
  begun[net] = nil
  if not sums then
    sums = gradients(net:parameters(), world().size)
    sums:add(world().rank + 1)
  end
  sums:finish("ranks.sum_gradients", o.wire)
end

return spelling.space("saros.ranks", ranks)
