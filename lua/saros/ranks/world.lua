--- The ranks of this script, and waiting for them.
---
--- All ranks call the same functions in the same order. Each call begins with a word
--- about itself, which all gather, so a rank that calls something else is an error on
--- every rank rather than a hang. While a rank waits it looks for notices: one that
--- has left cannot answer. Ctrl-C works as anywhere, since waiting is a loop in Lua.

local core = require "saros.core"
local options = require "saros.options"
local launch = require "saros.ranks.launch"

local TURN = 0.01 -- seconds in C before Lua is asked again
local GRACE = 1 -- second for what is under way, after a rank has left

---@class saros.ranks.World
---@field rank integer  of this process, from 0
---@field size integer
---@field hosts string[]  of rank 0, 1, ...
---@field timeout number  seconds after which waiting is an error
---@field seconds { waiting: number, communicating: number }  so far: until all were in a call, and in it
---@field mpi table?  the module in C; nil for a process alone
---@field gone { rank: integer, failed: boolean, text: string }?  the first that has left
---@field broken string?  why nothing can be done together any more
local World = {}
World.__index = World
World.__name = "saros.ranks.World"

local function name_of(self, rank)
  return ("rank %d on %s"):format(rank, self.hosts[rank + 1] or "an unknown host")
end

local function look_for_notices(self)
  repeat
    local rank, failed, text = self.mpi.notice()
    -- One that tells why it failed is the cause of others that left.
    if rank and (not self.gone or failed and text ~= "" and self.gone.text == "") then
      self.gone = { rank = rank, failed = failed, text = text }
    end
  until not rank
end

local function break_with(self, message)
  self.broken = message
  options.fail(message)
end

--- A message without the calls that led to it.
local function without_calls(message)
  return (message:gsub("\nstack traceback:.*", ""))
end

local function fail_without(self, gone, what)
  local name = name_of(self, gone.rank)
  if gone.failed and gone.text ~= "" then
    break_with(self, ("ranks: %s has failed: %s"):format(name, without_calls(gone.text)))
  end
  break_with(self, ("ranks: expected %s to take part in %s, but it has ended"):format(name, what))
end

--- Wait for a request. Returns its result.
local function wait(self, request, what)
  local began, gone_since = core.clock(), nil
  while true do
    local is_done, result = request:test(TURN)
    if is_done then
      return result
    end
    look_for_notices(self)
    local now = core.clock()
    gone_since = gone_since or self.gone and now
    if gone_since and now - gone_since > GRACE then
      fail_without(self, self.gone, what)
    elseif now - began > self.timeout then
      break_with(self, core.format("ranks: expected all ranks in %s within %g seconds, %s has waited in vain; "
        .. "ranks.timeout(seconds) allows for more", what, self.timeout, name_of(self, self.rank)))
    end
  end
end

--- Add what has passed since a time to one of the sums of seconds.
local function count(self, name, since)
  self.seconds[name] = self.seconds[name] + core.clock() - since
end

local function require_whole(self)
  if self.broken then
    options.fail(self.broken)
  end
end

--- Errors unless all ranks are in the same call.
local function require_same(self, words, what)
  for rank, word in ipairs(words) do
    if word ~= what then
      self.broken = ("ranks: expected all ranks in the same call, got %s in %s and %s in %s"):format(
        name_of(self, self.rank), what, name_of(self, rank - 1), word)
      options.fail(self.broken)
    end
  end
end

--- The texts of all ranks, in their order. `what` names the call.
---@param what string  one line
---@param text? string
---@return string[]
function World:gather(what, text)
  require_whole(self)
  text = text or ""
  if not self.mpi then
    return { text }
  end
  local words, texts, began = {}, {}, core.clock()
  local gathered = wait(self, self.mpi.gather(what .. "\n" .. text), what)
  count(self, "waiting", began)
  for rank, all in ipairs(gathered) do
    words[rank], texts[rank] = all:match "^([^\n]*)\n(.*)$"
  end
  require_same(self, words, what)
  return texts
end

