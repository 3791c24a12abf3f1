--- The fused cells as the operations that they are made of. Each file that is
--- exported has these instead, so a new cell needs its rule here alone.

local core = require "saros.core"

--- The layer norm of cells has PyTorch's epsilon.
local CELL_EPSILON = 1e-5

--- What a rule works with.
---@class saros.export.Cell
---@field build table  see saros.export.graph
---@field x saros.export.Node  the input, or what its product with weight_ih is
---@field p table<string, saros.export.Node>  the parameters by their names in saros_recurrent
---@field h saros.export.Node  before the step
---@field c saros.export.Node?
---@field H integer  units
local Cell = {}
Cell.__index = Cell

function Cell:apply(op, ...)
  return self.build:add(op, { ... })
end

function Cell:number(value)
  return self.build:constant(core.tensor { value })
end

--- Gate number n, from 0, of sums.
function Cell:gate(sums, n)
  return self.build:part(sums, n * self.H, self.H)
end

function Cell.named(_, node, title)
  node.title = title
  return node
end

function Cell:norm(x, gain, bias)
  return gain and self.build:add("layer_norm", { x, gain, bias }, { n = x.width, epsilon = CELL_EPSILON }) or x
end

function Cell:linear(x, weight, bias)
  return self:apply("linear", x, weight, bias)
end

--- The sums from x.
function Cell:from_input()
  local p, sums = self.p, self.x
  if p.table then
    sums = self:apply("lookup", self.x, p.table)
  elseif p.weight_ih then
    return self:named(self:norm(self:linear(self.x, p.weight_ih, p.bias_ih), p.norm_ih_gain, p.norm_ih_bias),
      "from_input")
  end
  return p.bias_ih and self:apply("add", sums, p.bias_ih) or sums
end

--- The sums from h, or from what stands in its place, of some of the gates.
function Cell:from_state(read, first, count)
  local p, width = self.p, self.p.weight_hh.width // (self.gates * self.H)
  local function rows(node, each)
    return node and self.build:part(node, first * self.H * each, count * self.H * each)
  end
  return self:named(self:norm(self:linear(read, rows(p.weight_hh, width), rows(p.bias_hh, 1)), p.norm_gain,
    p.norm_bias), "from_state")
end

-- --- The cells ---------------------------------------------------------------------------

--- Each gives the new h, and c where there is one.
local cells = {}

local function elman(name)
  return function(self)
    return self:apply(name, self:apply("add", self:from_input(), self:from_state(self.h, 0, 1)))
  end
end

cells.elman_tanh, cells.elman_relu = elman "tanh", elman "relu"

--- A gate's sums, and where there are peepholes, what it sees of c.
local function peeping(self, a, u, gate, peephole, c)
  local sum = self:apply("add", self:gate(a, gate), self:gate(u, gate))
  local p = self.p.peephole
  return p and self:apply("add", sum, self:apply("multiply", self:gate(p, peephole), c)) or sum
end

function cells.lstm(self)
  local a, u, p = self:from_input(), self:from_state(self.h, 0, 4), self.p
  local i = self:named(self:apply("sigmoid", peeping(self, a, u, 0, 0, self.c)), "i")
  local f = self:named(self:apply("sigmoid", peeping(self, a, u, 1, 1, self.c)), "f")
  local g = self:named(self:apply("tanh", self:apply("add", self:gate(a, 2), self:gate(u, 2))), "g")
  local c = self:named(self:apply("add", self:apply("multiply", f, self.c), self:apply("multiply", i, g)), "c")
  local o = self:named(self:apply("sigmoid", peeping(self, a, u, 3, 2, c)), "o")
  local h = self:apply("multiply", o, self:apply("tanh", self:norm(c, p.norm_c_gain, p.norm_c_bias)))
  return p.weight_hr and self:linear(h, p.weight_hr) or h, c
end

local function blend(self, fresh, z)
  return self:apply("add", fresh, self:apply("multiply", z, self:apply("subtract", self.h, fresh)))
end

function cells.gru(self)
  local a, u = self:from_input(), self:from_state(self.h, 0, 3)
  local function gate(n)
    return self:apply("sigmoid", self:apply("add", self:gate(a, n), self:gate(u, n)))
  end
  local r, z = self:named(gate(0), "r"), self:named(gate(1), "z")
  local n = self:apply("tanh", self:apply("add", self:gate(a, 2), self:apply("multiply", r, self:gate(u, 2))))
  return blend(self, self:named(n, "n"), z)
