-- Modules that are given (B, T, ...).

local c = require "spec.support.c_files"
local files = require "spec.support.files"
require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local B, T = 2, 5

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- Makes each module; `more` goes into its options.
local MAKERS = {
  function(more) return nn.gru { 3, 4, layers = 2, bidirectional = true, batch_first = more } end,
  function(more) return nn.lstm { 3, 4, batch_first = more } end,
  function(more) return nn.conv1d { 3, 4, kernel = 3, batch_first = more } end,
  function(more) return nn.windowed_attention { 3, 3, batch_first = more } end,
  function(more) return nn.chain { nn.linear { 3, 4 }, nn.lstm { 4, 4 }, saros.tanh, batch_first = more } end,
  function(more) return nn.residual { nn.gru { 3, 3 }, batch_first = more } end,
  function(more) return nn.branch { nn.gru { 3, 4 }, nn.linear { 3, 2 }, batch_first = more } end,
  function(more) return nn.chain { nn.heads { a = nn.gru { 3, 4 }, b = saros.tanh }, batch_first = more } end,
  function(more)
    return nn.recurrent { 3, 4, batch_first = more, cell = nn.cell("plain", {}, function(p, x, h)
      return saros.tanh(p.gate(x .. h))
    end) }
  end,
}

local function same(expected, got, tolerance)
  if type(expected) ~= "table" then
    return assert.same_values(expected, got, tolerance or 0)
  end
  for key, value in pairs(expected) do
    same(value, got[key], tolerance)
  end
end

-- A net from a file runs its program, which rounds in another order.
local ROUNDING = c.is_double and 1e-12 or 1e-6

local function turned(y)
  if type(y) ~= "table" then
    return y:transpose(1, 2)
  end
  local result = {}
  for name, value in pairs(y) do
    result[name] = value:transpose(1, 2)
  end
  return result
end

-- A class of a script that is called with rows first itself.
local function own_class()
  local Own = nn.module "own"
  Own.stateful = true
  function Own:forward(x, state)
    return self.layer(x, state)
  end
  local self = Own.new()
  self.layer, self.input, self.batch_first = self:add_member("layer", nn.gru { 3, 4 }), 3, true
  return self
end

