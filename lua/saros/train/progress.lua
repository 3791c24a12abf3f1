--- Progress for people: on a terminal one live line, into a file or a pipe one
--- plain line for each epoch.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"

local format = core.format

---@class saros.Progress
---@field file file*
---@field live boolean  redraw a line while an epoch runs
---@field every integer  epochs from one plain line to the next
---@field width integer?  columns of the line; by default those of the terminal
---@field drawn number  when the line was last drawn
---@field unfinished boolean  does the cursor stand behind a live line?
local Progress = {}
spelling.methods(Progress, "saros.Progress")

local BAR_WIDTH = 20
local REDRAW_SECONDS = 0.1

local check = options.declare("progress", {
  { "file", options.optional(options.kind("an open file", function(value)
    return io.type(value) == "file" and value or nil
  end)) },
  { "live", options.optional(options.boolean) },
  { "every", options.size, 1 },
  { "width", options.optional(options.size) },
})

--- 45210 as "45.2k".
local function count_text(n)
  if n < 1e3 then
    return format("%.0f", n)
  elseif n < 1e6 then
    return format("%.1fk", n / 1e3)
  end
  return format("%.2fM", n / 1e6)
end

--- 45210000 bytes as "45 MB".
local function memory_text(record)
  return record.memory and format("  %.0f MB", record.memory / 1e6) or ""
end

--- How often labels are right, or the loss in other units, where there are symbols.
local function units_text(record)
  if record.accuracy then
    return format("  accuracy %.1f %%", 100 * record.accuracy)
  end
  return record.bits and format(" (%.3f bits, perplexity %.2f)", record.bits, record.perplexity) or ""
end

--- 3725 seconds as "1:02:05".
local function time_text(seconds)
  seconds = math.floor(seconds + 0.5)
  if seconds < 3600 then
    return ("%d:%02d"):format(seconds // 60, seconds % 60)
  end
  return ("%d:%02d:%02d"):format(seconds // 3600, seconds // 60 % 60, seconds % 60)
end

--- Steps of series and of what has labels are no symbols, and have no bits.
local function speed_text(record)
  local speed = record.symbols_per_second
  return speed and ("  %s %s/s"):format(count_text(speed), record.bits and "symbols" or "steps") or ""
end

local function bar_text(fraction)
  local filled = math.floor(fraction * BAR_WIDTH + 0.5)
  return "[" .. ("#"):rep(filled) .. ("."):rep(BAR_WIDTH - filled) .. "]"
end

local function erase(self)
  if self.live then
    self.file:write "\r\27[K"
    self.unfinished = false
  end
end

--- As much as fits: the step and its own loss are left out first, then the bar,
--- then memory, then the speed. The loss is the smoothed one.
local function line_text(record, width)
  local done = (record.epoch - 1 + record.index / record.count) / record.epochs
  local epoch = ("epoch %d/%d"):format(record.epoch, record.epochs)
  local loss = format("  loss %.4f", record.smoothed)
  local speed = speed_text(record)
  local left = ("  %s left"):format(time_text(record.seconds_left))
  local memory = memory_text(record)
  local step = format("  step %d%s, now %.4f", record.step, loss, record.loss)
  for _, line in ipairs {
    epoch .. " " .. bar_text(done) .. step .. speed .. memory .. left,
    epoch .. " " .. bar_text(done) .. loss .. speed .. memory .. left,
    epoch .. loss .. speed .. memory .. left,
    epoch .. loss .. speed .. left,
    epoch .. loss .. left,
  } do
    if #line <= width then
      return line
    end
  end
  return (epoch .. loss):sub(1, width)
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
  self.file:write(line_text(record, self.width or core.terminal_width(self.file) or math.huge))
  self.file:flush()
  self.unfinished = true
end

--- An epoch is over. Its line names the best one, if that was earlier.
---@param record saros.train.EpochRecord
function Progress:epoch(record)
  local is_last = record.epoch == record.epochs or record.stopped
  if record.epoch % self.every ~= 0 and not is_last then
    return
  end
  erase(self)
  local valid = record.valid and format("  valid %.4f", record.valid) or ""
  local is_behind = record.best and record.best < record.epoch
  local best = is_behind and ("  best: epoch %d"):format(record.best) or ""
  self.file:write(format("epoch %d  loss %.4f%s%s%s%s%s\n",
    record.epoch, record.train, valid, units_text(record), speed_text(record), memory_text(record), best))
  self.file:flush()
end

--- Write something of one's own without tearing the live line.
---@param text string
function Progress:write(text)
  erase(self)
  self.file:write(text)
  self.file:flush()
end

--- Training ends before its time: leave the live line as it is, and say why.
---@param text? string  what there is to know, without a new line
function Progress:stop(text)
  self.file:write(self.unfinished and "\n" or "", text and text .. "\n" or "")
  self.file:flush()
  self.unfinished = false
end

--- Make a progress display for `saros.fit`.
---@param given? { file?: file*, live?: boolean, every?: integer, width?: integer }
---  file: standard output; live: whether to redraw a line, by default where
---  the file is a terminal; every: epochs from one plain line to the next (1);
---  width: columns of the live line, by default those of the terminal
---@return saros.Progress
local function progress(given)
  if not io then
    options.fail "progress: expected a way to files from the host, got none"
  end
  local o = check(given)
  o.file = o.file or io.stdout
  if o.live == nil then
    o.live = core.is_terminal(o.file)
  end
  o.drawn, o.unfinished = -math.huge, false
  return setmetatable(o, Progress)
end

return progress
