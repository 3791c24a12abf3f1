--- The module that a program is: what saros.load makes of a file whose model it cannot
--- build otherwise, and anything that only has the data of a program.
---
---     local net = assert(saros.load "blocks.safetensors")
---     local y, state = net(x)
---
--- It runs whole sequences, trains, steps in sessions, goes into C files and is saved
--- as the module that the program was traced from, whose states and names of parameters
--- it has; it is called with rows first if that module was. Where that module is another
--- function in training, as a batch norm is, the program is for evaluation alone.

local core = require "saros.core"
local options = require "saros.options"
local model_file = require "saros.model_file"
local batch_first = require "saros.nn.batch_first"
local module = require "saros.nn.module"
local scope = require "saros.nn.scope"
local states = require "saros.nn.state"
local state_form = require "saros.nn.state_form"
local given_steps = require "saros.nn.steps"
local lazy = require "saros.lazy"
local sorted = require "saros.sorted"

local late = lazy({}, {
  expand = { "saros.program.expand" },
  harden = { "saros.program.harden" },
  program = { "saros.program.program" },
})

---@class saros.nn.Program: saros.nn.Module
---@field data saros.Program  the table
---@field compiled saros.Program  of the core
---@field expanded saros.Program  the same, as it runs over sequences
---@field inputs { name: string, width?: integer, count?: integer }[]
---@field generator saros.Generator|false  of dropout
local Program = module.class "program"
Program.hides_padding = true
Program.watched = "data"

-- --- States --------------------------------------------------------------------------------

