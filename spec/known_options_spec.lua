-- The options that a message lists as known are those that a layer takes.

require "spec.support.values"
local saros = require "saros"
local names = require "saros.nn.cells.list"
local nn = saros.nn

-- Of each option a value that is not its default, of some cells another one.
local VALUES = {
  input = 4, hidden = 4, layers = 2, bidirectional = true, dropout = 0.5, variational = true, residual = true,
  learn_state = true, batch_first = true, bias = false, recurrent_dropout = 0.5, zoneout = 0.5, layer_norm = true,
  activation = "relu", gate_activation = "hard_sigmoid", forget_bias = 1, remember = 9, peepholes = true,
  projection = 3, zoneout_cell = 0.5, reset = "before", candidate = "positive", units = 6, r_min = 0.5, r_max = 0.9,
  max_phase = 1, heads = 2, forget = "exponential", key_size = 3, value_size = 3, convolution = 0,
  output_gate = false, pre_norm = true, output_norm = false, gate = "channel", erase = "separate", reflect = true,
  qkv_activation = "none", exact = true,
  reflections = 2, compiled = false, tokens = 4, states = 3, pointers = "all", start = "soft",
  cell = function() return nn.cell("leak", { states = { "h" } }, function(p, x, h) return h * 0.5 + p.gate(x) end) end,
}

local function layer_of(make, o)
  o.input, o.hidden = o.input or 4, o.hidden or 4
  return make(o):init { seed = 1 }
end

-- The constructors, by what messages call them.
local LAYERS = {
  ["nn.recurrent"] = function(o)
    o.cell = VALUES.cell()
    return layer_of(nn.recurrent, o)
  end,
  ["nn.finite"] = function(o)
    o.input = not o.tokens and 4 or nil
    return nn.finite(o):init { seed = 1 }
  end,
}
for _, name in ipairs(names) do
  LAYERS["nn." .. name] = function(o)
    return layer_of(nn[name], o)
  end
end

-- The options that the message about an unknown one lists.
local function known(name)
  local message = select(2, pcall(LAYERS[name], { nothing_like_it = 1 }))
  local list = {}
  for option in message:match("^[^;]*" .. name:gsub("%.", "%%.") .. ": unknown option[^;]*; known: ([^;]*)")
    :gmatch "[%w_]+" do
    list[#list + 1] = option
  end
  return list
end

-- One update.
local function step(net, o)
  local x = o.tokens and saros.ids { { 1, 2 }, { 3, 4 } } or saros.generator(1):normal { 2, 2, 4 }
  local tape <close> = saros.tape()
  local y = net(x)
  tape:backward((y * y):sum())
  assert.is_false(saros.isnan(y):sum():item() > 0)
end

describe("an option that is listed as known", function()
  for name, make in pairs(LAYERS) do
    it("is one that " .. name .. " takes", function()
      local list = known(name)
      assert.is_true(#list >= 6)
      for _, option in ipairs(list) do
        assert(VALUES[option] ~= nil, option .. ": expected a value of it in this spec")
        local o = option ~= "cell" and { [option] = VALUES[option] } or {}
        local ok, message = pcall(function() step(make(o), o) end)
        assert(ok, ("%s { %s = %s }: %s"):format(name, option, tostring(VALUES[option]), tostring(message)))
      end
    end)
  end

  it("is none that a cell lacks, which takes its default", function()
    for _, name in ipairs(names) do
      local is_listed = {}
      for _, option in ipairs(known("nn." .. name)) do
        is_listed[option] = true
      end
      for option, default in pairs { bias = true, recurrent_dropout = 0, zoneout = 0, layer_norm = false } do
        local ok, message = pcall(LAYERS["nn." .. name], { [option] = VALUES[option] })
        assert.equal(is_listed[option] or false, ok, name .. ": " .. option)
        assert.is_true(ok or message:find(": expected no " .. option .. ".*, which this cell does not have") ~= nil)
        assert.is_true((pcall(LAYERS["nn." .. name], { [option] = default })))
      end
    end
  end)
end)
