--- Writes what the benchmarks printed into a page: each table between its marks,
---
---   <!-- table NAME -->
---   <!-- end -->
---
--- is made anew if there are rows for it, and left as it is if there are none.
--- Rows of "growth" are drawn, by gnuplot, beside the page.
---
---   build/saros bench/report.lua docs/performance.md ROWS.json...

local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"

--- All rows of these files, by their case, in order.
local function read_rows(paths)
  local rows = {}
  for _, path in ipairs(paths) do
    for line in io.lines(path) do
      local row = assert(saros.json_decode(line))
      rows[row.case] = rows[row.case] or {}
      table.insert(rows[row.case], row)
    end
  end
  return rows
end

--- 1234567.8 as "1,234,568".
local function thousands(number)
  local digits = ("%.0f"):format(number)
  return (digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

--- Three digits, and no exponent.
local function milliseconds(number)
  return (number < 100 and "%.3g ms" or "%.0f ms"):format(number)
end

--- A table of Markdown: its head, and one line for each row.
local function build_table(head, rows, cells_of)
  local lines = { "| " .. table.concat(head, " | ") .. " |", "|" .. ("---|"):rep(#head) }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = "| " .. table.concat(cells_of(row), " | ") .. " |"
  end
  return table.concat(lines, "\n")
end

-- --- The tables --------------------------------------------------------------

local tables = {}

function tables.machine(rows)
  local row = rows.machine and rows.machine[1]
  return row and ("%s, %d processors; %s kernels, %s, %s; Saros %s"):format(
    row.processor, row.processors, row.isa, row.real, row.blas, row.version)
end

--- How much faster than on one thread, both beside the peak of their moment.
local function speedup(row, training)
  for _, other in ipairs(training) do
    if other.threads == 1 and other.case == row.case and other.cell == row.cell and row.threads > 1 then
      return ("%.2f"):format(row.threads * row.fraction / other.fraction)
    end
  end
  return ""
end

function tables.training(rows)
  local training = {}
  for _, name in ipairs(cases.names) do
    table.move(rows[name] or {}, 1, #(rows[name] or {}), #training + 1, training)
  end
  return #training > 0 and build_table({
    "case", "cell", "threads", "symbols/s", "GFLOP/s", "of the peak", "speed-up", "forward", "backward",
    "optimizer", "memory",
  }, training, function(row)
    return {
      row.case, row.cell, row.threads, thousands(row.symbols_per_s), ("%.1f"):format(row.gflops),
      ("%.0f %%"):format(100 * row.fraction), speedup(row, training), milliseconds(row.ms_forward),
      milliseconds(row.ms_backward), milliseconds(row.ms_optimizer), ("%.0f MB"):format(row.peak_mb),
    }
  end)
end

function tables.product(rows)
  return rows.product and build_table({ "shape", "rows x columns x depth", "kernel", "GFLOP/s", "of the peak" },
    rows.product, function(row)
      return {
        row.shape, ("%d x %d x %d"):format(row.rows, row.columns, row.depth), row.kernel,
        ("%.1f"):format(row.gflops), ("%.0f %%"):format(100 * row.fraction),
      }
    end)
end

--- Nothing where there is no time.
local function microseconds(us)
  return us and ("%.3g us"):format(us) or ""
end

function tables.step(rows)
  local order = { "cell", "H", "outputs", "weights", "a step from C", "by hand", "from Lua", "one of 1000 takes" }
  return rows.step and build_table(order, rows.step, function(row)
    return {
      row.cell, row.hidden, row.outputs > 0 and row.outputs or "", row.weights, microseconds(row.us_per_step),
      microseconds(row.us_plain), microseconds(row.us_per_step_lua),
      ("%.2f medians"):format(row.us_single_999 / row.us_single),
    }
  end)
end

function tables.activation(rows)
  return rows.activation and build_table({ "function", "per element", "largest error" }, rows.activation,
    function(row)
      return { row["function"], ("%.2f ns"):format(row.ns_per_element), ("%.2f ulp"):format(row.max_ulp) }
    end)
end

function tables.call(rows)
  return rows.call and build_table({ "call", "what it is", "time" }, rows.call, function(row)
    return { "`" .. row.call .. "`", row.what, ("%.0f ns"):format(row.ns) }
  end)
end

function tables.peer(rows)
  return rows.peer and build_table({
    "case", "cell", "threads", "Saros, symbols/s", rows.peer[1].peer, "ratio", "memory of Saros", "of PyTorch",
  }, rows.peer, function(row)
    return {
      row.of, row.cell, row.threads, thousands(row.symbols_per_s), thousands(row.peer_symbols_per_s),
      ("%.2f"):format(row.ratio), row.resident_mb and ("%.0f MB"):format(row.resident_mb) or "",
      ("%.0f MB"):format(row.peer_resident_mb),
    }
  end)
end

local function highest_peak(rows)
  local highest = 0
  for _, row in ipairs(rows) do
    highest = math.max(highest, row.peak_gflops)
  end
  return highest
end

--- Milliseconds of an update, had the processor been as free as at its freest
--- moment.
local function undisturbed(row, peak)
  local flops = cases.flops_per_symbol(row) * row.batch * row.length
  return 1e3 * flops / (row.fraction * peak * 1e9)
end

function tables.long(rows)
  local order = { "cell", "steps", "a symbol", "memory", "of it a symbol" }
  local peak = rows.long and highest_peak(rows.long)
  return rows.long and build_table(order, rows.long, function(row)
    local us = 1e3 * undisturbed(row, peak) / row.length
    return {
      row.cell, thousands(row.length), ("%.1f us"):format(us), ("%.1f MB"):format(row.peak_mb),
      ("%.1f kB"):format(1e3 * row.peak_mb / row.length),
    }
  end)
end

-- --- The drawing -------------------------------------------------------------

--- The rows of one size after the other, as gnuplot reads them: a size, the
--- milliseconds of an update, megabytes.
local function write_growth(path, rows)
  local file <close> = assert(io.open(path, "w"))
  local peak = highest_peak(rows)
  for _, growth in ipairs(cases.growth) do
    for _, row in ipairs(rows) do
      if row.varies == growth.size then
        file:write(row[growth.size], " ", undisturbed(row, peak), " ", row.peak_mb, "\n")
      end
    end
    file:write "\n\n"
  end
end

local function draw_growth(page, rows)
  local data, output = os.tmpname(), page:match "^(.*/)" .. "growth.svg"
  write_growth(data, rows)
  local settings = ("data = '%s'; out = '%s'"):format(data, output)
  if not os.execute(host.command { "gnuplot", "-e", settings, "bench/growth.gp" }) then
    io.stderr:write("report: ", output, " was not drawn; gnuplot (Debian: gnuplot-nox) can\n")
  end
  os.remove(data)
end

-- --- The page ----------------------------------------------------------------

local function read_all(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local function write_all(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

--- The page with every table that there are rows for.
local function fill(text, rows)
  return (text:gsub("(<!%-%- table (%l+) %-%->\n)(.-)(<!%-%- end %-%->)", function(mark, name, _, finish)
    local made = assert(tables[name], "report: no table is called " .. name)(rows)
    return made and mark .. "\n" .. made .. "\n\n" .. finish
  end))
end

local page = arg[1]
local rows = read_rows { table.unpack(arg, 2) }
write_all(page, fill(read_all(page), rows))
if rows.growth then
  draw_growth(page, rows.growth)
end
