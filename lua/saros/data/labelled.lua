--- Sequences with a label each, such as names by language: what a network
--- learns to tell (many-to-one), or to write for a label (one-to-many).
---
---     local set = data.labelled("surnames", { valid = 0.2 })     -- Czech.txt, Dutch.txt, ...
---     local set = data.labelled("reviews.csv", { text = "review", label = "stars" })
---     for batch in set:batches { batch = 64, seed = epoch } do ... end

local core = require "saros.core"
local options = require "saros.options"
local batches = require "saros.data.batches"
local columns = require "saros.data.columns"
local csv = require "saros.data.csv"
local folder_of = require "saros.folder"
local order = require "saros.data.order"
local pad = require("saros.data.padding").pad
local read_file = require "saros.read_file"
local vocabulary = require "saros.data.vocabulary"

---@class saros.Labelled
---@field labels string[]  label id -> name, sorted
---@field vocabulary saros.Vocabulary
---@field train saros.data.LabelledPart
---@field valid saros.data.LabelledPart  held out: the same share of each label
---@field shuffled boolean  true: for training, the sequences are to come in a random order
local Labelled = { shuffled = true }
Labelled.__index = Labelled
Labelled.__name = "saros.Labelled"

---@class saros.data.LabelledPart
---@field [integer] saros.LabelledSequence
local Part = {}
Part.__index = Part

--- A number that tells these sequences and labels from others.
---@return integer
function Part:digest()
  local lists = {}
  for _, sequence in ipairs(self) do
    lists[#lists + 1], lists[#lists + 2] = sequence.ids, { sequence.label }
  end
  return batches.digest(lists)
end

---@class saros.LabelledSequence
---@field text string
---@field ids integer[]  its symbols, at least one
---@field label integer  in 1..#labels

--- B sequences side by side. What lies behind the length of a row is never looked at.
---@class saros.LabelledBatch: saros.data.Batch
---@field inputs saros.Tensor  ids (T, B)
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
})

local check_batches = options.declare("labelled:batches", {
  { "batch", options.size, 64 },
  { "part", options.one_of { "train", "valid" }, "train" },
  { "first", options.size, 1 },
  { "seed", options.optional(options.integer) },
})

-- --- Reading ----------------------------------------------------------------------

