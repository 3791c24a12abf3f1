--- Ids to vectors: row `id` of a table.

local core = require "saros.core"
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local module = require "saros.nn.module"
local steps = require "saros.nn.steps"

---@class saros.nn.Embedding: saros.nn.Module
---@field weight saros.Tensor  (V, E)
local Embedding = module.class "embedding"
Embedding.looks_up = true -- and multiplies nothing
Embedding.gives_rows = true
Embedding.hides_padding = true

local check = options.declare("nn.embedding", {
  { "symbols", options.size },
  { "size", options.size },
}, 2)

--- Ids behind the end of a row may be any; their vectors are zeros.
---@param ids saros.Tensor  ids of any shape S, each in 1..V; (T, B) with lengths or a mask
---@param _? nil  it has no state
---@param given? saros.nn.StepOptions
---@return saros.Tensor  (S..., E)
function Embedding:forward(ids, _, given)
  local walk = given and options.about(self.kind, steps.of, given, ids)
  local mask = walk and walk.mask
  if not mask then
    return core.embedding(self.weight, ids)
  end
  local vectors <close> = core.embedding(self.weight, steps.hide(ids, mask))
  return steps.hide(vectors, mask)
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
