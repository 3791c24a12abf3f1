--- What a fused layer did at every step: c(t) and its gates, computed again from the
--- definition of its cell.
---
--- The core has left h(t) of all steps. With h(t-1) and x(t) the gates of a step follow,
--- and c(t) from them and c(t-1). So this is a program of one step, which reads x(t) and
--- h(t) and carries h and c; masks, resets, directions, first states and gradients are
--- those of programs.

local core = require "saros.core"
local compiled = require "saros.nn.compiled"
local define = require "saros.nn.cells.definition"
local module = require "saros.nn.module"
local tensors = require "saros.nn.cells.tensors"

-- --- A step ---------------------------------------------------------------------------------

---@class saros.nn.Replay: saros.nn.Module
---@field operation string  the core's name of the cell
---@field named { [1]: string, [2]: string }[]  titles of values in the definition, and their names
---@field direction saros.nn.Direction
---@field handle saros.nn.Compiled
local Replay = module.class "replay"
Replay.stateful = true

--- Where rows begin: at the learned state, else at zeros.
function Replay:first(B)
  local first, initial = {}, self.direction.initial
  for n, size in ipairs(self.direction.sizes) do
    first[n] = core.zeros(B, size)
    first[n] = initial and first[n] + initial[n] or first[n]
  end
  return first
end

--- One step.
---@param given table<string, saros.Tensor>  x (B, I), h (B, P) after the step; factors of dropout and of zoneout of c
---@param states saros.Tensor[]?
---@return table<string, saros.Tensor> y  the gates by name, and c
---@return saros.Tensor[] states
function Replay:forward(given, states)
  states = states or self:first(given.x:size(1))
  local p, y, sizes = {}, {}, self.direction.sizes
  for _, parameter in ipairs(self.own) do
    p[parameter.name] = tensors.node(parameter.tensor:reshape(-1))
  end
  local _, c, named = define(tensors.builder(), self.operation, {
    x = tensors.node(given.x), p = p, H = sizes[#sizes],
    h = tensors.node(states[1]), c = states[2] and tensors.node(states[2]),
    dropout = given.dropout and tensors.node(given.dropout),
  })
  for _, name in ipairs(self.named) do
    y["gate." .. name[2]] = named[name[1]].tensor
  end
  if c then
    local zone = given.zoneout_c
    y.c = zone and states[2] + (c.tensor - states[2]) * zone or c.tensor
  end
  return y, { given.h, y.c }
end

local function new(operation, named, direction)
  local self = Replay.new()
  self.operation, self.named, self.direction = operation, named, direction
  for name, tensor in pairs(direction.parameters) do
    if not name:find "^first_" then
      self.own[#self.own + 1] = { name = name, tensor = tensor }
    end
  end
  for n, tensor in ipairs(direction.initial or {}) do
    self.own[#self.own + 1] = { name = "initial_" .. n, tensor = tensor }
  end
  table.sort(self.own, function(a, b) return a.name < b.name end)
  return self
end

-- --- A sequence -----------------------------------------------------------------------------

--- What the step reads, for all steps.
local function inputs_of(x, h, steps)
  local T, inputs = #x, { x = x, h = h, zoneout_c = steps.zoneout_c }
  inputs.dropout = steps.dropout and core.ones(T, 1, 1) * steps.dropout
  return inputs
end

--- The program, made at the first call.
local function handle_of(self, inputs)
  if not self.handle then
    local list = {}
    for name, input in pairs(inputs) do
      list[#list + 1] = { name = name, width = input:size(3) }
    end
    table.sort(list, function(a, b) return a.name < b.name end)
    self.handle = assert(compiled.of(self, list, self.direction.reverse))
  end
  return self.handle
end

local replay = {}

--- What a direction of a fused layer did: its states and gates by name, (T, B, n) each.
---@param net saros.nn.Recurrent
---@param direction saros.nn.Direction  of it
---@param x saros.Tensor  (T, B, I), as the core read it
---@param h saros.Tensor  (T, B, P), of the core
---@param state saros.Tensor[]?  before the first step
---@param steps saros.nn.Steps  of the core
---@return table<string, saros.Tensor> states
---@return table<string, saros.Tensor> gates
function replay.run(net, direction, x, h, state, steps)
  local states, gates, named = { h = h }, {}, net.fused.named
  if not named then
    return states, gates
  end
  direction.replay = direction.replay or new(net.operation, named, direction)
  local self, inputs = direction.replay, inputs_of(x, h, steps)
  local handle = handle_of(self, inputs)
  local _, _, values = handle:run(inputs, state or self:first(x:size(2)), not state, steps)
  for _, name in ipairs(named) do
    gates[name[2]] = values["gate." .. name[2]]
  end
  states.c = values.c
  return states, gates
end

return replay
