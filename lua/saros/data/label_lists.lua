--- Sequences by label, as files or scripts have them: `{ label = { sequence, ... } }`.

local core = require "saros.core"
local options = require "saros.options"
local columns = require "saros.data.columns"
local csv = require "saros.data.csv"
local folder_of = require "saros.folder"

local label_lists = {}

-- --- Reading ----------------------------------------------------------------------

--- The lines of a file without white space around them; none is empty.
local function lines_of(path)
  local content, lines = csv.read(path), {}
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
  local text_at, label_at = columns.find(place, o.text, "text"), columns.find(place, o.label, "label")
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

--- Read a folder of files LABEL.txt, or a table. A problem is one of csv.try.
---@param path string
---@param o { text: string|integer, label: string|integer, separator?: string, header: boolean }  of a table
---@return table<string, string[]>
function label_lists.read(path, o)
  return (folder_of.is_there(path) and read_folder or read_table)(path, o)
end

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

--- The sequences of a label. Returns them and the first of all.
local function accept_all(label, list, first)
  if type(label) ~= "string" or type(list) ~= "table" or #list == 0 then
    options.fail(("data.labelled: expected lists of sequences by label, got %s for %s"):format(
      options.describe(list), options.describe(label)))
  end
  local accepted = {}
  for position, value in options.each(list) do
    local sequence, expected = accept(value, first)
    if not sequence then
      options.fail(("data.labelled: expected sequence %d of %q to be %s, got %s"):format(
        position, label, expected, options.describe(value)))
    end
    accepted[position], first = sequence, first or sequence
  end
  return accepted, first
end

--- Check lists by label.
---@param source table
---@return string[] labels  sorted
---@return table<string, (string|saros.Tensor)[]> accepted  texts, or numbers (T, F)
---@return boolean are_texts
function label_lists.check(source)
  local labels, accepted, first = {}, {}, nil
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
    accepted[label], first = accept_all(label, source[label], first)
  end
  return labels, accepted, type(first) == "string"
end

return label_lists
