--- The same training here and in PyTorch, by turns: each update, or few, of one
--- is followed by as many of the other, so that what else happens on the
--- machine meets both. Prints a line of JSON for each case.
---
---   make bench-peers BENCH="--case A --cell lstm --threads 1"

local argparse = require "argparse"
local saros = require "saros"
local cases = require "bench.cases"
local host = require "bench.host"
local measure = require "bench.measure"

local SHORTEST = 0.1 -- seconds of one turn
local FEWEST = 3 -- turns

local parser = argparse("peers", "Compare with PyTorch; see docs/performance.md.")
parser:option("--case", "Only this case."):choices(cases.names):count "*"
parser:option("--cell", "Only this cell."):choices(cases.peer_cells):count "*"
parser:option("--threads", "Only so many threads."):convert(math.tointeger):count "*"
parser:option("--seconds", "Compare each for about so long."):convert(tonumber):default "5"
parser:option("--python", "A Python that has PyTorch."):default ""
local options = parser:parse()

-- --- Peers -------------------------------------------------------------------

--- A program that answers each line with a line of JSON. Lua's pipes go one way
--- only, so its answers come through a named one.
local Peer = {}
Peer.__index = Peer

---@param words (string|number)[]
local function start(words)
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute(host.command { "mkfifo", path }))
  local command = host.command(words) .. " > " .. host.command { path }
  local self = setmetatable({ input = assert(io.popen(command, "w")), command = command }, Peer)
  self.output = assert(io.open(path))
  os.remove(path)
  self.started = self:answer()
  return self
end

function Peer:answer()
  local line = self.output:read "l"
  return line and assert(saros.json_decode(line))
    or error("bench-peers: expected an answer, got none from " .. self.command, 0)
end

--- Let it make so many updates.
---@return { seconds: number, peak_resident_mb: number? }
function Peer:turn(updates)
  self.input:write(updates, "\n")
  self.input:flush()
  return self:answer()
end

function Peer:__close()
  self.input:close()
  self.output:close()
end

--- The first Python that has PyTorch; nil if there is none.
local function find_python()
  local candidates = options.python ~= "" and { options.python } or { "python3", "/usr/bin/python3" }
  for _, python in ipairs(candidates) do
    if os.execute(host.command { python, "-c", "import torch" } .. " 2>/dev/null") then
      return python
    end
  end
end

-- --- Comparing ---------------------------------------------------------------

--- Turns of both, with the ratio of each pair.
local function compare(ours, theirs, updates)
  local pairs_of_turns, spent = {}, 0
  while #pairs_of_turns < FEWEST or spent < options.seconds do
    local our, their = ours:turn(updates), theirs:turn(updates)
    spent = spent + our.seconds + their.seconds
    pairs_of_turns[#pairs_of_turns + 1] = {
      ours = our.seconds, theirs = their.seconds, ratio = their.seconds / our.seconds,
      our_memory = our.peak_resident_mb, their_memory = their.peak_resident_mb,
    }
  end
  return pairs_of_turns
end

--- Both warm up; how many updates make a turn.
local function updates_of_turn(ours, theirs)
  ours:turn(1)
  theirs:turn(1)
  return math.ceil(SHORTEST / math.min(ours:turn(1).seconds, theirs:turn(1).seconds))
end

-- PyTorch's own threads and those of its BLAS take the processors from each
-- other where they spin while they wait: on two threads a case took eight times
-- as long until this was set.
local QUIET = "OMP_WAIT_POLICY=passive"

local function run(python, name, cell, threads)
  local case = cases.case(name, cell)
  local ours <close> = start { host.program, "bench/peer_saros.lua", name, cell, threads }
  local theirs <close> = start {
    "env", QUIET, "OMP_NUM_THREADS=" .. threads, "OPENBLAS_NUM_THREADS=" .. threads, python, "bench/peer_torch.py",
    cell, case.layers, case.hidden, case.batch, case.length, cases.VOCABULARY, threads,
  }
  local updates = updates_of_turn(ours, theirs)
  local turns = compare(ours, theirs, updates)
  local symbols, last = updates * case.batch * case.length, turns[#turns]
  return {
    case = "peer", of = name, cell = cell, threads = threads, peer = theirs.started.name, pairs = #turns,
    ratio = measure.median_of(turns, "ratio"),
    symbols_per_s = symbols / measure.median_of(turns, "ours"),
    peer_symbols_per_s = symbols / measure.median_of(turns, "theirs"),
    resident_mb = last.our_memory, peer_resident_mb = last.their_memory,
    resident_mb_at_start = ours.started.peak_resident_mb,
    peer_resident_mb_at_start = theirs.started.peak_resident_mb,
  }
end

local function show(row)
  io.stderr:write(("%-2s %-4s %d thread%s  Saros %8.0f  %s %8.0f symbols/s  ratio %.2f  memory %5.0f and %5.0f MB\n")
    :format(row.of, row.cell, row.threads, row.threads == 1 and " " or "s", row.symbols_per_s, row.peer,
      row.peer_symbols_per_s, row.ratio, row.resident_mb or 0, row.peer_resident_mb))
end

local function chosen(asked, all)
  return #asked > 0 and asked or all
end

local python = find_python()
if not python then
  io.stderr:write("bench-peers: nothing was compared, as ",
    options.python ~= "" and options.python or "the Python here",
    " cannot import torch (Debian: python3-torch; make bench-peers PYTHON=... names another Python)\n")
  return
end
for _, name in ipairs(chosen(options.case, { "A", "B", "C" })) do
  for _, cell in ipairs(chosen(options.cell, cases.peer_cells)) do
    for _, threads in ipairs(chosen(options.threads, { 1, 2 })) do
      local row = run(python, name, cell, threads)
      host.emit(row)
      show(row)
    end
  end
end
