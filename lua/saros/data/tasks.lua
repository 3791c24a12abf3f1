--- Made-up tasks that measure what a recurrent net can keep, and for how long.
--- Each has sequences of one length without end, drawn from a generator:
---
---     local task = data.tasks.copy { lag = 100 }
---     for batch in task:batches { batch = 50, seed = 1 } do
---       local y = net(batch.inputs)                           -- (T, B, H)
---       local outputs = head(y:slice(1, -#batch.targets))     -- (A, B, O)
---       local loss = task:loss(outputs, batch.targets)
---       ...
---
--- The answers belong to the last A steps, so nothing else needs an output.

local core = require "saros.core"
local options = require "saros.options"
local spelling = require "saros.spelling"

local format = core.format

---@class saros.data.Task
---@field name string  "copy"
---@field length integer  T
---@field inputs integer  I: features of a step
---@field outputs integer  O: classes, or numbers, of an answer
---@field answers integer  A: so many of the last steps have an answer
---@field chance number  the score of who remembers nothing
---@field draw fun(generator: saros.Generator, B: integer): saros.Tensor, saros.Tensor
local Task = {}
spelling.methods(Task, "saros.Task")

---@class saros.data.TaskBatch
---@field inputs saros.Tensor  (T, B, I)
---@field targets saros.Tensor  the classes as ids (A, B), or numbers (A, B, O)

-- A sum in 0..2 counts as right within 4 % of that, as in the paper.
local NEAR = 0.08

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
  local inputs, targets = self.draw(generator, B)
  return { inputs = inputs, targets = targets }
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

local function check_outputs(self, outputs, targets)
  local A, B = targets:size(1), targets:size(2)
  if not options.has_shape(outputs, A, B, self.outputs) then
    options.fail(("%s: expected outputs of shape (%d, %d, %d), got %s"):format(
      self.name, A, B, self.outputs, options.describe(outputs)))
  end
end

--- What to train by: cross-entropy of classes, the mean square error of numbers.
---@param outputs saros.Tensor  (A, B, O)
---@param targets saros.Tensor
---@return saros.Tensor  of rank 0
function Task:loss(outputs, targets)
  check_outputs(self, outputs, targets)
  local loss = targets:dtype() == "ids" and core.cross_entropy or core.mse
  return loss(outputs, targets)
end

--- The share of right answers.
---@param outputs saros.Tensor  (A, B, O)
---@param targets saros.Tensor
---@return number  0..1
function Task:score(outputs, targets)
  check_outputs(self, outputs, targets)
  local right = targets:dtype() == "ids" and outputs:argmax(-1):eq(targets)
    or (outputs - targets):abs():lt(NEAR)
  return right:sum():item() / right:count()
end

function Task:__tostring()
  return format("%s (%d steps of %d inputs; %d answered, %.0f %% right by chance)",
    self.name, self.length, self.inputs, self.answers, 100 * self.chance)
end

local function new(name, fields)
  fields.name = name
  return setmetatable(fields, Task)
end

local tasks = spelling.space("data.tasks", {})

-- --- Copy ---------------------------------------------------------------------------

local check_copy = options.declare("data.tasks.copy", {
  { "lag", options.count, 100 },
  { "length", options.size, 10 },
  { "symbols", options.size, 8 },
})

--- Some symbols, then nothing for `lag` steps, then a sign to write the symbols
--- down in their order (Hochreiter and Schmidhuber 1997; Arjovsky et al. 2016).
---
---     a b c . . . . ! . .        symbols as one-hot features, ! as another one
---                   a b c        the answers
---@param given? { lag?: integer, length?: integer, symbols?: integer }  length: how many there are
---  to copy (10); symbols: how many different ones (8)
---@return saros.data.Task
function tasks.copy(given)
  local o = check_copy(given)
  local length, symbols = o.length, o.symbols
  return new("copy", {
    length = 2 * length + o.lag,
    inputs = symbols + 1,
    outputs = symbols,
    answers = length,
    chance = 1 / symbols,
    draw = function(generator, B)
      local ids = generator:categorical(core.ones(length, B, symbols))
      local sign = core.zeros(length, B, symbols + 1)
      sign[1]:select(2, symbols + 1):fill(1)
      return core.concatenate({
        ids:one_hot(symbols) .. core.zeros(length, B, 1),
        core.zeros(o.lag, B, symbols + 1),
        sign,
      }, 1), ids
    end,
  })
end

-- --- Adding ----------------------------------------------------------------------------

local check_adding = options.declare("data.tasks.adding", {
  { "length", options.at_least(2), 100 },
})

--- One step of a stretch of T, (T, B, 1): a one-hot mark.
local function draw_mark(generator, T, B)
  return generator:categorical(core.ones(B, T)):one_hot(T):transpose():reshape(T, B, 1)
end

--- Each step brings a number in 0..1 and a mark; two steps are marked, one in
--- each half, and the answer is the sum of their numbers (Hochreiter and
--- Schmidhuber 1997). Who always answers 1 has a mean square error of 1/6.
---@param given? { length?: integer }  T (100)
---@return saros.data.Task
function tasks.adding(given)
  local T = check_adding(given).length
  return new("adding", {
    length = T,
    inputs = 2,
    outputs = 1,
    answers = 1,
    chance = 2 * NEAR - NEAR ^ 2, -- of answering 1
    draw = function(generator, B)
      local numbers = generator:uniform { T, B, 1 }
      local marks = core.concatenate({
        draw_mark(generator, T // 2, B),
        draw_mark(generator, T - T // 2, B),
      }, 1)
      return numbers .. marks, (numbers * marks):sum(1, true)
    end,
  })
end

-- --- Recall ----------------------------------------------------------------------------

local check_recall = options.declare("data.tasks.recall", {
  { "pairs", options.size, 8 },
  { "keys", options.size, 16 },
  { "values", options.size, 8 },
  { "lag", options.count, 0 },
})

--- Different ids for each row, `count` of 1..n: a list of (B).
local function draw_different(generator, n, count, B)
  local rest, list = generator:uniform { B, n }, {}
  for position = 1, count do
    list[position] = rest:argmax(-1)
    rest = rest - list[position]:one_hot(n) -- below all that are left
  end
  return list
end

--- Pairs of a key and a value, one in each step, then nothing for `lag` steps,
--- then one of the keys: which value came with it?
---@param given? { pairs?: integer, keys?: integer, values?: integer, lag?: integer }  pairs (8) with
---  different ones of the keys (16), and any of the values (8)
---@return saros.data.Task
function tasks.recall(given)
  local o = check_recall(given)
  if o.pairs > o.keys then
    options.fail(("data.tasks.recall: expected at least as many keys as pairs (%d), got %d"):format(
      o.pairs, o.keys))
  end
  return new("recall", {
    length = o.pairs + o.lag + 1,
    inputs = o.keys + o.values,
    outputs = o.values,
    answers = 1,
    chance = 1 / o.values,
    draw = function(generator, B)
      local keys = core.stack(draw_different(generator, o.keys, o.pairs, B)):one_hot(o.keys)
      local values = generator:categorical(core.ones(o.pairs, B, o.values)):one_hot(o.values)
      local asked = draw_mark(generator, o.pairs, B)
      return core.concatenate({
        keys .. values,
        core.zeros(o.lag, B, o.keys + o.values),
        (keys * asked):sum(1, true) .. core.zeros(1, B, o.values),
      }, 1), (values * asked):sum(1, true):argmax(-1)
    end,
  })
end

-- --- Parity ----------------------------------------------------------------------------

local check_parity = options.declare("data.tasks.parity", {
  { "length", options.size, 32 },
})

--- Whether the number of ones is odd, at every step for the steps up to it: by
--- doubling the stretch that each step stands for.
local function odd_so_far(bits)
  local T, odd, stretch = bits:size(1), bits, 1
  while stretch < T do
    local before = core.concatenate({
      core.zeros(stretch, bits:size(2)), odd:slice(1, 1, T - stretch),
    }, 1)
    odd, stretch = (odd - before):abs(), 2 * stretch
  end
  return odd
end

--- A bit at each step; the answer at each is class 2 if so far the number of
--- ones is odd, else 1. The smallest task that needs a state which every step
--- may turn over.
---@param given? { length?: integer }  T (32)
---@return saros.data.Task
function tasks.parity(given)
  local T = check_parity(given).length
  return new("parity", {
    length = T,
    inputs = 1,
    outputs = 2,
    answers = T,
    chance = 1 / 2,
    draw = function(generator, B)
      local bits = generator:uniform({ T, B }):lt(0.5)
      local odd = odd_so_far(bits)
      return bits:reshape(T, B, 1), core.stack({ 1 - odd, odd }, 3):argmax(-1)
    end,
  })
end

-- --- Shapes ----------------------------------------------------------------------------

local check_shapes = options.declare("data.tasks.shapes", {
  { "size", options.at_least(8), 16 },
  { "noise", options.nonnegative, 0.1 },
})

local HALF_A_LINE = 0.6 -- pixels

--- Where it is dark, 1 or 0 by pixel, for each shape: from how far the pixels
--- are from its centre along both axes, and its radius.
local shapes = {
  circle = function(dx, dy, radius)
    return ((dx ^ 2 + dy ^ 2):sqrt() - radius):abs():lt(HALF_A_LINE)
  end,
  square = function(dx, dy, radius)
    return (dx:maximum(dy) - radius):abs():lt(HALF_A_LINE)
  end,
  diamond = function(dx, dy, radius)
    return (dx + dy - radius):abs():lt(HALF_A_LINE)
  end,
  cross = function(dx, dy, radius)
    return dx:minimum(dy):lt(HALF_A_LINE) * dx:maximum(dy):le(radius)
  end,
}

tasks.shape_names = { "circle", "square", "diamond", "cross" }

--- Images (S, S, B) of the shapes with these ids (B), of any size and place.
local function draw_shapes(generator, ids, S)
  local B = ids:size(1)
  local radius = generator:uniform({ B }, S / 5, S / 3)
  local function offsets() -- of the pixels of one axis from the centre, (S, B)
    local centre = radius + 1 + generator:uniform { B } * (S - 1 - 2 * radius)
    return (core.arange(S):reshape(S, 1) - centre):abs()
  end
  local dx, dy = offsets():reshape(1, S, B), offsets():reshape(S, 1, B)
  local chosen, image = ids:one_hot(#tasks.shape_names), core.zeros(S, S, B)
  for id, name in ipairs(tasks.shape_names) do
    image = image + chosen:select(2, id) * shapes[name](dx, dy, radius)
  end
  return image
end

--- The outline of a shape, pixel by pixel, with noise: which one is it? (As the
--- pixel-by-pixel digits of Le et al. 2015, but made here.) The classes are
--- those of `shape_names`.
---@param given? { size?: integer, noise?: number }  S: the sequence has S * S steps (16); the noise's
---  standard deviation (0.1)
---@return saros.data.Task
function tasks.shapes(given)
  local o = check_shapes(given)
  local S, classes = o.size, #tasks.shape_names
  return new("shapes", {
    length = S * S,
    inputs = 1,
    outputs = classes,
    answers = 1,
    chance = 1 / classes,
    draw = function(generator, B)
      local ids = generator:categorical(core.ones(B, classes))
      local image = draw_shapes(generator, ids, S) + generator:normal({ S, S, B }, 0, o.noise)
      return image:reshape(S * S, B, 1), ids:reshape(1, B)
    end,
  })
end

return tasks
