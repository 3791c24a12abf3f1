--- What a run folder says about its training, for a report. Whatever is missing,
--- damaged or unknown is left out: a report is also for a training under way.

local core = require "saros.core"
local files = require "saros.files"
local svg = require "saros.look.svg"

local run = {}

-- A curve has at most about so many points; more are averaged.
local POINTS = 2000

-- So many samples at most are shown, the first and the last among them.
local SAMPLES = 40

--- What is shown of an update, and of an epoch.
local WINDOW = { "loss", "accuracy", "lr", "norm", "symbols_per_second", "memory" }
local EPOCH = { "train", "valid", "accuracy", "symbols_per_second", "seconds" }

---@class saros.report.Run
---@field name string
---@field windows table<string, (number|lightuserdata)[]>  columns: step and those of WINDOW
---@field epochs table<string, (number|lightuserdata)[]>  columns: step, epoch and those of EPOCH
---@field has_symbols boolean  is its loss that of symbols, which have bits?
---@field averaged integer  updates in each point of the curves
---@field config table<string, string>  flat: "model.options.hidden" = "128"
---@field samples { name: string, text: string }[]
---@field ranks table?  seconds of each rank in the last pass, unchecked: see saros.train.RankSeconds
---@field held_out { confusion: table?, errors: table?, forecasts: table? }  from `examine`, unchecked

local function number(value)
  return type(value) == "number" and value == value and math.abs(value) ~= math.huge and value or nil
end

--- The records of both kinds, by their steps. A training may have been taken up
--- again at an earlier step: what comes last counts.
local function records_of(content)
  local windows, epochs = {}, {}
  for line in content:gmatch "[^\n]+" do
    local record = core.json_decode(line)
    if type(record) == "table" and number(record.step) and record.event ~= "rollback" then
      local list = (record.event == "epoch" or record.train) and epochs or windows
      while list[#list] and list[#list].step >= record.step do
        list[#list] = nil
      end
      list[#list + 1] = record
    end
  end
  return windows, epochs
end

--- The mean of a field over some records; null where none has it.
local function mean_of(records, first, last, field)
  local sum, count = 0, 0
  for n = first, last do
    local value = number(records[n][field])
    if value then
      sum, count = sum + value, count + 1
    end
  end
  return count > 0 and sum / count or core.null
end

--- Records as columns, `every` of them averaged into one row.
local function columns_of(records, fields, every)
  local columns = { step = {} }
  for _, field in ipairs(fields) do
    columns[field] = {}
  end
  for first = 1, #records, every do
    local last = math.min(first + every - 1, #records)
    local row = #columns.step + 1
    columns.step[row] = records[last].step
    for _, field in ipairs(fields) do
      columns[field][row] = mean_of(records, first, last, field)
    end
  end
  return columns
end

local function have_bits(records)
  for _, record in ipairs(records) do
    if number(record.bits) then
      return true
    end
  end
  return false
end

--- A tree of tables as "path.to.leaf" = text.
local function flatten(tree, path, flat)
  for key, value in pairs(tree) do
    local name = path .. tostring(key)
    if type(value) == "table" then
      flatten(value, name .. ".", flat)
    else
      flat[name] = value == core.null and "null" or core.format("%s", value)
    end
  end
  return flat
end

--- A table from a file of JSON; an empty one where there is none.
local function json_of(path)
  local value = core.json_decode(files.read(path) or "")
  return type(value) == "table" and value or {}
end

local function samples_of(folder)
  local names, samples = files.names(folder) or {}, {}
  local step = math.max(1, (#names - 1) / (SAMPLES - 1))
  for n = 0, math.min(#names, SAMPLES) - 1 do
    local name = names[math.floor(n * step + 0.5) + 1]
    local text = files.read(folder .. "/" .. name)
    if text then
      local epoch = name:match "^epoch%-0*(%d+)%.txt$"
      samples[#samples + 1] = { name = epoch and "epoch " .. epoch or svg.utf8(name), text = text }
    end
  end
  return samples
end

--- Read a run folder.
---@param folder string
---@return saros.report.Run? run, string? message
function run.read(folder)
  local metrics = files.read(folder .. "/metrics.jsonl")
  local config = flatten(json_of(folder .. "/config.json"), "", {})
  if not metrics and not next(config) then
    return nil, ("report: expected a run folder with metrics.jsonl or config.json, got %q"):format(folder)
  end
  local windows, epochs = records_of(metrics or "")
  local averaged = math.max(1, math.ceil(#windows / POINTS))
  return {
    name = svg.utf8(folder:match "([^/]+)/*$" or folder),
    windows = columns_of(windows, WINDOW, averaged),
    epochs = columns_of(epochs, { "epoch", table.unpack(EPOCH) }, 1),
    has_symbols = have_bits(epochs) or have_bits(windows),
    averaged = averaged,
    config = config,
    samples = samples_of(folder .. "/samples"),
    held_out = json_of(folder .. "/held_out.json"),
    ranks = epochs[#epochs] and epochs[#epochs].ranks,
  }
end

return run
