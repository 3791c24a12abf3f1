--- How far back a model uses what it reads, from three sides:
---
---     gradient   the norm of the gradient of one prediction with respect to what was read 1, 2, ...
---                steps ago: where it vanishes, nothing is learned (Bengio et al. 1994)
---     loss       of the prediction from the last 1, 2, ... steps alone: where more of them no
---                longer help, they are not used
---     recalled   how often a linear readout of the last state tells the symbol 1, 2, ... steps ago:
---                what is there, used or not
---
--- The last step is 1 step ago.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"
local frame = require "saros.look.frame"
local batch_first = require "saros.nn.batch_first"
local lines = require "saros.look.lines"
local module = require "saros.nn.module"
local reading = require "saros.inspect.reading"
local recall = require "saros.inspect.recall"

local format = core.format

---@class saros.inspect.Reach
---@field norms number[]  norms[n]: of the gradient, n steps ago, mean over the rows
---@field contexts integer[]  numbers of steps, from 1 to all that were read
---@field losses number[]  from so many steps
---@field steps integer  that the model uses: fewer cost more than 1 % of what all of them gain over one
---@field recalled number[]?  the share of the symbols so many steps ago that is told, for the smaller contexts
---@field guessed number?  the share of the commonest symbol
---@field rows integer  predictions that were looked at
local Reach = {}
spelling.methods(Reach, "saros.inspect.Reach")

-- Of what all steps gain over one: who loses no more does not need them.
local NEGLIGIBLE = 0.01

local check = options.declare("inspect.reach", {
  { "length", options.size, 100 },
  { "rows", options.size, 128 },
  { "recall", options.boolean, false },
})

-- --- What is read -------------------------------------------------------------------

--- Rows of `length` symbols from places evenly over the text, as columns (T, B),
--- and the symbol (1, B) after each.
local function rows_of(ids, length, count)
  local places = #ids - length
  count = math.min(count, places)
  local rows, targets = {}, {}
  for row = 1, count do
    local first = (row - 1) * places // count
    rows[row] = core.ids(table.move(ids, first + 1, first + length, 1, {}))
    targets[row] = ids[first + length + 1]
  end
  return { inputs = core.stack(rows, 2), targets = core.ids { targets } }
end

--- Windows side by side.
local function joined(windows)
  local inputs, targets = {}, {}
  for position, window in ipairs(type(windows) == "table" and windows or {}) do
    local is_window = type(window) == "table" and options.tensor.accept(window.inputs)
      and options.tensor.accept(window.targets)
    if not is_window then
      options.fail(("inspect.reach: expected window %d to be { inputs = tensor, targets = tensor }, got %s"):format(
        position, options.describe(window)))
    end
    inputs[position], targets[position] = window.inputs, window.targets
  end
  if #inputs == 0 then
    options.fail("inspect.reach: expected a string to read or a list of windows, got " .. options.describe(windows))
  end
  return { inputs = core.concatenate(inputs, 2), targets = core.concatenate(targets, 2) }
end

--- One window of many rows, from a text or from windows.
local function window_of(model, source, o)
  if type(source) ~= "string" then
    return joined(source)
  end
  reading.check_model("inspect.reach", model)
  return rows_of(reading.encode("inspect.reach", model, source, o.length + 1), o.length, o.rows)
end

--- How a model comes to its last prediction: what its layers read, (T, B, F), and
--- a function of that, or of its last steps, to (B, O).
local function steps_of(model, inputs)
  if inputs:dtype() == "real" then
    batch_first.refuse("inspect.reach", model, "windows are (T, B, ...)")
    return inputs, function(x)
      return (model(x)):select(1, -1)
    end
  end
  reading.check_stack("inspect.reach", model)
  return model.embedding(inputs), function(x)
    return model.head((model.recurrent(x)):select(1, -1))
  end
end

-- --- The curves ------------------------------------------------------------------------

local function loss_of(outputs, targets)
  return targets:dtype() == "ids" and core.cross_entropy(outputs, targets) or core.mse(outputs, targets)
end

