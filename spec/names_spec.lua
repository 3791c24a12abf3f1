-- Names: what the toolkit has, and what it says about names that it has not.

local saros = require "saros"
local commands = require "spec.support.commands"
local files = require "spec.support.files"
local nn, data, optim = saros.nn, saros.data, saros.optim

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do
    list[#list + 1] = word
  end
  return list
end

-- All that scripts have, sorted.
local PUBLIC = {
  saros = [[
    abs arange argmax automata backward_in_segments beam_search clock clone concatenate contiguous cos cross_entropy
    ctc cumsum data detach elu eq evaluate exp export_c find_rate fit flatten flip full gather ge gelu gelu_tanh
    generator gradient_check gt hard_sigmoid hard_tanh ids info inspect inspect_file is_terminal isfinite isnan
    json_decode json_encode keras le leaky_relu load log log_softmax logsumexp lt make_folder matmul max maximum mean
    memory metrics min minimum mse nam ne negate nn no_gradient null one_hot ones onnx operation optim plot
    profile progress ranks read_tensors relu report reshape rtneural safetensors sampler select sigmoid silu sin slice
    softmax softplus sqrt stack sum tanh tape tensor threads topk transpose where zeros]],
  nn = [[
    attention batch_norm bce bits branch cell chain classifier concatenate conv1d crf cross_attention cross_entropy
    ctc_loss delta dropout embedding encoder_decoder finite forecaster gru heads huber initialize kl l1
    language_model layer_norm linear lru lstm mingru minlstm mlstm module mse perplexity prelu recurrent residual
    rms_norm rnn slstm state ugrnn unroll windowed_attention]],
  optim = "adam adamw clip_norm clip_value groups rmsprop schedule sgd",
  ["optim.schedule"] = "constant cosine exponential step",
  data = "labelled pad pairs pieces pipeline prepare series tasks text vocabulary",
  ["data.vocabulary"] = "bpe bytes characters words",
  ["data.tasks"] = [[
    adding arithmetic brackets copy counter flip_flop group_words multi_query_recall parity recall selective_copy
    shape_names shapes]],
  ["saros.metrics"] = "classification regression",
  ["saros.automata"] = "curriculum extract learn model polish prove prune",
  ["saros.plot"] = "bars confusion heat histogram lines",
  ["saros.inspect"] = "gates guesses neurons reach",
  ["saros.safetensors"] = "read write",
  ["saros.rtneural"] = "read write",
  ["saros.nam"] = "read write",
  ["saros.keras"] = "read",
  ["saros.onnx"] = "inspect read write",
  ["saros.ranks"] = [[
    all_reduce barrier broadcast gather rank shards share size sum_gradients timeout total]],
  ["saros.ctc"] = "beam distance error_rate greedy",
}

-- "optim.schedule" -> saros.optim.schedule
local function space(title)
  local value = saros
  for name in title:gsub("^saros%.?", ""):gmatch "%w+" do
    value = value[name]
  end
  return value
end

local function fails(fn, message)
  assert.error_matches(fn, message, 1, true)
end

describe("the public names", function()
  for title, text in pairs(PUBLIC) do
    it("of " .. title .. " are these and no others, each in the reference", function()
      local names, reference = {}, files.read "docs/reference.md"
      for name in pairs(space(title)) do
        names[#names + 1] = name
        assert.is_truthy(reference:find(("%%f[%%w_]%s%%f[^%%w_]"):format(name)), name .. " is not in the reference")
      end
      table.sort(names)
      assert.same(words(text), names)
    end)

    it("of " .. title .. " are checked when they are read", function()
      local name = words(text)[1]
      fails(function() return space(title)[name .. "x"] end,
        ("%s: expected one of its names, got %q; did you mean '%s'?"):format(title, name .. "x", name))
      fails(function() return space(title).no_such_name_at_all end, 'got "no_such_name_at_all"')
      fails(function() return space(title)[1] end, "got 1")
    end)
  end

  it("are found where they are, if they were looked for elsewhere", function()
    fails(function() return nn.relu end, "nn: expected one of its names, got \"relu\"; did you mean 'saros.relu'?")
    fails(function() return saros.lstm end, "did you mean 'nn.lstm'?")
    fails(function() return saros.clip_norm end, "did you mean 'optim.clip_norm'?")
    fails(function() return optim.series end, "did you mean 'data.series'?")
    fails(function() return nn.LSTM end, "did you mean 'lstm'?")
  end)

  it("can be added to, and asked for with pcall", function()
    assert.is_false((pcall(function() return saros.of_my_own end)))
    saros.of_my_own = 7
    assert.equal(7, saros.of_my_own)
    saros.of_my_own = nil
  end)
end)

describe("the enumerations of saros.h", function()
  it("are all tried with wrong numbers, in C", function()
    local tried = files.read "spec/c/enumerations.c"
    local header = commands.shell "cat src/saros.h src/saros/*.h"
    for name in header:gmatch "\n} (saros_[%w_]+);" do
      if header:find("typedef enum " .. name .. " ", 1, true) and name ~= "saros_status" then
        assert.is_truthy(tried:find(("(%s)n"):format(name), 1, true), name)
      end
    end
  end)
end)

describe("a misspelt method", function()
  local text = data.text { string = ("to be or not to be "):rep(10) }
  local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 4, seed = 1 }
  local net = nn.chain { nn.gru { 2, 3 }, saros.tanh }:init { seed = 1 }
  local series = data.series(saros.arange(40), {})
  for title, case in pairs {
    tensor = { saros.zeros(2), "reshap", "reshape" },
    generator = { saros.generator(1), "unifrom", "uniform" },
    tape = { saros.tape, "bakward", "backward" },
    session = { net:session(), "stp", "step" },
    ["saros.train.Learner"] = { lm:learner(), "lern", "learn" },
    ["saros.nn.language_model"] = { lm, "genrate", "generate" },
    ["saros.nn.chain"] = { net, "parametrs", "parameters" },
    ["saros.nn.linear"] = { nn.linear { 1, 1 }, "sav", "save" },
    ["saros.Vocabulary"] = { text.vocabulary, "encod", "encode" },
    ["saros.Text"] = { text, "windos", "windows" },
    ["saros.Series"] = { series, "windos", "windows" },
    ["saros.Pairs"] = { data.pairs { { "a", "b" } }, "batchs", "batches" },
    ["saros.Task"] = { data.tasks.copy { lag = 3 }, "scor", "score" },
    ["saros.Pipeline"] = { data.pipeline { 1, 2 }, "shufle", "shuffle" },
    ["saros.optim.Optimizer"] = { optim.adam(net:parameters(), { lr = 1 }), "setp", "step" },
    ["saros.Plot"] = { saros.plot.bars { values = { 1, 2 } }, "sav", "save" },
    ["saros.nn.State"] = { nn.state.new {}, "detatch", "detach" },
  } do
    it("of " .. title .. " is an error that names the right one", function()
      local object, wrong, right = table.unpack(case)
      local own <close> = type(object) == "function" and object() or nil
      fails(function() return (own or object)[wrong] end,
        ("%s: expected the name of a method, got %q; did you mean '%s'?"):format(title, wrong, right))
    end)
  end

  it("of a class of one's own is one, too, but fields may be absent", function()
    local Own = nn.module "own"
    function Own:forward(x)
      for _, name in ipairs { "generator", "unit", "cache", "saved", "learned", "described", "kinds" } do
        assert.is_nil(self[name])
      end
      return x
    end
    assert.equal(3, Own.new()(3))
    fails(function() Own.new():parametrs() end, "saros.nn.own: expected the name of a method, got \"parametrs\"")
    assert.is_nil(lm.forecast)
    assert.is_nil(lm.unit) -- beside init
    assert.is_nil(lm.text) -- beside next
    assert.is_nil(text.batches)
  end)
end)

describe("a misspelt option", function()
  it("is an error that names the right one", function()
    fails(function() nn.lstm { 3, hiden = 4 } end,
      "nn.lstm: unknown option \"hiden\"; did you mean 'hidden'? known: input, hidden, layers,")
    fails(function() nn.lstm { 3, 4, batch_size = 3 } end, 'unknown option "batch_size"; known: ')
    fails(function() data.text({ string = "abc" }, { units = "char" }) end, "did you mean 'unit'?")
    fails(function() optim.adam({ saros.ones(1) }, { Lr = 1 }) end, "did you mean 'lr'?")
    fails(function() saros.cross_entropy(saros.ones(2, 2), saros.ids { 1, 1 }, { maks = 1 }) end,
      "got the field \"maks\"; did you mean 'mask'?")
    fails(function() nn.linear { 2, 2 }:init { sed = 1 } end, "did you mean 'seed'?")
    fails(function() saros.plot.lines { series = { { y = { 1 }, nam = "a" } } } end, "did you mean 'name'?")
    fails(function() nn.linear { 2, 2 }:tie("wieght", saros.ones(2, 2)) end, "did you mean 'weight'?")
  end)

  it("is one among values, too", function()
    local known = data.text({ string = "abcabc" }).vocabulary
    fails(function() nn.language_model { vocabulary = known, hidden = 3, cell = "ltsm" } end,
      "got \"ltsm\"; did you mean 'lstm'?")
    fails(function() nn.linear { 2, 2 }:init { seed = 1, weights = "orthogonl" } end, "did you mean 'orthogonal'?")
    fails(function() nn.gru { 2, 2, reset = "befor" } end, "did you mean 'before'?")
    local text = "temp,wind\n1,2\n3,4\n5,6\n"
    local _, message = data.series({ string = text }, { targets = { "tmep" } })
    assert.matches("got \"tmep\"; did you mean 'temp'?", message, 1, true)
  end)
end)

describe("a hole in a list", function()
  -- With and without the later element inside the length that Lua gives.
  local function holed(first, last)
    local list = { first }
    list[3] = last
    return { { first, nil, last }, list }
  end

  local function each(first, last, fn, message)
    for _, list in ipairs(holed(first, last)) do
      fails(function() fn(list) end, message)
    end
  end

  it("of layers is an error that says where", function()
    local a, b = nn.linear { 2, 2 }, nn.linear { 2, 2 }
    each(a, b, nn.chain, "nn.chain: expected member 2 to be a module or a function, got nil")
    each(a, b, nn.residual, "nn.residual: expected member 2 to be a module or a function, got nil")
    fails(function() nn.chain { nil, a } end, "nn.chain: expected member 1 to be a module or a function, got nil")
    fails(function() nn.chain { a, nn.no_such_layer } end, 'nn: expected one of its names, got "no_such_layer"')
    fails(function() nn.chain { a, name = b } end,
      'nn.chain: expected members by position alone, got one under the key "name"')
  end)

  it("of parameters is one", function()
    local a, b = saros.ones(2):trainable(true), saros.ones(2):trainable(true)
    for name, fn in pairs {
      adam = function(list) optim.adam(list, { lr = 1 }) end,
      sgd = function(list) optim.sgd(list, { lr = 1 }) end,
      clip_norm = function(list) optim.clip_norm(list, 1) end,
      clip_value = function(list) optim.clip_value(list, 1) end,
    } do
      each(a, b, fn, ("optim.%s: expected tensors, got nil at position 2"):format(name))
    end
    each({ { a } }, { { b } }, function(list) optim.adam(list, { lr = 1 }) end, "optim.adam: group 2: ")
  end)

  it("of numbers, ids and tensors is one", function()
    for _, make in ipairs { saros.tensor, saros.ids, saros.zeros } do
      each(1, 2, make, "2")
      each(1, 2, make, "got nil")
    end
    each(saros.ones(2), saros.ones(2), saros.stack, "2")
    each(saros.ones(2), saros.ones(2), function(list) saros.concatenate(list, 1) end, "got nil")
    fails(function() saros.tensor { { 1, 2 }, { 3, nil, 4 } } end, "tensor: expected ")
    each({ 1 }, { 1 }, data.pad, "data.pad: expected sequence 2 to be a list of ids, got nil")
    each(1, 2, function(list) data.pad { list } end, "data.pad: expected ids in sequence 1, got nil at position 2")
    each(1, 2, function(list) data.vocabulary.bytes():decode(list) end, "got nil at position 2")
    each(1, 2, function(list) nn.rnn { 2, 2 }:init { seed = 1 }(saros.ones(4, 3, 2), nil, { lengths = list }) end, "2")
  end)

  it("of what is shown, compared or checked is one", function()
    each(1, 2, function(list) saros.plot.bars { values = list } end, "a list of numbers")
    each(1, 2, function(list) saros.plot.lines { series = { { y = list } } } end, "expected series[1].y")
    each({ y = { 1 } }, { y = { 2 } }, function(list) saros.plot.lines { series = list } end,
      "expected series[2] to be a table with y, got nil")
    each({ 1, 2 }, { 3, 4 }, function(list) saros.plot.heat { values = list } end, "rows of numbers")
    each(1, 2, function(list) saros.ctc.distance(list, { 1 }) end, "a table with nil at position 2")
    each({ 1 }, { 2 }, function(list) saros.ctc.error_rate(list, { { 1 } }) end, "a table with nil at position 2")
    each(1, 2, data.pipeline,
      "data.pipeline: expected a list without holes as argument 1, got a table with nil at position 2")
    local a, b = saros.ones(2), saros.ones(2)
    each(a, b, function(list) saros.gradient_check(function() return (a + b):sum() end, list) end,
      "a table with nil at position 2")
  end)

  it("of texts and labels is one", function()
    local known = data.text({ string = "abcabc" }).vocabulary
    each("a", "b", function(list) nn.classifier { vocabulary = known, labels = list, hidden = 3 } end,
      "to be a list, each element a string, got a table with nil at position 2")
    each("a", "b", function(list) data.labelled { x = list, y = { "b" } } end, "expected sequence 2 of \"x\"")
    each({ "a", "b" }, { "a", "b" }, data.pairs, "data.pairs: expected pair 2 ")
    each("runs/a", "runs/b", saros.report, "with nil at position 2")
  end)
end)