--- "1.h" -> { 1, "h" }
local function path_of(name)
  local path = {}
  for key in name:gmatch "[^.]+" do
    path[#path + 1] = math.tointeger(tonumber(key)) or key
  end
  return path
end

--- States by name, as the program takes them, from the tree.
local function by_name(self, tree, B)
  if tree == nil then
    return nil
  end
  local list = {}
  for _, state in ipairs(self.data.states) do
    local h = state_form.find(tree, state.path)
    if not options.tensor.accept(h) or h:rank() < 2 or h:size(1) ~= B or h:count() ~= B * state.width then
      options.fail(("%s: expected the state %s of shape (%d, %d), got %s"):format(self.kind, state.name, B, state.width,
        options.describe(h)))
    end
    if scope.tracer then
      scope.tracer:titles({ h }, { state.title })
    end
    list[state.name] = h:reshape(B, state.width)
  end
  return list
end

local function tree_of(self, last)
  local tree = states.new {}
  for _, state in ipairs(self.data.states) do
    tree = state_form.put(tree, state.path, state_form.shaped(state, last[state.name]))
  end
  return tree
end

-- --- Forward -------------------------------------------------------------------------------

--- The inputs by name, from one tensor or a table of them.
local function inputs_of(self, x)
  local given = #self.inputs == 1 and { [self.inputs[1].name] = x } or x
  for _, input in ipairs(self.inputs) do
    local value = type(given) == "table" and given[input.name] or nil
    local fits = options.tensor.accept(value) and value:rank() == (input.width and 3 or 2)
      and (not input.width or value:size(3) == input.width)
    if not fits then
      options.fail(("%s: expected %s of shape (T, B%s), got %s"):format(self.kind, input.name,
        input.width and ", " .. input.width or "", options.describe(value)))
    end
  end
  return given
end

---@param x saros.Tensor|table<string, saros.Tensor>  (T, B, width), or ids (T, B); by name if there are several
---  inputs. A caller gives (B, T, ...) if the file says batch_first
---@param state? saros.nn.State
---@param given? saros.nn.StepOptions
---@return saros.Tensor|table<string, saros.Tensor> y  by name if there are several outputs
---@return saros.nn.State? state  nil if there is none
function Program:forward(x, state, given)
  if self.data.asks_training and core.is_training() then
    options.fail(("%s: expected no training tape for a net from a file that has what it computes in evaluation alone, "
      .. "not its training (batch norms, finite states, or zoneout and recurrent_dropout of own cells); make the net "
      .. "as it was made and call net:load(path) to train it"):format(self.kind))
  end
  if type(given) == "table" and given.layers ~= nil then
    options.fail(('%s: expected no option "layers" for a net from a file, whose program has no layers; make the net as '
      .. "it was made, call net:load(path), and then its layer itself"):format(self.kind))
  end
  local inputs = inputs_of(self, x)
  local first = inputs[self.inputs[1].name]
  local steps = options.about(self.kind, given_steps.of, given, first) or {}
  local runs = scope.tracer and self.compiled or self.expanded
  local outputs, last = runs:run {
    parameters = self.named, inputs = inputs, state = by_name(self, state, first:size(2)),
    mask = steps.mask, reset = steps.reset, generator = self.generator or nil,
  }
  local y = self.only and outputs[self.only] or outputs
  return y, #self.data.states > 0 and tree_of(self, last) or nil
end

--- Take a program and what runs it.
local function take(self, data, compiled)
  self.data, self.compiled = data, compiled
  local expanded = late.expand.cells(data)
  self.expanded = expanded == data and self.compiled or core.program(expanded:encode())
end

--- Soft finite states are hard from now on, as of the net that was saved; the program has no way back then.
---@return saros.nn.Program  self
function Program:harden()
  local data = late.harden(self.data)
  if data ~= self.data then
    data.asks_training = true
    take(self, data, core.program(data:encode()))
  end
  return self
end

--- The program itself: nothing has to be traced.
---@return saros.Program
function Program:program()
  return self.data
end

local function counted(n, what)
  return ("%d %s%s"):format(n, what, n == 1 and "" or "s")
end

function Program:describe()
  local counts = counted(#self.data.nodes, "node") .. ", " .. counted(#self.own, "parameter")
  return #self.data.states > 0 and ("program (%s, %s)"):format(counts, counted(#self.data.states, "state"))
    or ("program (%s)"):format(counts)
end

---@class saros.nn.ProgramFile
---@field aliases? table<string, string>  other names of parameters
---@field buffers? string[]  names of what is not trained, such as running statistics
---@field asks_training? boolean  may the module be another function in training?
---@field batch_first? boolean  is it called with (B, T, ...)? (false)

-- --- Making --------------------------------------------------------------------------------

local function no_beginning()
  options.fail "init: expected a module that knows how its parameters begin, got a program, which has those of its file"
end

--- What the nodes say of inputs and of chance.
local function read_nodes(self)
  self.inputs = {}
  for position, node in ipairs(late.program.inputs(self.data)) do
    self.inputs[position] = { name = node.name, width = node.op == "input" and node.width or nil, count = node.count }
  end
  if late.program.is_random(self.data) then
    self.generator = self:add_generator "dropout"
  end
end

local program = {}

--- The tensors of a file that the program does not name: other names of parameters,
--- and what it does not read.
local function add_others(self, aliases, tensors)
  for _, name in ipairs(sorted.keys(tensors)) do
    local first = self.named[aliases[name]]
    if not self.named[name] and first then
      self.own[#self.own + 1] = { name = name, tensor = first, fill = no_beginning }
    elseif not self.named[name] and tensors[name]:dtype() == "real" then
      self:add_buffer(name, tensors[name]:shape(), no_beginning)
    end
  end
end

--- The aliases of a file, and its buffers as a set. Files of earlier versions have none.
local function check(text, given)
  local aliases, buffers = given.aliases or {}, given.buffers or {}
  if type(text) ~= "string" or type(aliases) ~= "table" then
    error(("expected a program and aliases by name, got %s and %s"):format(
      type(text) == "string" and "a program" or options.describe(text), options.describe(given.aliases)), 0)
  elseif type(buffers) ~= "table" then
    error("expected a list of the names of buffers, got " .. options.describe(buffers), 0)
  end
  local is_buffer = {}
  for _, name in ipairs(buffers) do
    is_buffer[name] = true
  end
  return aliases, is_buffer
end

--- A module of a program, whose parameters are zeros until they are loaded.
---@param text string  the program as JSON
---@param given? saros.nn.ProgramFile  what the file says beside the program
---@param tensors? table<string, saros.Tensor>  of the file
---@return saros.nn.Program
function program.of(text, given, tensors)
  given = given or {}
  local aliases, is_buffer = check(text, given)
  local self = Program.new()
  self.batch_first = batch_first.option("load", given)
  local compiled = core.program(text) -- which checks it
  take(self, late.program.decode(text), compiled)
  self.named, self.generator = {}, false
  self.data.asks_training = given.asks_training or nil
  for _, state in ipairs(self.data.states) do
    state.path = path_of(state.name)
  end
  self.stateful = #self.data.states > 0
  for _, parameter in ipairs(self.data.parameters) do
    local name, add = parameter.name, is_buffer[parameter.name] and self.add_buffer or self.add_parameter
    self.named[name] = add(self, name, parameter.shape, no_beginning)
  end
  read_nodes(self)
  add_others(self, aliases, tensors or {})
  self.only = #self.data.outputs == 1 and self.data.outputs[1].name
  return self
end

model_file.register("program", function(description, text, tensors)
  return program.of(text, description, tensors)
end)

return program
