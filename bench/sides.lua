--- Two programs that do the same work by turns: each turn of one is followed by
--- one of the other, so that what else happens on the machine meets both.

local saros = require "saros"
local host = require "bench.host"
local measure = require "bench.measure"

local sides = {}

local SHORTEST = 0.1 -- seconds of one turn
local FEWEST = 3 -- turns

--- A program that answers each line with a line of JSON. Lua's pipes go one way
--- only, so its answers come through a named one.
---@class bench.Side
---@field started table  what it said first: its name and memory
---@field runs integer  in a turn
local Side = {}
Side.__index = Side

---@param words (string|number)[]
---@return bench.Side
function sides.start(words)
  local path = os.tmpname()
  os.remove(path)
  assert(os.execute(host.command { "mkfifo", path }))
  local command = host.command(words) .. " > " .. host.command { path }
  local self = setmetatable({ input = assert(io.popen(command, "w")), command = command, runs = 1 }, Side)
  self.output = assert(io.open(path))
  os.remove(path)
  self.started = self:answer()
  return self
end

function Side:answer()
  local line = self.output:read "l"
  return line and assert(saros.json_decode(line))
    or error("bench-peers: expected an answer, got none from " .. self.command, 0)
end

--- Let it make some runs.
---@return { seconds: number, peak_resident_mb: number? }
function Side:make(runs)
  self.input:write(runs, "\n")
  self.input:flush()
  return self:answer()
end

--- Warm up, and find how many runs make a turn.
function Side:settle()
  local seconds = self:make(1).seconds
  if seconds < 10 * SHORTEST then -- the first may well have been slower than others
    seconds = self:make(1).seconds
  end
  while self.runs * seconds < SHORTEST do
    self.runs = math.ceil(math.min(10 * self.runs, SHORTEST / seconds))
    seconds = self:make(self.runs).seconds / self.runs
  end
end

--- Seconds of one run, as a turn has it.
function Side:turn()
  local answer = self:make(self.runs)
  return answer.seconds / self.runs, answer.peak_resident_mb
end

function Side:__close()
  self.input:close()
  self.output:close()
end

--- Turns of both for about so many seconds. The ratio is the median over the
--- pairs of turns: more than 1 means that the first is faster.
---@param ours bench.Side
---@param theirs bench.Side
---@param seconds number
---@return { ratio: number, ours: number, theirs: number, pairs: integer, our_memory: number?, their_memory: number }
function sides.compare(ours, theirs, seconds)
  ours:settle()
  theirs:settle()
  local turns, spent, our_memory, their_memory = {}, 0, nil, nil
  while #turns < FEWEST or spent < seconds do
    local turn = {}
    turn.ours, our_memory = ours:turn()
    turn.theirs, their_memory = theirs:turn()
    turn.ratio = turn.theirs / turn.ours
    turns[#turns + 1] = turn
    spent = spent + turn.ours * ours.runs + turn.theirs * theirs.runs
  end
  return {
    ratio = measure.median_of(turns, "ratio"), ours = measure.median_of(turns, "ours"),
    theirs = measure.median_of(turns, "theirs"), pairs = #turns, our_memory = our_memory, their_memory = their_memory,
  }
end

return sides
