-- Model files carry their program: saros.load gives back any module that can be
-- traced, without the script that made it. And files of version 0.1.0 still load.

local delta = require "spec.support.delta_program"
local files = require "spec.support.files"
local gradients = require "spec.support.gradients"
local values = require "spec.support.values"
local saros = require "saros"
local nn, data = saros.nn, saros.data

local ROUNDING = gradients.is_double and 1e-12 or 1e-5

local function normal(seed, ...)
  return saros.generator(seed):normal { ... }
end

local Highway = nn.cell("highway", { states = { "h" } }, function(p, x, h)
  local z = saros.sigmoid(p.gate(x .. h))
  return z * saros.tanh(p.candidate(x .. h)) + (1 - z) * h
end)

local Matrix = nn.cell("matrix", { states = { "h", { "m", 2, 3 } } }, function(p, x, h, m)
  m = m * 0.5 + p.value(x .. h, 6):reshape(x:size(1), 2, 3)
  return saros.tanh(p.out(m:sum(3))), m
end)

-- A class of a script: a gate around a cell, and the step before.
local Block = nn.module "block"
Block.stateful = true
function Block:forward(x, state)
  local read, last = self.norm(x), nn.state.new {}
  local h
  h, last[1] = self.cell(read, state and state[1])
  return x + self.out(h * self.gate(read):sigmoid()), last
end
local function block(size)
  local self = Block.new()
  self.norm = self:add_member("norm", nn.layer_norm { size })
  self.cell = self:add_member("cell", nn.mingru { size, size + 1 })
  self.gate = self:add_member("gate", nn.linear { size, size + 1 })
  self.out = self:add_member("out", nn.linear { size + 1, size })
  return self
end

-- name -> a net of 3 features
local nets = {
  ["a linear layer"] = function() return nn.linear { 3, 2 } end,
  ["layers in a chain"] = function()
    return nn.chain { nn.lstm { 3, 4, layers = 2 }, nn.dropout { 0.5 }, saros.tanh, nn.linear { 4, 2 } }
  end,
  ["cells of one's own"] = function()
    return nn.recurrent { 3, 4, cell = Highway, layers = 2, learn_state = true, residual = true }
  end,
  ["a matrix as a state"] = function() return nn.recurrent { 3, 4, cell = Matrix, layers = 2 } end,
  ["a class of a script"] = function() return nn.chain { block(3), block(3), nn.linear { 3, 2 } } end,
  ["a convolution, a branch and a function"] = function()
    return nn.chain { nn.conv1d { 3, 4, kernel = 3 }, nn.branch { nn.gru { 4, 3 }, nn.linear { 4, 2 } },
      function(x) return x * saros.sigmoid(x) end, nn.linear { 5, 2 } }
  end,
  ["attention to the last steps"] = function()
    return nn.chain { nn.linear { 3, 4 }, nn.windowed_attention { 4, 3 } }
  end,
  ["a delta rule"] = function()
    return nn.chain { nn.linear { 3, 4 }, delta.module(4, { heads = 2, K = 3, V = 2, reflections = 2, decay = "channel",
      write = true, erase = "separate", learn_state = true }), nn.linear { 4, 3 } }
  end,
}

-- They know of none.
local NO_PADDING = { ["a class of a script"] = true, ["a delta rule"] = true }

