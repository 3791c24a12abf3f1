--- A classifier: which label has a sequence? A recurrent stack that reads to the
--- end, from both ends unless told otherwise, and a head on its last states,
--- together with the labels and what the sequences are made of: the vocabulary of
--- texts, with an embedding, or the features of numbers, with their scale.
---
---     local set = data.labelled "surnames"
---     local classifier = nn.classifier { vocabulary = set.vocabulary, labels = set.labels }
---     saros.fit(classifier, set, { epochs = 10, run = "runs/surnames" })
---     print(saros.load("runs/surnames"):classify "Novak")

local core = require "saros.core"
local options = require "saros.options"
local scale = require "saros.data.scale"
local vocabulary = require "saros.data.vocabulary"
local classification = require "saros.metrics.classification"
local class_weights = require "saros.nn.class_weights"
local dropout = require "saros.nn.dropout"
local embedding = require "saros.nn.embedding"
local linear = require "saros.nn.linear"
local live = require "saros.nn.live_classifier"
local loss = require "saros.nn.loss"
local module = require "saros.nn.module"
local stack = require "saros.nn.stack"
local steps = require "saros.nn.steps"
local model_file = require "saros.model_file"
local match = require "saros.train.match"

---@class saros.nn.Classifier: saros.nn.Module
---@field vocabulary saros.Vocabulary?  of texts
---@field features saros.Scale?  of numbers
---@field labels string[]  label id -> name
---@field label_ids table<string, integer>
---@field configuration table  the options it was made with, all but vocabulary, features and labels
---@field class_weights saros.Tensor?  (number of labels), of training
---@field embedding saros.nn.Embedding?  of texts
---@field recurrent saros.nn.Recurrent
---@field dropout saros.nn.Dropout?  of embedded symbols and of the last states
---@field head saros.nn.Linear
---@field net saros.nn.Module  what a session and a learner step: it knows neither scale nor labels
local Classifier = module.class "classifier"

local Net = module.class "classifier.net"
Net.stateful = true

---@class saros.nn.ClassifierOptions
---@field vocabulary? saros.Vocabulary  of texts
---@field features? saros.Scale  of numbers: one of the two is given
---@field labels string[]  their names, no two alike
---@field cell? saros.nn.CellName|saros.nn.CellMaker  ("gru")
---@field hidden? integer  H, in each direction (128)
---@field [string] any  every other option of the cell, such as remember, projection, peepholes, reset or r_max
---@field embedding? integer  size of the embedded symbols of texts (H)
---@field layers? integer  recurrent layers (1)
---@field bidirectional? boolean  read from both ends? (true)
---@field dropout? number  of embedded symbols, between layers and before the head, in training (0)
---@field class_weights? number[]|table<string, number>  what each label counts in saros.fit, > 0, in the
---  order of the labels or by label; set:class_weights() makes rare labels count as much as others (1)
---@field label_smoothing? number  in [0, 1): the share of each target that all labels get, in training (0)
---@field seed? integer  of the parameters and the dropout (1)

local check = options.declare("nn.classifier", stack.fields {
  { "vocabulary", options.optional(vocabulary.kind) },
  { "features", options.optional(scale.kind) },
  { "labels", options.list_of(options.string) },
  { "cell", stack.cell, "gru" },
  { "hidden", options.size, 128 },
  { "embedding", options.optional(options.size) },
  { "layers", options.size, 1 },
  { "bidirectional", options.boolean, true },
  { "dropout", options.fraction, 0 },
  { "class_weights", options.optional(class_weights.kind) },
  { "label_smoothing", options.optional(options.fraction) },
  { "seed", options.integer, 1 },
})

local check_examine = options.declare("examine", {
  { "part", options.one_of { "train", "valid" }, "valid" },
  { "batch", options.size, 500 },
})

local function drop(self, x)
  return self.dropout and self.dropout(x) or x
end

--- The outputs of the last layer at the ends of rows: of the direction from the end, at
--- their first step.
---@param y saros.Tensor  (T, B, H) or (T, B, 2 H)
---@param lengths integer[]?
local function last_outputs(self, y, lengths)
  local T, B, ahead, H = y:size(1), y:size(2), y, y:size(3) // 2
  if self.configuration.bidirectional then
    ahead = y:slice(3, 1, H)
  end
  if lengths then
    local places = {}
    for row = 1, B do
      places[row] = (math.max(lengths[row], 1) - 1) * B + row
    end
    ahead = core.embedding(ahead:reshape(T * B, -1), core.ids(places))
  else
    ahead = ahead:select(1, -1)
  end
  return self.configuration.bidirectional and ahead .. y:slice(3, H + 1):select(1, 1) or ahead
