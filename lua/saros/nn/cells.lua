--- The fused cells, as data: what each adds to a layer's options and parameters,
--- and what it is called in the core. A new one joins with a row.

local options = require "saros.options"
local initialize = require "saros.nn.initialize"

---@class saros.nn.Cell
---@field gates integer  G: blocks of H rows in the weights
---@field states string[]  what is carried from step to step
---@field operation fun(o: table): string  the core's name for these options
---@field options table[]  beside those that all layers have
---@field check? fun(o: table): string?  what is wrong with the options, if anything

--- The bias (4 H) of an LSTM whose forget gates start open: b_f = forget_bias
--- in one of the two biases, and 0 in the other (Jozefowicz et al. 2015).
local function lstm_bias(which, o, bound)
  local fill = initialize.bias(bound)
  if not o.forget_bias then
    return fill
  end
  return function(tensor, generator, weights)
    fill(tensor, generator, weights)
    local value = which == "bias_ih" and o.forget_bias or 0
    tensor:slice(1, o.hidden + 1, 2 * o.hidden):fill(value)
  end
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
      { "peepholes", options.boolean, false },
      { "projection", options.optional(options.size) },
      { "zoneout_cell", options.fraction, 0 },
    },
    operation = function()
      return "lstm"
    end,
    bias = lstm_bias,
  },

  -- Cho et al. 2014; gates r z n
  gru = {
    gates = 3,
    states = { "h" },
    options = { { "reset", options.one_of { "after", "before" }, "after" } },
    operation = function(o)
      return o.reset == "after" and "gru" or "gru_before"
    end,
    check = function(o)
      if o.reset == "before" and o.layer_norm then
        return 'expected reset = "after" with layer_norm, got "before"'
      end
    end,
  },
}

return cells
