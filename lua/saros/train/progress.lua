--- Progress for people: on a terminal one live line, into a file or a pipe one
--- plain line for each epoch.

local core = require "saros.core"
local options = require "saros.options"

---@class saros.Progress
---@field file file*
---@field live boolean  redraw a line while an epoch runs
---@field every integer  epochs from one plain line to the next
---@field drawn number  when the line was last drawn
local Progress = {}
Progress.__index = Progress
Progress.__name = "saros.Progress"

local BAR_WIDTH = 20
local REDRAW_SECONDS = 0.1

local check = options.declare("progress", {
  { "file", options.optional(options.kind("an open file", function(value)
    return io.type(value) == "file" and value or nil
  end)) },
  { "live", options.optional(options.boolean) },
  { "every", options.size, 1 },
})

--- 45210 as "45.2k".
local function count_text(n)
  if n < 1e3 then
    return ("%.0f"):format(n)
  elseif n < 1e6 then
    return ("%.1fk"):format(n / 1e3)
  end
  return ("%.2fM"):format(n / 1e6)
end

--- 3725 seconds as "1:02:05".
local function time_text(seconds)
  seconds = math.floor(seconds + 0.5)
  if seconds < 3600 then
    return ("%d:%02d"):format(seconds // 60, seconds % 60)
  end
  return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds % 60)
end

local function bar_text(fraction)
  local filled = math.floor(fraction * BAR_WIDTH + 0.5)
  return "[" .. ("#"):rep(filled) .. ("."):rep(BAR_WIDTH - filled) .. "]"
end

local function erase(self)
  if self.live then
    self.file:write "\r\27[K"
  end
end

--- A window has been learned from.
---@param record saros.train.WindowRecord
function Progress:window(record)
  local now = core.clock()
  if not self.live or now - self.drawn < REDRAW_SECONDS then
    return
  end
  self.drawn = now
  erase(self)
  local done = (record.epoch - 1 + record.index / record.count) / record.epochs
  self.file:write(("epoch %d/%d %s  loss %.4f  %s symbols/s  %s left"):format(
    record.epoch, record.epochs, bar_text(done), record.smoothed,
    count_text(record.symbols_per_second), time_text(record.seconds_left)))
  self.file:flush()
end

--- An epoch is over.
---@param record saros.train.EpochRecord
function Progress:epoch(record)
  if record.epoch % self.every ~= 0 and record.epoch ~= record.epochs then
    return
  end
  erase(self)
  local valid = record.valid and ("  valid %.4f"):format(record.valid) or ""
  self.file:write(("epoch %d  train %.4f%s  %s symbols/s\n"):format(
    record.epoch, record.train, valid, count_text(record.symbols_per_second)))
  self.file:flush()
end

--- Write something of one's own without tearing the live line.
---@param text string
function Progress:write(text)
  erase(self)
  self.file:write(text)
  self.file:flush()
end

--- Make a progress display for `saros.fit`.
---@param given? { file?: file*, live?: boolean, every?: integer }
---  file: standard output; live: whether to redraw a line, by default where
---  the file is a terminal; every: epochs from one plain line to the next (1)
---@return saros.Progress
local function progress(given)
  local o = check(given)
  o.file = o.file or io.stdout -- asked for late: a host may not have it
  if o.live == nil then
    o.live = core.is_terminal(o.file)
  end
  o.drawn = -math.huge
  return setmetatable(o, Progress)
end

return progress
