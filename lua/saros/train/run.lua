--- A run folder: what a training leaves on disk, and reads there to continue.
---
---     config.json          what decides the result
---     metrics.jsonl        a line for each update and each epoch
---     checkpoints/         the last ones, and that of the best epoch
---     samples/             what the model wrote after each epoch
---     model.safetensors    for saros.load: of the lowest held-out loss
---     held_out.json        what that model makes of the held-out part, if it is no text
---     report.html          all of this to look at
---
--- Files appear all at once, so a crash leaves each of them old or new. The
--- metrics only grow; `resume` cuts off lines behind the checkpoint.

local core = require "saros.core"
local options = require "saros.options"
local files = require "saros.files"
local model_file = require "saros.model_file"
local checkpoint = require "saros.train.checkpoint"
local config = require "saros.train.config"
local pass = require "saros.train.pass"

---@class saros.train.Run
---@field folder string
---@field metrics file*
---@field lock file*  held while this process trains here
---@field files table  LuaFileSystem
local Run = {}
Run.__index = Run
Run.__name = "saros.Run"

local run = {}

local function fail(message, ...)
  error("fit: " .. message:format(...), 0)
end

local function need(ok, message)
  return ok or fail("%s", message)
end

local function file_system()
  local found, lfs = pcall(require, "lfs")
  return found and lfs
    or options.fail "fit: expected LuaFileSystem to be there (Debian: lua-filesystem), as run folders need it"
end

local function make_folder(path)
  local ok, message = core.make_folder(path)
  if not ok then
    local file <close> = not files.is_folder(path) and files.open(path) or nil
    local reason = file and "there is a file of that name" or message:match 'got "(.*)"$' or message
    options.fail(("fit: expected to make the run folder %q: %s"):format(path, reason))
  end
end

local function names_in(path)
  local names, message = files.names(path)
  return names or fail("%s", message)
end

function Run:path(name)
  return self.folder .. "/" .. name
end

--- What a killed process had begun to write.
local function remove_temporary(self)
  for _, folder in ipairs { self.folder, self:path "checkpoints", self:path "samples" } do
    for _, name in ipairs(files.is_folder(folder) and names_in(folder) or {}) do
      if name:find "%.tmp%-%d+%-%d+$" then
        os.remove(folder .. "/" .. name)
      end
    end
  end
end

--- Only one process may train into a folder; the lock ends with the process.
local function lock(self)
  local file, message = files.open(self:path "lock", "a")
  if not file then
    options.fail("fit: expected to write to the run folder: " .. message)
  elseif not self.files.lock(file, "w") then
    options.fail(("fit: expected a run folder of one's own, got %q, into which another process trains"):format(
      self.folder))
  end
  self.lock = file
end

--- Open a run folder, which is made unless it is there.
---@param folder string
---@param has_samples boolean  true if the model will write some
---@return saros.train.Run
function run.open(folder, has_samples)
  make_folder(folder)
  local self = setmetatable({ folder = folder, files = file_system() }, Run)
  make_folder(self:path "checkpoints")
  if has_samples then
    make_folder(self:path "samples")
  end
  lock(self)
  remove_temporary(self)
  return self
end

function Run:close()
  for _, name in ipairs { "metrics", "lock" } do
    if self[name] then
      self[name]:close()
      self[name] = nil
    end
  end
end

--- The steps of the checkpoints there are, latest first.
---@return integer[]
function Run:steps()
  return checkpoint.steps(names_in(self:path "checkpoints"))
end

-- --- Metrics --------------------------------------------------------------------------

local function need_metrics(self, ok, message)
  return ok or fail("expected to write %q, got %q", self:path "metrics.jsonl", tostring(message))
end

--- One more line of metrics.jsonl.
function Run:log(record)
  need_metrics(self, self.metrics:write(core.json_encode(record), "\n"))
end

--- What was logged goes to the system.
function Run:flush()
  need_metrics(self, self.metrics:flush())
end

--- True if a line is of an epoch before this one, or of an update up to this step.
local function is_before(line, step, epoch)
  local record = core.json_decode(line)
  if type(record) ~= "table" then
    return false
  elseif record.event == "epoch" then
    return math.type(record.epoch) == "integer" and record.epoch < epoch
  end
  return math.type(record.step) == "integer" and record.step <= step
end

