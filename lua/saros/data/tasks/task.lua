--- What all tasks have in common: batches, losses and scores.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"

local format = core.format

---@class saros.data.Task
---@field name string  "copy"
---@field length integer  T: steps of a row, of the longest one if lengths vary
---@field lengths? integer[]  { least, most }, where the length of each row is drawn from a range
---@field inputs? integer  I: features of a step, of a task with inputs (T, B, I)
---@field tokens? integer  V: how many tokens there are, of a task with inputs (T, B) that are ids
---@field outputs integer  O: classes, or numbers, of an answer
---@field answers integer  A: answers belong to the last A steps; T if a mask says where they are
---@field masked boolean  batches have a mask, and only targets where it is 1 count
---@field chance number  the score without memory: of a uniform guess among the possible classes; of 1 in "adding"
---@field reference? saros.data.Automaton  the automaton that gives the answers, where a finite one does
---@field draw fun(generator: saros.Generator, B: integer): saros.Tensor, saros.Tensor, saros.Tensor?, integer[]?
local Task = {}
spelling.methods(Task, "saros.Task")

---@class saros.data.TaskBatch
---@field inputs saros.Tensor  (T, B, I), or ids (T, B)
---@field targets saros.Tensor  the classes as ids (A, B), or numbers (A, B, O)
---@field mask? saros.Tensor  (A, B): 1 where a target counts, 0 elsewhere
---@field lengths? integer[]  steps of each row, where they differ; T is the largest of them

-- A sum in 0..2 counts as right within 4 % of that, as in the paper.
Task.NEAR = 0.08

local check_batches = options.declare("task:batches", {
  { "batch", options.size, 50 },
  { "seed", options.integer, 1 },
})

--- Draw B sequences. The same generator gives the same bits.
---@param generator saros.Generator
---@param B integer
---@return saros.data.TaskBatch
function Task:batch(generator, B)
  if not options.generator.accept(generator) or not options.size.accept(B) then
    options.fail(("task:batch: expected a generator and a positive integer, got %s and %s"):format(
      options.describe(generator), options.describe(B)))
  end
  local inputs, targets, mask, lengths = self.draw(generator, B)
  return { inputs = inputs, targets = targets, mask = mask, lengths = lengths }
end

--- Iterate over batches, for ever.
---@param given? { batch?: integer, seed?: integer }  batch: B (50)
---@return fun(): saros.data.TaskBatch
function Task:batches(given)
  local o = check_batches(given)
  local generator = core.generator(o.seed)
  return function()
    return self:batch(generator, o.batch)
  end
end

-- --- Answers ---------------------------------------------------------------------------

--- The targets of a batch, and its mask if it has one. Targets alone will do where all
--- of them count.
local function targets_of(self, batch)
  local is_batch = type(batch) == "table"
  local targets, mask = batch, nil
  if is_batch then
    targets, mask = batch.targets, batch.mask
  end
  if not options.tensor.accept(targets) or targets:rank() < 2 then
    options.fail(("%s: expected a batch of the task, got %s"):format(self.name, options.describe(batch)))
  elseif self.masked and not options.tensor.accept(mask) then
    options.fail(("%s: expected a batch with a mask, because only some of its targets count, got %s"):format(
      self.name, is_batch and "one without" or options.describe(batch)))
  elseif mask and not options.has_shape(mask, targets:size(1), targets:size(2)) then
    options.fail(("%s: expected a mask of shape (%d, %d), got %s"):format(
      self.name, targets:size(1), targets:size(2), options.describe(mask)))
  end
  return targets, mask
end

