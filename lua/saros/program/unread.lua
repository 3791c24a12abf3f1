--- Comparisons whose results nothing reads. A tensor is true for Lua, whatever its
--- elements are, so `if h:gt(0) then` takes one branch always; what is left unread at
--- the end of a step was a condition.

local core = require "saros.core"

local COMPARES = { lt = true, le = true, gt = true, ge = true, eq = true, ne = true, isnan = true, isfinite = true }

---@class saros.program.Unread
---@field list { tensor: saros.Tensor, name: string, place: string }[]
local Unread = {}
Unread.__index = Unread

--- Forgets a tensor that is read, or those of a table down to that depth.
local function forget(self, value, depth)
  if type(value) == "table" and depth > 0 then
    for _, inner in next, value do
      forget(self, inner, depth - 1)
    end
  end
  for n = #self.list, 1, -1 do
    if rawequal(self.list[n].tensor, value) then
      table.remove(self.list, n)
    end
  end
end

--- Told of a call by core.record.
function Unread:told(name, arguments, results)
  if #self.list > 0 then
    forget(self, arguments, 3)
  end
  if COMPARES[name] then
    self.list[#self.list + 1] = { tensor = results[1], name = name, place = core.caller() }
  end
end

--- What is wrong, if a result is neither read nor returned, and the line of it.
---@param ... any  what the step returned
---@return string?
---@return string? place
function Unread:problem(...)
  for n = 1, #self.list > 0 and select("#", ...) or 0 do
    forget(self, select(n, ...), 3)
  end
  local first = self.list[1]
  if first then
    return ("%s whose result nothing reads (as a condition a tensor is always true; "
      .. "saros.where(condition, a, b) chooses element by element)"):format(first.name), first.place
  end
end

local unread = {}

---@return saros.program.Unread
function unread.new()
  return setmetatable({ list = {} }, Unread)
end

return unread
