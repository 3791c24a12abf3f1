--- Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of
--- Gers et al. 2000): gates i f g o, states h and c.

local options = require "saros.options"
local activation = require "saros.nn.cells.activation"
local gated = require "saros.nn.cells.gated"

---@class saros.nn.LstmOptions: saros.nn.RecurrentOptions
---@field forget_bias? number  where the forget gates' bias starts (as the others)
---@field remember? integer  gates start as if units kept values for 1 to `remember` steps, each for its own time (none)
---@field peepholes? boolean  (false)
---@field projection? integer  P: h = W_hr (o tanh(c)) of this size (none)
---@field zoneout_cell? number  zoneout of c (0)
---@field activation? string  of g and c, as of nn.rnn; others than tanh and sigmoid are not fused ("tanh")
---@field gate_activation? string  of i, f and o, such as "hard_sigmoid" ("sigmoid")

---@class saros.nn.RecurrentConstructors
---@field lstm fun(given: saros.nn.LstmOptions): saros.nn.Recurrent  `nn.lstm { 64, 128 }`

local remembering = gated.remembering { -1, 1 }

--- b_f may start at forget_bias, too (Jozefowicz et al. 2015).
local function bias(which, o, bound)
  if not o.forget_bias then
    return remembering(which, o, bound)
  end
  return gated.bias_with(which, o, bound, function()
    return { [2] = o.forget_bias }
  end)
end

--- A gate's sums, and where there are peepholes, what it sees of c.
local function peeping(cell, a, u, gate, peephole, c)
  local sum = cell:apply("add", cell:gate(a, gate), cell:gate(u, gate))
  local p = cell.p.peephole
  return p and cell:apply("add", sum, cell:apply("multiply", cell:gate(p, peephole), c)) or sum
end

local function define(cell)
  local a, u, p = cell:from_input(), cell:from_state(cell.h, 0, 4), cell.p
  local i = cell:named(cell:apply("sigmoid", peeping(cell, a, u, 0, 0, cell.c)), "i")
  local f = cell:named(cell:apply("sigmoid", peeping(cell, a, u, 1, 1, cell.c)), "f")
  local g = cell:named(cell:apply("tanh", cell:apply("add", cell:gate(a, 2), cell:gate(u, 2))), "g")
  local c = cell:named(cell:apply("add", cell:apply("multiply", f, cell.c), cell:apply("multiply", i, g)), "c")
  local o = cell:named(cell:apply("sigmoid", peeping(cell, a, u, 3, 2, c)), "o")
  local h = cell:apply("multiply", o, cell:apply("tanh", cell:norm(c, p.norm_c_gain, p.norm_c_bias)))
  return p.weight_hr and cell:linear(h, p.weight_hr) or h, c
end

---@type saros.nn.Cell
return {
  gates = 4,
  states = { "h", "c" },
  options = {
    { "forget_bias", options.optional(options.number) },
    gated.remember_option,
    { "peepholes", options.boolean, false },
    { "projection", options.optional(options.size) },
    { "zoneout_cell", options.fraction, 0 },
    activation.option,
    activation.gate_option,
  },
  operation = function()
    return "lstm"
  end,
  check = gated.remember_problem,
  bias = bias,
  add = gated.add,
  definitions = { lstm = define },
  named = { { "i", "input" }, { "f", "forget" }, { "g", "candidate" }, { "o", "output" } },
}
