--- What the `definitions` of the fused cells are made of: a step of a cell, in nodes of
--- whoever asks. A C file has them as nodes of its program, see saros.program.cells. The
--- nodes of saros.nn.cells.tensors are tensors: of the gates of a layer (saros.nn.replay),
--- and of layers with other activations (saros.nn.cells.activated).
---
--- A builder has three methods; nodes have a `width`, the number of their features.
---
---     build:add(op, operands, attributes)    a node, whose operation has its name in programs
---     build:constant(tensor)                 a node of these elements
---     build:part(x, from, count)             features from..from + count - 1 of x, from 0

local core = require "saros.core"
local cells = require "saros.nn.cells"

--- The layer norm of cells has PyTorch's epsilon.
local CELL_EPSILON = 1e-5

--- What a definition works with.
---@class saros.nn.Definition
---@field build table
---@field gates integer  G
---@field H integer  units
---@field x table  the node of the input, or of what its product with weight_ih is
---@field p table<string, table>  nodes of the parameters, flat, by their names in saros_recurrent
---@field h table  before the step
---@field c table?
---@field dropout table?  factors of what the product with weight_hh reads
---@field named_nodes table<string, table>  by title
local Definition = {}
Definition.__index = Definition

function Definition:apply(op, ...)
  return self.build:add(op, { ... })
end

function Definition:number(value)
  return self.build:constant(core.tensor { value })
end

--- Gate number n, from 0, of sums.
function Definition:gate(sums, n)
  return self.build:part(sums, n * self.H, self.H)
end

function Definition:named(node, title)
  node.title, self.named_nodes[title] = title, node
  return node
end

function Definition:norm(x, gain, bias)
  return gain and self.build:add("layer_norm", { x, gain, bias }, { n = x.width, epsilon = CELL_EPSILON }) or x
end

function Definition:linear(x, weight, bias)
  return self:apply("linear", x, weight, bias)
end

--- The sums from x.
function Definition:from_input()
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
function Definition:from_state(read, first, count)
  local p, width = self.p, self.p.weight_hh.width // (self.gates * self.H)
  local function rows(node, each)
    return node and self.build:part(node, first * self.H * each, count * self.H * each)
  end
  read = self.dropout and self:apply("multiply", read, self.dropout) or read
  return self:named(self:norm(self:linear(read, rows(p.weight_hh, width), rows(p.bias_hh, 1)), p.norm_gain,
    p.norm_bias), "from_state")
end

-- What defines a cell of the core, and its gates, by its name there.
local known = {}

for _, cell in pairs(cells) do
  for name, define in pairs(cell.definitions or {}) do
    known[name] = { define = define, gates = cell.gates }
  end
end

--- One step of a cell.
---@param build table
---@param operation string  the core's name of the cell
---@param given { x: table, p: table<string, table>, h: table, c: table?, H: integer, dropout: table? }
---@return table h  its node
---@return table? c
---@return table<string, table> named  nodes by the titles that the definition gives them
return function(build, operation, given)
  local self = setmetatable({ build = build, gates = known[operation].gates, named_nodes = {} }, Definition)
  for name, value in pairs(given) do
    self[name] = value
  end
  local h, c = known[operation].define(self)
  return h, c, self.named_nodes
end
