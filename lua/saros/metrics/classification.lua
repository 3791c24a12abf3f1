--- How often answers are right, by label.

local core = require "saros.core"
local options = require "saros.options"
local in_columns = require "saros.metrics.columns"

---@class saros.metrics.Class
---@field label string
---@field count integer  of answers that should have been this label
---@field precision number?  the share of answers of this label that are right; 0 where there are none
---@field recall number?  the share of this label's cases that got it; 0 where there are none
---@field f1 number?  2 right / (answers + cases), the harmonic mean of the two. All three are nil
---  where a label has neither cases nor answers: nothing is known of it

---@class saros.metrics.Classification
---@field confusion { labels: string[], counts: integer[][] }  counts[true label][answer]
---@field count integer
---@field accuracy number?  the share of right answers; nil if there are none
---@field macro_f1 number?  the mean of f1 over the labels that have cases or answers
---@field classes saros.metrics.Class[]  in the order of the labels
local Classification = {}
Classification.__index = Classification
Classification.__name = "saros.metrics.Classification"

local function share_of(part, whole)
  return whole > 0 and part / whole or 0
end

local function class_of(label, right, cases, told)
  if cases + told == 0 then
    return { label = label, count = 0 }
  end
  return { label = label, count = cases, precision = share_of(right, told), recall = share_of(right, cases),
    f1 = 2 * right / (cases + told) }
end

--- For each label the sums of its line and of its column.
local function sums_of(counts)
  local cases, told = {}, {}
  for truth in ipairs(counts) do
    cases[truth], told[truth] = 0, 0
  end
  for truth, line in ipairs(counts) do
    for guess, count in ipairs(line) do
      cases[truth], told[guess] = cases[truth] + count, told[guess] + count
    end
  end
  return cases, told
end

local classification = {}

--- The figures of a confusion matrix.
---@param labels string[]
---@param counts integer[][]  counts[true label][answer]
---@return saros.metrics.Classification
function classification.of_counts(labels, counts)
  local cases, told = sums_of(counts)
  local classes, all, right, f1, known = {}, 0, 0, 0, 0
  for id, label in ipairs(labels) do
    local class = class_of(label, counts[id][id], cases[id], told[id])
    classes[id], all, right = class, all + cases[id], right + counts[id][id]
    if class.f1 then
      f1, known = f1 + class.f1, known + 1
    end
  end
  return setmetatable({
    confusion = { labels = labels, counts = counts },
    count = all,
    accuracy = all > 0 and right / all or nil,
    macro_f1 = known > 0 and f1 / known or nil,
    classes = classes,
  }, Classification)
end

local function figure(value)
  return value and core.format("%.3f", value) or "-"
end

function Classification:__tostring()
  local rows = { { "label", "precision", "recall", "F1", "count" } }
  for n, class in ipairs(self.classes) do
    rows[n + 1] = { core.format("%s", class.label), figure(class.precision), figure(class.recall), figure(class.f1),
      tostring(class.count) }
  end
  return ("%s\naccuracy %s, macro F1 %s, of %d"):format(in_columns(rows), figure(self.accuracy),
    figure(self.macro_f1), self.count)
end

local function is_before(a, b)
  if type(a) == "number" and type(b) == "number" then
    return a < b
  end
  return core.format("%s", a) < core.format("%s", b)
end

--- The labels that occur in lists, sorted.
local function occurring(...)
  local labels, seen = {}, {}
  for _, list in ipairs { ... } do
    for _, label in ipairs(list) do
      labels[#labels + 1], seen[label] = not seen[label] and label or nil, true
    end
  end
  table.sort(labels, is_before)
  return labels
end

local function is_label(value)
  return type(value) == "string" or type(value) == "number" and value == value
end

--- The labels of a list, or of a tensor of ids, which are places among the labels where
--- these are given.
local function read_labels(name, given, labels)
  local is_tensor, read = options.tensor.accept(given) ~= nil, {}
  for n, value in options.each(is_tensor and given:totable() or given) do
    read[n] = value
    if is_tensor and labels then
      read[n] = labels[value]
    end
    if not is_label(read[n]) then
      options.fail(("metrics.classification: expected %s in %s, got %s at position %d"):format(
        labels and "one of the labels" or "strings or numbers", name, options.describe(value), n))
    end
  end
  return read
end

--- Where each label is among the labels.
local function places_of(labels)
  local places = {}
  for id, label in options.each(labels) do
    if not is_label(label) or places[label] then
      options.fail(("metrics.classification: expected option 'labels' to be strings or numbers, each once, got %s at "
        .. "position %d"):format(options.describe(label), id))
    end
    places[label] = id
  end
  return places
end

--- A confusion matrix of zeros.
---@param size integer
---@return integer[][]
function classification.zeros(size)
  local counts = {}
  for truth = 1, size do
    counts[truth] = {}
    for guess = 1, size do
      counts[truth][guess] = 0
    end
  end
  return counts
end

local check_classification = options.declare("metrics.classification", {
  { "labels", options.optional(options.table) },
})

local answers = options.kind("labels, as a list or ids (N)", function(value)
  return type(value) == "table" and value or options.tensor.accept(value) and value:dtype() == "ids"
    and value:rank() == 1 and value or nil
end)

local function place_of(places, name, list, n)
  return places[list[n]] or options.fail(
    ("metrics.classification: expected one of the labels in %s, got %s at position %d"):format(
      name, options.describe(list[n]), n))
end

--- How often answers are right, by label: precision, recall and F1 of each, the accuracy,
--- and the macro F1. Print it, or read its fields.
---@param truth (string|integer)[]|saros.Tensor  labels, or ids (N)
---@param predicted (string|integer)[]|saros.Tensor  as many
---@param given? { labels?: (string|integer)[] }  all there are, in their order, which is that of ids (those that
---  occur, sorted)
---@return saros.metrics.Classification
function classification.of_lists(truth, predicted, given)
  options.argument("metrics.classification", 1, answers, truth)
  options.argument("metrics.classification", 2, answers, predicted)
  local o = check_classification(given)
  truth, predicted = read_labels("truth", truth, o.labels), read_labels("predicted", predicted, o.labels)
  if #truth ~= #predicted then
    options.fail(("metrics.classification: expected as many answers as true labels, %d, got %d"):format(
      #truth, #predicted))
  end
  local labels = o.labels or occurring(truth, predicted)
  local places, counts = places_of(labels), classification.zeros(#labels)
  for n = 1, #truth do
    local line, guess = counts[place_of(places, "truth", truth, n)], place_of(places, "predicted", predicted, n)
    line[guess] = line[guess] + 1
  end
  return classification.of_counts(labels, counts)
end

return classification
