--- Sequences with a label each, such as names by language: what a network
--- learns to tell (many-to-one), or to write for a label (one-to-many).
---
---     local set = data.labelled("surnames", { valid = 0.2 })     -- Czech.txt, Dutch.txt, ...
---     local set = data.labelled("reviews.csv", { text = "review", label = "stars" })
---     local set = data.labelled { wave = { { { 0.1, 0.9 }, ... }, ... }, rest = { ... } } -- rows of numbers
---     for batch in set:batches { batch = 64, seed = epoch } do ... end

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local batches = require "saros.data.batches"
local columns = require "saros.data.columns"
local csv = require "saros.data.csv"
local label_lists = require "saros.data.label_lists"
local order = require "saros.data.order"
local padding = require "saros.data.padding"
local scale = require "saros.data.scale"
local share = require "saros.data.share"
local vocabulary = require "saros.data.vocabulary"

---@class saros.Labelled
---@field labels string[]  label id -> name, sorted
---@field vocabulary saros.Vocabulary?  of texts
---@field features saros.Scale?  of sequences of numbers, fitted on the training part
---@field train saros.data.LabelledPart
---@field valid saros.data.LabelledPart  held out: the same share of each label
---@field shuffled boolean  true: for training, the sequences are to come in a random order
local Labelled = { shuffled = true }
spelling.methods(Labelled, "saros.Labelled")

---@class saros.data.LabelledPart
---@field [integer] saros.LabelledSequence
local Part = {}
spelling.methods(Part, "saros.LabelledPart")

--- A number that tells these sequences and labels from others.
---@return integer|string
function Part:digest()
  local lists, rows = {}, {}
  for n, sequence in ipairs(self) do
    lists[2 * n - 1], lists[2 * n] = sequence.ids or { sequence.length }, { sequence.label }
    rows[n] = sequence.rows
  end
  return rows[1] and ("%s %s"):format(batches.digest(lists), core.concatenate(rows, 1):digest())
    or batches.digest(lists)
end

---@class saros.LabelledSequence
---@field text string?
---@field ids integer[]?  the symbols of the text, at least one
---@field values saros.Tensor?  (T, F): numbers in their own units
---@field rows saros.Tensor?  (T, F): the same, scaled
---@field length integer
---@field label integer  in 1..#labels

--- B sequences side by side. What lies behind the length of a row is never looked at.
---@class saros.LabelledBatch: saros.data.Batch
---@field inputs saros.Tensor  ids (T, B), or numbers (T, B, F)
---@field lengths integer[]  B of them, each in 1..T
---@field labels saros.Tensor  ids (B)
---@field sequences saros.LabelledSequence[]  B of them

local check_labelled = options.declare("data.labelled", vocabulary.with_unit {
  { "valid", options.fraction, 0.1 },
  { "seed", options.integer, 1 },
  { "vocabulary", options.optional(vocabulary.kind) },
  { "text", columns.kind, 1 },
  { "label", columns.kind, 2 },
  { "separator", options.optional(csv.separator_kind) },
  { "header", options.boolean, true },
  { "scale", options.one_of(scale.kinds), "standard" },
  { "features", options.optional(scale.kind) },
})

local check_batches = options.declare("labelled:batches", {
  { "batch", options.size, 64 },
  { "part", options.one_of { "train", "valid" }, "train" },
  { "first", options.size, 1 },
  { "seed", options.optional(options.integer) },
})

-- --- From sequences to ids or rows ----------------------------------------------------

