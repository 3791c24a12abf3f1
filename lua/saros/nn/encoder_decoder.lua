--- Encoder and decoder: one sequence is read, another of any length is written
--- (Sutskever et al. 2014). The encoder's last state is where the decoder
--- begins; with attention, the decoder also looks at every step of the encoder:
---
---     sources -> embedding -> encoder -> keys (S, B, H)
---                                |           |
---                              state     attention -> context
---                                |           |           |
---     targets -> embedding -> decoder -> y (T, B, H) -> combine -> head -> logits
---
--- Attention is Luong's (Luong et al. 2015): it looks with the decoder's output
--- and joins what it finds behind the recurrence, tanh(W [context; y]). The
--- decoder therefore never waits for it, and a whole target sequence is one
--- fused recurrent layer and one batched product. Bahdanau's decoder, which
--- feeds the context back into the recurrence, would go step by step.
---
--- Beginning and end are one extra symbol, the boundary, that belongs to the
--- model alone: as an input it begins the target, as an output it ends it.
--- Scripts give and get ids of their own vocabularies only.

local core = require "saros.core"
local options = require "saros.options"
local vocabulary = require "saros.data.vocabulary"
local attention = require "saros.nn.attention"
local dropout = require "saros.nn.dropout"
local embedding = require "saros.nn.embedding"
local linear = require "saros.nn.linear"
local loss = require "saros.nn.loss"
local module = require "saros.nn.module"
local stack = require "saros.nn.stack"
local states = require "saros.nn.state"
local steps = require "saros.nn.steps"
local model_file = require "saros.model_file"
local beam = require "saros.generate.beam"

---@class saros.nn.EncoderDecoder: saros.nn.Module
---@field source saros.Vocabulary|integer  or the number of source symbols
---@field target saros.Vocabulary|integer  or the number of target symbols, V
---@field configuration table  the options it was made with, all but the vocabularies
---@field boundary integer  V + 1: begins and ends the target
---@field source_embedding saros.nn.Embedding
---@field target_embedding saros.nn.Embedding
---@field encoder saros.nn.Recurrent
---@field decoder saros.nn.Recurrent
---@field attention saros.nn.Attention?
---@field combine saros.nn.Linear?  [context; y] -> what the head sees
---@field dropout saros.nn.Dropout?
---@field head saros.nn.Linear
local EncoderDecoder = module.class "encoder_decoder"

--- What the decoder knows of the sources.
---@class saros.nn.SourceMemory
---@field keys saros.Tensor  (S, B, H): the encoder's outputs
---@field lengths integer[]?  of the B sources; without them all have S symbols
---@field state saros.nn.State  where the decoder begins

--- The states after both directions, (B, H / 2) each, side by side; those of a
--- single direction as they are.
local function join_directions(self, state)
  if not self.configuration.bidirectional then
    return state
  end
  local joined = states.new {}
  for layer = 1, #state // 2 do
    local ahead, back = state[2 * layer - 1], state[2 * layer]
    joined[layer] = {}
    for which, h in ipairs(ahead) do
      joined[layer][which] = h .. back[which]
    end
  end
  return joined
end

--- Read the sources.
---@param sources saros.Tensor  ids (S, B)
---@param lengths? integer[]  of the B sources, each in 1..S (S)
---@return saros.nn.SourceMemory
function EncoderDecoder:encode(sources, lengths)
  if not options.tensor.accept(sources) or sources:dtype() ~= "ids" or sources:rank() ~= 2 then
    options.fail("encode: expected ids of shape (S, B), got " .. options.describe(sources))
  end
  local S, B = sources:size(1), sources:size(2)
  if lengths then
    options.about("encode", steps.check_lengths, lengths, S, B, 1)
  end
  local given = { lengths = lengths }
  local keys, state = self.encoder(self.source_embedding(sources, nil, given), nil, given)
  return { keys = keys, lengths = lengths, state = join_directions(self, state) }
end

--- Look at the sources. A single source may be looked at by many rows: they take
--- the place of its steps, so that its keys are not copied.
---@return saros.Tensor context  (T, B, H)
---@return saros.Tensor weights  (T, B, S)
local function attend(self, y, memory)
  local shape = y:shape()
  local T, B, H = table.unpack(shape)
  local shared = B > 1 and memory.keys:size(2) == 1
  local context, weights = self.attention(shared and y:reshape(T * B, 1, H) or y, memory.keys,
    { lengths = memory.lengths })
  if shared then
    return context:reshape(T, B, H), weights:reshape(T, B, -1)
  end
  return context, weights
end

--- The decoder over embedded symbols (T, B, E); otherwise as `decode`.
local function write(self, x, state, memory)
  local y, weights
  y, state = self.decoder(x, state)
  if self.attention then
    local context
    context, weights = attend(self, y, memory)
    y = core.tanh(self.combine(context .. y))
  end
  if self.dropout then
    y = self.dropout(y)
  end
  return self.head(y), state, weights