local function leaves(state, list)
  list = list or {}
  for _, branch in ipairs(type(state) == "table" and state or {}) do
    if type(branch) == "table" then leaves(branch, list) else list[#list + 1] = branch end
  end
  return list
end

local function with_saved(net, fn)
  files.with_path(function(path)
    assert(net:save(path))
    fn(assert(saros.load(path)), path)
  end)
end

describe("a file with a program", function()
  for name, make in pairs(nets) do
    it("gives back " .. name .. ": values, states, gradients, padded and reset", function()
      local net = make():init { seed = 1 }
      with_saved(net, function(loaded)
        assert.equal("program", loaded.kind)
        local x, given = normal(1, 6, 3, 3), nil
        if net.hides_padding and net.stateful and not NO_PADDING[name] then
          local reset = saros.zeros(6, 3)
          reset[3][1] = 1
          given = { lengths = { 6, 2, 4 }, reset = reset }
        end
        local results = {}
        for n, model in ipairs { net, loaded } do
          local tape <close> = saros.tape()
          tape:watch(x)
          x:clear_gradient()
          local y, state
          do
            local _ <close> = saros.no_gradient()
            local _
            _, state = model(x, nil, given)
            y = model(x, state)
          end
          local trained = model(x * 0.5, state and nn.state.detach(state))
          if name ~= "layers in a chain" then
            tape:backward((trained * trained):sum())
          end
          results[n] = { y = y, state = leaves(state), dx = x:gradient() and x:gradient():clone() }
        end
        assert.same_values(results[1].y, results[2].y, ROUNDING)
        for n, leaf in ipairs(results[1].state) do
          assert.same_values(leaf, results[2].state[n], ROUNDING)
        end
        if results[1].dx then
          assert.same_values(results[1].dx, results[2].dx, ROUNDING * 10)
          local own = net:tensors()
          for parameter, tensor in pairs(loaded:tensors()) do
            if own[parameter]:gradient() then
              assert.same_values(own[parameter]:gradient(), tensor:gradient(), ROUNDING * 100)
            end
          end
        end
      end)
    end)

    it("gives back " .. name .. ", which is saved as the same file", function()
      local net = make():init { seed = 1 }
      with_saved(net, function(loaded, path)
        local first = files.read(path)
        assert(loaded:save(path))
        assert.equal(first, files.read(path))
        assert(make():load(path)) -- into the module that it came from
      end)
    end)
  end

  it("gives back a model that trains", function()
    local net = nn.chain { nn.recurrent { 3, 4, cell = Highway }, nn.linear { 4, 3 } }:init { seed = 1 }
    with_saved(net, function(loaded)
      local x = normal(1, 6, 3, 3)
      for _, model in ipairs { net, loaded } do
        local adam = saros.optim.adam(model:parameters(), { lr = 0.01 })
        for _ = 1, 3 do
          local tape <close> = saros.tape()
          tape:backward(nn.mse(model(x), x))
          adam:step()
        end
      end
      assert.same_values((net(x)), (loaded(x)), ROUNDING * 10)
    end)
  end)

  it("keeps running statistics out of training", function()
    local net = nn.chain { nn.linear { 3, 4 }, nn.batch_norm { 4 }, nn.linear { 4, 3 } }:init { seed = 1 }
    with_saved(net, function(loaded)
      assert.same(#net:parameters(), #loaded:parameters())
      assert.equal(net:count(), loaded:count())
      assert.equal(2, #loaded:buffers())
      assert.same(#net:buffers(), #loaded:buffers())
    end)
  end)

  it("refuses to train what is another net in training", function()
    local Scaled = nn.cell("scaled", {}, function(p, x, h) return saros.tanh(p.gate(x .. h)) end)
    local function zoned(given)
      given[1], given[2], given.cell = 3, 3, Scaled
      return nn.chain { nn.recurrent(given) }
    end
    for _, net in ipairs { nn.chain { nn.linear { 3, 3 }, nn.batch_norm { 3 } }, zoned { zoneout = 0.1 },
      zoned { recurrent_dropout = 0.1, bidirectional = false },
      nn.branch { nn.batch_norm { 3 }, combine = "add", nn.linear { 3, 3 } } } do
      with_saved(net:init { seed = 1 }, function(loaded, path)
        local x = normal(1, 6, 3, 3)
        local function refused(fn)
          local line = debug.getinfo(2, "l").currentline
          local ok, message = pcall(fn)
          assert.is_false(ok)
          assert.matches(("^spec/program_file_spec.lua:%d: program: expected no training tape for a net from a file "
            .. "that has what it computes in evaluation alone"):format(line), message)
        end
        assert.same_values((net(x)), (loaded(x)), ROUNDING)
        local first = files.read(path)
        assert(loaded:save(path))
        assert.equal(first, files.read(path))
        local inside = nn.chain { assert(saros.load(path)), nn.linear({ 3, 2 }):init { seed = 1 } }
        local _ <close> = saros.tape()
        refused(function() loaded(x) end)
        refused(function() inside(x) end)
        local _ <close> = saros.no_gradient()
        assert.same_values((net(x)), (loaded(x)), ROUNDING)
      end)
    end
  end)

  it("drops and keeps units in training as the net did", function()
    local x = normal(1, 3, 400, 3)
    for _, net in ipairs { nn.chain { nn.linear { 3, 4 }, nn.dropout { 0.5 }, nn.linear { 4, 2 } },
      nn.chain { nn.dropout { 0.4, variational = true }, nn.linear { 3, 2 } },
      nn.lstm { 3, 4, zoneout = 0.4, zoneout_cell = 0.2 }, nn.gru { 3, 4, recurrent_dropout = 0.5 },
      nn.rnn { 3, 4, layers = 2, dropout = 0.5 },
      nn.chain { nn.recurrent { 3, 4, cell = nn.cell("drops", {}, function(p, v, h)
        return saros.tanh(p:dropout(p.gate(v .. h), 0.5))
      end) } } } do
      with_saved(net:init { seed = 1 }, function(loaded)
        --- Mean and spread over rows of what training computes.
        local function seen(model)
          local _ <close> = saros.tape()
          local sums = { saros.zeros(1), saros.zeros(1) }
          for _ = 1, 20 do
            local y = model(x):detach()
            sums[1], sums[2] = sums[1] + y:mean(2), sums[2] + (y * y):mean(2)
          end
          return sums[1] / 20, sums[2] / 20
        end
        local mean, square = seen(net)
        local loaded_mean, loaded_square = seen(loaded)
        assert.same_values(mean, loaded_mean, 0.05)
        assert.same_values(square, loaded_square, 0.05)
        assert.is_true((loaded_square - (loaded(x) * loaded(x)):mean(2)):abs():max():item() > 1e-4)
      end)
    end
  end)

  it("keeps names of one parameter together, and what the program does not read", function()
    local net = nn.chain { nn.embedding { 5, 4 }, nn.gru { 4, 4 }, nn.linear { 4, 5 } }:init { seed = 1 }
    net.steps[3]:tie("weight", net.steps[1].weight)
    net.unread = net:add_parameter("unread", { 2 }, nn.initialize.constant(3))
    net:init { seed = 1 }
    local ids = saros.ids { { 1, 2 }, { 3, 4 } }
    with_saved(net, function(loaded)
      assert.equal(values.fingerprint(net:tensors()), values.fingerprint(loaded:tensors()))
      assert.equal(loaded:tensors()["0.weight"], loaded:tensors()["2.weight"])
      assert.same({ 3, 3 }, loaded:tensors().unread:totable())
      assert.same_values((net(ids)), (loaded(ids)), ROUNDING)
    end)
  end)

  it("says why a module has no program, and loads into the module all the same", function()
    local Reads = nn.module "reads"
    function Reads:forward(x) return self.inner(x) * x:max():item() end
    local function make()
      local self = Reads.new()
      self.inner = self:add_member("inner", nn.linear { 3, 2 })
      return self
    end
    local net = make():init { seed = 1 }
    files.with_path(function(path)
      local ok, told = net:save(path)
      assert.is_true(ok)
      assert.matches("^save: wrote parameters only, for load%(path%) of a module that is built alike: program: ", told)
      local model, message = saros.load(path)
      assert.is_nil(model)
      assert.matches("got parameters only; build the module and call module:load%(path%) %(", message)
      assert.matches("%(program: .*got max over time", message)
      assert.same_values((net(saros.ones(1, 1, 3))), (make():load(path)(saros.ones(1, 1, 3))), 0)
    end)
  end)

  it("refuses what it has no use for, by name", function()
    with_saved(nn.chain { nn.rnn { 3, 4 } }:init { seed = 1 }, function(loaded)
      for message, call in pairs {
        ["program: expected x of shape (T, B, 3), got a tensor (2, 2, 4)"] = function()
          loaded(saros.zeros(2, 2, 4))
        end,
        ["program: expected x of shape (T, B, 3), got 1"] = function() loaded(1) end,
        ["program: expected the state 1.1.1 of shape (2, 4), got nil"] = function()
          loaded(saros.zeros(2, 2, 3), {})
        end,
        ["init: expected a module that knows how its parameters begin"] = function() loaded:init { seed = 1 } end,
      } do
        local ok, got = pcall(call)
        assert.is_false(ok)
        assert.is_truthy(got:find(message, 1, true), got)
      end
    end)
  end)
end)

describe("a language model with a net of one's own", function()
  local text = data.text({ string = ("abcd dcba "):rep(30) }, { valid = 0.2 })

  local function model(seed)
    local V = #text.vocabulary
    return nn.language_model { vocabulary = text.vocabulary, seed = seed, net = nn.chain {
      nn.embedding { V, 6 }, block(6), nn.recurrent { 6, 6, cell = Highway }, nn.layer_norm { 6 },
      nn.dropout { 0.1, variational = true }, nn.linear { 6, V } } }
  end

  it("trains, writes and comes back with its vocabulary", function()
    local lm = model(1)
    local before = saros.evaluate(lm, text)
    saros.fit(lm, text, { epochs = 3, batch = 4, length = 10, lr = 0.02 })
    assert.is_true(saros.evaluate(lm, text) < before)
    with_saved(lm, function(loaded, path)
      assert.equal("language_model", loaded.kind)
      assert.same(lm.vocabulary.symbols, loaded.vocabulary.symbols)
      assert.equal(values.fingerprint(lm:tensors()), values.fingerprint(loaded:tensors()))
      assert.same_values((lm:read "abcd"), (loaded:read "abcd"), ROUNDING)
      assert.equal(lm:beam { prime = "ab", length = 5 }[1].text, loaded:beam { prime = "ab", length = 5 }[1].text)
      local first = files.read(path)
      assert(loaded:save(path))
      assert.equal(first, files.read(path))
      local loss = saros.evaluate(loaded, text)
      saros.fit(loaded, text, { epochs = 1, batch = 4, length = 10, lr = 0.01 })
      assert.is_true(saros.evaluate(loaded, text) < loss)
    end)
  end)
end)

describe("a program in a file that is not what it says", function()
  local function contents(net)
    local tensors, metadata
    files.with_path(function(path)
      assert(net:save(path))
      tensors, metadata = assert(saros.safetensors.read(path))
    end)
    return tensors, metadata
  end

  local function chain()
    return nn.chain { nn.recurrent { 3, 4, cell = Highway, learn_state = true }, nn.linear { 4, 2 } }:init { seed = 1 }
  end

  -- Loads tensors and metadata; the message, or nil if a model came of it.
  local function refusal(tensors, metadata)
    local model, message = saros.load(tensors, metadata)
    if not model then
      assert.equal("string", type(message))
      assert.matches("^load: the tensors: ", message)
      assert.is_nil(message:find("load: .*load: "), message)
      return message
    end
    assert.is_nil(message)
    pcall(model, saros.zeros(3, 2, 3)) -- whatever it computes now
  end

  it("is refused where it does not fit", function()
    local tensors, metadata = contents(chain())
    local text = metadata.program
    for message, change in pairs {
      ["expected a program and aliases by name, got nil"] = function() return nil end,
      ["misshapen 1.weight: expected (8, 1), got (2, 4)"] = function()
        return (text:gsub('"1.weight", "shape": %[2, 4%]', '"1.weight", "shape": [8, 1]'))
      end,
      ["missing 1.other"] = function() return (text:gsub("1%.weight", "1.other")) end,
      ["program: "] = function() return "[" end,
    } do
      metadata.program = change()
      local got = refusal(tensors, metadata)
      assert.is_truthy(got and got:find(message, 1, true), ("%s, got %s"):format(message, got))
    end
    metadata.program = text
    for _, aliases in ipairs { '"x"', "3", '{"1.weight": 5}', '{"1.weight": "1.bias"}' } do
      local changed = metadata.saros:gsub('"aliases":%s*[%[{][%]}]', '"aliases":' .. aliases)
      assert.not_equal(metadata.saros, changed)
      refusal(tensors, { saros = changed, program = text })
    end
  end)

  it("is an error or another program, whatever byte is changed, and costs what its file does", function()
    local tensors, metadata = contents(chain())
    local text, refused, total = metadata.program, 0, 0
    collectgarbage()
    collectgarbage()
    local before = saros.memory()
    for at = 1, #text, 7 do
      local byte = ('9}x," [5-e'):sub(at % 10 + 1, at % 10 + 1)
      local changed = text:sub(1, at - 1) .. byte .. text:sub(at + 1)
      refused = refused + (refusal(tensors, { saros = metadata.saros, program = changed }) and 1 or 0)
      total = total + 1
      collectgarbage()
    end
    assert.is_true(refused > total / 2)
    assert.is_true(saros.memory().peak - math.max(before.peak, before.in_use) < 100 * #text)
  end)

  it("is refused as the cell of a model that it does not fit", function()
    local lm = nn.language_model { vocabulary = data.vocabulary.characters "abc", cell = Highway, hidden = 4,
      embedding = 3, layers = 2 }
    local tensors, metadata = contents(lm)
    assert.is_nil(refusal(tensors, metadata))
    for message, change in pairs {
      ["expected the description of a cell, got"] = function(cell) cell.sizes = nil end,
      ["expected a file with the cell highway from 3 to 4 features, got none of that size"] = function(cell)
        table.remove(cell.sizes, 1)
      end,
      ["expected a cell whose program has its input, states and output"] = function(cell)
        cell.sizes[1].states = { { 5 } }
      end,
      ["expected option 'hidden' to be a positive integer"] = function(cell) cell.sizes[2].hidden = -4 end,
      ["program: "] = function(cell) cell.sizes[1].program = "{}" end,
    } do
      local d = saros.json_decode(metadata.saros)
      change(d.description.cell)
      local got = refusal(tensors, { saros = saros.json_encode(d), program = metadata.program })
      assert.is_truthy(got and got:find(message, 1, true), ("%s, got %s"):format(message, got))
    end
  end)

  it("is refused as the net of a language model with other symbols", function()
    local vocabulary = data.vocabulary.characters "abc"
    local lm = nn.language_model { vocabulary = vocabulary, net = nn.chain { nn.embedding { 3, 4 }, nn.gru { 4, 4 },
      nn.linear { 4, 3 } } }
    local tensors, metadata = contents(lm)
    assert.is_nil(refusal(tensors, metadata))
    local other = nn.language_model { vocabulary = data.vocabulary.characters "abcd", net = nn.chain {
      nn.embedding { 4, 4 }, nn.gru { 4, 4 }, nn.linear { 4, 4 } } }
    local more, theirs = contents(other)
    assert.matches("expected a program from ids of 3 symbols to logits, got another one",
      refusal(more, { saros = metadata.saros, program = theirs.program }))
    assert.matches("expected a program and aliases by name", refusal(tensors, { saros = metadata.saros }))
  end)
end)

describe("a file of version 0.1.0", function()
  local function old(kind)
    return assert(saros.load("spec/references/models/" .. kind .. ".safetensors"))
  end
  local ids = saros.ids { { 1, 2 }, { 3, 1 }, { 2, 2 } }

  it("still loads: a language model, a classifier, a forecaster, an encoder-decoder", function()
    local lm = old "language_model"
    assert.near(-3.3976726531982, lm(ids):sum():item(), 1e-5)
    assert.equal("a", (old "classifier":classify "abba"))
    assert.near(17.3017, old "forecaster":forecast(saros.arange(20)):item(), 1e-3)
    assert.equal("encoder_decoder", old "encoder_decoder".kind)
  end)

  it("still loads into the module that it came from, and says so", function()
    local path = "spec/references/models/chain.safetensors"
    local net = nn.chain { nn.embedding { 3, 4 }, nn.gru { 4, 4 }, nn.linear { 4, 3 } }:load(path)
    assert.near(-1.0093419551849, net(ids):sum():item(), 1e-5)
    local model, message = saros.load(path)
    assert.is_nil(model)
    assert.matches("got parameters only; build the module and call module:load%(path%)", message)
  end)
end)