end

--- What the last layer has read at the end, in each of its directions: (B, H) or
--- (B, 2 H).
local function last_states(self, y, state, lengths)
  if self.recurrent.directions[1].ends_in_output then
    return last_outputs(self, y, lengths)
  end
  local ahead, back = state[#state - 1], state[#state]
  return self.configuration.bidirectional and ahead[1] .. back[1] or back[1]
end

--- The state of the last layer after each step (T, B, H), where it is not what the
--- layer gives.
local function states_of(self, x, state)
  local list = {}
  for t = 1, #x do
    local _
    _, state = self.recurrent(x:slice(1, t, t), state)
    list[t] = state[#state][1]
  end
  return core.stack(list), state
end

--- What every step says of the sequence so far, for a learner and for programs; in two
--- directions, what the whole sequence says.
---@param x saros.Tensor  ids (T, B), or numbers (T, B, F), scaled
---@param state? saros.nn.State
---@param given? saros.nn.StepOptions
---@return saros.Tensor logits  (T, B, number of labels), or (1, B, number of labels)
---@return saros.nn.State state
local function run(self, x, state, given)
  local read = self.embedding and drop(self, self.embedding(x)) or x
  if self.recurrent.directions[1].around and not self.configuration.bidirectional then
    local y, last = states_of(self, read, state)
    return self.head(drop(self, y)), last
  end
  local y, last = self.recurrent(read, state, given)
  if self.configuration.bidirectional then
    y = last_states(self, y, last)
    y = y:reshape(1, y:size(1), y:size(2))
  end
  return self.head(drop(self, y)), last
end

Net.forward = run

--- The same members under the same names.
local function net_of(self)
  local net = Net.new()
  net.members, net.embedding, net.recurrent = self.members, self.embedding, self.recurrent
  net.configuration = self.configuration
  net.dropout, net.head = self.dropout, self.head
  return net
end

local InUnits = module.class "classifier.in_units"
InUnits.stateful = true

---@param x saros.Tensor  (T, B, F), in the units of the features
---@param state? saros.nn.State
---@return saros.Tensor logits  (T, B, number of labels)
---@return saros.nn.State state
function InUnits:forward(x, state)
  return run(self, self.features:apply(x), state)
end

--- What a file has for hosts without Lua: the same members, behind the scale of the
--- features; where there is none, the classifier.
local function in_units_of(self)
  if not self.features or self.configuration.bidirectional then
    return self
  end
  local around = InUnits.new()
  around.members, around.recurrent, around.head = self.members, self.recurrent, self.head
  around.configuration, around.dropout, around.features = self.configuration, self.dropout, self.features
  return around
end

---@param x saros.Tensor  ids (T, B), or numbers (T, B, F), scaled
---@param lengths? integer[]  of the B sequences (T)
---@return saros.Tensor logits  (B, number of labels)
function Classifier:forward(x, lengths)
  local given = { lengths = lengths }
  local read = self.embedding and drop(self, self.embedding(x, nil, given)) or x
  local y, state = self.recurrent(read, nil, given)
  return self.head(drop(self, last_states(self, y, state, lengths)))
end

--- The logits of a batch, and how many labels are the likeliest.
local function answer(self, batch)
  if type(batch) ~= "table" or not batch.labels then
    options.fail "classifier: expected labelled sequences, as data.labelled has them, got windows without labels"
  end
  local logits = self(batch.inputs, batch.lengths)
  local right = logits:argmax(-1):eq(batch.labels):sum():item()
  return logits, math.tointeger(right)
end

--- The mean loss of a batch of labelled sequences, for evaluation and `memory`: each
--- sequence counts once, whatever its weight and that of its label are in training.
---@param batch saros.LabelledBatch
---@return saros.Tensor loss  of rank 0, in nats per sequence
---@return nil
---@return integer right  how many labels are the likeliest
function Classifier:window_loss(batch)
  local logits, right = answer(self, batch)
  return core.cross_entropy(logits, batch.labels), nil, right
end

--- What training minimises: the loss or, with class weights, weights of the sequences
--- or label smoothing, the cross-entropy with these.
---@param batch saros.LabelledBatch
---@return saros.Tensor objective  of rank 0
---@return nil
---@return integer right
---@return number? plain  the loss, where the objective is something else
function Classifier:training_loss(batch)
  local smoothing = self.configuration.label_smoothing
  if not (smoothing or self.class_weights or type(batch) == "table" and batch.weights) then
    return self:window_loss(batch)
  end
  local logits, right = answer(self, batch)
  local objective, plain = loss.objective(logits, batch.labels,
    { mask = batch.weights, weights = self.class_weights, label_smoothing = smoothing })
  return objective, nil, right, plain
end

--- What a batch counts in training: the sum of the weights of its sequences, each times
--- that of its label; nil if there are none.
---@param batch saros.LabelledBatch
---@return number?
function Classifier:training_weight(batch)
  local weights, of_labels = batch.weights, self.class_weights
  if of_labels then
    local own = core.embedding(of_labels:reshape(-1, 1), batch.labels):reshape(-1)
    weights = weights and weights * own or own
  end
  return weights and weights:sum():item()
end

--- Any batch of sequences, a padded one, for `memory`.
function Classifier:sample_window(T, B)
  local zeros = core.zeros(T, B, self.features and #self.features or 1)
  local ids = zeros:argmax(-1)
  return { inputs = self.features and zeros or ids, labels = ids:select(1, 1), lengths = steps.padded(T, B),
    symbols = T * B }
end

--- A sequence from a script as a batch of one row.
local function one_row(self, sequence)
  if self.features then
    local rows = self.features:read("classify", sequence)
    return rows:reshape(rows:size(1), 1, -1)
  end
  local ids = options.about("classify", self.vocabulary.whole, self.vocabulary, sequence)
  if #ids == 0 then
    options.fail "classify: expected some text, got none"
  end
  return ids:reshape(-1, 1)
end

--- The id of a label; nil if there is none of that name.
---@param label string
---@return integer?
function Classifier:label_id(label)
  return self.label_ids[label]
end

--- The labels by falling probability, equal ones by name.
---@param probabilities saros.Tensor  (number of labels)
---@return { label: string, probability: number }[]
function Classifier:rank(probabilities)
  if not options.has_shape(probabilities, #self.labels) then
    options.fail(("rank: expected a probability for each of the %d labels, got %s"):format(
      #self.labels, options.describe(probabilities)))
  end
  local ranking = {}
  for id, probability in ipairs(probabilities:totable()) do
    ranking[id] = { label = self.labels[id], probability = probability }
  end
  table.sort(ranking, function(a, b)
    return a.probability > b.probability or a.probability == b.probability and a.label < b.label
  end)
  return ranking
end

--- The label of a sequence, and how likely every label is.
---@param sequence string|saros.Tensor|number[]|number[][]  a text, not empty; or finite numbers (T, F), or (T)
---  if F is 1, in their own units
---@return string label  the likeliest
---@return { label: string, probability: number }[] ranking  likeliest first
function Classifier:classify(sequence)
  local _ <close> = core.no_gradient()
  local ranking = self:rank(core.softmax(self(one_row(self, sequence)):select(1, 1)))
  return ranking[1].label, ranking
end

--- What becomes of the sequences of a part: the accuracy, the macro F1, and precision, recall
--- and F1 of each label; each sequence counts once. Print it, or read its fields.
---@param set saros.Labelled
---@param given? { part?: "train"|"valid", batch?: integer }  ("valid", 500)
---@return saros.metrics.Classification  with confusion.counts[true label][predicted label]
function Classifier:examine(set, given)
  local _ <close> = core.no_gradient()
  options.argument("examine", 1, options.having("labelled sequences", { "batches", "labels" }), set)
  match.meanings("examine", self, set)
  local o, counts = check_examine(given), classification.zeros(#self.labels)
  for batch in set:batches { part = o.part, batch = o.batch } do
    for row, guess in ipairs(self(batch.inputs, batch.lengths):argmax(-1):totable()) do
      local line = counts[batch.sequences[row].label]
      line[guess] = line[guess] + 1
    end
  end
  return classification.of_counts(self.labels, counts)
end

--- Refuses to step what reads from both ends.
local function check_direction(self, owner)
  if self.configuration.bidirectional then
    options.fail(owner .. ": expected a classifier with bidirectional = false, got one that reads sequences from both "
      .. "ends; classify asks it about a whole one")
  end
end

--- What it says after each step; its head reads the state of the last layer.
---@return saros.Program
function Classifier:program()
  check_direction(self, "program")
  return self.net:program()
end

--- The classifier as it is now, stepped with ids of symbols or with numbers in
--- their own units: what it says after each of them.
---@param given? { streams?: integer, weights?: string }  as of any session
---@return saros.nn.LiveClassifier
function Classifier:session(given)
  check_direction(self, "session")
  return live(self, self.net:session(given))
end

--- A session that learns while it steps, from labels.
---@param given? saros.train.LearnerOptions
---@return saros.nn.LiveClassifier
function Classifier:learner(given)
  check_direction(self, "learner")
  if self.recurrent.directions[1].around then
    options.fail "learner: expected a classifier of another cell than lru, whose states are not its outputs"
  elseif type(given) == "table" and given.loss ~= nil and given.loss ~= "cross_entropy" then
    options.fail("learner: expected the loss of a classifier, \"cross_entropy\", got " .. options.describe(given.loss))
  end
  local o = { loss = "cross_entropy" }
  for name, value in pairs(type(given) == "table" and given or {}) do
    o[name] = value
  end
  return live(self, self.net:learner(type(given) ~= "table" and given or o))
end

--- For saros.export_c: the net, what stands before it, and what its outputs are.
---@return saros.export.Parts
function Classifier:export_parts()
  local features = self.features
  return {
    net = self.net,
    labels = self.labels,
    before = features and { shift = features.shift, factor = features.factor, names = features.names },
    input = function(sequence)
      return features and features:rows("export_c", sequence) or self.vocabulary:whole(sequence)
    end,
    final = self.configuration.bidirectional,
    ask = function(input)
      local told = {}
      for t = self.configuration.bidirectional and #input or 1, #input do
        local read = input:slice(1, 1, t)
        told[#told + 1] = self(features and features:apply(read):reshape(t, 1, -1) or read:reshape(t, 1)):reshape(-1)
      end
      return core.stack(told)
    end,
  }
end

--- Write the whole model to one file: saros.load(path) gives it back.
---@param path string
---@return true? ok, string? message
function Classifier:save(path)
  return model_file.write(path, self.kind, {
    options = self.configuration,
    vocabulary = self.vocabulary and self.vocabulary:to_table(),
    features = self.features and self.features:to_table(),
    labels = self.labels,
  }, self, in_units_of(self))
end

function Classifier:describe()
  local known = self.vocabulary or self.features
  return ("classifier (%d %ss -> %d labels; %s)"):format(
    #known, self.features and "feature" or known:noun(), #self.labels, self.recurrent:describe())
end

local function check_labels(labels)
  local seen = {}
  for _, label in ipairs(labels) do
    if seen[label] then
      options.fail(("nn.classifier: expected labels of which no two are alike, got %q twice"):format(label))
    end
    seen[label] = true
  end
  if #labels == 0 then
    options.fail "nn.classifier: expected some labels, got none"
  end
end

---@param given saros.nn.ClassifierOptions
---@return saros.nn.Classifier
local function classifier(given)
  local o = check(given)
  check_labels(o.labels)
  if (o.vocabulary == nil) == (o.features == nil) then
    options.fail "nn.classifier: expected either a vocabulary, of texts, or features, of numbers"
  end
  local self = Classifier.new()
  self.vocabulary, o.vocabulary = o.vocabulary, nil
  self.features, o.features = o.features, nil
  self.labels, o.labels, self.label_ids = o.labels, nil, {}
  for id, label in ipairs(self.labels) do
    self.label_ids[label] = id
  end
  if o.class_weights then
    o.class_weights = class_weights.read(o.class_weights, self.labels)
    self.class_weights = core.tensor(o.class_weights)
  end
  self.configuration = stack.plain(o)
  if self.vocabulary then
    o.embedding = o.embedding or o.hidden
    self.embedding = self:add_member("embedding", embedding { #self.vocabulary, o.embedding })
  end
  self.recurrent = self:add_member("recurrent", stack.build(o, {
    input = self.features and #self.features or o.embedding,
    hidden = o.hidden,
    layers = o.layers,
    bidirectional = o.bidirectional,
    dropout = o.dropout,
  }))
  if o.dropout > 0 then
    self.dropout = self:add_member("dropout", dropout { o.dropout })
  end
  local direction = self.recurrent.directions[1]
  local size = direction.ends_in_output and direction.output or direction.sizes[1]
  size = type(size) == "table" and #size == 1 and size[1] or size
  if math.type(size) ~= "integer" then
    options.fail("nn.classifier: expected a cell whose first state is one row of numbers, got " .. tostring(o.cell))
  end
  local states = (o.bidirectional and 2 or 1) * size
  self.head = self:add_member("head", linear { states, #self.labels })
  self.net = net_of(self)
  return self:init { seed = o.seed }
end

model_file.register("classifier", function(description)
  local given = description.options
  stack.read_cell(given, description)
  if description.features then
    given.features = scale.from_table(description.features)
  else
    given.vocabulary = vocabulary.from_table(description.vocabulary)
  end
  given.labels = description.labels
  return classifier(given)
end)

return classifier
