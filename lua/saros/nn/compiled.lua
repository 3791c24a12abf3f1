--- Steps that are written in Lua, compiled: the program of one step runs over whole
--- sequences in the core (core.program), where nothing of Lua is called. A step that
--- cannot be traced is unrolled instead; `compiled.of` returns the reason.
---
--- The step is a stateful module of a single step (B, I). What its functions read from
--- outside, tensors that are no parameters of it, are handed to the program as such, so
--- they may change and have gradients. Anything else that they read, such as a number, is
--- part of the program, which no longer fits when that is another one.

local core = require "saros.core"
local options = require "saros.options"
local captured = require "saros.program.captured"
local states = require "saros.nn.state"
local state_form = require "saros.nn.state_form"
local lazy = require "saros.lazy"
local sorted = require "saros.sorted"

local late = lazy({}, { expand = { "saros.program.expand" }, trace = { "saros.program.trace" } })

local compiled = {}

-- --- What a step reads from outside ---------------------------------------------------------

local function is_tensor(value)
  return type(value) == "userdata" and options.tensor.accept(value) ~= nil
end

--- Calls fn for each tensor of a list, or of a table in it.
local function each_tensor(list, fn)
  for n = 1, list.n do
    local value = list[n]
    if is_tensor(value) then
      fn(value)
    elseif type(value) == "table" and getmetatable(value) == nil then
      for _, inner in pairs(value) do
        if is_tensor(inner) then
          fn(inner)
        end
      end
    end
  end
end

