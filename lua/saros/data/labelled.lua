--- Sequences with a label each, such as names by language: what a network
--- learns to tell (many-to-one), or to write for a label (one-to-many).
---
---     local set = data.labelled("surnames", { valid = 0.2 })     -- Czech.txt, Dutch.txt, ...
---     local set = data.labelled("reviews.csv", { text = "review", label = "stars" })
---     local set = data.labelled { wave = { { { 0.1, 0.9 }, ... }, ... }, rest = { ... } } -- rows of numbers
---     local set = data.labelled("steps.csv", { id = "walk", features = { "x", "y", "z" }, label = "activity" })
---     for batch in set:batches { batch = 64, seed = epoch } do ... end

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local batches = require "saros.data.batches"
local columns = require "saros.data.columns"
local problem = require "saros.data.problem"
local dates = require "saros.data.dates"
local gaps = require "saros.data.gaps"
local label_lists = require "saros.data.label_lists"
local order = require "saros.data.order"
local padding = require "saros.data.padding"
local remarks = require "saros.data.remarks"
local scale = require "saros.data.scale"
local share = require "saros.data.share"
local tables = require "saros.data.table"
local vocabulary = require "saros.data.vocabulary"

---@class saros.Labelled
---@field labels string[]  label id -> name, sorted
---@field vocabulary saros.Vocabulary?  of texts
---@field features saros.Scale?  of sequences of numbers, fitted on the training part
---@field train saros.data.LabelledPart
---@field valid saros.data.LabelledPart  held out: the same share of each label
---@field left_out saros.data.LeftOut[]  columns of a table that are not read
---@field taken saros.data.LeftOut[]  columns of a table that are read, and as what
---@field dropped integer  rows of a table that `missing = "skip"` left out
---@field ignored { blank: integer, comments: integer }  lines
---@field filled table<string, integer>  numbers that `missing` put in, by column
---@field repeated integer  texts that came again under their label
---@field lone string[]  labels with one sequence, of which none is held out
---@field shuffled boolean  true: for training, the sequences are to come in a random order
local Labelled = { shuffled = true }
spelling.methods(Labelled, "saros.Labelled")

---@class saros.data.LabelledPart
---@field [integer] saros.LabelledSequence
local Part = {}
spelling.methods(Part, "saros.LabelledPart")

local function are_all_one(weights)
  for _, weight in ipairs(weights) do
    if weight ~= 1 then
      return false
    end
  end
  return true
end

--- A number that tells these sequences, labels and weights from others.
---@return integer|string
function Part:digest()
  local lists, rows, weights = {}, {}, {}
  for n, sequence in ipairs(self) do
    lists[2 * n - 1], lists[2 * n] = sequence.ids or { sequence.length }, { sequence.label }
    rows[n], weights[n] = sequence.rows, sequence.weight
  end
  local digest = rows[1] and ("%s %s"):format(batches.digest(lists), core.concatenate(rows, 1):digest())
    or batches.digest(lists)
  return are_all_one(weights) and digest or ("%s %s"):format(digest, core.tensor(weights):digest())
end

---@class saros.LabelledSequence
---@field text string?
---@field ids integer[]?  the symbols of the text, at least one
---@field values saros.Tensor?  (T, F): numbers in their own units
---@field rows saros.Tensor?  (T, F): the same, scaled
---@field length integer
---@field label integer  in 1..#labels
---@field weight number  what it counts in training, > 0 (1)

--- B sequences side by side. What lies behind the length of a row is never looked at.
---@class saros.LabelledBatch: saros.data.Batch
---@field inputs saros.Tensor  ids (T, B), or numbers (T, B, F)
---@field lengths integer[]  B of them, each in 1..T
---@field labels saros.Tensor  ids (B)
---@field weights saros.Tensor?  (B), where one of them is not 1
---@field sequences saros.LabelledSequence[]  B of them

