--- Training on random words of a reference: a curriculum of lengths, and a polish.

local core = require "saros.core"
local options = require "saros.options"
local optim = require "saros.optim"
local expect = require "saros.automata.expect"
local references = require "saros.automata.reference"

local train = {}

---@class saros.automata.Trainer
---@field model saros.automata.Model
---@field reference saros.automata.Reference
---@field optimizer saros.optim.Optimizer
---@field generator saros.Generator
---@field rows integer  of words of the last length
---@field length integer  the last length
---@field clip number
---@field updates integer  made so far
---@field tokens integer  read so far
---@field factor number  of the step size
---@field words integer[][]  with which a quarter of the rows begin, if there are any
---@field on_progress? fun(record: saros.automata.Progress)
---@field start number  of processor time
local Trainer = {}
Trainer.__index = Trainer

train.options = {
  { "rows", options.size, 64 },
  { "lr", options.positive, 1e-2 },
  { "clip", options.positive, 1 },
  { "seed", options.integer, 1 },
  { "on_progress", options.optional(options.callback) },
}

---@class saros.automata.Progress
---@field event "update"|"length"|"hard"|"polish"|"word"|"heads"|"proof"  what happened
---@field updates integer  made so far
---@field seconds number  of processor time
---@field length integer?  of the words: of "update", of "length", which were learned, and of "polish"
---@field accuracy number?  of "update": the share of right answers
---@field loss number?  of "update", in nats
---@field word integer[]?  of "word": a wrong one, which goes back into training
---@field round integer?  of "word"
---@field heads integer?  of "heads": how many suffice
---@field proof saros.automata.Proof?  of "proof"

-- Updates from one record to the next.
local EVERY = 50

--- What a training keeps between updates.
---@param model saros.automata.Model
---@param reference saros.automata.Reference
---@param o { rows: integer, length: integer, lr: number, clip: number, seed: integer, on_progress?: function }
---@return saros.automata.Trainer
function train.new(model, reference, o)
  local self = setmetatable({ model = model, reference = reference, rows = o.rows, length = o.length,
    clip = o.clip, updates = 0, tokens = 0, factor = 1, words = {}, generator = core.generator(o.seed),
    on_progress = o.on_progress, start = os.clock() }, Trainer)
  self.optimizer = optim.adamw(model:parameters(), { lr = o.lr, beta1 = 0.9, beta2 = 0.98,
    schedule = function() return self.factor end })
  return self
end

--- Tell the caller what happened.
---@param event string
---@param record? table  what else there is to say
function Trainer:tell(event, record)
  if self.on_progress then
    record = record or {}
    record.event, record.updates, record.seconds = event, self.updates, os.clock() - self.start
    self.on_progress(record)
  end
end

-- Short words are many: up to this many times the rows, as if words were of half the last length.
local TIMES = 4

