--- Sequences by label from a table. Either a row has a text and its label; or the
--- rows with one id are the steps of a sequence of numbers, which has one label.
--- Columns that could be several things are not guessed but asked for.

local columns = require "saros.data.columns"
local gaps = require "saros.data.gaps"
local numbers = require "saros.data.numbers"
local options = require "saros.options"
local problem = require "saros.data.problem"
local tables = require "saros.data.table"
local time_column = require "saros.data.time_column"
local timeline = require "saros.data.timeline"

local concat = table.concat

local label_table = {}

---@class saros.data.LabelTable
---@field source table<string, (string|number[][])[]>  sequences by label
---@field names string[]?  of the features of numbers
---@field dropped integer  rows
---@field ignored { blank: integer, comments: integer }  lines
---@field left_out saros.data.LeftOut[]
---@field taken saros.data.LeftOut[]  columns that were read, and as what
---@field filled table<string, integer>

--- The result for some sequences; `roles` says by position what a column was taken for.
local function result_of(table, source, roles)
  local left_out, taken = {}, {}
  for position, name in ipairs(table.names) do
    local list = roles[position] and taken or left_out
    list[#list + 1] = { name = name, why = roles[position] or "not asked for" }
  end
  if not next(source) then
    problem.raise("%s: expected rows of sequences and labels, got none", table.name)
  end
  return { source = source, dropped = 0, ignored = table.ignored, left_out = left_out, taken = taken, filled = {} }
end

--- A trimmed label or id; nil where nothing is.
local function trimmed(table, position, row)
  local text = numbers.trim(table.cells[position][row])
  return text ~= "" and not table.missing[text] and text or nil
end

local function refuse_nothing(table, position, row, what)
  problem.raise('%s: expected %s, got none; missing = "skip" leaves such rows out', table:place(position, row), what)
end

local function add(source, label, sequence)
  source[label] = source[label] or {}
  source[label][#source[label] + 1] = sequence
end

-- --- Texts --------------------------------------------------------------------------------

--- How many different fields a column has, and the bytes in them.
local function different(table, position)
  local seen, count, bytes = {}, 0, 0
  for _, text in ipairs(table.cells[position]) do
    if not seen[text] then
      seen[text], count, bytes = true, count + 1, bytes + #text
    end
  end
  return count, bytes
end

--- True if fields of a column are labels of those of another rather than the reverse: they are not more
--- different, and not much longer where they are as different.
local function may_label(table, label, text)
  local labels, of_labels = different(table, label)
  local texts, of_texts = different(table, text)
  return labels < texts or labels == texts and of_labels <= 2 * of_texts
end

--- The column of that name, in any case.
local function called(table, name)
  for position, other in ipairs(table.names) do
    if table.dialect.header and other:lower() == name then
      return position
    end
  end
end

--- Refuse to choose among several columns.
local function ask(table, wanted)
  problem.raise("%s: expected options that say which columns are %s, as several could be: %s", table.name, wanted,
    concat(table.names, ", "))
end

--- The columns of the texts and of their labels: those asked for, those called so,
--- or the first and second of two, where the second may be labels of the first.
local function text_and_label(table, o)
  local text = o.text and table:find(o.text, "text") or not o.text and called(table, "text")
  local label = o.label and table:find(o.label, "label") or not o.label and called(table, "label")
  if not (text and label) and #table.names == 2 then
    text, label = text or label and 3 - label or 1, label or text and 3 - text or 2
    if not (o.text or o.label) and not called(table, "text") and not called(table, "label")
      and not may_label(table, label, text) then
      ask(table, "the text and the label")
    end
  end
  if not (text and label) then
    ask(table, "the text and the label")
  end
  return text, label
end

--- All columns of a table as text, but for one of numbers.
local function read_as_text(table, weight)
  local all = {}
  for position in ipairs(table.names) do
    all[position] = position ~= weight
  end
  return table:read(all)
end

--- What the rows count, false where that is missing; nil where no column says so.
local function weights_of(table, position)
  return position and columns.understand(table, position, true).values
end

local function weight_in(table, position, weights, row)
  local weight = weights[row]
  if not options.positive.accept(weight) then
    problem.raise("%s: expected a weight, %s, got %s", table:place(position, row), options.positive.expected,
      weight and options.describe(weight) or "none")
  end
  return weight
end

local function read_texts(table, o)
  local weight_at = o.weight and table:find(o.weight, "weight")
  read_as_text(table, weight_at)
  local text_at, label_at = text_and_label(table, o)
  local weights = weights_of(table, weight_at)
  local source, dropped = {}, 0
  for row = 1, table.rows do
    local text, label = table.cells[text_at][row], trimmed(table, label_at, row)
    if trimmed(table, text_at, row) and label then
      add(source, label, weights and { text, weight = weight_in(table, weight_at, weights, row) } or text)
    elseif o.missing == "skip" then
      dropped = dropped + 1
    else
      refuse_nothing(table, label and text_at or label_at, row, "some text")
    end
  end
  local roles = { [text_at] = "text", [label_at] = "label" }
  if weight_at then
    roles[weight_at] = "weight"
  end
  local result = result_of(table, source, roles)
  result.dropped = dropped
  return result
end

-- --- Sequences of numbers ---------------------------------------------------------------------

--- Positions of the columns that were asked for: features, id, label and time.
local function asked(table, o)
  if not (o.id and o.label and o.features) then
    ask(table, "the id of a sequence, its label and the features (id, label, features)")
  end
  local own = { features = {}, id = table:find(o.id, "id"), label = table:find(o.label, "label"),
    time = o.time and table:find(o.time, "time"), weight = o.weight and table:find(o.weight, "weight") }
  for n, wanted in ipairs(o.features.names or o.features) do
    own.features[n] = table:find(wanted, "features")
  end
  return own
end

--- Functions to parse by position, and the columns that stay text.
local function texts_of(table, own, o)
  local texts, parse = { [own.id] = true, [own.label] = true }, {}
  if own.time then
    texts[own.time] = true
  end
  for wanted, fn in pairs(o.parse) do
    local position = table:find(wanted, "parse")
    texts[position], parse[position] = true, fn
  end
  return texts, parse
end

--- The rows with one id, in the order in which the ids come. Without a time, ids
--- may not come again behind others: that their rows belong together would be a guess.
local function groups_of(table, own)
  local groups, by_id, last = {}, {}, nil
  for row = 1, table.rows do
    local id = trimmed(table, own.id, row) or refuse_nothing(table, own.id, row, "an id")
    local group = by_id[id]
    if not group then
      group = { id = id, rows = {} }
      by_id[id], groups[#groups + 1] = group, group
    elseif group ~= last and not own.time then
      problem.raise("%s: expected the rows of id %s one behind the other, got some behind others; option 'time' "
        .. "says in which order they are", table:place(own.id, row), options.describe(id))
    end
    group.rows[#group.rows + 1], last = row, group
  end
  return groups
end

--- What all rows of a group have in a column, its label or its weight, as `read(row)` gives it.
local function common(table, position, group, role, read)
  local value
  for _, row in ipairs(group.rows) do
    local other = read(row)
    if value and value ~= other then
      problem.raise("%s: expected one %s for id %s, got %s and %s", table:place(position, row), role,
        options.describe(group.id), options.describe(value), options.describe(other))
    end
    value = other
  end
  return value
end

local function label_of(table, own, group)
  return common(table, own.label, group, "label", function(row)
    return trimmed(table, own.label, row) or refuse_nothing(table, own.label, row, "a label")
  end)
end

--- nil where no column says so.
local function weight_of(table, own, weights, group)
  return weights and common(table, own.weight, group, "weight", function(row)
    return weight_in(table, own.weight, weights, row)
  end)
end

--- The rows of a group in the order of time.
local function ordered(table, position, rows, times)
  local seconds = {}
  for n, row in ipairs(rows) do
    seconds[n] = times[row]
  end
  local descending, wrong = timeline.direction(seconds)
  if descending == nil then
    problem.raise("%s: expected the times of a sequence in order, each once, got %s behind line %d",
      table:place(position, rows[wrong]), options.describe(table.cells[position][rows[wrong]]),
      table.lines[rows[wrong - 1]])
  end
  local list = {}
  for n, row in ipairs(rows) do
    list[descending and #rows + 1 - n or n] = row
  end
  return list
end

--- Columns with the rows of all groups one behind the other, each group in its order.
local function arrange(table, own, list, groups)
  local times = own.time and time_column.values(table, own.time, own.format)
  local rows = { table = table, columns = {}, lines = {}, count = table.rows }
  local from, ids = {}, {}
  for n, group in ipairs(groups) do
    for _, row in ipairs(times and ordered(table, own.time, group.rows, times) or group.rows) do
      from[#from + 1], ids[#ids + 1] = row, n
    end
  end
  for n, column in ipairs(list) do
    local values = {}
    for at, row in ipairs(from) do
      values[at], rows.lines[at] = column.values[row], table.lines[row]
    end
    rows.columns[n] = { name = column.name, position = column.position, values = values }
  end
  return rows, ids
end

--- First and last row of each group that has rows left.
local function ranges_of(ids)
  local ranges = {}
  for row, group in ipairs(ids) do
    local range = ranges[#ranges]
    if not range or range.group ~= group then
      range = { row, row, group = group }
      ranges[#ranges + 1] = range
    end
    range[2] = row
  end
  return ranges
end

--- Rows first..last as nested lists.
local function steps_of(rows, range)
  local steps = {}
  for row = range[1], range[2] do
    local step = {}
    for n, column in ipairs(rows.columns) do
      step[n] = column.values[row]
    end
    steps[#steps + 1] = step
  end
  return steps
end

local function read_sequences(table, o)
  local own = asked(table, o)
  local texts, parse = texts_of(table, own, o)
  table:read(texts)
  own.format = o.format
  local list, names, roles = {}, {}, {}
  for n, position in ipairs(own.features) do
    list[n] = columns.understand(table, position, true, parse[position])
    names[n], roles[position] = table.names[position], "features"
  end
  for _, role in ipairs { "id", "label", "time", "weight" } do
    if own[role] then
      roles[own[role]] = role
    end
  end
  local groups, source, dropped = groups_of(table, own), {}, 0
  local rows, ids = arrange(table, own, list, groups)
  if o.missing == "skip" then
    dropped = gaps.skip(rows, { rows.lines, ids })
  end
  local ranges = ranges_of(ids)
  local filled = gaps.fill(rows, o.missing, ranges)
  local weights = weights_of(table, own.weight)
  for _, range in ipairs(ranges) do
    local group, steps = groups[range.group], steps_of(rows, range)
    local weight = weight_of(table, own, weights, group)
    add(source, label_of(table, own, group), weight and { steps, weight = weight } or steps)
  end
  local result = result_of(table, source, roles)
  result.names, result.dropped, result.filled = names, dropped, filled
  return result
end

--- Read a table of texts or of sequences of numbers.
---@param path string
---@param o saros.data.LabelledOptions
---@return saros.data.LabelTable
function label_table.read(path, o)
  local table = tables.open(path, nil, o)
  local of_numbers = o.id or o.features or o.time or o.format or next(o.parse)
  return (of_numbers and read_sequences or read_texts)(table, o)
end

return label_table