end

--- It resets before the product.
function cells.gru_before(self)
  local a, u = self:from_input(), self:from_state(self.h, 0, 2)
  local function gate(n)
    return self:apply("sigmoid", self:apply("add", self:gate(a, n), self:gate(u, n)))
  end
  local r, z = self:named(gate(0), "r"), self:named(gate(1), "z")
  local read = self:from_state(self:apply("multiply", r, self.h), 2, 1)
  return blend(self, self:named(self:apply("tanh", self:apply("add", self:gate(a, 2), read)), "n"), z)
end

--- The candidate of a minimal cell: as it is, or made positive.
local function candidate(self, n, positive)
  if not positive then
    return n
  end
  return self:apply("where", self:apply("lt", n, self:number(0)), self:apply("sigmoid", n),
    self:apply("add", n, self:number(0.5)))
end

local function mingru(positive)
  return function(self)
    local a = self:from_input()
    local z, n = self:gate(a, 0), candidate(self, self:gate(a, 1), positive)
    return self:apply("add", self:apply("multiply", self:apply("sigmoid", self:apply("negate", z)), self.h),
      self:apply("multiply", self:apply("sigmoid", z), n))
  end
end

--- f and i over their sum, which is sigmoid(f - i') of the logarithms of the two: as
--- exponentials of which none is above 1.
local function minlstm(positive)
  return function(self)
    local a = self:from_input()
    local i, f, n = self:gate(a, 0), self:gate(a, 1), candidate(self, self:gate(a, 2), positive)
    local least = self:apply("minimum", self:apply("minimum", i, f), self:number(0))
    local one = self:apply("exp", least)
    local of_i = self:apply("add", one, self:apply("exp", self:apply("subtract", least, f)))
    local of_f = self:apply("add", one, self:apply("exp", self:apply("subtract", least, i)))
    local sum = self:apply("add", self:apply("multiply", of_f, self.h), self:apply("multiply", of_i, n))
    return self:apply("divide", sum, self:apply("add", of_i, of_f))
  end
end

cells.mingru, cells.mingru_positive = mingru(false), mingru(true)
cells.minlstm, cells.minlstm_positive = minlstm(false), minlstm(true)

--- The factors of the state of an LRU, as pairs.
local function decay_of(nu, theta)
  local decay = {}
  nu, theta = nu.tensor:totable(), theta.tensor:totable()
  for unit = 1, #nu do
    local size, phase = math.exp(-math.exp(nu[unit])), math.exp(theta[unit])
    decay[2 * unit - 1], decay[2 * unit] = size * math.cos(phase), size * math.sin(phase)
  end
  return core.tensor(decay)
end

function cells.lru(self)
  local decay = self.build:constant(decay_of(self.p.nu, self.p.theta), "decay")
  return self:apply("rotate", self.h, decay, self:from_input())
end

local GATES = { elman_tanh = 1, elman_relu = 1, lstm = 4, gru = 3, gru_before = 3, mingru = 2, mingru_positive = 2,
  minlstm = 3, minlstm_positive = 3, lru = 1 }

--- Zoneout as its expectation: a share of the new state, the rest of the old one.
local function mix(self, now, before, zoneout)
  if not zoneout or zoneout == 0 then
    return now
  end
  return self:apply("add", self:apply("multiply", self:number(1 - zoneout), now),
    self:apply("multiply", self:number(zoneout), before))
end

--- Add the nodes of a cell, and say what its states become.
---@param build table  see saros.export.graph
---@param given table  the node of the program
---@param x saros.export.Node
---@param parameters table<string, saros.export.Node>
---@param states saros.export.State[]
---@return saros.export.Node h
local function take_apart(build, given, x, parameters, states)
  local self = setmetatable({ build = build, x = x, p = parameters, gates = GATES[given.cell],
    H = states[#states].width }, Cell)
  self.h = build:add("state", {}, { state = states[1], title = states[1].name })
  self.c = states[2] and build:add("state", {}, { state = states[2], title = states[2].name })
  local h, c = cells[given.cell](self)
  local zoneout = given.zoneout or {}
  h = mix(self, h, self.h, zoneout[1])
  h.title, states[1].next = "h", h
  if c then
    states[2].next = mix(self, c, self.c, zoneout[2])
  end
  return h
end

return take_apart
