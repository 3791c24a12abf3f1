--- Ids to vectors: row `id` of a table.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"

---@class saros.nn.Embedding: saros.nn.Module
---@field weight saros.Tensor  (V, E)
local Embedding = module.class "embedding"
Embedding.looks_up = true -- and multiplies nothing

local check = options.declare("nn.embedding", {
  { "symbols", options.size },
  { "size", options.size },
}, 2)

---@param ids saros.Tensor  ids of any shape S, each in 1..V
---@return saros.Tensor  (S..., E)
function Embedding:forward(ids)
  return core.embedding(self.weight, ids)
end

function Embedding:stages()
  return { { kind = "embedding", weight = self.weight } }
end

function Embedding:describe()
  return ("embedding %d -> %d"):format(self.weight:size(1), self.weight:size(2))
end

--- `nn.embedding { 65, 128 }`: 65 symbols, vectors of 128.
---@param given { symbols: integer, size: integer }
---@return saros.nn.Embedding
local function embedding(given)
  local o = check(given)
  local self = Embedding.new()
  self.weight = self:add_parameter("weight", { o.symbols, o.size }, initialize.normal(1))
  return self
end

return embedding
