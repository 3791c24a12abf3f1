--- The fused cells as the operations that they are made of, which each file that is
--- exported has in their place: what `definitions` in nn/cells/ say.

local core = require "saros.core"
local cells = require "saros.nn.cells"

--- The layer norm of cells has PyTorch's epsilon.
local CELL_EPSILON = 1e-5

--- What a definition works with.
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

--- What defines a cell of the core, and its gates, by its name there.
local known = {}

for _, cell in pairs(cells) do
  for name, definition in pairs(cell.definitions) do
    known[name] = { define = definition, gates = cell.gates }
  end
end

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
  local self = setmetatable({ build = build, x = x, p = parameters, gates = known[given.cell].gates,
    H = states[#states].width }, Cell)
  self.h = build:add("state", {}, { state = states[1], title = states[1].name })
  self.c = states[2] and build:add("state", {}, { state = states[2], title = states[2].name })
  local h, c = known[given.cell].define(self)
  local zoneout = given.zoneout or {}
  h = mix(self, h, self.h, zoneout[1])
  h.title, states[1].next = "h", h
  if c then
    states[2].next = mix(self, c, self.c, zoneout[2])
  end
  return h
end

return take_apart
