--- A language model: which symbol comes next? An embedding, a recurrent stack
--- and a head, together with the vocabulary that gives the ids their meaning.

local core = require "saros.core"
local options = require "saros.options"
local vocabulary = require "saros.data.vocabulary"
local batch_first = require "saros.nn.batch_first"
local chain = require "saros.nn.chain"
local dropout = require "saros.nn.dropout"
local embedding = require "saros.nn.embedding"
local initialize = require "saros.nn.initialize"
local linear = require "saros.nn.linear"
local loss = require "saros.nn.loss"
local module = require "saros.nn.module"
local stack = require "saros.nn.stack"
local walk = require "saros.nn.steps"
local model_file = require "saros.model_file"
local beam = require "saros.generate.beam"
local next_symbols = require "saros.generate.next"
local lazy = require "saros.lazy"
local prompt = require "saros.generate.prompt"
local stream = require "saros.generate.stream"

local late = lazy({}, {
  program = { "saros.program.trace", "program" },
  program_module = { "saros.nn.program" },
})

---@class saros.nn.LanguageModel: saros.nn.Module
---@field vocabulary saros.Vocabulary
---@field configuration table  the options it was made with, all but the vocabulary
---@field embedding saros.nn.Embedding
---@field recurrent saros.nn.Recurrent
---@field dropout saros.nn.Dropout?  between the stack and the head
---@field head saros.nn.Module
---@field net saros.nn.Module?  in place of these
---@field data saros.Program?  of a net that came from a file
local LanguageModel = module.class "language_model"
LanguageModel.stateful = true
LanguageModel.hides_padding = true
LanguageModel.reads_pieces = true

---@class saros.nn.LanguageModelOptions
---@field vocabulary saros.Vocabulary
---@field net? saros.nn.Module  from ids (T, B) to logits (T, B, V), in place of what the other options build (none)
---@field cell? saros.nn.CellName|saros.nn.CellMaker  ("rnn")
---@field hidden? integer  H (128)
---@field [string] any  every other option of the cell, such as remember, projection, peepholes, reset or r_max
---@field embedding? integer  size of the embedded symbols (H)
---@field layers? integer  recurrent layers (2)
---@field head? integer[]  sizes of hidden layers between the state and the output ({})
---@field dropout? number  between layers and before the head, in training (0)
---@field variational? boolean  dropout of the same features at all steps of a window (false)
---@field recurrent_dropout? number  of h in the product U h, the same units at all steps (0)
---@field zoneout? number  how likely a unit of h keeps its value, in training (0)
---@field layer_norm? boolean  in the recurrent layers (false)
---@field residual? boolean  add a layer's input to its output where the sizes agree (false)
---@field learn_state? boolean  is the first state a parameter? (false)
---@field tie? boolean  the output reads with the embedding's weights (false)
---@field label_smoothing? number  in [0, 1): the share of each target that all symbols get, in training; losses that
---  are told stay plain (0)
---@field weights? "default"|"glorot"|"orthogonal"  how parameters start
---@field seed? integer  of the parameters and the dropout (1)

local check = options.declare("nn.language_model", stack.fields {
  { "vocabulary", vocabulary.kind },
  { "net", options.optional(options.kind("a module from ids to logits", function(value)
    return module.is(value) and value or nil
  end)) },
  { "cell", stack.cell, "rnn" },
  { "hidden", options.size, 128 },
  { "embedding", options.optional(options.size) },
  { "layers", options.size, 2 },
  { "head", options.list_of(options.size), {} },
  { "dropout", options.fraction, 0 },
  { "variational", options.boolean, false },
  { "recurrent_dropout", options.fraction, 0 },
  { "zoneout", options.fraction, 0 },
  { "layer_norm", options.boolean, false },
  { "residual", options.boolean, false },
  { "learn_state", options.boolean, false },
  { "tie", options.boolean, false },
  { "label_smoothing", options.optional(options.fraction) },
  { "weights", options.one_of(initialize.schemes), "default" },
  { "seed", options.integer, 1 },
})

