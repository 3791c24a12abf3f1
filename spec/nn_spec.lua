local files = require "spec.support.files"
local gradients = require "spec.support.gradients"
local values = require "spec.support.values"
local saros = require "saros"
local nn = saros.nn

local ROUNDING = gradients.is_double and 1e-12 or 1e-5

local function random(seed, ...)
  return saros.generator(seed):normal { ... }
end

-- One of each module, with an input.
local modules = {
  linear = { nn.linear { 3, 4 }, random(1, 5, 2, 3) },
  ["linear without bias"] = { nn.linear { 3, 4, bias = false }, random(1, 5, 3) },
  embedding = { nn.embedding { 5, 3 }, saros.ids { { 1, 5 }, { 2, 2 } } },
  rms_norm = { nn.rms_norm { 3 }, random(1, 4, 3) },
  conv1d = { nn.conv1d { 3, 4, kernel = 3, dilation = 2 }, random(1, 6, 2, 3) },
  ["centred conv1d"] = { nn.conv1d { 4, 6, kernel = 4, groups = 2, causal = false }, random(1, 6, 2, 4) },
  layer_norm = { nn.layer_norm { 3 }, random(1, 4, 3) },
  rnn = { nn.rnn { 3, 4, layers = 2, learn_state = true }, random(1, 5, 2, 3) },
  residual = {
    nn.residual { nn.layer_norm { 3 }, nn.rnn { 3, 4 }, nn.linear { 4, 3 } }, random(1, 5, 2, 3),
  },
  chain = {
    nn.chain { nn.embedding { 5, 3 }, nn.rnn { 3, 4 }, saros.tanh, nn.linear { 4, 2 } },
    saros.ids { { 1, 5 }, { 2, 2 } },
  },
}