--- The lines of a file without white space around them; none is empty.
local function lines_of(path)
  local content, message = read_file(path)
  if not content then
    csv.problem("%s", message)
  end
  local lines = {}
  for line in content:gmatch "[^\n]+" do
    lines[#lines + 1] = line:match "^%s*(.*%S)"
  end
  return lines
end

--- A folder as lists: of each LABEL.txt, the lines by label.
local function read_folder(path)
  local names, message = folder_of.names(path)
  local source = {}
  for _, name in ipairs(names or csv.problem("%s", message)) do
    local label = name:match "^(.+)%.txt$"
    if label then
      local lines = lines_of(path .. "/" .. name)
      source[label] = #lines > 0 and lines or nil
    end
  end
  return next(source) and source
    or csv.problem("expected files LABEL.txt with lines in %q, got none", path)
end

--- A table as lists: the texts of one column by what another one has.
local function read_table(path, o)
  local content = csv.read(path)
  local place = { name = path, content = content, header = o.header,
    separator = o.separator or csv.separator(content) }
  columns.survey(place)
  local text_at, label_at = columns.find(place, o.text), columns.find(place, o.label)
  local source = {}
  for fields, line in columns.records(place) do
    local text, label = fields[text_at], fields[label_at]
    for _, position in ipairs { text_at, label_at } do
      if fields[position] == "" then
        csv.problem("%s, line %d, column %d (%s): expected some text, got none", path, line, position,
          place.names[position])
      end
    end
    source[label] = source[label] or {}
    table.insert(source[label], text)
  end
  return next(source) and source or csv.problem("%s: expected rows of texts and labels, got none", path)
end

local function check_texts(label, texts)
  if type(label) ~= "string" or type(texts) ~= "table" or #texts == 0 then
    options.fail(("data.labelled: expected lists of texts by label, got %s for %s"):format(
      options.describe(texts), options.describe(label)))
  end
  for position, text in ipairs(texts) do
    if type(text) ~= "string" or text == "" then
      options.fail(("data.labelled: expected text %d of %q to be a string with symbols, got %s"):format(
        position, label, options.describe(text)))
    end
  end
end

--- The labels of a checked source, sorted.
local function labels_of(source)
  local labels = {}
  for label, texts in pairs(source) do
    check_texts(label, texts)
    labels[#labels + 1] = label
  end
  if #labels == 0 then
    options.fail("data.labelled: expected lists of texts by label, got an empty table")
  end
  table.sort(labels)
  return labels
end

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

---@class saros.data.LabelledOptions: saros.data.UnitOptions
---@field valid? number  the fraction of each label that is held out (0.1)
---@field seed? integer  of the choice (1)
---@field vocabulary? saros.Vocabulary  instead of one learned from the texts
---@field text? string|integer  of a table: the column of the texts, by name or number (1)
---@field label? string|integer  of a table: that of their labels (2)
---@field separator? string  of a table (the commonest of , ; tab | in the first line)
---@field header? boolean  of a table: does the first line name the columns? (true)

--- Take in labelled texts. One that comes twice under a label counts once, so
--- that none is both learned and held out under it. What cannot be read gives
--- nil and a message.
---@param source string|table<string, string[]>  a folder with a file LABEL.txt for each
---  label, a text on each line; a CSV or TSV file; or lists of texts by label
---@param given? saros.data.LabelledOptions
---@return saros.Labelled? set, string? message
local function labelled(source, given)
  local o = check_labelled(given)
  if type(source) == "string" then
    local read, message = csv.try(folder_of.is_there(source) and read_folder or read_table, source, o)
    if not read then
      return nil, "data.labelled: " .. message
    end
    source = read
  elseif type(source) ~= "table" then
    options.fail("data.labelled: expected a folder, a file or a table, got " .. options.describe(source))
  end
  local labels, generator = labels_of(source), core.generator(o.seed)
  local known = o.vocabulary or vocabulary_of(labels, source, o)
  local self = { labels = labels, vocabulary = known, train = setmetatable({}, Part), valid = setmetatable({}, Part) }
  for id, label in ipairs(labels) do
    local texts = order.shuffled(order.once(source[label]), generator)
    local kept = #texts - math.floor(#texts * o.valid)
    for position, text in ipairs(texts) do
      local part = position <= kept and self.train or self.valid
      part[#part + 1] = { text = text, ids = options.about("data.labelled", known.encode, known, text), label = id }
    end
  end
  return setmetatable(self, Labelled)
end

-- --- Batches -------------------------------------------------------------------------

--- The number of sequences, in both parts.
function Labelled:__len()
  return #self.train + #self.valid
end

function Labelled:__tostring()
  return ("labelled sequences (%d, %d of them held out; %d labels, %d different symbols)"):format(
    #self, #self.valid, #self.labels, #self.vocabulary)
end

--- Sequences from short to long, those of one length in the order that they have.
local function by_length(list)
  local ranked, rank = table.move(list, 1, #list, 1, {}), {}
  for position, sequence in ipairs(list) do
    rank[sequence] = position
  end
  table.sort(ranked, function(a, b)
    if #a.ids ~= #b.ids then
      return #a.ids < #b.ids
    end
    return rank[a] < rank[b]
  end)
  return ranked
end

---@return saros.LabelledBatch
local function batch_of(sequences)
  local ids, labels = {}, {}
  for row, sequence in ipairs(sequences) do
    ids[row], labels[row] = sequence.ids, sequence.label
  end
  local inputs, lengths = pad(ids)
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
