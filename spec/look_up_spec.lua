-- The first layer over ids with an embedding makes its product with the input once for each
-- symbol, also where its step is compiled. That all kinds of layers have the same values and
-- gradients so is in recurrent_spec.

local gradients = require "spec.support.gradients"
require "spec.support.values"
local core = require "saros.core"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = gradients.is_double and 1e-12 or 1e-5

describe("a cell of one's own over ids with an embedding", function()
  local V, B, T = 3, 4, 6
  local ids = saros.generator(1):categorical(saros.ones(T, B, V))

  --- The rows that linear maps read in a second forward pass, outside of programs.
  local function rows_of_products(net, embedding)
    local rows = {}
    local _ <close> = saros.no_gradient()
    net(ids, nil, nil, embedding)
    local _ <close> = core.record(function(name, arguments)
      rows[#rows + 1] = name == "linear" and arguments[1]:count() // arguments[1]:size(-1) or nil
    end)
    net(ids, nil, nil, embedding)
    return rows
  end

  local steps = {
    one = { 1, function(p, x, h) return saros.tanh(p.inner(x) + h:matmul(p.mix:tensor { 5, 5 })) end },
    two = { 0, function(p, x, h) return saros.tanh(p.inner(x) + h * saros.sigmoid(p.gate(x))) end },
    joined = { 0, function(p, x, h) return saros.tanh(p.inner(x .. h)) end },
    beside = { 0, function(p, x, h) return saros.tanh(p.inner(x) + h * x:sum(2, true)) end },
    scaled = { 0, function(p, x, h) return saros.tanh(p.inner(x * 2) + h) end },
  }
  for name, row in pairs(steps) do
    it(("makes the product of each symbol once if it reads x through one linear map: %s"):format(name), function()
      local cell = nn.cell(name, {}, row[2])
      for _, compiled in ipairs { true, false } do
        local net = nn.recurrent { 4, 5, cell = cell, compiled = compiled, bidirectional = true }:init { seed = 1 }
        local embedding = nn.embedding { V, 4 }:init { seed = 2 }
        assert.same_values((net(embedding(ids))), (net(ids, nil, nil, embedding)), ROUNDING)
        if compiled then
          assert.same(row[1] == 1 and { V, V } or {}, rows_of_products(net, embedding))
        end
      end
    end)
  end

  it("is right after its parameters became others", function()
    local net, embedding = nn.slstm { 4, 6 }:init { seed = 1 }, nn.embedding { V, 4 }:init { seed = 2 }
    assert.same({ V }, rows_of_products(net, embedding))
    net:init { seed = 3 }
    assert.same_values((net(embedding(ids))), (net(ids, nil, nil, embedding)), ROUNDING)
  end)

  it("is so in a chain, with the state at the place of its layer", function()
    for _, kind in ipairs { "lstm", "slstm", "delta" } do
      local embedding, layer = nn.embedding { V, 8 }, nn[kind] { 8, 8, heads = kind ~= "lstm" and 2 or nil }
      local net = nn.chain { embedding, layer, saros.tanh }:init { seed = 1 }
      local given = { lengths = { 6, 2, 0, 4 } }
      local expected, last = layer(embedding(ids, nil, given), nil, given)
      local y, state = net(ids, nil, given)
      assert.same_values(expected:tanh(), y, ROUNDING)
      assert.same_values(last[1][1], state[2][1][1], ROUNDING)
      assert.same_values((net(ids, { nil, last })), layer(embedding(ids), last):tanh(), ROUNDING)
      local rows = rows_of_products(net)
      assert.is_true(#rows > 0)
      assert.equal(V, rows[1], kind)
    end
  end)

  it("is not so behind what changes the rows", function()
    local net = nn.chain { nn.embedding { V, 4 }, saros.tanh, nn.lstm { 4, 6 } }:init { seed = 1 }
    assert.same({}, rows_of_products(net))
  end)

  it("has gradients of the embedding in a chain", function()
    local net = nn.chain { nn.embedding { V, 4 }, nn.slstm { 4, 6 } }:init { seed = 1 }
    assert.gradients_match(function() return (net(ids)):sum() end, net:tensors())
  end)
end)
