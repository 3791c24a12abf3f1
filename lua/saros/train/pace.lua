--- The speed of a training: symbols, divided by the time of the updates and of reading
--- their windows. What happens between updates does not count: checkpoints, the
--- held-out part, samples, functions of the caller.

local core = require "saros.core"

local RECENT = 20 -- updates

---@class saros.train.Pace
---@field symbols integer  of the epoch, since this call began with it
---@field seconds number  that they took
---@field recent { symbols: integer, seconds: number }[]  the last RECENT updates, over the ends of epochs
---@field count integer  of updates
---@field since number  when the time of the next update began
local Pace = {}
Pace.__index = Pace

--- An epoch begins.
function Pace:begin()
  self.symbols, self.seconds = 0, 0
  self:resume()
end

--- The time of the next update begins.
function Pace:resume()
  self.since = core.clock()
end

--- An update is done.
---@param symbols integer  that it learned from
---@return number symbols_per_second  of the last updates
function Pace:update(symbols)
  local seconds = math.max(core.clock() - self.since, 1e-9)
  self.symbols, self.seconds = self.symbols + symbols, self.seconds + seconds
  self.recent[self.count % RECENT + 1] = { symbols = symbols, seconds = seconds }
  self.count = self.count + 1
  local all, time = 0, 0
  for _, update in ipairs(self.recent) do
    all, time = all + update.symbols, time + update.seconds
  end
  return all / time
end

--- Symbols a second of the epoch; nil if this call has made no update in it.
---@return number?
function Pace:mean()
  return self.seconds > 0 and self.symbols / self.seconds or nil
end

---@return saros.train.Pace
return function()
  return setmetatable({ symbols = 0, seconds = 0, recent = {}, count = 0 }, Pace)
end