describe("a module with batch_first", function()
  for number, make in ipairs(MAKERS) do
    it(("gives the same with rows first (%d)"):format(number), function()
      local plain, net = make(false):init { seed = 1 }, make(true):init { seed = 1 }
      local x = random(2, T, B, 3)
      local y, state = plain(x)
      local y1, state1 = net(x:transpose(1, 2))
      same(turned(y), y1)
      same(state or {}, state1 or {})
      if net.stateful then
        same(turned((plain(x, state))), (net(x:transpose(1, 2), state1)))
      end
      local mask = saros.tensor { { 1, 1 }, { 1, 1 }, { 1, 0 }, { 1, 0 }, { 1, 0 } }
      local reset = saros.zeros(T, B)
      reset[2][1] = 1
      same(turned((plain(x, nil, { lengths = { 5, 2 } }))), (net(x:transpose(1, 2), nil, { lengths = { 5, 2 } })))
      same(turned((plain(x, nil, { mask = mask, reset = reset }))),
        (net(x:transpose(1, 2), nil, { mask = mask:transpose(), reset = reset:transpose() })))
    end)
  end

  local saved = { own_class() }
  for number, make in ipairs(MAKERS) do
    saved[number + 1] = make(true)
  end
  for number, net in ipairs(saved) do
    it(("comes back from its file as it was (%d)"):format(number), function()
      net:init { seed = 1 }
      local x, given = random(2, B, T, 3), { lengths = { 5, 2 } }
      local expected, state = net(x)
      for _, other in ipairs { files.reloaded(net), files.reloaded(files.reloaded(net)) } do
        assert.is_true(other.batch_first)
        local y, last = other(x)
        same(expected, y, ROUNDING)
        same(state or {}, last or {}, ROUNDING)
        if number > 1 then
          same((net(x, nil, given)), (other(x, nil, given)), ROUNDING)
        end
        assert.error_matches(function() nn.chain { other } end, "got one with batch_first = true", 1, true)
      end
    end)
  end

  it("comes back from the tensors and the metadata of its file, and steps, learns and becomes C as it did", function()
    local net = nn.chain { nn.embedding { 7, 3 }, nn.mingru { 3, 4 }, nn.linear { 4, 2 }, batch_first = true }
    net:init { seed = 1 }
    local tensors, metadata
    files.with_path(function(path)
      assert(net:save(path))
      tensors, metadata = saros.safetensors.read(path)
    end)
    local other, ids = assert(saros.load(tensors, metadata)), saros.ids { { 1, 2, 3 }, { 4, 5, 6 } }
    same((net(ids)), (other(ids)), ROUNDING)
    same(net:session():step(3), other:session():step(3))
    c.assert_well(other)
    local o = { window = 3, streams = B }
    local expected, got = net:learner(o), other:learner(o)
    for t = 1, 7 do
      local x, target = saros.ids { t % 7 + 1, 3 }, saros.ids { t % 2 + 1, 1 }
      same((expected:learn(x, target)), (got:learn(x, target)), 10 * ROUNDING)
    end
    same(net:tensors(), other:tensors(), 100 * ROUNDING)
    assert.is_true(other.batch_first)
  end)

  it("is read strictly from a file, which may say nothing", function()
    local tensors, metadata
    files.with_path(function(path)
      assert(nn.gru { 3, 4, batch_first = true }:init({ seed = 1 }):save(path))
      tensors, metadata = saros.safetensors.read(path)
    end)
    local function with(text)
      local changed, count = metadata.saros:gsub('"batch_first": true', text)
      assert.equal(1, count)
      return saros.load(tensors, { saros = changed, program = metadata.program })
    end
    for text, got in pairs { ["3"] = "3", ['"yes"'] = '"yes"', ["null"] = "a userdata", ["[]"] = "a table" } do
      local model, message = with('"batch_first": ' .. text)
      assert.is_nil(model)
      assert.matches("load: the tensors: expected batch_first to be true or false, got " .. got, message, 1, true)
    end
    assert.is_false(with('"batch_first": false').batch_first)
    assert.is_false(with('"earlier": true').batch_first)
    assert.is_false(files.reloaded(nn.gru { 3, 4 }:init { seed = 1 }).batch_first)
  end)

  it("reads ids, and has a program of a step like any other", function()
    local plain = nn.chain { nn.embedding { 7, 3 }, nn.gru { 3, 4 } }:init { seed = 1 }
    local net = nn.chain { nn.embedding { 7, 3 }, nn.gru { 3, 4 }, batch_first = true }:init { seed = 1 }
    local ids = saros.ids { { 1, 2, 3 }, { 4, 5, 6 } }
    same(plain(ids:transpose()):transpose(1, 2), (net(ids)))
    assert.equal(plain:program():encode(), net:program():encode())
    same(plain(ids:transpose()):transpose(1, 2), (net(ids)))
  end)

  it("learns from a stream what its twin with steps first learns", function()
    for _, o in ipairs { { window = 4 }, { window = 4, every = 2, delay = 1 }, { window = 3, method = "exact" } } do
      local streams = o.method and 1 or B
      o.streams = streams
      local plain = nn.chain { nn.mingru { 3, 4 }, nn.linear { 4, 2 } }:init { seed = 1 }
      local net = nn.chain { nn.mingru { 3, 4 }, nn.linear { 4, 2 }, batch_first = true }:init { seed = 1 }
      local expected, got = plain:learner(o), net:learner(o)
      for t = 1, 9 do
        local x, target = random(t, streams, 3), random(20 + t, streams, 2)
        if t == 6 then
          expected:reset()
          got:reset()
        end
        same((expected:learn(x, target)), (got:learn(x, target)))
      end
      same(plain:tensors(), net:tensors())
      assert.is_true(net.batch_first)
    end
  end)

  it("becomes a C file that says what it says", function()
    c.assert_well(nn.chain { nn.gru { 3, 4 }, nn.linear { 4, 2 }, batch_first = true }:init { seed = 1 })
    c.assert_well(nn.chain { nn.gru { 3, 4, layers = 2, bidirectional = true }, batch_first = true }:init { seed = 1 })
  end)

  it("is refused where steps come first", function()
    local layer = nn.gru { 3, 4, batch_first = true }:init { seed = 1 }
    local function fails(message, fn)
      assert.error_matches(fn, message, 1, true)
    end
    fails("nn.chain: expected a module that reads (T, B, F), got one with batch_first = true",
      function() nn.chain { layer } end)
    fails("nn.heads: expected a module that reads", function() nn.heads { a = layer } end)
    fails("nn.chain: expected batch_first to be true or false, got 1",
      function() nn.chain { saros.tanh, batch_first = 1 } end)
    fails("gru: expected x of shape (B, T, F), or ids (B, T), got a tensor (2, 3)",
      function() layer(saros.zeros(2, 3)) end)
    fails("nn.language_model: expected a module that reads (T, B, F), got one with batch_first = true", function()
      nn.language_model { vocabulary = saros.data.vocabulary.characters "abc", net = nn.chain { nn.embedding { 3, 3 },
        batch_first = true } }
    end)
    fails("inspect.reach: expected a module that reads (T, B, F)", function()
      saros.inspect.reach(layer, { { inputs = random(1, T, B, 3), targets = random(1, T, B, 4) } })
    end)
    fails("backward_in_segments: expected a module that reads (T, B, F)", function()
      saros.backward_in_segments(layer, { inputs = random(1, T, B, 3) }, nil, { segment = 2 })
    end)
    fails("fit: expected a module that reads (T, B, F)", function()
      saros.fit(layer, saros.data.series(saros.arange(60):reshape(60, 1), {}), { epochs = 1 })
    end)
  end)
end)
