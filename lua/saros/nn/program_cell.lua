--- Cells of one's own in model files. What a file has of one is the program of its
--- step for each size that the model has it in; a cell made of that stands in the
--- layers of the model as the one that was written in Lua did.

local core = require "saros.core"
local options = require "saros.options"
local cells = require "saros.nn.cell"
local module = require "saros.nn.module"
local own_layer = require "saros.nn.own_layer"
local lazy = require "saros.lazy"

local late = lazy({}, {
  program = { "saros.program.program" },
  trace = { "saros.program.trace" },
})

---@class saros.nn.ProgramCell: saros.nn.Module
---@field description table  what the file has of the cell
---@field text string  the program of this size
---@field compiled saros.Program
---@field named saros.Tensor[]  parameters by name
---@field hidden integer
---@field states integer[][]
---@field state_names string[]
---@field firsts number[]
---@field generator saros.Generator|false
local ProgramCell = module.class "program_cell"

--- One step.
---@param x saros.Tensor  (B, I)
---@param before saros.Tensor[]
---@return saros.Tensor y
---@return saros.Tensor[] states
function ProgramCell:forward(x, before)
  local B, given = x:size(1), {}
  for n, name in ipairs(self.state_names) do
    given[name] = before[n]:reshape(B, -1)
  end
  local outputs, last = self.compiled:run {
    parameters = self.named, inputs = { x = x:reshape(1, B, self.input) }, state = given,
    generator = self.generator or nil,
  }
  local new = {}
  for n, name in ipairs(self.state_names) do
    new[n] = last[name]:reshape(B, table.unpack(self.states[n]))
  end
  return self.description.output and outputs.y:reshape(B, self.output) or new[1], new
end

function ProgramCell:describe()
  return ("%s %d -> %d"):format(self.description.name, self.input, self.output)
end

-- --- Writing ---------------------------------------------------------------------------------

--- The program of a cell's step, whose parameters and states have the cell's names.
local function program_of(cell)
  if cell.text then
    return cell.text
  end
  local _ <close> = core.no_gradient()
  local layer = own_layer.of(cell, cell.input, { hidden = cell.hidden, zoneout = 0, recurrent_dropout = 0,
    compiled = false }, {}, nil)
  local program = late.trace.program(layer, { inputs = { { name = "x", width = cell.input } }, step = true })
  for _, parameter in ipairs(program.parameters) do
    parameter.name = parameter.name:gsub("^cell%.", "")
  end
  for n, state in ipairs(program.states) do
    state.name = cell.state_names[n]
  end
  return program:encode()
end

--- What a file has of a kind of cell, without its sizes.
local function kind_of(cell)
  if cell.description then
    return cell.description
  end
  return { name = cell.kind, output = cell.maker.o.output }
end

local program_cell = {}

--- What a file has of the cell of a model: plain data. An error says why a step has no
--- program.
---@param model saros.nn.Module
---@return table?  nil if the model has no cell of nn.cell
function program_cell.describe(model)
  local description, seen = nil, {}
  model:visit(function(cell)
    if not cells.is(cell) and getmetatable(cell) ~= ProgramCell then
      return
    end
    local kind = kind_of(cell)
    description = description or { name = kind.name, output = kind.output, sizes = {} }
    local size = cell.input .. " " .. cell.hidden
    if not seen[size] then
      seen[size] = true
      description.sizes[#description.sizes + 1] = { input = cell.input, hidden = cell.hidden, output = cell.output,
        states = cell.states, names = cell.state_names, firsts = cell.firsts, program = program_of(cell) }
    end
  end)
  return description
end

-- --- Reading ---------------------------------------------------------------------------------

local function no_beginning()
  options.fail "init: expected a cell that knows how its parameters begin, got one from a file"
end

local check_kind = options.declare("cell", {
  { "name", options.string },
  { "output", options.boolean, false },
  { "sizes", options.list_of(options.table) },
})

local check_size = options.declare("cell", {
  { "input", options.size },
  { "hidden", options.size },
  { "output", options.size },
  { "states", options.list_of(options.list_of(options.size)) },
  { "names", options.list_of(options.string) },
  { "firsts", options.list_of(options.number), {} },
  { "program", options.string },
})

--- The states that a file names are those of its program.
local function check_states(size, program)
  local states = program:states()
  local fits = #states == #size.states and #states == #size.names and #states > 0
  for n, state in ipairs(states) do
    local width = 1
    for _, k in ipairs(size.states[n] or {}) do
      width = width * k
    end
    fits = fits and state.name == size.names[n] and state.width == width
  end
  local inputs, outputs = program:inputs(), program:outputs()
  fits = fits and #inputs == 1 and inputs[1].name == "x" and not inputs[1].count and inputs[1].width == size.input
    and #outputs == 1 and outputs[1].name == "y" and outputs[1].width == size.output
  if not fits then
    error("expected a cell whose program has its input, states and output, got another one", 0)
  end
end

local function new_cell(kind, size)
  local self = ProgramCell.new()
  self.kind, self.description, self.text, self.generator = kind.name, kind, size.program, false
  self.compiled, self.named = core.program(size.program), {}
  self.input, self.hidden, self.output = size.input, size.hidden, size.output
  self.states, self.state_names, self.firsts = size.states, size.names, size.firsts
  check_states(size, self.compiled)
  for _, parameter in ipairs(self.compiled:parameters()) do
    self.named[parameter.name] = self:add_parameter(parameter.name, parameter.shape, no_beginning)
  end
  if late.program.is_random(late.program.decode(size.program)) then
    self.generator = self:add_generator "dropout"
  end
  return self
end

local Maker = { __name = "cell of a file" }
Maker.__index = Maker

function Maker:__call(inputs, hidden)
  for _, size in ipairs(self.sizes) do
    if size.input == inputs and size.hidden == hidden then
      return new_cell(self, size)
    end
  end
  error(("expected a file with the cell %s from %d to %d features, got none of that size"):format(
    self.name, inputs, hidden), 0)
end

--- The cell that a file describes, as nn.recurrent and the models ask for one.
---@param description any  of a file
---@return table
function program_cell.maker(description)
  local ok, kind = pcall(check_kind, description)
  if not ok then
    error("expected the description of a cell, got " .. options.without_place(kind), 0)
  end
  for n, size in ipairs(kind.sizes) do
    kind.sizes[n] = check_size(size)
  end
  return setmetatable(kind, Maker)
end

return program_cell
