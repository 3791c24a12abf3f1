-- On the walk over time the rows of a batch are shared among the threads. Neither
-- results nor gradients may tell how.

local saros = require "saros"
local values = require "spec.support.values"
local nn = saros.nn

local T, I, H = 5, 9, 67

-- All that one window of training gives, as a string of its numbers.
local function trained_with(threads, build, B, options)
  saros.threads(threads)
  local net = build():init { seed = 3 }
  local x = saros.generator(1):normal { T, B, I }
  local tape <close> = saros.tape()
  tape:watch(x)
  local y, state = net(x, nil, options)
  tape:backward((y * y):sum())
  local found = { y = y:detach(), x = x:gradient(), state = state }
  for name, parameter in pairs(net:tensors()) do
    found[name] = parameter:gradient()
  end
  return values.fingerprint(found)
end

-- A cell that is not in the core, with a vector that every row meets, and one without.
local with_vector = nn.cell("with_vector", { states = { "h", "c" } }, function(p, x, h, c)
  local keep = saros.sigmoid(p.keep(x .. h) + p.decay:vector(p.hidden) * c)
  local new = keep * c + (1 - keep) * saros.tanh(p.new(x .. h))
  return saros.tanh(new) * saros.sigmoid(p.out(x .. h)), new
end)
local without = nn.cell("without", { states = { "h" } }, function(p, x, h)
  local z = saros.sigmoid(p.gate(x .. h))
  return z * saros.softplus(p.candidate(x .. h)) + (1 - z) * h
end)

local function having(option)
  option[1], option[2] = I, H
  return option
end

local builds = {
  lstm = function() return nn.lstm(having {}) end,
  gru = function() return nn.gru(having {}) end,
  rnn = function() return nn.rnn(having {}) end,
  ugrnn = function() return nn.ugrnn(having {}) end,
  lru = function() return nn.lru { I, 68 } end,
  mingru = function() return nn.mingru(having {}) end,
  ["reset before"] = function() return nn.gru(having { reset = "before" }) end,
  normalised = function() return nn.lstm(having { layer_norm = true }) end,
  ["normalised gru"] = function() return nn.gru(having { layer_norm = true }) end,
  projected = function() return nn.lstm(having { projection = 33, peepholes = true }) end,
  dropped = function() return nn.lstm(having { recurrent_dropout = 0.3, zoneout = 0.2, zoneout_cell = 0.1 }) end,
  both = function() return nn.gru(having { bidirectional = true }) end,
  own = function() return nn.recurrent(having { cell = with_vector }) end,
  ["own with dropout"] = function() return nn.recurrent(having { cell = without, recurrent_dropout = 0.3 }) end,
}

-- Some rows are padded, some start again.
local function padded(B)
  local lengths, reset = {}, saros.zeros(T, B)
  for row = 1, B do
    lengths[row] = 1 + row % T
    reset[1 + row * 3 % T][row] = 1
  end
  return { lengths = lengths, reset = reset }
end

describe("threads on the walk over time", function()
  local before = saros.threads()
  after_each(function()
    saros.threads(before)
  end)

  for name, build in pairs(builds) do
    it("give the same bits: " .. name, function()
      for _, B in ipairs { 15, 50, 71 } do
        for _, options in ipairs { {}, padded(B) } do
          local one = trained_with(1, build, B, options)
          for _, threads in ipairs { 2, 3, 5 } do
            assert.is_true(one == trained_with(threads, build, B, options), ("%d rows, %d threads"):format(B, threads))
          end
        end
      end
    end)
  end
end)