--- Layers of the given sizes with tanh between them, then the logits.
local function build_head(inputs, sizes, outputs)
  if #sizes == 0 then
    return linear { inputs, outputs }
  end
  local steps = {}
  for _, size in ipairs(sizes) do
    steps[#steps + 1] = linear { inputs, size }
    steps[#steps + 1] = core.tanh
    inputs = size
  end
  steps[#steps + 1] = linear { inputs, outputs }
  return chain(steps)
end

---@param ids saros.Tensor  ids (T, B)
---@param state? saros.nn.State
---@param given? saros.nn.StepOptions  lengths and the like
---@return saros.Tensor logits  (T, B, V): of the symbol after each one; 0 behind the ends of rows
---@return saros.nn.State state
function LanguageModel:forward(ids, state, given)
  if rawget(self, "net") then
    return self.net(ids, state, given)
  end
  -- Closed at the end: the tape keeps what it needs of them, and no longer.
  local y <close>, last = self.recurrent(ids, state, given, self.embedding)
  local dropped <close> = self.dropout and self.dropout(y)
  local logits = self.head(dropped or y)
  local steps = given and walk.of(given, ids)
  if not (steps and steps.mask) then
    return logits, last
  end
  local _ <close> = logits
  return walk.hide(logits, steps.mask), last
end

local function read_window(self, window, state)
  if type(window) ~= "table" or not window.targets then
    options.fail "language_model: expected windows of a text or of pieces, got batches without targets"
  end
  return self(window.inputs, state, window.begins and { reset = window.begins })
end

--- The mean loss of a window of a text, for evaluation, training and `memory`.
---@param window { inputs: saros.Tensor, targets: saros.Tensor, begins?: saros.Tensor, mask?: saros.Tensor }  ids
---  (T, B); begins (T, B) is 1 where the state starts again, mask (T, B) is what each target counts (1)
---@param state? saros.nn.State
---@return saros.Tensor loss  of rank 0
---@return saros.nn.State state
function LanguageModel:window_loss(window, state)
  local logits <close>, last = read_window(self, window, state)
  return core.cross_entropy(logits, window.targets, { mask = window.mask }), last
end

--- What training minimises: the loss or, with label smoothing, the smoothed one.
---@param window { inputs: saros.Tensor, targets: saros.Tensor, begins?: saros.Tensor, mask?: saros.Tensor }
---@param state? saros.nn.State
---@return saros.Tensor objective  of rank 0
---@return saros.nn.State state
---@return nil
---@return number? plain  the loss, where the objective is something else
function LanguageModel:training_loss(window, state)
  local smoothing = self.configuration.label_smoothing
  if not smoothing then
    return self:window_loss(window, state)
  end
  local logits <close>, last = read_window(self, window, state)
  local objective, plain = loss.objective(logits, window.targets,
    { mask = window.mask, label_smoothing = smoothing }, { mask = window.mask })
  return objective, last, nil, plain
end

--- Any window, for `memory`: of a text, or of pieces.
function LanguageModel.sample_window(_, T, B, pieces)
  local zeros <close> = core.zeros(T, B, 1)
  return { inputs = zeros:argmax(-1), targets = zeros:argmax(-1), begins = pieces and core.ones(T, B) or nil }
end

--- Read some text from the beginning, as a prompt; see saros.generate.prompt.
---@param text string  not empty
---@return saros.Tensor logits  (V), of the symbol after it
---@return saros.nn.State state
function LanguageModel:read(text)
  local _ <close> = core.no_gradient()
  local logits, state = self(prompt.of("read", self.vocabulary, text):row())
  return logits:select(1, -1):select(1, 1), state
end

--- Iterate over text that the model writes, whole characters at a time.
--- See saros.generate.stream for the options.
---@param given? saros.generate.Options
---@return fun(): string?
function LanguageModel:generate(given)
  return stream(self, given)
end

--- The same text as a whole.
---@param given? saros.generate.Options
---@return string
function LanguageModel:write(given)
  local pieces = {}
  for piece in self:generate(given) do
    pieces[#pieces + 1] = piece
  end
  return table.concat(pieces)
end

--- The likeliest texts after a prime, best first, by a beam search. See
--- saros.generate.beam for the options.
---@param given saros.generate.LikeliestOptions
---@return saros.generate.Sequence[]  with their `text` and `log_probability`
function LanguageModel:beam(given)
  local _ <close> = core.no_gradient()
  return beam.text(self, given)
end

--- The most likely next symbols, likeliest first.
---@param given? { prime?: string, top?: integer }
---@return { symbol: string, probability: number }[]
function LanguageModel:next(given)
  local _ <close> = core.no_gradient()
  return next_symbols.symbols(self, given)
end

--- The most likely next words, likeliest first.
---@param given? { prime?: string, top?: integer, beam?: integer }
---@return { word: string, probability: number }[]
function LanguageModel:next_words(given)
  local _ <close> = core.no_gradient()
  return next_symbols.words(self, given)
end

--- Write the whole model to one file: saros.load(path) gives it back.
---@param path string
---@return true? ok, string? message
function LanguageModel:save(path)
  return model_file.write(path, self.kind, {
    options = self.configuration,
    vocabulary = self.vocabulary:to_table(),
    aliases = rawget(self, "net") and model_file.aliases_of(self) or nil,
    buffers = rawget(self, "net") and model_file.buffers_of(self) or nil,
  }, self)
end

function LanguageModel:describe()
  return ("language_model (%d %ss; %s)"):format(
    #self.vocabulary, self.vocabulary:noun(), (rawget(self, "net") or self.recurrent):describe())
end

--- Of a net from a file, its program.
function LanguageModel:program(given)
  return rawget(self, "data") or late.program(self, given)
end

--- One whose net is of the caller's own.
local function with_net(self, o)
  batch_first.refuse("nn.language_model", o.net, "give its net without that")
  self.net = self:add_member("net", o.net)
  self.configuration = { net = true, label_smoothing = o.label_smoothing }
  return self:init { seed = o.seed, weights = o.weights }
end

--- One from a file, whose net is the program there: its parameters are the model's.
local function with_program(description, text, tensors)
  local self, o = LanguageModel.new(), description.options
  self.vocabulary = vocabulary.from_table(description.vocabulary)
  self.configuration = { net = true, label_smoothing = options.fraction.accept(o.label_smoothing) }
  self.net = late.program_module.of(text, description, tensors)
  self.own, self.own_generators, self.data = self.net.own, self.net.own_generators, self.net.data
  local outputs, inputs = self.net.data.outputs, self.net.inputs
  if #outputs ~= 1 or #inputs ~= 1 or inputs[1].count ~= #self.vocabulary then
    error(("expected a program from ids of %d symbols to logits, got another one"):format(#self.vocabulary), 0)
  end
  self.net.initialized, self.initialized = true, false
  return self
end

---@param given saros.nn.LanguageModelOptions
---@return saros.nn.LanguageModel
local function language_model(given)
  local o = check(given)
  local self = LanguageModel.new()
  self.vocabulary, o.vocabulary = o.vocabulary, nil
  o.embedding = o.embedding or o.hidden
  if o.tie and (o.embedding ~= (o.projection or o.hidden) or #o.head > 0) then
    error(("nn.language_model: expected embedding = %s and no head with tie"):format(
      o.projection and "projection" or "hidden"), 2)
  end
  if o.net then
    return with_net(self, o)
  end
  self.configuration = stack.plain(o)
  self.embedding = self:add_member("embedding", embedding { #self.vocabulary, o.embedding })
  self.recurrent = self:add_member("recurrent", stack.build(o, {
    input = o.embedding,
    hidden = o.hidden,
    layers = o.layers,
    dropout = o.dropout,
  }))
  if o.dropout > 0 then
    self.dropout = self:add_member("dropout", dropout { o.dropout, variational = o.variational })
  end
  self.head = self:add_member("head", build_head(self.recurrent.output, o.head, #self.vocabulary))
  if o.tie then
    self.head:tie("weight", self.embedding.weight)
  end
  return self:init { seed = o.seed, weights = o.weights }
end

model_file.register("language_model", function(description, text, tensors)
  if description.options.net then
    return with_program(description, text, tensors)
  end
  local given = description.options
  stack.read_cell(given, description)
  given.vocabulary = vocabulary.from_table(description.vocabulary)
  return language_model(given)
end)

return language_model
