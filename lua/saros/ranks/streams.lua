--- Random numbers that belong to row blocks: each shard of an update draws from a
--- stream of its own, whichever rank it is on, and afterwards all generators are where
--- they would be without it.

local STEP = 0x9E3779B97F4A7C15 -- from one shard's seed to the next: the golden ratio's bits
local BITS = 1 << 62

---@class saros.ranks.Streams
---@field generators table<string, saros.Generator>
---@field seeds table<string, integer>
---@field after table<string, string>  states
local Streams = {}
Streams.__index = Streams

--- What is drawn from now on is that of a shard.
---@param shard integer
function Streams:enter(shard)
  for name, generator in pairs(self.generators) do
    generator:seed(self.seeds[name] + shard * STEP)
  end
end

--- Back to the states behind the update.
function Streams:leave()
  for name, generator in pairs(self.generators) do
    generator:restore(self.after[name])
  end
end

--- Begin an update: one number is drawn from each generator.
---@param generators table<string, saros.Generator>
---@return saros.ranks.Streams
return function(generators)
  local self = setmetatable({ generators = generators, seeds = {}, after = {} }, Streams)
  for name, generator in pairs(generators) do
    self.seeds[name] = generator:integer(BITS)
    self.after[name] = generator:state()
  end
  return self
end
