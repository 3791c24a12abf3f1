--- The benchmark: one line of JSON for each measurement, on the standard
--- output, and a readable line on the standard error.
---
---   make bench BENCH="--case A --cell lstm --threads 1"

local argparse = require "argparse"
local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"
local processor = require "bench.processor"

-- What is measured beside the training of the cases, by `case` in the rows. The
-- last two are not measured unless they are asked for.
local OTHERS = { "machine", "product", "activation", "call", "step", "sequence", "own", "growth", "long" }
local CASES = table.move(OTHERS, 1, #OTHERS, #cases.names + 1, { table.unpack(cases.names) })

local parser = argparse("bench", "Measure speed and memory; see docs/performance.md.")
parser:option("--case", "Only this case of training, or this part of the rest."):choices(CASES):count "*"
parser:option("--cell", "Only this cell, in training."):choices(cases.cells):count "*"
parser:option("--threads", "Only with this number of threads, in training."):convert(math.tointeger):count "*"
parser:option("--precision", "Only products of this precision, in training."):choices(cases.precisions):count "*"
parser:option("--seconds", "Seconds to measure each training for, about."):convert(tonumber):default "1"
parser:option("--until", "Start no new measurement after this time, in seconds since 1970."):convert(math.tointeger)
parser:flag("--all", "Also how cost grows with every size.")
parser:flag("--quiet", "Print the lines of JSON alone.")
local options = parser:parse()
local is_late, tell_left_out = host.deadline(options["until"])

--- What was asked for, or else everything.
local function chosen(asked, all)
  return #asked > 0 and asked or all
end

--- Run another program, print the rows that it measures, and describe each.
local function measure(words, describe)
  if is_late() then
    return
  end
  for line in host.lines(words) do
    print(line)
    io.stdout:flush()
    if not options.quiet then
      io.stderr:write(describe(assert(saros.json_decode(line))), "\n")
    end
  end
end

local function describe_training(row)
  return ("%-2s %-7s %-4s %d thread%s %9.0f symbols/s  %6.1f of %6.1f GFLOP/s  %5.1f %%  %7.1f MB%s"):format(
    row.case, row.cell, row.precision, row.threads, row.threads == 1 and " " or "s", row.symbols_per_s,
    row.gflops, row.peak_gflops, 100 * row.fraction, row.peak_mb,
    (row.waited or 0) > 0.02 and ("  disturbed: waited %.0f %%"):format(100 * row.waited) or "")
end

local function train(case)
  local precisions = chosen(options.precision, cases.precisions_of[case])
  for _, cell in ipairs(chosen(options.cell, cases.cells)) do
    for _, threads in ipairs(chosen(options.threads, { 1, 2 })) do
      for _, precision in ipairs(precisions) do
        measure({ host.program, "bench/train.lua", case, cell, threads, options.seconds, precision }, describe_training)
      end
    end
  end
end

local others = {}

function others.machine()
  local info = saros.info()
  local row = {
    case = "machine", version = info.version, real = info.real, isa = info.isa, processors = info.threads,
    blas = info.blas:match "^%S+ [%d.]+" or info.blas,
    processor = processor.here(),
  }
  host.emit(row)
end

function others.product()
  measure({ host.folder .. "micro", "product" }, function(row)
    return ("product %s, %d x %d x %d, %-8s %6.1f of %6.1f GFLOP/s  %5.1f %%"):format(
      row.shape, row.rows, row.columns, row.depth, row.kernel, row.gflops, row.peak_gflops, 100 * row.fraction)
  end)
end

function others.activation()
  measure({ host.folder .. "micro", "activation" }, function(row)
    return ("%-8s %.3f ns per element, at most %.2f ulp"):format(row["function"], row.ns_per_element, row.max_ulp)
  end)
end

function others.call()
  measure({ host.program, "bench/call.lua" }, function(row)
    return ("%-20s %6.1f ns"):format(row.call, row.ns)
  end)
end

local function describe_step(row)
  return ("step %-7s of %4d -> %d, %-4s %9.3f us from C, %9.3f us from Lua; one of 1000 %5.2f medians"):format(
    row.cell, row.hidden, row.outputs, row.weights, row.us_per_step, row.us_per_step_lua,
    row.us_single_999 / row.us_single)
end

function others.step()
  local function step(...)
    measure({ host.program, "bench/step.lua", ... }, describe_step)
  end
  for _, cell in ipairs(chosen(options.cell, cases.headed_cells)) do
    for _, hidden in ipairs(cases.headed_sizes) do
      step(cell, hidden, "real", 1)
    end
  end
  for _, cell in ipairs(chosen(options.cell, cases.step_cells)) do
    for _, weights in ipairs(cases.step_weights) do
      for _, hidden in ipairs(cases.step_sizes[weights]) do
        step(cell, hidden, weights, 0)
      end
    end
  end
end

--- Whole sequences in inference, in each precision.
function others.sequence()
  for _, cell in ipairs(chosen(options.cell, cases.sequences[1].cells)) do
    for _, batch in ipairs(cases.sequence_batches) do
      measure({ host.program, "bench/sequence.lua", cell, batch, options.seconds }, function(row)
        return ("sequence %-5s %d x %d, batch %2d, %3d steps, %-4s  %8.2f ms, at least %8.2f ms"):format(
          row.cell, row.layers, row.hidden, row.batch, row.length, row.precision, row.ms, row.ms_least)
      end)
    end
  end
end

--- Cells written as programs beside the fused ones.
function others.own()
  measure({ host.folder .. "own", options.seconds }, function(row)
    return ("own %-5s of %4d, batch %3d, %4d steps  %8.2f ms, fused %8.2f ms  %5.2f times"):format(
      row.cell, row.hidden, row.batch, row.steps, row.ms_own, row.ms_fused, row.ratio)
  end)
end

function others.growth()
  for _, growth in ipairs(cases.growth) do
    for _, value in ipairs(growth.values) do
      measure({ host.program, "bench/train.lua", "growth", "lstm", 1, options.seconds / 4, "real", growth.size, value },
        function(row)
          return ("%-6s %4d  %8.2f ms a window  %7.1f MB"):format(growth.size, value,
            row.ms_forward + row.ms_backward + row.ms_optimizer, row.peak_mb)
        end)
    end
  end
end

function others.long()
  for _, cell in ipairs(chosen(options.cell, cases.long.cells)) do
    for _, length in ipairs(cases.long.lengths) do
      local words = { host.program, "bench/train.lua", "long", cell, 1, options.seconds / 4, "real", "length", length }
      measure(words, function(row)
        return ("%-7s %6d steps  %8.2f us and %7.1f kB a symbol"):format(
          cell, length, 1e6 / row.symbols_per_s, 1e3 * row.peak_mb / length)
      end)
    end
  end
end

--- What is measured if no case was asked for.
local function usual_cases()
  if #options.cell + #options.threads > 0 then
    return cases.names
  end
  return options.all and CASES or { table.unpack(CASES, 1, #CASES - 2) }
end

for _, case in ipairs(chosen(options.case, usual_cases())) do
  (others[case] or train)(case)
end
tell_left_out()
