-- Models that are no chain of layers as C: branches, several inputs and heads, cells of
-- one's own, windows, both directions. Each file's own test compares it with the model.

local c = require "spec.support.c_files"
local core = require "saros.core"
local evaluate = require "saros.export.evaluate"
local delta = require "spec.support.delta_program"
local files = require "spec.support.files"
local read = require "saros.export.graph"
local saros = require "saros"
local nn, data = saros.nn, saros.data

-- Parameters that begin as zeros are no longer that.
local function made(model)
  model:init { seed = 1 }
  local generator = saros.generator(2)
  for _, tensor in ipairs(model:parameters()) do
    tensor:assign(tensor + generator:normal(tensor:shape(), 0, 0.2))
  end
  return model
end

--- A module of a function of the module and its input.
local function own(kind, fields, forward)
  local class = nn.module(kind)
  class.forward = forward
  local self = class.new()
  for name, value in pairs(fields) do
    if type(value) == "table" and value.forward then
      self[name] = self:add_member(name, value)
    else
      self[name] = value
    end
  end
  return self
end

local function two_heads()
  return own("two_heads", { input = 3, stateful = true, body = nn.gru { 3, 7 }, mean = nn.linear { 7, 2 },
    spread = nn.linear { 7, 4 } }, function(self, x, state)
    local h, last = self.body(x, state)
    return { mean = self.mean(h), spread = saros.exp(self.spread(h)) }, last
  end)
end

local function two_inputs()
  return own("two_inputs", { stateful = true, inputs = { { name = "audio", width = 3 }, { name = "note", count = 5 } },
    body = nn.lstm { 7, 6 }, notes = nn.embedding { 5, 4 }, head = nn.linear { 6, 2 } },
    function(self, x, state)
      local h, last = self.body(x.audio .. self.notes(x.note), state)
      return self.head(h) * saros.sigmoid(h:mean(3, true)), last
    end)
end

-- A GRU that is written out.
local function written_out()
  return own("written_out", { input = 3, gate = nn.linear { 8, 5 }, candidate = nn.linear { 8, 5 }, stateful = true },
    function(self, x, state)
      local h = state and state[1] or saros.zeros(x:size(2), 5)
      local steps = {}
      for t = 1, #x do
        local joined = x[t] .. h
        local z = saros.sigmoid(self.gate(joined))
        h = z * h + (1 - z) * saros.tanh(self.candidate(joined))
        steps[t] = h
      end
      return saros.stack(steps, 1), { h }
    end)
end

describe("a model with branches as C", function()
  it("has what depends on parameters alone as the core computes it", function()
    local w = saros.tensor { { 1, 2 }, { -math.huge, -math.huge }, { 3, math.huge } }
    for _, name in ipairs { "logsumexp", "cumsum", "max" } do
      local graph = read({ parameters = { { name = "w", shape = { 3, 2 } } }, nodes = {
        { op = "parameter", parameter = 0 }, { op = name, ["in"] = { 0 }, outer = 3, n = 2, inner = 1 },
      }, outputs = { { name = "y", node = 1 } } }, { w = w })
      assert.same(core[name](w, 2):reshape(-1):totable(), graph.outputs[1].node.tensor:totable())
    end
  end)

  it("says what it says when it is called", function()
    for _, model in ipairs {
      two_heads(), two_inputs(),
      nn.chain { nn.conv1d { 3, 6, kernel = 4 }, saros.gelu,
        nn.conv1d { 6, 5, kernel = 2, dilation = 3 }, nn.gru { 5, 4 }, nn.linear { 4, 2 } },
      nn.chain { nn.linear { 3, 8 }, nn.windowed_attention { 8, 4, heads = 2 }, nn.lru { 8, 6 } },
    } do
      for _, weights in ipairs { "real", "int8" } do
        c.assert_well(made(model), { name = "a", weights = weights })
      end
    end
  end)

  it("has the matrices of a delta rule in its state", function()
    local kinds = delta.kinds()
    local models = {}
    for at = 1, #kinds, 8 do
      kinds[at].learn_state = at > 8
      models[#models + 1] = nn.chain { nn.linear { 3, 20 }, delta.module(20, kinds[at]), nn.linear { 4, 2 } }
    end
    models[#models + 1] = delta.module(3, { heads = 3, K = 8, V = 16, reflections = 2, decay = "head", write = true,
      erase = "same" })
    for _, model in ipairs(models) do
      for _, weights in ipairs { "real", "int8" } do
        c.assert_well(made(model), { name = "a", weights = weights })
      end
    end
    assert.matches("  %w+ state_2_1%[12%];", c.source_of(models[1]))
  end)

  it("has its inputs and outputs by name", function()
    local text = c.source_of(made(two_inputs()), { name = "net" })
    assert.matches(("int net_step(net_state *state, const %s *audio, int32_t note,"):format(c.REAL), text, 1, true)
    assert.matches("#define NET_INPUTS_AUDIO 3 ", text, 1, true)
    assert.matches("#define NET_SYMBOLS_NOTE 5 ", text, 1, true)
    text = c.source_of(made(two_heads()), { name = "net" })
    assert.matches("#define NET_OUTPUTS_MEAN 2 ", text, 1, true)
    assert.matches("#define NET_OUTPUTS_SPREAD 4 ", text, 1, true)
  end)
end)

