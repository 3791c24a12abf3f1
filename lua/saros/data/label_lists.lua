--- Sequences by label, as files or scripts have them: `{ label = { sequence, ... } }`.

local core = require "saros.core"
local options = require "saros.options"
local decode = require "saros.data.decode"
local label_table = require "saros.data.label_table"
local problem = require "saros.data.problem"
local files = require "saros.files"

local label_lists = {}

-- --- Reading ----------------------------------------------------------------------

--- The lines of a file without white space around them, and the number of those with nothing.
local function lines_of(path, o)
  local content, message = files.read(path)
  local lines, blank = {}, 0
  content = decode(content or problem.raise("%s", message), path, o.unit == "byte"):gsub("\n$", "")
  for line in (content .. "\n"):gmatch "(.-)\n" do
    local text = line:match "^%s*(.*%S)"
    lines[#lines + 1], blank = text, blank + (text and 0 or 1)
  end
  return lines, blank
end

--- A folder as lists: of each LABEL.txt, the lines by label.
local function read_folder(path, o)
  local names, message = files.names(path)
  local source, empty = {}, 0
  for _, name in ipairs(names or problem.raise("%s", message)) do
    local label = name:match "^(.+)%.txt$"
    if label then
      local lines, blank = lines_of(path .. "/" .. name, o)
      source[label], empty = #lines > 0 and lines or nil, empty + blank
    end
  end
  if not next(source) then
    problem.raise("expected files LABEL.txt with lines in %q, got none", path)
  end
  return { source = source, dropped = 0, ignored = { blank = empty, comments = 0 }, left_out = {}, taken = {},
    filled = {} }
end

--- Read a folder of files LABEL.txt, or a table. What is wrong with it is raised as
--- a problem.
---@param path string
---@param o saros.data.LabelledOptions
---@return saros.data.LabelTable
function label_lists.read(path, o)
  return (files.is_folder(path) and read_folder or label_table.read)(path, o)
end

label_lists.is_folder = files.is_folder

-- --- Checking -----------------------------------------------------------------------

local function accept_text(value)
  return type(value) == "string" and value ~= "" and value or nil
end

--- Numbers as (T, F); nil where they are none, or have other features.
local function accept_numbers(value, F)
  local ok, x = pcall(core.tensor, value)
  x = options.tensor.accept(value) or type(value) == "table" and ok and x
  if not x or x:dtype() == "ids" or x:rank() == 0 or x:count() == 0 or not x:all_finite() then
    return nil
  end
  x = x:rank() == 1 and x:reshape(-1, 1) or x
  return x:rank() == 2 and (not F or x:size(2) == F) and x or nil
end

--- A sequence that is like the first one; nil and what was expected.
local function accept(value, first)
  if not first then
    return accept_text(value) or accept_numbers(value), "text with symbols, or finite numbers (T, F) or (T)"
  elseif type(first) == "string" then
    return accept_text(value), "text with symbols"
  end
  local F = first:size(2)
  return accept_numbers(value, F), ("finite numbers of shape (T, %d)%s"):format(F, F == 1 and ", or (T)" or "")
end

--- A sequence and the weight that may stand beside it: `{ sequence, weight = 2 }`.
local function split(label, position, value)
  if type(value) ~= "table" or value.weight == nil then
    return value
  elseif not options.positive.accept(value.weight) then
    options.fail(("data.labelled: expected the weight of sequence %d of %q to be %s, got %s"):format(
      position, label, options.positive.expected, options.describe(value.weight)))
  end
  return value[1], value.weight
end

--- Note what a sequence counts. The same text cannot count this and that.
local function weigh(weights, label, sequence, weight)
  local before = weights[sequence]
  if before and before ~= (weight or 1) then
    options.fail(core.format("data.labelled: expected one weight for a text of %q that comes twice, got %g and %g",
      label, before, weight or 1))
  end
  weights[sequence] = weight or 1
end

--- The sequences of a label. Returns them, their weights, and the first of all. What became
--- a tensor is found by it in `originals`, as its numbers were more exact.
local function accept_all(label, list, first, originals)
  if type(label) ~= "string" or type(list) ~= "table" or #list == 0 then
    options.fail(("data.labelled: expected lists of sequences by label, got %s for %s"):format(
      options.describe(list), options.describe(label)))
  end
  local accepted, weights = {}, {}
  for position, value in options.each(list) do
    local given, weight = split(label, position, value)
    local sequence, expected = accept(given, first)
    if not sequence then
      options.fail(("data.labelled: expected sequence %d of %q to be %s, got %s"):format(
        position, label, expected, options.describe(given)))
    end
    weigh(weights, label, sequence, weight)
    accepted[position], first = sequence, first or sequence
    originals[sequence] = type(given) == "table" and given or nil
  end
  return accepted, weights, first
end

--- Check lists by label.
---@param source table
---@return string[] labels  sorted
---@return table<string, (string|saros.Tensor)[]> accepted  texts, or numbers (T, F)
---@return boolean are_texts
---@return table<saros.Tensor, table> originals  the lists that became tensors
---@return table<string, table<string|saros.Tensor, number>> weights  of the sequences, by label
function label_lists.check(source)
  local labels, accepted, originals, weights, first = {}, {}, {}, {}, nil
  for label in pairs(source) do
    labels[#labels + 1] = label
  end
  if #labels == 0 then
    options.fail("data.labelled: expected lists of sequences by label, got an empty table")
  end
  table.sort(labels, function(a, b)
    return tostring(a) < tostring(b)
  end)
  for _, label in ipairs(labels) do
    accepted[label], weights[label], first = accept_all(label, source[label], first, originals)
  end
  return labels, accepted, type(first) == "string", originals, weights
end

return label_lists
