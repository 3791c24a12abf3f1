-- Programs of modules beside the modules: helpers for specs of what is traced.

local assert = require "luassert"
local saros = require "saros"
local core = require "saros.core"
local twin = require "spec.support.program_twin"
local nn = saros.nn

local T, B = 5, 3

--- Random values for the inputs of a program, by name.
local function inputs_of(program, generator)
  local inputs = {}
  for _, node in ipairs(program.nodes) do
    if node.op == "input" then
      inputs[node.name] = generator:normal { T, B, node.width }
    elseif node.op == "ids" then
      local ids = {}
      for n = 1, T * B do
        ids[n] = generator:integer(node.count)
      end
      inputs[node.name] = saros.ids(ids):reshape(T, B)
    end
  end
  return inputs
end

local function only(inputs)
  local name, x = next(inputs)
  return next(inputs, name) == nil and x or inputs
end

local function at_path(tree, path)
  for _, key in ipairs(path) do
    tree = tree[key]
  end
  return tree
end

--- Differences below 1e-9 in double and 1e-4 in float, or other bounds, are small.
local function is_near(expected, got, what, double, float)
  local a = expected:contiguous():reshape(got:shape())
  local difference = (a - got):abs():max():item()
  assert.is_true(difference < (saros.info().real == "double" and (double or 1e-9) or float or 1e-4),
    what .. ": " .. difference)
end

--- Compares a window of the module with the twin's; the states after it.
local function same_window(module, program, inputs, state, states)
  local y, after = module(only(inputs), state)
  local outputs, last = twin.run(program, module:tensors(), inputs, { state = states })
  y = type(y) == "table" and y or { y = y }
  for name, got in pairs(outputs) do
    is_near(y[name], got, "output " .. name)
  end
  for n, given in ipairs(program.states) do
    if given.path then
      is_near(at_path(after, given.path), last[n], "state " .. given.name)
    end
  end
  return after, last
end

--- Compares a window of the module with the program as the core runs it.
local function same_run(module, program, inputs)
  local parameters, all = {}, module:tensors()
  for _, given in ipairs(program.parameters) do
    parameters[given.name] = all[given.name]
  end
  local y, after = module(only(inputs))
  local outputs, last = core.program(program:encode()):run { parameters = parameters, inputs = inputs }
  y = type(y) == "table" and y or { y = y }
  for name, got in pairs(outputs) do
    is_near(y[name], got, "run: output " .. name)
  end
  for _, given in ipairs(program.states) do
    is_near(at_path(after, given.path), last[given.name], "run: state " .. given.name)
  end
end

--- Compares a window of the module with a session of it, step by step.
local function same_session(module, program, inputs)
  local y, session = module(only(inputs)), module:session { streams = B }
  y = type(y) == "table" and y or { y = y }
  for t = 1, T do
    local step = {}
    for name, x in pairs(inputs) do
      step[name] = x[t]
    end
    session:step(only(step))
    for _, output in ipairs(program.outputs) do
      is_near(y[output.name][t], session:output(output.name), "session: output " .. output.name)
    end
  end
end

--- The program of a module, which must agree from the beginning and from a state.
local function agrees(module, given, is_both_ways)
  if not module.initialized then
    module:init { seed = 3 }
    local generator = saros.generator(4)
    for _, tensor in ipairs(module:parameters()) do -- biases and learned states as well
      tensor:assign(tensor + generator:normal(tensor:shape(), 0, 0.1))
    end
  end
  local program, generator = module:program(given), saros.generator(7)
  same_run(module, program, inputs_of(program, generator))
  if not given and not is_both_ways then
    same_session(module, program, inputs_of(program, generator))
  end
  local state, states = same_window(module, program, inputs_of(program, generator))
  if module.stateful and not is_both_ways then
    same_window(module, program, inputs_of(program, generator), state, states)
  end
  return program
end

local function ops_of(program)
  local names = {}
  for n, node in ipairs(program.nodes) do
    names[n] = node.op
  end
  return table.concat(names, " ")
end

--- A module made of a function forward(self, x, state) and named members.
local function own(input, members, forward, stateful)
  local class = nn.module "own"
  class.forward, class.stateful = forward, stateful or false
  local self = class.new()
  self.input = input
  for name, member in pairs(members) do
    self[name] = self:add_member(name, member)
  end
  return self
end

--- A module of a function alone, of 8 features.
local function of(forward)
  return own(8, {}, function(_, x) return forward(x) end)
end

return { T = T, B = B, agrees = agrees, at_path = at_path, is_near = is_near, of = of, ops_of = ops_of, own = own }
