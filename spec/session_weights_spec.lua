-- Sessions that keep their weights in fewer bits: what they say is nearly what
-- the model says, from less memory.

require "spec.support.values"
local core = require "saros.core"
local saros = require "saros"
local nn, data = saros.nn, saros.data

-- How far the loss may be from that of the session with the weights as they are,
-- relative to it; the bytes of a weight; how far outputs of a few layers may be.
local KINDS = {
  bf16 = { loss = 0.005, bytes = 2, off = 0.02 },
  int8 = { loss = 0.01, bytes = 1, off = 0.04 },
}

local REAL_BYTES = saros.info().real == "double" and 8 or 4

--- The mean loss of the next symbol over some ids.
local function loss_of(session, ids)
  local sum = 0
  for t = 1, #ids - 1 do
    session:step(ids[t])
    sum = sum - math.log(session:probabilities()[ids[t + 1]])
  end
  return sum / (#ids - 1)
end

local function bytes_of(model, given)
  collectgarbage()
  collectgarbage()
  local before = saros.memory().in_use
  local _ <close> = model:session(given)
  return saros.memory().in_use - before
end

local function walk(session, first, last)
  local outputs = {}
  for t = first, last do
    outputs[#outputs + 1] = session:step(math.sin(t)):clone()
  end
  return outputs
end

--- The largest difference from the session with the weights as they are.
local function difference(model, weights)
  local off = 0
  local narrow, wide = model:session { weights = weights }, model:session()
  for t = 1, 100 do
    local x = math.sin(t)
    off = math.max(off, (narrow:step(x) - wide:step(x)):abs():max():item())
  end
  return off
end

describe("a language model's session", function()
  local text = data.text("README.md", { valid = 0.1 })
  local held_out = text.valid:totable()

  for _, cell in ipairs { "rnn", "gru", "lstm" } do
    local lm = nn.language_model { vocabulary = text.vocabulary, hidden = 48, layers = 2, cell = cell, seed = 1 }
    saros.fit(lm, text, { epochs = 8, batch = 16, length = 25, lr = 5e-3 })
    local expected = loss_of(lm:session(), held_out)

    for weights, limit in pairs(KINDS) do
      it(("loses next to nothing with the weights of an %s in %s"):format(cell, weights), function()
        assert.is_true(expected < 3, expected) -- it has learned something
        local loss = loss_of(lm:session { weights = weights }, held_out)
        assert.is_true(math.abs(loss - expected) <= limit.loss * expected, ("%g, not %g"):format(loss, expected))
        assert.is_true(loss ~= expected)
      end)
    end
  end
end)

for weights, limit in pairs(KINDS) do
  describe("a session with weights in " .. weights, function()
    local function lstm()
      return nn.chain { nn.lstm { 1, 40, layers = 2 }, nn.linear { 40, 6 } }:init { seed = 1 }
    end

    it("is near its model, whatever the cell", function()
      for _, model in ipairs {
        nn.rnn { 1, 21 }, nn.rnn { 1, 21, activation = "relu" }, nn.lstm { 1, 21 },
        nn.gru { 1, 21 }, nn.gru { 1, 21, reset = "before" },
        nn.lstm { 1, 21, peepholes = true, projection = 9, layers = 2 },
        nn.gru { 1, 21, zoneout = 0.1, learn_state = true },
        nn.chain { nn.linear { 1, 30 }, nn.mingru { 30, 17, layers = 2, residual = true }, nn.minlstm { 17, 9 } },
        nn.chain { nn.linear { 1, 30 }, nn.lru { 30, 17, r_max = 0.9 } },
        nn.chain { nn.linear { 1, 30 }, saros.relu, nn.gru { 30, 17, layers = 2, residual = true } },
        nn.chain { nn.linear { 1, 20 }, nn.windowed_attention { 20, 8, heads = 2, residual = true } },
        nn.recurrent { 1, 21, layers = 2, cell = nn.cell("gated", { states = { "h" } }, function(p, x, h)
          local z, n = saros.sigmoid(p.z(x .. h)), saros.tanh(p.n(x) + p.u(h))
          return h + z * p.switch(h, 1):sigmoid() * (n - h)
        end) },
      } do
        local off = difference(model:init { seed = 1 }, weights)
        assert.is_true(off > 0 and off <= limit.off, ("%s: %g off"):format(model:describe(), off))
      end
    end)

    -- A norm divides by how much its sums differ, so it makes more of what is off.
    it("is near its model under layer norm, too", function()
      for _, layer in ipairs { nn.rnn, nn.gru, nn.lstm } do
        local model = nn.chain { nn.linear { 1, 30 }, layer { 30, 21, layer_norm = true } }:init { seed = 1 }
        local off = difference(model, weights)
        assert.is_true(off > 0 and off <= 5 * limit.off, ("%s: %g off"):format(model:describe(), off))
      end
    end)

    -- Tables, biases and states keep their size; int8 has two words for each row,
    -- and the pool rounds blocks up.
    it("takes fewer bytes", function()
      local H, layers = 256, 3
      local model = nn.chain { nn.embedding { 20, 64 }, nn.lstm { 64, H, layers = layers }, nn.linear { H, 20 } }
      model:init({ seed = 1 }):program() -- which takes memory of its own
      local packed = (2 * layers - 1) * 4 * H * H + 20 * H -- the first layer reads a table of symbols
      local saved = bytes_of(model) - bytes_of(model, { weights = weights })
      local share = saved / (packed * (REAL_BYTES - limit.bytes))
      assert.is_true(share >= 0.94 and share <= 1.01, share)
    end)

    it("keeps the weights of at most four outputs as they are, whatever the layer", function()
      for _, few in ipairs { nn.linear { 2, 4 }, nn.lstm { 2, 1 }, nn.gru { 2, 1 }, nn.rnn { 2, 4 },
        nn.mingru { 2, 2 } } do
        local model = few:init { seed = 1 }
        local narrow, wide = model:session { weights = weights }, model:session()
        for t = 1, 20 do
          local x = { math.sin(t), math.cos(t) }
          assert.same_values(wide:step(x), narrow:step(x), 1e-6)
        end
      end
    end)

    it("goes on from bytes and in forks, bit for bit", function()
      local model = lstm()
      local session = model:session { weights = weights }
      walk(session, 1, 10)
      local bytes, fork = session:dump(), session:fork()
      local expected = walk(session, 11, 20)
      local other = model:session({ weights = weights }):restore(bytes)
      for n, y in ipairs(walk(fork, 11, 20)) do
        assert.same(expected[n]:totable(), y:totable())
      end
      for n, y in ipairs(walk(other, 11, 20)) do
        assert.same(expected[n]:totable(), y:totable())
      end
    end)

    it("takes over the state of a session with other weights", function()
      local wide, narrow = lstm():session(), lstm():session { weights = weights }
      walk(wide, 1, 10)
      local y = narrow:restore(wide:dump()):logits()
      assert.same(wide:logits():totable(), y:totable())
      local bytes = narrow:dump()
      assert.equal(bytes, wide:restore(bytes):dump())
    end)

    it("steps its streams as if each were alone", function()
      local model = lstm()
      local together = model:session { weights = weights, streams = 3 }
      for row = 1, 3 do
        local alone = model:session { weights = weights }
        together:reset()
        for t = 1, 20 do
          local x = { math.sin(t), math.cos(t), math.sin(2 * t) }
          local off = (alone:step(x[row]) - together:step(x)[row]):abs():max():item()
          assert.is_true(off <= 1e-6, off)
        end
      end
    end)

    it("lets no NaN vanish", function()
      local model = nn.lstm { 2, 40 }:init { seed = 1 }
      local session = model:session { weights = weights }
      session:step { 0 / 0, 1 }
      for _ = 1, 2 do
        local y = session:step { 1, 1 }
        for n = 1, 40 do
          assert.is_true(y[n] ~= y[n])
        end
      end
      session:reset()
      assert.is_true(session:step({ 1, 1 }):abs():max():item() < 1)
      local broken = nn.linear { 9, 9 }:init { seed = 1 }
      broken:parameters()[1]:fill(0 / 0)
      local y = broken:session({ weights = weights }):step { 0, 0, 0, 0, 0, 0, 0, 0, 0 }
      assert.is_true(y[9] ~= y[9])
    end)
  end)
end

describe("rounded weights", function()
  local w = saros.tensor { { 1, -0.5, 0.1 }, { 0, 0, 0 }, { 3, 1 / 0, 1 }, { 1e-31, 0, 0 } }

  it("are whole numbers and a scale for each row in int8", function()
    local rows, scale = core.round_weights(w, "int8")
    assert.same({ { 127, -64, 13 }, { 0, 0, 0 }, { 0, 0, 0 }, { 0, 0, 0 } }, (rows + 0):totable())
    assert.equal(string.unpack("f", string.pack("f", 1 / 127)), scale[1])
    assert.equal(0, scale[2])
    assert.is_true(scale[3] ~= scale[3])
    assert.equal(0, scale[4])
  end)

  it("keep 8 digits in bf16, and all as they are", function()
    local rows, scale = core.round_weights(saros.tensor { { 1, 1 + 0x1p-8, 1 + 0x1.8p-7 } }, "bf16")
    assert.same({ { 1, 1, 1 + 0x1p-6 } }, rows:totable())
    assert.same({ 1 }, scale:totable())
    assert.same(w:slice(1, 1, 2):totable(), (core.round_weights(w:slice(1, 1, 2), "real")):totable())
  end)

  it("are refused unless they are a matrix", function()
    assert.has_error(function() core.round_weights(saros.ones(3), "int8") end,
      "round_weights: expected w of shape (N, K), got (3)")
    assert.error_matches(function() core.round_weights(w, "int4") end, "expected a kind of weights")
    assert.error_matches(function() core.round_weights(core.ids { { 1 } }, "int8") end, "expected w")
  end)
end)