end

--- Go on writing.
---@param ids saros.Tensor  ids (T, B): what was written before each step, at first the boundary
---@param state saros.nn.State  at first memory.state
---@param memory saros.nn.SourceMemory  of B sources, or of a single one for all rows
---@return saros.Tensor logits  (T, B, V + 1): the last one is the end
---@return saros.nn.State state
---@return saros.Tensor? weights  (T, B, S), with attention: where each step looked
function EncoderDecoder:decode(ids, state, memory)
  return write(self, self.target_embedding(ids), state, memory)
end

local function is_ids(x)
  return type(x) == "userdata" and x:dtype() == "ids" and x:rank() == 2
end

local function check_batch(self, batch)
  if type(batch) ~= "table" or not is_ids(batch.sources) or not is_ids(batch.targets) then
    options.fail(("%s: expected a batch { sources = ids (S, B), source_lengths, targets = ids (T, B), "
      .. "target_lengths }, got %s"):format(self.kind,
      type(batch) == "table" and "other fields" or options.describe(batch)))
  end
  local S, B = batch.sources:size(1), batch.sources:size(2)
  if batch.targets:size(2) ~= B then
    options.fail(("%s: expected targets for %d sources, got %d"):format(
      self.kind, B, batch.targets:size(2)))
  end
  if batch.source_lengths then
    options.about(self.kind, steps.check_lengths, batch.source_lengths, S, B, 1)
  end
  if batch.target_lengths then
    options.about(self.kind, steps.check_lengths, batch.target_lengths, #batch.targets, B, 0)
  end
end

--- The targets, with an id that every table has where they are padded.
local function targets_of(batch)
  local lengths = batch.target_lengths
  return steps.hide(batch.targets, lengths and steps.mask(lengths, #batch.targets))
end

--- It reads a sequence to its end before it writes the first symbol.
function EncoderDecoder.program()
  options.fail("program: expected a module that computes step by step, got an encoder_decoder, which reads ahead")
end

--- One step of boundaries: (1, B).
local function boundaries(self, B)
  local step = {}
  for row = 1, B do
    step[row] = self.boundary
  end
  return core.ids { step }
end

--- The logits under teacher forcing: every step sees the true symbols before it.
---@param batch saros.PairBatch  lengths may be absent: all sequences are full
---@return saros.Tensor logits  (T + 1, B, V + 1): of the targets and the end
---@return saros.Tensor? weights  (T + 1, B, S), with attention
function EncoderDecoder:forward(batch)
  check_batch(self, batch)
  local memory = self:encode(batch.sources, batch.source_lengths)
  -- The boundary comes first, and is not among the symbols that a target may have.
  local known = self.target_embedding.weight:slice(1, 1, self.boundary - 1)
  local x = core.concatenate({
    self.target_embedding(boundaries(self, batch.targets:size(2))),
    core.embedding(known, targets_of(batch)),
  }, 1)
  local logits, _, weights = write(self, x, memory.state, memory)
  return logits, weights
end

--- What the logits should say: the targets, each with the end behind it, and a
--- mask of the steps that count.
local function answers(self, batch)
  local T, B = batch.targets:size(1), batch.targets:size(2)
  local outputs = core.concatenate({ targets_of(batch), boundaries(self, B) }, 1)
  local lengths = {}
  for row = 1, B do
    local length = batch.target_lengths and batch.target_lengths[row] or T
    outputs[length + 1][row] = self.boundary
    lengths[row] = length + 1
  end
  return outputs, steps.mask(lengths, T + 1)
end

--- Any batch, for `memory`: padded sources and targets of T symbols.
function EncoderDecoder.sample_window(_, T, B)
  local zeros <close>, lengths = core.zeros(T, B, 1), steps.padded(T, B)
  return { sources = zeros:argmax(-1), source_lengths = lengths, targets = zeros:argmax(-1), target_lengths = lengths,
    symbols = 2 * T * B }
end

--- The mean cross-entropy of the targets and their ends, in nats per symbol.
---@param batch saros.PairBatch
---@return saros.Tensor loss  of rank 0
function EncoderDecoder:loss(batch)
  local logits = self(batch)
  local outputs, mask = answers(self, batch)
  return core.cross_entropy(logits, outputs, { mask = mask })
end

--- The loss of a batch, for `evaluate`.
---@param batch saros.PairBatch
---@return saros.Tensor loss  of rank 0
function EncoderDecoder:window_loss(batch)
  return self:loss(batch)
end

--- What `fit` minimises: the loss or, with label smoothing, the smoothed one.
---@param batch saros.PairBatch
---@return saros.Tensor objective  of rank 0
---@return nil, nil
---@return number? plain  the loss, where the objective is something else
function EncoderDecoder:training_loss(batch)
  local smoothing = self.configuration.label_smoothing
  if not smoothing then
    return self:loss(batch)
  end
  local logits = self(batch)
  local outputs, mask = answers(self, batch)
  local objective, plain = loss.objective(logits, outputs,
    { mask = mask, label_smoothing = smoothing }, { mask = mask })
  return objective, nil, nil, plain
end

local function size_of(known)
  return type(known) == "table" and #known or known
end

--- The ids of a text, by a method of the vocabulary ("tensor"), or a list of ids as it is.
local function ids_of(known, what, given, encode)
  if type(given) == "string" and type(known) == "table" then
    return options.about(what, known[encode or "tensor"], known, given):totable()
  elseif type(given) ~= "table" then
    options.fail(("%s: expected %sa list of ids, got %s"):format(what,
      type(known) == "table" and "a text or " or "", options.describe(given)))
  end
  for position, id in options.each(given) do
    if math.type(id) ~= "integer" or id < 1 or id > size_of(known) then
      options.fail(("%s: expected ids in 1..%d, got %s at position %d"):format(
        what, size_of(known), options.describe(id), position))
    end
  end
  return given
end

local check_translate = options.declare("translate", {
  { "beam", options.size, 5 },
  { "length_penalty", options.nonnegative, 0.6 },
  { "best", options.size, 1 },
  { "max_length", options.optional(options.size) },
})

---@class saros.nn.Translation: saros.generate.Sequence
---@field weights saros.Tensor?  (T, S), with attention: where each symbol looked

---@class saros.nn.TranslateOptions
---@field beam? integer  sequences to follow; 1 is greedy (5)
---@field length_penalty? number  of Wu et al. 2016; 0 ranks by probability alone (0.6)
---@field best? integer  translations to return, at most beam (1)
---@field max_length? integer  in symbols (twice the source, and 10)

--- The likeliest targets for a source.
---@param source string|integer[]  not empty
---@param given? saros.nn.TranslateOptions
---@return saros.nn.Translation[]  at most `best`, best first
function EncoderDecoder:translate(source, given)
  local _ <close> = core.no_gradient()
  local o = check_translate(given)
  local ids = ids_of(self.source, "translate", source, "whole")
  if #ids == 0 then
    options.fail("translate: expected a source, got an empty one")
  elseif o.best > o.beam then
    options.fail(("translate: expected best to be at most beam = %d, got %d"):format(o.beam, o.best))
  end
  local memory = self:encode(core.ids(ids):reshape(-1, 1))
  local function step(last, before)
    local logits, after = self:decode(last:reshape(1, -1), before, memory)
    return core.log_softmax(logits:select(1, 1)), after
  end
  local found = beam.search(step, memory.state, {
    first = self.boundary,
    stop = self.boundary,
    beam = o.beam,
    best = o.best,
    length_penalty = o.length_penalty,
    max_length = o.max_length or 2 * #ids + 10,
  })
  for _, translation in ipairs(found) do
    translation.weights = self:align(ids, translation.ids)
    translation.text = type(self.target) == "table" and self.target:decode(translation.ids) or nil
  end
  return found
end

--- Where the decoder looks when it writes a given target.
---@param source string|integer[]
---@param target string|integer[]
---@return saros.Tensor? weights  (T, S); nil without attention, or for an empty target
function EncoderDecoder:align(source, target)
  local _ <close> = core.no_gradient()
  local from = ids_of(self.source, "align", source, "whole")
  local to = ids_of(self.target, "align", target)
  if #from == 0 then
    options.fail("align: expected a source, got an empty one")
  elseif not self.attention or #to == 0 then
    return nil
  end
  local _, weights = self {
    sources = core.ids(from):reshape(-1, 1),
    targets = core.ids(to):reshape(-1, 1),
  }
  return weights:select(2, 1):slice(1, 1, #to)
end

local function to_plain(known)
  return type(known) == "table" and known:to_table() or known
end

local function from_plain(description)
  return type(description) == "table" and vocabulary.from_table(description) or description
end

--- Write the whole model to one file: saros.load(path) gives it back.
---@param path string
---@return true? ok, string? message
function EncoderDecoder:save(path)
  return model_file.write(path, self.kind, {
    options = self.configuration,
    source = to_plain(self.source),
    target = to_plain(self.target),
  }, self)
end

function EncoderDecoder:describe()
  return ("encoder_decoder (%d -> %d symbols; %s; %s)"):format(
    size_of(self.source), size_of(self.target), self.decoder:describe(),
    self.attention and self.attention:describe() or "no attention")
end

local symbols = options.kind("a vocabulary or a number of symbols", function(value)
  return vocabulary.kind.accept(value) or options.size.accept(value)
end)

local ATTENTIONS = { dot = true, scaled_dot = true, general = true, additive = true }

local check = options.declare("nn.encoder_decoder", stack.fields {
  { "source", symbols },
  { "target", symbols },
  { "cell", stack.cell, "rnn" },
  { "hidden", options.size, 128 },
  { "embedding", options.optional(options.size) },
  { "layers", options.size, 1 },
  { "bidirectional", options.boolean, false },
  { "attention", options.kind('"dot", "scaled_dot", "general", "additive" or false', function(value)
    return (value == false or ATTENTIONS[value]) and { kind = value } or nil
  end), { kind = "dot" } },
  { "dropout", options.fraction, 0 },
  { "label_smoothing", options.optional(options.fraction) },
  { "seed", options.integer, 1 },
})

---@class saros.nn.EncoderDecoderOptions
---@field source saros.Vocabulary|integer  of what is read, or the number of its symbols
---@field target saros.Vocabulary|integer  of what is written, V symbols
---@field cell? saros.nn.CellName|saros.nn.CellMaker  ("rnn")
---@field hidden? integer  H (128)
---@field [string] any  every other option of the cell, such as remember, projection, peepholes, reset or r_max
---@field embedding? integer  size of the embedded symbols (H)
---@field layers? integer  of the encoder and of the decoder (1)
---@field bidirectional? boolean  does the encoder read from both ends, with H / 2 units each? (false)
---@field attention? "dot"|"scaled_dot"|"general"|"additive"|false  ("dot")
---@field dropout? number  between layers and before the head, in training (0)
---@field label_smoothing? number  in [0, 1): the share of each target that all symbols get, in training; losses
---  that are told stay plain (0)
---@field seed? integer  of the parameters and the dropout (1)

--- Two directions share the H units, so that keys and states have the
--- decoder's size whichever way the encoder reads.
local function build_encoder(o)
  return stack.build(o, {
    input = o.embedding,
    hidden = o.bidirectional and o.hidden // 2 or o.hidden,
    layers = o.layers,
    dropout = o.dropout,
    bidirectional = o.bidirectional,
    projection = o.bidirectional and o.projection and o.projection // 2 or o.projection,
  })
end

local function add_attention(self, kind, hidden)
  self.attention = self:add_member("attention", attention { hidden, kind = kind })
  self.combine = self:add_member("combine", linear { 2 * hidden, hidden })
end

--- Two directions have half the state of the decoder each. A unit of an LRU is complex,
--- so its state is two numbers.
local function require_halves(o)
  if o.bidirectional and (o.cell == "delta" or o.cell == "mlstm") then
    options.fail(("nn.encoder_decoder: expected bidirectional = false with %s, whose matrices are no halves, got true")
      :format(o.cell))
  end
  local multiple = o.cell == "lru" and 4 or 2
  if o.bidirectional and options.size.accept(o.projection) and o.projection % 2 ~= 0 then
    options.fail(("nn.encoder_decoder: expected an even projection for two directions, got %d"):format(o.projection))
  end
  if o.bidirectional and o.hidden % multiple ~= 0 then
    options.fail(("nn.encoder_decoder: expected hidden to be a multiple of %d for two directions of %s, got %d"):format(
      multiple, type(o.cell) == "string" and o.cell or o.cell.name, o.hidden))
  end
end

---@param given saros.nn.EncoderDecoderOptions
---@return saros.nn.EncoderDecoder
local function encoder_decoder(given)
  local o = check(given)
  require_halves(o)
  local self = EncoderDecoder.new()
  self.source, o.source = o.source, nil
  self.target, o.target = o.target, nil
  o.embedding, o.attention = o.embedding or o.hidden, o.attention.kind
  self.configuration = stack.plain(o)
  self.boundary = size_of(self.target) + 1
  self.source_embedding = self:add_member("source_embedding",
    embedding { size_of(self.source), o.embedding })
  self.target_embedding = self:add_member("target_embedding",
    embedding { self.boundary, o.embedding })
  self.encoder = self:add_member("encoder", build_encoder(o))
  self.decoder = self:add_member("decoder", stack.build(o, {
    input = o.embedding,
    hidden = o.hidden,
    layers = o.layers,
    dropout = o.dropout,
  }))
  if o.attention then
    add_attention(self, o.attention, self.decoder.output)
  end
  if o.dropout > 0 then
    self.dropout = self:add_member("dropout", dropout { o.dropout })
  end
  self.head = self:add_member("head", linear { self.decoder.output, self.boundary })
  return self:init { seed = o.seed }
end

model_file.register("encoder_decoder", function(description)
  local given = description.options
  stack.read_cell(given, description)
  given.source = from_plain(description.source)
  given.target = from_plain(description.target)
  return encoder_decoder(given)
end)

return encoder_decoder