describe("a model that reads to and fro as C", function()
  it("runs over a whole sequence", function()
    for _, model in ipairs {
      nn.gru { 3, 4, bidirectional = true },
      nn.branch { delta.module(3, { heads = 2, K = 3, V = 2, reflections = 2, decay = "channel", write = true,
        erase = "separate", reverse = true, learn_state = true }), delta.module(3, { heads = 1, K = 2, V = 3,
        reflections = 1, decay = "head", write = true, erase = "same" }) },
      nn.lstm { 3, 4, bidirectional = true, layers = 2, learn_state = true },
      nn.chain { nn.embedding { 7, 5 }, nn.rnn { 5, 3, bidirectional = true }, nn.gru { 6, 4 }, nn.linear { 4, 2 },
        nn.lru { 2, 4, bidirectional = true } },
    } do
      for _, weights in ipairs { "real", "int8" } do
        c.assert_well(made(model), { name = "a", weights = weights })
      end
    end
  end)

  it("says which room it needs, and has no step", function()
    local text = c.source_of(made(nn.gru { 3, 4, bidirectional = true }))
    assert.matches("#define MODEL_MEMORY(steps) ((size_t)(steps) * 4)", text, 1, true)
    assert.is_nil(text:find("model_step", 1, true))
  end)

  it("classifies at the end", function()
    local texts = data.labelled({ a = { "abab", "ba" }, b = { "bb", "aab" }, c = { "ca", "cc" } }, { valid = 0 })
    local numbers = { low = {}, high = {} }
    for i = 1, 6 do
      numbers.low[i] = saros.generator(i):normal { 5, 2 } * 40 + 100
      numbers.high[i] = numbers.low[i] + 60
    end
    numbers = data.labelled(numbers, { valid = 0 })
    for _, cell in ipairs { "gru", "lstm", "lru" } do
      for _, set in ipairs { texts, numbers } do
        local model = nn.classifier { vocabulary = set.vocabulary, features = set.features, labels = set.labels,
          hidden = 4, cell = cell, layers = 2 }
        for _, weights in ipairs { "real", "int8" } do
          c.assert_well(made(model), { name = "a", weights = weights })
        end
      end
    end
  end)
end)

describe("a cell of one's own as C", function()
  it("steps as it is written", function()
    c.assert_well(made(written_out()), { name = "a" })
    assert.is_nil(c.source_of(made(written_out())):find("NAN", 1, true))
  end)

  it("keeps its state under a name that the file tells", function()
    local text = c.source_of(made(written_out()))
    assert.matches("What is carried from step to step: *\n%*%*   [%w_]+: [%w.]+", text)
    files.with_folder(function(folder)
      assert(saros.export_c(made(nn.gru { 2, 3 }), folder .. "/a.c"))
      assert.matches("  %w+ [%w_]+%[3%];\n  /%* of the step under way", files.read(folder .. "/a.c"))
    end)
  end)
end)

-- --- Cells and programs as modules -----------------------------------------------------------

describe("a layer of cells of one's own as C", function()
  it("says what the layer says, in both directions as well", function()
    local highway = nn.cell("highway", { states = { "h" } }, function(p, x, h)
      local z = saros.sigmoid(p.gate(x .. h))
      return z * saros.tanh(p.candidate(x .. h)) + (1 - z) * h
    end)
    local memory = nn.cell("memory", { states = { "h", "c" } }, function(p, x, h, kept)
      kept = saros.sigmoid(p.keep(x .. h)) * kept + saros.softplus(p.write(x .. h) + p.bias:vector(6))
      return saros.sin(kept) * saros.sigmoid(p.show(x)), kept
    end)
    local matrix = nn.cell("matrix", { states = { { "m", 4, 3 } }, output = true }, function(p, x, m)
      local B, key = #x, saros.softmax(p.key(x, 3))
      m = m * saros.sigmoid(p.decay:tensor { 4, 3 }) + p.value(x, 4):reshape(B, 4, 1) * key:reshape(B, 1, 3)
      local deep = p.deep(m, 3)
      return p.out(m:matmul(p.query(x, 3):reshape(B, 3, 1)):reshape(B, 4) .. deep:sum(2), 6), m
    end)
    for _, model in ipairs {
      nn.chain { nn.recurrent { 3, 6, cell = matrix }, nn.linear { 6, 2 } },
      nn.chain { nn.recurrent { 3, 6, cell = highway, layers = 2 }, nn.linear { 6, 2 } },
      nn.chain { nn.recurrent { 3, 6, cell = memory }, nn.linear { 6, 2 } },
      nn.recurrent { 3, 6, cell = highway, bidirectional = true },
    } do
      for _, weights in ipairs { "real", "int8" } do
        c.assert_well(made(model), { name = "a", weights = weights })
      end
    end
  end)
end)