--- The norms of the gradient of the last prediction's loss, from the last step on.
local function norms_of(x, predict, targets)
  local tape <close> = core.tape { training = false, parameters = false }
  tape:watch(x)
  -- The sum over the rows: each row's own gradient.
  tape:backward(loss_of(predict(x), targets) * targets:size(1))
  local gradient, norms = x:gradient(), {}
  for t, norm in ipairs((gradient * gradient):sum(-1):sqrt():mean(2):totable()) do
    norms[#x + 1 - t] = norm
  end
  return norms
end

--- 1, 2, 3, 4, 6, 8, 12, ... and T.
local function contexts_up_to(T)
  local list, power = {}, 1
  while power < T do
    list[#list + 1] = power
    if power > 1 and power + power // 2 < T then
      list[#list + 1] = power + power // 2
    end
    power = 2 * power
  end
  list[#list + 1] = T
  return list
end

--- The smallest number of steps from which the loss is no higher than with all of
--- them, but for what is negligible; 1 where more are no help.
local function needed(loss_from, contexts, losses)
  local n, all = #contexts, losses[#losses]
  if losses[1] <= all then
    return 1
  end
  local limit = all + NEGLIGIBLE * (losses[1] - all)
  while n > 1 and losses[n - 1] <= limit do
    n = n - 1
  end
  local few, enough = contexts[n - 1] or 0, contexts[n]
  while enough - few > 1 do
    local between = (few + enough) // 2
    if loss_from(between) <= limit then
      enough = between
    else
      few = between
    end
  end
  return enough
end

--- Look at how far back a model uses what it reads.
---@param model saros.nn.LanguageModel|saros.nn.Module  a language model; or one that reads real numbers,
---  (T, B, F) -> outputs (T, B, O), and windows for it
---@param source string|{ inputs: saros.Tensor, targets: saros.Tensor }[]  a text of more than `length` symbols,
---  or windows of one length; of their targets the last step's are looked at
---@param given? { length?: integer, rows?: integer, recall?: boolean }  of a text: symbols before a
---  prediction (100), predictions (128); recall: is a readout trained, too? (false)
---@return saros.inspect.Reach
local function reach(model, source, given)
  local _ <close> = core.no_gradient()
  local o = check(given)
  if not module.is(model) then
    options.fail("inspect.reach: expected a language model, or a module and windows, got " .. options.describe(model))
  end
  local window = window_of(model, source, o)
  local x, predict = steps_of(model, window.inputs)
  local T, targets = #x, window.targets:select(1, -1)
  local function loss_from(steps)
    return loss_of(predict(x:slice(1, T + 1 - steps)), targets):item()
  end
  local self = setmetatable({ contexts = contexts_up_to(T), losses = {}, rows = targets:size(1) }, Reach)
  self.norms = norms_of(x, predict, targets)
  for n, steps in ipairs(self.contexts) do
    self.losses[n] = loss_from(steps)
  end
  self.steps = needed(loss_from, self.contexts, self.losses)
  if o.recall then
    reading.check_stack("inspect.reach with recall", model)
    self.recalled, self.guessed = recall((model.recurrent(x)), window.inputs, self.contexts, #model.vocabulary)
  end
  return self
end

-- --- Showing -----------------------------------------------------------------------------

--- After how many steps the norm is a fraction of what it is at the prediction
--- for good; nil if it does not get so low.
---@param fraction number
---@return integer?
function Reach:distance(fraction)
  for n = #self.norms, 1, -1 do
    if self.norms[n] >= fraction * self.norms[1] then
      return n < #self.norms and n or nil
    end
  end
end

local function summary(self)
  local all = self.contexts[#self.contexts]
  return self.steps == 1 and "uses one step" or self.steps < all and ("uses about %d steps"):format(self.steps)
    or ("uses %d steps or more"):format(all)
end

--- The curves as shares of their beginnings; without that of the loss where one
--- step alone tells as much as all.
local function curves(self)
  local ago, norms, added = {}, {}, {}
  local most, all = math.max(table.unpack(self.norms)), self.losses[#self.losses]
  for n, norm in ipairs(self.norms) do
    ago[n], norms[n] = n, norm / most
  end
  for n, loss in ipairs(self.losses) do
    added[n] = (loss - all) / (self.losses[1] - all)
  end
  local series = { { name = "gradient", x = ago, y = norms } }
  if self.losses[1] > all then
    series[2] = { name = "loss added where only so many are read", x = self.contexts, y = added }
  end
  if self.recalled then
    local x = table.move(self.contexts, 1, #self.recalled, 1, {})
    series[#series + 1] = { name = "recalled", x = x, y = self.recalled }
  end
  return series
end

--- The curves over the steps.
---@return string
function Reach:svg()
  return lines({
    series = curves(self), log = true, log_x = true, title = "How far back: " .. summary(self), x = "steps ago",
    y = "share",
  }):svg()
end

--- Write the picture to a file.
---@param path string
---@return true? ok, string? message
function Reach:save(path)
  return frame.write(path, "svg", self:svg())
end

function Reach:__tostring()
  local text = { summary(self), "steps  gradient  loss" .. (self.recalled and "    recalled" or "") }
  for n, steps in ipairs(self.contexts) do
    local recalled = self.recalled and self.recalled[n]
    text[#text + 1] = format("%-5d  %.2e  %.4f%s",
      steps, self.norms[steps], self.losses[n], recalled and format("  %3.0f %%", 100 * recalled) or "")
  end
  return table.concat(text, "\n")
end

return reach
