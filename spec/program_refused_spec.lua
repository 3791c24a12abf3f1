-- What has no program, by name and with the line of the script.

local saros = require "saros"
local core = require "saros.core"
local traced = require "spec.support.traced"
local nn = saros.nn
local of, own = traced.of, traced.own

describe("a module without a program is refused by name", function()
  --- The refusal of a function of x (T, B, 8); its line must be the function's.
  local function refused(forward, what)
    local line = debug.getinfo(forward, "S").linedefined
    local ok, message = pcall(function() return of(forward):init { seed = 1 }:program() end)
    assert.is_false(ok)
    assert.matches(what, message, 1, true)
    assert.matches("^spec/program_refused_spec.lua:" .. line .. ": program: expected ", message)
    assert.matches("trains as it is, but has no session, no C file and no model file", message)
  end

  it("where it reads values", function()
    refused(function(x) return x * x:max():item() end, "got max over time")
    refused(function(x) return x:reshape(-1, 8) * #x:totable() end, "got totable, which reads values")
    refused(function(x) return x * #tostring(x) end, "got tostring, which reads values")
    refused(function(x) return x * x[1][1][1] end, "got indexing of a row of the batch")
    refused(function(x) return x + saros.one_hot(saros.ids(x:gt(0):sum(-1) + 1), 8) end,
      "got ids, which reads values")
    refused(function(x) return x:all_finite() and x or -x end, "got all_finite, which reads values")
  end)

  it("where a tensor is a condition", function()
    refused(function(x) return x:gt(0) and x or -x end, "got gt whose result nothing reads (as a condition a tensor is "
      .. "always true; saros.where(condition, a, b) chooses element by element)")
    assert.is_table(of(function(x) return saros.where(x:gt(0), x, -x) end):init({ seed = 1 }):program())
  end)

  it("where it returns nothing", function()
    local function fails_at(forward, stateful, message)
      local m = own(4, {}, forward, stateful):init { seed = 1 }
      local ok, got = pcall(function() return m:program() end)
      assert.is_false(ok)
      assert.equal(("spec/program_refused_spec.lua:%d: program: expected %s"):format(
        debug.getinfo(m.forward, "S").linedefined, message), got)
    end
    fails_at(function() end, false, "own to return a tensor, or a table of tensors by name, got nil")
    fails_at(function() return {} end, false,
      "own to return a tensor, or a table of tensors by name, got an empty list")
    fails_at(function(_, x) return x end, true, "a stateful own to return its state after y, got nil")
    local net = nn.chain { own(4, {}, function(_, x) return x end, true), nn.linear { 4, 4 } }:init { seed = 1 }
    local ok, got = pcall(function() return net(saros.zeros(2, 3, 4)) end)
    assert.is_false(ok)
    assert.matches("own: expected a stateful module to return its state after y, got nil", got, 1, true)
  end)

  it("where it draws random numbers", function()
    local generator = saros.generator(1)
    refused(function(x) return x + generator:normal { 8 } end, "got normal of a generator, a random number")
    refused(function(x) return x * generator:number() end, "got number of a generator")
  end)

  it("where it works along rows", function()
    refused(function(x) return x - x:mean(1, true) end, "got mean over time")
    refused(function(x) return x - x:sum(2, true) end, "got sum over the rows of a batch")
    refused(function(x) return x:cumsum(1) end, "got cumsum over time")
    refused(function(x) return saros.softmax(x, 2) end, "got softmax over the rows of a batch")
    refused(function(x) return x:flip(2) end, "got flip over the rows of a batch")
    refused(function(x) return x:slice(1, 2) end, "got a slice of steps")
    refused(function(x) return x:transpose(2, 3):matmul(x) end, "got matmul over the rows of a batch")
    refused(function(x) return saros.concatenate({ x, x }, 1) end, "got concatenate over time")
    refused(function(x) return x:slice(2, 1, 2) end, "got slice over the rows of a batch")
  end)

  it("where it writes in place", function()
    refused(function(x) return x:clone():fill(2) end, "got fill, which writes in place")
    refused(function(x) x[1] = x[1] * 2 return x end, "got x[i] = y, which writes in place")
    refused(function(x) return saros.zeros(x:shape()):assign(x) end, "got assign, which writes in place")
  end)

  it("where a delta rule has a mask of its own", function()
    refused(function(x) return (core.delta(x, x, x, { heads = 2, mask = saros.ones(x:size(1), x:size(2)) })) end,
      "got core.delta with a mask or resets of the module's own")
  end)

  it("where rows differ by a constant", function()
    refused(function(x) return x + saros.arange(x:size(2)):reshape(-1, 1) end,
      "got add of features with rows: a constant that differs from row to row")
  end)

  it("where the core has no rule for an operation", function()
    refused(function(x) return x * x:argmax() end, "got argmax")
    refused(function(x) return (saros.topk(x, 2)) end, "got topk")
    local m = own(nil, {}, function(_, ids) return ids:eq(2) end)
    m.inputs = { { name = "ids", count = 3 } }
    local ok, message = pcall(function() return m:program() end)
    assert.is_false(ok)
    assert.matches("got eq of ids", message)
  end)

  --- The refusal of a whole module, at the line of the call.
  local function refused_at_all(m, what)
    m:init { seed = 1 }
    local line = debug.getinfo(1, "l").currentline + 1
    local ok, message = pcall(function() return m:program() end)
    assert.is_false(ok)
    assert.matches("^spec/program_refused_spec.lua:" .. line .. ": program: expected ", message)
    assert.matches(what, message, 1, true)
  end

  it("where steps depend on others without a state", function()
    local before
    refused_at_all(own(4, { rnn = nn.gru { 4, 4 } }, function(self, x) return (self.rnn(x)) end),
      "got outputs that depend on other steps")
    refused_at_all(own(4, {}, function(_, x)
      local y = x:slice(1, 1, 1) + x
      before = y
      return before
    end), "got outputs that depend on other steps")
  end)

  it("where the first step is another one", function()
    refused_at_all(own(4, {}, function(_, x, h)
      local y = h and saros.tanh(x[1]) + h or x[1] * 2
      return y:reshape(1, x:size(2), 4), y
    end, true), "got a first step that computes something else than later ones")
  end)

  it("where the state is not one of rows", function()
    refused_at_all(own(4, {}, function(_, x, n) return x, (n or saros.zeros(1)) + 1 end, true),
      "in which no single axis is that of the rows")
    refused_at_all(own(4, {}, function(_, x, n) return x, { (n and n[1] or 0) + 1 } end, true),
      'a state "1" that is no tensor of numbers, but')
  end)

  it("where a layer's state is changed", function()
    refused_at_all(own(4, { rnn = nn.gru { 4, 4 } }, function(self, x, state)
      local y, after = self.rnn(x, state)
      return y, { { after[1][1] * 0.5 } }
    end, true), "got a layer's state")
    refused_at_all(own(4, { rnn = nn.gru { 4, 4 } }, function(self, x, state)
      return self.rnn(x, state and { { state[1][1] * 0.5 } })
    end, true), "got a layer that does not begin where its state is")
  end)

  it("where it does not say what it reads", function()
    refused_at_all(own(nil, {}, function(_, x) return x end), "got own")
  end)

  it("and its recording ends there", function()
    pcall(function() return of(function(x) return x:flip(2) end):init { seed = 1 }:program() end)
    assert.equal(3, saros.tensor { 1, 2 }:sum():item())
  end)
end)