describe("a model that a file gave back", function()
  it("is exported like the one that was saved, also for plain processors", function()
    local saved = made(nn.chain { nn.linear { 3, 5 }, nn.lstm { 5, 37 }, nn.linear { 37, 2 } })
    files.with_folder(function(folder)
      assert(saved:save(folder .. "/a.safetensors"))
      assert(saros.export_c(assert(saros.load(folder .. "/a.safetensors")), folder .. "/a.c"))
      for _, flags in ipairs { "-O2", "-O2 -DMODEL_PLAIN", "-O2 -ffast-math", "-O3 -march=native -ffast-math" } do
        for _, compiler in ipairs(c.COMPILERS) do
          c.succeed("cd '%s' && %s -std=c99 -DMODEL_TEST %s a.c -o a -lm && ./a", folder, compiler, flags)
        end
      end
    end)
  end)
end)

describe("a file with weights in 8 bits", function()
  it("says what a session in 8 bits says, and tells so itself", function()
    for _, model in ipairs {
      nn.chain { nn.linear { 3, 20 }, nn.gru { 20, 33, reset = "before" }, nn.linear { 33, 5 } },
      nn.chain { nn.linear { 3, 20 }, nn.lstm { 20, 17, projection = 9, layers = 2 }, nn.linear { 9, 5 } },
      nn.chain { nn.linear { 3, 20 }, nn.mingru { 20, 24 }, nn.lru { 24, 6 } },
    } do
      made(model)
      local x, session, rows = saros.generator(3):normal { 12, 3 }, model:session { weights = "int8" }, {}
      for t = 1, #x do
        rows[t] = session:step(x:slice(1, t, t)):reshape(-1):clone()
      end
      local told = evaluate(read(model:program(), model:tensors()), { x }, #x)[1]
      local exact = saros.stack(rows)
      assert.is_true((told - exact):abs():max():item() < 1e-3)
      assert.is_true((model(x:reshape(12, 1, 3)):select(2, 1) - exact):abs():max():item() > 1e-4) -- 8 bits do show
      local text = c.source_of(model, { weights = "int8", test = x })
      local expected = {}
      for number in text:match("model_test_output%[%d+%] = {(.-)}"):gmatch "[^%s,]+" do
        expected[#expected + 1] = tonumber((number:gsub("f$", "")))
      end
      assert.same(exact:reshape(-1):totable(), saros.tensor(expected):totable())
    end
  end)

  it("rounds what a session rounds: tables and their products, but no product of four outputs", function()
    for _, model in ipairs {
      nn.chain { nn.embedding { 4, 6 }, nn.linear { 6, 4 } },
      nn.chain { nn.embedding { 9, 60 }, nn.linear { 60, 33 } },
      nn.chain { nn.embedding { 9, 60 }, nn.lstm { 60, 33, layers = 2 }, nn.linear { 33, 5 } },
      nn.chain { nn.embedding { 9, 60 }, nn.gru { 60, 1 } },
      nn.chain { nn.embedding { 9, 60 }, nn.gru { 60, 33, layer_norm = true }, nn.linear { 33, 3 } },
      nn.chain { nn.embedding { 9, 60 }, saros.tanh, nn.linear { 60, 5 } },
    } do
      made(model)
      local text = c.source_of(model, { weights = "int8" })
      local narrow, wide, off = model:session { weights = "int8" }, model:session(), 0
      for id = 1, 4 do
        off = math.max(off, (narrow:step(id) - wide:step(id)):abs():max():item())
      end
      assert.is_true(off > 1e-4, off) -- rounded rows do show
      assert.matches("int8_t [%w_]+0_weight%[", text)
      c.assert_well(model, { name = "a", weights = "int8" })
    end
    local text = c.source_of(made(nn.chain { nn.linear { 3, 4 }, nn.linear { 4, 5 } }), { weights = "int8" })
    assert.matches(("const %s model_0_weight%%[12%%]"):format(c.REAL), text)
    assert.matches("const int8_t model_1_weight%[20%]", text)
    assert.matches("const float model_1_weight_scale%[5%]", text)
  end)
end)