local function cut_metrics(self, step, epoch)
  local path = self:path "metrics.jsonl"
  local content = files.read(path) or ""
  local lines = {}
  for line in content:gmatch "([^\n]*)\n" do
    if is_before(line, step, epoch) then
      lines[#lines + 1] = line .. "\n"
    end
  end
  local text = table.concat(lines)
  if text ~= content then
    need(core.write_file(path, text))
  end
end

local function open_metrics(self)
  local file, message = files.open(self:path "metrics.jsonl", "a")
  self.metrics = file or fail("%s", message)
  file:setvbuf "full"
end

-- --- Beginning and going on -------------------------------------------------------------

local function write_config(self, now)
  need(core.write_file(self:path "config.json", core.json_encode(now, true) .. "\n"))
end

--- Start over: remove what an earlier training left, except its model, which stays
--- until there is a better one.
---@param now table  the configuration
function Run:begin(now)
  for _, step in ipairs(self:steps()) do
    os.remove(checkpoint.path(self:path "checkpoints", step))
  end
  local samples = self:path "samples"
  for _, name in ipairs(files.is_folder(samples) and names_in(samples) or {}) do
    if name:find "^epoch%-%d+%.txt$" then
      os.remove(samples .. "/" .. name)
    end
  end
  need(core.write_file(self:path "metrics.jsonl", ""))
  write_config(self, now)
  open_metrics(self)
end

local function refuse_text(self, lines)
  fail("expected the text that %s was trained on, got another one; resume = false starts over, "
    .. "or choose another folder:\n  %s", self.folder, table.concat(lines, "\n  "))
end

local function refuse_parameters(self, lines)
  fail("expected a model and an optimizer that fit the checkpoints in %s, got others; resume = false starts over, "
    .. "or choose another folder:\n  %s", self.folder, table.concat(lines, "\n  "))
end

--- Errors at what differs from the configuration of the folder.
---@param now table
---@param force boolean  true: another configuration is accepted if text and parameters are the same
---@param planned fun(): integer  steps of the whole training
function Run:require_same(now, force, planned)
  local before = core.json_decode(files.read(self:path "config.json") or "")
  if type(before) ~= "table" then
    fail("expected a readable %q; resume = false starts over", self:path "config.json")
  end
  before.saros = now.saros -- a newer version may go on
  local texts, others = {}, {}
  local lines, fits = config.differences(before, now, { first = self:steps()[1] + 1, last = planned })
  for _, line in ipairs(lines) do
    local list = line:find "^text%." and texts or others
    list[#list + 1] = line
  end
  if #texts > 0 then
    refuse_text(self, texts)
  elseif not fits then
    refuse_parameters(self, others)
  elseif #others > 0 and not force then
    fail("expected the configuration of %s; force = true goes on with the new one, resume = false "
      .. "starts over:\n  %s", self.folder, table.concat(others, "\n  "))
  end
end

--- The latest checkpoint that can be read. Damaged ones are put aside.
---@return table<string, saros.Tensor>? tensors  nil if there is none
---@return saros.train.Snapshot|nil snapshot
---@return string[] damaged  what is wrong with those after it
function Run:latest()
  local damaged, paths = {}, {}
  for _, step in ipairs(self:steps()) do
    local path = checkpoint.path(self:path "checkpoints", step)
    local tensors, snapshot = checkpoint.read(path)
    if tensors then
      for _, aside in ipairs(paths) do
        os.rename(aside, aside .. ".damaged")
      end
      return tensors, snapshot, damaged
    end
    damaged[#damaged + 1], paths[#paths + 1] = snapshot, path
  end
  if #damaged > 0 then
    fail("expected a readable checkpoint in %s, got none; resume = false starts over:\n  %s",
      self:path "checkpoints", table.concat(damaged, "\n  "))
  end
end

--- Go on with the metrics from a step.
---@param step integer
---@param epoch integer
---@param now? table  the configuration, where it is another one or looks further ahead
function Run:continue(step, epoch, now)
  if now then
    write_config(self, now)
  end
  if self.metrics then
    self.metrics:close()
  end
  cut_metrics(self, step, epoch)
  open_metrics(self)
end

-- --- While it trains ----------------------------------------------------------------------

--- Write a checkpoint, and remove those that are no longer wanted.
---@param training saros.train.Fit
---@param keep integer  number of the last that stay, beside the best
function Run:checkpoint(training, keep)
  local folder, step = self:path "checkpoints", training.optimizer.steps
  self:flush()
  need(checkpoint.write(checkpoint.path(folder, step), checkpoint.capture(training)))
  local best = training.best and training.best.step
  for position, old in ipairs(self:steps()) do
    if position > keep and old ~= best then
      os.remove(checkpoint.path(folder, old))
    end
  end
end

--- The model that saros.load finds here.
---@param model saros.nn.Module
function Run:keep_model(model)
  need(model:save(model_file.path_in(self.folder)))
end

--- A model gets the weights of the one that was kept.
---@param model saros.nn.Module
function Run:give_model(model)
  need(model:load(model_file.path_in(self.folder)))
end

--- What the model makes of the held-out part, if it can tell: for the report.
---@param model saros.nn.Module
---@param data saros.train.Data
function Run:examine(model, data)
  if model.examine and pass.holds_out(data) then
    need(core.write_file(self:path "held_out.json", core.json_encode(model:examine(data))))
  end
end

--- What the model writes after an epoch, behind an opening of the text if that has some.
---@param model saros.nn.LanguageModel
---@param data saros.train.Data
---@param epoch integer
---@param length integer  in symbols
function Run:sample(model, data, epoch, length)
  local prime = data.opening and data:opening { seed = epoch } or ""
  local text = model:write { prime = prime, length = length, temperature = 0.8, seed = epoch }
  need(core.write_file(self:path(("samples/epoch-%04d.txt"):format(epoch)), prime .. text .. "\n"))
end

return run