--- The places (t - 1) B + b of the N answers that count, ids (N), and their targets:
--- classes, ids (N), or numbers (N, O).
local function answered(targets, mask)
  local places, classes, rows, B = {}, {}, targets:totable(), targets:size(2)
  for t, weights in ipairs(mask:totable()) do
    for b, weight in ipairs(weights) do
      if weight ~= 0 then
        places[#places + 1], classes[#classes + 1] = (t - 1) * B + b, rows[t][b]
      end
    end
  end
  local ids = core.ids(places)
  if targets:dtype() == "ids" then
    return ids, core.ids(classes)
  end
  return ids, core.embedding(targets:reshape(-1, targets:size(3)), ids)
end

--- The features at the steps that have an answer, so that a large output layer is
--- computed for them alone:
---
---     local y = task:answered(net(batch.inputs), batch)
---     local loss = task:loss(head(y), batch)
---@param y saros.Tensor  (T, B, H)
---@param batch saros.data.TaskBatch
---@return saros.Tensor  (N, H), in order of steps, then rows; without a mask (A, B, H)
function Task:answered(y, batch)
  local targets, mask = targets_of(self, batch)
  local A, B = targets:size(1), targets:size(2)
  local T = type(batch) == "table" and batch.inputs and batch.inputs:size(1) or A
  if not options.tensor.accept(y) or y:rank() ~= 3 or y:size(1) ~= T or y:size(2) ~= B then
    options.fail(("%s: expected features of shape (%d, %d, H), got %s"):format(
      self.name, T, B, options.describe(y)))
  end
  if not mask then
    return y:slice(1, -A)
  end
  return core.embedding(y:reshape(T * B, y:size(3)), (answered(targets, mask)))
end

--- Outputs, targets and mask of the same steps.
local function judged(self, outputs, batch)
  local targets, mask = targets_of(self, batch)
  local shape = { targets:size(1), targets:size(2), self.outputs }
  if mask and options.tensor.accept(outputs) and outputs:rank() == 2 then
    targets, mask = select(2, answered(targets, mask)), nil
    shape = { targets:size(1), self.outputs }
  end
  local T = type(batch) == "table" and options.tensor.accept(batch.inputs) and batch.inputs:size(1)
  if #shape == 3 and T and T > shape[1] and options.has_shape(outputs, T, shape[2], shape[3]) then
    outputs = outputs:slice(1, -shape[1])
  end
  if not options.has_shape(outputs, table.unpack(shape)) then
    options.fail(("%s: expected outputs of shape (%s), got %s"):format(
      self.name, table.concat(shape, ", "), options.describe(outputs)))
  end
  return outputs, targets, mask
end

local check_loss = options.declare("task:loss", {
  { "label_smoothing", options.fraction, 0 },
})

--- What to train by: cross-entropy of classes, the mean square error of numbers; the
--- mean over the answers that count. The cross-entropy of a net that is right vanishes, even
--- if its state drifts slowly; with label smoothing, outputs have a best value, so that
--- training goes on correcting what would be wrong only after many more steps.
---@param outputs saros.Tensor  (A, B, O); or of all steps, (T, B, O); or of the answers of a mask, (N, O)
---@param batch saros.data.TaskBatch|saros.Tensor  its targets alone will do for a task that is not masked
---@param given? { label_smoothing?: number }  of classes, in [0, 1) (0)
---@return saros.Tensor  of rank 0
function Task:loss(outputs, batch, given)
  local y, targets, mask = judged(self, outputs, batch)
  local o = check_loss(given)
  if targets:dtype() == "ids" then
    return core.cross_entropy(y, targets, { mask = mask, label_smoothing = o.label_smoothing })
  end
  mask = mask and mask:reshape(mask:size(1), mask:size(2), 1) * core.ones(y:shape())
  return core.mse(y, targets, mask and { mask = mask })
end

--- The share of right answers among those that count.
---@param outputs saros.Tensor  as for `loss`
---@param batch saros.data.TaskBatch|saros.Tensor
---@return number  0..1; 0 if none counts
---@return integer count  of the answers
function Task:score(outputs, batch)
  local y, targets, mask = judged(self, outputs, batch)
  local right = targets:dtype() == "ids" and y:argmax(-1):eq(targets)
    or (y - targets):abs():lt(Task.NEAR):min(-1)
  if not mask then
    return right:sum():item() / math.max(1, right:count()), right:count()
  end
  local count = mask:ne(0):sum():item()
  return (right * mask:ne(0)):sum():item() / math.max(1, count), math.tointeger(count)
end

-- --- Pieces ----------------------------------------------------------------------------

--- Targets and mask of all T steps.
local function spread(self, batch)
  local targets, mask = targets_of(self, batch)
  local A, B, T = targets:size(1), targets:size(2), batch.inputs:size(1)
  if A == T then
    return targets, mask
  end
  local shape = targets:shape()
  shape[1] = T - A
  local before = core.zeros(shape)
  return core.concatenate({ targets:dtype() == "ids" and core.ids(before + 1) or before, targets }, 1),
    core.concatenate({ core.zeros(T - A, B), mask or core.ones(A, B) }, 1)
end

--- Steps first..last of rows of these lengths: how many each row has of them.
local function lengths_within(lengths, first, last)
  local list = {}
  for row, length in ipairs(lengths) do
    list[row] = math.max(0, math.min(length, last) - first + 1)
  end
  return list
end

--- Cut the rows of a batch into pieces of some steps, for a net that carries its state
--- from each to the next, so that the memory for long rows stays small. The score of the
--- whole is the mean of the pieces' scores, weighted by their counts.
---@param batch saros.data.TaskBatch
---@param steps integer  of a piece; the last may have fewer
---@return fun(): saros.data.TaskBatch?
function Task:pieces(batch, steps)
  options.argument("task:pieces", 1, options.having("a batch of the task", { "inputs", "targets" }), batch)
  options.argument("task:pieces", 2, options.size, steps)
  local targets, mask = spread(self, batch)
  local T, first = batch.inputs:size(1), 1
  return function()
    if first > T then
      return nil
    end
    local from, last = first, math.min(first + steps - 1, T)
    first = last + 1
    return {
      inputs = batch.inputs:slice(1, from, last),
      targets = targets:slice(1, from, last),
      mask = mask and mask:slice(1, from, last),
      lengths = batch.lengths and lengths_within(batch.lengths, from, last),
    }
  end
end

function Task:__tostring()
  local steps = self.lengths and format("%d to %d", self.lengths[1], self.lengths[2]) or format("%d", self.length)
  return format("%s (%s steps of %d %s; %s answered, %.2g %% right by chance)", self.name, steps,
    self.tokens or self.inputs, self.tokens and "tokens" or "inputs",
    self.masked and "some" or format("%d", self.answers), 100 * self.chance)
end

--- A task of this name.
---@param name string
---@param fields table  of saros.data.Task
---@return saros.data.Task
local function new(name, fields)
  fields.name, fields.masked = name, fields.masked or false
  return setmetatable(fields, Task)
end

return { new = new, NEAR = Task.NEAR }
