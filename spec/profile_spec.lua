-- Where the time of a script goes, as its user sees it.

local commands = require "spec.support.commands"
local core = require "saros.core"
local saros = require "saros"
local nn = saros.nn

local ids, targets = saros.ids { { 1, 2 }, { 3, 4 }, { 5, 1 } }, saros.ids { { 2, 3 }, { 4, 5 }, { 1, 2 } }
local vocabulary = saros.data.text({ string = ("abcde"):rep(9) }, { valid = 0 }).vocabulary

local function language_model()
  return nn.language_model { vocabulary = vocabulary, cell = "lstm", hidden = 4, layers = 2, seed = 1 }
end

local function window(lm, adam)
  local tape <close> = saros.tape()
  local loss = saros.cross_entropy(lm(ids), targets)
  tape:backward(loss)
  saros.optim.clip_norm(lm:parameters(), 5)
  adam:step()
end

-- The calls of every row, by operation and layer: "lstm, recurrent.layer 1".
local function calls_of(profile)
  local calls = {}
  for _, row in ipairs(profile.rows) do
    local name = row.operation .. (row.layer ~= "" and ", " .. row.layer or "")
    assert.is_nil(calls[name], "twice: " .. name)
    calls[name] = row.calls
  end
  return calls
end

describe("a profile", function()
  it("counts operations, forward and backward, in each layer", function()
    local lm = language_model()
    local adam = saros.optim.adam(lm:parameters())
    local calls = calls_of(saros.profile(function()
      for _ = 1, 3 do
        window(lm, adam)
      end
    end))
    for _, name in ipairs {
      "embedding, embedding", "embedding backward, embedding", "lstm, recurrent.layer 1", "lstm, recurrent.layer 2",
      "lstm backward, recurrent.layer 1", "lstm backward, recurrent.layer 2", "linear, head", "linear backward, head",
      "cross_entropy", "cross_entropy backward", "backward", "clip_norm", "tape",
    } do
      assert.equal(3, calls[name], name)
    end
    assert.equal(3 * #lm:parameters(), calls["adam update"])
    assert.equal(0, calls["Lua and its collector"])
  end)

  it("accounts for all of the time, sorted", function()
    local x = saros.ones(200, 200)
    local begin = saros.clock()
    local profile = saros.profile(function()
      for _ = 1, 20 do
        x = x:matmul(x) / 200
      end
    end)
    local seconds, shares, sum, last = saros.clock() - begin, 0, 0, math.huge
    for _, row in ipairs(profile.rows) do
      assert.is_true(row.seconds >= 0 and row.seconds <= last)
      shares, sum, last = shares + row.share, sum + row.seconds, row.seconds
    end
    assert.near(1, shares, 1e-9)
    assert.near(profile.seconds, sum, 1e-9)
    assert.is_true(sum <= seconds and sum >= 0.5 * seconds)
    assert.equal(20, calls_of(profile)["matmul"])
  end)

  it("reads as a table", function()
    local text = tostring(saros.profile(function()
      return saros.ones(200, 200):matmul(saros.ones(200, 200))
    end))
    assert.matches("^operation +layer +calls +ms +share\n", text)
    assert.matches("\nmatmul +1 +%d+%.%d +%d+%.%d %%\n", text)
    assert.matches("\nLua and its collector +%d+%.%d +%d+%.%d %%\n", text)
    assert.matches("\nin all +%d+%.%d +100%.0 %%$", text)
  end)

  it("comes with what the function returned", function()
    local profile, a, b, c = saros.profile(function(...)
      return select("#", ...), nil, "c"
    end, 1, nil)
    assert.is_table(profile.rows)
    assert.same({ 2, nil, "c" }, { a, b, c })
  end)

  it("names parts by their path in the model, directions and steps of one's own, too", function()
    local net = nn.chain {
      nn.gru { 4, 3, bidirectional = true },
      nn.recurrent { 6, 3, cell = function(inputs, hidden) return nn.linear { inputs, hidden } end, compiled = false },
      saros.tanh,
    }:init { seed = 1 }
    local calls = calls_of(saros.profile(net, saros.ones(5, 2, 4)))
    assert.equal(1, calls["gru, 0.layer 1"])
    assert.equal(1, calls["gru, 0.layer 1 reverse"])
    assert.equal(5, calls["linear, 1.cell_l0"])
    assert.equal(1, calls["stack, 1.layer 1"])
    assert.equal(1, calls["tanh, chain"])
  end)

  it("goes back to the layer before when a module raises an error", function()
    local linear = nn.linear { 2, 2 }:init { seed = 1 }
    local calls = calls_of(saros.profile(function()
      assert.is_false(pcall(linear, saros.ones(3)))
      return saros.ones(3):tanh()
    end))
    assert.equal(1, calls["tanh"])
  end)

  it("ends when its function raises an error, which goes on", function()
    assert.error_matches(function()
      saros.profile(function()
        error("from within", 0)
      end)
    end, "^from within$")
    core.layer "unseen" -- nobody listens any more
    assert.equal("", core.layer "")
  end)

  it("may lie inside another, and counts in both", function()
    local x, inner = saros.ones(3), nil
    local outer = saros.profile(function()
      x:tanh()
      inner = saros.profile(function()
        return x:tanh()
      end)
      return x:tanh()
    end)
    assert.equal(1, calls_of(inner)["tanh"])
    assert.equal(3, calls_of(outer)["tanh"])
    assert.is_true(inner.seconds < outer.seconds)
  end)

  it("of backward alone finds the layers, if they were profiled, too", function()
    local linear = nn.linear { 2, 2 }:init { seed = 1 }
    local function loss()
      return linear(saros.ones(1, 2)):sum()
    end
    for _, case in ipairs { { true, "linear backward, linear" }, { false, "linear backward" } } do
      local tape <close> = saros.tape()
      local y, _
      if case[1] then
        _, y = saros.profile(loss)
      else
        y = loss()
      end
      local calls = calls_of(saros.profile(tape.backward, tape, y))
      assert.equal(1, calls[case[2]])
    end
  end)

  it("changes no result", function()
    local plain, profiled = language_model(), language_model()
    local function train(lm)
      local adam = saros.optim.adam(lm:parameters(), { lr = 0.1 })
      for _ = 1, 3 do
        window(lm, adam)
      end
    end
    train(plain)
    saros.profile(train, profiled)
    for name, tensor in pairs(plain:tensors()) do
      assert.same(tensor:totable(), profiled:tensors()[name]:totable(), name)
    end
  end)

  it("is refused of what is no function", function()
    assert.error_matches(function()
      saros.profile(1)
    end, "profile: expected a function, got 1$")
  end)
end)

describe("SAROS_PROFILE=1", function()
  -- What the program printed to each output for some code, with the variable set.
  local function run(value, code)
    local path = os.tmpname()
    local script <close> = assert(io.open(path, "w"))
    script:write(code)
    script:close()
    local out, status = commands.run_with("SAROS_PROFILE=" .. value, path)
    os.remove(path)
    return out, status
  end

  local work = "local x = saros.ones(9, 9):matmul(saros.ones(9, 9))\n"

  it("prints the table when a script ends, in whatever way", function()
    for ending, expected in pairs {
      ["print 'end'"] = 0, ["os.exit(3)"] = 3, ["error('bad', 0)"] = 1,
    } do
      local output, status = run("1", work .. ending)
      assert.equal(expected, status, ending)
      assert.matches("\n?operation +layer +calls +ms +share\n", output, ending)
      assert.matches("\nmatmul +1 ", output, ending)
      local _, tables = output:gsub("in all", "")
      assert.equal(1, tables, ending)
    end
  end)

  it("prints to the standard error", function()
    local output = run("1", work .. "io.stdout:close()")
    assert.matches("\nmatmul", output)
  end)

  it("has no effect as 0, or empty", function()
    assert.equal("end\n", (run("0", work .. "print 'end'")))
    assert.equal("end\n", (run("", work .. "print 'end'")))
  end)
end)
