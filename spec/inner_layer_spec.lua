-- A layer inside a cell of one's own is called once a step: its direction is that of the
-- cell, and its state is carried by the cell, or begins again at each step.

local files = require "spec.support.files"
local gradients = require "spec.support.gradients"
require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = gradients.is_double and 1e-12 or 1e-5
local T, B, I, H = 6, 4, 3, 5

-- A cell with a layer inside, which takes and leaves `states` as a list for each direction.
local function with_layer(count, make)
  return function(inputs, hidden)
    local Inner = nn.module "inner"
    function Inner:forward(x, states)
      local given = {}
      for n = 1, count do
        given[n] = { states[n] }
      end
      local y, last = self.layer(x:reshape(1, x:size(1), -1), count > 0 and given or nil)
      local new = { y[1]:slice(2, 1, hidden) }
      for n = 1, count do
        new[n] = last[n][1]
      end
      return y[1], new
    end
    local self = Inner.new()
    self.layer = self:add_member("layer", make(inputs, hidden))
    self.states = {}
    for n = 1, math.max(count, 1) do
      self.states[n] = { hidden }
    end
    return self
  end
end

local function with_twin(cell, bidirectional, zoneout)
  local o = { I, H, cell = cell, bidirectional = bidirectional, zoneout = zoneout }
  local net = nn.recurrent(o):init { seed = 7 }
  o.compiled = false
  return net, nn.recurrent(o):init { seed = 7 }
end

local one_way = with_layer(1, function(inputs, hidden) return nn.gru { inputs, hidden } end)
local both_ways = with_layer(2, function(inputs, hidden) return nn.gru { inputs, hidden, bidirectional = true } end)

describe("a layer inside a cell of one's own", function()
  local x = saros.generator(1):normal { T, B, I }

  it("walks as the cell does, compiled and from a file", function()
    for _, cell in ipairs { one_way, both_ways } do
      for _, bidirectional in ipairs { false, true } do
        local net, twin = with_twin(cell, bidirectional)
        local wanted = (twin(x))
        assert.is_true(net:compiled())
        assert.same_values(wanted, (net(x)), ROUNDING)
        assert.same_values(wanted, (files.reloaded(net)(x)), ROUNDING)
      end
    end
  end)

  it("walks as the cell does in a session", function()
    for _, cell in ipairs { one_way, both_ways } do
      local net, twin = with_twin(cell)
      local wanted, session = (twin(x)), net:session { streams = B }
      for t = 1, T do
        assert.same_values(wanted[t], session:step(x[t]), ROUNDING)
      end
    end
  end)

  it("may have its state changed by the cell, or by zoneout of the net", function()
    local function halving(inputs, hidden)
      local self = one_way(inputs, hidden)
      local forward = self.forward
      function self.forward(...)
        local y, new = forward(...)
        return y, { new[1] * 0.5 }
      end
      return self
    end
    for _, case in ipairs { { halving }, { halving, true }, { one_way, false, 0.3 }, { both_ways, true, 0.3 } } do
      local net, twin = with_twin(table.unpack(case))
      assert.is_true(net:compiled())
      local results = {}
      for n, module in ipairs { net, twin } do
        local tape <close> = saros.tape()
        x:clear_gradient()
        tape:watch(x)
        local y = module(x)
        tape:backward((y * y):sum())
        results[n] = { y, x:gradient():clone(), (module:parameters()[2]:gradient():clone()) }
      end
      for n, value in ipairs(results[2]) do
        assert.same_values(value, results[1][n], ROUNDING * 20)
      end
      local wanted = (twin(x))
      if not case[3] then
        assert.same_values(wanted, (files.reloaded(net)(x)), ROUNDING)
      end
      if not case[2] then
        local session = net:session { streams = B }
        for t = 1, T do
          assert.same_values(wanted[t], session:step(x[t]), ROUNDING)
        end
      end
    end
  end)

  it("that is called without its state is unrolled, and has no program", function()
    for _, make in ipairs {
      function(inputs, hidden) return nn.gru { inputs, hidden } end,
      function(inputs, hidden) return nn.conv1d { inputs, hidden, kernel = 2 } end,
    } do
      local net, twin = with_twin(with_layer(0, make))
      assert.same_values((twin(x)), (net(x)), 0)
      for _, message in ipairs { select(2, net:compiled()), select(2, pcall(net.program, net)) } do
        assert.matches("a layer without its state, which begins again at each step", message)
      end
    end
  end)
end)
