--- The fused cells, as data: what each adds to a layer's options and parameters,
--- and what it is called in the core. A new one joins with a row.

local format = require("saros.core").format
local options = require "saros.options"
local initialize = require "saros.nn.initialize"
local lru = require "saros.nn.lru"

---@class saros.nn.Cell
---@field gates integer  G: blocks of H rows in the weights
---@field linear? boolean  in the state, which meets no weights
---@field diagonal? integer  where the state of a unit follows from x and rows of weights of its own: how
---  many numbers it has, that lie side by side
---@field states string[]  what is carried from step to step
---@field operation fun(o: table): string  the core's name for these options
---@field options table[]  beside those that all layers have
---@field check? fun(o: table): string?  what is wrong with the options, if anything

--- A bias in which some gates, blocks of H, start at given values: in one of the
--- two biases, and at 0 in the other. `values(generator)` gives for gates by
--- position a number or a tensor (H).
local function bias_with(which, o, bound, values)
  local fill = initialize.bias(bound)
  return function(tensor, generator, weights)
    fill(tensor, generator, weights)
    for gate, value in pairs(values(generator)) do
      local block = tensor:slice(1, (gate - 1) * o.hidden + 1, gate * o.hidden)
      block:assign(which == "bias_ih" and block * 0 + value or block * 0)
    end
  end
end

--- The values by which units start to keep their states for 1 to o.remember steps,
--- each for its own time: sigmoid(log n) lets go of about 1 / n in a step (Tallec
--- and Ollivier 2018). `signs` has 1 for a gate that keeps, -1 for one that lets in.
local function keeping(o, signs)
  return function(generator)
    local values, spans = {}, generator:uniform({ o.hidden }, 1, o.remember - 1)
    for gate, sign in pairs(signs) do
      values[gate] = sign * spans:log()
    end
    return values
  end
end

--- What fills the biases of a cell with the option "remember".
local function remembering(signs)
  return function(which, o, bound)
    return o.remember and bias_with(which, o, bound, keeping(o, signs)) or initialize.bias(bound)
  end
end

--- LSTM: b_f may start at forget_bias, too (Jozefowicz et al. 2015).
local lstm_remembering = remembering { -1, 1 }

local function lstm_bias(which, o, bound)
  if not o.forget_bias then
    return lstm_remembering(which, o, bound)
  end
  return bias_with(which, o, bound, function()
    return { [2] = o.forget_bias }
  end)
end

local remember_option = { "remember", options.optional(options.at_least(3)) }

--- What is wrong with "remember" beside other options, if anything.
local function remember_problem(o)
  if o.remember and (o.layer_norm or not o.bias or o.forget_bias) then
    return "expected biases of the gates and neither layer_norm nor forget_bias with remember"
  end
end

--- What is wrong with the options of a linear cell, if anything.
local function linear_problem(o)
  if o.recurrent_dropout > 0 then
    return format("expected recurrent_dropout = 0, as the state meets no weights, got %g", o.recurrent_dropout)
  end
  return remember_problem(o)
end

--- A cell of Feng et al. 2024 ("Were RNNs All We Needed?"). Its candidate is as
--- the weights make it, or made positive, which the paper's way through log space
--- needs. Walking in the order of time does not need it, and text is learned better
--- without: 1.85 against 1.89 after two epochs of Shakespeare (H 128, 2 layers).
local function minimal(name, gates, signs)
  return {
    gates = gates,
    states = { "h" },
    linear = true,
    diagonal = 1,
    options = { { "candidate", options.one_of { "plain", "positive" }, "plain" }, remember_option },
    operation = function(o)
      return o.candidate == "plain" and name or name .. "_positive"
    end,
    bias = remembering(signs),
    check = linear_problem,
  }
end

---@type table<string, saros.nn.Cell>
local cells = {
  -- Elman 1990
  rnn = {
    gates = 1,
    states = { "h" },
    options = { { "activation", options.one_of { "tanh", "relu" }, "tanh" } },
    operation = function(o)
      return "elman_" .. o.activation
    end,
  },

  -- Hochreiter and Schmidhuber 1997; gates i f g o
  lstm = {
    gates = 4,
    states = { "h", "c" },
    options = {
      { "forget_bias", options.optional(options.number) },
      remember_option,
      { "peepholes", options.boolean, false },
      { "projection", options.optional(options.size) },
      { "zoneout_cell", options.fraction, 0 },
    },
    operation = function()
      return "lstm"
    end,
    bias = lstm_bias,
    check = remember_problem,
  },

  -- Cho et al. 2014; gates r z n
  gru = {
    gates = 3,
    states = { "h" },
    options = { { "reset", options.one_of { "after", "before" }, "after" }, remember_option },
    operation = function(o)
      return o.reset == "after" and "gru" or "gru_before"
    end,
    bias = remembering { [2] = 1 },
    check = function(o)
      if o.reset == "before" and o.layer_norm then
        return 'expected reset = "after" with layer_norm, got "before"'
      end
      return remember_problem(o)
    end,
  },

  mingru = minimal("mingru", 2, { -1 }), -- gates z n
  minlstm = minimal("minlstm", 3, { -1, 1 }), -- gates i f n

  -- Orvieto et al. 2023
  lru = {
    gates = 1,
    states = { "h" },
    linear = true,
    diagonal = 2,
    options = lru.options,
    operation = function()
      return "lru"
    end,
    check = lru.check,
  },
}

return cells
