--- Where the time of a script goes: by operation, forward and backward, and by
--- layer.
---
---     print(saros.profile(train, lm, text))

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local scope = require "saros.nn.scope"

local format = core.format

---@class saros.profile.Row
---@field operation string  "lstm", "lstm backward", "adam update"; OUTSIDE for what is in no operation
---@field layer string  path of the module in its model; "" outside modules
---@field calls integer
---@field seconds number
---@field share number  of the whole, in [0, 1]; all shares add up to 1

---@class saros.Profile
---@field seconds number  that the function took
---@field rows saros.profile.Row[]  longest first
local Profile = {}
spelling.methods(Profile, "saros.Profile")

local OUTSIDE = "Lua and its collector"

-- Rows with less than this go into one line of the text.
local LEAST_SHARE = 5e-4

-- --- The table ------------------------------------------------------------------------

local function cells_of(row)
  return {
    row.operation,
    row.layer,
    row.calls > 0 and tostring(row.calls) or "",
    format("%.1f", row.seconds * 1000),
    format("%.1f %%", row.share * 100),
  }
end

--- The rows of the text: small ones are one, and the sum comes last.
local function lines_of(profile)
  local lines = { { "operation", "layer", "calls", "ms", "share" } }
  local others = { layer = "", calls = 0, seconds = 0, share = 0 }
  local count = 0
  for _, row in ipairs(profile.rows) do
    if row.share >= LEAST_SHARE or row.operation == OUTSIDE then
      lines[#lines + 1] = cells_of(row)
    else
      count, others.calls = count + 1, others.calls + row.calls
      others.seconds, others.share = others.seconds + row.seconds, others.share + row.share
    end
  end
  if count > 0 then
    others.operation = ("%d others"):format(count)
    lines[#lines + 1] = cells_of(others)
  end
  lines[#lines + 1] = cells_of { operation = "in all", layer = "", calls = 0, seconds = profile.seconds, share = 1 }
  return lines
end

function Profile:__tostring()
  local lines, widths = lines_of(self), { 0, 0, 0, 0, 0 }
  for _, cells in ipairs(lines) do
    for column, cell in ipairs(cells) do
      widths[column] = math.max(widths[column], #cell)
    end
  end
  local layout = ("%%-%ds  %%-%ds  %%%ds  %%%ds  %%%ds"):format(table.unpack(widths))
  for position, cells in ipairs(lines) do
    lines[position] = layout:format(table.unpack(cells))
  end
  return table.concat(lines, "\n")
end

-- --- Measuring ------------------------------------------------------------------------

--- What happened between two readings of the core's rows.
local function difference(before, after)
  local rows, total = {}, 0
  for position, row in ipairs(after) do
    local first = before[position] or { calls = 0, seconds = 0 }
    local seconds, calls = row.seconds - first.seconds, row.calls - first.calls
    if calls > 0 or position == 1 then
      local operation = position == 1 and OUTSIDE or row.operation .. (row.backward and " backward" or "")
      rows[#rows + 1] = { operation = operation, layer = row.layer, calls = calls, seconds = seconds }
      total = total + seconds
    end
  end
  rows[1].calls = 0
  for _, row in ipairs(rows) do
    row.share = total > 0 and row.seconds / total or 0
  end
  table.sort(rows, function(a, b)
    return a.seconds > b.seconds
  end)
  return setmetatable({ rows = rows, seconds = total }, Profile)
end

local Running = {}
spelling.methods(Running, "saros.profile.Running")

--- Ends the measuring; a second call gives the same profile again.
---@return saros.Profile
function Running:stop()
  if not self.profile then
    scope.profiles = scope.profiles - 1
    self.profile = difference(self.before, core.profiling(false))
  end
  return self.profile
end

Running.__close = Running.stop

local profile = {}

--- Begin to measure, where no single function can be called; `stop` ends it.
---@return { stop: fun(self): saros.Profile }
function profile.start()
  local running = setmetatable({ before = core.profiling(true) }, Running)
  scope.profiles = scope.profiles + 1
  return running
end

--- Call a function and measure it. An error in it goes on to the caller. A
--- profile inside another one counts in both.
---@param fn fun(...): ...
---@return saros.Profile profile
---@return any ...  what the function returned
function profile.of(fn, ...)
  if type(fn) ~= "function" and not (getmetatable(fn) or {}).__call then
    options.fail("profile: expected a function, got " .. options.describe(fn))
  end
  local running <close> = profile.start()
  local results = table.pack(fn(...))
  return running:stop(), table.unpack(results, 1, results.n)
end

--- Measure all that the saros program runs: the table goes to the standard
--- error when the returned function is called, or when a script calls os.exit.
---@return fun()
function profile.for_program()
  local running, exit = profile.start(), os.exit
  local function report()
    if not running.profile then
      io.stdout:flush()
      io.stderr:write(tostring(running:stop()), "\n")
    end
  end
  os.exit = function(...) -- luacheck: ignore 122
    report()
    return exit(...)
  end
  return report
end

return profile