--- The tensors of numbers that a step reads and that nothing of it has made.
local function outside_of(step, argument)
  local known, outside = {}, {}
  for _, tensor in ipairs(step:parameters()) do
    known[tensor] = true
  end
  each_tensor({ n = 1, argument }, function(x) known[x] = true end)
  local _ <close> = core.record(function(_, arguments, results)
    each_tensor(arguments, function(x)
      if not known[x] and x:dtype() == "real" then
        outside[#outside + 1] = x
      end
      known[x] = true
    end)
    each_tensor(results, function(x) known[x] = true end)
  end)
  step(argument, nil)
  return outside
end

--- Makes them parameters of the step, which is ours.
local function add_outside(step, inputs)
  local argument = #inputs == 1 and core.zeros(2, inputs[1].width) or {}
  for _, input in ipairs(#inputs > 1 and inputs or {}) do
    argument[input.name] = core.zeros(2, input.width)
  end
  for n, tensor in ipairs(outside_of(step, argument)) do
    step.own[#step.own + 1] = { name = "outside_" .. n, tensor = tensor }
  end
end

-- --- Compiling ------------------------------------------------------------------------------

---@class saros.nn.Compiled
---@field program saros.Program  of the core
---@field parameters table<string, saros.Tensor>
---@field list saros.Tensor[]  all parameters of the step, in their order
---@field states { name: string, path: any[] }[]
---@field captured saros.program.Captured
---@field generator saros.Generator?  of dropout inside
---@field note string?  what in it runs step by step, and why; or what changes in it unnoticed
---@field product saros.nn.InputProduct?  its x is what this map makes of the step's x
local Compiled = {}
Compiled.__index = Compiled

--- The first generator of a step, by name.
local function generator_of(step)
  local generators = step:generators()
  return generators[sorted.keys(generators)[1]]
end

--- A linear map of x, which is all that a step reads of x.
---@class saros.nn.InputProduct
---@field weight saros.Tensor  (n, I)
---@field bias saros.Tensor?  (n)

--- Operands of the nodes that read a node.
local function reads_of(traced, number)
  local reads = {}
  for n, node in ipairs(traced.nodes) do
    for _, operand in ipairs(node["in"] or {}) do
      reads[#reads + 1] = operand == number and { node = node, number = n - 1 } or nil
    end
  end
  return reads
end

--- Replaces x by W x + b, where the step reads nothing else of x, so the product can be made ahead.
---@return saros.nn.InputProduct?
local function take_product(traced, tensors)
  local function parameter(number)
    local node = number and traced.nodes[number + 1]
    return node and node.op == "parameter" and tensors[traced.parameters[node.parameter + 1].name] or nil
  end
  local x, reads = traced.nodes[1], reads_of(traced, 0)
  local only = #reads == 1 and reads[1].node
  if x.name ~= "x" or not only or only.op ~= "linear" or only["in"][1] ~= 0 then
    return nil
  end
  local weight, bias = parameter(only["in"][2]), parameter(only["in"][3])
  if not weight or only["in"][3] and not bias then
    return nil
  end
  for _, read in ipairs(reads_of(traced, reads[1].number)) do
    for k, operand in ipairs(read.node["in"]) do
      read.node["in"][k] = operand == reads[1].number and 0 or operand
    end
  end
  x.width = weight:size(1)
  traced.nodes[reads[1].number + 1] = { op = "constant", value = 0 } -- which nothing reads
  return { weight = weight, bias = bias }
end

local function compile(step, inputs, reverse, ahead)
  local _ <close> = core.no_gradient()
  add_outside(step, inputs)
  local traced = late.trace.program(step, { inputs = inputs, step = true })
  if traced.asks_training then
    options.fail "program: expected a step that is the same in training, got one with a batch norm, which is unrolled"
  end
  for _, state in ipairs(traced.states) do
    state.reverse = reverse or nil
  end
  local tensors = step:tensors()
  local product = ahead and take_product(traced, tensors)
  if ahead and not product then
    options.fail "program: expected a step that reads x through one linear map alone"
  end
  local self = setmetatable({ states = traced.states, parameters = {}, list = step:parameters(),
    captured = traced.captured, product = product }, Compiled)
  self.program, self.generator = core.program(late.expand.cells(traced):encode()), generator_of(step)
  self.note = late.expand.slow(traced) or captured.note(traced.captured)
  for _, parameter in ipairs(traced.parameters) do
    self.parameters[parameter.name] = tensors[parameter.name]
  end
  return self
end

--- Compile a step.
---@param step saros.nn.Module  stateful, of a single step; it gets what it reads from outside as parameters
---@param inputs { name: string, width: integer }[]
---@param reverse? boolean  from the last step to the first
---@param ahead? boolean  x is what the step's one linear map of x gives, see Compiled.product
---@return saros.nn.Compiled?
---@return string? reason  why there is none
function compiled.of(step, inputs, reverse, ahead)
  local ok, made = pcall(core.with_room, compile, step, inputs, reverse, ahead)
  if ok then
    return made
  end
  return nil, tostring(made)
end

--- True if the parameters of the step are still the tensors that it was compiled with,
--- and its functions read the same from outside.
---@param step saros.nn.Module
---@return boolean
function Compiled:fits(step)
  local list = step:parameters()
  for n, tensor in ipairs(list) do
    if self.list[n] ~= tensor then
      return false
    end
  end
  return #list == #self.list and not captured.changed(self.captured)
end

-- --- Running --------------------------------------------------------------------------------

--- The tree whose leaves these are; a tensor where the path is empty.
local function tree_of(self, leaves)
  local tree = states.new {}
  for n, state in ipairs(self.states) do
    tree = state_form.put(tree, state.path, leaves[n])
  end
  return tree
end

--- Run it over a sequence.
---@param inputs table<string, saros.Tensor>  (T, B, n) each
---@param before saros.nn.State  whose leaves say what shapes states have
---@param begins boolean  the state is the program's own first one
---@param steps saros.nn.Steps  mask and reset
---@param dropout? table<string, saros.Tensor>  factors (B, n) of states by name, in products
---@return saros.Tensor y  (T, B, P)
---@return saros.nn.State
---@return table<string, saros.Tensor> outputs  all of the step, by name
function Compiled:run(inputs, before, begins, steps, dropout)
  local given, shapes = {}, {}
  for n, state in ipairs(self.states) do
    local h = state_form.find(before, state.path)
    shapes[n] = h:shape()
    if h:count() ~= h:size(1) * state.width then
      options.fail(("nn.recurrent: expected a step to return a state of the %d numbers a row that it takes, got one "
        .. "of %d"):format(h:count() // h:size(1), state.width))
    end
    given[state.name] = not begins and h:reshape(h:size(1), -1) or nil
  end
  local outputs, last = self.program:run {
    parameters = self.parameters, inputs = inputs, state = given, mask = steps.mask, reset = steps.reset,
    generator = self.generator, dropout = dropout,
  }
  local leaves = {}
  for n, state in ipairs(self.states) do
    leaves[n] = last[state.name]:reshape(shapes[n])
  end
  return outputs.y, tree_of(self, leaves), outputs
end

return compiled
