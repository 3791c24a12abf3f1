--- The same work here and in other libraries, by turns: training and steps in
--- PyTorch, whole sequences in PyTorch and ONNX Runtime. Prints a line of JSON for
--- each comparison. Says in a line what it cannot compare, and why.
---
---   make bench-peers BENCH="--case A --cell lstm --threads 1"

local argparse = require "argparse"
local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"
local sides = require "bench.sides"

local CASES = table.move({ "sequence", "step" }, 1, 2, #cases.names + 1, { table.unpack(cases.names) })

local parser = argparse("peers", "Compare with PyTorch and ONNX Runtime; see docs/performance.md.")
parser:option("--case", "Only this case of training, or whole sequences, or steps."):choices(CASES):count "*"
parser:option("--cell", "Only this cell."):choices(cases.peer_cells):count "*"
parser:option("--threads", "Only with this number of threads."):convert(math.tointeger):count "*"
parser:option("--precision", "Only products of this precision."):choices { "real", "bf16", "int8" }:count "*"
parser:option("--seconds", "Seconds to compare each for, about."):convert(tonumber):default "5"
parser:option("--python", "A Python that has PyTorch or ONNX Runtime."):default ""
parser:option("--until", "Start no new comparison after this time, in seconds since 1970."):convert(math.tointeger)
local options = parser:parse()
local is_late, tell_left_out = host.deadline(options["until"])

local function say(format, ...)
  io.stderr:write("bench-peers: ", format:format(...), "\n")
end

-- --- The libraries -----------------------------------------------------------

---@class bench.Library
---@field name string
---@field script string
---@field probe string  Python that imports it and prints its version
---@field python string?  one that has it; nil if none has
---@field version string?
local libraries = {
  torch = {
    name = "PyTorch", script = "bench/peer_torch.py",
    -- A product in bf16, so that oneDNN says which instructions it uses.
    probe = "import torch; a = torch.ones(64, 64).bfloat16(); torch.nn.functional.linear(a, a); "
      .. "print('version:', torch.__version__)",
  },
  onnx = {
    name = "ONNX Runtime", script = "bench/peer_onnx.py",
    probe = "import numpy, onnx, onnxruntime; print('version:', onnxruntime.__version__)",
  },
}

--- What a program prints, or nil if it fails.
local function output_of(words)
  local pipe = assert(io.popen(host.command(words) .. " 2>&-"))
  local text = pipe:read "a"
  return pipe:close() and text
end

local function find(library)
  local candidates = options.python ~= "" and { options.python } or { "python3", "/usr/bin/python3" }
  for _, python in ipairs(candidates) do
    local text = output_of { "env", "ONEDNN_VERBOSE=1", python, "-c", library.probe }
    if text then
      library.python = python
      library.version = text:match "version: (%S+)"
      library.instructions = text:match "info,cpu,isa:([^\n]*)"
      return
    end
  end
  say("no %s: rows left out, as %s cannot import it", library.name, table.concat(candidates, " and "))
end

-- PyTorch's own threads and those of its BLAS take the processors from each
-- other where they spin while they wait: on two threads a case took eight times
-- as long until this was set.
local QUIET = "OMP_WAIT_POLICY=passive"

local function start_theirs(library, work)
  return sides.start {
    "env", QUIET, "OMP_NUM_THREADS=" .. work.threads, "OPENBLAS_NUM_THREADS=" .. work.threads,
    "PYTHONDONTWRITEBYTECODE=1", library.python, library.script, saros.json_encode(work),
  }
end

local function start_ours(work)
  return sides.start { host.program, "bench/peer_saros.lua", saros.json_encode(work) }
end

-- --- Comparing ---------------------------------------------------------------

--- A row of what was compared and how it came out, which `complete` fills in;
--- nothing once the time is up.
local function compare(library, row, work, complete)
  if is_late() then
    return
  end
  local ours <close> = start_ours(work)
  local theirs <close> = start_theirs(library, work)
  local found = sides.compare(ours, theirs, options.seconds)
  row.library, row.peer = library.name, theirs.started.name
  row.ratio, row.pairs = found.ratio, found.pairs
  row.resident_mb, row.peer_resident_mb = found.our_memory, found.their_memory
  complete(row, found.ours, found.theirs)
end

--- Print a row, for programs and for people.
local function show(row, what, ours, theirs, unit)
  host.emit(row)
  io.stderr:write(("%-38s Saros %9.4g, %s %9.4g %s  ratio %.2f\n"):format(
    what, ours, row.peer, theirs, unit, row.ratio))
end

local function threads_of(threads)
  return threads == 1 and "1 thread" or threads .. " threads"
end

local function train(name, cell, threads, precision)
  local case = cases.case(name, cell)
  local work = {
    work = "train", case = name, cell = cell, threads = threads, precision = precision, layers = case.layers,
    hidden = case.hidden, batch = case.batch, length = case.length, vocabulary = cases.VOCABULARY,
  }
  local begun = { case = "peer", of = name, cell = cell, threads = threads, precision = precision }
  compare(libraries.torch, begun, work, function(row, ours, theirs)
    local symbols = case.batch * case.length
    row.symbols_per_s, row.peer_symbols_per_s = symbols / ours, symbols / theirs
    show(row, ("train %-2s %-4s %s, %s"):format(name, cell, precision, threads_of(threads)),
      row.symbols_per_s, row.peer_symbols_per_s, "symbols/s")
  end)
end

local function read_sequence(library, sequence, cell, threads, precision)
  local work = {
    work = "sequence", cell = cell, threads = threads, precision = precision, layers = sequence.layers,
    hidden = sequence.hidden, batch = sequence.batch, length = sequence.length, directions = sequence.directions,
  }
  local begun = {
    case = "peer_sequence", of = sequence.name, cell = cell, threads = threads, precision = precision,
  }
  compare(library, begun, work, function(row, ours, theirs)
    for _, size in ipairs { "layers", "hidden", "batch", "length", "directions" } do
      row[size] = sequence[size]
    end
    row.ms, row.peer_ms = 1e3 * ours, 1e3 * theirs
    show(row, ("sequence %s %s %s, %s"):format(sequence.name, cell, precision, threads_of(threads)),
      row.ms, row.peer_ms, "ms")
  end)
end

local function step(library, cell, hidden, how)
  local work = { work = "step", cell = cell, hidden = hidden, threads = 1, how = how }
  compare(library, { case = "peer_step", cell = cell, hidden = hidden, how = how }, work, function(row, ours, theirs)
    row.us, row.peer_us = 1e6 * ours, 1e6 * theirs
    show(row, ("step %s of %d, %s"):format(cell, hidden, how), row.us, row.peer_us, "us")
  end)
end

-- --- What is compared --------------------------------------------------------

--- What was asked for, or else everything; of what was asked for, only what there is.
local function chosen(asked, all)
  local found = {}
  for _, value in ipairs(all) do
    for _, word in ipairs(#asked > 0 and asked or all) do
      if word == value then
        found[#found + 1] = value
      end
    end
  end
  return found
end

local function train_all(name)
  if not libraries.torch.python then
    return
  end
  local precisions = chosen(options.precision, cases.precisions_of[name])
  for _, cell in ipairs(chosen(options.cell, cases.peer_cells)) do
    for _, threads in ipairs(chosen(options.threads, { 1, 2 })) do
      for _, precision in ipairs(precisions) do
        train(name, cell, threads, precision)
      end
    end
  end
end

local others = {}

function others.sequence()
  local precisions = chosen(options.precision, { "real", "bf16", "int8" })
  for _, sequence in ipairs(cases.sequences) do
    for _, cell in ipairs(chosen(options.cell, sequence.cells)) do
      for _, threads in ipairs(chosen(options.threads, { 1, 2 })) do
        for _, precision in ipairs(precisions) do
          for _, name in ipairs(cases.sequence_peers(cell, precision)) do
            if libraries[name].python then
              read_sequence(libraries[name], sequence, cell, threads, precision)
            end
          end
        end
      end
    end
  end
end

function others.step()
  for _, cell in ipairs(chosen(options.cell, cases.headed_cells)) do
    for _, hidden in ipairs(cases.peer_step_sizes) do
      for _, variant in ipairs(cases.step_peers) do
        local library = libraries[variant.library]
        if library.python then
          step(library, cell, hidden, variant.how)
        end
      end
    end
  end
end

find(libraries.torch)
find(libraries.onnx)
if libraries.torch.python or libraries.onnx.python then
  host.emit {
    case = "peers", pytorch = libraries.torch.version, onnxruntime = libraries.onnx.version,
    onednn_instructions = libraries.torch.instructions,
  }
end
if libraries.torch.instructions then
  say("oneDNN of PyTorch %s uses: %s", libraries.torch.version, libraries.torch.instructions)
end
for _, name in ipairs(chosen(options.case, CASES)) do
  (others[name] or train_all)(name)
end
tell_left_out()
