--- Sequences with a label each, such as names by language: what a network
--- learns to tell (many-to-one), or to write for a label (one-to-many).
---
---     local set = data.labelled("surnames", { valid = 0.2 })     -- Czech.txt, Dutch.txt, ...
---     for batch in set:batches { batch = 64, seed = epoch } do ... end

local core = require "saros.core"
local options = require "saros.options"
local order = require "saros.data.order"
local pad = require("saros.data.padding").pad
local read_file = require "saros.read_file"
local vocabulary = require "saros.data.vocabulary"

---@class saros.Labelled
---@field labels string[]  label id -> name, sorted
---@field vocabulary saros.Vocabulary
---@field train saros.LabelledSequence[]
---@field valid saros.LabelledSequence[]  held out: the same share of each label
local Labelled = {}
Labelled.__index = Labelled
Labelled.__name = "saros.Labelled"

---@class saros.LabelledSequence
---@field text string
---@field ids integer[]  its symbols, at least one
---@field label integer  in 1..#labels

--- B sequences side by side. What lies behind the length of a row is never looked at.
---@class saros.LabelledBatch
---@field inputs saros.Tensor  ids (T, B)
---@field lengths integer[]  B of them, each in 1..T
---@field labels saros.Tensor  ids (B)
---@field sequences saros.LabelledSequence[]  B of them

local check_labelled = options.declare("data.labelled", {
  { "unit", options.one_of { "char", "byte" }, "char" },
  { "valid", options.fraction, 0.1 },
  { "seed", options.integer, 1 },
  { "vocabulary", options.optional(vocabulary.kind) },
})

local check_batches = options.declare("labelled:batches", {
  { "batch", options.size, 64 },
  { "part", options.one_of { "train", "valid" }, "train" },
  { "seed", options.optional(options.integer) },
})

-- --- Reading ----------------------------------------------------------------------

--- The lines of a file without white space around them; none is empty.
local function lines_of(path)
  local content, message = read_file(path)
  if not content then
    return nil, message
  end
  local lines = {}
  for line in content:gmatch "[^\n]+" do
    lines[#lines + 1] = line:match "^%s*(.*%S)"
  end
  return lines
end

--- A folder as a table: of each LABEL.txt, the lines by label.
local function read_folder(path)
  local found, files = pcall(require, "lfs")
  if not found then
    options.fail("data.labelled: expected LuaFileSystem to be there (Debian: lua-filesystem), as "
      .. "reading a folder needs it; a table of lists needs nothing")
  elseif files.attributes(path, "mode") ~= "directory" then
    return nil, ("data.labelled: expected a folder, got %q"):format(path)
  end
  local source = {}
  for name in files.dir(path) do
    local label = name:match "^([^.].*)%.txt$"
    if label then
      local lines, message = lines_of(path .. "/" .. name)
      if not lines then
        return nil, "data.labelled: " .. message
      end
      source[label] = #lines > 0 and lines or nil
    end
  end
  if not next(source) then
    return nil, ("data.labelled: expected files LABEL.txt with lines in %q, got none"):format(path)
  end
  return source
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

local function vocabulary_of(labels, source)
  local texts = {}
  for position, label in ipairs(labels) do
    texts[position] = table.concat(source[label])
  end
  return vocabulary.characters(table.concat(texts))
end

--- Take in labelled texts. One that comes twice under a label counts once, so
--- that none is both learned and held out under it. A folder that cannot be
--- read gives nil and a message.
---@param source string|table<string, string[]>  a folder with a file LABEL.txt for each
---  label, a text on each line; or lists of texts by label
---@param given? { unit?: "char"|"byte", valid?: number, seed?: integer, vocabulary?: saros.Vocabulary }
---  valid: the fraction of each label that is held out (0.1); seed: of the choice (1)
---@return saros.Labelled? set, string? message
local function labelled(source, given)
  local o = check_labelled(given)
  local message
  if type(source) == "string" then
    source, message = read_folder(source)
    if not source then
      return nil, message
    end
  elseif type(source) ~= "table" then
    options.fail("data.labelled: expected a folder or a table, got " .. options.describe(source))
  end
  local labels, generator = labels_of(source), core.generator(o.seed)
  local known = o.vocabulary or (o.unit == "byte" and vocabulary.bytes())
    or options.about("data.labelled", vocabulary_of, labels, source)
  local self = { labels = labels, vocabulary = known, train = {}, valid = {} }
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
  return { inputs = inputs, lengths = lengths, labels = core.ids(labels), sequences = sequences }
end

--- Iterate over batches, once through a part; one may be smaller. A batch has
--- sequences of similar length, so little of it is padding.
---@param given? { batch?: integer, part?: "train"|"valid", seed?: integer }
---  batch: B (64); seed: of a random order; without it, from short to long
---@return fun(): saros.LabelledBatch?
function Labelled:batches(given)
  local o = check_batches(given)
  local part, generator = self[o.part], o.seed and core.generator(o.seed)
  local ranked, lasts = by_length(generator and order.shuffled(part, generator) or part), {}
  for last = o.batch, #part + o.batch - 1, o.batch do
    lasts[#lasts + 1] = last
  end
  lasts = generator and order.shuffled(lasts, generator) or lasts
  local index = 0
  return function()
    index = index + 1
    local last = lasts[index]
    return last and batch_of(table.move(ranked, last - o.batch + 1, math.min(last, #ranked), 1, {}))
  end
end

return labelled