local function run(self, what, name, ...)
  self:gather(what)
  local began = core.clock()
  wait(self, self.mpi[name](...), what)
  count(self, "communicating", began)
end

local function shape_of(tensor)
  return ("%s (%s)"):format(tensor:dtype(), table.concat(tensor:shape(), ", "))
end

--- A tensor becomes what it is on a rank.
---@param tensor saros.Tensor  contiguous
---@param root integer  from 0
function World:broadcast(tensor, root)
  if self.mpi then
    run(self, ("broadcast of %s from rank %d"):format(shape_of(tensor), root), "broadcast", tensor, root)
  end
end

--- The elements of a tensor become the least or greatest of all ranks.
---@param tensor saros.Tensor  contiguous
---@param how "min"|"max"
function World:reduce(tensor, how)
  if self.mpi then
    run(self, ("all_reduce of %s by %s"):format(shape_of(tensor), how), "reduce", tensor, how)
  end
end

--- Some tensors become the sum of the nodes of all ranks, which are lists of tensors of
--- these shapes, in a given order of additions: see src/mpi/mpi_sum.c.
---@param what string
---@param nodes saros.Tensor[][]  of this rank
---@param counts integer[]  number of nodes by rank
---@param order integer[]
---@param out saros.Tensor[]
---@param wire "real"|"bf16"  how numbers travel
function World:sum(what, nodes, counts, order, out, wire)
  local elements = 0
  for _, tensor in ipairs(out) do
    elements = elements + tensor:count()
  end
  local call = ("%s of %d numbers in %d parts%s"):format(what, elements, #order // 2 + 1,
    wire == "bf16" and " in bf16" or "")
  run(self, call, "sum", nodes, counts, order, out, elements, wire == "bf16")
end

--- Until the result is closed, Ctrl-C and signals of the launcher wait to be asked for.
---@return table
function World:watch_signals()
  local mpi = self.mpi
  if mpi then
    mpi.watch_signals(true)
  end
  return setmetatable({}, { __close = function()
    if mpi then
      mpi.watch_signals(false)
    end
  end })
end

--- True if one has come to this rank.
---@return boolean
function World:is_stopped()
  return self.mpi ~= nil and self.mpi.signal()
end

--- This rank takes part in nothing any more.
---@param problem any
function World:give_up(problem)
  if self.mpi then
    self.broken = self.broken or "ranks: expected no call after this rank has failed: "
      .. without_calls(tostring(problem))
  end
end

--- Tell the others that this rank has given up, and why. Five seconds later at most all end.
---@param problem any
function World:fail(problem)
  self:give_up(problem)
  if self.mpi then
    pcall(self.mpi.leave, true, without_calls(tostring(problem)))
  end
end

local function begin(found)
  local self = setmetatable({ rank = 0, size = 1, hosts = { "this host" }, timeout = 600,
    seconds = { waiting = 0, communicating = 0 } }, World)
  if not found then
    return self
  end
  local mpi = launch.require(found)
  if not mpi then
    return self
  end
  local rank, size, host, library = mpi.open()
  self.rank, self.size = rank, size
  if found.size and found.size ~= self.size then
    options.fail(("ranks: expected %d processes, as started by %s, got %d; saros_mpi.so was built with %s: "
      .. "take its mpirun, or build it with the other mpicc"):format(found.size, found.mpi, self.size, library))
  end
  self.mpi = mpi
  local info = core.info()
  self.hosts = self:gather("the start", host)
  for number, other in ipairs(self:gather("the start of Saros", info.version .. " of " .. info.real .. "s")) do
    if other ~= info.version .. " of " .. info.real .. "s" then
      break_with(self, ("ranks: expected the same Saros on all ranks, got %s of %ss on %s, and %s on %s"):format(
        info.version, info.real, name_of(self, self.rank), other, name_of(self, number - 1)))
    end
  end
  return self
end

local world

--- All ranks: they begin when they are first asked for.
---@return saros.ranks.World
return function()
  if not world then
    world = begin(launch.found())
  end
  return world
end
