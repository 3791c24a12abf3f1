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
    rows[n + 1] = { tostring(class.label), figure(class.precision), figure(class.recall), figure(class.f1),
      tostring(class.count) }
  end
  return ("%s\naccuracy %s, macro F1 %s, of %d"):format(in_columns(rows), figure(self.accuracy),
    figure(self.macro_f1), self.count)
end

--- Labels in the order in which a page lists them, each with its place.
local function labels_of(truth, predicted, given)
  local labels, places = table.move(given or {}, 1, given and #given or 0, 1, {}), {}
  for id, label in ipairs(labels) do
    places[label] = id
  end
  for _, list in ipairs(given and {} or { truth, predicted }) do
    for _, label in ipairs(list) do
      if not places[label] then
        labels[#labels + 1], places[label] = label, true
      end
    end
  end
  if not given then
    table.sort(labels, function(a, b)
      return tostring(a) < tostring(b)
    end)
    for id, label in ipairs(labels) do
      places[label] = id
    end
  end
  return labels, places
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

local function place_of(places, name, list, n)
  return places[list[n]] or options.fail(
    ("metrics.classification: expected one of the labels in %s, got %s at position %d"):format(
      name, options.describe(list[n]), n))
end

--- How often answers are right, by label: precision, recall and F1 of each, the accuracy,
--- and the macro F1. Print it, or read its fields.
---@param truth (string|integer)[]
---@param predicted (string|integer)[]  as many
---@param given? { labels?: (string|integer)[] }  all there are, in their order (those that occur, sorted)
---@return saros.metrics.Classification
function classification.of_lists(truth, predicted, given)
  options.argument("metrics.classification", 1, options.table, truth)
  options.argument("metrics.classification", 2, options.table, predicted)
  local o = check_classification(given)
  if #truth ~= #predicted then
    options.fail(("metrics.classification: expected as many answers as true labels, %d, got %d"):format(
      #truth, #predicted))
  end
  local labels, places = labels_of(truth, predicted, o.labels)
  local counts = classification.zeros(#labels)
  for n = 1, #truth do
    local line, guess = counts[place_of(places, "truth", truth, n)], place_of(places, "predicted", predicted, n)
    line[guess] = line[guess] + 1
  end
  return classification.of_counts(labels, counts)
end

return classification