local function vocabulary_of(labels, source, o)
  local texts, names = {}, {}
  for _, label in ipairs(labels) do
    for position, text in ipairs(source[label]) do
      texts[#texts + 1], names[#names + 1] = text, ("text %d of %q"):format(position, label)
    end
  end
  return vocabulary.learn_all("data.labelled", texts, o, function(position)
    return names[position]
  end)
end

--- Texts become ids of a vocabulary.
local function encode(self, source, o)
  self.vocabulary = o.vocabulary or vocabulary_of(self.labels, source, o)
  for _, part in ipairs { self.train, self.valid } do
    for _, sequence in ipairs(part) do
      sequence.ids = options.about("data.labelled", self.vocabulary.encode, self.vocabulary, sequence.text)
      sequence.length = #sequence.ids
    end
  end
end

--- The scale of the training part.
local function fit_scale(self, o)
  local rows, names = {}, {}
  for n, sequence in ipairs(self.train) do
    rows[n] = sequence.values
  end
  for feature = 1, rows[1]:size(2) do
    names[feature] = tostring(feature)
  end
  return scale.fit(core.concatenate(rows, 1), names, o.scale)
end

--- Numbers become those of a scale.
local function apply_scale(self, o)
  self.features = o.features or fit_scale(self, o)
  self.features:rows("data.labelled", self.train[1].values)
  for _, part in ipairs { self.train, self.valid } do
    for _, sequence in ipairs(part) do
      sequence.rows = self.features:apply(sequence.values)
      sequence.length = sequence.rows:size(1)
    end
  end
end

---@class saros.data.LabelledOptions: saros.data.UnitOptions
---@field valid? number  the fraction of each label that is held out (0.1)
---@field seed? integer  of the choice (1)
---@field vocabulary? saros.Vocabulary  instead of one learned from the texts
---@field text? string|integer  of a table: the column of the texts, by name or number (1)
---@field label? string|integer  of a table: that of their labels (2)
---@field separator? string  of a table (the commonest of , ; tab | in the first line)
---@field header? boolean  of a table: does the first line name the columns? (true)
---@field scale? "standard"|"minmax"|"none"  of numbers: to mean 0 and deviation 1, or to 0..1 ("standard")
---@field features? saros.Scale  of numbers, instead of a scale fitted on the training part

--- Take in labelled texts, or sequences of numbers. A text that comes twice under a label counts once, so
--- that none is both learned and held out under it. What cannot be read gives
--- nil and a message.
---@param source string|table<string, (string|saros.Tensor|number[]|number[][])[]>  a folder with a file LABEL.txt
---  for each label, a text on each line; a CSV or TSV file; or lists by label: of texts, or of numbers, (T, F) or (T)
---@param given? saros.data.LabelledOptions
---@return saros.Labelled? set, string? message
local function labelled(source, given)
  local o = check_labelled(given)
  if type(source) == "string" then
    local read, message = csv.try(label_lists.read, source, o)
    if not read then
      return nil, "data.labelled: " .. message
    end
    source = read
  elseif type(source) ~= "table" then
    options.fail("data.labelled: expected a folder, a file or a table, got " .. options.describe(source))
  end
  local labels, accepted, are_texts = label_lists.check(source)
  local generator = core.generator(o.seed)
  local self = { labels = labels, train = setmetatable({}, Part), valid = setmetatable({}, Part) }
  for id, label in ipairs(labels) do
    local list = order.shuffled(order.once(accepted[label]), generator)
    local kept = #list - share.held_out(#list, o.valid)
    for position, sequence in ipairs(list) do
      local part = position <= kept and self.train or self.valid
      part[#part + 1] = { [are_texts and "text" or "values"] = sequence, label = id }
    end
  end
  if are_texts then
    encode(self, accepted, o)
  else
    apply_scale(self, o)
  end
  return setmetatable(self, Labelled)
end

-- --- Batches -------------------------------------------------------------------------

--- The number of sequences, in both parts.
function Labelled:__len()
  return #self.train + #self.valid
end

function Labelled:__tostring()
  return ("labelled sequences (%d, %d of them held out; %d labels, %d %s)"):format(#self, #self.valid, #self.labels,
    #(self.vocabulary or self.features), self.vocabulary and "different symbols" or "features")
end

--- Sequences from short to long, those of one length in the order that they have.
local function by_length(list)
  local ranked, rank = table.move(list, 1, #list, 1, {}), {}
  for position, sequence in ipairs(list) do
    rank[sequence] = position
  end
  table.sort(ranked, function(a, b)
    if a.length ~= b.length then
      return a.length < b.length
    end
    return rank[a] < rank[b]
  end)
  return ranked
end

---@return saros.LabelledBatch
local function batch_of(sequences)
  local list, labels = {}, {}
  for row, sequence in ipairs(sequences) do
    list[row], labels[row] = sequence.ids or sequence.rows, sequence.label
  end
  local inputs, lengths = (sequences[1].ids and padding.pad or padding.pad_rows)(list)
  return { inputs = inputs, lengths = lengths, labels = core.ids(labels), sequences = sequences,
    symbols = batches.sum(lengths), answers = #sequences }
end

--- Iterate over batches, once through a part; one may be smaller. A batch has
--- sequences of similar length, so little of it is padding.
---@param given? { batch?: integer, part?: "train"|"valid", first?: integer, seed?: integer }
---  batch: B (64); first: the batch to begin with (1); seed: of a random order; without it, from
---  short to long
---@return fun(): saros.LabelledBatch?
function Labelled:batches(given)
  local o = check_batches(given)
  local part, generator = self[o.part], o.seed and core.generator(o.seed)
  local groups = batches.cut(by_length(generator and order.shuffled(part, generator) or part), o.batch)
  return batches.each(generator and order.shuffled(groups, generator) or groups, o.first, batch_of)
end

return labelled
