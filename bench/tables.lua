--- The tables of the page, from the rows of one processor by case; and what the
--- page begins with, from those of all. Each returns Markdown, or nil where there
--- are no rows for it.

local cases = require "bench.cases"
local measure = require "bench.measure"
local rows = require "bench.rows"

local tables = {}

-- --- Cells -------------------------------------------------------------------

local format = {}

--- 1234567.8 as "1,234,568".
function format.thousands(number)
  local digits = ("%.0f"):format(number)
  return (digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

--- Three digits, and no exponent.
function format.short(number)
  return (number < 100 and "%.3g" or "%.0f"):format(number)
end

--- A quotient: three digits at most, two decimals at most.
function format.ratio(number)
  return (number < 10 and "%.2f" or number < 100 and "%.1f" or "%.0f"):format(number)
end

function format.megabytes(number)
  return ("%.0f MB"):format(number)
end

--- What a part of a row looks like; an empty cell where there is none.
local function cell(kind, row, field)
  local value = row and row[field]
  return value and format[kind](value) or ""
end

--- A table of Markdown: its head, and one line for each list of cells. Columns
--- that are empty in every line are left out.
local function build(head, lines)
  local used = {}
  for column in ipairs(head) do
    for _, cells in ipairs(lines) do
      used[column] = used[column] or tostring(cells[column] or "") ~= ""
    end
  end
  local function join(cells)
    local shown = {}
    for column in ipairs(head) do
      if used[column] then
        shown[#shown + 1] = tostring(cells[column] or "")
      end
    end
    return "| " .. table.concat(shown, " | ") .. " |"
  end
  local text = { join(head), (join(head):gsub("[^|]+", "---")) }
  for _, cells in ipairs(lines) do
    text[#text + 1] = join(cells)
  end
  return #lines > 0 and table.concat(text, "\n") or nil
end

-- --- Training ----------------------------------------------------------------

local DISTURBED = 0.05 -- of the time without a processor: the figure is marked

--- The part of the peak that a row reaches.
local function percent(row)
  return row and ("%s%.0f %%"):format((row.waited or 0) > DISTURBED and "~" or "", 100 * row.fraction) or ""
end

--- A quotient of fractions of the peak: each was taken beside the peak of its
--- own moment.
local function quotient(row, other, factor)
  return row and other and format.ratio((factor or 1) * row.fraction / other.fraction) or ""
end

local function training_line(found, name, cell_name)
  local function row_of(precision, threads)
    return rows.find(found[name], { cell = cell_name, precision = precision, threads = threads })
  end
  local one, two = row_of("real", 1), row_of("real", 2)
  local low_one, low_two = row_of("bf16", 1), row_of("bf16", 2)
  local any = one or two or low_one or low_two
  return any and {
    name, cell_name, cell("thousands", one, "symbols_per_s"), percent(one), percent(two), quotient(two, one, 2),
    quotient(low_one, one), quotient(low_two, two), cell("megabytes", any, "peak_mb"),
  }
end

--- Every case and cell that `line_of` has a line for.
local function lines_of(found, line_of, cell_names)
  local lines = {}
  for _, name in ipairs(cases.names) do
    for _, cell_name in ipairs(cell_names) do
      lines[#lines + 1] = line_of(found, name, cell_name)
    end
  end
  return lines
end

function tables.training(found)
  return build({
    "case", "cell", "symbols/s", "of the peak", "on 2 threads", "speed-up", "bf16 to fp32", "on 2 threads", "memory",
  }, lines_of(found, training_line, cases.cells))
end

local function peer_line(found, name, cell_name)
  local function row_of(precision, threads)
    return rows.find(found.peer, { of = name, cell = cell_name, precision = precision, threads = threads })
  end
  local one, low = row_of("real", 1), row_of("bf16", 1)
  local any = one or low or row_of("real", 2) or row_of("bf16", 2)
  return any and {
    name, cell_name, cell("ratio", one, "ratio"), cell("ratio", row_of("real", 2), "ratio"),
    cell("ratio", low, "ratio"), cell("ratio", row_of("bf16", 2), "ratio"), cell("thousands", one, "symbols_per_s"),
    cell("thousands", low, "symbols_per_s"), cell("megabytes", any, "resident_mb"),
    cell("megabytes", any, "peer_resident_mb"),
  }
end

function tables.peer(found)
  return build({
    "case", "cell", "fp32", "on 2 threads", "bf16", "on 2 threads", "symbols/s, fp32", "bf16", "memory of Saros",
    "of PyTorch",
  }, lines_of(found, peer_line, cases.peer_cells))
end

-- --- Inference ---------------------------------------------------------------

--- "45.2 (1.05)": a peer's time, and how many times as long as ours it is.
local function beside(row, field)
  return row and ("%s (%s)"):format(format.short(row[field]), format.ratio(row.ratio)) or ""
end

--- The lists of rows that have the same of some fields, in order.
local function grouped(list, fields)
  local groups, by_key = {}, {}
  for _, row in ipairs(list or {}) do
    local words = {}
    for position, field in ipairs(fields) do
      words[position] = tostring(row[field])
    end
    local key = table.concat(words, "|")
    if not by_key[key] then
      by_key[key] = {}
      groups[#groups + 1] = by_key[key]
    end
    table.insert(by_key[key], row)
  end
  return groups
end

local PRECISIONS = { real = "fp32" }

function tables.sequence(found)
  local lines = {}
  for _, group in ipairs(grouped(found.peer_sequence, { "of", "cell", "precision", "threads" })) do
    local row = group[1]
    lines[#lines + 1] = {
      ("%s%s of %d x %d"):format(row.directions == 2 and "bidirectional " or "", row.cell, row.layers, row.hidden),
      ("%d x %d"):format(row.batch, row.length), PRECISIONS[row.precision] or row.precision, row.threads,
      format.short(measure.median_of(group, "ms")),
      beside(rows.find(group, { library = "PyTorch" }), "peer_ms"),
      beside(rows.find(group, { library = "ONNX Runtime" }), "peer_ms"),
    }
  end
  return build({ "net", "B x T", "precision", "threads", "Saros, ms", "PyTorch", "ONNX Runtime" }, lines)
end

function tables.peer_step(found)
  local lines = {}
  for _, group in ipairs(grouped(found.peer_step, { "cell", "hidden" })) do
    lines[#lines + 1] = {
      group[1].cell, group[1].hidden, format.short(measure.median_of(group, "us")),
      beside(rows.find(group, { how = "eager" }), "peer_us"),
      beside(rows.find(group, { how = "traced" }), "peer_us"),
      beside(rows.find(group, { how = "run" }), "peer_us"),
    }
  end
  return build({ "cell", "H", "Saros, us", "PyTorch", "PyTorch, traced", "ONNX Runtime" }, lines)
end

--- The sizes of some rows, rising.
local function sizes_of(list)
  local seen, sizes = {}, {}
  for _, row in ipairs(list or {}) do
    if not seen[row.hidden] then
      seen[row.hidden] = true
      sizes[#sizes + 1] = row.hidden
    end
  end
  table.sort(sizes)
  return sizes
end

local function step_line(name, group, sizes, field)
  local line, any = { name }, false
  for _, hidden in ipairs(sizes) do
    local row = rows.find(group, { hidden = hidden })
    line[#line + 1] = cell("short", row, field)
    any = any or line[#line] ~= ""
  end
  return any and line
end

function tables.step(found)
  local sizes, lines = sizes_of(found.step), {}
  local head = { "" }
  for _, hidden in ipairs(sizes) do
    head[#head + 1] = (#head == 1 and "H " or "") .. hidden
  end
  for _, group in ipairs(grouped(found.step, { "cell", "weights", "outputs" })) do
    local row = group[1]
    local name = row.cell .. (row.outputs > 0 and ", a head of " .. row.outputs or "")
      .. (row.weights ~= "real" and ", " .. row.weights or "")
    lines[#lines + 1] = step_line(name, group, sizes, "us_per_step") or nil
    lines[#lines + 1] = step_line(name .. ", by hand", group, sizes, "us_plain") or nil
  end
  return build(head, lines)
end

--- What the table of steps does not show, in words.
function tables.step_words(found)
  local more, late = {}, {}
  for _, row in ipairs(found.step or {}) do
    if row.us_per_step_lua and row.hidden <= 64 then
      more[#more + 1] = 1e3 * (row.us_per_step_lua - row.us_per_step)
    end
    late[#late + 1] = row.late or row.us_single_999 and row.us_single_999 / row.us_single
  end
  return #more > 0 and ("From Lua a step takes %.0f ns more. Of 1000 single steps one takes more than %.1f times as "
    .. "long as the median step."):format(measure.median(more), measure.median(late)) or nil
end

-- --- The rest ----------------------------------------------------------------

--- The different values of one field of some rows, in order.
local function values_of(list, field)
  local seen, values = {}, {}
  for _, row in ipairs(list or {}) do
    if not seen[row[field]] then
      seen[row[field]] = true
      values[#values + 1] = row[field]
    end
  end
  return values
end

--- A line for each group of rows with the same of some fields, whose first cells
--- `begin` makes, and a column for each value of another field.
local function spread(list, fields, begin, column, show)
  local values, lines = values_of(list, column), {}
  for _, group in ipairs(grouped(list, fields)) do
    local line = begin(group[1])
    for _, value in ipairs(values) do
      local row = rows.find(group, { [column] = value })
      line[#line + 1] = row and show(row) or ""
    end
    lines[#lines + 1] = line
  end
  return lines, values
end

function tables.product(found)
  local lines, kernels = spread(found.product, { "shape" }, function(row)
    return { row.shape, ("%d x %d x %d"):format(row.rows, row.columns, row.depth) }
  end, "kernel", function(row)
    return ("%.1f (%s)"):format(row.gflops, percent(row))
  end)
  local head = { "shape", "rows x columns x depth" }
  for _, kernel in ipairs(kernels) do
    head[#head + 1] = kernel .. ", GFLOP/s"
  end
  return build(head, lines)
end

function tables.own(found)
  local lines, sizes = spread(found.own, { "cell" }, function(row)
    return { row.cell }
  end, "hidden", function(row)
    return format.ratio(row.ratio)
  end)
  return build({ "", sizes[1] and "H " .. sizes[1], table.unpack(sizes, 2) }, lines)
end

function tables.activation(found)
  local lines = {}
  for _, row in ipairs(found.activation or {}) do
    lines[#lines + 1] = { row["function"], ("%.2f ns"):format(row.ns_per_element), ("%.2f ulp"):format(row.max_ulp) }
  end
  return build({ "function", "per element", "largest error" }, lines)
end

function tables.call(found)
  local lines = {}
  for _, row in ipairs(found.call or {}) do
    lines[#lines + 1] = { "`" .. row.call .. "`", row.what, ("%.0f ns"):format(row.ns) }
  end
  return build({ "call", "what it is", "time" }, lines)
end

--- The highest peak of some rows.
function tables.highest_peak(list)
  local highest = 0
  for _, row in ipairs(list) do
    highest = math.max(highest, row.peak_gflops)
  end
  return highest
end

--- Milliseconds of an update, had the processor been as free as at its freest
--- moment.
function tables.undisturbed(row, peak)
  local flops = cases.flops_per_symbol(row) * row.batch * row.length
  return 1e3 * flops / (row.fraction * peak * 1e9)
end

--- One sequence, longer and longer.
function tables.long(found)
  local peak = found.long and tables.highest_peak(found.long)
  local lines, lengths = spread(found.long, { "cell" }, function(row)
    return { row.cell }
  end, "length", function(row)
    local us = 1e3 * tables.undisturbed(row, peak) / row.length
    return ("%.1f us, %.1f kB"):format(us, 1e3 * row.peak_mb / row.length)
  end)
  local head = { "a symbol of" }
  for position, length in ipairs(lengths) do
    head[position + 1] = format.thousands(length) .. (position == 1 and " steps" or "")
  end
  return build(head, lines)
end

-- --- The beginning of the page -----------------------------------------------

--- "2.26 / 1.91 / 2.33", of the LSTM's cases A, B and C; "" where none is there.
local function of_cases(show)
  local words, any = {}, false
  for position, name in ipairs { "A", "B", "C" } do
    local word = show(name) or ""
    words[position] = word ~= "" and word or "-"
    any = any or word ~= ""
  end
  return any and table.concat(words, " / ") or ""
end

local function summary_line(found)
  local function peer(precision)
    return of_cases(function(name)
      local row = rows.find(found.peer, { of = name, cell = "lstm", precision = precision, threads = 1 })
      return cell("ratio", row, "ratio")
    end)
  end
  local function row_of(name, precision)
    return rows.find(found[name], { cell = "lstm", precision = precision, threads = 1 })
  end
  local low = of_cases(function(name)
    return quotient(row_of(name, "bf16"), row_of(name, "real"))
  end)
  local peak = of_cases(function(name)
    return percent(row_of(name, "real")):gsub(" %%", "")
  end)
  local library = found.peer and found.peer[1].peer:gsub("%+%S*", "") or ""
  local machine = found.machine[1]
  return {
    machine.processor, machine.isa, library, peer "real", peer "bf16", low, peak ~= "" and peak .. " %" or "",
  }
end

--- One line for each processor that trained.
---@param processors table<string, table[]>[]
function tables.summary(processors)
  local lines = {}
  for _, found in ipairs(processors) do
    local line = summary_line(found)
    if table.concat(line, "", 4) ~= "" then
      lines[#lines + 1] = line
    end
  end
  return build({
    "processor", "kernels", "beside", "fp32: times as fast", "bf16: times as fast", "bf16 to fp32", "of the fp32 peak",
  }, lines)
end

return tables
