--- Programs of one delta node between its inputs, and modules that call core.delta, with
--- every kind of gate.

local saros = require "saros"
local core = require "saros.core"
local nn = saros.nn

local delta = {}

--- Every combination: { decay = nil|"head"|"channel", erase = nil|"same"|"separate",
--- reflections = 1|2, write = nil|true, heads, K, V }.
function delta.kinds()
  local list = {}
  for _, decay in ipairs { false, "head", "channel" } do
    for _, erase in ipairs { false, "same", "separate" } do
      for reflections = 1, 2 do
        list[#list + 1] = { decay = decay or nil, erase = erase or nil, reflections = reflections, heads = 2, K = 3,
          V = 2, write = erase ~= false or decay ~= false or nil }
      end
    end
  end
  return list
end

function delta.name(o)
  return ("decay %s, erase %s, %d reflections"):format(o.decay or "none", o.erase or "none", o.reflections)
end

--- A program with the inputs q, k, v, write, erase and decay, as far as the kind has them,
--- and the state "m", which begins with the parameter "first".
---@param o table  a kind, with `reverse`
function delta.program(o)
  local H, K, V, n = o.heads, o.K, o.V, o.reflections
  local nodes = { { op = "parameter", parameter = 0 } }
  local function add(node)
    nodes[#nodes + 1] = node
    return #nodes - 1
  end
  local function input(name, width)
    return add { op = "input", name = name, width = width }
  end
  local function constant(value)
    return add { op = "constant", value = value }
  end
  local operands = { input("q", H * K), input("k", n * H * K), input("v", n * H * V) }
  operands[4] = o.write and input("write", n * H) or constant(o.constant or 1)
  operands[5] = o.erase == "same" and operands[4] or o.erase and input("erase", n * H) or constant(0)
  operands[6] = o.decay and add { op = "negate",
    ["in"] = { input("decay", o.decay == "head" and H or H * K) } } or nil
  local node = add { op = "delta", ["in"] = operands, heads = H, states = { 0 }, reflections = n > 1 and n or nil }
  return {
    parameters = { { name = "first", shape = { H * K * V } } },
    states = { { name = "m", width = H * K * V, first = 0, next = node, reverse = o.reverse } },
    nodes = nodes, outputs = { { name = "y", node = node } },
  }
end

local Module = nn.module "delta_of_a_spec"
Module.stateful = true

function Module:forward(x, state)
  local o = self.o
  local write = o.write and saros.sigmoid(self.write(x))
  local y, last = core.delta(self.q(x), saros.tanh(self.k(x)), self.v(x), {
    heads = o.heads, reflections = o.reflections, reverse = o.reverse, write = write,
    erase = o.erase == "same" and write or o.erase and saros.sigmoid(self.erase(x)) or nil,
    decay = o.decay and -saros.softplus(self.decay(x)) or nil,
    first = self.first,
  }, state and state[1])
  return y, nn.state.new { last }
end

--- A module from `size` features to heads * V of them.
---@param size integer
---@param o table  a kind, with `reverse` and `learn_state`
function delta.module(size, o)
  local self, gates = Module.new(), o.reflections * o.heads
  local widths = { q = o.heads * o.K, k = gates * o.K, v = gates * o.V, write = o.write and gates,
    erase = o.erase == "separate" and gates, decay = o.decay and (o.decay == "head" and o.heads or o.heads * o.K) }
  self.o, self.input = o, size
  for _, name in ipairs { "q", "k", "v", "write", "erase", "decay" } do
    self[name] = widths[name] and self:add_member(name, nn.linear { size, widths[name] }) or nil
  end
  self.first = o.learn_state
    and self:add_parameter("first", { o.heads * o.K * o.V }, nn.initialize.constant(0)) or nil
  return self
end

return delta
