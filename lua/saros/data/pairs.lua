--- Pairs of texts as training data for encoder-decoders: what is read and what
--- is to be written, of any two lengths.
---
---     local set = data.pairs({ { "march 3, 1987", "1987-03-03" }, ... }, { valid = 0.1 })
---     for batch in set:batches { batch = 64, seed = epoch } do ... end

local core = require "saros.core"
local from = require "saros.data.source"
local options = require "saros.options"
local spelling = require "saros.spelling"
local batches = require "saros.data.batches"
local order = require "saros.data.order"
local padding = require "saros.data.padding"
local share = require "saros.data.share"
local vocabulary = require "saros.data.vocabulary"

---@class saros.Pairs
---@field source saros.Vocabulary  of what is read
---@field target saros.Vocabulary  of what is written
---@field train saros.data.PairsPart
---@field valid saros.data.PairsPart  held out from the end of the list
---@field fraction number  that was to be held out
---@field shuffled boolean  true: for training, the pairs are to come in a random order
local Pairs = { shuffled = true }
spelling.methods(Pairs, "saros.Pairs")

---@class saros.data.PairsPart
---@field [integer] saros.Pair
local Part = {}
spelling.methods(Part, "saros.PairsPart")

--- A number that tells these pairs from others.
---@return integer
function Part:digest()
  local lists = {}
  for _, pair in ipairs(self) do
    lists[#lists + 1], lists[#lists + 2] = pair.source, pair.target
  end
  return batches.digest(lists)
end

---@class saros.Pair
---@field source integer[]  ids
---@field target integer[]  ids

--- B pairs side by side. What lies behind the length of a row is never looked at.
---@class saros.PairBatch: saros.data.Batch
---@field sources saros.Tensor  ids (S, B)
---@field source_lengths integer[]  B of them, each in 1..S
---@field targets saros.Tensor  ids (T, B)
---@field target_lengths integer[]  B of them, each in 0..T

local check_pairs = options.declare("data.pairs", vocabulary.with_unit {
  { "valid", options.fraction, 0 },
  { "source", options.optional(vocabulary.kind) },
  { "target", options.optional(vocabulary.kind) },
})

local check_batches = options.declare("pairs:batches", {
  { "batch", options.size, 64 },
  { "part", options.one_of { "train", "valid" }, "train" },
  { "first", options.size, 1 },
  { "seed", options.optional(options.integer) },
})

local function check_texts(list)
  if type(list) ~= "table" or #list == 0 then
    options.fail("data.pairs: expected a list of pairs of texts, got " .. options.describe(list))
  end
  from.check_list("data.pairs", list)
  for position, pair in options.each(list) do
    if type(pair) ~= "table" or type(pair[1]) ~= "string" or type(pair[2]) ~= "string" then
      options.fail(("data.pairs: expected pair %d to be { source, target }, two strings, got %s"):format(
        position, options.describe(pair)))
    elseif pair[1] == "" then
      options.fail(("data.pairs: expected a source in pair %d, got an empty string"):format(position))
    end
  end
end

--- The symbols of one side of the pairs.
local function vocabulary_of(list, side, o)
  local texts = {}
  for position, pair in ipairs(list) do
    texts[position] = pair[side]
  end
  return vocabulary.learn_all("data.pairs", texts, o, function(position)
    return ("pair %d"):format(position)
  end)
end

---@class saros.data.PairsOptions: saros.data.UnitOptions
---@field valid? number  the fraction held out from the end of the list (0)
---@field source? saros.Vocabulary  of what is read, instead of one learned from it
---@field target? saros.Vocabulary  of what is written, instead of one learned from it

--- Take in pairs of texts.
---@param list { [1]: string, [2]: string }[]  { source, target }, no source being empty
---@param given? saros.data.PairsOptions
---@return saros.Pairs
local function new(list, given)
  local o = check_pairs(given)
  check_texts(list)
  local self = setmetatable({
    source = o.source or vocabulary_of(list, 1, o),
    target = o.target or vocabulary_of(list, 2, o),
    train = setmetatable({}, Part),
    valid = setmetatable({}, Part),
    fraction = o.valid,
  }, Pairs)
  local kept = #list - share.held_out(#list, o.valid)
  for position, pair in ipairs(list) do
    local part = position <= kept and self.train or self.valid
    local owner = ("data.pairs: pair %d"):format(position)
    part[#part + 1] = {
      source = options.about(owner, self.source.whole, self.source, pair[1]):totable(),
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
  return ("pairs (%d, %s; %s -> %s)"):format(
    #self, share.description(#self.valid, self.fraction), self.source, self.target)
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
  batch.answers = batches.sum(batch.target_lengths) + #list -- each has an end
  batch.symbols = batches.sum(batch.source_lengths) + batch.answers
  return batch
end

--- Iterate over batches, once through a part; the last may be smaller.
---@param given? { batch?: integer, part?: "train"|"valid", first?: integer, seed?: integer }
---  batch: B (64); first: the batch to begin with (1); seed: of a random order; without it, the
---  order of the list
---@return fun(): saros.PairBatch?
function Pairs:batches(given)
  local o = check_batches(given)
  local part = self[o.part]
  part = o.seed and order.shuffled(part, core.generator(o.seed)) or part
  return batches.each(batches.cut(part, o.batch), o.first, batch_of)
end

return new
