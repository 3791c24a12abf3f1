--- Pairs of texts as training data for encoder-decoders: what is read and what
--- is to be written, of any two lengths.
---
---     local set = data.pairs({ { "march 3, 1987", "1987-03-03" }, ... }, { valid = 0.1 })
---     for batch in set:batches { batch = 64, seed = epoch } do ... end

local core = require "saros.core"
local options = require "saros.options"
local order = require "saros.data.order"
local padding = require "saros.data.padding"
local vocabulary = require "saros.data.vocabulary"

---@class saros.Pairs
---@field source saros.Vocabulary  of what is read
---@field target saros.Vocabulary  of what is written
---@field train saros.Pair[]
---@field valid saros.Pair[]  held out from the end of the list
local Pairs = {}
Pairs.__index = Pairs
Pairs.__name = "saros.Pairs"

---@class saros.Pair
---@field source integer[]  ids
---@field target integer[]  ids

--- B pairs side by side. What lies behind the length of a row is never looked at.
---@class saros.PairBatch
---@field sources saros.Tensor  ids (S, B)
---@field source_lengths integer[]  B of them, each in 1..S
---@field targets saros.Tensor  ids (T, B)
---@field target_lengths integer[]  B of them, each in 0..T

local check_pairs = options.declare("data.pairs", {
  { "unit", options.one_of { "char", "byte" }, "char" },
  { "valid", options.fraction, 0 },
  { "source", options.optional(vocabulary.kind) },
  { "target", options.optional(vocabulary.kind) },
})

local check_batches = options.declare("pairs:batches", {
  { "batch", options.size, 64 },
  { "part", options.one_of { "train", "valid" }, "train" },
  { "seed", options.optional(options.integer) },
})

local function check_texts(list)
  if type(list) ~= "table" or #list == 0 then
    options.fail("data.pairs: expected a list of pairs of texts, got " .. options.describe(list))
  end
  for position, pair in ipairs(list) do
    if type(pair) ~= "table" or type(pair[1]) ~= "string" or type(pair[2]) ~= "string" then
      options.fail(("data.pairs: expected pair %d to be { source, target }, two strings, got %s"):format(
        position, options.describe(pair)))
    elseif pair[1] == "" then
      options.fail(("data.pairs: expected a source in pair %d, got an empty string"):format(position))
    end
  end
end

--- The symbols of one side of the pairs.
local function vocabulary_of(list, side, unit)
  if unit == "byte" then
    return vocabulary.bytes()
  end
  local texts = {}
  for position, pair in ipairs(list) do
    texts[position] = pair[side]
  end
  return vocabulary.characters(table.concat(texts))
end

--- Take in pairs of texts.
---@param list { [1]: string, [2]: string }[]  { source, target }, no source being empty
---@param given? { unit?: "char"|"byte", valid?: number, source?: saros.Vocabulary, target?: saros.Vocabulary }
---  valid: the fraction held out from the end of the list (0)
---@return saros.Pairs
local function new(list, given)
  local o = check_pairs(given)
  check_texts(list)
  local self = setmetatable({
    source = o.source or vocabulary_of(list, 1, o.unit),
    target = o.target or vocabulary_of(list, 2, o.unit),
    train = {},
    valid = {},
  }, Pairs)
  local kept = #list - math.floor(#list * o.valid)
  for position, pair in ipairs(list) do
    local part = position <= kept and self.train or self.valid
    local owner = ("data.pairs: pair %d"):format(position)
    part[#part + 1] = {
      source = options.about(owner, self.source.encode, self.source, pair[1]),
      target = options.about(owner, self.target.encode, self.target, pair[2]),
    }
  end
  return self
end

--- The number of pairs, in both parts.
function Pairs:__len()
  return #self.train + #self.valid
end

function Pairs:__tostring()
  return ("pairs (%d, %d of them held out; %s -> %s)"):format(
    #self, #self.valid, self.source, self.target)
end

--- Put pairs side by side.
---@param list saros.Pair[]
---@return saros.PairBatch
local function batch_of(list)
  local sources, targets = {}, {}
  for row, pair in ipairs(list) do
    sources[row], targets[row] = pair.source, pair.target
  end
  local batch = {}
  batch.sources, batch.source_lengths = padding.pad(sources)
  batch.targets, batch.target_lengths = padding.pad(targets)
  return batch
end

--- Iterate over batches, once through a part; the last may be smaller.
---@param given? { batch?: integer, part?: "train"|"valid", seed?: integer }
---  batch: B (64); seed: of a random order; without it, the order of the list
---@return fun(): saros.PairBatch?
function Pairs:batches(given)
  local o = check_batches(given)
  local part = self[o.part]
  part = o.seed and order.shuffled(part, core.generator(o.seed)) or part
  local last = 0
  return function()
    local rows = table.move(part, last + 1, math.min(last + o.batch, #part), 1, {})
    last = last + o.batch
    return #rows > 0 and batch_of(rows) or nil
  end
end

return new