local function rows_of(self, length)
  return math.max(self.rows, math.min(TIMES * self.rows, self.rows * self.length // (2 * length)))
end

--- Words at the head of a quarter of the rows.
local function heads_of(self, rows)
  local heads = #self.words > 0 and {} or nil
  for row = 1, heads and rows // 4 or 0 do
    heads[row] = self.words[self.generator:integer(#self.words)]
  end
  return heads
end

local function learn_from(self, length)
  local rows = rows_of(self, length)
  local ids, answers, mask = self.reference:words(self.generator, rows, length, heads_of(self, rows))
  self.updates, self.tokens = self.updates + 1, self.tokens + rows * length
  if mask and mask:max():item() == 0 then
    return 1, 0
  end
  local tape <close> = core.tape()
  local logits = self.model(ids)
  local loss = core.cross_entropy(logits, answers, { mask = mask })
  tape:backward(loss)
  optim.clip_norm(self.model:parameters(), self.clip)
  self.optimizer:step()
  local right = logits:detach():argmax(-1):eq(answers)
  local share = mask and ((right * mask):sum() / mask:sum()):item() or right:mean():item()
  return share, loss:item()
end

--- One update on words of a length.
---@param length integer
---@return number accuracy  of the answers that were asked
---@return number loss
function Trainer:update(length)
  local accuracy, loss = learn_from(self, length)
  if self.updates % EVERY == 0 then
    self:tell("update", { length = length, accuracy = accuracy, loss = loss })
  end
  return accuracy, loss
end

--- Train at one length, with a step size that goes to zero.
---@param length integer
---@param updates integer
---@param ends? fun(): boolean  asked every 50 updates; true ends it
function Trainer:polish(length, updates, ends)
  self:tell("polish", { length = length })
  for update = 1, updates do
    self.factor = 1 - (update - 1) / updates
    self:update(length)
    if ends and (update % 50 == 0 or update == updates) and ends() then
      break
    end
  end
  self.factor = 1
end

--- Lengthen the words as they are learned: to 1.6 times and one more after some updates
--- with enough right answers, up to the last length. Each update draws one of the length's
--- second half.
---@param o { length: integer, updates: integer, accuracy: number, times: integer }
---@param passed? fun(length: integer): boolean?  called at each length that was learned; true ends it
---@return boolean  was the last length learned, or the curriculum ended?
function Trainer:curriculum(o, passed)
  local length, good = math.min(3, o.length), 0
  for _ = 1, o.updates do
    local least = math.max(1, length // 2)
    local share = self:update(least - 1 + self.generator:integer(length - least + 1))
    good = good + (share >= o.accuracy and 1 or 0)
    if good >= o.times then
      self:tell("length", { length = length })
      if passed and passed(length) or length == o.length then
        return true
      end
      length, good = math.min(o.length, math.floor(1.6 * length) + 1), 0
    end
  end
  return false
end

train.lengths = {
  { "length", options.size, 40 },
  { "updates", options.size, 6000 },
  { "accuracy", options.share, 0.97 },
  { "times", options.size, 4 },
}

local function joined(...)
  local list = {}
  for _, some in ipairs { ... } do
    table.move(some, 1, #some, #list + 1, list)
  end
  return list
end
train.joined = joined

local check_curriculum = options.declare("automata.curriculum", joined(train.options, train.lengths))

---@class saros.automata.TrainOptions
---@field length? integer  of words, at most (40)
---@field updates? integer  at most (6000; of polish 200)
---@field accuracy? number  share of right answers of an update that counts as good (0.97)
---@field times? integer  good updates after which words become longer (4)
---@field rows? integer  words of an update; of short ones up to four times as many (64)
---@field lr? number  of AdamW with betas 0.9 and 0.98 (1e-2)
---@field clip? number  of the gradient's norm (1)
---@field seed? integer  of the words (1)
---@field on_progress? fun(record: saros.automata.Progress)  every 50 updates, and at each event (none)

--- Train a model on words that become longer as it learns.
---@param model saros.automata.Model|saros.nn.Module  or any net from ids (T, B) to outputs (T, B, answers)
---@param reference saros.data.Automaton|saros.data.Task
---@param given? saros.automata.TrainOptions
---@return boolean learned  was the last length learned?
---@return integer updates
function train.curriculum(model, reference, given)
  local o = check_curriculum(given or {})
  local trainer = train.new(model, expect.trainable("curriculum", model, references.of("curriculum", reference)), o)
  return trainer:curriculum(o), trainer.updates
end

local check_polish = options.declare("automata.polish", joined(train.options, {
  { "length", options.size, 40 },
  { "updates", options.size, 200 },
}))

--- Train a model on words of one length with a step size that goes to zero.
---@param model saros.automata.Model|saros.nn.Module  or any net from ids (T, B) to outputs (T, B, answers)
---@param reference saros.data.Automaton|saros.data.Task
---@param given? saros.automata.TrainOptions
function train.polish(model, reference, given)
  local o = check_polish(given or {})
  local against = expect.trainable("polish", model, references.of("polish", reference))
  train.new(model, against, o):polish(o.length, o.updates)
end

return train