local check_labelled = options.declare("data.labelled", tables.with_options(vocabulary.with_unit {
  { "valid", options.fraction, 0.1 },
  { "seed", options.integer, 1 },
  { "vocabulary", options.optional(vocabulary.kind) },
  { "text", options.optional(columns.kind) },
  { "label", options.optional(columns.kind) },
  { "id", options.optional(columns.kind) },
  { "weight", options.optional(columns.kind) },
  { "time", options.optional(columns.kind) },
  { "format", options.optional(dates.kind) },
  { "missing", options.one_of(gaps.policies), "error" },
  { "parse", columns.parsers, {} },
  { "scale", options.one_of(scale.kinds), "standard" },
  { "features", options.optional(options.kind("a scale, or columns by name or number", function(value)
    return scale.kind.accept(value) or columns.list.accept(value)
  end)) },
}))

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
      sequence.ids = options.about("data.labelled", self.vocabulary.whole, self.vocabulary, sequence.text):totable()
      sequence.length = #sequence.ids
    end
  end
end

--- The columns of lists of rows, as lists.
local function columns_of(lists, F)
  local columns_of_all = {}
  for feature = 1, F do
    local column = {}
    for _, steps in ipairs(lists) do
      for _, step in ipairs(steps) do
        column[#column + 1] = type(step) == "table" and step[feature] or step
      end
    end
    columns_of_all[feature] = column
  end
  return columns_of_all
end

--- The scale of the training part, in double where its numbers came as lists.
local function fit_scale(self, o, names, originals)
  local rows, lists = {}, {}
  for n, sequence in ipairs(self.train) do
    rows[n], lists[#lists + 1] = sequence.values, originals[sequence.values]
  end
  if not names then
    names = {}
    for feature = 1, rows[1]:size(2) do
      names[feature] = tostring(feature)
    end
  end
  if #lists < #rows then
    return scale.fit(core.concatenate(rows, 1), names, o.scale)
  end
  local values = columns_of(lists, #names)
  return scale.fit_columns(values, 1, #values[1], names, o.scale)
end

--- Numbers become those of a scale.
local function apply_scale(self, o, names, originals)
  self.features = scale.kind.accept(o.features) or fit_scale(self, o, names, originals)
  for _, part in ipairs { self.train, self.valid } do
    for _, sequence in ipairs(part) do
      sequence.rows = self.features:read("data.labelled", sequence.values, originals[sequence.values])
      sequence.length = sequence.rows:size(1)
    end
  end
end

---@class saros.data.LabelledOptions: saros.data.UnitOptions
---@field valid? number  the fraction of each label that is held out (0.1)
---@field seed? integer  of the choice (1)
---@field vocabulary? saros.Vocabulary  instead of one learned from the texts
---@field text? string|integer  of a table: the column of the texts ("text", or the first of two)
---@field label? string|integer  of a table: that of the labels ("label", or the second of two)
---@field weight? string|integer  of a table: the column of what each sequence counts in training, > 0 (1)
---@field id? string|integer  of a table of numbers: the column that says which rows are one sequence
---@field features? saros.Scale|(string|integer)[]  of numbers: of a table the columns that are read, by name or
---  number; or a scale, which has their names, instead of one fitted on the training part
---@field time? string|integer  of a table of numbers: the column that orders the rows of a sequence (as in the file)
---@field format? string  of the times, as strftime has it
---@field missing? "error"|"previous"|"interpolate"|"skip"  of a table, where a number is missing: an error, the one
---  before, a line to the one behind, both within a sequence, or the row left out; where a text or label is: an
---  error, or the row left out ("error")
---@field parse? table<string|integer, fun(text: string): number?>  for features that are no numbers; nil: missing
---@field scale? "standard"|"minmax"|"none"  of numbers: to mean 0 and deviation 1, or to 0..1 ("standard")

-- Options that only tables have, beside those of all of them.
local OF_TABLES = { "text", "label", "id", "weight", "time", "format", "missing", "parse" }

--- Sequences by label from a folder, a table or a script, and what is known of them.
local function read(source, o, given)
  local is_path = type(source) == "string"
  if not is_path or label_lists.is_folder(source) then
    tables.refuse_options("data.labelled", given, OF_TABLES, is_path and "a folder" or "sequences from a script")
  end
  if is_path then
    return label_lists.read(source, o)
  elseif type(source) ~= "table" then
    options.fail("data.labelled: expected a folder, a file or a table, got " .. options.describe(source))
  elseif o.features and not scale.kind.accept(o.features) then
    options.fail("data.labelled: expected option 'features' to be a scale for sequences from a script, got a list")
  end
  return { source = source, dropped = 0, ignored = { blank = 0, comments = 0 }, left_out = {}, taken = {},
    filled = {} }
end

--- Each label's sequences in both parts.
local function split(self, accepted, weights, field, o)
  local generator = core.generator(o.seed)
  for id, label in ipairs(self.labels) do
    local list = order.shuffled(order.once(accepted[label]), generator)
    local kept = #list - share.held_out(#list, o.valid)
    for position, sequence in ipairs(list) do
      local part = position <= kept and self.train or self.valid
      part[#part + 1] = { [field] = sequence, label = id, weight = weights[label][sequence] }
    end
    self.repeated = self.repeated + #accepted[label] - #list
    if o.valid > 0 and kept == #list then
      self.lone[#self.lone + 1] = label
    end
  end
end

local function build(source, o, given)
  local found = read(source, o, given)
  local labels, accepted, are_texts, originals, weights = label_lists.check(found.source)
  local self = setmetatable({ labels = labels, train = setmetatable({}, Part), valid = setmetatable({}, Part),
    dropped = found.dropped, ignored = found.ignored, left_out = found.left_out, taken = found.taken,
    filled = found.filled, repeated = 0, lone = {} }, Labelled)
  split(self, accepted, weights, are_texts and "text" or "values", o)
  if are_texts then
    encode(self, accepted, o)
  else
    apply_scale(self, o, found.names, originals)
  end
  return self
end

--- Take in labelled texts, or sequences of numbers. A text that comes twice under a label counts once, so
--- that none is both learned and held out under it. `{ sequence, weight = 2 }` in place of a sequence
--- makes it count twice in training. What cannot be read gives
--- nil and a message.
---@param source string|table<string, (string|saros.Tensor|number[]|number[][])[]>  a folder with a file LABEL.txt
---  for each label, a text on each line; a CSV or TSV file; or lists by label: of texts, or of numbers, (T, F) or (T)
---@param given? saros.data.LabelledOptions
---@return saros.Labelled? set, string? message
local function labelled(source, given)
  local o = check_labelled(given)
  local set, message = problem.try(build, source, o, given)
  if not set and type(source) == "table" then
    options.fail("data.labelled: " .. message)
  end
  return set, message and "data.labelled: " .. message
end

-- --- Batches -------------------------------------------------------------------------

--- The number of sequences, in both parts.
function Labelled:__len()
  return #self.train + #self.valid
end

function Labelled:__tostring()
  return ("labelled sequences (%d, %d of them held out; %d labels, %d %s)"):format(#self, #self.valid, #self.labels,
    #(self.vocabulary or self.features), self.vocabulary and "different symbols" or "features") .. remarks.lines {
    { "read", remarks.by_reason(self.taken) },
    { "filled", remarks.filled(self.filled) },
    { "columns left out", remarks.by_reason(self.left_out) },
    { "dropped", remarks.counts { { self.dropped, "row with a gap", "rows with gaps" },
      { self.repeated, "repeated text", "repeated texts" }, { self.ignored.blank, "blank line", "blank lines" },
      { self.ignored.comments, "comment", "comments" } } },
    { "labels of one sequence, not held out", self.lone },
  }
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
  local list, labels, weights = {}, {}, {}
  for row, sequence in ipairs(sequences) do
    list[row], labels[row], weights[row] = sequence.ids or sequence.rows, sequence.label, sequence.weight
  end
  local inputs, lengths = (sequences[1].ids and padding.pad or padding.pad_rows)(list)
  return { inputs = inputs, lengths = lengths, labels = core.ids(labels), sequences = sequences,
    weights = not are_all_one(weights) and core.tensor(weights) or nil,
    symbols = batches.sum(lengths), answers = #sequences }
end

--- Weights of the labels by which each counts as much as any other in training, as
--- `nn.classifier { class_weights = ... }` takes them: N / (K n) for a label with n of the
--- N sequences in the training part, those of weight 2 counting as two. K is the number of
--- labels.
---@return number[]  in the order of the labels
function Labelled:class_weights()
  local sums, all, weights = {}, 0, {}
  for _, sequence in ipairs(self.train) do
    sums[sequence.label], all = (sums[sequence.label] or 0) + sequence.weight, all + sequence.weight
  end
  for id, label in ipairs(self.labels) do
    if not sums[id] then
      options.fail(("class_weights: expected each label in the training part, got no sequence of %q"):format(label))
    end
    weights[id] = all / (#self.labels * sums[id])
  end
  return weights
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
