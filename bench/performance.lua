--- Measures this processor and makes the page: the benchmark and the peers, the
--- most important first. Each row is written to the processor's own file as soon
--- as it is there, in the place of an older one, so that a run may be interrupted,
--- or make only a part. The page is made from the files of all processors.
---
---   make performance PYTHON=venv/bin/python BENCH="--quick"

local argparse = require "argparse"
local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"
local processor = require "bench.processor"
local rows = require "bench.rows"

local BENCH, PEERS = "bench/bench.lua", "bench/peers.lua"

--- In this order; each with the cases that it measures.
local PARTS = {
  { BENCH, { "machine" } },
  { PEERS, { "A", "B", "C" } },
  { BENCH, { "A", "B", "C", "product" } },
  { PEERS, { "sequence", "step", "S1", "S2", "S3" } },
  { BENCH, { "S1", "S2", "S3", "step", "activation", "call", "own", "growth", "long" } },
}

local CASES = {}
for _, part in ipairs(PARTS) do
  for _, case in ipairs(part[2]) do
    CASES[case] = true
  end
end

local QUICK = { bench = 0.2, peers = 0.5, minutes = 11.5 }
local THOROUGH = { bench = 1, peers = 5 }

local parser = argparse("performance", "Measure this processor, and make the page of all; see docs/performance.md.")
parser:option("--case", "Only this case or part."):count "*"
parser:option("--cell", "Only this cell."):choices(cases.cells):count "*"
parser:option("--threads", "Only with this number of threads, in training."):convert(math.tointeger):count "*"
parser:option("--precision", "Only products of this precision."):choices(cases.precisions):count "*"
parser:option("--minutes", "Start no new measurement after this many minutes."):convert(tonumber)
parser:flag("--quick", "Take fewer samples, in 12 minutes at most.")
parser:flag("--only-page", "Measure nothing: make the page from the files that there are.")
parser:option("--python", "A Python that has PyTorch or ONNX Runtime."):default ""
parser:option("--page", "The page."):default "docs/performance.md"
parser:option("--rows", "Where the files of all processors are."):default "docs/performance"
local options = parser:parse()

local limits = options.quick and QUICK or THOROUGH
local begin = os.time()

-- --- Measuring ---------------------------------------------------------------

for _, case in ipairs(options.case) do
  if not CASES[case] then
    parser:error(("no case or part is called %q"):format(case))
  end
end

--- The cases of a part that were asked for.
local function chosen(part)
  local found = {}
  for _, case in ipairs(part[2]) do
    local asked = #options.case == 0 or case == "machine"
    for _, name in ipairs(options.case) do
      asked = asked or name == case
    end
    if asked then
      found[#found + 1] = case
    end
  end
  return found
end

--- Cells of which the peers have none are no choice there.
local function add(words, option, values, known)
  for _, value in ipairs(values) do
    if not known or known[value] then
      table.move({ option, value }, 1, 2, #words + 1, words)
    end
  end
end

local PEER_CELLS = {}
for _, cell in ipairs(cases.peer_cells) do
  PEER_CELLS[cell] = true
end

local function command_of(program, wanted)
  local words = { host.program, program, "--seconds", limits[program == PEERS and "peers" or "bench"] }
  add(words, "--case", wanted)
  add(words, "--cell", options.cell, program == PEERS and PEER_CELLS)
  add(words, "--threads", options.threads)
  add(words, "--precision", options.precision)
  if program == PEERS then
    add(words, "--python", { options.python })
  end
  local minutes = options.minutes or limits.minutes
  add(words, "--until", { minutes and begin + math.floor(60 * minutes) })
  return words
end

--- False where the peers have none of the cells that were asked for.
local function applies(program)
  local any = program == BENCH or #options.cell == 0
  for _, cell in ipairs(options.cell) do
    any = any or PEER_CELLS[cell] or false
  end
  return any
end

--- Run one part, and keep each row in its file.
local function measure(path, program, wanted)
  local list = rows.read(path)
  for line in host.lines(command_of(program, wanted)) do
    local row = assert(saros.json_decode(line))
    row.date = os.date "!%Y-%m-%d"
    rows.put(list, row)
    rows.write(path, list)
  end
end

--- All that was asked for; false if something failed, which stops no other part.
local function measure_all(path)
  local well = true
  for _, part in ipairs(PARTS) do
    local program, wanted = part[1], chosen(part)
    if #wanted > 0 and applies(program) then
      io.stderr:write(("--- after %d s: %s %s\n"):format(
        os.time() - begin, program, table.concat(wanted, ", ")))
      local fine, problem = pcall(measure, path, program, wanted)
      if not fine then
        io.stderr:write(tostring(problem), "\n")
        if tostring(problem):find("interrupted", 1, true) then
          return false
        end
        well = false
      end
    end
  end
  return well
end

-- --- The page ----------------------------------------------------------------

local function files_of(folder)
  local found = {}
  for path in host.lines { "find", folder, "-name", "*.jsonl" } do
    found[#found + 1] = path
  end
  table.sort(found)
  return found
end

local well = true
if not options.only_page then
  local path = ("%s/%s.jsonl"):format(options.rows, processor.file(processor.here()))
  assert(os.execute(host.command { "mkdir", "-p", options.rows }))
  io.stderr:write("rows go to ", path, "\n")
  well = measure_all(path)
end
local words = { host.program, "bench/report.lua", options.page }
table.move(files_of(options.rows), 1, #files_of(options.rows), #words + 1, words)
for line in host.lines(words) do
  print(line)
end
io.stderr:write(("%s is made, after %d s\n"):format(options.page, os.time() - begin))
os.exit(well, true)
