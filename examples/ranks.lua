-- A training loop of one's own on many processes: numbers are added up over time.
-- Losses and weights have the same bits for any number of them.
--
--   build/saros examples/ranks.lua [STEPS]
--   mpirun -n 4 build/saros examples/ranks.lua [STEPS]       after `make mpi`

local saros = require "saros"
local nn, optim, ranks = saros.nn, saros.optim, saros.ranks

local T, B = 12, 30

local net = nn.chain { nn.lstm { 1, 16 }, nn.dropout { p = 0.1 }, nn.linear { 16, 1 } }:init { seed = 1 }
ranks.share(net)                                              -- all begin with the weights of rank 0
local adam = optim.adam(net:parameters(), { lr = 0.02 })
local generator = saros.generator(7)                          -- the same rows on all ranks

for step = 1, tonumber(arg[1] or 100) do
  local x = generator:uniform { T, B, 1 }
  local y = x:cumsum(1)
  local losses = {}
  for shard in ranks.shards(net, B) do                        -- this rank's row blocks
    local tape <close> = saros.tape()
    local loss = nn.mse(net(shard:of(x)), shard:of(y)) * shard.share
    tape:backward(loss)
    losses[#losses + 1] = loss:item()
  end
  ranks.sum_gradients(net)                                    -- over all shards of all ranks
  optim.clip_norm(net:parameters(), 1)
  adam:step()
  local total = ranks.total(losses)                           -- in the order of the shards
  if step % 20 == 0 and ranks.rank() == 0 then
    print(("step %3d  loss %.17g"):format(step, total))
  end
end

if ranks.rank() == 0 then
  local digests = {}
  for position, parameter in ipairs(net:parameters()) do
    digests[position] = parameter:digest()
  end
  print("weights " .. table.concat(digests, " "))
end