for name, entry in pairs(modules) do
  describe(("a module (%s)"):format(name), function()
    local net, x = entry[1], entry[2]

    it("has the gradients that finite differences predict", function()
      net:init { seed = 1 }
      local inputs = net:tensors()
      if x:dtype() == "real" then
        inputs.x = x
      end
      local weights = random(9, table.unpack((net(x)):shape()))
      assert.gradients_match(function()
        return ((net(x)) * weights):sum()
      end, inputs)
    end)

    it("starts from a seed: the same seed, the same bits", function()
      local first = values.fingerprint(net:init({ seed = 5 }):tensors())
      assert.not_equal(name ~= "layer_norm" and name ~= "rms_norm" and first,
        values.fingerprint(net:init({ seed = 6 }):tensors()))
      assert.equal(first, values.fingerprint(net:init({ seed = 5 }):tensors()))
    end)

    it("gives its tensors away by name and takes them back", function()
      net:init { seed = 5 }
      local output = (net(x)):clone()
      local copies = {}
      for path, tensor in pairs(net:tensors "net.") do
        copies[path] = tensor:clone()
      end
      net:init { seed = 6 }
      net:load(copies, "net.")
      assert.same_values(output, (net(x)), 0)
    end)

    it("counts and describes its parameters", function()
      local parameters, count = net:parameters(), 0
      assert.equal(#parameters, #parameters.names)
      for _, tensor in ipairs(parameters) do
        assert.is_true(tensor:trainable())
        count = count + tensor:count()
      end
      assert.equal(count, net:count())
      assert.equal(count, net:summary().parameters)
      assert.matches("in all", tostring(net:summary()))
      assert.is_string(tostring(net))
    end)
  end)
end

describe("a summary", function()
  it("has what a step of each member multiplies", function()
    local lm = nn.language_model { vocabulary = saros.data.vocabulary.characters "abc", cell = "lstm", hidden = 5,
      layers = 2, tie = true }
    local summary = lm:summary()
    local products = {}
    for position, row in ipairs(summary.rows) do
      products[position] = row.multiply_adds
    end
    assert.same({ 0, 2 * 4 * 5 * (5 + 5), 3 * 5 }, products)
    assert.equal(415, summary.multiply_adds)
    assert.equal(3 * 5 + 2 * 4 * 5 * (5 + 5 + 2) + 3, summary.parameters)
    assert.matches("\n +in all, [^\n]+ 498 +415$", tostring(summary))
    assert.equal(6, nn.linear({ 2, 3 }):summary().multiply_adds)
    local look = nn.windowed_attention({ 6, 9, heads = 2 }):summary()
    assert.equal(3 * 6 * 6 + 2 * 9 * 6 + 6 * 6, look.multiply_adds)
  end)

  it("prints descriptions of any length", function()
    local members = {}
    for n = 1, 12 do
      members[n] = nn.linear { 2, 2 }
    end
    assert.matches("chain %(.+%) +72 +48\n", tostring(nn.chain({ nn.chain(members) }):summary()))
  end)
end)

describe("a linear layer", function()
  it("computes x W^T + b", function()
    local net = nn.linear { 2, 2 }
    net:load { weight = saros.tensor { { 1, 2 }, { 3, 4 } }, bias = saros.tensor { 10, 20 } }
    assert.same({ { 15, 31 } }, net(saros.tensor { { 1, 2 } }):totable())
  end)

  it("wants to be initialized before it is used", function()
    assert.error_matches(function() nn.linear { 2, 2 }(saros.zeros(1, 2)) end,
      "linear: expected initialized parameters; call init { seed = ... } or load(tensors)", 1, true)
  end)
end)

describe("dropout", function()
  it("acts only in training", function()
    local net, x = nn.dropout({ 0.5 }):init { seed = 1 }, saros.ones(100)
    assert.same_values(x, net(x), 0)
    local _ <close> = saros.tape()
    local y = net(x)
    assert.equal(0, y:min():item())
    assert.equal(2, y:max():item())
  end)

  it("takes the same features away at all steps, if it is variational", function()
    local net, x = nn.dropout({ 0.5, variational = true }):init { seed = 1 }, saros.ones(6, 8, 16)
    assert.same_values(x, net(x), 0)
    local _ <close> = saros.tape()
    local y = net(x)
    assert.equal(0, y:min():item())
    for t = 2, 6 do
      assert.same_values(y[1], y[t], 0)
    end
    assert.is_true(saros.abs(y:select(2, 1) - y:select(2, 2)):max():item() > 0)
    assert.error_matches(function() net(saros.ones(6, 8)) end,
      "dropout: expected x of shape (T, B, F), got a tensor (6, 8)", 1, true)
  end)

  it("stays silent under a tape that is not for training", function()
    local net, x = nn.dropout({ 0.5 }):init { seed = 1 }, saros.ones(100)
    local _ <close> = saros.tape { training = false }
    assert.same_values(x, net(x), 0)
  end)
end)

describe("a chain", function()
  it("names its members from 0, and functions take a place", function()
    local net = nn.chain { nn.linear { 2, 8 }, saros.tanh, nn.linear { 8, 1 } }
    assert.same({ "0.weight", "0.bias", "2.weight", "2.bias" }, net:parameters().names)
  end)

  it("carries the states of its members", function()
    local net = nn.chain { nn.rnn { 2, 3 }, saros.tanh, nn.chain { nn.rnn { 3, 4 } } }:init { seed = 1 }
    local x = random(1, 6, 2, 2)
    local whole = net(x)
    local first, state = net(x:slice(1, 1, 3))
    local second = net(x:slice(1, 4, 6), state)
    assert.same_values(whole, saros.concatenate({ first, second }, 1), ROUNDING)
  end)

  it("has no state where no member has one", function()
    local net = nn.chain { nn.linear { 2, 3 }, saros.relu }:init { seed = 1 }
    local _, state = net(random(1, 4, 2))
    assert.is_nil(state)
  end)

  it("counts a tensor that is used twice once", function()
    local shared = nn.linear { 3, 3 }
    local net = nn.chain { shared, saros.tanh, shared }
    assert.equal(12, net:count())
    assert.equal(2, #net:parameters())
  end)

  it("refuses members that are none", function()
    for name, make in pairs { ["nn.chain"] = nn.chain, ["nn.residual"] = nn.residual } do
      local expected = name .. ": expected a list of layers and functions, such as " .. name .. " { layer, ... }, got "
      assert.error_matches(function() make {} end, expected .. "an empty list$")
      assert.error_matches(function() make(nn.linear { 2, 2 }) end, expected .. "a saros.nn.linear$")
      assert.error_matches(function() make(3) end, expected .. "3$")
      assert.error_matches(function() make { 3 } end, name .. ": expected member 1 to be a module or a function, got 3")
    end
    assert.error_matches(function() nn.chain { nn.linear { 2, 2 }, "tanh" } end,
      'expected member 2 to be a module or a function, got "tanh"', 1, true)
  end)
end)

describe("loading tensors", function()
  it("lists everything that does not fit in one error, and changes nothing", function()
    local net = nn.chain { nn.linear { 2, 3 }, nn.linear { 3, 1 } }:init { seed = 1 }
    local before = values.fingerprint(net:tensors())
    local ok, message = pcall(net.load, net, {
      ["0.weight"] = saros.zeros(3, 2),
      ["0.bias"] = saros.zeros(4),
      ["1.weight"] = saros.ids { { 1, 1, 1 } },
      ["2.weight"] = saros.zeros(1),
    })
    assert.is_false(ok)
    assert.matches("misshapen 0.bias: expected %(3%), got %(4%)", message)
    assert.matches("misshapen 1.weight: expected %(1, 3%), got ids %(1, 3%)", message)
    assert.matches("missing 1.bias %(1%)", message)
    assert.matches("unexpected 2.weight", message)
    assert.equal(before, values.fingerprint(net:tensors()))
  end)

  it("takes only the names with its prefix", function()
    local net = nn.linear { 1, 1, bias = false }
    net:load({ ["a.weight"] = saros.ones(1, 1), ["b.weight"] = saros.zeros(2) }, "a.")
    assert.equal(1, net.weight:item())
  end)

  it("refuses what is no table of tensors", function()
    local net = nn.linear { 1, 1, bias = false }
    assert.error_matches(function() net:load() end, "expected a path or a table of tensors by name, got nil")
    assert.error_matches(function() net:load { weight = 3 } end, "misshapen weight: expected a tensor, got 3")
  end)

  it("names a prefix that is none, such as the metadata of a file", function()
    local net = nn.linear { 2, 1 }
    assert.error_matches(function() net:load(net:tensors(), { format = "pt" }) end, "load: unknown option \"format\"")
    assert.error_matches(function() net:load(net:tensors(), 3) end, "load: expected the prefix of names, .* got 3")
    assert.error_matches(function() net:tensors {} end, "tensors: expected the prefix of names, .* got a table")
  end)
end)

describe("a file of parameters", function()
  it("gives them back to a module that is built alike", function()
    local function build()
      return nn.chain { nn.rnn { 2, 3 }, nn.linear { 3, 1 } }
    end
    local path, net = os.tmpname(), build():init { seed = 1 }
    assert.is_true(net:save(path))
    local copy = build()
    assert.equal(copy, copy:load(path))
    os.remove(path)
    assert.equal(values.fingerprint(net:tensors()), values.fingerprint(copy:tensors()))
  end)

  it("that cannot be written or read gives nil and a message", function()
    local net = nn.linear({ 1, 1 }):init { seed = 1 }
    for _, method in ipairs { "save", "load" } do
      local result, message = net[method](net, "no/such/folder/file")
      assert.is_nil(result)
      assert.matches("no/such/folder/file", message, 1, true)
    end
    assert.error_matches(function() net:save(3) end, "save: expected a path, got 3")
  end)

  it("is refused before its parameters have values", function()
    files.with_path(function(path)
      local expected = "save: expected a model with initialized parameters; call init"
      for _, net in ipairs { nn.linear { 2, 1 }, nn.chain { nn.embedding { 3, 2 }, nn.gru { 2, 2 } },
        nn.residual { nn.linear { 2, 2 } } } do
        assert.error_matches(function() net:save(path) end, expected)
        assert.equal("", files.read(path))
      end
      assert.same({ true }, { nn.linear({ 2, 1 }):init({ seed = 1 }):save(path) })
    end)
  end)
end)

describe("an error inside a module", function()
  local x = saros.zeros(5, 2, 3)
  local lm = nn.language_model { vocabulary = saros.data.vocabulary.characters "ab", hidden = 4 }
  local function init(net)
    return net:init { seed = 1 }
  end
  local linear, rnn = init(nn.linear { 7, 1 }), init(nn.rnn { 7, 1 })
  local mistakes = {
    linear = function() local _ = linear(x) end,
    embedding = function() local _ = lm.embedding(saros.ids { 3 }) end,
    recurrent = function() local _ = rnn(x) end,
    chain = function() local _ = init(nn.chain { nn.chain { saros.tanh, linear } })(x) end,
    reading = function() local _ = lm:read "c" end,
    clipping = function() local _ = saros.optim.clip_norm({ 3 }, 1) end,
    unrolling = function() local _ = nn.unroll(function() end, x, x[1]) end,
    fitting = function() local _ = saros.fit(lm, saros.data.text { string = "abc" }) end,
    options = function() local _ = nn.linear { 1 } end,
    members = function() local _ = nn.residual {} end,
    forward = function() local _ = nn.module("m").new()(x) end,
    uninitialized = function() local _ = nn.linear { 3, 1 }(x) end,
  }
  for name, mistake in pairs(mistakes) do
    it(("blames the line of the script (%s)"):format(name), function()
      local ok, message = pcall(mistake)
      local line = debug.getinfo(mistake, "S").linedefined
      assert.is_false(ok)
      assert.matches(("spec/nn_spec.lua:%d: "):format(line), message, 1, true)
    end)
  end
end)

describe("sizes", function()
  it("have the same names in every layer, and places where names are left out", function()
    assert.equal("linear 3 -> 4", tostring(nn.linear { input = 3, output = 4 }))
    assert.equal(tostring(nn.rnn { 3, 4 }), tostring(nn.rnn { input = 3, hidden = 4 }))
    assert.error_matches(function() nn.linear { inputs = 3 } end, 'nn.linear: unknown option "inputs"; '
      .. "did you mean 'input'? known: input, output, bias; also by position: nn.linear { input, output }", 1, true)
  end)
end)

describe("unroll", function()
  it("says that a cell must return something", function()
    assert.error_matches(function() nn.unroll(function() end, saros.zeros(2, 1, 1), saros.zeros(1, 1)) end,
      "nn.unroll: expected the cell to return y and its state", 1, true)
  end)
end)

describe("a module of one's own", function()
  local Scale = nn.module "scale"

  function Scale:forward(x)
    return x * self.gain
  end

  it("has everything that the others have", function()
    local net = Scale.new()
    net.gain = net:add_parameter("gain", { 3 }, nn.initialize.constant(2))
    local chain = nn.chain { nn.linear { 2, 3 }, net }:init { seed = 1 }
    assert.same({ "0.weight", "0.bias", "1.gain" }, chain:parameters().names)
    assert.equal(2, net.gain[1])
    assert.equal("scale", tostring(net))
  end)
end)

describe("a class of modules without a forward", function()
  it("says that it needs one", function()
    local M = nn.module "m"
    assert.error_matches(function() M.new()(3) end,
      "m: expected the class to have a method forward, as in function M:forward%(x%)")
  end)
end)

describe("init", function()
  it("needs a seed and knows its schemes", function()
    local net = nn.linear { 2, 2 }
    assert.error_matches(function() net:init {} end, "init: expected option 'seed', an integer", 1, true)
    assert.error_matches(function() net:init { seed = 1.5 } end, "an integer, got 1.5")
    assert.error_matches(function() net:init { seed = 1, weights = "zero" } end,
      '"default" or "glorot" or "orthogonal", got "zero"', 1, true)
  end)
end)

describe("a cell that is linear in its state", function()
  local text = saros.data.text { string = ("a rose is a rose is a rose. "):rep(20) }

  it("makes a language model that learns, writes, and is saved", function()
    for _, cell in ipairs { "mingru", "minlstm", "lru" } do
      local lm = nn.language_model { vocabulary = text.vocabulary, cell = cell, hidden = 24, residual = true, seed = 1 }
      saros.fit(lm, text, { batch = 4, length = 10, epochs = 12, lr = 1e-2 })
      assert.is_true(saros.evaluate(lm, text, { batch = 1, length = 10 }) < 1)
      files.with_path(function(path)
        assert(lm:save(path))
        local function written_by(model)
          local pieces = {}
          for piece in model:generate { prime = "a r", length = 40, seed = 1 } do
            pieces[#pieces + 1] = piece
          end
          return table.concat(pieces)
        end
        assert.equal(written_by(lm), written_by(assert(saros.load(path))))
      end)
    end
  end)

  it("has weights of its input alone", function()
    assert.same({ "weight_ih_l0", "bias_ih_l0" }, nn.mingru({ 3, 4 }):parameters().names)
    assert.same({ 12, 3 }, nn.minlstm({ 3, 4 }):tensors().weight_ih_l0:shape())
    assert.same({ "weight_ih_l0", "norm_ih_weight_l0", "norm_ih_bias_l0" },
      nn.mingru({ 3, 4, layer_norm = true }):parameters().names)
    assert.error_matches(function() nn.mingru { 3, 4, recurrent_dropout = 0.2 } end,
      "nn.mingru: expected no recurrent_dropout, which this cell does not have", 1, true)
  end)

  it("starts to keep its state as long as it is told", function()
    local bias = nn.mingru({ 3, 200, remember = 50 }):init({ seed = 1 }).layers[1].bias_ih
    local spans = (-bias:slice(1, 1, 200)):exp()
    assert.is_true(spans:min():item() >= 1 - 1e-5 and spans:max():item() < 50)
  end)
end)

describe("residual blocks", function()
  it("carry the states of their members", function()
    local net = nn.chain {
      nn.residual { nn.mingru { 3, 3 } }, nn.residual { nn.linear { 3, 5 }, saros.relu, nn.linear { 5, 3 } },
    }
    local x = random(1, 6, 2, 3)
    local whole, last = net:init({ seed = 1 })(x)
    local _, state = net(x:slice(1, 1, 4))
    local rest, after = net(x:slice(1, 5, 6), state)
    assert.same_values(whole:slice(1, 5, 6), rest, ROUNDING)
    assert.same_values(last[1][1][1][1], after[1][1][1][1], ROUNDING)
    assert.same_values(x, (nn.residual({ nn.dropout { 0.5 } }):init({ seed = 1 })(x)) - x, ROUNDING)
  end)

  it("keep the size of their input", function()
    local net = nn.residual({ nn.linear { 3, 4 } }):init { seed = 1 }
    assert.error_matches(function() net(random(1, 2, 3)) end,
      "nn.residual: expected members that keep the size of their input, got a tensor (2, 4) from a tensor (2, 3)",
      1, true)
  end)
end)

describe("linear recurrent units", function()
  it("start on a ring, at any angle up to the largest, with states of the size of their input", function()
    local N = 400
    local p = nn.lru({ 3, 5, units = N, r_min = 0.5, r_max = 0.9, max_phase = 1 }):init({ seed = 1 }):tensors()
    local size = (-p.nu_log_l0:exp()):exp()
    assert.is_true(size:min():item() >= 0.5 - 1e-6 and size:max():item() <= 0.9 + 1e-6)
    assert.near((0.5 ^ 2 + 0.9 ^ 2) / 2, (size * size):mean():item(), 0.02) -- areas
    local phase = p.theta_log_l0:exp()
    assert.is_true(phase:min():item() > 0 and phase:max():item() <= 1 + 1e-6)
    assert.near(0.5, phase:mean():item(), 0.05)
    assert.same_values(1 - size * size, (p.gamma_log_l0 * 2):exp(), 1e-5)
  end)

  it("compute what the paper's equations say", function()
    local T, B, I, H, N = 4, 2, 3, 3, 2
    local net = nn.lru({ I, H, units = N }):init { seed = 1 }
    local p, x = net:tensors(), random(1, T, B, I)
    local y = net(x):totable()
    local nu, theta, gamma = p.nu_log_l0:totable(), p.theta_log_l0:totable(), p.gamma_log_l0:totable()
    local b, c, d, input = p.weight_ih_l0:totable(), p.weight_hr_l0:totable(), p.skip_l0:totable(), x:totable()
    for row = 1, B do
      local re, im = { 0, 0 }, { 0, 0 }
      for t = 1, T do
        for unit = 1, N do
          local size, angle = math.exp(-math.exp(nu[unit])), math.exp(theta[unit])
          local l_re, l_im = size * math.cos(angle), size * math.sin(angle)
          local u_re, u_im = 0, 0
          for i = 1, I do
            u_re = u_re + b[2 * unit - 1][i] * input[t][row][i]
            u_im = u_im + b[2 * unit][i] * input[t][row][i]
          end
          local scale, r, m = math.exp(gamma[unit]), re[unit], im[unit]
          re[unit], im[unit] = l_re * r - l_im * m + scale * u_re, l_re * m + l_im * r + scale * u_im
        end
        for o = 1, H do
          local expected = d[o] * input[t][row][o]
          for unit = 1, N do
            expected = expected + c[o][2 * unit - 1] * re[unit] + c[o][2 * unit] * im[unit]
          end
          assert.near(expected, y[t][row][o], ROUNDING)
        end
      end
    end
  end)

  it("have names of their own, and d where the sizes agree", function()
    assert.same({ "nu_log_l0", "theta_log_l0", "gamma_log_l0", "weight_ih_l0", "weight_hr_l0" },
      nn.lru({ 3, 4 }):parameters().names)
    assert.same({ 4 }, nn.lru({ 4, 4 }):tensors().skip_l0:shape())
    assert.same({ 5, 6 }, nn.lru({ 4, 5 }):tensors().weight_hr_l0:shape())
  end)

  it("refuse options that make no sense", function()
    local function refuses(given, message)
      given.input, given.hidden = 3, 4
      assert.error_matches(function() nn.lru(given) end, "nn.lru: expected " .. message, 1, true)
    end
    refuses({ layer_norm = true }, "no layer_norm, which this cell does not have")
    refuses({ recurrent_dropout = 0.5 }, "no recurrent_dropout")
    refuses({ r_min = 0.9, r_max = 0.5 }, "r_min < r_max, got 0.9 and 0.5")
    refuses({ r_max = 1 }, "option 'r_max' to be a number in [0, 1), got 1")
  end)
end)

describe("gates that remember", function()
  -- What a gate's bias is in both biases together, (H).
  local function bias_of(layer, gate, H)
    local first, last = (gate - 1) * H + 1, gate * H
    local p = layer.layers[1]
    local bias = p.bias_ih:slice(1, first, last)
    return p.bias_hh and bias + p.bias_hh:slice(1, first, last) or bias
  end

  it("let go of 1 / n in a step, for spans n up to what was asked for", function()
    local H, steps = 200, 50
    for _, case in ipairs {
      { nn.lstm, keep = 2, let_in = 1 }, { nn.gru, keep = 2 }, { nn.minlstm, keep = 2, let_in = 1 },
    } do
      local layer = case[1]({ 3, H, remember = steps }):init { seed = 1 }
      local keep = bias_of(layer, case.keep, H)
      local spans = keep:exp() -- 1 - sigmoid(log n) is 1 / (n + 1)
      assert.is_true(spans:min():item() >= 1 - 1e-5 and spans:max():item() < steps)
      assert.near(steps / 2, spans:mean():item(), 4)
      if case.let_in then
        assert.same_values(-keep, bias_of(layer, case.let_in, H), 0)
      end
    end
  end)

  it("need biases, and are not told twice", function()
    for message, given in pairs {
      ["no remember with bias = false"] = { bias = false },
      ["no remember with layer_norm"] = { layer_norm = true },
      ["forget_bias or remember, which both say where the forget gates start, got both"] = { forget_bias = 1 },
    } do
      given.input, given.hidden, given.remember = 2, 3, 10
      assert.error_matches(function() nn.lstm(given) end, "nn.lstm: expected " .. message, 1, true)
    end
    assert.error_matches(function() nn.gru { 2, 3, remember = 2 } end, "'remember' to be an integer, 3 or more, got 2")
    assert.error_matches(function() nn.rnn { 2, 3, remember = 9 } end, 'unknown option "remember"')
  end)
end)

describe("losses", function()
  it("are nats, and can be told as perplexity or bits", function()
    local logits = saros.zeros(2, 8)
    local nats = nn.cross_entropy(logits, saros.ids { 1, 8 }):item()
    assert.near(math.log(8), nats, 1e-6)
    assert.near(8, nn.perplexity(nats), 1e-4)
    assert.near(3, nn.bits(nats), 1e-5)
  end)
end)

describe("gradient_check", function()
  it("finds a wrong gradient and names the place", function()
    local x = saros.tensor { { 1, 2 }, { 3, 4 } }
    -- Half of the way to the loss is hidden from the tape.
    local worst, description = saros.gradient_check(function(inputs)
      return (inputs.x * inputs.x:detach()):sum()
    end, { x = x })
    assert.is_true(worst > 0.3)
    assert.matches("input x at %[%d, %d%]: gradient", description)
    assert.same({ { 1, 2 }, { 3, 4 } }, x:totable())
  end)

  it("counts a missing gradient as 0 and NaN as infinite", function()
    assert.near(1, (saros.gradient_check(function(inputs)
      return inputs[1]:detach():sum() + inputs[1]:sum() * 0
    end, { saros.ones(2) })), 1e-3)
    assert.equal(math.huge, (saros.gradient_check(function(inputs)
      return saros.sqrt(inputs[1] - 2):sum()
    end, { saros.ones(2) })))
  end)

  it("sees through dropout whose generator starts again each time", function()
    local net, x = nn.dropout({ 0.5 }):init { seed = 1 }, random(1, 10)
    assert.gradients_match(function()
      net:init { seed = 1 }
      local y = net(x)
      return (y * y):sum()
    end, { x })
  end)

  it("can look at a sample of the elements, in views too", function()
    local x = random(1, 20, 20):transpose()
    assert.gradients_match(function(inputs)
      return (inputs[1] * inputs[1]):sum()
    end, { x }, { samples = 10 })
  end)
end)

describe("functions that take plain values", function()
  for name, case in pairs {
    ["perplexity: expected a number as argument 1, got nil"] = function() return saros.nn.perplexity() end,
    ["bits: expected a number as argument 1, got a table"] = function() return saros.nn.bits {} end,
    ["module: expected a string as argument 1, got 3"] = function() return saros.nn.module(3) end,
    ["ctc.distance: expected a list without holes as argument 2, got 3"] = function()
      return saros.ctc.distance({}, 3)
    end,
    ["ctc.error_rate: expected a list without holes as argument 1, got nil"] = function()
      return saros.ctc.error_rate()
    end,
    ["gradient_check: expected a table of tensors as argument 2, got 3"] = function()
      return saros.gradient_check(print, { 3 })
    end,
  } do
    it("say " .. name, function()
      assert.error_matches(case, name, 1, true)
    end)
  end
end)
