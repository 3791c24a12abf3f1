--- The benchmark: one line of JSON for each measurement, on the standard
--- output, and a line for people on the standard error.
---
---   make bench BENCH="--case A --cell lstm --threads 1"

local argparse = require "argparse"
local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"

local parser = argparse("bench", "Measure speed and memory; see docs/performance.md.")
parser:option("--case", "Only this case of training."):choices(cases.names):count "*"
parser:option("--cell", "Only this cell."):choices(cases.cells):count "*"
parser:option("--threads", "Only so many threads."):convert(math.tointeger):count "*"
parser:option("--seconds", "Measure each for about so long."):convert(tonumber):default "1"
parser:flag("--quiet", "No lines for people.")
local options = parser:parse()

--- What was asked for, or else everything.
local function chosen(asked, all)
  return #asked > 0 and asked or all
end

--- Print a row that another process measured. Returns it.
local function pass_on(line)
  print(line)
  io.stdout:flush()
  return assert(saros.json_decode(line))
end

local function say(...)
  if not options.quiet then
    io.stderr:write(string.format(...), "\n")
  end
end

local function train(case, cell, threads)
  for line in host.lines { host.program, "bench/train.lua", case, cell, threads, options.seconds } do
    local row = pass_on(line)
    say("%-2s %-4s %d thread%s %9.0f symbols/s  %6.1f of %6.1f GFLOP/s  %5.1f %%  %7.1f MB",
      case, cell, threads, threads == 1 and " " or "s", row.symbols_per_s, row.gflops, row.peak_gflops,
      100 * row.fraction, row.peak_mb)
  end
end

for _, case in ipairs(chosen(options.case, cases.names)) do
  for _, cell in ipairs(chosen(options.cell, cases.cells)) do
    for _, threads in ipairs(chosen(options.threads, { 1, 2 })) do
      train(case, cell, threads)
    end
  end
end
