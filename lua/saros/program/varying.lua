--- Functions outside the core whose results vary from call to call: random numbers and
--- the time. A program would have what they gave once, so a traced step must not call them.

local saros = require "saros" -- in whose table scripts find its clock
local captured = require "saros.program.captured"

local rawset = rawset -- which scripts cannot take away

local FUNCTIONS = {
  { title = "math.random", library = math, name = "random" },
  { title = "os.time", library = os, name = "time", tells_time = true },
  { title = "os.clock", library = os, name = "clock", tells_time = true },
  { title = "os.date", library = os, name = "date", tells_time = true },
  { title = "saros.clock", library = saros, name = "clock", tells_time = true },
}

---@class saros.program.Refusal
---@field captured saros.program.Captured
---@field before table<table, function>  what stood in the libraries, by entries of FUNCTIONS
local Refusal = {}

function Refusal:__close()
  local original = {}
  for entry, f in next, self.before do
    rawset(entry.library, entry.name, f)
    original[f] = f
  end
  captured.replace(self.captured, original)
end

local varying = {}

--- Until the value is closed, a call of such a function is refused, by the library's field
--- or by what the step has captured of it.
---@param t saros.program.Recorder
---@return saros.program.Refusal
function varying.refuse(t)
  local before, refused = {}, {}
  for _, entry in ipairs(FUNCTIONS) do
    local f = entry.library and entry.library[entry.name] -- nil where a host has taken it away
    if f then
      before[entry] = f
      refused[f] = function()
        if entry.tells_time then
          t:refuse(entry.title .. ", which a program would read only once (the time is passed in with x)")
        end
        t:refuse_chance(entry.title)
      end
      rawset(entry.library, entry.name, refused[f])
    end
  end
  captured.replace(t.captured, refused)
  return setmetatable({ captured = t.captured, before = before }, Refusal)
end

return varying
